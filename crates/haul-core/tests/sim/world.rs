//! A virtual world: an engine, its shell, the servers and the users, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use haul_core::messages::{
    Caps, Command, Effect, End, Event, Fetch, FetchKind, JobSpec, Note, Outcome, Source, StopReason, Tuning,
};
use haul_core::{Chunk, Engine, Fault, FaultKind, JobId, Policy, Rng, Time, WorkerId};

use crate::host::{self, Answer, File, Host, Request};
use crate::link::{Next, Phase, Worker};
use crate::spans::Spans;
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
    inbox: VecDeque<Event>,
    /// Counts up with each crash: what was under way before is void.
    life: u64,
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
}

/// A job, as the world and its store know it.
pub(crate) struct Job {
    pub(crate) host: usize,
    pub(crate) file: File,
    pub(crate) tuning: Tuning,
    /// The engine holds it.
    pub(crate) held: bool,
    pub(crate) releasing: bool,
    pub(crate) reset_due: bool,
    pub(crate) seal_due: bool,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) finished_at: Time,
    /// What is really in the part file.
    pub(crate) written: Spans,
    pub(crate) version: Option<u32>,
    /// Where the submitted URL leads to is known.
    pub(crate) resolved: bool,
    pub(crate) restarts: u32,
    pub(crate) seal_fault: Option<FaultKind>,
    pub(crate) stored: Stored,
    pub(crate) durable: Stored,
    pub(crate) best_done: u64,
    pub(crate) requests: u64,
    pub(crate) ever_progressed: bool,
    /// Requests since the last byte, and when that came.
    pub(crate) requests_in_vain: u32,
    pub(crate) progressed_at: Time,
    pub(crate) starving_since: Option<Time>,
    pub(crate) strikes: u32,
    /// Answers with the file's permanent status.
    pub(crate) denials: u32,
}

/// The rows in the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    pub(crate) rows: BTreeMap<u64, Chunk>,
    pub(crate) total: Option<u64>,
    pub(crate) accepts_ranges: bool,
    pub(crate) version: Option<u32>,
}

