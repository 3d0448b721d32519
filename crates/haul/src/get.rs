//! `haul get`: saves into the current directory, through the daemon if it may write there, else by itself.

use std::path::Path;

use haul_api::{ClientError, Job, JobQuery, JobState, ProblemCode, SubmitJob, WaitingFor};
use hauld::Embedded;

use crate::adopt::{self, Accepted};
use crate::args::{Get, Global};
use crate::error::{Exit, Failure};
use crate::find::{self, Daemon};
use crate::follow::{End, Follow, Outcome, all_jobs};
use crate::interrupt::Interrupt;
use crate::out::Out;
use crate::progress::Progress;
use crate::sentence;
use crate::state_dir::StateDir;
use crate::submit;

/// Downloads, and waits for the end.
pub(crate) async fn get(global: &Global, args: &Get, out: &Out) -> Result<Exit, Failure> {
    let (dir, wishes) = submit::for_get(args)?;
    wishes.notes.iter().for_each(|note| out.note(note));
    if args.many.dry_run {
        return wishes.preview(out).map(|()| Exit::Fine);
    }
    wishes.refused.iter().for_each(|refused| out.failure(&refused.failure()));
    let (wishes, refused) = (wishes.jobs, wishes.refused.len());
    if wishes.is_empty() {
        return Ok(Exit::Failed);
    }
    let mut interrupt = Interrupt::new()?;
    let through_daemon = tokio::select! {
        biased;
        () = interrupt.asked() => return Ok(Exit::Interrupted),
        accepted = through_daemon(global, &wishes, out) => accepted?,
    };
    let exit = match through_daemon {
        Some((daemon, accepted)) => with_daemon(&daemon, accepted, &mut interrupt, out).await?,
        None => with_engine(&dir, &wishes, &mut interrupt, out).await?,
    };
    Ok(if exit == Exit::Fine && refused > 0 { Exit::Failed } else { exit })
}

/// Hands the wishes to the daemon, unless there is none that would save them here.
async fn through_daemon(
    global: &Global,
    wishes: &[SubmitJob],
    out: &Out,
) -> Result<Option<(Daemon, Accepted)>, Failure> {
    let is_named = global.socket.is_some() || global.server.is_some();
    let daemon = match find::find(global, out).await {
        Ok(daemon) => daemon,
        Err(failure) if !is_named && is_no_daemon_of_ours(&failure) => return Ok(without(out, &failure.message)),
        Err(failure) => return Err(failure),
    };
    if !daemon.is_local() {
        let message = format!("`haul get` saves on this machine, but {} is another one", daemon.client.address());
        return Err(Failure::usage(message).with_help("`haul add` lets the daemon there download"));
    }
    let accepted = match take_up_here(&daemon, wishes).await {
        Ok(accepted) => accepted,
        Err(error) => {
            let failure = daemon.failure(error);
            return if !is_named && is_no_daemon_of_ours(&failure) {
                Ok(without(out, &failure.message))
            } else {
                Err(failure)
            };
        }
    };
    let is_outside = |refused: &adopt::Refused| refused.problem.known_code() == Some(ProblemCode::PathOutsideRoots);
    if accepted.jobs.is_empty() && accepted.refused.iter().all(is_outside) {
        return Ok(without(out, "the daemon may not write to this directory"));
    }
    Ok(Some((daemon, accepted)))
}

fn without<T>(out: &Out, why: &str) -> Option<T> {
    out.detail(format!("no daemon for this: {why}; using an engine in this process"));
    None
}

/// Whether nothing answers, or what answers is somebody else's.
fn is_no_daemon_of_ours(failure: &Failure) -> bool {
    matches!(failure.exit, Exit::Unreachable | Exit::Unauthorized)
}

/// Goes on with what the daemon is saving here already, and submits the rest.
async fn take_up_here(daemon: &Daemon, wishes: &[SubmitJob]) -> Result<Accepted, ClientError> {
    let states = JobState::ALL.into_iter().filter(|state| *state == JobState::Failed || !state.is_ended()).collect();
    let mut known = all_jobs(daemon, JobQuery { states, ..JobQuery::default() }).await?;
    // A job whose path is not known yet may be on its way to anywhere.
    known.retain(|job| job.path.is_some());
    adopt::take_up(daemon, wishes, &known).await
}

async fn with_daemon(
    daemon: &Daemon,
    accepted: Accepted,
    interrupt: &mut Interrupt,
    out: &Out,
) -> Result<Exit, Failure> {
    let again = |job: &Job| format!("`haul retry {}`", job.id);
    match wait(daemon, &accepted, again, interrupt, out).await? {
        End::Over(outcome) => finish(&outcome, &accepted, out),
        End::Interrupted(ids) => {
            let ids = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            out.note(format!("the daemon goes on; `haul watch {ids}`, `haul cancel {ids}`"));
            Ok(Exit::Interrupted)
        }
    }
}

