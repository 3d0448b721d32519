//! Follows jobs until they are over: asks a few times a second, shows the answers, survives a restart of the daemon.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use haul_api::{ClientError, Job, JobQuery, JobState, ProblemCode, query};
use jiff::Timestamp;
use tokio::time::sleep;

use crate::error::{Exit, Failure};
use crate::find::Daemon;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::sentence;

/// Whom to follow, and how.
pub(crate) struct Follow<'a> {
    pub(crate) daemon: &'a Daemon,
    pub(crate) progress: &'a mut Progress,
    pub(crate) interrupt: &'a mut Interrupt,
    /// Whether nothing more is to be expected of a job.
    pub(crate) is_over: fn(&Job) -> bool,
    /// The command that tries a failed job again.
    pub(crate) again: fn(&Job) -> String,
    /// Whether jobs that begin meanwhile are followed, too.
    pub(crate) joins_new: bool,
}

/// How the following ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Every job is over, or was removed by somebody.
    Over(Outcome),
    /// The user does not want to wait any longer for the jobs with these ids.
    Interrupted(Vec<u64>),
}

/// What became of the jobs.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Those that completed, in the order in which they did.
    pub(crate) completed: Vec<Job>,
    /// How many did not.
    pub(crate) failed: usize,
}

impl Outcome {
    pub(crate) fn exit(&self) -> Exit {
        if self.failed == 0 { Exit::Fine } else { Exit::Failed }
    }

    /// The sentence that sums up a failure among several jobs.
    pub(crate) fn tally(&self) -> Option<String> {
        sentence::tally(self.failed, self.failed + self.completed.len())
    }
}

impl Follow<'_> {
    /// Follows `jobs` until all are over.
    ///
    /// # Errors
    ///
    /// When the daemon is gone for longer than a restart takes, or the progress cannot be written.
    pub(crate) async fn run(mut self, jobs: Vec<Job>) -> Result<End, Failure> {
        let mut open = BTreeMap::new();
        let mut outcome = Outcome::default();
        self.take_in(jobs, &mut open, &mut outcome)?;
        while !open.is_empty() {
            let daemon = self.daemon;
            let ids: Vec<_> = open.keys().copied().collect();
            let (joins_new, progress) = (self.joins_new, &*self.progress);
            let answers = tokio::select! {
                biased;
                () = self.interrupt.asked() => return Ok(End::Interrupted(ids)),
                answers = async {
                    sleep(period(daemon)).await;
                    poll_patiently(daemon, &ids, joins_new, progress).await
                } => answers?,
            };
            for id in answers.removed {
                open.remove(&id);
                outcome.failed += 1;
                let failure = Failure::new(Exit::Failed, format!("job {id} was removed by somebody"));
                self.progress.aside(|out| out.failure(&failure));
            }
            self.take_in(answers.jobs, &mut open, &mut outcome)?;
        }
        self.progress.clear();
        Ok(End::Over(outcome))
    }

    /// Shows each job and sorts it into `open` or `outcome`.
    fn take_in(
        &mut self,
        jobs: Vec<Job>,
        open: &mut BTreeMap<u64, JobState>,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        for job in jobs {
            self.progress.update(&job)?;
            if !(self.is_over)(&job) {
                open.insert(job.id, job.state);
                continue;
            }
            open.remove(&job.id);
            let failure = sentence::failure(&job, &(self.again)(&job), Timestamp::now());
            self.progress.over(&job, failure.as_ref())?;
            match failure {
                Some(_) => outcome.failed += 1,
                None => outcome.completed.push(job),
            }
        }
        self.progress.sum_up();
        Ok(())
    }
}

/// How all followed jobs are doing.
#[derive(Debug, Default)]
struct Answers {
    jobs: Vec<Job>,
    removed: Vec<u64>,
}

/// Polls, and where the daemon is away waits for it to come back.
async fn poll_patiently(
    daemon: &Daemon,
    ids: &[u64],
    joins_new: bool,
    progress: &Progress,
) -> Result<Answers, Failure> {
    let mut away_since = None;
    loop {
        let error = match poll(daemon, ids, joins_new).await {
            Ok(answers) => return Ok(answers),
            Err(error) => error,
        };
        let since = *away_since.get_or_insert_with(|| {
            progress.aside(|out| out.note("lost the daemon; waiting for it to come back"));
            Instant::now()
        });
        if !may_pass(&error) || since.elapsed() > AWAY_MAX {
            return Err(daemon.failure(error));
        }
        sleep(AWAY_PERIOD).await;
    }
}

/// Whether a daemon that is being restarted answers like this.
fn may_pass(error: &ClientError) -> bool {
    if let ClientError::Problem(problem) = error {
        return problem.known_code() == Some(ProblemCode::ShuttingDown);
    }
    matches!(error, ClientError::Unreachable { .. } | ClientError::Interrupted { .. } | ClientError::TimedOut { .. })
}

/// Asks how the jobs are doing: a few one by one, many by the list of those that are not over.
async fn poll(daemon: &Daemon, ids: &[u64], joins_new: bool) -> Result<Answers, ClientError> {
    let mut answers = Answers::default();
    if joins_new || ids.len() > ONE_BY_ONE_MAX {
        answers.jobs = live_jobs(daemon).await?;
        answers.jobs.retain(|job| joins_new || ids.contains(&job.id));
    }
    let listed: Vec<_> = answers.jobs.iter().map(|job| job.id).collect();
    for id in ids.iter().filter(|id| !listed.contains(id)) {
        match daemon.client.job(*id).await {
            Ok(job) => answers.jobs.push(job),
            Err(ClientError::Problem(problem)) if problem.known_code() == Some(ProblemCode::JobNotFound) => {
                answers.removed.push(*id);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(answers)
}

/// Every job that has not ended.
pub(crate) async fn live_jobs(daemon: &Daemon) -> Result<Vec<Job>, ClientError> {
    let states = JobState::ALL.into_iter().filter(|state| !state.is_ended()).collect();
    all_jobs(daemon, JobQuery { states, ..JobQuery::default() }).await
}

/// Every job that a query matches, page by page.
pub(crate) async fn all_jobs(daemon: &Daemon, mut query: JobQuery) -> Result<Vec<Job>, ClientError> {
    query.limit = Some(query::LIMIT_MAX);
    let mut jobs = Vec::new();
    loop {
        let page = daemon.client.jobs(&query).await?;
        jobs.extend(page.jobs);
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(jobs),
        }
    }
}

fn period(daemon: &Daemon) -> Duration {
    if daemon.is_local() { LOCAL_PERIOD } else { REMOTE_PERIOD }
}

/// Five times a second looks alive; an answer on this machine costs well under a millisecond.
const LOCAL_PERIOD: Duration = Duration::from_millis(200);
/// Over a network, not to be a burden.
const REMOTE_PERIOD: Duration = Duration::from_secs(1);
/// How often a daemon that is away is looked for.
const AWAY_PERIOD: Duration = Duration::from_millis(500);
/// A restart with a full check of the database is shorter than this. A guess.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// Up to so many jobs are asked for one by one; more are cheaper as a list. A guess.
const ONE_BY_ONE_MAX: usize = 8;
