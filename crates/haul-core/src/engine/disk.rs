//! Jobs that wait for the disk of their target: for space, or for the volume.
//!
//! Such a job keeps neither a slot nor a place in the queue. When its time has come the shell looks at the disk first, and
//! only a disk that is well brings it back: nobody makes room for a job that could not write a byte.

use crate::messages::{Alarm, Effect};
use crate::{Chunk, Fault, JobId, Ledger, Time, WaitingFor};

use super::Engine;
use super::job::{Ending, Stage};

impl Engine {
    /// Waits for the disk, from a stage without workers.
    pub(super) fn await_disk(&mut self, now: Time, id: JobId, fault: Fault, waiting_for: WaitingFor) {
        let until = now + self.policy.disk_wait;
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        job.fault = Some(fault);
        job.stage = Stage::Waiting { until: Some(until), waiting_for };
        self.touched.insert(id);
        self.set_alarm(until, Alarm::Job(id));
    }

    /// Has the disk of a waiting job looked at, unless that is under way.
    pub(super) fn check_disk(&mut self, id: JobId) {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        if let Stage::Waiting { until, waiting_for } = &mut job.stage
            && waiting_for.is_the_disk()
            && until.take().is_some()
        {
            self.effects.push_back(Effect::CheckDisk(id));
        }
    }

    pub(super) fn disk_checked(&mut self, now: Time, id: JobId, found: Result<(), Fault>) {
        let stage = self.jobs.get(&id).map(|job| &job.stage);
        if !matches!(stage, Some(Stage::Waiting { until: None, waiting_for }) if waiting_for.is_the_disk()) {
            self.late_facts += 1;
            return;
        }
        match found {
            Ok(()) => self.begin(now, id),
            Err(fault) => match fault.kind.awaits_disk() {
                Some(waiting_for) => self.await_disk(now, id, fault, waiting_for),
                None => self.end_job(now, id, Ending::Fail(fault)),
            },
        }
    }

    /// Some of a job's bytes are lost; it goes on from what is left.
    pub(super) fn rolled_back(&mut self, now: Time, id: JobId, rows: &[Chunk]) {
        let Some(job) = self.jobs.get_mut(&id) else {
            self.late_facts += 1;
            return;
        };
        debug_assert!(job.workers.is_empty(), "nobody writes while bytes are given up");
        if let Some(total) = job.total {
            // Where the store knows of no row yet, nothing is left.
            job.ledger = Some(Ledger::restored(total, rows).unwrap_or_else(|| Ledger::planned(total)));
            job.furthest = job.done_bytes();
            job.restart_meter(now);
            self.touched.insert(id);
        }
    }
}
