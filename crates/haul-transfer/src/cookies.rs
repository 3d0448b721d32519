//! The cookies that servers set on the way to a file, such as a download page that wants to see its session again
//! (FAILURES.md, F-HTTP-11). Each job has a jar of its own, in memory only, and a cookie is sent where RFC 6265 permits it.

use std::fmt;
use std::sync::{Mutex, MutexGuard};

use cookie_store::CookieStore;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};
use url::Url;

/// The jar of one job.
#[derive(Default)]
pub struct Cookies(Mutex<CookieStore>);

impl Cookies {
    /// Takes the cookies of an answer. What is too much or no cookie is left out.
    pub(crate) fn note(&self, url: &Url, headers: &HeaderMap) {
        if !headers.contains_key(SET_COOKIE) {
            return;
        }
        let mut jar = self.jar();
        for value in headers.get_all(SET_COOKIE) {
            let has_room = jar.iter_any().count() < COOKIES_MAX && value.len() <= COOKIE_BYTES_MAX;
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
        self.0.lock().expect("nothing panics while it is held")
    }
}

/// Without the cookies, which are secret.
impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cookies").field(&self.jar().iter_any().count()).finish()
    }
}

/// Cookies of one job. RFC 6265 section 6.1 wants 50 for each domain at least.
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
