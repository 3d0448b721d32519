//! Programs that were made for aria2, and what jobs are for them.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use haul_api::{JobState, Scope};
use haul_testkit::{Content, Do, File, Server, When};
use serde_json::{Value, json};

use super::{call, refusal, result, token};
use crate::support::{Daemon, Home, MIB, assert_holds, chromium, say, tool, wait_until};

/// Serves these files so slowly that none of them ends.
fn serve_slowly(server: &Server, names: &[&str]) {
    for (seed, name) in names.iter().enumerate() {
        let content = Content::seeded(seed as u64, 60 * MIB);
        server.add(&format!("/{name}"), File::new(content).etag("\"v1\"").shared_rate(300_000));
    }
}

/// Runs a script beside this file, which says what it does not like.
fn run(python: &Path, script: &str, arguments: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/aria2").join(script);
    let output = Command::new(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(path)
        .args(arguments)
        .output()
        .expect("python can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{script}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    say(&text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_real_clients_send_gets_what_aria2_answers() {
    let Some(python) = tool("python3") else { return };
    let (server, daemon) = (Server::start(), Daemon::with("aria2 = { get = true }").await);
    serve_slowly(&server, &["g1.bin", "g2.bin", "g3.bin", "g4.bin", "g5.bin", "g6.bin", "mirror.bin"]);
    let url = format!("http://{}/jsonrpc", daemon.tcp());
    let (secret, files) = (daemon.home().token(), server.url("/{}"));
    tokio::task::block_in_place(|| run(&python, "golden.py", &[&url, &secret, &files]));
    let header = |path: &str, name: &str| {
        let sent = server.log().into_iter().find(|request| request.path == path).expect("it was asked for");
        sent.header(name).map(str::to_owned)
    };
    assert_eq!(header("/g2.bin", "accept-encoding").as_deref(), Some("identity"), "whatever the browser says");
    assert_eq!(header("/g2.bin", "cookie").as_deref(), Some("a=b"));
    assert_eq!(header("/g3.bin", "cookie").as_deref(), Some("a=b"), "from a single text");
    assert_eq!((header("/g6.bin", "cookie"), header("/g6.bin", "referer")), (None, None), "empty ones are none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_ariang_finds_an_answer_to_all_that_it_asks() {
    let Some(python) = tool("python3") else { return };
    let (server, daemon) = (Server::start(), Daemon::with("aria2 = { get = true }").await);
    serve_slowly(&server, &["slow.bin", "other.bin"]);
    server.add("/small.bin", File::new(Content::seeded(9, 100_000)));
    let (port, secret, base) = (daemon.tcp().port().to_string(), daemon.home().token(), server.url("/"));
    tokio::task::block_in_place(|| run(&python, "ariang.py", &[&port, &secret, &base]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_library_of_aria2_does_all_that_it_can() {
    let Some(python) = tool("python3") else { return };
    let (server, daemon) = (Server::start(), Daemon::start().await);
    serve_slowly(&server, &["a.bin", "b.bin", "c.bin", "d.bin", "e.bin", "f.bin"]);
    server.add("/small.bin", File::new(Content::seeded(9, 100_000)));
    let (port, secret, base) = (daemon.tcp().port().to_string(), daemon.home().token(), server.url("/"));
    tokio::task::block_in_place(|| run(&python, "library.py", &[&port, &secret, &base]));
    let cookies: Vec<_> = server.log().into_iter().filter(|request| request.path == "/missing.bin").collect();
    assert_eq!(cookies.len(), 2, "the failed one was tried once more");
    for request in cookies {
        assert_eq!(request.header("cookie"), Some("sid=secret-cookie"), "the secret came back from where it was shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_told_what_happens_to_the_jobs_of_its_token() {
    let Some(python) = tool("python3") else { return };
    let (server, daemon) = (Server::start(), Daemon::start().await);
    serve_slowly(&server, &["slow.bin"]);
    server.add("/small.bin", File::new(Content::seeded(9, 100_000)));
    let submit = token(&daemon, Scope::Submit).await;
    let (port, secret, base) = (daemon.tcp().port().to_string(), daemon.home().token(), server.url("/"));
    let id = submit.about.id.to_string();
    tokio::task::block_in_place(|| run(&python, "sockets.py", &[&port, &secret, &submit.token, &id, &base]));
}

#[tokio::test(flavor = "multi_thread")]
async fn f_sec_03_a_page_of_an_allowed_origin_is_served_and_told_and_a_foreign_one_is_not() {
    let (Some(python), Some(chromium)) = (tool("python3"), chromium()) else { return };
    let (server, foreign) = (Server::start(), Server::start());
    for server in [&server, &foreign] {
        let page = Content::literal("<!doctype html><title>a front end</title>");
        server.add("/page", File::new(page).content_type("text/html"));
    }
    server.add("/a.bin", File::new(Content::seeded(5, MIB)));
    let daemon = Daemon::with(&format!("allowed_origins = [\"http://127.0.0.1:{}\"]", server.port())).await;
    let (port, secret) = (daemon.tcp().port().to_string(), daemon.home().token());
    let chromium = chromium.to_string_lossy().into_owned();
    let (page, other, file) = (server.url("/page"), foreign.url("/page"), server.url("/a.bin"));
    tokio::task::block_in_place(|| run(&python, "page.py", &[&chromium, &page, &other, &port, &secret, &file]));
    assert_holds(&daemon.home().downloads().join("a.bin"), &Content::seeded(5, MIB));
    assert_eq!(daemon.home().names(), ["a.bin"], "the foreign page got nothing done");
}

#[tokio::test]
async fn what_a_job_is_called_stays_over_restarts_and_is_known_by_its_beginning() {
    let mut daemon = Daemon::start().await;
    let owner = daemon.home().token();
    let add =
        |daemon: &Daemon, options: Value| result(daemon, &owner, "aria2.addUri", &[json!(["http://h/a"]), options]);
    let given = add(&daemon, json!({"pause": "true"}));
    let chosen = add(&daemon, json!({"pause": "true", "gid": "00000000DEADBEEF"}));
    assert_eq!(chosen, "00000000deadbeef");
    assert_eq!(given, "9e3779b97f4a7c15", "that of job 1");
    for (gid, known) in [(&given, "9e37"), (&chosen, "0"), (&chosen, "00000000DEADBEEF")] {
        let status = result(&daemon, &owner, "aria2.tellStatus", &[json!(known), json!(["gid"])]);
        assert_eq!(status, json!({"gid": gid}), "{known}");
    }
    // The one that would follow from its id is not its name.
    let other = format!("{:016x}", 2_u64.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    assert_eq!(refusal(&daemon, &owner, "aria2.tellStatus", &[json!(other)]), format!("GID {other} is not found"));
    let again = json!({"gid": chosen});
    let params = [json!(["http://h/b"]), again];
    assert_eq!(refusal(&daemon, &owner, "aria2.addUri", &params), "GID 00000000deadbeef is not unique");
    let params = [json!(["http://h/b"]), json!({"gid": format!("{:016x}", 3_u64.wrapping_mul(0x9E37_79B9_7F4A_7C15))})];
    assert!(refusal(&daemon, &owner, "aria2.addUri", &params).ends_with("is not unique"), "a later job needs it");

    daemon.kill();
    daemon.restart().await;
    let waiting = result(&daemon, &owner, "aria2.tellWaiting", &[json!(0), json!(9), json!(["gid", "status"])]);
    let paused = |gid: &Value| json!({"gid": gid, "status": "paused"});
    assert_eq!(waiting, json!([paused(&given), paused(&chosen)]));
    // Whoever forgets a job can call another one the same.
    result(&daemon, &owner, "aria2.remove", std::slice::from_ref(&chosen));
    assert_eq!(add(&daemon, json!({"pause": "true", "gid": chosen})), chosen);
}

#[tokio::test]
async fn a_metalink_becomes_jobs_and_a_torrent_does_not() {
    use base64::Engine as _;
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let owner = daemon.home().token();
    let content = Content::seeded(4, 100_000);
    server.add("/x", File::new(content.clone()));
    let document = format!(
        r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="a.bin"><hash type="sha-256">{}</hash><url>{}</url></file>
        <file name="b.bin"><url>ftp://h/b</url></file><file name="c.bin"><url>http://h/c</url></file></metalink>"#,
        content.sha256(),
        server.url("/x")
    );
    let base64 = base64::prelude::BASE64_STANDARD.encode(document);
    let gids = result(&daemon, &owner, "aria2.addMetalink", &[json!(base64), json!({"dir": "sub", "pause": "true"})]);
    let gids = gids.as_array().expect("a list");
    assert_eq!(gids.len(), 2, "what can be fetched of it");
    result(&daemon, &owner, "aria2.unpause", &gids[..1]);
    let job = daemon.completed(1).await;
    assert_eq!(job.path, Some(daemon.home().downloads().join("sub/a.bin").display().to_string()));
    let status = result(&daemon, &owner, "aria2.tellStatus", &gids[..1]);
    assert_eq!((&status["status"], &status["errorCode"]), (&json!("complete"), &json!("0")), "{status}");
    assert_eq!((&status["completedLength"], &status["bitfield"]), (&json!("100000"), &json!("80")));
    for wrong in ["", "!", "PG1ldGFsaW5rPg=="] {
        assert!(refusal(&daemon, &owner, "aria2.addMetalink", &[json!(wrong)]).contains("Metalink"), "{wrong}");
    }
    assert!(refusal(&daemon, &owner, "aria2.addTorrent", &[json!("")]).contains("BitTorrent"));
}

#[tokio::test]
async fn an_expired_link_is_renewed_and_mirrors_are_added() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let owner = daemon.home().token();
    let content = Content::seeded(6, 8 * MIB);
    let slow = File::new(content.clone()).etag("\"v1\"").shared_rate(500_000);
    server.add("/old", slow);
    server.add("/new", File::new(content.clone()).etag("\"v1\""));
    let gid =
        result(&daemon, &owner, "aria2.addUri", &[json!([server.url("/old")]), json!({"out": "a.bin", "split": "2"})]);
    daemon.until(1, "some bytes are there", |job| job.done_bytes > 0).await;
    // A job that does well gets another place beside its own.
    let change =
        |remove: Value, add: Value| result(&daemon, &owner, "aria2.changeUri", &[gid.clone(), json!(1), remove, add]);
    assert_eq!(change(json!([]), json!([server.url("/new")])), json!([0, 1]));
    assert_eq!(change(json!([]), json!([server.url("/new")])), json!([0, 0]), "it has it already");
    assert_eq!(change(json!([server.url("/new")]), json!([])), json!([0, 0]), "none is taken away");
    let job = daemon.completed(1).await;
    assert_eq!(job.mirrors.len(), 2);
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);

    server.add("/denied", File::new(Content::empty()).fault(When::Always, Do::status(403)));
    let gid = result(&daemon, &owner, "aria2.addUri", &[json!([server.url("/denied")]), json!({"out": "b.bin"})]);
    assert_eq!(daemon.ended(2).await.state, JobState::Failed);
    let renewed = [gid, json!(1), json!([]), json!([server.url("/new")])];
    assert_eq!(result(&daemon, &owner, "aria2.changeUri", &renewed), json!([0, 1]));
    daemon.completed(2).await;
    assert_holds(&daemon.home().downloads().join("b.bin"), &content);
}

#[tokio::test]
async fn what_clients_say_of_all_jobs_counts_for_new_ones_and_is_kept() {
    let mut daemon = Daemon::start().await;
    let owner = daemon.home().token();
    let set = |daemon: &Daemon, options: Value| result(daemon, &owner, "aria2.changeGlobalOption", &[options]);
    let options = json!({"dir": "sub", "max-download-limit": "1K", "max-concurrent-downloads": "3", "bt-max-peers": "7",
        "split": "9", "nothing": "x"});
    assert_eq!(set(&daemon, options), "OK");
    daemon.kill();
    daemon.restart().await;
    let shown = result(&daemon, &owner, "aria2.getGlobalOption", &[]);
    let sub = daemon.home().downloads().join("sub").display().to_string();
    assert_eq!((&shown["dir"], &shown["max-concurrent-downloads"]), (&json!(sub), &json!("3")));
    assert_eq!((&shown["max-download-limit"], &shown["split"]), (&json!("1024"), &json!("9")));
    result(&daemon, &owner, "aria2.addUri", &[json!(["http://h/a"]), json!({"pause": "true", "out": "a.bin"})]);
    let job = daemon.job(1).await;
    assert_eq!((job.path, job.bandwidth_limit), (Some(format!("{sub}/a.bin")), 1024));
    assert_eq!(set(&daemon, json!({"dir": "", "max-download-limit": "0"})), "OK");
    result(&daemon, &owner, "aria2.addUri", &[json!(["http://h/b"]), json!({"pause": "true", "out": "b.bin"})]);
    assert_eq!(daemon.job(2).await.bandwidth_limit, 0);
    let params = [json!({"dir": "/etc"})];
    assert!(refusal(&daemon, &owner, "aria2.changeGlobalOption", &params).contains("'--dir'"));
}

#[tokio::test]
async fn a_further_address_serves_clients_that_cannot_be_told_another_one() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let free = haul_testkit::Port::free().and_then(|port| port.number()).expect("a free port");
    let settings =
        format!("aria2 = {{ listen = [\"{}\", \"127.0.0.1:{}\"] }}", taken.local_addr().expect("it is bound"), free);
    let daemon = Daemon::at(Home::new(&settings)).await;
    let body = json!({"id": 1, "method": "aria2.getVersion", "params": [format!("token:{}", daemon.home().token())]});
    let body = body.to_string();
    let address: std::net::SocketAddr = format!("127.0.0.1:{}", free).parse().expect("an address");
    let request = format!(
        "POST /jsonrpc HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = crate::support::Answer::to(address, request.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(daemon.log().contains("is aria2 running?"), "one that is taken is passed over");
}

/// Not a benchmark: what is done job by job would take a hundred times as long as one job does.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_jobs_at_work_are_told_of_at_once() {
    let settings = "max_active_jobs = 100\nconnections_per_host = 200\nconnections_per_job = 1\nlog = \"info\"";
    let (server, daemon) = (Server::start(), Daemon::with(settings).await);
    let owner = daemon.home().token();
    let secret = json!(format!("token:{owner}"));
    let mut calls = Vec::new();
    for name in (0..100).map(|n| format!("/{n}.bin")) {
        let content = Content::seeded(1, 60 * MIB);
        server.add(&name, File::new(content).etag("\"v1\"").rate_per_connection(20_000));
        calls.push(json!({"methodName": "aria2.addUri", "params": [secret, [server.url(&name)]]}));
    }
    for calls in calls.chunks(10) {
        let body = json!({"id": 1, "method": "system.multicall", "params": [calls]});
        assert_eq!(super::post(&daemon, "", body.to_string()).status, 200);
    }
    let stat = || result(&daemon, &owner, "aria2.getGlobalStat", &[]);
    wait_until("all are at work", async || (stat()["numActive"] == "100").then_some(())).await;
    let active = result(&daemon, &owner, "aria2.tellActive", &[]);
    let active = active.as_array().expect("a list");
    assert_eq!(active.len(), 100);
    let time = |method: &str, params: &[Value]| {
        let once = |_| {
            let begun = Instant::now();
            let answer = call(&daemon, &owner, method, params);
            assert_eq!(answer.status, 200, "{answer:?}");
            begun.elapsed()
        };
        let mut times: Vec<Duration> = (0..50).map(once).collect();
        times.sort();
        say(&format!("{method}: median {:?}, the 48th of 50 {:?}", times[25], times[47]));
        times[25]
    };
    time("aria2.getGlobalStat", &[]);
    time("aria2.tellActive", &[json!(["gid", "completedLength", "downloadSpeed"])]);
    let one = time("aria2.tellStatus", &[active[0]["gid"].clone(), json!(["gid", "status", "files"])]);
    let all = time("aria2.tellActive", &[json!(["gid", "status", "files"])]);
    assert!(all < one * 50, "{all:?} for all of them, {one:?} for one");
}
