//! What the API gives to an honest client while others behave badly. Prints figures; asserts only that all are answered.
//!
//! `cargo test --release -p hauld --locked --test daemon load:: -- --ignored --nocapture`

use std::fs;
use std::time::{Duration, Instant};

use haul_api::{Address, Client, JobQuery, Start, SubmitJob};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Daemon, say};

/// Connections whose peers send a byte a second.
const SLOW: usize = 256;

/// Requests with a body that is no JSON.
const BROKEN: usize = 10_000;

/// Clients that send them.
const BREAKERS: usize = 8;

fn resident_kib(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.process())).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    line.trim().split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// Sends a head byte by byte, and begins anew when it is cut off.
async fn dawdle(address: std::net::SocketAddr) {
    loop {
        let Ok(mut stream) = TcpStream::connect(address).await else { continue };
        for byte in b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'a')) {
            if stream.write_all(std::slice::from_ref(byte)).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// One request after the other on a connection that is kept.
async fn break_json(address: std::net::SocketAddr, token: String, requests: usize) {
    let body = r#"{"url": "http://h/a", "headers": {"A": "b"#;
    let request = format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.expect("the daemon listens");
    let mut answer = vec![0; 4096];
    for _ in 0..requests {
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let read = stream.read(&mut answer).await.expect("it answers");
        assert!(answer[..read].starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer[..read]));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark: its figures are for eyes, and mean something in release mode only"]
async fn an_honest_client_among_slow_and_broken_ones() {
    let daemon = Daemon::with("log = \"info\"").await;
    let token = daemon.home().token();
    for n in 0..100 {
        let job = SubmitJob { start: Some(Start::Paused), ..SubmitJob::new(format!("http://files.example/{n}")) };
        daemon.submit_job(&job).await;
    }
    let slow: Vec<_> = (0..SLOW).map(|_| tokio::spawn(dawdle(daemon.tcp()))).collect();
    let address = Address::tcp(&format!("http://{}", daemon.tcp())).expect("an address");
    let client = Client::new(address, Some(&token)).expect("a client");
    let query = JobQuery { limit: Some(20), ..JobQuery::default() };
    client.jobs(&query).await.expect("it is answered");
    for round in 1..=3 {
        let before = resident_kib(&daemon);
        let breakers = (0..BREAKERS).map(|_| break_json(daemon.tcp(), token.clone(), BROKEN / BREAKERS));
        let breakers = tokio::spawn(futures_util::future::join_all(breakers));
        let mut times = Vec::new();
        while !breakers.is_finished() || times.len() < 200 {
            let begun = Instant::now();
            client.jobs(&query).await.expect("it is answered");
            times.push(begun.elapsed());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        breakers.await.expect("all were answered");
        times.sort();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        let memory = format!("resident {before} to {} KiB", resident_kib(&daemon));
        say(&format!("round {round}: {} lists, p50 {:?}, p99 {:?}, {memory}", times.len(), at(50), at(99)));
    }
    slow.iter().for_each(tokio::task::JoinHandle::abort);
}
