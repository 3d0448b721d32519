//! What is wished for: orders of the user's to the engine.

use crate::{Chunk, Fault, JobId, MirrorIndex, QueueId};

use super::HostMemory;

/// A wish of the user's.
#[derive(Clone, Debug)]
pub enum Command {
    /// Work on this job: a new one, or one that was stored.
    Start(JobId, Box<JobSpec>),
    /// Stop working on it and let go of it; answered by [`Effect::Released`](super::Effect), or by
    /// [`Effect::Ended`](super::Effect) if all bytes are there already and the file is being sealed.
    Release(JobId),
    /// Try now whatever waits for a clock.
    Nudge(JobId),
    /// Change how much the job may use.
    Tune(JobId, Tuning),
    /// Change what all jobs together may use.
    SetCaps(Caps),
    /// Change the rules of queues: of those that are named, and no others have any.
    SetQueues(Vec<(QueueId, QueueRule)>),
    /// The job's file is to be had at these hosts, too. They are added to its list in this order.
    AddMirrors(JobId, Vec<String>),
    /// What an earlier run has learned of a host, or what the user says of it.
    KnowHost(HostMemory),
    /// Forget what was learned of a host.
    ForgetHost(String),
    /// Somebody reads the file at these offsets while it comes, the most urgent first; with none, nobody does any more. They
    /// replace those of before.
    Demand(JobId, Vec<u64>),
    /// The job cannot end well, for a reason that lies outside of its transfers: it fails.
    GiveUp(JobId, Fault),
}

/// What the engine has to know of a job.
#[derive(Clone, Debug, Default)]
pub struct JobSpec {
    /// Scheme, host and port of each mirror: what connections are counted by. The first is the URL that was submitted.
    pub hosts: Vec<String>,
    /// The mirror that has defined the file so far.
    pub main: MirrorIndex,
    /// How much it may use.
    pub tuning: Tuning,
    /// What an earlier run learned and fetched.
    pub source: Option<Source>,
    /// Times that it was started over because its source had changed.
    pub restarts: u32,
}

/// How much a job may use, as its user decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// Higher goes first and gets more; 0 is ordinary.
    pub priority: i32,
    /// Connections at most; `None` means the policy's default.
    pub connections: Option<u32>,
    /// What happens when the source has changed.
    pub on_change: OnChange,
    /// Where it stands among those of its priority; lower goes first, and of two equals the lower id. As they came:
    /// [`place_by_id`].
    pub place: i64,
    /// The queue that it is in.
    pub queue: QueueId,
    /// Its request has an effect at its server. It is made again for a range, where the server serves some, but once
    /// bytes have come it is not begun anew without somebody who says so.
    pub once: bool,
}

/// The place of a job that stands where it came.
#[must_use]
pub const fn place_by_id(id: JobId) -> i64 {
    (id.0 as i64).saturating_mul(1 << 32)
}

/// How far a job is put from its neighbour where there is nobody beyond: far enough for many to come between.
const STEP: i64 = place_by_id(JobId(1));

/// The place between two neighbours of the same priority, of which either may be missing; `None` where both are.
#[must_use]
pub const fn place_between(before: Option<i64>, after: Option<i64>) -> Option<i64> {
    match (before, after) {
        (None, None) => None,
        (None, Some(after)) => Some(after.saturating_sub(STEP)),
        (Some(before), None) => Some(before.saturating_add(STEP)),
        // They never meet: it would take more moves between the same two than anyone makes by hand.
        (Some(before), Some(after)) => Some(before + (after - before) / 2),
    }
}

/// What holds for the jobs of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueRule {
    /// Jobs of it that may hold a slot; `None` means as many as there are.
    pub active_max: Option<usize>,
    /// None of it may run now.
    pub is_closed: bool,
}

/// What happens to a job whose source has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnChange {
    /// It starts over, a few times at most.
    #[default]
    Restart,
    /// It fails, and keeps what it has.
    Fail,
}

/// What all jobs together may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Jobs that may hold a slot.
    pub active_jobs: usize,
    /// Connections a job may use unless it says otherwise.
    pub connections_per_job: u32,
    /// Connections to one host.
    pub connections_per_host: u32,
    /// Connections in all.
    pub connections_total: u32,
}

/// A file as its server described it, and what of it is there.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file's length.
    pub total: u64,
    /// Whether the server answers ranges.
    pub accepts_ranges: bool,
    /// The stored rows.
    pub chunks: Vec<Chunk>,
}
