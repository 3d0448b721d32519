//! Whether an answer fits what was asked and what is known: the checklist of FAILURES section 3, in its order.
//!
//! Pure. It runs before the first byte of a body is written, and nothing is written unless it says so.

use std::time::{Duration, SystemTime};

use haul_core::{Fault, FaultKind};
use http::header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};
use url::Url;

use crate::identity::Verdict;
use crate::request::{Asked, host_of};
use crate::{ContentRange, Escaped, Identity, Masked, disposition};

/// The head of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) url: &'a Url,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    /// The length of the body, where it is declared and no other framing overrules it.
    pub(crate) length: Option<u64>,
}

/// What to do with an answer that is no fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Write its body.
    Take(Accepted),
    /// The file is empty; the body is none of it.
    Empty(Accepted),
    /// Ask once more, without a range.
    AskUnranged,
    /// Ask once more, without a condition.
    AskUnconditionally,
}

/// An answer that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Where the body ends in the file, where that is declared.
    pub(crate) end: Option<u64>,
    pub(crate) partial: bool,
    pub(crate) identity: Identity,
}

/// Applies the checklist.
pub(crate) fn judge(answer: &Answer<'_>, asked: Asked, known: &Identity) -> Result<Judgement, Fault> {
    match answer.status.as_u16() {
        200 | 203 => answer.check_encoding().and_then(|()| answer.judge_whole(asked, known)),
        206 => answer.check_encoding().and_then(|()| answer.judge_part(asked, known)),
        304 | 412 if asked.conditional => Ok(Judgement::AskUnconditionally),
        416 if asked.ranged => answer.judge_unsatisfied(asked, known),
        status => {
            let mut fault = answer.fault(FaultKind::Status(status), &format!("answered {}", answer.status));
            fault.retry_after = answer.retry_after();
            Err(fault)
        }
    }
}

