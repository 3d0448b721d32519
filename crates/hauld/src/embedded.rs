//! The same engine inside another process.

use std::path::{Path, PathBuf};

use crate::config::{ConfigError, Layers};
use crate::{Daemon, StartError};

/// A daemon without a TCP address, reached over a private Unix socket in its own state directory.
pub struct Embedded {
    daemon: Daemon,
    socket: PathBuf,
}

impl Embedded {
    /// Starts it with its state in `state_dir` and `download_dir` as the only directory that it writes to. `settings`
    /// are `KEY=VALUE` pairs that win over the user's configuration.
    ///
    /// # Errors
    ///
    /// [`StartError`]; [`StartError::is_locked`] when another process has this `state_dir`.
    pub async fn start(state_dir: &Path, download_dir: &Path, settings: Vec<String>) -> Result<Self, StartError> {
        let mut config = Layers::of_process(None, settings).load()?.config;
        let socket = state_dir.join("hauld.sock");
        config.data_dir = absolute(state_dir)?;
        config.download_dir = absolute(download_dir)?;
        config.allowed_roots = Vec::new();
        config.token_file = PathBuf::new();
        config.listen = String::new();
        config.socket = socket.clone();
        config.socket_mode = "0600".to_owned();
        // They belong to the daemon: this process does not live long enough to tell anybody.
        config.aria2.listen.clear();
        config.webhooks.clear();
        config.hooks.clear();
        config.watch = PathBuf::new();
        // Everything goes to the one directory.
        config.rules.clear();
        crate::system::raise_file_limit();
        let daemon = Daemon::start(&config).await?;
        Ok(Self { daemon, socket })
    }

    /// The socket to speak to it.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Stops it; what is unfinished goes on from here at the next start with the same `state_dir`.
    pub async fn stop(self) {
        self.daemon.stop().await;
    }
}

fn absolute(dir: &Path) -> Result<PathBuf, ConfigError> {
    std::path::absolute(dir).map_err(|source| ConfigError::File { path: dir.to_owned(), source })
}
