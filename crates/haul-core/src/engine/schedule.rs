//! Who gets the next connection, and what for.
//!
//! Slots go by rank. Among the jobs that hold one, the next connection goes to the job with the fewest, counted by
//! weight, whose host has room. It leases ready chunks; where none is ready, the tail of the lease that would end
//! last is taken back first.

use std::time::Duration;

use crate::messages::{Effect, Fetch, FetchKind, Timeouts};
use crate::{JobId, Ledger, Time, WorkerId, plan};

use super::Engine;
use super::job::{Job, Stage};
use super::worker::Worker;

/// How much smaller a piece may be when it is known how long it would take. A guess: a request's headers are then
/// still under 2 % of its bytes.
const KNOWN_SPEED_FACTOR: u64 = 4;

/// How much larger it must be when no speed at all is known, which is the first moment of a job.
const UNKNOWN_SPEED_FACTOR: u64 = 4;

/// What a job could do with one more connection.
pub(super) enum Want {
    /// Fetch something that is ready.
    Fetch,
    /// Take the tail of this worker's lease, from this offset.
    Steal(WorkerId, u64),
}

impl Engine {
    /// Hands out slots and connections until nothing more can be done now.
    pub(super) fn schedule(&mut self, now: Time) {
        loop {
            self.admit();
            while let Some((id, want)) = self.next_want(now) {
                match want {
                    Want::Fetch => self.fetch(now, id),
                    Want::Steal(victim, at) => {
                        self.cut_for_another = Some(victim);
                        self.set_end(victim, at);
                    }
                }
            }
            if !self.rest_idle_jobs(now) {
                break;
            }
        }
        self.make_room(now);
    }

    fn admit(&mut self) {
        while self.running.len() < self.policy.active_jobs_max
            && let Some((_, id)) = self.queue.pop_first()
        {
            self.jobs.get_mut(&id).expect("the queue holds known jobs").stage = Stage::Running;
            self.running.insert(id);
            self.idle.insert(id);
            self.touched.insert(id);
            self.hungry.entry(self.jobs[&id].host).or_default().insert(id);
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
            match self.want(now, job) {
                Some(want) => return Some((id, want)),
                None => self.sate(id),
            }
        }
        None
    }

    /// A job has no use for another connection until something about it changes.
    pub(super) fn sate(&mut self, id: JobId) {
        let host = self.jobs[&id].host;
        if let Some(hungry) = self.hungry.get_mut(&host) {
            hungry.remove(&id);
            if hungry.is_empty() {
                self.hungry.remove(&host);
            }
        }
    }

    /// Every running job is asked again whether it has a use for another connection.
    pub(super) fn ask_all_again(&mut self) {
        for id in &self.running {
            self.hungry.entry(self.jobs[id].host).or_default().insert(*id);
        }
    }

    /// What a running job would do with one more connection now.
    pub(super) fn want(&self, now: Time, job: &Job) -> Option<Want> {
        let held_back = job.hold_until.is_some_and(|until| until > now || !job.workers.is_empty());
        // While one connection asks for a new link, the others would only be refused.
        let asks_for_link = job.resolve && !job.workers.is_empty();
        if held_back || asks_for_link || job.connections() >= job.connections_max(&self.policy) {
            return None;
        }
        if job.is_single() {
            return job.workers.is_empty().then_some(Want::Fetch);
        }
        if job.has_to_steal() {
            return self.longest_lease(now, job).map(|(victim, at)| Want::Steal(victim, at));
        }
        Some(Want::Fetch)
    }

