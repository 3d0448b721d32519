//! `renew` and `move`: a new URL for a job whose link has expired, and another place in the queue.

use haul_api::{PatchJob, Position};

use super::in_a_line;
use crate::error::{Exit, Failure};
use crate::find::Daemon;
use crate::out::Out;
use crate::submit;

pub(crate) async fn renew(daemon: &Daemon, id: u64, url: &str, headers: &[String], out: &Out) -> Result<Exit, Failure> {
    let headers = submit::headers(headers)?.map(Some);
    let patch = PatchJob { url: Some(url.to_owned()), headers, ..PatchJob::default() };
    change(daemon, id, patch, out).await
}

/// Moves a job in the queue.
pub(crate) async fn put(daemon: &Daemon, id: u64, position: Position, out: &Out) -> Result<Exit, Failure> {
    change(daemon, id, PatchJob { position: Some(position), ..PatchJob::default() }, out).await
}

async fn change(daemon: &Daemon, id: u64, patch: PatchJob, out: &Out) -> Result<Exit, Failure> {
    let job = daemon.client.patch(id, &patch).await.map_err(|error| daemon.failure(error))?;
    if out.is_json() {
        out.json(&job)?;
    } else {
        out.note(in_a_line(&job));
    }
    Ok(Exit::Fine)
}
