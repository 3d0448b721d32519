//! Whether it is still the same file.

use haul_core::messages::{FetchKind, Note, OnChange, Outcome, Tuning};
use haul_core::{FaultKind, JobState, MirrorIndex};

use crate::script::{MIB, Script};
use crate::{JOB, connections};

const TOTAL: u64 = 16 * MIB;

/// A job whose next answers are `fault`, with some bytes.
fn met_by(fault: FaultKind) -> Script {
    let mut t = Script::with(connections(1)).probed(JOB, TOTAL);
    t.flow(2.0, |_, _| 1e6);
    t.serve(move |fetch| (fetch.kind != FetchKind::Compare).then_some(fault));
    let worker = t.only_worker();
    t.fault(worker, FaultKind::Reset);
    t
}

fn vary(t: &Script) -> bool {
    t.notes().any(|note| *note == Note::ValidatorsVary(MirrorIndex(0)))
}

#[test]
fn f_ident_06_07_a_farm_that_names_the_same_bytes_differently_costs_three_answers_and_a_sample() {
    let mut t = met_by(FaultKind::OtherValidator);
    while t.requests(JOB, 0, FetchKind::Compare) == 0 {
        t.flow(0.1, |_, _| 1e6);
        assert!(t.clock() < 20.0);
    }
    assert_eq!(t.requests(JOB, 0, FetchKind::Range), 3, "three answers with another tag, and then a sample");
    t.serve(|_| None);
    t.flow(30.0, |_, _| 1e6);
    assert!(vary(&t), "the shell is to compare validators no more");
    assert_eq!((t.outcome(JOB), t.resets, t.twice), (Some(&Outcome::Completed), 0, 0));
    assert_eq!(t.charged(JOB), 1, "only the break itself is charged");
}

#[test]
fn f_ident_06_where_the_sample_differs_the_source_has_changed() {
    let mut t = met_by(FaultKind::OtherValidator);
    t.serve(|fetch| match fetch.kind {
        FetchKind::Compare => Some(FaultKind::BytesDiffer),
        FetchKind::Range => Some(FaultKind::OtherValidator),
        FetchKind::Probe | FetchKind::Whole => None,
    });
    t.flow(5.0, |_, _| 1e6);
    assert_eq!((t.resets, t.view(JOB).restarts), (1, 1));
    t.serve(|_| None);
    t.flow(60.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert!(!vary(&t));
}

#[test]
fn another_validator_where_next_to_nothing_is_there_begins_anew_and_counts_for_nothing() {
    let mut t = Script::with(connections(1)).probed(JOB, TOTAL);
    t.flow(0.2, |_, _| 10e3);
    let worker = t.only_worker();
    t.fault(worker, FaultKind::OtherValidator);
    assert_eq!((t.resets, t.view(JOB).restarts), (1, 0));
}

#[test]
fn f_ident_06_another_validator_at_once_waits_for_what_the_first_answer_brings() {
    let mut t = Script::as_it_is(connections(8));
    t.start(JOB);
    t.serve(|fetch| (fetch.kind == FetchKind::Range).then_some(FaultKind::OtherValidator));
    t.open(t.only_worker(), TOTAL);
    while t.requests(JOB, 0, FetchKind::Compare) == 0 {
        t.flow(0.02, |_, _| 100e3);
        assert!(t.clock() < 20.0);
    }
    assert_eq!((t.resets, t.requests(JOB, 0, FetchKind::Probe)), (0, 1), "nothing is begun anew");
    t.serve(|_| None);
    t.flow(30.0, |_, _| 1e6);
    assert!(vary(&t));
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
}

#[test]
fn a_job_that_shall_not_start_over_fails_when_its_source_has_changed_and_keeps_what_it_has() {
    for kind in [FaultKind::SourceChanged, FaultKind::BytesDiffer] {
        let mut t = Script::with(connections(1));
        t.start_with(JOB, Tuning { on_change: OnChange::Fail, ..Tuning::default() });
        t.open_all(TOTAL);
        t.flow(2.0, |_, _| 1e6);
        let worker = t.only_worker();
        t.fault(worker, kind);
        assert!(matches!(t.outcome(JOB), Some(Outcome::Failed(fault)) if fault.kind == FaultKind::SourceChanged));
        assert_eq!((t.resets, t.rows_done(JOB)), (0, t.bytes(JOB)));
    }
}

#[test]
fn what_happens_on_a_change_can_be_changed_while_a_job_runs() {
    let mut t = Script::with(connections(1));
    t.start_with(JOB, Tuning { on_change: OnChange::Fail, ..Tuning::default() });
    t.open_all(TOTAL);
    t.flow(2.0, |_, _| 1e6);
    t.tune(JOB, Tuning::default());
    let worker = t.only_worker();
    t.fault(worker, FaultKind::SourceChanged);
    assert_eq!((t.outcome(JOB), t.resets), (None, 1));
    assert_ne!(t.view(JOB).state, JobState::Failed);
}