    /// The lease that would end last, and where to cut it so that both parts end together.
    fn longest_lease(&self, now: Time, job: &Job) -> Option<(WorkerId, u64)> {
        let siblings = self.median_speed(now, job);
        let usual = siblings.unwrap_or_else(|| job.meter.bytes_per_second(now) / f64::from(job.connections().max(1)));
        let mut best: Option<(f64, WorkerId, u64)> = None;
        for id in &job.workers {
            let worker = &self.workers[id];
            let known = worker.speed(now, Duration::from_millis(200));
            let floor = match (known, siblings) {
                (Some(_), _) => self.policy.split_floor_bytes / KNOWN_SPEED_FACTOR,
                (None, Some(_)) => self.policy.split_floor_bytes,
                (None, None) => self.policy.split_floor_bytes * UNKNOWN_SPEED_FACTOR,
            };
            let takeable = worker.takeable();
            if !worker.is_steady() || takeable < 2 * floor {
                continue;
            }
            let speed = known.unwrap_or(usual).max(1.0);
            let seconds = takeable as f64 / speed;
            if seconds < 2.0 * self.policy.split_floor.as_secs_f64() || best.is_some_and(|(most, ..)| most >= seconds) {
                continue;
            }
            best = Some((seconds, *id, split(worker, speed, usual.max(speed), floor)));
        }
        best.map(|(_, id, at)| (id, at))
    }

    /// The median speed of a job's workers, once some have run long enough for it to mean something.
    fn median_speed(&self, now: Time, job: &Job) -> Option<f64> {
        let speeds = job.workers.iter().filter_map(|id| self.workers[id].speed(now, Duration::from_millis(500)));
        median(speeds.collect())
    }

    /// How many of `ready` bytes the next lease of a job should cover.
    ///
    /// Guided self-scheduling: a share of what is left, so that leases get shorter towards the end and the last
    /// ones end together without many requests.
    pub(super) fn lease_bytes(&self, id: JobId, ready: u64) -> u64 {
        let job = &self.jobs[&id];
        let host = self.hosts.get(job.host);
        let workers = job.connections_max(&self.policy).min(host.cap(&self.policy)).max(1);
        if workers == 1 || job.is_single() {
            return u64::MAX;
        }
        let chunk = job.total.map_or(1, plan::chunk_bytes);
        (ready / (2 * u64::from(workers))).max(chunk)
    }

    fn fetch(&mut self, now: Time, job_id: JobId) {
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        let ready = self.jobs[&job_id].ledger.as_ref().map_or(0, Ledger::ready_bytes);
        let want = self.lease_bytes(job_id, ready);
        let job = self.jobs.get_mut(&job_id).expect("the caller holds the job");
        let single = job.is_single();
        let (kind, from, end) = match &mut job.ledger {
            Some(ledger) if !single => {
                let range = ledger.lease(id, want).expect("the caller saw a ready chunk");
                (FetchKind::Range, range.start, Some(range.end))
            }
            Some(ledger) => {
                ledger.lease_all(id);
                (FetchKind::Whole, 0, None)
            }
            None if job.accepts_ranges == Some(false) => (FetchKind::Whole, 0, None),
            None => (FetchKind::Probe, 0, None),
        };
        job.workers.insert(id);
        job.promise = None;
        let resolve = job.resolve;
        let stalls = job.ledger.as_ref().and_then(|l| l.chunk_at(from)).map_or(0, |chunk| chunk.stalls);
        let fetch = Fetch { worker: id, job: job_id, kind, from, end, resolve, timeouts: self.timeouts(stalls) };
        self.hosts.get_mut(self.jobs[&job_id].host).active += 1;
        self.workers.insert(id, Worker::new(now, &fetch));
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

/// Where to cut a lease so that its worker and a new one, at the usual speed, end together.
fn split(worker: &Worker, speed: f64, usual: f64, floor: u64) -> u64 {
    let keep = worker.takeable() as f64 * speed / (speed + usual);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a byte count")]
    let keep = keep as u64;
    // What is in flight will be written before the new mark is seen.
    worker.at.max(worker.claimed) + keep.clamp(floor.min(worker.takeable() / 2), worker.takeable() - 1)
}

/// The middle one of some speeds.
pub(super) fn median(mut speeds: Vec<f64>) -> Option<f64> {
    let middle = speeds.len() / 2;
    speeds.sort_by(f64::total_cmp);
    speeds.get(middle).copied()
}
