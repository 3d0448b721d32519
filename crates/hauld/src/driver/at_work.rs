//! Which jobs this process is working on, noted so that the next one can tell what it had in hand when it died.
//!
//! A job that the process dies at again and again, without a byte gained in between, is not touched any more until its
//! user says so (FAILURES.md, F-PROC-04). One that gains bytes is let go on: it will end by itself. The end of the machine
//! and a stop in order are nobody's fault.

use haul_core::{Fault, FaultKind, JobId, Policy};
use tracing::{debug, warn};

use super::Driver;
use super::tasks::Done;

impl Driver {
    /// Has noted that work on a job begins, or that another kind of work does: sealing.
    pub(super) fn begin_work(&mut self, id: JobId) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        running.at_work = true;
        let runs = self.died_at.get(&id).copied().unwrap_or(0) + 1;
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            if let Err(error) = store.begin_work(id, runs).await {
                debug!(job = id.0, %error, "cannot note that work on a job begins");
            }
            Done::Nothing
        }));
    }

    /// The job has got bytes; the marks that say so are the note.
    pub(super) fn gained_bytes(&mut self, id: JobId) {
        self.died_at.remove(&id);
    }

    /// The job waits: whatever was tried, the process is still there.
    pub(super) fn survived_work(&mut self, id: JobId) {
        self.died_at.remove(&id);
        let Some(running) = self.jobs.get_mut(&id).filter(|running| running.at_work) else { return };
        running.at_work = false;
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            if let Err(error) = store.survived_work(id).await {
                debug!(job = id.0, %error, "cannot note that a job has not ended the process");
            }
            Done::Nothing
        }));
    }

    /// Why a stored job must not be taken up, if so.
    pub(super) fn quarantine(&mut self, id: JobId) -> Option<Fault> {
        let runs = self.died_at.get(&id).copied().unwrap_or(0);
        if runs < Policy::default().unclean_ends_max {
            return None;
        }
        self.died_at.remove(&id);
        warn!(job = id.0, runs, "the daemon has died at this job again and again; it is not touched any more");
        let detail = format!(
            "the daemon has ended without warning {runs} times in a row while it worked on this job and got nothing of it; \
             `haul retry {id}` tries once more"
        );
        Some(Fault::new(FaultKind::Quarantined, detail))
    }
}
