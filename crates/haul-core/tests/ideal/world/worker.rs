//! One request and the connection that it is on: at which rate its bytes flow, and what comes next for it.

use haul_core::WorkerId;

use crate::nature::{Connection, Nanos, Nature, nanos, seconds, whole};

/// A connection in use or kept alive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire {
    pub(super) like: Connection,
    pub(super) place: usize,
    pub(super) ordinal: u32,
    /// Bytes that earlier requests have carried.
    pub(super) carried: u64,
    /// When its first byte came.
    pub(super) born: Nanos,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) from: u64,
    /// It writes nothing at or behind this.
    pub(super) mark: u64,
    /// The end of what it asked for.
    pub(super) request_end: u64,
    pub(super) response: Nanos,
    pub(super) stall: Nanos,
    pub(super) wire: Option<Wire>,
    pub(super) phase: Phase,
    /// Where its next byte went at `since`.
    pub(super) base: f64,
    pub(super) since: Nanos,
    pub(super) rate: f64,
    /// What comes next for it, and when.
    pub(super) limit: u64,
    pub(super) due: Nanos,
    pub(super) grows_at: Nanos,
    pub(super) stop_at: Nanos,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The request is on its way.
    Asking,
    /// No answer will come.
    Unanswered,
    Flowing,
    /// No byte will come any more.
    Silent,
}

impl Worker {
    pub(super) fn at(&self, now: Nanos) -> u64 {
        if self.phase == Phase::Flowing {
            whole(self.base + self.rate * seconds(now - self.since)).min(self.limit)
        } else {
            whole(self.base)
        }
    }

    /// Lets bytes flow until now. A flow that is due has come exactly to its limit.
    pub(super) fn settle(&mut self, now: Nanos) {
        if self.phase == Phase::Flowing {
            let to = self.base + self.rate * seconds(now - self.since);
            self.base = if now >= self.due { self.limit as f64 } else { to.min(self.limit as f64) };
        }
        self.since = now;
        self.grows_at = Nanos::MAX;
    }

    pub(super) fn next(&self) -> Nanos {
        self.due.min(self.stop_at).min(self.grows_at)
    }

    /// Where its connection's life ends, if that lies within this request.
    pub(super) fn breaks_at(&self) -> u64 {
        self.wire.map_or(u64::MAX, |wire| self.from.saturating_add(wire.like.life.saturating_sub(wire.carried)))
    }

    /// What it could take if the link were endless.
    pub(super) fn wants(&self, nature: &Nature) -> f64 {
        let wire = self.wire.expect("a flow has a connection");
        let rate = nature.full_rate(wire.like.factor, wire.place).min(nature.window(self.since - wire.born));
        match nature.slow {
            Some((region, slow)) if region.contains(whole(self.base)) => rate.min(slow),
            Some(_) | None => rate,
        }
    }

    /// Sees what comes next for a flow.
    pub(super) fn plan(&mut self, nature: &Nature) {
        if self.phase != Phase::Flowing {
            return;
        }
        let at = whole(self.base);
        self.limit = self.mark.min(self.request_end).min(self.breaks_at());
        if let Some((region, _)) = nature.slow {
            let border = if at < region.start { region.start } else { region.end };
            if at < border {
                self.limit = self.limit.min(border);
            }
        }
        let left = (self.limit as f64 - self.base).max(0.0);
        self.due = self.since + nanos(left / self.rate);
        self.grows_at = self.next_growth(nature);
    }

    /// When it could become faster, for being older.
    fn next_growth(&self, nature: &Nature) -> Nanos {
        let wire = self.wire.expect("a flow has a connection");
        let age = self.since - wire.born;
        let full = nature.full_rate(wire.like.factor, wire.place);
        if nature.window(age) >= full { Nanos::MAX } else { wire.born + (age / nature.connect + 1) * nature.connect }
    }
}
