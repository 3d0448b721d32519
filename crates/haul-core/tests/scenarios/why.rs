//! What holds a job back, in the engine's words.

use std::time::Duration;

use haul_core::messages::{End, HostMemory, Tuning, Why};
use haul_core::{FaultKind, MirrorIndex, Policy, WaitingFor};

use crate::script::{HOST, MIB, Script};
use crate::{JOB, OTHER, busy, connections};

/// The reasons, without the one that is always there while bytes flow.
fn reasons(t: &Script) -> Vec<Why> {
    t.why(JOB).into_iter().filter(|why| !matches!(why, Why::PerConnection { .. })).collect()
}

#[test]
fn all_slots_are_taken() {
    let mut t = Script::with(Policy { active_jobs_max: 2, ..connections(2) });
    for id in [2, 3, 4] {
        t.start_with(
            haul_core::JobId(id),
            Tuning { priority: i32::from(id == 4), connections: None, ..Tuning::default() },
        );
    }
    t.start(JOB);
    assert_eq!(t.why(JOB), [Why::NoSlot { active: 2, ahead: 0 }]);
    assert_eq!(t.why(haul_core::JobId(3)), [Why::NoSlot { active: 2, ahead: 1 }]);
}

#[test]
fn it_waits_for_a_clock_or_a_person() {
    let mut t = Script::new();
    t.start(JOB);
    let probe = t.only_worker();
    t.end(probe, End::Fault(busy(503, Some(20))));
    t.wait(5.0);
    let fault = Some(busy(503, Some(20)));
    let retry_in = Some(Duration::from_secs(15));
    assert_eq!(t.why(JOB), [Why::Waits { waiting_for: WaitingFor::Host, retry_in, fault }]);
}

#[test]
fn one_of_its_hosts_is_left_alone() {
    let mut t = Script::with(connections(4));
    t.start_at(&[HOST, "http://busy"], JOB, 60 * MIB);
    t.serve(|fetch| (fetch.mirror == MirrorIndex(1)).then_some(FaultKind::Status(503)));
    let waits = |why: &Why| matches!(why, Why::HostWaits { host, fault: Some(_), .. } if host == "http://busy");
    while !reasons(&t).iter().any(waits) {
        t.flow(0.1, |_, _| 500e3);
        assert!(t.clock() < 10.0, "{:?}", t.why(JOB));
    }
}

#[test]
fn its_host_takes_no_more_connections() {
    let mut t = Script::with(connections(8));
    t.start(JOB);
    let probe = t.only_worker();
    t.open(probe, 60 * MIB);
    for (count, worker) in t.workers().into_iter().skip(1).enumerate() {
        if count < 2 { t.open(worker, 60 * MIB) } else { t.end(worker, End::Fault(busy(429, None))) }
    }
    t.flow(1.0, |_, _| 500e3);
    let fault = t.host(HOST).fault;
    let holds = Duration::from_secs(9);
    let cap = Why::HostCap { host: HOST.to_owned(), cap: 3, active: 3, refusals: 2, holds, fault };
    assert_eq!(reasons(&t), [cap]);
}

#[test]
fn its_host_gets_all_connections_that_it_is_allowed() {
    let policy = Policy { connections_per_host: 4, ..connections(8) };
    let mut t = Script::with(policy).probed(JOB, 60 * MIB);
    t.flow(1.0, |_, _| 500e3);
    assert_eq!(reasons(&t), [Why::HostFull { host: HOST.to_owned(), max: 4 }]);
    t.know_host(HostMemory { name: HOST.to_owned(), connections_max: Some(2), ..HostMemory::default() });
    t.flow(1.0, |_, _| 500e3);
    assert_eq!(reasons(&t), [Why::HostFull { host: HOST.to_owned(), max: 2 }]);
}

#[test]
fn all_connections_are_in_use() {
    let mut t = Script::with(Policy { connections_total: 4, ..connections(8) }).probed(JOB, 60 * MIB);
    t.flow(1.0, |_, _| 500e3);
    assert_eq!(reasons(&t), [Why::TotalFull { max: 4 }]);
}

