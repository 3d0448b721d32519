//! Submits that are carried out once, however often they come: the header `Idempotency-Key`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, StatusCode, header};
use haul_api::{PROBLEM_MEDIA_TYPE, ProblemCode};
use haul_store::{OnceAnswer, OnceRequest};
use sha2::{Digest, Sha256};

use super::Api;
use super::problem::Refused;
use crate::access::Caller;

/// The header.
const NAME: &str = "idempotency-key";

/// Specified by what others take.
const KEY_BYTES_MAX: usize = 255;

/// Keys of requests that are under way.
pub(crate) type KeysInUse = Arc<Mutex<HashSet<String>>>;

/// The key of a request, which no other request can have until it is answered.
pub(super) struct Key {
    key: String,
    in_use: KeysInUse,
}

impl Key {
    /// The request by which this one is known: its key, and a digest of what it says.
    pub(super) fn request(&self, parts: &[&[u8]]) -> OnceRequest {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        OnceRequest { key: self.key.clone(), digest: digest.finalize().to_vec() }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// The key of a request, if it has one.
pub(super) struct OptionalKey(pub(super) Option<Key>);

impl FromRequestParts<Api> for OptionalKey {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refused> {
        let mut values = parts.headers.get_all(NAME).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let key = value.to_str().ok().filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()));
        let (Some(key), None) = (key, values.next()) else {
            let detail =
                format!("`Idempotency-Key` must be one text of 1 to {KEY_BYTES_MAX} printable ASCII characters");
            return Err(Refused::field(ProblemCode::InvalidValue, "Idempotency-Key", detail));
        };
        // Another token's key is another key, whatever its name. No token has the number 0, which is the owner's.
        let key = format!("{}:{key}", Caller::current().token.map_or(0, |token| token.0));
        let in_use = Arc::clone(&api.keys_in_use);
        if !in_use.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
            let detail =
                "a request with this key is under way; send it again when that is answered, or with another key";
            return Err(Refused::new(ProblemCode::IdempotencyKeyInUse, detail));
        }
        Ok(Self(Some(Key { key, in_use })))
    }
}

/// The refusal of a request whose key another one has.
pub(super) fn reused() -> Refused {
    let detail = "another request was sent with this key within the last 24 hours; use a new key for a new request";
    Refused::field(ProblemCode::IdempotencyKeyReused, "Idempotency-Key", detail)
}

/// The answer as it is sent; `again` where it was given before.
pub(super) fn response(answer: OnceAnswer, again: bool) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.body));
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let media_type = if status.is_client_error() { PROBLEM_MEDIA_TYPE } else { "application/json" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Some(location) = answer.location.and_then(|location| HeaderValue::try_from(location).ok()) {
        headers.insert(header::LOCATION, location);
    }
    if again {
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}
