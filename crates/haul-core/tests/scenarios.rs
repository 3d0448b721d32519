//! Stories: inputs with times, and the effects that follow.
//!
//! The script is the shell of the story: it answers `SetEnd`, `Stop`, `Reset` and `Seal` at once, and whatever the
//! story does not say otherwise. Bytes flow only in [`Script::flow`].

#[expect(dead_code, reason = "only the crash stories need all of the script")]
mod script;

use std::time::Duration;

use haul_core::messages::{Caps, End, FetchKind, Outcome, StopReason, Tuning};
use haul_core::{Chunk, ChunkState, Fault, FaultKind, JobId, JobState, Policy, WaitingFor};
use script::{MIB, Script};

const JOB: JobId = JobId(1);
const OTHER: JobId = JobId(2);

fn connections(most: u32) -> Policy {
    Policy { connections_per_job: most, ..Policy::default() }
}

// The two bugs that haul comes from.

#[test]
fn an_empty_queue_with_failed_chunks_on_their_way_back_is_not_the_end() {
    let mut t = Script::with(connections(4)).probed(JOB, 4 * MIB);
    t.flow(0.9, |_, _| 1e6);
    for worker in t.workers() {
        t.fault(worker, FaultKind::Reset);
    }
    assert!(t.workers().is_empty(), "nobody works");
    let on_its_way_back = |chunk: &Chunk| matches!(chunk.state, ChunkState::Backoff(_));
    assert!(t.engine.chunks(t.now, JOB).iter().all(|(chunk, _)| on_its_way_back(chunk)), "and nothing is ready");
    assert_eq!((t.outcome(JOB), t.seals), (None, 0), "an empty queue means only that nothing is waiting");
    t.flow(3.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!((t.bytes(JOB), t.twice), (4 * MIB, 0));
}

#[test]
fn a_chunk_that_trickles_for_three_requests_gets_its_strikes_and_completes() {
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
fn a_chunk_that_always_trickles_is_exempt_after_three_strikes_and_completes() {
    let t = a_region_that_always_trickles();
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.stops(StopReason::BelowFloor), 3);
    assert_eq!(t.strikes(), [1, 2, 3]);
    // 50 KB/s for 1 MiB are 21 s, and the strikes come on top of that.
    assert!(t.seconds(JOB) < 45.0, "took {} s", t.seconds(JOB));
}

#[test]
fn a_lonely_slow_worker_is_left_alone() {
    let mut t = Script::with(connections(1)).probed(JOB, 3 * MIB);
    t.flow(100.0, |_, _| 50e3);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.stops(StopReason::BelowFloor), 0);
    assert_eq!(t.fetched(JOB), 1);
}

#[test]
fn thirty_two_workers_on_a_thin_line_are_all_innocent() {
    let mut t = Script::new().probed(JOB, 64 * MIB - 1);
    t.flow_shared(90.0, 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.stops(StopReason::BelowFloor), 0);
}

#[test]
fn a_worker_that_our_own_limit_holds_up_is_not_slow() {
    let mut t = Script::with(connections(8)).probed(JOB, 32 * MIB);
    t.throttled = true;
    t.flow(8.0, |_, at| if at < MIB { 1e3 } else { 200e3 });
    assert_eq!(t.stops(StopReason::BelowFloor), 0);
}

// Faults.

#[test]
fn a_404_fails_at_once_with_one_request() {
    let mut t = Script::new();
    t.start(JOB);
    let probe = t.only_worker();
    t.fault(probe, FaultKind::Status(404));
    t.flow(100.0, |_, _| 1e6);
    assert!(matches!(t.outcome(JOB), Some(Outcome::Failed(fault)) if fault.kind == FaultKind::Status(404)));
    assert_eq!(t.fetched(JOB), 1);
}

#[test]
fn a_503_before_any_progress_waits_for_retry_after_with_the_whole_host() {
    let mut t = Script::new();
    t.start(JOB);
    let probe = t.only_worker();
    t.end(probe, End::Fault(busy(503, Some(20))));
    t.start(OTHER);
    for id in [JOB, OTHER] {
        assert_eq!(t.view(id).state, JobState::Waiting(WaitingFor::Host));
        assert_eq!(t.view(id).retry_in, Some(Duration::from_secs(20)));
    }
    t.wait(19.9);
    assert_eq!((t.fetched(JOB), t.fetched(OTHER)), (1, 0));
    t.wait(0.2);
    assert_eq!(t.fetched(JOB) + t.fetched(OTHER), 2, "one connection finds out whether the host is back");
    t.open_all(4 * MIB);
    assert!(t.fetched(JOB) >= 2 && t.fetched(OTHER) >= 1, "then everybody goes on");
    assert_eq!(t.charged(JOB), 0, "who was told to wait is not to blame");
}

