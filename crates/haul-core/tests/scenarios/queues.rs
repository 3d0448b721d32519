//! Queues: how many of one may run, when, and in which order; and requests that are made once.

use haul_core::messages::{End, FetchKind, Outcome, QueueRule, Tuning, Why, place_by_id};
use haul_core::{FaultKind, JobId, JobState, Policy, QueueId, WaitingFor};

use crate::script::{MIB, Script};
use crate::{JOB, OTHER, connections};

const ISO: QueueId = QueueId(1);

fn in_queue(queue: QueueId) -> Tuning {
    Tuning { queue, ..Tuning::default() }
}

fn set_rule(t: &mut Script, active_max: Option<usize>, is_closed: bool) {
    t.set_queues(vec![(ISO, QueueRule { active_max, is_closed })]);
}

fn states(t: &Script, ids: std::ops::RangeInclusive<u64>) -> Vec<bool> {
    ids.map(|id| t.view(JobId(id)).state == JobState::Queued).collect()
}

#[test]
fn a_full_queue_lets_the_jobs_of_others_pass() {
    let mut t = Script::with(Policy { active_jobs_max: 2, ..connections(2) });
    set_rule(&mut t, Some(1), false);
    for id in 1..=3 {
        t.start_with(JobId(id), in_queue(ISO));
    }
    t.start(JobId(4));
    assert_eq!(states(&t, 1..=4), [false, true, true, false]);
    assert_eq!(t.why(JobId(3)), [Why::QueueFull { max: 1, ahead: 1 }]);
    t.release(JobId(1));
    assert_eq!(states(&t, 2..=4), [false, true, false], "the next of the queue has the slot");
    set_rule(&mut t, None, false);
    t.release(JobId(4));
    assert_eq!(states(&t, 2..=3), [false, false]);
}

#[test]
fn within_a_full_queue_a_higher_priority_takes_the_slot() {
    let mut t = Script::with(connections(2));
    set_rule(&mut t, Some(1), false);
    t.start_with(JobId(1), in_queue(ISO));
    t.start_with(JobId(2), Tuning { priority: 1, ..in_queue(ISO) });
    assert_eq!(states(&t, 1..=2), [true, false]);
}

#[test]
fn a_lower_cap_sends_the_last_back() {
    let mut t = Script::with(connections(2));
    for id in 1..=3 {
        t.start_with(JobId(id), in_queue(ISO));
    }
    set_rule(&mut t, Some(2), false);
    assert_eq!(states(&t, 1..=3), [false, false, true]);
}

#[test]
fn jobs_of_a_closed_queue_wait_for_its_time_without_a_slot() {
    let mut t = Script::with(Policy { active_jobs_max: 1, ..connections(2) });
    t.start_with(JOB, in_queue(ISO));
    t.open_all(8 * MIB);
    t.start(OTHER);
    t.flow(1.0, |_, _| 1e6);
    let done = t.view(JOB).done_bytes;
    set_rule(&mut t, None, true);
    let closed = JobState::Waiting(WaitingFor::Schedule);
    assert_eq!((t.view(JOB).state, t.view(JOB).connections), (closed, 0));
    assert_ne!(t.view(OTHER).state, JobState::Queued, "its slot is free");
    t.nudge(JOB);
    assert_eq!(t.view(JOB).state, closed, "a window is a window");
    t.start_with(JobId(9), in_queue(ISO));
    assert_eq!(t.view(JobId(9)).state, closed);
    t.release(OTHER);
    set_rule(&mut t, None, false);
    assert_eq!((t.view(JOB).state, t.view(JOB).done_bytes), (JobState::Active, done), "it goes on where it was");
    assert_eq!(t.view(JobId(9)).state, JobState::Queued);
}

#[test]
fn a_job_that_moves_obeys_its_new_queue() {
    let mut t = Script::with(connections(2));
    set_rule(&mut t, None, true);
    t.start(JOB);
    t.tune(JOB, in_queue(ISO));
    assert_eq!(t.view(JOB).state, JobState::Waiting(WaitingFor::Schedule));
    t.tune(JOB, Tuning::default());
    assert_eq!(t.view(JOB).state, JobState::Probing);
}

#[test]
fn a_job_goes_where_its_user_puts_it() {
    let mut t = Script::with(Policy { active_jobs_max: 1, ..connections(2) });
    let at = |id: u64| Tuning { place: place_by_id(JobId(id)), ..Tuning::default() };
    for id in 1..=5 {
        t.start_with(JobId(id), at(id));
    }
    let put = |t: &mut Script, id: u64, position: u64| {
        let place = t.engine.place_at(JobId(id), 0, position);
        t.tune(JobId(id), Tuning { place, ..Tuning::default() });
    };
    put(&mut t, 5, 1);
    put(&mut t, 2, 3);
    put(&mut t, 3, u64::MAX);
    let mut order = Vec::new();
    for id in [1, 5, 2, 4, 3] {
        let running =
            (1..=5).map(JobId).find(|id| t.engine.job(t.now, *id).is_some_and(|v| v.state != JobState::Queued));
        order.push(running.expect("one has the slot").0);
        t.release(JobId(id));
    }
    assert_eq!(order, [1, 5, 2, 4, 3]);
}

fn once() -> Tuning {
    Tuning { once: true, connections: Some(1), ..Tuning::default() }
}

#[test]
fn a_stream_that_must_not_be_repeated_fails_when_it_breaks() {
    let mut t = Script::with(connections(4));
    t.start_with(JOB, once());
    let worker = t.only_worker();
    t.opened(worker, Some(8 * MIB), false);
    t.flow(1.0, |_, _| 1e6);
    let worker = t.only_worker();
    t.fault(worker, FaultKind::Reset);
    t.flow(60.0, |_, _| 1e6);
    let Some(Outcome::Failed(fault)) = t.outcome(JOB) else { panic!("{:?}", t.view(JOB)) };
    assert_eq!(fault.kind, FaultKind::NotRepeatable);
    assert!(fault.detail.contains("retry"), "{fault}");
    assert_eq!((t.fetched(JOB), t.resets), (1, 0));
}

#[test]
fn with_ranges_it_goes_on_and_before_the_first_byte_it_is_tried_again() {
    let mut t = Script::with(connections(4));
    t.start_at(&["http://host"], JOB, 8 * MIB);
    t.tune(JOB, once());
    let worker = t.only_worker();
    t.end(worker, End::Fault(haul_core::Fault::new(FaultKind::Connect, "refused")));
    t.flow(3.0, |_, _| 1e6);
    let worker = t.only_worker();
    t.fault(worker, FaultKind::Reset);
    t.flow(30.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.requests(JOB, 0, FetchKind::Probe), 2);
}

#[test]
fn an_unanswered_request_that_has_an_effect_is_not_raced() {
    let mut t = Script::as_it_is(connections(4));
    t.start_with(JOB, once());
    t.flow(10.0, |_, _| 0.0);
    assert_eq!(t.fetched(JOB), 1);
}
