//! What the driver and a worker share of one range.
//!
//! ```text
//! from ...... at ...... claimed ............ end
//!      written   being      free to be taken    another's
//!                written    away by `set_end`
//! ```
//!
//! Invariant: `at <= claimed <= end`. A worker claims bytes before it writes them, and the end mark never moves
//! before what is claimed, so no byte is written behind it. Once the worker has seen that it stands at the end
//! mark, the lane is closed and the mark stays: both sides then agree where the worker stopped.
//!
//! What has been written is also summed up, in [`Span`]s that end where chunks usually do.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use haul_core::messages::End;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The shared state of one range: next offset, end mark, the wish to stop.
#[derive(Debug)]
pub struct Lane {
    at: AtomicU64,
    marks: Mutex<Marks>,
    stop: AtomicBool,
    /// Wakes the worker: it shall stop, or its end mark has moved.
    changed: Notify,
    throttled_nanos: AtomicU64,
    resting: AtomicBool,
    first_byte: OnceLock<Instant>,
    tally: Mutex<Tally>,
    beyond: OnceLock<Bytes>,
    /// Where spans end: at multiples of this.
    span_bytes: AtomicU64,
}

/// Bytes that a worker has written side by side, and their digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// CRC-32C of the bytes as they were received.
    pub crc32c: u32,
}

/// What was written since somebody last asked.
#[derive(Debug)]
struct Tally {
    closed: Vec<Span>,
    open: Span,
}

#[derive(Debug)]
struct Marks {
    claimed: u64,
    end: u64,
    closed: bool,
}

impl Lane {
    /// A lane for the bytes from `from` up to, not including, `end`; [`Lane::OPEN`] means as far as the body goes.
    #[must_use]
    pub fn new(from: u64, end: u64) -> Self {
        Self {
            at: AtomicU64::new(from),
            marks: Mutex::new(Marks { claimed: from, end: end.max(from), closed: false }),
            stop: AtomicBool::new(false),
            changed: Notify::new(),
            throttled_nanos: AtomicU64::new(0),
            resting: AtomicBool::new(false),
            first_byte: OnceLock::new(),
            tally: Mutex::new(Tally { closed: Vec::new(), open: Span::empty(from) }),
            beyond: OnceLock::new(),
            span_bytes: AtomicU64::new(SPAN_BYTES),
        }
    }

    /// The end mark of a lane that goes as far as the body does.
    pub const OPEN: u64 = u64::MAX;

