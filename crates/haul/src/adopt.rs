//! Brings jobs to an engine: those that it has already go on, the others are submitted.

use std::path::Path;

use haul_api::{ClientError, Job, JobState, Outcome, PatchJob, Problem, ProblemCode, SubmitJob};
use url::Url;

use crate::error::Failure;
use crate::find::Daemon;
use crate::text::shown_url;

/// What became of the wishes.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    pub(crate) jobs: Vec<Job>,
    pub(crate) refused: Vec<Refused>,
}

/// A wish that was not granted.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The URL as it may be shown, or the file that it stands in.
    pub(crate) what: String,
    pub(crate) problem: Problem,
}

impl Refused {
    /// The words for it, with what it is about in front.
    pub(crate) fn failure(&self) -> Failure {
        let mut failure = Failure::from_problem(self.problem.clone(), None);
        failure.message = format!("{}: {}", self.what, failure.message);
        failure
    }
}

/// Whether `job` is what `wish` asks for.
pub(crate) fn is_same(job: &Job, wish: &SubmitJob) -> bool {
    let is_same_url = without_userinfo(&job.url) == without_userinfo(wish.main_url());
    let is_same_name = wish.filename.is_none() || wish.filename == job.filename;
    // The engine of this command knows one directory only, so a path that is not known yet is no obstacle there.
    let is_same_dir = match (&job.path, &wish.dir) {
        (Some(path), Some(dir)) => Path::new(path).parent() == Some(Path::new(dir)),
        _ => true,
    };
    is_same_url && is_same_name && is_same_dir
}

/// Takes up each wish with the job of `known` that is the same, and submits the rest.
pub(crate) async fn take_up(daemon: &Daemon, wishes: &[SubmitJob], known: &[Job]) -> Result<Accepted, ClientError> {
    let mut accepted = Accepted::default();
    let mut missing = Vec::new();
    for wish in wishes {
        match known.iter().find(|job| is_same(job, wish)) {
            Some(job) => accepted.jobs.push(go_on(daemon, job, wish).await?),
            None => missing.push(wish.clone()),
        }
    }
    submit(daemon, &missing, &mut accepted).await?;
    Ok(accepted)
}

/// Submits jobs, some at a time.
pub(crate) async fn submit(daemon: &Daemon, wishes: &[SubmitJob], into: &mut Accepted) -> Result<(), ClientError> {
    for batch in wishes.chunks(BATCH) {
        let answer = daemon.client.submit_many(batch).await?;
        for (item, wish) in answer.results.into_iter().zip(batch) {
            match item.outcome {
                Outcome::Job(job) => into.jobs.push(*job),
                Outcome::Problem(problem) => into.refused.push(Refused { what: shown_url(wish.main_url()), problem }),
            }
        }
    }
    Ok(())
}

/// Makes a job that stands still go on, with the limits that are wished for now.
async fn go_on(daemon: &Daemon, job: &Job, wish: &SubmitJob) -> Result<Job, ClientError> {
    let client = &daemon.client;
    let answer = match job.state {
        JobState::Failed => client.retry(job.id).await,
        JobState::Paused | JobState::Waiting => client.resume(job.id).await,
        JobState::Queued
        | JobState::Probing
        | JobState::Active
        | JobState::Verifying
        | JobState::Completed
        | JobState::Canceled => Ok(job.clone()),
    };
    let job = match answer {
        // It moved on by itself since it was listed.
        Err(ClientError::Problem(problem)) if problem.known_code() == Some(ProblemCode::ConflictState) => {
            client.job(job.id).await?
        }
        answer => answer?,
    };
    let patch = PatchJob {
        priority: wish.priority.filter(|priority| *priority != job.priority),
        connections: wish.connections.filter(|connections| *connections != job.connections.max),
        bandwidth_limit: wish.bandwidth_limit.filter(|limit| *limit != job.bandwidth_limit),
        ..PatchJob::default()
    };
    if job.state.is_ended() || patch == PatchJob::default() {
        return Ok(job);
    }
    client.patch(job.id, &patch).await
}

/// The URL as the API shows it.
fn without_userinfo(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return text.to_owned() };
    // Both fail only for URLs that have no host, and then there is no userinfo either.
    url.set_username("").ok();
    url.set_password(None).ok();
    url.into()
}

/// Jobs in one request: well below the 16 MiB that a body may have.
const BATCH: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sentence::tests::job;

    #[test]
    fn a_job_is_known_by_url_directory_and_name() {
        let mut job = job(JobState::Active);
        job.url = "http://a/b".to_owned();
        let wish = SubmitJob { dir: Some("/srv".to_owned()), ..SubmitJob::new("http://me:pw@a:80/b") };
        assert!(is_same(&job, &wish), "the path is not known yet");
        job.path = Some("/srv/b".to_owned());
        job.filename = Some("b".to_owned());
        assert!(is_same(&job, &wish));
        assert!(!is_same(&job, &SubmitJob { filename: Some("c".to_owned()), ..wish.clone() }));
        assert!(!is_same(&job, &SubmitJob { dir: Some("/tmp".to_owned()), ..wish.clone() }));
        assert!(!is_same(&job, &SubmitJob { url: Some("http://a/c".to_owned()), ..wish }));
    }
}
