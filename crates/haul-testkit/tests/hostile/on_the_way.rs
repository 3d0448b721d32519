//! Faults of the body.

use std::time::Duration;

use haul_testkit::{Content, Do, File, Server, When};

use crate::client::{Answer, Client, End};

fn content() -> Content {
    Content::seeded(3, 3_000_000)
}

fn getting_under(when: When, action: Do) -> (Server, Answer) {
    let server = Server::start();
    let is_stall = matches!(action, Do::StallAfter(_));
    server.add("/f", File::new(content()).fault(when, action));
    let mut client = if is_stall { Client::expecting_silence(&server) } else { Client::to(&server) };
    let answer = client.get("/f", "");
    (server, answer)
}

#[test]
fn bodies_are_cut_after_so_many_bytes() {
    for (action, end) in [
        (Do::ResetAfter(300_000), End::Reset),
        (Do::CloseAfter(300_000), End::Fin),
        (Do::StallAfter(300_000), End::Silence),
    ] {
        let (server, answer) = getting_under(When::Always, action);
        assert_eq!((answer.status, answer.end), (200, end));
        assert_eq!(answer.body, content().bytes()[..300_000]);
        assert_eq!(answer.header("content-length"), Some("3000000"));
        assert_eq!(server.bytes_sent("/f"), 300_000);
        assert!(!server.log()[0].complete);
    }
}

#[test]
fn bodies_are_cut_before_the_first_byte() {
    for (action, end) in [(Do::ResetAfter(0), End::Reset), (Do::CloseAfter(0), End::Fin)] {
        let (_server, answer) = getting_under(When::Always, action);
        assert_eq!((answer.status, answer.end, answer.body.len()), (200, end, 0));
    }
}

#[test]
fn a_chunked_body_is_cut_without_its_end() {
    let server = Server::start();
    let file = File::new(content()).chunked();
    server.add("/f", file.fault(When::Always, Do::CloseAfter(1000)));
    let answer = Client::to(&server).get("/f", "");
    assert_eq!((answer.body.len(), answer.end), (1000, End::Fin));
}

#[test]
fn a_stalled_client_that_leaves_is_noticed() {
    let (server, answer) = getting_under(When::Always, Do::StallAfter(10));
    assert_eq!(answer.end, End::Silence);
    let soon = Duration::from_secs(5);
    assert!(server.wait_until(soon, |server| server.log()[0].ended.is_some()));
    assert!(server.wait_until(soon, |server| server.connections_open() == 0));
}

#[test]
fn a_region_cuts_its_first_visitors_where_it_begins() {
    let server = Server::start();
    let region = When::Region { range: 1_000_000..2_000_000, first: 2 };
    server.add("/f", File::new(content()).fault(region, Do::CloseAfter(500)));
    let got = ["0-", "0-999999", "2000000-", "1500000-", "0-", "1000000-"]
        .map(|range| Client::to(&server).range("/f", range).body.len());
    assert_eq!(got, [1_000_500, 1_000_000, 1_000_000, 500, 3_000_000, 2_000_000]);
}

#[test]
fn attempts_at_a_chunk_are_cut_until_there_were_enough() {
    let server = Server::start();
    let chunk = When::StartsIn { range: 1_000_000..2_000_000, first: 2 };
    server.add("/f", File::new(content()).fault(chunk, Do::CloseAfter(500)));
    let got = ["0-", "1000000-1999999", "1000500-1999999", "1001000-1999999"]
        .map(|range| Client::to(&server).range("/f", range).body.len());
    assert_eq!(got, [3_000_000, 500, 500, 999_000]);
}

#[test]
fn only_the_region_is_corrupted() {
    let region = When::Region { range: 10..20, first: u64::MAX };
    let (_server, answer) = getting_under(region, Do::Corrupt);
    assert!(answer.is_whole(200));
    let expected = content().inverted(10..20).bytes();
    assert_eq!(answer.body, expected);
}

#[test]
fn faults_of_the_body_add_up() {
    let server = Server::start();
    let region = When::Region { range: 0..100, first: 1 };
    let file = File::new(content())
        .fault(When::First(1), Do::WrongBody)
        .fault(region, Do::Corrupt)
        .fault(When::Always, Do::CloseAfter(200));
    server.add("/f", file);
    let answer = Client::to(&server).range("/f", "50-");
    let mut expected = content().inverted(0..50).bytes();
    expected.truncate(200);
    assert_eq!(answer.header("content-range"), Some("bytes 50-2999999/3000000"));
    assert_eq!(answer.body, expected);
}

#[test]
fn a_body_that_never_gets_to_the_cut_is_whole() {
    let (server, answer) = getting_under(When::Always, Do::ResetAfter(3_000_001));
    assert!(answer.is_whole(200));
    assert!(server.log()[0].complete);
}
