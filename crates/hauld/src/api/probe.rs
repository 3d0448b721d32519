//! What a server says of a file.

use axum::Json;
use axum::extract::State;
use haul_api::openapi::SubmitOne;
use haul_api::{Probe, SubmitBody, SubmitJob, paths};

use super::document;
use super::extract;
use super::jobs::driver_error;
use super::problem::Refused;
use super::{Api, checked};
use crate::convert::shown;
use crate::options::Options;

/// Asks what a server says of a file, without keeping anything.
#[utoipa::path(post, path = paths::PROBE, tag = "jobs",
    request_body(content = SubmitOne, example = json!({"url": "https://example.org/a.iso"})),
    responses((status = 200, description = "What the server says", body = Probe), document::Probing))]
pub(super) async fn probe(State(api): State<Api>, extract::Json(bytes): extract::Json) -> Result<Json<Probe>, Refused> {
    let job: SubmitJob = match SubmitBody::parse(&bytes)? {
        SubmitBody::One(job) => *job,
        SubmitBody::Many(_) => {
            let detail = "one file is asked for at a time: send the fields of one job";
            return Err(Refused::field(haul_api::ProblemCode::UnknownField, "jobs", detail));
        }
    };
    let job = checked(&api, vec![Ok(job)]).await?.pop().expect("one result for one job")?.job;
    let (filename, insecure) = (job.wish.filename.clone(), Options::of(&job.wish).insecure);
    let probed = api.driver.probe(job).await.map_err(|e| driver_error(None, e))?;
    let opened = probed.opened;
    Ok(Json(Probe {
        filename: filename.unwrap_or_else(|| opened.file_name(&probed.submitted)),
        total_bytes: opened.total,
        resumable: opened.partial && opened.total.is_some() && !opened.refuses_ranges,
        etag: opened.identity.etag.clone(),
        last_modified: opened.identity.last_modified.clone(),
        content_type: opened.identity.content_type.clone(),
        final_url: shown(&opened.final_url),
        checksum: opened.hints.checksum.as_ref().map(ToString::to_string),
        insecure,
    }))
}
