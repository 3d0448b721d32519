//! How jobs share slots and connections: who has to rest, and who gives a connection up for whom.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::messages::StopReason;
use crate::{Class, JobId, Ledger, Time, WaitingFor, WorkerId};

use super::Engine;
use super::host::HostId;
use super::job::{Ending, Job};
use super::schedule::Want;

/// Who pauses for less keeps its slot. A guess: several times what new connections cost.
const REST_MIN: Duration = Duration::from_secs(2);

impl Engine {
    /// Takes the slot of jobs that can do nothing before some time. Tells whether somebody waits for one.
    ///
    /// A job keeps its slot over a short pause: who got it meanwhile would have to start all its connections, and would be
    /// thrown out again, if the job comes first.
    pub(super) fn rest_idle_jobs(&mut self, now: Time) -> bool {
        let short = |until: Time| until.since(now) < REST_MIN && !self.queues.is_empty();
        let resting: Vec<(JobId, Time, WaitingFor)> = self
            .idle
            .iter()
            .filter_map(|id| self.earliest(now, &self.jobs[id]).map(|(until, what)| (*id, until, what)))
            .filter(|(_, until, _)| !short(*until))
            .collect();
        let any = !resting.is_empty();
        for (id, until, waiting_for) in resting {
            self.end_job(now, id, Ending::Wait { until: Some(until), waiting_for });
        }
        any && !self.queues.is_empty()
    }

    /// When a job without a worker can go on, if it cannot now.
    fn earliest(&self, now: Time, job: &Job) -> Option<(Time, WaitingFor)> {
        let chunks = job.ledger.as_ref().filter(|ledger| !job.is_single() && !ledger.has_ready());
        let own = chunks.and_then(Ledger::next_backoff).filter(|until| *until > now);
        let mirror = self.next_mirror_at(now, job);
        let host = self.hosts.get(mirror.map_or(job.host(), |(_, host)| host));
        let until = own.max(mirror.map(|(until, _)| until))?;
        if job.is_covered() {
            return None;
        }
        let busy = host.fault.as_ref().is_some_and(|f| f.kind.class() == Class::Busy);
        Some((until, if busy { WaitingFor::Host } else { WaitingFor::Retry }))
    }

    /// Has a connection given up for each job that holds a slot but has none, by the job that has most.
    pub(super) fn make_room(&mut self, now: Time) {
        for id in self.idle.clone() {
            self.pass_main_on(now, id);
        }
        if self.workers.len() <= self.running.len() - self.idle.len() {
            // Nobody has two.
            return;
        }
        let starving: Vec<JobId> = self
            .idle
            .iter()
            .filter(|id| !self.is_promised(&self.jobs[id]) && self.want(now, &self.jobs[id], false).is_some())
            .copied()
            .collect();
        let mut barren: BTreeSet<Option<HostId>> = BTreeSet::new();
        for id in starving {
            let Some(host) = self.bottleneck(now, &self.jobs[&id]).filter(|host| !barren.contains(host)) else {
                continue;
            };
            if let Some(worker) = self.dispensable(host) {
                self.promise(id, worker);
            } else {
                barren.insert(host);
            }
        }
    }

    /// Moves connections from the jobs that have more than their share to those that want more, one at a time.
    pub(super) fn rebalance(&mut self, now: Time) {
        let wanting = self.running.iter().map(|id| &self.jobs[id]).filter(|job| {
            job.connections() < job.connections_wanted(&self.policy)
                && !self.is_promised(job)
                && !job.has_to_steal()
                && self.want(now, job, false).is_some()
        });
        let Some((poorest, host)) = wanting
            .filter_map(|job| Some((job, self.bottleneck(now, job)?)))
            .min_by(|(a, _), (b, _)| a.holdings().total_cmp(&b.holdings()))
        else {
            return;
        };
        let Some(worker) = self.dispensable(host) else {
            return;
        };
        let richest = &self.jobs[&self.workers[&worker].job];
        // One connection moved must leave the giver no poorer than the taker becomes.
        let balance = richest.holdings() - richest.connection_cost();
        if richest.id != poorest.id && balance >= poorest.holdings() + poorest.connection_cost() {
            self.promise(poorest.id, worker);
        }
    }

    /// What a job lacks room in, if somebody else could make it: its host, or (`None`) connections in all.
    fn bottleneck(&self, now: Time, job: &Job) -> Option<Option<HostId>> {
        if self.want(now, job, true).is_some() {
            return (!self.has_room_for_another()).then_some(None);
        }
        let mirror = match self.want(now, job, false)? {
            Want::Fetch(mirror) | Want::Prove(mirror, ..) | Want::Race(_, mirror, _) => mirror,
            Want::Steal(..) => self.best_mirror(now, job, false)?,
        };
        Some(Some(job.mirror(mirror).host))
    }

    fn promise(&mut self, id: JobId, worker: WorkerId) {
        self.jobs.get_mut(&id).expect("it is running").promise = Some(worker);
        self.stop_worker(worker, StopReason::Yield);
    }

    fn is_promised(&self, job: &Job) -> bool {
        job.promise.is_some_and(|worker| self.workers.contains_key(&worker))
    }

    /// The worker with the most left to do, of the job with the weakest claim to it.
    fn dispensable(&self, host: Option<HostId>) -> Option<WorkerId> {
        let there = |w: &&WorkerId| host.is_none_or(|host| self.workers[w].host == host);
        let staying = |job: &Job| job.workers.iter().filter(|w| self.workers[w].stopping.is_none()).count();
        let richest = self
            .running
            .iter()
            .map(|id| &self.jobs[id])
            .filter(|job| job.workers.iter().any(|w| there(&w)) && staying(job) > 1)
            .max_by(|a, b| a.holdings().total_cmp(&b.holdings()))?;
        let workers = richest.workers.iter().filter(there).filter(|w| self.workers[w].stopping.is_none());
        workers.max_by_key(|w| self.workers[w].remaining()).copied()
    }
}
