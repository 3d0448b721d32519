//! How the requests of a job go: what its user may wish, how that is stored, and what comes of it.
//!
//! What is secret of it, such as a proxy's password, is stored apart, and goes when the job has ended.

use std::net::{IpAddr, UdpSocket};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use haul_api::{Cookie, IpVersion, Method, Problem, ProblemCode, SubmitJob};
use haul_store::{Private, Wish};
use haul_transfer::{ClientKey, Cookies, GivenCookie, Network, Proxy, is_proxy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::error;
use url::Url;

use crate::config::DirByType;

/// Bytes of a request's body. A guess: what a form holds, and not a file.
const REQUEST_BYTES_MAX: usize = 256 << 10;
/// Cookies that may be given along. A guess: what a browser has of a few sites.
const COOKIES_MAX: usize = 1000;
/// Bytes of a cookie (RFC 6265 section 6.1).
const COOKIE_BYTES_MAX: usize = 4096;
/// Bytes of a list of hosts. A guess.
const NO_PROXY_BYTES_MAX: usize = 4096;
/// What stands for no proxy at all.
const NO_PROXY: &str = "none";

/// What may be told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    pub(crate) method: Method,
    pub(crate) insecure: bool,
    /// Without user and password.
    pub(crate) proxy: Option<String>,
    pub(crate) no_proxy: Option<String>,
    source_address: Option<IpAddr>,
    ip_version: IpVersion,
    /// Where the file goes if it turns out to be of some type; the first that fits counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) dirs_by_type: Vec<DirByType>,
}

/// What may not.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Secrets {
    /// The proxy with its user and password.
    proxy: Option<String>,
    cookies: Vec<Cookie>,
    /// In base64.
    body: Option<String>,
    /// The page that the link stood on. Where somebody was is nobody's business once the file is there.
    page_url: Option<String>,
}

/// What a job's requests are made with.
#[derive(Debug, Default)]
pub(crate) struct Manner {
    pub(crate) way: Way,
    pub(crate) cookies: Cookies,
    /// What a POST carries.
    pub(crate) post: Option<Bytes>,
}

/// The way that a job's requests go.
#[derive(Default)]
pub(crate) struct Way {
    options: Options,
    /// With user and password.
    proxy: Option<Url>,
}

/// Options and secrets as they are stored.
pub(crate) type Stored = (Option<String>, Option<Private>);

/// Checks what a submit says of its requests to this URL.
pub(crate) fn check(job: &SubmitJob, url: &Url, dirs_by_type: Vec<DirByType>) -> Result<Stored, Problem> {
    let (proxy, proxy_with_login) = match job.proxy.as_deref().map(proxy).transpose()? {
        Some(Some(url)) => (Some(String::from(crate::submit::without_userinfo(url.clone()))), Some(url.into())),
        Some(None) => (Some(NO_PROXY.to_owned()), None),
        None => (None, None),
    };
    let options = Options {
        method: job.method.unwrap_or_default(),
        insecure: job.insecure.unwrap_or_default(),
        proxy,
        no_proxy: job.no_proxy.as_deref().map(|text| no_proxy("no_proxy", text)).transpose()?,
        source_address: job.source_address.map(source_address).transpose()?,
        ip_version: job.ip_version.unwrap_or_default(),
        dirs_by_type,
    };
    if options.source_address.is_some_and(|address| !options.ip_version.fits(&address)) {
        return Err(invalid("ip_version", "`ip_version` is not that of the `source_address`"));
    }
    let page_url = job.page_url.as_deref().map(page_url).transpose()?;
    let secrets = Secrets { proxy: proxy_with_login, cookies: cookies(job, url)?, body: body(job)?, page_url };
    let json = |value: serde_json::Result<String>| value.expect("plain data is JSON");
    Ok((
        (options != Options::default()).then(|| json(serde_json::to_string(&options))),
        (secrets != Secrets::default()).then(|| Private(json(serde_json::to_string(&secrets)))),
    ))
}

