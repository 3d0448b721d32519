//! How bytes that were there are dropped again.

use crate::{ByteRange, MirrorIndex, WorkerId};

use super::{Chunk, ChunkState, Ledger};

impl Ledger {
    /// Drops the bytes of all rows that do not come from `mirror`, and returns how many these were. No lease may run.
    pub fn void_all_but(&mut self, mirror: MirrorIndex) -> u64 {
        self.void_where(|giver| giver != mirror)
    }

    /// Drops the bytes of all rows that come from `mirror`, and returns how many these were. No lease may run.
    pub fn void_from(&mut self, mirror: MirrorIndex) -> u64 {
        self.void_where(|giver| giver == mirror)
    }

    fn void_where(&mut self, is_doubtful: impl Fn(MirrorIndex) -> bool) -> u64 {
        let rows = self.chunks.values().filter(|chunk| chunk.done > 0 && is_doubtful(chunk.mirror));
        let starts: Vec<u64> = rows.map(|chunk| chunk.range.start).collect();
        starts.into_iter().map(|start| self.empty(start)).sum()
    }

    /// Drops the bytes of `range`, and of nothing else: rows that reach beyond it are cut at its ends. Returns how many
    /// these were. No lease may run.
    pub fn void(&mut self, range: ByteRange) -> u64 {
        self.split_done(range.start);
        self.split_done(range.end);
        let within = self.rows_between(range.start, range.end);
        within.into_iter().map(|start| self.empty(start)).sum()
    }

    /// Cuts a row at `at` where bytes on both sides of it are there.
    fn split_done(&mut self, at: u64) {
        let Some(chunk) = self.chunk_at(at).copied().filter(|c| c.range.start < at && at < c.position()) else {
            return;
        };
        let left = Chunk { range: ByteRange::new(chunk.range.start, at), done: at - chunk.range.start, ..chunk };
        let right = Chunk { range: ByteRange::new(at, chunk.range.end), done: chunk.position() - at, ..chunk };
        self.chunks.insert(left.range.start, left);
        self.chunks.insert(right.range.start, right);
        self.changed.insert(right.range.start);
        match chunk.state {
            ChunkState::Done => self.done_chunks += 1,
            // The bytes that are missing all belong to the right one.
            ChunkState::Ready | ChunkState::Backoff(_) | ChunkState::Active(_) => {
                self.ready.remove(&left.range.start);
                if let ChunkState::Backoff(until) = chunk.state {
                    self.backoff.remove(&(until, left.range.start));
                    self.backoff.insert((until, at));
                }
                if chunk.state == ChunkState::Ready {
                    self.ready.insert(at);
                }
                self.chunks.get_mut(&left.range.start).expect("it was just made").state = ChunkState::Done;
                self.done_chunks += 1;
            }
        }
        self.changed.insert(left.range.start);
    }

    /// Drops the bytes of one row and returns how many these were.
    fn empty(&mut self, start: u64) -> u64 {
        // Out of all sums, and back into them as an empty row.
        self.set_state(start, ChunkState::Active(WorkerId(0)));
        let chunk = self.chunks.get_mut(&start).expect("a row that was just found");
        let bytes = std::mem::take(&mut chunk.done);
        self.done_bytes -= bytes;
        self.set_state(start, ChunkState::Ready);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const W1: WorkerId = WorkerId(1);
    const W2: WorkerId = WorkerId(2);
    const M0: MirrorIndex = MirrorIndex(0);

    #[test]
    fn what_another_mirror_has_begun_becomes_a_row_of_its_own() {
        let mut ledger = Ledger::planned(MIB);
        ledger.lease(W1, M0, MIB);
        ledger.advance(0, 100);
        ledger.release(100, MIB);
        assert_eq!(ledger.lease(W2, MirrorIndex(1), MIB), Some(ByteRange::new(100, MIB)));
        ledger.advance(100, 300);
        assert_eq!((ledger.bytes_from(M0), ledger.bytes_from(MirrorIndex(1))), (100, 200));
        ledger.release(300, MIB);
        assert_eq!(ledger.void_all_but(M0), 200);
        assert_eq!((ledger.done_bytes(), ledger.ready_bytes()), (100, MIB - 100));
    }

    #[test]
    fn a_voided_range_cuts_the_rows_that_reach_beyond_it() {
        let mut ledger = Ledger::planned(3 * MIB);
        ledger.lease(W1, M0, 3 * MIB);
        ledger.advance(0, 3 * MIB);
        assert_eq!(ledger.void(ByteRange::new(MIB / 2, MIB + 10)), MIB / 2 + 10);
        let rows: Vec<_> = ledger.chunks().map(|c| (c.range.start, c.range.end, c.done)).collect();
        let (half, behind) = (MIB / 2, MIB + 10);
        assert_eq!(
            rows,
            [(0, half, half), (half, MIB, 0), (MIB, behind, 0), (behind, 2 * MIB, MIB - 10), (2 * MIB, 3 * MIB, MIB)]
        );
        assert_eq!((ledger.counts(), ledger.ready_bytes()), ((3, 5), MIB / 2 + 10));
        assert_eq!((ledger.done_until(0), ledger.done_until(half), ledger.done_until(behind)), (half, half, 3 * MIB));
        assert!(!ledger.is_complete());
        assert_eq!(ledger.lease(W2, M0, 3 * MIB), Some(ByteRange::new(half, behind)));
        ledger.advance(half, behind);
        assert!(ledger.is_complete());
    }

    #[test]
    fn a_voided_range_takes_nothing_from_beside_it_in_a_row_that_is_not_done() {
        let mut ledger = Ledger::planned(MIB);
        ledger.lease(W1, M0, MIB);
        ledger.advance(0, 1000);
        ledger.release(1000, MIB);
        assert_eq!(ledger.void(ByteRange::new(400, 600)), 200);
        assert_eq!((ledger.done_bytes(), ledger.ready_bytes()), (800, MIB - 800));
        assert_eq!(ledger.done_until(0), 400);
        let rows: Vec<_> = ledger.chunks().map(|c| (c.range.start, c.done)).collect();
        assert_eq!(rows, [(0, 400), (400, 0), (600, 400)]);
        assert!(Ledger::restored(MIB, &ledger.chunks().copied().collect::<Vec<_>>()).is_some());
        assert!(!ledger.is_complete(), "the sums are those of the rows");
    }
}
