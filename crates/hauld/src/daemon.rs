//! The daemon's start and stop on one page.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use haul_store::{HostRow, OpenError, Opened, Store, StoreError};
use haul_transfer::{Disks, Proxy};
use sd_notify::NotifyState;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::access::Access;
use crate::api::{self, Allowed, Api, Peers, Routes, STREAMS_MAX, Server};
use crate::aria2::Dialect;
use crate::config::{Config, ConfigError};
use crate::driver::{Driver, Handle, LimitChanges, Limits};
use crate::inherited::Inherited;
use crate::metrics::Metrics;
use crate::notify::{self, Notifier};
use crate::pulse::Pulse;
use crate::submit::{Roots, Volumes};
use crate::system;
use crate::token::{TokenCheck, TokenError};
use crate::watch;

/// The setting under which limits that were changed live are stored.
pub(crate) const LIMITS_SETTING: &str = "limits";

/// The setting under which it is stored which directories lie on volumes.
pub(crate) const VOLUMES_SETTING: &str = "volumes";

/// How long the driver may take to leave everything in order.
const DRIVER_STOPS_WITHIN: Duration = Duration::from_millis(1700);

/// What the service manager is asked for at the start: a guess at a million jobs on a slow disk.
const CHECK_TAKES_AT_MOST_USEC: u32 = 120_000_000;

/// How often it is looked whether the database is in its place while nothing is written: each commit looks, too. A guess:
/// rare enough for a machine that sleeps.
const PLACE_CHECKED_EVERY: Duration = Duration::from_secs(5);

/// Why a running daemon cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Breakdown {
    /// The driver has ended by itself, which only a defect makes it do.
    Driver,
    /// The database is not the file any more that was opened: what would be written would be lost.
    DatabaseReplaced,
}

impl Breakdown {
    /// The exit code: one with which systemd starts the daemon again.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            // EX_SOFTWARE of `sysexits.h`.
            Self::Driver => 70,
            Self::DatabaseReplaced => 1,
        }
    }
}

/// A running daemon.
pub struct Daemon {
    store: Store,
    handle: Handle,
    driver: JoinHandle<()>,
    stop_driver: CancellationToken,
    server: Server,
    notifier: Notifier,
    socket: Option<PathBuf>,
    listen: Option<std::net::SocketAddr>,
}

/// Why the daemon could not start. Each text says what helps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A directory cannot be used.
    #[error("cannot use the directory `{}`: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon has the database.
    #[error("another hauld is running with the data directory `{}`; stop it first, or set another `data_dir`", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// The database cannot be opened.
    #[error("cannot open the database: {0}")]
    Database(#[source] OpenError),
    /// The database cannot be written.
    #[error("cannot write to the database: {0}")]
    Store(#[from] StoreError),
    /// The token cannot be used.
    #[error(transparent)]
    Token(Box<dyn std::error::Error + Send + Sync>),
    /// What the service manager has passed is no socket that can be served on.
    #[error(
        "cannot serve on a socket that was passed by the service manager: {0}; it must be a TCP or Unix stream socket"
    )]
    Inherited(#[source] io::Error),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: {source}; set another `listen`, or stop the program that has it")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The Unix socket cannot be made.
    #[error("cannot make the Unix socket `{}`: {source}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl StartError {
    /// Tells whether another process has the database.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }

    /// The exit code of a daemon that could not start (as in `sysexits.h`).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Database(OpenError::Newer { .. } | OpenError::Foreign { .. }) => 78,
            Self::Database(OpenError::Corrupt { .. }) => 65,
            Self::Locked { .. } => 75,
            Self::Inherited(_) | Self::Listen { .. } | Self::Socket { .. } => 69,
            Self::Directory { .. } | Self::Database(_) | Self::Store(_) | Self::Token(_) => 74,
        }
    }
}

impl From<TokenError> for StartError {
    fn from(error: TokenError) -> Self {
        Self::Token(Box::new(error))
    }
}

