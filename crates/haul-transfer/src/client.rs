//! The only HTTP clients that transfer, one cache per thread.
//!
//! All jobs of a thread share the clients and with them the kept-alive connections, which is what many small files
//! from one server live on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use haul_core::{Fault, FaultKind};
use reqwest::{Certificate, Client};
use url::Url;

use crate::address::PublicOnly;
use crate::{Network, classify};

/// What distinguishes the clients of different jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientKey {
    /// Takes any certificate. Only ever because the user of this one job said so.
    pub insecure: bool,
    /// A PEM file with certificates to trust besides the platform's.
    pub ca_file: Option<PathBuf>,
    /// The way that its requests go.
    pub network: Network,
    /// Reaches public addresses only, at every hop.
    pub public_only: bool,
}

impl ClientKey {
    /// What of it matters for a request to this URL.
    fn for_url(&self, url: &Url) -> Self {
        let mut network = self.network.for_url(url);
        if self.public_only {
            // What is not looked up is not checked either.
            network.addresses = Arc::default();
        }
        if url.scheme() == "https" || network.proxy.may_want_tls() {
            Self { network, ..self.clone() }
        } else {
            Self { network, public_only: self.public_only, ..Self::default() }
        }
    }
}

/// A client of its own for requests to this URL that are no transfers.
///
/// # Errors
///
/// What cannot be used, such as a `ca_file`.
pub fn client(url: &Url, options: &ClientKey, connect: Duration) -> Result<Client, Fault> {
    Clients::default().get(url, options, connect)
}

/// The clients of one thread.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// The one used last is the last.
    cached: Vec<(Key, Client)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    /// A client for plain HTTP needs no certificates, so that it works on a machine without any.
    tls: bool,
    connect: Duration,
    options: ClientKey,
}

impl Clients {
    /// The client for requests to this URL with these options.
    pub(crate) fn get(&mut self, url: &Url, options: &ClientKey, connect: Duration) -> Result<Client, Fault> {
        options.network.check(url)?;
        let tls = url.scheme() == "https" || options.network.proxy.may_want_tls();
        let key = Key { tls, connect, options: options.for_url(url) };
        let found = self.cached.iter().rposition(|(known, _)| *known == key);
        if let Some(index) = found {
            self.cached[index..].rotate_left(1);
        } else {
            let client = build(&key)?;
            if self.cached.len() == CLIENTS_MAX {
                self.cached.remove(0);
            }
            self.cached.push((key, client));
        }
        let (_, client) = self.cached.last().expect("it has just been put there");
        Ok(client.clone())
    }
}

/// No decoder is compiled in, nothing is read from the environment unless that is asked for, and redirects are ours to
/// follow.
fn build(key: &Key) -> Result<Client, Fault> {
    install_crypto();
    let mut builder = Client::builder()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true)
        .connect_timeout(key.connect)
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        .pool_idle_timeout(IDLE_TIMEOUT);
    if key.options.public_only {
        builder = builder.dns_resolver(Arc::new(PublicOnly));
    }
    if !key.tls {
        builder = builder.tls_certs_only([]);
    } else if key.options.insecure {
        builder = builder.tls_danger_accept_invalid_certs(true);
    } else if let Some(path) = &key.options.ca_file {
        builder = builder.tls_certs_merge(certificates(path)?);
    }
    builder = key.options.network.apply(builder)?;
    builder.build().map_err(|error| {
        let cause = classify::innermost(&error);
        let help = "install `ca-certificates` or name a `ca_file`";
        Fault::new(FaultKind::Tls, format!("cannot prepare TLS: {cause}; {help}"))
    })
}

fn certificates(path: &std::path::Path) -> Result<Vec<Certificate>, Fault> {
    let fault = |cause: String| {
        let detail = format!("cannot use the `ca_file` {}: {cause}", path.display());
        Fault::new(FaultKind::Tls, detail)
    };
    let pem = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(fault("it holds no certificate in PEM form".to_owned())),
        Err(error) => Err(fault(classify::innermost(&error))),
    }
}

/// reqwest is built without a default provider and panics where none is installed.
fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Losing a race means that another thread has installed the same one.
        let _installed_or_there = rustls::crypto::ring::default_provider().install_default().is_ok();
    }
}

/// Clients per thread. A guess: options differ in few jobs, and a client with certificates weighs some 300 KB.
const CLIENTS_MAX: usize = 16;

/// Kept-alive connections per host: as many as one job may use by default.
const IDLE_PER_HOST_MAX: usize = 32;

/// How long a connection is kept without use: shorter than the 60-75 s after which common servers close it, so that
/// we seldom meet one that is about to go.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn key(ca_file: &std::path::Path) -> ClientKey {
        ClientKey { ca_file: Some(ca_file.to_owned()), ..ClientKey::default() }
    }

    fn url(scheme: &str) -> Url {
        Url::parse(&format!("{scheme}://a.example/")).expect("a URL")
    }

    #[test]
    fn plain_http_needs_no_certificates_and_shares_one_client() {
        let mut clients = Clients::default();
        let connect = Duration::from_secs(5);
        let missing = std::path::Path::new("/nonexistent/ca.pem");
        clients.get(&url("http"), &key(missing), connect).expect("no TLS");
        clients.get(&url("http"), &ClientKey::default(), connect).expect("no TLS");
        assert_eq!(clients.cached.len(), 1);
    }

    #[test]
    fn who_may_reach_less_has_a_client_of_its_own() {
        let mut clients = Clients::default();
        let confined = ClientKey { public_only: true, ..ClientKey::default() };
        for options in [&confined, &ClientKey::default(), &confined] {
            clients.get(&url("http"), options, Duration::from_secs(5)).expect("no TLS");
        }
        assert_eq!(clients.cached.len(), 2, "a kept connection of the one is never used for the other");
    }

    #[test]
    fn a_useless_ca_file_is_an_understandable_fault() {
        let dir = tempfile::tempdir().expect("a directory");
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "nothing").expect("a file");
        for (path, part) in [(dir.path().join("missing"), "No such file"), (empty, "no certificate")] {
            let fault =
                Clients::default().get(&url("https"), &key(&path), Duration::from_secs(5)).expect_err("not usable");
            assert_eq!(fault.kind, FaultKind::Tls);
            assert!(fault.detail.contains(part), "{}", fault.detail);
        }
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_was_used_last() {
        let mut clients = Clients::default();
        for millis in 1..=20 {
            let connect = Duration::from_millis(millis);
            clients.get(&url("http"), &ClientKey::default(), connect).expect("no TLS");
            clients.get(&url("http"), &ClientKey::default(), Duration::from_millis(1)).expect("no TLS");
        }
        assert_eq!(clients.cached.len(), CLIENTS_MAX);
        assert!(clients.cached.iter().any(|(key, _)| key.connect.as_millis() == 1));
    }
}
