//! Speed: one connection's pace, and a line that many connections share.
//!
//! Both keep a schedule, not a timer: the next byte is due when the ones before it have passed at the
//! given rate. A sleep that ends late is made up for, as far as [`CREDIT`] allows.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::{as_bytes, as_len, lock};

/// The pace of one transfer.
#[derive(Debug)]
pub(crate) struct Pacer {
    bytes_per_second: u64,
    free_at: Instant,
}

impl Pacer {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free_at: Instant::now() }
    }

    pub(crate) fn rate(&self) -> u64 {
        self.bytes_per_second
    }

    /// How much to send at once: 10 ms' worth, never more than [`PACED_MAX`].
    pub(crate) fn quantum(&self) -> usize {
        as_len((self.bytes_per_second / 100).clamp(1, PACED_MAX))
    }

    /// Waits until `bytes` have had the time to pass.
    pub(crate) async fn pass(&mut self, bytes: usize) {
        self.free_at = due(self.free_at, bytes, self.bytes_per_second);
        sleep_until(self.free_at).await;
    }
}

/// A line with a rate that connections share fairly: they take turns. Clones are the same line.
#[derive(Clone, Debug)]
pub struct Line(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes_per_second: Mutex<u64>,
    /// Tokio's mutex queues its waiters: this is what makes the turns fair.
    free_at: tokio::sync::Mutex<Option<Instant>>,
}

impl Line {
    /// A line that carries so many bytes per second.
    pub fn new(bytes_per_second: u64) -> Self {
        Self(Arc::new(Shared {
            bytes_per_second: Mutex::new(bytes_per_second.max(1)),
            free_at: tokio::sync::Mutex::new(None),
        }))
    }

    /// Changes the rate, also for the responses that are being sent.
    pub fn set_rate(&self, bytes_per_second: u64) {
        *lock(&self.0.bytes_per_second) = bytes_per_second.max(1);
    }

    pub(crate) fn rate(&self) -> u64 {
        *lock(&self.0.bytes_per_second)
    }

    /// One turn: 2 ms' worth, so that 32 connections all move several times per second.
    pub(crate) fn quantum(&self) -> usize {
        as_len((self.rate() / 500).clamp(1, PACED_MAX))
    }

    /// Waits for a turn, and until `bytes` have had the time to pass.
    pub(crate) async fn pass(&self, bytes: usize) {
        let mut free_at = self.0.free_at.lock().await;
        let due = due(free_at.unwrap_or_else(Instant::now), bytes, self.rate());
        *free_at = Some(due);
        sleep_until(due).await;
    }
}

/// When `bytes` have passed, on a line that is free from `free_at` on.
fn due(free_at: Instant, bytes: usize, bytes_per_second: u64) -> Instant {
    let now = Instant::now();
    let earliest = now.checked_sub(CREDIT).unwrap_or(now);
    let nanos = u128::from(as_bytes(bytes)) * 1_000_000_000 / u128::from(bytes_per_second);
    let lasts = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 2));
    free_at.max(earliest) + lasts
}

/// Lateness that is made up for; a guess between a busy test machine (which needs more) and a true
/// rate after a pause (which needs less).
const CREDIT: Duration = Duration::from_millis(50);

/// Bytes handed over at once at most when paced, so that the log tells what the client got.
const PACED_MAX: u64 = 16 * 1024;