impl Answer<'_> {
    /// Nothing was accepted but `identity`. A coding that the name or the type announces is the file's own.
    fn check_encoding(&self) -> Result<(), Fault> {
        for value in self.headers.get_all(CONTENT_ENCODING) {
            for coding in value.as_bytes().split(|&byte| byte == b',') {
                let coding = coding.trim_ascii().to_ascii_lowercase();
                if !is_no_coding(&coding) && !self.announces(&coding) {
                    let what = format!("sent a body coded as `{}` unasked", Escaped(&coding));
                    return Err(self.fault(FaultKind::UnexpectedEncoding, &what));
                }
            }
        }
        Ok(())
    }

    fn announces(&self, coding: &[u8]) -> bool {
        let Some((_, endings, types)) = CODINGS.iter().find(|(name, _, _)| name.as_bytes() == coding) else {
            return false;
        };
        let disposition = self.header(CONTENT_DISPOSITION).and_then(disposition::file_name);
        let names = [Some(self.url.path().to_owned()), disposition];
        let is_named = |name: &String| {
            let name = name.to_ascii_lowercase();
            endings.iter().any(|ending| name.ends_with(ending))
        };
        names.iter().flatten().any(is_named) || types.iter().any(|media| self.has_type(media))
    }

    fn judge_whole(&self, asked: Asked, known: &Identity) -> Result<Judgement, Fault> {
        let identity = self.identity(self.length)?;
        match relation(known, &identity) {
            Relation::Changed => Err(self.changed()),
            Relation::Doubtful => Err(self.doubtful()),
            Relation::Interfered if asked.in_doubt => Err(self.changed()),
            Relation::Interfered => {
                let what = "sent something else in the place of the file";
                Err(self.fault(FaultKind::Interference, what))
            }
            Relation::Same if asked.start > 0 || asked.in_doubt => {
                let what = format!("sent the whole file when asked for a part from byte {}", asked.start);
                Err(self.fault(FaultKind::RangesRefused, &what))
            }
            Relation::Same => Ok(Judgement::Take(Accepted { end: self.length, partial: false, identity })),
        }
    }

    fn judge_part(&self, asked: Asked, known: &Identity) -> Result<Judgement, Fault> {
        let mismatch = |what: &str| self.fault(FaultKind::RangeMismatch, what);
        if !asked.ranged {
            return Err(mismatch("sent a part when asked for the whole file"));
        }
        if self.has_type("multipart/byteranges") {
            return Err(mismatch("sent several parts when asked for one"));
        }
        let (range, total) = match self.content_range()? {
            Some(ContentRange::Part { range, total }) => (range, total),
            Some(ContentRange::Unsatisfied { .. }) | None => {
                return Err(mismatch("sent a part without saying which"));
            }
        };
        if range.start != asked.start || asked.end.is_some_and(|end| range.end > end) {
            let asked_end = asked.end.map(|end| end.to_string()).unwrap_or_default();
            let what = format!("sent bytes {range} when asked for {}..{asked_end}", asked.start);
            return Err(mismatch(&what));
        }
        // Without a length a chunked body is all there is to tell that the part is whole (F-RANGE-06).
        if self.length != Some(range.len()) {
            return Err(mismatch("sent a part whose length does not fit its range"));
        }
        let identity = self.identity(total)?;
        match known.compare(&identity) {
            Verdict::Different if known.has_total_of(&identity) => Err(self.doubtful()),
            Verdict::Different => Err(self.changed()),
            Verdict::Same if known.differs_in_total(&identity) => {
                Err(mismatch("sent a part of the same version with another total"))
            }
            Verdict::Unknown if known.differs_in_total(&identity) => Err(self.changed()),
            Verdict::Same | Verdict::Unknown => {
                Ok(Judgement::Take(Accepted { end: Some(range.end), partial: true, identity }))
            }
        }
    }

    /// 416: the file is shorter than we believe, or empty, or the server cannot do it.
    fn judge_unsatisfied(&self, asked: Asked, known: &Identity) -> Result<Judgement, Fault> {
        let total = match self.content_range()? {
            Some(ContentRange::Unsatisfied { total }) => Some(total),
            Some(ContentRange::Part { .. }) | None => None,
        };
        let what = format!("has nothing from byte {} on", asked.start);
        match (known.total, total) {
            (Some(known), Some(total)) if known != total => Err(self.changed()),
            (None | Some(0), Some(0)) if asked.start == 0 => {
                Ok(Judgement::Empty(Accepted { end: Some(0), partial: true, identity: self.identity(Some(0))? }))
            }
            (None, _) if asked.start == 0 => Ok(Judgement::AskUnranged),
            (Some(_) | None, Some(_) | None) => Err(self.fault(FaultKind::RangeMismatch, &what)),
        }
    }

    fn identity(&self, total: Option<u64>) -> Result<Identity, Fault> {
        if total.is_some_and(|total| total > TOTAL_MAX) {
            let what = "declares a length that no file can have";
            return Err(self.fault(FaultKind::MalformedResponse, what));
        }
        Ok(Identity::of(self.headers, total, Some(host_of(self.url))))
    }

    /// The one `Content-Range`; more than one, or one that is none, contradict the protocol.
    fn content_range(&self) -> Result<Option<ContentRange>, Fault> {
        let mut values = self.headers.get_all(CONTENT_RANGE).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        match ContentRange::parse(value.as_bytes()) {
            Some(range) if values.next().is_none() => Ok(Some(range)),
            Some(_) | None => {
                let what = format!("sent the content range `{}`", Escaped(value.as_bytes()));
                Err(self.fault(FaultKind::RangeMismatch, &what))
            }
        }
    }

    /// Seconds, or a date by the answer's own clock where it shows one (F-HTTP-02).
    fn retry_after(&self) -> Option<Duration> {
        let value = std::str::from_utf8(self.header(RETRY_AFTER)?).ok()?.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = |text: &str| httpdate::parse_http_date(text).ok();
        let own_clock = self.header(DATE).and_then(|value| std::str::from_utf8(value).ok()).and_then(date);
        let now = own_clock.unwrap_or_else(SystemTime::now);
        Some(date(value)?.duration_since(now).unwrap_or_default())
    }

    fn has_type(&self, media: &str) -> bool {
        self.header(CONTENT_TYPE).is_some_and(|value| {
            let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
            value[..end].trim_ascii().eq_ignore_ascii_case(media.as_bytes())
        })
    }

    fn header(&self, name: HeaderName) -> Option<&[u8]> {
        self.headers.get(name).map(http::HeaderValue::as_bytes)
    }

    /// The next server of a farm may just call the same version by another name (F-IDENT-06).
    fn doubtful(&self) -> Fault {
        let what = "sent another validator than before, and a file of the same length";
        self.fault(FaultKind::OtherValidator, what)
    }

    fn changed(&self) -> Fault {
        self.fault(FaultKind::SourceChanged, "now has another version of the file")
    }

    fn fault(&self, kind: FaultKind, what: &str) -> Fault {
        Fault::new(kind, format!("{} {what}", Masked(self.url)))
    }
}

