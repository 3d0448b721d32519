//! What a server or a network does wrong is survived, or ends in a reason that a person can act on.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use haul_api::{JobState, SubmitJob, WaitingFor};
use haul_testkit::{Content, Do, File, Server, When};

use crate::support::{DEADLINE, Daemon, MIB, assert_holds, wait_until};

/// Downloads `file` and asserts that it is byte-exact; returns the server and the daemon to look at.
async fn survives(settings: &str, content: &Content, file: File) -> (Server, Daemon) {
    let (server, daemon) = (Server::start(), Daemon::with(settings).await);
    server.add("/a.bin", file);
    daemon.completed(daemon.submit(&server.url("/a.bin")).await).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), content);
    assert_eq!(daemon.home().names(), ["a.bin"]);
    (server, daemon)
}

#[tokio::test]
async fn f_http_01_a_permanent_status_fails_at_once_after_one_request() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    for status in [400, 401, 403, 404, 405, 410, 451, 501] {
        let path = format!("/{status}");
        server.add(&path, File::new(Content::empty()).fault(When::Always, Do::status(status)));
        let begun = Instant::now();
        let reason = daemon.failed(daemon.submit(&server.url(&path)).await).await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{status}: {:?}", begun.elapsed());
        assert_eq!(reason.code, if status == 401 { "auth-required" } else { "http-status" });
        assert!(reason.message.contains(&status.to_string()), "{}", reason.message);
        assert_eq!(server.requests(&path), 1, "{status}");
    }
    assert!(daemon.home().names().is_empty());
}

#[tokio::test]
async fn a_refused_connection_waits_visibly_and_recovers_by_itself() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(1, 2 * MIB);
    server.add("/a.bin", File::new(content.clone()));
    server.close_listener();
    let id = daemon.submit(&server.url("/a.bin")).await;
    let job = daemon.until(id, "it waits", |job| job.state == JobState::Waiting).await;
    assert_eq!(job.waiting_for, Some(WaitingFor::Retry));
    let reason = job.reason.expect("a waiting job says why");
    assert_eq!(reason.code, "connect");
    assert!(reason.retry_at.is_some(), "and when it goes on");
    server.reopen_listener();
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
}

#[tokio::test]
async fn f_net_01_connections_that_are_reset_in_mid_body_go_on_from_their_offset() {
    let content = Content::seeded(2, 6 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"").rate_per_connection(2_000_000);
    let (server, _daemon) = survives("", &content, file.fault(When::First(4), Do::ResetAfter(200_000))).await;
    let again = server.bytes_sent_again("/a.bin");
    assert!(again <= MIB, "{again} bytes were sent again");
}

#[tokio::test]
async fn all_connections_reset_at_once_do_not_stop_a_job() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(3, 8 * MIB);
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\"").shared_rate(6_000_000));
    let id = daemon.submit(&server.url("/a.bin")).await;
    for part in 1..4 {
        assert!(server.wait_until(DEADLINE, |server| server.bytes_sent("/a.bin") > part * 2 * MIB));
        server.reset_connections();
    }
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
}

#[tokio::test]
async fn f_net_02_a_silent_connection_is_replaced_and_its_bytes_are_kept() {
    let (server, daemon) = (Server::start(), Daemon::with("stall_timeout = \"1s\"").await);
    let content = Content::seeded(4, 3 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"").rate_per_connection(2_000_000);
    server.add("/a.bin", file.fault(When::First(2), Do::StallAfter(100_000)));
    // With one connection there is nobody who could help before.
    let job = SubmitJob { connections: Some(1), ..SubmitJob::new(server.url("/a.bin")) };
    let begun = Instant::now();
    daemon.completed(daemon.submit_job(&job).await).await;
    assert!(begun.elapsed() > Duration::from_secs(1), "somebody has noticed too early");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
    assert!(daemon.log().contains("stall"));
    assert!(server.bytes_sent_again("/a.bin") <= MIB);
}

