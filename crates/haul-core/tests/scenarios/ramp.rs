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

/// The steps up that the number of connections took within some seconds: each number that was the largest so far when
/// all of them had been answered.
fn steps(t: &mut Script, seconds: f64, rate: impl Fn(u32) -> f64) -> Vec<u32> {
    let mut steps = vec![0];
    let until = t.clock() + seconds;
    while t.clock() < until && t.outcome(JOB).is_none() {
        let used = t.view(JOB).connections;
        t.flow(0.02, |_, _| rate(used));
        let now = t.outcome(JOB).map_or(0, |_| 0).max(if t.outcome(JOB).is_none() { t.view(JOB).connections } else { 0 });
        if now > *steps.last().expect("it starts with one") {
            steps.push(now);
        }
    }
    steps.split_off(1)
}

#[test]
fn where_each_connection_is_throttled_the_steps_double_up_to_the_cap() {
    let mut t = alone(640 * MIB);
    let steps = steps(&mut t, 5.0, |_| 1e6);
    for step in [4, 8, 16, 32] {
        assert!(steps.contains(&step), "{steps:?}");
    }
    assert_eq!(t.view(JOB).connections, 32);
    assert_eq!(t.host(HOST).useful, Some(32));
}

#[test]
fn where_all_share_one_line_the_job_goes_back_and_tries_again_much_later() {
    let mut t = alone(640 * MIB);
    let first = steps(&mut t, 4.0, |used| 8e6 / f64::from(used.max(1)));
    assert!(first.iter().max() <= Some(&16), "{first:?}");
    assert!(t.view(JOB).connections <= 5, "{} connections", t.view(JOB).connections);
    assert!(t.why(JOB).iter().any(|why| matches!(why, Why::NoGain { .. })), "{:?}", t.why(JOB));
    let requests = t.fetched(JOB);
    t.flow_shared(1.0, 8e6);
    assert_eq!(t.fetched(JOB), requests, "for a while it stays there");
    assert_eq!(t.host(HOST).useful.map(|useful| useful <= 5), Some(true));
}

#[test]
fn a_small_file_stays_on_one_request() {
    let mut t = alone(900 << 10);
    t.flow(5.0, |_, _| 300e3);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.fetched(JOB), 1);
}

#[test]
fn our_own_limit_is_no_reason_for_more_connections() {
    let mut t = alone(640 * MIB);
    t.throttled = true;
    let steps = steps(&mut t, 10.0, |used| 2e6 / f64::from(used.max(1)));
    assert_eq!(steps.last(), Some(&4), "{steps:?}");
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
    t.tune(JOB, haul_core::messages::Tuning { priority: 0, connections: Some(6) });
    let steps = steps(&mut t, 5.0, |_| 1e6);
    assert_eq!(steps.last(), Some(&6), "{steps:?}");
    assert!(t.why(JOB).contains(&Why::JobCap { max: 6 }));
}
