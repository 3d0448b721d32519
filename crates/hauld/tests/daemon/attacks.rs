//! Bad input gets the right refusal, and no secret leaves.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use haul_api::{Address, Client, JobState, NewToken, Scope, Start, SubmitJob};
use haul_testkit::{Content, Do, File, Server, When};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::{Answer, Daemon, MIB, seed};

/// The head of a request; `Host`, the token and the rest are said only when a test leaves them as they are.
struct Request {
    line: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request that is right, with the token.
    fn new(line: &'static str, daemon: &Daemon) -> Self {
        let token = format!("Bearer {}", daemon.home().token());
        let headers = vec![("Host", "127.0.0.1".to_owned()), ("Authorization", token)];
        Self { line, headers, body: Vec::new() }
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    fn and(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        self.without(name).and(name, value)
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn json(self, body: impl Into<Vec<u8>>) -> Self {
        self.with("Content-Type", "application/json").body(body)
    }

    fn send(&self, daemon: &Daemon) -> Answer {
        let mut bytes = format!("{} HTTP/1.1\r\nConnection: close\r\n", self.line).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        if !self.body.is_empty() {
            bytes.extend(format!("Content-Length: {}\r\n", self.body.len()).into_bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        daemon.raw(bytes)
    }

    /// Asserts that it is refused like this.
    fn is_refused(&self, daemon: &Daemon, status: u16, code: &str, field: Option<&str>) {
        let shown = String::from_utf8_lossy(&self.body[..self.body.len().min(80)]).into_owned();
        let what = format!("{} {shown} must be refused with {status} {code}", self.line);
        let answer = self.send(daemon);
        let problem = answer.problem(&what);
        assert_eq!((problem.status, problem.code.as_ref()), (status, code), "{what}: {problem:?}");
        assert_eq!(problem.field.as_deref(), field, "{what}: {problem:?}");
        assert!(!answer.body.contains("canary"), "{what}: a value is repeated: {}", answer.body);
        assert!(!answer.head.to_ascii_lowercase().contains("access-control"), "{what}: {}", answer.head);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "F-SEC-26, {what}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "F-SEC-26, {what}");
    }
}

const SUBMIT: &str = "POST /v1/jobs";

#[tokio::test]
async fn f_api_02_10_f_sec_09_16_17_a_bad_job_is_refused_with_its_code_and_field() {
    let daemon = Daemon::start().await;
    for (body, status, code, field) in [
        (r#"{"url": "http://h/a", "conections": 4}"#, 422, "unknown-field", Some("conections")),
        (r#"{"url": "http://h/a", "proxies": "http://canary"}"#, 422, "unknown-field", Some("proxies")),
        (r#"{"url": "http://h/a", "proxy": "ftp://canary"}"#, 422, "invalid-value", Some("proxy")),
        (r#"{"url": "http://h/a", "proxy": "http:canary"}"#, 422, "invalid-value", Some("proxy")),
        (r#"{"url": "not a URL canary"}"#, 422, "invalid-url", Some("url")),
        (r#"{"url": ""}"#, 422, "invalid-url", Some("url")),
        (r#"{"url": "http://"}"#, 422, "invalid-url", Some("url")),
        (r#"{"url": "http://h/a\nb"}"#, 422, "invalid-url", Some("url")),
        (r#"{"url": "file:///etc/passwd"}"#, 422, "invalid-url", Some("url")),
        (r#"{"url": "ftp://canary@h/a"}"#, 422, "invalid-url", Some("url")),
        (r#"{"url": "javascript:canary"}"#, 422, "invalid-url", Some("url")),
        (r#"{"url": 5}"#, 422, "invalid-value", Some("url")),
        (r#"{}"#, 422, "invalid-value", Some("url")),
        (r#"{"url": "http://h/a", "connections": "canary"}"#, 422, "invalid-value", Some("connections")),
        (r#"{"url": "http://h/a", "connections": 0}"#, 422, "invalid-value", Some("connections")),
        (r#"{"url": "http://h/a", "priority": 1e300}"#, 422, "invalid-value", Some("priority")),
        (r#"{"url": "http://h/a", "size": -1}"#, 422, "invalid-value", Some("size")),
        (r#"{"url": "http://h/a", "checksum": "md5:canary"}"#, 422, "invalid-value", Some("checksum")),
        (r#"{"url": "http://h/a", "dir": "/etc"}"#, 403, "path-outside-roots", Some("dir")),
        (r#"{"url": "http://h/a", "dir": "../canary"}"#, 403, "path-outside-roots", Some("dir")),
        (r#"{"url": "http://h/a", "dir": "a/../../b"}"#, 403, "path-outside-roots", Some("dir")),
        (r#"{"url": "http://h/a", "dir": "a\u0000b"}"#, 403, "path-outside-roots", Some("dir")),
        (r#"{"url": "http://h/a", "filename": "../canary"}"#, 422, "invalid-filename", Some("filename")),
        (r#"{"url": "http://h/a", "filename": ".."}"#, 422, "invalid-filename", Some("filename")),
        (r#"{"url": "http://h/a", "filename": ""}"#, 422, "invalid-filename", Some("filename")),
        (r#"{"url": "http://h/a", "filename": "a\u0000b"}"#, 422, "invalid-filename", Some("filename")),
        (r#"{"url": "http://h/a", "headers": {"Host": "canary"}}"#, 422, "header-not-allowed", Some("headers")),
        (r#"{"url": "http://h/a", "headers": {"X": "canary\r\nY: 1"}}"#, 422, "header-not-allowed", Some("headers")),
        (r#"{"url": "http://h/a", "headers": {"canary x": "1"}}"#, 422, "header-not-allowed", Some("headers")),
        (r#"{"jobs": 3}"#, 422, "invalid-value", Some("jobs")),
        (r#"["http://h/a"]"#, 422, "invalid-value", None),
        (r#""http://h/a""#, 422, "invalid-value", None),
        (r#"{"url": "http://h/a",}"#, 400, "malformed-json", None),
        (r#"canary"#, 400, "malformed-json", None),
    ] {
        Request::new(SUBMIT, &daemon).json(body).is_refused(&daemon, status, code, field);
    }
    Request::new(SUBMIT, &daemon).json(b"{\"url\": \"\xff\xfe\"}").is_refused(&daemon, 400, "malformed-json", None);
    Request::new(SUBMIT, &daemon).json("[".repeat(100_000)).is_refused(&daemon, 400, "malformed-json", None);
    let nested = format!("{{\"url\": {}1{}}}", "[".repeat(120), "]".repeat(120));
    Request::new(SUBMIT, &daemon).json(nested).is_refused(&daemon, 422, "invalid-value", Some("url"));
    let list = Request::new(SUBMIT, &daemon).with("Content-Type", "text/uri-list");
    list.body(b"http://\xff/".to_vec()).is_refused(&daemon, 422, "invalid-url", None);
    assert!(daemon.client().jobs(&haul_api::JobQuery::default()).await.expect("a list").jobs.is_empty());
}

#[tokio::test]
async fn f_api_09_10_f_sec_02_other_routes_refuse_bad_input_as_precisely() {
    let daemon = Daemon::start().await;
    let job = SubmitJob { start: Some(Start::Paused), ..SubmitJob::new("http://127.0.0.1:9/a") };
    assert_eq!(daemon.submit_job(&job).await, 1);
    let get = |line| Request::new(line, &daemon);
    for (line, status, code, field) in [
        ("GET /v1/jobs/2", 404, "job-not-found", None),
        ("GET /v1/jobs/canary", 404, "job-not-found", None),
        ("GET /v1/jobs/99999999999999999999999", 404, "job-not-found", None),
        ("GET /v1/jobs/-1", 404, "job-not-found", None),
        ("GET /v1/jobs/%ff", 404, "job-not-found", None),
        ("POST /v1/jobs/2/pause", 404, "job-not-found", None),
        ("DELETE /v1/jobs/2", 404, "job-not-found", None),
        ("GET /v1/jobs/2/chunks", 404, "job-not-found", None),
        ("GET /v1/jobs?limit=0", 422, "invalid-value", Some("limit")),
        ("GET /v1/jobs?limit=canary", 422, "invalid-value", Some("limit")),
        ("GET /v1/jobs?state=canary", 422, "invalid-value", Some("state")),
        ("GET /v1/jobs?cursor=canary", 422, "invalid-value", Some("cursor")),
        ("GET /v1/jobs?page=2", 422, "unknown-field", Some("page")),
        ("GET /v1/jobs/1?wait=canary", 422, "invalid-value", Some("wait")),
        ("DELETE /v1/jobs/1?files=canary", 422, "invalid-value", Some("files")),
        ("GET /v1/nothing", 404, "not-found", None),
        ("GET /assets/nothing.js", 404, "not-found", None),
        ("POST /", 405, "method-not-allowed", None),
        ("PUT /v1/jobs", 405, "method-not-allowed", None),
        ("DELETE /v1/jobs", 405, "method-not-allowed", None),
        ("GET /v1/jobs/1/pause", 405, "method-not-allowed", None),
        ("OPTIONS /v1/jobs", 405, "method-not-allowed", None),
    ] {
        get(line).is_refused(&daemon, status, code, field);
    }
    for (line, body, status, code, field) in [
        ("PATCH /v1/jobs/1", r#"{"prio": 1}"#, 422, "unknown-field", Some("prio")),
        ("PATCH /v1/jobs/1", r#"{"priority": null}"#, 422, "invalid-value", Some("priority")),
        ("PATCH /v1/jobs/1", r#"{"priority": 101}"#, 422, "invalid-value", Some("priority")),
        ("PATCH /v1/jobs/1", r#"{"connections": 65}"#, 422, "invalid-value", Some("connections")),
        ("PATCH /v1/jobs/1", r#"{"bandwidth_limit": -1}"#, 422, "invalid-value", Some("bandwidth_limit")),
        ("PATCH /v1/jobs/1", r#"{"label": "canary\u0007"}"#, 422, "invalid-value", Some("label")),
        ("PATCH /v1/settings", r#"{"listen": "0.0.0.0:1"}"#, 422, "unknown-field", Some("listen")),
        ("PATCH /v1/settings", r#"{"max_active_jobs": 0}"#, 422, "invalid-value", Some("max_active_jobs")),
        (
            "PATCH /v1/settings",
            r#"{"bandwidth_limit": 18446744073709551615}"#,
            422,
            "invalid-value",
            Some("bandwidth_limit"),
        ),
        (
            "PATCH /v1/settings",
            r#"{"bandwidth_schedule": [{"from": "08:00", "to": "09:00", "bandwidth_limit": 1},
                {"from": "canary", "to": "09:00", "bandwidth_limit": 1}]}"#,
            422,
            "invalid-value",
            Some("bandwidth_schedule[1].from"),
        ),
        (
            "PATCH /v1/settings",
            r#"{"labels": {"iso": {"bandwidth_limit": "canary"}}}"#,
            422,
            "invalid-value",
            Some("labels.iso.bandwidth_limit"),
        ),
        ("PATCH /v1/settings", r#"{"labels": {"canary\u0007": null}}"#, 422, "invalid-value", Some("labels")),
        ("PATCH /v1/settings", "", 400, "malformed-json", None),
        ("PUT /v1/log-level", r#"{"log": "canary"}"#, 422, "invalid-value", Some("log")),
        ("PUT /v1/log-level", r#"{"log": "info,canary=canary"}"#, 422, "invalid-value", Some("log")),
        ("PUT /v1/log-level", r#"{"log": 5}"#, 422, "invalid-value", Some("log")),
        ("PUT /v1/log-level", r#"{"level": "info"}"#, 422, "unknown-field", Some("level")),
        ("POST /v1/jobs/1/pause", "x", 413, "body-too-large", None),
    ] {
        get(line).json(body).is_refused(&daemon, status, code, field);
    }
    assert_eq!(daemon.job(1).await.state, JobState::Paused, "nothing of that has changed anything");
}

#[tokio::test]
async fn hosts_with_weird_names_are_refused_as_precisely() {
    let daemon = Daemon::start().await;
    let get = |line| Request::new(line, &daemon);
    for line in [
        "GET /v1/hosts/%2F",
        "GET /v1/hosts/a%2F..%2F..%2Fetc%2Fpasswd",
        "GET /v1/hosts/%252F",
        "GET /v1/hosts/%00",
        "GET /v1/hosts/%ff",
        "GET /v1/hosts/%20",
        "GET /v1/hosts/a%0D%0AX-Canary:%201",
        "GET /v1/hosts/https%3A%2F%2Fme%3Acanary%40h.example",
        "GET /v1/hosts/https%3A%2F%2Fh.example%2Fcanary",
        "GET /v1/hosts/h.example%3Fcanary",
        "GET /v1/hosts/h.example%3A99999",
        "GET /v1/hosts/ftp%3A%2F%2Fh.example",
        "GET /v1/hosts/javascript%3Acanary",
        "DELETE /v1/hosts/file%3A%2F%2F%2Fetc",
        "DELETE /v1/hosts/'%3B%20DROP%20TABLE%20hosts%3B--",
    ] {
        get(line).is_refused(&daemon, 422, "invalid-value", Some("host"));
    }
    for (line, status, code, field) in [
        ("GET /v1/hosts/h.example", 404, "host-not-found", None),
        ("GET /v1/hosts/https%3A%2F%2Fh.example%3A443", 404, "host-not-found", None),
        ("DELETE /v1/hosts/h.example", 404, "host-not-found", None),
        ("GET /v1/hosts/", 404, "not-found", None),
        ("GET /v1/hosts/https://h.example", 404, "not-found", None),
        ("GET /v1/hosts/../settings", 404, "not-found", None),
        ("GET /v1/hosts?limit=0", 422, "invalid-value", Some("limit")),
        ("GET /v1/hosts?state=active", 422, "unknown-field", Some("state")),
        ("POST /v1/hosts", 405, "method-not-allowed", None),
        ("POST /v1/hosts/h.example", 405, "method-not-allowed", None),
        ("GET /v1/jobs/2/why", 404, "job-not-found", None),
        ("GET /v1/jobs/canary/why", 404, "job-not-found", None),
        ("POST /v1/jobs/1/why", 405, "method-not-allowed", None),
    ] {
        get(line).is_refused(&daemon, status, code, field);
    }
    const PATCH: &str = "PATCH /v1/hosts/h.example";
    for (body, status, code, field) in [
        (r#"{"cap": 1}"#, 422, "unknown-field", Some("cap")),
        (r#"{"connections": 0}"#, 422, "invalid-value", Some("connections")),
        (r#"{"connections": 65}"#, 422, "invalid-value", Some("connections")),
        (r#"{"connections": "canary"}"#, 422, "invalid-value", Some("connections")),
        (r#"{"bandwidth_limit": -1}"#, 422, "invalid-value", Some("bandwidth_limit")),
        (r#"{"bandwidth_limit": 18446744073709551615}"#, 422, "invalid-value", Some("bandwidth_limit")),
        (r#"{"blocked": true}"#, 422, "invalid-value", Some("blocked")),
        (r#"{"blocked": null}"#, 422, "invalid-value", Some("blocked")),
        (r#"{"blocked": false}"#, 404, "host-not-found", None),
        (r#"{"connections": null, "bandwidth_limit": 0}"#, 404, "host-not-found", None),
        (r#"[]"#, 422, "invalid-value", None),
        ("", 400, "malformed-json", None),
    ] {
        get(PATCH).json(body).is_refused(&daemon, status, code, field);
    }
    get(PATCH).with("Content-Type", "text/plain").body("{}").is_refused(&daemon, 415, "unsupported-media-type", None);
    for line in ["GET /v1/hosts", "GET /v1/hosts/h.example", "DELETE /v1/hosts/h.example", "GET /v1/jobs/1/why", PATCH]
    {
        get(line).without("Authorization").is_refused(&daemon, 401, "unauthorized", None);
        get(line).and("Origin", "http://evil.example").is_refused(&daemon, 403, "origin-not-allowed", None);
    }
    let hosts = daemon.client().hosts(&haul_api::HostQuery::default()).await.expect("a list");
    assert!(hosts.hosts.is_empty(), "nothing of that has left a trace: {hosts:?}");
}

#[tokio::test]
async fn f_sec_01_03_05_f_api_03_12_strangers_are_refused_before_anything_else() {
    let daemon = Daemon::start().await;
    let good = || Request::new("GET /v1/jobs", &daemon);
    assert_eq!(good().send(&daemon).status, 200);
    let token = daemon.home().token();

    for authorization in ["", "Bearer", "Bearer ", "Bearer canary", "Basic canary", &format!("Bearer {token}canary")] {
        good().with("Authorization", authorization).is_refused(&daemon, 401, "unauthorized", None);
    }
    good().without("Authorization").is_refused(&daemon, 401, "unauthorized", None);
    let in_url = format!("GET /v1/jobs?token={token}");
    let answer = daemon.raw(format!("{in_url} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    assert_eq!(answer.status, 401, "F-SEC-05: a token in a URL is none");

    for host in ["evil.example", "evil.example:4285", "127.0.0.1.evil.example", "localhost.evil.example", ""] {
        good().with("Host", host).is_refused(&daemon, 421, "host-not-allowed", None);
        // The health routes, too: they tell a web page that haul is here.
        Request::new("GET /healthz", &daemon).with("Host", host).is_refused(&daemon, 421, "host-not-allowed", None);
    }
    good().without("Host").is_refused(&daemon, 421, "host-not-allowed", None);
    let stranger = good().with("Host", "evil.example").without("Authorization").and("Origin", "null");
    stranger.is_refused(&daemon, 421, "host-not-allowed", None);
    for origin in
        ["null", "http://evil.example", "https://localhost.evil.example", "http://localhost:3000", "file://", ""]
    {
        good().and("Origin", origin).is_refused(&daemon, 403, "origin-not-allowed", None);
    }
    good().and("Sec-Fetch-Site", "cross-site").is_refused(&daemon, 403, "origin-not-allowed", None);
    for origin in ["chrome-extension://abcdef", "http://127.0.0.1"] {
        assert_eq!(good().and("Origin", origin).send(&daemon).status, 200, "{origin}");
        let stranger = good().without("Authorization").and("Origin", origin);
        stranger.is_refused(&daemon, 401, "unauthorized", None);
    }
    good().and("Host", "localhost").is_refused(&daemon, 422, "invalid-value", None);
    good().and("Authorization", "Bearer canary").is_refused(&daemon, 422, "invalid-value", None);
    good().and("Origin", "null").and("Origin", "http://localhost").is_refused(&daemon, 422, "invalid-value", None);

    // A form or a script of a foreign page can send these without being asked (F-API-03).
    for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        let post = Request::new(SUBMIT, &daemon).with("Content-Type", media).body(r#"{"url": "http://h/a"}"#);
        post.is_refused(&daemon, 415, "unsupported-media-type", None);
    }
    let bare = Request::new(SUBMIT, &daemon).body(r#"{"url": "http://h/a"}"#);
    bare.is_refused(&daemon, 415, "unsupported-media-type", None);
    let patch = Request::new("PATCH /v1/settings", &daemon).with("Content-Type", "text/plain").body("{}");
    patch.is_refused(&daemon, 415, "unsupported-media-type", None);
    assert!(daemon.client().jobs(&haul_api::JobQuery::default()).await.expect("a list").jobs.is_empty());
}

#[tokio::test]
async fn f_sec_03_an_upgrade_from_a_foreign_page_is_refused_before_anything() {
    let daemon = Daemon::start().await;
    for path in ["GET /jsonrpc", "GET /v1/events", "GET /v1/jobs", "GET /healthz"] {
        let handshake = || {
            let request = Request::new(path, &daemon).and("Upgrade", "websocket").and("Sec-WebSocket-Version", "13");
            request.and("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        };
        for origin in ["http://evil.example", "null", "http://localhost:1", "https://127.0.0.1"] {
            handshake().and("Origin", origin).is_refused(&daemon, 403, "origin-not-allowed", None);
        }
        handshake().with("Host", "evil.example").is_refused(&daemon, 421, "host-not-allowed", None);
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_or_has_too_many_lines_is_refused() {
    let daemon = Daemon::start().await;
    let head = |lines: &str| format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n");
    assert_eq!(daemon.raw(head("")).status, 200);
    assert_eq!(daemon.raw(head(&"X-A: b\r\n".repeat(90))).status, 200);
    assert_eq!(daemon.raw(head(&"X-A: b\r\n".repeat(200))).status, 431, "too many lines");
    assert_eq!(daemon.raw(head(&format!("X-A: {}\r\n", "b".repeat(300_000)))).status, 431, "too long a line");
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "a".repeat(300_000));
    assert!(matches!(daemon.raw(long).status, 414 | 431), "too long a path");
}

#[tokio::test]
async fn f_sec_02_26_every_answer_keeps_browsers_away_and_sets_no_cookie() {
    let daemon = Daemon::start().await;
    for line in ["GET /v1/jobs", "GET /v1/jobs/7", "GET /healthz", "GET /nothing", "POST /v1/jobs", "OPTIONS /v1/jobs"]
    {
        for request in [Request::new(line, &daemon), Request::new(line, &daemon).with("Host", "evil.example")] {
            let answer = request.send(&daemon);
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
                ("cross-origin-resource-policy", "same-origin"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(answer.header(name), Some(value), "{line}: {answer:?}");
            }
            for name in ["set-cookie", "access-control-allow-origin", "server"] {
                assert_eq!(answer.header(name), None, "{line}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn f_api_01_each_route_has_its_limit_for_bodies() {
    let daemon = Daemon::start().await;
    let padded = |bytes: u64| format!("{{\"url\": \"http://127.0.0.1:9/\"{}}}", " ".repeat(to_len(bytes) - 30));
    let patch = |line| Request::new(line, &daemon);
    let too_large = padded((256 << 10) + 100);
    patch("PATCH /v1/jobs/1").json(too_large.clone()).is_refused(&daemon, 413, "body-too-large", None);
    patch("PATCH /v1/settings").json(too_large).is_refused(&daemon, 413, "body-too-large", None);
    patch(SUBMIT).json(padded(16 * MIB + 100)).is_refused(&daemon, 413, "body-too-large", None);
    let fits = patch(SUBMIT).json(padded(15 * MIB)).send(&daemon);
    assert_eq!(fits.status, 201, "{fits:?}");
}

fn to_len(bytes: u64) -> usize {
    usize::try_from(bytes).expect("small")
}

#[tokio::test]
async fn f_disk_12_a_link_that_appears_later_does_not_lead_out_of_the_root() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add("/a.bin", File::new(Content::seeded(1, 1000)));
    let outside = daemon.home().path().join("outside");
    fs::create_dir(&outside).expect("a new directory");
    symlink(&outside, daemon.home().downloads().join("link")).expect("a new link");
    for dir in ["link", "link/deeper"] {
        let body = format!("{{\"url\": \"http://h/a\", \"dir\": \"{dir}\"}}");
        Request::new(SUBMIT, &daemon).json(body).is_refused(&daemon, 403, "path-outside-roots", Some("dir"));
    }
    for dir in ["later", "later/deeper"] {
        let job =
            SubmitJob { dir: Some(dir.to_owned()), start: Some(Start::Paused), ..SubmitJob::new(server.url("/a.bin")) };
        let id = daemon.submit_job(&job).await;
        let link = daemon.home().downloads().join("later");
        symlink(&outside, &link).expect("a new link");
        daemon.client().resume(id).await.expect("a paused job can be resumed");
        let reason = daemon.failed(id).await;
        assert_eq!(reason.code, "target-not-writable", "{}", reason.message);
        assert!(reason.message.contains("later"), "{}", reason.message);
        assert_eq!(fs::read_dir(&outside).expect("it is there").count(), 0, "something was written outside");
        fs::remove_file(link).expect("it is ours");
    }
    // A link in the place of the final name is not followed either.
    symlink(outside.join("a.bin"), daemon.home().downloads().join("a.bin")).expect("a new link");
    let overwrite =
        SubmitJob { on_conflict: Some(haul_api::OnConflict::Overwrite), ..SubmitJob::new(server.url("/a.bin")) };
    daemon.completed(daemon.submit_job(&overwrite).await).await;
    assert_eq!(fs::read_dir(&outside).expect("it is there").count(), 0, "something was written outside");
}

#[tokio::test]
async fn a_thousand_requests_of_garbage_do_no_harm() {
    let mut random = StdRng::seed_from_u64(seed());
    let daemon = Daemon::start().await;
    let token = daemon.home().token();
    for n in 0..1000 {
        let request = garbage(&mut random, &token, n);
        let answer = half_closed(&daemon, &request);
        let shown = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
        assert!(answer.status < 500, "request {n}: {shown}: {answer:?}");
        if answer.status >= 400 && answer.header("content-type").is_some() {
            answer.problem(&shown);
        }
    }
    assert!(daemon.client().ready().await.expect("it still answers").ready);
}

/// Sends the request and says that no more will come, so that half a request is not waited for.
fn half_closed(daemon: &Daemon, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(daemon.tcp()).expect("the daemon listens");
    stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a timeout");
    // The daemon may hang up in the middle of nonsense.
    stream.write_all(request).ok();
    stream.shutdown(std::net::Shutdown::Write).ok();
    Answer::read(stream)
}

fn garbage(random: &mut StdRng, token: &str, n: u32) -> Vec<u8> {
    let head = |line: &[u8], more: &[u8]| {
        let rest = format!(" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n");
        [line, rest.as_bytes(), more, b"\r\n"].concat()
    };
    let with_body = |line: &[u8], body: &[u8]| {
        let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        [&head(line, more.as_bytes())[..], body].concat()
    };
    let valid =
        br#"{"url": "http://127.0.0.1:9/a", "start": "paused", "priority": 3, "headers": {"A": "b"}, "dir": "x"}"#;
    match n % 7 {
        0 => bytes(random, 2000),
        1 => head(&[b"GET /".to_vec(), printable(random, 60)].concat(), b""),
        2 => with_body(SUBMIT.as_bytes(), &bytes(random, 500)),
        3 => with_body(SUBMIT.as_bytes(), &mutated(random, valid)),
        4 => head(&[b"GET /v1/jobs?".to_vec(), printable(random, 60)].concat(), b""),
        5 => head(b"GET /v1/jobs", &[bytes(random, 200), b"\r\n".to_vec()].concat()),
        _ => mutated(random, &with_body(b"PATCH /v1/jobs/1", br#"{"priority": 1, "connections": 2}"#)),
    }
}

fn bytes(random: &mut StdRng, most: usize) -> Vec<u8> {
    let len = random.random_range(0..most);
    (0..len).map(|_| random.random()).collect()
}

fn printable(random: &mut StdRng, most: usize) -> Vec<u8> {
    let len = random.random_range(0..most);
    (0..len).map(|_| random.random_range(0x21..0x7f)).collect()
}

fn mutated(random: &mut StdRng, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..3) {
            0 => bytes[at] = random.random(),
            1 => _ = bytes.remove(at),
            _ => bytes.insert(at, random.random()),
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn f_api_04_05_a_peer_that_dawdles_is_cut_off() {
    let daemon = Daemon::start().await;
    let token = daemon.home().token();
    let begun = Instant::now();
    let dawdle = |request: String| {
        let mut stream = TcpStream::connect(daemon.tcp()).expect("the daemon listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        std::thread::spawn(move || {
            let mut said = Vec::new();
            stream.read_to_end(&mut said).expect("the daemon hangs up");
            (String::from_utf8(said).expect("UTF-8"), begun.elapsed())
        })
    };
    let head = dawdle("GET /v1/jobs HTTP/1.1\r\nHost: loc".to_owned());
    let nothing = dawdle(String::new());
    let body = dawdle(format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    ));
    assert_eq!(daemon.raw("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").status, 200);
    for peer in [head, nothing] {
        let (_, took) = peer.join().expect("no panic");
        assert!((8.0..15.0).contains(&took.as_secs_f64()), "{took:?}");
    }
    let (said, took) = body.join().expect("no panic");
    assert!(said.contains(" 408 ") && said.contains("request-timeout"), "{said}");
    assert!((8.0..15.0).contains(&took.as_secs_f64()), "{took:?}");
}

#[tokio::test]
async fn inv_7_f_sec_05_19_20_f_api_14_canaries_stay_where_they_belong() {
    let (server, other) = (Server::start(), Server::start());
    let mut daemon = Daemon::with("log = \"trace\"\nretry_limit = 2\nconnections_per_job = 2").await;
    let owner = daemon.home().token();
    let content = Content::seeded(2, 2 * MIB);
    server.add("/ok.bin", File::new(content.clone()).fault(When::First(1), Do::status(503)));
    server.add("/moved.bin", File::new(Content::empty()).redirect(302, other.url("/new.bin?sig=canary-redirect")));
    other.add("/new.bin", File::new(content.clone()).fault(When::First(1), Do::ResetAfter(MIB)));
    server.add("/denied.bin", File::new(Content::empty()).fault(When::Always, Do::status(403)));
    server.add("/broken.bin", File::new(Content::empty()).fault(When::Always, Do::status(500)));
    server.add("/lies.bin", File::new(content).fault(When::Always, Do::GarbageHeaders));
    let job = |url: String| {
        let url = url.replace("http://", "http://canary-user:canary-password@");
        let headers = [("Cookie", "canary-cookie"), ("X-Api-Key", "canary-key")];
        SubmitJob {
            headers: Some(headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
            referrer: Some("http://h/?canary-referrer".to_owned()),
            ..SubmitJob::new(format!("{url}?key=canary-query#canary-fragment"))
        }
    };
    let mut tokens = vec![owner.clone()];
    for scope in [Scope::Read, Scope::Submit] {
        let new = NewToken { name: scope.to_string(), scope, jobs_max: None };
        tokens.push(daemon.client().make_token(&new).await.expect("a token is made").token);
    }
    let address = Address::tcp(&format!("http://{}", daemon.tcp())).expect("an address");
    let submits = Client::new(address, Some(&tokens[2])).expect("a client");
    let mut ids = Vec::new();
    for path in ["/ok.bin", "/moved.bin", "/denied.bin", "/broken.bin", "/lies.bin", "/missing.bin"] {
        ids.push(daemon.submit_job(&job(server.url(path))).await);
        let inside = server.url(path).replace("127.0.0.1", "localhost");
        ids.push(submits.submit(&job(inside)).await.expect("a name is looked at later").id);
    }
    for id in &ids {
        daemon.ended(*id).await;
    }
    let sent = server.log();
    assert!(sent.iter().any(|request| request.header("authorization").is_some()), "the secrets were used");
    let leaked = other.log().iter().any(|request| request.header("authorization").is_some());
    assert!(!leaked, "and went to their own server only");

    let ask = |line: &str, token: &str| {
        let head = "Host: localhost\r\nConnection: close\r\nAuthorization: Bearer";
        daemon.raw(format!("{line} HTTP/1.1\r\n{head} {token}\r\n\r\n"))
    };
    let mut paths =
        ["/v1/jobs", "/v1/hosts", "/v1/settings", "/v1/tokens", "/v1/doctor", "/v1/log-level", "/metrics", "/readyz"]
            .map(str::to_owned)
            .to_vec();
    for id in &ids {
        paths.extend(["", "/events", "/why", "/chunks"].map(|part| format!("/v1/jobs/{id}{part}")));
    }
    for path in &paths {
        for (index, token) in tokens.iter().enumerate() {
            let body = ask(&format!("GET {path}"), token).body;
            // A query stands in the URL that the owner gets, and nowhere else.
            let rest = if index == 0 { body.replace("?key=canary-query", "") } else { body };
            assert!(!rest.contains("canary"), "{path} shows token {index} a secret: {rest}");
            assert!(!tokens.iter().any(|token| rest.contains(token)), "{path} shows token {index} a token: {rest}");
        }
    }
    ask("GET /v1/jobs?canary-parameter=1", "canary-token");
    Request::new(SUBMIT, &daemon).json(r#"{"url": "http://h/a", "headers": {"A b": "canary-value"}}"#).send(&daemon);
    Request::new(SUBMIT, &daemon).json(r#"{"url": "ftp://u:canary-ftp@h/a"}"#).send(&daemon);
    for file in ["cmdline", "environ"] {
        let bytes = fs::read(format!("/proc/{}/{file}", daemon.process())).expect("it runs");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("canary") && !tokens.iter().any(|token| text.contains(token)), "{file}: {text}");
    }
    daemon.kill();
    daemon.restart().await;
    daemon.terminate();
    let log = daemon.whole_log();
    assert!(log.contains("TRACE"), "the log is as detailed as it gets");
    for secret in tokens.iter().map(String::as_str).chain(["canary"]) {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a secret stands in the log");
    }
    let has = |path: &Path, what: &[u8]| {
        let bytes = fs::read(path).expect("it is ours");
        bytes.windows(what.len()).any(|window| window == what)
    };
    for dir in [daemon.home().path().to_owned(), daemon.home().data(), daemon.home().downloads()] {
        for path in fs::read_dir(dir).expect("it is ours").map(|entry| entry.expect("an entry").path()) {
            if path.is_file() && has(&path, b"canary") {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                assert!(name.starts_with("haul.db"), "a secret rests in {name}");
                assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o777, 0o600, "{name}");
            }
        }
    }
    let owners = fs::read_to_string(daemon.home().data().join("token")).expect("it is there");
    assert_eq!(owners.trim(), owner);
}

#[tokio::test]
async fn f_sec_18_a_server_cannot_write_into_the_log() {
    let (server, daemon) = (Server::start(), Daemon::with("log = \"trace\"").await);
    let name = "attachment; filename*=UTF-8''a%0aFORGED%20line%1b%5b31m.bin";
    server.add("/a.bin", File::new(Content::seeded(3, 100)).header("Content-Disposition", name));
    daemon.completed(daemon.submit(&server.url("/a.bin")).await).await;
    let log = daemon.log();
    assert!(!log.contains('\u{1b}'), "an escape sequence stands in the log");
    assert!(!log.lines().any(|line| line.starts_with("FORGED")), "a line in the log is forged");
    assert!(daemon.home().names().iter().all(|name| !name.chars().any(char::is_control)));
}
