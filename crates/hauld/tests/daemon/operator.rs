//! What whoever runs the daemon sees of it, and changes: metrics, the log, readiness, its own examination.

use std::fs;

use haul_api::{JobState, NewToken, Scope, SubmitJob, WaitingFor};
use haul_testkit::{Content, Do, File, Server, When};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Answer, Daemon, Home, MIB, refusal, wait_until};

fn ask(daemon: &Daemon, line: &str, token: &str) -> Answer {
    daemon.raw(format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    ))
}

async fn token(daemon: &Daemon, scope: Scope) -> String {
    let new = NewToken { name: scope.to_string(), scope, jobs_max: None };
    daemon.client().make_token(&new).await.expect("a token is made").token
}

/// The value of the only line that begins so.
fn value(metrics: &str, name: &str) -> f64 {
    let mut lines = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = lines.next().unwrap_or_else(|| panic!("no {name}: {metrics}"));
    assert_eq!(lines.next(), None, "{name} is there once");
    value.parse().expect("a number")
}

#[tokio::test]
async fn metrics_tell_what_happened_and_name_neither_hosts_nor_paths() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(1, 2 * MIB);
    server.add("/secret-name.bin", File::new(content).fault(When::First(1), Do::status(503)));
    let id = daemon.submit(&server.url("/secret-name.bin")).await;
    daemon.completed(id).await;
    let reader = token(&daemon, Scope::Read).await;
    ask(&daemon, "GET /v1/jobs/999", &reader);
    ask(&daemon, "GET /no/such/route", &reader);
    let answer = ask(&daemon, "GET /metrics", &reader);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    let metrics = answer.body.as_str();
    assert_eq!(value(metrics, "haul_jobs{state=\"completed\"}"), 1.0);
    assert_eq!(value(metrics, "haul_jobs{state=\"active\"}"), 0.0);
    assert!(value(metrics, "haul_received_bytes_total") >= 2.0 * MIB as f64, "{metrics}");
    assert_eq!(value(metrics, "haul_connections{host_class=\"open\"}"), 0.0);
    assert!(value(metrics, "haul_commit_seconds_count{kind=\"durable\"}") >= 1.0);
    assert!(value(metrics, "haul_sync_seconds_count") >= 1.0, "{metrics}");
    assert!(value(metrics, "haul_driver_lag_seconds_count") >= 1.0, "{metrics}");
    assert_eq!(value(metrics, "haul_store_waiting"), 0.0);
    let of_route = |method: &str, route: &str, status: u16| {
        let labels = format!("{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}");
        value(metrics, &format!("haul_api_request_seconds_count{labels}"))
    };
    assert_eq!(of_route("POST", "/v1/jobs", 201), 1.0);
    assert_eq!(of_route("GET", "/v1/jobs/{id}", 404), 1.0);
    assert_eq!(of_route("GET", "none", 404), 1.0);
    assert!(
        metrics.contains(&format!("haul_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"))),
        "{metrics}"
    );
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    for foreign in ["127.0.0.1", "secret-name", "/no/such/route"] {
        assert!(!metrics.contains(foreign), "{foreign}: {metrics}");
    }
    // Chunks that are tried again are counted by their cause; a first request that is refused is the job's own wait.
    assert!(metrics.contains("# TYPE haul_retries counter"), "{metrics}");

    let submits = token(&daemon, Scope::Submit).await;
    assert_eq!(ask(&daemon, "GET /metrics", &submits).problem("submit").code, "scope-not-allowed");
    assert_eq!(daemon.raw("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").status, 401);
}

#[tokio::test]
async fn retries_are_counted_by_their_cause() {
    let (server, daemon) = (Server::start(), Daemon::with("connections_per_job = 2").await);
    // Slow enough for its head to be read long before the reset, which discards what is not.
    let file = File::new(Content::seeded(2, MIB)).etag("\"v1\"").rate_per_connection(200_000);
    server.add("/a.bin", file.fault(When::First(1), Do::ResetAfter(200_000)));
    daemon.completed(daemon.submit(&server.url("/a.bin")).await).await;
    let metrics = ask(&daemon, "GET /metrics", &daemon.home().token()).body;
    let retries: Vec<&str> = metrics.lines().filter(|line| line.starts_with("haul_retries_total{")).collect();
    assert!(!retries.is_empty(), "{metrics}");
    assert!(retries.iter().all(|line| line.contains("cause=\"")), "{retries:?}");
}

