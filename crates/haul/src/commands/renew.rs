//! `renew`: a new URL for a job whose link has expired.

use haul_api::PatchJob;

use super::in_a_line;
use crate::error::{Exit, Failure};
use crate::find::Daemon;
use crate::out::Out;
use crate::submit;

pub(crate) async fn renew(daemon: &Daemon, id: u64, url: &str, headers: &[String], out: &Out) -> Result<Exit, Failure> {
    let headers = submit::headers(headers)?.map(Some);
    let patch = PatchJob { url: Some(url.to_owned()), headers, ..PatchJob::default() };
    let job = daemon.client.patch(id, &patch).await.map_err(|error| daemon.failure(error))?;
    if out.is_json() {
        out.json(&job)?;
    } else {
        out.note(in_a_line(&job));
    }
    Ok(Exit::Fine)
}
