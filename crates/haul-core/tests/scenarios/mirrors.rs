//! The same file at several hosts: who may contribute, how much, and what happens when one is lost.

use haul_core::messages::{Fetch, FetchKind, MirrorState, Note, Outcome, StopReason, Suspect, Tuning};
use haul_core::{ByteRange, Fault, FaultKind, MirrorIndex, Policy};

use crate::script::{MIB, Script};
use crate::{JOB, connections};

const A: &str = "http://a";
const B: &str = "http://b";
const C: &str = "http://c";
const TOTAL: u64 = 64 * MIB - 1;

/// A job with these mirrors and up to eight connections, all of which it uses.
fn at(hosts: &[&str]) -> Script {
    with(connections(8), hosts)
}

fn with(policy: Policy, hosts: &[&str]) -> Script {
    let mut t = Script::with(policy);
    t.start_at(hosts, JOB, TOTAL);
    t
}

/// Bytes of the file that came from a mirror.
fn given(t: &Script, mirror: u32) -> u64 {
    let rows = t.rows(JOB);
    rows.iter().filter(|row| row.mirror == MirrorIndex(mirror)).map(|row| row.done).sum()
}

fn dropped(t: &Script) -> Vec<(u32, FaultKind)> {
    let notes = t.notes().filter_map(|note| match note {
        Note::MirrorDropped { mirror, fault } => Some((mirror.0, fault.kind)),
        Note::ChunkReturned { .. }
        | Note::Strike { .. }
        | Note::HostCap { .. }
        | Note::HostWaits { .. }
        | Note::SingleConnection
        | Note::Restart { .. }
        | Note::LinkTriedAgain
        | Note::MirrorProven(_)
        | Note::ValidatorsVary(_)
        | Note::Conflict { .. }
        | Note::Healing { .. } => None,
    });
    notes.collect()
}

// Proofs.

