//! How a job comes, goes from stage to stage, and leaves. The table is in the engine's documentation.

use crate::messages::{Alarm, Effect, JobSpec, Outcome, StopReason};
use crate::{Fault, FaultKind, JobId, Time, WaitingFor, WorkerId};

use super::Engine;
use super::host::HostId;
use super::job::{Doubtful, Ending, Job, Stage};
use super::mirror::Standing;

impl Engine {
    pub(super) fn start(&mut self, now: Time, id: JobId, spec: JobSpec) {
        if self.jobs.contains_key(&id) {
            self.start_again(now, id, &spec);
            return;
        }
        self.last_rows.remove(&id);
        debug_assert!(!spec.hosts.is_empty(), "a job is about some host");
        let hosts: Vec<HostId> = spec.hosts.iter().map(|name| self.hosts.enter(name)).collect();
        let mut job = Job::new(now, id, &hosts, spec);
        job.sample_from = self.rng.next_u64();
        self.jobs.insert(id, job);
        self.begin(now, id);
    }

    /// A job that is on its way out and is wanted again comes back when its last worker is gone.
    fn start_again(&mut self, now: Time, id: JobId, spec: &JobSpec) {
        self.tune(now, id, spec.tuning);
        let job = self.jobs.get_mut(&id).expect("the caller checked");
        match &mut job.stage {
            Stage::Ending(ending @ Ending::Release) => *ending = Ending::Requeue,
            Stage::Resetting { released }
            | Stage::Ending(Ending::Drop { released, .. })
            | Stage::Sealing { released } => *released = false,
            Stage::Queued | Stage::Running | Stage::Waiting { .. } | Stage::Ending(_) => {}
        }
    }

    /// Puts a job that has no worker and no slot where it belongs.
    pub(super) fn begin(&mut self, now: Time, id: JobId) {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        debug_assert!(job.workers.is_empty(), "a job begins without workers");
        if job.is_covered() {
            job.stage = Stage::Sealing { released: false };
            self.effects.push_back(Effect::Seal(id));
        } else if job.must_reset() {
            self.reset(now, id);
        } else if let Some(fault) = self.outage.as_ref().and_then(|outage| outage.holds_back(id)) {
            job.fault = Some(fault);
            job.stage = Stage::Waiting { until: None, waiting_for: WaitingFor::Network };
        } else if self.queues.rule(job.tuning.queue).is_closed {
            job.fault = None;
            job.stage = Stage::Waiting { until: None, waiting_for: WaitingFor::Schedule };
        } else {
            job.stage = Stage::Queued;
            self.queues.insert(job.tuning.queue, job.rank());
        }
        self.touched.insert(id);
    }

    fn drop_doubtful(&mut self, now: Time, id: JobId, what: Doubtful) {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        match what {
            Doubtful::Everything => self.reset(now, id),
            Doubtful::From(mirror) => {
                let bytes = job.ledger.as_mut().map_or(0, |ledger| ledger.void_from(mirror));
                if bytes > 0 { self.rewrite(now, id) } else { self.begin(now, id) }
            }
        }
    }

    /// Lets a job that has no worker, and fewer bytes than before, go on once its rows say so, too.
    pub(super) fn rewrite(&mut self, now: Time, id: JobId) {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        job.furthest = job.done_bytes();
        job.restart_meter(now);
        job.beyond.clear();
        job.comparing.clear();
        job.stage = Stage::Resetting { released: false };
        self.effects.push_back(Effect::Rewrite(id));
    }

    /// Drops all bytes of a job that has no worker, so that it begins anew; unless its request must not be made again.
    pub(super) fn reset(&mut self, now: Time, id: JobId) {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        if job.tuning.once && job.done_bytes() > 0 {
            let why = job.fault.as_ref().map_or("it was interrupted", |fault| fault.detail.as_str());
            let detail = format!(
                "{why}; the server cannot go on in the middle, and this request is not sent again by itself: `retry` \
                 sends it from the start"
            );
            let fault = Fault::new(FaultKind::NotRepeatable, detail);
            self.let_go(id, Effect::Ended(id, Outcome::Failed(fault)));
            return;
        }
        job.stage = Stage::Resetting { released: false };
        job.drop_bytes(now);
        self.effects.push_back(Effect::Reset(id));
    }

