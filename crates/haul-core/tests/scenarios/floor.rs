//! The two bugs that haul comes from, and the speed floor.

use std::time::Duration;

use haul_core::messages::{Outcome, StopReason};
use haul_core::{Chunk, ChunkState, FaultKind, Policy};

use crate::script::{MIB, Script};
use crate::{JOB, connections};

#[test]
fn f_done_01_an_empty_queue_with_failed_chunks_on_their_way_back_is_not_the_end() {
    let mut t = Script::with(Policy { steals: false, ..connections(4) }).probed(JOB, 4 * MIB);
    t.flow(0.9, |_, _| 1e6);
    // Whoever takes a place that has become free meets the same.
    while let Some(worker) = t.workers().first().copied() {
        t.open_all(4 * MIB);
        t.fault(worker, FaultKind::Reset);
    }
    let on_its_way_back = |chunk: &Chunk| matches!(chunk.state, ChunkState::Backoff(_));
    assert!(t.engine.chunks(t.now, JOB).iter().any(|(chunk, _)| on_its_way_back(chunk)), "nobody works");
    assert_eq!((t.outcome(JOB), t.seals), (None, 0), "an empty queue means only that nothing is waiting");
    t.flow(20.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!((t.bytes(JOB), t.twice), (4 * MIB, 0));
}

#[test]
fn f_net_03_f_speed_02_04_a_chunk_that_trickles_for_three_requests_gets_its_strikes_and_completes() {
    let mut trickles = std::collections::BTreeSet::new();
    let mut t = Script::with(Policy { split_floor_bytes: MIB, ..connections(8) }).probed(JOB, 64 * MIB - 1);
    t.flow(60.0, |worker, at| {
        let is_slow = (20 * MIB..21 * MIB).contains(&at) && (trickles.len() < 3 || trickles.contains(&worker));
        if is_slow {
            trickles.insert(worker);
        }
        if is_slow { 50e3 } else { 400e3 }
    });
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.strikes(), [1, 2, 3]);
    assert_eq!(t.stops(StopReason::BelowFloor), 3, "each strike kept its bytes and made room for the next attempt");
    assert_eq!(t.twice, 0);
}

/// The chunk is as slow for everybody, for ever, while the others have plenty left to do.
fn a_region_that_always_trickles() -> Script {
    let mut t = Script::with(Policy { split_floor_bytes: MIB, ..connections(8) }).probed(JOB, 64 * MIB - 1);
    t.flow(400.0, |_, at| if (20 * MIB..21 * MIB).contains(&at) { 50e3 } else { 400e3 });
    t
}

#[test]
fn f_retry_01_a_chunk_that_always_trickles_is_exempt_after_three_strikes_and_completes() {
    let t = a_region_that_always_trickles();
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.stops(StopReason::BelowFloor), 3);
    assert_eq!(t.strikes(), [1, 2, 3]);
    // 50 KB/s for 1 MiB are 21 s, and the strikes come on top of that.
    assert!(t.seconds(JOB) < 45.0, "took {} s", t.seconds(JOB));
}

#[test]
fn f_speed_01_a_lonely_slow_worker_is_left_alone() {
    let mut t = Script::with(connections(1)).probed(JOB, 3 * MIB);
    t.flow(100.0, |_, _| 50e3);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.stops(StopReason::BelowFloor), 0);
    assert_eq!(t.fetched(JOB), 1);
}

/// Too small for a verdict of the floor to come in time: it is stealing that keeps the slow one from being waited for.
#[test]
fn a_small_file_does_not_wait_for_the_one_of_four_connections_that_crawls() {
    let mut t = Script::as_it_is(connections(4)).probed(JOB, 4 * MIB);
    let crawls = t.workers()[1];
    t.flow(60.0, |worker, _| if worker == crawls { 8e3 } else { 300e3 });
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    let ideal = (4 * MIB) as f64 / (3.0 * 300e3 + 8e3);
    assert!(t.seconds(JOB) < 1.1 * ideal, "{} s, {ideal} would be ideal", t.seconds(JOB));
    assert_eq!(t.twice, 0);
}

#[test]
fn f_speed_01_thirty_two_workers_on_a_thin_line_are_all_innocent() {
    let mut t = Script::new().probed(JOB, 64 * MIB - 1);
    t.flow_shared(90.0, 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.stops(StopReason::BelowFloor), 0);
}

