//! The web page, in a real Chromium that `page/play.py` drives.

mod extras;
mod mend;

use std::process::Command;

use haul_api::{Scope, Start, SubmitJob, WaitingFor};
use haul_testkit::{Content, Do, File, Server, When};
use serde_json::{Value, json};

use crate::support::{Daemon, MIB, assert_holds, chromium, say, tool};

/// Jobs that scroll.
const MANY: usize = 10_000;

/// Runs a scenario of `page/play.py`, and says what it has measured. Tells whether this machine could.
async fn play(daemon: &Daemon, scenario: &str, mut given: Value) -> bool {
    let (Some(python), Some(chromium)) = (tool("python3"), chromium()) else { return false };
    let code = daemon.client().make_pair_code(Scope::Admin).await.expect("a code");
    given["page"] = json!(code.page_url);
    given["code"] = json!(code.code);
    given["token"] = json!(daemon.home().token());
    given["chromium"] = json!(chromium);
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/daemon/page/play.py")).arg(scenario).arg(given.to_string());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("nobody panics in it").expect("it can be started");
    say(&String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{scenario}: {}", String::from_utf8_lossy(&output.stderr));
    true
}

fn paused(url: impl Into<String>) -> SubmitJob {
    SubmitJob { start: Some(Start::Paused), ..SubmitJob::new(url) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_pasted_fetched_paused_deleted_and_brought_back_on_the_page() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(91, MIB);
    server.add("/fast.bin", File::new(content.clone()));
    server.add("/slow.bin", File::new(Content::seeded(92, 64 * MIB)).shared_rate(1_000_000));
    let given = json!({"fast": server.url("/fast.bin"), "slow": server.url("/slow.bin")});
    if play(&daemon, "walk", given).await {
        assert_holds(&daemon.home().downloads().join("fast.bin"), &content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f_http_05_an_expired_link_is_renewed_on_the_page() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(93, 8 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"").shared_rate(8_000_000);
    server.add("/a.bin", file.clone());
    server.add("/fresh", File::new(content.clone()).etag("\"v1\""));
    server.add("/wrong", File::new(Content::seeded(94, 8 * MIB)));
    let id = daemon.submit(&server.url("/a.bin")).await;
    daemon.until(id, "some bytes are written", |job| job.done_bytes > 2 * MIB).await;
    server.replace("/a.bin", file.fault(When::Always, Do::status(403)));
    server.reset_connections();
    daemon.until(id, "it waits for a link", |job| job.waiting_for == Some(WaitingFor::Link)).await;
    let given = json!({"fresh": server.url("/fresh"), "wrong": server.url("/wrong")});
    if play(&daemon, "renew", given).await {
        daemon.completed(id).await;
        assert_holds(&daemon.home().downloads().join("a.bin"), &content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_program_changes_is_seen_on_the_page_at_once() {
    let daemon = Daemon::start().await;
    let id = daemon.submit_job(&paused("http://h.invalid/a.bin")).await;
    play(&daemon, "live", json!({"job": id})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_jobs_scroll_on_the_page() {
    let daemon = Daemon::start().await;
    let jobs: Vec<_> = (0..MANY).map(|n| paused(format!("http://h.invalid/file-{n:05}.bin"))).collect();
    for some in jobs.chunks(1000) {
        daemon.client().submit_many(some).await.expect("they are accepted");
    }
    play(&daemon, "many", json!({"number": MANY})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_used_by_keys_alone() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add("/added.bin", File::new(Content::seeded(95, 1000)));
    for n in ["a", "b", "c"] {
        daemon.submit_job(&paused(format!("http://h.invalid/{n}.bin"))).await;
    }
    play(&daemon, "keys", json!({"added": server.url("/added.bin"), "number": 3})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_links_labels_and_errors_that_are_markup_stay_text_on_the_page() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let name = "<img src=x onerror=hacked=1>.bin";
    let label = "<b onclick=hacked=1>";
    let job = SubmitJob {
        filename: Some(name.to_owned()),
        label: Some(label.to_owned()),
        ..paused(server.url("/%3Cimg%20src=x%20onerror=hacked=1%3E"))
    };
    let id = daemon.submit_job(&job).await;
    let failed = daemon.submit(&server.url("/%3Cimg%20src=x%20onerror=hacked=1%3E")).await;
    daemon.failed(failed).await;
    play(&daemon, "hostile", json!({"job": id, "failed": failed, "name": name, "label": label})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f_sec_26_the_page_cannot_be_framed_or_held_by_a_page_of_another_origin() {
    let daemon = Daemon::start().await;
    let ask = |site: &str, mode: &str, dest: &str| {
        daemon.raw(format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nSec-Fetch-Site: {site}\r\nSec-Fetch-Mode: {mode}\r\n\
             Sec-Fetch-Dest: {dest}\r\n\r\n"
        ))
    };
    for (mode, dest) in [("navigate", "iframe"), ("no-cors", "document"), ("no-cors", "script"), ("cors", "empty")] {
        assert_eq!(ask("cross-site", mode, dest).status, 403, "{mode} {dest}");
    }
    let visit = ask("cross-site", "navigate", "document");
    assert_eq!(visit.status, 200, "a link may lead here");
    assert!(visit.header("content-security-policy").is_some_and(|policy| policy.contains("frame-ancestors 'none'")));
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(visit.header(name), Some(value), "{visit:?}");
    }
    play(&daemon, "framed", json!({})).await;
}
