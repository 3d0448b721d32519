//! A file is read while it comes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use haul_api::{SubmitJob, paths};
use haul_testkit::{Content, Do, File, Server, When};

use crate::support::{DEADLINE, Daemon, MIB, wait_until};

/// A reader, and what it has got so far.
struct Reader {
    stream: TcpStream,
    head: String,
    /// Of the body.
    bytes: Vec<u8>,
}

impl Reader {
    /// Asks and reads the head of the answer.
    fn of(daemon: &Daemon, id: u64, headers: &str) -> Self {
        let token = daemon.home().token();
        let mut stream = TcpStream::connect(daemon.tcp()).expect("the daemon listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let path = paths::job_content(id);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it is read");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head");
            head.extend(byte);
        }
        Self { stream, head: String::from_utf8(head).expect("plain text"), bytes: Vec::new() }
    }

    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    fn header(&self, name: &str) -> Option<&str> {
        let values = self.head.lines().filter_map(|line| line.split_once(": "));
        values.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Reads at least so many bytes of the body.
    fn read(&mut self, bytes: u64) -> &mut Self {
        let mut buffer = vec![0; 64 << 10];
        while (self.bytes.len() as u64) < bytes {
            let got = self.stream.read(&mut buffer).expect("more of the body");
            assert!(got > 0, "the body has ended after {} bytes", self.bytes.len());
            self.bytes.extend(&buffer[..got]);
        }
        self
    }

    /// Reads to the end, and tells whether that was the one that the head has promised.
    fn rest(&mut self) -> bool {
        self.stream.read_to_end(&mut self.bytes).ok();
        let promised = self.header("content-length").and_then(|length| length.parse().ok());
        promised == Some(self.bytes.len())
    }
}

