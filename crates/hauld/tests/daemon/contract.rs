//! The OpenAPI document and the daemon say the same: every path, every status, every body.

use std::collections::{BTreeMap, BTreeSet};

use boon::{Compiler, Draft, Schemas};
use haul_api::{NewToken, Scope, Start, SubmitJob};
use haul_testkit::{Content, File, Server};
use serde_json::{Value, json};

use crate::support::{Answer, Daemon, wait_until};

/// Statuses that a test cannot have at will: a body that takes 10 s, a daemon that stops or breaks, a full database.
const NOT_AT_WILL: [u16; 3] = [408, 503, 507];

/// The document, and what has been seen of it.
struct Contract<'a> {
    daemon: &'a Daemon,
    document: Value,
    seen: BTreeSet<(String, u16)>,
}

/// A request, without what every request has.
#[derive(Clone, Default)]
struct Ask {
    method: &'static str,
    path: &'static str,
    /// The path with its parameters filled in, and the query.
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
}

impl Ask {
    fn new(method: &'static str, path: &'static str, target: impl Into<String>) -> Self {
        Self { method, path, target: target.into(), ..Self::default() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn body(self, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = Some(body.into());
        Self { body, ..self.with("Content-Type", media_type) }
    }

    /// The request as it is sent.
    fn bytes(&self) -> Vec<u8> {
        let mut request = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            request.extend(format!("{name}: {value}\r\n").bytes());
        }
        if let Some(body) = &self.body {
            request.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        request.extend(b"\r\n");
        request.extend(self.body.iter().flatten());
        request
    }

    fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }
}

impl<'a> Contract<'a> {
    fn of(daemon: &'a Daemon) -> Self {
        let request = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let answer = daemon.raw(request);
        assert_eq!(answer.status, 200, "it wants no token: {answer:?}");
        let document = serde_json::from_str(&answer.body).expect("the document is JSON");
        Self { daemon, document, seen: BTreeSet::new() }
    }

    /// What the document calls a route, and what it says of it.
    fn operations(&self) -> Vec<(String, String, Value)> {
        let paths = self.document["paths"].as_object().expect("paths");
        let of_path = |(path, item): (&String, &Value)| {
            let methods = item.as_object().expect("operations").clone();
            methods.into_iter().map(|(method, about)| (method, path.clone(), about)).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of_path).collect()
    }

    /// Sends a request with the token and holds the answer against the document.
    fn ask(&mut self, ask: &Ask, status: u16) -> Answer {
        let token = format!("Bearer {}", self.daemon.home().token());
        self.send(&ask.clone().with("Host", "localhost").with("Authorization", token), status)
    }

    /// The same where the answer has no end: up to this.
    fn begin(&mut self, ask: &Ask, part: &str) {
        let token = format!("Bearer {}", self.daemon.home().token());
        let ask = ask.clone().with("Host", "localhost").with("Authorization", token);
        let answer = Answer::begin(self.daemon.tcp(), &ask.bytes(), part);
        self.check(&ask, &answer, &ask.target);
    }

    /// The same without what every request has.
    fn send(&mut self, ask: &Ask, status: u16) -> Answer {
        let answer = self.daemon.raw(ask.bytes());
        let what =
            format!("{} {} {:?}", ask.method, ask.target, String::from_utf8_lossy(ask.body.as_deref().unwrap_or(b"")));
        let what: String = what.chars().take(300).collect();
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        self.check(ask, &answer, &what);
        answer
    }

    fn check(&mut self, ask: &Ask, answer: &Answer, what: &str) {
        let about =
            &self.document["paths"][ask.path][ask.method.to_lowercase()]["responses"][answer.status.to_string()];
        assert!(about.is_object(), "{what}: the status {} is not documented", answer.status);
        self.seen.insert((format!("{} {}", ask.method, ask.path), answer.status));
        for name in about["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
            assert!(answer.header(name).is_some(), "{what}: the header {name} is documented: {answer:?}");
        }
        let Some(content) = about["content"].as_object() else {
            assert_eq!(answer.body, "", "{what}: no body is documented");
            return;
        };
        let media_type = answer.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
        let schema = content.get(media_type).unwrap_or_else(|| panic!("{what}: `{media_type}` is not documented"));
        if media_type.ends_with("json") {
            let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{what}: {error}"));
            self.validate(&schema["schema"], &body, what);
        }
    }