#[tokio::test]
async fn a_silent_connection_among_others_is_helped_before_anybody_gives_it_up() {
    let content = Content::seeded(4, 6 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"").rate_per_connection(2_000_000);
    let begun = Instant::now();
    let silent = file.fault(When::First(2), Do::StallAfter(100_000));
    let (server, _daemon) = survives("stall_timeout = \"20s\"", &content, silent).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(server.bytes_sent_again("/a.bin") <= MIB);
}

#[tokio::test]
async fn a_server_that_never_answers_is_asked_again() {
    let content = Content::seeded(5, MIB);
    let file = File::new(content.clone()).fault(When::First(1), Do::NeverAnswer);
    let (_server, daemon) = survives("response_timeout = \"500ms\"\nconnect_timeout = \"500ms\"", &content, file).await;
    assert!(daemon.log().contains("no answer"));
}

#[tokio::test]
async fn f_http_02_a_503_with_retry_after_is_obeyed_and_charged_to_nobody() {
    let (server, daemon) = (Server::start(), Daemon::with("retry_limit = 1").await);
    let content = Content::seeded(6, 2 * MIB);
    let busy = Do::status_with(503, "Retry-After", "2");
    server.add("/a.bin", File::new(content.clone()).fault(When::First(1), busy));
    let id = daemon.submit(&server.url("/a.bin")).await;
    let job = daemon.until(id, "it waits", |job| job.state == JobState::Waiting).await;
    assert_eq!(job.waiting_for, Some(WaitingFor::Host));
    assert_eq!(job.reason.map(|reason| reason.code), Some("http-status".to_owned()));
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
    let log = server.log();
    assert!(log[1].at - log[0].at >= Duration::from_millis(1900), "it came back after {:?}", log[1].at - log[0].at);
}

#[tokio::test]
async fn resume_on_a_waiting_job_means_now() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(7, MIB);
    let busy = Do::status_with(503, "Retry-After", "3000");
    server.add("/a.bin", File::new(content.clone()).fault(When::First(1), busy));
    let id = daemon.submit(&server.url("/a.bin")).await;
    daemon.until(id, "it waits", |job| job.state == JobState::Waiting).await;
    daemon.client().resume(id).await.expect("a waiting job can be resumed");
    daemon.completed(id).await;
}

#[tokio::test]
async fn f_range_13_a_server_that_takes_only_three_connections_gets_three() {
    let content = Content::seeded(8, 8 * MIB);
    let runs = [429, 503, 403].map(async |status| {
        let file = File::new(content.clone()).etag("\"v1\"").rate_per_connection(1_500_000);
        let (server, daemon) = survives("retry_limit = 3", &content, file.max_connections(3, status)).await;
        assert_eq!(server.in_flight("/a.bin").1, 3, "{status}");
        let refused = server.log().iter().filter(|request| request.status == status).count();
        assert!(refused <= 40, "{status}: {refused} requests were refused");
        assert!(daemon.log().contains("takes no more connections"), "{status}");
    });
    join_all(runs).await;
}

#[tokio::test]
async fn f_done_04_a_body_that_ends_too_early_is_fetched_on_from_there() {
    let content = Content::seeded(9, 4 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"").rate_per_connection(2_000_000);
    let file = file.fault(When::First(3), Do::CloseAfter(200_000));
    let (server, _daemon) = survives("", &content, file).await;
    assert!(server.bytes_sent_again("/a.bin") <= MIB);
}

#[tokio::test]
async fn f_range_03_lies_about_ranges_never_reach_the_file() {
    let content = Content::seeded(10, 3 * MIB);
    for lie in [
        Do::WrongStart(4096),
        Do::WrongStart(-4096),
        Do::MissingContentRange,
        Do::Multipart,
        Do::FullInstead,
        Do::WrongTotal(99),
        Do::ShortRange(100_000),
        Do::GarbageHeaders,
        Do::TwoLengths,
        Do::HugeHeaders,
        Do::ExtraBytes(5000),
    ] {
        // Now and then, and, where there is a way around it, for ever.
        let is_hopeless = matches!(lie, Do::GarbageHeaders | Do::TwoLengths | Do::HugeHeaders);
        let for_ever = (!is_hopeless).then_some(When::After(1));
        let runs = [When::Every(2)].into_iter().chain(for_ever).map(async |when| {
            let file = File::new(content.clone()).etag("\"v1\"").rate_per_connection(6_000_000);
            let (server, _daemon) = survives("", &content, file.fault(when.clone(), lie.clone())).await;
            let requests = server.requests("/a.bin");
            assert!(requests <= 200, "{lie:?} {when:?}: {requests} requests");
        });
        join_all(runs).await;
    }
}

