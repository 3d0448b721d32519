//! The head of an answer: what is taken fits what was asked and what was known.

use http::header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{appended, assert_no_secret, assert_shown, start};
use crate::Identity;
use crate::identity::Verdict;
use crate::request::{Asked, host_of};
use crate::response::{Accepted, Answer, Judgement, is_no_coding, judge};

/// Answers to one request after the other, with an empty line between them. What one of them says is known to the next.
///
/// ```text
/// 100-200 if
/// 206 100
/// content-range: bytes 100-199/1000
/// ```
///
/// First the range that was asked for, as it is in [`Asked`], with `whole` where no range was asked for at all, `if`
/// where there was a condition, and `doubt`. Then the status and, where it is known, the body's length. Then headers.
pub fn head(bytes: &[u8]) {
    let mut known = Identity::default();
    let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    for block in lines.split(|line| line.is_empty()) {
        let [asked, status, headers @ ..] = block else { continue };
        let (Some(asked), Some((status, length))) = (asked_in(asked), status_in(status)) else { continue };
        let headers = headers.iter().filter_map(|line| header(line)).fold(HeaderMap::new(), appended);
        let url = start("https");
        let answer = Answer { url: &url, status, headers: &headers, length };
        match judge(&answer, asked, &known) {
            Ok(Judgement::Take(accepted)) => {
                assert_takes(&answer, asked, &known, &accepted);
                known = Identity { total: accepted.identity.total.or(known.total), ..accepted.identity };
            }
            Ok(Judgement::Empty(accepted)) => {
                assert!(status == StatusCode::RANGE_NOT_SATISFIABLE && asked.ranged && asked.start == 0);
                assert!(matches!(known.total, None | Some(0)) && accepted.end == Some(0));
            }
            Ok(Judgement::AskUnranged) => {
                assert!(status == StatusCode::RANGE_NOT_SATISFIABLE && asked.ranged && asked.start == 0);
            }
            Ok(Judgement::AskUnconditionally) => assert!(asked.conditional && matches!(status.as_u16(), 304 | 412)),
            Err(fault) => {
                assert_shown(&fault.detail);
                assert_no_secret(&fault.detail, bytes);
            }
        }
    }
}

/// The checklist of FAILURES section 3, once more and from the other end.
fn assert_takes(answer: &Answer<'_>, asked: Asked, known: &Identity, accepted: &Accepted) {
    let identity = &accepted.identity;
    if accepted.partial {
        assert!(answer.status == StatusCode::PARTIAL_CONTENT && asked.ranged);
        let end = accepted.end.expect("a part has an end");
        assert!(end > asked.start && asked.end.is_none_or(|asked| end <= asked));
        assert_eq!(answer.length, Some(end - asked.start));
        assert!(identity.total.is_none_or(|total| end <= total));
    } else {
        assert!(matches!(answer.status.as_u16(), 200 | 203) && asked.start == 0 && !asked.in_doubt);
        assert_eq!((accepted.end, identity.total), (answer.length, answer.length));
    }
    assert!(identity.total.is_none_or(|total| i64::try_from(total).is_ok()));
    assert!(known.compare(identity) != Verdict::Different && !known.differs_in_total(identity));
    let codings = answer.headers.get_all(CONTENT_ENCODING).into_iter();
    let is_coded =
        codings.into_iter().flat_map(|value| value.as_bytes().split(|&b| b == b',')).any(|c| !is_no_coding(c));
    let may_announce = |name: HeaderName| answer.headers.contains_key(name);
    assert!(!is_coded || may_announce(CONTENT_DISPOSITION) || may_announce(CONTENT_TYPE));
    if let Some(validator) = identity.if_range(Some(host_of(answer.url))) {
        assert!(HeaderValue::from_str(validator).is_ok() && !validator.starts_with("W/"));
    }
}

fn asked_in(line: &[u8]) -> Option<Asked> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (start, end) = words.next()?.split_once('-')?;
    let start = start.parse().ok()?;
    let end = if end.is_empty() { None } else { Some(end.parse().ok().filter(|&end| end > start)?) };
    let flags: Vec<&str> = words.collect();
    let is = |flag: &str| flags.contains(&flag);
    Some(Asked { start, end, ranged: !is("whole"), conditional: is("if"), in_doubt: is("doubt"), by_post: false })
}

fn status_in(line: &[u8]) -> Option<(StatusCode, Option<u64>)> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let status = StatusCode::from_bytes(words.next()?.as_bytes()).ok()?;
    Some((status, words.next().and_then(|length| length.parse().ok())))
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
}
