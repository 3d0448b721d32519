//! What must hold whatever foreign bytes come: one function for each target of `crates/fuzz`.
//!
//! No part of the interface. The fuzzer calls these functions with bytes of its own, the tests below with the files of
//! `crates/fuzz/corpus`. A function panics when a promise is broken.

mod head;

use http::header::{DATE, LINK, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use url::Url;

use crate::hints::HintsOnTheWay;
use crate::name::{self, NAME_BYTES_MAX};
use crate::redirect::Route;
use crate::request::Asked;
use crate::response::{Answer, judge};
use crate::{
    Checksum, ContentRange, Hints, Identity, check_user_name, disposition, link, part, redirect, repair, try_repair,
};

pub use head::head;

/// `Content-Range`: a range with bytes in it, within its total, that reads back as it is written.
pub fn content_range(bytes: &[u8]) {
    let Some(parsed) = ContentRange::parse(bytes) else { return };
    let written = match parsed {
        ContentRange::Part { range, total } => {
            assert!(!range.is_empty() && total.is_none_or(|total| range.end <= total), "{parsed:?}");
            let total = total.map_or("*".to_owned(), |total| total.to_string());
            format!("bytes {}-{}/{total}", range.start, range.end - 1)
        }
        ContentRange::Unsatisfied { total } => format!("bytes */{total}"),
    };
    assert_eq!(ContentRange::parse(written.as_bytes()), Some(parsed));
}

/// `Content-Disposition`: a name that is not blank, of which a safe one is made.
pub fn content_disposition(bytes: &[u8]) {
    if let Some(name) = disposition::file_name(bytes) {
        assert!(!name.trim().is_empty());
        // Of a byte of ISO-8859-1 become two.
        assert!(name.len() <= bytes.len() * 2);
        assert_safe(&repair(&name));
    }
    let url = start("https");
    assert_safe(&name::choose(Some(bytes), &url, &url));
}

/// File names: a server's are repaired to safe ones, once and for all; a user's are one path component or refused.
pub fn file_name(bytes: &[u8]) {
    let name = repair(bytes);
    assert_safe(&name);
    assert_eq!(repair(&name), name, "repairing is idempotent");
    assert_eq!(try_repair(bytes).unwrap_or_else(|| name.clone()), name);
    if let Ok(user) = std::str::from_utf8(bytes)
        && check_user_name(user).is_ok()
    {
        assert_fits(user);
    }
    if let Ok(url) = start("https").join(&disposition::text(bytes)) {
        assert_safe(&name::choose(None, &url, &start("https")));
        assert_safe(&name::choose(None, &start("https"), &url));
    }
}

/// `Retry-After`, and `Date` on a second line: a wait that can be added to a time, or none.
pub fn retry_after(bytes: &[u8]) {
    let mut lines = values(bytes);
    let mut headers = HeaderMap::new();
    for name in [RETRY_AFTER, DATE] {
        if let Some(value) = lines.next() {
            headers.insert(name, value);
        }
    }
    let (url, status) = (start("https"), StatusCode::SERVICE_UNAVAILABLE);
    let answer = Answer { url: &url, status, headers: &headers, length: None };
    let asked = Asked { start: 0, end: None, ranged: true, conditional: false, in_doubt: false, by_post: false };
    let fault = judge(&answer, asked, &Identity::default()).expect_err("503 is a fault");
    assert_shown(&fault.detail);
    if let Some(wait) = fault.retry_after {
        let now = haul_core::Time::from_millis(u64::MAX);
        assert_eq!((now + wait).since(now).min(wait), (now + wait).since(now));
        let value = headers.get(RETRY_AFTER).expect("there is a wait").as_bytes().trim_ascii();
        let seconds = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
        assert!(seconds.is_none_or(|seconds| wait.as_secs() == seconds));
    }
}

/// `Link`, one value on each line: few mirrors that may be asked, each once, and none of those that were.
pub fn link(bytes: &[u8]) {
    for link in link::links(bytes) {
        assert!(!link.target.contains(&b'>'));
    }
    let headers: HeaderMap = values(bytes).map(|value| (LINK, value)).fold(HeaderMap::new(), appended);
    for (first, last) in [("https", "https"), ("http", "http"), ("http", "https")] {
        let last = start(last);
        let mut on_the_way = HintsOnTheWay::default();
        on_the_way.redirected(&start(first).join("/before").expect("a URL"), &headers);
        let hints = on_the_way.answered(&last, &headers);
        assert_fetchable(&hints, &last);
        assert_no_secret(&format!("{hints:?}"), bytes);
    }
}

/// `Repr-Digest` and `Digest` at once, and a checksum as people write it: what is read prints back.
pub fn digest(bytes: &[u8]) {
    if let Ok(checksum) = std::str::from_utf8(bytes).unwrap_or_default().parse::<Checksum>() {
        assert_prints_back(&checksum);
    }
    let found = |names: &[&'static str]| {
        let lines = names.iter().flat_map(|name| values(bytes).map(|value| (HeaderName::from_static(name), value)));
        let headers = lines.fold(HeaderMap::new(), appended);
        let hints = HintsOnTheWay::default().answered(&start("https"), &headers);
        hints.checksum.iter().for_each(assert_prints_back);
        hints.checksum
    };
    let (new, old, both) = (found(&["repr-digest"]), found(&["digest"]), found(&["repr-digest", "digest"]));
    let kind = |checksum: &Option<Checksum>| checksum.as_ref().map(Checksum::kind);
    assert_eq!(kind(&both), kind(&new).max(kind(&old)), "the strongest is taken");
    if kind(&new) == kind(&both) {
        assert_eq!(both, new, "the newer field counts");
    }
}

/// `Location`, one hop on each line: only HTTP, never away from TLS, never in circles, not for ever.
pub fn location(bytes: &[u8]) {
    for scheme in ["https", "http"] {
        let mut route = Route::new(&start(scheme));
        let mut hops = vec![route.url().clone()];
        for value in values(bytes) {
            if let Err(fault) = route.follow(Some(value.as_bytes())) {
                assert_shown(&fault.detail);
                assert_no_secret(&fault.detail, bytes);
                break;
            }
            let (here, next) = (hops.last().expect("the start"), route.url());
            assert_bare(next);
            assert!(!redirect::is_downgrade(here, next) && !hops.contains(next) && hops.len() <= 10);
            assert_safe(&name::choose(None, next, &hops[0]));
            hops.push(next.clone());
        }
    }
}

fn assert_prints_back(checksum: &Checksum) {
    assert_eq!(checksum.to_string().parse().as_ref(), Ok(checksum));
}

fn assert_fetchable(hints: &Hints, asked: &Url) {
    assert!(hints.mirrors.len() <= 64);
    for (index, hint) in hints.mirrors.iter().enumerate() {
        assert_bare(&hint.url);
        assert!((1..=999_999).contains(&hint.priority));
        assert!(hint.url != redirect::bare(asked.clone()), "it was asked already");
        assert!(hints.mirrors[..index].iter().all(|other| other.url != hint.url), "it comes twice");
    }
    hints.metalink.iter().for_each(assert_bare);
}

/// A URL that may be asked: HTTP at some host, without what is no part of an address.
fn assert_bare(url: &Url) {
    assert!(matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty()), "{url}");
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none(), "{url}");
}

