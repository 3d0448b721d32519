//! Finds the daemon: where the flags say, else where its own configuration says it listens.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use haul_api::{Address, Client, ClientError};
use hauld::config::{Config, Layers, Loaded};

use crate::args::Global;
use crate::error::{Exit, Failure, HOW_TO_START};
use crate::out::Out;
use crate::text::escaped;

/// Where the system service has its socket, unless a setting names another one; its group may use it.
const SYSTEM_SOCKET: &str = "/run/hauld/hauld.sock";

/// A daemon to talk to, and where the token for it came from.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    pub(crate) client: Client,
    token_file: Option<PathBuf>,
}

impl Daemon {
    /// A daemon on a Unix socket, where no token is needed.
    pub(crate) fn on_socket(path: &Path) -> Result<Self, Failure> {
        Self::new(Address::Unix(path.to_owned()), None, None)
    }

    fn new(address: Address, token: Option<&str>, token_file: Option<PathBuf>) -> Result<Self, Failure> {
        let client = Client::new(address, token).map_err(|error| Failure::from_client(error, None))?;
        Ok(Self { client, token_file })
    }

    /// Finds the words for a call that brought no answer.
    pub(crate) fn failure(&self, error: ClientError) -> Failure {
        Failure::from_client(error, self.token_file.as_deref())
    }

    /// Whether the daemon sees the same files as this process.
    pub(crate) fn is_local(&self) -> bool {
        match self.client.address() {
            Address::Unix(_) => true,
            Address::Tcp(url) => match url.host() {
                Some(url::Host::Domain(name)) => name == "localhost",
                Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
                Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
                None => false,
            },
        }
    }
}

/// Finds the daemon that the flags or the configuration mean.
///
/// A daemon that is named by a flag is not asked whether it is there: the first call will tell.
pub(crate) async fn find(global: &Global, out: &Out) -> Result<Daemon, Failure> {
    if let Some(path) = &global.socket {
        return Daemon::on_socket(path);
    }
    if let Some(server) = &global.server {
        let address = Address::tcp(server).map_err(|error| Failure::from_client(error, None))?;
        let file = match &global.token_file {
            Some(file) => Some(file.clone()),
            // Only the daemon of this machine has its token here.
            None => Daemon::new(address.clone(), None, None)?.is_local().then(|| token_path(global)).transpose()?,
        };
        return with_token(address, file, global.token_file.is_some());
    }
    let loaded = loaded()?;
    let system = loaded.origin("socket").is_none().then(|| Path::new(SYSTEM_SOCKET));
    let config = loaded.config;
    let socket = config.socket_path();
    for path in socket.as_deref().into_iter().chain(system) {
        if let Some(daemon) = answering_socket(path, out).await? {
            return Ok(daemon);
        }
    }
    over_tcp(global, &config, socket.as_deref(), out).await
}

/// The daemon on the configured socket, unless nothing answers there.
async fn answering_socket(path: &Path, out: &Out) -> Result<Option<Daemon>, Failure> {
    let shown = path.display().to_string();
    let shown = escaped(&shown);
    if !path.exists() {
        out.detail(format!("no daemon: there is no socket `{shown}`"));
        return Ok(None);
    }
    let daemon = Daemon::on_socket(path)?;
    match daemon.client.ready().await {
        Err(ClientError::Unreachable { .. } | ClientError::Forbidden { .. }) => {
            out.detail(format!("no daemon: nothing answers on the socket `{shown}`"));
            Ok(None)
        }
        // Whatever it says, it is there: the command itself will bring the right words.
        Ok(_) | Err(_) => {
            out.detail(format!("the daemon answers on the socket `{shown}`"));
            Ok(Some(daemon))
        }
    }
}

/// The daemon on the configured TCP address, with the token from its file.
async fn over_tcp(global: &Global, config: &Config, socket: Option<&Path>, out: &Out) -> Result<Daemon, Failure> {
    let places = socket.map(|path| format!("`{}`", path.display()));
    if config.listen.is_empty() {
        return Err(not_running(places));
    }
    let url = base_url(&config.listen);
    let address = Address::tcp(&url).map_err(|_| {
        let message = format!("the setting `listen` is `{}`, which is no address", escaped(&config.listen));
        Failure::new(Exit::Local, message).with_help("`--server URL` or `--socket PATH` names the daemon")
    })?;
    // `/readyz` wants no token, so a missing token and a missing daemon are told apart.
    let probe = Daemon::new(address.clone(), None, None)?;
    if let Err(ClientError::Unreachable { .. }) = probe.client.ready().await {
        return Err(not_running(places.into_iter().chain([address.to_string()])));
    }
    out.detail(format!("something answers at {address}"));
    let file = global.token_file.clone().unwrap_or_else(|| config.token_path());
    with_token(address, Some(file), true)
}

fn not_running(places: impl IntoIterator<Item = String>) -> Failure {
    let places = places.into_iter().collect::<Vec<_>>().join(" and ");
    let failure = Failure::new(Exit::Unreachable, "the daemon is not running").with_help(HOW_TO_START);
    if places.is_empty() { failure } else { failure.with_help(format!("looked for it at {}", escaped(&places))) }
}

/// A daemon over TCP. Without a readable token it is asked all the same unless the file `must_exist`.
fn with_token(address: Address, file: Option<PathBuf>, must_exist: bool) -> Result<Daemon, Failure> {
    let Some(file) = file else { return Daemon::new(address, None, None) };
    match read_token(&file) {
        Ok(token) => Daemon::new(address, Some(&token), Some(file)),
        Err(failure) if must_exist => Err(failure),
        Err(_) => Daemon::new(address, None, None),
    }
}

/// The daemon's configuration, read as the daemon reads it.
pub(crate) fn configuration() -> Result<Config, Failure> {
    loaded().map(|loaded| loaded.config)
}

fn loaded() -> Result<Loaded, Failure> {
    Layers::of_process(None, Vec::new()).load().map_err(|error| {
        Failure::new(Exit::Local, error.to_string()).with_help("`hauld --print-config` checks the configuration")
    })
}

/// The token file that the flags or the configuration mean.
pub(crate) fn token_path(global: &Global) -> Result<PathBuf, Failure> {
    match &global.token_file {
        Some(file) => Ok(file.clone()),
        None => Ok(configuration()?.token_path()),
    }
}

/// Reads a token file.
pub(crate) fn read_token(file: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(file).map_err(|error| Failure {
        exit: Exit::Unauthorized,
        ..Failure::local("read the token file", file, &error)
            .with_help("the daemon makes it when it first starts; `--token-file FILE` names another one")
    })?;
    Ok(text.trim().to_owned())
}

/// The URL by which a client reaches what listens on `listen`.
fn base_url(listen: &str) -> String {
    let Ok(mut address) = listen.parse::<SocketAddr>() else { return format!("http://{listen}") };
    // What listens everywhere listens here.
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_address_becomes_a_url() {
        for (listen, url) in [
            ("127.0.0.1:4285", "http://127.0.0.1:4285"),
            ("0.0.0.0:4285", "http://127.0.0.1:4285"),
            ("[::]:4285", "http://[::1]:4285"),
            ("[::1]:80", "http://[::1]:80"),
            ("localhost:4285", "http://localhost:4285"),
        ] {
            assert_eq!(base_url(listen), url);
            Address::tcp(&base_url(listen)).expect("a good address");
        }
    }
}
