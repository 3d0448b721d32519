//! Pause, resume, retry, cancel, delete, limits and lists do what they say.

use std::time::{Duration, Instant};

use haul_api::{Files, JobQuery, JobState, Limits, Outcome, PatchJob, Problem, Start, SubmitJob};
use haul_testkit::{Content, File, Server};

use crate::support::{DEADLINE, Daemon, MIB, assert_holds, refusal, say, wait_until};

/// A file that takes a while: 8 MiB at 2 MB/s.
fn slow(seed: u64) -> (Content, File) {
    let content = Content::seeded(seed, 8 * MIB);
    (content.clone(), File::new(content).etag("\"v1\"").shared_rate(2_000_000))
}

fn assert_conflict(problem: &Problem, what: &str) {
    assert_eq!((problem.status, problem.code.as_ref()), (409, "conflict-state"), "{what}: {problem:?}");
}

#[tokio::test]
async fn pause_keeps_the_bytes_and_resume_goes_on_from_them() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(1, 6 * MIB);
    server.add("/a.iso", File::new(content.clone()).etag("\"v1\"").shared_rate(6_000_000));
    let id = daemon.submit(&server.url("/a.iso")).await;
    daemon.until(id, "some bytes are written", |job| job.done_bytes > 2 * MIB).await;
    let paused = daemon.client().pause(id).await.expect("a running job can be paused");
    assert_eq!(paused.state, JobState::Paused, "the answer says what was asked");
    assert!(server.wait_until(DEADLINE, |server| server.in_flight("/a.iso").0 == 0), "the connections go");
    let job = daemon.until(id, "nothing is left to sync", |job| job.durable_bytes == job.done_bytes).await;
    assert!(job.done_bytes > 2 * MIB);
    assert_eq!((job.connections.active, job.speed), (0, 0));
    let requests = server.requests("/a.iso");
    daemon.client().pause(id).await.expect("asking twice is the same as asking once");

    daemon.client().resume(id).await.expect("a paused job can be resumed");
    daemon.client().resume(id).await.expect("asking twice is the same as asking once");
    daemon.completed(id).await;
    assert!(server.requests("/a.iso") > requests);
    assert_holds(&daemon.home().downloads().join("a.iso"), &content);
    let again = server.bytes_sent_again("/a.iso");
    assert!(again < MIB, "{again} bytes were sent again");
}

#[tokio::test]
async fn a_job_can_be_paused_and_resumed_at_any_moment() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(2, 3 * MIB);
    server.add("/a.iso", File::new(content.clone()).etag("\"v1\"").shared_rate(3_000_000));
    let id = daemon.submit(&server.url("/a.iso")).await;
    // The first rounds fall into the probe and into the making of the part file.
    for _ in 0..40 {
        daemon.client().pause(id).await.expect("it has not ended");
        daemon.client().resume(id).await.expect("it has not ended");
    }
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.iso"), &content);
    assert_eq!(daemon.home().names(), ["a.iso"]);
}

#[tokio::test]
async fn a_job_can_be_canceled_at_any_moment_and_leaves_nothing() {
    let (server, daemon) = (Server::start(), Daemon::with("max_active_jobs = 30").await);
    server.add("/a.iso", slow(3).1);
    let mut ids = Vec::new();
    for n in 0..30 {
        let id = daemon.submit(&server.url("/a.iso")).await;
        let arrived = server.wait_until(DEADLINE, |server| n % 3 != 1 || server.requests("/a.iso") > n / 3);
        assert!(arrived);
        if n % 3 == 2 {
            daemon.until(id, "it has begun", |job| job.total_bytes.is_some()).await;
        }
        let job = daemon.client().cancel(id).await.expect("a job that has not ended can be canceled");
        assert_eq!(job.state, JobState::Canceled);
        ids.push(id);
    }
    let home = daemon.home();
    wait_until("the part files are gone", async || home.names().is_empty().then_some(())).await;
    assert!(server.wait_until(DEADLINE, |server| server.in_flight("/a.iso").0 == 0), "the connections go");
    for id in ids {
        assert_eq!(daemon.job(id).await.state, JobState::Canceled);
        daemon.client().cancel(id).await.expect("asking twice is the same as asking once");
        assert_conflict(&refusal(daemon.client().resume(id).await), "resume of a canceled job");
        assert_conflict(&refusal(daemon.client().retry(id).await), "retry of a canceled job");
        assert_conflict(&refusal(daemon.client().pause(id).await), "pause of a canceled job");
    }
}

