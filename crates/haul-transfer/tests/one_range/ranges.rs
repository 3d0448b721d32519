//! Ranges: FAILURES F-RANGE.

use haul_core::FaultKind;
use haul_testkit::{Content, Do, File, When};
use haul_transfer::Identity;

use crate::rig::{LEN, PATH, Rig};

/// Asks for the middle of a file whose server tells this lie.
fn refused(lie: Do, kind: FaultKind) {
    let rig = Rig::new(|file| file.etag("\"v1\"").fault(When::Always, lie));
    rig.range(1000, 5000, rig.known(Some("\"v1\""))).refused_as(kind);
}

#[test]
fn an_honest_range_is_written_to_its_place_and_the_connection_is_kept() {
    let rig = Rig::new(|file| file.etag("\"v1\""));
    for (from, end) in [(1000, 5000), (0, 1), (LEN - 1, LEN)] {
        rig.wipe();
        let run = rig.range(from, end, rig.known(Some("\"v1\"")));
        assert!(run.opened().partial);
        run.finished_at(end);
    }
    assert_eq!(rig.server.connections(), 1);
    let ranges = rig.sent(PATH, "range");
    assert_eq!(ranges[0].as_deref(), Some("bytes=1000-4999"));
    assert_eq!(rig.sent(PATH, "if-range")[0].as_deref(), Some("\"v1\""));
    assert_eq!(rig.sent(PATH, "accept-encoding")[0].as_deref(), Some("identity"));
}

#[test]
fn f_range_10_the_probe_brings_data_with_one_get() {
    let rig = Rig::new(|file| file.etag("\"v1\"").header("content-disposition", "attachment; filename=x.iso"));
    let run = rig.probe();
    run.finished_at(LEN);
    let opened = run.opened();
    assert_eq!((opened.total, opened.partial), (Some(LEN), true));
    assert_eq!(opened.identity.etag.as_deref(), Some("\"v1\""));
    assert_eq!(opened.file_name(&opened.final_url), "x.iso");
    assert_eq!(rig.server.log().len(), 1);
    assert_eq!(rig.server.log()[0].method, "GET");
    assert_eq!(rig.sent(PATH, "range"), [Some("bytes=0-".to_owned())]);
}

#[test]
fn f_range_01_the_whole_file_instead_of_a_range_is_refused() {
    refused(Do::FullInstead, FaultKind::RangesRefused);
}

#[test]
fn f_range_01_without_validators_the_total_decides() {
    let rig = Rig::new(File::no_ranges);
    let known = rig.known(None);
    rig.range(1000, 5000, known).refused_as(FaultKind::RangesRefused);
}

#[test]
fn f_range_01_from_the_start_the_whole_file_is_as_good_and_is_clamped() {
    let rig = Rig::new(File::no_ranges);
    let run = rig.range(0, 5000, rig.known(None));
    assert!(!run.opened().partial);
    run.finished_at(5000);
}

#[test]
fn f_range_03_a_later_start_is_a_mismatch() {
    refused(Do::WrongStart(1), FaultKind::RangeMismatch);
}

#[test]
fn f_range_03_an_earlier_start_is_a_mismatch() {
    refused(Do::WrongStart(-1000), FaultKind::RangeMismatch);
}

#[test]
fn f_range_03_a_probe_must_start_at_the_start() {
    let rig = Rig::new(|file| file.fault(When::Always, Do::WrongStart(7)));
    rig.probe().refused_as(FaultKind::RangeMismatch);
}

#[test]
fn f_range_04_a_missing_content_range_is_a_mismatch() {
    refused(Do::MissingContentRange, FaultKind::RangeMismatch);
}

#[test]
fn f_range_05_a_shorter_part_is_used_as_far_as_it_goes() {
    let rig = Rig::new(|file| file.fault(When::Always, Do::ShortRange(700)));
    let run = rig.range(1000, 5000, rig.known(None));
    run.finished_at(1700);
    assert_eq!(rig.server.connections(), 1);
}

#[test]
fn f_range_06_chunked_framing_is_a_mismatch() {
    refused(Do::ChunkedRange, FaultKind::RangeMismatch);
}

