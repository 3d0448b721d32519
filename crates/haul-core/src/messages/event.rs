//! What has happened: facts for the engine.

use crate::{ByteRange, Chunk, Fault, JobId, WorkerId};

/// A fact.
#[derive(Clone, Debug)]
pub enum Event {
    /// The answer to a request has begun and fits what was asked.
    Opened {
        /// Whose request it was.
        worker: WorkerId,
        /// The file's length, when the server knows it.
        total: Option<u64>,
        /// Whether the answer was a 206.
        partial: bool,
    },
    /// All bytes of the worker's range before `at` have been written.
    Progress {
        /// The worker.
        worker: WorkerId,
        /// The offset of its next byte.
        at: u64,
        /// Whether our own bandwidth limit has held it up since the last report.
        throttled: bool,
    },
    /// The end mark of a worker now stands at `end`, which may lie behind the wished one.
    EndSet {
        /// The worker.
        worker: WorkerId,
        /// Where the worker will stop.
        end: u64,
    },
    /// A worker is gone; it has written everything before `at`.
    WorkerEnded {
        /// The worker.
        worker: WorkerId,
        /// The offset of the byte it would have written next.
        at: u64,
        /// Why it ended.
        end: End,
    },
    /// A worker whose answer goes on beyond its end has read so many bytes there. Comes right before its own end.
    ReadBeyond {
        /// The worker's job.
        job: JobId,
        /// The end of its lease: where the first of these bytes belongs.
        at: u64,
        /// How many there are.
        len: u64,
    },
    /// The bytes beyond a seam were compared, as [`Effect::CompareSeam`](super::Effect) demanded.
    SeamCompared {
        /// The job.
        job: JobId,
        /// Where the seam is.
        at: u64,
        /// How they differ, if they do: [`FaultKind::RangeMismatch`](crate::FaultKind) where a strong validator says
        /// that all of them are of one version, [`FaultKind::BytesDiffer`](crate::FaultKind) where nothing does.
        differs: Option<Fault>,
    },
    /// The machine was asleep: no connection of before is worth anything.
    Woke,
    /// The bytes of a job were dropped, as [`Effect::Reset`](super::Effect) demanded.
    ResetDone(JobId),
    /// What a job has written and not synced is lost: of its bytes these rows are left. It has no worker now.
    RolledBack(JobId, Vec<Chunk>),
    /// The job's disk was looked at, as [`Effect::CheckDisk`](super::Effect) demanded: it can be written to, or why
    /// not.
    DiskChecked(JobId, Result<(), Fault>),
    /// The file stands under its final name.
    Sealed(JobId),
    /// The file could not be sealed.
    SealFailed(JobId, Fault),
    /// All bytes are there, and the file is not the one that it must be.
    Mismatched {
        /// The job.
        job: JobId,
        /// What was compared.
        fault: Fault,
        /// The bytes that are known to be wrong, if any are.
        damaged: Vec<ByteRange>,
    },
}

/// Why a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It reached its end, or the end of a body without a declared length.
    Finished,
    /// It was told to stop.
    Stopped,
    /// The world got in its way.
    Fault(Fault),
}
