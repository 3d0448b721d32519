//! The speed floor, and other things that are looked at a few times a second.
//!
//! A worker is replaced when it is slow by both measures, the absolute floor and its siblings' median on the same host,
//! when what is left would take it longer than a replacement costs, and when neither our own limit nor an exemption
//! speaks for it. A whole line that is slow makes all workers slow together, and then none of them is to blame: none is
//! much slower than its siblings, and none of these brings enough for a verdict.
//!
//! The clearer it is, the sooner the verdict falls: a worker at a tenth of the others' speed is judged after half a second.
//! The same goes for a request without an answer where others are answered.

use std::time::Duration;

use crate::messages::{Alarm, StopReason};
use crate::{JobId, Time, WorkerId};

use super::Engine;
use super::job::Job;
use super::steal::median;
use super::worker::{WINDOW, Worker};

/// How often. Each review visits every worker.
const EVERY: Duration = Duration::from_millis(100);

/// Connections move between jobs, and the rest of what is not urgent happens, every so many reviews.
const SELDOM: u32 = 5;

/// After this time, and over this stretch, a worker at [`CLEARLY_SLOW`] of its siblings' speed is judged.
const CLEAR_AFTER: Duration = Duration::from_millis(400);

/// The same in answer times: where these are long, new connections need several round trips to get going.
const CLEAR_AFTER_ANSWERS: u32 = 1;

/// The same for a worker that has brought more than the floor so far: a busy server holds a good connection up for a moment,
/// and a packet that is lost once more when it is sent again for a few round trips; much of what comes next has arrived
/// behind the gap then.
const CLEAR_AFTER_OF_GOOD: Duration = Duration::from_secs(1);
const CLEAR_AFTER_ANSWERS_OF_GOOD: u32 = 5;

/// The share of its siblings' median that needs no longer look.
const CLEARLY_SLOW: f64 = 0.1;

/// The part of the usual evidence that such a verdict needs: ten times less is seen in a quarter of the packets.
const CLEAR_EVIDENCE: f64 = 0.25;

/// A request is overdue after so many times what answers take on its host, and not before the policy's time.
const OVERDUE_FACTOR: u32 = 6;

/// An answer is late after so many times what answers take on its host, and not before [`LATE_MIN`]. Guesses.
const LATE_FACTOR: u32 = 3;
const LATE_MIN: Duration = Duration::from_millis(200);

/// How much longer the pause before the next trial of a job is each time.
const TRIAL_FACTOR: u32 = 3;

/// A connection is moved to another mirror where it can be expected to be so many times faster.
const MOVE_FACTOR: f64 = 2.0;

/// The workers of a job.
type Workers<'a> = Vec<(WorkerId, &'a Worker)>;

/// What a verdict of the speed floor rests on.
#[derive(Clone, Copy)]
struct Measure {
    /// How long a worker must have run.
    after: Duration,
    /// The stretch that is looked at; `None` for the whole time since the answer began.
    window: Option<Duration>,
    /// The share of its siblings' median that it must bring.
    share: f64,
    /// Siblings that it takes.
    siblings_min: usize,
    /// What their median must have brought, in bytes.
    evidence: f64,
    /// All that fall below are to blame, and not only the slowest.
    all: bool,
    /// Whoever has brought more than the floor so far is not to blame.
    spares_good: bool,
}

impl Engine {
    pub(super) fn start_reviewing(&mut self, now: Time) {
        if !self.reviewing {
            self.reviewing = true;
            self.set_alarm(now + EVERY, Alarm::Review);
        }
    }