/// Tells whether a word in `Content-Encoding` stands for none. The last three are seen in the field (F-ENC-03).
pub(crate) fn is_no_coding(word: &[u8]) -> bool {
    let words: [&[u8]; 5] = [b"", b"identity", b"none", b"binary", b"utf-8"];
    words.iter().any(|none| word.trim_ascii().eq_ignore_ascii_case(none))
}

/// What an answer with a whole body is to the file we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Same,
    Changed,
    /// Another version of the same length, or another name of the same version.
    Doubtful,
    /// Something between us and the server, such as the login page of a hotel.
    Interfered,
}

fn relation(known: &Identity, sent: &Identity) -> Relation {
    let is_page = sent.is_html() && !known.is_html();
    match known.compare(sent) {
        Verdict::Same if known.differs_in_total(sent) => Relation::Interfered,
        Verdict::Same => Relation::Same,
        Verdict::Different if is_page => Relation::Interfered,
        Verdict::Different if known.has_total_of(sent) => Relation::Doubtful,
        Verdict::Different => Relation::Changed,
        Verdict::Unknown if known.total.is_none() => Relation::Same,
        Verdict::Unknown if is_page => Relation::Interfered,
        Verdict::Unknown if known.differs_in_total(sent) => {
            if known.is_missed_in(sent) || sent.total < known.total {
                Relation::Interfered
            } else {
                Relation::Changed
            }
        }
        Verdict::Unknown => Relation::Same,
    }
}

/// Codings, and what announces that a file is coded so by itself: endings of names, and media types.
const CODINGS: [(&str, &[&str], &[&str]); 9] = [
    ("gzip", &[".gz", ".tgz", ".svgz", ".taz"], GZIP_TYPES),
    ("x-gzip", &[".gz", ".tgz", ".svgz", ".taz"], GZIP_TYPES),
    ("br", &[".br"], &[]),
    ("zstd", &[".zst", ".tzst"], &["application/zstd"]),
    ("compress", &[".z"], &["application/x-compress"]),
    ("x-compress", &[".z"], &["application/x-compress"]),
    ("bzip2", BZIP2_NAMES, &["application/x-bzip2"]),
    ("x-bzip2", BZIP2_NAMES, &["application/x-bzip2"]),
    ("xz", &[".xz", ".txz"], &["application/x-xz"]),
];

const GZIP_TYPES: &[&str] = &[
    "application/gzip",
    "application/x-gzip",
    "application/x-tgz",
    "application/x-gtar",
    "application/x-compressed-tar",
];

const BZIP2_NAMES: &[&str] = &[".bz2", ".tbz", ".tbz2"];

