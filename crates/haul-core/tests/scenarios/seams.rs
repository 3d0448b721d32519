//! Where the bytes of two answers meet.

use haul_core::messages::{End, Event, FetchKind, MirrorState, Outcome};
use haul_core::{Fault, FaultKind, MirrorIndex, Policy, WorkerId};

use crate::script::{MIB, Script};
use crate::{JOB, connections};

const KIB: u64 = 1 << 10;
const TOTAL: u64 = 64 * MIB;
const OTHER_MIRROR: MirrorIndex = MirrorIndex(1);

/// A job that goes on from some bytes of an earlier run, with one connection.
fn resumed() -> Script {
    let mut t = Script::with(connections(1)).probed(JOB, TOTAL);
    t.flow(2.0, |_, _| 1e6);
    t.release(JOB);
    t.start_from_rows(JOB, TOTAL);
    t
}

fn differs(kind: FaultKind) -> Option<Fault> {
    Some(Fault::new(kind, "other bytes"))
}

/// Two workers side by side: the first request, and the one that took its tail.
fn side_by_side() -> (Script, u64) {
    let t = Script::with(Policy { speed_floor: 0, ..connections(2) }).probed(JOB, TOTAL);
    let [left, right] = t.workers()[..] else { panic!("two workers") };
    assert_eq!((t.fetch(left).kind, t.fetch(right).overlap), (FetchKind::Probe, 0));
    let seam = t.fetch(right).from;
    (t, seam)
}

#[test]
fn f_ident_03_04_05_a_resume_compares_64_kib_before_it_writes() {
    let t = resumed();
    let fetch = t.fetch(t.only_worker());
    assert_eq!((fetch.kind, fetch.from), (FetchKind::Range, t.rows_done(JOB)));
    assert_eq!((fetch.overlap, fetch.reach), (64 * KIB, 0), "it goes up to the end of the file");
}

#[test]
fn what_is_asked_for_twice_stays_within_a_share_of_the_file() {
    let mut t = Script::with(connections(1)).probed(JOB, TOTAL);
    for _ in 0..60 {
        t.flow(0.5, |_, _| 1e6);
        for worker in t.workers() {
            t.fault(worker, FaultKind::Reset);
        }
    }
    let overlaps: u64 = t.fetches(JOB).map(|fetch| fetch.overlap).sum();
    assert!(overlaps > 0 && overlaps <= TOTAL / 200, "{overlaps} bytes");
}

#[test]
fn a_break_in_mid_chunk_is_joined_by_four_kib() {
    let mut t = resumed();
    let worker = t.only_worker();
    t.open(worker, TOTAL);
    t.flow(0.5, |_, _| 1e6);
    let broke_at = t.at(worker);
    t.fault(worker, FaultKind::Reset);
    t.flow(200.0, |_, _| 1e6);
    let next = t.fetches(JOB).find(|fetch| fetch.from == broke_at).expect("it goes on from there");
    assert_eq!(next.overlap, 4 * KIB);
}

#[test]
fn an_equal_overlap_is_told_of_and_costs_nothing_else() {
    let mut t = resumed();
    assert!(!t.view(JOB).compared);
    t.flow(200.0, |_, _| 1e6);
    assert_eq!((t.outcome(JOB), t.resets, t.twice), (Some(&Outcome::Completed), 0, 0));
}

