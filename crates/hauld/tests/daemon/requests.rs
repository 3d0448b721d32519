//! Lists, repeated submits, versions, and actions on many jobs.

use haul_api::{JobFilter, JobQuery, JobState, PatchJob, SortBy, Start, SubmitJob, paths};
use haul_testkit::{Content, File, Server};
use serde_json::{Value, json};

use crate::support::{Answer, Daemon, MIB, assert_holds, refusal, wait_until};

/// Sends a request with the token.
fn ask(daemon: &Daemon, line: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    daemon.raw(format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        daemon.home().token(),
        body.len()
    ))
}

fn paused(url: &str) -> SubmitJob {
    SubmitJob { start: Some(Start::Paused), ..SubmitJob::new(url) }
}

async fn listed(daemon: &Daemon, query: JobQuery) -> Vec<u64> {
    let page = daemon.client().jobs(&query).await.expect("a page");
    page.jobs.iter().map(|job| job.id).collect()
}

#[tokio::test]
async fn f_api_07_a_submit_with_a_key_is_carried_out_once_also_across_a_restart() {
    let mut daemon = Daemon::start().await;
    let job = json!({"url": "http://127.0.0.1:1/a", "start": "paused"});
    let first = ask(&daemon, "POST /v1/jobs", &[("Idempotency-Key", "k 1")], &job);
    assert_eq!((first.status, first.header("idempotent-replayed")), (201, None));
    let batch = json!({"jobs": [{"url": "http://127.0.0.1:1/b", "start": "paused"}, {"url": "ftp://a"}]});
    let many = ask(&daemon, "POST /v1/jobs", &[("Idempotency-Key", "k2")], &batch);
    assert_eq!(many.status, 200);
    daemon.kill();
    daemon.restart().await;
    for (key, body, before) in [("k 1", &job, &first), ("k2", &batch, &many)] {
        let again = ask(&daemon, "POST /v1/jobs", &[("Idempotency-Key", key)], body);
        assert_eq!((again.status, &again.body), (before.status, &before.body));
        assert_eq!(again.header("location"), before.header("location"));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
    let other = ask(&daemon, "POST /v1/jobs", &[("Idempotency-Key", "k 1")], &batch).problem("another body");
    assert_eq!((other.status, other.code.as_ref()), (422, "idempotency-key-reused"));
    for key in ["", &"x".repeat(256), "\u{e9}"] {
        let bad = ask(&daemon, "POST /v1/jobs", &[("Idempotency-Key", key)], &job).problem(key);
        assert_eq!((bad.status, bad.field.as_deref()), (422, Some("Idempotency-Key")), "{key}");
    }
    assert_eq!(listed(&daemon, JobQuery::default()).await, [2, 1], "and no job more");
    // A refused submit leaves its key free.
    ask(&daemon, "POST /v1/jobs", &[("Idempotency-Key", "k3")], &json!({"url": "ftp://a"})).problem("refused");
    let another = json!({"url": "http://127.0.0.1:1/c", "start": "paused"});
    assert_eq!(ask(&daemon, "POST /v1/jobs", &[("Idempotency-Key", "k3")], &another).status, 201);
}

#[tokio::test]
async fn f_api_07_a_submit_with_a_key_that_is_the_same_as_a_job_is_answered_with_it_each_time() {
    let daemon = Daemon::start().await;
    let ask = |key, body: &Value| ask(&daemon, "POST /v1/jobs", &[("Idempotency-Key", key)], body);
    let wish = json!({"url": "http://127.0.0.1:1/a", "start": "paused"});
    let reject = json!({"url": "http://127.0.0.1:1/a", "start": "paused", "on_duplicate": "reject"});
    let first = ask("k1", &wish);
    let attached = ask("k2", &wish);
    assert_eq!((first.status, attached.status), (201, 200));
    assert_eq!(attached.header("location"), Some("/v1/jobs/1"));
    let batch = json!({"jobs": [wish, reject, {"url": "http://127.0.0.1:1/b"}, {"url": "http://127.0.0.1:1/b"}]});
    let many = ask("k3", &batch);
    let results: Value = serde_json::from_str(&many.body).expect("JSON");
    let results = results["results"].as_array().expect("one for each").clone();
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_u64()).collect();
    assert_eq!(statuses, [Some(200), Some(409), Some(201), Some(200)]);
    assert_eq!((&results[0]["job"]["id"], &results[3]["job"]["id"]), (&json!(1), &results[2]["job"]["id"]));
    let rejected = ask("k4", &reject).problem("it is there");
    assert_eq!((&*rejected.code, rejected.instance.as_deref()), ("duplicate", Some("/v1/jobs/1")));
    daemon.client().delete(1, haul_api::Files::Keep).await.expect("it is there");
    for (key, body, before) in [("k2", &wish, &attached), ("k3", &batch, &many)] {
        let again = ask(key, body);
        assert_eq!((again.status, &again.body), (before.status, &before.body));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
    assert_eq!(ask("k4", &reject).status, 201, "what was refused leaves its key free");
}

#[tokio::test]
async fn f_api_07_submits_with_one_key_at_the_same_time_make_one_job() {
    let daemon = Daemon::start().await;
    let job = json!({"url": "http://127.0.0.1:1/a", "start": "paused"});
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let send = || ask(&daemon, "POST /v1/jobs", &[("Idempotency-Key", "k")], &job);
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(send)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it answers")).collect()
    });
    for answer in &answers {
        if answer.status != 201 {
            assert_eq!(answer.problem("in use").code, "idempotency-key-in-use");
        }
    }
    assert!(answers.iter().any(|answer| answer.status == 201));
    assert_eq!(listed(&daemon, JobQuery::default()).await, [1]);
}