impl Daemon {
    /// Starts everything, in order: directories, database, token, sockets, driver, API.
    ///
    /// # Errors
    ///
    /// [`StartError`]; then nothing is left running.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        Self::start_with(config, Arc::default(), Inherited::default()).await
    }

    /// As [`Daemon::start`], with files on these disks.
    ///
    /// # Errors
    ///
    /// [`StartError`]; then nothing is left running.
    pub async fn start_on(config: &Config, disks: Arc<Disks>) -> Result<Self, StartError> {
        Self::start_with(config, disks, Inherited::default()).await
    }

    /// As [`Daemon::start`], on sockets that are there already.
    ///
    /// # Errors
    ///
    /// [`StartError`]; then nothing is left running.
    pub async fn start_inheriting(config: &Config, inherited: Inherited) -> Result<Self, StartError> {
        Self::start_with(config, Arc::default(), inherited).await
    }

    async fn start_with(config: &Config, disks: Arc<Disks>, inherited: Inherited) -> Result<Self, StartError> {
        config.check()?;
        let netrc = config.check_files()?;
        let targets = config.targets()?;
        let routes = tokio::task::spawn_blocking(Routes::new);
        make_private(&config.data_dir)?;
        let token = TokenCheck::load_or_create(&config.token_path())?;
        // Before the database: an address that is taken must not leave an unclean stop behind.
        let (passed_tcp, passed_unix) = inherited.into_listeners().map_err(StartError::Inherited)?;
        let tcp = match config.listen.as_str() {
            _ if !passed_tcp.is_empty() => passed_tcp,
            "" => Vec::new(),
            address => vec![bind_tcp(address).await?],
        };
        // One that we have not made is not ours to remove.
        let socket = config.socket_path().filter(|_| passed_unix.is_empty());
        let (store, opened) = open_store(config).await?;
        let volumes = stored_volumes(&store).await;
        let roots = Roots::new(&config.download_dir, &config.roots(), disks, volumes)
            .map(|roots| roots.with_labels(config.dirs_of_labels()).with_rules(config.rules.clone()))
            .map_err(|source| StartError::Directory { path: config.download_dir.clone(), source })
            .and_then(|roots| Ok((watched(config, &roots)?, roots)));
        let unix = match &socket {
            Some(path) => config.socket_mode().map_err(StartError::Config).and_then(|mode| bind_unix(path, mode)),
            None => Ok(None),
        };
        let unix = unix.map(|made| made.into_iter().chain(passed_unix).collect());
        let access = Access::load(token, store.clone()).await.map_err(|error| StartError::Token(Box::new(error)));
        // Before anything happens that they want to be told of.
        let known = notify::note_targets(&store, &targets).await.map_err(StartError::Store);
        let ((watched, roots), unix, access) = match (roots, unix, access, known) {
            (Ok(roots), Ok(unix), Ok(access), Ok(())) => (roots, unix, Arc::new(access)),
            (Err(error), ..) | (_, Err(error), ..) | (.., Err(error), _) | (.., Err(error)) => {
                close(&store).await;
                return Err(error);
            }
        };
        let listen = tcp.iter().find_map(|listener| listener.local_addr().ok());
        let tcp: Vec<TcpListener> = tcp.into_iter().chain(bind_further(&config.aria2.listen).await).collect();
        let dialect = Arc::new(Dialect::load(&store).await);

        let changes = stored_changes(&store).await;
        let hosts = stored_hosts(&store).await;
        let roots = Arc::new(roots);
        let (driver, handle) = Driver::new(config, changes, hosts, store.clone(), Arc::clone(&roots));
        let stop_driver = CancellationToken::new();
        let metrics = Metrics::new();
        let of_commits = metrics.clone();
        store.watch_commits(move |commit| of_commits.committed(commit));
        let driver = driver.watched(system::watchdog_period()).mindful_of(opened.at_work).knowing(netrc);
        let driver = driver.measured(metrics.clone());
        let driver = tokio::spawn(driver.run(stop_driver.clone()));

        let notifier = Notifier::start(targets, &store, &handle, config.client()?);
        let stop = CancellationToken::new();
        let pulse = Pulse::new();
        let api = Api {
            driver: handle.clone(),
            store: store.clone(),
            roots,
            access,
            allowed: Arc::new(
                Allowed::new(&listening_as(config, &tcp), &config.allowed_hosts, &config.allowed_origins)
                    .and_at(&config.aria2.listen),
            ),
            configuration: Arc::new(config.clone()),
            has_proxy: config.client()?.network.proxy != Proxy::None,
            listen,
            stop: stop.clone(),
            started: Instant::now(),
            pulse: pulse.clone(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            metrics,
            keys_in_use: Arc::default(),
            dialect: Arc::clone(&dialect),
            document: bytes::Bytes::new(),
        };
        let peers = Peers { others: config.socket_others()? };
        let watching = watched.map(|dir| watch::run(dir, api.clone(), stop.clone()));
        let routes = routes.await.expect("making the routes cannot fail");
        let server = Server::start(api::router(api, routes), tcp, unix, peers, stop.clone());
        if let Some(watching) = watching {
            server.attach(watching);
        }
        server.attach(pulse.beat(handle.clone(), stop.clone()));
        server.attach(async move { dialect.ended(&stop).await });
        info!(?listen, ?socket, data_dir = ?config.data_dir, version = env!("CARGO_PKG_VERSION"), "ready");
        Ok(Self { store, handle, driver, stop_driver, server, notifier, socket, listen })
    }

    /// The TCP address that was bound, with its real port.
    #[must_use]
    pub fn listen(&self) -> Option<std::net::SocketAddr> {
        self.listen
    }

    /// Takes over from a configuration that was read again what can change while the daemon runs: the limits.
    pub async fn reload(&self, config: &Config) {
        if let Err(error) = self.handle.configure(Limits::of(config)).await {
            warn!(%error, "the configuration was not taken over");
        }
    }

    /// Completes when it cannot go on.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is consumed.
    pub async fn failed(&mut self) -> Breakdown {
        let store = self.store.clone();
        tokio::select! {
            biased;
            ended = &mut self.driver => {
                error!(error = ?ended.err(), "the driver has ended; this is a defect of haul");
                Breakdown::Driver
            }
            () = replaced(&store) => {
                error!("the database was moved, removed or replaced while it was in use");
                Breakdown::DatabaseReplaced
            }
        }
    }

    /// Ends what still runs after a breakdown. The database is not closed in order, so the next start checks it and knows
    /// what was being worked on.
    pub async fn abandon(self) {
        system::notify(&[NotifyState::Stopping]);
        tokio::join!(self.server.stop(), self.notifier.stop());
        self.stop_driver.cancel();
        if !self.driver.is_finished() && tokio::time::timeout(DRIVER_STOPS_WITHIN, self.driver).await.is_err() {
            warn!("the driver did not stop in time");
        }
        remove_socket(self.socket.as_deref());
    }

    /// Stops everything in reverse order, each step with a deadline; under 2 s in all unless a disk hangs.
    pub async fn stop(self) {
        system::notify(&[NotifyState::Stopping]);
        tokio::join!(self.server.stop(), self.notifier.stop());
        self.stop_driver.cancel();
        if !self.driver.is_finished() && tokio::time::timeout(DRIVER_STOPS_WITHIN, self.driver).await.is_err() {
            error!("the driver did not stop in time; the next start goes on from the last checkpoint");
        }
        remove_socket(self.socket.as_deref());
        close(&self.store).await;
        info!("stopped");
    }
}

