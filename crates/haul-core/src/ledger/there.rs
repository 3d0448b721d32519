//! Which stretches of the file are there, across rows.

use crate::MirrorIndex;

use super::Ledger;

impl Ledger {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WorkerId;

    const MIB: u64 = 1 << 20;
    const W1: WorkerId = WorkerId(1);
    const M0: MirrorIndex = MirrorIndex(0);

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
}
