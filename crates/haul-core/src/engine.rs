//! The engine: every job, host and worker, and what is to be done next.
//!
//! A job's stages. Whatever leads out of `running` goes through `ending`, where the job stays until its last worker is
//! gone; a job without a worker passes through it at once.
//!
//! | from | what happens | to |
//! | --- | --- | --- |
//! | (none) | started | `sealing`, `resetting` or `queued`, by its bytes |
//! | `queued` | a slot is free | `running` |
//! | `running` | all bytes are there | `sealing` |
//! | `running` | a single stream broke: it cannot be continued | `resetting` |
//! | `running` | nothing can be done before some time, or without a person | `ending`, then `waiting` |
//! | `running` | the source changed, or its ranges cannot be trusted | `ending`, then `resetting` |
//! | `running` | a permanent fault | `ending`, then gone: failed |
//! | `running`, `queued`, `waiting`, `ending` | released | `ending`, then gone: released |
//! | `ending` (released) | started again | `ending`, then as at the start |
//! | `waiting` | its time has come, nudged, or its host is back | `queued`; where it waits for the disk, once that is well |
//! | `running`, `queued` | its queue is closed | `ending`, then `waiting` until that is open again |
//! | `resetting` | the bytes are dropped | `queued`; gone, if it was released meanwhile |
//! | `sealing` | sealed, or refused for good | gone: completed or failed |
//! | `sealing` | the disk is full, or gone | `waiting` |
//! | `sealing` (released) | not sealed, and not refused for good | as above, and then gone: released |
//! | `sealing` | the file is not the one that it must be, and something of it is left to suspect | `resetting` |
//!
//! One input, then drain the effects, then wait for the next input or the alarm. The same policy, seed and inputs give
//! the same effects. Facts about ids that are not known any more are late messages: ignored and counted.

mod caps;
mod demand;
mod disk;
mod heal;
mod host;
mod identity;
mod job;
mod mirror;
mod network;
mod outcome;
mod progress;
mod queue;
mod ramp;
mod review;
mod schedule;
mod seam;
mod share;
mod slow_place;
mod stages;
mod starts;
mod steal;
mod view;
mod why;
mod worker;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::messages::{Alarm, Command, Effect, Event, HostMemory, JobView, Why};
use crate::{Chunk, JobId, JobState, Policy, Refusal, Rng, Time, WorkerId};

use caps::Squeeze;
use host::{HostId, Hosts};
use job::{Ending, Job};
use network::Outage;
use queue::Queues;
use worker::Worker;

/// Decides for all jobs. See the module's documentation for how to drive it.
#[derive(Debug)]
pub struct Engine {
    policy: Policy,
    rng: Rng,
    jobs: BTreeMap<JobId, Job>,
    hosts: Hosts,
    workers: BTreeMap<WorkerId, Worker>,
    next_worker: u64,
    /// Jobs that wait for a slot.
    queues: Queues,
    /// Jobs that hold a slot.
    running: BTreeSet<JobId>,
    /// Running jobs without a worker.
    idle: BTreeSet<JobId>,
    /// Running jobs that may have a use for one more connection, by host; the others were asked and had none.
    hungry: BTreeMap<HostId, BTreeSet<JobId>>,
    /// This process has run out of descriptors or ports.
    squeeze: Option<Squeeze>,
    /// This machine has no network.
    outage: Option<Outage>,
    alarms: BTreeSet<(Time, Alarm)>,
    /// The worker whose lease is being cut for one that is yet to start: one at a time, so that each cut is made use of
    /// before the next is decided on.
    cut_for_another: Option<WorkerId>,
    reviewing: bool,
    reviews: u32,
    touched: BTreeSet<JobId>,
    /// Rows of jobs that are gone, until the store has taken them.
    last_rows: BTreeMap<JobId, Vec<Chunk>>,
    effects: VecDeque<Effect>,
    late_facts: u64,
}

impl Engine {
    /// An engine without a job. `seed` decides every jitter.
    #[must_use]
    pub fn new(policy: Policy, seed: u64) -> Self {
        Self {
            policy,
            rng: Rng::new(seed),
            jobs: BTreeMap::new(),
            hosts: Hosts::default(),
            workers: BTreeMap::new(),
            next_worker: 1,
            queues: Queues::default(),
            running: BTreeSet::new(),
            idle: BTreeSet::new(),
            hungry: BTreeMap::new(),
            squeeze: None,
            outage: None,
            alarms: BTreeSet::new(),
            cut_for_another: None,
            reviewing: false,
            reviews: 0,
            touched: BTreeSet::new(),
            last_rows: BTreeMap::new(),
            effects: VecDeque::new(),
            late_facts: 0,
        }
    }

