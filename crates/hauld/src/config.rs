//! The settings: what there is, what it means by default, and which layer said otherwise.
//!
//! Layers, later ones win: defaults, the configuration file, `HAULD_*` variables, `--set KEY=VALUE`. Each layer is
//! checked by itself, so that a mistake is reported where it was made, with its line where there is one.

mod aria2;
mod dirs;
mod layers;
mod network;
mod rules;
mod targets;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use haul_api::{HumanDuration, IpVersion, Rate, Window};
use haul_core::Policy;
use haul_store::Scope;
use serde::{Deserialize, Serialize};

pub use aria2::Aria2Setting;
pub use layers::{ConfigError, Layers, Loaded};
pub use network::{ClientCertSetting, Label, ProxySetting, RunWindow};
pub use rules::Rule;
pub(crate) use rules::{DirByType, watch_in_root};
pub use targets::{HookSetting, WebhookSetting, WebhookUrl};

/// Declares every setting once: its name, type, default and what it is for.
macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr;)+) => {
        /// All settings of a daemon.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $key: $type,)+
        }

        /// One layer: the settings that it mentions.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct Layer {
            $(#[serde(default)] pub(crate) $key: Option<$type>,)+
        }

        /// The name of every setting.
        pub const KEYS: &[&str] = &[$(stringify!($key),)+];

        impl Config {
            /// The settings with which nobody has interfered.
            ///
            /// # Errors
            ///
            /// When there is neither a home directory nor an XDG variable to derive paths from.
            pub fn defaults() -> Result<Self, ConfigError> {
                Ok(Self { $($key: $default,)+ })
            }

            /// Takes over what `layer` mentions and tells which settings those are.
            fn overlay(&mut self, layer: Layer) -> Vec<&'static str> {
                let mut named = Vec::new();
                $(if let Some(value) = layer.$key {
                    self.$key = value;
                    named.push(stringify!($key));
                })+
                named
            }

            /// Each setting's name and value as TOML.
            pub(crate) fn entries(&self) -> Vec<(&'static str, String)> {
                vec![$((stringify!($key), toml_text(&self.$key)),)+]
            }
        }
    };
}