#[tokio::test]
async fn cancel_removes_the_bytes_of_a_paused_and_of_a_failed_job() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add("/a.iso", slow(4).1);
    let paused = daemon.submit(&server.url("/a.iso")).await;
    daemon.until(paused, "some bytes are written", |job| job.done_bytes > MIB).await;
    daemon.client().pause(paused).await.expect("a running job can be paused");
    daemon.until(paused, "all is synced", |job| job.durable_bytes == job.done_bytes).await;
    daemon.client().cancel(paused).await.expect("a paused job can be canceled");
    let home = daemon.home();
    wait_until("the part file is gone", async || home.names().is_empty().then_some(())).await;

    server.add("/b.iso", File::new(Content::seeded(5, MIB)));
    let wrong =
        SubmitJob { checksum: Some(format!("sha256:{}", "1".repeat(64))), ..SubmitJob::new(server.url("/b.iso")) };
    let failed = daemon.submit_job(&wrong).await;
    daemon.failed(failed).await;
    assert_eq!(home.names().len(), 1, "a failed job keeps its bytes");
    daemon.client().cancel(failed).await.expect("a failed job can be given up");
    wait_until("the part file is gone", async || home.names().is_empty().then_some(())).await;
}

#[tokio::test]
async fn f_api_08_an_ended_job_refuses_what_makes_no_sense_and_says_what_would() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add("/a.bin", File::new(Content::seeded(6, 100)));
    let done = daemon.submit(&server.url("/a.bin")).await;
    daemon.completed(done).await;
    let client = daemon.client();
    for (what, result) in [
        ("pause", client.pause(done).await),
        ("resume", client.resume(done).await),
        ("retry", client.retry(done).await),
        ("cancel", client.cancel(done).await),
    ] {
        let problem = refusal(result);
        assert_conflict(&problem, what);
        assert_eq!(problem.instance.as_deref(), Some(format!("/v1/jobs/{done}").as_str()));
        assert!(problem.detail.contains("complete"), "{what}: {}", problem.detail);
    }
    let failed = daemon.submit(&server.url("/missing")).await;
    daemon.failed(failed).await;
    let problem = refusal(client.resume(failed).await);
    assert_conflict(&problem, "resume of a failed job");
    assert!(problem.detail.contains("retry"), "{}", problem.detail);
    for (what, result) in [
        ("show", client.job(999).await),
        ("pause", client.pause(999).await),
        ("cancel", client.cancel(999).await),
        ("patch", client.patch(999, &PatchJob { priority: Some(1), ..PatchJob::default() }).await),
    ] {
        let problem = refusal(result);
        assert_eq!((problem.status, problem.code.as_ref()), (404, "job-not-found"), "{what}");
    }
    assert_eq!(refusal(client.delete(999, Files::Keep).await).status, 404);
    assert_eq!(refusal(client.chunks(999).await).status, 404);
}

#[tokio::test]
async fn delete_hides_at_once_and_keeps_or_removes_the_file_as_asked() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let client = daemon.client();
    let home = daemon.home();
    server.add("/kept.bin", File::new(Content::seeded(7, 1000)));
    server.add("/gone.bin", File::new(Content::seeded(8, 1000)));
    server.add("/running.iso", slow(9).1);
    let kept = daemon.submit(&server.url("/kept.bin")).await;
    let gone = daemon.submit(&server.url("/gone.bin")).await;
    daemon.completed(kept).await;
    daemon.completed(gone).await;
    let running = daemon.submit(&server.url("/running.iso")).await;
    daemon.until(running, "some bytes are written", |job| job.done_bytes > 100_000).await;

    for (id, files) in [(kept, Files::Keep), (gone, Files::Delete), (running, Files::Keep)] {
        client.delete(id, files).await.expect("every job can be deleted");
        assert_eq!(refusal(client.job(id).await).status, 404, "it is gone at once");
        assert_eq!(refusal(client.delete(id, files).await).status, 404);
    }
    assert!(client.jobs(&JobQuery::default()).await.expect("a list").jobs.is_empty());
    wait_until("only the kept file is left", async || (home.names() == ["kept.bin"]).then_some(())).await;
    assert!(server.wait_until(DEADLINE, |server| server.in_flight("/running.iso").0 == 0), "the connections go");
    let next = daemon.submit(&server.url("/kept.bin")).await;
    assert!(next > running, "F-API-09: ids are never reused");
}

