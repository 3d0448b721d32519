//! How many connections are worth it: from a few to the job's cap, as long as the total really grows.
//!
//! A step doubles the connections. From then on each worker is measured from one of its reports to another, so that
//! neither the pauses between reports nor the way to the first byte count, and the sum of these rates is compared with
//! the sum before the step. A clear gain, seen twice, is followed by the next step at once. Where it is not clear, the
//! verdict waits for as long as new connections need to get going; then the job goes back to as many as the gain is
//! worth, and tries again much later. Many servers let the first bytes of each connection out faster than the rest:
//! only rates that were measured after that can speak against a step.
//!
//! Where answers take long, a step is taken before the last one has been answered, so that the whole way up costs about
//! one answer more and not one for each step. The verdict then is on all of these steps together.

use std::time::Duration;

use crate::messages::Alarm;
use crate::{JobId, Time};

use super::Engine;
use super::worker::Worker;

/// Connections to begin with: what a browser opens to one host, and two more.
const FIRST: u32 = 8;

/// A step is worth it when the total grows by this share of what it had before.
const GAIN: f64 = 0.1;

/// A gain is clear at this share of what would be gained if nothing but the connections themselves held them back.
const CLEAR: f64 = 0.6;

/// Looks that a verdict takes, and that must agree on a clear gain.
const LOOKS: u32 = 2;

/// Up to so many connections a step is worth it unless rates that have settled speak against it.
const UNPROVEN_MAX: u32 = 8;

/// Connections that the gain of a step does not account for, but that are kept for good measure: this factor.
const SPARE: f64 = 1.25;

/// A step back is taken only to less than this share.
const BACK_FROM: f64 = 0.6;

/// How long an unanswered step is waited for at least before the next one, and which part of an answer time.
const PACE: Duration = Duration::from_millis(25);
const PACE_ANSWERS: u32 = 16;

/// How often a step is looked at. Workers are asked every 20 ms or so.
const EVERY: Duration = Duration::from_millis(25);

/// How long new connections get to show what they bring, at least, and in answer times: one that is long needs several
/// round trips to get going.
const VERDICT_AFTER: Duration = Duration::from_millis(400);
const VERDICT_AFTER_ANSWERS: u32 = 8;

/// How long new connections may take to be answered and to bring something before the step is judged without them.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often to look whether a job that cannot use what it may have now can do so.
const UNUSED: Duration = Duration::from_millis(250);

/// After a step that was not worth it: when to try again, at first; it doubles each time.
const HOLD: Duration = Duration::from_secs(5);

/// The longest of these waits.
const HOLD_MAX: Duration = Duration::from_secs(80);

#[derive(Debug)]
pub(super) struct Ramp {
    /// Connections of the step that is being tried, or that has proved itself.
    allowed: u32,
    /// The last step that was worth it.
    base: Option<Base>,
    /// When the step was taken.
    stepped_at: Time,
    /// When all of its connections had brought something.
    complete_at: Option<Time>,
    /// Since then they have had the time to settle, and are measured anew.
    settled: bool,
    /// Looks at the step so far, and those in a row that saw a clear gain.
    looks: u32,
    clear: u32,
    hold: Duration,
    /// An alarm is set.
    armed: bool,
}

/// What the total is compared with.
#[derive(Clone, Copy, Debug)]
struct Base {
    connections: u32,
    /// In bytes per second.
    rate: f64,
    /// The connections had settled when it was measured.
    settled: bool,
}

/// What a step has turned out to be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    /// Too little is known.
    Open,
    Worth,
    /// So many connections would do.
    Back(u32),
}

impl Default for Ramp {
    fn default() -> Self {
        Self {
            allowed: FIRST,
            base: None,
            stepped_at: Time::ZERO,
            complete_at: None,
            settled: false,
            looks: 0,
            clear: 0,
            hold: HOLD,
            armed: false,
        }
    }
}

impl Ramp {
    /// More connections were tried and found not to be worth it.
    pub(super) fn has_gone_back(&self) -> bool {
        self.hold > HOLD
    }

    pub(super) fn allowed(&self) -> u32 {
        self.allowed
    }

