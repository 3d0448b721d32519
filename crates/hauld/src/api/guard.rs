//! Who may speak to the API at all, decided before any route is looked at.
//!
//! In this order: the `Host` that the request names (against DNS rebinding), the `Origin` that it comes from (against
//! foreign web pages), then, except for the health routes and pairing, a bearer token or the Unix socket's peer, and at
//! last whether its scope permits this, and the job is one that it may know of.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use haul_api::{ProblemCode, paths};
use haul_core::JobId;
use haul_store::Scope;

use super::Api;
use super::extract::job_id;
use super::problem::Refused;
use crate::access::Caller;

/// How a request reached the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// Over TCP: a token is needed.
    Tcp,
    /// Over the Unix socket, from a peer that may do so much without a token, if anything.
    Unix(Option<Scope>),
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
    /// The loopback names and the addresses that are listened on, and what the settings add.
    pub(crate) fn new(listen: &[String], hosts: &[String], origins: &[String]) -> Self {
        let own = listen.iter().map(|address| host_name(address).to_owned());
        let names = LOOPBACK_NAMES.iter().map(|name| (*name).to_owned());
        let hosts = names.chain(own).chain(hosts.iter().cloned()).map(|host| host.to_ascii_lowercase()).collect();
        Self { hosts, origins: origins.to_vec() }
    }

    /// The same, which is reached at these addresses, too.
    pub(crate) fn and_at(mut self, addresses: &[String]) -> Self {
        self.hosts.extend(addresses.iter().map(|address| host_name(address).to_ascii_lowercase()));
        self
    }

    /// A name that means this daemon, with any port.
    pub(crate) fn host(&self, value: &str) -> bool {
        let name = host_name(value).to_ascii_lowercase();
        self.hosts.contains(&name)
    }

    /// An origin passes on to the token check when it is the one that the request goes to, an extension's, or configured.
    /// Another port of this machine is another origin: who knows whose pages are there.
    pub(crate) fn origin(&self, origin: &str, host: &str) -> bool {
        let own = origin.strip_prefix("http://").is_some_and(|rest| rest.eq_ignore_ascii_case(host) && self.host(host));
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
    let caller = match Asked::of(&api, &request) {
        Ok(asked) => asked.caller(&api).await,
        Err(refused) => Err(refused),
    };
    let mut response = match caller {
        Ok(caller) => caller.handle(next.run(request)).await,
        Err(refused) => refused.into_response(),
    };
    harden(response.headers_mut());
    response
}

/// What the answer to "may this be done?" depends on.
struct Asked {
    method: Method,
    /// The route that its path fits; empty where there is none.
    route: String,
    /// The job that the path names.
    job: Option<JobId>,
    token: Option<String>,
    via: Via,
}

impl Asked {
    fn of(api: &Api, request: &Request) -> Result<Self, Refused> {
        check_source(api, request)?;
        let extensions = request.extensions();
        Ok(Self {
            method: request.method().clone(),
            route: extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned(),
            job: request.uri().path().split('/').nth(3).and_then(job_id),
            token: bearer(request.headers())?,
            via: extensions.get::<Via>().copied().unwrap_or(Via::Tcp),
        })
    }

    /// Whose request it is, if that may be made at all.
    async fn caller(self, api: &Api) -> Result<Caller, Refused> {
        // Each call of the aria2 dialect brings its own token.
        if paths::OPEN.contains(&self.route.as_str()) || self.route == paths::JSONRPC {
            return Ok(Caller::NOBODY);
        }
        let caller = admitted(api, self.token.as_deref(), self.via).await.ok_or_else(unauthorized)?;
        if !permits(caller.scope, &self.method, &self.route) {
            return Err(beyond_scope(caller.scope));
        }
        if caller.only_of().is_some() && self.route.starts_with(paths::JOB) {
            let row = match self.job {
                Some(id) => api.store.job(id).await?,
                None => None,
            };
            // Another's job is answered like one that is not there.
            if !row.is_some_and(|row| caller.sees(&row)) {
                return Err(Refused::unknown_job(self.job.map_or(0, |id| id.0)));
            }
        }
        Ok(caller)
    }
}

/// Whose request it is that has come this way with this token.
pub(crate) async fn admitted(api: &Api, token: Option<&str>, via: Via) -> Option<Caller> {
    match (token, via) {
        (Some(token), _) => api.access.caller(token).await,
        (None, Via::Unix(Some(scope))) => Some(Caller { scope, token: None }),
        (None, Via::Unix(None) | Via::Tcp) => None,
    }
}

/// Refuses what a page makes a browser send that has no business here.
fn check_source(api: &Api, request: &Request) -> Result<(), Refused> {
    let headers = request.headers();
    let host = only(headers, &header::HOST)?.unwrap_or_default();
    if !api.allowed.host(host) {
        return Err(Refused::new(
            ProblemCode::HostNotAllowed,
            "the request names a host that is not this daemon; use 127.0.0.1, or list the name in `allowed_hosts`",
        ));
    }
    if let Some(origin) = only(headers, &header::ORIGIN)?
        && !api.allowed.origin(origin, host)
    {
        return Err(foreign_origin());
    }
    // A browser says where a request comes from even when it leaves the origin out, as in a form's GET.
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site")
        && headers.get(header::ORIGIN).is_none()
        && !is_visit(request)
    {
        return Err(foreign_origin());
    }
    Ok(())
}