    /// Takes a wish.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownJob`] when the engine does not hold the job.
    pub fn command(&mut self, now: Time, command: Command) -> Result<(), Refusal> {
        match command {
            Command::Start(id, spec) => self.start(now, id, *spec),
            Command::Release(id) => {
                self.known(id)?;
                self.end_job(now, id, Ending::Release);
            }
            Command::Nudge(id) => {
                self.known(id)?;
                self.nudge(now, id);
            }
            Command::Tune(id, tuning) => {
                self.known(id)?;
                self.tune(now, id, tuning);
            }
            Command::SetCaps(caps) => self.set_caps(now, caps),
            Command::SetQueues(rules) => self.set_queues(now, rules),
            Command::AddMirrors(id, hosts) => {
                self.known(id)?;
                self.add_mirrors(now, id, &hosts);
            }
            Command::KnowHost(memory) => self.know_host(now, &memory),
            Command::ForgetHost(name) => self.forget_host(now, &name),
            Command::Demand(id, offsets) => {
                self.known(id)?;
                self.demand(now, id, offsets);
            }
            Command::GiveUp(id, fault) => {
                self.known(id)?;
                self.end_job(now, id, Ending::Fail(fault));
            }
        }
        self.settle(now);
        Ok(())
    }

    /// Takes a fact.
    pub fn event(&mut self, now: Time, event: Event) {
        match event {
            Event::Opened { worker, total, partial } => self.opened(now, worker, total, partial),
            Event::Progress { worker, at, throttled } => {
                self.progress(now, worker, at, throttled);
                // By far the most frequent input, and never one that makes room or work for another connection.
                self.announce();
                return;
            }
            Event::EndSet { worker, end } => self.end_set(worker, end),
            Event::WorkerEnded { worker, at, end } => self.worker_ended(now, worker, at, end),
            Event::ReadBeyond { job, at, len } => self.read_beyond(job, at, len),
            Event::SeamCompared { job, at, differs } => self.seam_compared(now, job, at, differs),
            Event::Woke => self.woke(),
            Event::ResetDone(id) => self.reset_done(now, id),
            Event::RolledBack(id, rows) => self.rolled_back(now, id, &rows),
            Event::DiskChecked(id, found) => self.disk_checked(now, id, found),
            Event::Sealed(id) => self.seal_ended(now, id, None),
            Event::SealFailed(id, fault) => self.seal_ended(now, id, Some(fault)),
            Event::Mismatched { job, fault, damaged } => self.mismatched(now, job, fault, &damaged),
        }
        self.settle(now);
    }

