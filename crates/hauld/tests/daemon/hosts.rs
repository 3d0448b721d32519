//! What was learned of a server is kept, shown, changed and forgotten.

use haul_api::{Host, HostQuery, JobState, PatchHost, WaitingFor};
use haul_testkit::{Content, Do, File, Server, When};
use jiff::Timestamp;

use crate::support::{DEADLINE, Daemon, MIB, assert_holds, refusal, wait_until};

/// The server as the daemon calls it.
fn name(server: &Server) -> String {
    server.url("")
}

async fn host(daemon: &Daemon, server: &Server) -> Host {
    daemon.client().host(&name(server)).await.expect("the host is known")
}

/// A file of a server that serves two requests at a time and refuses a third.
fn for_two(seed: u64, mib: u64) -> (Content, File) {
    let content = Content::seeded(seed, mib * MIB);
    let file = File::new(content.clone()).etag("\"v1\"").rate_per_connection(2_000_000);
    (content, file.max_connections(2, 429))
}

fn refused_requests(server: &Server, path: &str) -> usize {
    server.log().iter().filter(|request| request.path == path && request.status == 429).count()
}

/// How many requests the server was busy with at the same time at most, over all files.
fn in_flight_max(server: &Server) -> u64 {
    let log = server.log();
    let begun = log.iter().map(|request| (request.at, 1));
    let ended = log.iter().filter_map(|request| Some((request.ended?, -1)));
    let mut steps: Vec<(std::time::Duration, i64)> = begun.chain(ended).collect();
    steps.sort();
    let busy = steps.iter().scan(0, |busy, (_, step)| {
        *busy += step;
        u64::try_from(*busy).ok()
    });
    busy.max().unwrap_or(0)
}

/// Waits until something that was learned has been stored so many times in this run.
async fn stored(daemon: &Daemon, times: usize) {
    let stored = || daemon.log().matches("what was learned of hosts is stored").count();
    wait_until("it is stored", async || (stored() >= times).then_some(())).await;
}

#[tokio::test]
async fn a_cap_that_was_learned_survives_a_kill_and_holds_from_the_first_request_on() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    server.add("/a.iso", for_two(1, 64).1);
    let id = daemon.submit(&server.url("/a.iso")).await;
    let learned = wait_until("the cap is learned", async || {
        let host = daemon.client().host(&name(&server)).await.ok()?;
        host.connections.learned_cap.is_some().then_some(host)
    });
    let learned = learned.await;
    assert_eq!(learned.host, name(&server));
    assert_eq!((learned.connections.learned_cap, learned.connections.max), (Some(2), 32));
    assert!(learned.connections.learned_from >= 1 && learned.connections.active >= 1, "{learned:?}");
    assert!(learned.connections.holds_until.is_some_and(|until| until > Timestamp::now()), "{learned:?}");
    let fault = learned.last_fault.expect("the refusal is remembered");
    assert_eq!(fault.code, "http-status");
    assert!(fault.message.contains("429"), "{fault:?}");
    daemon.client().cancel(id).await.expect("it can be given up");
    stored(&daemon, 1).await;

    daemon.kill();
    daemon.restart().await;
    let kept = host(&daemon, &server).await;
    assert_eq!(kept.connections.learned_cap, Some(2));
    assert_eq!(kept.connections.active, 0);
    assert_eq!(kept.last_fault.map(|kept| kept.message), Some(fault.message));
    let (content, file) = for_two(2, 8);
    server.add("/b.iso", file);
    daemon.completed(daemon.submit(&server.url("/b.iso")).await).await;
    assert_holds(&daemon.home().downloads().join("b.iso"), &content);
    assert_eq!(server.in_flight("/b.iso").1, 2, "both connections were used");
    assert_eq!(refused_requests(&server, "/b.iso"), 0, "and no third one was tried");
}

