//! The network is gone, or the machine was asleep: nobody's fault, and nobody is charged (FAILURES.md, F-NET-09 and 10).
//!
//! While this machine has no way to any network all jobs wait for one, in one state, but for those that bytes still come to
//! (from a server on the same link, say). Every now and then one of them makes a request: whatever is answered, or merely
//! fails in another way, shows that there is a network again, and all go on.

use std::time::Duration;

use crate::messages::{Alarm, StopReason};
use crate::{Class, Fault, FaultKind, JobId, Time, WaitingFor, WorkerId};

use super::Engine;
use super::job::{Ending, Job, Stage};
use super::worker::Worker;

/// Between two looks whether the network is back. A failed look costs a system call.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Who has got a byte within this time has a network.
const FLOWS_WITHIN: Duration = Duration::from_secs(2);

/// This machine has no network.
#[derive(Debug)]
pub(super) struct Outage {
    fault: Fault,
    /// The job that may make a request all the same.
    asks: Option<JobId>,
}

impl Outage {
    /// Why a job has to wait, unless it is the one that finds out.
    pub(super) fn holds_back(&self, id: JobId) -> Option<Fault> {
        (self.asks != Some(id)).then(|| self.fault.clone())
    }

    /// A job may make a request, although there is probably no network.
    pub(super) fn let_through(&mut self, id: JobId) {
        self.asks = Some(id);
    }
}

impl Engine {
    /// A request has failed because this machine has no network.
    pub(super) fn network_is_gone(&mut self, now: Time, fault: Fault) {
        if self.outage.is_none() {
            self.set_alarm(now + LOOK_EVERY, Alarm::Network);
            // What has failed since the last byte may have failed for that reason.
            for job in self.jobs.values_mut() {
                job.attempts = 0;
                if let Some(ledger) = &mut job.ledger {
                    ledger.forgive();
                }
            }
        }
        self.outage = Some(Outage { fault: fault.clone(), asks: None });
        let concerned = |job: &&Job| {
            let waits_for_a_clock =
                matches!(job.stage, Stage::Waiting { until: Some(_), waiting_for: WaitingFor::Retry });
            matches!(job.stage, Stage::Queued | Stage::Running) && !self.flows(now, job) || waits_for_a_clock
        };
        let concerned: Vec<JobId> = self.jobs.values().filter(concerned).map(|job| job.id).collect();
        for id in concerned {
            let job = self.jobs.get_mut(&id).expect("it was just there");
            job.fault = Some(fault.clone());
            // Who finds out later does so with one request.
            job.mirrors.iter_mut().for_each(|mirror| mirror.hold_until = mirror.hold_until.max(Some(now)));
            self.end_job(now, id, Ending::Wait { until: None, waiting_for: WaitingFor::Network });
        }
    }

    /// Tells whether a fault is one more sign of what is known: there is no network.
    pub(super) fn is_of_outage(&self, worker: &Worker, fault: &Fault) -> bool {
        let is_look = self.outage.as_ref().is_some_and(|outage| outage.asks == Some(worker.job));
        self.outage.is_some() && !is_look && fault.kind.class() == Class::Transient && fault.kind != FaultKind::Internal
    }

    /// Lets one of the waiting jobs find out.
    pub(super) fn look_for_network(&mut self, now: Time) {
        let waits = |job: &&Job| matches!(job.stage, Stage::Waiting { waiting_for: WaitingFor::Network, .. });
        let first = self.jobs.values().find(waits).map(|job| job.id);
        match (&mut self.outage, first) {
            (Some(outage), Some(id)) => {
                outage.let_through(id);
                self.set_alarm(now + LOOK_EVERY, Alarm::Network);
                self.begin(now, id);
            }
            // Nobody is left whom it concerns.
            (outage, _) => *outage = None,
        }
    }

    /// Something shows that there is a network.
    pub(super) fn network_is_there(&mut self, now: Time) {
        if self.outage.take().is_none() {
            return;
        }
        let waits = |job: &&Job| matches!(job.stage, Stage::Waiting { waiting_for: WaitingFor::Network, .. });
        let waiting: Vec<JobId> = self.jobs.values().filter(waits).map(|job| job.id).collect();
        for id in waiting {
            self.begin(now, id);
        }
        for job in self.jobs.values_mut() {
            if let Stage::Ending(ending @ Ending::Wait { waiting_for: WaitingFor::Network, .. }) = &mut job.stage {
                *ending = Ending::Requeue;
            }
        }
    }

    /// The machine was asleep: whatever was connected is not any more. A stream that cannot be continued may be lucky.
    pub(super) fn woke(&mut self) {
        let stale = |(_, worker): &(&WorkerId, &Worker)| !self.jobs[&worker.job].is_single();
        let stale: Vec<WorkerId> = self.workers.iter().filter(stale).map(|(id, _)| *id).collect();
        for id in stale {
            self.stop_worker(id, StopReason::Woke);
        }
    }

    /// Bytes of a job have come just now.
    fn flows(&self, now: Time, job: &Job) -> bool {
        let mut workers = job.workers.iter().map(|id| &self.workers[id]);
        workers.any(|worker| worker.opened_at.is_some() && now.since(worker.moved_at) < FLOWS_WITHIN)
    }
}