/// Completes when the database is not the file any more that was opened.
async fn replaced(store: &Store) {
    loop {
        tokio::time::sleep(PLACE_CHECKED_EVERY).await;
        let store = store.clone();
        if !tokio::task::spawn_blocking(move || store.is_in_place()).await.unwrap_or(true) {
            return;
        }
    }
}

/// The watch folder, if there is one.
fn watched(config: &Config, roots: &Roots) -> Result<Option<PathBuf>, StartError> {
    let Some(dir) = config.watched() else { return Ok(None) };
    let prepared = watch::prepare(dir, roots);
    let prepared = prepared.map_err(|source| StartError::Directory { path: dir.to_owned(), source })?;
    Ok(Some(prepared?))
}

fn remove_socket(socket: Option<&Path>) {
    if let Some(path) = socket
        && let Err(error) = std::fs::remove_file(path)
    {
        warn!(%error, path = %path.display(), "cannot remove the Unix socket");
    }
}

fn make_private(dir: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| StartError::Directory { path: dir.to_owned(), source })
}

async fn open_store(config: &Config) -> Result<(Store, Opened), StartError> {
    // After an unclean stop the whole database is checked, which may take longer than the service manager waits.
    system::notify(&[NotifyState::ExtendTimeoutUsec(CHECK_TAKES_AT_MOST_USEC)]);
    let path = crate::database::path_in(&config.data_dir);
    let opened = tokio::task::spawn_blocking(move || Store::open(&path, &system::boot_id())).await;
    match opened.expect("opening the database does not panic") {
        Ok((store, opened)) => {
            if !opened.was_closed {
                info!(same_boot = opened.same_boot, "the last run did not end in order; the database is sound");
            }
            Ok((store, opened))
        }
        Err(OpenError::Locked { .. }) => Err(StartError::Locked { path: config.data_dir.clone() }),
        Err(error) => Err(StartError::Database(error)),
    }
}