#[tokio::test]
async fn a_change_for_another_version_is_refused_and_progress_is_none() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add("/a.bin", File::new(Content::seeded(1, 40 * MIB)).etag("\"v1\"").shared_rate(2_000_000));
    let id = daemon.submit(&server.url("/a.bin")).await;
    let job = daemon.until(id, "it is fetched", |job| job.state == JobState::Active && job.done_bytes > MIB).await;
    let line = |method: &str| format!("{method} {}", paths::job(id));
    let tag = ask(&daemon, &line("GET"), &[], &Value::Null).header("etag").expect("a tag").to_owned();
    daemon.until(id, "more has come", |now| now.done_bytes > job.done_bytes + MIB).await;
    let same = ask(&daemon, &line("GET"), &[("If-None-Match", &tag)], &Value::Null);
    assert_eq!((same.status, same.body.as_str(), same.header("etag")), (304, "", Some(tag.as_str())));

    let changed = ask(&daemon, &line("PATCH"), &[("If-Match", &format!("\"x\", {tag}"))], &json!({"priority": 1}));
    assert_eq!(changed.status, 200, "{changed:?}");
    let newer = changed.header("etag").expect("a tag");
    assert_ne!(newer, tag);
    for method in ["PATCH", "DELETE"] {
        let body = if method == "PATCH" { json!({"priority": 2}) } else { Value::Null };
        let refused = ask(&daemon, &line(method), &[("If-Match", &tag)], &body).problem(method);
        assert_eq!((refused.status, refused.code.as_ref()), (412, "version-changed"));
    }
    assert_eq!(daemon.job(id).await.priority, 1, "nothing was changed");
    daemon.client().pause(id).await.expect("it can be paused");
    assert_eq!(ask(&daemon, &line("DELETE"), &[("If-Match", newer)], &Value::Null).status, 412, "its state is another");
    assert_eq!(ask(&daemon, &line("DELETE"), &[("If-Match", "*")], &Value::Null).status, 204);
}

