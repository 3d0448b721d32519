//! How many connections are worth it: from a few to the job's cap, as long as the total really grows.
//!
//! A step doubles the connections. When they have been answered, the job's total is measured over short windows, at
//! least two of them, until it is clear whether the step was worth it: if so the next step follows at once, if not the
//! job goes back to where it was and tries again much later.

use std::time::Duration;

use crate::messages::Alarm;
use crate::{JobId, Time};

use super::Engine;

/// Connections to begin with.
const FIRST: u32 = 4;

/// A step is worth it when the total grows by this share of what it had before.
const GAIN: f64 = 0.1;

/// Windows that decide a step at the latest: then the mean does, however it scatters.
const SAMPLES_MAX: usize = 8;

/// The least that a window's bytes scatter, as a share: two windows that happen to agree prove little.
const SCATTER_MIN: f64 = 0.04;

/// The shortest window. Workers are looked at every 20 ms or so.
const WINDOW_MIN: Duration = Duration::from_millis(30);

/// The longest window; where less than [`WINDOW_BYTES`] come in it, the connections are slow.
const WINDOW_MAX: Duration = Duration::from_millis(500);

/// A window with fewer bytes says nothing yet.
const WINDOW_BYTES: u64 = 64 << 10;

/// How long new connections may take to be answered before the step is judged without them.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// After a step that was not worth it: when to try again, at first; it doubles each time.
const HOLD: Duration = Duration::from_secs(5);

/// The longest of these waits.
const HOLD_MAX: Duration = Duration::from_secs(80);

#[derive(Debug)]
pub(super) struct Ramp {
    /// Connections of the step that is being tried, or that has proved itself.
    allowed: u32,
    /// The last step that was worth it, and its rate in bytes per second.
    base: Option<(u32, f64)>,
    /// When the step was taken.
    stepped_at: Time,
    /// The window that is being measured: since when, and the total then.
    window: Option<(Time, u64)>,
    /// Rates of the step's windows.
    samples: Vec<f64>,
    hold: Duration,
    /// An alarm is set.
    pub(super) armed: bool,
}

/// What the windows of a step say.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    /// Too little is known.
    Open,
    /// Worth it, with this rate.
    Worth(f64),
    NotWorth,
}

impl Default for Ramp {
    fn default() -> Self {
        Self {
            allowed: FIRST,
            base: None,
            stepped_at: Time::ZERO,
            window: None,
            samples: Vec::new(),
            hold: HOLD,
            armed: false,
        }
    }
}

impl Ramp {
    pub(super) fn allowed(&self) -> u32 {
        self.allowed
    }

    /// Begins where another job of the same host has found its place.
    pub(super) fn begin_at(&mut self, connections: u32) {
        if self.base.is_none() {
            self.allowed = self.allowed.max(connections);
        }
    }

    fn step_to(&mut self, now: Time, connections: u32) {
        self.allowed = connections;
        self.stepped_at = now;
        self.window = None;
        self.samples.clear();
    }

    fn verdict(&self) -> Verdict {
        let count = self.samples.len();
        if count < 2 {
            return Verdict::Open;
        }
        let mean = self.samples.iter().sum::<f64>() / count as f64;
        let Some((_, before)) = self.base else {
            return Verdict::Worth(mean);
        };
        let squares: f64 = self.samples.iter().map(|rate| (rate - mean).powi(2)).sum();
        let scatter = (squares / (count - 1) as f64).sqrt().max(mean * SCATTER_MIN);
        let doubt = 2.0 * scatter / (count as f64).sqrt();
        let worth = before * (1.0 + GAIN);
        if mean - doubt > worth {
            Verdict::Worth(mean)
        } else if mean + doubt < worth || count >= SAMPLES_MAX {
            if mean > worth { Verdict::Worth(mean) } else { Verdict::NotWorth }
        } else {
            Verdict::Open
        }
    }
}

impl Engine {
    /// Sees to it that a job's step is judged.
    pub(super) fn start_ramp(&mut self, now: Time, id: JobId) {
        let job = &self.jobs[&id];
        let (cap, host) = (job.connections_max(&self.policy), job.host());
        if !self.policy.adaptive || job.is_single() || job.ramp.armed || job.ramp.allowed >= cap {
            return;
        }
        let useful = self.hosts.get(host).useful;
        let ramp = &mut self.jobs.get_mut(&id).expect("it was just there").ramp;
        ramp.begin_at(useful.unwrap_or(FIRST));
        ramp.step_to(now, ramp.allowed);
        ramp.armed = true;
        self.set_alarm(now + WINDOW_MIN, Alarm::Ramp(id));
    }