/// The last offset that the system can address, and SQLite can store.
const TOTAL_MAX: u64 = i64::MAX.unsigned_abs();

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked =
        Asked { start: 100, end: Some(200), ranged: true, conditional: true, in_doubt: false, by_post: false };

    const FROM_0: Asked = Asked { start: 0, end: None, ..ASKED };

    fn known() -> Identity {
        Identity {
            etag: Some("\"v1\"".to_owned()),
            total: Some(1000),
            content_type: Some("application/octet-stream".to_owned()),
            ..Identity::default()
        }
    }

    fn only_total() -> Identity {
        Identity { etag: None, ..known() }
    }

    /// Judges an answer given as its status, length and header lines.
    fn answer(
        (asked, known): (Asked, &Identity),
        status: u16,
        length: Option<u64>,
        lines: &[&str],
    ) -> Result<Judgement, Fault> {
        let headers = lines.iter().map(|line| {
            let (name, value) = line.split_once(": ").expect("a header line");
            let name: HeaderName = name.parse().expect("a name");
            (name, value.parse().expect("a value"))
        });
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value)| {
            map.append(name, value);
        });
        let url = Url::parse("http://host/a.bin?canary").expect("a URL");
        let answer =
            Answer { url: &url, status: StatusCode::from_u16(status).expect("a status"), headers: &map, length };
        let judgement = judge(&answer, asked, known);
        if let Err(fault) = &judgement {
            assert!(!fault.detail.contains("canary"), "{}", fault.detail);
        }
        judgement
    }

    fn kind(case: (Asked, &Identity), status: u16, length: Option<u64>, lines: &[&str]) -> FaultKind {
        answer(case, status, length, lines).expect_err("a fault").kind
    }

    fn taken(judgement: Result<Judgement, Fault>) -> Accepted {
        match judgement {
            Ok(Judgement::Take(accepted)) => accepted,
            other => panic!("not taken: {other:?}"),
        }
    }

    #[test]
    fn a_part_that_fits_is_taken() {
        let lines = ["content-range: bytes 100-199/1000", "etag: W/\"v1\""];
        let accepted = taken(answer((ASKED, &known()), 206, Some(100), &lines));
        assert_eq!((accepted.end, accepted.partial), (Some(200), true));
        let short = ["content-range: bytes 100-149/*"];
        let accepted = taken(answer((ASKED, &known()), 206, Some(50), &short));
        assert_eq!(accepted.end, Some(150));
    }

    #[test]
    fn f_range_03_04_06_07_a_part_that_does_not_fit_is_a_mismatch() {
        for (length, lines) in [
            (Some(100), &["content-range: bytes 101-200/1000"][..]),
            (Some(100), &["content-range: bytes 0-99/1000"]),
            (Some(101), &["content-range: bytes 100-200/1000"]),
            (Some(100), &[]),
            (Some(100), &["content-range: bytes */1000"]),
            (Some(100), &["content-range: lines 100-199/1000"]),
            (Some(100), &["content-range: bytes 100-199/1000", "content-range: bytes 100-199/1000"]),
            (None, &["content-range: bytes 100-199/1000"]),
            (Some(99), &["content-range: bytes 100-199/1000"]),
            (Some(100), &["content-range: bytes 100-199/1000", "content-type: Multipart/Byteranges; boundary=x"]),
            (Some(100), &["content-range: bytes 100-199/1001", "etag: \"v1\""]),
        ] {
            assert_eq!(kind((ASKED, &known()), 206, length, lines), FaultKind::RangeMismatch, "{lines:?}");
        }
        let unranged = Asked { ranged: false, start: 0, end: None, ..ASKED };
        let lines = ["content-range: bytes 0-99/100"];
        assert_eq!(kind((unranged, &Identity::default()), 206, Some(100), &lines), FaultKind::RangeMismatch);
    }

    #[test]
    fn f_ident_01_a_part_of_another_version_is_a_changed_source() {
        for (lines, expected) in [
            (&["content-range: bytes 100-199/1000", "etag: \"v2\""][..], FaultKind::OtherValidator),
            (&["content-range: bytes 100-199/2000", "etag: \"v2\""], FaultKind::SourceChanged),
            (&["content-range: bytes 100-199/2000"], FaultKind::SourceChanged),
        ] {
            assert_eq!(kind((ASKED, &known()), 206, Some(100), lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn f_range_01_200_in_the_middle_is_told_apart() {
        use FaultKind::{Interference, OtherValidator, RangesRefused, SourceChanged};
        let (tagged, untagged) = (known(), only_total());
        let html = "content-type: text/html; charset=utf-8";
        for (known, length, lines, expected) in [
            (&tagged, Some(1000), &["etag: \"v1\""][..], RangesRefused),
            (&tagged, None, &["etag: \"v1\""], RangesRefused),
            (&tagged, Some(1000), &[], RangesRefused),
            (&tagged, Some(999), &["etag: \"v1\""], Interference),
            (&tagged, Some(900), &["etag: \"v2\""], SourceChanged),
            (&tagged, Some(1000), &["etag: \"v2\""], OtherValidator),
            (&tagged, Some(900), &["etag: \"v2\"", html], Interference),
            (&tagged, Some(5000), &[], Interference),
            (&untagged, Some(1000), &[], RangesRefused),
            (&untagged, Some(999), &[], Interference),
            (&untagged, Some(1001), &[], SourceChanged),
            (&untagged, Some(1001), &[html], Interference),
            (&untagged, None, &[html], Interference),
        ] {
            assert_eq!(kind((ASKED, known), 200, length, lines), expected, "{length:?} {lines:?}");
        }
    }

    #[test]
    fn what_a_mirror_in_doubt_sends_in_the_place_of_the_file_is_another_file() {
        use FaultKind::{RangesRefused, SourceChanged};
        let asked = Asked { in_doubt: true, ..ASKED };
        let from_0 = Asked { start: 0, ..asked };
        let known = only_total();
        let html = "content-type: text/html";
        for (asked, status, length, lines, expected) in [
            (asked, 206, Some(100), &["content-range: bytes 100-199/999"][..], SourceChanged),
            (asked, 200, Some(999), &[], SourceChanged),
            (asked, 200, Some(1001), &[], SourceChanged),
            (asked, 200, Some(1000), &[html], SourceChanged),
            (asked, 200, Some(1000), &[], RangesRefused),
            (from_0, 200, Some(1000), &[], RangesRefused),
            (asked, 416, Some(0), &["content-range: bytes */50"], SourceChanged),
        ] {
            assert_eq!(kind((asked, &known), status, length, lines), expected, "{status} {length:?} {lines:?}");
        }
        taken(answer((asked, &known), 206, Some(100), &["content-range: bytes 100-199/1000", "etag: \"x\""]));
    }

    #[test]
    fn a_200_from_the_start_is_taken_as_long_as_it_is_the_same_file() {
        let accepted = taken(answer((FROM_0, &Identity::default()), 200, Some(7), &["etag: \"v\""]));
        assert_eq!((accepted.end, accepted.partial, accepted.identity.total), (Some(7), false, Some(7)));
        let accepted = taken(answer((FROM_0, &Identity::default()), 200, None, &[]));
        assert_eq!(accepted.end, None);
        taken(answer((FROM_0, &known()), 200, Some(1000), &["etag: \"v1\""]));
        let changed = kind((FROM_0, &known()), 200, Some(1000), &["etag: \"v2\""]);
        assert_eq!(changed, FaultKind::OtherValidator);
    }

    #[test]
    fn f_range_08_416_says_how_long_the_file_is() {
        let nothing = Identity::default();
        let empty = answer((FROM_0, &nothing), 416, Some(0), &["content-range: bytes */0"]);
        assert!(matches!(empty, Ok(Judgement::Empty(Accepted { end: Some(0), .. }))));
        let again = answer((FROM_0, &nothing), 416, Some(0), &[]);
        assert_eq!(again, Ok(Judgement::AskUnranged));
        let equal = kind((ASKED, &known()), 416, None, &["content-range: bytes */1000"]);
        assert_eq!(equal, FaultKind::RangeMismatch);
        let shorter = kind((ASKED, &known()), 416, None, &["content-range: bytes */50"]);
        assert_eq!(shorter, FaultKind::SourceChanged);
        assert_eq!(kind((ASKED, &known()), 416, None, &[]), FaultKind::RangeMismatch);
    }

    #[test]
    fn f_enc_01_a_coding_must_be_announced() {
        let nothing = Identity::default();
        let coded = |lines: &[&str]| answer((FROM_0, &nothing), 200, Some(7), lines);
        for line in ["content-encoding: identity", "content-encoding: none", "content-encoding: UTF-8"] {
            taken(coded(&[line]));
        }
        taken(coded(&["content-encoding: gzip", "content-type: application/x-gzip"]));
        taken(coded(&["content-encoding: gzip", "content-disposition: attachment; filename=a.tar.gz"]));
        for lines in [
            &["content-encoding: gzip"][..],
            &["content-encoding: identity, br"],
            &["content-encoding: identity", "content-encoding: zstd"],
            &["content-encoding: br", "content-type: application/gzip"],
            &["content-encoding: rot13"],
        ] {
            let fault = coded(lines).expect_err("unasked");
            assert_eq!(fault.kind, FaultKind::UnexpectedEncoding, "{lines:?}");
        }
    }

    #[test]
    fn f_http_02_retry_after_is_seconds_or_a_date_by_the_servers_clock() {
        let nothing = Identity::default();
        let wait = |lines: &[&str]| {
            let fault = answer((FROM_0, &nothing), 503, None, lines).expect_err("a fault");
            assert_eq!(fault.kind, FaultKind::Status(503));
            fault.retry_after
        };
        let date = "date: Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(wait(&["retry-after: 120"]), Some(Duration::from_secs(120)));
        let in_a_minute = "retry-after: Sun, 06 Nov 1994 08:50:37 GMT";
        assert_eq!(wait(&[in_a_minute, date]), Some(Duration::from_secs(60)));
        assert_eq!(wait(&[in_a_minute]), Some(Duration::ZERO));
        assert_eq!(wait(&["retry-after: soon"]), None);
        assert_eq!(wait(&[]), None);
    }

    #[test]
    fn f_http_12_other_statuses_carry_no_body_for_us() {
        let nothing = Identity::default();
        for status in [201, 202, 204, 205, 300, 304, 403, 404, 500] {
            let unconditional = Asked { conditional: false, ..FROM_0 };
            assert_eq!(kind((unconditional, &nothing), status, Some(0), &[]), FaultKind::Status(status));
        }
        let again = answer((ASKED, &known()), 412, Some(0), &[]);
        assert_eq!(again, Ok(Judgement::AskUnconditionally));
    }

    #[test]
    fn f_done_10_lengths_that_no_file_can_have_are_refused() {
        let nothing = Identity::default();
        let huge = kind((FROM_0, &nothing), 200, Some(u64::MAX), &[]);
        assert_eq!(huge, FaultKind::MalformedResponse);
    }
}
