//! Bandwidth limits: an async shell around token buckets.
//!
//! A transfer pays for what it has read, before it writes it, at each limit that it obeys: everything's, its label's,
//! its host's, its job's. It waits for one after the other, the lowest first, so that the bytes of those who queue
//! there do not count elsewhere yet. Each limit has a bell that rings when it is changed or somebody leaves,
//! so that nobody waits for a time that is no longer true.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use haul_core::Time;
use haul_core::bucket::TokenBucket;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Lane;

/// One bandwidth limit, which any number of transfers obey together. Cloning gives another handle to the same one.
#[derive(Clone, Debug)]
pub struct Limiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bucket: Mutex<TokenBucket>,
    /// The bucket's rate, readable without its lock; [`NO_LIMIT`] where there is none.
    rate: AtomicU64,
    origin: Instant,
    /// Rings when those who wait may come up at another time than they thought.
    moved_on: Notify,
}

impl Limiter {
    /// A limit of so many bytes per second; `None` lets everything pass.
    #[must_use]
    pub fn new(rate: Option<u64>) -> Self {
        Self(Arc::new(Shared {
            bucket: Mutex::new(TokenBucket::new(rate)),
            rate: AtomicU64::new(rate.unwrap_or(NO_LIMIT)),
            origin: Instant::now(),
            moved_on: Notify::new(),
        }))
    }