#[tokio::test]
async fn a_long_poll_returns_when_the_state_changes_or_the_time_is_over() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add("/a.iso", slow(10).1);
    let id = daemon.submit(&server.url("/a.iso")).await;
    daemon.until(id, "it runs", |job| job.state == JobState::Active).await;
    let client = daemon.client();

    let begun = Instant::now();
    let job = client.wait(id, 1, Some(JobState::Active)).await.expect("an answer");
    assert_eq!(job.state, JobState::Active);
    assert!((0.9..3.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());

    let waiting = client.clone();
    let poll = tokio::spawn(async move { waiting.wait(id, 60, Some(JobState::Active)).await });
    client.pause(id).await.expect("a running job can be paused");
    let job = poll.await.expect("no panic").expect("an answer");
    assert_eq!(job.state, JobState::Paused);
    let begun = Instant::now();
    client.wait(id, 60, Some(JobState::Active)).await.expect("an answer");
    assert!(begun.elapsed() < Duration::from_secs(5), "a state that is another already is no reason to wait");
    let none = refusal(client.wait(999, 60, None).await);
    assert_eq!(none.status, 404);
}

#[tokio::test]
async fn connections_can_be_lowered_and_raised_while_a_job_runs() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(11, 32 * MIB);
    server.add("/a.iso", File::new(content.clone()).etag("\"v1\"").rate_per_connection(500_000));
    let id = daemon.submit(&server.url("/a.iso")).await;
    assert!(server.wait_until(DEADLINE, |server| server.in_flight("/a.iso").0 >= 16), "it uses many connections");
    let connections = |number| PatchJob { connections: Some(number), ..PatchJob::default() };
    let job = daemon.client().patch(id, &connections(2)).await.expect("a running job can be changed");
    assert_eq!(job.connections.max, 2);
    assert!(server.wait_until(DEADLINE, |server| server.in_flight("/a.iso").0 <= 2), "the others end");
    daemon.client().patch(id, &connections(24)).await.expect("a running job can be changed");
    assert!(server.wait_until(DEADLINE, |server| server.in_flight("/a.iso").0 >= 20), "it goes up again");
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.iso"), &content);
    // What lay in the sockets of 30 connections is lost, nothing else.
    let again = server.bytes_sent_again("/a.iso");
    assert!(again <= content.len() / 8, "{again} bytes were sent again");
}

