//! What holds a job back is told, with its numbers.

use haul_api::{JobState, SubmitJob, Why, WhyReason};
use haul_testkit::{Content, Do, File, Server, When};

use crate::support::{Daemon, MIB, refusal, wait_until};

async fn why(daemon: &Daemon, id: u64) -> Why {
    daemon.client().why(id).await.expect("the job is there")
}

/// Waits until a reason with this code is given, and fits.
async fn until(daemon: &Daemon, id: u64, code: &str, fits: impl Fn(&WhyReason) -> bool) -> (Why, WhyReason) {
    wait_until(code, async || {
        let why = why(daemon, id).await;
        let reason = why.reasons.iter().find(|reason| reason.code == code && fits(reason)).cloned();
        reason.map(|reason| (why, reason))
    })
    .await
}

fn number(reason: &WhyReason, name: &str) -> u64 {
    reason.numbers[name].as_u64().unwrap_or_else(|| panic!("no {name}: {reason:?}"))
}

#[tokio::test]
async fn a_cap_that_was_learned_from_refusals() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let file = File::new(Content::seeded(1, 64 * MIB)).etag("\"v1\"").rate_per_connection(1_000_000);
    server.add("/a.iso", file.max_connections(2, 429));
    let id = daemon.submit(&server.url("/a.iso")).await;
    let (why, reason) = until(&daemon, id, "host-cap", |reason| number(reason, "connections") == 2).await;
    assert_eq!((number(&reason, "learned_cap"), number(&reason, "connections")), (2, 2));
    assert!(number(&reason, "refusals") >= 1 && number(&reason, "holds_ms") <= 600_000, "{reason:?}");
    assert_eq!(reason.numbers["host"], server.url(""));
    let begins = format!("{} takes 2 connections, all in use (learned from ", server.url(""));
    assert!(reason.message.starts_with(&begins), "{reason:?}");
    assert!(reason.message.contains("; one more is tried "), "{reason:?}");
    assert!(why.summary.starts_with("fetching") && why.summary.ends_with(&reason.message), "{why:?}");
}

#[tokio::test]
async fn a_server_that_limits_each_connection() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let file = File::new(Content::seeded(2, 64 * MIB)).etag("\"v1\"").rate_per_connection(180_000);
    server.add("/a.iso", file);
    let job = SubmitJob { connections: Some(4), ..SubmitJob::new(server.url("/a.iso")) };
    let id = daemon.submit_job(&job).await;
    let right = |reason: &WhyReason| {
        number(reason, "connections") == 4 && (120_000..240_000).contains(&number(reason, "bytes_per_second"))
    };
    let (why, reason) = until(&daemon, id, "per-connection", right).await;
    assert!(
        reason.message.starts_with("the server gives about 1") && reason.message.ends_with("(4 in use)"),
        "{reason:?}"
    );
    assert!(why.summary.contains(" left"), "speed and time to the end belong to it: {why:?}");
    until(&daemon, id, "job-cap", |reason| number(reason, "connections_max") == 4).await;
}

#[tokio::test]
async fn a_bandwidth_limit_of_our_own() {
    let (server, daemon) = (Server::start(), Daemon::with("bandwidth_limit = \"5MB\"").await);
    server.add("/a.iso", File::new(Content::seeded(3, 64 * MIB)).etag("\"v1\"").shared_rate(20_000_000));
    let job = SubmitJob { bandwidth_limit: Some(500_000), ..SubmitJob::new(server.url("/a.iso")) };
    let id = daemon.submit_job(&job).await;
    let (why, reason) = until(&daemon, id, "bandwidth-limit", |_| true).await;
    let limits = serde_json::json!([
        {"of": "job", "bytes_per_second": 500_000}, {"of": "everything", "bytes_per_second": 5_000_000},
    ]);
    assert_eq!(reason.numbers["limits"], limits);
    assert_eq!(reason.message, "our own bandwidth limits hold it up: 500KB/s for this job, 5MB/s for everything");
    assert!(why.summary.contains("bandwidth limit"), "{why:?}");
}

#[tokio::test]
async fn a_queue_a_pause_an_end_and_a_failure() {
    let (server, daemon) = (Server::start(), Daemon::with("max_active_jobs = 1").await);
    server.add("/slow.iso", File::new(Content::seeded(4, 8 * MIB)).etag("\"v1\"").shared_rate(200_000));
    server.add("/ok.bin", File::new(Content::seeded(4, 1000)));
    server.add("/gone.bin", File::new(Content::empty()).fault(When::Always, Do::status(404)));
    let slow = daemon.submit(&server.url("/slow.iso")).await;
    daemon.until(slow, "it runs", |job| job.state == JobState::Active).await;
    let next = daemon.submit(&server.url("/gone.bin")).await;
    let last = daemon.submit(&server.url("/ok.bin")).await;

    let (why_next, _) = until(&daemon, next, "no-slot", |reason| number(reason, "jobs_ahead") == 0).await;
    let expected = "queued: 1 job at a time is all that `max_active_jobs` allows, and it is the next";
    assert_eq!(why_next.summary, expected);
    let (why_last, reason) = until(&daemon, last, "no-slot", |reason| number(reason, "jobs_ahead") == 1).await;
    assert!(why_last.summary.ends_with("and 1 more comes before it"), "{why_last:?}");
    assert_eq!((number(&reason, "active_jobs"), number(&reason, "max_active_jobs")), (1, 1));

    daemon.client().pause(slow).await.expect("a running job can be paused");
    let paused = why(&daemon, slow).await;
    assert_eq!(paused.summary, format!("somebody has paused it; `haul resume {slow}` lets it go on"));
    assert_eq!(paused.reasons[0].code, "paused");

    daemon.failed(next).await;
    let failed = why(&daemon, next).await;
    assert_eq!(failed.reasons[0].code, "failed");
    assert_eq!(failed.reasons[0].numbers["fault"]["code"], "http-status");
    assert!(failed.summary.starts_with("it has failed: ") && failed.summary.contains("404"), "{failed:?}");

    daemon.completed(last).await;
    let completed = why(&daemon, last).await;
    let path = daemon.home().downloads().join("ok.bin");
    assert_eq!(completed.summary, format!("it is complete: {}", path.display()));
    daemon.client().cancel(slow).await.expect("a paused job can be given up");
    assert_eq!(why(&daemon, slow).await.reasons[0].code, "canceled");
    assert_eq!(refusal(daemon.client().why(999).await).code, "job-not-found");
}

#[tokio::test]
async fn a_job_that_waits_for_its_server() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let busy = Do::status_with(503, "Retry-After", "60");
    server.add("/a.iso", File::new(Content::seeded(5, MIB)).fault(When::First(1), busy));
    let id = daemon.submit(&server.url("/a.iso")).await;
    let (why, reason) = until(&daemon, id, "waits", |_| true).await;
    assert_eq!(reason.numbers["waiting_for"], "host");
    assert_eq!(reason.numbers["fault"]["code"], "http-status");
    assert!((1..=60_000).contains(&number(&reason, "retry_in_ms")), "{reason:?}");
    assert!(
        why.summary.starts_with("waiting: the server asks for a pause: ") && why.summary.contains("503"),
        "{why:?}"
    );
}
