//! The speed floor, and other things that are looked at twice a second.
//!
//! A worker is replaced when it is slow by both measures, the absolute floor and its siblings' median, when what is
//! left would take it longer than a replacement costs, and when neither our own limit nor an exemption speaks for
//! it. A whole line that is slow makes all workers slow together, and then none of them is to blame: none is much
//! slower than its siblings, and none of these brings enough for a verdict.

use std::time::Duration;

use crate::messages::{Alarm, StopReason};
use crate::{Time, WorkerId};

use super::Engine;
use super::job::Job;
use super::schedule::median;
use super::worker::WINDOW;

/// A guess: a verdict half a second late costs little, and a review visits every worker.
const EVERY: Duration = Duration::from_millis(500);

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
        let slow: Vec<WorkerId> =
            self.running.iter().filter_map(|id| self.slowest_below_floor(now, &self.jobs[id])).collect();
        for worker in slow {
            self.stop_worker(worker, StopReason::BelowFloor);
        }
        self.rebalance(now);
        // Speeds have changed, so that a lease may be worth cutting now that was not before.
        self.ask_all_again();
    }

    /// The worker of a job that most deserves to be replaced. One a review, so that the verdicts on its siblings can
    /// take the change into account.
    fn slowest_below_floor(&self, now: Time, job: &Job) -> Option<WorkerId> {
        let speeds: Vec<(WorkerId, f64)> = job
            .workers
            .iter()
            .filter_map(|id| Some((*id, self.workers[id].speed(now, self.policy.floor_grace)?)))
            .collect();
        speeds
            .iter()
            .filter(|(id, speed)| self.is_below_floor(now, job, *id, *speed, &speeds))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(id, _)| *id)
    }

    fn is_below_floor(&self, now: Time, job: &Job, id: WorkerId, speed: f64, all: &[(WorkerId, f64)]) -> bool {
        let worker = &self.workers[&id];
        if speed >= self.policy.speed_floor as f64 || worker.stopping.is_some() || worker.is_throttled(now) {
            return false;
        }
        let siblings: Vec<f64> = all.iter().filter(|(other, _)| *other != id).map(|(_, speed)| *speed).collect();
        if siblings.len() < self.policy.floor_siblings_min {
            return false;
        }
        let usual = median(siblings).expect("there are siblings");
        if usual * WINDOW.as_secs_f64() < self.policy.floor_evidence_bytes as f64 {
            return false;
        }
        let chunk = job.ledger.as_ref().and_then(|ledger| ledger.chunk_at(worker.at));
        let exempt = chunk.is_none_or(|chunk| chunk.strikes >= self.policy.strikes_max);
        let left = worker.remaining() as f64;
        let worth_it = left / speed.max(1.0) > left / usual + self.policy.replacement_cost.as_secs_f64();
        !exempt && speed < self.policy.floor_share * usual && worth_it
    }
}
