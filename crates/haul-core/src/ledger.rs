//! The rows of one job: which bytes are there, which are being fetched, which wait.
//!
//! Invariant: the chunks tile the file, in order and without a gap, and each chunk's bytes that are there form a
//! prefix of it. A job is complete when the prefixes cover the file, and for no other reason.
//!
//! ```text
//!            lease                 all bytes there
//!   ready ----------> active ----------------------> done
//!     ^                 |  |
//!     |     released    |  |  a fault
//!     +-----------------+  +---------> backoff
//!     +------------------------------- (its time has come)
//! ```

mod chunk;
mod lease;
mod there;
mod void;

use std::collections::{BTreeMap, BTreeSet};

use crate::{ByteRange, Time, plan};

pub use chunk::{Chunk, ChunkState};

/// All chunks of one job.
#[derive(Clone, Debug)]
pub struct Ledger {
    chunks: BTreeMap<u64, Chunk>,
    total: u64,
    done_bytes: u64,
    done_chunks: usize,
    ready: BTreeSet<u64>,
    ready_bytes: u64,
    backoff: BTreeSet<(Time, u64)>,
    changed: BTreeSet<u64>,
}

impl Ledger {
    /// The rows of a file of `total` bytes of which none is there.
    #[must_use]
    pub fn planned(total: u64) -> Self {
        let chunks: Vec<_> = plan::chunks(total).map(Chunk::empty).collect();
        let mut ledger = Self::restored(total, &chunks).expect("a plan tiles the file");
        ledger.changed = ledger.chunks.keys().copied().collect();
        ledger
    }

    /// The rows as they were stored; `None` when they do not tile a file of `total` bytes.
    #[must_use]
    pub fn restored(total: u64, rows: &[Chunk]) -> Option<Self> {
        let mut ledger = Self {
            chunks: BTreeMap::new(),
            total,
            done_bytes: 0,
            done_chunks: 0,
            ready: BTreeSet::new(),
            ready_bytes: 0,
            backoff: BTreeSet::new(),
            changed: BTreeSet::new(),
        };
        let mut at = 0;
        for row in rows {
            if row.range.start != at || row.range.is_empty() || row.done > row.range.len() {
                return None;
            }
            at = row.range.end;
            let complete = row.missing() == 0;
            let state = if complete { ChunkState::Done } else { ChunkState::Ready };
            ledger.done_bytes += row.done;
            if complete {
                ledger.done_chunks += 1;
            } else {
                ledger.ready.insert(row.range.start);
                ledger.ready_bytes += row.missing();
            }
            ledger.chunks.insert(row.range.start, Chunk { state, ..*row });
        }
        (at == total).then_some(ledger)
    }

    /// The file's length.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many bytes are there.
    #[must_use]
    pub fn done_bytes(&self) -> u64 {
        self.done_bytes
    }