    fn validate(&self, schema: &Value, value: &Value, what: &str) {
        let mut whole = json!({"components": self.document["components"]});
        whole["allOf"] = json!([schema]);
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.set_default_draft(Draft::V2020_12);
        compiler.add_resource("http://haul/schema.json", whole).expect("a schema");
        let index = compiler.compile("http://haul/schema.json", &mut schemas).expect("the document has good schemas");
        if let Err(error) = schemas.validate(value, index) {
            panic!("{what}: the answer is not as documented: {error:#}\n{value:#}");
        }
    }
}

/// Every `$ref` in here.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(members.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

#[tokio::test]
async fn everything_that_the_document_names_is_in_it() {
    let daemon = Daemon::start().await;
    let contract = Contract::of(&daemon);
    assert_eq!(contract.document["openapi"], "3.1.0");
    for reference in references(&contract.document) {
        let pointer = reference.trim_start_matches('#');
        assert!(contract.document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test]
async fn paths_of_the_code_and_of_the_document_are_the_same() {
    let daemon = Daemon::start().await;
    let contract = Contract::of(&daemon);
    let source = include_str!("../../../haul-api/src/paths.rs");
    let constants = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(": &str = \"/"));
    let in_code = constants.map(|(_, path)| format!("/{}", path.trim_end_matches("\";")));
    // The dialect of aria2 has errors of its own and stays outside (DESIGN.md ruling 11).
    let in_code: BTreeSet<String> = in_code.filter(|path| path != haul_api::paths::JSONRPC).collect();
    let in_document: BTreeSet<String> = contract.operations().into_iter().map(|(_, path, _)| path).collect();
    assert_eq!(in_document, in_code);
    for (method, path, about) in contract.operations() {
        let ask = format!(
            "{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            method.to_uppercase(),
            path.replace("{id}", "1").replace("{file}", "app.js")
        );
        let answer = daemon.raw(ask);
        assert!(![404, 405].contains(&answer.status), "{method} {path}: {answer:?}");
        let is_open = about["security"] == json!([{}]) || about["security"] == json!([]);
        assert_eq!(answer.status == 401, !is_open, "{method} {path}: {answer:?}");
        assert_eq!(is_open, haul_api::paths::OPEN.contains(&path.as_str()), "{method} {path}");
        // What a route does not know is refused with a problem, and with the methods that it does know.
        let foreign = daemon.raw(format!(
            "TRACE {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            daemon.home().token()
        ));
        assert_eq!(foreign.problem(&path).code, "method-not-allowed");
        assert!(foreign.header("allow").is_some_and(|allow| allow.contains(&method.to_uppercase())), "{foreign:?}");
    }
}

#[tokio::test]
async fn every_answer_is_as_documented() {
    let (server, daemon) = (Server::start(), with_many_tokens().await);
    server.add("/a.bin", File::new(Content::seeded(1, 50_000)).etag("\"v1\""));
    let done = daemon.submit(&server.url("/a.bin")).await;
    daemon.completed(done).await;
    let paused = |name: &str| SubmitJob { start: Some(Start::Paused), ..SubmitJob::new(server.url(name)) };
    let rests = daemon.submit_job(&paused("/b.bin")).await;
    let gone = daemon.submit_job(&paused("/c.bin")).await;
    let canceled = daemon.submit_job(&paused("/d.bin")).await;
    let mut contract = Contract::of(&daemon);
    let c = &mut contract;

    let jobs = Ask::new("POST", "/v1/jobs", "/v1/jobs");
    let job = json!({"url": server.url("/e.bin"), "start": "paused"});
    let keyed = jobs.clone().with("Idempotency-Key", "k1");
    c.ask(&keyed.clone().json(&job), 201);
    c.ask(&keyed.clone().json(&job), 201);
    c.ask(&keyed.json(&json!({"url": server.url("/f.bin"), "start": "paused"})), 422);
    c.ask(&jobs.clone().json(&json!({"jobs": [job, {"url": "ftp://a/"}, {"url": 5}]})), 200);
    let mut under_way = std::net::TcpStream::connect(daemon.tcp()).expect("the daemon listens");
    let token = daemon.home().token();
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nIdempotency-Key: k2\r\n\
         Content-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    );
    std::io::Write::write_all(&mut under_way, head.as_bytes()).expect("it is read");
    let same = head.replace("Content-Length: 9", "Connection: close\r\nContent-Length: 2") + "{}";
    wait_until("the key is in use", async || (daemon.raw(&same).status == 409).then_some(())).await;
    c.ask(&jobs.clone().with("Idempotency-Key", "k2").json(&json!({})), 409);
    drop(under_way);
    c.ask(&jobs.clone().body("text/uri-list", "ftp://a/b"), 422);
    c.ask(&jobs.clone().json(&json!({"url": "http://a/b", "dir": "/proc"})), 403);
    let list = |query: &str| Ask::new("GET", "/v1/jobs", format!("/v1/jobs{query}"));
    for query in [
        "",
        "?state=paused,active&limit=1",
        "?sort=filename&order=asc&limit=1",
        "?fields=id,state",
        "?q=bin&host=http%3A%2F%2F127.0.0.1",
    ] {
        c.ask(&list(query), 200);
    }
    for query in ["?state=done", "?limit=0", "?page=1", "?cursor=x", "?fields=secret", "?host=a%20b"] {
        c.ask(&list(query), 422);
    }
    let show = |id: u64, query: &str| Ask::new("GET", "/v1/jobs/{id}", format!("/v1/jobs/{id}{query}"));
    let tag = c.ask(&show(rests, ""), 200).header("etag").expect("it has one").to_owned();
    c.ask(&show(done, "?wait=1"), 200);
    c.ask(&show(rests, "").with("If-None-Match", &tag), 304);
    c.ask(&show(rests, "?wait=-1"), 422);
    let patch = |id: u64| Ask::new("PATCH", "/v1/jobs/{id}", format!("/v1/jobs/{id}"));
    c.ask(&patch(rests).with("If-Match", &tag).json(&json!({"priority": 3, "filename": "new.bin"})), 200);
    c.ask(&patch(rests).with("If-Match", &tag).json(&json!({"priority": 4})), 412);
    c.ask(&patch(done).json(&json!({"filename": "x"})), 409);
    c.ask(&patch(rests).json(&json!({"filename": "a/b"})), 422);
    for (path, target) in
        [("/v1/jobs/{id}/chunks", "chunks"), ("/v1/jobs/{id}/events", "events"), ("/v1/jobs/{id}/why", "why")]
    {
        c.ask(&Ask::new("GET", path, format!("/v1/jobs/{done}/{target}")), 200);
        c.ask(&Ask::new("GET", path, format!("/v1/jobs/999/{target}")), 404);
    }
    c.ask(&Ask::new("GET", "/v1/jobs/{id}/events", format!("/v1/jobs/{done}/events?limit=0")), 422);
    let stream = |query: &str| Ask::new("GET", "/v1/events", format!("/v1/events{query}"));
    c.begin(&stream(&format!("?job={done}&types=completed")).with("Last-Event-ID", "0"), "event: completed");
    c.ask(&stream("?types=done"), 422);
    c.ask(&stream("?job=999"), 404);
    server.add("/text.txt", File::new(Content::literal("a short text")));
    let short = daemon.submit(&server.url("/text.txt")).await;
    daemon.completed(short).await;
    let content = |id: u64| Ask::new("GET", "/v1/jobs/{id}/content", format!("/v1/jobs/{id}/content"));
    assert_eq!(c.ask(&content(short), 200).body, "a short text");
    assert_eq!(c.ask(&content(short).with("Range", "bytes=2-6"), 206).body, "short");
    c.ask(&content(short).with("Range", "bytes=12-"), 416);
    c.ask(&content(rests), 409);
    c.ask(&content(999), 404);
    daemon.client().cancel(canceled).await.expect("it can be given up");
    for (path, action, good, bad) in [
        ("/v1/jobs/{id}/pause", "pause", rests, done),
        ("/v1/jobs/{id}/resume", "resume", rests, done),
        ("/v1/jobs/{id}/retry", "retry", rests, done),
        ("/v1/jobs/{id}/verify", "verify", done, canceled),
        ("/v1/jobs/{id}/cancel", "cancel", rests, done),
    ] {
        let ask = |id: u64| Ask::new("POST", path, format!("/v1/jobs/{id}/{action}"));
        c.ask(&ask(good), 200);
        c.ask(&ask(bad), 409);
        c.ask(&ask(999), 404);
        if action != "verify" {
            c.ask(&ask(good).json(&json!({})), 413);
        }
    }
    for (path, body) in [
        ("/v1/pause", json!({"state": ["active"]})),
        ("/v1/resume", json!({"label": "none"})),
        ("/v1/retry", json!({})),
        ("/v1/cancel", json!({"label": "none"})),
    ] {
        c.ask(&Ask::new("POST", path, path).json(&body), 200);
        c.ask(&Ask::new("POST", path, path).json(&json!({"state": []})), 422);
    }
    let delete = |id: u64| Ask::new("DELETE", "/v1/jobs/{id}", format!("/v1/jobs/{id}"));
    c.ask(&delete(gone).with("If-Match", "\"0-paused\""), 412);
    c.ask(&Ask { target: format!("/v1/jobs/{gone}?files=all"), ..delete(gone) }, 422);
    c.ask(&delete(gone), 204);
    let restore = |id: u64| Ask::new("POST", "/v1/jobs/{id}/restore", format!("/v1/jobs/{id}/restore"));
    c.ask(&restore(gone).json(&json!({})), 413);
    c.ask(&restore(gone), 200);
    c.ask(&restore(999), 404);
    let probe = Ask::new("POST", "/v1/probe", "/v1/probe");
    c.ask(&probe.clone().json(&json!({"url": server.url("/a.bin")})), 200);
    c.ask(&probe.clone().json(&json!({"url": server.url("/missing.bin")})), 422);
    c.ask(&probe.json(&json!({"url": "http://a/b", "dir": "/proc"})), 403);
    let host = |method| Ask::new(method, "/v1/hosts/{host}", "/v1/hosts/example.org");
    c.ask(&host("PATCH").json(&json!({"connections": 4})), 200);
    c.ask(&host("GET"), 200);
    c.ask(&Ask::new("GET", "/v1/hosts", "/v1/hosts"), 200);
    c.ask(&Ask::new("GET", "/v1/hosts", "/v1/hosts?limit=0"), 422);
    c.ask(&host("DELETE"), 204);
    c.ask(&host("PATCH").json(&json!({})), 404);
    for method in ["GET", "DELETE"] {
        c.ask(&host(method), 404);
    }
    for method in ["PATCH", "GET", "DELETE"] {
        let odd = Ask::new(method, "/v1/hosts/{host}", "/v1/hosts/a%20b");
        c.ask(&if method == "PATCH" { odd.json(&json!({})) } else { odd }, 422);
    }
    c.ask(&Ask::new("GET", "/v1/settings", "/v1/settings"), 200);
    c.ask(
        &Ask::new("PATCH", "/v1/settings", "/v1/settings")
            .json(&json!({"labels": {"iso": {"bandwidth_limit": "1MB"}}})),
        200,
    );
    c.ask(&Ask::new("PATCH", "/v1/settings", "/v1/settings").json(&json!({"max_active_jobs": 0})), 422);
    let log = |method| Ask::new(method, "/v1/log-level", "/v1/log-level");
    c.ask(&log("GET"), 200);
    c.ask(&log("PUT").json(&json!({"log": "debug"})), 200);
    c.ask(&log("PUT").json(&json!({"log": "loud"})), 422);
    for path in [
        "/v1/stats",
        "/v1/doctor",
        "/metrics",
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/docs/page.js",
        "/docs/page.css",
    ] {
        c.ask(&Ask::new("GET", path, path), 200);
    }
    for (path, target) in [("/", "/"), ("/assets/{file}", "/assets/app.js")] {
        let ask = Ask::new("GET", path, target);
        let etag = c.ask(&ask, 200).header("etag").expect("a tag").to_owned();
        c.ask(&ask.with("If-None-Match", etag), 304);
    }
    c.ask(&Ask::new("GET", "/assets/{file}", "/assets/missing.js"), 404);
    for method in ["GET", "PATCH", "DELETE"] {
        let ask = Ask::new(method, "/v1/jobs/{id}", "/v1/jobs/999");
        c.ask(&if method == "PATCH" { ask.json(&json!({})) } else { ask }, 404);
    }
    tokens_and_pairing(c).await;
    strangers_and_bad_bodies(c);

    let documented: BTreeMap<(String, u16), Value> = c
        .operations()
        .into_iter()
        .flat_map(|(method, path, about)| {
            let responses = about["responses"].as_object().expect("responses").clone();
            responses.into_iter().map(move |(status, about)| {
                ((format!("{} {path}", method.to_uppercase()), status.parse().expect("a status")), about)
            })
        })
        .collect();
    let unseen: Vec<_> =
        documented.keys().filter(|key| !NOT_AT_WILL.contains(&key.1) && !c.seen.contains(*key)).collect();
    assert!(unseen.is_empty(), "documented, but never seen: {unseen:?}");
}

/// Tokens that there may be.
const TOKENS_MAX: usize = 1000;

/// A daemon with nearly as many tokens as there may be.
async fn with_many_tokens() -> Daemon {
    let mut daemon = Daemon::start().await;
    daemon.terminate();
    let database = rusqlite::Connection::open(daemon.home().database()).expect("the database");
    let insert = "INSERT INTO tokens (hash, scope, name, jobs_max, created_at_ms)
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1)
        SELECT randomblob(32), 'read', 'a', 1, 0 FROM numbers";
    database.execute(insert, [TOKENS_MAX - 5]).expect("tokens");
    drop(database);
    daemon.restart().await;
    daemon
}