/// Whether a browser's window goes to the web page, as by a link on another page. The page shows nothing to whoever has
/// sent it there, and does nothing; a frame or a request of that page is no visit.
fn is_visit(request: &Request) -> bool {
    let says = |name: &str, word: &str| request.headers().get(name).is_some_and(|value| value == word);
    *request.method() == Method::GET
        && request.uri().path() == paths::PAGE
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
}

/// What each scope may ask for. A route that is not named here is closed to `submit`, and one that changes something to
/// `read`.
fn permits(scope: Scope, method: &Method, route: &str) -> bool {
    let looks = *method == Method::GET || *method == Method::HEAD;
    match scope {
        Scope::Admin => true,
        Scope::Read => looks && !route.starts_with(paths::TOKENS),
        Scope::Submit => match route {
            paths::JOBS => looks || *method == Method::POST,
            paths::JOB => looks || *method == Method::PATCH,
            paths::JOB_PAUSE | paths::JOB_RESUME | paths::JOB_CANCEL => *method == Method::POST,
            paths::JOB_CHUNKS | paths::JOB_EVENTS | paths::JOB_WHY | paths::EVENTS => looks,
            _ => false,
        },
    }
}

pub(crate) fn beyond_scope(scope: Scope) -> Refused {
    let may = match scope {
        Scope::Admin => "everything",
        Scope::Read => "look at everything but secrets, and change nothing",
        Scope::Submit => "submit jobs, and look at, pause, resume, give up and renew its own ones",
    };
    Refused::new(
        ProblemCode::ScopeNotAllowed,
        format!("this token may {may}; `haul token add` makes one that may more"),
    )
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

/// The token of a request, if it has one.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let Some(value) = only(headers, &header::AUTHORIZATION)? else { return Ok(None) };
    let token = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    // What is there and is no token is a wrong one.
    Ok(Some(token.map(|(_, token)| token.trim().to_owned()).unwrap_or_default()))
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
    fn f_sec_22_a_scope_permits_what_it_says_and_nothing_new() {
        let may = |scope, method: Method, route| permits(scope, &method, route);
        for route in ["/v1/jobs", "/v1/settings", "/v1/tokens", "/v1/pair/code", "/v1/something/new"] {
            assert!(may(Scope::Admin, Method::GET, route) && may(Scope::Admin, Method::POST, route), "{route}");
            assert!(!may(Scope::Read, Method::POST, route), "{route}");
        }
        assert!(may(Scope::Read, Method::GET, "/v1/settings") && !may(Scope::Read, Method::GET, "/v1/tokens"));
        for (method, route) in [
            (Method::GET, "/v1/jobs"),
            (Method::POST, "/v1/jobs"),
            (Method::PATCH, "/v1/jobs/{id}"),
            (Method::POST, "/v1/jobs/{id}/pause"),
            (Method::POST, "/v1/jobs/{id}/resume"),
            (Method::POST, "/v1/jobs/{id}/cancel"),
        ] {
            assert!(may(Scope::Submit, method, route), "{route}");
        }
        for (method, route) in [
            (Method::DELETE, "/v1/jobs/{id}"),
            (Method::GET, "/v1/jobs/{id}/pause"),
            (Method::POST, "/v1/jobs/{id}/verify"),
            (Method::POST, "/v1/jobs/{id}/restore"),
            (Method::POST, "/v1/jobs/{id}/retry"),
            (Method::GET, "/v1/jobs/{id}/something-new"),
            (Method::GET, "/v1/settings"),
            (Method::GET, "/v1/hosts"),
            (Method::GET, "/v1/stats"),
            (Method::GET, "/v1/tokens"),
            (Method::POST, "/v1/pause"),
        ] {
            assert!(!may(Scope::Submit, method, route), "{route}");
        }
    }

    #[test]
    fn f_sec_01_only_names_of_this_machine_are_hosts() {
        let allowed = Allowed::new(&["192.168.1.5:4285".to_owned()], &["haul.lan".to_owned()], &[]);
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
        let allowed = Allowed::new(&["127.0.0.1:4285".to_owned()], &[], &["https://front.example".to_owned()]);
        for origin in
            ["http://127.0.0.1:4285", "chrome-extension://abc", "moz-extension://abc", "https://front.example"]
        {
            assert!(allowed.origin(origin, "127.0.0.1:4285"), "{origin}");
        }
        for origin in [
            "null",
            "https://evil.example",
            "http://evil.example",
            "https://front.example.evil.example",
            "http://localhost:80@evil.example",
            "http://127.0.0.1:8080",
            "http://127.0.0.1",
            "http://localhost:4285",
            "https://127.0.0.1:4285",
            "",
        ] {
            assert!(!allowed.origin(origin, "127.0.0.1:4285"), "{origin}");
        }
    }
}
