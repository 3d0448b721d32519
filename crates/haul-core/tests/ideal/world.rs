//! One job in one world, in virtual time: bytes flow like a fluid, from event to event.
//!
//! A worker asks, then bytes flow at a rate that only changes with the number of flows or at the border of a slow
//! region, until it meets its end mark, the end of its connection's life, or an order to stop. A connection whose
//! answer was read to its end is kept alive and takes the next request; one that broke, was stopped or was cut short
//! is closed, as in HTTP/1.1.

mod trace;
mod worker;

use std::collections::VecDeque;
use std::time::Duration;

use haul_core::messages::{Command, Effect, End, Event, Fetch, JobSpec, Outcome, StopReason, Tuning};
use haul_core::{Fault, FaultKind, JobId, Time, WorkerId};

use crate::brain::Brain;
use crate::link;
use crate::nature::{Break, Nanos, Nature, OverCap, SECOND, seconds, whole};
use crate::spans::Spans;

use trace::{describe, describe_effect, describe_end};
use worker::{Phase, Wire, Worker};

const JOB: JobId = JobId(1);

/// From the order to stop until a worker is gone. A guess: the shell's worker sees it at once, its driver soon after.
const STOP_TAKES: Nanos = 5 * SECOND / 1000;

/// When the shell looks at its workers: after a MiB has come, but within these limits (hauld's driver).
const SWEEP_BYTES: f64 = 1_048_576.0;
const SWEEP_MIN: Nanos = SECOND / 50;
const SWEEP_MAX: Nanos = SECOND / 10;
/// For so long after the answer to a further connection it looks as often as it can.
const HURRY: Nanos = SECOND / 5;

/// More effects than this at one moment are a busy loop.
const EFFECTS_MAX: u32 = 100_000;

pub(crate) struct World<'a, B> {
    nature: &'a Nature,
    brain: B,
    now: Nanos,
    workers: Vec<Worker>,
    /// Connections that can take another request.
    idle: Vec<Wire>,
    accepted: u32,
    /// The host's places that are taken.
    places: Vec<bool>,
    /// Requests that the host serves.
    serving: u32,
    swept_at: Nanos,
    sweep_after: Nanos,
    hurry_until: Nanos,
    inbox: VecDeque<Event>,
    written: Spans,
    sealed_at: Option<Nanos>,
    tally: Tally,
    effects_now: u32,
    trace: bool,
    caps: Vec<f64>,
    scratch: Vec<f64>,
}

/// How a job went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Seconds until all bytes were there; `None` when that took too long.
    pub(crate) took: Option<f64>,
    /// Bytes that came, those that came twice included, and those that nobody read.
    pub(crate) received: u64,
    pub(crate) requests: u64,
    pub(crate) connections: u64,
    /// The time that requests have taken, all together.
    pub(crate) worker_seconds: f64,
    /// Requests that the host refused or let hang because it served as many as it wants.
    pub(crate) refused: u64,
    pub(crate) kills: u64,
    pub(crate) events: u64,
}

