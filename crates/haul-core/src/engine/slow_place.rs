//! A place in the file that is slow for everybody gets more connections before the others have nothing left to do.
//!
//! Stealing helps who would end last once a connection is idle. Where all leases are alike none is, until all others end
//! together; and then a place that was slow all the time has yet to be shared.
//!
//! Who goes there is missed elsewhere, so it is only worth it where that costs little: the helper is slow itself, or the line
//! is so thin that the others bring its bytes.

use std::time::Duration;

use crate::{JobId, Time};

use super::Engine;
use super::job::Job;
use super::steal::all_end_in;
use super::worker::{WINDOW, Worker};

/// A place is slow where a connection brings this share of what it brought elsewhere. A guess.
const SLOW_SHARE: f64 = 0.25;

/// How many times longer than the whole job a lease must take to be worth a connection that has something else to do.
const LATE_FACTOR: f64 = 1.3;

/// Who brings at most this share of what the others bring on the average is not missed.
const SMALL_SHARE: f64 = 0.5;

/// Who leaves its lease goes on for so long, in seconds: so long its end mark needs to get to it.
const RUNWAY_SECS: f64 = 0.5;

/// For so long a connection that was freed is waited for before another one is.
const PATIENCE: Duration = WINDOW;

impl Engine {
    /// Where all connections are busy, and one at a slow place would still be at it long after them: the slowest of them leaves
    /// what it has to the others, and takes half of that place.
    pub(super) fn share_slow_place(&mut self, now: Time, id: JobId) {
        let job = &self.jobs[&id];
        let is_waiting = job.shared_place.is_some_and(|(_, since)| now.since(since) < PATIENCE);
        let has_idle = job.connections() < job.connections_wanted(&self.policy);
        if !self.policy.steals || is_waiting || has_idle || job.is_single() || job.ledger.is_none() {
            return;
        }
        let is_free = |worker: &&Worker| {
            let is_old = worker.age(now).is_some_and(|age| age >= WINDOW);
            is_old && worker.is_steady() && worker.contributes() && worker.rival.is_none() && !worker.is_throttled(now)
        };
        let workers: Vec<&Worker> = job.workers.iter().map(|id| &self.workers[id]).filter(is_free).collect();
        let speed = |worker: &Worker| worker.recent_speed(now, WINDOW);
        let seconds = |worker: &Worker| worker.remaining() as f64 / speed(worker).max(1.0);
        let (slow, others): (Vec<&Worker>, Vec<&Worker>) =
            workers.into_iter().partition(|worker| self.is_at_slow_place(now, job, worker));
        let Some(last) = slow.into_iter().max_by(|a, b| seconds(a).total_cmp(&seconds(b))) else { return };
        let start = self.hosts.get(job.host()).starts.cost(false).unwrap_or_default().as_secs_f64();
        let soon = 2.0 * start + RUNWAY_SECS;
        // Who ends soon helps by itself.
        if others.iter().any(|worker| seconds(worker) < soon) {
            return;
        }
        let paces = self.paces(now, job, self.usual_speed(now, job));
        if seconds(last) <= LATE_FACTOR * (all_end_in(job, &paces, None) + soon) {
            return;
        }
        let usual = others.iter().map(|worker| speed(worker)).sum::<f64>() / others.len().max(1) as f64;
        let Some(helper) = others.into_iter().min_by(|a, b| speed(a).total_cmp(&speed(b))) else { return };
        // What the helper brings would be missed, unless that is little, or the others bring it in its place.
        if speed(helper) > SMALL_SHARE * usual && !job.ramp.has_gone_back() {
            return;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a byte count")]
        let end = helper.at + (speed(helper) * RUNWAY_SECS) as u64;
        let half = last.end - last.takeable() / 2;
        let (last, helper) = (last.id, helper.id);
        self.jobs.get_mut(&id).expect("the caller named a job").shared_place = Some((half, now));
        self.workers.get_mut(&helper).expect("it was just there").retiring = true;
        self.set_end(helper, end);
        self.charge_cut(now, last);
        self.set_end(last, half);
    }

    /// A worker is slow although its connection is not.
    fn is_at_slow_place(&self, now: Time, job: &Job, worker: &Worker) -> bool {
        let elsewhere = worker.kept_speed.unwrap_or_default().max(worker.life_speed(now));
        self.is_exempt(job, worker.at) || worker.recent_speed(now, WINDOW) < SLOW_SHARE * elsewhere
    }
}
