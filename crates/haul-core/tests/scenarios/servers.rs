//! Servers without ranges, without a length, without bytes.

use std::time::Duration;

use haul_core::FaultKind;
use haul_core::messages::{End, FetchKind, Outcome};

use crate::script::{MIB, Script};
use crate::{JOB, connections};

#[test]
fn f_range_11_a_server_without_ranges_gets_one_connection_and_starts_over_after_a_break() {
    let mut t = Script::new();
    t.start(JOB);
    let probe = t.only_worker();
    t.opened(probe, Some(8 * MIB), false);
    t.flow(1.0, |_, _| 1e6);
    assert_eq!(t.workers(), [probe]);
    t.fault(probe, FaultKind::Reset);
    t.flow(0.5, |_, _| 1e6);
    assert_eq!(t.resets, 1);
    let again = t.only_worker();
    assert_eq!((t.fetch(again).kind, t.fetch(again).from), (FetchKind::Whole, 0));
    t.flow(20.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
}

#[test]
fn a_single_stream_that_always_breaks_at_the_same_place_is_tried_less_and_less() {
    let mut t = Script::new();
    t.start(JOB);
    let mut requests = 0;
    while t.now.since_origin() < Duration::from_secs(300) {
        for worker in t.workers() {
            requests += 1;
            t.opened(worker, Some(8 * MIB), false);
            t.flow(0.2, |_, _| 1e6);
            t.fault(worker, FaultKind::Truncated);
        }
        t.flow(0.1, |_, _| 1e6);
    }
    assert!((4..20).contains(&requests), "{requests} requests in five minutes");
}

#[test]
fn f_range_01_ranges_that_are_always_refused_end_in_one_connection() {
    let mut t = Script::with(connections(8));
    t.start(JOB);
    let probe = t.only_worker();
    t.open(probe, 32 * MIB);
    t.serve(|fetch| (fetch.kind == FetchKind::Range).then_some(FaultKind::RangesRefused));
    t.flow(60.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.resets, 1);
    assert_eq!(t.view_of_ranges(JOB), Some(false));
}

#[test]
fn f_range_02_a_node_that_refuses_ranges_does_not_cost_the_bytes_of_the_others() {
    let mut t = Script::with(connections(8)).probed(JOB, 60 * MIB);
    t.flow(1.0, |_, _| 1e6);
    for worker in t.workers().into_iter().skip(1).take(5) {
        t.fault(worker, FaultKind::RangesRefused);
    }
    t.flow(60.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!((t.resets, t.twice), (0, 0));
}

#[test]
fn an_unknown_length_is_known_at_its_end() {
    let mut t = Script::new();
    t.start(JOB);
    let probe = t.only_worker();
    t.opened(probe, None, false);
    t.flow(2.0, |_, _| 1e6);
    assert_eq!((t.view(JOB).total, t.workers().len()), (None, 1));
    t.end(probe, End::Finished);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.rows_done(JOB), t.bytes(JOB));
}

#[test]
fn an_empty_file_completes() {
    let mut t = Script::new();
    t.start(JOB);
    let probe = t.only_worker();
    t.opened(probe, Some(0), false);
    t.end(probe, End::Finished);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.fetched(JOB), 1);
}
