//! Stop anywhere, keep only the rows that were stored, restore into a fresh engine: it goes on and completes, with
//! every byte there once.

#[expect(dead_code, reason = "these stories need a part of the script")]
mod script;

use haul_core::messages::Outcome;
use haul_core::{FaultKind, JobId, Policy, Rng};
use script::{MIB, Script};

const JOB: JobId = JobId(1);

fn policy(connections: u32) -> Policy {
    Policy { connections_per_job: connections, ..Policy::default() }
}

/// A job that has run for a while, with a fault now and then.
fn after_some_time(rng: &mut Rng, total: u64) -> Script {
    let connections = u32::try_from(1 + rng.below(8)).expect("small");
    let mut t = Script::with(policy(connections)).probed(JOB, total);
    for _ in 0..rng.below(10) {
        t.flow(rng.unit() * 0.5, |worker, _| 200e3 + 300e3 * (worker.0 % 3) as f64);
        let victim = t.workers().into_iter().find(|_| rng.below(3) == 0);
        if let Some(worker) = victim {
            t.fault(worker, FaultKind::Reset);
        }
    }
    t
}

#[test]
fn whatever_was_stored_last_is_gone_on_from() {
    for seed in 0..300 {
        let rng = &mut Rng::new(seed);
        let total = 1 + rng.below(12 * MIB);
        let mut t = after_some_time(rng, total);
        if t.outcome(JOB).is_some() {
            continue;
        }
        t.store(JOB);
        // What comes after the last commit is lost.
        t.flow(rng.unit(), |_, _| 400e3);
        if t.outcome(JOB).is_some() {
            continue;
        }
        let kept = t.rows_done(JOB);
        t.crash(policy(4), JOB);
        assert_eq!(t.bytes(JOB), kept, "seed {seed}");
        t.start_from_rows(JOB, total);
        assert_eq!(t.view(JOB).done_bytes, kept, "seed {seed}");
        t.flow(120.0, |_, _| 400e3);
        assert_eq!(t.outcome(JOB), Some(&Outcome::Completed), "seed {seed}");
        assert_eq!((t.bytes(JOB), t.twice), (total, 0), "seed {seed}");
        assert_eq!(t.rows_done(JOB), total, "seed {seed}");
    }
}

#[test]
fn a_crash_before_the_first_commit_starts_from_nothing() {
    let mut t = Script::with(policy(4));
    t.start(JOB);
    t.crash(policy(4), JOB);
    t.start(JOB);
    t.open_all(4 * MIB);
    t.flow(10.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
}

#[test]
fn f_retry_05_strikes_and_retries_survive_a_crash() {
    let mut t = Script::with(policy(2)).probed(JOB, 4 * MIB);
    t.flow(0.3, |_, _| 1e6);
    let worker = t.workers()[0];
    t.fault(worker, FaultKind::Reset);
    t.store(JOB);
    t.crash(policy(2), JOB);
    t.start_from_rows(JOB, 4 * MIB);
    let retries: u32 = t.engine.chunks(t.now, JOB).iter().map(|(chunk, _)| chunk.retries).sum();
    assert_eq!(retries, 1);
}

#[test]
fn rows_that_do_not_describe_the_file_are_dropped_before_the_first_request() {
    let mut t = Script::with(policy(2)).probed(JOB, 4 * MIB);
    t.flow(0.3, |_, _| 1e6);
    t.store(JOB);
    t.crash(policy(2), JOB);
    t.start_from_rows(JOB, 5 * MIB);
    assert_eq!(t.resets, 1);
    t.open_all(5 * MIB);
    t.flow(20.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.rows_done(JOB), 5 * MIB);
}
