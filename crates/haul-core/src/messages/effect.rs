//! What is to be done: orders to the shell, and when to come back.

use std::time::Duration;

use crate::{Fault, JobId, MirrorIndex, WorkerId};

use super::Note;

/// An order to the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start a worker.
    Fetch(Fetch),
    /// Move a worker's end mark: back, but not before what it has claimed, or forth.
    SetEnd {
        /// The worker.
        worker: WorkerId,
        /// The wished end.
        end: u64,
    },
    /// Ask a worker to end.
    Stop {
        /// The worker.
        worker: WorkerId,
        /// Why.
        reason: StopReason,
    },
    /// Compare the bytes that a worker has read beyond `at` ([`Event::ReadBeyond`](super::Event)) with those that are
    /// there by now; answered by [`Event::SeamCompared`](super::Event).
    CompareSeam {
        /// The job.
        job: JobId,
        /// Where the seam is.
        at: u64,
        /// How many bytes are to be compared.
        len: u64,
    },
    /// Drop all bytes of this job and forget the file's identity; answered by [`Event::ResetDone`](super::Event).
    Reset(JobId),
    /// Rows of this job have lost bytes: the rows as they are now ([`Engine::chunks`](crate::Engine::chunks)) take the
    /// place of all that were stored; answered by [`Event::ResetDone`](super::Event).
    Rewrite(JobId),
    /// Look whether the disk that the job waits for is there and has space; answered by
    /// [`Event::DiskChecked`](super::Event).
    CheckDisk(JobId),
    /// Every byte is written: sync, verify and seal; answered by [`Event::Sealed`](super::Event),
    /// [`Event::SealFailed`](super::Event) or [`Event::Mismatched`](super::Event).
    Seal(JobId),
    /// What a client sees of the job has changed.
    Changed(JobId),
    /// What is remembered of this host has changed ([`Engine::host`](crate::Engine::host)).
    HostChanged(String),
    /// The job has no worker any more and the engine has forgotten it, as it was asked to.
    Released(JobId),
    /// The job has ended and the engine has forgotten it.
    Ended(JobId, Outcome),
    /// Something worth a line in the log.
    Note(JobId, Note),
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its file is in place.
    Completed,
    /// It cannot be completed.
    Failed(Fault),
}

/// The order to transfer one range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The name of the new worker.
    pub worker: WorkerId,
    /// The job it works for.
    pub job: JobId,
    /// Where it fetches from.
    pub mirror: MirrorIndex,
    /// What kind of request to make.
    pub kind: FetchKind,
    /// The first byte to fetch.
    pub from: u64,
    /// One past the last byte to fetch; `None` means as far as the body goes.
    pub end: Option<u64>,
    /// So many bytes before `from` are asked for, too. They are there, and compared before anything is written. The
    /// worker ends with [`FaultKind::RangeMismatch`](crate::FaultKind) or [`FaultKind::BytesDiffer`](crate::FaultKind)
    /// where one of them is another.
    pub overlap: u64,
    /// So many bytes behind `end` are asked for, too: they are not the worker's to write, but to read
    /// ([`Event::ReadBeyond`](super::Event)).
    pub reach: u64,
    /// Start from the submitted URL, even where a redirect is known.
    pub resolve: bool,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

/// What kind of request a worker makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchKind {
    /// The first request: `Range: bytes=0-`, probe and first bytes in one.
    Probe,
    /// A range of a known file.
    Range,
    /// The whole file from the start, without a range.
    Whole,
    /// A range whose bytes are in the file already: what comes is compared with them, and nothing is written. It ends
    /// with [`End::Finished`](super::End) where all bytes are equal, and with
    /// [`FaultKind::BytesDiffer`](crate::FaultKind) where one is not.
    Compare,
}

/// How long a worker waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, per address.
    pub connect: Duration,
    /// For the first byte of the answer.
    pub response: Duration,
    /// For the next byte of the body.
    pub stall: Duration,
}

/// Why a worker was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Its job is paused, canceled, failed, or starts over.
    JobStops,
    /// It is slower than the speed floor allows.
    BelowFloor,
    /// It is slow and has nobody to be compared with: another connection may be faster.
    Trial,
    /// Its answer is overdue while others on the host are answered.
    Unanswered,
    /// Another worker has fetched the same bytes first.
    Overtaken,
    /// Another job has a better claim to its connection.
    Yield,
    /// The machine was asleep.
    Woke,
}

/// When to call [`handle_timeout`](crate::Engine::handle_timeout), and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// To look at the workers' speeds.
    Review,
    /// To let chunks of a job out of their backoff, or a waiting job go on.
    Job(JobId),
    /// To try a host again, or one connection more.
    Host(u32),
    /// To try some connections more than this process could last bear.
    Connections,
    /// To see whether a job's last step up was worth it.
    Ramp(JobId),
    /// To see whether the network is back.
    Network,
}
