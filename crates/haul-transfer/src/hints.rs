//! What servers say about other sources of a file and about its digest: `Link` (RFC 6249), `Repr-Digest` (RFC 9530)
//! and `Digest` (RFC 3230).
//!
//! All of it is said, none of it is proved. A redirect counts, too, because servers that know many mirrors send their
//! clients on to one of them. `Content-Digest` is not read: of a partial answer it is the digest of the part.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, LINK};
use sfv::{BareItem, Dictionary, ListEntry, Parser};
use url::Url;

use crate::disposition::text;
use crate::link::{Link, links};
use crate::redirect::{bare, is_downgrade, is_http};
use crate::response::is_no_coding;
use crate::{Checksum, ChecksumKind, Masked};

/// What an answer, and the redirects on the way to it, say about other sources of the file and about its digest.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// Other URLs of the same file, the preferred ones first: at most 64, each once, none of those that were asked.
    pub mirrors: Vec<MirrorHint>,
    /// Where a Metalink description of the file is.
    pub metalink: Option<Url>,
    /// The strongest digest of the whole file that haul can verify.
    pub checksum: Option<Checksum>,
}

/// Another URL of the same file.
#[derive(Clone, PartialEq, Eq)]
pub struct MirrorHint {
    /// HTTP or HTTPS, without userinfo and fragment; never without TLS where the server that named it has TLS.
    pub url: Url,
    /// 1 is the best, 999,999 the worst and what counts where nothing is said.
    pub priority: u32,
}

/// Collects hints on the way from the first request to the answer.
#[derive(Default)]
pub(crate) struct HintsOnTheWay {
    asked: Vec<Url>,
    mirrors: Vec<(bool, MirrorHint)>,
    metalink: Option<Url>,
    checksum: Option<Checksum>,
}

impl HintsOnTheWay {
    /// Takes what a redirect says.
    pub(crate) fn redirected(&mut self, url: &Url, headers: &HeaderMap) {
        let says_where = self.note_links(url, headers);
        // Else the digest could be that of the redirect's own body.
        if says_where {
            self.checksum = checksum(headers).or(self.checksum.take());
        }
    }

    /// Takes what the answer says, and ends.
    pub(crate) fn answered(mut self, url: &Url, headers: &HeaderMap) -> Hints {
        self.note_links(url, headers);
        let mut known: BTreeSet<Url> = self.asked.into_iter().collect();
        self.mirrors.sort_by_key(|(is_preferred, hint)| (!is_preferred, hint.priority));
        let mirrors = self.mirrors.into_iter().map(|(_, hint)| hint);
        Hints {
            mirrors: mirrors.filter(|hint| known.insert(hint.url.clone())).take(MIRRORS_MAX).collect(),
            metalink: self.metalink,
            checksum: checksum(headers).or(self.checksum),
        }
    }

    /// Takes the links to mirrors and to a Metalink; tells whether there was one.
    fn note_links(&mut self, url: &Url, headers: &HeaderMap) -> bool {
        self.asked.push(bare(url.clone()));
        let values = headers.get_all(LINK).into_iter();
        let mut says_where = false;
        for link in values.flat_map(|value| links(value.as_bytes())).take(LINKS_MAX) {
            // A link with an anchor speaks of something else.
            let Some(target) = target(url, &link).filter(|_| link.parameter("anchor").is_none()) else { continue };
            if link.is("duplicate") {
                says_where = true;
                let hint = MirrorHint { url: target, priority: priority(&link) };
                self.mirrors.push((link.parameter("pref").is_some(), hint));
            } else if link.is("describedby") && is_metalink(&link) {
                says_where = true;
                self.metalink.get_or_insert(target);
            }
        }
        says_where
    }
}

fn target(base: &Url, link: &Link<'_>) -> Option<Url> {
    let url = base.join(&text(link.target)).ok().map(bare)?;
    (is_http(&url) && !is_downgrade(base, &url)).then_some(url)
}

fn priority(link: &Link<'_>) -> u32 {
    let digits = link.parameter("pri").and_then(|value| std::str::from_utf8(value).ok());
    let number = digits.and_then(|digits| digits.parse().ok());
    number.filter(|number| (1..=PRIORITY_WORST).contains(number)).unwrap_or(PRIORITY_WORST)
}

