//! The routes about jobs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use haul_api::openapi::{OneOrMany, SubmitOneOrMany};
use haul_api::{
    BatchItem, BatchResult, ChunkList, DeleteQuery, EventList, EventQuery, Files, Job, JobState, PatchJob, Problem,
    ProblemCode, SubmitBody, SubmitJob, VerifyJob, WaitQuery, Why, body, paths, query,
};
use haul_core::{Action, JobId, Phase, Policy};
use haul_store::{JobRow, Once, OnceAnswer, OnceRequest};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Instant, timeout_at};

use super::Api;
use super::document;
use super::extract::{self, Id, Submitted as Sent, no_body};
use super::once::{self, OptionalKey};
use super::problem::{Refused, refused};
use super::versions;
use crate::access::Caller;
use crate::convert;
use crate::curl;
use crate::driver::{DriverError, Limits, Live, OnceSubmit, Placing, Submitted};
use crate::metalink::{self, MetalinkFile};
use crate::submit::{self, Checked};

/// Submits one job, several, a list of URLs, a Metalink, or what a command line of curl asks for.
#[utoipa::path(post, path = paths::JOBS, tag = "jobs", params(
    ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = "Names the request: within 24
      hours it is carried out once, and answered the same however often it comes")),
    request_body(description = "One job, several, a list of URLs, a Metalink (RFC 5854), or a command line of curl", content(
        (SubmitOneOrMany = "application/json", example = json!({"url": "https://example.org/a.iso"})),
        (String = "text/uri-list", example = "https://example.org/a.iso"),
        (String = "application/metalink4+xml"),
        (String = "application/x-curl", example = "curl 'https://example.org/a.iso' -H 'Referer: https://example.org/'"))),
    responses(
        (status = 201, description = "The job was accepted", body = Job, headers(
            ("Location" = String, description = "The job's path"))),
        (status = 200, description = "What became of each, in their order; or of a single one, the job that is the same",
            body = OneOrMany),
        document::Submit))]
pub(super) async fn submit(
    State(api): State<Api>,
    OptionalKey(key): OptionalKey,
    body: Sent,
) -> Result<Response, Refused> {
    let request = key.as_ref().map(|key| key.request(&body.parts()));
    let body = match body {
        Sent::Json(bytes) => SubmitBody::parse(&bytes)?,
        Sent::UriList(bytes) => submit::uri_list(&bytes)?,
        Sent::Curl(bytes) => SubmitBody::One(Box::new(curl_command(&bytes)?)),
        Sent::Metalink(bytes) => {
            let (items, dropped) = metalink_jobs(bytes).await?;
            let checked = checked(&api, items).await?;
            return accept_many(&api, request, checked, dropped).await;
        }
    };
    match body {
        SubmitBody::One(job) => {
            let job = checked(&api, vec![Ok(*job)]).await?.pop().expect("one result for one job")?;
            accept(&api, request, vec![job], one_answer).await
        }
        SubmitBody::Many(items) => {
            let checked = checked(&api, items).await?;
            accept_many(&api, request, checked, Vec::new()).await
        }
    }
}

/// Reads a command line of curl.
fn curl_command(bytes: &[u8]) -> Result<SubmitJob, Refused> {
    curl::read(bytes).map_err(|error| Refused::new(ProblemCode::InvalidCurl, error.to_string()))
}

/// The answer to a single submit.
fn one_answer(submitted: &[Submitted], seen: &Seen) -> OnceAnswer {
    let (status, row) = match submitted.first().expect("one result for one job") {
        Submitted::New(row) => (201, row),
        Submitted::There(row) => (200, row),
        Submitted::Rejected(id) => {
            let problem = duplicate(*id);
            return OnceAnswer { status: problem.status, location: None, body: written(&problem) };
        }
    };
    let job = seen.job(row);
    OnceAnswer { status, location: Some(paths::job(job.id)), body: written(&job) }
}