    pub(super) fn reset_done(&mut self, now: Time, id: JobId) {
        match self.jobs.get(&id).map(|job| &job.stage) {
            Some(Stage::Resetting { released: false }) => self.begin(now, id),
            Some(Stage::Resetting { released: true }) => self.let_go(id, Effect::Released(id)),
            Some(Stage::Queued | Stage::Running | Stage::Waiting { .. } | Stage::Ending(_) | Stage::Sealing { .. })
            | None => self.late_facts += 1,
        }
    }

    /// Completes, restarts or ends a job, when its last worker has left it so.
    pub(super) fn after_worker(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.get(&id).filter(|job| job.workers.is_empty()) else {
            return;
        };
        match job.stage {
            Stage::Ending(_) => self.finish_ending(now, id),
            Stage::Running if (job.is_covered() && job.comparing.is_empty()) || job.must_reset() => {
                self.leave_stage(id);
                self.begin(now, id);
            }
            Stage::Running => _ = self.idle.insert(id),
            // The worker's end has already decided it.
            Stage::Queued | Stage::Waiting { .. } | Stage::Resetting { .. } | Stage::Sealing { .. } => {}
        }
    }

    /// Stops all workers of a job; what happens then is decided by `ending`.
    pub(super) fn end_job(&mut self, now: Time, id: JobId, ending: Ending) {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        match &mut job.stage {
            // Nothing may come between a complete file and its name. What is doubtful goes first: its rows are all that the
            // next run would know of it.
            Stage::Sealing { released }
            | Stage::Resetting { released }
            | Stage::Ending(Ending::Drop { released, .. }) => {
                *released |= ending == Ending::Release;
                return;
            }
            // The first verdict stands, unless the user wants the job gone.
            Stage::Ending(before) if before.is_verdict() && ending != Ending::Release => return,
            Stage::Queued | Stage::Running | Stage::Waiting { .. } | Stage::Ending(_) => {}
        }
        self.leave_stage(id);
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        job.stage = Stage::Ending(ending);
        let workers: Vec<WorkerId> = job.workers.iter().copied().collect();
        self.touched.insert(id);
        for worker in workers {
            self.stop_worker(worker, StopReason::JobStops);
        }
        if self.jobs[&id].workers.is_empty() {
            self.finish_ending(now, id);
        }
    }

    /// Takes the job out of the sets that its stage keeps it in.
    fn leave_stage(&mut self, id: JobId) {
        let job = &self.jobs[&id];
        self.queues.remove(job.tuning.queue, &job.rank());
        self.running.remove(&id);
        self.idle.remove(&id);
        self.sate(id, None);
    }

    /// Completes an ending whose last worker is gone.
    fn finish_ending(&mut self, now: Time, id: JobId) {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        let Stage::Ending(ending) = std::mem::replace(&mut job.stage, Stage::Queued) else {
            unreachable!("only an ending job is finished")
        };
        self.touched.insert(id);
        match ending {
            Ending::Release => self.let_go(id, Effect::Released(id)),
            Ending::Fail(fault) => self.let_go(id, Effect::Ended(id, Outcome::Failed(fault))),
            Ending::Wait { until, waiting_for } => {
                job.stage = Stage::Waiting { until, waiting_for };
                if let Some(until) = until {
                    self.set_alarm(until.max(now), Alarm::Job(id));
                }
            }
            Ending::Requeue => self.begin(now, id),
            Ending::Drop { what, released } => {
                self.drop_doubtful(now, id, what);
                self.release_if(now, id, released);
            }
        }
    }

    /// Lets a job go that was `released` while something else had to come first, unless it is gone already.
    pub(super) fn release_if(&mut self, now: Time, id: JobId, released: bool) {
        if released && self.jobs.contains_key(&id) {
            self.end_job(now, id, Ending::Release);
        }
    }