fn is_metalink(link: &Link<'_>) -> bool {
    let media = link.parameter("type").unwrap_or_default();
    let media = media.split(|&byte| byte == b';').next().unwrap_or_default();
    media.trim_ascii().eq_ignore_ascii_case(METALINK_TYPE.as_bytes())
}

/// The strongest digest that haul can verify. Servers do not agree on what they digest where a coding is applied.
fn checksum(headers: &HeaderMap) -> Option<Checksum> {
    let codings = headers.get_all(CONTENT_ENCODING).into_iter();
    if codings.into_iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b',')).any(|c| !is_no_coding(c)) {
        return None;
    }
    // Of two of a kind the last is taken: that of the newer field.
    old_digests(headers).into_iter().chain(digests(headers)).max_by_key(Checksum::kind)
}

/// `Repr-Digest: sha-256=:base64:, ...`; all or nothing, as structured fields are.
fn digests(headers: &HeaderMap) -> Vec<Checksum> {
    let values: Vec<&[u8]> = headers.get_all("repr-digest").iter().map(http::HeaderValue::as_bytes).collect();
    let Ok(dictionary) = Parser::new(&values.join(&b", "[..])).parse::<Dictionary>() else {
        return Vec::new();
    };
    let digest = |(name, entry): (&sfv::Key, &ListEntry)| match entry {
        ListEntry::Item(sfv::Item { bare_item: BareItem::ByteSequence(bytes), .. }) => {
            Checksum::new(ChecksumKind::named(name.as_str())?, bytes)
        }
        ListEntry::Item(_) | ListEntry::InnerList(_) => None,
    };
    dictionary.iter().filter_map(digest).collect()
}

/// `Digest: SHA-256=base64,...`; what cannot be read is passed over.
fn old_digests(headers: &HeaderMap) -> Vec<Checksum> {
    let values = headers.get_all("digest").iter().filter_map(|value| value.to_str().ok());
    let digest = |entry: &str| {
        let (name, value) = entry.split_once('=')?;
        let kind = ChecksumKind::named(name.trim())?;
        Checksum::new(kind, &STANDARD.decode(value.trim()).ok()?)
    };
    values.flat_map(|value| value.split(',')).filter_map(digest).collect()
}

impl fmt::Debug for Hints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hints")
            .field("mirrors", &self.mirrors)
            .field("metalink", &self.metalink.as_ref().map(Masked))
            .field("checksum", &self.checksum)
            .finish()
    }
}

impl fmt::Debug for MirrorHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", Masked(&self.url), self.priority)
    }
}

/// The media type of Metalink 4 (RFC 5854 section 8.3).
const METALINK_TYPE: &str = "application/metalink4+xml";

/// The number for the worst mirrors (RFC 6249 section 3.1).
const PRIORITY_WORST: u32 = 999_999;

/// Mirrors that are reported; a guess at more than anybody uses.
const MIRRORS_MAX: usize = 64;