fn page_url(text: &str) -> Result<String, Problem> {
    crate::submit::url("page_url", text).map(|url| crate::submit::without_userinfo(url).into())
}

/// The page that the link of a stored wish stood on.
pub(crate) fn page_url_of(wish: &Wish) -> Option<String> {
    // Cookies can be long, and lists have many jobs: all else is passed over.
    #[derive(Default, Deserialize)]
    struct Page {
        #[serde(default)]
        page_url: Option<String>,
    }
    wish.secrets.as_deref().and_then(|secrets| read::<Page>(secrets).page_url)
}

/// Reads a proxy; `None` means that there shall be none.
pub(crate) fn proxy(text: &str) -> Result<Option<Url>, Problem> {
    if text == NO_PROXY {
        return Ok(None);
    }
    let help = "`proxy` must be `none`, or a URL such as `http://proxy.example:3128` or `socks5h://127.0.0.1:1080`";
    let mut url = Url::parse(text).map_err(|_| invalid("proxy", help))?;
    // A `Url` is made of `http:a`, too, where a host and a scheme may have changed places.
    let is_whole = text.split_once("://").is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case(url.scheme()));
    if !is_whole || text.chars().any(char::is_control) || !is_proxy(&url) {
        return Err(invalid("proxy", help));
    }
    // A proxy has no paths.
    url.set_path("");
    url.set_query(None);
    url.set_fragment(None);
    Ok(Some(url))
}

/// Checks a list of hosts that are asked without a proxy.
pub(crate) fn no_proxy(field: &'static str, text: &str) -> Result<String, Problem> {
    let is_odd = |c: char| c.is_control() || matches!(c, '/' | '@' | '?' | '#');
    let is_block = |part: &str| part.split_once('/').is_some_and(|(_, bits)| bits.parse::<u8>().is_ok());
    let fits = text.split(',').map(str::trim).all(|part| !part.contains(is_odd) || is_block(part));
    if fits && text.len() <= NO_PROXY_BYTES_MAX {
        Ok(text.to_owned())
    } else {
        Err(invalid(field, "`no_proxy` must be hosts with commas between them, such as `localhost,.lan,10.0.0.0/8`"))
    }
}

/// Checks that this machine has an address.
pub(crate) fn source_address(address: IpAddr) -> Result<IpAddr, Problem> {
    // Nothing is sent.
    match UdpSocket::bind((address, 0)) {
        Ok(_) if !address.is_unspecified() && !address.is_multicast() => Ok(address),
        Ok(_) | Err(_) => Err(invalid("source_address", "`source_address` is no address of the daemon's machine")),
    }
}

fn cookies(job: &SubmitJob, url: &Url) -> Result<Vec<Cookie>, Problem> {
    let now = Timestamp::now();
    let given = job.cookies.iter().flatten();
    let mut cookies: Vec<Cookie> = given.filter(|cookie| cookie.expires.is_none_or(|end| end > now)).cloned().collect();
    if cookies.len() > COOKIES_MAX {
        return Err(invalid(
            "cookies",
            &format!("there may be {COOKIES_MAX} cookies at most; give those of the site alone"),
        ));
    }
    let host = url.host_str().unwrap_or_default();
    for (index, cookie) in cookies.iter_mut().enumerate() {
        let field = |name| format!("cookies[{index}].{name}");
        let is_odd = |c: char| c.is_control() || c == ';';
        if cookie.name.is_empty() || cookie.name.contains(|c| is_odd(c) || c == '=' || c == ' ') {
            return Err(invalid(&field("name"), "a cookie's name has 1 or more characters, and no `=`, `;` or space"));
        }
        if cookie.value.contains(is_odd) || cookie.name.len() + cookie.value.len() > COOKIE_BYTES_MAX {
            return Err(invalid(&field("value"), "a cookie's value has 4096 bytes at most, and no `;`"));
        }
        if !cookie.path.as_ref().is_none_or(|path| path.starts_with('/') && !path.contains(is_odd)) {
            return Err(invalid(&field("path"), "a cookie's path begins with `/`"));
        }
        if cookie.domain.is_none() {
            cookie.host_only = Some(true);
            cookie.domain = Some(host.to_owned());
        }
    }
    match Cookies::with(&cookies.iter().map(given_cookie).collect::<Vec<_>>()) {
        Ok(_) => Ok(cookies),
        Err(index) => {
            let help = "a cookie's domain is a host such as `example.org`; a top-level domain needs `host_only`";
            Err(invalid(&format!("cookies[{index}].domain"), help))
        }
    }
}

