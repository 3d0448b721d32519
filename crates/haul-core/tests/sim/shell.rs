//! The daemon of a world: it carries effects out, keeps rows, does what its user says, and dies now and then.

use std::time::Duration;

use haul_core::messages::{Command, Effect, Event, JobSpec, MirrorState, Note, Source, StopReason};
use haul_core::{Engine, Fault, FaultKind, JobId, MirrorIndex, WorkerId};

use crate::job::{Identity, Stored};
use crate::spans::Spans;
use crate::user::Act;
use crate::world::{Happening, World};

impl World {
    pub(crate) fn feed(&mut self, event: Event) {
        self.engine.event(self.now, event);
        self.carry_out();
    }

    pub(crate) fn order(&mut self, command: Command) {
        self.say(|| format!("{command:?}"));
        self.engine.command(self.now, command).expect("a command about a job that the engine holds");
        self.carry_out();
    }

    pub(crate) fn carry_out(&mut self) {
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
            Effect::Stop { worker, reason } => self.stop(worker, reason),
            Effect::Reset(id) => self.reset(id),
            Effect::Rewrite(id) => self.rewrite(id),
            Effect::CheckDisk(id) => {
                let full = self.disk_is_full().then(|| Fault::new(FaultKind::DiskFull, "virtual disk full"));
                self.inbox.push_back(Event::DiskChecked(id, full.map_or(Ok(()), Err)));
            }
            Effect::CompareSeam { .. } => self.fail("nobody has read on".to_owned()),
            Effect::Seal(id) => {
                self.take_rows(id);
                self.job(id).seal_due = true;
                let after = Duration::from_millis(self.rng.below(50));
                self.plan(after, Happening::SealDone(id, self.life));
            }
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
            Effect::Note(id, note) => self.note(id, &note),
        }
    }

    fn stop(&mut self, worker: WorkerId, reason: StopReason) {
        self.stats.stops(reason);
        if let Some(running) = self.workers.get_mut(&worker) {
            running.stopping = Some(reason);
            let after = Duration::from_millis(self.rng.below(80));
            self.plan(after, Happening::Stopped(worker, self.life));
        }
    }

    fn reset(&mut self, id: JobId) {
        let life = self.life;
        let job = self.job(id);
        job.written = Spans::default();
        job.stored = Stored::default();
        job.durable = Stored::default();
        job.identity = Identity::default();
        job.best_done = 0;
        job.reset_due = true;
        let after = Duration::from_millis(self.rng.below(50));
        self.plan(after, Happening::ResetDone(id, life));
    }

    /// The rows have lost bytes: they take the place of all that were stored.
    fn rewrite(&mut self, id: JobId) {
        let rows = self.engine.chunks(self.now, id);
        let life = self.life;
        let job = self.job(id);
        job.written = Spans::of_rows(rows.iter().map(|(row, _)| row));
        job.stored.rows = rows.into_iter().map(|(row, _)| (row.range.start, row)).collect();
        job.durable = job.stored.clone();
        job.best_done = job.written.bytes();
        job.reset_due = true;
        let after = Duration::from_millis(self.rng.below(50));
        self.plan(after, Happening::ResetDone(id, life));
    }

    fn note(&mut self, id: JobId, note: &Note) {
        match note {
            Note::Restart { restarts } => {
                self.stats.restarts += 1;
                self.job(id).restarts = *restarts;
            }
            Note::Strike { strikes, .. } => {
                self.stats.exempt_chunks += u64::from(*strikes == self.policy.strikes_max);
                self.job(id).strikes += 1;
            }
            Note::Healing { .. } => {
                self.stats.healings += 1;
                self.job(id).healings += 1;
            }
            Note::MirrorProven(_) => self.stats.proven += 1,
            Note::MirrorDropped { .. } => self.stats.dropped += 1,
            Note::ChunkReturned { .. }
            | Note::HostCap { .. }
            | Note::HostWaits { .. }
            | Note::SingleConnection
            | Note::LinkTriedAgain
            | Note::ValidatorsVary(_)
            | Note::Conflict { .. } => {}
        }
    }

    /// A moved end mark is reported.
    pub(crate) fn end_set(&mut self, worker: WorkerId, end: u64) {
        if self.end_set_after.is_zero() {
            self.inbox.push_back(Event::EndSet { worker, end });
        } else {
            let after = self.end_set_after;
            self.plan(after, Happening::EndSet(worker, end, self.life));
        }
    }

    pub(crate) fn disk_is_full(&self) -> bool {
        self.disk_full.iter().any(|(from, to)| (*from..*to).contains(&self.now))
    }

    pub(crate) fn sealed(&mut self, id: JobId) {
        let full = self.disk_is_full();
        let job = self.job(id);
        job.seal_due = false;
        let event = if full {
            Event::SealFailed(id, Fault::new(FaultKind::DiskFull, "virtual disk full"))
        } else if let Some(kind) = job.seal_fault {
            Event::Mismatched { job: id, fault: Fault::new(kind, "virtual seal fault"), damaged: Vec::new() }
        } else if job.checksum && !self.is_as_promised(id) {
            let fault = Fault::new(FaultKind::ChecksumMismatch, "virtual other digest");
            Event::Mismatched { job: id, fault, damaged: Vec::new() }
        } else {
            Event::Sealed(id)
        };
        self.feed(event);
    }

    pub(crate) fn checkpoint(&mut self) {
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
        let rows = self.engine.take_changed_rows(id);
        let job = self.job(id);
        job.stored.identity = job.identity.clone();
        for row in rows {
            job.stored.rows.insert(row.range.start, row);
        }
    }

    fn note_view(&mut self, id: JobId) {
        if let Some(view) = self.engine.job(self.now, id) {
            let job = self.job(id);
            job.stored.total = view.total;
            let main = (0..).zip(&view.mirrors).find(|(_, mirror)| mirror.state == MirrorState::Main);
            job.stored.main = main.map_or(job.stored.main, |(index, _)| MirrorIndex(index));
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
                for host in self.jobs[&id].sites.iter().map(|site| site.host).collect::<Vec<_>>() {
                    self.host_answered(host);
                }
                self.order(Command::Nudge(id));
            }
            Act::Tune(id, tuning) => {
                self.job(id).tuning = tuning;
                if self.jobs[&id].held {
                    self.order(Command::Tune(id, tuning));
                }
            }
            Act::Read(id, at) if self.jobs[&id].held => self.order(Command::Demand(id, vec![at])),
            Act::StopReading(id) if self.jobs[&id].held => self.order(Command::Demand(id, Vec::new())),
            Act::Nudge(_) | Act::Read(..) | Act::StopReading(_) => {}
            Act::NameMirrors(id) => self.name_mirrors(id),
            Act::ForgetHost(host) => {
                let host = host % self.hosts.len();
                self.host_answered(host);
                self.order(Command::ForgetHost(self.hosts[host].name.clone()));
            }
            Act::SetCaps(caps) => {
                self.caps = caps;
                self.order(Command::SetCaps(caps));
            }
            Act::Crash => self.crash(),
            Act::LateFact(id) => self.late_fact(WorkerId(id)),
        }
    }

    /// The user finds the rest of a job's mirrors.
    fn name_mirrors(&mut self, id: JobId) {
        let job = self.job(id);
        let new = job.named..job.sites.len();
        let (held, hosts) = (job.held, job.sites[new].iter().map(|site| site.host).collect::<Vec<_>>());
        job.named = job.sites.len();
        if held && !hosts.is_empty() {
            let names = hosts.into_iter().map(|host| self.hosts[host].name.clone()).collect();
            self.order(Command::AddMirrors(id, names));
        }
    }

    /// Somebody reports who is gone. Nobody speaks for a worker that does not exist yet.
    fn late_fact(&mut self, id: WorkerId) {
        if self.workers.contains_key(&id) || self.last_worker.is_none_or(|last| id > last) {
            return;
        }
        let before = self.engine.late_facts();
        for event in [
            Event::Progress { worker: id, at: 17, throttled: true },
            Event::EndSet { worker: id, end: 3 },
            Event::Opened { worker: id, total: Some(5), partial: true },
            Event::WorkerEnded { worker: id, at: 9, end: haul_core::messages::End::Finished },
            Event::Sealed(JobId(4_000_000)),
            Event::ResetDone(JobId(4_000_000)),
        ] {
            self.feed(event);
        }
        self.check(self.engine.late_facts() == before + 6, || "late facts are counted".to_owned());
    }

    pub(crate) fn start(&mut self, id: JobId) {
        let job = &self.jobs[&id];
        let hosts = job.sites[..job.named].iter().map(|site| self.hosts[site.host].name.clone()).collect();
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
            for site in &mut job.sites {
                site.resolved = false;
            }
            job.written = Spans::of_rows(stored.rows.values().filter(|_| source.is_some()));
            job.identity = source.as_ref().map(|_| stored.identity.clone()).unwrap_or_default();
            job.best_done = 0;
            if source.is_none() {
                job.stored = Stored::default();
            }
        }
        job.held = true;
        job.releasing = false;
        job.starving_since = None;
        let main = source.as_ref().map(|_| job.stored.main).unwrap_or_default();
        let spec = JobSpec { hosts, main, tuning: job.tuning, source, restarts: job.restarts };
        self.order(Command::Start(id, Box::new(spec)));
    }

    fn crash(&mut self) {
        self.life += 1;
        self.workers.clear();
        self.by_job.clear();
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
        let engine = Engine::new(policy, self.seed + self.life);
        self.last_worker = None;
        let before = std::mem::replace(&mut self.engine, engine);
        for host in 0..self.hosts.len() {
            let memory = before.host(self.now, &self.hosts[host].name).filter(|_| self.rng.below(2) == 0);
            match memory {
                Some(memory) => self.order(Command::KnowHost(memory)),
                None => self.host_answered(host),
            }
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

    /// Where a mirror's host is in the world.
    pub(crate) fn host_of(&self, id: JobId, mirror: MirrorIndex) -> usize {
        self.jobs[&id].site(mirror).host
    }
}
