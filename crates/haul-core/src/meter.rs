//! Speed over a sliding window of bytes, not of reads: a drip of one byte a second is seen as what it is.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Time;

/// Samples closer together than this are merged, which bounds the memory of a meter.
const SPACING: Duration = Duration::from_millis(100);

/// A running total, looked at over the last `window`.
#[derive(Clone, Debug)]
pub struct Meter {
    window: Duration,
    samples: VecDeque<(Time, u64)>,
    last: (Time, u64),
}

impl Meter {
    /// A meter that starts at `total` now and looks back over `window`.
    #[must_use]
    pub fn new(now: Time, total: u64, window: Duration) -> Self {
        Self { window, samples: VecDeque::from([(now, total)]), last: (now, total) }
    }

    /// Notes that the total stands at `total` now.
    pub fn note(&mut self, now: Time, total: u64) {
        self.last = (now, total);
        let newest = self.samples.back().expect("a meter keeps at least one sample").0;
        if now.since(newest) >= SPACING {
            self.samples.push_back((now, total));
        }
        // The oldest sample is kept until its successor, too, has left the window: so the window is always covered.
        while self.samples.len() > 1 && now.since(self.samples[1].0) >= self.window {
            self.samples.pop_front();
        }
    }

    /// How long a stretch the next answer of [`Meter::bytes_per_second`] rests on.
    #[must_use]
    pub fn covered(&self, now: Time) -> Duration {
        now.since(self.samples[0].0)
    }

    /// Bytes per second from the window's start until `now`, silence included.
    #[must_use]
    pub fn bytes_per_second(&self, now: Time) -> f64 {
        self.bytes_per_second_over(now, self.window)
    }

    /// The same over the last part of the window.
    #[must_use]
    pub fn bytes_per_second_over(&self, now: Time, window: Duration) -> f64 {
        let (since, from) = self.start(now, window.min(self.window));
        let elapsed = now.since(since).as_secs_f64();
        if elapsed <= 0.0 { 0.0 } else { self.last.1.saturating_sub(from) as f64 / elapsed }
    }

    /// The sample to look back to: the youngest that is at least a window old, else the oldest.
    fn start(&self, now: Time, window: Duration) -> (Time, u64) {
        let oldest = now - window;
        let after = self.samples.partition_point(|(at, _)| *at <= oldest);
        self.samples[after.saturating_sub(1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_change_is_seen_within_one_window() {
        let mut meter = Meter::new(Time::ZERO, 0, Duration::from_secs(2));
        let mut total = 0;
        for tick in 1..=100_u64 {
            total += if tick <= 50 { 100_000 } else { 1_000 };
            meter.note(Time::from_millis(tick * 100), total);
        }
        let now = Time::from_millis(10_000);
        assert!((meter.bytes_per_second(now) - 10_000.0).abs() < 500.0);
    }

    #[test]
    fn silence_counts() {
        let mut meter = Meter::new(Time::ZERO, 0, Duration::from_secs(2));
        meter.note(Time::from_millis(100), 1_000_000);
        assert!(meter.bytes_per_second(Time::from_millis(10_000)) < 200_000.0);
    }

    #[test]
    fn memory_is_bounded_by_the_window() {
        let mut meter = Meter::new(Time::ZERO, 0, Duration::from_secs(2));
        for tick in 0..1_000_000_u64 {
            meter.note(Time::from_millis(tick), tick);
        }
        assert!(meter.samples.len() < 30);
    }
}
