//! Who may speak to the API at all, decided before any route is looked at.
//!
//! In this order: the `Host` that the request names (against DNS rebinding), the `Origin` that it comes from (against
//! foreign web pages), and then, except for the health routes, a bearer token or the Unix socket's peer.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use haul_api::{ProblemCode, paths};

use super::Api;
use super::problem::Refused;

/// How a request reached the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// Over TCP: a token is needed.
    Tcp,
    /// Over the Unix socket, whose permissions decide who can connect.
    Unix,
}

/// Names and origins that may speak to the API.
#[derive(Clone, Debug)]
pub(crate) struct Allowed {
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// Names that always mean this machine.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Origins of browser extensions: they hold a token or get nowhere, and pages cannot forge them.
const EXTENSION_SCHEMES: [&str; 2] = ["chrome-extension://", "moz-extension://"];

impl Allowed {
    /// The loopback names and `listen`'s own address, and what the settings add.
    pub(crate) fn new(listen: &str, hosts: &[String], origins: &[String]) -> Self {
        let own = host_name(listen).to_owned();
        let names = LOOPBACK_NAMES.iter().map(|name| (*name).to_owned());
        let hosts = names.chain([own]).chain(hosts.iter().cloned()).map(|host| host.to_ascii_lowercase()).collect();
        Self { hosts, origins: origins.to_vec() }
    }

    /// A name that means this daemon, with any port.
    pub(crate) fn host(&self, value: &str) -> bool {
        let name = host_name(value).to_ascii_lowercase();
        self.hosts.contains(&name)
    }

    /// An origin passes on to the token check when it is our own, an extension's, or configured.
    pub(crate) fn origin(&self, origin: &str) -> bool {
        let own = origin.strip_prefix("http://").is_some_and(|rest| self.host(rest));
        own || EXTENSION_SCHEMES.iter().any(|scheme| origin.starts_with(scheme))
            || self.origins.iter().any(|known| known == origin)
    }
}

/// The host of `host:port`, brackets of an IPv6 address included.
fn host_name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => authority,
    }
}

/// The middleware around every route.
pub(crate) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    match check(&api, &request) {
        Ok(()) => {
            let mut response = next.run(request).await;
            harden(response.headers_mut());
            response
        }
        Err(refused) => {
            let mut response = refused.into_response();
            harden(response.headers_mut());
            response
        }
    }
}

fn check(api: &Api, request: &Request) -> Result<(), Refused> {
    let headers = request.headers();
    let host = only(headers, &header::HOST)?.unwrap_or_default();
    if !api.allowed.host(host) {
        return Err(Refused::new(
            ProblemCode::HostNotAllowed,
            "the request names a host that is not this daemon; use 127.0.0.1, or list the name in `allowed_hosts`",
        ));
    }
    if let Some(origin) = only(headers, &header::ORIGIN)?
        && !api.allowed.origin(origin)
    {
        return Err(foreign_origin());
    }
    // A browser says where a request comes from even when it leaves the origin out, as in a form's GET.
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site")
        && headers.get(header::ORIGIN).is_none()
    {
        return Err(foreign_origin());
    }
    let via = request.extensions().get::<Via>().copied().unwrap_or(Via::Tcp);
    let open = paths::OPEN.contains(&request.uri().path());
    if open || via == Via::Unix || has_token(api, headers)? { Ok(()) } else { Err(unauthorized()) }
}

fn foreign_origin() -> Refused {
    Refused::new(
        ProblemCode::OriginNotAllowed,
        "the request comes from a web page that may not use this daemon; `allowed_origins` lists those that may",
    )
}

fn unauthorized() -> Refused {
    Refused::new(
        ProblemCode::Unauthorized,
        "send `Authorization: Bearer TOKEN`; `haul token --show` prints the token, the Unix socket needs none",
    )
}

fn has_token(api: &Api, headers: &HeaderMap) -> Result<bool, Refused> {
    let Some(value) = only(headers, &header::AUTHORIZATION)? else { return Ok(false) };
    let Some((scheme, token)) = value.split_once(' ') else { return Ok(false) };
    Ok(scheme.eq_ignore_ascii_case("bearer") && api.token.matches(token.trim()))
}

/// A header that may be there once at most: two of them would mean different things to different readers.
fn only<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Result<Option<&'a str>, Refused> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        let detail = format!("the header `{name}` may be there only once");
        return Err(Refused::new(ProblemCode::InvalidValue, detail));
    }
    first
        .map(|value| {
            value.to_str().map_err(|_| {
                Refused::new(ProblemCode::InvalidValue, format!("the header `{name}` must be plain ASCII"))
            })
        })
        .transpose()
}

/// What every answer says to a browser (FAILURES.md, F-SEC-26).
fn harden(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        // A page has a policy of its own.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_sec_01_only_names_of_this_machine_are_hosts() {
        let allowed = Allowed::new("192.168.1.5:4285", &["haul.lan".to_owned()], &[]);
        for host in ["localhost:4285", "127.0.0.1", "[::1]:4285", "LOCALHOST", "192.168.1.5:4285", "haul.lan:80"] {
            assert!(allowed.host(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "evil.example:4285",
            "localhost.evil.example:4285",
            "localhost:@evil.example",
        ] {
            assert!(!allowed.host(host), "{host}");
        }
    }

    #[test]
    fn f_sec_03_foreign_and_null_origins_are_refused() {
        let allowed = Allowed::new("127.0.0.1:4285", &[], &["https://front.example".to_owned()]);
        for origin in
            ["http://127.0.0.1:4285", "chrome-extension://abc", "moz-extension://abc", "https://front.example"]
        {
            assert!(allowed.origin(origin), "{origin}");
        }
        for origin in [
            "null",
            "https://evil.example",
            "http://evil.example",
            "https://front.example.evil.example",
            "http://localhost:80@evil.example",
            "",
        ] {
            assert!(!allowed.origin(origin), "{origin}");
        }
    }
}
