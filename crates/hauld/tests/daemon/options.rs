//! What a job can be told: how its requests go, when it starts, what is the same, and what can be taken back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use haul_api::{
    Files, JobState, Method, OnConflict, OnDuplicate, Outcome, PatchJob, Position, RequestBody, Start, SubmitJob,
    WaitingFor,
};
use haul_testkit::{Content, Do, File, Proxy, Server, When};
use jiff::Timestamp;

use crate::support::{Daemon, Home, MIB, assert_holds, refusal, wait_until};

fn paused(url: &str) -> SubmitJob {
    SubmitJob { start: Some(Start::Paused), ..SubmitJob::new(url) }
}

/// The job that a submit is answered with.
async fn submit(daemon: &Daemon, job: &SubmitJob) -> u64 {
    daemon.client().submit(job).await.expect("it is accepted").id
}

#[tokio::test]
async fn f_sec_20_a_job_goes_through_its_own_proxy_whose_password_nobody_sees() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(1, MIB);
    server.add("/a.bin", File::new(content.clone()));
    // `canary:s3cret`
    let proxy = Proxy::http(Some("Basic Y2FuYXJ5OnMzY3JldA=="));
    let url = format!("http://only.the.proxy.knows.test:{}/a.bin", server.port());
    let with = |login: &str| SubmitJob {
        proxy: Some(format!("http://{login}{}", proxy.authority())),
        filename: Some(format!("{}.bin", login.len())),
        ..SubmitJob::new(&url)
    };
    let wrong = daemon.submit_job(&with("canary:wr0ng@")).await;
    assert_eq!(daemon.failed(wrong).await.code, "proxy-auth-required");
    let right = daemon.submit_job(&with("canary:s3cret@")).await;
    let job = daemon.completed(right).await;
    assert_holds(&daemon.home().downloads().join("14.bin"), &content);
    assert_eq!(job.proxy.as_deref(), Some(&*format!("http://{}/", proxy.authority())));
    let why = daemon.client().why(wrong).await.expect("there is an answer");
    let told = format!("{job:?} {why:?} {}", daemon.log());
    for secret in ["canary", "s3cret", "wr0ng"] {
        assert!(!told.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_looked_at_is_said_loudly() {
    let daemon = Daemon::start().await;
    let wish = SubmitJob { insecure: Some(true), ..paused("https://127.0.0.1:9/a") };
    let id = daemon.submit_job(&wish).await;
    assert!(daemon.job(id).await.insecure);
    let why = daemon.client().why(id).await.expect("there is an answer");
    assert!(why.reasons.iter().any(|reason| reason.code == "insecure"), "{why:?}");
    let warned =
        daemon.log().lines().any(|line| line.contains("WARN") && line.contains("certificate is not looked at"));
    assert!(warned, "{}", daemon.log());
}

#[tokio::test]
async fn a_netrc_that_others_may_read_is_refused_and_one_of_its_own_is_used() {
    let server = Server::start();
    server.add("/a.bin", File::new(Content::seeded(1, MIB)));
    let home = Home::new("");
    let netrc = home.path().join("netrc");
    fs::write(&netrc, "machine 127.0.0.1 login ann password s3cret").expect("written");
    let setting = format!("netrc = {netrc:?}");
    home.configure(&setting);
    fs::set_permissions(&netrc, fs::Permissions::from_mode(0o644)).expect("its owner may");
    let output = home.run_to_end();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("`netrc`") && said.contains("chmod 600") && !said.contains("s3cret"), "{said}");
    fs::set_permissions(&netrc, fs::Permissions::from_mode(0o600)).expect("its owner may");
    let daemon = Daemon::at(home).await;
    let id = daemon.submit(&server.url("/a.bin")).await;
    daemon.completed(id).await;
    assert_eq!(server.log()[0].header("authorization"), Some("Basic YW5uOnMzY3JldA=="));
    assert!(!daemon.log().contains("s3cret"));
}

#[tokio::test]
async fn a_probe_tells_and_keeps_nothing() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add("/start", File::new(Content::empty()).redirect(302, "/b.bin?x=1"));
    server.add("/b.bin", File::new(Content::seeded(1, 5 * MIB)).etag("\"v1\"").content_type("text/x"));
    let probe = daemon.client().probe(&SubmitJob::new(server.url("/start"))).await.expect("it is there");
    assert_eq!((probe.filename.as_str(), probe.total_bytes, probe.resumable), ("b.bin", Some(5 * MIB), true));
    assert_eq!((probe.etag.as_deref(), probe.content_type.as_deref()), (Some("\"v1\""), Some("text/x")));
    assert_eq!(probe.final_url, server.url("/b.bin?x=1"));
    let problem = refusal(daemon.client().probe(&SubmitJob::new(server.url("/nothing"))).await);
    assert_eq!((&*problem.code, problem.field.as_deref()), ("probe-failed", Some("url")));
    assert!(problem.detail.contains("404"), "{problem}");
    let problem = refusal(daemon.client().probe(&SubmitJob::new("ftp://a/b")).await);
    assert_eq!(&*problem.code, "invalid-url");
    assert!(daemon.home().names().is_empty());
    assert!(daemon.client().jobs(&haul_api::JobQuery::default()).await.expect("a list").jobs.is_empty());
}

