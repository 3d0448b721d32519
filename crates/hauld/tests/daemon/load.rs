//! What the API gives to an honest client, and a download, while others behave badly. Prints figures; asserts only that all
//! are answered.
//!
//! `cargo test --release -p hauld --locked --test daemon load:: -- --ignored --nocapture`

use std::fs;
use std::pin::pin;
use std::time::{Duration, Instant};

use haul_api::{Address, Client, JobQuery, Start, SubmitJob};
use haul_testkit::{Content, File, Server};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::support::{Daemon, MIB, say};

/// Connections whose peers send a byte a second.
const SLOW: usize = 256;

/// Requests with a body that is no JSON.
const BROKEN: usize = 10_000;

/// Clients that send them.
const BREAKERS: usize = 8;

/// Streams of events; every other one is never read.
const STREAMS: usize = 64;

/// Connections over TCP, and as many over the Unix socket: all that the daemon takes.
const CONNECTIONS: usize = 512;

/// The file that is fetched meanwhile, in bytes, and what each of its connections gets in a second.
const FILE: u64 = 256 * MIB;
const FILE_RATE: u64 = 2 * MIB;

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

/// Keeps a connection and asks for nothing; makes another one when it is closed.
async fn idle<S: AsyncRead + Unpin>(connect: impl AsyncFn() -> std::io::Result<S>) {
    loop {
        let Ok(mut stream) = connect().await else { continue };
        // An answer may come before the end.
        while let Ok(1..) = stream.read(&mut [0; 256]).await {}
    }
}

/// Follows all events; reads what comes, or nothing.
async fn follow(address: std::net::SocketAddr, token: String, reads: bool) {
    let mut stream = TcpStream::connect(address).await.expect("the daemon listens");
    let request = format!("GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = vec![0; 4096];
    loop {
        let read = stream.read(&mut answer).await.expect("it answers");
        assert!(read > 0, "the stream has ended");
        if !reads {
            std::future::pending::<()>().await;
        }
    }
}

/// Fetches the file anew; how long that takes.
async fn download(daemon: &Daemon, server: &Server, name: &str) -> Duration {
    server.add(name, File::new(Content::seeded(1, FILE)).rate_per_connection(FILE_RATE));
    let begun = Instant::now();
    let id = daemon.submit(&server.url(name)).await;
    daemon.completed(id).await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark: its figures are for eyes, and mean something in release mode only"]
async fn an_honest_client_among_slow_and_broken_ones() {
    let daemon = Daemon::with("log = \"info\"").await;
    let server = Server::start();
    let token = daemon.home().token();
    for n in 0..100 {
        let job = SubmitJob { start: Some(Start::Paused), ..SubmitJob::new(format!("http://files.example/{n}")) };
        daemon.submit_job(&job).await;
    }
    let address = Address::tcp(&format!("http://{}", daemon.tcp())).expect("an address");
    let client = Client::new(address, Some(&token)).expect("a client");
    let query = JobQuery { limit: Some(20), ..JobQuery::default() };
    client.jobs(&query).await.expect("it is answered");
    download(&daemon, &server, "/warm").await;
    let alone = download(&daemon, &server, "/alone").await;
    say(&format!("{} MiB alone: {alone:?}", FILE / MIB));

    let mut crowd: Vec<_> = (0..SLOW).map(|_| tokio::spawn(dawdle(daemon.tcp()))).collect();
    crowd.extend((0..STREAMS).map(|n| tokio::spawn(follow(daemon.tcp(), token.clone(), n % 2 == 0))));
    // The honest client and the test have one of each kind, and one may be on its way out.
    let taken = SLOW + STREAMS + BREAKERS + 4;
    let address = daemon.tcp();
    crowd.extend((taken..CONNECTIONS).map(|_| tokio::spawn(idle(move || TcpStream::connect(address)))));
    let socket = daemon.home().socket();
    for _ in 4..CONNECTIONS {
        let socket = socket.clone();
        crowd.push(tokio::spawn(idle(async move || UnixStream::connect(&socket).await)));
    }
    for round in 1..=3 {
        let before = resident_kib(&daemon);
        let breakers = (0..BREAKERS).map(|_| break_json(daemon.tcp(), token.clone(), BROKEN / BREAKERS));
        let breakers = tokio::spawn(futures_util::future::join_all(breakers));
        let name = format!("/round{round}");
        let mut among = pin!(download(&daemon, &server, &name));
        let mut times = Vec::new();
        let took = loop {
            let begun = Instant::now();
            client.jobs(&query).await.expect("it is answered");
            times.push(begun.elapsed());
            tokio::select! {
                took = &mut among => break took,
                () = tokio::time::sleep(Duration::from_millis(2)) => {}
            }
        };
        breakers.await.expect("all were answered");
        times.sort();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        let memory = format!("resident {before} to {} KiB", resident_kib(&daemon));
        let ratio = took.as_secs_f64() / alone.as_secs_f64();
        let lists = format!("{} lists, p50 {:?}, p99 {:?}", times.len(), at(50), at(99));
        say(&format!("round {round}: {lists}, {memory}, the file took {ratio:.3} times as long"));
    }
    // An end means that the daemon has thrown one out that it should have borne.
    assert!(crowd.iter().all(|task| !task.is_finished()), "a slow one or a stream has ended");
    crowd.iter().for_each(tokio::task::JoinHandle::abort);
}
