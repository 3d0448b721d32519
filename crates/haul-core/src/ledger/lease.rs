//! What workers do to the rows: take them, bring bytes, give back what they do not bring.

use crate::{ByteRange, MirrorIndex, WorkerId};

use super::{ChunkState, Ledger};

/// Cuts for readers are made at multiples of this, so that seeking back and forth makes few rows. A guess: what a reader asks
/// for at a time.
const CUT_BYTES: u64 = 64 << 10;

impl Ledger {
    /// Leases the first ready bytes to `worker`, which fetches them from `mirror`: `want` of them, or fewer where what follows
    /// is not ready. A chunk is cut where the lease ends within it: what a lease has too much or too little is what somebody
    /// waits for in the end, or another request.
    ///
    /// A chunk with a history of trouble is leased alone, so that nothing waits behind it. What another mirror has
    /// begun becomes a row of its own, so that each row has one origin.
    pub fn lease(&mut self, worker: WorkerId, mirror: MirrorIndex, want: u64) -> Option<ByteRange> {
        let first = *self.ready.first()?;
        Some(self.lease_from(first, worker, mirror, want))
    }

    /// The same from the chunk that begins at `start`, if that is ready.
    pub fn lease_at(&mut self, start: u64, worker: WorkerId, mirror: MirrorIndex, want: u64) -> Option<ByteRange> {
        self.ready.contains(&start).then(|| self.lease_from(start, worker, mirror, want))
    }

    /// The start of the first ready chunk that has missing bytes at or behind `at`. Where `at` lies amid the missing bytes of a
    /// ready chunk, that is cut there, or a little before.
    pub fn ready_from(&mut self, at: u64) -> Option<u64> {
        let at = self.done_until(at);
        let chunk = *self.chunk_at(at)?;
        if chunk.state != ChunkState::Ready {
            return self.ready.range(at..).next().copied();
        }
        let cut = (at - at % CUT_BYTES).max(chunk.position());
        if cut == chunk.position() {
            return Some(chunk.range.start);
        }
        self.cut(cut);
        // The bytes that are ready are the same; only they are two chunks now.
        self.ready.insert(cut);
        Some(cut)
    }

    fn lease_from(&mut self, first: u64, worker: WorkerId, mirror: MirrorIndex, want: u64) -> ByteRange {
        let first = self.chunks[&first];
        let start = first.position();
        self.set_state(first.range.start, ChunkState::Active(worker));
        if first.mirror != mirror {
            self.cut(start);
            self.chunks.get_mut(&start).expect("it was just made").mirror = mirror;
            self.changed.insert(start);
        }
        let mut end = first.range.end;
        if end - start > want {
            end = start + want.max(1);
            self.take_back(end, first.range.end);
        } else if !first.is_trouble() {
            end = self.extend(worker, mirror, end, want - (end - start));
        }
        ByteRange::new(start, end)
    }

    /// Adds up to `want` bytes of untouched ready chunks behind `end` to the lease of `worker`, and returns its new end.
    pub fn extend(&mut self, worker: WorkerId, mirror: MirrorIndex, mut end: u64, want: u64) -> u64 {
        let until = end.saturating_add(want);
        while let Some(next) = self.chunks.get(&end).filter(|_| end < until) {
            if next.state != ChunkState::Ready || next.done > 0 || next.is_trouble() {
                break;
            }
            let start = end;
            end = next.range.end;
            self.chunks.get_mut(&start).expect("it was just there").mirror = mirror;
            self.set_state(start, ChunkState::Active(worker));
            if end > until {
                self.take_back(until, end);
                end = until;
            }
        }
        end
    }

    /// Leases all that is missing to `worker`, which reads the whole file in one stream from `mirror`.
    pub fn lease_all(&mut self, worker: WorkerId, mirror: MirrorIndex) {
        let open: Vec<u64> = self.chunks.values().filter(|c| c.missing() > 0).map(|c| c.range.start).collect();
        for start in open {
            self.chunks.get_mut(&start).expect("it was just there").mirror = mirror;
            self.set_state(start, ChunkState::Active(worker));
        }
    }

