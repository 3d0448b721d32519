//! What an idle connection takes from the lease that would end last, and when it does not.

use std::time::Duration;

use haul_core::messages::{Command, Outcome, Tuning};
use haul_core::{FaultKind, Policy, WorkerId};

use crate::script::{MIB, Script};
use crate::{JOB, connections};

#[test]
fn who_is_cut_short_ends_with_the_last_and_needs_no_other_request() {
    let mut t = Script::with(connections(3)).probed(JOB, 30 * MIB);
    t.tick = Duration::from_millis(20);
    let [slower, slow, _] = t.workers()[..] else { panic!("three workers") };
    let rate = move |worker: WorkerId| match worker {
        worker if worker == slower => 1e6,
        worker if worker == slow => 1.5e6,
        _ => 4e6,
    };
    t.flow(20.0, |worker, _| rate(worker));
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    // The fast one helps the slower one so far that it ends with all of them, and then the slow one.
    assert_eq!(t.fetched(JOB), 5);
    let ideal = (30 * MIB) as f64 / 6.5e6;
    assert!(t.seconds(JOB) < 1.05 * ideal, "{} s, {ideal} would be ideal", t.seconds(JOB));
}

/// What a worker has left that took the place of a broken one a short while ago, after another one has helped it: its speed
/// by the bytes that it has brought.
fn left_to_a_newcomer(speed: fn(u64) -> f64) -> u64 {
    let mut t = Script::with(Policy { speed_floor: 0, ..connections(3) }).probed(JOB, 24 * MIB);
    t.tick = Duration::from_millis(20);
    let [_, fast, breaks] = t.workers()[..] else { panic!("three workers") };
    let rate = move |worker: WorkerId| if worker == fast { 4e6 } else { 1e6 };
    t.flow(1.6, |worker, _| rate(worker));
    t.fault(breaks, FaultKind::Reset);
    let newcomer = *t.workers().last().expect("one goes on at once");
    let from = t.fetch(newcomer).from;
    while t.workers().contains(&fast) {
        t.flow(0.02, |worker, at| if worker == newcomer { speed(at - from) } else { rate(worker) });
    }
    t.mark(newcomer) - t.at(newcomer)
}

#[test]
fn who_is_getting_going_is_not_taken_for_slow() {
    let growing = left_to_a_newcomer(|brought| (50e3 + 5.0 * brought as f64).min(1e6));
    assert!(growing > MIB, "it keeps what it will bring by the end of all: {growing}");
    let crawling = left_to_a_newcomer(|_| 50e3);
    assert!(crawling < MIB / 4, "a speed that does not rise is what it is: {crawling}");
}

/// What a worker has left that nothing has come to for so many seconds, after another one has helped it.
fn left_after_silence(seconds: f64) -> u64 {
    let mut t = Script::with(Policy { speed_floor: 0, ..connections(2) });
    t.tick = Duration::from_millis(20);
    t.answer_after = Duration::from_millis(100);
    t.start_at(&["http://host"], JOB, 24 * MIB);
    t.flow(0.3, |_, _| 1e6);
    let [slow, fast] = t.workers()[..] else { panic!("two workers") };
    while t.workers().contains(&fast) {
        let is_silent = ((t.mark(fast) - t.at(fast)) as f64) < 2e6 * seconds;
        t.flow(0.02, |worker, _| if worker == fast { 2e6 } else { f64::from(u8::from(!is_silent)) * 1e6 });
    }
    t.mark(slow) - t.at(slow)
}

#[test]
fn a_gap_in_a_stream_is_not_taken_for_a_slow_one() {
    let usual = left_after_silence(0.0);
    let [gap, silence] = [0.3, 1.5].map(left_after_silence);
    assert!(gap > usual * 9 / 10, "a packet was lost twice, and what comes next is there already: {gap}, not {usual}");
    assert!(silence < usual / 2, "four answer times are more than a gap: {silence}");
}

/// A connection's speed by the bytes that it has brought: at first it is slow, and loses 0.9 s.
fn after_a_slow_start(brought: u64, speed: f64) -> f64 {
    if brought < 100_000 { 100e3 } else { speed }
}

#[test]
fn another_request_is_cheaper_on_a_connection_that_is_there() {
    let mut t = Script::with(connections(3)).probed(JOB, 12 * MIB);
    let fast = t.workers()[2];
    while t.workers().contains(&fast) {
        t.flow_for(0.1, |fetch, at| {
            after_a_slow_start(at - fetch.from, if fetch.worker == fast { 1.6e6 } else { 1e6 })
        });
    }
    assert_eq!(t.fetched(JOB), 4, "it goes on with a part of what the others have left, 1.5 s for each");

    let mut t = Script::with(connections(2)).probed(JOB, 8 * MIB);
    t.flow_for(3.6, |fetch, at| after_a_slow_start(at - fetch.from, 1e6));
    t.tune(JOB, Tuning { connections: Some(3), ..Tuning::default() });
    t.flow(3.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.fetched(JOB), 2, "a new connection would not be up to speed in time");
}

#[test]
fn who_is_to_be_cut_may_have_ended_before_that_is_carried_out() {
    let mut t = Script::with(connections(2)).probed(JOB, 64 * MIB);
    t.flow(2.0, |_, _| 1e6);
    let before = t.set_ends;
    let more = Tuning { connections: Some(3), ..Tuning::default() };
    t.engine.command(t.now, Command::Tune(JOB, more)).expect("the engine has the job");
    t.break_all(FaultKind::Reset);
    assert!(t.set_ends > before, "somebody was to make room for the third");
    t.flow(200.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!((t.bytes(JOB), t.twice), (64 * MIB, 0));
}
