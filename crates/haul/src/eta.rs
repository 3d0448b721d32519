//! An estimate of the time left that counts down instead of jumping about.
//!
//! What is smoothed is the *moment of the end*: while the speed is steady it stands still, so the time left goes down
//! by a second each second; a change of speed moves it over a few seconds.

/// The estimate for one job. Times are seconds since any fixed moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Eta {
    last: Option<Estimate>,
}

#[derive(Clone, Copy, Debug)]
struct Estimate {
    at: f64,
    speed: f64,
    ends_at: f64,
}

impl Eta {
    /// Takes in what the job says now and answers the smoothed speed in bytes per second.
    pub(crate) fn observe(&mut self, now: f64, speed: u64, remaining: Option<u64>) -> u64 {
        #[expect(clippy::cast_precision_loss, reason = "an estimate needs no 53 bits")]
        let (measured, remaining) = (speed as f64, remaining.unwrap_or(0) as f64);
        let smoothed = match self.last {
            // Nothing flows: an old estimate would only count down to a lie.
            _ if speed == 0 => {
                self.last = None;
                return 0;
            }
            None => Estimate { at: now, speed: measured, ends_at: now + remaining / measured },
            Some(last) => {
                let share = 1.0 - (-(now - last.at).max(0.0) / SMOOTHING_SECONDS).exp();
                let speed = last.speed + (measured - last.speed) * share;
                let target = now + remaining / speed;
                Estimate { at: now, speed, ends_at: last.ends_at + (target - last.ends_at) * share }
            }
        };
        self.last = Some(smoothed);
        whole(smoothed.speed)
    }

    /// The seconds left at `now`, unknown while nothing flows. In steps that can be read.
    pub(crate) fn left(&self, now: f64) -> Option<u64> {
        let seconds = whole((self.last?.ends_at - now).ceil());
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

/// How long a change of speed takes to show: two thirds of it after this time. A guess that looked right.
const SMOOTHING_SECONDS: f64 = 4.0;

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
        assert_eq!(lefts[0], 100);
        for (tick, left) in lefts.iter().enumerate() {
            let truth = 100 - tick as u64 / 5;
            assert!(left.abs_diff(truth) <= 1, "{left} instead of {truth}");
        }
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
        assert_eq!(eta.left(0.0), Some(10));
        assert_eq!(eta.observe(1.0, 0, Some(9_000)), 0);
        assert_eq!(eta.left(1.0), None);
    }

    #[test]
    fn long_times_are_rounded_to_steps() {
        let mut eta = Eta::default();
        eta.observe(0.0, 1, Some(123));
        assert_eq!(eta.left(0.0), Some(125));
        let mut eta = Eta::default();
        eta.observe(0.0, 1, Some(7_201));
        assert_eq!(eta.left(0.0), Some(7_260));
    }
}
