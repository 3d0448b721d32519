//! What is known of a file's version: validators and total, and what they say about an answer.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, DATE, ETAG, LAST_MODIFIED};

/// What tells one version of a file from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The entity tag as it was sent, quotes and `W/` included.
    pub etag: Option<String>,
    /// The modification date as it was sent.
    pub last_modified: Option<String>,
    /// Whether the date is old enough against the server's clock to be used in `If-Range`
    /// (RFC 9110 section 8.8.2.2).
    pub date_is_strong: bool,
    /// The length of the file.
    pub total: Option<u64>,
    /// The media type as it was sent.
    pub content_type: Option<String>,
    /// The host that sent the validators: those of another host cannot be compared (F-IDENT-09). `None` compares
    /// with every host's.
    pub host: Option<String>,
}

/// What a comparison of validators says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same version, by a validator.
    Same,
    /// Another version, by a validator.
    Different,
    /// Nothing to compare.
    Unknown,
}

impl Identity {
    /// What an answer says of its file.
    pub(crate) fn of(headers: &HeaderMap, total: Option<u64>, host: Option<&str>) -> Self {
        let last_modified = text(headers, LAST_MODIFIED);
        Self {
            etag: text(headers, ETAG).filter(|tag| is_tag(tag)),
            date_is_strong: last_modified
                .as_deref()
                .is_some_and(|date| is_strong(date, text(headers, DATE).as_deref())),
            last_modified,
            total,
            content_type: text(headers, CONTENT_TYPE),
            host: host.map(str::to_owned),
        }
    }

    /// The value for `If-Range`: a strong tag, or a date that is as good as one where there is no tag at all.
    pub(crate) fn if_range(&self, host: Option<&str>) -> Option<&str> {
        if !self.speaks_of(host) {
            return None;
        }
        match &self.etag {
            Some(tag) if tag.starts_with('"') => Some(tag),
            Some(_) => None,
            None => self.last_modified.as_deref().filter(|_| self.date_is_strong),
        }
    }

    /// Compares the validators with those of an answer. Weak tags are compared weakly, and a tag outweighs a date.
    pub(crate) fn compare(&self, answer: &Self) -> Verdict {
        if !self.speaks_of(answer.host.as_deref()) {
            return Verdict::Unknown;
        }
        let verdict = |same: bool| if same { Verdict::Same } else { Verdict::Different };
        if let (Some(known), Some(sent)) = (&self.etag, &answer.etag) {
            return verdict(opaque(known) == opaque(sent));
        }
        if let (Some(known), Some(sent)) = (&self.last_modified, &answer.last_modified) {
            return verdict(known == sent);
        }
        Verdict::Unknown
    }

    /// Tells whether a strong tag says that the answer is of the same version, byte by byte.
    pub(crate) fn vouches_for(&self, answer: &Self) -> bool {
        self.has_strong_tag() && self.etag == answer.etag && self.speaks_of(answer.host.as_deref())
    }

    /// Tells whether there is a tag that no other bytes can have.
    #[must_use]
    pub fn has_strong_tag(&self) -> bool {
        self.etag.as_deref().is_some_and(|tag| tag.starts_with('"'))
    }

    /// Tells whether the answer carries no validator although one is known.
    pub(crate) fn is_missed_in(&self, answer: &Self) -> bool {
        let has_validator = |identity: &Self| identity.etag.is_some() || identity.last_modified.is_some();
        has_validator(self) && !has_validator(answer)
    }

    /// Tells whether the totals are known and equal.
    pub(crate) fn has_total_of(&self, answer: &Self) -> bool {
        self.total.is_some() && self.total == answer.total
    }

    /// Tells whether the totals are known and differ.
    pub(crate) fn differs_in_total(&self, answer: &Self) -> bool {
        matches!((self.total, answer.total), (Some(known), Some(sent)) if known != sent)
    }