#[test]
fn f_range_07_multipart_is_a_mismatch() {
    refused(Do::Multipart, FaultKind::RangeMismatch);
}

#[test]
fn f_range_08_416_with_the_same_total_is_a_mismatch_and_with_another_a_change() {
    let content_range = format!("bytes */{LEN}");
    let lie = Do::status_with(416, "content-range", &content_range);
    refused(lie, FaultKind::RangeMismatch);
    let lie = Do::status_with(416, "content-range", "bytes */10");
    refused(lie, FaultKind::SourceChanged);
    refused(Do::status(416), FaultKind::RangeMismatch);
}

#[test]
fn f_range_08_an_unexplained_416_to_the_probe_is_asked_again_without_a_range() {
    let rig = Rig::new(|file| file.fault(When::First(1), Do::status(416)));
    let run = rig.probe();
    assert!(!run.opened().partial);
    run.finished_at(LEN);
    assert_eq!(rig.sent(PATH, "range"), [Some("bytes=0-".to_owned()), None]);
}

#[test]
fn f_range_08_a_server_that_knows_nothing_but_416_is_asked_twice() {
    let rig = Rig::new(|file| file.fault(When::Always, Do::status(416)));
    rig.probe().refused_as(FaultKind::Status(416));
    assert_eq!(rig.server.requests(PATH), 2);
}

#[test]
fn f_range_09_a_content_range_that_is_none_is_a_mismatch() {
    for value in ["bytes 1000-4999", "bytes 1000-99999999999999999999/*", "bytes 1000-4999/4000"] {
        let rig = Rig::new(|file| file.header("content-range", value));
        rig.range(1000, 5000, rig.known(None)).refused_as(FaultKind::RangeMismatch);
    }
}

#[test]
fn f_range_09_two_slips_of_the_pen_are_tolerated() {
    for value in ["bytes: 1000-4999/100000", "bytes=1000-4999/*"] {
        let rig = Rig::new(|file| file.header("content-range", value));
        rig.range(1000, 5000, rig.known(None)).finished_at(5000);
    }
}

#[test]
fn f_range_11_accept_ranges_none_is_reported() {
    let rig = Rig::new(File::accept_ranges_none);
    let run = rig.probe();
    assert!(run.opened().refuses_ranges && !run.opened().partial);
    run.finished_at(LEN);
}

#[test]
fn a_range_longer_than_asked_is_a_mismatch() {
    let rig = Rig::new(|file| file.header("content-range", "bytes 1000-5000/100000"));
    rig.range(1000, 5000, rig.known(None)).refused_as(FaultKind::RangeMismatch);
}

#[test]
fn a_part_when_the_whole_was_asked_for_is_a_mismatch() {
    let rig = Rig::new(|file| file.fault(When::Always, Do::status_with(206, "content-range", "bytes 0-31/100000")));
    rig.whole(Identity::default()).refused_as(FaultKind::RangeMismatch);
}

#[test]
fn f_done_08_an_empty_file_is_opened_and_finished() {
    for shape in [File::new, |content| File::new(content).no_ranges()] {
        let rig = Rig::with(Content::empty(), |_| shape(Content::empty()));
        let run = rig.probe();
        assert_eq!(run.opened().total, Some(0));
        run.finished_at(0);
    }
}

#[test]
fn a_file_of_one_byte_takes_one_request() {
    let rig = Rig::with(Content::seeded(3, 1), |file| file);
    rig.probe().finished_at(1);
    assert_eq!(rig.server.requests(PATH), 1);
}

#[test]
fn an_empty_range_takes_no_request() {
    let rig = Rig::new(|file| file);
    let run = rig.range(500, 500, rig.known(None));
    run.finished_at(500);
    assert_eq!(rig.server.requests(PATH), 0);
}

#[test]
fn small_files_share_one_connection() {
    let rig = Rig::new(|file| file);
    for _ in 0..5 {
        rig.wipe();
        rig.probe().finished_at(LEN);
    }
    assert_eq!((rig.server.connections(), rig.server.requests(PATH)), (1, 5));
}
