//! How much may be used: the user's settings, changed live, and what this process can bear.

use crate::messages::{Alarm, Caps, StopReason, Tuning};
use crate::{JobId, Time, WorkerId};

use super::Engine;
use super::job::Ending;

/// This process has run out of descriptors, ports or buffers: fewer connections until that has passed.
#[derive(Debug)]
pub(super) struct Squeeze {
    /// Connections that it could bear.
    cap: usize,
    /// No new connection at all until the next alarm.
    resting: bool,
}

impl Engine {
    pub(super) fn tune(&mut self, now: Time, id: JobId, tuning: Tuning) {
        let job = self.jobs.get_mut(&id).expect("the caller checked");
        let queued = self.queues.remove(job.tuning.queue, &job.rank());
        let moves = job.tuning.queue != tuning.queue;
        job.tuning = tuning;
        if queued {
            self.queues.insert(tuning.queue, job.rank());
        }
        self.touched.insert(id);
        if moves {
            self.moved(now, id);
        }
        let job = &self.jobs[&id];
        let cap = job.connections_max(&self.policy) as usize;
        let workers = job.workers.iter().copied().collect();
        self.trim(workers, cap);
    }

    pub(super) fn set_caps(&mut self, now: Time, caps: Caps) {
        self.policy.active_jobs_max = caps.active_jobs;
        self.policy.connections_per_job = caps.connections_per_job.max(1);
        self.policy.connections_per_host = caps.connections_per_host.max(1);
        self.policy.connections_total = caps.connections_total.max(1);
        while self.running.len() > self.policy.active_jobs_max {
            let last = self.running.iter().max_by_key(|id| self.jobs[id].rank());
            let last = *last.expect("there are more than may be");
            self.end_job(now, last, Ending::Requeue);
        }
        for id in self.running.clone() {
            let job = &self.jobs[&id];
            self.trim(job.workers.iter().copied().collect(), job.connections_max(&self.policy) as usize);
        }
        for host in self.hosts.ids() {
            let about = self.workers.iter().filter(|(_, w)| w.host == host);
            self.trim(about.map(|(id, _)| *id).collect(), self.policy.connections_per_host as usize);
        }
        self.trim(self.workers.keys().copied().collect(), self.policy.connections_total as usize);
        self.ask_all_again();
    }

    /// Ends the youngest of `workers` above `cap`. The one that is a job's only worker is as good as any other: the
    /// scheduler gives the job another one.
    pub(super) fn trim(&mut self, workers: Vec<WorkerId>, cap: usize) {
        let staying: Vec<WorkerId> = workers.into_iter().filter(|w| self.workers[w].stopping.is_none()).collect();
        for worker in staying.into_iter().skip(cap) {
            self.stop_worker(worker, StopReason::Yield);
        }
    }

    /// Tells whether another connection may be opened, as far as their number in all is concerned.
    pub(super) fn has_room_for_another(&self) -> bool {
        let bearable = self.squeeze.as_ref().is_none_or(|s| !s.resting && self.workers.len() < s.cap);
        bearable && self.workers.len() < self.policy.connections_total as usize
    }

    /// A connection failed for want of something that only this process lacks.
    pub(super) fn squeeze(&mut self, now: Time) {
        if self.squeeze.is_none() {
            self.set_alarm(now + self.policy.retry_wait, Alarm::Connections);
        }
        self.squeeze = Some(Squeeze { cap: self.workers.len().max(1), resting: true });
    }

    /// Tries some connections more.
    pub(super) fn ease_squeeze(&mut self, now: Time) {
        let Some(squeeze) = &mut self.squeeze else {
            return;
        };
        squeeze.cap += 1 + squeeze.cap / 8;
        squeeze.resting = false;
        if squeeze.cap >= self.policy.connections_total as usize {
            self.squeeze = None;
        } else {
            self.set_alarm(now + self.policy.retry_wait, Alarm::Connections);
        }
    }
}