#[tokio::test]
async fn f_range_01_a_server_that_answers_200_to_every_range_ends_as_one_connection() {
    let content = Content::seeded(11, 4 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"").rate_per_connection(8_000_000);
    let (server, daemon) = survives("", &content, file.fault(When::After(1), Do::FullInstead)).await;
    assert!(daemon.log().contains("one connection from now on") || server.requests("/a.bin") == 1);
}

#[tokio::test]
async fn f_ident_01_a_file_that_changed_while_paused_is_fetched_anew_and_never_spliced() {
    // With a strong tag, with a date only, and with nothing but another length.
    let old = Content::seeded(12, 6 * MIB);
    // As long as the old one, so that only the validators tell them apart; where there are none, the length must.
    let same_length = Content::seeded(13, 6 * MIB);
    let longer = Content::seeded(13, 6 * MIB + 4096);
    let day = |day: u32| format!("Thu, {day:02} Jan 2026 00:00:00 GMT");
    for (before, after, new) in [
        (File::new(old.clone()).etag("\"v1\""), File::new(same_length.clone()).etag("\"v2\""), &same_length),
        (
            File::new(old.clone()).last_modified(day(1)),
            File::new(same_length.clone()).last_modified(day(2)),
            &same_length,
        ),
        (File::new(old.clone()), File::new(longer.clone()), &longer),
    ] {
        let (server, daemon) = (Server::start(), Daemon::start().await);
        server.add("/a.bin", before.shared_rate(4_000_000));
        let id = daemon.submit(&server.url("/a.bin")).await;
        daemon.until(id, "some bytes are written", |job| job.done_bytes > 2 * MIB).await;
        daemon.client().pause(id).await.expect("a running job can be paused");
        server.replace("/a.bin", after);
        daemon.client().resume(id).await.expect("a paused job can be resumed");
        daemon.completed(id).await;
        assert_holds(&daemon.home().downloads().join("a.bin"), new);
        assert!(daemon.log().contains("has changed on the server"));
    }
}

#[tokio::test]
async fn f_ident_02_a_file_that_changes_while_it_is_fetched_is_never_spliced() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let (old, new) = (Content::seeded(14, 12 * MIB), Content::seeded(15, 12 * MIB));
    server.add("/a.bin", File::new(old).etag("\"v1\"").shared_rate(6_000_000));
    let id = daemon.submit(&server.url("/a.bin")).await;
    daemon.until(id, "some bytes are written", |job| job.done_bytes > 3 * MIB).await;
    server.replace("/a.bin", File::new(new.clone()).etag("\"v2\""));
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &new);
    let fresh = server.log().iter().any(|request| request.header("cache-control") == Some("no-cache"));
    assert!(fresh, "F-IDENT-12: a changed source must not come from a cache");
}

#[tokio::test]
async fn f_ident_10_a_file_that_changes_all_the_time_fails_after_three_restarts() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let file = |n: u64| File::new(Content::seeded(n, 3 * MIB)).etag(format!("\"v{n}\"")).shared_rate(1_000_000);
    server.add("/a.bin", file(0));
    let id = daemon.submit(&server.url("/a.bin")).await;
    for n in 1..=4 {
        // Each version is known before the next one comes.
        let probes = || daemon.log().matches("kind=Probe").count();
        wait_until("the version is asked for", async || (probes() >= n).then_some(())).await;
        // Less would not be missed, and its loss would not count.
        daemon.until(id, "enough of the version is there", |job| job.done_bytes > 100_000).await;
        server.replace("/a.bin", file(n as u64));
        server.reset_connections();
    }
    let reason = daemon.failed(id).await;
    assert_eq!(reason.code, "source-changed");
}