#[derive(Clone, Debug)]
enum Happening {
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
        let job = Job {
            host,
            file,
            tuning: Tuning::default(),
            held: false,
            releasing: false,
            reset_due: false,
            seal_due: false,
            outcome: None,
            finished_at: Time::ZERO,
            written: Spans::default(),
            version: None,
            resolved: false,
            restarts: 0,
            seal_fault: None,
            stored: Stored::default(),
            durable: Stored::default(),
            best_done: 0,
            requests: 0,
            ever_progressed: false,
            requests_in_vain: 0,
            progressed_at: Time::ZERO,
            starving_since: None,
            strikes: 0,
            denials: 0,
        };
        self.jobs.insert(id, job);
    }

    pub(crate) fn add_act(&mut self, at: Time, act: Act) {
        let index = self.acts.len();
        self.acts.push(act);
        self.plan_at(at, Happening::Act(index));
    }

    pub(crate) fn host_index(&self, name: &str) -> usize {
        self.hosts.iter().position(|host| host.name == name).expect("a known host")
    }

    fn plan(&mut self, after: Duration, happening: Happening) {
        self.plan_at(self.now + after, happening);
    }

    fn plan_at(&mut self, at: Time, happening: Happening) {
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
    fn new_plan(&mut self, id: WorkerId) -> u64 {
        self.next_happening += 1;
        let plan = self.next_happening;
        self.workers.get_mut(&id).expect("a running worker").plan = plan;
        plan
    }

    fn answer(&mut self, id: WorkerId) {
        let worker = &self.workers[&id];
        let job = self.jobs.get_mut(&worker.job).expect("a known job");
        let request = Request {
            from: worker.fetch.from,
            end: worker.fetch.end,
            ranged: worker.is_ranged(),
            resolve: worker.fetch.resolve || !job.resolved,
            known_version: job.version,
            connect_timeout: worker.fetch.timeouts.connect,
            response_timeout: worker.fetch.timeouts.response,
        };
        let host = &self.hosts[job.host];
        let answer = host::answer(&mut self.rng, self.now, host, &mut job.file, request);
        let plan = self.new_plan(id);
        match answer {
            Answer::Fault(after, fault) => {
                self.plan(after, Happening::Fault(id, plan, fault));
            }
            Answer::Body(body) => {
                let now = self.now;
                let worker = self.workers.get_mut(&id).expect("it was just there");
                let (job_id, total, partial) = (worker.job, body.total, body.partial);
                worker.phase = Phase::Flowing { body, rate: 0.0, since: now };
                let job = self.jobs.get_mut(&job_id).expect("a known job");
                job.version = Some(job.file.version);
                job.resolved = true;
                let host = job.host;
                self.hosts[host].served += 1;
                self.flowing += 1;
                self.host_answered(host);
                self.say(|| format!("{id:?} of {job_id} opened, total {total:?}, partial {partial}"));
                self.feed(Event::Opened { worker: id, total, partial });
                self.replan(id);
            }
        }
    }

    /// Lets bytes flow into a worker's file until now.
    fn flow(&mut self, id: WorkerId) {
        let now = self.now;
        let worker = self.workers.get_mut(&id).expect("a running worker");
        let (from, to) = worker.flow(now);
        let job_id = worker.job;
        if to > from {
            self.stats.bytes += to - from;
            let job = self.job(job_id);
            let twice = job.written.add(from, to);
            job.progressed_at = now;
            job.requests_in_vain = 0;
            job.ever_progressed = true;
            self.stats.twice += twice;
            self.check(twice == 0 || self.workers[&id].raced, || format!("{id:?} wrote {twice} bytes of {from}..{to} that were there already"));
        }
    }

    /// What is next for a worker; it is carried out later, never within this call.
    fn replan(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if !matches!(worker.phase, Phase::Flowing { .. }) {
            return;
        }
        let job = self.jobs.get_mut(&worker.job).expect("a known job");
        let host = &self.hosts[job.host];
        let fair = host.link / f64::from(host.served.max(1));
        let limit = self.limit / f64::from(self.flowing.max(1));
        let next = worker.plan(self.now, self.tick, host, fair, limit, &mut job.file.slow);
        let plan = self.new_plan(id);
        match next {
            Next::At(at) => self.plan_at(at, Happening::Step(id, plan)),
            Next::Finished => self.plan_at(self.now, Happening::Step(id, plan)),
            Next::Fault(kind) => {
                self.plan_at(self.now, Happening::Fault(id, plan, Fault::new(kind, "virtual break")));
            }
            Next::Silent => {
                let worker = self.workers.get_mut(&id).expect("it was just there");
                let patience = worker.fetch.timeouts.stall;
                worker.phase = Phase::Silent;
                self.plan(patience, Happening::Fault(id, plan, Fault::new(FaultKind::Stall, "virtual silence")));
            }
        }
    }

    fn step_worker(&mut self, id: WorkerId) {
        if self.disk_full.iter().any(|(from, to)| (*from..*to).contains(&self.now)) {
            self.end_worker(id, End::Fault(Fault::new(FaultKind::DiskFull, "virtual disk full")));
            return;
        }
        self.flow(id);
        let worker = self.workers.get_mut(&id).expect("it runs");
        let at = worker.at;
        let throttled = std::mem::take(&mut worker.throttled);
        if worker.is_at_end() {
            self.end_worker(id, End::Finished);
            return;
        }
        self.replan(id);
        self.reported = Some(self.workers[&id].job);
        self.feed(Event::Progress { worker: id, at, throttled });
    }

    fn end_worker(&mut self, id: WorkerId, end: End) {
        let worker = self.workers.remove(&id).expect("a running worker");
        if !matches!(worker.phase, Phase::Asking) {
            let host = self.jobs[&worker.job].host;
            self.hosts[host].served -= 1;
            self.flowing -= 1;
        }
        if let End::Fault(fault) = &end {
            let job = self.job(worker.job);
            let denied = job.file.status.is_some_and(|status| fault.kind == FaultKind::Status(status));
            job.denials += u32::from(denied && !job.releasing);
        }
        self.say(|| format!("{id:?} of {} ended at {}: {end:?}", worker.job, worker.at));
        self.feed(Event::WorkerEnded { worker: id, at: worker.at, end });
        if self.checks {
            self.check_job(worker.job);
        }
    }

    pub(crate) fn feed(&mut self, event: Event) {
        self.engine.event(self.now, event);
        self.carry_out();
    }

    pub(crate) fn order(&mut self, command: Command) {
        self.say(|| format!("{command:?}"));
        self.engine.command(self.now, command).expect("a command about a job that the engine holds");
        self.carry_out();
    }

    fn carry_out(&mut self) {
        loop {
            while let Some(effect) = self.engine.poll_effect() {
                self.effects_at_once += 1;
                self.check(self.effects_at_once < 10_000, || format!("a busy loop; its last effect: {effect:?}"));
                if self.checks {
                    self.check_effect(&effect);
                }
                self.carry_out_one(effect);
            }
            let Some(event) = self.inbox.pop_front() else {
                return;
            };
            self.engine.event(self.now, event);
        }
    }

    fn carry_out_one(&mut self, effect: Effect) {
        if !matches!(effect, Effect::Changed(_)) {
            self.say(|| format!("  {effect:?}"));
        }
        match effect {
            Effect::Fetch(fetch) => self.fetch(fetch),
            Effect::SetEnd { worker, end } => self.set_end(worker, end),
            Effect::Stop { worker, reason } => {
                self.stats.kills += u64::from(reason == StopReason::BelowFloor);
                self.stats.yields += u64::from(reason == StopReason::Yield);
                if let Some(running) = self.workers.get_mut(&worker) {
                    running.stopping = Some(reason);
                    let after = Duration::from_millis(self.rng.below(80));
                    self.plan(after, Happening::Stopped(worker, self.life));
                }
            }
            Effect::Reset(id) => {
                let life = self.life;
                let job = self.job(id);
                job.written = Spans::default();
                job.stored = Stored::default();
                job.durable = Stored::default();
                job.version = None;
                job.best_done = 0;
                job.reset_due = true;
                let after = Duration::from_millis(self.rng.below(50));
                self.plan(after, Happening::ResetDone(id, life));
            }
            Effect::Seal(id) => {
                self.take_rows(id);
                self.job(id).seal_due = true;
                let after = Duration::from_millis(self.rng.below(50));
                self.plan(after, Happening::SealDone(id, self.life));
            }
            Effect::Rewrite(_) => self.fail("no job of these worlds has mirrors"),
            Effect::HostChanged(_) => {}
            Effect::Changed(id) => self.note_view(id),
            Effect::Released(id) => {
                self.take_rows(id);
                let job = self.job(id);
                job.held = false;
                job.releasing = false;
                job.reset_due = false;
                job.durable = job.stored.clone();
                self.check_stored(id);
            }
            Effect::Ended(id, outcome) => {
                self.take_rows(id);
                let now = self.now;
                let job = self.job(id);
                job.held = false;
                job.outcome = Some(outcome);
                job.finished_at = now;
                self.check_stored(id);
                self.check_outcome(id);
            }
            Effect::Note(id, note) => match note {
                Note::Restart { restarts } => {
                    self.stats.restarts += 1;
                    self.job(id).restarts = restarts;
                }
                Note::Strike { strikes, .. } => {
                    self.stats.exempt_chunks += u64::from(strikes == self.policy.strikes_max);
                    self.job(id).strikes += 1;
                }
                Note::ChunkReturned { .. }
                | Note::HostCap { .. }
                | Note::HostWaits { .. }
                | Note::SingleConnection
                | Note::MirrorProven(_)
                | Note::MirrorDropped { .. }
                | Note::Healing { .. }
                | Note::LinkTriedAgain => {}
            },
        }
    }

    fn fetch(&mut self, fetch: Fetch) {
        let id = fetch.worker;
        self.stats.requests += 1;
        let job = self.job(fetch.job);
        job.requests += 1;
        job.requests_in_vain += 1;
        if fetch.kind != FetchKind::Range {
            // A probe and a request for the whole begin with nothing.
            job.version = None;
        }
        let host = &self.hosts[self.jobs[&fetch.job].host];
        let jitter = Duration::from_millis(self.rng.below(10));
        let after = host.connect + host.latency + jitter;
        let mut worker = Worker::new(fetch);
        for rival in self.workers.values_mut().filter(|w| w.job == worker.job && w.at < worker.mark && worker.at < w.mark) {
            rival.raced = true;
            worker.raced = true;
        }
        self.workers.insert(id, worker);
        let plan = self.new_plan(id);
        self.plan(after, Happening::Answer(id, plan));
    }

    fn set_end(&mut self, id: WorkerId, end: u64) {
        self.stats.cuts += 1;
        if !self.workers.contains_key(&id) {
            return;
        }
        self.flow(id);
        let worker = self.workers.get_mut(&id).expect("it was just there");
        worker.mark = end.max(worker.at);
        let mark = worker.mark;
        if worker.mark == worker.at && !matches!(worker.phase, Phase::Asking) {
            // Also a worker that hears nothing notices that it has nothing left to do.
            let plan = self.new_plan(id);
            self.plan(Duration::ZERO, Happening::Step(id, plan));
        } else {
            self.replan(id);
        }
        if self.end_set_after.is_zero() {
            self.inbox.push_back(Event::EndSet { worker: id, end: mark });
        } else {
            let after = self.end_set_after;
            self.plan(after, Happening::EndSet(id, mark, self.life));
        }
    }

    fn sealed(&mut self, id: JobId) {
        let full = self.disk_full.iter().any(|(from, to)| (*from..*to).contains(&self.now));
        let job = self.job(id);
        job.seal_due = false;
        let event = if full {
            Event::SealFailed(id, Fault::new(FaultKind::DiskFull, "virtual disk full"))
        } else if let Some(kind) = job.seal_fault {
            Event::SealFailed(id, Fault::new(kind, "virtual seal fault"))
        } else {
            Event::Sealed(id)
        };
        self.feed(event);
    }

    fn checkpoint(&mut self) {
        let held: Vec<JobId> = self.jobs.iter().filter(|(_, job)| job.held).map(|(id, _)| *id).collect();
        for id in held {
            self.take_rows(id);
            if self.checks {
                self.check_job(id);
            }
            if self.rng.below(4) == 0 {
                let job = self.job(id);
                job.durable = job.stored.clone();
            }
        }
    }

    /// The store takes what has changed.
    pub(crate) fn take_rows(&mut self, id: JobId) {
        self.note_view(id);
        let rows = self.engine.take_changed_rows(id);
        let job = self.job(id);
        job.stored.version = job.version;
        for row in rows {
            job.stored.rows.insert(row.range.start, row);
        }
    }

    fn note_view(&mut self, id: JobId) {
        if let Some(view) = self.engine.job(self.now, id) {
            let job = self.job(id);
            job.stored.total = view.total;
            job.stored.accepts_ranges = view.accepts_ranges == Some(true);
            job.restarts = view.restarts;
        }
    }

    pub(crate) fn act(&mut self, act: Act) {
        self.say(|| format!("{act:?}"));
        match act {
            Act::Submit(id) => self.start(id),
            Act::Pause(id) => {
                let job = &self.jobs[&id];
                if job.held && !job.releasing {
                    self.job(id).releasing = true;
                    self.order(Command::Release(id));
                }
            }
            Act::Resume(id) => {
                let job = &self.jobs[&id];
                if job.outcome.is_none() && (!job.held || job.releasing) {
                    self.start(id);
                }
            }
            Act::Nudge(id) if self.jobs[&id].held => {
                let host = self.jobs[&id].host;
                self.host_answered(host);
                self.order(Command::Nudge(id));
            }
            Act::Tune(id, tuning) => {
                self.job(id).tuning = tuning;
                if self.jobs[&id].held {
                    self.order(Command::Tune(id, tuning));
                }
            }
            Act::Nudge(_) => {}
            Act::SetCaps(caps) => {
                self.caps = caps;
                self.order(Command::SetCaps(caps));
            }
            Act::Crash => self.crash(),
            Act::LateFact(id) => self.late_fact(WorkerId(id)),
        }
    }

    fn late_fact(&mut self, id: WorkerId) {
        if self.workers.contains_key(&id) {
            return;
        }
        let before = self.engine.late_facts();
        for event in [
            Event::Progress { worker: id, at: 17, throttled: true },
            Event::EndSet { worker: id, end: 3 },
            Event::Opened { worker: id, total: Some(5), partial: true },
            Event::WorkerEnded { worker: id, at: 9, end: End::Finished },
            Event::Sealed(JobId(4_000_000)),
            Event::ResetDone(JobId(4_000_000)),
        ] {
            self.feed(event);
        }
        self.check(self.engine.late_facts() == before + 6, || "late facts are counted".to_owned());
    }

    pub(crate) fn start(&mut self, id: JobId) {
        let name = self.hosts[self.jobs[&id].host].name.clone();
        let job = self.job(id);
        let stored = &job.stored;
        let usable = stored.total.filter(|_| !stored.rows.is_empty());
        let source = usable.map(|total| Source {
            total,
            accepts_ranges: stored.accepts_ranges,
            chunks: stored.rows.values().copied().collect(),
        });
        if !job.held {
            // Only what a row claims counts; without rows the file begins anew.
            job.resolved = false;
            job.written = Spans::of_rows(stored.rows.values().filter(|_| source.is_some()));
            job.version = source.as_ref().and(stored.version);
            job.best_done = 0;
            if source.is_none() {
                job.stored = Stored::default();
            }
        }
        job.held = true;
        job.releasing = false;
        job.starving_since = None;
        let spec = JobSpec { hosts: vec![name], tuning: job.tuning, source, restarts: job.restarts, ..JobSpec::default() };
        self.order(Command::Start(id, Box::new(spec)));
    }

    fn crash(&mut self) {
        self.life += 1;
        self.workers.clear();
        self.inbox.clear();
        self.flowing = 0;
        for host in &mut self.hosts {
            host.served = 0;
        }
        let mut policy = self.policy.clone();
        policy.active_jobs_max = self.caps.active_jobs;
        policy.connections_per_job = self.caps.connections_per_job;
        policy.connections_per_host = self.caps.connections_per_host;
        policy.connections_total = self.caps.connections_total;
        self.engine = Engine::new(policy, self.seed + self.life);
        for host in 0..self.hosts.len() {
            self.host_answered(host);
        }
        let held: Vec<JobId> = self.jobs.iter().filter(|(_, job)| job.held).map(|(id, _)| *id).collect();
        for id in held {
            let job = self.job(id);
            let wanted = !job.releasing;
            job.held = false;
            job.releasing = false;
            job.reset_due = false;
            job.seal_due = false;
            job.stored = job.durable.clone();
            if wanted {
                self.start(id);
            }
        }
    }
}
