//! Versions of jobs: `ETag`, `If-Match` and `If-None-Match` (RFC 9110 section 13.1).
//!
//! A tag names the version of a job's row and its state. Progress changes neither.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use haul_api::{Job, ProblemCode, paths};
use haul_core::JobId;

use super::Api;
use super::problem::Refused;

/// The tag of a job as it is shown.
fn tag(job: &Job) -> String {
    format!("\"{}-{}\"", job.version, job.state.as_str())
}

/// The job, or that it is as it was.
pub(super) fn answer(headers: &HeaderMap, job: Job) -> Response {
    let tag = tag(&job);
    let is_known = tags(headers, &header::IF_NONE_MATCH)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag);
    if is_known {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    ([(header::ETAG, tag)], Json(job)).into_response()
}

/// The version that a change is meant for; refuses where the job is in another one already.
pub(super) async fn expected(api: &Api, headers: &HeaderMap, id: JobId) -> Result<Option<u64>, Refused> {
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(None);
    }
    let job = super::jobs::one(api, id).await?;
    let tag = tag(&job);
    if tags(headers, &header::IF_MATCH).any(|wanted| wanted == "*") {
        return Ok(None);
    }
    if tags(headers, &header::IF_MATCH).any(|wanted| wanted == tag) {
        return Ok(Some(job.version));
    }
    let detail = "the job has changed; look at it again, and send its new `ETag`";
    Err(Refused(Refused::new(ProblemCode::VersionChanged, detail).0.with_instance(paths::job(id.0))))
}

/// The tags of a header. Ours hold no comma.
fn tags<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}
