//! A virtual world: an engine, its shell, the servers and the users, and the agenda of what happens to them when.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use haul_core::messages::{Caps, End, Event, StopReason};
use haul_core::{Engine, Fault, JobId, Policy, Rng, Time, WorkerId};

use crate::host::{File, Host};
use crate::job::Job;
use crate::link::Worker;
use crate::user::Act;

/// How often a virtual worker reports.
const TICK: Duration = Duration::from_millis(100);

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) now: Time,
    pub(crate) engine: Engine,
    pub(crate) policy: Policy,
    pub(crate) caps: Caps,
    pub(crate) hosts: Vec<Host>,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    pub(crate) by_job: BTreeSet<(JobId, WorkerId)>,
    /// The worker that the engine asked for last.
    pub(crate) last_worker: Option<WorkerId>,
    pub(crate) rng: Rng,
    pub(crate) tick: Duration,
    /// Our own limit over all transfers, in bytes per second.
    pub(crate) limit: f64,
    pub(crate) disk_full: Vec<(Time, Time)>,
    /// How long the shell takes to report a moved end mark.
    pub(crate) end_set_after: Duration,
    pub(crate) stats: Stats,
    agenda: BTreeMap<(Time, u64), Happening>,
    next_happening: u64,
    pub(crate) acts: Vec<Act>,
    pub(crate) inbox: VecDeque<Event>,
    /// Counts up with each crash: what was under way before is void.
    pub(crate) life: u64,
    pub(crate) effects_at_once: u32,
    pub(crate) flowing: u32,
    /// The last step was no more than a report of this job's.
    pub(crate) reported: Option<JobId>,
    trace: bool,
    /// Whether the invariants are checked; off only where wall time is measured.
    pub(crate) checks: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    pub(crate) kills: u64,
    pub(crate) yields: u64,
    pub(crate) cuts: u64,
    pub(crate) events: u64,
    pub(crate) restarts: u64,
    pub(crate) exempt_chunks: u64,
    /// Bytes that were written once more: in races.
    pub(crate) twice: u64,
    /// Bytes that were compared with what was there.
    pub(crate) compared: u64,
    pub(crate) overtaken: u64,
    pub(crate) unanswered: u64,
    pub(crate) trials: u64,
    pub(crate) proven: u64,
    pub(crate) dropped: u64,
    pub(crate) healings: u64,
}

impl Stats {
    pub(crate) fn stops(&mut self, reason: StopReason) {
        match reason {
            StopReason::BelowFloor => self.kills += 1,
            StopReason::Yield => self.yields += 1,
            StopReason::Overtaken => self.overtaken += 1,
            StopReason::Unanswered => self.unanswered += 1,
            StopReason::Trial => self.trials += 1,
            StopReason::JobStops | StopReason::Woke => {}
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Answer(WorkerId, u64),
    Step(WorkerId, u64),
    Fault(WorkerId, u64, Fault),
    Stopped(WorkerId, u64),
    EndSet(WorkerId, u64, u64),
    ResetDone(JobId, u64),
    SealDone(JobId, u64),
    Act(usize),
    Checkpoint,
}

impl World {
    pub(crate) fn new(seed: u64, policy: Policy) -> Self {
        let caps = Caps {
            active_jobs: policy.active_jobs_max,
            connections_per_job: policy.connections_per_job,
            connections_per_host: policy.connections_per_host,
            connections_total: policy.connections_total,
        };
        let mut world = Self {
            seed,
            now: Time::ZERO,
            engine: Engine::new(policy.clone(), seed),
            policy,
            caps,
            hosts: Vec::new(),
            jobs: BTreeMap::new(),
            workers: BTreeMap::new(),
            by_job: BTreeSet::new(),
            last_worker: None,
            rng: Rng::new(seed ^ 0x5eed),
            tick: TICK,
            limit: f64::INFINITY,
            disk_full: Vec::new(),
            end_set_after: Duration::ZERO,
            stats: Stats::default(),
            agenda: BTreeMap::new(),
            next_happening: 0,
            acts: Vec::new(),
            inbox: VecDeque::new(),
            life: 0,
            effects_at_once: 0,
            flowing: 0,
            reported: None,
            checks: true,
            trace: std::env::var_os("HAUL_SIM_TRACE").is_some(),
        };
        world.plan(Duration::from_millis(200), Happening::Checkpoint);
        world
    }

    pub(crate) fn add_job(&mut self, id: JobId, host: usize, file: File) {
        self.jobs.insert(id, Job::new(host, file));
    }

    pub(crate) fn add_act(&mut self, at: Time, act: Act) {
        let index = self.acts.len();
        self.acts.push(act);
        self.plan_at(at, Happening::Act(index));
    }

    /// The store takes rows only when a job comes to rest: its pace is not the engine's.
    pub(crate) fn without_checkpoints(&mut self) {
        self.agenda.retain(|_, happening| !matches!(happening, Happening::Checkpoint));
    }

    pub(crate) fn host_index(&self, name: &str) -> usize {
        self.hosts.iter().position(|host| host.name == name).expect("a known host")
    }

    pub(crate) fn plan(&mut self, after: Duration, happening: Happening) {
        self.plan_at(self.now + after, happening);
    }

    pub(crate) fn plan_at(&mut self, at: Time, happening: Happening) {
        self.next_happening += 1;
        self.agenda.insert((at, self.next_happening), happening);
    }

    pub(crate) fn say(&self, text: impl FnOnce() -> String) {
        if self.trace {
            #[expect(clippy::print_stderr, reason = "asked for by an environment variable")]
            {
                eprintln!("{:>10.3} {}", self.now.since_origin().as_secs_f64(), text());
            }
        }
    }

    pub(crate) fn fail(&self, what: impl std::fmt::Display) -> ! {
        panic!("world {seed} at {at:?}: {what}", seed = self.seed, at = self.now.since_origin())
    }

    pub(crate) fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(what());
        }
    }

