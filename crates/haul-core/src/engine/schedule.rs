//! Who gets the next connection, and what for.
//!
//! Slots go by rank. Among the jobs that hold one, the next connection goes to the job with the fewest, counted by
//! weight, that can use one somewhere. It proves a mirror, or leases ready chunks; where none is ready, it helps the
//! lease that would end last.

use std::time::Duration;

use crate::messages::{Alarm, Effect, Fetch, FetchKind, Timeouts};
use crate::{JobId, Ledger, MirrorIndex, Time, WorkerId};

use super::Engine;
use super::job::{Ending, Job, Stage};
use super::mirror::Standing;
use super::steal::{Help, SPEED_KNOWN};
use super::worker::Worker;

/// An idle connection races the first request of a job after this time (DESIGN.md ruling 4).
const PROBE_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// What a job could do with one more connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Want {
    /// Fetch something that is ready, from this mirror.
    Fetch(MirrorIndex),
    /// Compare these bytes with what is there.
    Prove(MirrorIndex, u64, u64),
    /// Take the tail of this worker's lease, from this offset.
    Steal(WorkerId, u64),
    /// Fetch what this worker has left once more, from this mirror; so many bytes will probably come twice.
    Race(WorkerId, MirrorIndex, u64),
}

impl Engine {
    /// Hands out slots and connections until nothing more can be done now.
    pub(super) fn schedule(&mut self, now: Time) {
        loop {
            self.admit(now);
            while let Some((id, want)) = self.next_want(now) {
                match want {
                    Want::Fetch(mirror) => self.fetch(now, id, mirror),
                    Want::Prove(mirror, from, end) => self.prove(now, id, mirror, from, end),
                    Want::Steal(victim, at) => {
                        self.cut_for_another = Some(victim);
                        self.charge_cut(now, victim);
                        self.set_end(victim, at);
                    }
                    Want::Race(owner, mirror, twice) => self.race(now, id, owner, mirror, twice),
                }
            }
            if !self.rest_idle_jobs(now) {
                break;
            }
        }
        self.make_room(now);
    }

    fn admit(&mut self, now: Time) {
        while let Some((id, victim)) = self.next_in_line() {
            if let Some(victim) = victim {
                self.end_job(now, victim, Ending::Requeue);
            }
            let job = &self.jobs[&id];
            self.queues.remove(job.tuning.queue, &job.rank());
            self.jobs.get_mut(&id).expect("the queue holds known jobs").stage = Stage::Running;
            self.running.insert(id);
            self.idle.insert(id);
            self.touched.insert(id);
            self.ask_again(id);
        }
    }

    /// The job with the best claim to the next connection, of those that can use one.
    fn next_want(&mut self, now: Time) -> Option<(JobId, Want)> {
        while self.has_room_for_another() {
            let with_room = self.hungry.iter().filter(|(host, _)| self.hosts.get(**host).has_room(now, &self.policy));
            let candidates = with_room
                .flat_map(|(_, ids)| ids)
                .map(|id| &self.jobs[id])
                .filter(|job| self.cut_for_another.is_none() || !job.has_to_steal());
            let job = candidates.min_by(|a, b| {
                // Of two equals the one goes first whose last attempt did not fail.
                let by_holdings = a.holdings().total_cmp(&b.holdings());
                by_holdings.then(a.attempts.cmp(&b.attempts)).then(a.rank().cmp(&b.rank()))
            })?;
            let id = job.id;
            self.pass_main_on(now, id);
            if !self.running.contains(&id) {
                continue;
            }
            match self.want(now, &self.jobs[&id], true) {
                Some(want) => return Some((id, want)),
                None => self.sate(id, Some(now)),
            }
        }
        None
    }

    /// A job has no use for another connection until something about it changes: `now` to none of the hosts that have
    /// room, else to none at all.
    pub(super) fn sate(&mut self, id: JobId, now: Option<Time>) {
        for mirror in &self.jobs[&id].mirrors {
            if now.is_some_and(|now| !self.hosts.get(mirror.host).has_room(now, &self.policy)) {
                continue;
            }
            if let Some(hungry) = self.hungry.get_mut(&mirror.host) {
                hungry.remove(&id);
                if hungry.is_empty() {
                    self.hungry.remove(&mirror.host);
                }
            }
        }
    }

    /// A running job is asked again whether it has a use for another connection.
    pub(super) fn ask_again(&mut self, id: JobId) {
        let job = &self.jobs[&id];
        if job.connections() >= job.connections_max(&self.policy) {
            return;
        }
        for mirror in &job.mirrors {
            if mirror.standing != Standing::Dropped {
                self.hungry.entry(mirror.host).or_default().insert(id);
            }
        }
    }

    /// Every running job is asked again.
    pub(super) fn ask_all_again(&mut self) {
        for id in self.running.clone() {
            self.ask_again(id);
        }
    }

