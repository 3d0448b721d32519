//! Two requests for the same bytes: of the first one that comes, the other is told.

use std::time::Duration;

use haul_core::messages::{End, Event, FetchKind, Outcome, StopReason};
use haul_core::{ChunkState, FaultKind, Policy, WorkerId};

use crate::script::{MIB, Script};
use crate::{JOB, connections};

/// Nothing is shared but by a race, and all connections that are allowed are used.
fn racing(most: u32) -> Policy {
    Policy { adaptive: false, split_floor_bytes: MIB, ..connections(most) }
}

#[test]
fn a_small_remainder_without_an_answer_is_raced_and_the_loser_is_stopped() {
    let mut t = Script::as_it_is(racing(2)).probed(JOB, 8 * MIB);
    t.flow(3.9, |_, _| 1e6);
    let worker = t.workers()[1];
    t.hang(move |fetch| fetch.worker.0 == worker.0 + 1);
    t.fault(worker, FaultKind::Reset);
    t.flow(1.6, |_, _| 1e6);
    assert_eq!(t.stops(StopReason::Overtaken), 1, "the one that hangs has lost");
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!((t.bytes(JOB), t.twice, t.stops(StopReason::Unanswered)), (8 * MIB, 0, 0));
}

#[test]
fn of_two_that_race_for_an_answer_one_goes_on_where_both_are_answered() {
    let mut t = Script::as_it_is(racing(2)).probed(JOB, 8 * MIB);
    t.flow(3.9, |_, _| 1e6);
    let worker = t.workers()[1];
    t.hang(move |fetch| fetch.worker > worker);
    t.fault(worker, FaultKind::Reset);
    while t.racing().is_none() {
        t.flow(0.02, |_, _| 1e6);
        assert!(t.clock() < 10.0, "nobody races the one without an answer");
    }
    let (first, rival) = t.racing().expect("there are two");
    t.hold_stops = true;
    t.open(rival, 8 * MIB);
    t.open(first, 8 * MIB);
    assert_eq!(t.stops(StopReason::Overtaken), 1, "who hears too late that it has lost stops nobody");
}

#[test]
fn without_races_it_is_waited_for_until_it_is_overdue() {
    let mut t = Script::as_it_is(Policy { races: false, ..racing(2) }).probed(JOB, 8 * MIB);
    t.flow(3.9, |_, _| 1e6);
    let worker = t.workers()[1];
    t.hang(move |fetch| fetch.worker.0 == worker.0 + 1);
    t.fault(worker, FaultKind::Reset);
    t.flow(1.6, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), None);
}

/// A job of three connections, of which one slows down when it has some 100 KB left; until it is raced.
fn raced() -> (Script, impl Fn(WorkerId, u64) -> f64 + Copy) {
    let mut t = Script::as_it_is(Policy { speed_floor: 0, steals: false, ..racing(3) }).probed(JOB, 12 * MIB);
    t.tick = Duration::from_millis(20);
    let slow = t.workers()[0];
    let rate = move |worker: WorkerId, at: u64| if worker == slow && at > 3_600_000 { 1e3 } else { 1e6 };
    while t.racing().is_none() {
        t.flow(0.02, rate);
        assert!(t.clock() < 10.0, "nobody races the slow one");
    }
    (t, rate)
}

#[test]
fn f_range_12_while_two_race_the_row_counts_the_further() {
    let (mut t, rate) = raced();
    let (first, rival) = t.racing().expect("there are two");
    assert_eq!((t.fetch(rival).kind, t.fetch(rival).from), (FetchKind::Range, t.at(first)));
    t.flow(0.08, |worker, _| if worker == rival { 100e3 } else { 1e3 });
    assert!(t.at(rival) > t.at(first), "the rival is faster");
    let row =
        t.engine.chunks(t.now, JOB).into_iter().find(|(row, _)| row.range.contains(t.at(first))).expect("a row").0;
    assert_eq!(row.position(), t.at(rival));
    t.flow(10.0, rate);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!((t.stops(StopReason::Overtaken), t.rows_done(JOB)), (1, 12 * MIB));
}

