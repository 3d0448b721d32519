//! Whether the machine was asleep (FAILURES.md, F-NET-09).

use std::time::Duration;

use haul_core::messages::Event;
use rustix::time::{ClockId, clock_gettime};
use tracing::info;

use super::Driver;

/// Sleep that is worth a word: shorter ones break no connection.
const NAP_MIN: Duration = Duration::from_secs(5);

/// Watches by how much the clock that counts sleep is ahead of the one that does not.
#[derive(Debug)]
pub(super) struct Nap {
    slept: Duration,
}

impl Default for Nap {
    fn default() -> Self {
        Self { slept: slept() }
    }
}

impl Nap {
    /// Tells whether the machine has slept since the last look.
    pub(super) fn is_over(&mut self) -> bool {
        self.noticed(slept())
    }

    fn noticed(&mut self, slept: Duration) -> bool {
        let before = std::mem::replace(&mut self.slept, slept);
        slept.saturating_sub(before) > NAP_MIN
    }
}

/// How long the machine has slept since it was started.
fn slept() -> Duration {
    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    // In this order, so that what passes between the two is no sleep.
    let boot = read(ClockId::Boottime);
    boot.saturating_sub(read(ClockId::Monotonic))
}

impl Driver {
    /// All connections are stale: new ones are made, and nobody is charged for that.
    pub(super) fn woke(&mut self) {
        info!("the machine was asleep; making new connections");
        self.threads.forget_connections();
        self.event(Event::Woke);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_net_09_a_jump_of_more_than_five_seconds_is_a_sleep_and_is_noticed_once() {
        let at = Duration::from_secs;
        let mut nap = Nap { slept: at(100) };
        assert!(!nap.noticed(at(105)));
        assert!(nap.noticed(at(111)));
        assert!(!nap.noticed(at(111)));
        assert!(!Nap::default().is_over(), "no test takes a nap");
    }
}
