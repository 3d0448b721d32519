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

use std::collections::{BTreeMap, BTreeSet};

use crate::{ByteRange, MirrorIndex, Time, WorkerId, plan};

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
    fn is_trouble(&self) -> bool {
        self.failures > 1 || self.strikes > 1
    }
}

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

    /// Tells whether all bytes from `from` to `end` are there.
    #[must_use]
    pub fn is_done(&self, from: u64, end: u64) -> bool {
        let mut at = from;
        while at < end {
            match self.chunk_at(at).filter(|chunk| chunk.position() > at) {
                Some(chunk) => at = chunk.position(),
                None => return false,
            }
        }
        true
    }

    /// How many bytes right before `at` are there, up to `max`.
    #[must_use]
    pub fn done_before(&self, at: u64, max: u64) -> u64 {
        let mut from = at;
        while from > 0 && at - from < max {
            match self.chunk_at(from - 1).filter(|chunk| chunk.position() >= from) {
                Some(chunk) => from = chunk.range.start,
                None => break,
            }
        }
        (at - from).min(max)
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

    /// Drops the bytes of all rows that do not come from `mirror`, and returns how many these were. No lease may run.
    pub fn void_all_but(&mut self, mirror: MirrorIndex) -> u64 {
        let others: Vec<u64> =
            self.chunks.values().filter(|c| c.mirror != mirror && c.done > 0).map(|c| c.range.start).collect();
        others.into_iter().map(|start| self.empty(start)).sum()
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

    /// The end of the bytes that are there without a gap from `from` on; `from` itself where that one is missing.
    #[must_use]
    pub fn done_until(&self, from: u64) -> u64 {
        let mut until = from;
        let first = self.chunk_at(from).map_or(from, |c| c.range.start);
        for chunk in self.chunks.range(first..).map(|(_, chunk)| chunk) {
            until = until.max(chunk.position());
            if chunk.missing() > 0 || chunk.range.end > until {
                break;
            }
        }
        until
    }

    /// The bytes that are there and came from `mirror`.
    #[must_use]
    pub fn bytes_from(&self, mirror: MirrorIndex) -> u64 {
        self.chunks.values().filter(|c| c.mirror == mirror).map(|c| c.done).sum()
    }

    /// The first byte at or after `offset` of a stretch of `len` bytes that are all there, searched once around the
    /// file.
    #[must_use]
    pub fn find_done(&self, offset: u64, len: u64) -> Option<u64> {
        let mut run: Option<(u64, u64)> = None;
        let rows = self.chunks.range(offset..).chain(self.chunks.range(..offset));
        for (start, chunk) in rows {
            let begin = run.filter(|(_, end)| end == start).map_or(*start, |(begin, _)| begin);
            run = Some((begin, chunk.position()));
            if chunk.position() - begin >= len {
                return Some(begin);
            }
            if chunk.missing() > 0 {
                run = None;
            }
        }
        None
    }

    /// The longest stretch of bytes that are all there.
    #[must_use]
    pub fn longest_done(&self) -> Option<(u64, u64)> {
        let mut longest: Option<(u64, u64)> = None;
        let mut begin = 0;
        for chunk in self.chunks.values() {
            if longest.is_none_or(|(start, end)| end - start < chunk.position() - begin) {
                longest = Some((begin, chunk.position()));
            }
            if chunk.missing() > 0 {
                begin = chunk.range.end;
            }
        }
        longest.filter(|(start, end)| start < end)
    }

    fn rows_between(&self, at: u64, end: u64) -> Vec<u64> {
        let Some(first) = self.chunk_at(at).filter(|_| at < end).map(|c| c.range.start) else {
            return Vec::new();
        };
        self.chunks.range(first..end).map(|(start, _)| *start).collect()
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
    fn a_stretch_that_is_there_is_found_around_the_end() {
        let mut ledger = Ledger::planned(3 * MIB);
        ledger.lease(W1, M0, 3 * MIB);
        ledger.advance(0, MIB + 100);
        assert_eq!(ledger.find_done(0, MIB + 50), Some(0));
        assert_eq!(ledger.find_done(2 * MIB, MIB), Some(0));
        assert_eq!(ledger.find_done(0, 2 * MIB), None);
    }

    #[test]
    fn bytes_that_are_there_are_found_before_and_behind_a_seam() {
        let mut ledger = Ledger::planned(4 * MIB);
        ledger.lease(W1, M0, 2 * MIB);
        ledger.advance(0, MIB + 100);
        assert_eq!(ledger.done_before(MIB + 100, 64), 64);
        assert_eq!(ledger.done_before(MIB + 100, MIB + 50), MIB + 50, "across chunks");
        assert_eq!(ledger.done_before(MIB + 100, 9 * MIB), MIB + 100);
        assert_eq!((ledger.done_before(2 * MIB, 64), ledger.done_before(0, 64)), (0, 0));
        assert!(ledger.is_done(0, MIB + 100) && ledger.is_done(MIB - 5, MIB + 5));
        assert!(!ledger.is_done(MIB, MIB + 101) && !ledger.is_done(3 * MIB, 3 * MIB + 1));
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
    fn a_lease_ends_where_it_is_wanted_to() {
        let mut ledger = Ledger::planned(4 * MIB);
        assert_eq!(ledger.lease(W1, M0, 2 * MIB + 5), Some(ByteRange::new(0, 2 * MIB + 5)));
        assert_eq!(ledger.lease(W2, M0, 7), Some(ByteRange::new(2 * MIB + 5, 2 * MIB + 12)));
    }

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