/// When three of eight connections are given up that bring `slow` bytes per second, where the others bring a million.
fn verdicts_on_three(slow: f64) -> Vec<f64> {
    let mut t = Script::with(connections(8)).probed(JOB, 200 * MIB);
    let slow_ones = t.workers().split_off(5);
    t.flow(6.0, |worker, _| if slow_ones.contains(&worker) { slow } else { 1e6 });
    assert_eq!(t.workers().len(), 8, "each is replaced");
    t.stop_times(StopReason::BelowFloor)
}

#[test]
fn all_that_are_clearly_slow_give_way_together_and_others_one_after_the_other() {
    let clear = verdicts_on_three(20e3);
    assert_eq!(clear.len(), 3);
    assert!(clear.iter().all(|at| *at == clear[0] && *at < 1.0), "{clear:?}");
    let unclear = verdicts_on_three(200e3);
    assert_eq!(unclear.len(), 3);
    assert!(unclear.windows(2).all(|pair| pair[1] > pair[0]) && unclear[0] > 2.0, "{unclear:?}");
}

/// On a fast and long wire a connection needs time to get to its speed; a new one in the place of a broken one is not to
/// be taken for slow meanwhile.
#[test]
fn who_is_getting_going_is_not_below_the_floor() {
    let mut t = Script::with(connections(8)).probed(JOB, 400 * MIB);
    t.flow(3.0, |_, _| 10e6);
    let breaks = *t.workers().last().expect("eight run");
    t.fault(breaks, FaultKind::Reset);
    let newcomer = *t.workers().last().expect("one goes on at once");
    let from = t.fetch(newcomer).from;
    // It doubles each 0.1 s, and is at a hundredth of the others' speed for the first half second.
    let grows = move |at: u64| (10e3 + (at - from) as f64 * 6.9).min(10e6);
    t.flow(1.5, move |worker, at| if worker == newcomer { grows(at) } else { 10e6 });
    assert_eq!(t.stops(StopReason::BelowFloor), 0);
    assert!(t.at(newcomer) > from + MIB, "it got going");
}

/// Three of eight connections bring nothing from 3 s on, for `seconds`; and when they are given up. Answers take `answer`.
fn verdicts_on_a_gap(answer: Duration, seconds: f64) -> Vec<f64> {
    let mut t = Script::with(connections(8));
    t.answer_after = answer;
    t.start_at(&["http://host"], JOB, 200 * MIB);
    t.flow(3.0, |_, _| 1e6);
    let held_up = t.workers().split_off(5);
    t.flow(seconds, |worker, _| if held_up.contains(&worker) { 0.0 } else { 1e6 });
    t.flow(3.0, |_, _| 1e6);
    t.stop_times(StopReason::BelowFloor)
}

#[test]
fn who_was_good_and_is_held_up_for_a_moment_keeps_its_place() {
    let (near, far) = (Duration::ZERO, Duration::from_millis(300));
    assert_eq!(verdicts_on_a_gap(near, 0.8), [0.0; 0], "a busy server");
    assert_eq!(verdicts_on_a_gap(far, 1.2), [0.0; 0], "a packet was lost once more when it was sent again");
    for answer in [near, far] {
        let dead = verdicts_on_a_gap(answer, 6.0);
        assert!(dead.len() == 3 && dead.iter().all(|at| *at < 5.0), "what comes no more is replaced: {dead:?}");
    }
}

#[test]
fn f_speed_03_a_worker_that_our_own_limit_holds_up_is_not_slow() {
    let mut t = Script::with(connections(8)).probed(JOB, 32 * MIB);
    t.throttled = true;
    t.flow(8.0, |_, at| if at < MIB { 1e3 } else { 200e3 });
    assert_eq!(t.stops(StopReason::BelowFloor), 0);
}

#[test]
fn f_speed_06_nobody_is_judged_before_its_grace_is_over() {
    let t = a_region_that_always_trickles();
    let judged = t.fetches(JOB).filter_map(|fetch| t.patience(fetch.worker));
    let earliest = judged.min_by(f64::total_cmp).expect("somebody was stopped");
    assert!(earliest >= 2.0, "after {earliest} s");
}
