//! A token bucket without a clock: one node of the bandwidth limits.

use std::time::Duration;

use crate::Time;

/// How much a bucket may save up while nobody takes, as time at its rate.
///
/// A guess: long enough to ride out a timer that fires late, short enough not to be seen as a burst.
const BURST: Duration = Duration::from_millis(50);

/// A bandwidth limit: takes are granted at once and paid for by waiting afterwards.
///
/// Debt instead of reservation, because the size of a read is known only after it. Many takers share one bucket
/// fairly: whoever took more waits longer, and the sum never exceeds the rate by more than one read each.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// Bytes per second; `None` means no limit.
    rate: Option<u64>,
    /// When all that was taken so far is paid for.
    paid_at: Time,
}

impl TokenBucket {
    /// A bucket that lets `rate` bytes per second pass; `None` lets everything pass.
    #[must_use]
    pub const fn new(rate: Option<u64>) -> Self {
        Self { rate, paid_at: Time::ZERO }
    }

    /// The limit in bytes per second.
    #[must_use]
    pub const fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// Changes the limit. What was taken before `now` stays paid at the old rate's debt, scaled to the new one.
    pub fn set_rate(&mut self, now: Time, rate: Option<u64>) {
        let debt = self.paid_at.since(now);
        self.paid_at = match (self.rate, rate) {
            (Some(old), Some(new)) if new > 0 => now + debt.mul_f64(old as f64 / new as f64),
            (Some(_) | None, Some(_) | None) => now,
        };
        self.rate = rate;
    }

    /// Takes `bytes` and tells how long the taker has to rest before it takes again.
    pub fn take(&mut self, now: Time, bytes: u64) -> Duration {
        let Some(rate) = self.rate else {
            return Duration::ZERO;
        };
        let earliest = now - BURST;
        if self.paid_at < earliest {
            self.paid_at = earliest;
        }
        self.paid_at = self.paid_at + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        self.paid_at.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets `takers` readers of `read` bytes each run for `secs` and returns what passed.
    fn passed(bucket: &mut TokenBucket, takers: usize, read: u64, secs: u64) -> u64 {
        let mut free_at = vec![Time::ZERO; takers];
        let mut total = 0;
        loop {
            let (index, &now) = free_at.iter().enumerate().min_by_key(|(_, at)| **at).expect("a taker");
            if now >= Time::from_millis(secs * 1000) {
                return total;
            }
            total += read;
            free_at[index] = now + bucket.take(now, read).max(Duration::from_micros(10));
        }
    }

    #[test]
    fn one_taker_and_64_hold_the_limit_within_a_read_or_3_percent() {
        for (takers, read) in [(1, 16 << 10), (1, 400 << 10), (64, 16 << 10), (64, 64 << 10)] {
            let rate = 4_000_000_u64;
            let got = passed(&mut TokenBucket::new(Some(rate)), takers, read, 5);
            let off = got.abs_diff(rate * 5);
            let allowed = (rate * 5 * 3 / 100).max(read * takers as u64);
            assert!(off <= allowed, "{takers} takers of {read}: off by {off}, allowed {allowed}");
        }
    }

    #[test]
    fn raising_the_limit_shortens_the_wait_that_is_already_owed() {
        let mut bucket = TokenBucket::new(Some(1000));
        let now = Time::from_millis(1000);
        assert!(bucket.take(now, 100_000) > Duration::from_secs(99));
        bucket.set_rate(now, Some(100_000));
        assert!(bucket.take(now, 0) <= Duration::from_secs(1));
        bucket.set_rate(now, None);
        assert_eq!(bucket.take(now, 1 << 30), Duration::ZERO);
    }
}