fn given_cookie(cookie: &Cookie) -> GivenCookie {
    GivenCookie {
        name: cookie.name.clone(),
        value: cookie.value.clone(),
        domain: cookie.domain.clone().unwrap_or_default(),
        host_only: cookie.host_only.unwrap_or_default(),
        path: cookie.path.clone().unwrap_or_else(|| "/".to_owned()),
        secure: cookie.secure.unwrap_or_default(),
    }
}

/// The body of a POST, in base64.
fn body(job: &SubmitJob) -> Result<Option<String>, Problem> {
    let bytes = match (job.method.unwrap_or_default(), &job.body) {
        (Method::Get, None) => return Ok(None),
        (Method::Get, Some(_)) => return Err(invalid("body", "only a `POST` has a `body`: set the `method`, too")),
        (Method::Post, None) => Vec::new(),
        (Method::Post, Some(body)) => match (&body.text, &body.base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(text)) => BASE64_STANDARD
                .decode(text)
                .map_err(|_| invalid("body.base64", "`body.base64` must be base64 (RFC 4648 section 4)"))?,
            (Some(_), Some(_)) | (None, None) => return Err(invalid("body", "`body` has either `text` or `base64`")),
        },
    };
    if bytes.len() > REQUEST_BYTES_MAX {
        return Err(invalid("body", "`body` may have 256 KiB at most"));
    }
    Ok(Some(BASE64_STANDARD.encode(bytes)))
}

fn invalid(field: &str, detail: &str) -> Problem {
    Problem::new(ProblemCode::InvalidValue, detail).with_field(field)
}

/// The cookies that a job was given, as long as they are kept.
pub(crate) fn cookies_of(wish: &Wish) -> Vec<Cookie> {
    wish.secrets.as_deref().map(read::<Secrets>).unwrap_or_default().cookies
}

/// The proxy that a job was given, with its user and password as long as they are kept.
pub(crate) fn proxy_of(wish: &Wish) -> Option<String> {
    let secrets: Secrets = wish.secrets.as_deref().map(read).unwrap_or_default();
    secrets.proxy.or(Options::of(wish).proxy)
}

impl Options {
    /// Those of a stored wish.
    pub(crate) fn of(wish: &Wish) -> Self {
        wish.options.as_deref().map(read).unwrap_or_default()
    }

    /// The proxy as it is shown.
    pub(crate) fn shown_proxy(&self) -> Option<String> {
        self.proxy.clone()
    }
}

impl Manner {
    /// That of a stored wish.
    pub(crate) fn of(wish: &Wish) -> Self {
        let options = Options::of(wish);
        let secrets: Secrets = wish.secrets.as_deref().map(read).unwrap_or_default();
        let proxy = secrets.proxy.as_ref().or(options.proxy.as_ref()).filter(|text| *text != NO_PROXY);
        let given: Vec<_> = secrets.cookies.iter().map(given_cookie).collect();
        // The body is dropped with the secrets of a complete job; then its bytes are all that could be asked for.
        let body = secrets.body.unwrap_or_default();
        let post = || BASE64_STANDARD.decode(body).unwrap_or_default().into();
        Self {
            cookies: Cookies::with(&given).unwrap_or_default(),
            post: (options.method == Method::Post).then(post),
            way: Way { proxy: proxy.and_then(|text| Url::parse(text).ok()), options },
        }
    }
}

/// Without user and password.
impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.options.fmt(f)
    }
}

