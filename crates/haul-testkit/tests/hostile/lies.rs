//! Faults of the answer.

use std::time::{Duration, Instant};

use haul_testkit::{Content, Do, File, Server, When};

use crate::client::{Answer, Client, End};

const LEN: u64 = 10_000;

fn content() -> Content {
    Content::seeded(2, LEN)
}

/// What a client gets that asks for the bytes 100 to 199.
fn asking_under(action: Do) -> (Server, Client, Answer) {
    let server = Server::start();
    let is_silent = matches!(action, Do::NeverAnswer | Do::ExtraBytes(_));
    let file = File::new(content()).etag("\"a\"");
    server.add("/f", file.fault(When::Always, action));
    let mut client = if is_silent { Client::expecting_silence(&server) } else { Client::to(&server) };
    let answer = client.range("/f", "100-199");
    (server, client, answer)
}

/// That the body is the content from `start` on.
fn assert_from(answer: &Answer, start: usize, len: usize) {
    assert_eq!(answer.body, content().bytes()[start..start + len]);
}

#[test]
fn a_status_comes_with_its_headers() {
    let (server, mut client, answer) = asking_under(Do::status_with(503, "Retry-After", "7"));
    assert!(answer.is_whole(503));
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(answer.header("etag"), None);
    assert_eq!(server.log()[0].covered(), 0..0);
    server.replace("/f", File::new(content()).fault(When::Always, Do::status(304)));
    assert!(!client.get("/f", "").headers.iter().any(|(name, _)| name == "content-length"));
}

#[test]
fn when_selects_among_requests() {
    let server = Server::start();
    let file = File::new(content())
        .fault(When::First(2), Do::status(503))
        .fault(When::Every(4), Do::status(429))
        .fault(When::After(5), Do::status(404));
    server.add("/f", file);
    let mut client = Client::to(&server);
    let statuses = [(); 8].map(|()| client.get("/f", "").status);
    assert_eq!(statuses, [503, 503, 200, 429, 200, 404, 404, 429]);
}

#[test]
fn a_connection_can_be_the_unlucky_one() {
    let server = Server::start();
    server.add("/f", File::new(content()).fault(When::Connection(2), Do::status(503)));
    let statuses = [(); 3].map(|()| {
        let mut client = Client::to(&server);
        [client.get("/f", "").status, client.get("/f", "").status]
    });
    assert_eq!(statuses, [[200, 200], [503, 503], [200, 200]]);
}

#[test]
fn a_region_can_have_a_status() {
    let server = Server::start();
    let region = When::Region { range: 150..160, first: 2 };
    server.add("/f", File::new(content()).fault(region, Do::status(503)));
    let mut client = Client::to(&server);
    let statuses = ["0-149", "100-199", "160-", "159-", "0-"].map(|r| client.range("/f", r).status);
    assert_eq!(statuses, [206, 503, 206, 503, 206]);
}

#[test]
fn attempts_at_a_chunk_are_counted_by_where_they_start() {
    let server = Server::start();
    let chunk = When::StartsIn { range: 100..200, first: 2 };
    server.add("/f", File::new(content()).fault(chunk, Do::status(503)));
    let mut client = Client::to(&server);
    let statuses = ["0-", "100-", "200-", "199-", "0-", "100-"].map(|r| client.range("/f", r).status);
    assert_eq!(statuses, [206, 503, 206, 503, 206, 206]);
}

#[test]
fn a_wrong_start_is_consistent_in_itself() {
    let (_server, mut client, answer) = asking_under(Do::WrongStart(30));
    assert!(answer.is_whole(206));
    assert_eq!(answer.header("content-range"), Some("bytes 130-199/10000"));
    assert_from(&answer, 130, 70);
    assert_from(&client.range("/f", "0-9"), 9, 1);

    let (_server, _client, answer) = asking_under(Do::WrongStart(-300));
    assert_eq!(answer.header("content-range"), Some("bytes 0-199/10000"));
    assert_from(&answer, 0, 200);
}

#[test]
fn a_wrong_body_has_a_right_header() {
    let (_server, _client, answer) = asking_under(Do::WrongBody);
    assert!(answer.is_whole(206));
    assert_eq!(answer.header("content-range"), Some("bytes 100-199/10000"));
    assert_from(&answer, 0, 100);
}

#[test]
fn a_content_range_can_be_missing_or_state_another_total() {
    let (_server, _client, answer) = asking_under(Do::MissingContentRange);
    assert!(answer.is_whole(206));
    assert_eq!(answer.header("content-range"), None);
    assert_from(&answer, 100, 100);

    let (_server, _client, answer) = asking_under(Do::WrongTotal(20_000));
    assert_eq!(answer.header("content-range"), Some("bytes 100-199/20000"));
    assert_from(&answer, 100, 100);
}

