//! Webhooks and hooks are told in order, at least once, signed, and within limits.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haul_api::{PatchJob, Start, SubmitJob};
use haul_testkit::{Content, Do, File, Request, Server, When};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::support::{Answer, Daemon, Home, wait_until};

const SECRET: [u8; 32] = [7; 32];

/// A daemon that tells a receiver of these kinds of events.
async fn with_webhook(url: &str, kinds: &str) -> Daemon {
    let home = Home::new("");
    let secret = home.path().join("secret");
    fs::write(&secret, format!("whsec_{}\n", BASE64_STANDARD.encode(SECRET))).expect("a writable file");
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).expect("its owner");
    home.configure(&format!(
        "webhooks = {{ chat = {{ url = \"{url}\", secret_file = {secret:?}, events = [{kinds}] }} }}"
    ));
    Daemon::at(home).await
}

/// A daemon that runs a script for these kinds of events; `$DIR` is a directory for what it writes.
async fn with_hook(script: &str, rest: &str) -> (Daemon, PathBuf) {
    let home = Home::new("");
    let (program, dir) = (home.path().join("hook.sh"), home.path().join("hook"));
    fs::create_dir(&dir).expect("a new directory");
    fs::write(&program, format!("#!/bin/sh\nDIR={}\n{script}\n", dir.display())).expect("a writable file");
    fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).expect("its owner");
    home.configure(&format!("hooks = {{ note = {{ command = [{program:?}, \"a b\"], {rest} }} }}"));
    (Daemon::at(home).await, dir)
}

fn paused() -> SubmitJob {
    SubmitJob { start: Some(Start::Paused), ..SubmitJob::new("https://files.example/a.bin?sig=canary") }
}

/// What the receiver was sent, once it is so much.
async fn received(server: &Server, path: &str, count: usize) -> Vec<Request> {
    wait_until("the receiver is told", async || {
        let log: Vec<_> =
            server.log().into_iter().filter(|request| request.path == path && request.ended.is_some()).collect();
        (log.len() >= count).then_some(log)
    })
    .await
}

/// What a request says, if it is signed as it must be.
fn verified(request: &Request) -> Value {
    let header = |name: &str| request.header(name).unwrap_or_else(|| panic!("{name}: {request:?}"));
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(&SECRET).expect("a key");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&request.body);
    let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), signature);
    assert_eq!((request.method.as_str(), header("content-type")), ("POST", "application/json"));
    let now = jiff::Timestamp::now().as_second();
    assert!((now - timestamp.parse::<i64>().expect("seconds")).abs() < 600, "{timestamp}");
    serde_json::from_slice(&request.body).expect("JSON")
}

#[tokio::test]
async fn a_webhook_is_told_after_kill_9_what_it_could_not_be_told_before_signed_and_with_the_same_id() {
    let server = Server::start();
    server.add("/a.bin", File::new(Content::seeded(1, 100_000)));
    server.add("/in", File::new(Content::literal("no")).fault(When::Always, Do::status(500)));
    let mut daemon = with_webhook(&server.url("/in?key=canary"), "\"accepted\", \"completed\"").await;
    let id = daemon.submit(&(server.url("/a.bin") + "?sig=canary")).await;
    daemon.completed(id).await;
    let before = received(&server, "/in", 1).await;
    daemon.kill();
    server.replace("/in", File::new(Content::literal("yes")));
    let so_far = server.log().iter().filter(|request| request.path == "/in").count();
    daemon.restart().await;
    let log = received(&server, "/in", so_far + 2).await;
    let told: Vec<_> = log[so_far..].iter().map(verified).collect();
    assert_eq!(
        told.iter().map(|told| told["type"].as_str().expect("a kind")).collect::<Vec<_>>(),
        ["accepted", "completed"]
    );
    assert_eq!(
        before[0].header("webhook-id"),
        log[so_far].header("webhook-id"),
        "the receiver can tell that it is the same"
    );
    assert_ne!(log[so_far].header("webhook-id"), log[so_far + 1].header("webhook-id"));
    let data = &told[1]["data"];
    assert_eq!((&data["event"]["job"], &data["event"]["kind"]), (&id.into(), &"completed".into()));
    assert_eq!((&data["job"]["id"], &data["job"]["state"]), (&id.into(), &"completed".into()));
    assert!(!String::from_utf8_lossy(&log[so_far + 1].body).contains("canary"), "{data}");
    let text = daemon.whole_log();
    assert!(!text.contains("canary") && !text.contains(&BASE64_STANDARD.encode(SECRET)), "{text}");
    // What was told is not told again.
    daemon.terminate();
    daemon.restart().await;
    let next = daemon.submit_job(&paused()).await;
    let log = received(&server, "/in", so_far + 3).await;
    assert_eq!(verified(&log[so_far + 2])["data"]["event"]["job"], next);
}

#[tokio::test]
async fn a_webhook_is_told_again_until_it_takes_an_event_and_only_then_of_the_next() {
    let server = Server::start();
    server.add("/in", File::new(Content::literal("ok")).fault(When::First(2), Do::status(500)));
    let daemon = with_webhook(&server.url("/in"), "\"accepted\", \"edited\"").await;
    let id = daemon.submit_job(&paused()).await;
    let patch = PatchJob { priority: Some(3), ..PatchJob::default() };
    daemon.client().patch(id, &patch).await.expect("it can be changed");
    let log = received(&server, "/in", 4).await;
    assert_eq!(log.iter().map(|request| request.status).collect::<Vec<_>>(), [500, 500, 200, 200]);
    let kinds: Vec<_> =
        log.iter().map(|request| verified(request)["type"].as_str().expect("a kind").to_owned()).collect();
    assert_eq!(kinds, ["accepted", "accepted", "accepted", "edited"]);
    assert!(log[..3].iter().all(|request| request.header("webhook-id") == log[0].header("webhook-id")));
}

