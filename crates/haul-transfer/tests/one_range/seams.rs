//! Where a range meets its neighbours: bytes before it and behind it that are compared.

use std::sync::Arc;

use haul_core::FaultKind;
use haul_core::messages::{End, FetchKind};
use haul_testkit::{Content, Do, File, When};
use haul_transfer::{Identity, Lane};

use crate::rig::{LEN, PATH, Rig, Run};

const FROM: u64 = 20_000;
const OVERLAP: u64 = 4096;

/// Fetches `FROM..50_000`, where the bytes before it are there, and returns what the file holds from `FROM` on.
fn with_overlap(rig: &Rig, known: Identity) -> (Run, Vec<u8>) {
    let mut before = vec![0; usize::try_from(OVERLAP).expect("small")];
    rig.content.read(FROM - OVERLAP, &mut before);
    rig.file.write_all_at(&before, FROM - OVERLAP).expect("written");
    let (mut order, mut received) = rig.order(FetchKind::Range, FROM, 50_000);
    order.overlap = OVERLAP;
    order.identity = known;
    rig.threads.start(0, order).expect("started");
    let run = rig.collect(&mut received, |_| ());
    let mut written = vec![0; 30_000];
    rig.file.read_exact_at(&mut written, FROM).expect("read");
    (run, written)
}

/// The same bytes, but for those before `FROM`.
fn otherwise_equal(content: &Content) -> Content {
    content.clone().inverted(FROM - 1..FROM)
}

fn content_of(rig: &Rig) -> Vec<u8> {
    let mut bytes = vec![0; 30_000];
    rig.content.read(FROM, &mut bytes);
    bytes
}

#[test]
fn an_overlap_costs_no_request_of_its_own_and_is_not_written() {
    let rig = Rig::new(|file| file.etag("\"v1\""));
    let (run, written) = with_overlap(&rig, rig.known(Some("\"v1\"")));
    run.finished_at(50_000);
    assert_eq!(written, content_of(&rig));
    assert_eq!(rig.sent(PATH, "range"), [Some(format!("bytes={}-49999", FROM - OVERLAP))]);
}

#[test]
fn f_range_03_a_206_with_the_right_header_and_other_bytes_is_caught_before_a_byte_is_written() {
    let rig = Rig::new(|file| file.etag("\"v1\"").fault(When::Always, Do::WrongBody));
    let (run, written) = with_overlap(&rig, rig.known(Some("\"v1\"")));
    assert_eq!(run.at, FROM);
    let fault = run.fault();
    assert_eq!(fault.kind, FaultKind::RangeMismatch, "the server vouches for it: {}", fault.detail);
    assert!(fault.detail.contains(&format!("byte {} ", FROM - OVERLAP)), "{}", fault.detail);
    assert!(written.iter().all(|byte| *byte == 0xee), "not a byte is written");
}

#[test]
fn f_ident_03_04_05_other_bytes_without_a_strong_tag_are_another_version() {
    let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
    let shapes: [fn(File) -> File; 3] =
        [|file| file, |file| file.etag("W/\"v1\""), |file| file.last_modified("Sun, 06 Nov 1994 08:49:37 GMT")];
    for (shape, etag, date) in
        [(shapes[0], None, None), (shapes[1], Some("W/\"v1\""), None), (shapes[2], None, Some(modified))]
    {
        let rig = Rig::new(shape);
        rig.server.replace(PATH, shape(File::new(otherwise_equal(&rig.content))));
        let known =
            Identity { last_modified: date.map(str::to_owned), date_is_strong: date.is_some(), ..rig.known(etag) };
        let (run, written) = with_overlap(&rig, known);
        assert_eq!(run.at, FROM);
        assert_eq!(run.fault().kind, FaultKind::BytesDiffer);
        assert!(written.iter().all(|byte| *byte == 0xee), "not a byte is written");
    }
}

#[test]
fn an_overlap_from_the_first_byte_on_may_be_answered_with_the_whole_file() {
    let rig = Rig::new(File::no_ranges);
    rig.file.write_all_at(&rig.content.bytes()[..4096], 0).expect("written");
    let (mut order, mut received) = rig.order(FetchKind::Range, OVERLAP, LEN);
    order.overlap = OVERLAP;
    order.identity = rig.known(None);
    rig.threads.start(0, order).expect("started");
    rig.collect(&mut received, |_| ()).finished_at(LEN);
    let mut all = vec![0; rig.content.bytes().len()];
    rig.file.read_exact_at(&mut all, 0).expect("read");
    assert_eq!(all, rig.content.bytes());
}

#[test]
fn a_body_that_ends_within_the_overlap_has_brought_nothing() {
    let rig = Rig::new(|file| file.fault(When::First(1), Do::CloseAfter(1000)));
    let (run, _) = with_overlap(&rig, rig.known(None));
    assert_eq!(run.at, FROM);
    assert_eq!(run.fault().kind, FaultKind::Truncated);
}

