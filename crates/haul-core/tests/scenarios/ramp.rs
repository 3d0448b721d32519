//! How many connections a job uses when nobody tells it.

use std::time::Duration;

use haul_core::Policy;
use haul_core::messages::{HostMemory, Outcome, Why};

use crate::JOB;
use crate::script::{HOST, MIB, Script};

/// A job of its own, whose workers report 50 times a second.
fn alone(total: u64) -> Script {
    let mut t = Script::as_it_is(Policy { races: false, ..Policy::default() });
    t.tick = Duration::from_millis(20);
    t.start_at(&[HOST], JOB, total);
    t
}

/// The numbers of connections that were each the largest so far, while bytes flow for some seconds.
fn steps(t: &mut Script, seconds: f64, flow: impl Fn(&mut Script)) -> Vec<u32> {
    let mut steps = vec![1];
    let until = t.clock() + seconds;
    while t.clock() < until {
        flow(t);
        let used = t.view(JOB).connections;
        if used > steps[steps.len() - 1] {
            steps.push(used);
        }
    }
    steps
}

#[test]
fn where_each_connection_is_throttled_the_steps_double_up_to_the_cap() {
    let mut t = alone(640 * MIB);
    let steps = steps(&mut t, 5.0, |t| t.flow(0.02, |_, _| 1e6));
    for step in [8, 16, 32] {
        assert!(steps.contains(&step), "{steps:?}");
    }
    assert_eq!(t.view(JOB).connections, 32);
    assert_eq!(t.host(HOST).useful, Some(32));
}

#[test]
fn a_step_to_the_cap_that_nothing_can_speak_against_needs_no_report() {
    for (cap, begun) in [(16, 16), (32, 8)] {
        let mut t = Script::as_it_is(Policy { connections_per_job: cap, ..Policy::default() });
        t.start(JOB);
        t.open_all(640 * MIB);
        assert_eq!(t.view(JOB).connections, 8);
        t.wait(0.03);
        assert_eq!(t.view(JOB).connections, begun, "of {cap}");
    }
}

/// The first bytes of a connection come at once, the others at the rate that it is throttled to.
#[test]
fn first_bytes_that_come_faster_than_the_rest_do_not_hold_a_step_up() {
    let mut t = alone(640 * MIB);
    let mut begun = std::collections::BTreeSet::new();
    while t.view(JOB).connections < 32 {
        t.flow(0.02, |worker, _| if begun.insert(worker) { 6e6 } else { 2e6 });
        assert!(t.clock() < 0.4, "{} connections", t.view(JOB).connections);
    }
}

#[test]
fn where_all_share_one_line_the_job_goes_back_and_tries_again_less_and_less() {
    let mut t = alone(640 * MIB);
    let mut counts: Vec<(u32, f64)> = Vec::new();
    while t.clock() < 50.0 {
        t.flow_shared(0.02, 8e6);
        let used = t.view(JOB).connections;
        if counts.last().is_none_or(|(count, _)| *count != used) {
            counts.push((used, t.clock()));
        }
    }
    let few = t.view(JOB).connections;
    assert!(few <= 16, "{counts:?}");
    assert!(t.why(JOB).iter().any(|why| matches!(why, Why::NoGain { .. })), "{:?}", t.why(JOB));
    assert_eq!(t.host(HOST).useful, Some(few));
    let most = counts.iter().map(|(count, _)| *count).max().expect("some");
    let tries: Vec<f64> = counts.iter().filter(|(count, _)| *count == most).map(|(_, at)| *at).collect();
    let pauses: Vec<f64> = tries.windows(2).map(|pair| (pair[1] - pair[0]).round()).collect();
    assert!(pauses.len() >= 3, "{counts:?}");
    assert!(pauses.windows(2).all(|pair| pair[1] >= 1.5 * pair[0]), "{pauses:?}");
}

#[test]
fn a_small_file_stays_on_one_request() {
    let mut t = alone(900 << 10);
    t.flow(10.0, |_, _| 300e3);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.fetched(JOB), 1);
}

#[test]
fn our_own_limit_is_no_reason_for_more_connections() {
    let mut t = alone(640 * MIB);
    t.throttled = true;
    let steps = steps(&mut t, 10.0, |t| t.flow_shared(0.02, 2e6));
    assert_eq!(steps.last(), Some(&8), "{steps:?}");
}

#[test]
fn a_host_where_many_were_useful_is_begun_with_as_many() {
    let mut t = alone(0);
    t.know_host(HostMemory { name: HOST.to_owned(), useful: Some(16), ..HostMemory::default() });
    t.start_at(&[HOST], crate::OTHER, 640 * MIB);
    t.open_all(640 * MIB);
    assert_eq!(t.view(crate::OTHER).connections, 16);
}

#[test]
fn a_job_never_goes_beyond_its_cap() {
    let mut t = alone(640 * MIB);
    t.tune(
        JOB,
        haul_core::messages::Tuning { priority: 0, connections: Some(6), ..haul_core::messages::Tuning::default() },
    );
    let steps = steps(&mut t, 5.0, |t| t.flow(0.02, |_, _| 1e6));
    assert_eq!(steps.last(), Some(&6), "{steps:?}");
    assert!(t.why(JOB).contains(&Why::JobCap { max: 6 }));
}
