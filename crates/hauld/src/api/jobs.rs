//! The routes about jobs.

use std::collections::HashSet;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use haul_api::{
    ChunkList, DeleteQuery, EventList, EventQuery, Files, Job, JobState, PatchJob, ProblemCode, VerifyJob, WaitQuery,
    Why, body, paths, query,
};
use haul_core::{Action, JobId, Phase, Policy};
use haul_store::JobRow;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Instant, timeout_at};

use super::Api;
use super::document;
use super::extract::{self, Id, no_body};
use super::problem::{Refused, refused};
use super::versions;
use crate::access::Caller;
use crate::convert;
use crate::driver::{DriverError, Limits, Live, Placing};
use crate::submit;

/// Shows one job; with `wait` once something has happened.
#[utoipa::path(get, path = paths::JOB, tag = "jobs", params(("id" = u64, Path, description = "The job's number"),
    ("wait" = Option<u64>, Query, description = "Seconds to wait until its state is no longer `state`, or else until it ends; \
      60 at most count"),
    ("state" = Option<JobState>, Query, description = "The state that it is known to have"),
    ("If-None-Match" = Option<String>, Header, description = "The `ETag` that it is known to have")),
    responses(
        (status = 200, description = "The job", body = Job, headers(
            ("ETag" = String, description = "Names its version and its state; progress changes neither"))),
        (status = 304, description = "It has this `ETag` still"),
        document::OneJobQuery))]
pub(super) async fn show(
    State(api): State<Api>,
    Id(id): Id,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refused> {
    let query = WaitQuery::parse(uri.query().unwrap_or_default())?;
    let Some(seconds) = query.wait_seconds else { return Ok(versions::answer(&headers, one(&api, id).await?)) };
    // Watch first and look afterwards: no change can fall between the two.
    let changes = api.driver.watch();
    let over = |job: &Job| match query.state {
        Some(state) => job.state != state,
        None => job.state.is_ended(),
    };
    Ok(versions::answer(&headers, wait(&api, id, seconds, changes, over).await?))
}

/// Begins to verify a job's file, and with `wait` answers when what was found is known.
#[utoipa::path(post, path = paths::JOB_VERIFY, tag = "jobs", params(("id" = u64, Path, description = "The job's number"),
    ("wait" = Option<u64>, Query, description = "Seconds to wait for what is found; 60 at most count")),
    request_body(content = Option<VerifyJob>, description = "May be left out"),
    responses((status = 200, description = "The job as it is then", body = Job), document::Verify))]
pub(super) async fn verify(
    State(api): State<Api>,
    Id(id): Id,
    uri: Uri,
    extract::OptionalJson(bytes): extract::OptionalJson,
) -> Result<Json<Job>, Refused> {
    let query = WaitQuery::parse(uri.query().unwrap_or_default())?;
    if query.state.is_some() {
        return Err(Refused::field(ProblemCode::UnknownField, "state", "no field is called `state`; known is `wait`"));
    }
    let wish: VerifyJob = bytes.map_or(Ok(VerifyJob::default()), |bytes| body::parse(&bytes))?;
    let changes = api.driver.watch();
    let row = api.driver.verify(id, wish.repair).await.map_err(|e| driver_error(Some(id), e))?;
    let Some(seconds) = query.wait_seconds else { return Ok(Json(shown_one(&api, row).await?)) };
    Ok(Json(wait(&api, id, seconds, changes, |job| job.state != JobState::Verifying).await?))
}

/// Shows a job once it is as it was waited for, or when the seconds are over.
async fn wait(
    api: &Api,
    id: JobId,
    seconds: u64,
    mut changes: broadcast::Receiver<JobId>,
    over: impl Fn(&Job) -> bool,
) -> Result<Job, Refused> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        let job = one(api, id).await?;
        if over(&job) || api.stop.is_cancelled() {
            return Ok(job);
        }
        let changed = async {
            loop {
                match changes.recv().await {
                    Ok(changed) if changed != id => {}
                    // Whoever lags behind has to look again, too.
                    Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => return,
                }
            }
        };
        tokio::select! {
            biased;
            () = api.stop.cancelled() => return one(api, id).await,
            woken = timeout_at(deadline, changed) => if woken.is_err() {
                return one(api, id).await;
            },
        }
    }
}