#[test]
fn a_mirror_with_the_same_bytes_proves_itself_once_and_then_contributes() {
    let mut t = at(&[A, B]);
    assert_eq!((t.mirror(JOB, 0), t.mirror(JOB, 1)), (MirrorState::Main, MirrorState::Unproven));
    t.flow(1.0, |_, _| 1e6);
    assert_eq!(t.mirror(JOB, 1), MirrorState::Proven);
    assert_eq!(t.requests(JOB, 1, FetchKind::Compare), 1);
    t.flow(30.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert!(given(&t, 1) > TOTAL / 10, "{} bytes", given(&t, 1));
    assert_eq!((t.bytes(JOB), t.twice), (TOTAL, 0));
}

#[test]
fn a_proof_compares_bytes_that_are_there_and_costs_half_a_percent() {
    let mut t = at(&[A, B]);
    t.flow(2.0, |_, _| 1e6);
    let proof = t.fetches(JOB).find(|fetch| fetch.kind == FetchKind::Compare).expect("a proof").clone();
    let len = proof.end.expect("a range") - proof.from;
    assert_eq!(len, TOTAL / 200);
    let before = t.fetches(JOB).filter(|fetch| fetch.worker < proof.worker);
    assert!(before.into_iter().any(|fetch| fetch.from <= proof.from), "somebody has fetched it before");
    assert_eq!(t.requests(JOB, 1, FetchKind::Probe), 0);
}

#[test]
fn a_place_is_kept_for_a_mirror_that_has_to_prove_itself_but_not_for_long() {
    let mut t = at(&[A, B]);
    // Too slow for anything that could be compared.
    t.flow(1.8, |_, _| 10e3);
    assert_eq!((t.view(JOB).connections, t.requests(JOB, 1, FetchKind::Compare)), (7, 0));
    t.flow(0.4, |_, _| 10e3);
    assert_eq!((t.view(JOB).connections, t.requests(JOB, 1, FetchKind::Compare)), (8, 0));
}

#[test]
fn a_job_that_goes_on_from_its_rows_gets_that_place_too() {
    let mut t = at(&[A, B]);
    t.flow(0.5, |_, _| 0.0);
    t.store(JOB);
    t.release(JOB);
    t.start_from_rows_at(&[A, B], JOB, TOTAL);
    t.flow(1.8, |_, _| 10e3);
    assert_eq!(t.view(JOB).connections, 7);
    t.flow(0.4, |_, _| 10e3);
    assert_eq!(t.view(JOB).connections, 8);
}

/// A job whose second mirror gets `fault` for its proof.
fn another_that_answers(fault: FaultKind) -> Script {
    let mut t = at(&[A, B]);
    t.serve(move |fetch| (fetch.mirror == MirrorIndex(1)).then_some(fault));
    t.flow(30.0, |_, _| 1e6);
    t
}

#[test]
fn a_mirror_with_other_bytes_never_contributes() {
    let t = another_that_answers(FaultKind::BytesDiffer);
    assert_eq!(dropped(&t), [(1, FaultKind::BytesDiffer)]);
    assert_eq!((t.fetches(JOB).filter(|f| f.mirror.0 == 1).count(), given(&t, 1)), (1, 0));
    assert_eq!((t.outcome(JOB), t.resets), (Some(&Outcome::Completed), 0));
}

#[test]
fn a_mirror_with_a_file_of_another_size_never_contributes() {
    let t = another_that_answers(FaultKind::SourceChanged);
    assert_eq!(dropped(&t), [(1, FaultKind::SourceChanged)]);
    assert_eq!((t.outcome(JOB), t.resets, given(&t, 1)), (Some(&Outcome::Completed), 0, 0));
}

#[test]
fn a_mirror_without_ranges_is_dropped_and_the_job_keeps_its_connections() {
    let t = another_that_answers(FaultKind::RangesRefused);
    assert_eq!(dropped(&t), [(1, FaultKind::RangesRefused)]);
    assert_eq!((t.outcome(JOB), t.resets, t.view_of_ranges(JOB)), (Some(&Outcome::Completed), 0, None));
}

#[test]
fn a_mirror_that_does_not_answer_is_tried_again_and_never_contributes_before_its_proof() {
    let mut t = at(&[A, B]);
    t.serve(|fetch| (fetch.mirror == MirrorIndex(1)).then_some(FaultKind::Connect));
    t.flow(4.0, |_, _| 200e3);
    assert_eq!(t.mirror(JOB, 1), MirrorState::Unproven);
    assert!(t.requests(JOB, 1, FetchKind::Compare) >= 2);
    assert_eq!(t.requests(JOB, 1, FetchKind::Range), 0);
    t.serve(|_| None);
    t.flow(20.0, |_, _| 200e3);
    assert_eq!(t.mirror(JOB, 1), MirrorState::Proven);
    assert!(t.requests(JOB, 1, FetchKind::Range) >= 1);
}

#[test]
fn a_mirror_that_is_added_later_helps_from_then_on() {
    let mut t = at(&[A]);
    t.flow(2.0, |_, _| 500e3);
    t.add_mirrors(JOB, &[B]);
    t.flow(40.0, |_, _| 500e3);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert!(given(&t, 1) > 0);
}

#[test]
fn a_mirror_that_is_added_wakes_a_job_that_waits_for_its_only_host() {
    let mut t = at(&[A]);
    let probe = t.only_worker();
    t.end(probe, haul_core::messages::End::Fault(crate::busy(503, Some(600))));
    t.add_mirrors(JOB, &[B]);
    assert_eq!(t.requests(JOB, 1, FetchKind::Probe), 1);
    t.flow(40.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
}

// Work goes by rate.

#[test]
fn the_faster_mirror_gets_more_of_the_work() {
    let mut t = at(&[A, B]);
    t.flow_for(60.0, |fetch, _| if fetch.mirror.0 == 1 { 2e6 } else { 250e3 });
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert!(given(&t, 1) > 2 * given(&t, 0), "{} and {}", given(&t, 0), given(&t, 1));
}

#[test]
fn two_connections_and_three_mirrors_still_use_a_faster_second_one() {
    let mut t = with(connections(2), &[A, B, C]);
    t.flow_for(60.0, |fetch, _| match fetch.mirror.0 {
        0 => 400e3,
        1 => 4e6,
        _ => 50e3,
    });
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert!(given(&t, 1) > TOTAL / 2, "{} {} {}", given(&t, 0), given(&t, 1), given(&t, 2));
    // The first one alone would need 84 s.
    assert!(t.seconds(JOB) < 25.0, "took {} s", t.seconds(JOB));
}

#[test]
fn a_mirror_is_tried_although_no_more_connections_are_worth_it() {
    let mut t = Script::as_it_is(Policy { races: false, ..connections(32) });
    t.tick = std::time::Duration::from_millis(20);
    t.start_at(&[A, B], JOB, 640 * MIB);
    // All connections to the first host share a line: a few are enough there.
    let mut open = 1.0;
    for _ in 0..400 {
        t.flow_for(0.02, |fetch, _| if fetch.mirror.0 == 0 { 4e6 / open } else { 1e6 });
        open = f64::from(t.view(JOB).mirrors[0].connections.max(1));
    }
    assert_eq!(t.mirror(JOB, 1), MirrorState::Proven);
    assert!(t.view(JOB).mirrors[1].done_bytes > 0, "{:?}", t.view(JOB).mirrors);
}

// Mirrors that are lost.

#[test]
fn when_a_mirror_dies_the_others_take_over() {
    for dies in [0, 1] {
        let mut t = at(&[A, B]);
        t.flow(3.0, |_, _| 1e6);
        t.serve(move |fetch| (fetch.mirror == MirrorIndex(dies)).then_some(FaultKind::Status(404)));
        for worker in t.workers().into_iter().filter(|worker| t.fetch(*worker).mirror.0 == dies).collect::<Vec<_>>() {
            t.fault(worker, FaultKind::Reset);
        }
        t.flow(60.0, |_, _| 1e6);
        assert_eq!(t.outcome(JOB), Some(&Outcome::Completed), "without {dies}");
        assert_eq!((t.resets, t.twice), (0, 0), "nothing is lost");
    }
}

#[test]
fn the_heir_of_a_main_mirror_that_has_changed_goes_on_with_the_old_file() {
    let mut t = at(&[A, B]);
    t.flow(3.0, |_, _| 1e6);
    t.serve(|fetch| (fetch.mirror == MirrorIndex(0)).then_some(FaultKind::SourceChanged));
    let worker = t.workers().into_iter().find(|worker| t.fetch(*worker).mirror.0 == 0).expect("one of the first");
    t.fault(worker, FaultKind::SourceChanged);
    assert_eq!((t.mirror(JOB, 0), t.mirror(JOB, 1)), (MirrorState::Dropped, MirrorState::Main));
    t.flow(60.0, |_, _| 1e6);
    assert_eq!((t.outcome(JOB), t.resets), (Some(&Outcome::Completed), 0));
}

#[test]
fn where_the_first_mirror_has_no_such_file_the_next_one_is_probed_at_once() {
    let mut t = at(&[A, B, C]);
    let probe = t.only_worker();
    t.fault(probe, FaultKind::Status(404));
    let next = t.only_worker();
    assert_eq!((t.fetch(next).kind, t.fetch(next).mirror), (FetchKind::Probe, MirrorIndex(1)));
    t.flow(60.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert!(given(&t, 2) > 0, "the third one is compared with the second");
}

#[test]
fn where_the_first_mirror_is_busy_the_next_one_is_probed_and_the_first_has_to_prove_itself() {
    let mut t = at(&[A, B]);
    let probe = t.only_worker();
    t.end(probe, haul_core::messages::End::Fault(crate::busy(503, Some(3))));
    let next = t.only_worker();
    assert_eq!((t.fetch(next).kind, t.fetch(next).mirror), (FetchKind::Probe, MirrorIndex(1)));
    assert_eq!(t.mirror(JOB, 0), MirrorState::Unproven);
    t.flow(60.0, |_, _| 500e3);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.requests(JOB, 0, FetchKind::Compare), 1);
}

#[test]
fn when_all_mirrors_are_dropped_the_job_fails_with_the_last_reason() {
    let mut t = at(&[A, B, C]);
    for kind in [FaultKind::Status(404), FaultKind::Tls, FaultKind::Status(410)] {
        assert_eq!(t.outcome(JOB), None);
        let probe = t.only_worker();
        t.fault(probe, kind);
    }
    assert!(matches!(t.outcome(JOB), Some(Outcome::Failed(fault)) if fault.kind == FaultKind::Status(410)));
    assert_eq!((t.fetched(JOB), dropped(&t).len()), (3, 2));
}

#[test]
fn an_heir_with_too_little_to_compare_starts_over() {
    let mut t = with(connections(1), &[A, B]);
    t.flow(0.3, |_, _| 20e3);
    assert!((1..16 << 10).contains(&t.view(JOB).done_bytes));
    let worker = t.only_worker();
    t.fault(worker, FaultKind::SourceChanged);
    assert_eq!(t.resets, 1);
    t.flow(200.0, |_, _| 1e6);
    assert_eq!((t.outcome(JOB), given(&t, 0)), (Some(&Outcome::Completed), 0));
}

#[test]
fn an_heir_proves_itself_before_it_goes_on() {
    let mut t = with(connections(1), &[A, B]);
    t.flow(1.0, |_, _| 100e3);
    let worker = t.only_worker();
    t.fault(worker, FaultKind::SourceChanged);
    let next = t.only_worker();
    assert_eq!((t.fetch(next).kind, t.fetch(next).mirror), (FetchKind::Compare, MirrorIndex(1)));
    t.flow(200.0, |_, _| 1e6);
    assert_eq!((t.outcome(JOB), t.resets), (Some(&Outcome::Completed), 0));
    assert!(given(&t, 0) > 0 && given(&t, 1) > 0);
}

#[test]
fn an_unanswered_request_of_a_dropped_mirror_is_given_up_before_the_next_one_is_probed() {
    let mut t = at(&[A, B]);
    t.hold_stops = true;
    t.wait(2.1);
    let [first, second] = t.workers()[..] else { panic!("two first requests") };
    t.fault(second, FaultKind::Status(404));
    assert_eq!(t.workers(), [first], "two mirrors must not define the file at the same time");
    t.end(first, haul_core::messages::End::Stopped);
    let next = t.only_worker();
    assert_eq!((t.fetch(next).kind, t.fetch(next).mirror), (FetchKind::Probe, MirrorIndex(1)));
}

#[test]
fn retrying_gives_dropped_mirrors_another_chance() {
    let mut t = another_that_differs_for_a_while();
    t.nudge(JOB);
    t.flow(10.0, |_, _| 100e3);
    assert_eq!(t.mirror(JOB, 1), MirrorState::Proven);
}

fn another_that_differs_for_a_while() -> Script {
    let mut t = at(&[A, B]);
    t.serve(|fetch| (fetch.mirror == MirrorIndex(1)).then_some(FaultKind::BytesDiffer));
    t.flow(2.0, |_, _| 300e3);
    assert_eq!(t.mirror(JOB, 1), MirrorState::Dropped);
    t.serve(|_| None);
    t
}

// Healing.

#[test]
fn a_checksum_that_does_not_match_heals_once() {
    let mut t = at(&[A, B]);
    t.seal_faults = vec![FaultKind::ChecksumMismatch];
    while t.rewrites == 0 {
        t.flow(0.1, |_, _| 1e6);
        assert!(t.clock() < 120.0, "{:?}", t.view(JOB));
    }
    let healing = t.notes().find_map(|note| if let Note::Healing { bytes, .. } = note { Some(*bytes) } else { None });
    assert_eq!(healing, Some(TOTAL - t.view(JOB).done_bytes), "what the second one gave is gone");
    assert_eq!(t.mirror(JOB, 1), MirrorState::Dropped);
    let before = t.fetches(JOB).filter(|fetch| fetch.mirror.0 == 1).count();
    t.flow(60.0, |_, _| 1e6);
    assert_eq!((t.outcome(JOB), t.seals, t.bytes(JOB)), (Some(&Outcome::Completed), 2, TOTAL));
    assert_eq!(t.fetches(JOB).filter(|fetch| fetch.mirror.0 == 1).count(), before, "the suspect is not asked again");
}

#[test]
fn a_checksum_that_still_does_not_match_fails() {
    let mut t = at(&[A, B]);
    t.seal_faults = vec![FaultKind::ChecksumMismatch; 4];
    t.flow(180.0, |_, _| 1e6);
    assert!(matches!(t.outcome(JOB), Some(Outcome::Failed(Fault { kind: FaultKind::ChecksumMismatch, .. }))));
    assert_eq!((t.seals, t.rewrites, t.resets), (3, 1, 1));
    assert_eq!(suspects(&t), [Suspect::Mirrors, Suspect::Everything]);
}

#[test]
fn f_done_07_where_one_mirror_gave_everything_all_of_it_is_fetched_once_more() {
    for (mismatches, completes) in [(1, true), (2, false)] {
        let mut t = at(&[A]);
        t.seal_faults = vec![FaultKind::ChecksumMismatch; mismatches];
        t.flow(180.0, |_, _| 1e6);
        assert_eq!(matches!(t.outcome(JOB), Some(Outcome::Completed)), completes, "{mismatches} mismatches");
        assert_eq!((t.seals, t.rewrites, t.resets), (2, 0, 1));
        assert_eq!(suspects(&t), [Suspect::Everything]);
    }
}

#[test]
fn f_done_07_what_is_known_to_be_damaged_is_fetched_again_alone_and_nobody_is_suspected() {
    let mut t = at(&[A, B]);
    t.seal_faults = vec![FaultKind::ChecksumMismatch];
    t.damaged = vec![ByteRange::new(5, 1000), ByteRange::new(MIB, MIB + 1)];
    while t.rewrites == 0 {
        t.flow(0.1, |_, _| 1e6);
        assert!(t.clock() < 120.0, "{:?}", t.view(JOB));
    }
    assert_eq!(t.view(JOB).done_bytes, TOTAL - 996);
    t.flow(60.0, |_, _| 1e6);
    assert_eq!((t.outcome(JOB), t.seals, t.resets), (Some(&Outcome::Completed), 2, 0));
    assert_eq!(suspects(&t), [Suspect::Damage]);
}

#[test]
fn damage_that_comes_back_again_and_again_is_not_mended_for_ever() {
    let mut t = at(&[A]);
    t.seal_faults = vec![FaultKind::ChecksumMismatch; 9];
    t.damaged = vec![ByteRange::new(0, 10)];
    t.flow(300.0, |_, _| 1e6);
    assert!(matches!(t.outcome(JOB), Some(Outcome::Failed(_))));
    let mends = [Suspect::Damage; 3];
    assert_eq!(suspects(&t), [&mends[..], &[Suspect::Everything]].concat());
}

/// What was fetched again because of mismatches.
fn suspects(t: &Script) -> Vec<Suspect> {
    t.notes().filter_map(|note| if let Note::Healing { what, .. } = note { Some(*what) } else { None }).collect()
}

#[test]
fn what_two_mirrors_raced_for_is_suspect_too() {
    let mut t = Script::as_it_is(Policy { adaptive: false, steals: false, speed_floor: 0, ..connections(2) });
    t.tick = std::time::Duration::from_millis(20);
    t.start_at(&[A, B], JOB, 16 * MIB);
    t.seal_faults = vec![FaultKind::ChecksumMismatch];
    // The main mirror slows down near the end of its lease, and the other one is done before it.
    let rate = |fetch: &Fetch, at: u64| if fetch.kind == FetchKind::Probe && at > 7_800_000 { 100e3 } else { 1e6 };
    let between_mirrors =
        |t: &Script| t.racing().filter(|(a, b)| t.fetch(*a).mirror.0 == 0 && t.fetch(*b).mirror.0 == 1).map(|(_, b)| b);
    while between_mirrors(&t).is_none() {
        t.flow_for(0.02, rate);
        assert!(t.clock() < 60.0 && t.rewrites == 0, "{:?}", t.fetches(JOB).collect::<Vec<_>>());
    }
    let raced = t.fetch(between_mirrors(&t).expect("it was just there")).clone();
    while t.rewrites == 0 {
        t.flow_for(0.02, rate);
        assert!(t.clock() < 120.0, "{:?}", t.view(JOB));
    }
    let rows = t.engine.chunks(t.now, JOB).into_iter().map(|(row, _)| row);
    let done: u64 = rows.filter(|row| row.range.contains(raced.from)).map(|row| row.done).sum();
    assert!(done <= 20_000, "what may have come from either is gone, but for what a tick has brought since: {done}");
}

#[test]
fn a_jobs_cap_counts_all_mirrors_together() {
    let mut t = at(&[A, B, C]);
    t.tune(JOB, Tuning { priority: 0, connections: Some(3), ..Tuning::default() });
    for _ in 0..50 {
        t.flow(0.1, |_, _| 100e3);
        assert!(t.view(JOB).connections <= 3);
    }
    assert!(t.view(JOB).mirrors.iter().filter(|mirror| mirror.connections > 0).count() >= 2);
}

/// The sample of the second mirror comes so slowly that it is compared all the time.
fn slow_sample(fetch: &Fetch, _: u64) -> f64 {
    if fetch.kind == FetchKind::Compare { 1e3 } else { 200e3 }
}

#[test]
fn a_sample_that_is_compared_is_no_sibling_of_the_only_one_that_brings_something() {
    let mut t = with(connections(3), &[A, B]);
    t.hang(|fetch| fetch.kind == FetchKind::Range);
    t.flow_for(20.0, slow_sample);
    assert_eq!(t.mirror(JOB, 1), MirrorState::Proving);
    assert_eq!(t.stops(StopReason::Trial), 0);
    assert!(t.view(JOB).done_bytes > 3_500_000, "nobody else stops it either");
}

#[test]
fn a_failing_mirror_is_asked_less_and_less_while_another_is_compared() {
    let mut t = at(&[A, B]);
    t.flow_for(3.0, slow_sample);
    assert_eq!(t.mirror(JOB, 1), MirrorState::Proving);
    t.serve(|fetch| (fetch.mirror == MirrorIndex(0)).then_some(FaultKind::Status(500)));
    for worker in t.workers().into_iter().filter(|worker| t.fetch(*worker).mirror.0 == 0).collect::<Vec<_>>() {
        t.fault(worker, FaultKind::Reset);
    }
    let before = t.requests(JOB, 0, FetchKind::Range);
    t.flow_for(30.0, slow_sample);
    assert_eq!(t.mirror(JOB, 1), MirrorState::Proving);
    let requests = t.requests(JOB, 0, FetchKind::Range) - before;
    assert!((3..15).contains(&requests), "{requests} requests in 30 s");
}