#[tokio::test]
async fn f_api_11_lists_are_filtered_by_what_jobs_do_and_ordered_as_is_asked() {
    let (server, daemon) = (Server::start(), Daemon::with("max_active_jobs = 1").await);
    server.add("/slow.bin", File::new(Content::seeded(1, 40 * MIB)).etag("\"v1\"").shared_rate(1_000_000));
    let active = daemon.submit(&server.url("/slow.bin")).await;
    daemon.until(active, "it is fetched", |job| job.state == JobState::Active).await;
    let mut queued = Vec::new();
    for n in 0..3 {
        queued.push(daemon.submit(&server.url(&format!("/{n}.bin"))).await);
    }
    let mut resting = Vec::new();
    for (name, priority) in [("c", 5), ("a", -5), ("b", 0)] {
        let job = SubmitJob {
            filename: Some(format!("{name}.iso")),
            priority: Some(priority),
            label: Some("isos".to_owned()),
            ..paused("https://files.example/100%25_x")
        };
        resting.push(daemon.submit_job(&job).await);
    }
    let of = |states: &[JobState]| JobQuery { states: states.to_vec(), ..JobQuery::default() };
    assert_eq!(listed(&daemon, of(&[JobState::Active])).await, [active]);
    assert_eq!(listed(&daemon, JobQuery { limit: Some(2), ..of(&[JobState::Queued]) }).await, [queued[2], queued[1]]);
    assert_eq!(
        listed(&daemon, of(&[JobState::Queued, JobState::Active])).await,
        [queued[2], queued[1], queued[0], active]
    );
    assert_eq!(listed(&daemon, of(&[JobState::Waiting, JobState::Probing])).await, [0_u64; 0]);
    let q = JobQuery { q: Some("100%25_X".to_owned()), ..of(&[JobState::Paused]) };
    assert_eq!(listed(&daemon, q).await.len(), 3);
    let host = JobQuery { host: Some("files.example".to_owned()), ..JobQuery::default() };
    assert_eq!(listed(&daemon, host).await.len(), 3);
    for (sort, ascending, expected) in [
        (SortBy::Priority, false, [resting[0], resting[2], resting[1]]),
        (SortBy::Filename, true, [resting[1], resting[2], resting[0]]),
        (SortBy::TotalBytes, false, [resting[2], resting[1], resting[0]]),
    ] {
        let mut query =
            JobQuery { label: Some("isos".to_owned()), sort, ascending, limit: Some(1), ..JobQuery::default() };
        let mut seen = Vec::new();
        loop {
            let page = daemon.client().jobs(&query).await.expect("a page");
            seen.extend(page.jobs.iter().map(|job| job.id));
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected, "{sort:?}");
    }
    let some = ask(&daemon, "GET /v1/jobs?fields=id,label&label=isos&limit=1", &[], &Value::Null);
    let some: Value = serde_json::from_str(&some.body).expect("JSON");
    assert_eq!(some["jobs"], json!([{"id": resting[2], "label": "isos"}]));
    let wrong = JobQuery { cursor: Some("5".to_owned()), sort: SortBy::Priority, ..JobQuery::default() };
    let wrong = refusal(daemon.client().jobs(&wrong).await);
    assert_eq!(wrong.field.as_deref(), Some("cursor"));
}

