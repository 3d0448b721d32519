//! The headers that a job sends with its requests, and which of them are not for a user to set.

use std::collections::BTreeMap;

use haul_api::{Problem, ProblemCode};
use haul_store::Private;
use http::{HeaderName, HeaderValue};

/// A guess: the header limit of common servers is 8 to 16 KiB for all of them together.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// Headers that are ours to set, or that would change what an answer means (FAILURES.md, F-SEC-16).
const FORBIDDEN_HEADERS: [&str; 14] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "range",
    "if-range",
    "accept-encoding",
    "te",
    "upgrade",
    "expect",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
];

/// Checks headers; their names are in lower case from here on.
pub(super) fn headers(given: Option<&BTreeMap<String, String>>) -> Result<BTreeMap<String, String>, Problem> {
    let refuse = |detail: String| Problem::new(ProblemCode::HeaderNotAllowed, detail).with_field("headers");
    let mut checked = BTreeMap::new();
    let mut size = 0;
    for (name, value) in given.into_iter().flatten() {
        let lower = name.to_ascii_lowercase();
        let known = HeaderName::from_bytes(name.as_bytes());
        // A name that is none may be anything, a secret too: it is not repeated.
        known.map_err(|_| refuse("a header name has characters that it cannot have".to_owned()))?;
        if is_forbidden_header(&lower) {
            return Err(refuse(format!("the header `{lower}` is set by haul itself")));
        }
        HeaderValue::from_str(value)
            .map_err(|_| refuse(format!("the value of `{lower}` has characters that a header cannot hold")))?;
        size += name.len() + value.len();
        checked.insert(lower, value.clone());
    }
    if size > HEADER_BYTES_MAX {
        return Err(refuse("the headers are larger than 16 KiB".to_owned()));
    }
    Ok(checked)
}

/// Whether a header, in lower case, is ours to set.
pub(crate) fn is_forbidden_header(name: &str) -> bool {
    FORBIDDEN_HEADERS.contains(&name) || name.starts_with("proxy-")
}

/// Headers as they are stored: a JSON map, or nothing.
pub(super) fn stored_headers(headers: &BTreeMap<String, String>) -> Option<Private> {
    let json = || serde_json::to_string(headers).expect("a map of strings is JSON");
    (!headers.is_empty()).then(|| Private(json()))
}

/// A user in the URL and an `Authorization` header contradict each other (FAILURES.md, F-HTTP-15).
pub(crate) fn two_credentials() -> Problem {
    let detail = "give either a user in the URL or an Authorization header, not both";
    Problem::new(ProblemCode::HeaderNotAllowed, detail).with_field("headers")
}