/// Accepts what can be accepted, in one transaction, and answers in the order of the request.
async fn accept_many(
    api: &Api,
    request: Option<OnceRequest>,
    checked: Vec<Result<Checked, Problem>>,
    urls_dropped: Vec<usize>,
) -> Result<Response, Refused> {
    let mut accepted = Vec::with_capacity(checked.len());
    let mut refusals = Vec::with_capacity(checked.len());
    for item in checked {
        match item {
            Ok(job) => {
                accepted.push(job);
                refusals.push(None);
            }
            Err(problem) => refusals.push(Some(problem)),
        }
    }
    let answer = move |submitted: &[Submitted], seen: &Seen| {
        let mut submitted = submitted.iter();
        let mut results: Vec<BatchItem> = refusals
            .into_iter()
            .map(|refusal| match refusal {
                None => match submitted.next().expect("a result for each accepted job") {
                    Submitted::New(row) => BatchItem::created(seen.job(row)),
                    Submitted::There(row) => BatchItem::there(seen.job(row)),
                    Submitted::Rejected(id) => BatchItem::refused(duplicate(*id)),
                },
                Some(problem) => BatchItem::refused(problem),
            })
            .collect();
        for (item, dropped) in results.iter_mut().zip(urls_dropped) {
            item.urls_dropped = dropped;
        }
        OnceAnswer { status: 200, location: None, body: written(&BatchResult { results }) }
    };
    accept(api, request, accepted, answer).await
}

/// Submits jobs on this side, as a request would; tells of each whether it is there now.
///
/// # Errors
///
/// When nothing can be submitted now.
pub(crate) async fn hand_over(
    api: &Api,
    items: Vec<Result<SubmitJob, Problem>>,
) -> Result<Vec<Result<(), Problem>>, Problem> {
    let checked = checked(api, items).await.map_err(|refused| refused.0)?;
    let (jobs, outcomes): (Vec<_>, Vec<_>) = checked
        .into_iter()
        .map(|item| match item {
            Ok(job) => (Some(job), Ok(())),
            Err(problem) => (None, Err(problem)),
        })
        .unzip();
    let jobs: Vec<_> = jobs.into_iter().flatten().collect();
    let gone = gone(same(api, &jobs).await.map_err(|refused| refused.0)?).await.map_err(|refused| refused.0)?;
    api.driver.submit(jobs, gone).await.map_err(|error| driver_error(None, error).0)?;
    Ok(outcomes)
}

fn duplicate(id: JobId) -> Problem {
    let detail = format!("job {id} is the same; `on_duplicate` can be `attach` or `copy`");
    Problem::new(ProblemCode::Duplicate, detail).with_field("on_duplicate").with_instance(paths::job(id.0))
}

/// Accepts jobs but those that are the same as one that is there, or answers what a request with the same key was answered
/// before. New jobs are shown as they were accepted.
async fn accept(
    api: &Api,
    request: Option<OnceRequest>,
    jobs: Vec<Checked>,
    answer: impl FnOnce(&[Submitted], &Seen) -> OnceAnswer + Send + 'static,
) -> Result<Response, Refused> {
    let same = same(api, &jobs).await?;
    let ids = same.iter().filter(|row| may_run(row)).map(|row| row.id).collect();
    let gone = gone(same).await?;
    let (live, verifying) = api.driver.live(ids).await.map_err(|e| driver_error(None, e))?;
    let limits = api.driver.limits().await.map_err(|e| driver_error(None, e))?.limits;
    let seen = Seen { caller: Caller::current(), live, verifying, limits };
    let Some(request) = request else {
        let submitted = api.driver.submit(jobs, gone).await.map_err(|e| driver_error(None, e))?;
        return Ok(once::response(answer(&submitted, &seen), false));
    };
    let submit = OnceSubmit { request, answer: Box::new(move |submitted| answer(submitted, &seen)) };
    match api.driver.submit_once(jobs, gone, submit).await.map_err(|e| driver_error(None, e))? {
        Once::First(_, answer) => Ok(once::response(answer, false)),
        Once::Again(answer) => Ok(once::response(answer, true)),
        Once::Other => Err(once::reused()),
    }
}

