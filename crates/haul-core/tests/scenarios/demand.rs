//! Somebody reads the file while it comes.

use haul_core::messages::Outcome;

use crate::script::{MIB, Script};
use crate::{JOB, connections};

/// Seconds until the byte at `at` is there.
fn seconds_until(t: &mut Script, at: u64, rate: f64) -> f64 {
    let begun = t.now;
    while t.engine.done_until(JOB, at) == at {
        assert!(t.now.since(begun).as_secs_f64() < 100.0, "nobody fetches it");
        t.flow(0.1, |_, _| rate);
    }
    t.now.since(begun).as_secs_f64()
}

#[test]
fn what_a_reader_waits_for_goes_first_though_all_connections_are_busy() {
    let mut t = Script::with(connections(4)).probed(JOB, 64 * MIB);
    t.flow(1.0, |_, _| 500e3);
    // In the middle of what some connection would come to in half a minute.
    let at = 30 * MIB + 12_345;
    let others = t.workers().len();
    t.demand(JOB, &[at]);
    assert!(seconds_until(&mut t, at, 500e3) < 2.0);
    let until = t.engine.done_until(JOB, at);
    t.flow(2.0, |_, _| 500e3);
    assert!(t.engine.done_until(JOB, at) > until + 500_000, "and what follows comes next");
    assert_eq!(t.workers().len(), others, "no connection more than before");
    t.flow(200.0, |_, _| 500e3);
    assert_eq!((t.outcome(JOB), t.twice), (Some(&Outcome::Completed), 0));
}

#[test]
fn a_single_connection_turns_to_the_reader_and_comes_back() {
    let mut t = Script::with(connections(1)).probed(JOB, 32 * MIB);
    t.flow(1.0, |_, _| 1e6);
    t.demand(JOB, &[20 * MIB]);
    assert!(seconds_until(&mut t, 20 * MIB, 1e6) < 2.0);
    t.demand(JOB, &[]);
    t.flow(60.0, |_, _| 1e6);
    assert_eq!((t.outcome(JOB), t.twice), (Some(&Outcome::Completed), 0));
}

#[test]
fn who_gets_there_soon_is_left_alone_and_one_that_reads_on_frees_no_connection() {
    let mut t = Script::with(connections(2)).probed(JOB, 32 * MIB);
    t.flow(1.0, |_, _| 1e6);
    let cuts = t.set_ends;
    for _ in 0..20 {
        let at = t.engine.done_until(JOB, 0);
        t.demand(JOB, &[at]);
        t.flow(0.1, |_, _| 1e6);
    }
    assert_eq!(t.set_ends, cuts);
}

#[test]
fn readers_everywhere_do_not_keep_a_job_from_its_end() {
    let mut t = Script::with(connections(4)).probed(JOB, 32 * MIB);
    for n in 0_u64..2000 {
        t.demand(JOB, &[(n * 7_777_777) % (32 * MIB), (n * 3_333_333) % (40 * MIB)]);
        t.flow(0.05, |_, _| 1e6);
        if t.outcome(JOB).is_some() {
            break;
        }
    }
    assert_eq!((t.outcome(JOB), t.twice), (Some(&Outcome::Completed), 0));
    // 32 MiB at 4 MB/s take 8.4 s.
    assert!(t.seconds(JOB) < 17.0, "took {} s", t.seconds(JOB));
}

#[test]
fn a_reader_of_a_file_that_is_not_known_yet_is_served_once_it_is() {
    let mut t = Script::with(connections(2));
    t.start(JOB);
    t.demand(JOB, &[20 * MIB]);
    t.open_all(32 * MIB);
    assert!(seconds_until(&mut t, 20 * MIB, 1e6) < 2.0);
}