async fn close(store: &Store) {
    if let Err(error) = store.close().await {
        error!(%error, "the database was not closed in order; the next start checks it");
    }
}

async fn bind_tcp(address: &str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address: address.to_owned(), source })
}

/// Listens where programs made for aria2 look. A real one may be there: then it has the address.
async fn bind_further(addresses: &[String]) -> Vec<TcpListener> {
    let mut listeners = Vec::new();
    for address in addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                info!(address, "clients of aria2 are served here, too");
                listeners.push(listener);
            }
            Err(error) => warn!(%error, address, "cannot listen here for clients of aria2; is aria2 running?"),
        }
    }
    listeners
}

/// Makes the socket. One that is there already belongs to a daemon that has died: a living one would hold the database.
fn bind_unix(path: &Path, mode: u32) -> Result<Option<UnixListener>, StartError> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let failed = |source| StartError::Socket { path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        make_private(dir)?;
    }
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        std::fs::remove_file(path).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    Ok(Some(listener))
}

/// The addresses that the API is to be had at.
fn listening_as(config: &Config, tcp: &[TcpListener]) -> Vec<String> {
    let bound = tcp.iter().filter_map(|listener| listener.local_addr().ok());
    std::iter::once(config.listen.clone()).chain(bound.map(|address| address.to_string())).collect()
}

/// What earlier runs' users have changed.
async fn stored_changes(store: &Store) -> LimitChanges {
    let stored = store.setting(LIMITS_SETTING.to_owned()).await;
    let text = stored.unwrap_or_else(|error| {
        warn!(%error, "cannot read the changed limits; those of the configuration are used");
        None
    });
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Which directories lie on volumes, as far as earlier runs have seen.
async fn stored_volumes(store: &Store) -> Volumes {
    let stored = store.setting(VOLUMES_SETTING.to_owned()).await;
    let text = stored.unwrap_or_else(|error| {
        warn!(%error, "cannot read which directories lie on volumes");
        None
    });
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// What earlier runs have learned of hosts.
async fn stored_hosts(store: &Store) -> Vec<HostRow> {
    store.hosts().await.unwrap_or_else(|error| {
        warn!(%error, "cannot read what was learned of hosts; it is learned again");
        Vec::new()
    })
}