    /// The limit in bytes per second.
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        Some(self.bytes_per_second()).filter(|rate| *rate != NO_LIMIT)
    }

    /// Changes the limit; whoever waits because of it learns at once.
    pub fn set_rate(&self, rate: Option<u64>) {
        if rate == self.rate() {
            return;
        }
        {
            let mut bucket = self.bucket();
            bucket.set_rate(self.now(), rate);
            self.0.rate.store(rate.unwrap_or(NO_LIMIT), Ordering::Release);
        }
        self.0.moved_on.notify_waiters();
    }

    /// Whether there is another handle to this limit.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Takes `bytes` and waits until they may be used. False when the lane was stopped before.
    async fn pay(&self, bytes: u64, lane: &Lane) -> bool {
        let ticket = self.bucket().take(self.now(), bytes);
        loop {
            // Before the look at the bucket, so that no change is missed.
            let mut moved_on = std::pin::pin!(self.0.moved_on.notified());
            moved_on.as_mut().enable();
            let wait = self.bucket().wait(self.now(), ticket);
            if wait.is_zero() {
                return true;
            }
            let _rest = lane.rest();
            tokio::select! {
                biased;
                () = lane.stopped() => {
                    self.give_back(bytes);
                    return false;
                }
                () = moved_on => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn give_back(&self, bytes: u64) {
        self.bucket().give_back(bytes);
        self.0.moved_on.notify_waiters();
    }

    fn bytes_per_second(&self) -> u64 {
        self.0.rate.load(Ordering::Acquire)
    }

    fn bucket(&self) -> MutexGuard<'_, TokenBucket> {
        self.0.bucket.lock().expect("nothing panics while a bucket is held")
    }

    fn now(&self) -> Time {
        Time::from_origin(self.0.origin.elapsed())
    }
}

/// Pays for `bytes` at all limits and waits until they may be used. False when the lane was stopped before; then
/// nothing is owed. The time spent is noted in the lane.
///
/// # Cancel safety
///
/// Dropping it forgets the wait, not what was taken.
pub(crate) async fn pay(limiters: &[Limiter], bytes: u64, lane: &Lane) -> bool {
    if bytes == 0 {
        return true;
    }
    let mut limited: Vec<&Limiter> = limiters.iter().filter(|limiter| limiter.rate().is_some()).collect();
    limited.sort_by_key(|limiter| limiter.bytes_per_second());
    for (paid, limiter) in limited.iter().enumerate() {
        if !limiter.pay(bytes, lane).await {
            limited[..paid].iter().for_each(|limiter| limiter.give_back(bytes));
            return false;
        }
    }
    true
}

/// The bytes that are worth paying for at once, so that a limited transfer flows instead of jerking.
pub(crate) fn slice(limiters: &[Limiter]) -> u64 {
    let lowest = limiters.iter().map(Limiter::bytes_per_second).min().unwrap_or(NO_LIMIT);
    if lowest == NO_LIMIT { u64::MAX } else { (lowest / SLICES_PER_SECOND).clamp(1, SLICE_MAX) }
}

/// Stands for "no limit" where a rate is kept in an integer.
const NO_LIMIT: u64 = u64::MAX;

/// How many writes per second the lowest limit of a transfer is cut into, over all who obey it.
///
/// Bounded by what a bucket saves: a slice must be shorter than that, or the time spent waiting at one limit would be
/// lost at the next. Beyond that a guess: smooth to look at, and 50 writes of 10 µs each are nothing.
const SLICES_PER_SECOND: u64 = 50;

/// Those who share a limit take turns, so a transfer with larger slices would get a larger share. A guess: 1,600 writes a
/// second at 100 MB/s are some 2 % of a core.
const SLICE_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Lets a transfer run until the lane is stopped, as a body does; every slice is noted with its time.
    async fn transfer(limiters: &[Limiter], lane: &Lane, used: &Mutex<Vec<(Duration, u64)>>, began: Instant) {
        loop {
            let bytes = slice(limiters).min(PIECE);
            if !pay(limiters, bytes, lane).await {
                return;
            }
            used.lock().unwrap().push((began.elapsed(), bytes));
        }
    }

    /// What an unlimited transfer reads at once.
    const PIECE: u64 = 400 << 10;

    /// So many transfers that obey the same limits, in virtual time; `changes` are made meanwhile.
    fn run(
        transfers: &[(usize, Vec<Limiter>)],
        secs: u64,
        changes: impl Future<Output = ()>,
    ) -> Vec<Vec<(Duration, u64)>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let began = Instant::now();
            let lane = Lane::new(0, Lane::OPEN);
            let used: Vec<_> = transfers.iter().map(|_| Mutex::new(Vec::new())).collect();
            let all = transfers.iter().zip(&used).flat_map(|((number, limiters), used)| {
                (0..*number).map(|_| transfer(limiters, &lane, used, began)).collect::<Vec<_>>()
            });
            let stop = async {
                tokio::join!(changes, tokio::time::sleep(Duration::from_secs(secs)));
                lane.stop();
            };
            tokio::join!(futures_util::future::join_all(all), stop);
            used.into_iter().map(|used| used.into_inner().unwrap()).collect()
        })
    }

    /// Checks that between the two seconds, 5 or more, the rate was `rate` within 3 %.
    fn assert_rate(used: &[(Duration, u64)], rate: u64, from: u64, to: u64) {
        assert!(to - from >= 5);
        let within = Duration::from_secs(from)..Duration::from_secs(to);
        let got: u64 = used.iter().filter(|(at, _)| within.contains(at)).map(|(_, bytes)| bytes).sum();
        let wanted = rate * (to - from);
        assert!(got.abs_diff(wanted) <= wanted * 3 / 100, "{got} instead of {wanted} from {from} s to {to} s");
    }

    #[test]
    fn one_transfer_and_64_hold_every_limit_of_theirs_within_3_percent_over_5_seconds() {
        for transfers in [1, 64] {
            for rate in [30_000, 1_000_000, 8_000_000] {
                for lowest in 0..4 {
                    let limiters: Vec<_> =
                        (0..4).map(|n| Limiter::new(Some(if n == lowest { rate } else { rate * 3 }))).collect();
                    let used = run(&[(transfers, limiters)], 11, async {});
                    assert_rate(&used[0], rate, 0, 5);
                    assert_rate(&used[0], rate, 1, 6);
                    assert_rate(&used[0], rate, 6, 11);
                }
            }
        }
    }

    #[test]
    fn the_same_limit_several_times_over_costs_nothing() {
        let limiters = (0..4).map(|_| Limiter::new(Some(200_000))).collect();
        let used = run(&[(1, limiters)], 5, async {});
        assert_rate(&used[0], 200_000, 0, 5);
    }

    #[test]
    fn those_who_queue_at_a_low_limit_leave_the_common_one_to_others() {
        let all = Limiter::new(Some(10_000_000));
        let slow = vec![all.clone(), Limiter::new(Some(5_000_000))];
        let used = run(&[(64, slow), (1, vec![all])], 5, async {});
        assert_rate(&used[0], 5_000_000, 0, 5);
        assert_rate(&used[1], 5_000_000, 0, 5);
    }

    #[test]
    fn a_transfer_with_a_limit_of_its_own_gets_its_share_of_the_common_one() {
        let all = Limiter::new(Some(10_000_000));
        let own = vec![all.clone(), Limiter::new(Some(4_000_000))];
        let used = run(&[(32, own), (32, vec![all])], 11, async {});
        assert_rate(&used[0], 4_000_000, 5, 10);
        assert_rate(&used[1], 6_000_000, 5, 10);
    }

    #[test]
    fn a_changed_limit_holds_at_once() {
        for transfers in [1, 64] {
            let limiter = Limiter::new(Some(1_000_000));
            let changes = async {
                for (after, rate) in [(6, Some(4_000_000)), (6, Some(500_000)), (6, Some(2_000_000))] {
                    tokio::time::sleep(Duration::from_secs(after)).await;
                    limiter.set_rate(rate);
                }
            };
            let used = run(&[(transfers, vec![limiter.clone()])], 24, changes);
            for (from, rate) in [(0, 1_000_000), (6, 4_000_000), (12, 500_000), (18, 2_000_000)] {
                // What is cut before a change keeps its size, so this is "one read" for 64.
                assert_rate(&used[0], rate, from, from + 6);
            }
        }
    }

    #[test]
    fn without_a_limit_nobody_rests() {
        let lane = Lane::new(0, Lane::OPEN);
        let limiters = [Limiter::new(None), Limiter::new(None)];
        let paid = futures_util::FutureExt::now_or_never(pay(&limiters, u64::MAX / 2, &lane));
        assert_eq!(paid, Some(true));
        assert_eq!(lane.throttled(), Duration::ZERO);
        assert_eq!(slice(&limiters), u64::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lifted_limit_ends_the_wait_and_the_rest_is_noted() {
        let limiter = Limiter::new(Some(1));
        let lane = Lane::new(0, Lane::OPEN);
        let limiters = [limiter.clone()];
        let lifting = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert!(lane.is_resting());
            limiter.set_rate(None);
        };
        let began = Instant::now();
        let (paid, ()) = tokio::join!(pay(&limiters, 1_000_000, &lane), lifting);
        assert!(paid);
        assert_eq!(began.elapsed(), Duration::from_secs(3));
        assert_eq!(lane.throttled(), Duration::from_secs(3));
        assert!(!lane.is_resting());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_stopped_owes_nothing_at_any_limit() {
        let limiters = [Limiter::new(Some(1000)), Limiter::new(Some(100))];
        let lane = Lane::new(0, Lane::OPEN);
        let stopping = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            lane.stop();
        };
        let (paid, ()) = tokio::join!(pay(&limiters, 100_000, &lane), stopping);
        assert!(!paid);
        let began = Instant::now();
        assert!(pay(&limiters, 100, &Lane::new(0, Lane::OPEN)).await);
        assert!(began.elapsed() <= Duration::from_secs(1), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_stopped_later_lets_those_behind_move_up() {
        let (low, high) = (Limiter::new(Some(100)), Limiter::new(Some(1000)));
        let (stopped, other) = (Lane::new(0, Lane::OPEN), Lane::new(0, Lane::OPEN));
        let began = Instant::now();
        // Has passed at the low limit when it is stopped, but not at the high one.
        let limiters = [low.clone(), high.clone()];
        let leaves = pay(&limiters, 200, &stopped);
        let blocks = [high];
        let before = pay(&blocks, 1_000_000, &stopped);
        let stopping = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            stopped.stop();
        };
        let behind = [low];
        let (_, _, paid, ()) = tokio::join!(before, leaves, pay(&behind, 1000, &other), stopping);
        assert!(paid);
        // 1000 B at 100 B/s; without the 200 B of the one that left.
        assert!(
            began.elapsed().abs_diff(Duration::from_secs(10)) < Duration::from_millis(100),
            "{:?}",
            began.elapsed()
        );
    }
}
