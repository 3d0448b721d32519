//! An estimate of the time left that counts down instead of jumping about.
//!
//! What is smoothed is the *moment of the end*: while the speed is steady it stands still, so the time left goes down
//! by a second each second; a change of speed moves it over a few seconds.

use std::collections::VecDeque;

/// The estimate for one job. Times are seconds since any fixed moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Eta {
    /// When how much remained, the oldest first.
    samples: VecDeque<(f64, u64)>,
    last: Option<Estimate>,
}

#[derive(Clone, Copy, Debug)]
struct Estimate {
    began: f64,
    at: f64,
    speed: f64,
    ends_at: f64,
}

impl Eta {
    /// Takes in what the job says now and answers the smoothed speed in bytes per second.
    pub(crate) fn observe(&mut self, now: f64, speed: u64, remaining: Option<u64>) -> u64 {
        // Nothing flows: an old estimate would only count down to a lie.
        if speed == 0 {
            *self = Self::default();
            return 0;
        }
        let measured = remaining.and_then(|remaining| self.rate(now, remaining)).unwrap_or(float(speed));
        let remaining = float(remaining.unwrap_or(0));
        let followed = |last: Estimate| {
            // What is measured has not been steady for long enough to be smoothed.
            let is_young = now - last.began < WINDOW_SECONDS;
            let speed =
                last.speed + (measured - last.speed) * if is_young { 1.0 } else { share(last, now, SMOOTHING_SECONDS) };
            let target = now + remaining / speed;
            let (before, after) = ((last.ends_at - now).max(1.0), (target - now).max(1.0));
            let is_far_off = before / after > FAR_OFF || after / before > FAR_OFF;
            let seconds = if is_far_off { CORRECTING_SECONDS } else { SMOOTHING_SECONDS };
            let share = if is_young { 1.0 } else { share(last, now, seconds) };
            Estimate { began: last.began, at: now, speed, ends_at: last.ends_at + (target - last.ends_at) * share }
        };
        let first = || Estimate { began: now, at: now, speed: measured, ends_at: now + remaining / measured };
        let smoothed = self.last.map_or_else(first, followed);
        self.last = Some(smoothed);
        whole(smoothed.speed)
    }

    /// The speed over the last seconds by what has come. The daemon's own figure begins at nothing and takes some time to rise.
    fn rate(&mut self, now: f64, remaining: u64) -> Option<f64> {
        self.samples.push_back((now, remaining));
        // One that is older stays, or after a pause there would be nothing to compare with.
        while self.samples.get(1).is_some_and(|(at, _)| now - at >= WINDOW_SECONDS) {
            self.samples.pop_front();
        }
        let (at, remained) = *self.samples.front()?;
        let came = remained.checked_sub(remaining).filter(|came| *came > 0)?;
        (now - at >= SPAN_SECONDS).then(|| float(came) / (now - at))
    }

    /// The seconds left at `now`, unknown at the beginning and while nothing flows. In steps that can be read.
    pub(crate) fn left(&self, now: f64) -> Option<u64> {
        let last = self.last.filter(|last| now - last.began >= UNSURE_SECONDS)?;
        let seconds = whole((last.ends_at - now).ceil());
        Some(match seconds {
            0..120 => seconds.max(1),
            120..3600 => seconds.next_multiple_of(5),
            _ => seconds.next_multiple_of(60),
        })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, and 0 is the floor")]
fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}

/// How much of a change is followed now so that two thirds of it are after `seconds`.
fn share(last: Estimate, now: f64, seconds: f64) -> f64 {
    1.0 - (-(now - last.at).max(0.0) / seconds).exp()
}

#[expect(clippy::cast_precision_loss, reason = "an estimate needs no 53 bits")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}

/// How long a change of speed takes to show: two thirds of it after this time. A guess that looked right.
const SMOOTHING_SECONDS: f64 = 4.0;

/// The same for an estimate that is off by more than [`FAR_OFF`]: it would be wrong for longer than it jumps.
const CORRECTING_SECONDS: f64 = 1.0;

/// So many times too long or too short. A guess.
const FAR_OFF: f64 = 1.5;

/// Over how long the speed is measured. Seen to hide the steps in which servers and our own writes come.
const WINDOW_SECONDS: f64 = 3.0;

/// The shortest time over which it is. A guess: two looks at least.
const SPAN_SECONDS: f64 = 0.4;

/// How long nothing is said at the beginning, when connections are still being made.
const UNSURE_SECONDS: f64 = 1.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `seconds` of a transfer at what `speed` says, five times a second, and answers each estimate.
    fn run(eta: &mut Eta, total: u64, seconds: u32, speed: impl Fn(u32) -> u64) -> Vec<u64> {
        let mut done = 0;
        let mut lefts = Vec::new();
        for tick in 0..seconds * 5 {
            let now = f64::from(tick) / 5.0;
            eta.observe(now, speed(tick), Some(total - done));
            done += speed(tick) / 5;
            lefts.extend(eta.left(now));
        }
        lefts
    }

