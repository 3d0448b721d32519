//! Jobs that are submitted: read, checked, accepted, told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use haul_api::openapi::{OneOrMany, SubmitOneOrMany};
use haul_api::{BatchItem, Job, Problem, ProblemCode, SubmitBody, SubmitJob, paths};
use haul_core::{JobId, Phase};
use haul_store::{JobRow, Once, OnceAnswer, OnceRequest};

use super::Api;
use super::document;
use super::extract::Submitted as Sent;
use super::jobs::{driver_error, may_run, told};
use super::once::{self, OptionalKey};
use super::problem::Refused;
use crate::access::Caller;
use crate::curl;
use crate::driver::{Became, Limits, Live, OnceSubmit, Submitted};
use crate::metalink::{self, MetalinkFile};
use crate::spread::spread;
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
fn one_answer(submitted: &Submitted, seen: &Seen) -> OnceAnswer {
    let (status, row) = match submitted.became(0) {
        Became::New(row) => (201, row),
        Became::There(row) => (200, row),
        Became::Rejected(id) => {
            let problem = duplicate(id);
            return OnceAnswer { status: problem.status, location: None, body: written(&problem) };
        }
    };
    let job = seen.job(&row);
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
    let mut take = |job| {
        accepted.push(job);
        accepted.len() - 1
    };
    let dropped = urls_dropped.into_iter().chain(std::iter::repeat(0));
    let items: Vec<_> = checked.into_iter().map(|item| item.map(&mut take)).zip(dropped).collect();
    let answer = move |submitted: &Submitted, seen: &Seen| {
        let results = spread(items, |items| {
            let results = items.into_iter().map(|(item, urls_dropped)| {
                let result = match item.map(|index| submitted.became(index)) {
                    Ok(Became::New(row)) => BatchItem::created(seen.job(&row)),
                    Ok(Became::There(row)) => BatchItem::there(seen.job(&row)),
                    Ok(Became::Rejected(id)) => BatchItem::refused(duplicate(id)),
                    Err(problem) => BatchItem::refused(problem),
                };
                BatchItem { urls_dropped, ..result }
            });
            written_list(results)
        });
        // As `BatchResult` is written.
        OnceAnswer { status: 200, location: None, body: [&b"{\"results\":["[..], &results.join(&b','), b"]}"].concat() }
    };
    accept(api, request, accepted, answer).await
}

/// Items of a JSON array, without its brackets.
fn written_list(items: impl Iterator<Item = BatchItem>) -> Vec<u8> {
    let mut json = Vec::new();
    for item in items {
        if !json.is_empty() {
            json.push(b',');
        }
        serde_json::to_writer(&mut json, &item).expect("an answer is plain JSON");
    }
    json
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
    answer: impl FnOnce(&Submitted, &Seen) -> OnceAnswer + Send + 'static,
) -> Result<Response, Refused> {
    let same = same(api, &jobs).await?;
    let ids = same.iter().filter(|row| may_run(row)).map(|row| row.id).collect();
    let gone = gone(same).await?;
    let (live, verifying) = api.driver.live(ids).await.map_err(|e| driver_error(None, e))?;
    let limits = api.driver.limits().await.map_err(|e| driver_error(None, e))?.limits;
    let seen = Seen { caller: Caller::current(), live, verifying, limits };
    let Some(request) = request else {
        let submitted = api.driver.submit(jobs, gone).await.map_err(|e| driver_error(None, e))?;
        // Thousands of jobs take longer to write than the other clients should wait.
        let answer = tokio::task::spawn_blocking(move || answer(&submitted, &seen)).await;
        let answer = answer.map_err(|_| Refused::new(ProblemCode::Internal, "the answer could not be written"))?;
        return Ok(once::response(answer, false));
    };
    let submit = OnceSubmit { request, answer: Box::new(move |submitted| answer(&submitted, &seen)) };
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