    /// Does what was to be done by `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        let mut only_looked = true;
        while let Some(&(at, alarm)) = self.alarms.first() {
            if at > now {
                break;
            }
            self.alarms.pop_first();
            only_looked &= matches!(alarm, Alarm::Ramp(_));
            match alarm {
                Alarm::Review => self.review(now),
                Alarm::Job(id) => self.wake_job(now, id),
                Alarm::Host(id) => self.wake_host(now, HostId(id)),
                Alarm::Connections => self.ease_squeeze(now),
                Alarm::Ramp(id) => self.judge_step(now, id),
                Alarm::Network => self.look_for_network(now),
            }
        }
        if only_looked && self.touched.is_empty() {
            // A step without a verdict yet makes neither room nor work for another connection.
            return;
        }
        self.settle(now);
    }

    /// The next order, in the order in which they are to be carried out.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Engine::handle_timeout`] wants to be called, and what for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Time, Alarm)> {
        self.alarms.first().copied()
    }

    /// What the engine knows of a job; `None` when it does not hold it.
    #[must_use]
    pub fn job(&self, now: Time, id: JobId) -> Option<JobView> {
        self.jobs.get(&id).map(|job| self.view(now, job))
    }

    /// What holds a job back now, the weightiest first; empty where nothing does, or where the engine does not hold it.
    #[must_use]
    pub fn why(&self, now: Time, id: JobId) -> Vec<Why> {
        self.jobs.get(&id).map_or_else(Vec::new, |job| self.reasons(now, job))
    }

    /// What is remembered of a host; `None` where nothing is.
    #[must_use]
    pub fn host(&self, now: Time, name: &str) -> Option<HostMemory> {
        self.hosts.by_name(name).map(|host| host.memory(now))
    }

    /// The jobs that the engine holds.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.jobs.keys().copied()
    }

    /// What each job is doing; costs next to nothing for each.
    pub fn states(&self) -> impl Iterator<Item = (JobId, JobState)> {
        self.jobs.iter().map(|(id, job)| (*id, job.state()))
    }

    /// A job's chunks, with the speed of the worker at each, in bytes per second.
    #[must_use]
    pub fn chunks(&self, now: Time, id: JobId) -> Vec<(Chunk, Option<f64>)> {
        let Some(ledger) = self.jobs.get(&id).and_then(|job| job.ledger.as_ref()) else {
            return Vec::new();
        };
        let speeds: BTreeMap<u64, f64> = self
            .workers_of(id)
            .filter_map(|(_, w)| Some((ledger.chunk_at(w.at)?.range.start, w.meter.bytes_per_second(now))))
            .collect();
        ledger.chunks().map(|chunk| (*chunk, speeds.get(&chunk.range.start).copied())).collect()
    }

    /// The end of a job's bytes that are there without a gap from `from` on. Costs as much as there are rows on the way.
    #[must_use]
    pub fn done_until(&self, id: JobId, from: u64) -> u64 {
        let job = self.jobs.get(&id);
        job.map_or(from, |job| job.ledger.as_ref().map_or(job.streamed.max(from), |ledger| ledger.done_until(from)))
    }

    /// Takes the rows of a job that changed since the last call, for the store.
    ///
    /// The last rows of a job that was released or has ended can be taken after that, once, until it is started again.
    pub fn take_changed_rows(&mut self, id: JobId) -> Vec<Chunk> {
        match self.jobs.get_mut(&id) {
            Some(job) => job.ledger.as_mut().map_or_else(Vec::new, crate::Ledger::take_changed),
            None => self.last_rows.remove(&id).unwrap_or_default(),
        }
    }

    /// Workers that are running.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.workers.len()
    }

    /// Facts that came too late to mean anything.
    #[must_use]
    pub fn late_facts(&self) -> u64 {
        self.late_facts
    }

    fn known(&self, id: JobId) -> Result<(), Refusal> {
        if self.jobs.contains_key(&id) { Ok(()) } else { Err(Refusal::UnknownJob) }
    }

    fn wake_host(&mut self, now: Time, id: HostId) {
        let before = self.hosts.find(id).map(|host| host.memory(now).cap);
        if let Some(next) = self.hosts.wake(now, id, &self.policy) {
            self.set_alarm(next, Alarm::Host(id.0));
        }
        if let Some(host) = self.hosts.find(id).filter(|host| before != Some(host.memory(now).cap)) {
            self.effects.push_back(Effect::HostChanged(host.name.clone()));
        }
    }

    fn know_host(&mut self, now: Time, memory: &HostMemory) {
        let (id, look_at) = self.hosts.remember(now, memory);
        if let Some(at) = look_at {
            self.set_alarm(at, Alarm::Host(id.0));
        }
        let cap = self.hosts.get(id).cap(&self.policy) as usize;
        let about = self.workers.iter().filter(|(_, worker)| worker.host == id);
        self.trim(about.map(|(id, _)| *id).collect(), cap);
        self.host_is_free(now, id);
    }

    fn forget_host(&mut self, now: Time, name: &str) {
        if let Some(id) = self.hosts.forget(now, name) {
            self.host_is_free(now, id);
        }
    }

    /// What is known of a host has changed: whoever waits for it may go on now.
    fn host_is_free(&mut self, now: Time, id: HostId) {
        if self.hosts.find(id).is_some_and(|host| host.blocked_until(now).is_none()) {
            self.recall(now, id);
        }
        self.ask_all_again();
    }

    fn set_alarm(&mut self, at: Time, alarm: Alarm) {
        self.alarms.insert((at, alarm));
    }

    fn workers_of(&self, id: JobId) -> impl Iterator<Item = (WorkerId, &Worker)> {
        let workers = self.jobs.get(&id).map(|job| &job.workers);
        workers.into_iter().flatten().map(|worker| (*worker, &self.workers[worker]))
    }

    /// Ends the handling of one input: hands out free connections and tells what has changed.
    fn settle(&mut self, now: Time) {
        for id in self.touched.intersection(&self.running).copied().collect::<Vec<_>>() {
            self.ask_again(id);
        }
        self.schedule(now);
        self.announce();
    }

    fn announce(&mut self) {
        for id in std::mem::take(&mut self.touched) {
            let Some(job) = self.jobs.get_mut(&id) else {
                continue;
            };
            let shown = job.shown();
            if job.announced.as_ref() != Some(&shown) {
                job.announced = Some(shown);
                self.effects.push_back(Effect::Changed(id));
            }
        }
    }
}