#[test]
fn it_uses_all_connections_that_it_may() {
    let mut t = Script::with(connections(4)).probed(JOB, 60 * MIB);
    t.flow(3.0, |_, _| 500e3);
    assert_eq!(reasons(&t), [Why::JobCap { max: 4 }]);
    assert!(matches!(
        t.why(JOB).last(),
        Some(Why::PerConnection { bytes_per_second: 490_000..510_000, connections: 4 })
    ));
}

#[test]
fn more_connections_brought_nothing() {
    let mut t = Script::as_it_is(Policy { races: false, ..Policy::default() });
    t.tick = Duration::from_millis(20);
    t.start_at(&[HOST], JOB, 640 * MIB);
    t.flow_shared(4.0, 8e6);
    let useful = t.view(JOB).connections;
    assert_eq!(reasons(&t), [Why::NoGain { useful }]);
}

#[test]
fn our_own_limit_holds_it_up() {
    let mut t = Script::with(connections(4)).probed(JOB, 60 * MIB);
    t.throttled = true;
    t.flow(1.0, |_, _| 100e3);
    assert_eq!(reasons(&t), [Why::Limited, Why::JobCap { max: 4 }]);
    t.throttled = false;
    t.flow(3.0, |_, _| 500e3);
    assert_eq!(reasons(&t), [Why::JobCap { max: 4 }]);
}

#[test]
fn its_server_has_no_ranges() {
    let mut t = Script::new();
    t.start(JOB);
    let probe = t.only_worker();
    t.opened(probe, Some(8 * MIB), false);
    t.flow(1.0, |_, _| 1e6);
    assert_eq!(reasons(&t), [Why::SingleConnection]);
}

#[test]
fn a_chunk_is_exempt_from_the_speed_floor() {
    let mut t = Script::with(Policy { split_floor_bytes: MIB, ..connections(8) }).probed(JOB, 64 * MIB - 1);
    let slow = |at| (20 * MIB..21 * MIB).contains(&at);
    while t.strikes().len() < 3 {
        t.flow(0.5, |_, at| if slow(at) { 50e3 } else { 400e3 });
        assert!(t.clock() < 60.0, "{:?}", t.strikes());
    }
    t.flow(3.0, |_, at| if slow(at) { 50e3 } else { 400e3 });
    let exempt = |why: &Why| matches!(why, Why::ExemptChunk { chunk, strikes: 3, bytes_per_second: 45_000..55_000 } if slow(*chunk));
    assert!(reasons(&t).iter().any(exempt), "{:?}", t.why(JOB));
}

#[test]
fn chunks_are_held_back_after_a_fault() {
    let mut t = Script::with(connections(4)).probed(JOB, 60 * MIB);
    t.flow(0.1, |_, _| 500e3);
    let worker = t.workers()[1];
    t.serve(|_| Some(FaultKind::Status(500)));
    t.fault(worker, FaultKind::Reset);
    let held = |why: &Why| matches!(why, Why::Backoff { chunks: 1, retry_in } if *retry_in < Duration::from_secs(1));
    assert!(reasons(&t).iter().any(held), "{:?}", t.why(JOB));
}

#[test]
fn nothing_has_come_for_a_while() {
    let mut t = Script::with(Policy { speed_floor: 0, ..connections(2) }).probed(JOB, 60 * MIB);
    t.flow(1.0, |_, _| 500e3);
    assert!(!reasons(&t).iter().any(|why| matches!(why, Why::Silent { .. })));
    t.flow(4.0, |_, _| 0.0);
    let silent = |why: &Why| matches!(why, Why::Silent { since } if (3..=4).contains(&since.as_secs()));
    assert!(reasons(&t).iter().any(silent), "{:?}", t.why(JOB));
}

#[test]
fn a_mirror_is_not_used_any_more() {
    let mut t = Script::with(connections(4));
    t.start_at(&[HOST, "http://other"], JOB, 60 * MIB);
    t.serve(|fetch| (fetch.mirror == MirrorIndex(1)).then_some(FaultKind::BytesDiffer));
    t.flow(2.0, |_, _| 300e3);
    let dropped = |why: &Why| matches!(why, Why::MirrorDropped { mirror: MirrorIndex(1), fault } if fault.kind == FaultKind::BytesDiffer);
    assert!(reasons(&t).iter().any(dropped), "{:?}", t.why(JOB));
}

#[test]
fn a_job_that_the_engine_does_not_hold_has_no_reasons() {
    assert_eq!(Script::new().why(OTHER), []);
}