#[tokio::test]
async fn the_connections_that_a_user_allows_hold_for_every_job_and_over_restarts() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(3, 12 * MIB);
    let file = || File::new(content.clone()).etag("\"v1\"").rate_per_connection(2_000_000);
    for path in ["/a.iso", "/b.iso", "/c.iso"] {
        server.add(path, file());
    }
    let connections = |number| PatchHost { connections: Some(number), ..PatchHost::default() };
    let patched = daemon.client().patch_host(&name(&server), &connections(Some(3))).await;
    assert_eq!(patched.expect("a host can be changed before it is met").connections.max, 3);
    let (a, b) = (daemon.submit(&server.url("/a.iso")).await, daemon.submit(&server.url("/b.iso")).await);
    daemon.completed(a).await;
    daemon.completed(b).await;
    assert_eq!(in_flight_max(&server), 3, "three over both jobs, and all three were used");

    let (status, _) = daemon.terminate();
    assert!(status.success());
    daemon.restart().await;
    let known = host(&daemon, &server).await;
    assert_eq!(known.connections.max, 3);
    assert!(known.bytes_per_second.is_some_and(|speed| (500_000..4_000_000).contains(&speed)), "{known:?}");
    assert!(known.answer_time_ms.is_some(), "{known:?}");
    let c = daemon.submit(&server.url("/c.iso")).await;
    assert!(server.wait_until_async(DEADLINE, |server| server.in_flight("/c.iso").0 == 3).await, "it uses what it may");
    daemon.client().patch_host(&name(&server), &connections(None)).await.expect("a wish can be taken back");
    assert_eq!(host(&daemon, &server).await.connections.max, 32);
    assert!(server.wait_until_async(DEADLINE, |server| server.in_flight("/c.iso").0 > 3).await, "it counts at once");
    daemon.completed(c).await;
    assert_holds(&daemon.home().downloads().join("c.iso"), &content);
}

#[tokio::test]
async fn a_host_that_is_forgotten_is_met_as_for_the_first_time() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    let (content, file) = for_two(4, 4);
    server.add("/a.iso", file);
    daemon.completed(daemon.submit(&server.url("/a.iso")).await).await;
    assert!(refused_requests(&server, "/a.iso") > 0);
    let limit = PatchHost { bandwidth_limit: Some(Some(900_000_000)), ..PatchHost::default() };
    let limited = daemon.client().patch_host(&name(&server), &limit).await.expect("a known host can be changed");
    assert_eq!(limited.bandwidth_limit, 900_000_000);
    assert_eq!(limited.connections.learned_cap, Some(2), "a wish does not change what was learned");
    daemon.client().forget_host(&name(&server)).await.expect("a known host can be forgotten");
    for error in [
        refusal(daemon.client().host(&name(&server)).await),
        refusal(daemon.client().forget_host(&name(&server)).await),
        refusal(daemon.client().patch_host(&name(&server), &PatchHost::default()).await),
    ] {
        assert_eq!((error.status, error.code.as_ref()), (404, "host-not-found"));
    }
    daemon.kill();
    daemon.restart().await;
    assert!(daemon.client().hosts(&HostQuery::default()).await.expect("a list").hosts.is_empty());

    let (_, file) = for_two(4, 4);
    server.add("/b.iso", file);
    daemon.completed(daemon.submit(&server.url("/b.iso")).await).await;
    assert!(refused_requests(&server, "/b.iso") > 0, "the cap is learned anew");
    assert_holds(&daemon.home().downloads().join("b.iso"), &content);
}

#[tokio::test]
async fn a_pause_that_a_server_asked_for_survives_a_kill_until_a_person_says_try_now() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(5, MIB);
    let busy = Do::status_with(503, "Retry-After", "600");
    server.add("/a.iso", File::new(content.clone()).fault(When::First(1), busy));
    let id = daemon.submit(&server.url("/a.iso")).await;
    let waits = |job: &haul_api::Job| job.state == JobState::Waiting && job.waiting_for == Some(WaitingFor::Host);
    daemon.until(id, "it waits", waits).await;
    stored(&daemon, 1).await;
    let until = host(&daemon, &server).await.blocked_until.expect("it is left alone");
    let seconds = until.duration_since(Timestamp::now()).as_secs();
    assert!((540..=600).contains(&seconds), "{seconds} s");

    daemon.kill();
    daemon.restart().await;
    daemon.until(id, "it waits again", waits).await;
    let kept = host(&daemon, &server).await;
    let kept_until = kept.blocked_until.expect("it still is left alone");
    assert!(kept_until.duration_since(until).as_secs_f64().abs() < 1.0, "{kept_until} is not {until}");
    assert_eq!(kept.last_fault.map(|fault| fault.code), Some("http-status".to_owned()));
    assert_eq!(server.requests("/a.iso"), 1, "nobody has asked it since");
    let why = daemon.client().why(id).await.expect("an answer");
    assert!(why.summary.starts_with("waiting: ") && why.summary.contains("503"), "{why:?}");

    let now = PatchHost { blocked: Some(false), ..PatchHost::default() };
    let host = daemon.client().patch_host(&name(&server), &now).await.expect("a block can be lifted");
    assert_eq!(host.blocked_until, None);
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.iso"), &content);
}