    pub(super) fn review(&mut self, now: Time) {
        self.reviewing = false;
        if self.workers.is_empty() {
            return;
        }
        self.start_reviewing(now);
        let mut verdicts: Vec<(WorkerId, StopReason)> = Vec::new();
        for id in self.running.difference(&self.idle) {
            let job = &self.jobs[id];
            let workers: Workers<'_> = job.workers.iter().map(|id| (*id, &self.workers[id])).collect();
            verdicts.extend(self.below_floor(now, job, &workers).into_iter().map(|id| (id, StopReason::BelowFloor)));
            verdicts.extend(self.overdue(now, job, &workers).map(|id| (id, StopReason::Unanswered)));
            verdicts.extend(self.worth_a_trial(now, job, &workers).map(|id| (id, StopReason::Trial)));
        }
        let starts: Vec<(WorkerId, Duration)> =
            self.workers.iter().filter_map(|(id, worker)| Some((*id, worker.lag(now)?))).collect();
        for (id, lag) in starts {
            let worker = self.workers.get_mut(&id).expect("it was just there");
            worker.lag_noted = true;
            self.hosts.get_mut(worker.host).starts.note_lag(lag);
        }
        self.note_late_answers(now);
        for (worker, reason) in verdicts {
            if reason == StopReason::Trial {
                let job = self.jobs.get_mut(&self.workers[&worker].job).expect("a worker belongs to a job");
                job.trials += 1;
                job.tried_at = now;
            }
            if reason == StopReason::Unanswered {
                self.give_up_unanswered(now, worker);
            } else {
                self.stop_worker(worker, reason);
            }
        }
        self.reviews = self.reviews.wrapping_add(1);
        if self.reviews.is_multiple_of(SELDOM) {
            self.rebalance(now);
            self.move_to_mirrors(now);
            for id in self.running.clone() {
                self.share_slow_place(now, id);
            }
        }
        let read: Vec<JobId> = self.running.iter().copied().filter(|id| !self.jobs[id].demand.is_empty()).collect();
        for id in read {
            self.serve_demand(now, id);
        }
        // Speeds have changed, so that a lease may be worth cutting now that was not before; and there may be a sample
        // now, or no place is kept for it any longer.
        let last = now - 2 * EVERY;
        for id in self.running.clone() {
            if self.jobs[&id].has_to_steal() || self.kept_for_proofs(last, &self.jobs[&id]) > 0 {
                self.ask_again(id);
            }
        }
    }

    /// Tells the hosts whose answers are later than usual.
    fn note_late_answers(&mut self, now: Time) {
        for worker in self.workers.values_mut().filter(|worker| worker.opened_at.is_none() && !worker.late) {
            let host = self.hosts.get_mut(worker.host);
            let usual = host.answer_time().map(|typical| (typical * LATE_FACTOR).max(LATE_MIN));
            if usual.is_some_and(|usual| now.since(worker.started) >= usual) {
                worker.late = true;
                host.note_late();
            }
        }
    }

    /// Moves a connection of each job that uses all that it may to a mirror that has to prove itself, or that is better.
    fn move_to_mirrors(&mut self, now: Time) {
        let giving: Vec<WorkerId> = self.running.iter().filter_map(|id| self.gives_way(now, &self.jobs[id])).collect();
        for worker in giving {
            self.stop_worker(worker, StopReason::Yield);
        }
    }

    fn gives_way(&self, now: Time, job: &Job) -> Option<WorkerId> {
        let workers = || job.workers.iter().map(|id| (*id, &self.workers[id]));
        let used = job.connections();
        if job.mirrors.len() == 1 || job.is_single() || used < job.connections_wanted(&self.policy).max(2) {
            return None;
        }
        if workers().any(|(_, worker)| worker.stopping.is_some() || worker.is_throttled(now)) {
            return None;
        }
        if used >= job.connections_max(&self.policy) && self.next_proof(now, job, true).is_some() {
            let runs = |worker: &Worker| worker.opened_at.is_some();
            let alone = workers().filter(|(_, worker)| worker.contributes() && runs(worker)).count() == 1;
            let fetching = workers().filter(|(_, worker)| worker.contributes() && !(alone && runs(worker)));
            return fetching.max_by_key(|(_, worker)| worker.remaining()).map(|(id, _)| id);
        }
        let better = self.best_mirror(now, job, true)?;
        let there: Vec<f64> =
            workers().filter(|(_, w)| w.mirror == better).filter_map(|(_, w)| w.speed(now, CLEAR_AFTER)).collect();
        let count = workers().filter(|(_, worker)| worker.mirror == better).count();
        let untried = || job.mirror(better).gave.unwrap_or(f64::INFINITY);
        let promise = if count == 0 { untried() } else { there.iter().sum::<f64>() / (count + 1) as f64 };
        let speed = |worker: &Worker| worker.recent_speed(now, WINDOW);
        let settled = workers().filter(|(_, worker)| {
            let is_old = worker.opened_at.is_some_and(|at| now.since(at) >= WINDOW);
            let left = worker.remaining() as f64 / speed(worker).max(1.0);
            let worth_it = left > MOVE_FACTOR * self.policy.replacement_cost.as_secs_f64();
            worker.mirror != better && is_old && worth_it && worker.is_steady() && worker.contributes()
        });
        let slowest = settled.min_by(|(_, a), (_, b)| speed(a).total_cmp(&speed(b)))?;
        (promise > MOVE_FACTOR * speed(slowest.1)).then_some(slowest.0)
    }