/// Changes a job.
#[utoipa::path(patch, path = paths::JOB, tag = "jobs", params(("id" = u64, Path, description = "The job's number"),
    ("If-Match" = Option<String>, Header, description = "The `ETag` that the job must still have")), request_body = PatchJob,
    responses((status = 200, description = "The job as it is then", body = Job, headers(
        ("ETag" = String, description = "Names its version and its state"))), document::Patch))]
pub(super) async fn patch(
    State(api): State<Api>,
    Id(id): Id,
    headers: HeaderMap,
    extract::Json(bytes): extract::Json,
) -> Result<Response, Refused> {
    let wish: PatchJob = body::parse(&bytes)?;
    submit::confine_patch(Caller::current(), &wish, api.has_proxy)?;
    let position = wish.position;
    let mut patch = submit::check_patch(wish).map_err(Refused)?;
    patch.expected = versions::expected(&api, &headers, id).await?;
    let place = match position {
        Some(position) => {
            let row = api.store.job(id).await?.ok_or_else(|| Refused::unknown_job(id.0))?;
            let priority = patch.priority.unwrap_or(row.wish.priority);
            Some(Placing { priority, position: position.number() })
        }
        None => None,
    };
    let row = api.driver.patch(id, patch, place).await.map_err(|e| driver_error(Some(id), e))?;
    // `If-None-Match` means nothing to a change.
    Ok(versions::answer(&HeaderMap::new(), shown_one(&api, row).await?))
}

/// Lets a job rest; bytes and place are kept.
#[utoipa::path(post, path = paths::JOB_PAUSE, tag = "jobs", params(("id" = u64, Path, description = "The job's number")), responses(
    (status = 200, description = "The job as it is then", body = Job), document::Act))]
pub(super) async fn pause(api: State<Api>, id: Id, body: Body) -> Result<Json<Job>, Refused> {
    act(api, id, body, Action::Pause).await
}

/// Lets a job go on; a waiting one tries now.
#[utoipa::path(post, path = paths::JOB_RESUME, tag = "jobs", params(("id" = u64, Path, description = "The job's number")), responses(
    (status = 200, description = "The job as it is then", body = Job), document::Act))]
pub(super) async fn resume(api: State<Api>, id: Id, body: Body) -> Result<Json<Job>, Refused> {
    act(api, id, body, Action::Resume).await
}

/// Starts a failed job again from the bytes that are there.
#[utoipa::path(post, path = paths::JOB_RETRY, tag = "jobs", params(("id" = u64, Path, description = "The job's number")), responses(
    (status = 200, description = "The job as it is then", body = Job), document::Act))]
pub(super) async fn retry(api: State<Api>, id: Id, body: Body) -> Result<Json<Job>, Refused> {
    act(api, id, body, Action::Retry).await
}

/// Gives a job up and removes its unfinished file.
#[utoipa::path(post, path = paths::JOB_CANCEL, tag = "jobs", params(("id" = u64, Path, description = "The job's number")), responses(
    (status = 200, description = "The job as it is then", body = Job), document::Act))]
pub(super) async fn cancel(api: State<Api>, id: Id, body: Body) -> Result<Json<Job>, Refused> {
    act(api, id, body, Action::Cancel).await
}

async fn act(State(api): State<Api>, Id(id): Id, body: Body, action: Action) -> Result<Json<Job>, Refused> {
    no_body(body).await?;
    let row = api.driver.act(id, action).await.map_err(|e| driver_error(Some(id), e))?;
    Ok(Json(shown_one(&api, row).await?))
}

/// Takes a deletion back, within 10 seconds.
#[utoipa::path(post, path = paths::JOB_RESTORE, tag = "jobs", params(("id" = u64, Path, description = "The job's number")), responses(
    (status = 200, description = "The job as it is then", body = Job), document::Restore))]
