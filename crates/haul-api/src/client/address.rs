//! Where a daemon listens.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use crate::client::ClientError;

/// Where the daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP, with a token.
    Tcp(Url),
    /// A Unix socket, where the peer's user counts.
    Unix(PathBuf),
}

impl Address {
    /// Reads a base URL such as `http://127.0.0.1:4285`.
    ///
    /// # Errors
    ///
    /// [`ClientError::InvalidAddress`] for another scheme, or anything beyond host and port.
    pub fn tcp(text: &str) -> Result<Self, ClientError> {
        let url = Url::parse(text).map_err(|_| ClientError::InvalidAddress)?;
        let is_bare = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        if !is_bare {
            return Err(ClientError::InvalidAddress);
        }
        Ok(Self::Tcp(url))
    }

    /// Whether talking to the daemon needs certificates.
    pub(crate) fn is_tls(&self) -> bool {
        match self {
            Self::Tcp(url) => url.scheme() == "https",
            Self::Unix(_) => false,
        }
    }

    /// The URL of a path. On a Unix socket only the `Host` header sees the host in it.
    pub(crate) fn url(&self, path: &str, query: &str) -> Url {
        let mut url = match self {
            Self::Tcp(url) => url.clone(),
            Self::Unix(_) => Url::parse("http://localhost").expect("the literal is a URL"),
        };
        url.set_path(path);
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        url
    }
}

impl fmt::Display for Address {
    /// Writes no more than scheme, host and port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(url) => f.write_str(&url.origin().ascii_serialization()),
            Self::Unix(path) => write!(f, "`{}`", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_scheme_host_and_port() {
        let address = Address::tcp("http://127.0.0.1:4285").expect("a good address");
        assert_eq!(address.to_string(), "http://127.0.0.1:4285");
        let url = address.url("/v1/jobs", "state=active");
        assert_eq!(url.as_str(), "http://127.0.0.1:4285/v1/jobs?state=active");
        for text in [
            "127.0.0.1:4285",
            "file:///tmp",
            "http://me:pw@localhost",
            "http://localhost/api",
            "http://localhost/?token=x",
        ] {
            assert!(Address::tcp(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_socket_is_shown_by_its_path() {
        let address = Address::Unix("/run/haul/haul.sock".into());
        assert_eq!(address.to_string(), "`/run/haul/haul.sock`");
        assert_eq!(address.url("/readyz", "").as_str(), "http://localhost/readyz");
    }
}
