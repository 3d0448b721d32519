//! What users do.

use haul_core::messages::{Caps, Outcome, StopReason, Tuning};
use haul_core::{FaultKind, JobState};

use crate::script::{MIB, Script};
use crate::{JOB, OTHER, connections};

#[test]
fn a_pause_keeps_the_bytes_and_resuming_goes_on_behind_them() {
    let mut t = Script::with(connections(4)).probed(JOB, 16 * MIB);
    t.flow(1.0, |_, _| 1e6);
    let done = t.bytes(JOB);
    t.release(JOB);
    assert!(t.workers().is_empty());
    assert_eq!(t.rows_done(JOB), done);
    t.start_from_rows(JOB, 16 * MIB);
    t.flow(30.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!((t.bytes(JOB), t.twice), (16 * MIB, 0));
}

#[test]
fn a_job_that_is_released_while_it_is_sealed_goes_if_that_fails() {
    for kind in [FaultKind::ChecksumMismatch, FaultKind::DiskFull] {
        let mut t = Script::new().probed(JOB, MIB);
        t.release_at_seal = true;
        t.seal_faults = vec![kind];
        t.flow(20.0, |_, _| 1e6);
        assert_eq!((t.seals, t.outcome(JOB), t.engine.jobs().count()), (1, None, 0), "{kind:?}");
        let requests = t.fetched(JOB);
        t.flow(100.0, |_, _| 1e6);
        assert_eq!((t.fetched(JOB), t.disk_checks), (requests, 0));
    }
    let mut t = Script::new().probed(JOB, MIB);
    t.release_at_seal = true;
    t.flow(20.0, |_, _| 1e6);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed), "what is complete is complete");
}

#[test]
fn f_done_09_a_complete_file_needs_no_request() {
    let mut t = Script::new().probed(JOB, MIB);
    t.seal_faults = vec![FaultKind::TargetExists];
    t.flow(2.0, |_, _| 1e6);
    let requests = t.fetched(JOB);
    t.start_from_rows(JOB, MIB);
    assert_eq!(t.outcome(JOB), Some(&Outcome::Completed));
    assert_eq!(t.fetched(JOB), requests);
}

#[test]
fn lowering_a_jobs_connections_ends_the_surplus_at_once() {
    let mut t = Script::with(connections(8)).probed(JOB, 60 * MIB);
    assert_eq!(t.workers().len(), 8);
    t.tune(JOB, Tuning { priority: 0, connections: Some(3), ..Tuning::default() });
    assert_eq!(t.workers().len(), 3);
    assert_eq!(t.stops(StopReason::Yield), 5);
    assert_eq!(t.charged(JOB), 0);
}

#[test]
fn lowering_the_caps_ends_the_surplus_on_hosts_and_in_all() {
    let mut t = Script::with(connections(8)).probed(JOB, 60 * MIB).probed(OTHER, 60 * MIB);
    assert_eq!(t.workers().len(), 16);
    let caps = Caps { active_jobs: 8, connections_per_job: 8, connections_per_host: 6, connections_total: 512 };
    t.set_caps(caps);
    t.flow(3.0, |_, _| 10e3);
    assert_eq!(t.workers().len(), 6);
    t.set_caps(Caps { connections_per_host: 32, connections_total: 4, ..caps });
    t.flow(3.0, |_, _| 10e3);
    assert_eq!(t.workers().len(), 4);
    t.set_caps(Caps { active_jobs: 1, ..caps });
    t.flow(3.0, |_, _| 10e3);
    assert_eq!((t.view(JOB).connections, t.view(OTHER).state), (6, JobState::Queued));
}
