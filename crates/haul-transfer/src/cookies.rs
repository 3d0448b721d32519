//! The cookies that servers set on the way to a file, such as a download page that wants to see its session again
//! (FAILURES.md, F-HTTP-11), and those that the user gives along. Each job has a jar of its own, in memory only, and a
//! cookie is sent where RFC 6265 permits it.

use std::fmt;
use std::sync::{Mutex, MutexGuard};

use cookie_store::{CookieStore, RawCookie};
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};
use url::Url;

/// The jar of one job.
#[derive(Default)]
pub struct Cookies {
    jar: Mutex<CookieStore>,
    /// How many were given along: those do not count among what servers may set.
    given: usize,
}

/// A cookie that the user has, as a browser would know it.
#[derive(Clone, PartialEq, Eq)]
pub struct GivenCookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The host that it is for.
    pub domain: String,
    /// Whether it is not for the hosts below, too.
    pub host_only: bool,
    /// The path that it is for, and all below.
    pub path: String,
    /// Whether it is for TLS only.
    pub secure: bool,
}

impl Cookies {
    /// A jar with these cookies. Tells the first that is none: its domain is no host, or a whole top-level domain.
    ///
    /// # Errors
    ///
    /// Its index.
    pub fn with(given: &[GivenCookie]) -> Result<Self, usize> {
        let mut jar = CookieStore::default();
        for (index, cookie) in given.iter().enumerate() {
            let domain = cookie.domain.trim_start_matches('.');
            let from = Url::parse(&format!("https://{domain}/")).map_err(|_| index)?;
            let is_one_host = cookie.host_only || !matches!(from.host(), Some(url::Host::Domain(_)));
            // Whoever has set it has named a host: `com` is none.
            if from.host_str() != Some(&domain.to_ascii_lowercase()) || (!is_one_host && !domain.contains('.')) {
                return Err(index);
            }
            let raw = RawCookie::build((cookie.name.clone(), cookie.value.clone()));
            let raw = raw.path(cookie.path.clone()).secure(cookie.secure);
            let raw = if is_one_host { raw.build() } else { raw.domain(domain.to_owned()).build() };
            jar.insert_raw(&raw, &from).map_err(|_| index)?;
        }
        Ok(Self { given: jar.iter_any().count(), jar: Mutex::new(jar) })
    }

    /// Takes the cookies of an answer. What is too much or no cookie is left out.
    pub(crate) fn note(&self, url: &Url, headers: &HeaderMap) {
        if !headers.contains_key(SET_COOKIE) {
            return;
        }
        let mut jar = self.jar();
        let most = COOKIES_MAX + self.given;
        for value in headers.get_all(SET_COOKIE) {
            let has_room = jar.iter_any().count() < most && value.len() <= COOKIE_BYTES_MAX;
            if let Ok(text) = value.to_str()
                && has_room
                && let Err(error) = jar.parse(text, url)
            {
                tracing::debug!(%error, "a cookie is not taken");
            }
        }
    }

    /// The value of `Cookie` for a request to `url`, behind what the user sends there.
    pub(crate) fn header(&self, url: &Url, users: Option<&HeaderValue>) -> Option<HeaderValue> {
        let users = users.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_users =
            |name: &str| users.split(';').any(|pair| pair.split('=').next().is_some_and(|n| n.trim() == name));
        let jar = self.jar();
        let own = jar.get_request_values(url).filter(|(name, _)| !is_users(name));
        let own = own.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        if own.is_empty() {
            return None;
        }
        let all = if users.is_empty() { own } else { format!("{users}; {own}") };
        let mut value = HeaderValue::try_from(all).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn jar(&self) -> MutexGuard<'_, CookieStore> {
        self.jar.lock().expect("nothing panics while it is held")
    }
}

/// Without the cookies, which are secret.
impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cookies").field(&self.jar().iter_any().count()).finish()
    }
}

/// Cookies of one job that servers set. RFC 6265 section 6.1 wants 50 for each domain at least.
const COOKIES_MAX: usize = 50;