/// Links of one answer that are looked at, so that no answer costs more than a few milliseconds; a guess.
const LINKS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: &str = "https://h.example/d/a.iso?signature=canary";

    fn headers(lines: &[&str]) -> HeaderMap {
        let line = |line: &&str| {
            let (name, value) = line.split_once(": ").expect("a header line");
            (name.parse().expect("a name"), value.parse().expect("a value"))
        };
        HeaderMap::from_iter(lines.iter().map(line))
    }

    fn of(lines: &[&str]) -> Hints {
        HintsOnTheWay::default().answered(&HERE.parse().expect("a URL"), &headers(lines))
    }

    fn mirrors(hints: &Hints) -> Vec<(&str, u32)> {
        hints.mirrors.iter().map(|hint| (hint.url.as_str(), hint.priority)).collect()
    }

    #[test]
    fn mirrors_are_ordered_by_preference_then_priority_then_place() {
        let mut on_the_way = headers(&["link: <https://late/>; rel=duplicate"]);
        on_the_way.append(
            LINK,
            "<https://b/>; rel=duplicate; pri=2; geo=de, <https://a/>; rel=duplicate; pri=1".parse().expect("a value"),
        );
        on_the_way.append(
            LINK,
            "<https://p/>; rel=\"duplicate\"; pref; pri=9, <https://c/>; pri=2; rel=duplicate"
                .parse()
                .expect("a value"),
        );
        let hints = HintsOnTheWay::default().answered(&HERE.parse().expect("a URL"), &on_the_way);
        let expected =
            [("https://p/", 9), ("https://a/", 1), ("https://b/", 2), ("https://c/", 2), ("https://late/", 999_999)];
        assert_eq!(mirrors(&hints), expected);
    }

    #[test]
    fn only_links_that_can_be_mirrors_are_taken() {
        for (link, taken) in [
            ("<b.iso>; rel=duplicate", Some("https://h.example/d/b.iso")),
            ("<//m.example/a>; rel=duplicate", Some("https://m.example/a")),
            ("<https://u:canary@m.example/a#x>; rel=duplicate", Some("https://m.example/a")),
            ("<https://m.example/a>; rel=\"next duplicate\"", Some("https://m.example/a")),
            ("<https://h.example/d/a.iso?signature=canary>; rel=duplicate", None),
            ("<>; rel=duplicate", None),
            ("<http://m.example/a>; rel=duplicate", None),
            ("<ftp://m.example/a>; rel=duplicate", None),
            ("<file:///etc/passwd>; rel=duplicate", None),
            ("<javascript:alert(1)>; rel=duplicate", None),
            ("<https://[::1>; rel=duplicate", None),
            ("<https://m.example/a>; rel=next", None),
            ("<https://m.example/a>; rel=next; rel=duplicate", None),
            ("<https://m.example/a>; rel=duplicate; anchor=\"/other\"", None),
            ("<https://m.example/a>", None),
        ] {
            let hints = of(&[&format!("link: {link}")]);
            assert_eq!(mirrors(&hints).first().map(|(url, _)| *url), taken, "{link}");
        }
        let plain = HintsOnTheWay::default().answered(
            &"http://h.example/a".parse().expect("a URL"),
            &headers(&["link: <http://m.example/a>; rel=duplicate"]),
        );
        assert_eq!(mirrors(&plain), [("http://m.example/a", 999_999)]);
    }

    #[test]
    fn priorities_that_are_none_are_the_worst() {
        for (pri, priority) in [("1", 1), ("\"7\"", 7), ("999999", 999_999), ("0", 999_999), ("1000000", 999_999)] {
            let hints = of(&[&format!("link: <https://m/>; rel=duplicate; pri={pri}")]);
            assert_eq!(mirrors(&hints), [("https://m/", priority)], "{pri}");
        }
        assert_eq!(mirrors(&of(&["link: <https://m/>; rel=duplicate; pri=-1"])), [("https://m/", 999_999)]);
    }

    #[test]
    fn many_mirrors_are_cut_after_sorting_and_each_comes_once() {
        let link = |at: usize| format!("<https://m/{}>; rel=duplicate; pri={}", at % 90, 1000 - at);
        let value = (0..900).map(link).collect::<Vec<_>>().join(",");
        let hints = of(&[&format!("link: {value}")]);
        assert_eq!(hints.mirrors.len(), 64);
        assert_eq!(mirrors(&hints)[..2], [("https://m/89", 101), ("https://m/88", 102)]);
        let flood = "<https://m/1>; rel=next,".repeat(LINKS_MAX) + "<https://m/2>; rel=duplicate";
        assert_eq!(of(&[&format!("link: {flood}")]), Hints::default());
    }

    #[test]
    fn a_metalink_is_reported_by_its_type() {
        let metalink = |link: &str| of(&[&format!("link: {link}")]).metalink.map(String::from);
        let good = "<a.meta4>; rel=describedby; type=\"application/metalink4+xml\"";
        assert_eq!(metalink(good).as_deref(), Some("https://h.example/d/a.meta4"));
        assert_eq!(metalink("<a.asc>; rel=describedby; type=\"application/pgp-signature\""), None);
        assert_eq!(metalink("<a.meta4>; rel=describedby"), None);
    }

    #[test]
    fn the_strongest_digest_that_can_be_verified_is_taken() {
        // Of nothing at all.
        let sha256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let sha512 = "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==";
        let md5 = "1B2M2Y8AsgTpgAmY7PhCfg==";
        let (short_256, short_512, short_md5) = ("sha-256:e3b0c442", "sha-512:cf83e135", "md5:d41d8cd9");
        for (lines, begins) in [
            (vec![format!("repr-digest: sha-256=:{sha256}:")], Some(short_256)),
            (vec![format!("repr-digest: sha-512=:{sha512}:, sha-256=:{sha256}:")], Some(short_512)),
            (
                vec![format!("repr-digest: sha-256=:{sha256}:;x=1"), "repr-digest: unixsum=:AAAA:".into()],
                Some(short_256),
            ),
            (vec![format!("repr-digest: md5=:{md5}:"), format!("digest: SHA-256={sha256}")], Some(short_256)),
            (vec![format!("digest: MD5={md5}, sha-256={sha256} ,UNIXsum=30637")], Some(short_256)),
            (vec![format!("digest: MD5={md5}"), "digest: SHA-256=short".into()], Some(short_md5)),
            (vec![format!("content-digest: sha-256=:{sha256}:")], None),
            (vec![format!("repr-digest: sha-256={sha256}")], None),
            (vec![format!("repr-digest: sha-512=:{sha256}:")], None),
            (vec!["repr-digest: sha-256=1, sha-512=(1 2), md5".into()], None),
            (vec!["digest: ".into()], None),
            (vec![format!("repr-digest: sha-256=:{sha256}:"), "content-encoding: gzip".into()], None),
            (vec![format!("digest: SHA-256={sha256}"), "content-encoding: identity, br".into()], None),
            (vec![format!("digest: SHA-256={sha256}"), "content-encoding: identity".into()], Some(short_256)),
        ] {
            let hints = of(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            let found = hints.checksum.map(|checksum| checksum.to_string());
            assert_eq!(found.as_deref().map(|text| &text[..begins.map_or(0, str::len)]), begins, "{lines:?}");
        }
    }

    #[test]
    fn of_two_digests_of_a_kind_the_newer_field_counts() {
        let (old, new) = ("A".repeat(21) + "A==", "B".repeat(21) + "A==");
        let hints = of(&[&format!("digest: MD5={old}"), &format!("repr-digest: md5=:{new}:")]);
        assert!(hints.checksum.expect("a digest").to_string().starts_with("md5:0410"));
    }

    #[test]
    fn a_redirect_may_name_mirrors_and_beside_them_a_digest() {
        let (first, last) = (Url::parse("https://r/a").expect("a URL"), Url::parse("https://m1/a").expect("a URL"));
        let digest = "digest: MD5=1B2M2Y8AsgTpgAmY7PhCfg==";
        let links = "link: <https://m1/a>; rel=duplicate; pri=1, <https://m2/a>; rel=duplicate, <a>; rel=duplicate";
        let mut hints = HintsOnTheWay::default();
        hints.redirected(&first, &headers(&[links, digest]));
        let hints = hints.answered(&last, &headers(&[]));
        assert_eq!(mirrors(&hints), [("https://m2/a", 999_999)]);
        assert!(hints.checksum.is_some());

        let mut hints = HintsOnTheWay::default();
        hints.redirected(&first, &headers(&[digest]));
        assert_eq!(hints.answered(&last, &headers(&[])), Hints::default());
    }

    #[test]
    fn f_inv_7_hints_are_shown_without_secrets() {
        let hints = of(&["link: <https://u:canary@m/?canary>; rel=duplicate, \
            <https://m/?canary>; rel=describedby; type=\"application/metalink4+xml\""]);
        assert!(hints.metalink.is_some() && hints.mirrors.len() == 1);
        assert!(!format!("{hints:?}").contains("canary"), "{hints:?}");
    }

    proptest! {
        #[test]
        fn hostile_hints_are_bounded_and_safe(
            link in "(<|>|;|,|\"|=| |rel=duplicate|pri=|1|pref|https://|u:p@|m|//|/|http:|\\[|\u{e9}){0,120}",
            digest in "(sha-256|md5|=|:|,|A|AAAA| |\\(|\\)|;|\"){0,60}",
        ) {
            let mut lines = HeaderMap::new();
            lines.insert(LINK, http::HeaderValue::from_bytes(link.as_bytes()).expect("a value"));
            lines.insert("repr-digest", digest.parse().expect("a value"));
            lines.insert("digest", digest.parse().expect("a value"));
            let hints = HintsOnTheWay::default().answered(&HERE.parse().expect("a URL"), &lines);
            prop_assert!(hints.mirrors.len() <= MIRRORS_MAX);
            for hint in hints.mirrors {
                prop_assert!(hint.url.scheme() == "https" && hint.url.username().is_empty());
                prop_assert!(hint.url.password().is_none() && (1..=PRIORITY_WORST).contains(&hint.priority));
            }
        }
    }
}
