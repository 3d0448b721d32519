//! The request: which range it asks for, and which headers it carries where.

use haul_core::messages::FetchKind;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT,
    HOST, IF_RANGE, RANGE, REFERER, TE, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use reqwest::{Client, RequestBuilder};
use url::{Position, Url};

use crate::{Identity, Lane, Order};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The first byte.
    pub(crate) start: u64,
    /// One past the last byte; `None` means as far as the file goes.
    pub(crate) end: Option<u64>,
    /// Whether there is a `Range` at all.
    pub(crate) ranged: bool,
    /// Whether there is an `If-Range`; depends on the hop.
    pub(crate) conditional: bool,
    /// Whether this is to find out if the server has the file at all, so that whatever is not that file is another one.
    pub(crate) in_doubt: bool,
    /// Whether it is a POST; depends on the hop.
    pub(crate) by_post: bool,
}

impl Asked {
    pub(crate) fn by(order: &Order) -> Self {
        let (at, end) = (order.lane.at(), order.lane.end());
        let start = at.saturating_sub(order.overlap);
        let (ranged, end) = match order.kind {
            FetchKind::Probe => (true, None),
            FetchKind::Range | FetchKind::Compare => {
                (true, Some(end).filter(|&end| end != Lane::OPEN && end > at).map(|end| end + order.reach))
            }
            FetchKind::Whole => (false, None),
        };
        Self {
            start,
            end,
            ranged,
            conditional: false,
            in_doubt: order.kind == FetchKind::Compare,
            by_post: order.posts(),
        }
    }

    /// The value of `Range`. The only place where the inclusive form exists.
    fn header(self) -> Option<String> {
        let start = self.start;
        match self.end {
            _ if !self.ranged => None,
            Some(end) => Some(format!("bytes={start}-{}", end - 1)),
            None => Some(format!("bytes={start}-")),
        }
    }
}

/// Host and port: whom validators belong to.
#[must_use]
pub fn host_of(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

/// The request to this hop.
pub(crate) fn build(client: &Client, order: &Order, url: &Url, asked: Asked, known: &Identity) -> RequestBuilder {
    let is_own_origin = url.origin() == order.submitted.origin();
    let headers = headers(order, url, asked, known, is_own_origin);
    let has_authorization = headers.contains_key(AUTHORIZATION);
    let request = match &order.post {
        // Whoever asked has seen to it that the body stays on its origin.
        Some(body) if asked.by_post => client.post(url.clone()).headers(headers).body(body.clone()),
        Some(_) | None => client.get(url.clone()).headers(headers),
    };
    if is_own_origin && !has_authorization { with_login(request, order) } else { request }
}

/// At a foreign origin nothing is sent that could be secret (F-HTTP-09).
fn headers(order: &Order, url: &Url, asked: Asked, known: &Identity, is_own_origin: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    if is_own_origin {
        if asked.by_post {
            // What curl sends of data that nobody describes.
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        }
        for (name, value) in &order.headers {
            if name == CONTENT_TYPE {
                if asked.by_post {
                    headers.insert(CONTENT_TYPE, value.clone());
                }
            } else if !is_ours(name) {
                headers.append(name, value.clone());
            }
        }
        if let Some(accept) = order.headers.get(ACCEPT) {
            headers.insert(ACCEPT, accept.clone());
        }
        if let Some(referrer) = &order.referrer {
            headers.insert(REFERER, referrer.clone());
        }
    }
    if let Some(cookies) = order.cookies.header(url, headers.get(COOKIE)) {
        headers.insert(COOKIE, cookies);
    }
    let user_agent = order.user_agent.clone();
    headers.entry(USER_AGENT).or_insert_with(|| user_agent.unwrap_or(HeaderValue::from_static(HAUL)));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if order.no_cache {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    if let Some(range) = asked.header() {
        let range = HeaderValue::try_from(range).expect("digits and dashes make a header value");
        headers.insert(RANGE, range);
    }
    if asked.conditional
        && let Some(validator) = known.if_range(Some(host_of(url)))
        && let Ok(validator) = HeaderValue::from_str(validator)
    {
        headers.insert(IF_RANGE, validator);
    }
    headers
}

fn with_login(request: RequestBuilder, order: &Order) -> RequestBuilder {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match (order.submitted.username(), order.submitted.password()) {
        ("", None) => match &order.login {
            Some(login) => request.basic_auth(&login.user, login.password.as_ref()),
            None => request,
        },
        (user, password) => request.basic_auth(decode(user), password.map(decode)),
    }
}

/// Headers that only we may set (F-SEC-16): the framing of the message and what the checks of the answer rest on.
fn is_ours(name: &HeaderName) -> bool {
    [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, RANGE, IF_RANGE, ACCEPT, ACCEPT_ENCODING, TE, UPGRADE, EXPECT]
        .contains(name)
        || name.as_str().starts_with("proxy-")
}

/// Who we are to servers.
const HAUL: &str = concat!("haul/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_inclusive_in_the_header_only() {
        let mut asked =
            Asked { start: 100, end: Some(200), ranged: true, conditional: false, in_doubt: false, by_post: false };
        assert_eq!(asked.header().as_deref(), Some("bytes=100-199"));
        asked.end = None;
        assert_eq!(asked.header().as_deref(), Some("bytes=100-"));
        asked.ranged = false;
        assert_eq!(asked.header(), None);
    }
}
