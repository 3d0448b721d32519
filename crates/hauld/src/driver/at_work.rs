//! Which jobs this process is working on, noted so that the next one can tell what it had in hand when it died.
//!
//! A job that the process dies at again and again, without a byte gained in between, is not touched any more until its
//! user says so (FAILURES.md, F-PROC-04). One that gains bytes is let go on: it will end by itself. The end of the machine
//! and a stop in order are nobody's fault.
//!
//! Several jobs are at work at a time, and one of them is to blame at most. Before the last chance they are therefore
//! taken up one after the other: whoever gets on, or just waits, is cleared, and the next one follows.

use std::collections::{BTreeMap, VecDeque};

use haul_core::{Fault, FaultKind, JobId, Policy};
use tracing::{debug, warn};

use super::Driver;
use super::tasks::Done;

/// What is known of jobs that earlier runs of the process have died at.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// How many of these runs there were one after the other.
    runs: BTreeMap<JobId, u32>,
    /// Those that have one chance left and wait for it.
    held: VecDeque<JobId>,
    /// The one that has its chance now.
    on_trial: Option<JobId>,
}

impl Suspects {
    pub(super) fn new(runs: BTreeMap<JobId, u32>) -> Self {
        Self { runs, ..Self::default() }
    }

    fn runs(&self, id: JobId) -> u32 {
        self.runs.get(&id).copied().unwrap_or(0)
    }

    /// Holds a job back whose next death would be its last.
    fn hold(&mut self, id: JobId) -> bool {
        let is_last_chance = self.runs(id) + 1 >= Policy::default().unclean_ends_max;
        if is_last_chance && !self.held.contains(&id) {
            self.held.push_back(id);
        }
        is_last_chance
    }

    /// A job is innocent, or has ended.
    fn clear(&mut self, id: JobId) {
        self.runs.remove(&id);
        self.held.retain(|held| *held != id);
        self.on_trial.take_if(|on_trial| *on_trial == id);
    }

    /// The next one, unless another one has its chance now.
    fn next(&mut self) -> Option<JobId> {
        if self.on_trial.is_some() {
            return None;
        }
        self.on_trial = self.held.pop_front();
        self.on_trial
    }
}

impl Driver {
    /// Has noted that work on a job begins, or that another kind of work does: sealing.
    pub(super) fn begin_work(&mut self, id: JobId) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        running.at_work = true;
        let runs = self.suspects.runs(id) + 1;
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
        self.cleared(id);
    }

    /// Nothing is held against a job any more.
    pub(super) fn cleared(&mut self, id: JobId) {
        self.suspects.clear(id);
        self.try_next_suspect();
    }

    /// Holds a stored job back if it is one of several that the process may have died at, and has one chance left.
    pub(super) fn held_as_suspect(&mut self, id: JobId) -> bool {
        self.suspects.hold(id)
    }

    /// Gives the next one of those its chance.
    pub(super) fn try_next_suspect(&mut self) {
        if self.stopping {
            return;
        }
        if let Some(id) = self.suspects.next() {
            warn!(job = id.0, "the daemon has died while it worked on this job; it is tried once more, by itself");
            self.load(id);
        }
    }

    /// The job waits: whatever was tried, the process is still there.
    pub(super) fn survived_work(&mut self, id: JobId) {
        self.cleared(id);
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
        let runs = self.suspects.runs(id);
        if runs < Policy::default().unclean_ends_max {
            return None;
        }
        self.cleared(id);
        warn!(job = id.0, runs, "the daemon has died at this job again and again; it is not touched any more");
        let detail = format!(
            "the daemon has ended without warning {runs} times in a row while it worked on this job and got nothing of it; \
             `haul retry {id}` tries once more"
        );
        Some(Fault::new(FaultKind::Quarantined, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_proc_04_suspects_have_their_last_chance_one_after_the_other() {
        let runs = [(1, 1), (2, 2), (3, 2), (4, 2)].map(|(id, runs)| (JobId(id), runs));
        let mut suspects = Suspects::new(runs.into());
        let held: Vec<bool> = (1..=5).map(|id| suspects.hold(JobId(id))).collect();
        assert_eq!(held, [false, true, true, true, false]);
        assert!(suspects.hold(JobId(4)), "asked twice, held once");
        assert_eq!(suspects.next(), Some(JobId(2)));
        assert_eq!(suspects.next(), None, "the first one is not through yet");
        suspects.clear(JobId(3));
        assert_eq!(suspects.next(), None, "somebody has taken it up by hand; the first one is not through yet");
        suspects.clear(JobId(2));
        assert_eq!((suspects.next(), suspects.runs(JobId(2))), (Some(JobId(4)), 0));
        suspects.clear(JobId(4));
        assert_eq!(suspects.next(), None);
    }
}
