//! No network, and sleep.

use haul_core::messages::{Event, Outcome, StopReason};
use haul_core::{FaultKind, JobState, Policy, WaitingFor};

use crate::script::{MIB, Script};
use crate::{JOB, OTHER, connections};

const TOTAL: u64 = 16 * MIB;
const NETWORK: JobState = JobState::Waiting(WaitingFor::Network);

/// Two jobs on two hosts with some bytes each, whose connections have just broken, and no network.
fn cut_off(policy: Policy) -> Script {
    let mut t = Script::with(policy);
    for (id, host) in [(JOB, "http://a"), (OTHER, "http://b")] {
        t.start_at(&[host], id, TOTAL);
    }
    t.open_all(TOTAL);
    t.flow(1.0, |_, _| 1e6);
    t.serve(|_| Some(FaultKind::Offline));
    for worker in t.workers() {
        t.fault(worker, FaultKind::Stall);
    }
    t.flow(3.0, |_, _| 1e6);
    t
}

#[test]
fn f_net_10_without_a_network_all_jobs_wait_for_it_and_nobody_is_charged() {
    let mut t = cut_off(Policy { retry_limit: 2, ..connections(4) });
    t.flow(3600.0, |_, _| 1e6);
    for id in [JOB, OTHER] {
        assert_eq!((t.view(id).state, t.outcome(id)), (NETWORK, None));
        assert_eq!(t.view(id).fault.map(|fault| fault.kind), Some(FaultKind::Offline));
    }
    let requests = t.fetched(JOB) + t.fetched(OTHER);
    assert!(requests < 1900, "one look every two seconds, not {requests} in an hour");
}

#[test]
fn f_net_10_when_the_network_is_back_all_jobs_go_on_within_seconds() {
    let mut t = cut_off(connections(4));
    t.flow(600.0, |_, _| 1e6);
    t.serve(|_| None);
    t.flow(3.0, |_, _| 1e6);
    for id in [JOB, OTHER] {
        assert_eq!(t.view(id).state, JobState::Active);
    }
    t.flow(60.0, |_, _| 1e6);
    assert_eq!((t.outcome(JOB), t.outcome(OTHER)), (Some(&Outcome::Completed), Some(&Outcome::Completed)));
    assert_eq!((t.resets, t.twice), (0, 0));
}

#[test]
fn f_net_10_a_job_whose_bytes_still_come_is_left_alone() {
    let mut t = Script::with(connections(1));
    t.start_at(&["http://a"], JOB, TOTAL);
    t.open_all(TOTAL);
    t.flow(1.0, |_, _| 100e3);
    t.start_at(&["http://b"], OTHER, TOTAL);
    let other = t.workers()[1];
    t.fault(other, FaultKind::Offline);
    t.flow(10.0, |_, _| 100e3);
    assert_eq!(
        (t.view(JOB).state, t.view(OTHER).state),
        (JobState::Active, JobState::Active),
        "the next look succeeds"
    );
    assert_eq!(t.fetched(JOB), 1);
}

#[test]
fn a_job_that_comes_while_there_is_no_network_waits_with_the_others() {
    let mut t = cut_off(connections(4));
    let third = haul_core::JobId(3);
    t.start_at(&["http://c"], third, TOTAL);
    assert_eq!((t.view(third).state, t.fetched(third)), (NETWORK, 0));
    t.nudge(third);
    assert_eq!(t.fetched(third), 1, "whoever asks for it gets a try");
}

#[test]
fn a_failure_of_another_kind_shows_that_there_is_a_network() {
    let mut t = cut_off(connections(4));
    t.serve(|_| Some(FaultKind::Status(500)));
    t.flow(3.0, |_, _| 1e6);
    for id in [JOB, OTHER] {
        assert_ne!(t.view(id).state, NETWORK);
    }
}

#[test]
fn a_released_job_does_not_keep_the_look_out_alive() {
    let mut t = cut_off(connections(4));
    t.release(JOB);
    t.release(OTHER);
    t.wait(10.0);
    assert_eq!(t.engine.poll_timeout(), None);
}

#[test]
fn f_net_09_after_sleep_all_connections_are_made_anew_and_nobody_is_charged() {
    let mut t = Script::with(connections(4)).probed(JOB, TOTAL);
    t.flow(1.0, |_, _| 1e6);
    let before = t.workers();
    t.feed(Event::Woke);
    assert_eq!(t.stops(StopReason::Woke), before.len());
    t.flow(60.0, |_, _| 1e6);
    assert_eq!((t.outcome(JOB), t.charged(JOB), t.resets, t.twice), (Some(&Outcome::Completed), 0, 0, 0));
}

#[test]
fn f_net_09_a_stream_that_cannot_be_continued_is_left_to_its_luck() {
    let mut t = Script::new();
    t.start(JOB);
    let probe = t.only_worker();
    t.opened(probe, Some(TOTAL), false);
    t.flow(1.0, |_, _| 1e6);
    t.feed(Event::Woke);
    assert_eq!((t.only_worker(), t.stops(StopReason::Woke)), (probe, 0));
}
