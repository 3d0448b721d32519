//! Comparing what a mirror sends with what is there.

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haul_core::FaultKind;
use haul_core::messages::{End, FetchKind};
use haul_testkit::{Do, When};
use haul_transfer::{Identity, Limiter};

use crate::rig::{LEN, Rig, Run};

/// A rig whose file holds the whole content already.
fn full(rig: Rig) -> Rig {
    rig.file.write_all_at(&rig.content.bytes(), 0).expect("written");
    rig
}

/// Compares `from..end`, and checks that no byte of the file has changed.
fn compare(rig: &Rig, from: u64, end: u64, known: Identity) -> Run {
    compare_with(rig, from, end, known, Limiter::new(None))
}

fn compare_with(rig: &Rig, from: u64, end: u64, known: Identity, limiter: Limiter) -> Run {
    let (mut order, mut received) = rig.order(FetchKind::Compare, from, end);
    order.identity = known;
    order.limiters = vec![limiter];
    let before = bytes(rig);
    rig.threads.start(0, order).expect("started");
    let run = rig.collect(&mut received, |_| ());
    assert_eq!(bytes(rig), before, "a comparison writes nothing");
    run
}

fn bytes(rig: &Rig) -> Vec<u8> {
    let mut bytes = Vec::new();
    rig.file.reader().read_to_end(&mut bytes).expect("read");
    bytes
}

#[test]
fn equal_bytes_finish_at_the_end_and_one_request_does_it() {
    let rig = full(Rig::new(|file| file.etag("\"of this mirror\"")));
    compare(&rig, 1000, 90_000, rig.known(None)).finished_at(90_000);
    assert_eq!(rig.sent(crate::rig::PATH, "range"), [Some("bytes=1000-89999".to_owned())]);
}

#[test]
fn a_single_other_byte_is_found_and_named() {
    for wrong in [1000, 16_383 + 1000, 16_384 + 1000, 59_999] {
        let rig = full(Rig::new(|file| file));
        let other = rig.content.clone().inverted(wrong..wrong + 1);
        rig.server.replace(crate::rig::PATH, haul_testkit::File::new(other));
        let run = compare(&rig, 1000, 60_000, rig.known(None));
        assert!(run.at <= wrong, "what is reported as equal is equal");
        let fault = run.fault();
        assert_eq!(fault.kind, FaultKind::BytesDiffer);
        assert!(fault.detail.contains(&format!("byte {wrong} ")), "{}", fault.detail);
    }
}

#[test]
fn a_mirror_of_another_size_or_without_ranges_is_refused_before_a_byte() {
    let rig = full(Rig::new(|file| file));
    let longer = Identity { total: Some(LEN + 1), ..rig.known(None) };
    compare(&rig, 1000, 2000, longer.clone()).refused_as(FaultKind::SourceChanged);
    let whole = full(Rig::new(|file| file.no_ranges()));
    compare(&whole, 1000, 2000, longer).refused_as(FaultKind::SourceChanged);
    compare(&whole, 0, 2000, whole.known(None)).refused_as(FaultKind::RangesRefused);
}

#[test]
fn a_comparison_that_breaks_off_proves_nothing() {
    let rig = full(Rig::new(|file| file.fault(When::First(1), Do::CloseAfter(500))));
    let run = compare(&rig, 1000, 2000, rig.known(None));
    assert_eq!(run.at, 1500);
    assert!(matches!(run.end, End::Fault(_)), "{:?}", run.end);
}

#[test]
fn a_comparison_pays_for_its_bytes() {
    let rig = full(Rig::new(|file| file));
    let began = Instant::now();
    let limiter = Limiter::new(Some(400_000));
    compare_with(&rig, 0, LEN, rig.known(None), limiter).finished_at(LEN);
    assert!(began.elapsed() >= Duration::from_millis(190), "{:?}", began.elapsed());
}

#[test]
fn two_workers_may_write_the_same_range_at_the_same_time() {
    let rig = Rig::new(|file| file.rate_per_connection(1_000_000));
    let (one, mut of_one) = rig.order(FetchKind::Range, 1000, 90_000);
    let (two, mut of_two) = rig.order(FetchKind::Range, 1000, 90_000);
    let lane = Arc::clone(&one.lane);
    rig.threads.start(0, one).expect("started");
    rig.threads.start(0, two).expect("started");
    rig.collect(&mut of_one, |_| ()).finished_at(90_000);
    rig.collect(&mut of_two, |_| ()).finished_at(90_000);
    assert_eq!(lane.at(), 90_000);
    assert_eq!(bytes(&rig)[1000..90_000], rig.content.bytes()[1000..90_000]);
}
