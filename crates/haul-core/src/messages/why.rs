//! What holds a job back.

use std::time::Duration;

use crate::{Fault, MirrorIndex, WaitingFor};

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
