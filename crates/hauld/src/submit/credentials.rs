//! Users and passwords that stand in URLs: they are kept apart, as the `Authorization` that requests for these URLs carry
//! (FAILURES.md, F-HTTP-15).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haul_store::{JobPatch, Private, Wish};
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

use super::has_userinfo;

/// Values of `Authorization` by the URL that they stood in.
#[derive(Default)]
pub(crate) struct Credentials(BTreeMap<String, String>);

impl Credentials {
    /// Reads what is stored.
    pub(crate) fn read(stored: Option<&Private>) -> Self {
        Self(stored.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
    }

    /// What requests for a URL carry.
    pub(crate) fn header(&self, url: &Url) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(self.0.get(url.as_str())?).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// What becomes of those of a job that gets a new URL or new headers.
    pub(crate) fn renewed(mut self, wish: &Wish, patch: &JobPatch, new: Self) -> Option<Private> {
        let has_authorization = patch.headers.iter().flatten().any(|headers| headers.contains("\"authorization\":"));
        if patch.url.is_some() || has_authorization {
            self.0.remove(&*wish.url);
        }
        self.0.extend(new.0);
        self.stored()
    }

    fn stored(&self) -> Option<Private> {
        (!self.0.is_empty()).then(|| Private(serde_json::to_string(&self.0).expect("a map of strings is JSON")))
    }

    /// Takes the user and the password out of a URL. Of several for one URL the first counts.
    fn take(&mut self, text: &mut Private) {
        let Some(mut url) = Url::parse(text).ok().filter(has_userinfo) else { return };
        let value = basic(&url);
        // Both fail only where there is no host, and then there is no userinfo either.
        let _kept: Result<(), ()> = url.set_username("").and_then(|()| url.set_password(None));
        *text = Private(url.into());
        self.0.entry(text.0.clone()).or_insert(value);
    }
}

/// The `Authorization` of a user and a password (RFC 7617).
pub(crate) fn basic_login(user: impl AsRef<[u8]>, password: impl AsRef<[u8]>) -> String {
    let pair = [user.as_ref(), password.as_ref()].join(&b':');
    format!("Basic {}", STANDARD.encode(pair))
}

fn basic(url: &Url) -> String {
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    basic_login(decoded(url.username()), decoded(url.password().unwrap_or_default()))
}

/// Keeps the users and passwords in a job's URLs apart.
pub(super) fn set_apart(mut wish: Wish) -> Wish {
    let mut found = Credentials::default();
    found.take(&mut wish.url);
    wish.mirrors.iter_mut().for_each(|mirror| found.take(&mut mirror.url));
    wish.checksum_url.iter_mut().for_each(|url| found.take(url));
    // Some may have differed in that alone.
    let mut known = vec![wish.url.clone()];
    wish.mirrors.retain(|mirror| {
        let is_new = !known.contains(&mirror.url);
        known.push(mirror.url.clone());
        is_new
    });
    wish.credentials = found.stored();
    wish
}

/// The same for a new URL.
pub(super) fn set_apart_of_patch(mut patch: JobPatch) -> JobPatch {
    let mut found = Credentials::default();
    if let Some((url, _)) = &mut patch.url {
        found.take(url);
    }
    patch.credentials = found.stored().map(Some);
    patch
}

#[cfg(test)]
mod tests {
    use haul_store::Mirror;

    use super::*;

    fn wish(url: &str, mirrors: &[&str]) -> Wish {
        let mirrors = mirrors.iter().map(|url| Mirror { url: (*url).into(), ..Mirror::default() }).collect();
        set_apart(Wish { url: url.into(), mirrors, ..Wish::default() })
    }

    fn header(wish: &Wish, url: &str) -> Option<HeaderValue> {
        Credentials::read(wish.credentials.as_ref()).header(&Url::parse(url).expect("a URL"))
    }

    #[test]
    fn f_http_15_a_user_and_a_password_are_kept_apart_from_their_url() {
        let wish = wish("https://ann:p%40ss@a.example/f?q", &["https://a.example/g", "https://b:@c.example/f"]);
        assert_eq!(&*wish.url, "https://a.example/f?q");
        assert_eq!(&*wish.mirrors[1].url, "https://c.example/f");
        // `printf 'ann:p@ss' | base64`
        assert_eq!(header(&wish, "https://a.example/f?q").expect("some"), "Basic YW5uOnBAc3M=");
        assert_eq!(header(&wish, "https://c.example/f").expect("some"), "Basic Yjo=");
        for other in ["http://a.example/f?q", "https://a.example/g", "https://a.example:444/f?q"] {
            assert_eq!(header(&wish, other), None, "{other}");
        }
        assert!(!format!("{wish:?}").contains("YW5u"), "it is shown to nobody");
    }

    #[test]
    fn a_url_is_there_once_whoever_asks_for_it() {
        let wish = wish("http://ann:1@a/f", &["http://bob:2@a/f", "http://a/f", "http://bob:2@a/g"]);
        assert_eq!(wish.mirrors.len(), 1);
        // `printf 'ann:1' | base64`
        assert_eq!(header(&wish, "http://a/f").expect("some"), "Basic YW5uOjE=");
    }

    #[test]
    fn a_renewed_link_has_its_own_user_or_none() {
        let before = wish("http://ann:1@a/f", &["http://bob:2@b/f"]);
        let renewed = |url: Option<&str>, headers: Option<&str>| {
            let patch = JobPatch {
                url: url.map(|url| (url.into(), "http://a".to_owned())),
                headers: headers.map(|json| Some(json.into())),
                ..JobPatch::default()
            };
            let patch = set_apart_of_patch(patch);
            let new = Credentials::read(patch.credentials.as_ref().and_then(Option::as_ref));
            let credentials = Credentials::read(before.credentials.as_ref()).renewed(&before, &patch, new);
            Wish { credentials, ..Wish::default() }
        };
        let has = |wish: &Wish, url| header(wish, url).is_some();
        let moved = renewed(Some("http://a/g"), None);
        assert!(!has(&moved, "http://a/f") && !has(&moved, "http://a/g") && has(&moved, "http://b/f"));
        assert!(has(&renewed(Some("http://eve:3@a/g"), None), "http://a/g"));
        assert!(has(&renewed(None, Some(r#"{"x":"y"}"#)), "http://a/f"));
        assert!(!has(&renewed(None, Some(r#"{"authorization":"Bearer x"}"#)), "http://a/f"));
    }
}