#[test]
fn a_server_that_vouches_for_other_bytes_is_asked_three_times_more_and_then_through_one_connection() {
    let mut t = resumed();
    for attempt in 0..4 {
        assert_eq!(t.resets, 0, "at attempt {attempt}");
        let worker = t.only_worker();
        assert!(t.fetch(worker).overlap > 0);
        t.open(worker, TOTAL);
        t.fault(worker, FaultKind::RangeMismatch);
        t.wait(20.0);
    }
    assert_eq!((t.resets, t.view(JOB).accepts_ranges, t.view(JOB).restarts), (1, Some(false), 0));
    assert_eq!(t.fetch(t.only_worker()).kind, FetchKind::Whole);
    t.flow(200.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
}

#[test]
fn other_bytes_that_nobody_vouches_for_are_a_changed_source_and_the_second_time_wrong_ranges() {
    let mut t = resumed();
    let worker = t.only_worker();
    t.open(worker, TOTAL);
    t.fault(worker, FaultKind::BytesDiffer);
    assert_eq!((t.resets, t.view(JOB).restarts), (1, 1));
    let probe = t.only_worker();
    assert_eq!(t.fetch(probe).kind, FetchKind::Probe);
    t.open(probe, TOTAL);
    t.flow(1.0, |_, _| 1e6);
    t.fault(probe, FaultKind::Reset);
    t.flow(0.5, |_, _| 0.0);
    let again = t.only_worker();
    t.fault(again, FaultKind::BytesDiffer);
    assert_eq!((t.resets, t.view(JOB).restarts), (2, 2));
    assert_eq!(t.fetch(t.only_worker()).kind, FetchKind::Whole, "what is all new cannot have changed");
}

#[test]
fn the_left_range_reads_on_and_the_seam_is_compared_once_its_right_side_is_there() {
    let (mut t, seam) = side_by_side();
    let right = t.workers()[1];
    t.feed(Event::ReadBeyond { job: JOB, at: seam, len: 4 * KIB });
    assert_eq!(t.seams(), [], "nothing is there to compare with");
    t.flow(0.2, |worker, _| if worker == right { 1e6 } else { 0.0 });
    assert_eq!(t.seams(), [(seam, 4 * KIB)]);
    assert!(!t.view(JOB).compared);
    t.feed(Event::SeamCompared { job: JOB, at: seam, differs: None });
    assert!(t.view(JOB).compared);
}

#[test]
fn a_file_is_not_sealed_before_its_seams_are_compared() {
    let (mut t, seam) = side_by_side();
    t.feed(Event::ReadBeyond { job: JOB, at: seam, len: 4 * KIB });
    t.flow(100.0, |_, _| 1e6);
    assert_eq!((t.view(JOB).done_bytes, t.seals), (TOTAL, 0));
    t.feed(Event::SeamCompared { job: JOB, at: seam, differs: None });
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
}

#[test]
fn a_seam_that_does_not_fit_starts_over_with_one_connection_where_the_server_vouches_for_both_sides() {
    let (mut t, seam) = side_by_side();
    t.flow(1.0, |_, _| 1e6);
    t.feed(Event::ReadBeyond { job: JOB, at: seam, len: 4 * KIB });
    t.feed(Event::SeamCompared { job: JOB, at: seam, differs: differs(FaultKind::RangeMismatch) });
    assert_eq!((t.resets, t.view(JOB).accepts_ranges, t.view(JOB).restarts), (1, Some(false), 0));
}

#[test]
fn a_seam_that_does_not_fit_and_that_nobody_vouches_for_is_a_changed_source() {
    let (mut t, seam) = side_by_side();
    t.flow(1.0, |_, _| 1e6);
    t.feed(Event::ReadBeyond { job: JOB, at: seam, len: 4 * KIB });
    t.feed(Event::SeamCompared { job: JOB, at: seam, differs: differs(FaultKind::BytesDiffer) });
    assert_eq!((t.resets, t.view(JOB).restarts), (1, 1));
    assert_eq!(t.fetch(t.only_worker()).kind, FetchKind::Probe);
}

#[test]
fn verdicts_on_seams_that_are_not_compared_are_late() {
    let (mut t, seam) = side_by_side();
    let before = t.engine.late_facts();
    t.feed(Event::SeamCompared { job: JOB, at: seam, differs: differs(FaultKind::BytesDiffer) });
    t.feed(Event::ReadBeyond { job: crate::OTHER, at: seam, len: 5 });
    assert_eq!((t.engine.late_facts() - before, t.resets), (2, 0));
}

/// A job that a second mirror has given something to, and a place where bytes of both meet.
fn from_two_mirrors() -> (Script, u64) {
    let mut t = Script::with(Policy { speed_floor: 0, ..connections(4) });
    t.start_at(&["http://a", "http://b"], JOB, TOTAL);
    t.flow(5.0, |_, _| 1e6);
    assert_eq!(t.mirror(JOB, 1), MirrorState::Proven);
    let rows: Vec<_> = t.engine.chunks(t.now, JOB).into_iter().map(|(row, _)| row).collect();
    let from_other = rows.iter().find(|row| row.mirror == OTHER_MIRROR && row.done >= 4 * KIB);
    let seam = from_other.expect("it has given something").range.start;
    (t, seam)
}

/// The seam does not fit.
fn conflict(t: &mut Script, seam: u64) {
    t.feed(Event::ReadBeyond { job: JOB, at: seam, len: 4 * KIB });
    t.feed(Event::SeamCompared { job: JOB, at: seam, differs: differs(FaultKind::BytesDiffer) });
}

/// Bytes that are there of the main mirror, and of the other one.
fn given(t: &Script) -> [u64; 2] {
    let rows: Vec<_> = t.engine.chunks(t.now, JOB).into_iter().map(|(row, _)| row).collect();
    [MirrorIndex(0), OTHER_MIRROR]
        .map(|mirror| rows.iter().filter(|row| row.mirror == mirror).map(|row| row.done).sum())
}

#[test]
fn a_mirror_that_does_not_fit_to_its_neighbour_is_dropped_with_what_it_has_given_and_nothing_else() {
    let (mut t, seam) = from_two_mirrors();
    let [main, _] = given(&t);
    conflict(&mut t, seam);
    assert_eq!((t.mirror(JOB, 1), t.resets, t.view(JOB).restarts), (MirrorState::Dropped, 0, 0));
    assert_eq!((t.rewrites, given(&t)), (1, [main, 0]));
    t.flow(200.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
}

fn is_gone(t: &Script) -> bool {
    t.engine.job(t.now, JOB).is_none()
}

#[test]
fn a_job_that_is_paused_while_doubtful_bytes_are_dropped_loses_them_first() {
    let (mut t, seam) = from_two_mirrors();
    t.hold_stops = true;
    conflict(&mut t, seam);
    t.release(JOB);
    assert_eq!((t.rewrites, is_gone(&t)), (0, false), "its workers still write");
    for worker in t.workers() {
        t.end(worker, End::Stopped);
    }
    assert!(t.rewrites == 1 && is_gone(&t));
    let kept = t.rows(JOB).into_iter().filter(|row| row.mirror == OTHER_MIRROR && row.done > 0).count();
    assert_eq!(kept, 0);
}

#[test]
fn bytes_of_another_mirror_that_the_main_one_never_fits_to_are_the_ones_to_go() {
    let (mut t, _) = from_two_mirrors();
    let [main, _] = given(&t);
    t.release(JOB);
    t.serve(|fetch| (fetch.mirror == OTHER_MIRROR).then_some(FaultKind::Status(503)));
    t.start_from_rows_at(&["http://a", "http://b"], JOB, TOTAL);
    let goes_on_from_other = |t: &Script, worker: WorkerId| {
        let (fetch, rows) = (t.fetch(worker), t.rows(JOB));
        let left = rows.iter().find(|row| fetch.from > 0 && row.range.contains(fetch.from - 1));
        fetch.mirror == MirrorIndex(0) && fetch.overlap > 0 && left.is_some_and(|row| row.mirror == OTHER_MIRROR)
    };
    let mut lies = 0;
    while t.mirror(JOB, 1) != MirrorState::Dropped && t.outcome(JOB).is_none() {
        if let Some(worker) = t.workers().into_iter().find(|worker| goes_on_from_other(&t, *worker)) {
            t.open(worker, TOTAL);
            t.fault(worker, FaultKind::RangeMismatch);
            lies += 1;
        } else {
            t.flow(0.1, |_, _| 1e6);
        }
    }
    assert_eq!((t.mirror(JOB, 0), t.mirror(JOB, 1), t.resets), (MirrorState::Main, MirrorState::Dropped, 0));
    assert!(lies > 3, "a single answer can be wrong: {lies}");
    let [main_now, other] = given(&t);
    assert!(main_now >= main && other == 0, "{main_now} of {main} and {other} bytes");
}

#[test]
fn a_range_asks_for_a_little_more_than_it_writes_so_that_it_can_be_compared_with_its_right_neighbour() {
    let t = Script::with(Policy { speed_floor: 0, ..connections(4) }).probed(JOB, TOTAL);
    let ranges: Vec<_> = t.fetches(JOB).filter(|fetch| fetch.kind == FetchKind::Range).collect();
    assert_eq!(ranges.len(), 3);
    for fetch in ranges {
        let end = fetch.end.expect("a range");
        let expected = if end == TOTAL { 0 } else { 4 * KIB };
        assert_eq!((fetch.overlap, fetch.reach), (0, expected), "{fetch:?}");
    }
}