/// A worker for everything whose end mark is set to `end` while it runs.
fn cut_at(rig: &Rig, end: u64) -> Arc<Lane> {
    let (mut order, mut received) = rig.order(FetchKind::Range, 0, LEN);
    order.identity = rig.known(None);
    let lane = Arc::clone(&order.lane);
    rig.threads.start(0, order).expect("started");
    // The request is for more than the worker is to write.
    assert!(rig.server.wait_until(std::time::Duration::from_secs(20), |server| server.requests(PATH) == 1));
    assert_eq!(lane.set_end(end), end, "it had not got there yet");
    let run = rig.collect(&mut received, |_| ());
    assert_eq!((run.end, run.at), (End::Finished, end));
    lane
}

#[test]
fn a_worker_whose_lease_is_cut_reads_on_beyond_its_end_and_writes_nothing_there() {
    // An end within a piece, and one where a piece ends.
    for rate in [10_000_000, 400_000] {
        let rig = Rig::new(|file| file.rate_per_connection(rate).delay(std::time::Duration::from_millis(100)));
        let end = 65_536;
        let lane = cut_at(&rig, end);
        let beyond = lane.beyond().expect("something has come behind the end");
        assert!(!beyond.is_empty() && beyond.len() <= 4096);
        let at = usize::try_from(end).expect("small");
        assert_eq!(beyond[..], rig.content.bytes()[at..at + beyond.len()]);
        let mut untouched = vec![0; 1000];
        rig.file.read_exact_at(&mut untouched, end).expect("read");
        assert!(untouched.iter().all(|byte| *byte == 0xee));
    }
}

#[test]
fn what_overlaps_is_not_what_lies_behind_a_lease_that_was_taken_away_as_a_whole() {
    // The overlap takes seconds.
    let rig = Rig::new(|file| file.rate_per_connection(2_000));
    let mut before = vec![0; usize::try_from(OVERLAP).expect("small")];
    rig.content.read(FROM - OVERLAP, &mut before);
    rig.file.write_all_at(&before, FROM - OVERLAP).expect("written");
    let (mut order, mut received) = rig.order(FetchKind::Range, FROM, 50_000);
    (order.identity, order.overlap) = (rig.known(None), OVERLAP);
    let lane = Arc::clone(&order.lane);
    rig.threads.start(0, order).expect("started");
    let run = rig.collect(&mut received, |_| assert_eq!(lane.set_end(FROM), FROM, "it has no byte of its own yet"));
    assert_eq!((run.end, run.at), (End::Finished, FROM));
    assert_eq!(lane.beyond(), None);
}

#[test]
fn a_request_reaches_behind_its_range_and_its_connection_is_used_again() {
    let rig = Rig::new(|file| file);
    for _ in 0..2 {
        rig.wipe();
        let (mut order, received) = rig.order(FetchKind::Range, 1000, 50_000);
        (order.identity, order.reach) = (rig.known(None), 4096);
        let lane = Arc::clone(&order.lane);
        rig.run(order, received).finished_at(50_000);
        assert_eq!(lane.beyond().map(|bytes| &bytes[..]), Some(&rig.content.bytes()[50_000..54_096]));
    }
    assert_eq!(rig.sent(PATH, "range")[0].as_deref(), Some("bytes=1000-54095"));
    assert_eq!(rig.server.connections(), 1);
}

#[test]
fn f_ident_09_each_host_is_compared_with_what_it_said_itself() {
    let rig = Rig::new(|file| file.etag("\"here\""));
    let here = format!("127.0.0.1:{}", rig.server.port());
    let main = Identity { host: Some("elsewhere".to_owned()), ..rig.known(Some("\"there\"")) };
    for (tag, expected) in [("\"here\"", None), ("\"before\"", Some(FaultKind::OtherValidator))] {
        rig.wipe();
        let (mut order, received) = rig.order(FetchKind::Range, 1000, 5000);
        order.identity = main.clone();
        order.others = vec![Identity { host: Some(here.clone()), total: None, ..rig.known(Some(tag)) }];
        let run = rig.run(order, received);
        match expected {
            None => run.finished_at(5000),
            Some(kind) => run.refused_as(kind),
        }
    }
    assert_eq!(rig.sent(PATH, "if-range"), [Some("\"here\"".to_owned()), Some("\"before\"".to_owned())]);
}

#[test]
fn f_net_09_after_forgetting_connections_new_ones_are_made() {
    let rig = Rig::new(|file| file);
    for connections in [1, 1, 2] {
        if connections == 2 {
            rig.threads.forget_connections();
        }
        rig.wipe();
        rig.range(1000, 5000, rig.known(None)).finished_at(5000);
        assert_eq!(rig.server.connections(), connections);
    }
}