settings! {
    /// The TCP address of the API. Anything but a loopback address exposes it to the network.
    listen: String = haul_api::paths::DEFAULT_LISTEN.to_owned();
    /// The Unix socket of the API; its peers need no token. Empty: none.
    socket: PathBuf = dirs::socket()?;
    /// Permissions of the Unix socket, in octal.
    socket_mode: String = "0600".to_owned();
    /// What peers of the Unix socket may do whom `socket_mode` lets in beside the daemon's own user and root: `admin`, `read` or `none`.
    socket_scope: SocketScope = SocketScope::Admin;
    /// Where the database and the token live.
    data_dir: PathBuf = dirs::data()?;
    /// Where files go unless a job says otherwise. Always one of the allowed roots.
    download_dir: PathBuf = dirs::downloads()?;
    /// Further directories that jobs may write to.
    allowed_roots: Vec<PathBuf> = Vec::new();
    /// The file with the API token; created at the first start. Empty: `token` in `data_dir`.
    token_file: PathBuf = PathBuf::new();
    /// Further names that the API may be addressed by, besides loopback names (`Host` header).
    allowed_hosts: Vec<String> = Vec::new();
    /// Web origins that may use the API with a token.
    allowed_origins: Vec<String> = Vec::new();
    /// The dialect of aria2 at `/jsonrpc`: whether it is spoken, by GET too, and at which further addresses.
    aria2: Aria2Setting = Aria2Setting::default();
    /// Jobs that run at the same time; more wait in the queue.
    max_active_jobs: u32 = 8;
    /// Connections a job may use unless it says otherwise (1 to 64).
    connections_per_job: u32 = 32;
    /// Connections to one host, over all jobs.
    connections_per_host: u32 = 32;
    /// Connections in all.
    connections_total: u32 = 512;
    /// How long a connection may take to stand, per address.
    connect_timeout: HumanDuration = HumanDuration(Duration::from_secs(5));
    /// How long a server may take to begin its answer.
    response_timeout: HumanDuration = HumanDuration(Duration::from_secs(30));
    /// How long a transfer may be silent; grows by itself for a chunk that keeps meeting it.
    stall_timeout: HumanDuration = HumanDuration(Duration::from_secs(5));
    /// Attempts of a job without any progress before it fails; 0 means it never gives up.
    retry_limit: u32 = 0;
    /// The first wait between attempts; it doubles from there.
    retry_wait: HumanDuration = HumanDuration(Duration::from_secs(1));
    /// The longest wait between attempts.
    retry_wait_max: HumanDuration = HumanDuration(Duration::from_secs(300));
    /// A connection slower than this, and much slower than its siblings, is replaced; 0 turns that off.
    speed_floor: Rate = Rate(300_000);
    /// Bytes per second that all jobs together may use; 0 means no limit.
    bandwidth_limit: Rate = Rate(0);
    /// Times of the day, in local time, at which another limit holds; the first window that holds counts.
    bandwidth_schedule: Vec<Window> = Vec::new();
    /// What holds for the jobs with a label, in a table for each label.
    labels: BTreeMap<String, Label> = BTreeMap::new();
    /// Where the files of jobs go that do not say so, and what label they get; the first rule that fits counts.
    rules: Vec<Rule> = Vec::new();
    /// A directory whose files are submitted: lists of URLs, Metalinks and the like. Empty: none.
    watch: PathBuf = PathBuf::new();
    /// Certificates (PEM) to trust besides the system's. Empty: none.
    ca_file: PathBuf = PathBuf::new();
    /// The proxy that requests go through unless a job says otherwise: a URL, or `env` for that of the environment.
    proxy: ProxySetting = ProxySetting::default();
    /// Hosts that are asked without the proxy, separated by commas.
    no_proxy: String = String::new();
    /// The address of this machine that requests come from. Empty: any.
    source_address: String = String::new();
    /// Which of a server's addresses may be used.
    ip_version: IpVersion = IpVersion::Auto;
    /// Addresses of names that are not looked up.
    resolve: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    /// A file with users and passwords by host, for jobs that bring none. Empty: none.
    netrc: PathBuf = PathBuf::new();
    /// Certificates by which this side proves who it is, to some hosts.
    client_certs: Vec<ClientCertSetting> = Vec::new();
    /// The `User-Agent` that servers see unless a job says otherwise.
    user_agent: String = concat!("haul/", env!("CARGO_PKG_VERSION")).to_owned();
    /// Who is told of events by a signed POST, in a table for each.
    webhooks: BTreeMap<String, WebhookSetting> = BTreeMap::new();
    /// Programs that are run for events, in a table for each.
    hooks: BTreeMap<String, HookSetting> = BTreeMap::new();
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter like `info,hauld::driver=debug`.
    log: String = "info".to_owned();
    /// How it is logged: `auto` (the journal when it listens, else text), `text` or `json`.
    log_format: LogFormat = LogFormat::Auto;
}

/// What a peer of the Unix socket may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SocketScope {
    /// Everything.
    Admin,
    /// To look at everything but secrets.
    Read,
    /// Nothing without a token.
    None,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// To the journal when it listens, else text.
    Auto,
    /// One line of text on standard error.
    Text,
    /// One JSON object a line on standard error.
    Json,
}

fn toml_text<T: Serialize>(value: &T) -> String {
    toml::Value::try_from(value).expect("every setting is a TOML value").to_string()
}

/// The most connections that one job may use.
pub(crate) const CONNECTIONS_MAX: u32 = 64;

/// The most windows of one schedule. A guess: more than anyone means, and few enough to be looked through every minute.
pub(crate) const WINDOWS_MAX: usize = 32;

impl Config {
    /// The file that holds the API token.
    #[must_use]
    pub fn token_path(&self) -> PathBuf {
        if self.token_file.as_os_str().is_empty() { self.data_dir.join("token") } else { self.token_file.clone() }
    }

    /// The Unix socket, if there is to be one.
    #[must_use]
    pub fn socket_path(&self) -> Option<PathBuf> {
        (!self.socket.as_os_str().is_empty()).then(|| self.socket.clone())
    }