#[tokio::test]
async fn f_http_05_an_expired_link_waits_for_a_person_and_keeps_its_bytes() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(16, 6 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"").shared_rate(4_000_000);
    server.add("/a.bin", file.clone());
    let id = daemon.submit(&server.url("/a.bin")).await;
    daemon.until(id, "some bytes are written", |job| job.done_bytes > 2 * MIB).await;
    server.replace("/a.bin", file.clone().fault(When::Always, Do::status(403)));
    server.reset_connections();
    let job = daemon.until(id, "it waits for a link", |job| job.waiting_for == Some(WaitingFor::Link)).await;
    assert_eq!(job.state, JobState::Waiting);
    assert!(job.done_bytes > 2 * MIB, "the bytes stay");
    assert_eq!(job.reason.expect("it says why").code, "http-status");

    // The server lets us in again; a person says so.
    server.replace("/a.bin", file);
    daemon.client().resume(id).await.expect("a waiting job can be resumed");
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
    assert!(server.bytes_sent_again("/a.bin") < 2 * MIB);
}

#[tokio::test]
async fn f_net_04_a_captive_portal_in_the_middle_writes_nothing_and_costs_nothing() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(17, 6 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"").shared_rate(4_000_000);
    server.add("/a.bin", file.clone());
    let id = daemon.submit(&server.url("/a.bin")).await;
    daemon.until(id, "some bytes are written", |job| job.done_bytes > 2 * MIB).await;
    server.replace("/a.bin", file.clone().fault(When::First(5), Do::Html));
    server.reset_connections();
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
    assert!(daemon.log().contains("interference"));
    assert!(server.bytes_sent_again("/a.bin") < 2 * MIB, "nothing was discarded");
}

#[tokio::test]
async fn f_http_06_a_circle_of_redirects_fails_and_so_does_one_to_another_scheme() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add("/1", File::new(Content::empty()).redirect(302, "/2"));
    server.add("/2", File::new(Content::empty()).redirect(307, "/1"));
    server.add("/file", File::new(Content::empty()).redirect(302, "file:///etc/passwd"));
    for (path, code) in [("/1", "too-many-redirects"), ("/file", "redirect-scheme")] {
        let reason = daemon.failed(daemon.submit(&server.url(path)).await).await;
        assert_eq!(reason.code, code);
    }
    assert!(daemon.home().names().is_empty());
}

#[tokio::test]
async fn f_enc_01_a_body_that_is_coded_unasked_fails() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add("/a.bin", File::new(Content::seeded(18, 1000)).header("Content-Encoding", "gzip"));
    let reason = daemon.failed(daemon.submit(&server.url("/a.bin")).await).await;
    assert_eq!(reason.code, "unexpected-encoding");
    assert!(server.log().iter().all(|request| request.header("accept-encoding") == Some("identity")));
}

#[tokio::test]
async fn f_retry_02_07_a_retry_limit_ends_a_hopeless_job_with_its_last_fault_and_retry_starts_it_again() {
    let (server, daemon) = (Server::start(), Daemon::with("retry_limit = 3").await);
    let content = Content::seeded(19, MIB);
    server.add("/a.bin", File::new(content.clone()).fault(When::First(4), Do::status(500)));
    let job = SubmitJob { connections: Some(1), ..SubmitJob::new(server.url("/a.bin")) };
    let id = daemon.submit_job(&job).await;
    let reason = daemon.failed(id).await;
    assert_eq!(reason.code, "http-status");
    assert!(reason.message.contains("500"), "F-RETRY-07: {}", reason.message);
    assert_eq!(server.requests("/a.bin"), 4, "attempts are retries plus one");
    daemon.client().retry(id).await.expect("a failed job can be retried");
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
}
