//! One running transfer, as the engine sees it.

use std::time::Duration;

use crate::messages::{Fetch, FetchKind, StopReason};
use crate::meter::Meter;
use crate::{JobId, MirrorIndex, Time, WorkerId};

use super::host::HostId;
use super::steal::SPEED_KNOWN;

/// The stretch over which a worker's speed is judged.
pub(super) const WINDOW: Duration = Duration::from_secs(2);

/// When a worker's start is judged, and over which stretch the speed that it has got to is taken.
const LAG_AFTER: Duration = Duration::from_secs(2);
const LAG_WINDOW: Duration = Duration::from_secs(1);

/// A worker gets going for so long at most, or for so many round trips, in which the data under way grow a few thousand
/// times; as long as its speed over this stretch is that of its whole life times this.
const GROWS_FOR: Duration = Duration::from_secs(3);
const GROWS_FOR_ROUND_TRIPS: u32 = 12;
const GROWTH_WINDOW: Duration = Duration::from_millis(200);
const GROWTH: f64 = 1.2;

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) job: JobId,
    pub(super) mirror: MirrorIndex,
    pub(super) host: HostId,
    pub(super) kind: FetchKind,
    /// It asks the submitted URL, because the link behind it had expired.
    pub(super) resolve: bool,
    /// Bytes before its first one that it compares; none once they were equal.
    pub(super) overlap: u64,
    pub(super) started: Time,
    /// Where it started.
    pub(super) from: u64,
    /// Where its next byte goes, as last reported.
    pub(super) at: u64,
    /// Its bytes are known to be there at least up to here: a cut came back from here, or a rival has brought them.
    pub(super) claimed: u64,
    /// The end of its lease; `u64::MAX` while the file's length is unknown.
    pub(super) end: u64,
    /// The end of what it asked the server for.
    pub(super) request_end: u64,
    /// When its answer began.
    pub(super) opened_at: Option<Time>,
    /// Its answer is later than usual, and its host knows.
    pub(super) late: bool,
    /// The speed of the request before it, where it goes on the same connection.
    pub(super) kept_speed: Option<f64>,
    /// When its last byte was reported, or its answer began.
    pub(super) moved_at: Time,
    /// When it last reported how far it is.
    pub(super) reported_at: Time,
    /// From when and where on its speed is measured to judge a step of the ramp; `None` until it has reported bytes. The first
    /// ones often come faster than the rest.
    measured_from: Option<(Time, u64)>,
    /// What its start has cost has been noted.
    pub(super) lag_noted: bool,
    pub(super) meter: Meter,
    /// When our own limit last held it up.
    pub(super) throttled_at: Option<Time>,
    /// The end that was wished for; the answer to that `SetEnd` is due.
    pub(super) wished_end: Option<u64>,
    /// Another worker fetches the same bytes: whoever gets there first wins.
    pub(super) rival: Option<WorkerId>,
    /// The race began because no answer did: the first to be answered wins.
    pub(super) races_for_an_answer: bool,
    /// Bytes that its job was charged for its race when that began.
    pub(super) stake: u64,
    /// It is not worth its connection: it goes on to its end, and no further.
    pub(super) retiring: bool,
    pub(super) stopping: Option<StopReason>,
}

impl Worker {
    pub(super) fn new(now: Time, fetch: &Fetch, host: HostId, kept_speed: Option<f64>) -> Self {
        Self {
            id: fetch.worker,
            job: fetch.job,
            mirror: fetch.mirror,
            host,
            kind: fetch.kind,
            resolve: fetch.resolve,
            overlap: fetch.overlap,
            started: now,
            from: fetch.from,
            at: fetch.from,
            claimed: fetch.from,
            end: fetch.end.unwrap_or(u64::MAX),
            request_end: fetch.end.unwrap_or(u64::MAX),
            opened_at: None,
            late: false,
            kept_speed,
            moved_at: now,
            reported_at: now,
            measured_from: None,
            lag_noted: false,
            meter: Meter::new(now, fetch.from, WINDOW),
            throttled_at: None,
            wished_end: None,
            rival: None,
            races_for_an_answer: false,
            stake: 0,
            retiring: false,
            stopping: None,
        }
    }

    /// Bytes of its lease that are missing.
    pub(super) fn remaining(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }

    /// Bytes of its lease that can still be taken from it, as far as is known.
    pub(super) fn takeable(&self) -> u64 {
        self.end.saturating_sub(self.at.max(self.claimed))
    }

