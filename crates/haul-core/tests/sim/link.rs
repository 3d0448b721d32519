//! Virtual transfers: bytes that flow at a rate, up to an end mark that can be moved.

use std::collections::BTreeMap;
use std::time::Duration;

use haul_core::messages::{Fetch, FetchKind, StopReason};
use haul_core::{FaultKind, JobId, Time};

use crate::host::{Body, Host, Mishap, Slow};

/// One running transfer.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) job: JobId,
    pub(crate) fetch: Fetch,
    pub(crate) started: Time,
    pub(crate) at: u64,
    /// It never writes at or behind this.
    pub(crate) mark: u64,
    pub(crate) phase: Phase,
    /// Happenings of earlier plans are void.
    pub(crate) plan: u64,
    pub(crate) stopping: Option<StopReason>,
    /// Another first request was answered before this one: what this one brings is the same, and nobody counts it.
    pub(crate) overtaken: bool,
    pub(crate) throttled: bool,
    /// Another one fetches the same bytes, or has done so.
    pub(crate) raced: bool,
    /// What it compares is other than what is there, from this byte on.
    pub(crate) differs_at: Option<u64>,
    /// Slow regions of the file that this request has met, and whether they are slow for it.
    slow: BTreeMap<usize, bool>,
}

#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// The answer is on its way.
    Asking,
    Flowing {
        body: Body,
        rate: f64,
        since: Time,
    },
    /// No byte will come any more.
    Silent,
}

/// What comes next for a flow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Next {
    /// Look again then.
    At(Time),
    Finished,
    Fault(FaultKind),
    Silent,
}

impl Worker {
    pub(crate) fn new(now: Time, fetch: Fetch) -> Self {
        Self {
            job: fetch.job,
            started: now,
            at: fetch.from,
            mark: fetch.end.unwrap_or(u64::MAX),
            phase: Phase::Asking,
            plan: 0,
            stopping: None,
            overtaken: false,
            throttled: false,
            raced: false,
            differs_at: None,
            slow: BTreeMap::new(),
            fetch,
        }
    }

    /// It brings bytes, and does not just compare them.
    pub(crate) fn writes(&self) -> bool {
        self.fetch.kind != FetchKind::Compare
    }

    pub(crate) fn is_ranged(&self) -> bool {
        self.fetch.kind != FetchKind::Whole
    }

    /// Lets bytes flow until `now`; returns the range that was written.
    pub(crate) fn flow(&mut self, now: Time) -> (u64, u64) {
        let before = self.at;
        if let Phase::Flowing { body, rate, since } = &mut self.phase {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
            let bytes = (*rate * now.since(*since).as_secs_f64() + 0.5) as u64;
            let limit = self.mark.min(body.end).min(body.mishap.map_or(u64::MAX, |(at, _)| at));
            self.at = (self.at + bytes).min(limit.max(self.at));
            *since = now;
        }
        (before, self.at)
    }

    /// Plans the next stretch of the flow, at most `tick` long. `fair` is what the link has for it, `limit` what our own
    /// bandwidth limit leaves it.
    pub(crate) fn plan(
        &mut self,
        now: Time,
        tick: Duration,
        host: &Host,
        fair: f64,
        limit: f64,
        slow: &mut [Slow],
    ) -> Next {
        let Phase::Flowing { body, rate, .. } = &mut self.phase else {
            return Next::At(now + tick);
        };
        if self.at >= self.mark || self.at >= body.end {
            return Next::Finished;
        }
        let mut limit_at = self.mark.min(body.end);
        if let Some((at, mishap)) = body.mishap {
            if self.at >= at {
                return if mishap == Mishap::Stall {
                    Next::Silent
                } else if mishap == Mishap::Truncated {
                    Next::Fault(FaultKind::Truncated)
                } else if mishap == Mishap::Internal {
                    Next::Fault(FaultKind::Internal)
                } else {
                    Next::Fault(FaultKind::Reset)
                };
            }
            limit_at = limit_at.min(at);
        }
        *rate = host.per_connection.min(fair);
        for (index, region) in slow.iter_mut().enumerate() {
            if region.region.contains(self.at) {
                let is_slow = *self.slow.entry(index).or_insert_with(|| {
                    let slow = region.requests_left > 0;
                    region.requests_left = region.requests_left.saturating_sub(1);
                    slow
                });
                if is_slow {
                    *rate = rate.min(region.rate);
                }
                limit_at = limit_at.min(region.region.end);
            } else if self.at < region.region.start {
                limit_at = limit_at.min(region.region.start);
            }
        }
        if limit < *rate {
            *rate = limit;
            self.throttled = true;
        }
        let left = Duration::from_secs_f64((limit_at - self.at) as f64 / rate.max(1.0));
        Next::At(now + left.min(tick).max(Duration::from_micros(1)))
    }
}

impl Worker {
    /// It has written all that it may, or all that there is.
    pub(crate) fn is_at_end(&self) -> bool {
        match &self.phase {
            Phase::Asking => false,
            Phase::Flowing { body, .. } => self.at >= self.mark || self.at >= body.end,
            Phase::Silent => self.at >= self.mark,
        }
    }
}
