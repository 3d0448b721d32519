//! By which way requests go to servers: proxies, addresses, certificates of our own.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;

use haul_core::{Fault, FaultKind};
use reqwest::{ClientBuilder, Identity, NoProxy};
use url::Url;

use crate::classify;

/// The way of a job's requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Who passes them on.
    pub proxy: Proxy,
    /// The address of this machine that they come from.
    pub source_address: Option<IpAddr>,
    /// Which of a server's addresses they may go to.
    pub ip_version: IpVersion,
    /// Certificates by which this side proves who it is, to some hosts.
    pub client_certs: Arc<Vec<ClientCert>>,
    /// Addresses of names that are not looked up.
    pub addresses: Arc<Vec<(String, Vec<IpAddr>)>>,
}

/// Who passes requests on.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// Nobody.
    #[default]
    None,
    /// Whomever the environment of this process names (`HTTPS_PROXY`, `NO_PROXY`, ...).
    Environment,
    /// This one.
    Via {
        /// Where it is, with the user and the password that it wants. `http`, `https`, `socks5` or `socks5h`.
        url: Url,
        /// Hosts that are asked without it, separated by commas: names, domains, addresses, blocks of addresses.
        except: Option<String>,
    },
}

/// Which of a server's addresses may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpVersion {
    /// All.
    #[default]
    Any,
    /// Those of IPv4.
    V4,
    /// Those of IPv6.
    V6,
}

/// A certificate by which this side proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCert {
    /// The host: a name, or `*.` and a domain for every name below it.
    pub host: String,
    /// A PEM file with the certificate, and those between it and its authority.
    pub cert: PathBuf,
    /// A PEM file with its key.
    pub key: PathBuf,
}

/// Without user and password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Environment => f.write_str("Environment"),
            Self::Via { url, .. } => f.debug_tuple("Via").field(&crate::Masked(url)).finish(),
        }
    }
}

impl Proxy {
    /// Whether a connection to the proxy itself needs certificates.
    pub(crate) fn may_want_tls(&self) -> bool {
        match self {
            Self::None => false,
            Self::Environment => true,
            Self::Via { url, .. } => url.scheme() == "https",
        }
    }

    fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, Fault> {
        match self {
            Self::None => Ok(builder.no_proxy()),
            // The library reads it by itself.
            Self::Environment => Ok(builder),
            Self::Via { url, except } => {
                let refuse = |cause: &str| Fault::new(FaultKind::Connect, format!("cannot use the proxy: {cause}"));
                // The library goes without a proxy whose URL it does not understand.
                if !is_proxy(url) {
                    return Err(refuse("its URL must be http, https, socks5 or socks5h, and name a host"));
                }
                let proxy = reqwest::Proxy::all(url.clone()).map_err(|error| refuse(&classify::innermost(&error)))?;
                let except = except.as_deref().and_then(NoProxy::from_string);
                Ok(builder.no_proxy().proxy(proxy.no_proxy(except)))
            }
        }
    }
}

/// Tells whether a URL can be that of a proxy.
#[must_use]
pub fn is_proxy(url: &Url) -> bool {
    let is_read = url.as_str().parse::<http::Uri>().is_ok_and(|uri| uri.authority().is_some());
    is_read && url.has_host() && matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h")
}

impl ClientCert {
    /// Whether it is for this host.
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        match self.host.strip_prefix("*.") {
            Some(domain) => {
                let below = host.len().checked_sub(domain.len() + 1).filter(|rest| *rest > 0);
                below
                    .and_then(|rest| host.get(rest..))
                    .is_some_and(|tail| tail.starts_with('.') && tail[1..].eq_ignore_ascii_case(domain))
            }
            None => self.host.eq_ignore_ascii_case(host),
        }
    }

    /// Reads certificate and key. Blocks.
    ///
    /// # Errors
    ///
    /// [`FaultKind::Tls`] that names the file.
    pub fn read(&self) -> Result<Identity, Fault> {
        let fault = |detail: String| Fault::new(FaultKind::Tls, detail);
        let mut pem = Vec::new();
        for (setting, path) in [("cert", &self.cert), ("key", &self.key)] {
            let bytes = std::fs::read(path)
                .map_err(|error| fault(format!("cannot read the client `{setting}` {}: {error}", path.display())))?;
            pem.extend(bytes);
            pem.push(b'\n');
        }
        Identity::from_pem(&pem).map_err(|error| {
            let cause = classify::innermost(&error);
            fault(format!("cannot use the client certificate {} with its key: {cause}", self.cert.display()))
        })
    }
}

