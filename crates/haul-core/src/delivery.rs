//! When somebody who could not be told of an event is told again.

use std::time::Duration;

/// The wait after a first failed attempt. A guess: a receiver that restarts is back by then.
const FIRST: Duration = Duration::from_secs(1);

/// The longest wait. A guess: whoever mends a receiver does not want to wait longer.
const LONGEST: Duration = Duration::from_secs(600);

/// For how long an event is tried: one that is older is of no use to anybody any more. A guess.
const FOR: Duration = Duration::from_secs(24 * 3600);

/// How long to wait after so many failed attempts, on the average. `None` means that it was tried for long enough.
#[must_use]
pub fn retry_wait(failures: u32) -> Option<Duration> {
    let mut waited = Duration::ZERO;
    for before in 1..failures {
        waited += wait(before);
        if waited >= FOR {
            return None;
        }
    }
    Some(wait(failures))
}

fn wait(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    FIRST.saturating_mul(1 << doublings).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_end_after_a_day() {
        let waits: Vec<_> = (1..).map_while(retry_wait).collect();
        assert_eq!(waits[..4], [1, 2, 4, 8].map(Duration::from_secs));
        assert_eq!(waits.last(), Some(&LONGEST));
        let all: Duration = waits.iter().sum();
        assert!((FOR..=FOR + LONGEST).contains(&all), "{all:?}");
        assert_eq!(retry_wait(10_000), None);
    }
}