impl Way {
    /// The client for these requests, where this is what the settings say.
    pub(crate) fn client(&self, usual: &ClientKey) -> ClientKey {
        let network = &usual.network;
        let options = &self.options;
        let proxy = match (&options.proxy, &self.proxy, &network.proxy) {
            (Some(_), Some(url), _) => Proxy::Via { url: url.clone(), except: options.no_proxy.clone() },
            (Some(_), None, _) => Proxy::None,
            (None, _, Proxy::Via { url, except }) => {
                Proxy::Via { url: url.clone(), except: options.no_proxy.clone().or_else(|| except.clone()) }
            }
            (None, _, usual) => usual.clone(),
        };
        // What the job says of one of these two takes the place of what the settings say of both.
        let says = options.source_address.is_some() || options.ip_version != IpVersion::Auto;
        let (source_address, ip_version) = if says {
            (options.source_address, transfer_version(options.ip_version))
        } else {
            (network.source_address, network.ip_version)
        };
        ClientKey {
            insecure: options.insecure,
            ca_file: usual.ca_file.clone(),
            network: Network { proxy, source_address, ip_version, ..network.clone() },
            public_only: usual.public_only,
        }
    }
}

/// The version as transfers know it.
pub(crate) fn transfer_version(version: IpVersion) -> haul_transfer::IpVersion {
    match version {
        IpVersion::Auto => haul_transfer::IpVersion::Any,
        IpVersion::V4 => haul_transfer::IpVersion::V4,
        IpVersion::V6 => haul_transfer::IpVersion::V6,
    }
}

fn read<T: Default + for<'de> Deserialize<'de>>(json: &str) -> T {
    serde_json::from_str(json).unwrap_or_else(|_| {
        // Its text may be secret.
        error!("stored options of a job cannot be read");
        T::default()
    })
}

#[cfg(test)]
mod tests {
    use haul_api::RequestBody;

    use super::*;

    fn wish(job: &SubmitJob) -> Wish {
        let url = Url::parse("https://a.example/x").expect("a URL");
        let (options, secrets) = check(job, &url, Vec::new()).expect("good options");
        Wish { options, secrets, ..Wish::default() }
    }

    fn refused(job: &SubmitJob) -> String {
        let problem = check(job, &Url::parse("https://a.example/x").expect("a URL"), Vec::new()).expect_err("wrong");
        assert!(!problem.detail.contains("s3cret"), "{problem}");
        problem.field.expect("it names the field")
    }

    #[test]
    fn what_nobody_has_said_is_not_stored() {
        let wish = wish(&SubmitJob::default());
        assert_eq!((wish.options, wish.secrets), (None, None));
    }

    #[test]
    fn a_proxys_password_is_stored_apart() {
        let proxy = Some("socks5h://ann:s3cret@p.example:1080".to_owned());
        let wish = wish(&SubmitJob { proxy, ..SubmitJob::default() });
        assert_eq!(Options::of(&wish).shown_proxy().as_deref(), Some("socks5h://p.example:1080"));
        assert!(!format!("{wish:?}").contains("s3cret"));
        let Proxy::Via { url, .. } = Manner::of(&wish).way.client(&ClientKey::default()).network.proxy else {
            panic!("there is a proxy")
        };
        assert_eq!(url.password(), Some("s3cret"));
        // Once its secrets are gone it still does not go another way.
        let ended = Wish { secrets: None, ..wish };
        let Proxy::Via { url, .. } = Manner::of(&ended).way.client(&ClientKey::default()).network.proxy else {
            panic!("there is a proxy")
        };
        assert_eq!(url.as_str(), "socks5h://p.example:1080");
    }

    #[test]
    fn a_job_may_go_without_the_usual_proxy() {
        let url = Url::parse("http://usual.example:3128").expect("a URL");
        let usual = Proxy::Via { url, except: Some("a.example".to_owned()) };
        let network = Network { proxy: usual.clone(), ..Network::default() };
        let usual = ClientKey { network, ..ClientKey::default() };
        let of = |job: &SubmitJob| Manner::of(&wish(job)).way.client(&usual).network.proxy;
        assert_eq!(of(&SubmitJob::default()), usual.network.proxy);
        assert_eq!(of(&SubmitJob { proxy: Some("none".to_owned()), ..SubmitJob::default() }), Proxy::None);
        let except = Some("b.example".to_owned());
        let Proxy::Via { except, .. } = of(&SubmitJob { no_proxy: except, ..SubmitJob::default() }) else {
            panic!("there is a proxy")
        };
        assert_eq!(except.as_deref(), Some("b.example"));
    }