#[test]
fn a_429_on_extra_connections_lowers_the_hosts_cap_and_charges_nobody() {
    let mut t = Script::with(connections(8));
    t.start(JOB);
    let probe = t.only_worker();
    t.open(probe, 32 * MIB);
    for (count, worker) in t.workers().into_iter().skip(1).enumerate() {
        if count < 2 { t.open(worker, 32 * MIB) } else { t.end(worker, End::Fault(busy(429, None))) }
    }
    assert_eq!(t.workers().len(), 3, "as many as were served");
    assert_eq!(t.charged(JOB), 0);
    t.flow(9.0, |_, _| 100e3);
    assert_eq!(t.workers().len(), 3);
    t.flow(2.0, |_, _| 100e3);
    assert_eq!(t.workers().len(), 4, "after a while one more is tried");
}

#[test]
fn a_permanent_fault_stops_all_workers() {
    let mut t = Script::with(connections(4)).probed(JOB, 32 * MIB);
    t.flow(1.0, |_, _| 1e6);
    let worker = t.workers()[2];
    t.fault(worker, FaultKind::DiskIo);
    assert_eq!(t.stops(StopReason::JobStops), 3);
    assert!(matches!(t.outcome(JOB), Some(Outcome::Failed(fault)) if fault.kind == FaultKind::DiskIo));
    assert_eq!(t.rows_done(JOB), t.bytes(JOB), "the bytes are kept, and the store knows of all of them");
}

