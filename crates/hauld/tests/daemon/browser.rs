//! A page of another origin, in a real Chromium, tries all that a page can.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haul_api::JobQuery;
use tempfile::TempDir;

use crate::support::{Daemon, chromium};

/// Longer than a browser takes to start and to load a page on a busy machine.
const PATIENCE: Duration = Duration::from_secs(50);

/// A running Chromium. It goes when the test ends.
struct Chromium {
    process: Child,
    _profile: TempDir,
}

impl Chromium {
    /// Opens a page. `None` on a machine that does not have it, which CI is not. The names `evil.test` and `rebound.test`
    /// mean this machine.
    fn open(url: &str) -> Option<Self> {
        let program = chromium()?;
        let profile = tempfile::tempdir().expect("a temporary directory");
        let process = Command::new(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--host-resolver-rules=MAP *.test 127.0.0.1"])
            .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
            .arg(url)
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Chromium can be started");
        Some(Self { process, _profile: profile })
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Its other processes end with the first one.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// What went through a [`forwarder`]: the head of each request, and the status of its answer.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// A port that leads to the daemon, and writes down what goes through.
fn forwarder(daemon: &Daemon) -> (u16, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (port, to, seen) = (listener.local_addr().expect("it is bound").port(), daemon.tcp(), Seen::default());
    let noted = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let noted = Arc::clone(&noted);
            std::thread::spawn(move || forward(&stream, to, &noted));
        }
    });
    (port, seen)
}

/// One request and its answer; the connection ends with it.
fn forward(mut stream: &TcpStream, to: std::net::SocketAddr, seen: &Seen) -> Option<()> {
    let (head, body) = read_message(stream)?;
    let mut inner = TcpStream::connect(to).ok()?;
    inner.write_all(head.as_bytes()).ok()?;
    inner.write_all(&body).ok()?;
    let (answer, body) = read_message(&inner)?;
    let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.lock().expect("nobody panics with it").push((head, status));
    // Otherwise the browser would send a second request here.
    let answer = answer.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    stream.write_all(answer.as_bytes()).ok()?;
    stream.write_all(&body).ok()
}

/// A request or an answer: its head, and what follows.
fn read_message(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        (reader.read_line(&mut head).ok()? > 0).then_some(())?;
    }
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// Serves the page at `/`, and takes what it reports at `/report`.
fn page(html: String) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let (report, reported) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (html, report) = (html.clone(), report.clone());
            std::thread::spawn(move || serve(&stream, &html, &report));
        }
    });
    (port, reported)
}

fn serve(mut stream: &TcpStream, html: &str, report: &Sender<String>) -> Option<()> {
    let (head, body) = read_message(stream)?;
    let html = if head.starts_with("POST /report") {
        report.send(String::from_utf8_lossy(&body).into_owned()).ok()?;
        ""
    } else {
        html
    };
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{html}",
        html.len()
    );
    stream.write_all(answer.as_bytes()).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn f_sec_01_02_03_a_page_of_another_origin_gets_nothing_done_and_learns_nothing() {
    let daemon = Daemon::start().await;
    let (port, seen) = forwarder(&daemon);
    // The page knows the token, which is more than it ever should: it must not help.
    let html = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/daemon/browser.html"))
        .expect("the page is part of the source")
        .replace("PORT", &port.to_string())
        .replace("TOKEN", &daemon.home().token());
    let (own, reported) = page(html);
    let Some(_chromium) = Chromium::open(&format!("http://evil.test:{own}/")) else { return };
    let report = tokio::task::block_in_place(|| reported.recv_timeout(PATIENCE)).expect("the page has reported");
    let report: std::collections::BTreeMap<String, String> = serde_json::from_str(&report).expect("JSON");
    for (attack, outcome) in &report {
        assert_eq!(outcome, "blocked", "{attack}: {report:#?}");
    }
    let names = ["fetch", "fetch-json", "fetch-token", "form", "frame", "image", "null-origin", "rebound", "websocket"];
    assert_eq!(report.keys().collect::<Vec<_>>(), names, "each was tried");

    let seen = seen.lock().expect("nobody panics with it").clone();
    let came = |what: &str, status: &str, fits: &dyn Fn(&str) -> bool| {
        let found: Vec<_> = seen.iter().filter(|(head, _)| fits(&head.to_ascii_lowercase())).collect();
        assert!(!found.is_empty(), "{what} has not come to the daemon: {seen:#?}");
        assert!(found.iter().all(|(_, got)| got == status), "{what} must get {status}: {found:#?}");
    };
    came("a simple POST", "403", &|head| head.starts_with("post ") && head.contains("text/plain"));
    came("a form", "403", &|head| head.starts_with("post ") && head.contains("x-www-form-urlencoded"));
    came("a preflight", "403", &|head| head.starts_with("options ") && head.contains("host: 127.0.0.1"));
    came("an image", "403", &|head| head.starts_with("get /v1/jobs?image"));
    came("a frame", "403", &|head| head.starts_with("get /v1/jobs?frame"));
    came("a sandboxed frame", "403", &|head| head.contains("origin: null"));
    came("a WebSocket", "403", &|head| head.contains("upgrade: websocket"));
    came("a name that was bound anew", "421", &|head| head.contains("host: rebound.test"));
    assert!(seen.iter().all(|(_, status)| matches!(&**status, "403" | "421")), "{seen:#?}");
    assert!(daemon.client().jobs(&JobQuery::default()).await.expect("a list").jobs.is_empty());
}