/// Bytes of a cookie (RFC 6265 section 6.1).
const COOKIE_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn set(jar: &Cookies, from: &str, cookie: &str) {
        let headers = HeaderMap::from_iter([(SET_COOKIE, cookie.parse().expect("a value"))]);
        jar.note(&url(from), &headers);
    }

    fn sent(jar: &Cookies, to: &str, users: Option<&'static str>) -> Option<String> {
        let users = users.map(HeaderValue::from_static);
        let value = jar.header(&url(to), users.as_ref())?;
        assert!(value.is_sensitive());
        Some(value.to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn f_http_11_a_cookie_goes_back_to_its_host_and_path_only() {
        let jar = Cookies::default();
        set(&jar, "http://a.test/dl/start", "session=1; Path=/dl");
        set(&jar, "https://a.test/", "secure=1; Secure");
        assert_eq!(sent(&jar, "http://a.test/dl/file", None).as_deref(), Some("session=1"));
        for elsewhere in ["http://a.test/other", "http://b.test/dl/file"] {
            assert_eq!(sent(&jar, elsewhere, None), None, "{elsewhere}");
        }
        let over_tls = sent(&jar, "https://a.test/dl/file", None).expect("both");
        assert!(over_tls.contains("secure=1") && over_tls.contains("session=1"), "{over_tls}");
    }

    #[test]
    fn f_http_11_what_the_user_sends_comes_first_and_wins() {
        let jar = Cookies::default();
        set(&jar, "http://a.test/", "login=servers");
        set(&jar, "http://a.test/", "lang=en");
        let sent = sent(&jar, "http://a.test/", Some("login=users; x=1"));
        assert_eq!(sent.as_deref(), Some("login=users; x=1; lang=en"));
    }

    fn given(domain: &str, host_only: bool, path: &str, secure: bool) -> GivenCookie {
        let (name, value) = ("login".to_owned(), "s3cret".to_owned());
        GivenCookie { name, value, domain: domain.to_owned(), host_only, path: path.to_owned(), secure }
    }

    #[test]
    fn f_http_11_a_given_cookie_goes_where_rfc_6265_permits_it() {
        for (cookie, there, elsewhere) in [
            (
                given("a.test", true, "/", false),
                &["http://a.test/x", "https://a.test:8443/"][..],
                &["http://b.a.test/", "http://test/", "http://xa.test/"][..],
            ),
            (
                given(".a.test", false, "/", false),
                &["http://a.test/", "http://b.a.test/"],
                &["http://xa.test/", "http://test/"],
            ),
            (
                given("a.test", false, "/dl", false),
                &["http://a.test/dl", "http://b.a.test/dl/x"],
                &["http://a.test/dlx"],
            ),
            (given("A.test", true, "/", true), &["https://a.test/"], &["http://a.test/"]),
            (given("127.0.0.1", false, "/", false), &["http://127.0.0.1:8080/"], &["http://127.0.0.2/"]),
            (given("localhost", true, "/", false), &["http://localhost/"], &["http://a.localhost/"]),
        ] {
            let jar = Cookies::with(&[cookie]).expect("a good cookie");
            for url in there {
                assert_eq!(sent(&jar, url, None).as_deref(), Some("login=s3cret"), "{url}");
            }
            for url in elsewhere {
                assert_eq!(sent(&jar, url, None), None, "{url}");
            }
        }
    }

    #[test]
    fn a_given_cookie_must_name_a_host() {
        for domain in ["", ".", "com", ".com", "a b", "a/b", "a:1", "user@a.test", "a.test?x"] {
            let cookies = [given("a.test", true, "/", false), given(domain, false, "/", false)];
            assert_eq!(Cookies::with(&cookies).expect_err(domain), 1, "{domain}");
        }
    }

    #[test]
    fn given_cookies_take_no_room_from_those_of_servers() {
        let given: Vec<_> =
            (0..80).map(|n| GivenCookie { name: format!("given{n}"), ..given("a.test", true, "/", false) }).collect();
        let jar = Cookies::with(&given).expect("good cookies");
        set(&jar, "http://a.test/", "session=1");
        let sent = sent(&jar, "http://a.test/", None).expect("some");
        assert!(sent.contains("session=1") && sent.contains("given79=s3cret"), "{sent}");
    }

    #[test]
    fn a_jar_is_bounded_and_shows_nothing() {
        let jar = Cookies::default();
        for number in 0..80 {
            set(&jar, "http://a.test/", &format!("s3cret{number}=s3cret"));
        }
        set(&jar, "http://b.test/", &format!("long={}", "x".repeat(5000)));
        assert_eq!(sent(&jar, "http://a.test/", None).expect("some").split("; ").count(), COOKIES_MAX);
        assert_eq!(sent(&jar, "http://b.test/", None), None);
        assert_eq!(format!("{jar:?}"), "Cookies(50)");
    }
}
