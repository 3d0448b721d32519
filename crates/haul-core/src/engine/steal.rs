//! What an idle connection can do when nothing is ready: help the lease that would end last.
//!
//! Every lease has a time at which it is expected to end, from its worker's speed of late and, before its answer has
//! begun, from how long answers take on its host. Two ways to help:
//!
//! - **Steal**: take the tail back, from the point on at which both would end together, or later where the others end later:
//!   who is cut short is to end with the last, so that it needs no other request.
//! - **Race**: where too little is left to share, fetch the same bytes once more, possibly from another mirror. The
//!   first one wins and the other is stopped: where no answer had begun, already the first to be answered. At most two,
//!   and only within a budget of bytes that are fetched twice.

use std::time::Duration;

use crate::messages::StopReason;
use crate::{JobId, Ledger, MirrorIndex, Time, WorkerId};

use super::Engine;
use super::job::Job;
use super::worker::Worker;

/// The stretch over which a lease's speed is taken: it has to see a stall soon.
const OF_LATE: Duration = Duration::from_millis(500);

/// From when on a worker's own speed counts; before that, it is expected to be like the others.
pub(super) const SPEED_KNOWN: Duration = Duration::from_millis(100);

/// A silence of so many answer times may be a gap: a packet was lost, and lost again when it was sent once more, and what
/// comes next has arrived behind it.
const GAP_ANSWERS: u32 = 4;

/// Bytes that may be sent in vain, twice in a race or to a connection whose lease is cut: this share of the file.
const WASTE_SHARE: u64 = 100;

/// How many times more a cut has to gain once that share is used up.
const CARE: f64 = 2.0;

/// A small file stays on one request, unless the end of it is this far away, in seconds: then something is wrong.
const SMALL_FLOOR_SECS: f64 = 2.0;

/// A cut that gains so many seconds is worth a request, however few its bytes are.
const GAIN_WORTH_HEADERS: f64 = 1.0;

/// What can be done for a lease.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Help {
    /// Take its tail back, from this offset.
    Steal(WorkerId, u64),
    /// Fetch what is left of it once more, of which so many bytes will probably come twice.
    Race(WorkerId, u64),
}

/// What a connection can be expected to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Bytes per second.
    speed: f64,
    /// Seconds until the first of them come.
    wait: f64,
}

impl Pace {
    fn seconds_for(self, bytes: u64) -> f64 {
        self.wait + bytes as f64 / self.speed.max(1.0)
    }

    /// The bytes that it does not bring while it waits.
    fn missed(self) -> f64 {
        self.speed * self.wait
    }
}

/// A lease that may be helped.
struct Lease {
    worker: WorkerId,
    pace: Pace,
    /// In how many seconds it can be expected to end.
    ends_in: f64,
}

/// One more connection of a job that has nothing of its own to do.
struct Helper {
    pace: Pace,
    /// In how many seconds the job ends if all share what is left perfectly, this one included.
    all_end_in: f64,
    /// It is known how fast the job's connections are.
    speeds_known: bool,
}

impl Engine {
    /// How the lease that would end last can be helped by one more connection to `mirror`.
    pub(super) fn help(&self, now: Time, job: &Job, mirror: MirrorIndex) -> Option<Help> {
        let usual = self.usual_speed(now, job);
        let pace = self.newcomer(now, job, mirror, usual);
        let paces = self.paces(now, job, usual);
        let all_end_in = all_end_in(job, &paces, Some(pace));
        let helper = Helper { pace, all_end_in, speeds_known: usual.is_some() };
        let is_free = |worker: &Worker| worker.wished_end.is_none() && worker.rival.is_none() && worker.takeable() > 0;
        let lease = |(worker, pace): (&Worker, Pace)| {
            let ends_in = pace.seconds_for(worker.remaining());
            is_free(worker).then_some(Lease { worker: worker.id, pace, ends_in })
        };
        let mut leases: Vec<Lease> = paces.into_iter().filter_map(lease).collect();
        leases.sort_by(|a, b| b.ends_in.total_cmp(&a.ends_in));
        // Where the last one cannot be helped, the one before it may still be, for the sake of those behind it.
        leases.iter().find_map(|lease| self.help_one(job, lease, &helper))
    }

    /// The workers of a job that bring bytes until further notice, and what each can be expected to do.
    pub(super) fn paces(&self, now: Time, job: &Job, usual: Option<f64>) -> Vec<(&Worker, Pace)> {
        let workers = job.workers.iter().map(|id| &self.workers[id]);
        let goes_on = |worker: &&Worker| worker.contributes() && worker.stopping.is_none();
        workers.filter(goes_on).map(|worker| (worker, self.pace(now, worker, usual))).collect()
    }

