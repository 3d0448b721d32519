//! How messages come over HTTP: by POST, whatever its media type, by GET where that is switched on, after a preflight, or as
//! the handshake of a WebSocket. Which names and origins may come here at all the guard has said before.

use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haul_api::ProblemCode;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::call::{Asker, Outcome, carry_out};
use super::envelope::Message;
use super::socket;
use crate::api::{Api, Refused, Via, bearer, read_body};

/// Bytes of a message at most, as with aria2 (`rpc-max-request-size`).
pub(super) const MESSAGE_BYTES_MAX: usize = 2 << 20;

/// What aria2 calls its answers.
const MEDIA_TYPE: &str = "application/json-rpc";

const METHODS: &str = "POST, GET, OPTIONS";

/// The version of the protocol (RFC 6455).
const WEBSOCKET_VERSION: &str = "13";

/// How long browsers may remember what they were permitted. A guess: an hour.
const PREFLIGHT_SECONDS: &str = "3600";

/// Whatever comes to `/jsonrpc`.
pub(crate) async fn serve(State(api): State<Api>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    // The guard has let it in.
    let origin = parts.headers.get(header::ORIGIN).cloned();
    let answer = match parts.method {
        Method::OPTIONS => preflight(&parts.headers),
        Method::GET if is_handshake(&parts.headers) => handshake(&api, &mut parts).await,
        Method::GET if api.configuration.aria2.get => by_get(&api, &parts).await,
        Method::POST => by_post(&api, &parts, body).await,
        _ => {
            let detail = "calls come by POST or over a WebSocket; the setting `aria2` can let them come by GET";
            let refused = Refused::new(ProblemCode::MethodNotAllowed, detail);
            ([(header::ALLOW, METHODS)], refused).into_response()
        }
    };
    with_origin(answer, origin)
}

/// Lets the page that has asked read the answer, and nobody else.
fn with_origin(mut answer: Response, origin: Option<HeaderValue>) -> Response {
    let headers = answer.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_name(header::ORIGIN));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    answer
}

fn preflight(headers: &HeaderMap) -> Response {
    let mut answer = StatusCode::NO_CONTENT.into_response();
    let permitted = answer.headers_mut();
    permitted.insert(header::ALLOW, HeaderValue::from_static(METHODS));
    if headers.contains_key(header::ORIGIN) {
        permitted.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        permitted.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
        if let Some(wanted) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            permitted.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
    }
    answer
}

fn is_handshake(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

async fn handshake(api: &Api, parts: &mut Parts) -> Response {
    let version = parts.headers.get(header::SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version != WEBSOCKET_VERSION) {
        let known = [(header::SEC_WEBSOCKET_VERSION, WEBSOCKET_VERSION)];
        return (StatusCode::UPGRADE_REQUIRED, known).into_response();
    }
    let asker = match asker(parts, false) {
        Ok(asker) => asker,
        Err(refused) => return refused.into_response(),
    };
    match WebSocketUpgrade::from_request_parts(parts, &()).await {
        Ok(upgrade) => socket::open(api, asker, upgrade),
        Err(_) => {
            let detail = "this is no handshake of a WebSocket (RFC 6455 section 4.2.1)";
            Refused::new(ProblemCode::InvalidValue, detail).into_response()
        }
    }
}

async fn by_post(api: &Api, parts: &Parts, body: Body) -> Response {
    let asker = match asker(parts, false) {
        Ok(asker) => asker,
        Err(refused) => return refused.into_response(),
    };
    match read_body(body, MESSAGE_BYTES_MAX).await {
        Ok(bytes) => answered(carry_out(api, &asker, Message::read(&bytes)).await),
        Err(refused) => refused.into_response(),
    }
}

/// A page can have any URL loaded. What comes by GET and may come from a page changes nothing.
async fn by_get(api: &Api, parts: &Parts) -> Response {
    let headers = &parts.headers;
    let site = headers.get(HeaderName::from_static("sec-fetch-site"));
    let is_foreign = site.is_some_and(|site| site != "none" && site != "same-origin");
    match asker(parts, is_foreign || headers.contains_key(header::ORIGIN)) {
        Ok(asker) => answered(carry_out(api, &asker, in_query(parts.uri.query().unwrap_or_default())).await),
        Err(refused) => refused.into_response(),
    }
}

fn asker(parts: &Parts, looks_only: bool) -> Result<Asker, Refused> {
    let via = parts.extensions.get::<Via>().copied().unwrap_or(Via::Tcp);
    Ok(Asker { via, bearer: bearer(&parts.headers)?, looks_only })
}

/// A call whose members stand in a query, its parameters in base64; or a batch in the parameters alone.
pub(super) fn in_query(query: &str) -> Message {
    // A plus sign is a digit of base64, and no blank.
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut call = serde_json::Map::new();
    let mut params = None;
    for (name, text) in pairs {
        match name {
            "id" | "method" => {
                call.insert(name.to_owned(), json!(decoded(text)));
            }
            "params" => {
                let read = BASE64_STANDARD.decode(decoded(text)).ok();
                params = Some(read.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()));
            }
            _ => {}
        }
    }
    match params {
        // Not JSON, so that it is answered like any other message that is none.
        Some(None) => return Message::read(b""),
        Some(Some(batch)) if call.is_empty() => return Message::read(batch.to_string().as_bytes()),
        Some(Some(params)) => {
            call.insert("params".to_owned(), params);
        }
        None => {}
    }
    Message::read(Value::Object(call).to_string().as_bytes())
}

fn answered(outcome: Outcome) -> Response {
    let status = StatusCode::from_u16(outcome.status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], outcome.body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::super::envelope::Call;
    use super::*;

    #[test]
    fn a_call_in_a_query_is_read_as_front_ends_write_it() {
        // `printf '["token:x","a>?"]' | base64`
        let params = "WyJ0b2tlbjp4IiwiYT4/Il0=";
        let expected = Message::One(Ok(Call {
            id: json!("QXJpYU5nXzE="),
            method: "aria2.tellStatus".to_owned(),
            params: vec![json!("token:x"), json!("a>?")],
        }));
        for params in [params, "WyJ0b2tlbjp4IiwiYT4%2FIl0%3D"] {
            let query = format!("jsonrpc=2.0&method=aria2.tellStatus&id=QXJpYU5nXzE=&params={params}");
            assert_eq!(in_query(&query), expected, "{query}");
        }
        let fault = |query: &str| match in_query(query) {
            Message::One(Err(unread)) => unread.fault.status(),
            Message::One(Ok(_)) | Message::Many(_) => panic!("{query} is a call"),
        };
        assert_eq!(fault("method=m&id=1&params=%%%"), 500);
        assert_eq!(fault("method=m&id=1&params=e30="), 500, "an object");
        assert_eq!(fault(""), 400);
        assert_eq!(fault("method=m"), 400);
        // `printf '[]' | base64`
        assert_eq!(in_query("params=W10="), Message::Many(Vec::new()));
    }
}
