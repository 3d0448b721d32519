//! Leases, and how jobs share slots and connections.

use haul_core::messages::{Outcome, StopReason, Tuning};
use haul_core::{FaultKind, JobId, JobState, Policy};

use crate::script::{MIB, Script};
use crate::{JOB, OTHER, connections};

#[test]
fn f_speed_05_a_steal_makes_both_ends_meet_and_a_cut_inside_a_chunk_makes_two_rows() {
    let mut t = Script::with(connections(2)).probed(JOB, 16 * MIB);
    let rows = t.engine.chunks(t.now, JOB).len();
    // The last chunk is slow; whoever is done helps, until there is nothing worth sharing.
    t.flow(30.0, |_, at| if at < 15 * MIB { 4e6 } else { 200e3 });
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.twice, 0);
    assert!(t.row_count(JOB) > rows, "some chunk was cut in two");
    // One alone would need 5.2 s for the last chunk, after 2 s for all others.
    assert!(t.seconds(JOB) < 6.8, "took {} s", t.seconds(JOB));
}

#[test]
fn a_cut_that_comes_too_late_is_not_repeated_until_the_worker_reports() {
    let mut t = Script::with(connections(2)).probed(JOB, 2 * MIB);
    t.hold_reports = true;
    let before = t.set_ends;
    t.flow(0.1, |_, _| 30e6);
    assert!(t.set_ends - before < 5, "{} cuts", t.set_ends - before);
}

#[test]
fn eight_slots_go_by_priority_and_connections_are_shared_fairly() {
    let policy = Policy { connections_per_host: 32, ..Policy::default() };
    let mut t = Script::with(policy);
    for id in 1..=10 {
        t.start_with(JobId(id), Tuning { priority: i32::from(id == 10), connections: None, ..Tuning::default() });
    }
    assert_eq!(t.view(JobId(9)).state, JobState::Queued, "eight came first");
    assert_eq!(t.view(JobId(8)).state, JobState::Queued, "the one with priority takes the last one's slot");
    t.open_all(60 * MIB);
    t.flow(20.0, |_, _| 20e3);
    for id in 1..=7 {
        assert!((3..=4).contains(&t.view(JobId(id)).connections), "job {id}");
    }
    t.release(JobId(3));
    assert_ne!(t.view(JobId(8)).state, JobState::Queued, "it came first");
    assert_eq!(t.view(JobId(9)).state, JobState::Queued);
    t.open_all(60 * MIB);
    t.flow(20.0, |_, _| 20e3);
    let favoured = t.view(JobId(10)).connections;
    assert!((6..=8).contains(&favoured), "each step of priority doubles the share: {favoured}");
}

#[test]
fn a_job_without_a_connection_is_given_one_by_the_job_that_has_most() {
    let mut t = Script::with(connections(32)).probed(JOB, 60 * MIB);
    assert_eq!(t.workers().len(), 32);
    t.start(OTHER);
    assert_eq!(t.stops(StopReason::Yield), 1);
    assert_eq!((t.view(JOB).connections, t.view(OTHER).connections), (31, 1));
    t.open_all(60 * MIB);
    t.flow(20.0, |_, _| 20e3);
    assert_eq!((t.view(JOB).connections, t.view(OTHER).connections), (16, 16));
    assert_eq!(t.charged(JOB), 0);
}

#[test]
fn shares_are_balanced_across_hosts_when_all_connections_are_used() {
    let policy = Policy { connections_total: 8, ..Policy::default() };
    let mut t = Script::with(policy);
    t.start(JOB);
    t.open_all(60 * MIB);
    assert_eq!(t.view(JOB).connections, 8);
    t.start_on("http://elsewhere", OTHER);
    t.open_all(60 * MIB);
    t.flow(10.0, |_, _| 20e3);
    assert_eq!((t.view(JOB).connections, t.view(OTHER).connections), (4, 4));
}

#[test]
fn f_net_15_out_of_descriptors_means_fewer_connections_and_no_blame() {
    let mut t = Script::with(connections(16)).probed(JOB, 60 * MIB);
    t.flow(0.5, |_, _| 100e3);
    for worker in t.workers().into_iter().skip(10) {
        t.fault(worker, FaultKind::Local);
    }
    assert_eq!(t.workers().len(), 10);
    let before = t.fetched(JOB);
    t.flow(0.8, |_, _| 100e3);
    assert_eq!(t.fetched(JOB), before, "not at once");
    t.flow(20.0, |_, _| 100e3);
    assert_eq!(t.workers().len(), 16);
    assert_eq!(t.charged(JOB), 0);
}

#[test]
fn a_stalled_chunk_gets_more_patience_each_time() {
    let mut t = Script::with(connections(1)).probed(JOB, MIB);
    let mut seen = Vec::new();
    for _ in 0..6 {
        let worker = t.only_worker();
        seen.push(t.fetch(worker).timeouts.stall.as_secs());
        t.fault(worker, FaultKind::Stall);
        t.wait(100.0);
    }
    assert_eq!(seen, [5, 10, 20, 40, 60, 60]);
}