/// A name that haul gives by itself (F-NAME-03 to 05).
fn assert_safe(name: &str) {
    assert_eq!(check_user_name(name), Ok(()), "{name:?}");
    assert!(!name.contains(['/', '\\', '\0']) && !name.starts_with(['.', '-']), "{name:?}");
    let is_bidi =
        |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!name.contains(|c: char| c.is_control() || is_bidi(c)), "{name:?}");
    assert!(name.len() + ".00000000.haul-part".len() + " (9999)".len() <= NAME_BYTES_MAX, "{name:?}");
    assert_fits(name);
}

/// One component of a path, with every suffix that haul puts to it.
fn assert_fits(name: &str) {
    for name in [name.to_owned(), part::numbered(name, 1), part::numbered(name, u32::MAX), part::part_name(name, 7)] {
        let mut components = std::path::Path::new(&name).components();
        assert_eq!(components.next(), Some(std::path::Component::Normal(name.as_ref())), "{name:?}");
        assert!(components.next().is_none() && !name.contains('\0') && name.len() <= NAME_BYTES_MAX, "{name:?}");
    }
}

/// A text for people: one line, that ends.
fn assert_shown(detail: &str) {
    assert!(!detail.contains(|c: char| c.is_control() || crate::name::is_invisible(c)), "{detail:?}");
    assert!(detail.len() <= SHOWN_BYTES_MAX, "{} bytes", detail.len());
}

/// The lines that a header can have as its value.
fn values(bytes: &[u8]) -> impl Iterator<Item = HeaderValue> {
    bytes.split(|&byte| byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok())
}

fn appended(mut headers: HeaderMap, (name, value): (HeaderName, HeaderValue)) -> HeaderMap {
    headers.append(name, value);
    headers
}

/// Where everything begins: with secrets that must not be seen.
fn start(scheme: &str) -> Url {
    let text = format!("{scheme}://u:canary@h.example/d/a.iso{SECRET}");
    text.parse().expect("a URL")
}

/// The query with which everything begins is not seen, unless it came in otherwise. No host or path can hold its `?`.
fn assert_no_secret(shown: &str, bytes: &[u8]) {
    let came_in = bytes.windows(SECRET.len()).any(|window| window.eq_ignore_ascii_case(SECRET.as_bytes()));
    assert!(came_in || !shown.contains(SECRET), "{shown}");
}

const SECRET: &str = "?canary";

/// Bytes of a text for people: two URLs with 200 characters of host and path each, and 200 characters that may be escaped.
const SHOWN_BYTES_MAX: usize = 2 * 450 + 200 * "\\u{10ffff}".len() + 100;

#[cfg(test)]
mod tests {
    use haul_testkit::replay;

    #[test]
    fn f_range_09_the_corpus_of_content_ranges_holds() {
        replay("content_range", super::content_range);
    }

    #[test]
    fn f_name_03_04_05_the_corpus_of_content_dispositions_holds() {
        replay("content_disposition", super::content_disposition);
    }

    #[test]
    fn f_name_02_03_04_05_the_corpus_of_file_names_holds() {
        replay("file_name", super::file_name);
    }

    #[test]
    fn f_http_02_the_corpus_of_waits_holds() {
        replay("retry_after", super::retry_after);
    }

    #[test]
    fn the_corpus_of_links_holds() {
        replay("link", super::link);
    }

    #[test]
    fn the_corpus_of_digests_holds() {
        replay("digest", super::digest);
    }

    #[test]
    fn f_http_06_07_08_10_the_corpus_of_locations_holds() {
        replay("location", super::location);
    }

    #[test]
    fn f_range_03_04_05_the_corpus_of_heads_holds() {
        replay("head", super::head);
    }
}
