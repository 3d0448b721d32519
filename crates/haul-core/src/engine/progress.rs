//! What a running worker reports: that its answer has begun, how far it has got, where its end stands.

use crate::messages::{Effect, FetchKind, StopReason};
use crate::meter::Meter;
use crate::{Ledger, Time, WorkerId};

use super::Engine;
use super::job::Stage;
use super::worker::WINDOW;

/// How much time a worker must have left before its end, so that it does not meet it before its next report.
///
/// Reports come some ten times a second; a guess with a margin.
const RUNWAY_SECS: f64 = 0.5;

impl Engine {
    /// The answer to a worker's request has begun.
    pub(super) fn opened(&mut self, now: Time, id: WorkerId, total: Option<u64>, partial: bool) {
        let Some(worker) = self.workers.get(&id).filter(|worker| worker.opened_at.is_none()) else {
            self.late_facts += 1;
            return;
        };
        if worker.kind == FetchKind::Probe
            && self.jobs[&worker.job].workers.iter().any(|w| self.workers[w].opened_at.is_some())
        {
            // Another request for the same was answered first.
            self.stop_worker(id, StopReason::Overtaken);
            return;
        }
        let worker = self.workers.get_mut(&id).expect("it was just there");
        worker.opened_at = Some(now);
        worker.moved_at = now;
        worker.reported_at = now;
        worker.meter = Meter::new(now, worker.at, WINDOW);
        let (job_id, kind, host, overlap) = (worker.job, worker.kind, worker.host, worker.overlap);
        // Who has lost it may be answered all the same, before it hears of that.
        let beaten = worker.rival.filter(|_| worker.races_for_an_answer && worker.stopping.is_none());
        let took = now.since(worker.started);
        let job = self.jobs.get_mut(&job_id).expect("a worker belongs to a job");
        job.served = true;
        let mirror = job.mirror_mut(worker.mirror);
        mirror.resolve = false;
        mirror.hold_until = None;
        if matches!(kind, FetchKind::Range | FetchKind::Compare) {
            // Who has something to compare has proved nothing before that.
            if overlap == 0 {
                mirror.range_lies = 0;
                mirror.ranges_proven = true;
            }
        } else {
            self.learn_source(now, id, total, partial);
        }
        let others: Vec<WorkerId> = self.jobs[&job_id].workers.iter().copied().filter(|other| *other != id).collect();
        for other in others {
            if kind == FetchKind::Probe && self.workers[&other].kind == FetchKind::Probe {
                self.stop_worker(other, StopReason::Overtaken);
            }
        }
        if let Some(rival) = beaten {
            self.stop_worker(rival, StopReason::Overtaken);
        }
        self.touched.insert(job_id);
        let worker = self.workers.get_mut(&id).expect("it was just there");
        let is_news = self.hosts.get_mut(host).answered(now, took, worker);
        worker.late = false;
        if is_news {
            self.recall(now, host);
        }
        self.network_is_there(now);
        self.start_ramp(now, job_id);
        self.start_reviewing(now);
    }

    /// A probe, or a request for the whole file, tells what the file is like.
    fn learn_source(&mut self, now: Time, id: WorkerId, total: Option<u64>, partial: bool) {
        let worker = self.workers.get_mut(&id).expect("the caller holds the worker");
        let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
        job.total = total;
        if job.accepts_ranges.is_none() {
            job.accepts_ranges = Some(partial && total.is_some());
        }
        let Some(total) = total else { return };
        let mut ledger = Ledger::planned(total);
        ledger.lease_all(id, worker.mirror);
        worker.end = total;
        worker.request_end = total;
        job.ledger = Some(ledger);
        // The first request covers the whole file; what others can do is taken from its end.
        let job = worker.job;
        let share = self.lease_bytes(now, job, total, Some(id)).min(total);
        if share < total {
            self.set_end(id, share);
        }
    }

    /// Orders the end mark of a worker to `end`, or to what is known to be there if that is further.
    pub(super) fn set_end(&mut self, id: WorkerId, end: u64) {
        let worker = self.workers.get_mut(&id).expect("only running workers have an end mark");
        let end = end.max(worker.claimed);
        worker.wished_end = Some(end);
        self.effects.push_back(Effect::SetEnd { worker: id, end });
    }

