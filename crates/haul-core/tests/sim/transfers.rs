//! The transfers' protocol: a request is answered or fails, bytes flow, a worker reports and ends.

use std::time::Duration;

use haul_core::messages::{End, Event, Fetch, FetchKind};
use haul_core::{ByteRange, Fault, FaultKind, WorkerId};

use crate::host::{self, Answer, Request};
use crate::job::Identity;
use crate::link::{Next, Phase, Worker};
use crate::world::{Happening, World};

impl World {
    pub(crate) fn fetch(&mut self, fetch: Fetch) {
        let id = fetch.worker;
        self.stats.requests += 1;
        let job = self.job(fetch.job);
        job.requests += 1;
        job.requests_in_vain += 1;
        if matches!(fetch.kind, FetchKind::Probe | FetchKind::Whole) {
            // These begin with nothing: the file is what they find.
            job.identity = Identity::default();
        }
        let host = &self.hosts[self.jobs[&fetch.job].site(fetch.mirror).host];
        let jitter = Duration::from_millis(self.rng.below(10));
        let after = host.connect + host.latency + jitter;
        let mut worker = Worker::new(self.now, fetch);
        let of_job = (worker.job, WorkerId(0))..=(worker.job, WorkerId(u64::MAX));
        for (_, rival) in self.by_job.range(of_job) {
            let rival = self.workers.get_mut(rival).expect("it runs");
            if worker.writes() && rival.writes() && rival.at < worker.mark && worker.at < rival.mark {
                rival.raced = true;
                worker.raced = true;
            }
        }
        self.by_job.insert((worker.job, id));
        self.last_worker = Some(id);
        self.workers.insert(id, worker);
        let plan = self.new_plan(id);
        self.plan(after, Happening::Answer(id, plan));
    }

    pub(crate) fn answer(&mut self, id: WorkerId) {
        let worker = &self.workers[&id];
        let mirror = worker.fetch.mirror;
        let job = self.jobs.get_mut(&worker.job).expect("a known job");
        let request = Request {
            from: worker.fetch.from,
            end: worker.fetch.end,
            ranged: worker.is_ranged(),
            resolve: worker.fetch.resolve || !job.site(mirror).resolved,
            known_version: job.identity.versions.get(&(mirror.0 as usize)).copied(),
            known_total: job.identity.total,
            connect_timeout: worker.fetch.timeouts.connect,
            response_timeout: worker.fetch.timeouts.response,
        };
        let site = job.site_mut(mirror);
        let host = &self.hosts[site.host];
        let answer = host::answer(&mut self.rng, self.now, host, &mut site.file, request);
        let plan = self.new_plan(id);
        match answer {
            Answer::Fault(after, fault) => {
                self.plan(after, Happening::Fault(id, plan, fault));
            }
            Answer::Body(body) => {
                let now = self.now;
                let worker = self.workers.get_mut(&id).expect("it was just there");
                let (job_id, total, partial) = (worker.job, body.total, body.partial);
                let defines = matches!(worker.fetch.kind, FetchKind::Probe | FetchKind::Whole);
                worker.phase = Phase::Flowing { body, rate: 0.0, since: now };
                let job = self.jobs.get_mut(&job_id).expect("a known job");
                let index = mirror.0 as usize;
                job.identity.versions.insert(index, job.sites[index].file.version);
                if defines {
                    job.identity.total = total;
                    job.identity.trusted.insert(index);
                    let asks = |worker: &&mut Worker| worker.job == job_id && matches!(worker.phase, Phase::Asking);
                    let late = self.workers.values_mut().filter(asks);
                    late.filter(|worker| worker.fetch.kind == FetchKind::Probe).for_each(|late| late.overtaken = true);
                }
                job.sites[index].resolved = true;
                let host = job.sites[index].host;
                self.hosts[host].served += 1;
                self.flowing += 1;
                self.host_answered(host);
                self.say(|| format!("{id:?} of {job_id} opened, total {total:?}, partial {partial}"));
                self.feed(Event::Opened { worker: id, total, partial });
                self.replan(id);
            }
        }
    }