impl<'a, B: Brain> World<'a, B> {
    pub(crate) fn new(nature: &'a Nature, brain: B, trace: bool) -> Self {
        Self {
            nature,
            brain,
            now: 0,
            workers: Vec::new(),
            idle: Vec::new(),
            accepted: 0,
            places: Vec::new(),
            serving: 0,
            swept_at: 0,
            sweep_after: SWEEP_MAX,
            hurry_until: 0,
            inbox: VecDeque::new(),
            written: Spans::default(),
            sealed_at: None,
            tally: Tally::default(),
            effects_now: 0,
            trace,
            caps: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Runs until all bytes are there, or until `cut_off`.
    pub(crate) fn run(mut self, cut_off: Nanos) -> Tally {
        let tuning = Tuning { priority: 0, connections: Some(self.nature.connections), ..Tuning::default() };
        let spec = JobSpec { hosts: vec!["http://host".to_owned()], tuning, ..JobSpec::default() };
        self.brain.command(self.time(), Command::Start(JOB, Box::new(spec)));
        self.carry_out();
        while self.sealed_at.is_none() && self.step(cut_off) {}
        self.tally.took = self.sealed_at.map(seconds);
        self.tally
    }

    fn time(&self) -> Time {
        Time::from_origin(Duration::from_nanos(self.now))
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.trace {
            #[expect(clippy::print_stderr, reason = "asked for by an environment variable")]
            {
                eprintln!("{:>10.4} {}", seconds(self.now), text());
            }
        }
    }

    /// Lets the next thing happen, if that is before `cut_off`.
    fn step(&mut self, cut_off: Nanos) -> bool {
        let (due, index) = self.workers.iter().enumerate().map(|(i, w)| (w.next(), i)).min().unwrap_or((Nanos::MAX, 0));
        let sweep = if self.workers.is_empty() { Nanos::MAX } else { (self.swept_at + self.sweep_after).max(self.now) };
        let alarm = self.brain.poll_timeout().map_or(Nanos::MAX, |at| to_nanos(at.since_origin()).max(self.now));
        let at = due.min(sweep).min(alarm);
        if at > cut_off {
            return false;
        }
        if at > self.now {
            self.effects_now = 0;
        }
        self.tally.worker_seconds += self.workers.len() as f64 * seconds(at - self.now);
        self.now = at;
        self.tally.events += 1;
        if due == at {
            self.happen(index);
        } else if sweep == at {
            self.sweep();
        } else {
            self.brain.handle_timeout(self.time());
        }
        self.carry_out();
        true
    }

    fn sweep(&mut self) {
        let mut came = 0.0;
        for index in 0..self.workers.len() {
            let worker = &self.workers[index];
            let at = worker.at(self.now);
            came += worker.rate * seconds(self.now - self.swept_at);
            let event = Event::Progress { worker: worker.id, at, throttled: false };
            self.brain.event(self.time(), event);
        }
        let elapsed = (self.now - self.swept_at) as f64;
        let most = if self.now < self.hurry_until { SWEEP_MIN } else { SWEEP_MAX };
        self.sweep_after = whole(elapsed * (SWEEP_BYTES / came.max(1.0)).min(100.0)).clamp(SWEEP_MIN, most);
        self.swept_at = self.now;
    }

    /// What was due for a worker.
    fn happen(&mut self, index: usize) {
        let now = self.now;
        let nature = self.nature;
        let worker = &mut self.workers[index];
        worker.settle(now);
        let at = whole(worker.base);
        if at >= worker.mark {
            self.end(index, End::Finished);
        } else if worker.stop_at <= now {
            self.end(index, End::Stopped);
        } else {
            match worker.phase {
                Phase::Asking => self.answer(index),
                Phase::Unanswered => self.fail(index, FaultKind::NoAnswer),
                Phase::Silent => self.fail(index, FaultKind::Stall),
                Phase::Flowing if at >= worker.request_end => self.end(index, End::Finished),
                Phase::Flowing if at >= worker.breaks_at() => match worker.wire.expect("a flow").like.end {
                    Break::Reset => self.fail(index, FaultKind::Reset),
                    Break::Stall => {
                        worker.phase = Phase::Silent;
                        worker.rate = 0.0;
                        worker.due = now + worker.stall;
                        let id = worker.id;
                        self.say(|| format!("{id:?} falls silent at {at}"));
                        self.reshare();
                    }
                },
                Phase::Flowing => {
                    worker.plan(nature);
                    self.reshare();
                }
            }
        }
    }

    /// The host takes a request, or not.
    fn answer(&mut self, index: usize) {
        let nature = self.nature;
        let patience = self.workers[index].response;
        if let Some((cap, over)) = nature.cap
            && self.serving >= cap
        {
            self.tally.refused += 1;
            match over {
                OverCap::Unavailable => self.fail(index, FaultKind::Status(503)),
                OverCap::Reset => self.fail(index, FaultKind::Reset),
                OverCap::NoAnswer => self.stay_unanswered(index, patience),
            }
            return;
        }
        if self.workers[index].wire.is_none() {
            self.accept(index);
        }
        if !self.workers[index].wire.expect("it was accepted").like.answers {
            self.stay_unanswered(index, patience);
            return;
        }
        self.serving += 1;
        let worker = &mut self.workers[index];
        worker.phase = Phase::Flowing;
        let id = worker.id;
        self.say(|| format!("{id:?} opened on {}", describe(nature, self.workers[index].wire)));
        self.reshare();
        if self.workers.len() > 1 {
            self.hurry_until = self.now + HURRY;
            self.sweep_after = SWEEP_MIN;
        }
        self.feed(Event::Opened { worker: id, total: Some(nature.bytes), partial: true });
    }

    fn stay_unanswered(&mut self, index: usize, patience: Nanos) {
        let worker = &mut self.workers[index];
        worker.phase = Phase::Unanswered;
        worker.due = self.now + patience.saturating_sub(self.nature.answer);
    }

    fn accept(&mut self, index: usize) {
        let place = self.places.iter().position(|taken| !taken).unwrap_or_else(|| {
            self.places.push(false);
            self.places.len() - 1
        });
        self.places[place] = true;
        let like = self.nature.connection(self.accepted);
        self.workers[index].wire = Some(Wire { like, place, ordinal: self.accepted, carried: 0, born: self.now });
        self.accepted += 1;
    }

    fn fail(&mut self, index: usize, kind: FaultKind) {
        self.end(index, End::Fault(Fault::new(kind, "virtual fault")));
    }

    fn end(&mut self, index: usize, end: End) {
        let worker = self.workers.remove(index);
        let at = whole(worker.base);
        self.written.add(worker.from, at);
        self.tally.received += at - worker.from;
        let was_flowing = worker.phase == Phase::Flowing;
        if let Some(wire) = worker.wire {
            if was_flowing && at == worker.request_end {
                self.idle.push(Wire { carried: wire.carried + at - worker.from, ..wire });
            } else {
                self.places[wire.place] = false;
                self.tally.received += if matches!(end, End::Fault(_)) { 0 } else { self.in_vain(&worker, at) };
            }
        }
        self.serving -= u32::from(was_flowing || worker.phase == Phase::Silent);
        self.say(|| format!("{:?} ended at {at}: {}", worker.id, describe_end(&end)));
        if was_flowing {
            self.reshare();
        }
        self.feed(Event::WorkerEnded { worker: worker.id, at, end });
    }

    /// The bytes that are on their way when a connection is closed: what it carries in a round trip, if so much was asked
    /// for.
    fn in_vain(&self, worker: &Worker, at: u64) -> u64 {
        whole(worker.rate * seconds(self.nature.connect)).min(worker.request_end - at)
    }

    fn feed(&mut self, event: Event) {
        self.brain.event(self.time(), event);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        loop {
            while let Some(effect) = self.brain.poll_effect() {
                self.effects_now += 1;
                assert!(self.effects_now < EFFECTS_MAX, "a busy loop; its last effect: {effect:?}");
                if !matches!(effect, Effect::Changed(_)) {
                    self.say(|| format!("    {}", describe_effect(&effect)));
                }
                self.carry_out_one(effect);
            }
            let Some(event) = self.inbox.pop_front() else { return };
            self.brain.event(self.time(), event);
        }
    }

    fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Fetch(fetch) => self.fetch(&fetch),
            Effect::SetEnd { worker, end } => self.set_end(worker, end),
            Effect::Stop { worker, reason } => {
                self.tally.kills += u64::from(reason == StopReason::BelowFloor);
                let stop_at = self.now + STOP_TAKES;
                if let Some(worker) = self.workers.iter_mut().find(|w| w.id == worker) {
                    worker.stop_at = worker.stop_at.min(stop_at);
                }
            }
            Effect::Seal(id) => self.seal(id),
            Effect::Changed(_) | Effect::HostChanged(_) | Effect::Note(..) => {}
            Effect::Ended(id, outcome) => assert_eq!((id, outcome), (JOB, Outcome::Completed)),
            Effect::Reset(_)
            | Effect::Rewrite(_)
            | Effect::CheckDisk(_)
            | Effect::CompareSeam { .. }
            | Effect::Released(_) => {
                panic!("nothing calls for {effect:?}")
            }
        }
    }