    #[test]
    fn what_is_wrong_is_named_and_not_repeated() {
        let proxy = |text: &str| SubmitJob { proxy: Some(text.to_owned()), ..SubmitJob::default() };
        for text in ["", "env", "s3cret", "ftp://s3cret", "socks4://a:1", "http://", "http:s3cret", "file:///s3cret"] {
            assert_eq!(refused(&proxy(text)), "proxy", "{text}");
        }
        let no_proxy = |text: &str| SubmitJob { no_proxy: Some(text.to_owned()), ..SubmitJob::default() };
        assert_eq!(refused(&no_proxy("http://s3cret")), "no_proxy");
        wish(&no_proxy("localhost, .lan, *, 10.0.0.0/8, [::1]"));
        let address = |text: &str| SubmitJob { source_address: text.parse().ok(), ..SubmitJob::default() };
        for text in ["192.0.2.1", "0.0.0.0", "::", "224.0.0.1"] {
            assert_eq!(refused(&address(text)), "source_address", "{text}");
        }
        let other = SubmitJob { ip_version: Some(IpVersion::V6), ..address("127.0.0.1") };
        assert_eq!(refused(&other), "ip_version");
        let body = |method, text: Option<&str>, base64: Option<&str>| SubmitJob {
            method,
            body: Some(RequestBody { text: text.map(str::to_owned), base64: base64.map(str::to_owned) }),
            ..SubmitJob::default()
        };
        let post = Some(Method::Post);
        assert_eq!(refused(&body(None, Some("s3cret"), None)), "body");
        assert_eq!(refused(&body(post, None, None)), "body");
        assert_eq!(refused(&body(post, Some("s3cret"), Some("AAAA"))), "body");
        assert_eq!(refused(&body(post, None, Some("s3cret!"))), "body.base64");
        assert_eq!(refused(&body(post, Some(&"x".repeat(REQUEST_BYTES_MAX + 1)), None)), "body");
        let wish = wish(&body(post, None, Some("AP8=")));
        assert_eq!(Manner::of(&wish).post.as_deref(), Some(&[0, 255][..]));
        assert!(!format!("{wish:?}").contains("AP8="));
    }

    #[test]
    fn cookies_are_checked_one_by_one() {
        let cookie =
            |name: &str, value: &str| Cookie { name: name.to_owned(), value: value.to_owned(), ..Cookie::default() };
        let refused = |wrong: Cookie| {
            refused(&SubmitJob { cookies: Some(vec![cookie("good", "1"), wrong]), ..SubmitJob::default() })
        };
        assert_eq!(refused(cookie("", "s3cret")), "cookies[1].name");
        assert_eq!(refused(cookie("a b", "s3cret")), "cookies[1].name");
        assert_eq!(refused(cookie("a", "s3cret; Domain=x")), "cookies[1].value");
        assert_eq!(refused(cookie("a", "s3cret\r\nX: y")), "cookies[1].value");
        assert_eq!(refused(cookie("a", &"s3cret".repeat(1000))), "cookies[1].value");
        assert_eq!(refused(Cookie { path: Some("x".to_owned()), ..cookie("a", "s3cret") }), "cookies[1].path");
        assert_eq!(refused(Cookie { domain: Some("com".to_owned()), ..cookie("a", "s3cret") }), "cookies[1].domain");
        let old = Cookie { expires: Some(Timestamp::UNIX_EPOCH), ..cookie("", "") };
        let wish = wish(&SubmitJob { cookies: Some(vec![old]), ..SubmitJob::default() });
        assert_eq!(wish.secrets, None, "what has ended does not matter");
    }
}
