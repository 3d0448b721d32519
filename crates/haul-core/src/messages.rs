//! What goes into the engine and what comes out of it.
//!
//! Commands are wishes, imperative; events are facts, in the past tense; effects are orders to the shell. Every
//! [`Effect::Fetch`] is answered by exactly one [`Event::WorkerEnded`], whatever happened, and every
//! [`Effect::SetEnd`] at once by one [`Event::EndSet`].

use std::time::Duration;

use crate::{ByteRange, Chunk, Fault, JobId, JobState, MirrorIndex, QueueId, WaitingFor, WorkerId};

/// A wish of the user's.
#[derive(Clone, Debug)]
pub enum Command {
    /// Work on this job: a new one, or one that was stored.
    Start(JobId, Box<JobSpec>),
    /// Stop working on it and let go of it; answered by [`Effect::Released`], or by [`Effect::Ended`] if all bytes are
    /// there already and the file is being sealed.
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
    /// The bytes beyond a seam were compared, as [`Effect::CompareSeam`] demanded.
    SeamCompared {
        /// The job.
        job: JobId,
        /// Where the seam is.
        at: u64,
        /// How they differ, if they do: [`FaultKind::RangeMismatch`](crate::FaultKind) where a strong validator says that
        /// all of them are of one version, [`FaultKind::BytesDiffer`](crate::FaultKind) where nothing does.
        differs: Option<Fault>,
    },
    /// The machine was asleep: no connection of before is worth anything.
    Woke,
    /// The bytes of a job were dropped, as [`Effect::Reset`] demanded.
    ResetDone(JobId),
    /// What a job has written and not synced is lost: of its bytes these rows are left. It has no worker now.
    RolledBack(JobId, Vec<Chunk>),
    /// The job's disk was looked at, as [`Effect::CheckDisk`] demanded: it can be written to, or why not.
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
    /// Compare the bytes that a worker has read beyond `at` ([`Event::ReadBeyond`]) with those that are there by now;
    /// answered by [`Event::SeamCompared`].
    CompareSeam {
        /// The job.
        job: JobId,
        /// Where the seam is.
        at: u64,
        /// How many bytes are to be compared.
        len: u64,
    },
    /// Drop all bytes of this job and forget the file's identity; answered by [`Event::ResetDone`].
    Reset(JobId),
    /// Rows of this job have lost bytes: the rows as they are now ([`Engine::chunks`](crate::Engine::chunks)) take the
    /// place of all that were stored; answered by [`Event::ResetDone`].
    Rewrite(JobId),
    /// Look whether the disk that the job waits for is there and has space; answered by [`Event::DiskChecked`].
    CheckDisk(JobId),
    /// Every byte is written: sync, verify and seal; answered by [`Event::Sealed`], [`Event::SealFailed`] or
    /// [`Event::Mismatched`].
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
    /// ([`Event::ReadBeyond`]).
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
    /// with [`End::Finished`] where all bytes are equal, and with [`FaultKind::BytesDiffer`](crate::FaultKind) where
    /// one is not.
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

/// Something worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A chunk went back to the queue, its bytes kept.
    ChunkReturned {
        /// Where it starts.
        chunk: u64,
        /// Whom its bytes were asked of.
        mirror: MirrorIndex,
        /// Its retries by now.
        retries: u32,
        /// How long it will be held back.
        wait: Duration,
        /// What happened.
        fault: Fault,
    },
    /// A chunk got a strike from the speed floor.
    Strike {
        /// Where it starts.
        chunk: u64,
        /// Who was too slow.
        mirror: MirrorIndex,
        /// Its strikes by now.
        strikes: u32,
        /// The speed that was too low, in bytes per second.
        bytes_per_second: u64,
    },
    /// A host does not want more than this many connections.
    HostCap {
        /// The host.
        host: String,
        /// The learned cap.
        cap: u32,
    },
    /// A host is left alone for this long.
    HostWaits {
        /// The host.
        host: String,
        /// For how long.
        wait: Duration,
        /// Why.
        fault: Fault,
    },
    /// The server does not do ranges: one connection from now on.
    SingleConnection,
    /// The source has changed; the job starts over.
    Restart {
        /// Restarts by now.
        restarts: u32,
    },
    /// A link has expired: the submitted URL is tried once more.
    LinkTriedAgain,
    /// A mirror serves the same file and contributes from now on.
    MirrorProven(MirrorIndex),
    /// A mirror is not used any more.
    MirrorDropped {
        /// Which.
        mirror: MirrorIndex,
        /// Why.
        fault: Fault,
    },
    /// A mirror's answers carry differing validators for the same bytes: only samples vouch for what it sends.
    ValidatorsVary(MirrorIndex),
    /// The bytes of two answers differ where they meet: one of the two is wrong.
    Conflict {
        /// Where, and whose.
        fault: Fault,
    },
    /// The file is not the one that it must be: some of it is fetched again.
    Healing {
        /// What.
        what: Suspect,
        /// Bytes that are fetched again.
        bytes: u64,
    },
}

/// What is fetched again of a file that is not the one that it must be, in the order in which it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspect {
    /// Bytes that are known to be wrong.
    Damage,
    /// What all mirrors but the main one gave.
    Mirrors,
    /// All of it.
    Everything,
}