    fn help_one(&self, job: &Job, lease: &Lease, helper: &Helper) -> Option<Help> {
        let worker = &self.workers[&lease.worker];
        let (pace, thief) = (lease.pace, helper.pace);
        let is_small = job.total.is_some_and(|total| total <= self.policy.blind_bytes);
        let floor_secs = if is_small { SMALL_FLOOR_SECS } else { self.policy.split_floor.as_secs_f64() };
        let takeable = worker.takeable();
        // Nothing is known yet that tells the two apart.
        let is_alike = worker.opened_at.is_none() && worker.is_kept();
        let pace = if is_alike { Pace { speed: pace.speed.max(thief.speed), ..pace } } else { pace };
        let together = (takeable as f64 + thief.missed() + pace.missed()) / (thief.speed + pace.speed);
        // Who has no answer yet may never have one.
        let together = if worker.opened_at.is_some() { together.max(helper.all_end_in) } else { together };
        let gain = lease.ends_in - together;
        // Without a speed nothing is known but the size, and a small file stays on one request.
        let floor = match helper.speeds_known {
            false => self.policy.blind_bytes,
            true if gain >= GAIN_WORTH_HEADERS => 1,
            true => self.policy.split_floor_bytes,
        };
        let keep = bytes_in(pace, together);
        let taken = takeable.saturating_sub(keep);
        let budget = (job.total.unwrap_or(0) / WASTE_SHARE).saturating_sub(job.wasted_bytes);
        let care = if self.cut_waste(worker, pace) <= budget { 1.0 } else { CARE };
        // Who has no answer yet and would be left with nothing is raced instead. Taken over again and again, the same bytes
        // might never be answered.
        let would_be_robbed = worker.opened_at.is_none() && keep == 0;
        if self.policy.steals && !would_be_robbed && gain > care * floor_secs.max(thief.wait) && taken >= floor {
            return Some(Help::Steal(lease.worker, worker.end - taken));
        }
        let again = thief.seconds_for(worker.remaining());
        let twice = worker.remaining().min(bytes_in(pace, again));
        let affordable = twice <= budget;
        let worth_it = lease.ends_in > 2.0 * again + floor_secs;
        (self.policy.races && helper.speeds_known && worth_it && affordable).then_some(Help::Race(lease.worker, twice))
    }

    /// The bytes that are on their way to a worker when its lease is cut, and that nobody will read.
    fn cut_waste(&self, worker: &Worker, pace: Pace) -> u64 {
        let round_trip = self.hosts.get(worker.host).starts.round_trip().unwrap_or_default();
        bytes_in(pace, round_trip.as_secs_f64())
    }

    /// Charges a job for a cut that has been decided on.
    pub(super) fn charge_cut(&mut self, now: Time, victim: WorkerId) {
        let worker = &self.workers[&victim];
        let waste = self.cut_waste(worker, Pace { speed: worker.recent_speed(now, OF_LATE), wait: 0.0 });
        self.jobs.get_mut(&worker.job).expect("a worker belongs to a job").wasted_bytes += waste;
    }

    /// What a lease's worker can be expected to do from now on.
    fn pace(&self, now: Time, worker: &Worker, usual: Option<f64>) -> Pace {
        let usual = usual.unwrap_or(1.0);
        let starts = &self.hosts.get(worker.host).starts;
        let waited = now.since(worker.started).as_secs_f64();
        let start = starts.cost(worker.is_kept()).unwrap_or_default().as_secs_f64();
        // What its start will still cost it.
        let wait = (start - waited).max(0.0);
        match worker.opened_at {
            Some(_) => {
                let gap = starts.answer_time().unwrap_or_default() * GAP_ANSWERS;
                let seen = if now.since(worker.moved_at) < gap { worker.moved_at } else { now };
                let of_late = worker.recent_speed(seen, OF_LATE);
                // Whoever is getting going is not slow. Cut again and again, the same bytes would see nothing but starts.
                let is_growing = worker.is_growing(starts.round_trip().unwrap_or_default());
                let is_unknown = worker.age(seen).is_some_and(|age| age < SPEED_KNOWN);
                if (is_growing || is_unknown) && of_late < usual {
                    Pace { speed: usual, wait }
                } else {
                    Pace { speed: of_late, wait: 0.0 }
                }
            }
            None => {
                // Once it is overdue, it is expected to take as long again as it has taken.
                let answer = starts.answer_time().unwrap_or_default().as_secs_f64();
                Pace { speed: usual, wait: if waited <= 2.0 * answer { wait } else { waited } }
            }
        }
    }

    /// What a new request to `mirror` can be expected to do.
    fn newcomer(&self, now: Time, job: &Job, mirror: MirrorIndex, usual: Option<f64>) -> Pace {
        let there = |id: &&WorkerId| self.workers[id].mirror == mirror;
        let speeds = job.workers.iter().filter(there).filter_map(|id| self.workers[id].speed(now, SPEED_KNOWN));
        let own = median(speeds.collect());
        let host = job.mirror(mirror).host;
        let kept = job.kept_speed(now, host);
        let wait = self.hosts.get(host).starts.cost(kept.is_some()).unwrap_or_default().as_secs_f64();
        Pace { speed: kept.or(own).or(usual).unwrap_or(1.0).max(1.0), wait }
    }