#[tokio::test]
async fn the_same_is_answered_by_the_job_that_is_there() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(1, MIB);
    server.add("/a.bin", File::new(content.clone()));
    let wish = paused(&server.url("/a.bin#part"));
    let first = submit(&daemon, &wish).await;
    assert_eq!(submit(&daemon, &SubmitJob::new(server.url("/a.bin"))).await, first, "a fragment is not sent");
    let copy = SubmitJob { on_duplicate: Some(OnDuplicate::Copy), ..wish.clone() };
    let second = submit(&daemon, &copy).await;
    assert_ne!(second, first);
    let reject = SubmitJob { on_duplicate: Some(OnDuplicate::Reject), ..wish.clone() };
    let problem = refusal(daemon.client().submit(&reject).await);
    assert_eq!((&*problem.code, problem.status), ("duplicate", 409));
    assert_eq!(problem.instance, Some(format!("/v1/jobs/{second}")), "the newest");
    for other in [
        SubmitJob { filename: Some("b.bin".to_owned()), ..wish.clone() },
        SubmitJob { dir: Some("sub".to_owned()), ..wish.clone() },
        SubmitJob { headers: Some([("x".to_owned(), "1".to_owned())].into()), ..wish.clone() },
        SubmitJob { method: Some(Method::Post), ..wish.clone() },
        paused(&server.url("/a.bin?x")),
    ] {
        let id = submit(&daemon, &other).await;
        assert!(id > second, "{other:?}");
    }
    let new = paused(&server.url("/new"));
    let batch = daemon.client().submit_many(&[new.clone(), new, reject]).await.expect("an answer");
    let statuses: Vec<u16> = batch.results.iter().map(|item| item.status).collect();
    assert_eq!(statuses, [201, 200, 409]);
    let id = |index: usize| match &batch.results[index].outcome {
        Outcome::Job(job) => Some(job.id),
        Outcome::Problem(_) => None,
    };
    assert!(id(0).is_some());
    assert_eq!(id(0), id(1));
}

#[tokio::test]
async fn a_complete_job_is_the_same_as_long_as_its_file_is_there() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(1, MIB);
    server.add("/a.bin", File::new(content.clone()));
    let first = submit(&daemon, &SubmitJob::new(server.url("/a.bin"))).await;
    daemon.completed(first).await;
    assert_eq!(submit(&daemon, &SubmitJob::new(server.url("/a.bin"))).await, first);
    fs::remove_file(daemon.home().downloads().join("a.bin")).expect("it is there");
    let second = submit(&daemon, &SubmitJob::new(server.url("/a.bin"))).await;
    assert_ne!(second, first);
    daemon.completed(second).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
    daemon.client().cancel(submit(&daemon, &paused(&server.url("/gone"))).await).await.expect("it can be");
    let again = submit(&daemon, &paused(&server.url("/gone"))).await;
    assert_eq!(daemon.job(again).await.state, JobState::Paused, "one that was given up has no file to answer with");
}