#[tokio::test]
async fn a_host_that_answers_again_is_not_left_alone_after_a_restart() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(6, 4 * MIB);
    let busy = Do::status_with(503, "Retry-After", "600");
    let file = File::new(content.clone()).etag("\"v1\"").shared_rate(400_000);
    server.add("/a.iso", file.fault(When::First(1), busy));
    let id = daemon.submit(&server.url("/a.iso")).await;
    daemon.until(id, "it waits", |job| job.state == JobState::Waiting).await;
    stored(&daemon, 1).await;
    daemon.client().resume(id).await.expect("a waiting job can be told to try now");
    daemon.until(id, "it runs", |job| job.state == JobState::Active).await;
    stored(&daemon, 2).await;
    daemon.kill();
    daemon.restart().await;
    assert_eq!(host(&daemon, &server).await.blocked_until, None);
    daemon.until(id, "it runs", |job| job.state == JobState::Active).await;
}

#[tokio::test]
async fn hosts_are_listed_by_name_page_by_page_and_what_was_set_survives_a_kill() {
    let mut daemon = Daemon::start().await;
    let wish = PatchHost { connections: Some(Some(4)), bandwidth_limit: Some(Some(1_000_000)), ..PatchHost::default() };
    for name in ["http://c.example:8080", "b.example", "https://a.example:443", "B.example"] {
        daemon.client().patch_host(name, &wish).await.expect("a host can be changed before it is met");
    }
    daemon.kill();
    daemon.restart().await;
    let mut query = HostQuery { limit: Some(2), ..HostQuery::default() };
    let mut hosts = Vec::new();
    loop {
        let page = daemon.client().hosts(&query).await.expect("a page");
        assert!(page.hosts.len() <= 2);
        hosts.extend(page.hosts);
        let Some(cursor) = page.next_cursor else { break };
        query.cursor = Some(cursor);
    }
    let names: Vec<_> = hosts.iter().map(|host| host.host.as_str()).collect();
    assert_eq!(names, ["http://c.example:8080", "https://a.example", "https://b.example"]);
    for host in &hosts {
        assert_eq!((host.connections.max, host.bandwidth_limit), (4, 1_000_000), "{host:?}");
    }
    let none = PatchHost { bandwidth_limit: Some(None), ..PatchHost::default() };
    let unlimited = daemon.client().patch_host("a.example", &none).await.expect("a wish can be taken back");
    assert_eq!((unlimited.connections.max, unlimited.bandwidth_limit), (4, 0));
}

#[tokio::test]
async fn what_a_host_may_send_is_limited_from_the_first_request_after_a_restart() {
    let (server, other, mut daemon) = (Server::start(), Server::start(), Daemon::start().await);
    let content = Content::seeded(8, 4 * MIB);
    for server in [&server, &other] {
        server.add("/a.iso", File::new(content.clone()).etag("\"v1\""));
    }
    let limit = |rate| PatchHost { bandwidth_limit: Some(rate), ..PatchHost::default() };
    daemon.client().patch_host(&name(&server), &limit(Some(100_000))).await.expect("a host can be changed");
    daemon.kill();
    daemon.restart().await;
    let id = daemon.submit(&server.url("/a.iso")).await;
    daemon.completed(daemon.submit(&other.url("/a.iso")).await).await;
    let why = wait_until("it is held up", async || {
        let why = daemon.client().why(id).await.expect("an answer");
        why.reasons.into_iter().find(|reason| reason.code == "bandwidth-limit")
    })
    .await;
    let host = server.url("");
    let limits = serde_json::json!([{"of": "host", "name": host, "bytes_per_second": 100_000}]);
    assert_eq!(why.numbers["limits"], limits);
    assert_eq!(why.message, format!("our own bandwidth limit holds it up: 100KB/s for {host}"));
    assert!(daemon.job(id).await.done_bytes < MIB, "the limit holds from the first byte on");
    daemon.client().patch_host(&name(&server), &limit(None)).await.expect("a wish can be taken back");
    daemon.completed(id).await;
}
