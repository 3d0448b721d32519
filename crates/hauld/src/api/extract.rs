//! Ids and bodies out of requests, with our own refusals.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header;
use axum::http::request::Parts;
use bytes::Bytes;
use haul_api::{CURL_MEDIA_TYPE, METALINK_MEDIA_TYPE, ProblemCode};
use haul_core::JobId;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::problem::Refused;
use crate::submit;

/// What `POST /v1/jobs` takes at most (DESIGN.md section 6).
const SUBMIT_BYTES_MAX: usize = 16 << 20;
/// What every other route takes at most.
const BODY_BYTES_MAX: usize = 256 << 10;
/// How long a body may take to arrive (FAILURES.md, F-API-04).
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// The job that the path names.
pub(crate) struct Id(pub(crate) JobId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok().map(|Path(text)| text);
        let id = text.as_deref().and_then(job_id);
        id.map(Self).ok_or_else(|| Refused::new(ProblemCode::JobNotFound, "a job's id is a number"))
    }
}

/// Reads a job's id. SQLite's integers end at 2^63 - 1, and so do ids.
pub(crate) fn job_id(text: &str) -> Option<JobId> {
    text.parse().ok().filter(|id| *id <= i64::MAX as u64).map(JobId)
}

/// The host that the path names, as jobs name it.
pub(crate) struct HostName(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for HostName {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok().map(|Path(text)| text);
        text.as_deref().and_then(submit::host_name).map(Self).ok_or_else(|| {
            let detail = "a host is a scheme, a name and a port, URL-encoded: `https%3A%2F%2Fexample.org%3A8443`, or \
                          `example.org` for `https://example.org`";
            Refused::field(ProblemCode::InvalidValue, "host", detail)
        })
    }
}

/// A JSON body within its route's limit.
pub(crate) struct Json(pub(crate) Bytes);

/// A JSON body within its route's limit, or none at all, which needs no media type.
pub(crate) struct OptionalJson(pub(crate) Option<Bytes>);

/// A JSON body, a list of URLs or a Metalink, as submitting takes it.
pub(crate) enum Submitted {
    /// `application/json`.
    Json(Bytes),
    /// `text/uri-list` (RFC 2483 section 5).
    UriList(Bytes),
    /// `application/metalink4+xml` (RFC 5854).
    Metalink(Bytes),
    /// A command line of curl.
    Curl(Bytes),
}

impl Submitted {
    /// What tells one request from another.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        match self {
            Self::Json(bytes) => [b"json", bytes],
            Self::UriList(bytes) => [b"uri-list", bytes],
            Self::Metalink(bytes) => [b"metalink", bytes],
            Self::Curl(bytes) => [b"curl", bytes],
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = Refused;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refused> {
        match media_type(&request).as_str() {
            "application/json" => read(request, BODY_BYTES_MAX).await.map(Self),
            _ => Err(wrong_media_type("`application/json`")),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalJson {
    type Rejection = Refused;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refused> {
        let is_json = media_type(&request) == "application/json";
        let bytes = read(request, BODY_BYTES_MAX).await?;
        match bytes.is_empty() {
            true => Ok(Self(None)),
            false if is_json => Ok(Self(Some(bytes))),
            false => Err(wrong_media_type("`application/json`")),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Submitted {
    type Rejection = Refused;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refused> {
        match media_type(&request).as_str() {
            "application/json" => read(request, SUBMIT_BYTES_MAX).await.map(Self::Json),
            "text/uri-list" => read(request, SUBMIT_BYTES_MAX).await.map(Self::UriList),
            METALINK_MEDIA_TYPE => read(request, SUBMIT_BYTES_MAX).await.map(Self::Metalink),
            CURL_MEDIA_TYPE => read(request, SUBMIT_BYTES_MAX).await.map(Self::Curl),
            // Never `text/plain`: any web page may post that without being asked.
            _ => Err(wrong_media_type(
                "`application/json`, `text/uri-list`, `application/metalink4+xml` or `application/x-curl`",
            )),
        }
    }
}

fn media_type(request: &Request) -> String {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn wrong_media_type(wanted: &str) -> Refused {
    Refused::new(ProblemCode::UnsupportedMediaType, format!("send the body with `Content-Type:` {wanted}"))
}

async fn read(request: Request, bytes_max: usize) -> Result<Bytes, Refused> {
    read_body(request.into_body(), bytes_max).await
}

/// A body within a limit and a deadline.
pub(crate) async fn read_body(body: Body, bytes_max: usize) -> Result<Bytes, Refused> {
    let body = Limited::new(body, bytes_max);
    match tokio::time::timeout(BODY_DEADLINE, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("this route takes at most {bytes_max} bytes");
            Err(Refused::new(ProblemCode::BodyTooLarge, detail))
        }
        Ok(Err(_)) => Err(Refused::new(ProblemCode::MalformedJson, "the body broke off")),
        Err(_) => Err(Refused::new(ProblemCode::RequestTimeout, "the body did not arrive within 10 seconds")),
    }
}

/// Refuses a body where none is expected; an action needs none.
pub(crate) async fn no_body(body: Body) -> Result<(), Refused> {
    let empty = matches!(tokio::time::timeout(BODY_DEADLINE, Limited::new(body, 0).collect()).await, Ok(Ok(_)));
    if empty { Ok(()) } else { Err(Refused::new(ProblemCode::BodyTooLarge, "this route takes no body")) }
}