    /// Requests of a job that are overdue for an answer, on a host that has answered others.
    fn overdue(&self, now: Time, job: &Job, workers: &Workers<'_>) -> impl Iterator<Item = WorkerId> {
        let is_all_leased = job.ledger.as_ref().is_some_and(|ledger| ledger.ready_bytes() == 0);
        let late = move |worker: &Worker| {
            if worker.opened_at.is_some() || worker.stopping.is_some() {
                return false;
            }
            let Some(typical) = self.hosts.get(worker.host).answer_time() else { return false };
            let chunk = job.ledger.as_ref().and_then(|ledger| ledger.chunk_at(worker.at));
            // A chunk whose answers keep being late is given more and more time, but by one request alone: the other one
            // of a race is there to try whether a new request fares better.
            let doublings = if worker.is_second() { 0 } else { chunk.map_or(0, |c| c.stalls.min(5)) };
            // A connection that is known to work, and has nothing else to do, can have its bytes.
            let has_heir = is_all_leased && job.kept_speed(now, worker.host).is_some();
            let patience = match has_heir {
                true => (typical * LATE_FACTOR).max(LATE_MIN),
                false => (typical * OVERDUE_FACTOR).max(self.policy.overdue_after),
            };
            let patience = patience.saturating_mul(1 << doublings);
            now.since(worker.started) >= patience
        };
        workers.iter().filter(move |(_, worker)| late(worker)).map(|(id, _)| *id)
    }

    /// A slow worker that has too few siblings to be compared with: now and then a new connection is tried in its place. What
    /// holds one connection back, a route or a bad node, may not hold the next one.
    fn worth_a_trial(&self, now: Time, job: &Job, workers: &Workers<'_>) -> Option<WorkerId> {
        let pause = self.policy.trial_after.saturating_mul(TRIAL_FACTOR.saturating_pow(job.trials));
        if now.since(job.tried_at) < pause || job.is_single() || self.policy.speed_floor == 0 {
            return None;
        }
        let runs = |worker: &Worker| worker.opened_at.is_some() && worker.contributes();
        let running = workers.iter().filter(|(_, worker)| runs(worker)).count();
        // Never below one live worker; and whoever has enough siblings is judged by them.
        if !(2..=self.policy.floor_siblings_min).contains(&running) {
            return None;
        }
        let speed = |worker: &Worker| worker.recent_speed(now, WINDOW);
        let is_candidate = |(_, worker): &&(WorkerId, &Worker)| {
            let speed = speed(worker);
            let left = worker.remaining() as f64 / speed.max(1.0);
            worker.opened_at.is_some_and(|at| now.since(at) >= self.policy.trial_after)
                && worker.is_steady()
                && worker.contributes()
                && speed < self.policy.speed_floor as f64
                && !worker.is_throttled(now)
                && left > 2.0 * pause.as_secs_f64()
        };
        workers.iter().filter(is_candidate).min_by(|a, b| speed(a.1).total_cmp(&speed(b.1))).map(|(id, _)| *id)
    }

    pub(super) fn is_exempt(&self, job: &Job, at: u64) -> bool {
        let chunk = job.ledger.as_ref().and_then(|ledger| ledger.chunk_at(at));
        chunk.is_none_or(|chunk| chunk.strikes >= self.policy.strikes_max)
    }