#[tokio::test]
async fn a_job_starts_at_its_time_also_after_a_restart() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    for path in ["/soon", "/later", "/next"] {
        server.add(path, File::new(Content::seeded(1, MIB)));
    }
    let at = |path: &str, wait: Duration| SubmitJob {
        start: Some(Start::At(Timestamp::now() + jiff::SignedDuration::try_from(wait).expect("short"))),
        ..SubmitJob::new(server.url(path))
    };
    let soon = daemon.submit_job(&at("/soon", Duration::from_millis(1500))).await;
    let later = daemon.submit_job(&at("/later", Duration::from_secs(3600))).await;
    let job = daemon.job(soon).await;
    assert_eq!((job.state, job.started_at), (JobState::Queued, None));
    assert!(job.start_at.is_some());
    let why = daemon.client().why(later).await.expect("an answer");
    assert!(why.summary.contains("starts at"), "{why:?}");
    daemon.kill();
    daemon.restart().await;
    daemon.completed(soon).await;
    assert!(daemon.job(soon).await.started_at >= job.start_at);
    assert_eq!(server.requests("/later"), 0);
    assert_eq!(daemon.job(later).await.state, JobState::Queued);
    daemon.client().resume(later).await.expect("it can be resumed");
    daemon.completed(later).await;
    let past = daemon.submit_job(&at("/next", Duration::ZERO)).await;
    daemon.completed(past).await;
}

#[tokio::test]
async fn a_job_can_be_moved_in_the_queue() {
    let (server, daemon) = (Server::start(), Daemon::with("max_active_jobs = 1").await);
    server.add("/0", File::new(Content::seeded(1, MIB)).fault(When::Always, Do::NeverAnswer));
    for n in 1..=4 {
        server.add(&format!("/{n}"), File::new(Content::seeded(n, MIB)));
    }
    let blocking = daemon.submit(&server.url("/0")).await;
    let mut ids = Vec::new();
    for n in 1..=3 {
        ids.push(daemon.submit(&server.url(&format!("/{n}"))).await);
    }
    let top = SubmitJob { position: Some(Position::Top), ..SubmitJob::new(server.url("/4")) };
    ids.push(daemon.submit_job(&top).await);
    let put = |id: u64, position| {
        let client = daemon.client().clone();
        async move {
            let patch = PatchJob { position: Some(position), ..PatchJob::default() };
            client.patch(id, &patch).await.expect("it can be moved")
        }
    };
    put(ids[0], Position::Bottom).await;
    put(ids[2], Position::At(2)).await;
    daemon.client().cancel(blocking).await.expect("it can be given up");
    for id in &ids {
        daemon.completed(*id).await;
    }
    let order: Vec<_> = server.log().into_iter().map(|request| request.path).filter(|path| path != "/0").collect();
    let mut first = order.clone();
    first.dedup();
    assert_eq!(first, ["/4", "/3", "/2", "/1"], "{order:?}");
}

#[tokio::test]
async fn a_deletion_can_be_taken_back_for_a_while() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(1, 4 * MIB);
    let slow = |content: &Content| File::new(content.clone()).etag("\"v\"").shared_rate(2 * MIB);
    server.add("/a.bin", slow(&content));
    server.add("/b.bin", slow(&content));
    let id = daemon.submit(&server.url("/a.bin")).await;
    daemon.until(id, "bytes are there", |job| job.done_bytes > 0).await;
    daemon.client().delete(id, Files::Delete).await.expect("it can be deleted");
    assert_eq!(&*refusal(daemon.client().job(id).await).code, "job-not-found");
    assert!(daemon.client().jobs(&haul_api::JobQuery::default()).await.expect("a list").jobs.is_empty());
    daemon.client().restore(id).await.expect("it is not too late");
    let job = daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
    assert_eq!(job.id, id);
    assert_eq!(&*refusal(daemon.client().restore(id).await).code, "job-not-found", "there is nothing to take back");
    // A complete file is there until it is too late, and a restart makes it so.
    daemon.client().delete(id, Files::Delete).await.expect("it can be deleted");
    assert_eq!(daemon.home().names(), ["a.bin"]);
    daemon.terminate();
    daemon.restart().await;
    assert_eq!(&*refusal(daemon.client().restore(id).await).code, "job-not-found");
    wait_until("the file is gone", async || daemon.home().names().is_empty().then_some(())).await;
    // Of a job that is deleted while it runs nothing is left when its time is over.
    let id = daemon.submit(&server.url("/b.bin")).await;
    daemon.until(id, "bytes are there", |job| job.done_bytes > 0).await;
    daemon.client().delete(id, Files::Keep).await.expect("it can be deleted");
    wait_until("the part file is gone", async || daemon.home().names().is_empty().then_some(())).await;
    assert_eq!(&*refusal(daemon.client().restore(id).await).code, "job-not-found");
}

