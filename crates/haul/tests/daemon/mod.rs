//! A daemon that gives every request the same answer and remembers the last one with a body or a token.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A job whose name would clear the screen.
pub(crate) const JOB: &str = r#"{"id": 17, "url": "http://a/b", "state": "active", "waiting_for": null,
    "reason": null, "path": "/srv/a\u001b[2J.iso", "filename": "a\u001b[2J.iso", "total_bytes": 1000000000,
    "done_bytes": 340000000, "durable_bytes": 0, "speed": 87300000, "eta_seconds": 8,
    "connections": {"active": 1, "max": 32}, "chunks": {"done": 0, "total": 1}, "checksum": null,
    "verification": null, "resumable": null, "priority": 0, "bandwidth_limit": 0, "label": null,
    "created_at": "2026-11-05T10:00:00Z", "started_at": null, "finished_at": null}"#;

/// See the module. The thread behind it ends with the test process.
pub(crate) struct FakeDaemon {
    url: String,
    asked: Arc<Mutex<String>>,
}

impl FakeDaemon {
    pub(crate) fn start(status: &str, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let asked = Arc::new(Mutex::new(String::new()));
        let kind = if status.starts_with('2') { "application/json" } else { "application/problem+json" };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let remembered = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let request = read_request(&stream);
                *remembered.lock().expect("nobody panics with it") = request;
                (&stream).write_all(answer.as_bytes()).ok();
            }
        });
        Self { url, asked }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The last request, head and body.
    pub(crate) fn asked(&self) -> String {
        self.asked.lock().expect("nobody panics with it").clone()
    }
}

fn read_request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") && reader.read_line(&mut request).is_ok_and(|bytes| bytes > 0) {}
    let length = request
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok();
    request + &String::from_utf8_lossy(&body)
}