    /// How many chunks are done, and how many there are.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.done_chunks, self.chunks.len())
    }

    /// Tells whether the prefixes cover the file.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let complete = self.done_bytes == self.total;
        // The sums are kept; where all hangs on them they are checked.
        if complete {
            debug_assert_eq!(self.done_bytes, self.chunks.values().map(|c| c.done).sum::<u64>());
            debug_assert_eq!(self.done_chunks, self.chunks.len());
            debug_assert_eq!(self.ready_bytes, 0);
        }
        complete
    }

    /// The chunks in the order of the file.
    pub fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.values()
    }

    /// The chunk that holds the byte at `offset`.
    #[must_use]
    pub fn chunk_at(&self, offset: u64) -> Option<&Chunk> {
        self.chunks.range(..=offset).next_back().map(|(_, c)| c).filter(|c| c.range.contains(offset))
    }

    /// Takes the rows that changed since the last call, for the store.
    pub fn take_changed(&mut self) -> Vec<Chunk> {
        let changed = std::mem::take(&mut self.changed);
        changed.iter().filter_map(|start| self.chunks.get(start)).copied().collect()
    }

    /// Missing bytes that nobody works on and nobody holds back.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The bytes in ready chunks.
    #[must_use]
    pub fn ready_bytes(&self) -> u64 {
        self.ready_bytes
    }

    /// Forgets what faults since the last byte say about when to try again.
    pub fn forgive(&mut self) {
        self.chunks.values_mut().for_each(|chunk| chunk.failures = 0);
        self.end_backoffs(None);
    }

    /// When the next chunk leaves its backoff.
    #[must_use]
    pub fn next_backoff(&self) -> Option<Time> {
        self.backoff.first().map(|(until, _)| *until)
    }

    /// Makes chunks ready whose backoff is over, or all of them when `now` is `None`.
    pub fn end_backoffs(&mut self, now: Option<Time>) {
        while let Some(&(until, start)) = self.backoff.first() {
            if now.is_some_and(|now| until > now) {
                break;
            }
            self.set_state(start, ChunkState::Ready);
        }
    }

    fn rows_between(&self, at: u64, end: u64) -> Vec<u64> {
        let Some(first) = self.chunk_at(at).filter(|_| at < end).map(|c| c.range.start) else {
            return Vec::new();
        };
        self.chunks.range(first..end).map(|(start, _)| *start).collect()
    }

    /// Changes the history of the chunk at `offset`, if it is still missing bytes.
    pub fn note(&mut self, offset: u64, change: impl FnOnce(&mut Chunk)) {
        let Some(start) = self.chunk_at(offset).map(|c| c.range.start) else {
            return;
        };
        change(self.chunks.get_mut(&start).expect("the chunk was just found"));
        self.changed.insert(start);
    }

    /// Holds the ready chunk at `offset` back until `until`.
    pub fn hold_back(&mut self, offset: u64, until: Time) {
        let Some(chunk) = self.chunk_at(offset) else {
            return;
        };
        if chunk.state == ChunkState::Ready {
            let start = chunk.range.start;
            self.set_state(start, ChunkState::Backoff(until));
        }
    }

    fn cut(&mut self, at: u64) {
        let Some(chunk) = self.chunk_at(at).copied() else {
            return;
        };
        if chunk.range.start == at {
            return;
        }
        debug_assert!(chunk.position() <= at, "a cut leaves the bytes that are there alone");
        let left = Chunk { range: ByteRange::new(chunk.range.start, at), ..chunk };
        let right = Chunk { range: ByteRange::new(at, chunk.range.end), done: 0, ..chunk };
        self.chunks.insert(left.range.start, left);
        self.chunks.insert(right.range.start, right);
        self.changed.extend([left.range.start, right.range.start]);
        if left.missing() == 0 {
            self.set_state(left.range.start, ChunkState::Done);
        }
    }

    fn set_state(&mut self, start: u64, state: ChunkState) {
        let chunk = self.chunks.get_mut(&start).expect("a state belongs to a chunk");
        let missing = chunk.missing();
        let before = std::mem::replace(&mut chunk.state, state);
        match before {
            ChunkState::Ready => {
                self.ready.remove(&start);
                self.ready_bytes -= missing;
            }
            ChunkState::Backoff(until) => _ = self.backoff.remove(&(until, start)),
            ChunkState::Done => self.done_chunks -= 1,
            ChunkState::Active(_) => {}
        }
        match state {
            ChunkState::Ready => {
                self.ready.insert(start);
                self.ready_bytes += missing;
            }
            ChunkState::Backoff(until) => _ = self.backoff.insert((until, start)),
            ChunkState::Done => self.done_chunks += 1,
            ChunkState::Active(_) => {}
        }
        self.changed.insert(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MirrorIndex, WorkerId};

    const MIB: u64 = 1 << 20;
    const W1: WorkerId = WorkerId(1);
    const M0: MirrorIndex = MirrorIndex(0);

    #[test]
    fn rows_with_a_gap_or_an_overlap_are_no_ledger() {
        let row = |start, end| Chunk::empty(ByteRange::new(start, end));
        assert!(Ledger::restored(10, &[row(0, 5), row(5, 10)]).is_some());
        assert!(Ledger::restored(10, &[row(0, 5), row(6, 10)]).is_none());
        assert!(Ledger::restored(10, &[row(0, 6), row(5, 10)]).is_none());
        assert!(Ledger::restored(10, &[row(0, 5)]).is_none());
        assert!(Ledger::restored(0, &[]).is_some());
        let overfull = Chunk { done: 11, ..row(0, 10) };
        assert!(Ledger::restored(10, &[overfull]).is_none());
    }

    #[test]
    fn the_empty_queue_does_not_mean_complete() {
        let mut ledger = Ledger::planned(MIB);
        ledger.lease(W1, M0, MIB);
        assert!(!ledger.has_ready());
        assert!(!ledger.is_complete());
        ledger.release(0, MIB);
        ledger.hold_back(0, Time::from_millis(10));
        assert!(!ledger.has_ready());
        assert!(!ledger.is_complete());
        ledger.end_backoffs(Some(Time::from_millis(10)));
        assert!(ledger.has_ready());
    }
}
