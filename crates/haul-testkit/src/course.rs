//! The faults that lie on the way of one body.
//!
//! A fault is *ahead* until sending reaches its place, *active* until its place ends, and then gone:
//!
//! ```text
//! ahead --(position reached, rule still has a hit left)--> active --(end of its place)--> gone
//!   `-----(position reached, region has had its hits)--------------------------------------^
//! ```

use std::ops::Range;

use crate::fault::{Do, Rule};
use crate::pace::Pacer;

/// The faults of one body, by position.
#[derive(Debug)]
pub(crate) struct Course<'a> {
    ahead: Vec<(Range<u64>, &'a Rule)>,
    slow: Vec<(u64, Pacer)>,
    corrupt: Vec<u64>,
    ends: Vec<(u64, Stop)>,
}

/// How a body ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Reset,
    Close,
    Stall,
}

impl<'a> Course<'a> {
    pub(crate) fn new(rules: &[&'a Rule], positions: &Range<u64>) -> Self {
        let ahead = rules
            .iter()
            .filter(|rule| rule.action.is_of_body())
            .map(|rule| (rule.part_of(positions), *rule))
            // A region that is not touched is not reached. A fault of the whole body is, even of an
            // empty one.
            .filter(|(part, _)| !part.is_empty() || part == positions)
            .collect();
        Self { ahead, slow: Vec::new(), corrupt: Vec::new(), ends: Vec::new() }
    }

    /// Sending has reached `position`; the answer says whether it ends here.
    pub(crate) fn reach(&mut self, position: u64) -> Option<Stop> {
        let mut ahead = std::mem::take(&mut self.ahead);
        ahead.retain(|(part, rule)| {
            let reached = part.start <= position;
            if reached && rule.claim() {
                self.activate(part, &rule.action);
            }
            !reached
        });
        self.ahead = ahead;
        self.slow.retain(|(until, _)| *until > position);
        self.corrupt.retain(|until| *until > position);
        let due = self.ends.iter().find(|(at, _)| *at <= position);
        due.map(|(_, stop)| *stop)
    }

    fn activate(&mut self, part: &Range<u64>, action: &Do) {
        let mut end = |after: u64, stop| self.ends.push((part.start.saturating_add(after), stop));
        if let Do::ResetAfter(n) = action {
            end(*n, Stop::Reset);
        } else if let Do::CloseAfter(n) = action {
            end(*n, Stop::Close);
        } else if let Do::StallAfter(n) = action {
            end(*n, Stop::Stall);
        } else if let Do::Trickle(rate) = action {
            self.slow.push((part.end, Pacer::new(*rate)));
        } else if matches!(action, Do::Corrupt) {
            self.corrupt.push(part.end);
        }
    }

    /// The next position after `position` where something changes, at most `end`.
    pub(crate) fn next_change(&self, position: u64, end: u64) -> u64 {
        let places = self.ahead.iter().map(|(part, _)| part.start);
        let places = places.chain(self.slow.iter().map(|(until, _)| *until));
        let places = places.chain(self.corrupt.iter().copied());
        let places = places.chain(self.ends.iter().map(|(at, _)| *at));
        places.filter(|&at| at > position).fold(end, u64::min)
    }

    /// Whether the bytes at the reached position are flipped.
    pub(crate) fn corrupts(&self) -> bool {
        !self.corrupt.is_empty()
    }

    /// The paces of the trickles at the reached position.
    pub(crate) fn pacers(&mut self) -> impl Iterator<Item = &mut Pacer> {
        self.slow.iter_mut().map(|(_, pacer)| pacer)
    }
}
