//! Two requests for the same bytes: of the first one that comes, the other is told.

use haul_core::messages::{End, Event, FetchKind, Outcome, StopReason};
use haul_core::{FaultKind, Policy};

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
    t.fault(worker, FaultKind::Reset);
    t.flow(0.2, |_, _| 1e6);
    let again = *t.workers().last().expect("what is left is asked for again");
    t.hang(move |fetch| fetch.worker == again);
    t.flow(1.4, |_, _| 1e6);
    assert_eq!(t.stop_times(StopReason::Overtaken).len(), 1, "the one that hangs has lost");
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!((t.bytes(JOB), t.twice, t.stops(StopReason::Unanswered)), (8 * MIB, 0, 0));
    assert!(t.seconds(JOB) < 5.5, "took {} s: a request is overdue after 1.5 s only", t.seconds(JOB));
}

#[test]
fn while_two_race_the_row_counts_the_further() {
    let mut t = Script::as_it_is(Policy { speed_floor: 0, ..racing(3) }).probed(JOB, 12 * MIB);
    t.tick = std::time::Duration::from_millis(20);
    let slow = t.workers()[0];
    let rate = move |worker: haul_core::WorkerId, at: u64| if worker == slow && at > 3_600_000 { 1e3 } else { 1e6 };
    let mut race = None;
    while race.is_none() {
        t.flow(0.02, rate);
        race = t.fetches(JOB).find(|fetch| fetch.from > 3_600_000 && fetch.from < 3_700_000).cloned();
        assert!(t.clock() < 10.0, "nobody races the slow one: {:?}", t.view(JOB));
    }
    let rival = race.expect("it was just there");
    t.flow(0.08, rate);
    let rows: u64 = t.engine.chunks(t.now, JOB).iter().map(|(row, _)| row.done).sum();
    assert!(t.twice > 0, "both have written");
    assert_eq!(rows, t.view(JOB).done_bytes);
    let row = t.engine.chunks(t.now, JOB).into_iter().find(|(row, _)| row.range.contains(rival.from)).expect("a row").0;
    assert!(row.position() > rival.from + 20_000, "the rival's bytes count: {row:?}");
    t.flow(10.0, rate);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert!(t.stops(StopReason::Overtaken) >= 1);
}

#[test]
fn races_fetch_one_percent_twice_at_most() {
    let policy = Policy { steals: false, speed_floor: 0, blind_bytes: 64 << 10, ..racing(16) };
    let mut t = Script::as_it_is(policy).probed(JOB, 32 * MIB);
    t.tick = std::time::Duration::from_millis(20);
    // Every third one slows down in the end, but not so much that it would bring nothing meanwhile.
    t.flow(300.0, |worker, _| if worker.0 % 3 == 0 { 150e3 } else { 600e3 });
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert!(t.stops(StopReason::Overtaken) >= 1, "some are raced");
    assert!(t.twice <= 32 * MIB / 100 + 32_000, "{} bytes twice", t.twice);
}

#[test]
fn a_first_request_without_an_answer_is_made_again_after_two_seconds_and_once_only() {
    let mut t = Script::new();
    t.start(JOB);
    let first = t.only_worker();
    t.wait(1.9);
    assert_eq!(t.fetched(JOB), 1);
    t.wait(0.2);
    assert_eq!(t.requests(JOB, 0, FetchKind::Probe), 2);
    t.wait(8.0);
    assert_eq!(t.fetched(JOB), 2, "two are enough");
    let second = t.workers()[1];
    t.open(second, 4 * MIB);
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