/// How fast a job gets on while `bytes` more arrive, once what was under way has passed.
async fn rate(daemon: &Daemon, id: u64, bytes: u64) -> f64 {
    let before = daemon.job(id).await.done_bytes;
    let from = daemon.until(id, "it gets on", |job| job.done_bytes > before + 500_000).await.done_bytes;
    let begun = Instant::now();
    let to = daemon.until(id, "it gets on", |job| job.done_bytes > from + bytes).await.done_bytes;
    (to - from) as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jobs_bandwidth_limit_can_be_changed_while_it_runs() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(12, 64 * MIB);
    // The server's own pace keeps the bytes that it counts close to those that arrive.
    server.add("/a.iso", File::new(content.clone()).etag("\"v1\"").shared_rate(20_000_000));
    let job =
        SubmitJob { bandwidth_limit: Some(1_000_000), connections: Some(4), ..SubmitJob::new(server.url("/a.iso")) };
    let id = daemon.submit_job(&job).await;
    assert_eq!(daemon.job(id).await.bandwidth_limit, 1_000_000);
    let held = rate(&daemon, id, 2_000_000).await;
    let limit = |rate| PatchJob { bandwidth_limit: Some(rate), ..PatchJob::default() };
    daemon.client().patch(id, &limit(4_000_000)).await.expect("a running job can be changed");
    let raised = rate(&daemon, id, 6_000_000).await;
    daemon.client().patch(id, &limit(1_500_000)).await.expect("a running job can be changed");
    let lowered = rate(&daemon, id, 2_000_000).await;
    // What the server has sent bounds what the job can have: the limit holds on the line, too.
    let (sent, done) = (server.bytes_sent("/a.iso"), daemon.job(id).await.done_bytes);
    assert!(sent < done + 32 * MIB, "{sent} bytes were sent for {done}");
    daemon.client().patch(id, &limit(0)).await.expect("a running job can be changed");
    let lifted = rate(&daemon, id, 16_000_000).await;
    say(&format!("1 MB/s: {held:.0}, 4 MB/s: {raised:.0}, 1.5 MB/s: {lowered:.0}, no limit: {lifted:.0} B/s"));
    assert!((0.75e6..1.25e6).contains(&held), "{held:.0} B/s with a limit of 1 MB/s");
    assert!((2.8e6..5.2e6).contains(&raised), "{raised:.0} B/s with a limit of 4 MB/s");
    assert!((1.1e6..1.9e6).contains(&lowered), "{lowered:.0} B/s with a limit of 1.5 MB/s");
    assert!(lifted > 6.0e6, "{lifted:.0} B/s without a limit");
    assert_eq!(daemon.job(id).await.bandwidth_limit, 0);
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.iso"), &content);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_global_limit_holds_over_all_jobs_and_is_kept_over_a_restart() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    for path in ["/a.iso", "/b.iso"] {
        server.add(path, File::new(Content::seeded(13, 16 * MIB)).etag("\"v1\"").shared_rate(10_000_000));
    }
    let limits = Limits {
        bandwidth_limit: Some(2_000_000),
        max_active_jobs: Some(5),
        connections_per_job: Some(4),
        ..Limits::default()
    };
    let settings = daemon.client().patch_settings(&limits).await.expect("limits can be changed");
    assert_eq!((settings.bandwidth_limit, settings.max_active_jobs), (2_000_000, 5));
    let one = daemon.submit(&server.url("/a.iso")).await;
    let two = daemon.submit(&server.url("/b.iso")).await;
    let done = async || daemon.job(one).await.done_bytes + daemon.job(two).await.done_bytes;
    let from = wait_until("both have begun", async || Some(done().await).filter(|done| *done > 1_000_000)).await;
    let begun = Instant::now();
    let to = wait_until("4 MB more", async || Some(done().await).filter(|done| *done > from + 4_000_000)).await;
    let measured = (to - from) as f64 / begun.elapsed().as_secs_f64();
    say(&format!("2 MB/s over two jobs: {measured:.0} B/s"));
    assert!((1.5e6..2.5e6).contains(&measured), "{measured:.0} B/s with a limit of 2 MB/s");

    daemon.kill();
    daemon.restart().await;
    assert_eq!(daemon.client().settings().await.expect("the settings"), settings);
    let stats = daemon.client().stats().await.expect("the totals");
    assert_eq!(stats.bandwidth_limit, 2_000_000);
    let off = Limits { bandwidth_limit: Some(0), ..Limits::default() };
    daemon.client().patch_settings(&off).await.expect("limits can be changed");
    daemon.completed(one).await;
    daemon.completed(two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_labels_limit_holds_back_its_jobs_alone_and_is_lifted_live() {
    let (server, daemon) = (Server::start(), Daemon::with("labels = { slow = { bandwidth_limit = \"1KB\" } }").await);
    for path in ["/a.iso", "/b.iso", "/c.iso"] {
        server.add(path, File::new(Content::seeded(15, 8 * MIB)).etag("\"v1\""));
    }
    let label = |word: &str| Some(word.to_owned());
    let slow = daemon.submit_job(&SubmitJob { label: label("slow"), ..SubmitJob::new(server.url("/a.iso")) }).await;
    let fast = daemon.submit_job(&SubmitJob { label: label("fast"), ..SubmitJob::new(server.url("/b.iso")) }).await;
    daemon.completed(fast).await;
    daemon.completed(daemon.submit(&server.url("/c.iso")).await).await;
    let held = daemon.until(slow, "it has begun", |job| job.done_bytes > 0).await;
    assert!(held.done_bytes < MIB, "{} bytes at 1 KB/s", held.done_bytes);
    let lifted = Limits { labels: Some([("slow".to_owned(), None)].into()), ..Limits::default() };
    let settings = daemon.client().patch_settings(&lifted).await.expect("limits can be changed");
    assert!(settings.labels.is_empty());
    daemon.completed(slow).await;
}

#[tokio::test]
async fn windows_and_labels_are_kept_over_a_restart_and_show_what_holds_now() {
    let mut daemon = Daemon::with("bandwidth_limit = \"9MB\"\nlabels = { old = { bandwidth_limit = 1 } }").await;
    // At any time of any day the second one holds, so that it does not matter when this runs.
    let always = r#"[{"from": "00:00", "to": "24:00", "days": ["mon"], "bandwidth_limit": "5MB"},
        {"from": "12:00", "to": "12:00", "bandwidth_limit": 5000000}]"#;
    let body = format!(
        r#"{{"bandwidth_schedule": {always}, "labels": {{"old": null, "new": {{"bandwidth_limit": "2MB"}},
            "timed": {{"bandwidth_schedule": {always}}}}}}}"#
    );
    let wanted: Limits = haul_api::body::parse(body.as_bytes()).expect("a good body");
    let settings = daemon.client().patch_settings(&wanted).await.expect("limits can be changed");
    assert_eq!((settings.bandwidth_limit, settings.bandwidth_limit_now), (9_000_000, 5_000_000));
    let labels: Vec<_> = settings.labels.iter().map(|(label, limits)| (&**label, limits.bandwidth_limit_now)).collect();
    assert_eq!(labels, [("new", 2_000_000), ("timed", 5_000_000)]);
    daemon.kill();
    daemon.restart().await;
    assert_eq!(daemon.client().settings().await.expect("the settings"), settings);
    assert_eq!(daemon.client().stats().await.expect("the totals").bandwidth_limit, 5_000_000);
    let none = Limits { bandwidth_schedule: Some(Vec::new()), ..Limits::default() };
    let settings = daemon.client().patch_settings(&none).await.expect("limits can be changed");
    assert_eq!((settings.bandwidth_limit, settings.bandwidth_limit_now), (9_000_000, 9_000_000));
}

