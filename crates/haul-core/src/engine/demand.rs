//! Somebody reads the file while it comes: what is waited for goes first.
//!
//! Leases are taken from the first offset on at which somebody reads, instead of from the beginning of the file. Where that
//! is not enough, because all connections are busy elsewhere, one of them leaves what it has to the others. A connection
//! that will get there soon anyway is left alone.

use std::time::Duration;

use crate::{ChunkState, JobId, Ledger, Time, WorkerId};

use super::Engine;
use super::job::Job;
use super::worker::{WINDOW, Worker};

/// Who leaves its lease goes on for so long, in seconds: so long its end mark needs to get to it.
const RUNWAY_SECS: f64 = 0.5;

/// For so long a connection that was freed is waited for before another one is: readers cannot make a job do nothing but
/// begin anew.
const PATIENCE: Duration = Duration::from_secs(1);

impl Engine {
    /// Somebody reads at these offsets from now on, and nowhere else.
    pub(super) fn demand(&mut self, now: Time, id: JobId, offsets: Vec<u64>) {
        self.jobs.get_mut(&id).expect("the caller named a job").demand = offsets;
        self.serve_demand(now, id);
        self.touched.insert(id);
    }

    /// Sees to it that the first byte that is waited for is fetched soon.
    pub(super) fn serve_demand(&mut self, now: Time, id: JobId) {
        let job = &self.jobs[&id];
        let Some(at) = job.awaited() else { return };
        let is_freed = |(_, since): (u64, Time)| now.since(since) < PATIENCE;
        if job.is_single() || job.freed_for.is_some_and(is_freed) {
            return;
        }
        let workers = || job.workers.iter().map(|id| &self.workers[id]);
        let chunk = job.ledger.as_ref().and_then(|ledger| ledger.chunk_at(at));
        if chunk.is_some_and(|chunk| matches!(chunk.state, ChunkState::Backoff(_))) {
            return;
        }
        let owner = workers().find(|worker| worker.contributes() && worker.at <= at && at < worker.end);
        if owner.is_some_and(|worker| !is_free(worker) || self.gets_there_soon(now, job, worker, at)) {
            return;
        }
        let leaver = if self.has_spare_connection(now, job) { None } else { last_to_end(workers(), now) };
        let owner = owner.map(|worker| worker.id).filter(|owner| Some(*owner) != leaver);
        if owner.is_none() && leaver.is_none() {
            return;
        }
        self.jobs.get_mut(&id).expect("it was just there").freed_for = Some((at, now));
        if let Some(owner) = owner {
            self.charge_cut(now, owner);
            self.set_end(owner, at);
        }
        if let Some(leaver) = leaver {
            self.leave(now, leaver);
        }
    }

    /// Ends a worker's lease where it is, but for what is on its way.
    fn leave(&mut self, now: Time, id: WorkerId) {
        self.charge_cut(now, id);
        let worker = self.workers.get_mut(&id).expect("the caller found it");
        worker.retiring = true;
        let end = worker.at + bytes_in(worker.recent_speed(now, WINDOW), RUNWAY_SECS);
        if end < worker.end {
            self.set_end(id, end);
        }
    }

    /// Another connection would not be there sooner.
    fn gets_there_soon(&self, now: Time, job: &Job, worker: &Worker, at: u64) -> bool {
        let start = self.hosts.get(job.host()).starts.cost(false).unwrap_or_default().as_secs_f64();
        at - worker.at <= bytes_in(worker.recent_speed(now, WINDOW), start + RUNWAY_SECS)
    }

    /// A job may have one connection more than it has.
    fn has_spare_connection(&self, now: Time, job: &Job) -> bool {
        let has_room = self.hosts.get(job.host()).has_room(now, &self.policy) && self.has_room_for_another();
        has_room && job.connections() < job.connections_wanted(&self.policy)
    }
}

impl Job {
    /// The first offset at which somebody reads and the byte is missing.
    fn awaited(&self) -> Option<u64> {
        let ledger = self.ledger.as_ref()?;
        let is_missing = |at: &u64| *at < ledger.total() && ledger.done_until(*at) == *at;
        self.demand.iter().copied().find(is_missing)
    }

    /// Where the next lease begins, if somebody reads the file: at the start of a ready chunk.
    pub(super) fn demanded(&mut self) -> Option<u64> {
        let Self { demand, ledger, .. } = self;
        let ledger: &mut Ledger = ledger.as_mut()?;
        let start = demand.iter().find_map(|at| ledger.ready_from(*at))?;
        self.freed_for = None;
        Some(start)
    }
}

fn is_free(worker: &Worker) -> bool {
    worker.is_steady() && worker.rival.is_none()
}

/// The worker that would be busy for longest.
fn last_to_end<'a>(workers: impl Iterator<Item = &'a Worker>, now: Time) -> Option<WorkerId> {
    let free = workers.filter(|worker| worker.contributes() && is_free(worker) && !worker.retiring);
    let seconds = |worker: &Worker| worker.remaining() as f64 / worker.recent_speed(now, WINDOW).max(1.0);
    free.max_by(|a, b| seconds(a).total_cmp(&seconds(b))).map(|worker| worker.id)
}

fn bytes_in(speed: f64, seconds: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a byte count")]
    let bytes = (speed * seconds) as u64;
    bytes
}
