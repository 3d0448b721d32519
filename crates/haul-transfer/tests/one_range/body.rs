//! Bodies: FAILURES F-DONE and F-NET, and the disk.

use std::sync::Arc;
use std::time::Duration;

use haul_core::FaultKind;
use haul_core::messages::FetchKind;
use haul_testkit::{Content, Do, File, When};
use haul_transfer::{Identity, Lane, Target};

use crate::rig::{LEN, Rig};

/// Runs `1000..50000` of a file whose body breaks this way, and returns what came of it.
fn broken(action: Do) -> (u64, FaultKind) {
    let rig = Rig::new(|file| file.fault(When::Always, action));
    let (mut order, received) = rig.order(FetchKind::Range, 1000, 50_000);
    order.identity = rig.known(None);
    order.timeouts.stall = Duration::from_millis(150);
    let run = rig.run(order, received);
    (run.at, run.fault().kind)
}

#[test]
fn f_done_04_a_body_that_ends_early_is_truncated_and_what_came_is_kept() {
    assert_eq!(broken(Do::CloseAfter(7000)), (8000, FaultKind::Truncated));
}

#[test]
fn f_net_01_a_reset_in_mid_body_leaves_an_exact_offset() {
    let (at, kind) = broken(Do::ResetAfter(7000));
    assert_eq!(kind, FaultKind::Reset);
    // The system may drop what it had received but not handed out.
    assert!((1000..=8000).contains(&at), "{at}");
}

#[test]
fn f_net_02_a_silent_body_is_a_stall_and_what_came_is_kept() {
    assert_eq!(broken(Do::StallAfter(7000)), (8000, FaultKind::Stall));
}

#[test]
fn f_done_02_05_surplus_bytes_are_not_written() {
    let rig = Rig::new(|file| file.fault(When::Always, Do::ExtraBytes(4000)));
    rig.range(1000, 5000, rig.known(None)).finished_at(5000);
    rig.wipe();
    rig.probe().finished_at(LEN);
}

#[test]
fn a_chunked_body_is_as_long_as_it_is() {
    let rig = Rig::new(File::chunked);
    let run = rig.probe();
    assert_eq!((run.opened().total, run.opened().partial), (None, false));
    run.finished_at(LEN);
    assert_eq!(rig.server.connections(), 1);
}

#[test]
fn f_done_06_a_chunked_body_without_its_end_is_truncated() {
    let rig = Rig::new(|file| file.chunked().fault(When::Always, Do::CloseAfter(7000)));
    let run = rig.whole(Identity::default());
    assert_eq!(run.at, 7000);
    assert_eq!(run.fault().kind, FaultKind::Truncated);
}

#[test]
fn f_done_03_the_end_of_a_body_without_a_length_is_its_end() {
    let rig = Rig::new(File::close_delimited);
    let run = rig.whole(Identity::default());
    assert_eq!(run.opened().total, None);
    run.finished_at(LEN);
}

#[test]
fn a_body_without_a_length_is_measured_by_the_known_total() {
    let rig = Rig::new(|file| file.close_delimited().fault(When::Always, Do::CloseAfter(7000)));
    let run = rig.whole(rig.known(None));
    assert_eq!(run.at, 7000);
    assert_eq!(run.fault().kind, FaultKind::Truncated);
}

#[test]
fn f_disk_01_a_full_disk_is_told_apart() {
    let rig = Rig::new(|file| file);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.target = Target::Ready(Arc::new(full));
    let run = rig.run(order, received);
    assert_eq!(run.at, 0);
    assert_eq!(run.fault().kind, FaultKind::DiskFull);
}

#[test]
fn f_disk_05_a_file_that_the_file_system_cannot_hold_is_too_large() {
    let rig = Rig::with(Content::seeded(1, 1 << 60), |file| file);
    let from = (1 << 60) - 100;
    let (mut order, received) = rig.order(FetchKind::Range, from, 1 << 60);
    order.target = Target::Ready(Arc::new(tempfile::tempfile().expect("a file")));
    let run = rig.run(order, received);
    assert_eq!(run.at, from);
    assert_eq!(run.fault().kind, FaultKind::TooLarge);
}

#[test]
fn a_file_that_cannot_be_written_is_a_fault_of_the_disk() {
    let rig = Rig::new(|file| file);
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.target = Target::Ready(Arc::new(std::fs::File::open("/dev/null").expect("Linux has it")));
    assert_eq!(rig.run(order, received).fault().kind, FaultKind::DiskIo);
}