    /// What a running job would do with one more connection now; without `room`, as if every host had room for it.
    pub(super) fn want(&self, now: Time, job: &Job, room: bool) -> Option<Want> {
        let (used, cap) = (job.connections(), job.connections_max(&self.policy));
        if used >= cap || job.is_covered() {
            return None;
        }
        if job.is_single() {
            let can =
                (job.workers.is_empty() || self.must_probe_again(now, job)) && self.can_ask(now, job, job.main, room);
            return can.then_some(Want::Fetch(job.main));
        }
        if let Some((mirror, from, end)) = self.next_proof(now, job, room) {
            return Some(Want::Prove(mirror, from, end));
        }
        let kept = self.kept_for_proofs(now, job);
        if kept > 0 && used > 0 && used + kept >= job.connections_wanted(&self.policy) {
            return None;
        }
        let mirror = self.best_mirror(now, job, room)?;
        // What a mirror gives has to be seen, however many connections the others are worth.
        if used >= job.connections_wanted(&self.policy) && job.workers.iter().any(|w| self.workers[w].mirror == mirror)
        {
            return None;
        }
        if job.has_to_steal() {
            return self.help(now, job, mirror).map(|help| match help {
                Help::Steal(victim, at) => Want::Steal(victim, at),
                Help::Race(owner, twice) => Want::Race(owner, mirror, twice),
            });
        }
        Some(Want::Fetch(mirror))
    }

    /// The first request of a job has no answer yet: another one may be luckier.
    fn must_probe_again(&self, now: Time, job: &Job) -> bool {
        let mut workers = job.workers.iter().map(|id| &self.workers[id]);
        let (Some(probe), None) = (workers.next(), workers.next()) else { return false };
        probe.awaits_first_answer() && !job.tuning.once && now.since(probe.started) >= PROBE_AGAIN_AFTER
    }

    /// Gives up the second of two first requests that has no answer either, for a third one. The first is still waited for.
    pub(super) fn replace_second_probe(&mut self, now: Time, id: JobId) {
        let mut workers = self.jobs[&id].workers.iter().map(|id| &self.workers[id]);
        let (Some(first), Some(second), None) = (workers.next(), workers.next(), workers.next()) else { return };
        let both_wait = first.awaits_first_answer() && second.awaits_first_answer();
        if both_wait && now.since(second.started) >= patience_with_second_probe(first, second.started) {
            let second = second.id;
            self.give_up_unanswered(now, second);
        }
    }

    /// How many of `ready` bytes the next lease of a job should cover.
    ///
    /// As many as would keep its worker busy until the others end, so that requests are few and all end together. While
    /// no speed is known, an even share for each connection that may still come.
    ///
    /// `taker` is a worker that is there already and gets them, if it is one.
    pub(super) fn lease_bytes(&self, now: Time, id: JobId, ready: u64, taker: Option<WorkerId>) -> u64 {
        let job = &self.jobs[&id];
        let host = self.hosts.get(job.host());
        let cap = job.connections_max(&self.policy).min(host.cap(&self.policy)).max(1);
        if cap == 1 || job.is_single() {
            return u64::MAX;
        }
        // The lease of a first request that is not answered yet has no end that could be counted.
        let known = |w: &&Worker| w.contributes() && w.end < u64::MAX;
        let others = || job.workers.iter().filter(|w| Some(**w) != taker).map(|w| &self.workers[w]).filter(known);
        let idle = cap.saturating_sub(u32::try_from(others().count()).unwrap_or(cap)).max(1);
        let share = match self.usual_speed(now, job) {
            None => ready / u64::from(idle),
            Some(usual) => {
                let left: u64 = ready + others().map(Worker::remaining).sum::<u64>();
                let running: f64 = others().map(|w| w.speed(now, SPEED_KNOWN).unwrap_or(usual)).sum();
                let kept = job.kept_speed(now, job.host()).filter(|_| taker.is_none());
                let own = kept.unwrap_or(usual);
                let newcomers = usual * f64::from(idle - 1) + own;
                let start = host.starts.cost(kept.is_some()).unwrap_or_default().as_secs_f64();
                let wait = if taker.is_some() { 0.0 } else { start };
                let all_end_in = (left as f64 + newcomers * wait) / (running + newcomers).max(1.0);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a byte count")]
                let share = (own * (all_end_in - wait).max(0.0)) as u64;
                // What would be left is not worth a request of its own.
                if ready.saturating_sub(share) < self.least_lease(now, job) { ready } else { share }
            }
        };
        share.max(self.least_lease(now, job))
    }

    /// The least that is worth a request, in bytes: what a connection fetches while a few of them would be answered.
    pub(super) fn least_lease(&self, now: Time, job: &Job) -> u64 {
        let is_small = job.total.is_some_and(|total| total <= self.policy.blind_bytes);
        let Some(usual) = self.usual_speed(now, job).filter(|_| !is_small) else {
            return self.policy.blind_bytes;
        };
        let answer = self.hosts.get(job.host()).answer_time().unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a byte count")]
        let bytes = (usual * self.policy.split_floor.max(answer).as_secs_f64()) as u64;
        bytes.max(self.policy.split_floor_bytes)
    }

