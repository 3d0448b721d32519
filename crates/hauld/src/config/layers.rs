//! Reads the layers and remembers which one each value came from.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{fs, io};

use super::{Config, KEYS, Layer, dirs};

/// The environment variable that names the configuration file.
const FILE_VARIABLE: &str = "HAULD_CONFIG";

/// The prefix of environment variables that are settings.
const PREFIX: &str = "HAULD_";

/// Where the settings are to be read from.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The configuration file; `None` means the user's or the system's, if there is one.
    pub file: Option<PathBuf>,
    /// Environment variables; those that start with `HAULD_` are settings.
    pub environment: Vec<(String, String)>,
    /// `KEY=VALUE` pairs from the command line.
    pub flags: Vec<String>,
}

/// Settings, and where each came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    origins: BTreeMap<&'static str, String>,
}

/// Why settings could not be read. Each text names the place and what helps.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file could not be read.
    #[error("cannot read the configuration file `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A layer says something that it cannot say.
    #[error("{place}: {message}")]
    Layer {
        /// The file, variable or flag.
        place: String,
        /// What is wrong there, with its line where there is one.
        message: String,
    },
    /// A value that is of the right type but not possible.
    #[error("the setting `{key}` {message}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What it is and what it may be.
        message: String,
    },
    /// There is nothing to derive paths from.
    #[error("no home directory is known; set HOME, or the settings `data_dir`, `download_dir` and `socket`")]
    NoHome,
}

impl ConfigError {
    pub(crate) fn value(key: &'static str, message: String) -> Self {
        Self::Value { key, message }
    }
}

impl Layers {
    /// The layers of this process: its environment, and the usual file unless `file` is given.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<String>) -> Self {
        // Not `vars()`: somebody else's variable that is not UTF-8 must not stop the daemon.
        let environment = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { file, environment, flags }
    }

    /// Reads all layers.
    ///
    /// # Errors
    ///
    /// The first mistake, with its place.
    pub fn load(self) -> Result<Loaded, ConfigError> {
        let mut loaded = Loaded { config: Config::defaults()?, origins: BTreeMap::new() };
        let named = self.environment.iter().find(|(key, _)| key == FILE_VARIABLE).map(|(_, value)| value.into());
        if let Some(path) = self.file.or(named).or_else(dirs::config_file) {
            let text = fs::read_to_string(&path).map_err(|source| ConfigError::File { path: path.clone(), source })?;
            loaded.add(&path.display().to_string(), &text)?;
        }
        for (variable, value) in self.environment {
            let Some(key) = variable.strip_prefix(PREFIX).filter(|_| variable != FILE_VARIABLE) else { continue };
            loaded.add_pair(&variable, &key.to_lowercase(), &value)?;
        }
        for flag in self.flags {
            let (key, value) = flag.split_once('=').ok_or_else(|| ConfigError::Layer {
                place: format!("--set {flag}"),
                message: "it must be KEY=VALUE, like `listen=127.0.0.1:4285`".to_owned(),
            })?;
            loaded.add_pair(&format!("--set {key}"), key.trim(), value.trim())?;
        }
        loaded.config.check()?;
        Ok(loaded)
    }
}

impl Loaded {
    /// Takes over one layer of TOML.
    fn add(&mut self, place: &str, text: &str) -> Result<(), ConfigError> {
        let layer: Layer = toml::from_str(text)
            .map_err(|error| ConfigError::Layer { place: place.to_owned(), message: error.to_string() })?;
        for key in self.config.overlay(layer) {
            self.origins.insert(key, place.to_owned());
        }
        Ok(())
    }

    /// Takes over one setting whose value is TOML or, failing that, a text.
    fn add_pair(&mut self, place: &str, key: &str, value: &str) -> Result<(), ConfigError> {
        if !KEYS.contains(&key) {
            let message = format!("there is no setting `{key}`; `hauld --print-config` shows all of them");
            return Err(ConfigError::Layer { place: place.to_owned(), message });
        }
        let quoted = toml::Value::String(value.to_owned()).to_string();
        let as_toml = format!("{key} = {value}");
        let text = match toml::from_str::<Layer>(&as_toml) {
            Ok(_) => as_toml,
            Err(_) => format!("{key} = {quoted}"),
        };
        self.add(place, &text)
    }