impl Network {
    /// The same with no more than what a request to this URL needs, so that clients are shared.
    pub(crate) fn for_url(&self, url: &Url) -> Self {
        let host = url.host_str().filter(|_| url.scheme() == "https").unwrap_or_default();
        let fitting = self.client_certs.iter().find(|cert| cert.is_for(host)).cloned();
        Self { client_certs: Arc::new(fitting.into_iter().collect()), ..self.clone() }
    }

    pub(crate) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, Fault> {
        // A connection that comes from an address of one version can only go to one of the same.
        let own = self.source_address.or(match self.ip_version {
            IpVersion::Any => None,
            IpVersion::V4 => Some(Ipv4Addr::UNSPECIFIED.into()),
            IpVersion::V6 => Some(Ipv6Addr::UNSPECIFIED.into()),
        });
        let mut builder = self.proxy.apply(builder)?.local_address(own);
        for (name, addresses) in self.addresses.iter() {
            let addresses: Vec<_> = addresses.iter().map(|address| (*address, 0).into()).collect();
            builder = builder.resolve_to_addrs(name, &addresses);
        }
        for cert in self.client_certs.iter() {
            builder = builder.identity(cert.read()?);
        }
        Ok(builder)
    }

    /// Refuses an address in a URL that the wished version rules out. Names are looked up later.
    pub(crate) fn check(&self, url: &Url) -> Result<(), Fault> {
        let (wanted, other) = match (self.ip_version, url.host()) {
            (IpVersion::V4, Some(url::Host::Ipv6(_))) => ("IPv4", "IPv6"),
            (IpVersion::V6, Some(url::Host::Ipv4(_))) => ("IPv6", "IPv4"),
            _ => return Ok(()),
        };
        if self.proxy != Proxy::None {
            return Ok(());
        }
        let host = crate::Escaped(crate::host_of(url).as_bytes());
        Err(Fault::new(FaultKind::Connect, format!("{host} is an {other} address, and only {wanted} may be used")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cert(host: &str) -> ClientCert {
        ClientCert { host: host.to_owned(), cert: PathBuf::new(), key: PathBuf::new() }
    }

    #[test]
    fn a_pattern_is_a_name_or_all_names_below_a_domain() {
        for (pattern, host, fits) in [
            ("a.example", "a.example", true),
            ("A.example", "a.EXAMPLE", true),
            ("a.example", "b.a.example", false),
            ("*.example", "a.example", true),
            ("*.example", "b.a.example", true),
            ("*.example", "example", false),
            ("*.example", ".example", false),
            ("*.example", "aexample", false),
            ("*.example", "a.example.org", false),
            ("*.ä", "ä", false),
        ] {
            assert_eq!(cert(pattern).is_for(host), fits, "{pattern} {host}");
        }
    }

    #[test]
    fn a_request_brings_no_more_than_the_certificate_for_its_host() {
        let certs = Arc::new(vec![cert("b.example"), cert("*.example"), cert("a.example")]);
        let network = Network { client_certs: certs, ..Network::default() };
        let of = |url: &str| {
            let network = network.for_url(&Url::parse(url).expect("a URL"));
            network.client_certs.iter().map(|cert| cert.host.clone()).collect::<Vec<_>>()
        };
        assert_eq!(of("https://a.example/"), ["*.example"], "the first that fits");
        assert!(of("https://other.test/").is_empty());
        assert!(of("http://a.example/").is_empty(), "there is nobody to prove it to");
    }

    #[test]
    fn a_proxys_password_is_not_shown() {
        let url = Url::parse("socks5h://ann:canary@p.example:1080").expect("a URL");
        let shown = format!("{:?}", Network { proxy: Proxy::Via { url, except: None }, ..Network::default() });
        assert!(shown.contains("p.example") && !shown.contains("canary") && !shown.contains("ann"), "{shown}");
    }

    #[test]
    fn an_address_of_the_other_version_is_refused_by_name() {
        let network = Network { ip_version: IpVersion::V6, ..Network::default() };
        let fault = network.check(&Url::parse("http://127.0.0.1:9/").expect("a URL")).expect_err("IPv4");
        assert_eq!(fault.detail, "127.0.0.1:9 is an IPv4 address, and only IPv6 may be used");
        network.check(&Url::parse("http://[::1]/").expect("a URL")).expect("IPv6");
        network.check(&Url::parse("http://localhost/").expect("a URL")).expect("who knows");
    }
}