    /// Tells whether the media type is that of a web page.
    #[must_use]
    pub fn is_html(&self) -> bool {
        self.content_type
            .as_deref()
            .is_some_and(|media| media.trim_start().to_ascii_lowercase().starts_with("text/html"))
    }

    fn speaks_of(&self, host: Option<&str>) -> bool {
        self.host.is_none() || self.host.as_deref() == host
    }
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// `"..."` or `W/"..."`; what is not in the grammar is no tag and must not be sent back.
fn is_tag(tag: &str) -> bool {
    let opaque = opaque(tag);
    opaque.len() >= 2
        && opaque.starts_with('"')
        && opaque.ends_with('"')
        && !opaque[1..opaque.len() - 1].contains(['"', ' '])
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// Without the answer's own clock a date proves nothing.
fn is_strong(last_modified: &str, date: Option<&str>) -> bool {
    let parse = |text: &str| httpdate::parse_http_date(text).ok();
    match (parse(last_modified), date.and_then(parse)) {
        (Some(modified), Some(now)) => now.duration_since(modified).is_ok_and(|age| age >= DATE_AGE_MIN),
        _ => false,
    }
}

/// How far `Last-Modified` must lie before `Date` (RFC 9110 section 8.8.2.2).
const DATE_AGE_MIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(etag: Option<&str>, last_modified: Option<&str>) -> Identity {
        Identity {
            etag: etag.map(str::to_owned),
            last_modified: last_modified.map(str::to_owned),
            ..Identity::default()
        }
    }

    #[test]
    fn a_tag_outweighs_a_date_and_weak_tags_compare_weakly() {
        let strong = tagged(Some("\"a\""), Some("Monday"));
        for (answer, verdict) in [
            (tagged(Some("\"a\""), Some("Tuesday")), Verdict::Same),
            (tagged(Some("W/\"a\""), None), Verdict::Same),
            (tagged(Some("\"b\""), Some("Monday")), Verdict::Different),
            (tagged(None, Some("Monday")), Verdict::Same),
            (tagged(None, Some("Tuesday")), Verdict::Different),
            (tagged(None, None), Verdict::Unknown),
        ] {
            assert_eq!(strong.compare(&answer), verdict, "{answer:?}");
        }
    }

    #[test]
    fn f_ident_09_validators_of_another_host_are_not_compared() {
        let known = Identity { host: Some("a".to_owned()), ..tagged(Some("\"a\""), None) };
        let other = Identity { host: Some("b".to_owned()), ..tagged(Some("\"x\""), None) };
        assert_eq!(known.compare(&other), Verdict::Unknown);
        assert_eq!(known.if_range(Some("b")), None);
        assert_eq!(known.if_range(Some("a")), Some("\"a\""));
    }

    #[test]
    fn if_range_takes_strong_tags_and_old_dates_only() {
        assert_eq!(tagged(Some("W/\"a\""), Some("Monday")).if_range(None), None);
        let mut dated = tagged(None, Some("Monday"));
        assert_eq!(dated.if_range(None), None);
        dated.date_is_strong = true;
        assert_eq!(dated.if_range(None), Some("Monday"));
    }

    #[test]
    fn a_date_is_strong_a_minute_before_the_servers_clock() {
        let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert!(is_strong(modified, Some("Sun, 06 Nov 1994 08:50:37 GMT")));
        assert!(!is_strong(modified, Some("Sun, 06 Nov 1994 08:50:36 GMT")));
        assert!(!is_strong(modified, None));
        assert!(!is_strong("yesterday", Some(modified)));
    }

    #[test]
    fn only_tags_of_the_grammar_are_taken() {
        for (value, taken) in [("\"a\"", true), ("W/\"a\"", true), ("a", false), ("\"", false), ("\"a b\"", false)] {
            let headers = HeaderMap::from_iter([(ETAG, value.parse().expect("a value"))]);
            assert_eq!(Identity::of(&headers, None, None).etag.is_some(), taken, "{value}");
        }
    }
}