#[tokio::test]
async fn the_log_is_changed_live_until_the_settings_say_otherwise() {
    let mut daemon = Daemon::with("log = \"warn,hauld=info\"").await;
    let is_silent = |daemon: &Daemon| !daemon.log().contains("TRACE") && !daemon.log().contains("DEBUG");
    daemon.client().stats().await.expect("totals");
    assert!(is_silent(&daemon), "{}", daemon.log());
    assert_eq!(daemon.client().log().await.expect("the log").log, "warn,hauld=info");
    let changed = daemon.client().set_log("trace").await.expect("it can be changed");
    assert_eq!(changed.log, "trace");
    // A job whose server is not there: its attempts are logged in detail, and in detail alone.
    daemon.submit("http://127.0.0.1:1/a.bin").await;
    wait_until("it is logged in detail", async || daemon.log().contains("DEBUG").then_some(())).await;
    let problem = refusal(daemon.client().set_log("loud").await);
    assert_eq!((problem.code.as_ref(), problem.field.as_deref()), ("invalid-value", Some("log")));
    assert_eq!(daemon.client().log().await.expect("the log").log, "trace", "a mistake changes nothing");

    let pid = Pid::from_raw(i32::try_from(daemon.process()).expect("a process")).expect("a process");
    daemon.home().configure("log = \"info\"");
    kill_process(pid, Signal::HUP).expect("it is our child");
    let log = |wanted: &'static str| {
        let daemon = &daemon;
        async move || (daemon.client().log().await.expect("the log").log == wanted).then_some(())
    };
    wait_until("the settings count again", log("info")).await;
    daemon.home().configure("log = \"loud\"");
    kill_process(pid, Signal::HUP).expect("it is our child");
    wait_until("the mistake is told", async || daemon.log().contains("the log stays as it was").then_some(())).await;
    assert_eq!(daemon.client().log().await.expect("the log").log, "info");
    daemon.tolerate("the log stays as it was");

    daemon.client().set_log("debug").await.expect("it can be changed");
    daemon.home().configure("log = \"warn,hauld=info\"");
    daemon.terminate();
    daemon.restart().await;
    assert_eq!(daemon.client().log().await.expect("the log").log, "warn,hauld=info", "no change outlives the process");

    for scope in [Scope::Read, Scope::Submit] {
        let token = token(&daemon, scope).await;
        let body = "{\"log\": \"trace\"}";
        let answer = daemon.raw(format!(
            "PUT /v1/log-level HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(answer.problem("put").code, "scope-not-allowed");
    }
}

#[tokio::test]
async fn f_sec_20_the_examination_tells_what_waits_and_why_and_no_secret() {
    let server = Server::start();
    let settings =
        "connections_total = 8\nproxy = \"http://canary-user:canary-password@127.0.0.1:1\"\nno_proxy = \"127.0.0.1\"";
    let daemon = Daemon::with(settings).await;
    let healthy = daemon.client().doctor().await.expect("a report");
    assert_eq!((healthy.healthy, healthy.findings.as_slice()), (true, [].as_slice()), "{healthy:?}");
    assert_eq!(healthy.configuration["connections_total"], "8");
    assert!(healthy.configuration["proxy"].contains("127.0.0.1:1"), "{:?}", healthy.configuration);
    assert_eq!((healthy.limits.connections_total, healthy.database.damage.len()), (8, 0));
    assert!(healthy.database.schema >= 9 && healthy.database.bytes > 0, "{healthy:?}");
    let settings: Vec<&str> = healthy.directories.iter().map(|directory| directory.setting.as_str()).collect();
    assert_eq!(settings, ["data_dir", "download_dir"]);
    for directory in &healthy.directories {
        assert!(directory.free_bytes.is_some() && directory.file_system.is_some(), "{directory:?}");
    }

    let file = File::new(Content::seeded(3, 8 * MIB)).etag("\"v1\"").rate_per_connection(1_000_000);
    server.add("/a.bin", file.clone());
    let job = SubmitJob {
        headers: Some([("X-Api-Key".to_owned(), "canary-key".to_owned())].into()),
        connections: Some(2),
        ..SubmitJob::new(server.url("/a.bin?key=canary-query"))
    };
    let id = daemon.submit_job(&job).await;
    daemon.until(id, "bytes are there", |job| job.done_bytes > 0).await;
    server.replace("/a.bin", file.fault(When::Always, Do::status(403)));
    server.reset_connections();
    daemon.until(id, "it waits for a link", |job| job.waiting_for == Some(WaitingFor::Link)).await;
    let report = wait_until("the fault is stored", async || {
        let report = daemon.client().doctor().await.expect("a report");
        (!report.last_errors.is_empty()).then_some(report)
    })
    .await;
    assert!(!report.healthy);
    let finding = &report.findings[0];
    assert_eq!((finding.code.as_str(), report.findings.len()), ("link-expired", 1), "{report:?}");
    assert!(finding.advice.contains(&format!("haul renew {id} URL")), "{finding:?}");
    let waiting = &report.waiting[0];
    assert_eq!((waiting.id, waiting.state, waiting.waiting_for), (id, JobState::Waiting, Some(WaitingFor::Link)));
    assert!(waiting.why.contains("403"), "{waiting:?}");

    for scope in [Scope::Admin, Scope::Read] {
        let body = ask(&daemon, "GET /v1/doctor", &token(&daemon, scope).await).body;
        assert!(!body.contains("canary") && !body.contains(&daemon.home().token()), "{scope}: {body}");
        assert!(body.contains("link-expired"), "{scope}: {body}");
    }
    let submits = token(&daemon, Scope::Submit).await;
    assert_eq!(ask(&daemon, "GET /v1/doctor", &submits).problem("submit").code, "scope-not-allowed");
}

#[tokio::test]
async fn a_download_directory_that_cannot_be_used_is_found_and_no_jobs_are_wanted() {
    let daemon = Daemon::at(Home::new("connections_total = 8")).await;
    assert!(daemon.client().ready().await.expect("an answer").ready);
    let downloads = daemon.home().downloads();
    fs::remove_dir(&downloads).expect("nothing is in it");
    fs::write(&downloads, "a file").expect("a writable directory");
    let ready = daemon.client().ready().await.expect("an answer");
    assert!(!ready.ready, "{ready:?}");
    assert!(ready.reasons.iter().any(|reason| reason.contains("`download_dir`")), "{ready:?}");
    let path = downloads.display().to_string();
    assert!(!ready.reasons.iter().any(|reason| reason.contains(&path)), "anybody may ask: {ready:?}");
    let report = daemon.client().doctor().await.expect("a report");
    assert_eq!(report.findings.iter().map(|finding| finding.code.as_str()).collect::<Vec<_>>(), ["directory-unusable"]);
    fs::remove_file(&downloads).expect("it is ours");
    fs::create_dir(&downloads).expect("a writable directory");
    assert!(daemon.client().ready().await.expect("an answer").ready);
}