    /// Lets bytes flow until now: into the file, or past it where a worker compares.
    pub(crate) fn flow(&mut self, id: WorkerId) {
        let now = self.now;
        let worker = self.workers.get_mut(&id).expect("a running worker");
        let (from, to) = worker.flow(now);
        let Phase::Flowing { body, .. } = &worker.phase else { return };
        let job = self.jobs.get_mut(&worker.job).expect("a known job");
        let pieces = job.site(worker.fetch.mirror).file.pieces(body.make, ByteRange::new(from, to));
        if from == to {
            return;
        }
        self.stats.bytes += to - from;
        if !worker.writes() {
            self.stats.compared += to - from;
            let differs = pieces.iter().find_map(|(range, make)| job.contents.first_other(*range, *make));
            worker.differs_at = worker.differs_at.or(differs);
            return;
        }
        for (range, make) in pieces {
            job.contents.put(range, make);
        }
        if worker.overtaken {
            return;
        }
        let twice = job.written.add(from, to);
        job.progressed_at = now;
        job.requests_in_vain = 0;
        job.ever_progressed = true;
        self.stats.twice += twice;
        self.check(twice == 0 || self.workers[&id].raced, || {
            format!("{id:?} wrote {twice} bytes of {from}..{to} that were there already")
        });
    }

    /// What is next for a worker; it is carried out later, never within this call.
    pub(crate) fn replan(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if !matches!(worker.phase, Phase::Flowing { .. }) {
            return;
        }
        let job = self.jobs.get_mut(&worker.job).expect("a known job");
        let site = job.site_mut(worker.fetch.mirror);
        let host = &self.hosts[site.host];
        let fair = host.link / f64::from(host.served.max(1));
        let limit = self.limit / f64::from(self.flowing.max(1));
        let next = worker.plan(self.now, self.tick, host, fair, limit, &mut site.file.slow);
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

    pub(crate) fn step_worker(&mut self, id: WorkerId) {
        if self.disk_is_full() && self.workers[&id].writes() {
            self.end_worker(id, End::Fault(Fault::new(FaultKind::DiskFull, "virtual disk full")));
            return;
        }
        self.flow(id);
        let worker = self.workers.get_mut(&id).expect("it runs");
        if let Some(at) = worker.differs_at {
            worker.at = at;
            self.end_worker(id, End::Fault(Fault::new(FaultKind::BytesDiffer, "virtual other bytes")));
            return;
        }
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

    pub(crate) fn end_worker(&mut self, id: WorkerId, end: End) {
        let worker = self.workers.remove(&id).expect("a running worker");
        self.by_job.remove(&(worker.job, id));
        let mirror = worker.fetch.mirror;
        if !matches!(worker.phase, Phase::Asking) {
            let host = self.jobs[&worker.job].site(mirror).host;
            self.hosts[host].served -= 1;
            self.flowing -= 1;
        }
        let job = self.job(worker.job);
        let releasing = job.releasing;
        match &end {
            End::Fault(fault) => {
                let site = job.site_mut(mirror);
                let denied = site.file.status.is_some_and(|status| fault.kind == FaultKind::Status(status));
                site.denials += u32::from(denied && !releasing);
            }
            End::Finished if !worker.writes() && Some(worker.at) == worker.fetch.end => {
                job.identity.trusted.insert(mirror.0 as usize);
            }
            End::Finished | End::Stopped => {}
        }
        self.say(|| format!("{id:?} of {} ended at {}: {end:?}", worker.job, worker.at));
        self.feed(Event::WorkerEnded { worker: id, at: worker.at, end });
        if self.checks {
            self.check_job(worker.job);
        }
    }

    pub(crate) fn set_end(&mut self, id: WorkerId, end: u64) {
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
        self.end_set(id, mark);
    }
}