    /// Looks whether the last step was worth it.
    pub(super) fn judge_step(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| self.running.contains(&job.id)) else {
            if let Some(job) = self.jobs.get_mut(&id) {
                job.ramp.armed = false;
            }
            return;
        };
        job.ramp.armed = false;
        let cap = job.tuning.connections.unwrap_or(self.policy.connections_per_job).max(1);
        let host = job.host();
        let answered = job.workers.iter().filter(|id| self.workers[id].opened_at.is_some()).count();
        let all_answered = answered >= (job.ramp.allowed as usize).min(job.workers.len());
        let throttled = job.workers.iter().any(|id| self.workers[id].is_throttled(now));
        let patient = now.since(job.ramp.stepped_at) < ANSWERED_WITHIN;
        let full = job.workers.len() >= job.ramp.allowed as usize;
        let (total, workers) = (job.done_bytes(), job.workers.len());
        if workers == 0 || throttled {
            // Nothing can be learned now: from the next request on, or when the limit is gone.
            job.ramp.window = None;
            if workers > 0 {
                self.arm_ramp(now, id, HOLD);
            }
            return;
        }
        if !full || (!all_answered && patient) {
            // The host, or what is left of the file, does not let the job have more; or they are on their way.
            job.ramp.window = None;
            let wait = if full { WINDOW_MIN } else { WINDOW_MAX };
            self.arm_ramp(now, id, wait);
            return;
        }
        let typical = self.hosts.get(host).answer_time().unwrap_or_default() / 2;
        let window = typical.clamp(WINDOW_MIN, WINDOW_MAX);
        let ramp = &mut job.ramp;
        match ramp.window {
            None => ramp.window = Some((now, total)),
            Some((since, from)) => {
                let bytes = total.saturating_sub(from);
                let lasted = now.since(since);
                if bytes >= WINDOW_BYTES || lasted >= WINDOW_MAX {
                    ramp.samples.push(bytes as f64 / lasted.as_secs_f64().max(1e-6));
                    ramp.window = Some((now, total));
                }
            }
        }
        match ramp.verdict() {
            Verdict::Open => self.arm_ramp(now, id, window),
            Verdict::Worth(rate) => {
                let allowed = ramp.allowed;
                ramp.base = Some((allowed, rate));
                self.hosts.get_mut(host).useful = Some(allowed);
                if allowed < cap {
                    self.jobs.get_mut(&id).expect("it was just there").ramp.step_to(now, (2 * allowed).min(cap));
                    self.arm_ramp(now, id, window);
                }
                self.touched.insert(id);
            }
            Verdict::NotWorth => {
                let (back, _) = ramp.base.expect("the first step is always worth it");
                ramp.step_to(now, back);
                // What the line gives now is what the next try has to beat.
                ramp.base = None;
                let hold = ramp.hold;
                ramp.hold = (hold * 2).min(HOLD_MAX);
                self.retire(now, id);
                self.arm_ramp(now, id, hold);
            }
        }
    }

    fn arm_ramp(&mut self, now: Time, id: JobId, wait: Duration) {
        let ramp = &mut self.jobs.get_mut(&id).expect("the caller holds the job").ramp;
        if !ramp.armed {
            ramp.armed = true;
            self.set_alarm(now + wait, Alarm::Ramp(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(before: f64, samples: &[f64]) -> Verdict {
        Ramp { base: Some((4, before)), samples: samples.to_vec(), ..Ramp::default() }.verdict()
    }

    #[test]
    fn one_window_decides_nothing() {
        assert_eq!(judged(100.0, &[200.0]), Verdict::Open);
    }

    #[test]
    fn a_clear_gain_is_seen_after_two_windows() {
        assert_eq!(judged(100.0, &[198.0, 202.0]), Verdict::Worth(200.0));
    }

    #[test]
    fn windows_that_scatter_need_more_of_their_kind() {
        assert_eq!(judged(100.0, &[80.0, 160.0]), Verdict::Open);
        assert_eq!(judged(100.0, &[80.0, 160.0, 70.0, 90.0, 110.0, 95.0, 100.0, 90.0]), Verdict::NotWorth);
    }

    #[test]
    fn no_gain_is_no_gain() {
        assert_eq!(judged(100.0, &[100.0, 101.0, 99.0]), Verdict::NotWorth);
    }
}