    /// Takes a look at a step whose connections bring `rate` bytes per second; `is_late` once they had enough time.
    fn look(&mut self, rate: f64, is_late: bool) -> Verdict {
        self.looks += 1;
        // The first connections are what the others are compared with.
        let Base { connections, rate: before, settled } =
            self.base.unwrap_or(Base { connections: self.allowed, rate, settled: false });
        let growth = f64::from(self.allowed) / f64::from(connections) - 1.0;
        self.clear = if rate >= before * (1.0 + CLEAR * growth) { self.clear + 1 } else { 0 };
        if self.clear >= LOOKS {
            return Verdict::Worth;
        }
        let looks = if self.base.is_some() { LOOKS } else { 1 };
        if !settled && (is_late || (self.allowed <= UNPROVEN_MAX && self.looks >= looks)) {
            // Nothing can speak against it yet.
            return Verdict::Worth;
        }
        if !is_late {
            return Verdict::Open;
        }
        let gain = rate / before.max(1.0);
        if gain < 1.0 + GAIN {
            return Verdict::Back(connections);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
        let enough = (f64::from(connections) * gain * SPARE).ceil() as u32;
        if f64::from(enough) > BACK_FROM * f64::from(self.allowed) { Verdict::Worth } else { Verdict::Back(enough) }
    }
}

impl Engine {
    /// Sees to it that a job's step is judged.
    pub(super) fn start_ramp(&mut self, now: Time, id: JobId) {
        let job = &self.jobs[&id];
        let cap = job.connections_max(&self.policy);
        if !self.policy.adaptive || job.is_single() || job.ramp.armed || job.ramp.allowed >= cap {
            return;
        }
        if job.ramp.base.is_none() {
            let useful = self.hosts.get(job.host()).useful.unwrap_or(FIRST);
            self.step_to(now, id, useful.max(FIRST));
        }
        self.arm_ramp(now, id, EVERY);
    }

    /// Lets a job have so many connections from now on, and measures from here.
    fn step_to(&mut self, now: Time, id: JobId, connections: u32) {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        job.ramp.allowed = connections;
        job.ramp.stepped_at = now;
        job.ramp.complete_at = None;
        job.ramp.settled = false;
        job.ramp.looks = 0;
        job.ramp.clear = 0;
        self.measure_from_here(id);
        self.touched.insert(id);
    }

    fn measure_from_here(&mut self, id: JobId) {
        for worker in &self.jobs[&id].workers {
            self.workers.get_mut(worker).expect("a job's workers are running").measure_from_here();
        }
    }

    /// Looks whether the last step was worth it.
    pub(super) fn judge_step(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.ramp.armed = false;
        if job.workers.is_empty() || !self.running.contains(&id) {
            return;
        }
        let job = &self.jobs[&id];
        let cap = job.connections_max(&self.policy);
        let workers: Vec<&Worker> = job.workers.iter().map(|id| &self.workers[id]).collect();
        if workers.iter().any(|worker| worker.is_throttled(now)) {
            // Our own limit is the bottleneck.
            self.arm_ramp(now, id, HOLD);
            return;
        }
        if workers.len() < job.ramp.allowed.min(cap) as usize {
            // The host, or what is left of the file, does not let the job have more; or places are kept for mirrors.
            let awaits_proofs = self.kept_for_proofs(now, job) > 0;
            self.arm_ramp(now, id, if awaits_proofs { EVERY } else { UNUSED });
            return;
        }
        let rates: Vec<f64> = workers.iter().filter_map(|worker| worker.measured_speed()).collect();
        let answer = self.hosts.get(job.host()).answer_time().unwrap_or_default();
        let waited = now.since(job.ramp.stepped_at);
        let most = 4 * rates.len() >= 3 * workers.len();
        let patience = if most { PACE.max(3 * answer) } else { PATIENCE.max(2 * answer) };
        if rates.len() < workers.len() && waited < patience {
            let pending = || workers.iter().filter(|worker| worker.opened_at.is_none());
            // Who is late may be refused without a word; then more of them make it worse.
            let nobody_is_late = pending().all(|worker| now.since(worker.started) <= 2 * answer);
            // The step to the cap, where nothing is known yet that could speak against it, needs no report.
            let ramp = &job.ramp;
            let is_first = ramp.base.is_none() && !ramp.settled && ramp.allowed <= UNPROVEN_MAX;
            let is_free = is_first && 2 * ramp.allowed >= cap;
            let ahead = nobody_is_late && (is_free || pending().next().is_some());
            if ahead && job.ramp.allowed < cap && waited >= PACE.max(answer / PACE_ANSWERS) {
                let seen = u32::try_from(rates.len()).unwrap_or(u32::MAX);
                let (rate, next) = (rates.iter().sum(), (2 * job.ramp.allowed).min(cap));
                let ramp = &mut self.jobs.get_mut(&id).expect("it was just there").ramp;
                ramp.base = ramp.base.or((seen > 0).then_some(Base { connections: seen, rate, settled: false }));
                self.step_to(now, id, next);
            }
            self.arm_ramp(now, id, EVERY);
            return;
        }
        if 4 * rates.len() < 3 * workers.len() {
            // Many are not answered, perhaps because the host has enough of them: more would not be, either.
            self.arm_ramp(now, id, UNUSED);
            return;
        }
        let patience = VERDICT_AFTER.max(answer * VERDICT_AFTER_ANSWERS);
        let ramp = &mut self.jobs.get_mut(&id).expect("it was just there").ramp;
        let complete_for = now.since(*ramp.complete_at.get_or_insert(now));
        let is_late = complete_for >= patience;
        let rate = rates.iter().sum();
        let verdict = ramp.look(rate, is_late);
        if verdict == Verdict::Open && !ramp.settled && complete_for >= patience / 3 {
            ramp.settled = true;
            self.measure_from_here(id);
        }
        match verdict {
            Verdict::Open => self.arm_ramp(now, id, EVERY),
            Verdict::Worth => self.step_up(now, id, rate),
            Verdict::Back(connections) => self.step_back(now, id, connections),
        }
    }

