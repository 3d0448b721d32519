//! The client against a server that answers from a script and tells what it was asked.

use std::error::Error as _;

use haul_api::{Address, Client, ClientError, Files, JobQuery, JobState, Limits, ProblemCode, SubmitJob};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

const TOKEN: &str = "t0ken-s3cret";

const JOB: &str = r#"{"id": 17, "url": "http://a/b", "state": "active", "waiting_for": null,
    "reason": null, "path": null, "filename": null, "total_bytes": null, "done_bytes": 0,
    "durable_bytes": 0, "speed": 0, "eta_seconds": null, "connections": {"active": 1, "max": 32},
    "chunks": {"done": 0, "total": 1}, "checksum": null, "verification": null,
    "resumable": null, "priority": 0, "bandwidth_limit": 0, "label": null,
    "created_at": "2026-11-05T10:00:00Z", "started_at": null, "finished_at": null}"#;

#[tokio::test]
async fn a_submit_posts_json_with_the_token() {
    let (client, asked) = tcp("201 Created", "application/json", JOB).await;
    let job = client.submit(&SubmitJob::new("http://a/b")).await;
    assert_eq!(job.expect("the script accepts").id, 17);
    let asked = asked.await.expect("the server ends");
    assert!(asked.starts_with("POST /v1/jobs HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("content-type: application/json\r\n"), "{asked}");
    assert!(asked.contains(&format!("authorization: Bearer {TOKEN}\r\n")));
    assert!(asked.ends_with(r#"{"url":"http://a/b"}"#), "{asked}");
}

#[tokio::test]
async fn methods_ask_for_their_routes() {
    let list = r#"{"jobs": [], "next_cursor": null}"#;
    let (client, asked) = tcp("200 OK", "application/json", list).await;
    let query = JobQuery { states: vec![JobState::Active], limit: Some(5), ..JobQuery::default() };
    let page = client.jobs(&query).await.expect("a page");
    assert!(page.jobs.is_empty());
    assert_asked(asked, "GET /v1/jobs?state=active&limit=5 ").await;

    let (client, asked) = tcp("200 OK", "application/json", JOB).await;
    client.wait(17, 999, Some(JobState::Queued)).await.expect("a job");
    assert_asked(asked, "GET /v1/jobs/17?wait=60&state=queued ").await;

    let (client, asked) = tcp("200 OK", "application/json", JOB).await;
    client.cancel(17).await.expect("a job");
    assert_asked(asked, "POST /v1/jobs/17/cancel ").await;

    let (client, asked) = tcp("204 No Content", "application/json", "").await;
    client.delete(17, Files::Delete).await.expect("no content");
    assert_asked(asked, "DELETE /v1/jobs/17?files=delete ").await;

    let (client, asked) = tcp("204 No Content", "application/json", "").await;
    client.forget_host("http://a.example:8080").await.expect("no content");
    assert_asked(asked, "DELETE /v1/hosts/http%3A%2F%2Fa.example%3A8080 ").await;

    let (client, asked) = tcp("200 OK", "application/json", r#"{"summary": "paused", "reasons": []}"#).await;
    client.why(17).await.expect("an answer");
    assert_asked(asked, "GET /v1/jobs/17/why ").await;

    let (client, asked) = tcp("200 OK", "application/json", "{}").await;
    let error = client.patch_settings(&Limits::default()).await;
    assert!(matches!(error, Err(ClientError::Unexpected { status: 200, .. })));
    assert_asked(asked, "PATCH /v1/settings ").await;
}

#[tokio::test]
async fn the_unix_socket_needs_no_token() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("haul.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let asked = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        answer(stream, "200 OK", "application/json", JOB).await
    });
    let client = client(Address::Unix(path), None);
    assert_eq!(client.job(17).await.expect("a job").state, JobState::Active);
    let asked = asked.await.expect("the server ends");
    assert!(asked.starts_with("GET /v1/jobs/17 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("host: localhost\r\n"), "{asked}");
    assert!(!asked.contains("authorization"), "{asked}");
}

#[tokio::test]
async fn a_problem_keeps_its_code_and_detail() {
    let body = r#"{"type": "urn:haul:problem:job-not-found", "title": "x", "status": 404,
        "detail": "no job has the id 17", "code": "job-not-found"}"#;
    let (client, _asked) = tcp("404 Not Found", "application/problem+json", body).await;
    let error = client.pause(17).await.expect_err("no such job");
    assert_eq!(error.to_string(), "no job has the id 17");
    let ClientError::Problem(problem) = error else {
        panic!("the body is a problem: {error:?}");
    };
    assert_eq!(problem.known_code(), Some(ProblemCode::JobNotFound));
}

#[tokio::test]
async fn another_server_on_the_port_is_recognised() {
    for (status, code) in [("200 OK", 200), ("404 Not Found", 404), ("302 Found", 302)] {
        let headers = "text/html\r\nlocation: /elsewhere";
        let (client, _asked) = tcp(status, headers, "<html>").await;
        let error = client.stats().await.expect_err("html");
        let ClientError::Unexpected { status, .. } = error else {
            panic!("not ours: {error:?}");
        };
        assert_eq!(status, code);
    }
}

#[tokio::test]
async fn not_being_ready_is_an_answer() {
    let body = r#"{"ready": false, "reasons": ["the disk is full"]}"#;
    let (client, _asked) = tcp("503 Service Unavailable", "application/json", body).await;
    let readiness = client.ready().await.expect("an answer");
    assert!(!readiness.ready);
    assert_eq!(readiness.reasons, ["the disk is full"]);
}

#[tokio::test]
async fn a_daemon_that_does_not_run_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let tcp = client(tcp_address(port), Some(TOKEN));
    let unix = client(Address::Unix("/nonexistent/haul.sock".into()), None);
    for client in [tcp, unix] {
        let error = client.stats().await.expect_err("nobody listens");
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with("cannot reach the daemon at "), "{text}");
        let source = error.source().expect("the cause is kept").to_string();
        assert!(!source.contains("/v1/stats"), "{source}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_interrupted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = tcp_address(listener.local_addr().expect("bound").port());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
        read_request(&mut stream).await;
        stream.write_all(head).await.expect("the client reads");
    });
    let error = client(address, None).stats().await.expect_err("cut");
    server.await.expect("the server ends");
    assert!(matches!(error, ClientError::Interrupted { .. }), "{error:?}");
}

#[tokio::test]
async fn f_sec_05_the_token_is_nowhere_to_be_seen() {
    let client = client(tcp_address(1), Some(TOKEN));
    let error = client.stats().await.expect_err("nobody listens on port 1");
    for shown in [format!("{client:?}"), format!("{error:?}"), error.to_string()] {
        assert!(!shown.contains(TOKEN), "{shown}");
    }
    let error = Client::new(tcp_address(1), Some("s3cret\n")).expect_err("a newline");
    assert!(matches!(error, ClientError::InvalidToken));
    assert!(!format!("{error:?} {error}").contains("s3cret"));
}

fn client(address: Address, token: Option<&str>) -> Client {
    // The second test to come here finds it installed, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::new(address, token).expect("a good address and token")
}

fn tcp_address(port: u16) -> Address {
    Address::tcp(&format!("http://127.0.0.1:{port}")).expect("a good address")
}

/// A client of a server that answers once; the task ends with what it was asked.
async fn tcp(status: &'static str, media_type: &'static str, body: &'static str) -> (Client, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = tcp_address(listener.local_addr().expect("bound").port());
    let asked = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        answer(stream, status, media_type, body).await
    });
    (client(address, Some(TOKEN)), asked)
}

async fn assert_asked(asked: JoinHandle<String>, start: &str) {
    let asked = asked.await.expect("the server ends");
    assert!(asked.starts_with(start), "{asked}");
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, status: &str, media_type: &str, body: &str) -> String {
    let asked = read_request(&mut stream).await;
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await.expect("the client reads");
    asked
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().expect("a number"));
            if body.len() >= length {
                return text;
            }
        }
        let read = stream.read_buf(&mut bytes).await.expect("the client writes");
        assert_ne!(read, 0, "the client hung up: {text}");
    }
}
