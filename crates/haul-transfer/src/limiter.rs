//! Bandwidth limits: an async shell around a tree of token buckets.
//!
//! A worker pays for what it has read at each node from its own up to the root, and rests as long as the most
//! indebted of them says. All nodes of a tree share one clock and one bell, which rings when a rate changes, so
//! that nobody sleeps off a debt at a rate that is no longer true.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use haul_core::Time;
use haul_core::bucket::TokenBucket;
use tokio::sync::Notify;

use crate::Lane;

/// One node of the tree of bandwidth limits. Cloning gives another handle to the same node.
#[derive(Clone, Debug)]
pub struct Limiter(Arc<Node>);

#[derive(Debug)]
struct Node {
    bucket: Mutex<TokenBucket>,
    /// The bucket's rate, readable without its lock; [`NO_LIMIT`] where there is none.
    rate: AtomicU64,
    parent: Option<Limiter>,
    tree: Arc<Tree>,
}

#[derive(Debug)]
struct Tree {
    origin: Instant,
    rate_changed: Notify,
}

impl Limiter {
    /// The root of a tree: the limit of everything together, in bytes per second.
    #[must_use]
    pub fn root(rate: Option<u64>) -> Self {
        let tree = Tree { origin: Instant::now(), rate_changed: Notify::new() };
        Self::node(rate, None, Arc::new(tree))
    }

    /// A node below this one: it obeys its own limit and those above.
    #[must_use]
    pub fn child(&self, rate: Option<u64>) -> Self {
        Self::node(rate, Some(self.clone()), Arc::clone(&self.0.tree))
    }

    fn node(rate: Option<u64>, parent: Option<Self>, tree: Arc<Tree>) -> Self {
        Self(Arc::new(Node {
            bucket: Mutex::new(TokenBucket::new(rate)),
            rate: AtomicU64::new(rate.unwrap_or(NO_LIMIT)),
            parent,
            tree,
        }))
    }

    /// The limit of this node alone, in bytes per second.
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        self.0.bucket().rate()
    }

    /// Changes the limit of this node; whoever rests because of it learns at once.
    pub fn set_rate(&self, rate: Option<u64>) {
        {
            let mut bucket = self.0.bucket();
            bucket.set_rate(self.now(), rate);
            self.0.rate.store(rate.unwrap_or(NO_LIMIT), Ordering::Release);
        }
        self.0.tree.rate_changed.notify_waiters();
    }

    /// The bytes that are worth writing before paying, so that a limited transfer flows instead of jerking.
    pub(crate) fn slice(&self) -> u64 {
        match self.lowest_rate() {
            NO_LIMIT => u64::MAX,
            rate => (rate / SLICES_PER_SECOND).max(SLICE_MIN),
        }
    }

    /// Pays for `bytes` at all nodes and rests until they are paid for, or the lane is stopped.
    ///
    /// The time spent is noted in the lane.
    ///
    /// # Cancel safety
    ///
    /// Dropping it forgets the rest, not the debt.
    pub(crate) async fn pay(&self, bytes: u64, lane: &Lane) {
        if self.lowest_rate() == NO_LIMIT {
            return;
        }
        let mut wait = self.take(bytes);
        while !wait.is_zero() {
            let mut rate_changed = std::pin::pin!(self.0.tree.rate_changed.notified());
            rate_changed.as_mut().enable();
            // A change between taking and enabling would be missed otherwise.
            wait = self.take(0);
            let began = Instant::now();
            let slept = tokio::select! {
                biased;
                () = lane.stopped() => true,
                () = rate_changed => false,
                () = tokio::time::sleep(wait) => true,
            };
            lane.add_throttled(began.elapsed());
            if slept {
                return;
            }
        }
    }

    /// Takes at all nodes and returns the longest rest that one of them demands.
    fn take(&self, bytes: u64) -> Duration {
        let now = self.now();
        self.path().map(|node| node.0.bucket().take(now, bytes)).max().unwrap_or_default()
    }

    fn lowest_rate(&self) -> u64 {
        self.path().map(|node| node.0.rate.load(Ordering::Acquire)).min().unwrap_or(NO_LIMIT)
    }

    /// The nodes from this one up to the root.
    fn path(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |node| node.0.parent.as_ref())
    }

    fn now(&self) -> Time {
        Time::from_origin(self.0.tree.origin.elapsed())
    }
}

impl Node {
    fn bucket(&self) -> MutexGuard<'_, TokenBucket> {
        self.bucket.lock().expect("nothing panics while a bucket is held")
    }
}

/// Stands for "no limit" where a rate is kept in an integer.
const NO_LIMIT: u64 = u64::MAX;

/// How often per second a limited worker writes at least. A guess: often enough for a smooth progress bar.
const SLICES_PER_SECOND: u64 = 50;

/// Bytes that are never split further: a write costs about 10 µs whatever its size.
const SLICE_MIN: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
    }

    #[test]
    fn the_slowest_node_of_the_path_decides() {
        let job = Limiter::root(Some(1_000_000)).child(Some(200_000));
        let lane = Lane::new(0, Lane::OPEN);
        let began = Instant::now();
        runtime().block_on(job.pay(40_000, &lane));
        // 40 kB at 200 kB/s are 200 ms, 50 ms of which a rested bucket has saved.
        assert!(began.elapsed() >= Duration::from_millis(140));
        assert!(lane.throttled() >= Duration::from_millis(140));
    }

    #[test]
    fn without_a_limit_nobody_rests() {
        let job = Limiter::root(None).child(None);
        let lane = Lane::new(0, Lane::OPEN);
        runtime().block_on(job.pay(u64::MAX, &lane));
        assert_eq!(lane.throttled(), Duration::ZERO);
        assert_eq!(job.slice(), u64::MAX);
    }

    #[test]
    fn a_new_rate_of_the_root_ends_the_rest_of_a_child() {
        let root = Limiter::root(Some(1));
        let job = root.child(None);
        let lane = Lane::new(0, Lane::OPEN);
        runtime().block_on(async {
            let waiting = job.pay(1_000_000, &lane);
            let raising = async {
                tokio::task::yield_now().await;
                root.set_rate(None);
            };
            tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(waiting, raising) })
                .await
                .expect("the rest of 11 days was cut short");
        });
    }

    #[test]
    fn a_stop_ends_the_rest() {
        let job = Limiter::root(Some(1));
        let lane = Lane::new(0, Lane::OPEN);
        runtime().block_on(async {
            let stopping = async {
                tokio::task::yield_now().await;
                lane.stop();
            };
            tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(job.pay(1_000_000, &lane), stopping) })
                .await
                .expect("the rest of 11 days was cut short");
        });
    }
}
