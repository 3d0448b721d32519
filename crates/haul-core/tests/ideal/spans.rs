//! Which bytes have been written: the world's own record.

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub(crate) struct Spans {
    /// Start and end of each stretch, apart from each other.
    spans: BTreeMap<u64, u64>,
}

impl Spans {
    /// Notes that `start..end` was written.
    pub(crate) fn add(&mut self, start: u64, end: u64) {
        let (mut from, mut to) = (start, end);
        while let Some((s, e)) = self.spans.range(..=to).next_back().map(|(s, e)| (*s, *e)).filter(|(_, e)| *e >= from)
        {
            from = from.min(s);
            to = to.max(e);
            self.spans.remove(&s);
        }
        if from < to {
            self.spans.insert(from, to);
        }
    }

    /// Tells whether `0..end` was written, and nothing else.
    pub(crate) fn are_all_of(&self, end: u64) -> bool {
        self.spans.iter().eq([(&0, &end)])
    }
}
