//! What follows from the end of a worker.

use std::time::Duration;

use crate::messages::{Alarm, Effect, End, FetchKind, Note, StopReason};
use crate::{Class, Fault, FaultKind, JobId, Ledger, MirrorIndex, Time, WaitingFor, WorkerId};

use super::Engine;
use super::host::{HostId, backoff};
use super::job::{Doubtful, Ending, Stage};
use super::steal::SPEED_KNOWN;
use super::worker::Worker;

/// The wait after a break that came with progress: nothing suggests that the next attempt would fail.
///
/// FAILURES.md, F-NET-01: within a second; jittered, so that a hundred broken connections do not return at once.
pub(super) const WAIT_AFTER_PROGRESS: Duration = Duration::from_millis(200);

/// A connection that has lived for so long breaks on its own, and not because of what it was asked.
const LIVED: Duration = Duration::from_millis(250);

/// Connections that break within this time of each other break for one reason.
const TOGETHER: Duration = Duration::from_millis(50);

/// The stretch over which the speed is taken that a connection has when its request ends: by then it has got going.
const KEPT_WINDOW: Duration = Duration::from_millis(200);

/// How long the submitted URL is left alone after it was asked for a new link (FAILURES.md section 2).
const LINK_PAUSE: Duration = Duration::from_secs(30);

/// A worker that ran at least this long tells what its host gives.
const TYPICAL_AFTER: Duration = Duration::from_millis(300);

/// How many times more lies it takes to turn a server's ranges off that were seen to work (FAILURES.md, F-RANGE-02:
/// only some nodes of a farm may refuse them). A guess.
const PROVEN_FACTOR: u32 = 4;

/// Where so many requests in a row fail, no chunk is at fault: the mirror does not serve new requests, whatever comes of
/// older ones. A guess: more than an accident, and less than a burden.
const FAILED_REQUESTS_MAX: u32 = 8;

impl Engine {
    /// A worker is gone.
    pub(super) fn worker_ended(&mut self, now: Time, id: WorkerId, at: u64, end: End) {
        if !self.workers.contains_key(&id) {
            self.late_facts += 1;
            return;
        }
        self.advance(now, id, at, false);
        self.note_usual_speed(now, self.workers[&id].job);
        let worker = self.workers.remove(&id).expect("it was just there");
        if self.cut_for_another == Some(id) {
            self.cut_for_another = None;
        }
        let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
        job.workers.remove(&id);
        if worker.contributes() && worker.age(now).is_some_and(|age| age >= TYPICAL_AFTER) {
            job.mirror_mut(worker.mirror).gave = Some(worker.life_speed(now));
        }
        self.hosts.get_mut(worker.host).left(now, worker.opened_at.is_some(), worker.late);
        if let Some(ledger) = &mut job.ledger {
            if worker.rival.is_some() {
                self.leave_race(&worker, worker.job);
            } else if worker.contributes() && (worker.kind != FetchKind::Probe || worker.opened_at.is_some()) {
                ledger.release(worker.at, worker.end);
            }
        } else if end == End::Finished && !matches!(job.stage, Stage::Ending(Ending::Release | Ending::Fail(_))) {
            // The end of the body is the only thing that tells the length. A job that leaves now could tell nobody.
            let mut ledger = Ledger::planned(worker.at);
            ledger.lease_all(id, worker.mirror);
            ledger.advance(0, worker.at);
            job.total = Some(worker.at);
            job.ledger = Some(ledger);
        }
        self.touched.insert(worker.job);
        self.compare_seams(worker.job);
        if !worker.contributes() {
            let equal = end == End::Finished && worker.remaining() == 0;
            self.proof_ended(worker.job, worker.mirror, equal);
        }
        match end {
            End::Finished => self.finished(now, &worker),
            End::Stopped => self.stopped(now, &worker),
            End::Fault(fault) => self.faulted(now, &worker, fault),
        }
        self.after_worker(now, worker.job);
    }