#[tokio::test]
async fn max_active_jobs_and_priorities_order_the_queue_live() {
    let (server, daemon) = (Server::start(), Daemon::with("max_active_jobs = 1").await);
    for path in ["/1.iso", "/2.iso", "/3.iso"] {
        server.add(path, File::new(Content::seeded(14, 2 * MIB)).etag("\"v1\"").shared_rate(2_000_000));
    }
    let first = daemon.submit(&server.url("/1.iso")).await;
    daemon.until(first, "it runs", |job| job.state == JobState::Active).await;
    let second = daemon.submit(&server.url("/2.iso")).await;
    let third = daemon.submit(&server.url("/3.iso")).await;
    assert_eq!(daemon.job(second).await.state, JobState::Queued);
    let priority = PatchJob { priority: Some(10), label: Some(Some("urgent".to_owned())), ..PatchJob::default() };
    let job = daemon.client().patch(third, &priority).await.expect("a queued job can be changed");
    assert_eq!((job.priority, job.label.as_deref()), (10, Some("urgent")));
    // It takes the slot of the first one, which goes on when it is through, before the second one gets its turn.
    daemon.until(first, "it makes room", |job| job.state == JobState::Queued).await;
    let ended = [daemon.completed(third).await, daemon.completed(first).await, daemon.completed(second).await];
    assert!(ended.is_sorted_by_key(|job| job.finished_at), "{:?}", ended.map(|job| job.finished_at));

    let stopped = SubmitJob { start: Some(Start::Paused), ..SubmitJob::new(server.url("/1.iso")) };
    for _ in 0..3 {
        daemon.submit_job(&stopped).await;
    }
    let changed = daemon.client().resume_all().await.expect("all can be resumed").changed;
    assert_eq!(changed, 3);
    let three = Limits { max_active_jobs: Some(3), ..Limits::default() };
    daemon.client().patch_settings(&three).await.expect("limits can be changed");
    assert!(server.wait_until(DEADLINE, |server| server.in_flight("/1.iso").0 >= 3), "three run at once now");
    let changed = daemon.client().pause_all().await.expect("all can be paused").changed;
    assert_eq!(changed, 3);
    assert!(server.wait_until(DEADLINE, |server| server.in_flight("/1.iso").0 == 0));
    assert_eq!(daemon.client().pause_all().await.expect("again").changed, 0);
}