    /// The offset of the next byte; all bytes of the range before it have been written.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at.load(Ordering::Acquire)
    }

    /// Where the worker will stop.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.marks().end
    }

    /// Moves the end mark, back or forth, and tells where it stands now: never before what the worker has claimed,
    /// and where it was once the worker has reached it.
    pub fn set_end(&self, wished: u64) -> u64 {
        let end = {
            let mut marks = self.marks();
            if !marks.closed {
                marks.end = wished.max(marks.claimed);
            }
            marks.end
        };
        self.changed.notify_waiters();
        end
    }

    /// Asks the worker to stop. Asking twice is the same as asking once.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// What the worker has read beyond its end mark, where its answer goes on there: what another one has fetched from there
    /// on can be compared with it.
    #[must_use]
    pub fn beyond(&self) -> Option<&Bytes> {
        self.beyond.get()
    }

    /// Notes what comes behind the end mark.
    pub(crate) fn note_beyond(&self, bytes: Bytes) {
        self.beyond.get_or_init(|| bytes);
    }

    /// Tells whether the worker has been asked to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// How long a bandwidth limit has held the worker up so far. Grows only.
    #[must_use]
    pub fn throttled(&self) -> Duration {
        Duration::from_nanos(self.throttled_nanos.load(Ordering::Relaxed))
    }

    /// Whether a bandwidth limit holds the worker up right now; that time is not in [`Lane::throttled`] yet.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.resting.load(Ordering::Acquire)
    }

    /// When the first byte of the body arrived.
    #[must_use]
    pub fn first_byte(&self) -> Option<Instant> {
        self.first_byte.get().copied()
    }

    /// Has spans end where chunks of this many bytes do, a multiple of the smallest. The fewer there are, the less it costs to
    /// put them together: 35 us each.
    pub fn set_span_bytes(&self, bytes: u64) {
        self.span_bytes.store(bytes.max(SPAN_BYTES), Ordering::Relaxed);
    }

    /// Takes the digests of what was written since the last call. What the last one ends within a grid cell comes only
    /// once the cell is full, or the worker stands at its end mark.
    #[must_use]
    pub fn take_spans(&self) -> Vec<Span> {
        let end = self.end();
        let mut tally = self.tally();
        if tally.open.end == end {
            tally.close();
        }
        std::mem::take(&mut tally.closed)
    }

    /// Sums up what was written at `at`, right behind what was summed up before.
    pub(crate) fn sum_up(&self, mut at: u64, mut bytes: &[u8]) {
        let span_bytes = self.span_bytes.load(Ordering::Relaxed);
        let mut tally = self.tally();
        debug_assert_eq!(at, tally.open.end, "bytes are written one after the other");
        while !bytes.is_empty() {
            let room = usize::try_from(span_bytes - at % span_bytes).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(bytes.len().min(room));
            at += u64::try_from(now.len()).expect("a length fits 64 bits");
            tally.open.end = at;
            tally.open.crc32c = crc32c::crc32c_append(tally.open.crc32c, now);
            if at.is_multiple_of(span_bytes) {
                tally.close();
            }
            bytes = rest;
        }
    }

    /// Claims the next `wanted` bytes and returns how many of them may be written; fewer than wanted means that the
    /// end mark is reached and stays.
    pub(crate) fn claim(&self, wanted: u64) -> u64 {
        let mut marks = self.marks();
        let allowed = wanted.min(marks.end - marks.claimed);
        marks.claimed += allowed;
        marks.closed |= allowed < wanted;
        allowed
    }

    /// Closes the lane where everything up to the end mark is claimed, and tells whether that is so.
    pub(crate) fn close_if_reached(&self) -> bool {
        let mut marks = self.marks();
        marks.closed |= marks.claimed == marks.end;
        marks.closed
    }

    /// Closes the lane where the worker stands: it has ended, and what it claimed but did not write is free again.
    pub(crate) fn close(&self) -> u64 {
        let at = self.at();
        let mut marks = self.marks();
        marks.claimed = at;
        marks.end = at;
        marks.closed = true;
        at
    }

    /// Notes that everything before `at` has been written.
    pub(crate) fn advance(&self, at: u64) {
        debug_assert!(at >= self.at(), "a lane only goes forth");
        self.at.store(at, Ordering::Release);
    }

    /// Notes that a bandwidth limit holds the worker up, until what comes back is dropped.
    pub(crate) fn rest(&self) -> Rest<'_> {
        self.resting.store(true, Ordering::Release);
        Rest { lane: self, began: tokio::time::Instant::now() }
    }

    pub(crate) fn note_byte(&self) {
        if self.first_byte.get().is_none() {
            self.first_byte.get_or_init(Instant::now);
        }
    }

    /// Completes when the lane changes after this future was enabled. Cancel safe: nothing is consumed.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Completes once the worker has been asked to stop. Cancel safe: nothing is consumed.
    pub(crate) async fn stopped(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed());
            changed.as_mut().enable();
            if self.is_stopped() {
                return;
            }
            changed.await;
        }
    }

    /// Completes once there is nothing left to do: the worker has been asked to stop, or its end mark has moved to
    /// where it stands. Cancel safe: nothing is consumed.
    pub(crate) async fn over(&self) -> End {
        loop {
            let mut changed = std::pin::pin!(self.changed());
            changed.as_mut().enable();
            if self.is_stopped() {
                return End::Stopped;
            }
            if self.close_if_reached() {
                return End::Finished;
            }
            changed.await;
        }
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().expect("nothing panics while the marks are held")
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("nothing panics while the tally is held")
    }
}

impl Span {
    fn empty(at: u64) -> Self {
        Self { start: at, end: at, crc32c: 0 }
    }

    /// The digest of these bytes and of those right behind them.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        debug_assert_eq!(self.end, next.start, "they are neighbours");
        let len = usize::try_from(next.end - next.start).unwrap_or(usize::MAX);
        Self { end: next.end, crc32c: crc32c::crc32c_combine(self.crc32c, next.crc32c, len), ..self }
    }
}

