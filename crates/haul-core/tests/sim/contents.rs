//! What the bytes of a part file are, whoever wrote them.

use std::collections::BTreeMap;

use haul_core::ByteRange;

/// What the bytes of a file look like: two makes differ in every byte.
pub(crate) type Make = u32;

/// Which stretch of a part file is of which make.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    /// End and make of each stretch, by its start.
    pieces: BTreeMap<u64, (u64, Make)>,
}

impl Contents {
    /// Writes over what was there.
    pub(crate) fn put(&mut self, range: ByteRange, make: Make) {
        if range.is_empty() {
            return;
        }
        self.cut(range.start);
        self.cut(range.end);
        let under: Vec<u64> = self.pieces.range(range.start..range.end).map(|(start, _)| *start).collect();
        for start in under {
            self.pieces.remove(&start);
        }
        let left = self.pieces.range(..range.start).next_back().map(|(start, (end, of))| (*start, *end, *of));
        let start = left.filter(|(_, end, of)| (*end, *of) == (range.start, make)).map_or(range.start, |left| left.0);
        self.pieces.insert(start, (range.end, make));
    }

    /// The first byte of a range that is not of this make, or not there.
    pub(crate) fn first_other(&self, range: ByteRange, make: Make) -> Option<u64> {
        let mut at = range.start;
        while at < range.end {
            match self.piece_at(at) {
                Some((end, of)) if of == make => at = end,
                Some(_) | None => return Some(at),
            }
        }
        None
    }

    /// The makes of a range's bytes, each stretch's once.
    pub(crate) fn makes(&self, range: ByteRange) -> Vec<Make> {
        let mut makes = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let Some((end, make)) = self.piece_at(at) else { break };
            makes.push(make);
            at = end;
        }
        makes
    }

    fn piece_at(&self, at: u64) -> Option<(u64, Make)> {
        self.pieces.range(..=at).next_back().map(|(_, piece)| *piece).filter(|(end, _)| *end > at)
    }

    fn cut(&mut self, at: u64) {
        let across = self.pieces.range(..at).next_back().map(|(start, (end, make))| (*start, *end, *make));
        if let Some((start, end, make)) = across.filter(|(_, end, _)| *end > at) {
            self.pieces.insert(start, (at, make));
            self.pieces.insert(at, (end, make));
        }
    }
}
