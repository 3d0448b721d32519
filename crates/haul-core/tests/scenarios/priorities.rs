//! Slots go by priority, and nobody loses one for nothing.

use haul_core::messages::{End, FetchKind, Outcome, StopReason, Tuning};
use haul_core::{FaultKind, JobId, JobState, Policy};

use crate::script::{MIB, Script};
use crate::{JOB, OTHER, busy, connections};

fn one_slot() -> Policy {
    Policy { active_jobs_max: 1, ..connections(4) }
}

fn at(priority: i32) -> Tuning {
    Tuning { priority, connections: None, ..Tuning::default() }
}

#[test]
fn a_job_of_higher_priority_takes_the_slot_of_one_that_runs() {
    let mut t = Script::with(one_slot()).probed(JOB, 60 * MIB);
    t.flow(1.0, |_, _| 1e6);
    let done = t.view(JOB).done_bytes;
    t.start_with(OTHER, at(1));
    assert_eq!((t.view(JOB).state, t.view(JOB).connections), (JobState::Queued, 0));
    assert_ne!(t.view(OTHER).state, JobState::Queued);
    assert_eq!((t.view(JOB).done_bytes, t.charged(JOB)), (done, 0), "its bytes are kept, and nobody is to blame");
    t.open_all(4 * MIB);
    while t.outcome(OTHER).is_none() {
        t.flow(0.1, |_, _| 1e6);
        assert!(t.clock() < 60.0, "{:?}", t.view(OTHER));
    }
    assert_eq!(t.view(JOB).state, JobState::Active, "then it goes on");
}

#[test]
fn a_job_of_the_same_priority_waits_for_its_turn() {
    let mut t = Script::with(one_slot());
    t.start(OTHER);
    t.open_all(60 * MIB);
    t.start(JOB);
    t.flow(10.0, |_, _| 100e3);
    assert_eq!(t.view(JOB).state, JobState::Queued, "although it was there before");
    assert_eq!(t.stops(StopReason::JobStops), 0);
}

#[test]
fn of_those_that_run_the_last_one_of_the_lowest_priority_gives_its_slot_up() {
    let mut t = Script::with(Policy { active_jobs_max: 3, ..connections(2) });
    for (id, priority) in [(1, 0), (2, -1), (3, -1)] {
        t.start_with(JobId(id), at(priority));
    }
    t.start_with(JobId(4), at(2));
    let queued: Vec<u64> = (1..=4).filter(|id| t.view(JobId(*id)).state == JobState::Queued).collect();
    assert_eq!(queued, [3]);
}

#[test]
fn raising_the_priority_of_a_queued_job_gives_it_the_slot() {
    let mut t = Script::with(one_slot()).probed(JOB, 60 * MIB);
    t.start(OTHER);
    t.tune(OTHER, at(1));
    assert_eq!((t.view(JOB).state, t.view(OTHER).state), (JobState::Queued, JobState::Probing));
}

#[test]
fn a_verdict_that_comes_while_a_job_makes_room_counts() {
    let mut t = Script::with(one_slot());
    t.start(JOB);
    let probe = t.only_worker();
    t.hold_stops = true;
    t.start_with(OTHER, at(1));
    t.fault(probe, FaultKind::Status(410));
    assert!(matches!(t.outcome(JOB), Some(Outcome::Failed(fault)) if fault.kind == FaultKind::Status(410)));
    assert_eq!(t.requests(JOB, 0, FetchKind::Probe), 1, "the server is not asked again");
}

#[test]
fn an_answer_that_ends_empty_while_a_job_makes_room_counts() {
    let mut t = Script::with(one_slot());
    t.start(JOB);
    let worker = t.only_worker();
    t.open(worker, MIB);
    t.hold_stops = true;
    t.start_with(OTHER, at(1));
    t.end(worker, End::Finished);
    assert_eq!((t.view(JOB).state, t.charged(JOB)), (JobState::Queued, 1), "else it would be asked again at once");
}

/// Times that a job got a slot.
fn turns(t: &Script, id: JobId) -> usize {
    let states = t.states(id);
    states.windows(2).filter(|pair| pair[0] == JobState::Queued && pair[1] != JobState::Queued).count()
}

#[test]
fn a_job_that_breaks_all_the_time_keeps_its_slot_over_its_short_pauses() {
    let mut t = Script::with(Policy { active_jobs_max: 1, ..connections(1) });
    t.start_with(OTHER, at(1));
    t.open_all(MIB);
    t.start_on("http://elsewhere", JOB);
    for _ in 0..10 {
        t.flow(0.5, |_, _| 100e3);
        let worker = t.only_worker();
        t.fault(worker, FaultKind::Reset);
    }
    assert_eq!((t.fetched(JOB), turns(&t, JOB)), (0, 0), "nobody starts only to be thrown out again");
}

#[test]
fn a_job_that_has_to_wait_for_long_lends_its_slot_and_takes_it_back() {
    let mut t = Script::with(one_slot());
    t.start_with(OTHER, at(1));
    let probe = t.only_worker();
    t.start_on("http://elsewhere", JOB);
    t.end(probe, End::Fault(busy(503, Some(30))));
    assert_ne!(t.view(JOB).state, JobState::Queued);
    t.open_all(60 * MIB);
    t.flow(29.0, |_, _| 100e3);
    assert!(t.view(JOB).connections > 0);
    t.flow(2.0, |_, _| 100e3);
    assert_eq!(t.view(JOB).state, JobState::Queued);
    t.open_all(60 * MIB);
    t.flow(60.0, |_, _| 100e3);
    assert_eq!((t.view(JOB).state, turns(&t, JOB)), (JobState::Queued, 1), "and keeps it");
}