    pub(super) fn seal_ended(&mut self, now: Time, id: JobId, fault: Option<Fault>) {
        let Some(Stage::Sealing { released }) = self.jobs.get(&id).map(|job| job.stage.clone()) else {
            self.late_facts += 1;
            return;
        };
        let Some(fault) = fault else {
            self.let_go(id, Effect::Ended(id, Outcome::Completed));
            return;
        };
        match fault.kind.awaits_disk() {
            Some(waiting_for) => {
                self.await_disk(now, id, fault, waiting_for);
                self.release_if(now, id, released);
            }
            None => self.let_go(id, Effect::Ended(id, Outcome::Failed(fault))),
        }
    }

    /// Forgets a job; `farewell` is the last that is heard of it.
    fn let_go(&mut self, id: JobId, farewell: Effect) {
        self.leave_stage(id);
        let mut job = self.jobs.remove(&id).expect("the caller holds the job");
        self.touched.remove(&id);
        for mirror in &job.mirrors {
            self.hosts.leave(mirror.host);
        }
        if let Some(ledger) = &mut job.ledger {
            self.last_rows.insert(id, ledger.take_changed());
        }
        self.effects.push_back(farewell);
    }

    /// Lets a job go on whose time has come.
    pub(super) fn wake_job(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        self.touched.insert(id);
        if let Some(ledger) = &mut job.ledger {
            ledger.end_backoffs(Some(now));
        }
        if let Stage::Waiting { until: Some(until), waiting_for } = job.stage
            && until <= now
        {
            if waiting_for.is_the_disk() { self.check_disk(id) } else { self.begin(now, id) }
        }
        self.replace_second_probe(now, id);
    }

    /// Tries now whatever waits for a clock, or for a person who says that it can go on.
    pub(super) fn nudge(&mut self, now: Time, id: JobId) {
        let job = self.jobs.get_mut(&id).expect("the caller checked");
        if let Some(ledger) = &mut job.ledger {
            ledger.end_backoffs(None);
        }
        for mirror in &mut job.mirrors {
            mirror.link_tried_at = None;
            mirror.hold_until = None;
            if mirror.standing == Standing::Dropped {
                mirror.standing = Standing::Unproven;
            }
            self.hosts.forgive(mirror.host);
        }
        self.touched.insert(id);
        if let Some(outage) = &mut self.outage {
            outage.let_through(id);
        }
        match &mut job.stage {
            Stage::Waiting { waiting_for, .. } if waiting_for.is_the_disk() => self.check_disk(id),
            Stage::Waiting { .. } => self.begin(now, id),
            Stage::Ending(Ending::Wait { until, waiting_for }) if waiting_for.is_the_disk() => *until = Some(now),
            Stage::Ending(ending @ Ending::Wait { .. }) => *ending = Ending::Requeue,
            Stage::Queued | Stage::Running | Stage::Ending(_) | Stage::Resetting { .. } | Stage::Sealing { .. } => {}
        }
    }

    /// A host that was left alone is back: so are the jobs that wait for it, whatever time they were given.
    pub(super) fn recall(&mut self, now: Time, host: HostId) {
        let waits = |job: &&Job| {
            let clock = matches!(
                job.stage,
                Stage::Waiting { until: Some(_), waiting_for: WaitingFor::Host | WaitingFor::Retry }
            );
            clock && job.mirrors.iter().any(|mirror| mirror.host == host)
        };
        let waiting: Vec<JobId> = self.jobs.values().filter(waits).map(|job| job.id).collect();
        for id in waiting {
            self.begin(now, id);
        }
    }

    pub(super) fn stop_worker(&mut self, id: WorkerId, reason: StopReason) {
        let worker = self.workers.get_mut(&id).expect("a job's workers are running");
        if worker.stopping.is_none() {
            worker.stopping = Some(reason);
            self.effects.push_back(Effect::Stop { worker: id, reason });
        } else if reason == StopReason::JobStops {
            worker.stopping = Some(reason);
        }
    }
}
