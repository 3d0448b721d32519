//! Requests that are overdue, and other connections that are tried in the place of slow ones.

use std::collections::BTreeMap;
use std::time::Duration;

use haul_core::messages::{Outcome, StopReason};
use haul_core::{FaultKind, Policy};

use crate::script::{HOST, MIB, Script};
use crate::{JOB, connections};

#[test]
fn an_overdue_request_is_replaced_and_its_chunk_gets_twice_the_patience_each_time() {
    let mut t = Script::with(Policy { steals: false, ..connections(4) }).probed(JOB, 60 * MIB);
    t.flow(1.0, |_, _| 20e3);
    let worker = t.workers()[3];
    t.hang(move |fetch| fetch.worker > worker);
    t.fault(worker, FaultKind::Reset);
    t.flow(120.0, |_, _| 20e3);
    let mut patience: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for fetch in t.fetches(JOB).filter(|fetch| fetch.worker > worker) {
        patience.entry(fetch.from).or_default().extend(t.patience(fetch.worker));
    }
    assert!(patience.values().any(|each| each.starts_with(&[1.5, 3.0, 6.0, 12.0])), "{patience:?}");
    assert!(patience.values().all(|each| [1.5, 3.0, 6.0, 12.0, 24.0].starts_with(each)), "{patience:?}");
    assert_eq!(t.charged(JOB), 1, "the reset; who gives a request up charges nobody");
}

#[test]
fn f_range_15_where_answers_take_long_a_request_is_not_overdue_so_soon() {
    let mut t = Script::with(Policy { steals: false, ..connections(4) });
    t.answer_after = Duration::from_millis(1900);
    t.start_at(&[HOST], JOB, 60 * MIB);
    t.flow(30.0, |_, _| 20e3);
    assert_eq!((t.stops(StopReason::Unanswered), t.workers().len()), (0, 4));
}

/// When other connections were tried, in whole seconds.
fn trials(t: &Script) -> Vec<f64> {
    t.stop_times(StopReason::Trial).iter().map(|at| at.floor()).collect()
}

#[test]
fn slow_workers_with_too_few_siblings_for_a_verdict_get_a_trial_at_growing_pauses() {
    let mut t = Script::with(connections(2)).probed(JOB, 60 * MIB);
    t.flow(100.0, |_, _| 100e3);
    assert_eq!(trials(&t), [4.0, 16.0, 52.0]);
    assert_eq!((t.strikes().len(), t.charged(JOB)), (0, 0), "a trial is no verdict");
}

#[test]
fn a_trial_takes_the_slower_one() {
    let mut t = Script::with(connections(2)).probed(JOB, 60 * MIB);
    let [fast, slow] = t.workers()[..] else { panic!("two workers") };
    t.flow(5.0, |worker, _| if worker == slow { 100e3 } else { 200e3 });
    assert_eq!(trials(&t), [4.0]);
    assert!(t.workers().contains(&fast) && !t.workers().contains(&slow));
}

#[test]
fn who_has_enough_siblings_is_judged_by_them_and_gets_no_trial() {
    let mut t = Script::with(connections(4)).probed(JOB, 200 * MIB);
    t.flow(60.0, |_, _| 100e3);
    assert_eq!(trials(&t), [0.0; 0]);
}

#[test]
fn the_only_worker_gets_no_trial() {
    let mut t = Script::with(connections(1)).probed(JOB, 60 * MIB);
    t.flow(60.0, |_, _| 100e3);
    assert_eq!(trials(&t), [0.0; 0]);
}

#[test]
fn a_worker_above_the_speed_floor_gets_no_trial() {
    let mut t = Script::with(connections(2)).probed(JOB, 600 * MIB);
    t.flow(60.0, |_, _| 400e3);
    assert_eq!(trials(&t), [0.0; 0]);
}

#[test]
fn f_speed_03_a_worker_that_our_own_limit_holds_up_gets_no_trial() {
    let mut t = Script::with(connections(2)).probed(JOB, 60 * MIB);
    t.throttled = true;
    t.flow(60.0, |_, _| 100e3);
    assert_eq!(trials(&t), [0.0; 0]);
}

#[test]
fn without_a_speed_floor_there_is_no_trial() {
    let mut t = Script::with(Policy { speed_floor: 0, ..connections(2) }).probed(JOB, 60 * MIB);
    t.flow(60.0, |_, _| 100e3);
    assert_eq!(trials(&t), [0.0; 0]);
}

#[test]
fn what_is_over_soon_gets_no_trial() {
    let mut t = Script::with(connections(2)).probed(JOB, 2 * MIB);
    t.flow(60.0, |_, _| 100e3);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(trials(&t), [0.0; 0]);
}