impl Tally {
    fn close(&mut self) {
        let next = Span::empty(self.open.end);
        let closed = std::mem::replace(&mut self.open, next);
        if closed.start < closed.end {
            self.closed.push(closed);
        }
    }
}

/// Where spans end at first: the smallest chunk, of which all larger ones are multiples.
const SPAN_BYTES: u64 = 1 << 20;

/// A worker rests because of a bandwidth limit.
#[derive(Debug)]
pub(crate) struct Rest<'a> {
    lane: &'a Lane,
    began: tokio::time::Instant,
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        let nanos = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.lane.throttled_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.lane.resting.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_end_mark_never_moves_before_what_is_claimed() {
        let lane = Lane::new(100, 200);
        assert_eq!(lane.claim(30), 30);
        assert_eq!(lane.set_end(110), 130);
        assert!(lane.close_if_reached());
        assert_eq!(lane.set_end(500), 130, "a reached end stays");
    }

    #[test]
    fn the_end_mark_moves_forth_until_it_is_reached() {
        let lane = Lane::new(0, 10);
        assert_eq!(lane.claim(10), 10);
        assert_eq!(lane.set_end(20), 20);
        assert!(!lane.close_if_reached());
        assert_eq!(lane.claim(15), 10, "clamped");
        assert_eq!(lane.set_end(40), 20);
    }

    #[test]
    fn an_ended_lane_ends_where_it_stands() {
        let lane = Lane::new(0, Lane::OPEN);
        lane.claim(10);
        lane.advance(4);
        assert_eq!(lane.close(), 4);
        assert_eq!(lane.set_end(100), 4);
        assert_eq!(lane.claim(1), 0);
    }

    #[test]
    fn what_was_written_is_summed_up_cell_by_cell() {
        let bytes: Vec<u8> = (0..3 * SPAN_BYTES).map(|n| (n % 251).to_le_bytes()[0]).collect();
        let digest = |from: u64, to: u64| {
            let range = usize::try_from(from).expect("small")..usize::try_from(to).expect("small");
            Span { start: from, end: to, crc32c: crc32c::crc32c(&bytes[range]) }
        };
        let (from, end) = (SPAN_BYTES - 10, 2 * SPAN_BYTES + 5);
        let lane = Lane::new(from, end);
        let mut at = from;
        let write = |at: &mut u64, len: u64| {
            let range = usize::try_from(*at).expect("small")..usize::try_from(*at + len).expect("small");
            lane.sum_up(*at, &bytes[range]);
            *at += len;
        };
        write(&mut at, 4);
        assert_eq!(lane.take_spans(), [], "its cell is not full");
        write(&mut at, SPAN_BYTES);
        assert_eq!(lane.take_spans(), [digest(from, SPAN_BYTES)]);
        let rest = end - at;
        write(&mut at, rest);
        let last = lane.take_spans();
        assert_eq!(last, [digest(SPAN_BYTES, 2 * SPAN_BYTES), digest(2 * SPAN_BYTES, end)]);
        assert_eq!(last[0].then(last[1]), digest(SPAN_BYTES, end));
        assert_eq!(lane.take_spans(), [], "each comes once");

        let lane = Lane::new(0, 3 * SPAN_BYTES);
        lane.set_span_bytes(2 * SPAN_BYTES);
        lane.sum_up(0, &bytes);
        let spans = lane.take_spans();
        assert_eq!(spans, [digest(0, 2 * SPAN_BYTES), digest(2 * SPAN_BYTES, 3 * SPAN_BYTES)]);
    }

    #[test]
    fn claims_and_end_marks_of_two_threads_agree() {
        for round in 0..50 {
            let lane = Arc::new(Lane::new(0, 1000));
            let thief = Arc::clone(&lane);
            let stolen = std::thread::spawn(move || thief.set_end(400 + round));
            let mut written = 0;
            while !lane.close_if_reached() {
                written += lane.claim(7);
            }
            let end = stolen.join().expect("the thief does not panic");
            if written < 1000 {
                assert_eq!(written, end);
            } else {
                assert_eq!(end, 1000);
            }
        }
    }
}