    /// Some bytes have been written.
    pub(super) fn progress(&mut self, now: Time, id: WorkerId, at: u64, throttled: bool) {
        if !self.workers.contains_key(&id) {
            self.late_facts += 1;
            return;
        }
        self.advance(now, id, at, throttled);
        self.lengthen(now, id);
        self.end_won_race(id);
        let job = self.workers[&id].job;
        self.compare_seams(job);
    }

    pub(super) fn advance(&mut self, now: Time, id: WorkerId, at: u64, throttled: bool) {
        let worker = self.workers.get_mut(&id).expect("the caller holds the worker");
        let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
        if worker.opened_at.is_none() {
            // Another one was answered first: what this one brings is not wanted.
            return;
        }
        let at = at.min(worker.end);
        worker.reported_at = now;
        if throttled {
            worker.throttled_at = Some(now);
        }
        if at > worker.at {
            match &mut job.ledger {
                Some(_) if !worker.contributes() => {}
                Some(ledger) => _ = ledger.advance(worker.at, at),
                None => job.streamed = at,
            }
            if worker.at == worker.from {
                self.touched.insert(worker.job);
                job.mirror_mut(worker.mirror).failed_requests = 0;
            }
            if std::mem::take(&mut worker.overlap) > 0 {
                let mirror = job.mirror_mut(worker.mirror);
                (mirror.compared, mirror.seam_lies, mirror.range_lies, mirror.ranges_proven) = (true, 0, 0, true);
                job.compared = true;
            }
            worker.at = at;
            worker.moved_at = now;
        }
        worker.start_measuring();
        if job.done_bytes() > job.furthest {
            job.furthest = job.done_bytes();
            job.attempts = 0;
            job.defects = 0;
            job.mirror_mut(worker.mirror).refusals = 0;
            // What the last workers bring does not take away the reason why the job ends or waits.
            if !matches!(job.stage, Stage::Ending(_)) {
                job.fault = None;
            }
        }
        worker.meter.note(now, worker.at);
        job.meter.note(now, job.done_bytes());
    }

    /// Stops a worker whose bytes its rival has brought: the last of them need not be waited for.
    fn end_won_race(&mut self, id: WorkerId) {
        let worker = &self.workers[&id];
        if worker.at >= worker.end
            && let Some(rival) = worker.rival
        {
            self.stop_worker(rival, StopReason::Overtaken);
        }
    }

    /// Lets a worker whose request reaches further go on over chunks that nobody works on: that costs no round trip.
    fn lengthen(&mut self, now: Time, id: WorkerId) {
        let worker = &self.workers[&id];
        if worker.request_end <= worker.end || !worker.is_steady() || worker.rival.is_some() || worker.retiring {
            return;
        }
        let runway = worker.meter.bytes_per_second(now) * RUNWAY_SECS;
        if worker.remaining() as f64 > runway && worker.remaining() > self.policy.split_floor_bytes {
            return;
        }
        let job_id = worker.job;
        let ready = self.jobs[&job_id].ledger.as_ref().map_or(0, Ledger::ready_bytes);
        let want = self.lease_bytes(now, job_id, ready, Some(id)).min(worker.request_end - worker.end);
        let worker = self.workers.get_mut(&id).expect("the worker was just there");
        let Some(ledger) = self.jobs.get_mut(&job_id).and_then(|job| job.ledger.as_mut()) else {
            return;
        };
        let end = ledger.extend(id, worker.mirror, worker.end, want);
        if end > worker.end {
            worker.end = end;
            self.set_end(id, end);
        }
    }

    /// A worker's end mark stands.
    pub(super) fn end_set(&mut self, id: WorkerId, end: u64) {
        if self.cut_for_another == Some(id) {
            self.cut_for_another = None;
        }
        let Some((worker, wished)) = self.workers.get_mut(&id).and_then(|w| w.wished_end.take().map(|end| (w, end)))
        else {
            self.late_facts += 1;
            return;
        };
        if end > wished {
            // It had got that far already. Without this, the same cut would be tried over and over until it reports.
            worker.claimed = end;
        }
        let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
        if let Some(ledger) = &mut job.ledger
            && end < worker.end
        {
            debug_assert!(worker.rival.is_none(), "a lease that is being cut is not raced for");
            ledger.take_back(end, worker.end);
            worker.end = end;
        }
        self.touched.insert(worker.job);
    }
}