/// What is remembered of a host beyond the jobs that are about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostMemory {
    /// Scheme, host and port.
    pub name: String,
    /// How many connections its refusals suggest, if it refused some.
    pub cap: Option<u32>,
    /// For how long that cap still holds before one more is tried.
    pub cap_holds: Duration,
    /// Refusals that the cap rests on, less what has decayed.
    pub refusals: u32,
    /// How many connections of a job were last found to be worth it.
    pub useful: Option<u32>,
    /// What a connection typically gives, in bytes per second.
    pub bytes_per_second: Option<u64>,
    /// How long an answer typically takes.
    pub answer_time: Option<Duration>,
    /// For how long the host is left alone.
    pub blocked_for: Duration,
    /// Why it was last left alone or refused a connection.
    pub fault: Option<Fault>,
    /// How many connections its user allows; `None` means what all hosts are allowed.
    pub connections_max: Option<u32>,
}

/// One thing that holds a job back now, with its numbers. Speeds are in bytes per second.
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    /// All slots are taken.
    NoSlot {
        /// Jobs that hold one.
        active: usize,
        /// Queued jobs that come before this one.
        ahead: usize,
    },
    /// All slots that its queue may have are taken.
    QueueFull {
        /// How many these are.
        max: usize,
        /// Queued jobs of its queue that come before this one.
        ahead: usize,
    },
    /// It waits for a clock or for a person.
    Waits {
        /// What for.
        waiting_for: WaitingFor,
        /// In how long it goes on by itself.
        retry_in: Option<Duration>,
        /// What happened.
        fault: Option<Fault>,
    },
    /// A host is left alone.
    HostWaits {
        /// Which.
        host: String,
        /// For how long.
        wait: Duration,
        /// Why.
        fault: Option<Fault>,
    },
    /// A host has refused more connections than this.
    HostCap {
        /// Which.
        host: String,
        /// The learned cap.
        cap: u32,
        /// Connections to it, over all jobs.
        active: u32,
        /// Refusals that the cap rests on.
        refusals: u32,
        /// For how long it holds before one more is tried.
        holds: Duration,
        /// The last refusal.
        fault: Option<Fault>,
    },
    /// All connections that are allowed to a host are in use.
    HostFull {
        /// Which.
        host: String,
        /// The connections that it is allowed.
        max: u32,
    },
    /// All connections that are allowed in all are in use.
    TotalFull {
        /// How many these are.
        max: u32,
    },
    /// The job uses all connections that it may.
    JobCap {
        /// How many these are.
        max: u32,
    },
    /// More connections were tried and brought nothing.
    NoGain {
        /// Connections that are worth it.
        useful: u32,
    },
    /// Our own bandwidth limit holds its connections up.
    Limited,
    /// The server does not serve ranges: one connection it is.
    SingleConnection,
    /// Each connection gets this much from the server, and no more.
    PerConnection {
        /// The median speed of its connections.
        bytes_per_second: u64,
        /// How many these are.
        connections: u32,
    },
    /// A chunk that the speed floor leaves alone after its strikes.
    ExemptChunk {
        /// Where it starts.
        chunk: u64,
        /// Its strikes.
        strikes: u32,
        /// The speed of the connection that works on it.
        bytes_per_second: u64,
    },
    /// Chunks that are held back after a fault.
    Backoff {
        /// How many these are.
        chunks: usize,
        /// When the first of them is tried again.
        retry_in: Duration,
    },
    /// Nothing has come for this long.
    Silent {
        /// For how long.
        since: Duration,
    },
    /// A mirror is not used any more.
    MirrorDropped {
        /// Which.
        mirror: MirrorIndex,
        /// Why.
        fault: Fault,
    },
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

/// What the engine knows of a job that it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// The state, as far as it does not depend on the user's intent.
    pub state: JobState,
    /// The fault that explains a waiting state.
    pub fault: Option<Fault>,
    /// In how long the job goes on by itself, counted from the view's time.
    pub retry_in: Option<Duration>,
    /// The file's length.
    pub total: Option<u64>,
    /// Whether the server answers ranges; `None` while unknown.
    pub accepts_ranges: Option<bool>,
    /// Bytes written.
    pub done_bytes: u64,
    /// Bytes per second over the last seconds.
    pub bytes_per_second: f64,
    /// Connections in use.
    pub connections: u32,
    /// Connections it may use by its own cap.
    pub connections_max: u32,
    /// Chunks done, and chunks in all.
    pub chunks: (usize, usize),
    /// Times that it was started over.
    pub restarts: u32,
    /// Samples of its bytes from different answers were compared, and were equal.
    pub compared: bool,
    /// Its mirrors, in the order of its list.
    pub mirrors: Vec<MirrorView>,
}

/// What the engine knows of one mirror of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct MirrorView {
    /// What it is good for.
    pub state: MirrorState,
    /// Connections in use.
    pub connections: u32,
    /// Bytes per second of these connections together.
    pub bytes_per_second: f64,
    /// Bytes of the file that came from it and are there.
    pub done_bytes: u64,
    /// The last thing that went wrong with it.
    pub fault: Option<Fault>,
}

/// What a mirror is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorState {
    /// It defines the file: what others give is compared with it.
    Main,
    /// Nothing is known of it yet.
    Unproven,
    /// Samples of it are being compared.
    Proving,
    /// It serves the same file.
    Proven,
    /// It is not used any more.
    Dropped,
}