#[tokio::test]
async fn an_event_that_a_webhook_refuses_holds_up_no_other_and_redirects_are_not_followed() {
    let server = Server::start();
    server.add("/in", File::new(Content::literal("ok")).fault(When::First(1), Do::status(422)));
    let daemon = with_webhook(&server.url("/in"), "\"accepted\"").await;
    daemon.submit_job(&paused()).await;
    daemon.submit_job(&paused()).await;
    let log = received(&server, "/in", 2).await;
    assert_eq!([&verified(&log[0])["data"]["event"]["job"], &verified(&log[1])["data"]["event"]["job"]], [1, 2]);
    server.replace("/in", File::new(Content::empty()).redirect(307, server.url("/elsewhere")));
    daemon.submit_job(&paused()).await;
    received(&server, "/in", 4).await;
    assert_eq!(server.requests("/elsewhere"), 0);
}

/// Waits until a hook has written this file, to its end.
async fn written(path: &Path) -> String {
    wait_until("the hook has written", async || fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))).await
}

#[tokio::test]
async fn a_hook_gets_the_event_as_json_its_arguments_as_they_are_and_no_secret_of_the_daemon() {
    let script = "cat > $DIR/in; echo >> $DIR/in; echo \"$1,$2\" > $DIR/args; env > $DIR/env; echo 'it\x1b says' >&2";
    let home_environment = [("HAULD_PROXY", "http://ann:canary@127.0.0.1:1".to_owned())];
    let (daemon, dir) = with_hook(script, "events = [\"accepted\"]").await;
    let mut daemon = daemon;
    daemon.terminate();
    let daemon = Daemon::at_with_environment(daemon.into_home(), &home_environment).await;
    daemon.submit_job(&paused()).await;
    written(&dir.join("args")).await;
    let environment = written(&dir.join("env")).await;
    let told: Value = serde_json::from_str(&written(&dir.join("in")).await).expect("JSON");
    assert_eq!((&told["type"], &told["data"]["job"]["id"]), (&"accepted".into(), &1.into()));
    assert_eq!(told["data"]["job"]["url"], "https://files.example/a.bin?…");
    assert_eq!(written(&dir.join("args")).await, "a b,\n");
    assert!(environment.contains("PATH=") && !environment.contains("canary"), "{environment}");
    wait_until("its output is in the log", async || daemon.log().contains("it\\u{1b} says").then_some(())).await;
}

/// Whether a process runs.
fn runs(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

#[tokio::test]
async fn a_hook_that_hangs_is_killed_with_what_it_has_started_and_the_next_event_is_told() {
    let script = "cat > /dev/null; n=$(ls $DIR | wc -l); if [ $n = 0 ]; then sleep 1000 & echo $! > $DIR/child; \
                  echo $$ > $DIR/self; wait; fi; echo > $DIR/second";
    let (daemon, dir) = with_hook(script, "events = [\"accepted\"], timeout = \"2s\"").await;
    daemon.submit_job(&paused()).await;
    let (child, own) = (written(&dir.join("child")).await, written(&dir.join("self")).await);
    daemon.submit_job(&paused()).await;
    written(&dir.join("second")).await;
    wait_until("both are gone", async || (!runs(&child) && !runs(&own)).then_some(())).await;
    assert!(daemon.log().contains("a hook took too long and is killed"));
}

#[tokio::test]
async fn a_hook_that_the_end_of_the_daemon_interrupts_is_run_again() {
    let script =
        "cat > /dev/null; if [ -e $DIR/first ]; then echo > $DIR/second; else echo $$ > $DIR/first; sleep 1000; fi";
    let (mut daemon, dir) = with_hook(script, "events = [\"accepted\"]").await;
    daemon.submit_job(&paused()).await;
    let own = written(&dir.join("first")).await;
    assert!(runs(&own));
    daemon.terminate();
    wait_until("it is gone", async || (!runs(&own)).then_some(())).await;
    assert!(!dir.join("second").exists());
    daemon.restart().await;
    written(&dir.join("second")).await;
}

#[tokio::test]
async fn f_sec_21_no_hook_and_no_webhook_can_be_set_by_the_api() {
    let daemon = Daemon::start().await;
    let token = daemon.home().token();
    let ask = |method: &str, path: &str, body: &str| -> Answer {
        daemon.raw(format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    };
    for field in ["hook", "hooks", "webhook", "webhooks", "command", "on_complete"] {
        for (method, path, body) in [
            ("PATCH", "/v1/settings", format!("{{\"{field}\": {{}}}}")),
            ("POST", "/v1/jobs", format!("{{\"url\": \"http://a/b\", \"{field}\": {{}}}}")),
        ] {
            let problem = ask(method, path, &body).problem(&body);
            assert_eq!((&*problem.code, problem.field.as_deref()), ("unknown-field", Some(field)), "{method} {path}");
        }
    }
}