#[tokio::test]
async fn actions_on_many_jobs_are_for_those_that_the_filter_means() {
    let (server, daemon) = (Server::start(), Daemon::with("max_active_jobs = 1").await);
    server.add("/slow.bin", File::new(Content::seeded(1, 40 * MIB)).etag("\"v1\"").shared_rate(1_000_000));
    let active = daemon.submit(&server.url("/slow.bin")).await;
    daemon.until(active, "it is fetched", |job| job.state == JobState::Active).await;
    let labeled = SubmitJob { label: Some("l".to_owned()), ..SubmitJob::new(server.url("/b.bin")) };
    let (queued, other) = (daemon.submit_job(&labeled).await, daemon.submit(&server.url("/c.bin")).await);
    let client = daemon.client();
    let filter = |state: Option<JobState>, label: Option<&str>| JobFilter {
        state: state.map(|state| vec![state]),
        label: label.map(str::to_owned),
        ..JobFilter::default()
    };
    let changed = client.act_all(paths::Action::Pause, &filter(Some(JobState::Queued), None)).await.expect("an answer");
    assert_eq!(changed.changed, 2);
    assert_eq!(daemon.job(active).await.state, JobState::Active);
    let changed = client.act_all(paths::Action::Resume, &filter(None, Some("l"))).await.expect("an answer");
    assert_eq!(changed.changed, 1);
    assert_eq!((daemon.job(queued).await.state, daemon.job(other).await.state), (JobState::Queued, JobState::Paused));
    let changed =
        client.act_all(paths::Action::Cancel, &filter(Some(JobState::Paused), None)).await.expect("an answer");
    assert_eq!((changed.changed, daemon.job(other).await.state), (1, JobState::Canceled));
    assert_eq!(ask(&daemon, "POST /v1/cancel", &[], &Value::Null).status, 400, "nothing is canceled by saying nothing");
    assert_eq!(client.pause_all().await.expect("an answer").changed, 2);
}

#[tokio::test]
async fn a_file_can_be_renamed_until_it_is_sealed() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(1, 6 * MIB);
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\"").shared_rate(3_000_000));
    let id = daemon.submit(&server.url("/a.bin")).await;
    daemon.until(id, "some of it is there", |job| job.done_bytes > MIB).await;
    let rename = |name: &str| PatchJob { filename: Some(name.to_owned()), ..PatchJob::default() };
    let job = daemon.client().patch(id, &rename("b.bin")).await.expect("it can be renamed");
    assert_eq!(job.filename.as_deref(), Some("b.bin"));
    let taken = paused(&server.url("/c.bin"));
    let taken = daemon.submit_job(&SubmitJob { filename: Some("c.bin".to_owned()), ..taken }).await;
    assert_eq!(daemon.job(taken).await.filename.as_deref(), Some("c.bin"));
    let bad = refusal(daemon.client().patch(id, &rename("../b")).await);
    assert_eq!((bad.code.as_ref(), bad.field.as_deref()), ("invalid-filename", Some("filename")));
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("b.bin"), &content);
    assert_eq!(daemon.home().names(), ["b.bin"]);
    let late = refusal(daemon.client().patch(id, &rename("d.bin")).await);
    assert_eq!(late.code, "conflict-state");
}

#[tokio::test]
async fn a_submit_whose_answer_was_lost_is_repeated_and_accepted_once() {
    let daemon = Daemon::start().await;
    // Stands between client and daemon and loses the first answer.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address =
        haul_api::Address::tcp(&format!("http://{}", listener.local_addr().expect("bound"))).expect("an address");
    let target = daemon.tcp();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut near, _) = listener.accept().await.expect("a client");
            let mut far = tokio::net::TcpStream::connect(target).await.expect("the daemon listens");
            tokio::spawn(async move {
                if number > 0 {
                    tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
                    return;
                }
                let (mut from, mut to) = far.split();
                let (mut asked, mut answered) = near.split();
                let mut first = [0];
                tokio::select! {
                    _ = tokio::io::copy(&mut asked, &mut to) => {}
                    _ = tokio::io::AsyncReadExt::read_exact(&mut from, &mut first) => {}
                }
                tokio::io::AsyncWriteExt::shutdown(&mut answered).await.ok();
            });
        }
    });
    let client = haul_api::Client::new(address, Some(&daemon.home().token())).expect("a client");
    let id = client.submit(&paused("http://127.0.0.1:1/a")).await.expect("it is accepted in the end").id;
    wait_until("it is listed", async || (listed(&daemon, JobQuery::default()).await == [id]).then_some(())).await;
}
