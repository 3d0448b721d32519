//! The settings about the way to servers.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use haul_api::{Day, Rate, TimeOfDay, Window};
use haul_transfer::{ClientKey, Network, Proxy};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use super::{Config, ConfigError};
use crate::options;

/// A proxy: empty for none, `env` for that of the environment, else a URL that may hold a password.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ProxySetting(pub String);

impl ProxySetting {
    /// Without user and password.
    fn shown(&self) -> String {
        Url::parse(&self.0).map_or_else(|_| self.0.clone(), |url| crate::submit::without_userinfo(url).into())
    }
}

impl fmt::Debug for ProxySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown().fmt(f)
    }
}

impl Serialize for ProxySetting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

/// A certificate by which this side proves who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCertSetting {
    /// The host: a name, or `*.` and a domain for every name below it.
    pub host: String,
    /// A PEM file with the certificate.
    pub client_cert: PathBuf,
    /// A PEM file with its key.
    pub client_key: PathBuf,
}

/// What holds for the jobs with a label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Label {
    /// Bytes per second outside of all windows of the schedule, 0 for no limit.
    pub bandwidth_limit: Rate,
    /// The first of these windows that holds counts instead.
    pub bandwidth_schedule: Vec<Window>,
    /// Where their files go unless a job says otherwise. Empty: to `download_dir`.
    pub dir: PathBuf,
    /// How many of them run at the same time; 0 means as many as of all jobs.
    pub max_active_jobs: u32,
    /// Times at which they run, in local time. Empty: at all times.
    pub windows: Vec<RunWindow>,
}

/// A time of the day, on some days, at which jobs run. Local time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunWindow {
    /// When it begins.
    pub from: TimeOfDay,
    /// When it ends; at or before `from` that is on the next day.
    pub to: TimeOfDay,
    /// The days on which it begins; all unless some are named.
    #[serde(default = "all_days")]
    pub days: Vec<Day>,
}

fn all_days() -> Vec<Day> {
    Day::ALL.to_vec()
}

impl Config {
    /// How requests go unless a job says otherwise.
    pub(crate) fn client(&self) -> Result<ClientKey, ConfigError> {
        let refused = |key: &'static str| {
            move |problem: haul_api::Problem| ConfigError::value(key, format!("is wrong: {problem}"))
        };
        let except = (!self.no_proxy.is_empty()).then(|| options::no_proxy("no_proxy", &self.no_proxy)).transpose();
        let except = except.map_err(refused("no_proxy"))?;
        let proxy = match self.proxy.0.as_str() {
            "" => Proxy::None,
            "env" => Proxy::Environment,
            text => match options::proxy(text).map_err(refused("proxy"))? {
                Some(url) => Proxy::Via { url, except },
                None => Proxy::None,
            },
        };
        let source_address = match self.source_address.as_str() {
            "" => None,
            text => {
                let address: IpAddr = text.parse().map_err(|_| {
                    ConfigError::value("source_address", "must be an IP address of this machine".to_owned())
                })?;
                Some(address)
            }
        };
        if source_address.is_some_and(|address| !self.ip_version.fits(&address)) {
            let message = "is not that of the `source_address`".to_owned();
            return Err(ConfigError::value("ip_version", message));
        }
        for cert in &self.client_certs {
            let fits = !cert.host.is_empty() && !cert.host.trim_start_matches("*.").contains(['*', '/', ':']);
            if !fits {
                let message = "has a `host` that is neither a name nor `*.` and a domain".to_owned();
                return Err(ConfigError::value("client_certs", message));
            }
        }
        let certs = self.client_certs.iter().map(|cert| haul_transfer::ClientCert {
            host: cert.host.clone(),
            cert: cert.client_cert.clone(),
            key: cert.client_key.clone(),
        });
        let network = Network {
            proxy,
            source_address,
            ip_version: options::transfer_version(self.ip_version),
            client_certs: Arc::new(certs.collect()),
            addresses: Arc::new(addresses(&self.resolve)?),
        };
        let ca_file = (!self.ca_file.as_os_str().is_empty()).then(|| self.ca_file.clone());
        Ok(ClientKey { ca_file, network, ..ClientKey::default() })
    }

    /// Reads what cannot be found wrong by looking at the settings alone. Blocks.
    pub(crate) fn check_files(&self) -> Result<crate::netrc::Netrc, ConfigError> {
        let client = self.client()?;
        for cert in client.network.client_certs.iter() {
            cert.read().map_err(|fault| ConfigError::value("client_certs", format!("is wrong: {fault}")))?;
        }
        if self.netrc.as_os_str().is_empty() {
            return Ok(crate::netrc::Netrc::default());
        }
        crate::netrc::Netrc::read(&self.netrc).map_err(|message| ConfigError::value("netrc", message))
    }
}

impl Config {
    /// The directory of each label that has one.
    pub(crate) fn dirs_of_labels(&self) -> BTreeMap<String, PathBuf> {
        let with_dir = self.labels.iter().filter(|(_, label)| !label.dir.as_os_str().is_empty());
        with_dir.map(|(name, label)| (name.clone(), label.dir.clone())).collect()
    }

    /// The directories that jobs may write to, besides `download_dir`.
    pub(crate) fn roots(&self) -> Vec<PathBuf> {
        let mut roots = self.allowed_roots.clone();
        for dir in self.dirs_of_labels().into_values().chain(self.dirs_of_rules()) {
            // What lies in one already is made when it is needed.
            if !roots.iter().chain([&self.download_dir]).any(|root| dir.starts_with(root)) {
                roots.push(dir);
            }
        }
        roots
    }
}

fn addresses(resolve: &BTreeMap<String, Vec<IpAddr>>) -> Result<Vec<(String, Vec<IpAddr>)>, ConfigError> {
    let mut checked = Vec::new();
    for (name, addresses) in resolve {
        // As it stands in URLs.
        let host = url::Host::parse(name).ok().filter(|host| matches!(host, url::Host::Domain(_)));
        let Some(host) = host.filter(|_| !addresses.is_empty()) else {
            let message = format!("says something of `{name}` that is no name with addresses");
            return Err(ConfigError::value("resolve", message));
        };
        checked.push((host.to_string(), addresses.clone()));
    }
    Ok(checked)
}
