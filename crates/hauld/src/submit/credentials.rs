//! Users and passwords that stand in URLs: they are kept apart, as the `Authorization` of their origin (FAILURES.md,
//! F-HTTP-15).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haul_api::{Problem, ProblemCode};
use haul_store::{JobPatch, Private, Wish};
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

use super::{has_userinfo, origin};

/// Values of `Authorization` by the origin that gets them.
#[derive(Default)]
pub(crate) struct Credentials(BTreeMap<String, String>);

impl Credentials {
    /// Reads what is stored.
    pub(crate) fn read(stored: Option<&Private>) -> Self {
        Self(stored.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
    }

    /// What an origin gets.
    pub(crate) fn header(&self, url: &Url) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(self.0.get(&origin(url))?).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// What becomes of those of a job that gets a new URL or new headers: those of `new` count more, and origins that it
    /// has no more URL at are forgotten.
    pub(crate) fn renewed(mut self, wish: &Wish, patch: &JobPatch, new: Self) -> Option<Private> {
        let main = patch.url.as_ref().map_or(&wish.host, |(_, host)| host);
        let urls = wish.mirrors.iter().map(|mirror| &mirror.url).chain(&wish.checksum_url);
        let kept: Vec<_> = urls.filter_map(|url| Url::parse(url).ok()).map(|url| origin(&url)).collect();
        self.0.retain(|origin, _| origin == main || kept.contains(origin));
        if patch.headers.iter().flatten().any(|headers| headers.contains("\"authorization\":")) {
            self.0.remove(main);
        }
        self.0.extend(new.0);
        self.stored()
    }

    fn stored(&self) -> Option<Private> {
        (!self.0.is_empty()).then(|| Private(serde_json::to_string(&self.0).expect("a map of strings is JSON")))
    }

    /// Takes the user and the password out of a URL.
    fn take(&mut self, field: &str, text: &mut Private) -> Result<(), Problem> {
        let Ok(mut url) = Url::parse(text) else { return Ok(()) };
        if !has_userinfo(&url) {
            return Ok(());
        }
        let value = basic(&url);
        // Both fail only where there is no host, and then there is no userinfo either.
        let _kept: Result<(), ()> = url.set_username("").and_then(|()| url.set_password(None));
        if self.0.insert(origin(&url), value.clone()).is_some_and(|other| other != value) {
            let detail = "two URLs at one server have different users or passwords; give it one";
            return Err(Problem::new(ProblemCode::InvalidUrl, detail).with_field(field));
        }
        *text = Private(url.into());
        Ok(())
    }
}

/// RFC 7617.
fn basic(url: &Url) -> String {
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let pair = [decoded(url.username()), decoded(url.password().unwrap_or_default())].join(&b':');
    format!("Basic {}", STANDARD.encode(pair))
}

/// Keeps the users and passwords in a job's URLs apart.
///
/// # Errors
///
/// Where two URLs at one origin differ in them.
pub(super) fn set_apart(mut wish: Wish) -> Result<Wish, Problem> {
    let mut found = Credentials::default();
    found.take("url", &mut wish.url)?;
    for mirror in &mut wish.mirrors {
        found.take("mirrors", &mut mirror.url)?;
    }
    if let Some(url) = &mut wish.checksum_url {
        found.take("checksum_url", url)?;
    }
    // Some may have differed in that alone.
    let mut known = vec![wish.url.clone()];
    wish.mirrors.retain(|mirror| {
        let is_new = !known.contains(&mirror.url);
        known.push(mirror.url.clone());
        is_new
    });
    wish.credentials = found.stored();
    Ok(wish)
}

/// The same for a new URL.
///
/// # Errors
///
/// None is known for a single URL.
pub(super) fn set_apart_of_patch(mut patch: JobPatch) -> Result<JobPatch, Problem> {
    let mut found = Credentials::default();
    if let Some((url, _)) = &mut patch.url {
        found.take("url", url)?;
    }
    patch.credentials = found.stored().map(Some);
    Ok(patch)
}

#[cfg(test)]
mod tests {
    use haul_store::Mirror;

    use super::*;

    fn wish(url: &str, mirrors: &[&str]) -> Wish {
        let mirrors = mirrors.iter().map(|url| Mirror { url: (*url).into(), ..Mirror::default() }).collect();
        Wish { url: url.into(), mirrors, ..Wish::default() }
    }

    fn header(wish: &Wish, url: &str) -> Option<HeaderValue> {
        Credentials::read(wish.credentials.as_ref()).header(&Url::parse(url).expect("a URL"))
    }

    #[test]
    fn f_http_15_a_user_and_a_password_are_kept_apart_for_their_origin_alone() {
        let wish = wish("https://ann:p%40ss@a.example/f?q", &["http://b.example/f", "https://b:@c.example/f"]);
        let wish = set_apart(wish).expect("nothing is wrong");
        assert_eq!(&*wish.url, "https://a.example/f?q");
        assert_eq!(&*wish.mirrors[1].url, "https://c.example/f");
        // `printf 'ann:p@ss' | base64`
        assert_eq!(header(&wish, "https://a.example/other").expect("some"), "Basic YW5uOnBAc3M=");
        assert_eq!(header(&wish, "https://c.example/").expect("some"), "Basic Yjo=");
        for foreign in ["http://a.example/f", "https://a.example:444/f", "http://b.example/f"] {
            assert_eq!(header(&wish, foreign), None, "{foreign}");
        }
        assert!(!format!("{wish:?}").contains("YW5u"), "it is shown to nobody");
    }

    #[test]
    fn one_server_has_one_user() {
        let two = wish("http://ann:1@a/f", &["http://ann:2@a/g"]);
        let problem = set_apart(two).expect_err("which one?");
        assert_eq!((&*problem.code, problem.field.as_deref()), ("invalid-url", Some("mirrors")));
        let same = set_apart(wish("http://ann:1@a/f", &["http://a/f", "http://ann:1@a/g"])).expect("it is one");
        assert_eq!(same.mirrors.len(), 1, "a URL is there once");
    }

    #[test]
    fn a_renewed_link_keeps_what_its_origins_need() {
        let before = set_apart(wish("http://ann:1@a/f", &["http://bob:2@b/f"])).expect("nothing is wrong");
        let before = Wish { host: "http://a".to_owned(), ..before };
        let renewed = |url: &str, headers: Option<&str>| {
            let origin = Url::parse(url).expect("a URL").origin().ascii_serialization();
            let patch = JobPatch {
                url: Some((url.into(), origin)),
                headers: headers.map(|json| Some(json.into())),
                ..JobPatch::default()
            };
            let patch = set_apart_of_patch(patch).expect("nothing is wrong");
            let new = Credentials::read(patch.credentials.as_ref().and_then(Option::as_ref));
            let credentials = Credentials::read(before.credentials.as_ref()).renewed(&before, &patch, new);
            Wish { credentials, ..Wish::default() }
        };
        let has = |wish: &Wish, url| header(wish, url).is_some();
        let moved = renewed("http://c/f", None);
        assert!(!has(&moved, "http://a/") && has(&moved, "http://b/") && !has(&moved, "http://c/"));
        assert!(has(&renewed("http://a/g", None), "http://a/"));
        assert!(has(&renewed("http://eve:3@c/g", None), "http://c/"));
        assert!(!has(&renewed("http://a/g", Some(r#"{"authorization":"Bearer x"}"#)), "http://a/"));
    }
}
