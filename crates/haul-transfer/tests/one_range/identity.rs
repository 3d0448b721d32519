//! Identity, interference and codings: FAILURES F-IDENT, F-NET-04 and F-ENC.

use haul_core::FaultKind;
use haul_core::messages::{FetchKind, Timeouts};
use haul_testkit::{Content, Do, File, When};
use haul_transfer::Identity;

use crate::rig::{LEN, PATH, Rig};

const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

#[test]
fn f_ident_01_06_another_strong_tag_is_a_reason_to_doubt() {
    let rig = Rig::new(|file| file.etag("\"v2\""));
    rig.range(1000, 5000, rig.known(Some("\"v1\""))).refused_as(FaultKind::OtherValidator);
    assert_eq!(rig.sent(PATH, "if-range"), [Some("\"v1\"".to_owned())]);
}

#[test]
fn f_ident_02_a_206_of_another_version_is_not_taken() {
    // Without If-Range the server answers 206 for whatever it has now.
    let rig = Rig::new(|file| file.etag("\"v2\""));
    let (mut order, received) = rig.order(FetchKind::Range, 1000, 5000);
    order.identity = rig.known(Some("\"v1\""));
    order.if_range = false;
    rig.run(order, received).refused_as(FaultKind::OtherValidator);
    assert_eq!(rig.server.log()[0].status, 206);
}

#[test]
fn f_ident_03_weak_tags_are_compared_but_never_sent() {
    let rig = Rig::new(|file| file.etag("W/\"v1\""));
    rig.range(1000, 5000, rig.known(Some("W/\"v1\""))).finished_at(5000);
    rig.wipe();
    rig.range(1000, 5000, rig.known(Some("W/\"v0\""))).refused_as(FaultKind::OtherValidator);
    assert_eq!(rig.sent(PATH, "if-range"), [None, None]);
}

#[test]
fn f_ident_05_an_old_date_stands_in_for_a_tag() {
    let rig = Rig::new(|file| file.last_modified(MODIFIED));
    let seen = rig.probe().opened().identity.clone();
    assert!(seen.date_is_strong);
    rig.wipe();
    rig.range(1000, 5000, seen).finished_at(5000);
    assert_eq!(rig.sent(PATH, "if-range")[1].as_deref(), Some(MODIFIED));
}

#[test]
fn f_ident_05_a_date_without_the_servers_clock_is_not_sent() {
    let rig = Rig::new(|file| file.last_modified(MODIFIED).without_header("date"));
    let seen = rig.probe().opened().identity.clone();
    rig.wipe();
    rig.range(1000, 5000, seen.clone()).finished_at(5000);
    assert_eq!(rig.sent(PATH, "if-range"), [None, None]);
    let other = Identity { last_modified: Some("Mon, 07 Nov 1994 08:49:37 GMT".to_owned()), ..seen };
    rig.wipe();
    rig.range(1000, 5000, other).refused_as(FaultKind::OtherValidator);
}

#[test]
fn f_ident_01_another_total_without_validators_is_a_changed_source() {
    let rig = Rig::new(|file| file);
    let shorter = Identity { total: Some(LEN + 1), ..rig.known(None) };
    rig.range(1000, 5000, shorter).refused_as(FaultKind::SourceChanged);
}

#[test]
fn another_total_of_the_same_version_is_a_lie() {
    let rig = Rig::new(|file| file.etag("\"v1\"").fault(When::Always, Do::WrongTotal(LEN + 1)));
    rig.range(1000, 5000, rig.known(Some("\"v1\""))).refused_as(FaultKind::RangeMismatch);
}

#[test]
fn f_ident_09_validators_of_another_host_do_not_count() {
    let rig = Rig::new(|file| file.etag("\"here\""));
    let known = Identity { host: Some("elsewhere".to_owned()), ..rig.known(Some("\"there\"")) };
    rig.range(1000, 5000, known).finished_at(5000);
    assert_eq!(rig.sent(PATH, "if-range"), [None]);
}

#[test]
fn f_ident_11_an_unexpected_304_or_412_is_asked_again_without_conditions() {
    for status in [304, 412] {
        let rig = Rig::new(|file| file.etag("\"v1\"").fault(When::First(1), Do::status(status)));
        rig.range(1000, 5000, rig.known(Some("\"v1\""))).finished_at(5000);
        assert_eq!(rig.sent(PATH, "if-range"), [Some("\"v1\"".to_owned()), None]);
    }
    let rig = Rig::new(|file| file.fault(When::Always, Do::status(412)));
    rig.range(1000, 5000, rig.known(Some("\"v1\""))).refused_as(FaultKind::Status(412));
}

#[test]
fn f_ident_12_a_restart_asks_for_a_fresh_answer() {
    let rig = Rig::new(|file| file);
    let (mut order, received) = rig.order(FetchKind::Range, 0, LEN);
    order.no_cache = true;
    rig.run(order, received).finished_at(LEN);
    assert_eq!(rig.sent(PATH, "cache-control"), [Some("no-cache".to_owned())]);
}

#[test]
fn a_whole_answer_of_another_version_is_not_written_over_the_old_one() {
    let rig = Rig::new(|file| file.etag("\"v2\"").no_ranges());
    rig.whole(rig.known(Some("\"v1\""))).refused_as(FaultKind::OtherValidator);
}

#[test]
fn f_net_04_a_portal_in_the_middle_is_interference() {
    for etag in [None, Some("\"v1\"")] {
        let rig = Rig::new(|file| file.fault(When::Always, Do::Html));
        rig.range(1000, 5000, rig.known(etag)).refused_as(FaultKind::Interference);
    }
}

#[test]
fn f_net_05_a_shorter_200_without_validators_is_interference() {
    let rig = Rig::with(Content::seeded(1, 50), File::no_ranges);
    let known = Identity { total: Some(LEN), ..rig.known(Some("\"v1\"")) };
    rig.range(1000, 5000, known).refused_as(FaultKind::Interference);
}

#[test]
fn f_enc_01_an_unasked_coding_is_refused() {
    let rig = Rig::new(|file| file.header("content-encoding", "gzip"));
    rig.probe().refused_as(FaultKind::UnexpectedEncoding);
    rig.range(1000, 5000, rig.known(None)).refused_as(FaultKind::UnexpectedEncoding);
}

#[test]
fn f_enc_01_a_coding_that_the_type_announces_is_the_files_own_and_stays() {
    let rig = Rig::new(|file| file.header("content-encoding", "x-gzip").content_type("application/gzip"));
    rig.probe().finished_at(LEN);
}

#[test]
fn f_enc_03_no_coding_by_another_name_is_none() {
    let rig = Rig::new(|file| file.header("content-encoding", "binary"));
    rig.probe().finished_at(LEN);
}

#[test]
fn f_http_14_the_head_may_take_longer_than_a_stall() {
    let rig = Rig::new(|file| file.delay(std::time::Duration::from_millis(300)));
    let (mut order, received) = rig.order(FetchKind::Probe, 0, LEN);
    order.timeouts = Timeouts { stall: std::time::Duration::from_millis(100), ..order.timeouts };
    rig.run(order, received).finished_at(LEN);
}