    /// Notes that `worker` owns the missing bytes between `at` and `end`, which another one has leased so far.
    pub fn hand_over(&mut self, at: u64, end: u64, worker: WorkerId) {
        for start in self.rows_between(at, end) {
            if matches!(self.chunks[&start].state, ChunkState::Active(_)) {
                self.set_state(start, ChunkState::Active(worker));
            }
        }
    }

    /// Notes that bytes of the rows between `at` and `end` may come from `mirror`, too.
    pub fn attribute(&mut self, at: u64, end: u64, mirror: MirrorIndex) {
        for start in self.rows_between(at, end) {
            self.chunks.get_mut(&start).expect("it was just there").mirror = mirror;
            self.changed.insert(start);
        }
    }

    /// Notes that the bytes from `from` to `to`, all within one lease, have been written, and returns how many of them
    /// are news: in a race the other one may have been faster.
    pub fn advance(&mut self, from: u64, to: u64) -> u64 {
        let mut at = from;
        let mut news = 0;
        while at < to {
            let Some(start) = self.chunk_at(at).map(|c| c.range.start) else {
                break;
            };
            let chunk = self.chunks.get_mut(&start).expect("the chunk was just found");
            let end = to.min(chunk.range.end);
            debug_assert!(chunk.position() >= at, "progress starts within the prefix or at its end");
            at = end;
            if chunk.position() >= end {
                continue;
            }
            debug_assert!(matches!(chunk.state, ChunkState::Active(_)), "only a lease makes progress");
            let step = end - chunk.position();
            chunk.done += step;
            chunk.failures = 0;
            self.done_bytes += step;
            news += step;
            let complete = chunk.missing() == 0;
            self.changed.insert(start);
            if complete {
                self.set_state(start, ChunkState::Done);
            }
        }
        news
    }

    /// Takes the bytes from `at` to `end` back from the lease that they belong to.
    ///
    /// A cut inside a chunk makes two rows; retries and strikes stay with both, since either may have earned them.
    pub fn take_back(&mut self, at: u64, end: u64) {
        if at >= end {
            return;
        }
        self.cut(at);
        let taken: Vec<u64> = self.chunks.range(at..end).map(|(start, _)| *start).collect();
        for start in taken {
            if self.chunks[&start].missing() > 0 {
                self.set_state(start, ChunkState::Ready);
            }
        }
    }

