//! Where a daemon lives: its directory, its configuration, and the command that starts it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A directory with a configuration. It goes when the test ends.
pub(crate) struct Home(TempDir);

impl Home {
    /// A new home; `settings` are further lines of its configuration.
    pub(crate) fn new(settings: &str) -> Self {
        let home = Self(tempfile::tempdir().expect("a temporary directory"));
        home.configure(settings);
        home
    }

    /// Writes the configuration anew, for the next start.
    pub(crate) fn configure(&self, settings: &str) {
        let quoted = |path: PathBuf| format!("{path:?}");
        // What a test sets itself takes the place of the line here.
        let defaults = [
            ("listen", "\"127.0.0.1:0\"".to_owned()),
            ("socket", quoted(self.socket())),
            ("data_dir", quoted(self.data())),
            ("download_dir", quoted(self.downloads())),
            ("log", "\"debug\"".to_owned()),
            ("log_format", "\"text\"".to_owned()),
            ("retry_wait", "\"100ms\"".to_owned()),
            ("retry_wait_max", "\"500ms\"".to_owned()),
        ];
        let mut text = settings.to_owned() + "\n";
        for (key, value) in defaults {
            if !settings.lines().any(|line| line.starts_with(&format!("{key} ="))) {
                text += &format!("{key} = {value}\n");
            }
        }
        fs::write(self.config(), text).expect("a writable file");
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("hauld.toml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.data().join("haul.db")
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.path().join("downloads")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("hauld.sock")
    }

    pub(crate) fn token(&self) -> String {
        fs::read_to_string(self.data().join("token")).expect("the first start has made a token").trim().to_owned()
    }

    /// The names in the download directory, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.downloads()).expect("the daemon makes it");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> = entries.map(name).map(|name| name.into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    /// The one part file in the download directory.
    pub(crate) fn part(&self) -> PathBuf {
        let parts: Vec<_> = self.names().into_iter().filter(|name| name.ends_with(".haul-part")).collect();
        let [part] = parts.as_slice() else { panic!("there is not one part file but {parts:?}") };
        self.downloads().join(part)
    }

    /// The command that starts a daemon here, untouched by the settings of whoever runs the tests.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hauld"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HAULD_")) {
            command.env_remove(name);
        }
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "JOURNAL_STREAM", "STATE_DIRECTORY", "RUNTIME_DIRECTORY"] {
            command.env_remove(name);
        }
        command.arg("--config").arg(self.config()).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Runs a daemon that is not expected to stay.
    pub(crate) fn run_to_end(&self) -> Output {
        self.command().output().expect("the program can be started")
    }
}