#[tokio::test]
async fn a_post_is_not_sent_again_by_itself_once_bytes_have_come() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(1, MIB);
    let file = File::new(content.clone()).no_ranges();
    server.add("/a.bin", file.fault(When::First(1), Do::ResetAfter(MIB / 2)));
    let wish = SubmitJob {
        method: Some(Method::Post),
        body: Some(RequestBody { text: Some("a=canary".to_owned()), base64: None }),
        ..SubmitJob::new(server.url("/a.bin"))
    };
    let id = daemon.submit_job(&wish).await;
    let reason = daemon.failed(id).await;
    assert_eq!(reason.code, "not-repeatable", "{reason:?}");
    assert!(reason.message.contains("retry"), "{reason:?}");
    assert_eq!(server.requests("/a.bin"), 1);
    daemon.client().retry(id).await.expect("its user may");
    let job = daemon.completed(id).await;
    assert_eq!(job.method, Method::Post);
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
    let log = server.log();
    assert!(log.iter().all(|request| request.method == "POST" && request.body == b"a=canary"), "{log:?}");
    assert_eq!(log.len(), 2);
    assert!(!daemon.log().contains("canary"));
}

#[tokio::test]
async fn a_post_whose_server_serves_ranges_goes_on_where_it_was() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(1, MIB);
    let file = File::new(content.clone()).etag("\"v\"");
    server.add("/a.bin", file.fault(When::First(1), Do::ResetAfter(MIB / 2)));
    let wish = SubmitJob { method: Some(Method::Post), ..SubmitJob::new(server.url("/a.bin")) };
    let id = daemon.submit_job(&wish).await;
    let job = daemon.completed(id).await;
    assert_eq!((job.connections.max, job.resumable), (1, Some(true)));
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
}

#[tokio::test]
async fn a_label_has_its_directory_and_its_own_slots() {
    let server = Server::start();
    for n in 1..=3 {
        server.add(&format!("/{n}"), File::new(Content::seeded(n, MIB)).fault(When::Always, Do::NeverAnswer));
    }
    let home = Home::new("");
    let settings = format!(
        "labels = {{ iso = {{ dir = {:?}, max_active_jobs = 1 }}, closed = {{ windows = [{{ from = \"00:00\", to = \
         \"00:01\", days = [\"{}\"] }}] }} }}",
        home.downloads().join("isos"),
        // A day that is neither today nor yesterday.
        Timestamp::now()
            .to_zoned_datetime(jiff::tz::TimeZone::system())
            .tomorrow()
            .expect("a day")
            .tomorrow()
            .expect("a day")
            .strftime("%a")
            .to_string()
            .to_lowercase(),
    );
    home.configure(&settings);
    let daemon = Daemon::at(home).await;
    let labelled = |n: u64, label: &str| SubmitJob {
        label: Some(label.to_owned()),
        ..SubmitJob::new(server.url(&format!("/{n}")))
    };
    let first = daemon.submit_job(&labelled(1, "iso")).await;
    let second = daemon.submit_job(&labelled(2, "iso")).await;
    let closed = daemon.submit_job(&labelled(3, "closed")).await;
    daemon.until(first, "it has the slot", |job| job.state == JobState::Probing).await;
    assert_eq!(daemon.job(second).await.state, JobState::Queued);
    let why = daemon.client().why(second).await.expect("an answer");
    assert_eq!(why.reasons[0].code, "queue-full", "{why:?}");
    let job = daemon.until(closed, "it waits", |job| job.state == JobState::Waiting).await;
    assert_eq!(job.waiting_for, Some(WaitingFor::Schedule));
    server.add("/2", File::new(Content::seeded(2, MIB)));
    daemon.client().cancel(first).await.expect("it can be given up");
    let job = daemon.completed(second).await;
    assert_eq!(job.path, Some(daemon.home().downloads().join("isos/2").display().to_string()));
}