async fn with_engine(dir: &Path, wishes: &[SubmitJob], interrupt: &mut Interrupt, out: &Out) -> Result<Exit, Failure> {
    let state_dir = StateDir::open(dir, wishes)?;
    let engine = Embedded::start(state_dir.path(), dir, Vec::new()).await.map_err(|error| {
        if error.is_locked() {
            return Failure::new(Exit::Local, "this is already being fetched by another `haul get`")
                .with_help("wait for it, or stop it: the same command goes on where it was");
        }
        Failure::new(Exit::Local, error.to_string())
    })?;
    // Whatever happens from here on, the engine is stopped in order.
    let end = run_engine(engine.socket(), wishes, interrupt, out).await;
    engine.stop().await;
    match end {
        Ok((End::Over(outcome), accepted, is_clean)) => {
            if is_clean {
                state_dir.remove(out);
            }
            finish(&outcome, &accepted, out)
        }
        Ok((End::Interrupted(_), ..)) => {
            out.note("stopped; the same command goes on where it was");
            Ok(Exit::Interrupted)
        }
        Err(failure) => Err(failure),
    }
}

/// Lets the engine do its work. Answers also whether there is nothing left to go on with.
async fn run_engine(
    socket: &Path,
    wishes: &[SubmitJob],
    interrupt: &mut Interrupt,
    out: &Out,
) -> Result<(End, Accepted, bool), Failure> {
    let daemon = Daemon::on_socket(socket)?;
    let mut known = all_jobs(&daemon, JobQuery::default()).await.map_err(|error| daemon.failure(error))?;
    known.retain(is_worth_knowing);
    let accepted = adopt::take_up(&daemon, wishes, &known).await.map_err(|error| daemon.failure(error))?;
    let again = |_: &Job| "the same command".to_owned();
    let end = wait(&daemon, &accepted, again, interrupt, out).await?;
    let is_clean = match &end {
        End::Over(_) => drop_the_hopeless(&daemon).await.map_err(|error| daemon.failure(error))?,
        End::Interrupted(_) => false,
    };
    Ok((end, accepted, is_clean))
}

/// Whether a job of an earlier run saves work: not if it was given up, nor if its file has been taken away since.
fn is_worth_knowing(job: &Job) -> bool {
    match job.state {
        JobState::Canceled => false,
        JobState::Completed => job.path.as_ref().is_some_and(|path| Path::new(path).exists()),
        JobState::Queued
        | JobState::Probing
        | JobState::Active
        | JobState::Waiting
        | JobState::Paused
        | JobState::Verifying
        | JobState::Failed => true,
    }
}

/// Cancels jobs that failed before their first byte, and answers whether nothing unfinished is left.
async fn drop_the_hopeless(daemon: &Daemon) -> Result<bool, ClientError> {
    let mut is_clean = true;
    for job in all_jobs(daemon, JobQuery::default()).await? {
        if job.state == JobState::Failed && job.done_bytes == 0 {
            daemon.client.cancel(job.id).await?;
        } else if !matches!(job.state, JobState::Completed | JobState::Canceled) {
            is_clean = false;
        }
    }
    Ok(is_clean)
}

/// Reports what was refused, and follows the rest to its end.
async fn wait(
    daemon: &Daemon,
    accepted: &Accepted,
    again: fn(&Job) -> String,
    interrupt: &mut Interrupt,
    out: &Out,
) -> Result<End, Failure> {
    for refused in &accepted.refused {
        out.failure(&refused.failure());
    }
    let mut progress = Progress::new(out);
    let follow = Follow { daemon, progress: &mut progress, interrupt, is_over, again, joins_new: false };
    let end = follow.run(accepted.jobs.clone()).await;
    progress.clear();
    end
}

/// Whether waiting longer is of no use: the job ended, or needs a link that only a person can bring.
fn is_over(job: &Job) -> bool {
    job.state.is_ended() || (job.state == JobState::Waiting && job.waiting_for == Some(WaitingFor::Link))
}

fn finish(outcome: &Outcome, accepted: &Accepted, out: &Out) -> Result<Exit, Failure> {
    if out.wants_paths() {
        for path in outcome.completed.iter().filter_map(|job| job.path.as_ref()) {
            out.foreign(path)?;
        }
    }
    let failed = outcome.failed + accepted.refused.len();
    if let Some(tally) = sentence::tally(failed, failed + outcome.completed.len()) {
        out.note(tally);
    }
    Ok(if failed == 0 { Exit::Fine } else { Exit::Failed })
}
