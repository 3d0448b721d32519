//! One row of a ledger.

use crate::{ByteRange, MirrorIndex, Time, WorkerId};

/// The unit of accounting, persistence and retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes it is about.
    pub range: ByteRange,
    /// How many of them, from the start, are there.
    pub done: u64,
    /// Whose turn it is.
    pub state: ChunkState,
    /// Attempts that ended in a fault.
    pub retries: u32,
    /// Verdicts of the speed floor.
    pub strikes: u32,
    /// Faults since the last byte arrived; decides the backoff.
    pub failures: u32,
    /// Stalls so far; decides the patience.
    pub stalls: u32,
    /// Which mirror gave the bytes that are there.
    pub mirror: MirrorIndex,
}

/// Whose turn a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkState {
    /// Nobody's: a worker may take it.
    Ready,
    /// Within the lease of this worker.
    Active(WorkerId),
    /// Nobody's before this time.
    Backoff(Time),
    /// All its bytes are there.
    Done,
}

impl Chunk {
    /// A chunk without a byte.
    #[must_use]
    pub fn empty(range: ByteRange) -> Self {
        let mirror = MirrorIndex::default();
        Self { range, done: 0, state: ChunkState::Ready, retries: 0, strikes: 0, failures: 0, stalls: 0, mirror }
    }

    /// Where its next byte goes.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.range.start + self.done
    }

    /// The bytes that are missing.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.range.len() - self.done
    }

    /// It has failed twice without progress, or two of its connections were too slow: the chunk itself may be to blame. Once
    /// may happen to any.
    pub(super) fn is_trouble(&self) -> bool {
        self.failures > 1 || self.strikes > 1
    }
}
