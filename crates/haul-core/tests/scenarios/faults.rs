//! What follows from faults.

use std::time::Duration;

use haul_core::messages::{End, FetchKind, Note, Outcome, StopReason};
use haul_core::{FaultKind, JobState, Policy, WaitingFor};

use crate::script::{MIB, Script};
use crate::{JOB, OTHER, busy, connections};

#[test]
fn f_http_01_a_404_fails_at_once_with_one_request() {
    let mut t = Script::new();
    t.start(JOB);
    let probe = t.only_worker();
    t.fault(probe, FaultKind::Status(404));
    t.flow(100.0, |_, _| 1e6);
    assert!(matches!(t.outcome(JOB), Some(Outcome::Failed(fault)) if fault.kind == FaultKind::Status(404)));
    assert_eq!(t.fetched(JOB), 1);
}

#[test]
fn f_http_02_a_503_before_any_progress_waits_for_retry_after_with_the_whole_host() {
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
fn f_range_13_a_429_on_extra_connections_lowers_the_hosts_cap_and_charges_nobody() {
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
fn f_http_03_f_retry_04_a_failing_server_is_asked_less_and_less_by_one_connection_at_a_time() {
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
fn f_retry_04_a_server_that_fails_all_new_requests_is_not_asked_for_each_chunk_because_one_stream_goes_on() {
    let mut t = Script::with(connections(8)).probed(JOB, 4096 * MIB);
    t.flow(1.0, |_, _| 1e6);
    t.serve(|_| Some(FaultKind::Status(500)));
    let (stream, others) = t.workers().split_first().map(|(first, others)| (*first, others.to_vec())).expect("eight");
    for worker in others {
        t.fault(worker, FaultKind::Reset);
    }
    let before = t.fetched(JOB);
    t.flow(10.0, |_, _| 1e6);
    let requests = t.fetched(JOB) - before;
    assert!((8..40).contains(&requests), "{requests} requests in ten seconds");
    assert!(t.workers().contains(&stream), "what is served goes on");
    t.serve(|_| None);
    t.flow(3.0, |_, _| 1e6);
    assert_eq!(t.view(JOB).connections, 8, "one answer brings all of them back");
}

#[test]
fn places_of_a_file_that_fail_do_not_keep_the_others_from_being_fetched() {
    let mut t = Script::with(connections(8)).probed(JOB, 400 * MIB);
    let fails = |from: u64| (100 * MIB..120 * MIB).contains(&from);
    t.serve(move |fetch| fails(fetch.from).then_some(FaultKind::Status(500)));
    t.flow(100.0, move |_, at| if fails(at) { 0.0 } else { 1e6 });
    assert!(t.bytes(JOB) >= 370 * MIB, "{} bytes", t.bytes(JOB));
}

#[test]
fn f_retry_02_the_retry_limit_counts_attempts_and_not_workers() {
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
fn f_proc_03_a_defect_that_ends_every_attempt_fails_its_job_and_no_other() {
    let mut t = Script::with(connections(1));
    t.serve(|fetch| (fetch.job == JOB).then_some(FaultKind::Internal));
    t.start_at(&["http://a"], JOB, 32 * MIB);
    t.start_at(&["http://b"], OTHER, 32 * MIB);
    t.flow(60.0, |_, _| 1e5);
    assert!(matches!(t.outcome(JOB), Some(Outcome::Failed(fault)) if fault.kind == FaultKind::Internal));
    assert_eq!(t.fetched(JOB), 3);
    assert_eq!(t.view(OTHER).state, JobState::Active, "the other one goes on");
}

#[test]
fn a_defect_in_between_is_tried_again() {
    let mut t = Script::with(connections(1)).probed(JOB, 32 * MIB);
    for _ in 0..10 {
        let worker = t.only_worker();
        t.fault(worker, FaultKind::Internal);
        t.flow(20.0, |_, _| 1e4);
    }
    assert_eq!(t.outcome(JOB), None, "it gets on, so it goes on");
}

#[test]
fn f_ident_10_a_changed_source_starts_over_at_most_three_times() {
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
fn f_http_05_an_expired_link_is_asked_for_once_and_then_waits_for_a_person() {
    let mut t = Script::with(connections(4)).probed(JOB, 8 * MIB);
    t.flow(0.5, |_, _| 1e6);
    let fresh = std::cell::Cell::new(false);
    t.serve(move |fetch| {
        fresh.set(fresh.get() || fetch.resolve);
        (!fresh.get()).then_some(FaultKind::Status(403))
    });
    for worker in t.workers() {
        t.fault(worker, FaultKind::Reset);
    }
    t.flow(1.0, |_, _| 1e6);
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
fn one_break_goes_on_at_once_and_those_of_the_same_moment_wait() {
    let mut t = Script::with(connections(4)).probed(JOB, 60 * MIB);
    t.flow(1.0, |_, _| 500e3);
    let workers = t.workers();
    for worker in &workers[..3] {
        t.fault(*worker, FaultKind::Reset);
    }
    let waits: Vec<bool> = t
        .notes()
        .filter_map(|note| if let Note::ChunkReturned { wait, .. } = note { Some(wait.is_zero()) } else { None })
        .collect();
    assert_eq!(waits, [true, false, false], "who goes on at once");
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

#[test]
fn whoever_waits_for_the_disk_takes_no_slot_before_the_disk_is_well() {
    let policy = Policy { active_jobs_max: 1, ..connections(2) };
    let mut t = Script::with(policy).probed(JOB, 4 * MIB);
    t.flow(0.5, |_, _| 500e3);
    let worker = t.workers()[0];
    t.fault(worker, FaultKind::TargetUnmounted);
    assert_eq!(t.view(JOB).state, JobState::Waiting(WaitingFor::Volume));
    t.start(OTHER);
    t.open_all(64 * MIB);
    let bytes = t.bytes(JOB);
    t.disk_faults = vec![FaultKind::TargetUnmounted, FaultKind::TargetUnmounted, FaultKind::DiskFull];
    t.flow(5.0, |_, _| 500e3);
    assert_eq!((t.view(JOB).state, t.disk_checks), (JobState::Waiting(WaitingFor::Volume), 2));
    t.flow(2.0, |_, _| 500e3);
    assert_eq!((t.view(JOB).state, t.disk_checks), (JobState::Waiting(WaitingFor::Disk), 3));
    assert_eq!((t.bytes(JOB), t.charged(JOB)), (bytes, 0));
    assert_eq!(t.view(OTHER).connections, 2, "the other one is not disturbed");
    t.flow(2.0, |_, _| 500e3);
    assert_eq!(t.view(JOB).state, JobState::Queued, "it has space, and the slot is taken");
    t.flow(120.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
}

#[test]
fn a_look_at_the_disk_that_finds_it_broken_ends_the_job() {
    let mut t = Script::with(connections(2)).probed(JOB, 4 * MIB);
    let worker = t.workers()[0];
    t.fault(worker, FaultKind::DiskFull);
    t.disk_faults = vec![FaultKind::DiskIo];
    t.nudge(JOB);
    assert!(matches!(t.outcome(JOB), Some(Outcome::Failed(fault)) if fault.kind == FaultKind::DiskIo));
}

#[test]
fn f_net_15_running_out_of_descriptors_is_ours_and_charged_to_nobody() {
    let mut t = Script::with(connections(8)).probed(JOB, 32 * MIB);
    t.flow(1.0, |_, _| 100e3);
    for worker in t.workers().into_iter().skip(3) {
        t.fault(worker, FaultKind::Local);
    }
    assert_eq!(t.view(JOB).state, JobState::Active);
    t.flow(0.1, |_, _| 100e3);
    assert_eq!(t.workers().len(), 3, "no more than could be borne");
    assert_eq!(t.charged(JOB), 0);
    t.flow(60.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
}

#[test]
fn f_range_14_f_retry_03_any_progress_resets_the_count() {
    let mut t = Script::with(Policy { retry_limit: 2, ..connections(1) }).probed(JOB, 8 * MIB);
    for _ in 0..20 {
        t.flow(0.3, |_, _| 100e3);
        let worker = t.only_worker();
        t.fault(worker, FaultKind::Reset);
        assert_eq!(t.outcome(JOB), None, "each attempt has brought something");
        t.flow(1.0, |_, _| 0.0);
    }
    t.flow(200.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
}

#[test]
fn f_disk_13_what_is_rolled_back_is_fetched_again() {
    let mut t = Script::with(connections(4)).probed(JOB, 8 * MIB);
    t.flow(0.5, |_, _| 500e3);
    t.store(JOB);
    let (kept, durable) = (t.rows_done(JOB), t.rows(JOB));
    t.flow(1.0, |_, _| 500e3);
    assert!(t.bytes(JOB) > kept);
    let worker = t.workers()[0];
    t.fault(worker, FaultKind::DiskFull);
    t.roll_back(JOB, durable);
    assert_eq!((t.bytes(JOB), t.view(JOB).done_bytes), (kept, kept));
    t.flow(60.0, |_, _| 500e3);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.bytes(JOB), 8 * MIB);
}

#[test]
fn bytes_that_come_while_a_job_stops_do_not_take_its_reason_away() {
    let mut t = Script::with(connections(4)).probed(JOB, 8 * MIB);
    t.flow(0.5, |_, _| 500e3);
    t.hold_stops = true;
    let workers = t.workers();
    t.fault(workers[0], FaultKind::DiskFull);
    assert!(t.view(JOB).fault.is_some(), "it says why from the first moment on");
    t.flow(0.2, |_, _| 500e3);
    for worker in &workers[1..] {
        t.end(*worker, End::Stopped);
    }
    assert_eq!(t.view(JOB).state, JobState::Waiting(WaitingFor::Disk));
    assert_eq!(t.view(JOB).fault.map(|fault| fault.kind), Some(FaultKind::DiskFull));
}

#[test]
fn f_retry_06_with_a_retry_limit_a_chunk_that_always_fails_ends_the_job_after_all_others_are_done() {
    let bad = 4 * MIB..5 * MIB;
    let mut t = Script::with(Policy { retry_limit: 5, ..connections(4) }).probed(JOB, 16 * MIB);
    while t.outcome(JOB).is_none() {
        t.flow(0.1, |_, _| 1e6);
        for worker in t.workers() {
            if t.workers().contains(&worker) && bad.contains(&t.at(worker)) {
                t.fault(worker, FaultKind::Reset);
            }
        }
        assert!(t.clock() < 600.0, "{:?}", t.view(JOB));
    }
    let Some(Outcome::Failed(fault)) = t.outcome(JOB) else { panic!("{:?}", t.outcome(JOB)) };
    assert!(fault.detail.starts_with("no progress in "), "{}", fault.detail);
    assert!(t.rows_done(JOB) >= 15 * MIB, "all else is done: {}", t.rows_done(JOB));
}

#[test]
fn a_job_that_waits_for_its_last_chunk_says_why_although_others_have_brought_theirs_since() {
    let mut t = Script::with(Policy { steals: false, ..connections(2) }).probed(JOB, 2 * MIB);
    let first = t.workers()[0];
    while t.workers().len() > 1 {
        for other in t.workers().into_iter().filter(|worker| *worker != first) {
            t.fault(other, FaultKind::Internal);
        }
        t.flow(0.05, |worker, _| if worker == first { 1e6 } else { 0.0 });
    }
    t.flow(0.1, |_, _| 10e6);
    let view = t.view(JOB);
    assert_eq!(view.state, JobState::Waiting(WaitingFor::Retry));
    assert_eq!(view.fault.map(|fault| fault.kind), Some(FaultKind::Internal));
}