    /// It is the younger one of two that race.
    pub(super) fn is_second(&self) -> bool {
        self.rival.is_some_and(|rival| rival < self.id)
    }

    /// It is to find out what the file is like, and has no answer yet.
    pub(super) fn awaits_first_answer(&self) -> bool {
        self.kind == FetchKind::Probe && self.opened_at.is_none() && self.stopping.is_none()
    }

    /// Its answer has begun, and nothing has been decided about it that is still to come true.
    pub(super) fn is_steady(&self) -> bool {
        self.opened_at.is_some() && self.wished_end.is_none() && self.stopping.is_none()
    }

    /// Its speed is measured from its last report on, once it has brought something.
    pub(super) fn measure_from_here(&mut self) {
        self.measured_from = (self.at > self.from).then_some((self.reported_at, self.at));
    }

    /// It has reported: its speed is measured from here on, if it is not measured yet.
    pub(super) fn start_measuring(&mut self) {
        if self.measured_from.is_none() {
            self.measure_from_here();
        }
    }

    /// Its speed in bytes per second from where the measurement began to its last report, once there is one.
    pub(super) fn measured_speed(&self) -> Option<f64> {
        let (since, from) = self.measured_from?;
        let seconds = self.reported_at.since(since).as_secs_f64();
        (seconds > 0.0).then(|| (self.at - from) as f64 / seconds)
    }

    /// How much time it has lost at its start, once it has run for long enough: what it would have needed for its bytes at
    /// its speed of late, against what it took.
    pub(super) fn lag(&self, now: Time) -> Option<Duration> {
        let old_enough = self.opened_at.is_some_and(|at| now.since(at) >= LAG_AFTER);
        if self.lag_noted || self.is_kept() || !old_enough {
            return None;
        }
        let speed = self.recent_speed(now, LAG_WINDOW);
        let took = self.reported_at.since(self.started).as_secs_f64();
        let lost = took - (self.at - self.from) as f64 / speed.max(1.0);
        (speed > 0.0).then(|| Duration::from_secs_f64(lost.max(0.0)))
    }

    /// It brings bytes that are missing.
    pub(super) fn contributes(&self) -> bool {
        self.kind != FetchKind::Compare
    }

    /// Its speed of late: over the last `window`, or since its answer began if that is shorter.
    pub(super) fn recent_speed(&self, now: Time, window: Duration) -> f64 {
        self.meter.bytes_per_second_over(now, window)
    }

    /// How long ago its answer began.
    pub(super) fn age(&self, now: Time) -> Option<Duration> {
        self.opened_at.map(|at| now.since(at))
    }

    /// Its speed since its answer began.
    pub(super) fn life_speed(&self, now: Time) -> f64 {
        let seconds = self.age(now).unwrap_or_default().as_secs_f64();
        if seconds > 0.0 { (self.at - self.from) as f64 / seconds } else { 0.0 }
    }

    /// It goes on a connection that an earlier request has left.
    pub(super) fn is_kept(&self) -> bool {
        self.kept_speed.is_some()
    }

    /// How long after the beginning of its answer it last reported: its speed is known over that time.
    pub(super) fn seen_for(&self) -> Option<Duration> {
        self.opened_at.map(|at| self.reported_at.since(at))
    }

    /// It is still getting going, as far as can be seen: it brings clearly more than it has brought so far, or has had no time
    /// to.
    ///
    /// Both speeds are taken at its last report: what has come since then is not known yet.
    pub(super) fn is_growing(&self, round_trip: Duration) -> bool {
        let seen_for = self.seen_for().unwrap_or_default();
        let rises = || self.recent_speed(self.reported_at, GROWTH_WINDOW) > GROWTH * self.life_speed(self.reported_at);
        let may_grow_for = GROWS_FOR.max(GROWS_FOR_ROUND_TRIPS * round_trip);
        seen_for < SPEED_KNOWN.max(2 * round_trip) || (seen_for < may_grow_for && rises())
    }

    /// Its speed, once it has reported for long enough for one to be seen. Before its first report nothing is known, not
    /// even that nothing came.
    pub(super) fn speed(&self, now: Time, at_least: Duration) -> Option<f64> {
        (self.seen_for()? >= at_least).then(|| self.meter.bytes_per_second(now))
    }

    /// Tells whether our own limit held it up within the last window.
    pub(super) fn is_throttled(&self, now: Time) -> bool {
        self.throttled_at.is_some_and(|at| now.since(at) <= WINDOW)
    }
}