/// What was known of the jobs that are there just before others were accepted.
struct Seen {
    caller: Caller,
    live: HashMap<JobId, Live>,
    verifying: HashSet<JobId>,
    limits: Limits,
}

impl Seen {
    fn job(&self, row: &JobRow) -> Job {
        told(self.caller, row, self.live.get(&row.id), &self.verifying, &self.limits)
    }
}

/// The jobs that are the same as one of these, as far as anybody wants to know.
async fn same(api: &Api, jobs: &[Checked]) -> Result<Vec<JobRow>, Refused> {
    let wanted = jobs.iter().filter(|job| job.on_duplicate != haul_store::OnDuplicate::Copy);
    let wanted: Vec<_> = wanted.filter_map(|job| Some((job.job.wish.sameness?, job.job.maker))).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    Ok(api.store.same(wanted).await?)
}

/// Those of these jobs that are complete and whose files are not there any more.
async fn gone(mut rows: Vec<JobRow>) -> Result<Vec<JobId>, Refused> {
    rows.retain(|row| row.lifecycle.phase == Phase::Completed);
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    // A disk may hang.
    let gone = move || rows.iter().filter(|row| !has_file(row)).map(|row| row.id).collect();
    let gone = tokio::task::spawn_blocking(gone).await;
    gone.map_err(|_| Refused::new(ProblemCode::Internal, "a file could not be looked at"))
}

/// Whether the file of a complete job is where it was put, and as long. Blocks.
fn has_file(row: &JobRow) -> bool {
    let metadata = row.path.as_deref().and_then(|path| std::fs::symlink_metadata(path).ok());
    metadata.is_some_and(|found| found.is_file() && row.identity.total_bytes.is_none_or(|total| total == found.len()))
}

fn written(body: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("an answer is plain JSON")
}

/// The files of a Metalink as jobs, and how many URLs of each are not used.
async fn metalink_jobs(bytes: Bytes) -> Result<(Vec<Result<SubmitJob, Problem>>, Vec<usize>), Refused> {
    // Many MiB of XML take longer to read than the other clients should wait.
    let files = tokio::task::spawn_blocking(move || metalink::read(&bytes)).await;
    let files = files.map_err(|_| Refused::new(ProblemCode::Internal, "the Metalink could not be read"))?;
    let files = files
        .map_err(|error| Refused::new(ProblemCode::InvalidMetalink, format!("the Metalink cannot be read: {error}")))?;
    let entries: Vec<_> = files.iter().map(MetalinkFile::entry).collect();
    let dropped = entries.iter().map(|entry| entry.as_ref().map_or(0, |entry| entry.urls_dropped)).collect();
    Ok((entries.into_iter().map(|entry| entry.map(|entry| entry.job)).collect(), dropped))
}

/// Checks jobs where that harms nobody: their directories are looked at, and a disk may hang.
pub(crate) async fn checked(
    api: &Api,
    items: Vec<Result<SubmitJob, Problem>>,
) -> Result<Vec<Result<Checked, Problem>>, Refused> {
    let roots = Arc::clone(&api.roots);
    let (caller, has_proxy) = (Caller::current(), api.has_proxy);
    let check = move || submit::check_all(items, &roots, caller, has_proxy);
    let checked = tokio::task::spawn_blocking(check).await;
    checked.map_err(|_| Refused::new(ProblemCode::Internal, "the job could not be checked; the daemon's log says why"))
}

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
fn told(caller: Caller, row: &JobRow, live: Option<&Live>, verifying: &HashSet<JobId>, limits: &Limits) -> Job {
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
fn may_run(row: &JobRow) -> bool {
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
