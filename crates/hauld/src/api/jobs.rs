//! The routes about jobs.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use haul_api::{
    BatchItem, BatchResult, BulkResult, ChunkList, DeleteQuery, EventList, EventQuery, Files, Job, JobList, JobQuery,
    JobState, PatchJob, Problem, ProblemCode, SubmitBody, SubmitJob, VerifyJob, WaitQuery, Why, body, paths, query,
};
use haul_core::{Action, JobId, Policy};
use haul_store::{Filter, JobRow, NewJob, Page, StateFilter};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Instant, timeout_at};

use super::Api;
use super::extract::{self, Id, Submitted, no_body};
use super::problem::{Refused, refused};
use crate::access::Caller;
use crate::convert;
use crate::driver::DriverError;
use crate::metalink::{self, MetalinkFile};
use crate::submit;

pub(super) async fn submit(State(api): State<Api>, body: Submitted) -> Result<Response, Refused> {
    let body = match body {
        Submitted::Json(bytes) => SubmitBody::parse(&bytes)?,
        Submitted::UriList(bytes) => submit::uri_list(&bytes)?,
        Submitted::Metalink(bytes) => return Ok(Json(submit_metalink(&api, bytes).await?).into_response()),
    };
    match body {
        SubmitBody::One(job) => {
            let job = checked(&api, vec![Ok(*job)]).await?.pop().expect("one result for one job")?;
            let rows = api.driver.submit(vec![job]).await.map_err(|e| driver_error(None, e))?;
            let job = shown(&api, &rows).await?.pop().expect("one row for one job");
            let location = paths::job(job.id);
            Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(job)).into_response())
        }
        SubmitBody::Many(items) => Ok(Json(submit_many(&api, items).await?).into_response()),
    }
}

/// Accepts what can be accepted, in one transaction, and answers in the order of the request.
async fn submit_many(api: &Api, items: Vec<Result<SubmitJob, Problem>>) -> Result<BatchResult, Refused> {
    let checked = checked(api, items).await?;
    let accepted: Vec<NewJob> = checked.iter().filter_map(|item| item.as_ref().ok()).cloned().collect();
    let rows = api.driver.submit(accepted).await.map_err(|e| driver_error(None, e))?;
    let mut jobs = shown(api, &rows).await?.into_iter();
    let results = checked
        .into_iter()
        .map(|item| match item {
            Ok(_) => BatchItem::created(jobs.next().expect("a row for each accepted job")),
            Err(problem) => BatchItem::refused(problem),
        })
        .collect();
    Ok(BatchResult { results })
}

/// Accepts the files of a Metalink as a batch.
async fn submit_metalink(api: &Api, bytes: Bytes) -> Result<BatchResult, Refused> {
    // Many MiB of XML take longer to read than the other clients should wait.
    let files = tokio::task::spawn_blocking(move || metalink::read(&bytes)).await;
    let files = files.map_err(|_| Refused::new(ProblemCode::Internal, "the Metalink could not be read"))?;
    let files = files
        .map_err(|error| Refused::new(ProblemCode::InvalidMetalink, format!("the Metalink cannot be read: {error}")))?;
    let entries: Vec<_> = files.iter().map(MetalinkFile::entry).collect();
    let dropped: Vec<_> = entries.iter().map(|entry| entry.as_ref().map_or(0, |entry| entry.urls_dropped)).collect();
    let jobs = entries.into_iter().map(|entry| entry.map(|entry| entry.job)).collect();
    let mut answer = submit_many(api, jobs).await?;
    for (item, dropped) in answer.results.iter_mut().zip(dropped) {
        item.urls_dropped = dropped;
    }
    Ok(answer)
}

/// Checks jobs where that harms nobody: their directories are looked at, and a disk may hang.
async fn checked(api: &Api, items: Vec<Result<SubmitJob, Problem>>) -> Result<Vec<Result<NewJob, Problem>>, Refused> {
    let roots = Arc::clone(&api.roots);
    let caller = Caller::current();
    let check = move |item: &SubmitJob| submit::confine(caller, item, submit::check(item, &roots)?);
    let check = move || items.into_iter().map(|item| check(&item?)).collect();
    let checked = tokio::task::spawn_blocking(check).await;
    checked.map_err(|_| Refused::new(ProblemCode::Internal, "the job could not be checked; the daemon's log says why"))
}

pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Json<JobList>, Refused> {
    let query = JobQuery::parse(uri.query().unwrap_or_default())?;
    let before = query.cursor.as_deref().map(parse_cursor).transpose()?;
    let limit = query.limit.unwrap_or(query::LIMIT_DEFAULT);
    let page = Page { before, limit, filter: filter(&query.states, query.label) };
    let page = Page { filter: Filter { token: Caller::current().only_of(), ..page.filter }, ..page };
    let (rows, next) = api.store.jobs(page).await?;
    let mut jobs = shown(&api, &rows).await?;
    // Rows know intent and phase; what a running job does at the moment only the engine knows. A file that is verified once
    // more is found where it rests otherwise.
    let rests = |job: &Job| job.state == JobState::Verifying && !rows.iter().any(|row| is_being_sealed(row, job));
    jobs.retain(|job| query.states.is_empty() || query.states.contains(&job.state) || rests(job));
    Ok(Json(JobList { jobs, next_cursor: next.map(|id| id.to_string()) }))
}

/// Tells whether a job's file is verified because it has come to its end.
fn is_being_sealed(row: &JobRow, job: &Job) -> bool {
    row.id.0 == job.id && row.lifecycle.wants_to_run()
}

fn parse_cursor(cursor: &str) -> Result<JobId, Refused> {
    extract::job_id(cursor).ok_or_else(|| {
        Refused::field(ProblemCode::InvalidValue, "cursor", "`cursor` must be the `next_cursor` of the page before")
    })
}

fn filter(states: &[JobState], label: Option<String>) -> Filter {
    let mut filters: Vec<StateFilter> = Vec::new();
    for state in states {
        let (phase, intent) = convert::phase_of(*state);
        let filter = StateFilter { phase, intent };
        if !filters.contains(&filter) {
            filters.push(filter);
        }
    }
    Filter { states: filters, label, ..Filter::default() }
}

pub(super) async fn show(State(api): State<Api>, Id(id): Id, uri: Uri) -> Result<Json<Job>, Refused> {
    let query = WaitQuery::parse(uri.query().unwrap_or_default())?;
    let Some(seconds) = query.wait_seconds else { return Ok(Json(one(&api, id).await?)) };
    // Watch first and look afterwards: no change can fall between the two.
    let changes = api.driver.watch();
    let over = |job: &Job| match query.state {
        Some(state) => job.state != state,
        None => job.state.is_ended(),
    };
    Ok(Json(wait(&api, id, seconds, changes, over).await?))
}

/// Begins to verify a job's file, and with `?wait=` answers when what was found is known.
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
    wait(&api, id, seconds, changes, |job| job.state != JobState::Verifying).await?;
    // Its row may have been read before the result was stored, and its state after that.
    Ok(Json(one(&api, id).await?))
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

pub(super) async fn patch(
    State(api): State<Api>,
    Id(id): Id,
    extract::Json(bytes): extract::Json,
) -> Result<Json<Job>, Refused> {
    let wish: PatchJob = body::parse(&bytes)?;
    submit::confine_patch(Caller::current(), &wish)?;
    let patch = submit::check_patch(wish).map_err(Refused)?;
    let row = api.driver.patch(id, patch).await.map_err(|e| driver_error(Some(id), e))?;
    Ok(Json(shown_one(&api, row).await?))
}

pub(super) async fn pause(api: State<Api>, id: Id, body: Body) -> Result<Json<Job>, Refused> {
    act(api, id, body, Action::Pause).await
}

pub(super) async fn resume(api: State<Api>, id: Id, body: Body) -> Result<Json<Job>, Refused> {
    act(api, id, body, Action::Resume).await
}

pub(super) async fn retry(api: State<Api>, id: Id, body: Body) -> Result<Json<Job>, Refused> {
    act(api, id, body, Action::Retry).await
}