#[test]
fn whoever_is_left_of_two_that_race_goes_on_alone() {
    for loses in [0, 1] {
        let (mut t, rate) = raced();
        let pair = t.racing().expect("there are two");
        t.flow(0.04, rate);
        t.fault([pair.0, pair.1][loses], FaultKind::Reset);
        let owners = t.engine.chunks(t.now, JOB).into_iter().filter_map(|(row, _)| match row.state {
            ChunkState::Active(worker) => Some(worker),
            ChunkState::Ready | ChunkState::Backoff(_) | ChunkState::Done => None,
        });
        assert!(owners.into_iter().all(|worker| t.workers().contains(&worker)), "its bytes are the other's");
        t.flow(20.0, |_, _| 1e6);
        assert_eq!(t.outcome(JOB), Some(&Outcome::Completed), "without the {loses}");
        assert_eq!(t.rows_done(JOB), 12 * MIB);
    }
}

#[test]
fn races_fetch_one_percent_twice_at_most() {
    let policy = Policy { steals: false, speed_floor: 0, blind_bytes: 64 << 10, ..racing(16) };
    let mut t = Script::as_it_is(policy).probed(JOB, 32 * MIB);
    t.tick = Duration::from_millis(20);
    // Every fourth one is slow, but not so slow that it would bring nothing while it is raced.
    t.flow(300.0, |worker, _| if worker.0 % 4 == 0 { 60e3 } else { 600e3 });
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert!(t.stops(StopReason::Overtaken) >= 1, "some are raced");
    assert!(t.twice <= 32 * MIB / 100 + 32_000, "{} bytes twice", t.twice);
}

#[test]
fn a_first_request_without_an_answer_is_made_again_after_two_seconds_and_then_less_and_less() {
    let mut t = Script::new();
    t.start(JOB);
    let first = t.only_worker();
    t.wait(1.9);
    assert_eq!(t.fetched(JOB), 1);
    t.wait(0.2);
    assert_eq!(t.requests(JOB, 0, FetchKind::Probe), 2);
    for (until, requests) in [(3.9, 2), (4.1, 3), (7.9, 3), (8.1, 4), (15.9, 4)] {
        t.wait(until - t.clock());
        assert_eq!(t.requests(JOB, 0, FetchKind::Probe), requests, "after {until} s");
        assert_eq!(t.workers().len(), 2, "two at a time, and the first is still waited for");
        assert_eq!(t.workers()[0], first);
    }
    let last = t.workers()[1];
    t.open(last, 4 * MIB);
    assert_eq!(t.stops(StopReason::Overtaken), 1);
    assert!(!t.workers().contains(&first));
    t.flow(10.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.twice, 0);
}

#[test]
fn the_first_of_two_first_requests_may_still_win() {
    let mut t = Script::new();
    t.start(JOB);
    let first = t.only_worker();
    t.wait(3.0);
    t.open(first, 4 * MIB);
    assert_eq!(t.stops(StopReason::Overtaken), 1);
    assert!(t.workers().contains(&first));
}

#[test]
fn a_job_of_one_connection_waits_for_its_first_request() {
    let mut t = Script::with(connections(1));
    t.start(JOB);
    t.wait(20.0);
    assert_eq!(t.fetched(JOB), 1);
}

#[test]
fn an_answered_first_request_is_not_made_again_however_slow_it_is() {
    let mut t = Script::new();
    t.start(JOB);
    let probe = t.only_worker();
    t.wait(1.0);
    t.opened(probe, None, false);
    t.flow(10.0, |_, _| 10.0);
    assert_eq!(t.fetched(JOB), 1);
}

#[test]
fn what_a_first_request_brings_after_it_has_lost_does_not_count() {
    let mut t = Script::with(connections(2));
    t.hold_stops = true;
    t.start(JOB);
    t.wait(3.0);
    let [first, second] = t.workers()[..] else { panic!("two first requests") };
    t.open(first, 8 * MIB);
    // It is being stopped, and writes on until it hears of that: further than the first one is going to.
    t.opened(second, Some(8 * MIB), true);
    t.engine.event(t.now, Event::Progress { worker: second, at: 7 * MIB, throttled: false });
    assert_eq!(t.view(JOB).done_bytes, 0);
    t.engine.event(t.now, Event::WorkerEnded { worker: second, at: 7 * MIB, end: End::Stopped });
    assert_eq!(t.view(JOB).done_bytes, 0);
    t.gone(second);
    t.flow(20.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!((t.bytes(JOB), t.twice), (8 * MIB, 0));
}