    /// The median speed of a job's workers, once some have run long enough for it to mean something; else what it was
    /// when that was last so.
    pub(super) fn usual_speed(&self, now: Time, job: &Job) -> Option<f64> {
        self.speed_now(now, job).or(job.usual_speed)
    }

    fn speed_now(&self, now: Time, job: &Job) -> Option<f64> {
        let speeds = job.workers.iter().filter_map(|id| self.workers[id].speed(now, SPEED_KNOWN));
        // Where nothing comes, nothing is known.
        median(speeds.collect()).filter(|speed| *speed > 0.0)
    }

    /// Keeps a job's usual speed for when none of its workers runs.
    pub(super) fn note_usual_speed(&mut self, now: Time, id: JobId) {
        if let Some(speed) = self.speed_now(now, &self.jobs[&id]) {
            self.jobs.get_mut(&id).expect("the caller holds the job").usual_speed = Some(speed);
        }
    }

    /// Notes that two workers fetch the same bytes. What will probably come twice is charged at once, so that all races
    /// together keep within the budget.
    pub(super) fn begin_race(&mut self, owner: WorkerId, rival: WorkerId, twice: u64) {
        let worker = self.workers.get_mut(&rival).expect("it has just begun");
        worker.stake = twice;
        self.jobs.get_mut(&worker.job).expect("a worker belongs to a job").wasted_bytes += twice;
        let for_an_answer = self.workers[&owner].opened_at.is_none();
        for (worker, other) in [(owner, rival), (rival, owner)] {
            let worker = self.workers.get_mut(&worker).expect("both run");
            worker.rival = Some(other);
            worker.races_for_an_answer = for_an_answer;
        }
    }

    /// Ends a race that has lost one of its two: what the one that is left has to do is its own.
    pub(super) fn leave_race(&mut self, gone: &Worker, id: JobId) {
        let Some(rival) = gone.rival.filter(|rival| self.workers.contains_key(rival)) else {
            return;
        };
        let job = self.jobs.get_mut(&id).expect("a worker belongs to a job");
        let other = self.workers.get_mut(&rival).expect("it was just there");
        other.rival = None;
        // What the other one has brought is not taken from it to be fetched a third time.
        other.claimed = other.claimed.max(gone.at.min(other.end));
        let begun = gone.from.max(other.from);
        let both = gone.at.min(other.at).saturating_sub(begun);
        job.wasted_bytes = (job.wasted_bytes + both).saturating_sub(gone.stake + std::mem::take(&mut other.stake));
        if let Some(ledger) = &mut job.ledger {
            ledger.hand_over(gone.at.min(other.at), other.end, rival);
        }
        if gone.at >= other.end {
            self.stop_worker(rival, StopReason::Overtaken);
        }
    }

    /// Lets connections end that were found not to be worth it: they go on for a moment, and what is left of their leases
    /// is for the others.
    pub(super) fn retire(&mut self, now: Time, id: JobId) {
        let job = &self.jobs[&id];
        let surplus = (job.workers.len()).saturating_sub(job.connections_wanted(&self.policy) as usize);
        let steady = job.workers.iter().rev().copied().filter(|id| {
            let worker = &self.workers[id];
            worker.is_steady() && worker.contributes() && worker.rival.is_none()
        });
        let leaving: Vec<WorkerId> = steady.take(surplus).collect();
        for id in leaving {
            let worker = self.workers.get_mut(&id).expect("it was just there");
            worker.retiring = true;
            let end = worker.at + bytes_in(Pace { speed: worker.recent_speed(now, OF_LATE), wait: 0.0 }, RUNWAY_SECS);
            if end < worker.end {
                self.set_end(id, end);
            }
        }
    }
}

/// When the job ends if all its workers, and perhaps one more, share what is left perfectly, in seconds.
pub(super) fn all_end_in(job: &Job, paces: &[(&Worker, Pace)], thief: Option<Pace>) -> f64 {
    let thief = thief.unwrap_or(Pace { speed: 0.0, wait: 0.0 });
    let ready = job.ledger.as_ref().map_or(0, Ledger::ready_bytes);
    let (mut work, mut speed) = (ready as f64 + thief.missed(), thief.speed);
    // The lease of a first request that is not answered yet has no end that could be counted.
    for (worker, pace) in paces.iter().filter(|(worker, _)| worker.end < u64::MAX) {
        work += worker.remaining() as f64 + pace.missed();
        speed += pace.speed;
    }
    work / speed.max(1.0)
}

/// How long a worker that is let go may go on.
const RUNWAY_SECS: f64 = 0.3;

fn bytes_in(pace: Pace, seconds: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a byte count")]
    let bytes = (pace.speed * (seconds - pace.wait).max(0.0)) as u64;
    bytes
}

/// The middle one of some speeds.
pub(super) fn median(mut speeds: Vec<f64>) -> Option<f64> {
    let middle = speeds.len() / 2;
    speeds.sort_by(f64::total_cmp);
    speeds.get(middle).copied()
}