    /// Runs until nothing is left to wait for, or until `deadline`. Tells whether it came to rest.
    pub(crate) fn run(&mut self, deadline: Time) -> bool {
        loop {
            // Checkpoints come for ever, so that a world at rest is noticed soon after.
            if self.stats.events.is_multiple_of(32) && self.is_settled() {
                return true;
            }
            if !self.step(deadline) {
                return self.is_settled();
            }
        }
    }

    /// Lets the next thing happen, if that is before `deadline`.
    pub(crate) fn step(&mut self, deadline: Time) -> bool {
        let alarm = self.engine.poll_timeout().map(|(at, _)| at.max(self.now));
        let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let Some(at) = alarm.into_iter().chain(next).min().filter(|at| *at <= deadline) else {
            return false;
        };
        if at > self.now {
            self.effects_at_once = 0;
        }
        self.now = at;
        self.stats.events += 1;
        self.reported = None;
        if next == Some(at) {
            let (_, happening) = self.agenda.pop_first().expect("it was just there");
            self.happen(happening);
        } else {
            self.engine.handle_timeout(at);
            self.carry_out();
        }
        if self.checks {
            self.check_step();
        }
        true
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Answer(id, plan) if self.is_planned(id, plan) => self.answer(id),
            Happening::Step(id, plan) if self.is_planned(id, plan) => self.step_worker(id),
            Happening::Fault(id, plan, fault) if self.is_planned(id, plan) => self.end_worker(id, End::Fault(fault)),
            Happening::Answer(..) | Happening::Step(..) | Happening::Fault(..) => {}
            Happening::Stopped(id, life) if life == self.life && self.workers.contains_key(&id) => {
                self.flow(id);
                self.end_worker(id, End::Stopped);
            }
            Happening::EndSet(id, end, life) if life == self.life => self.feed(Event::EndSet { worker: id, end }),
            Happening::ResetDone(id, life) if life == self.life => {
                self.job(id).reset_due = false;
                self.feed(Event::ResetDone(id));
            }
            Happening::SealDone(id, life) if life == self.life => self.sealed(id),
            Happening::Stopped(..) | Happening::EndSet(..) | Happening::ResetDone(..) | Happening::SealDone(..) => {}
            Happening::Act(index) => self.act(self.acts[index]),
            Happening::Checkpoint => {
                self.checkpoint();
                self.plan(Duration::from_millis(200), Happening::Checkpoint);
            }
        }
    }

    fn is_planned(&self, id: WorkerId, plan: u64) -> bool {
        self.workers.get(&id).is_some_and(|worker| worker.plan == plan)
    }

    pub(crate) fn job(&mut self, id: JobId) -> &mut Job {
        self.jobs.get_mut(&id).expect("a known job")
    }

    /// A new plan for a worker, which makes the earlier one void.
    pub(crate) fn new_plan(&mut self, id: WorkerId) -> u64 {
        self.next_happening += 1;
        let plan = self.next_happening;
        self.workers.get_mut(&id).expect("a running worker").plan = plan;
        plan
    }
}