    #[test]
    fn a_steady_transfer_counts_down_by_the_second() {
        let lefts = run(&mut Eta::default(), 100_000_000, 60, |_| 1_000_000);
        assert_eq!(lefts[0], 99, "nothing is said in the first second");
        for (tick, left) in lefts.iter().enumerate() {
            let truth = 99 - tick as u64 / 5;
            assert!(left.abs_diff(truth) <= 1, "{left} instead of {truth}");
        }
    }

    #[test]
    fn a_figure_that_rises_slowly_misleads_nobody() {
        let mut eta = Eta::default();
        for tick in 0_u32..100 {
            let (now, left) = (f64::from(tick) / 5.0, 30_000_000 - u64::from(tick) * 200_000);
            eta.observe(now, 10_000 * u64::from(tick + 1), Some(left));
            if let Some(said) = eta.left(now) {
                assert!(said.abs_diff(left / 1_000_000) <= 2, "{said} at {now}");
            }
        }
    }

    #[test]
    fn a_pause_between_two_looks_changes_nothing() {
        let mut eta = Eta::default();
        for second in 0_u32..10 {
            eta.observe(f64::from(second), 1000, Some(100_000 - u64::from(second) * 1000));
        }
        assert_eq!(eta.observe(30.0, 10, Some(70_000)), 1000);
        assert_eq!(eta.left(30.0), Some(70));
    }

    #[test]
    fn a_jittering_speed_makes_no_jumps() {
        let lefts = run(&mut Eta::default(), 90_000_000, 60, |tick| if tick % 2 == 0 { 500_000 } else { 1_500_000 });
        for pair in lefts[40..].windows(2) {
            assert!(pair[0].abs_diff(pair[1]) <= 4, "{pair:?}");
        }
    }

    #[test]
    fn a_lasting_change_is_followed() {
        let mut eta = Eta::default();
        let lefts = run(&mut eta, 100_000_000, 40, |tick| if tick < 50 { 1_000_000 } else { 2_000_000 });
        // 100 MB less 10 s at 1 MB/s and 30 s at 2 MB/s leave 30 MB.
        assert!(lefts.last().expect("it flows").abs_diff(15) <= 2, "{lefts:?}");
    }

    #[test]
    fn nothing_is_promised_while_nothing_flows() {
        let mut eta = Eta::default();
        eta.observe(0.0, 1000, Some(10_000));
        eta.observe(1.0, 1000, Some(9_000));
        assert_eq!(eta.left(1.0), Some(9));
        assert_eq!(eta.observe(2.0, 0, Some(9_000)), 0);
        assert_eq!(eta.left(2.0), None);
    }

    #[test]
    fn long_times_are_rounded_to_steps() {
        for (left, said) in [(123, 125), (7_201, 7_260)] {
            let mut eta = Eta::default();
            eta.observe(0.0, 1, Some(left + 1));
            eta.observe(1.0, 1, Some(left));
            assert_eq!(eta.left(1.0), Some(said));
        }
    }
}
