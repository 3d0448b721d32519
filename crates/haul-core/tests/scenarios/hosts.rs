//! What is learned of a host: how many connections it takes, and for how long that is believed.

use std::time::Duration;

use haul_core::messages::{End, HostMemory, Note, StopReason};
use haul_core::{FaultKind, WorkerId};

use crate::script::{HOST, MIB, Script};
use crate::{JOB, busy, connections};

/// A job with `served` connections of eight, and the others, which are still without an answer.
fn some_served(served: usize) -> (Script, Vec<WorkerId>) {
    let mut t = Script::with(connections(8));
    t.start(JOB);
    let probe = t.only_worker();
    t.open(probe, 60 * MIB);
    let waiting = t.workers().split_off(served);
    for worker in t.workers().into_iter().take(served).skip(1) {
        t.open(worker, 60 * MIB);
    }
    (t, waiting)
}

fn caps(t: &Script) -> Vec<u32> {
    t.notes().filter_map(|note| if let Note::HostCap { cap, .. } = note { Some(*cap) } else { None }).collect()
}

#[test]
fn one_reset_is_noise_and_two_are_a_cap() {
    let (mut t, waiting) = some_served(7);
    t.fault(waiting[0], FaultKind::Reset);
    assert_eq!((t.host(HOST).cap, t.host(HOST).refusals), (None, 1));
    t.wait(0.01);
    let again = *t.workers().last().expect("one more is tried");
    t.wait(0.01);
    t.fault(again, FaultKind::Reset);
    assert_eq!(t.host(HOST).cap, Some(7));
    assert_eq!(caps(&t), [7]);
}

#[test]
fn a_status_says_it_at_once() {
    let (mut t, waiting) = some_served(7);
    t.end(waiting[0], End::Fault(busy(429, None)));
    assert_eq!(t.host(HOST).cap, Some(7));
}

#[test]
fn two_resets_in_one_moment_count_once() {
    let (mut t, waiting) = some_served(3);
    for worker in &waiting[..2] {
        t.fault(*worker, FaultKind::Reset);
    }
    assert_eq!((t.host(HOST).cap, t.host(HOST).refusals), (None, 1));
}

#[test]
fn as_many_resets_in_one_moment_as_are_served_are_a_cap() {
    let (mut t, waiting) = some_served(3);
    for worker in &waiting[..3] {
        t.fault(*worker, FaultKind::Reset);
    }
    assert_eq!(t.host(HOST).cap, Some(3));
}

#[test]
fn an_answer_beyond_the_cap_disproves_it() {
    let (mut t, waiting) = some_served(5);
    t.end(waiting[0], End::Fault(busy(429, None)));
    assert_eq!(t.host(HOST).cap, Some(5));
    t.open(waiting[1], 60 * MIB);
    assert_eq!((t.host(HOST).cap, t.host(HOST).refusals), (Some(6), 0));
    // So a single reset is noise again.
    let refused = waiting[2];
    t.wait(0.01);
    t.fault(refused, FaultKind::Reset);
    assert!(t.host(HOST).refusals < 2);
}

#[test]
fn a_cap_that_is_confirmed_holds_longer_each_time() {
    let (mut t, waiting) = some_served(4);
    for worker in waiting {
        t.end(worker, End::Fault(busy(429, None)));
    }
    t.serve(|_| Some(FaultKind::Status(429)));
    let before = t.fetched(JOB);
    t.flow(200.0, |_, _| 1e3);
    let tried: Vec<f64> = t.fetches(JOB).skip(before).map(|fetch| t.asked(fetch.worker)).collect();
    let pauses: Vec<f64> = tried.windows(2).map(|pair| ((pair[1] - pair[0]) / 10.0).round() * 10.0).collect();
    assert!((10.0..10.2).contains(&tried[0]), "{tried:?}");
    assert_eq!(pauses, [20.0, 40.0, 80.0], "{tried:?}");
}

#[test]
fn a_cap_decays_by_one_connection_at_a_time_while_these_are_answered() {
    let (mut t, waiting) = some_served(3);
    for worker in waiting {
        t.end(worker, End::Fault(busy(429, None)));
    }
    let mut used = Vec::new();
    for _ in 0..4 {
        t.flow(10.5, |_, _| 1e3);
        used.push(t.view(JOB).connections);
    }
    assert_eq!(used, [4, 5, 6, 7]);
}

#[test]
fn what_is_remembered_of_a_host_holds_from_the_first_request_on() {
    let mut t = Script::with(connections(8));
    t.know_host(HostMemory {
        name: HOST.to_owned(),
        cap: Some(2),
        cap_holds: Duration::from_secs(30),
        refusals: 2,
        ..HostMemory::default()
    });
    t.start(JOB);
    t.open_all(60 * MIB);
    assert_eq!(t.view(JOB).connections, 2);
    t.flow(29.0, |_, _| 1e3);
    assert_eq!(t.view(JOB).connections, 2);
    t.flow(2.0, |_, _| 1e3);
    assert_eq!(t.view(JOB).connections, 3);
}

#[test]
fn a_host_never_gets_more_connections_than_its_user_allows() {
    let mut t = Script::with(connections(8));
    t.know_host(HostMemory { name: HOST.to_owned(), connections_max: Some(3), ..HostMemory::default() });
    t.start(JOB);
    t.open_all(60 * MIB);
    t.flow(60.0, |_, _| 1e3);
    assert_eq!(t.view(JOB).connections, 3);
}

#[test]
fn while_requests_hang_at_a_host_that_serves_nobody_another_one_is_tried_only_now_and_then() {
    let mut t = Script::with(connections(8)).probed(JOB, 60 * MIB);
    t.flow(1.0, |_, _| 100e3);
    t.hang(|_| true);
    for worker in t.workers() {
        t.fault(worker, FaultKind::Reset);
    }
    let before = t.fetched(JOB);
    t.flow(11.0, |_, _| 100e3);
    let asked: Vec<f64> = t.fetches(JOB).skip(before).map(|fetch| t.asked(fetch.worker)).collect();
    let pauses: Vec<f64> = asked.windows(2).map(|pair| ((pair[1] - pair[0]) * 10.0).round() / 10.0).collect();
    assert_eq!(pauses, [1.5; 6], "{asked:?}");
    assert!(t.workers().len() > 1, "also while older ones hang, which are given more and more time");
}

#[test]
fn requests_that_hang_together_are_not_replaced_by_others_that_hang() {
    let mut t = Script::with(connections(10));
    t.start(JOB);
    let probe = t.only_worker();
    t.open(probe, 640 * MIB);
    let served: Vec<WorkerId> = t.workers().into_iter().take(4).collect();
    served.iter().skip(1).for_each(|worker| t.open(*worker, 640 * MIB));
    t.hang(|_| true);
    let before = t.fetched(JOB);
    t.flow(5.0, |_, _| 1e6);
    assert_eq!(t.stops(StopReason::Unanswered), 6);
    assert_eq!((t.fetched(JOB) - before, t.workers()), (0, served));
}