pub(super) async fn cancel(api: State<Api>, id: Id, body: Body) -> Result<Json<Job>, Refused> {
    act(api, id, body, Action::Cancel).await
}

async fn act(State(api): State<Api>, Id(id): Id, body: Body, action: Action) -> Result<Json<Job>, Refused> {
    no_body(body).await?;
    let row = api.driver.act(id, action).await.map_err(|e| driver_error(Some(id), e))?;
    Ok(Json(shown_one(&api, row).await?))
}

pub(super) async fn pause_all(api: State<Api>, body: Body) -> Result<Json<BulkResult>, Refused> {
    act_all(api, body, Action::Pause).await
}

pub(super) async fn resume_all(api: State<Api>, body: Body) -> Result<Json<BulkResult>, Refused> {
    act_all(api, body, Action::Resume).await
}

async fn act_all(State(api): State<Api>, body: Body, action: Action) -> Result<Json<BulkResult>, Refused> {
    no_body(body).await?;
    let changed = api.driver.act_all(action, Filter::default()).await.map_err(|e| driver_error(None, e))?;
    Ok(Json(BulkResult { changed }))
}

pub(super) async fn delete(State(api): State<Api>, Id(id): Id, uri: Uri) -> Result<StatusCode, Refused> {
    let query = DeleteQuery::parse(uri.query().unwrap_or_default())?;
    let files = query.files == Files::Delete;
    api.driver.delete(id, files).await.map_err(|e| driver_error(Some(id), e))?;
    Ok(StatusCode::NO_CONTENT)
}

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

pub(super) async fn events(State(api): State<Api>, Id(id): Id, uri: Uri) -> Result<Json<EventList>, Refused> {
    let query = EventQuery::parse(uri.query().unwrap_or_default())?;
    let (after, limit) = (query.cursor.unwrap_or(0), query.limit.unwrap_or(query::LIMIT_DEFAULT));
    let found = api.store.events(id, after, limit).await?;
    let (events, has_more) = found.ok_or_else(|| Refused::unknown_job(id.0))?;
    let next_cursor = events.last().filter(|_| has_more).map(|event| event.id.to_string());
    Ok(Json(EventList { events: events.iter().map(convert::event).collect(), next_cursor }))
}

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

async fn one(api: &Api, id: JobId) -> Result<Job, Refused> {
    let row = api.store.job(id).await?.ok_or_else(|| Refused::unknown_job(id.0))?;
    shown_one(api, row).await
}

async fn shown_one(api: &Api, row: JobRow) -> Result<Job, Refused> {
    let mut jobs = shown(api, std::slice::from_ref(&row)).await?;
    Ok(jobs.pop().expect("one job for one row"))
}

/// Rows as a client sees them, with what the engine knows beyond them.
async fn shown(api: &Api, rows: &[JobRow]) -> Result<Vec<Job>, Refused> {
    let ids: Vec<JobId> = rows.iter().filter(|row| row.lifecycle.wants_to_run()).map(|row| row.id).collect();
    let (live, verifying) = api.driver.live(ids).await.map_err(|e| driver_error(None, e))?;
    let limits = api.driver.limits().await.map_err(|e| driver_error(None, e))?;
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        let known = live.get(&row.id);
        if known.is_none() && row.lifecycle.wants_to_run() {
            // It ended between the reading of its row and the look at the engine.
            let newer = api.store.job(row.id).await?;
            jobs.push(convert::job(newer.as_ref().unwrap_or(row), None, &limits.limits));
        } else {
            jobs.push(convert::job(row, known, &limits.limits));
        }
    }
    if !Caller::current().sees_queries() {
        jobs.iter_mut().for_each(convert::mask_queries);
    }
    for job in jobs.iter_mut().filter(|job| verifying.contains(&JobId(job.id))) {
        job.state = JobState::Verifying;
        job.waiting_for = None;
    }
    Ok(jobs)
}

/// The answer to what the driver refused.
pub(super) fn driver_error(id: Option<JobId>, error: DriverError) -> Refused {
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