/// As many tokens as there may be; attempts to trade a code until there are too many.
async fn tokens_and_pairing(c: &mut Contract<'_>) {
    let tokens = Ask::new("POST", "/v1/tokens", "/v1/tokens");
    let made = c.ask(&tokens.clone().json(&json!({"name": "a", "scope": "submit", "jobs_max": 1})), 201);
    let made: Value = serde_json::from_str(&made.body).expect("a token");
    let jobs = json!({"jobs": [{"url": "http://a.example/b"}, {"url": "http://a.example/c"}]});
    let jobs = Ask::new("POST", "/v1/jobs", "/v1/jobs").json(&jobs).with("Host", "localhost");
    c.send(&jobs.with("Authorization", format!("Bearer {}", made["token"].as_str().expect("itself"))), 429);
    c.ask(&tokens.clone().json(&json!({"name": "", "scope": "read"})), 422);
    c.ask(&Ask::new("GET", "/v1/tokens", "/v1/tokens"), 200);
    let revoke = Ask::new("DELETE", "/v1/tokens/{id}", format!("/v1/tokens/{}", made["id"]));
    c.ask(&revoke, 204);
    c.ask(&revoke, 404);

    let code = |c: &mut Contract<'_>| {
        let answer = c.ask(&Ask::new("POST", "/v1/pair/code", "/v1/pair/code"), 200);
        let answer: Value = serde_json::from_str(&answer.body).expect("a code");
        answer["code"].as_str().expect("the code itself").to_owned()
    };
    c.ask(&Ask::new("POST", "/v1/pair/code", "/v1/pair/code").json(&json!({"scope": "owner"})), 422);
    let pair = |code: &str| Ask::new("POST", "/v1/pair", "/v1/pair").json(&json!({"code": code}));
    let prove = |body: &Value| Ask::new("POST", "/v1/prove", "/v1/prove").json(body);
    c.ask(&prove(&json!({"nonce": "0123456789abcdef"})), 403);
    c.ask(&prove(&json!({"nonce": "0123456789abcdef", "token": made["id"]})), 404);
    c.ask(&prove(&json!({"nonce": "short"})), 422);
    let good = code(c);
    c.ask(&prove(&json!({"nonce": "0123456789abcdef"})), 200);
    c.ask(&pair(&good), 201);
    c.ask(&pair(&good), 403);
    let new = NewToken { name: "a".to_owned(), scope: Scope::Read, jobs_max: None };
    while c.daemon.client().tokens().await.expect("a list").tokens.len() < TOKENS_MAX {
        c.daemon.client().make_token(&new).await.expect("there may be one more");
    }
    c.ask(&tokens.json(&json!({"name": "a", "scope": "read"})), 409);
    let good = code(c);
    c.ask(&pair(&good), 409);
    wait_until("there were too many attempts", async || {
        let body = r#"{"code": "wrong"}"#;
        let answer = c.daemon.raw(format!(
            "POST /v1/pair HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        (answer.status == 429).then_some(())
    })
    .await;
    c.ask(&pair(&good), 429);
}

/// What guard and extractors refuse is documented with every route.
fn strangers_and_bad_bodies(c: &mut Contract<'_>) {
    let known = ["get", "post", "put", "patch", "delete"];
    for (method, path, about) in c.operations() {
        let method = known.iter().find(|word| **word == method).expect("a method that is used");
        let method: &'static str = Box::leak(method.to_uppercase().into_boxed_str());
        let target = path.replace("{id}", "1").replace("{host}", "example.org").replace("{file}", "app.js");
        let ask = Ask::new(method, Box::leak(path.into_boxed_str()), target);
        c.send(&ask.clone().with("Host", "evil.example"), 421);
        c.send(&ask.clone().with("Host", "localhost").with("Origin", "https://evil.example"), 403);
        let twice =
            ask.clone().with("Host", "localhost").with("Origin", "http://localhost").with("Origin", "http://localhost");
        c.send(&twice, 422);
        if about["security"].is_null() {
            c.send(&ask.clone().with("Host", "localhost"), 401);
        }
        if about["requestBody"].is_object() {
            c.ask(&ask.clone().body("text/plain", "{}"), 415);
            c.ask(&ask.clone().body("application/json", "{"), 400);
            let most = if ask.path == "/v1/jobs" { 16 << 20 } else { 256 << 10 };
            c.ask(&ask.body("application/json", vec![b' '; most + 1]), 413);
        }
    }
}