    fn step_up(&mut self, now: Time, id: JobId, rate: f64) {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        let allowed = job.ramp.allowed;
        job.ramp.base = Some(Base { connections: allowed, rate, settled: job.ramp.settled });
        let (host, cap) = (job.host(), job.connections_max(&self.policy));
        self.hosts.get_mut(host).useful = Some(allowed);
        if allowed < cap {
            self.step_to(now, id, (2 * allowed).min(cap));
            self.arm_ramp(now, id, EVERY);
        }
    }

    fn step_back(&mut self, now: Time, id: JobId, connections: u32) {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        let host = job.host();
        let ramp = &mut job.ramp;
        // What the line gives then is what the next try has to beat.
        ramp.base = None;
        let hold = ramp.hold;
        ramp.hold = (hold * 2).min(HOLD_MAX);
        self.hosts.get_mut(host).useful = Some(connections);
        self.step_to(now, id, connections);
        // By then they will have settled: what the next try brings is judged by them.
        self.jobs.get_mut(&id).expect("it was just there").ramp.settled = true;
        self.retire(now, id);
        self.arm_ramp(now, id, hold);
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

    fn stepped() -> Ramp {
        let base = Base { connections: 4, rate: 100.0, settled: true };
        Ramp { allowed: 8, base: Some(base), ..Ramp::default() }
    }

    #[test]
    fn a_clear_gain_has_to_be_seen_twice() {
        let mut ramp = stepped();
        assert_eq!(ramp.look(200.0, false), Verdict::Open);
        assert_eq!(ramp.look(120.0, false), Verdict::Open);
        assert_eq!(ramp.look(190.0, false), Verdict::Open);
        assert_eq!(ramp.look(195.0, false), Verdict::Worth);
    }

    #[test]
    fn an_unclear_gain_gets_time() {
        let mut ramp = stepped();
        assert_eq!(ramp.look(115.0, false), Verdict::Open);
        assert_eq!(ramp.look(115.0, true), Verdict::Worth);
        assert_eq!(ramp.look(105.0, true), Verdict::Back(4));
    }

    #[test]
    fn the_first_bytes_of_fast_starters_do_not_speak_against_a_step() {
        let base = Some(Base { connections: 4, rate: 1000.0, settled: false });
        let mut ramp = Ramp { base, ..stepped() };
        assert_eq!(ramp.look(200.0, false), Verdict::Open);
        assert_eq!(ramp.look(200.0, false), Verdict::Worth);
        assert_eq!(Ramp { allowed: 32, base, ..stepped() }.look(200.0, false), Verdict::Open);
        assert_eq!(Ramp { allowed: 32, base, ..stepped() }.look(200.0, true), Verdict::Worth);
    }

    #[test]
    fn several_steps_are_taken_back_to_as_many_as_their_gain_is_worth() {
        let mut ramp = Ramp { allowed: 64, ..stepped() };
        assert_eq!(ramp.look(200.0, true), Verdict::Back(10), "twice as much as 4 gave, and some to spare");
        assert_eq!(ramp.look(1200.0, true), Verdict::Worth);
    }

    #[test]
    fn the_first_step_is_what_the_others_are_compared_with() {
        assert_eq!(Ramp::default().look(1.0, false), Verdict::Worth);
    }
}