fn slice(content: &Content, start: u64, end: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(end - start).expect("it fits into memory")];
    content.read(start, &mut bytes);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_file_is_served_whole_in_ranges_and_harmless_to_a_browser() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(1, 3 * MIB + 5);
    let page = File::new(content.clone()).content_type("text/html");
    server.add("/a%20b%22.html", page.header("Content-Disposition", "attachment; filename*=UTF-8''%C3%A4%20b.html"));
    let id = daemon.submit(&server.url("/a%20b%22.html")).await;
    daemon.completed(id).await;
    let mut all = Reader::of(&daemon, id, "");
    assert!(all.rest());
    assert_eq!((all.status(), all.bytes.as_slice()), (200, slice(&content, 0, content.len()).as_slice()));
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("content-disposition", "attachment; filename*=UTF-8''%C3%A4%20b.html"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox; frame-ancestors 'none'"),
        ("cross-origin-resource-policy", "same-origin"),
        ("accept-ranges", "bytes"),
    ] {
        assert_eq!(all.header(name), Some(value), "{name}");
    }
    for (range, start, end) in [
        ("bytes=5-9", 5, 10),
        ("bytes=-7", content.len() - 7, content.len()),
        ("bytes=3145728-", 3 * MIB, content.len()),
    ] {
        let mut part = Reader::of(&daemon, id, &format!("Range: {range}\r\n"));
        assert!(part.rest());
        assert_eq!((part.status(), part.bytes.as_slice()), (206, slice(&content, start, end).as_slice()), "{range}");
        let expected = format!("bytes {start}-{}/{}", end - 1, content.len());
        assert_eq!(part.header("content-range"), Some(expected.as_str()));
    }
    let beyond = Reader::of(&daemon, id, "Range: bytes=3145733-\r\n");
    assert_eq!((beyond.status(), beyond.header("content-range")), (416, Some("bytes */3145733")));
    let conditional = Reader::of(&daemon, id, "Range: bytes=5-9\r\nIf-Range: \"v1\"\r\n");
    assert_eq!(conditional.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_while_it_comes_and_what_is_waited_for_comes_first() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(2, 64 * MIB);
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\"").rate_per_connection(500_000));
    let job = SubmitJob { connections: Some(4), ..SubmitJob::new(server.url("/a.bin")) };
    let id = daemon.submit_job(&job).await;
    daemon.until(id, "it is fetched", |job| job.done_bytes > 0).await;
    // At the end of a quarter, which its connection would reach in half a minute.
    let at = 30 * MIB + 12_345;
    let asked = std::time::Instant::now();
    let mut part = Reader::of(&daemon, id, &format!("Range: bytes={at}-\r\n"));
    assert_eq!(part.status(), 206);
    part.read(300_000);
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    assert_eq!(part.bytes[..300_000], slice(&content, at, at + 300_000));
    drop(part);

    let mut all = Reader::of(&daemon, id, "");
    assert_eq!((all.status(), all.header("content-length")), (200, Some("67108864")));
    all.read(100_000);
    assert!(daemon.job(id).await.done_bytes < content.len(), "it is not complete yet");
    server.replace("/a.bin", File::new(content.clone()).etag("\"v1\""));
    server.reset_connections();
    assert!(all.rest());
    assert!(all.bytes == slice(&content, 0, content.len()), "every byte is right");
    daemon.completed(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_job_shows_what_is_there_and_the_reader_waits_for_the_rest() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(3, 16 * MIB);
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\"").rate_per_connection(2_000_000));
    let job = SubmitJob { connections: Some(1), ..SubmitJob::new(server.url("/a.bin")) };
    let id = daemon.submit_job(&job).await;
    daemon.until(id, "two megabytes are there", |job| job.done_bytes > 2 * MIB).await;
    daemon.client().pause(id).await.expect("it can be paused");
    wait_until("nobody works on it", async || (server.in_flight("/a.bin").0 == 0).then_some(())).await;
    let mut all = Reader::of(&daemon, id, "");
    assert_eq!(all.status(), 200);
    all.read(2 * MIB);
    daemon.client().resume(id).await.expect("it can go on");
    assert!(all.rest());
    assert!(all.bytes == slice(&content, 0, content.len()), "every byte is right");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_cut_off_where_the_job_fails_is_given_up_or_gets_another_file() {
    let (server, daemon) = (Server::start(), Daemon::with("retry_limit = 1").await);
    let content = Content::seeded(4, 16 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"").rate_per_connection(2_000_000);
    for (path, end) in [("/failed.bin", 0), ("/canceled.bin", 1), ("/changed.bin", 2), ("/deleted.bin", 3)] {
        server.add(path, file.clone());
        let job = SubmitJob { connections: Some(1), ..SubmitJob::new(server.url(path)) };
        let id = daemon.submit_job(&job).await;
        daemon.until(id, "it is fetched", |job| job.done_bytes > 0).await;
        let mut all = Reader::of(&daemon, id, "");
        all.read(100_000);
        match end {
            0 => {
                server.replace(path, file.clone().fault(When::Always, Do::status(500)));
                server.reset_connections();
            }
            1 => _ = daemon.client().cancel(id).await.expect("it can be given up"),
            2 => {
                server.replace(path, File::new(Content::seeded(5, 16 * MIB)).etag("\"v2\""));
                server.reset_connections();
            }
            _ => daemon.client().delete(id, haul_api::Files::Delete).await.expect("it can be deleted"),
        }
        assert!(!all.rest(), "{path}: it looks complete");
        assert!(all.bytes.len() >= 100_000);
        assert!(all.bytes == slice(&content, 0, all.bytes.len() as u64), "{path}: what came was right");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_a_length_is_served_to_its_end() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(6, 4 * MIB);
    server.add("/a.bin", File::new(content.clone()).chunked().rate_per_connection(2_000_000));
    let id = daemon.submit(&server.url("/a.bin")).await;
    daemon.until(id, "it is fetched", |job| job.done_bytes > 0).await;
    let token = daemon.home().token();
    let url = format!("http://{}{}", daemon.tcp(), paths::job_content(id));
    let answer = reqwest::Client::new().get(url).bearer_auth(token).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.content_length()), (200, None));
    assert!(answer.bytes().await.expect("all of it") == slice(&content, 0, content.len()), "every byte is right");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_not_put_together_from_two_streams() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(8, 4 * MIB);
    let file = File::new(content.clone()).chunked().rate_per_connection(1_000_000);
    server.add("/a.bin", file.fault(When::First(1), Do::ResetAfter(2 * MIB)));
    let id = daemon.submit(&server.url("/a.bin")).await;
    daemon.until(id, "it is fetched", |job| job.done_bytes > 0).await;
    let mut all = Reader::of(&daemon, id, "");
    all.rest();
    // What was sent before the stream broke and began anew is all that there is, and the last chunk is missing.
    assert!(!all.bytes.ends_with(b"0\r\n\r\n"), "it looks complete");
    daemon.completed(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_gone_wants_nothing_any_more_and_a_stopping_daemon_waits_for_none() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(7, 32 * MIB);
    server.add("/a.bin", File::new(content).etag("\"v1\"").rate_per_connection(100_000));
    let job = SubmitJob { connections: Some(1), ..SubmitJob::new(server.url("/a.bin")) };
    let id = daemon.submit_job(&job).await;
    daemon.until(id, "it is fetched", |job| job.done_bytes > 0).await;
    drop(Reader::of(&daemon, id, "Range: bytes=20000000-\r\n"));
    wait_until("its wish is withdrawn", async || daemon.log().contains("a reader has gone").then_some(())).await;
    let _waits = Reader::of(&daemon, id, "Range: bytes=30000000-\r\n");
    let (status, took) = daemon.terminate();
    assert!(status.success() && took < Duration::from_secs(3), "{status} after {took:?}");
}