    /// The workers of a job that are to be replaced: all that are clearly slow, else the slowest. One a review, so that the
    /// verdicts on its siblings can take the change into account.
    fn below_floor(&self, now: Time, job: &Job, workers: &Workers<'_>) -> Vec<WorkerId> {
        let answer = self.hosts.get(job.host()).answer_time().unwrap_or_default();
        let evidence = self.policy.floor_evidence_bytes as f64;
        let clear = |least: Duration, answers, spares_good| {
            let soon = least.max(answer * answers).min(self.policy.floor_grace);
            let evidence = CLEAR_EVIDENCE * evidence;
            let (after, window) = (soon, Some(soon));
            Measure { after, window, share: CLEARLY_SLOW, siblings_min: 1, evidence, all: true, spares_good }
        };
        let clear = [
            clear(CLEAR_AFTER, CLEAR_AFTER_ANSWERS, true),
            clear(CLEAR_AFTER_OF_GOOD, CLEAR_AFTER_ANSWERS_OF_GOOD, false),
        ];
        let standard = Measure {
            after: self.policy.floor_grace,
            window: Some(WINDOW),
            share: self.policy.floor_share,
            siblings_min: self.policy.floor_siblings_min,
            evidence,
            all: false,
            spares_good: false,
        };
        // Where all are so slow that a window shows nothing, the whole life of a worker does in the end. On a thin line it
        // would show how unfairly that is shared, so there it does not count.
        let is_thin = job.ramp.has_gone_back();
        let of_life = |measure| Measure { window: None, ..measure };
        let over_life = [of_life(clear[0]), of_life(standard)].into_iter().filter(|_| !is_thin);
        let measures = clear.into_iter().chain([standard]).chain(over_life);
        let mut verdicts = measures.map(|measure| self.below(now, job, workers, &measure));
        verdicts.find(|workers| !workers.is_empty()).unwrap_or_default()
    }

    /// The workers of a job that fall below this measure, as far as it blames them, the slowest first.
    fn below(&self, now: Time, job: &Job, workers: &Workers<'_>, measure: &Measure) -> Vec<WorkerId> {
        let speed = |worker: &Worker| {
            // What has come since its last report is not known yet.
            let seen = worker.reported_at;
            let is_old_enough = worker.age(seen).is_some_and(|age| age >= measure.after) && worker.contributes();
            let window = || measure.window.map(|window| worker.recent_speed(seen, window));
            is_old_enough.then(|| window().unwrap_or_else(|| worker.life_speed(seen)))
        };
        let floor = self.policy.speed_floor as f64;
        if !workers.iter().any(|(_, worker)| speed(worker).is_some_and(|speed| speed < floor)) {
            return Vec::new();
        }
        let speeds: Vec<(WorkerId, f64)> =
            workers.iter().filter_map(|(id, worker)| Some((*id, speed(worker)?))).collect();
        let is_below = |(id, speed): &&(WorkerId, f64)| self.is_below_floor(now, job, *id, *speed, &speeds, measure);
        let mut below: Vec<&(WorkerId, f64)> = speeds.iter().filter(is_below).collect();
        below.sort_by(|a, b| a.1.total_cmp(&b.1));
        below.truncate(if measure.all { below.len() } else { 1 });
        below.into_iter().map(|(id, _)| *id).collect()
    }

    fn is_below_floor(
        &self,
        now: Time,
        job: &Job,
        id: WorkerId,
        speed: f64,
        all: &[(WorkerId, f64)],
        measure: &Measure,
    ) -> bool {
        let worker = &self.workers[&id];
        if speed >= self.policy.speed_floor as f64 || worker.stopping.is_some() || worker.is_throttled(now) {
            return false;
        }
        let round_trip = self.hosts.get(worker.host).starts.round_trip().unwrap_or_default();
        let is_good = || worker.life_speed(now) >= self.policy.speed_floor as f64;
        if worker.is_growing(round_trip) || (measure.spares_good && is_good()) {
            return false;
        }
        let siblings = all.iter().filter(|(other, _)| *other != id && self.workers[other].host == worker.host);
        let siblings: Vec<f64> = siblings.map(|(_, speed)| *speed).collect();
        if siblings.len() < measure.siblings_min {
            return false;
        }
        let usual = median(siblings).expect("there are siblings");
        let seen_for = measure.window.or_else(|| worker.age(now)).unwrap_or_default();
        if usual * seen_for.as_secs_f64() < measure.evidence {
            return false;
        }
        let left = worker.remaining() as f64;
        let worth_it = left / speed.max(1.0) > left / usual + self.policy.replacement_cost.as_secs_f64();
        speed < measure.share * usual && worth_it && !self.is_exempt(job, worker.at)
    }
}