    /// Ends a lease whose next byte would have been at `at`: what it did not fetch is ready again.
    pub fn release(&mut self, at: u64, end: u64) {
        for start in self.rows_between(at, end) {
            if self.chunks[&start].missing() > 0 {
                self.set_state(start, ChunkState::Ready);
            }
        }
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
    fn a_lease_covers_whole_adjoining_chunks() {
        let mut ledger = Ledger::planned(10 * MIB);
        assert_eq!(ledger.lease(W1, M0, 3 * MIB), Some(ByteRange::new(0, 3 * MIB)));
        assert_eq!(ledger.lease(W2, M0, MIB), Some(ByteRange::new(3 * MIB, 4 * MIB)));
    }

    #[test]
    fn a_lease_that_is_smaller_by_far_makes_a_row_of_its_own() {
        let mut ledger = Ledger::planned(2 * MIB);
        assert_eq!(ledger.lease(W1, M0, MIB / 2), Some(ByteRange::new(0, MIB / 2)));
        assert_eq!(ledger.lease(W2, M0, 2 * MIB), Some(ByteRange::new(MIB / 2, 2 * MIB)));
        assert_eq!(ledger.counts(), (0, 3));
    }

    #[test]
    fn in_a_race_the_further_one_counts() {
        let mut ledger = Ledger::planned(MIB);
        ledger.lease(W1, M0, MIB);
        assert_eq!(ledger.advance(0, 500), 500);
        assert_eq!(ledger.advance(0, 700), 200);
        assert_eq!(ledger.advance(500, 600), 0);
        assert_eq!(ledger.done_bytes(), 700);
    }

    #[test]
    fn a_released_lease_keeps_its_bytes_and_starts_behind_them() {
        let mut ledger = Ledger::planned(4 * MIB);
        ledger.lease(W1, M0, 4 * MIB);
        ledger.advance(0, MIB + 5);
        ledger.release(MIB + 5, 4 * MIB);
        assert_eq!(ledger.done_bytes(), MIB + 5);
        assert_eq!(ledger.lease(W2, M0, 4 * MIB), Some(ByteRange::new(MIB + 5, 4 * MIB)));
    }

    #[test]
    fn a_lease_never_runs_over_bytes_that_are_there() {
        let mut ledger = Ledger::planned(3 * MIB);
        ledger.lease(W1, M0, MIB);
        ledger.lease(W2, M0, MIB);
        ledger.advance(MIB, MIB + 7);
        ledger.release(0, MIB);
        ledger.release(MIB + 7, 2 * MIB);
        assert_eq!(ledger.lease(W1, M0, 3 * MIB), Some(ByteRange::new(0, MIB)));
    }

    #[test]
    fn a_cut_inside_a_chunk_makes_two_rows_and_the_history_goes_with_both() {
        let mut ledger = Ledger::planned(2 * MIB);
        ledger.lease(W1, M0, 2 * MIB);
        ledger.note(5, |c| c.strikes = 2);
        ledger.advance(0, 10);
        ledger.take_back(100, 2 * MIB);
        let rows: Vec<_> = ledger.chunks().map(|c| (c.range, c.done, c.strikes)).collect();
        assert_eq!(
            rows,
            [(ByteRange::new(0, 100), 10, 2), (ByteRange::new(100, MIB), 0, 2), (ByteRange::new(MIB, 2 * MIB), 0, 0),]
        );
        ledger.advance(10, 100);
        assert_eq!(ledger.counts(), (1, 3));
    }

    #[test]
    fn a_chunk_with_a_history_is_leased_alone() {
        let mut ledger = Ledger::planned(4 * MIB);
        ledger.note(0, |c| c.strikes = 2);
        assert_eq!(ledger.lease(W1, M0, 4 * MIB), Some(ByteRange::new(0, MIB)));
        ledger.note(2 * MIB, |c| c.failures = 2);
        assert_eq!(ledger.lease(W2, M0, 4 * MIB), Some(ByteRange::new(MIB, 2 * MIB)));
    }

    #[test]
    fn one_strike_or_failure_does_not_part_a_chunk_from_what_follows() {
        let mut ledger = Ledger::planned(4 * MIB);
        ledger.note(0, |c| c.strikes = 1);
        ledger.note(2 * MIB, |c| c.failures = 1);
        assert_eq!(ledger.lease(W1, M0, 4 * MIB), Some(ByteRange::new(0, 4 * MIB)));
    }

    #[test]
    fn what_is_ready_from_an_offset_on_begins_there_or_at_the_next_chunk() {
        let mut ledger = Ledger::planned(4 * MIB);
        assert_eq!(ledger.ready_from(0), Some(0));
        assert_eq!(ledger.ready_from(MIB + 3 * CUT_BYTES + 5), Some(MIB + 3 * CUT_BYTES));
        assert_eq!((ledger.counts(), ledger.ready_bytes()), ((0, 5), 4 * MIB));
        let from = MIB + 3 * CUT_BYTES;
        assert_eq!(ledger.lease_at(from, W1, M0, MIB), Some(ByteRange::new(from, from + MIB)));
        assert_eq!(ledger.ready_from(from), Some(from + MIB), "what is being fetched is passed over");
        ledger.advance(from, from + 70_000);
        ledger.release(from + 70_000, from + MIB);
        assert_eq!(ledger.ready_from(from), Some(from), "the bytes that are there are passed over");
        assert_eq!(ledger.lease_at(from, W2, M0, 1), Some(ByteRange::new(from + 70_000, from + 70_001)));
        assert_eq!(ledger.ready_from(4 * MIB), None);
        assert_eq!(ledger.ready_from(u64::MAX), None);
    }

    #[test]
    fn a_lease_ends_where_it_is_wanted_to() {
        let mut ledger = Ledger::planned(4 * MIB);
        assert_eq!(ledger.lease(W1, M0, 2 * MIB + 5), Some(ByteRange::new(0, 2 * MIB + 5)));
        assert_eq!(ledger.lease(W2, M0, 7), Some(ByteRange::new(2 * MIB + 5, 2 * MIB + 12)));
    }
}