pub(super) async fn restore(State(api): State<Api>, Id(id): Id, body: Body) -> Result<Json<Job>, Refused> {
    no_body(body).await?;
    let row = api.driver.restore(id).await.map_err(|e| driver_error(Some(id), e))?;
    Ok(Json(shown_one(&api, row).await?))
}

/// Forgets a job. What it has left goes after 10 seconds; until then it can be restored.
#[utoipa::path(delete, path = paths::JOB, tag = "jobs", params(("id" = u64, Path, description = "The job's number"),
    ("If-Match" = Option<String>, Header, description = "The `ETag` that the job must still have"),
    ("files" = Option<Files>, Query, description = "Whether a finished file is deleted, too; `keep` unless it is said")),
    responses((status = 204, description = "It is forgotten"), document::Delete))]
pub(super) async fn delete(
    State(api): State<Api>,
    Id(id): Id,
    headers: HeaderMap,
    uri: Uri,
) -> Result<StatusCode, Refused> {
    let query = DeleteQuery::parse(uri.query().unwrap_or_default())?;
    let files = query.files == Files::Delete;
    let expected = versions::expected(&api, &headers, id).await?;
    api.driver.delete(id, files, expected).await.map_err(|e| driver_error(Some(id), e))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows a job's chunks.
#[utoipa::path(get, path = paths::JOB_CHUNKS, tag = "jobs", params(("id" = u64, Path, description = "The job's number")),
    responses((status = 200, description = "Its chunks", body = ChunkList), document::OneJob))]
pub(super) async fn chunks(State(api): State<Api>, Id(id): Id) -> Result<Json<ChunkList>, Refused> {
    let stored = api.store.chunks(id).await?;
    let live = api.driver.chunks(id).await.map_err(|e| driver_error(Some(id), e))?;
    if stored.is_empty() && live.is_empty() && api.store.job(id).await?.is_none() {
        return Err(Refused::unknown_job(id.0));
    }
    let strikes_max = Policy::default().strikes_max;
    let durable = |start| stored.iter().find(|row| row.range.start == start).map_or(0, |row| row.durable);
    let chunks = if live.is_empty() {
        stored.iter().enumerate().map(|(index, row)| convert::stored_chunk(index, row, strikes_max)).collect()
    } else {
        let chunks = live.iter().enumerate();
        chunks
            .map(|(i, (chunk, speed))| convert::chunk(i, chunk, *speed, durable(chunk.range.start), strikes_max))
            .collect()
    };
    Ok(Json(ChunkList { chunks }))
}

/// Lists what has happened to a job, the oldest first.
#[utoipa::path(get, path = paths::JOB_EVENTS, tag = "jobs", params(("id" = u64, Path, description = "The job's number"),
    ("cursor" = Option<u64>, Query, description = "The `next_cursor` of the page before, or the `id` of any event"),
    ("limit" = Option<u32>, Query, description = "Events on a page, 100 unless it is said", minimum = 1, maximum = 1000)),
    responses((status = 200, description = "A page", body = EventList), document::OneJobQuery))]
pub(super) async fn events(State(api): State<Api>, Id(id): Id, uri: Uri) -> Result<Json<EventList>, Refused> {
    let query = EventQuery::parse(uri.query().unwrap_or_default())?;
    let (after, limit) = (query.cursor.unwrap_or(0), query.limit.unwrap_or(query::LIMIT_DEFAULT));
    let found = api.store.events(id, after, limit).await?;
    let (events, has_more) = found.ok_or_else(|| Refused::unknown_job(id.0))?;
    let next_cursor = events.last().filter(|_| has_more).map(|event| event.id.to_string());
    Ok(Json(EventList { events: events.iter().map(convert::event).collect(), next_cursor }))
}

/// Says what holds a job back.
#[utoipa::path(get, path = paths::JOB_WHY, tag = "jobs", params(("id" = u64, Path, description = "The job's number")),
    responses((status = 200, description = "A sentence and reasons", body = Why), document::OneJob))]