    fn fetch(&mut self, fetch: &Fetch) {
        let nature = self.nature;
        assert!(self.workers.len() < nature.connections as usize, "{fetch:?} is one more than the job may use");
        let request_end = fetch.end.unwrap_or(nature.bytes);
        assert!(fetch.from < request_end && request_end <= nature.bytes, "an odd range: {fetch:?}");
        let wire = self.idle.pop();
        self.tally.requests += 1;
        self.tally.connections += u64::from(wire.is_none());
        let takes = if wire.is_some() { nature.answer } else { nature.approach() };
        self.workers.push(Worker {
            id: fetch.worker,
            from: fetch.from,
            mark: fetch.end.unwrap_or(u64::MAX),
            request_end,
            response: to_nanos(fetch.timeouts.response),
            stall: to_nanos(fetch.timeouts.stall),
            wire,
            phase: Phase::Asking,
            base: fetch.from as f64,
            since: self.now,
            rate: 0.0,
            limit: fetch.from,
            due: self.now + takes,
            grows_at: Nanos::MAX,
            stop_at: Nanos::MAX,
        });
    }

    /// Moves an end mark, but not before what is written.
    fn set_end(&mut self, id: WorkerId, end: u64) {
        let now = self.now;
        let nature = self.nature;
        let Some(worker) = self.workers.iter_mut().find(|w| w.id == id) else { return };
        worker.settle(now);
        let at = whole(worker.base);
        worker.mark = end.max(at);
        worker.plan(nature);
        if worker.mark == at {
            worker.due = now;
        }
        self.inbox.push_back(Event::EndSet { worker: id, end: worker.mark });
    }

    fn seal(&mut self, id: JobId) {
        assert_eq!(id, JOB);
        for worker in &self.workers {
            let at = worker.at(self.now);
            self.written.add(worker.from, at);
            self.tally.received += at - worker.from + self.in_vain(worker, at);
        }
        assert!(self.written.are_all_of(self.nature.bytes), "sealed with {:?}", self.written);
        self.sealed_at = Some(self.now);
    }

    /// Shares the link out anew, after the flows or what they can take have changed.
    fn reshare(&mut self) {
        let (now, nature) = (self.now, self.nature);
        self.caps.clear();
        for worker in self.workers.iter_mut().filter(|worker| worker.phase == Phase::Flowing) {
            worker.settle(now);
            self.caps.push(worker.wants(nature));
        }
        link::share(nature.link, &mut self.caps, &mut self.scratch);
        let flows = self.workers.iter_mut().filter(|worker| worker.phase == Phase::Flowing);
        for (worker, rate) in flows.zip(&self.caps) {
            worker.rate = *rate;
            worker.plan(nature);
        }
    }
}

fn to_nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).expect("no world lasts for centuries")
}