#[tokio::test]
async fn a_batch_accepts_its_good_items_and_names_what_is_wrong_with_the_others() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(15, 1000);
    server.add("/a.bin", File::new(content.clone()));
    let jobs = [
        SubmitJob::new(server.url("/a.bin")),
        SubmitJob::new("file:///etc/passwd"),
        SubmitJob { dir: Some("/etc".to_owned()), ..SubmitJob::new(server.url("/a.bin")) },
        SubmitJob { filename: Some("b.bin".to_owned()), ..SubmitJob::new(server.url("/a.bin")) },
    ];
    let results = daemon.client().submit_many(&jobs).await.expect("a batch is answered").results;
    assert_eq!(results.iter().map(|item| item.status).collect::<Vec<_>>(), [201, 422, 403, 201]);
    for (item, expected) in results.iter().zip([None, Some("invalid-url"), Some("path-outside-roots"), None]) {
        match (&item.outcome, expected) {
            (Outcome::Job(job), None) => _ = daemon.completed(job.id).await,
            (Outcome::Problem(problem), Some(code)) => assert_eq!(problem.code, code),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(daemon.home().names(), ["a.bin", "b.bin"]);

    let token = daemon.home().token();
    let list = format!("# two\r\n{0}?1\r\n\r\n{0}?2\r\n", server.url("/a.bin"));
    let answer = daemon.raw(format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: text/uri-list\r\nContent-Length: {}\r\n\r\n{list}",
        list.len()
    ));
    assert_eq!(answer.status, 200, "{answer:?}");
    let results: haul_api::BatchResult = serde_json::from_str(&answer.body).expect("a batch result");
    assert_eq!(results.results.iter().map(|item| item.status).collect::<Vec<_>>(), [201, 201]);
    let body = format!("{{\"url\": {:?}}}", server.url("/a.bin?3"));
    let answer = daemon.raw(format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(answer.status, 201, "{answer:?}");
    let job: haul_api::Job = serde_json::from_str(&answer.body).expect("a job");
    assert_eq!(answer.header("location"), Some(format!("/v1/jobs/{}", job.id).as_str()));
}

#[tokio::test]
async fn f_api_11_lists_page_and_filter_and_the_totals_add_up() {
    let (server, daemon) = (Server::start(), Daemon::with("max_active_jobs = 2").await);
    let client = daemon.client();
    server.add("/ok.bin", File::new(Content::seeded(16, 100)));
    server.add("/slow.bin", File::new(Content::seeded(16, 8 * MIB)).shared_rate(50_000));
    for n in 0..7 {
        let job = SubmitJob {
            label: (n % 2 == 0).then(|| "even".to_owned()),
            start: Some(Start::Paused),
            ..SubmitJob::new(server.url("/ok.bin"))
        };
        daemon.submit_job(&job).await;
    }
    let done = daemon.submit(&server.url("/ok.bin")).await;
    let failed = daemon.submit(&server.url("/missing")).await;
    daemon.completed(done).await;
    daemon.failed(failed).await;
    let active = daemon.submit(&server.url("/slow.bin")).await;
    daemon.until(active, "it runs", |job| job.state == JobState::Active).await;

    let mut seen = Vec::new();
    let mut query = JobQuery { limit: Some(4), ..JobQuery::default() };
    loop {
        let page = client.jobs(&query).await.expect("a page");
        assert!(page.jobs.len() <= 4);
        seen.extend(page.jobs.iter().map(|job| job.id));
        let Some(cursor) = page.next_cursor else { break };
        query.cursor = Some(cursor);
    }
    assert_eq!(seen, (1..=10).rev().collect::<Vec<_>>(), "every job once, the newest first");

    let list = async |states: &[JobState], label: Option<&str>| {
        let query = JobQuery { states: states.to_vec(), label: label.map(str::to_owned), ..JobQuery::default() };
        client.jobs(&query).await.expect("a list").jobs.len()
    };
    assert_eq!(list(&[JobState::Paused], None).await, 7);
    assert_eq!(list(&[JobState::Paused], Some("even")).await, 4);
    assert_eq!(list(&[JobState::Completed, JobState::Failed], None).await, 2);
    assert_eq!(list(&[JobState::Active], None).await, 1);
    assert_eq!(list(&[JobState::Queued], None).await, 0);
    assert_eq!(list(&[], Some("odd")).await, 0);

    let stats = client.stats().await.expect("the totals");
    let count = |state| stats.jobs[&state];
    assert_eq!((count(JobState::Paused), count(JobState::Completed), count(JobState::Failed)), (7, 1, 1));
    assert_eq!(count(JobState::Active), 1);
    assert_eq!(stats.jobs.values().sum::<u64>(), 10);
    assert!(stats.connections_active >= 1);
    assert!(stats.done_bytes >= 100);
    assert!(client.ready().await.expect("an answer").ready);
}