pub(super) async fn why(State(api): State<Api>, Id(id): Id) -> Result<Json<Why>, Refused> {
    let row = api.store.job(id).await?.ok_or_else(|| Refused::unknown_job(id.0))?;
    if row.lifecycle.wants_to_run() {
        if let Some(known) = api.driver.why(id).await.map_err(|e| driver_error(Some(id), e))? {
            return Ok(Json(convert::explained(&row, &known)));
        }
        // It ended between the reading of its row and the look at the engine.
        let newer = api.store.job(id).await?;
        return Ok(Json(convert::stored(newer.as_ref().unwrap_or(&row))));
    }
    Ok(Json(convert::stored(&row)))
}

/// How often a job that changes all the time is looked at before it is told as it was last seen. A guess: each look takes
/// less than a change.
const LOOKS_MAX: usize = 8;

/// One job: its row as it was while what the driver knows of it stayed the same.
pub(super) async fn one(api: &Api, id: JobId) -> Result<Job, Refused> {
    let limits = api.driver.limits().await.map_err(|e| driver_error(None, e))?;
    let mut before = None;
    let mut looks = 0;
    loop {
        let row = api.store.job(id).await?.ok_or_else(|| Refused::unknown_job(id.0))?;
        let (mut live, verifying) = api.driver.live(vec![id]).await.map_err(|e| driver_error(None, e))?;
        let live = live.remove(&id);
        let stage = live.as_ref().map(|live| (live.view.state, live.view.total, live.view.restarts));
        let after = Some((stage, verifying.contains(&id)));
        looks += 1;
        if before == after || looks == LOOKS_MAX {
            return Ok(told(Caller::current(), &row, live.as_ref(), &verifying, &limits.limits));
        }
        before = after;
    }
}

async fn shown_one(api: &Api, row: JobRow) -> Result<Job, Refused> {
    let mut jobs = shown(api, std::slice::from_ref(&row)).await?;
    Ok(jobs.pop().expect("one job for one row"))
}

/// Rows as a client sees them, with what the driver knows beyond them.
pub(crate) async fn shown(api: &Api, rows: &[JobRow]) -> Result<Vec<Job>, Refused> {
    let ids: Vec<JobId> = rows.iter().filter(|row| may_run(row)).map(|row| row.id).collect();
    let (live, verifying) = api.driver.live(ids).await.map_err(|e| driver_error(None, e))?;
    let limits = api.driver.limits().await.map_err(|e| driver_error(None, e))?;
    let caller = Caller::current();
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        let known = live.get(&row.id);
        let newer = match known {
            // It ended between the reading of its row and the look at the driver.
            None if row.lifecycle.wants_to_run() => api.store.job(row.id).await?,
            Some(_) | None => None,
        };
        jobs.push(told(caller, newer.as_ref().unwrap_or(row), known, &verifying, &limits.limits));
    }
    Ok(jobs)
}

/// A row and what is known beyond it, as this caller sees them.
pub(super) fn told(
    caller: Caller,
    row: &JobRow,
    live: Option<&Live>,
    verifying: &HashSet<JobId>,
    limits: &Limits,
) -> Job {
    let mut job = convert::job(row, live.filter(|_| may_run(row)), limits);
    if !caller.sees_queries() {
        convert::mask_queries(&mut job);
    }
    if verifying.contains(&row.id) {
        job.state = JobState::Verifying;
        job.waiting_for = None;
    }
    job
}

/// Tells whether the driver may know more of a job than its row says. What has ended is as its row says.
pub(super) fn may_run(row: &JobRow) -> bool {
    matches!(row.lifecycle.phase, Phase::Fetching | Phase::Verifying)
}

/// The answer to what the driver refused.
pub(crate) fn driver_error(id: Option<JobId>, error: DriverError) -> Refused {
    match error {
        DriverError::Refused(refusal) => refused(id.map_or(0, |id| id.0), refusal),
        DriverError::Declined(problem) => Refused(match id {
            Some(id) => problem.with_instance(paths::job(id.0)),
            None => problem,
        }),
        DriverError::Store(error) => error.into(),
        DriverError::Stopping => Refused::shutting_down(),
    }
}
