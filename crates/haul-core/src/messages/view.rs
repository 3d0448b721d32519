//! What the engine tells of jobs, mirrors and hosts when it is asked.

use std::time::Duration;

use crate::{Fault, JobState};

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