    fn fetch(&mut self, now: Time, job_id: JobId, mirror: MirrorIndex) {
        let id = self.new_worker_id();
        let ready = self.jobs[&job_id].ledger.as_ref().map_or(0, Ledger::ready_bytes);
        let want = self.lease_bytes(now, job_id, ready, None);
        let job = self.jobs.get_mut(&job_id).expect("the caller holds the job");
        let single = job.is_single();
        let first = if single { None } else { job.demanded().or_else(|| job.shared_place.take().map(|(at, _)| at)) };
        let (kind, from, end) = match &mut job.ledger {
            Some(ledger) if !single => {
                let chosen = first.and_then(|at| ledger.lease_at(at, id, mirror, want));
                let range = chosen.or_else(|| ledger.lease(id, mirror, want)).expect("the caller saw a ready chunk");
                (FetchKind::Range, range.start, Some(range.end))
            }
            Some(ledger) => {
                ledger.lease_all(id, mirror);
                (FetchKind::Whole, 0, None)
            }
            None if job.accepts_ranges == Some(false) => (FetchKind::Whole, 0, None),
            None => (FetchKind::Probe, 0, None),
        };
        self.send(now, job_id, id, mirror, kind, from, end);
        if kind == FetchKind::Probe {
            let first = self.jobs[&job_id].workers.first().copied().unwrap_or(id);
            let patience = patience_with_second_probe(&self.workers[&first], now);
            self.set_alarm(now + patience, Alarm::Job(job_id));
        }
        self.start_ramp(now, job_id);
    }

    fn prove(&mut self, now: Time, job_id: JobId, mirror: MirrorIndex, from: u64, end: u64) {
        let id = self.new_worker_id();
        let job = self.jobs.get_mut(&job_id).expect("the caller holds the job");
        job.mirror_mut(mirror).standing = Standing::Proving;
        self.send(now, job_id, id, mirror, FetchKind::Compare, from, Some(end));
    }

    fn race(&mut self, now: Time, job_id: JobId, owner: WorkerId, mirror: MirrorIndex, twice: u64) {
        let id = self.new_worker_id();
        let (at, end, first) = {
            let worker = &self.workers[&owner];
            (worker.at, worker.end, worker.mirror)
        };
        let job = self.jobs.get_mut(&job_id).expect("the caller holds the job");
        if let Some(ledger) = job.ledger.as_mut().filter(|_| first != mirror) {
            // Whose bytes will be there is not known; the main mirror's are beyond doubt.
            ledger.attribute(at, end, if mirror == job.main { first } else { mirror });
        }
        self.send(now, job_id, id, mirror, FetchKind::Range, at, Some(end));
        self.begin_race(owner, id, twice);
    }

    fn new_worker_id(&mut self) -> WorkerId {
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        id
    }

    #[expect(clippy::too_many_arguments, reason = "a request is what it is")]
    fn send(
        &mut self,
        now: Time,
        job_id: JobId,
        id: WorkerId,
        mirror: MirrorIndex,
        kind: FetchKind,
        from: u64,
        end: Option<u64>,
    ) {
        let job = self.jobs.get_mut(&job_id).expect("the caller holds the job");
        job.workers.insert(id);
        job.promise = None;
        let (host, resolve) = (job.mirror(mirror).host, job.mirror(mirror).resolve);
        let kept_speed = job.take_kept(now, host);
        let stalls = job.ledger.as_ref().and_then(|l| l.chunk_at(from)).map_or(0, |chunk| chunk.stalls);
        let (overlap, reach) = if kind == FetchKind::Range { self.seam(job_id, mirror, from, end) } else { (0, 0) };
        let timeouts = self.timeouts(stalls);
        let fetch = Fetch { worker: id, job: job_id, mirror, kind, from, end, overlap, reach, resolve, timeouts };
        if let Some(at) = self.hosts.entered(now, host) {
            self.set_alarm(at, Alarm::Host(host.0));
        }
        self.workers.insert(id, Worker::new(now, &fetch, host, kept_speed));
        self.idle.remove(&job_id);
        self.touched.insert(job_id);
        self.effects.push_back(Effect::Fetch(fetch));
    }

    fn timeouts(&self, stalls: u32) -> Timeouts {
        let factor = 1_u32.checked_shl(stalls).unwrap_or(u32::MAX);
        let longest = self.policy.stall_timeout_max.max(self.policy.stall_timeout);
        Timeouts {
            connect: self.policy.connect_timeout,
            response: self.policy.response_timeout,
            stall: self.policy.stall_timeout.saturating_mul(factor).min(longest),
        }
    }
}

/// How long a request that races the `first` one of a job since `started` is waited for: as long as that had been by then.
fn patience_with_second_probe(first: &Worker, started: Time) -> Duration {
    started.since(first.started).max(PROBE_AGAIN_AFTER)
}