    /// The engine's numbers as these settings want them.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            active_jobs_max: self.max_active_jobs as usize,
            connections_per_job: self.connections_per_job,
            connections_per_host: self.connections_per_host,
            connections_total: self.connections_total,
            connect_timeout: self.connect_timeout.0,
            response_timeout: self.response_timeout.0,
            stall_timeout: self.stall_timeout.0,
            retry_limit: self.retry_limit,
            retry_wait: self.retry_wait.0,
            retry_wait_max: self.retry_wait_max.0,
            speed_floor: self.speed_floor.0,
            ..Policy::default()
        }
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    ///
    /// Names the setting, what it is, and what it may be.
    pub fn check(&self) -> Result<(), ConfigError> {
        let within = |key: &'static str, value: u32, most: u32| {
            if (1..=most).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::value(key, format!("is {value}; it may be 1 to {most}")))
            }
        };
        within("max_active_jobs", self.max_active_jobs, 10_000)?;
        within("connections_per_job", self.connections_per_job, CONNECTIONS_MAX)?;
        within("connections_per_host", self.connections_per_host, 100_000)?;
        within("connections_total", self.connections_total, 100_000)?;
        for (key, duration) in [
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
            ("stall_timeout", self.stall_timeout),
            ("retry_wait", self.retry_wait),
        ] {
            if duration.0.is_zero() {
                return Err(ConfigError::value(key, "is 0; it must be a little longer, like \"5s\"".to_owned()));
            }
        }
        if self.retry_wait_max < self.retry_wait {
            return Err(ConfigError::value("retry_wait_max", "is shorter than `retry_wait`".to_owned()));
        }
        let schedules = self.labels.values().map(|label| ("labels", &label.bandwidth_schedule));
        for (key, schedule) in schedules.chain([("bandwidth_schedule", &self.bandwidth_schedule)]) {
            if schedule.len() > WINDOWS_MAX {
                let message = format!("has {} windows in one schedule; there may be {WINDOWS_MAX}", schedule.len());
                return Err(ConfigError::value(key, message));
            }
        }
        for name in self.labels.keys() {
            crate::submit::label(name)
                .map_err(|problem| ConfigError::value("labels", format!("is wrong: {problem}")))?;
        }
        let dirs = [("data_dir", &self.data_dir), ("download_dir", &self.download_dir)];
        let roots = self.allowed_roots.iter().map(|root| ("allowed_roots", root));
        let of_labels = self.labels.values().map(|label| ("labels", &label.dir));
        let of_labels = of_labels.filter(|(_, dir)| !dir.as_os_str().is_empty());
        for (key, dir) in dirs.into_iter().chain(roots).chain(of_labels) {
            if !dir.is_absolute() {
                return Err(ConfigError::value(key, format!("is `{}`; it must be an absolute path", dir.display())));
            }
        }
        for (name, label) in &self.labels {
            if label.windows.len() > WINDOWS_MAX {
                let message = format!("has {} windows for `{name}`; there may be {WINDOWS_MAX}", label.windows.len());
                return Err(ConfigError::value("labels", message));
            }
        }
        self.client()?;
        self.check_rules()?;
        self.check_targets()?;
        self.check_aria2()?;
        if self.socket_mode()? & 0o002 != 0 && self.socket_scope == SocketScope::Admin {
            let message = format!(
                "is \"{}\", which lets every user of this machine in; take the last digit back, or set `socket_scope`",
                self.socket_mode
            );
            return Err(ConfigError::value("socket_mode", message));
        }
        Ok(())
    }

    /// What peers of the Unix socket may do who are neither the daemon's own user nor root.
    pub(crate) fn socket_others(&self) -> Result<Option<Scope>, ConfigError> {
        let lets_others_in = self.socket_mode()? & 0o066 != 0;
        Ok(match self.socket_scope {
            SocketScope::Admin => Some(Scope::Admin),
            SocketScope::Read => Some(Scope::Read),
            SocketScope::None => None,
        }
        .filter(|_| lets_others_in))
    }

    /// The permissions of the Unix socket.
    pub(crate) fn socket_mode(&self) -> Result<u32, ConfigError> {
        u32::from_str_radix(&self.socket_mode, 8).ok().filter(|mode| *mode <= 0o777).ok_or_else(|| {
            ConfigError::value("socket_mode", format!("is \"{}\"; it must be octal, like \"0600\"", self.socket_mode))
        })
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}