    /// The settings as a configuration file, each with where it came from.
    #[must_use]
    pub fn print(&self) -> String {
        let mut text = String::new();
        for (key, value) in self.config.entries() {
            let origin = self.origins.get(key).map_or("default", String::as_str);
            writeln!(text, "{key} = {value}  # {origin}").expect("a String takes everything");
        }
        text
    }

    /// Where a setting came from: a file, a variable or a flag. `None` means that it is the default.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&str> {
        self.origins.get(key).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Loaded, ConfigError> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("hauld.toml");
        fs::write(&path, file).expect("a writable file");
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Layers { file: Some(path), environment, flags: flags.iter().map(|f| (*f).to_owned()).collect() }.load()
    }

    #[test]
    fn later_layers_win_and_each_value_knows_its_origin() {
        let loaded = load(
            "max_active_jobs = 3\nconnections_per_job = 4\nspeed_floor = \"1MB\"",
            &[("HAULD_CONNECTIONS_PER_JOB", "5"), ("HAULD_LOG", "debug"), ("OTHER", "x")],
            &["log=trace"],
        )
        .expect("all of it is right");
        assert_eq!(loaded.config.max_active_jobs, 3);
        assert_eq!(loaded.config.connections_per_job, 5);
        assert_eq!(loaded.config.speed_floor.0, 1_000_000);
        assert_eq!(loaded.config.log, "trace");
        let printed = loaded.print();
        assert!(printed.contains("connections_per_job = 5  # HAULD_CONNECTIONS_PER_JOB"), "{printed}");
        assert!(printed.contains("log = \"trace\"  # --set log"), "{printed}");
        assert!(printed.contains("connections_total = 512  # default"), "{printed}");
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = load("max_active_jobs = 3\nmax_activ_jobs = 4\n", &[], &[]).expect_err("a typo").to_string();
        assert!(
            error.contains("hauld.toml") && error.contains("line 2") && error.contains("max_activ_jobs"),
            "{error}"
        );
        let error = load("", &[("HAULD_MAX_ACTIV_JOBS", "3")], &[]).expect_err("a typo").to_string();
        assert!(error.contains("HAULD_MAX_ACTIV_JOBS") && error.contains("--print-config"), "{error}");
    }

    #[test]
    fn impossible_values_are_named() {
        for (file, key) in [
            ("max_active_jobs = 0", "max_active_jobs"),
            ("connections_per_job = 65", "connections_per_job"),
            ("stall_timeout = \"0\"", "stall_timeout"),
            ("download_dir = \"here\"", "download_dir"),
            ("socket_mode = \"rw\"", "socket_mode"),
            ("speed_floor = \"fast\"", "speed_floor"),
            ("bandwidth_schedule = [{ from = \"8\", to = \"18:00\", bandwidth_limit = 0 }]", "from \"00:00\" to"),
            ("bandwidth_schedule = [{ from = \"08:00\", bandwidth_limit = 0 }]", "`to`"),
            ("[labels.iso]\nbandwith_limit = 5", "bandwith_limit"),
            ("[labels.iso]\nbandwidth_limit = \"fast\"", "300KB"),
            ("[labels.\"\"]", "`labels`"),
            ("[aria2]\nenable = true", "enable"),
            ("[aria2]\nlisten = [\"6800\"]", "127.0.0.1:6800"),
            ("[aria2]\nenabled = false\nlisten = [\"127.0.0.1:6800\"]", "`aria2`"),
        ] {
            let error = load(file, &[], &[]).expect_err(file).to_string();
            assert!(error.contains(key), "{file}: {error}");
        }
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same() {
        let file = r#"
            retry_wait = "250ms"
            allowed_roots = ["/srv", "/data"]
            [[bandwidth_schedule]]
            from = "22:00"
            to = "06:00"
            days = ["fri", "sat"]
            bandwidth_limit = "2MB"
            [labels.iso]
            bandwidth_limit = "500KB"
            bandwidth_schedule = [{ from = "08:00", to = "18:00", bandwidth_limit = 0 }]
            [aria2]
            get = true
        "#;
        let first = load(file, &[], &[]).expect("right");
        assert_eq!(first.config.labels["iso"].bandwidth_limit.0, 500_000);
        assert_eq!(first.config.bandwidth_schedule[0].bandwidth_limit, 2_000_000);
        assert!(first.config.aria2.enabled && first.config.aria2.get, "what is not said is as by default");
        let second = load(&first.print(), &[], &[]).expect("what we print is right");
        assert_eq!(first.config, second.config);
    }
}