    /// A worker came to an end of its own: fine, as long as it brought something that can be built on.
    fn finished(&mut self, now: Time, worker: &Worker) {
        if let Some(opened_at) = worker.opened_at
            && now.since(opened_at) >= TYPICAL_AFTER
            && worker.at - worker.from >= self.policy.split_floor_bytes
        {
            self.hosts.get_mut(worker.host).note_speed(worker.life_speed(now));
        }
        if worker.age(now).is_some_and(|age| age >= SPEED_KNOWN) && worker.at == worker.request_end {
            let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
            job.keep(now, worker.host, worker.life_speed(now).max(worker.recent_speed(now, KEPT_WINDOW)));
        }
        let job = &self.jobs[&worker.job];
        let in_vain = worker.at == worker.from || job.is_single();
        if worker.remaining() > 0 && !job.is_covered() && in_vain && !job.is_decided() {
            let fault = Fault::new(FaultKind::Truncated, "the server sent less than it had announced");
            self.return_chunk(now, worker, fault);
        }
    }

    fn stopped(&mut self, now: Time, worker: &Worker) {
        if worker.stopping == Some(StopReason::Unanswered) {
            self.left_unanswered(now, worker);
        }
        if worker.stopping != Some(StopReason::BelowFloor) || worker.remaining() == 0 {
            return;
        }
        let speed = worker.meter.bytes_per_second(now);
        let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
        let Some(ledger) = &mut job.ledger else {
            return;
        };
        ledger.note(worker.at, |chunk| chunk.strikes += 1);
        if let Some(chunk) = ledger.chunk_at(worker.at) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "speeds are small and positive"
            )]
            let bytes_per_second = speed as u64;
            let (chunk, strikes) = (chunk.range.start, chunk.strikes);
            let note = Note::Strike { chunk, mirror: worker.mirror, strikes, bytes_per_second };
            self.effects.push_back(Effect::Note(worker.job, note));
        }
    }

    /// Gives up a request whose answer is overdue: perhaps the host just lets more connections hang than it wants. That counts
    /// at once: else the first ones of several to end would be replaced by others that hang.
    pub(super) fn give_up_unanswered(&mut self, now: Time, id: WorkerId) {
        let worker = &self.workers[&id];
        let (host, job, started) = (worker.host, worker.job, worker.started);
        if worker.stopping.is_none() && self.serves_others(host, started) {
            self.learn_cap(now, host, job, id, &no_answer_since(now, started));
        }
        self.stop_worker(id, StopReason::Unanswered);
    }

    /// A request that was given up because its answer was overdue is gone.
    fn left_unanswered(&mut self, now: Time, worker: &Worker) {
        let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
        if let Some(ledger) = job.ledger.as_mut().filter(|_| worker.contributes() && !worker.is_second()) {
            ledger.note(worker.at, |chunk| chunk.stalls += 1);
        }
        if self.serves_others(worker.host, worker.started) {
            self.leave_refused_alone(now, worker, &no_answer_since(now, worker.started));
        } else if worker.kind != FetchKind::Probe {
            self.hosts.get_mut(worker.host).test();
        }
    }

    /// A host has served somebody since this time.
    fn serves_others(&self, host: HostId, since: Time) -> bool {
        let host = self.hosts.get(host);
        host.opened > 0 || host.has_served_since(since)
    }

    /// Decides what a fault means for the chunk, the host and the job.
    fn faulted(&mut self, now: Time, worker: &Worker, fault: Fault) {
        let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
        let class = fault.kind.class();
        // What comes after a worker's last byte harms nobody, unless it harms everybody.
        let too_late = worker.remaining() == 0
            && !matches!(class, Class::Permanent | Class::Disk | Class::Volume | Class::SourceChanged);
        if job.is_decided() || job.is_covered() || too_late {
            return;
        }
        if self.is_of_outage(worker, &fault) {
            self.network_is_gone(now, fault);
            return;
        }
        if !matches!(class, Class::Network | Class::Disk | Class::Local) {
            self.network_is_there(now);
        }
        let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
        job.fault = Some(fault.clone());
        job.mirror_mut(worker.mirror).fault = Some(fault.clone());
        if self.is_the_mirrors_fault(worker, &fault) && self.drop_mirror(now, worker.job, worker.mirror, &fault) {
            return;
        }
        match class {
            Class::Permanent => self.end_job(now, worker.job, Ending::Fail(fault)),
            Class::SourceChanged => self.source_changed(now, worker.job, fault),
            Class::Doubted => self.validators_differ(now, worker),
            Class::Network => self.network_is_gone(now, fault),
            Class::Link => self.link_refused(now, worker, fault),
            Class::Busy => self.host_refused(now, worker, fault),
            Class::Transient if worker.opened_at.is_none() && fault.kind.is_before_answer() => {
                self.host_refused(now, worker, fault);
            }
            Class::Transient => self.return_chunk(now, worker, fault),
            Class::Protocol if is_at_seam(worker, &fault) => self.seam_lied(now, worker, fault),
            Class::Protocol | Class::RangesRefused => self.ranges_doubted(now, worker, fault),
            Class::Disk | Class::Volume => {
                let until = Some(now + self.policy.disk_wait);
                let waiting_for = fault.kind.awaits_disk().unwrap_or(WaitingFor::Disk);
                self.end_job(now, worker.job, Ending::Wait { until, waiting_for });
            }
            Class::Local => self.squeeze(now),
        }
    }

    /// Tells whether a fault is a verdict on the mirror: a job with another one goes on without it.
    fn is_the_mirrors_fault(&self, worker: &Worker, fault: &Fault) -> bool {
        match fault.kind.class() {
            Class::SourceChanged => true,
            Class::Permanent => fault.kind.is_the_servers(),
            // The main mirror of a job that was served may need a new link, or less of us.
            Class::Link => worker.mirror != self.jobs[&worker.job].main || !self.jobs[&worker.job].served,
            // What does not fit may be what is there, from another mirror.
            Class::Protocol if is_at_seam(worker, fault) => false,
            Class::Protocol | Class::RangesRefused => !self.jobs[&worker.job].mirror(worker.mirror).ranges_proven,
            Class::Transient | Class::Busy | Class::Disk | Class::Volume | Class::Local => false,
            Class::Doubted | Class::Network => false,
        }
    }

    /// 401, 403, 404 or 410: the end before the first byte, afterwards an expired link or a refused connection.
    fn link_refused(&mut self, now: Time, worker: &Worker, fault: Fault) {
        if self.workers_of(worker.job).any(|(_, other)| other.host == worker.host && other.opened_at.is_some()) {
            self.lower_host_cap(now, worker, &fault);
            return;
        }
        let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
        if !job.served {
            self.end_job(now, worker.job, Ending::Fail(fault));
        } else if worker.resolve || job.tuning.once {
            // The submitted URL itself was asked and refused: only another mirror or a person can help.
            if !self.drop_mirror(now, worker.job, worker.mirror, &fault) {
                self.end_job(now, worker.job, Ending::Wait { until: None, waiting_for: WaitingFor::Link });
            }
        } else if !job.mirror(worker.mirror).resolve {
            let mirror = job.mirror_mut(worker.mirror);
            mirror.resolve = true;
            let at = mirror.link_tried_at.map_or(now, |tried| now.max(tried + LINK_PAUSE));
            mirror.link_tried_at = Some(at);
            self.effects.push_back(Effect::Note(worker.job, Note::LinkTriedAgain));
            self.hold_mirror(worker.job, worker.mirror, at);
        }
    }

    /// The host did not take the connection, or not the request on it.
    fn host_refused(&mut self, now: Time, worker: &Worker, fault: Fault) {
        let host_id = worker.host;
        let host = self.hosts.get_mut(host_id);
        if host.opened > 0 {
            self.lower_host_cap(now, worker, &fault);
            return;
        }
        let Some(wait) = host.failed(now, &fault, &self.policy, &mut self.rng) else {
            // Others were refused in the same moment, and that has been dealt with.
            return;
        };
        let note = Note::HostWaits { host: host.name.clone(), wait, fault: fault.clone() };
        self.effects.push_back(Effect::HostChanged(self.hosts.get(host_id).name.clone()));
        self.set_alarm(now + wait, Alarm::Host(host_id.0));
        self.effects.push_back(Effect::Note(worker.job, note));
        if fault.retry_after.is_none() {
            self.charge(now, worker, fault, wait);
        }
    }

    /// Others are being served: the host takes no more connections than it has.
    fn lower_host_cap(&mut self, now: Time, worker: &Worker, fault: &Fault) {
        self.learn_cap(now, worker.host, worker.job, worker.id, fault);
        self.leave_refused_alone(now, worker, fault);
    }

    /// Takes it that the host has refused this worker because it has enough of them.
    fn learn_cap(&mut self, now: Time, host_id: HostId, job: JobId, worker: WorkerId, fault: &Fault) {
        let next = WorkerId(self.next_worker);
        let host = self.hosts.get_mut(host_id);
        if let Some((cap, until)) = host.refused(now, worker, next, fault, &self.policy) {
            let name = host.name.clone();
            self.effects.push_back(Effect::HostChanged(name.clone()));
            self.effects.push_back(Effect::Note(job, Note::HostCap { host: name, cap }));
            self.set_alarm(until, Alarm::Host(host_id.0));
        }
    }

    /// Leaves the mirror of a refused worker alone for a while where the job has nobody else there.
    fn leave_refused_alone(&mut self, now: Time, worker: &Worker, fault: &Fault) {
        let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
        if !job.workers.iter().any(|id| self.workers[id].mirror == worker.mirror) {
            // Perhaps it is not the connection but the job that the server refuses: others must not pay for finding out
            // more than now and then.
            let wish = fault.retry_after.unwrap_or_default().min(self.policy.retry_after_max);
            let mirror = job.mirror_mut(worker.mirror);
            let wait = wish.max(self.rng.jittered(backoff(&self.policy, mirror.refusals)));
            mirror.refusals += 1;
            self.hold_mirror(worker.job, worker.mirror, now + wait);
        }
    }

    fn ranges_doubted(&mut self, now: Time, worker: &Worker, fault: Fault) {
        let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
        let mirror = job.mirror_mut(worker.mirror);
        let factor = if mirror.ranges_proven { PROVEN_FACTOR } else { 1 };
        mirror.range_lies += 1;
        if mirror.range_lies <= self.policy.range_lies_max * factor {
            self.return_chunk(now, worker, fault);
        } else if self.drop_mirror(now, worker.job, worker.mirror, &fault) {
            // The others go on.
        } else if self.jobs[&worker.job].accepts_ranges == Some(false) {
            self.end_job(now, worker.job, Ending::Fail(fault));
        } else {
            self.go_single(now, worker.job, worker.mirror);
        }
    }

    /// Starts over with one connection that reads the whole file: a server's ranges cannot be trusted.
    pub(super) fn go_single(&mut self, now: Time, id: JobId, mirror: MirrorIndex) {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        job.accepts_ranges = Some(false);
        job.mirror_mut(mirror).range_lies = 0;
        job.furthest = 0;
        self.effects.push_back(Effect::Note(id, Note::SingleConnection));
        self.end_job(now, id, Ending::drop(Doubtful::Everything));
    }

    /// Sends a chunk back to the queue after a fault of its own.
    pub(super) fn return_chunk(&mut self, now: Time, worker: &Worker, fault: Fault) {
        let job = &self.jobs[&worker.job];
        // A single stream that starts over gains something only beyond its best.
        let progressed = worker.at > worker.from && (!job.is_single() || job.attempts == 0);
        let wait = if progressed && fault.kind != FaultKind::Internal {
            WAIT_AFTER_PROGRESS
        } else if self.is_served(worker.job, worker.mirror) {
            let chunk = job.ledger.as_ref().and_then(|ledger| ledger.chunk_at(worker.at));
            backoff(&self.policy, chunk.map_or(0, |chunk| chunk.failures))
        } else {
            backoff(&self.policy, job.attempts)
        };
        // Who has run for a while goes on at once, and in one piece. Where many break together a pause is due.
        let is_alone = job.broke_at.is_none_or(|at| now.since(at) >= TOGETHER);
        let has_lived = progressed && worker.age(now).is_some_and(|age| age >= LIVED);
        let goes_on = has_lived && is_alone && !job.is_single();
        let wait = if goes_on { Duration::ZERO } else { self.rng.jittered(wait) };
        self.jobs.get_mut(&worker.job).expect("a worker belongs to a job").broke_at = Some(now);
        self.charge(now, worker, fault, wait);
        if self.jobs.contains_key(&worker.job) && !wait.is_zero() {
            self.hold(now, worker, wait);
        }
    }

    /// Counts a fault against a chunk and its job, which may be one too many.
    fn charge(&mut self, now: Time, worker: &Worker, fault: Fault, wait: Duration) {
        let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
        if job.failed_at.is_none_or(|at| worker.started >= at) {
            job.failed_at = Some(now);
            job.attempts += 1;
            job.defects += u32::from(fault.kind == FaultKind::Internal);
        }
        let (mut start, mut retries) = (0, job.attempts);
        if let Some(ledger) = job.ledger.as_mut().filter(|_| worker.contributes()) {
            job.mirrors[worker.mirror.0 as usize].failed_requests += u32::from(worker.at == worker.from);
            ledger.note(worker.at, |chunk| {
                chunk.retries += 1;
                chunk.failures += 1;
                chunk.stalls += u32::from(fault.kind == FaultKind::Stall);
            });
            if let Some(chunk) = ledger.chunk_at(worker.at) {
                (start, retries) = (chunk.range.start, chunk.retries);
            }
        }
        let note = Note::ChunkReturned { chunk: start, mirror: worker.mirror, retries, wait, fault: fault.clone() };
        self.effects.push_back(Effect::Note(worker.job, note));
        let limit = self.policy.retry_limit;
        let is_limited = limit > 0 && job.attempts > limit;
        // Waiting does not mend a defect of ours (FAILURES.md, F-PROC-03).
        if is_limited || job.defects >= self.policy.internal_faults_max {
            let detail = format!("no progress in {} attempts; the last one: {fault}", job.attempts);
            self.end_job(now, worker.job, Ending::Fail(Fault { detail, ..fault }));
        }
    }

    /// Lets nobody touch the worker's next byte for `wait`, or none of the job's while nothing of it is being fetched.
    ///
    /// A chunk held back alone would only send the next chunk into the same fault. Where many have met it one after the
    /// other, new requests are made one at a time and now and then, until one is answered; those that are being served go
    /// on. The pause stays short: it may be a part of the file that fails, and the rest lies behind it.
    pub(super) fn hold(&mut self, now: Time, worker: &Worker, wait: Duration) {
        let until = now + wait;
        let others_run = self.is_served(worker.job, worker.mirror);
        let progressed = worker.at > worker.from;
        let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
        let all_fail = job.mirror(worker.mirror).failed_requests > FAILED_REQUESTS_MAX;
        match &mut job.ledger {
            Some(ledger) if job.accepts_ranges != Some(false) && worker.contributes() && (others_run || progressed) => {
                ledger.hold_back(worker.at, until);
                self.set_alarm(until, Alarm::Job(worker.job));
                if all_fail {
                    let pause = self.rng.jittered(self.policy.retry_wait);
                    self.hold_mirror(worker.job, worker.mirror, now + pause);
                }
            }
            Some(_) | None => self.hold_mirror(worker.job, worker.mirror, until),
        }
    }

    /// Makes no request of a job to a mirror before `until`, and then one alone until it is answered.
    fn hold_mirror(&mut self, id: JobId, index: MirrorIndex, until: Time) {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        let mirror = job.mirror_mut(index);
        mirror.hold_until = mirror.hold_until.max(Some(until));
        self.set_alarm(until, Alarm::Job(id));
    }

    /// A mirror serves others of the job.
    pub(super) fn is_served(&self, id: JobId, index: MirrorIndex) -> bool {
        self.workers_of(id).any(|(_, worker)| worker.mirror == index && worker.opened_at.is_some())
    }
}

/// The fault of a request that was made then and has no answer yet.
fn no_answer_since(now: Time, since: Time) -> Fault {
    let waited = now.since(since).as_secs_f64();
    Fault::new(FaultKind::NoAnswer, format!("no answer within {waited:.1} s while others had one"))
}

/// The right range was answered, and its first bytes are not those that are there already.
fn is_at_seam(worker: &Worker, fault: &Fault) -> bool {
    fault.kind == FaultKind::RangeMismatch && worker.opened_at.is_some()
}
