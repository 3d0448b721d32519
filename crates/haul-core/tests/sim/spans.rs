//! Which bytes have been written: the world's own record, independent of the engine's.

use std::collections::BTreeMap;

use haul_core::Chunk;

#[derive(Clone, Debug, Default)]
pub(crate) struct Spans {
    /// Start and end of each stretch, apart from each other.
    spans: BTreeMap<u64, u64>,
    bytes: u64,
}

impl Spans {
    /// The bytes that these rows claim.
    pub(crate) fn of_rows<'a>(rows: impl Iterator<Item = &'a Chunk>) -> Self {
        let mut spans = Self::default();
        for row in rows {
            spans.add(row.range.start, row.position());
        }
        spans
    }

    /// Notes that `start..end` was written; returns how many of these bytes were there before.
    pub(crate) fn add(&mut self, start: u64, end: u64) -> u64 {
        if start >= end {
            return 0;
        }
        let (mut from, mut to) = (start, end);
        let mut twice = 0;
        let near: Vec<(u64, u64)> =
            self.spans.range(..=end).rev().take_while(|(_, e)| **e >= start).map(|(s, e)| (*s, *e)).collect();
        for (s, e) in near {
            twice += e.min(end).saturating_sub(s.max(start));
            from = from.min(s);
            to = to.max(e);
            self.spans.remove(&s);
        }
        self.spans.insert(from, to);
        self.bytes += end - start - twice;
        twice
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn covers(&self, start: u64, end: u64) -> bool {
        start >= end || self.spans.range(..=start).next_back().is_some_and(|(_, e)| *e >= end)
    }

    pub(crate) fn touches(&self, start: u64, end: u64) -> bool {
        self.spans.range(..end).next_back().is_some_and(|(_, e)| *e > start)
    }
}