#[test]
fn a_failing_server_is_asked_less_and_less_by_one_connection_at_a_time() {
    let mut t = Script::new().probed(JOB, 60 * MIB);
    t.serve(|_| Some(FaultKind::Status(500)));
    t.flow(1.0, |_, _| 1e6);
    for worker in t.workers() {
        t.fault(worker, FaultKind::Reset);
    }
    let before = t.fetched(JOB);
    t.flow(120.0, |_, _| 1e6);
    let requests = t.fetched(JOB) - before;
    assert!((4..45).contains(&requests), "{requests} requests in two minutes");
    t.serve(|_| None);
    while t.view(JOB).connections < 2 {
        t.flow(1.0, |_, _| 100e3);
        assert!(t.now.since_origin() < Duration::from_secs(700), "the longest backoff is 450 s");
    }
    t.flow(1.0, |_, _| 100e3);
    assert_eq!(t.view(JOB).connections, 32, "one answer brings all of them back");
    t.flow(60.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
}

#[test]
fn the_retry_limit_counts_attempts_and_not_workers() {
    let mut t = Script::with(Policy { retry_limit: 3, ..connections(16) }).probed(JOB, 32 * MIB);
    t.flow(1.0, |_, _| 1e6);
    t.serve(|_| Some(FaultKind::Connect));
    for worker in t.workers() {
        t.fault(worker, FaultKind::Reset);
    }
    assert_eq!(t.outcome(JOB), None, "sixteen breaks at once are one");
    t.flow(300.0, |_, _| 1e6);
    assert!(matches!(t.outcome(JOB), Some(Outcome::Failed(fault)) if fault.kind == FaultKind::Connect));
}

#[test]
fn a_changed_source_starts_over_at_most_three_times() {
    let mut t = Script::with(connections(2));
    t.start(JOB);
    for round in 0..4 {
        assert_eq!(t.outcome(JOB), None, "in round {round}");
        let probe = t.only_worker();
        assert_eq!(t.fetch(probe).kind, FetchKind::Probe, "everything is forgotten");
        t.open(probe, 8 * MIB);
        t.flow(0.5, |_, _| 1e6);
        let worker = *t.workers().last().expect("a second worker");
        t.fault(worker, FaultKind::SourceChanged);
    }
    assert!(matches!(t.outcome(JOB), Some(Outcome::Failed(fault)) if fault.kind == FaultKind::SourceChanged));
    assert_eq!(t.resets, 3);
}

#[test]
fn an_expired_link_is_asked_for_once_and_then_waits_for_a_person() {
    let mut t = Script::with(connections(4)).probed(JOB, 8 * MIB);
    t.flow(0.5, |_, _| 1e6);
    for worker in t.workers() {
        t.fault(worker, FaultKind::Reset);
    }
    let fresh = std::cell::Cell::new(false);
    t.serve(move |fetch| {
        fresh.set(fresh.get() || fetch.resolve);
        (!fresh.get()).then_some(FaultKind::Status(403))
    });
    t.flow(2.0, |_, _| 1e6);
    assert_eq!(t.view(JOB).state, JobState::Active, "the submitted URL still opens the door");
    t.serve(|_| Some(FaultKind::Status(403)));
    for worker in t.workers() {
        t.fault(worker, FaultKind::Reset);
    }
    t.flow(60.0, |_, _| 1e6);
    assert_eq!(t.view(JOB).state, JobState::Waiting(WaitingFor::Link));
    assert!(t.engine.poll_timeout().is_none_or(|(at, _)| at > t.now));
    t.serve(|_| None);
    t.nudge(JOB);
    t.flow(30.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
}

#[test]
fn a_full_disk_is_waited_for_also_while_sealing() {
    let mut t = Script::with(connections(2)).probed(JOB, 4 * MIB);
    t.flow(0.5, |_, _| 1e6);
    let worker = t.workers()[0];
    t.fault(worker, FaultKind::DiskFull);
    assert_eq!(t.view(JOB).state, JobState::Waiting(WaitingFor::Disk));
    assert_eq!(t.charged(JOB), 0);
    t.seal_faults = vec![FaultKind::DiskFull];
    t.flow(20.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.seals, 2);
}

// Users.

#[test]
fn a_pause_keeps_the_bytes_and_resuming_goes_on_behind_them() {
    let mut t = Script::with(connections(4)).probed(JOB, 16 * MIB);
    t.flow(1.0, |_, _| 1e6);
    let done = t.bytes(JOB);
    t.release(JOB);
    assert!(t.workers().is_empty());
    assert_eq!(t.rows_done(JOB), done);
    t.start_from_rows(JOB, 16 * MIB);
    t.flow(30.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!((t.bytes(JOB), t.twice), (16 * MIB, 0));
}

#[test]
fn a_complete_file_needs_no_request() {
    let mut t = Script::new().probed(JOB, MIB);
    t.seal_faults = vec![FaultKind::TargetExists];
    t.flow(2.0, |_, _| 1e6);
    let requests = t.fetched(JOB);
    t.start_from_rows(JOB, MIB);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.fetched(JOB), requests);
}

#[test]
fn lowering_a_jobs_connections_ends_the_surplus_at_once() {
    let mut t = Script::with(connections(8)).probed(JOB, 60 * MIB);
    assert_eq!(t.workers().len(), 8);
    t.tune(JOB, Tuning { priority: 0, connections: Some(3) });
    assert_eq!(t.workers().len(), 3);
    assert_eq!(t.stops(StopReason::Yield), 5);
    assert_eq!(t.charged(JOB), 0);
}

#[test]
fn lowering_the_caps_ends_the_surplus_on_hosts_and_in_all() {
    let mut t = Script::with(connections(8)).probed(JOB, 60 * MIB).probed(OTHER, 60 * MIB);
    assert_eq!(t.workers().len(), 16);
    let caps = Caps { active_jobs: 8, connections_per_job: 8, connections_per_host: 6, connections_total: 512 };
    t.set_caps(caps);
    t.flow(3.0, |_, _| 10e3);
    assert_eq!(t.workers().len(), 6);
    t.set_caps(Caps { connections_per_host: 32, connections_total: 4, ..caps });
    t.flow(3.0, |_, _| 10e3);
    assert_eq!(t.workers().len(), 4);
    t.set_caps(Caps { active_jobs: 1, ..caps });
    t.flow(3.0, |_, _| 10e3);
    assert_eq!((t.view(JOB).connections, t.view(OTHER).state), (6, JobState::Queued));
}

// Servers without ranges, without a length, without bytes.

#[test]
fn a_server_without_ranges_gets_one_connection_and_starts_over_after_a_break() {
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
fn ranges_that_are_always_refused_end_in_one_connection() {
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
fn a_node_that_refuses_ranges_does_not_cost_the_bytes_of_the_others() {
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

// Leases and shares.

#[test]
fn a_steal_makes_both_ends_meet_and_a_cut_inside_a_chunk_makes_two_rows() {
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
        t.start_with(JobId(id), Tuning { priority: i32::from(id == 10), connections: None });
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
fn out_of_descriptors_means_fewer_connections_and_no_blame() {
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

fn busy(status: u16, retry_after: Option<u64>) -> Fault {
    Fault { retry_after: retry_after.map(Duration::from_secs), ..Fault::new(FaultKind::Status(status), "busy") }
}