#[tokio::test]
async fn a_file_goes_where_the_rule_for_its_type_says_once_its_server_has_named_it() {
    let server = Server::start();
    let content = |n| Content::seeded(n, 5 * MIB);
    let film = |n| File::new(content(n)).content_type("Video/MP4; codecs=\"a\"");
    server.add("/slow", film(1).fault(When::Always, Do::NeverAnswer));
    server.add("/next", film(2));
    server.add("/other", File::new(content(3)).content_type("text/plain"));
    let home = Home::new("");
    let [films, books, downloads] = ["films", "books", ""].map(|name| home.downloads().join(name));
    fs::create_dir_all(&films).expect("a directory");
    fs::create_dir_all(&books).expect("a directory");
    let by_type = format!("{{ types = [\"application/pdf\", \"video/*\"], dir = {films:?} }}");
    let rules = format!("rules = [{by_type}, {{ labels = [\"book\"], dir = {books:?} }}]");
    home.configure(&rules);
    let mut daemon = Daemon::at(home).await;
    let named = |path: &str| SubmitJob { filename: Some("a.bin".to_owned()), ..SubmitJob::new(server.url(path)) };
    fs::write(films.join("a.bin"), "somebody's").expect("a file");
    // What a rule has said of a job holds, also if the settings are others when its server answers.
    let slow = daemon.submit_job(&named("/slow")).await;
    daemon.until(slow, "it asks", |job| job.state == JobState::Probing).await;
    daemon.kill();
    daemon.home().configure("");
    server.replace("/slow", film(1));
    daemon.restart().await;
    let job = daemon.completed(slow).await;
    assert_eq!(job.path, Some(films.join("a (1).bin").display().to_string()));
    assert_holds(&films.join("a (1).bin"), &content(1));

    daemon.home().configure(&rules);
    daemon.terminate();
    daemon.restart().await;
    let next = daemon.submit_job(&named("/next")).await;
    assert_eq!(daemon.completed(next).await.path, Some(films.join("a (2).bin").display().to_string()));
    let labelled =
        SubmitJob { label: Some("book".to_owned()), on_duplicate: Some(OnDuplicate::Copy), ..named("/next") };
    let earlier = daemon.submit_job(&labelled).await;
    assert_eq!(daemon.completed(earlier).await.path, Some(films.join("a (3).bin").display().to_string()));
    let own = SubmitJob { dir: Some(books.display().to_string()), ..named("/next") };
    let own = daemon.submit_job(&own).await;
    assert_eq!(daemon.completed(own).await.path, Some(books.join("a.bin").display().to_string()));
    let other = daemon.submit_job(&named("/other")).await;
    assert_eq!(daemon.completed(other).await.path, Some(downloads.join("a.bin").display().to_string()));
    for (path, seed) in [(films.join("a (2).bin"), 2), (books.join("a.bin"), 2), (downloads.join("a.bin"), 3)] {
        assert_holds(&path, &content(seed));
    }
    assert_eq!(fs::read_to_string(films.join("a.bin")).expect("it is there"), "somebody's");
    let strict =
        SubmitJob { on_conflict: Some(OnConflict::Fail), on_duplicate: Some(OnDuplicate::Copy), ..named("/next") };
    let strict = daemon.submit_job(&strict).await;
    assert_eq!(daemon.failed(strict).await.code, "target-exists", "what counts is the directory that it goes to");
    let parts = |dir: &std::path::Path| {
        let names = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".haul-part")).count()
    };
    assert_eq!([parts(&films), parts(&books), parts(&downloads)], [0; 3]);
}

#[tokio::test]
async fn a_command_line_of_curl_is_a_job() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(1, MIB);
    server.add("/a.bin", File::new(content.clone()));
    let command =
        format!("curl '{}' \\\n  -H 'X-Key: canary' -b 'a=canary' --compressed -o c.bin", server.url("/a.bin"));
    let job = daemon.client().submit_curl(command).await.expect("a good command");
    daemon.completed(job.id).await;
    assert_holds(&daemon.home().downloads().join("c.bin"), &content);
    let asked = &server.log()[0];
    assert_eq!((asked.header("x-key"), asked.header("cookie")), (Some("canary"), Some("a=canary")));
    let problem = refusal(daemon.client().submit_curl("curl http://a -T canary".to_owned()).await);
    assert_eq!(&*problem.code, "invalid-curl");
    assert!(problem.detail.contains("`-T`") && !problem.detail.contains("canary"), "{problem}");
    assert!(!daemon.log().contains("canary"));
}
