//! What follows when answers seem to be of another version of the file.
//!
//! A farm's servers may name one version differently: a new validator with the same length is a reason to doubt, not a
//! verdict (FAILURES.md, F-IDENT-06 and 07). After a few such answers a sample of what is there is compared, like that of a
//! mirror in doubt: equal bytes mean that the job goes on without relying on validators, others that the file has changed.

use crate::messages::{Effect, Note, OnChange};
use crate::{Fault, FaultKind, JobId, Time};

use super::Engine;
use super::job::{Doubtful, Ending};
use super::mirror::{Standing, has_sample};
use super::outcome::WAIT_AFTER_PROGRESS;
use super::worker::Worker;

/// Answers with another validator before bytes are compared (FAILURES.md, F-IDENT-06): another server of the farm may
/// still answer as before.
const DOUBTS_MAX: u32 = 3;

/// Conflicts that no validator explains, before the ranges are thought to be at fault instead of the file.
const CONFLICTS_MAX: u32 = 1;

impl Engine {
    /// An answer has another validator, and the same length.
    pub(super) fn validators_differ(&mut self, now: Time, worker: &Worker) {
        // The others bring what can be compared. Begun anew, it might meet the same answers as quickly, again and again.
        let others_run = self.is_served(worker.job, worker.mirror);
        let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
        if !has_sample(job) && !others_run {
            // Too little is there to compare, and too little to be missed.
            self.end_job(now, worker.job, Ending::drop(Doubtful::Everything));
            return;
        }
        let mirror = job.mirror_mut(worker.mirror);
        mirror.doubts += 1;
        if mirror.doubts >= DOUBTS_MAX {
            if mirror.standing == Standing::Proven {
                mirror.standing = Standing::Unproven;
            }
        } else {
            let wait = self.rng.jittered(WAIT_AFTER_PROGRESS);
            self.hold(now, worker, wait);
        }
    }

    /// The bytes that are there are not of the file that the server has now.
    pub(super) fn source_changed(&mut self, now: Time, id: JobId, fault: Fault) {
        let restarts_max = self.policy.restarts_max;
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        // Where a validator has changed, too, nothing contradicts anything.
        let is_unexplained = fault.kind == FaultKind::BytesDiffer && job.mirror(job.main).doubts == 0;
        job.conflicts += u32::from(is_unexplained);
        if job.restarts >= restarts_max || job.tuning.on_change == OnChange::Fail {
            self.end_job(now, id, Ending::Fail(Fault { kind: FaultKind::SourceChanged, ..fault }));
            return;
        }
        job.restarts += 1;
        // What differs again although all of it is new was not changed but sent wrongly.
        let are_ranges_wrong = job.conflicts > CONFLICTS_MAX;
        job.accepts_ranges = are_ranges_wrong.then_some(false);
        let main = job.main;
        job.mirror_mut(main).ranges_proven = false;
        job.furthest = 0;
        let restarts = job.restarts;
        self.effects.push_back(Effect::Note(id, Note::Restart { restarts }));
        self.end_job(now, id, Ending::drop(Doubtful::Everything));
    }
}
