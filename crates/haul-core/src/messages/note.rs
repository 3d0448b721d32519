//! What is worth a line in the log.

use std::time::Duration;

use crate::{Fault, MirrorIndex};

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
