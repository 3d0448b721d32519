//! `pause`, `resume`, `retry`, `cancel`, `restore` and `rm`: the same for each of several jobs.

use haul_api::{BulkResult, ClientError, Files, Job};

use super::in_a_line;
use crate::error::{Exit, Failure};
use crate::find::Daemon;
use crate::out::Out;
use crate::text::count;

/// What is done to each job.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Pause,
    Resume,
    Retry,
    Cancel,
    Restore,
}

impl Act {
    async fn on(self, daemon: &Daemon, id: u64) -> Result<Job, ClientError> {
        match self {
            Self::Pause => daemon.client.pause(id).await,
            Self::Resume => daemon.client.resume(id).await,
            Self::Retry => daemon.client.retry(id).await,
            Self::Cancel => daemon.client.cancel(id).await,
            Self::Restore => daemon.client.restore(id).await,
        }
    }
}

/// Acts on each job; what fails for one does not keep the others from it.
pub(crate) async fn each(daemon: &Daemon, ids: &[u64], act: Act, out: &Out) -> Result<Exit, Failure> {
    let mut exit = Exit::Fine;
    for id in ids {
        match act.on(daemon, *id).await {
            Ok(job) if out.is_json() => out.json(&job)?,
            Ok(job) => out.note(in_a_line(&job)),
            Err(error) => exit = report(daemon, *id, error, exit, out)?,
        }
    }
    Ok(exit)
}

/// Forgets each job.
pub(crate) async fn rm(daemon: &Daemon, ids: &[u64], delete_files: bool, out: &Out) -> Result<Exit, Failure> {
    let (files, told) =
        if delete_files { (Files::Delete, "forgotten, files deleted") } else { (Files::Keep, "forgotten") };
    let mut exit = Exit::Fine;
    for id in ids {
        match daemon.client.delete(*id, files).await {
            // The API answers nothing, so there is nothing to print for programs.
            Ok(()) if out.is_json() => {}
            Ok(()) => out.note(format!("{id}  {told}")),
            Err(error) => exit = report(daemon, *id, error, exit, out)?,
        }
    }
    Ok(exit)
}

pub(crate) async fn pause_all(daemon: &Daemon, out: &Out) -> Result<Exit, Failure> {
    all(daemon, daemon.client.pause_all().await, "paused", out)
}

pub(crate) async fn resume_all(daemon: &Daemon, out: &Out) -> Result<Exit, Failure> {
    all(daemon, daemon.client.resume_all().await, "resumed", out)
}

fn all(daemon: &Daemon, answer: Result<BulkResult, ClientError>, done: &str, out: &Out) -> Result<Exit, Failure> {
    let result = answer.map_err(|error| daemon.failure(error))?;
    if out.is_json() {
        out.json(&result)?;
    } else {
        let changed = usize::try_from(result.changed).unwrap_or(usize::MAX);
        out.note(format!("{} {done}", count(changed, "job")));
    }
    Ok(Exit::Fine)
}

/// Reports a refusal for one of several jobs; one that concerns them all ends the command.
pub(super) fn report(daemon: &Daemon, id: u64, error: ClientError, exit: Exit, out: &Out) -> Result<Exit, Failure> {
    let mut failure = daemon.failure(error);
    if !matches!(failure.exit, Exit::Failed | Exit::UnknownJob) {
        return Err(failure);
    }
    failure.message = format!("job {id}: {}", failure.message);
    out.failure(&failure);
    Ok(together(exit, failure.exit))
}

/// The exit code for several jobs: the one that they share, else the general one.
fn together(so_far: Exit, next: Exit) -> Exit {
    if so_far == Exit::Fine || so_far == next { next } else { Exit::Failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_refusals_share_the_general_code() {
        assert_eq!(together(Exit::Fine, Exit::UnknownJob), Exit::UnknownJob);
        assert_eq!(together(Exit::UnknownJob, Exit::UnknownJob), Exit::UnknownJob);
        assert_eq!(together(Exit::UnknownJob, Exit::Failed), Exit::Failed);
    }
}