#[test]
fn a_part_can_be_wrapped_as_multipart() {
    let (server, mut client, answer) = asking_under(Do::Multipart);
    assert!(answer.is_whole(206));
    let content_type = answer.header("content-type");
    assert_eq!(content_type, Some("multipart/byteranges; boundary=haul-testkit"));
    assert_eq!(answer.header("content-range"), None);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("Content-Range: bytes 100-199/10000\r\n\r\n"));
    assert!(text.ends_with("\r\n--haul-testkit--\r\n"));
    assert_eq!(server.log()[0].sent, 100);
    assert!(client.range("/f", "0-0").is_whole(206));
}

#[test]
fn a_part_can_be_chunked() {
    let (_server, mut client, answer) = asking_under(Do::ChunkedRange);
    assert!(answer.is_whole(206));
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!(answer.header("content-length"), None);
    assert_from(&answer, 100, 100);
    assert_from(&client.range("/f", "0-9"), 0, 10);
}

#[test]
fn a_part_can_be_shorter_than_asked() {
    let (_server, mut client, answer) = asking_under(Do::ShortRange(40));
    assert!(answer.is_whole(206));
    assert_eq!(answer.header("content-range"), Some("bytes 100-139/10000"));
    assert_from(&answer, 100, 40);
    assert_from(&client.range("/f", "0-9"), 0, 10);
}

#[test]
fn the_whole_can_come_instead_of_a_part() {
    let (_server, _client, answer) = asking_under(Do::FullInstead);
    assert!(answer.is_whole(200));
    assert_eq!(answer.header("content-range"), None);
    assert_eq!(answer.header("etag"), Some("\"a\""));
    assert_from(&answer, 0, 10_000);
}

#[test]
fn a_portal_sends_html_without_validators() {
    let (server, _client, answer) = asking_under(Do::Html);
    assert!(answer.is_whole(200));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("etag"), None);
    assert!(answer.body.starts_with(b"<!DOCTYPE html>"));
    assert!(server.log()[0].complete);
}

#[test]
fn surplus_bytes_follow_the_declared_body() {
    let (server, mut client, answer) = asking_under(Do::ExtraBytes(5));
    assert!(answer.is_whole(206));
    assert_from(&answer, 100, 100);
    let mut rest = Vec::new();
    assert_eq!(client.rest(&mut rest), End::Silence);
    assert_eq!(rest, b"!!!!!");
    assert_eq!(server.bytes_sent("/f"), 100);
}

#[test]
fn headers_can_be_garbage_huge_or_contradictory() {
    let (_server, mut client, answer) = asking_under(Do::GarbageHeaders);
    assert_eq!((answer.status, answer.end), (206, End::Fin));
    assert_eq!(answer.header("content-length"), Some("banana"));
    assert_eq!(client.rest(&mut Vec::new()), End::Fin);

    let (_server, _client, answer) = asking_under(Do::HugeHeaders);
    assert!(answer.is_whole(206));
    assert!(answer.headers.iter().map(|(_, value)| value.len()).sum::<usize>() >= 1 << 20);
    assert_from(&answer, 100, 100);

    let (_server, _client, answer) = asking_under(Do::TwoLengths);
    let lengths = answer.headers.iter().filter(|(name, _)| name == "content-length");
    let lengths: Vec<_> = lengths.map(|(_, value)| value.as_str()).collect();
    assert_eq!(lengths, ["100", "110"]);
    assert_from(&answer, 100, 100);
}

#[test]
fn an_answer_can_be_missing() {
    let (server, client, answer) = asking_under(Do::NeverAnswer);
    assert_eq!((answer.status, answer.end), (0, End::Silence));
    let log = server.log();
    assert_eq!((log[0].status, log[0].complete, log[0].ended), (0, false, None));
    drop(client);
    let soon = Duration::from_secs(5);
    assert!(server.wait_until(soon, |server| server.log()[0].ended.is_some()));

    let (_server, _client, answer) = asking_under(Do::HangUp);
    assert_eq!((answer.status, answer.end), (0, End::Fin));
}

#[test]
fn an_answer_can_be_late() {
    let server = Server::start();
    let late = Do::Delay(Duration::from_millis(100));
    let file = File::new(content()).delay(Duration::from_millis(100));
    server.add("/f", file.fault(When::First(1), late));
    let mut client = Client::to(&server);
    let [first, second] = [(); 2].map(|()| {
        let started = Instant::now();
        assert!(client.get("/f", "").is_whole(200));
        started.elapsed().as_millis()
    });
    assert!(first >= 200, "{first} ms");
    assert!((100..first).contains(&second), "{second} ms");
}

#[test]
fn lies_about_ranges_leave_other_answers_alone() {
    let server = Server::start();
    for action in [Do::WrongStart(3), Do::Multipart, Do::ShortRange(1), Do::FullInstead] {
        server.add("/f", File::new(content()).fault(When::Always, action));
        let mut client = Client::to(&server);
        assert_from(&client.get("/f", ""), 0, 10_000);
        assert!(client.range("/f", "10000-").is_whole(416));
    }
}
