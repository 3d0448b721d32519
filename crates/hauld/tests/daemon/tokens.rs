//! Tokens of other programs may do what their scope says, see their own jobs alone, and reach public addresses only.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use haul_api::{
    Address, Client, JobQuery, JobState, NewToken, OnConflict, OnDuplicate, Pair, PatchJob, ProblemCode, Scope, Start,
    SubmitJob,
};
use haul_testkit::{Content, File, Server};

use crate::support::{Daemon, MIB, PUBLIC, is_inside, refusal, say};

/// A client over TCP with a new token.
async fn with_token(daemon: &Daemon, scope: Scope, jobs_max: Option<u32>) -> Client {
    let new = NewToken { name: format!("{scope} of a test"), scope, jobs_max };
    let made = daemon.client().make_token(&new).await.expect("a token is made");
    client(daemon, Some(&made.token))
}

fn client(daemon: &Daemon, token: Option<&str>) -> Client {
    let address = Address::tcp(&format!("http://{}", daemon.tcp())).expect("an address");
    Client::new(address, token).expect("a client")
}

fn code<T: std::fmt::Debug>(result: Result<T, haul_api::ClientError>) -> ProblemCode {
    refusal(result).known_code().expect("a code that is known")
}

/// A job that waits until it is resumed, at an address that nobody has.
fn paused(url: &str) -> SubmitJob {
    SubmitJob { start: Some(Start::Paused), ..SubmitJob::new(url) }
}

const SOMEWHERE: &str = "https://files.example/a.bin?sig=canary-query";

#[tokio::test]
async fn f_sec_22_a_submit_token_submits_and_sees_its_own_jobs_and_no_more() {
    let daemon = Daemon::start().await;
    let (one, other) = (with_token(&daemon, Scope::Submit, None).await, with_token(&daemon, Scope::Submit, None).await);
    let owners = daemon.submit_job(&paused(SOMEWHERE)).await;
    let own = one.submit(&paused(SOMEWHERE)).await.expect("it may submit");
    let others = other.submit(&paused("https://files.example/b.bin")).await.expect("it may submit").id;

    assert_eq!(own.url, "https://files.example/a.bin?…", "a query may hold a secret");
    assert_eq!(own.mirrors[0].url, "https://files.example/a.bin?…");
    assert_eq!(daemon.job(own.id).await.url, SOMEWHERE, "the owner sees it");
    let seen = one.jobs(&JobQuery::default()).await.expect("a list").jobs;
    assert_eq!(seen.iter().map(|job| job.id).collect::<Vec<_>>(), [own.id]);
    one.job(own.id).await.expect("its own");
    one.chunks(own.id).await.expect("its own");
    one.why(own.id).await.expect("its own");
    one.events(own.id, &haul_api::EventQuery::default()).await.expect("its own");
    let url = Some("https://files.example/c.bin?sig=new".to_owned());
    let renewed = one.patch(own.id, &PatchJob { url, ..PatchJob::default() }).await.expect("it may renew its own");
    assert_eq!(renewed.url, "https://files.example/c.bin?…");

    assert_eq!(one.resume(own.id).await.expect("it may let its own go on").id, own.id);
    one.pause(own.id).await.expect("it may let its own rest");
    let given_up = one.submit(&paused("https://files.example/d.bin")).await.expect("it may submit").id;
    assert_eq!(one.cancel(given_up).await.expect("it may give its own up").state, JobState::Canceled);

    for foreign in [owners, others, 999] {
        assert_eq!(code(one.pause(foreign).await), ProblemCode::JobNotFound);
        assert_eq!(code(one.resume(foreign).await), ProblemCode::JobNotFound);
        assert_eq!(code(one.cancel(foreign).await), ProblemCode::JobNotFound);
        assert_eq!(code(one.job(foreign).await), ProblemCode::JobNotFound, "as if it were not there");
        assert_eq!(code(one.chunks(foreign).await), ProblemCode::JobNotFound);
        assert_eq!(code(one.why(foreign).await), ProblemCode::JobNotFound);
        let headers = PatchJob { headers: Some(None), ..PatchJob::default() };
        assert_eq!(code(one.patch(foreign, &headers).await), ProblemCode::JobNotFound);
    }
    let label = PatchJob { label: Some(None), ..PatchJob::default() };
    let problem = refusal(one.patch(own.id, &label).await);
    assert_eq!((&*problem.code, problem.field.as_deref()), ("scope-not-allowed", Some("label")));
    assert_eq!(code(one.retry(own.id).await), ProblemCode::ScopeNotAllowed);
    assert_eq!(code(one.delete(own.id, haul_api::Files::Delete).await), ProblemCode::ScopeNotAllowed);
    assert_eq!(code(one.verify(own.id, true, 0).await), ProblemCode::ScopeNotAllowed);
    assert_eq!(code(one.pause_all().await), ProblemCode::ScopeNotAllowed);
    assert_eq!(code(one.settings().await), ProblemCode::ScopeNotAllowed);
    assert_eq!(code(one.stats().await), ProblemCode::ScopeNotAllowed);
    assert_eq!(code(one.hosts(&haul_api::HostQuery::default()).await), ProblemCode::ScopeNotAllowed);
    assert_eq!(code(one.tokens().await), ProblemCode::ScopeNotAllowed);
    let admin = NewToken { name: "x".to_owned(), scope: Scope::Admin, jobs_max: None };
    assert_eq!(code(one.make_token(&admin).await), ProblemCode::ScopeNotAllowed);
    assert_eq!(code(one.make_pair_code(Scope::Submit).await), ProblemCode::ScopeNotAllowed);
    assert_eq!(code(one.revoke_token(1).await), ProblemCode::ScopeNotAllowed);
    let overwrite = SubmitJob { on_conflict: Some(OnConflict::Overwrite), ..paused(SOMEWHERE) };
    let problem = refusal(one.submit(&overwrite).await);
    assert_eq!((&*problem.code, problem.field.as_deref()), ("scope-not-allowed", Some("on_conflict")));
    assert_eq!(daemon.job(own.id).await.state, JobState::Paused, "nothing of that has changed anything");
}

#[tokio::test]
async fn the_page_of_a_link_is_kept_until_the_file_is_there() {
    let (daemon, server) = (Daemon::start().await, Server::start());
    server.add("/a.bin", File::new(Content::seeded(3, MIB)));
    let page_url = Some("https://ann:s3cret@shop.example/orders?session=canary#latest".to_owned());
    let job = SubmitJob { page_url, ..paused(&server.url("/a.bin")) };
    let id = daemon.submit_job(&job).await;
    assert_eq!(daemon.job(id).await.page_url.as_deref(), Some("https://shop.example/orders?session=canary"));
    let read = with_token(&daemon, Scope::Read, None).await;
    assert_eq!(read.job(id).await.expect("it may look").page_url.as_deref(), Some("https://shop.example/orders?…"));
    for wrong in ["shop.example", "file:///etc/passwd", "javascript:alert(1)"] {
        let job = SubmitJob { page_url: Some(wrong.to_owned()), ..paused(SOMEWHERE) };
        let problem = refusal(daemon.client().submit(&job).await);
        assert_eq!((&*problem.code, problem.field.as_deref()), ("invalid-url", Some("page_url")), "{wrong}");
    }
    daemon.client().resume(id).await.expect("it is paused");
    assert_eq!(daemon.completed(id).await.page_url, None, "where somebody was is nobody's business any more");
    assert!(!daemon.log().contains("canary"), "a query stands in the log");
}

#[tokio::test]
async fn a_read_token_looks_at_everything_but_secrets_and_changes_nothing() {
    let daemon = Daemon::start().await;
    let read = with_token(&daemon, Scope::Read, None).await;
    let id = daemon.submit_job(&paused(SOMEWHERE)).await;
    assert_eq!(read.job(id).await.expect("it may look").url, "https://files.example/a.bin?…");
    assert_eq!(
        read.jobs(&JobQuery::default()).await.expect("a list").jobs[0].mirrors[0].url,
        "https://files.example/a.bin?…"
    );
    read.settings().await.expect("it may look");
    read.stats().await.expect("it may look");
    read.why(id).await.expect("it may look");
    for (q, found) in [("canary-query", 0), ("files.example/a.bin", 1)] {
        let query = JobQuery { q: Some(q.to_owned()), ..JobQuery::default() };
        assert_eq!(read.jobs(&query).await.expect("a list").jobs.len(), found, "what is masked is not searched: {q}");
    }
    assert_eq!(code(read.tokens().await), ProblemCode::ScopeNotAllowed);
    assert_eq!(code(read.submit(&paused(SOMEWHERE)).await), ProblemCode::ScopeNotAllowed);
    assert_eq!(code(read.resume(id).await), ProblemCode::ScopeNotAllowed);
    assert_eq!(code(read.patch(id, &PatchJob::default()).await), ProblemCode::ScopeNotAllowed);
    assert_eq!(code(read.patch_settings(&haul_api::Limits::default()).await), ProblemCode::ScopeNotAllowed);
    assert_eq!(code(read.delete(id, haul_api::Files::Keep).await), ProblemCode::ScopeNotAllowed);
}

#[tokio::test]
async fn f_sec_04_a_token_is_shown_once_lives_over_restarts_and_ends_when_it_is_revoked() {
    let mut daemon = Daemon::start().await;
    let new = NewToken { name: "a second owner".to_owned(), scope: Scope::Admin, jobs_max: None };
    let made = daemon.client().make_token(&new).await.expect("a token is made");
    assert_eq!((made.token.len(), made.about.last_used_at), (64, None));
    let list = daemon.client().tokens().await.expect("a list");
    assert_eq!(list.tokens, std::slice::from_ref(&made.about));
    client(&daemon, Some(&made.token)).stats().await.expect("it is good");
    daemon.terminate();
    for file in [daemon.home().database(), daemon.home().path().join("hauld.log")] {
        let bytes = fs::read(&file).expect("it is there");
        let is_there = bytes.windows(64).any(|window| window == made.token.as_bytes());
        assert!(!is_there, "the token stands in {}", file.display());
    }
    daemon.restart().await;
    let again = client(&daemon, Some(&made.token));
    again.stats().await.expect("it is still good");
    assert!(again.tokens().await.expect("a list").tokens[0].last_used_at.is_some());
    again.revoke_token(made.about.id).await.expect("it may revoke itself");
    assert_eq!(code(again.stats().await), ProblemCode::Unauthorized);
    assert_eq!(code(daemon.client().revoke_token(made.about.id).await), ProblemCode::TokenNotFound);
    daemon.kill();
    daemon.restart().await;
    assert_eq!(code(client(&daemon, Some(&made.token)).stats().await), ProblemCode::Unauthorized);
    let owner = daemon.home().token();
    client(&daemon, Some(&owner)).stats().await.expect("the token of the file is as good as ever");
}

#[tokio::test]
async fn f_sec_25_a_token_has_no_more_unfinished_jobs_than_it_may() {
    let daemon = Daemon::start().await;
    let token = with_token(&daemon, Scope::Submit, Some(3)).await;
    let job = |n: u32| paused(&format!("https://files.example/{n}"));
    for n in 0..2 {
        token.submit(&job(n)).await.expect("it may");
    }
    assert_eq!(code(token.submit_many(&[job(2), job(3)]).await), ProblemCode::TooManyJobs);
    assert_eq!(token.jobs(&JobQuery::default()).await.expect("a list").jobs.len(), 2, "all or none");
    let third = token.submit(&job(4)).await.expect("it may").id;
    assert_eq!(code(token.submit(&job(5)).await), ProblemCode::TooManyJobs);
    daemon.submit_job(&job(6)).await;
    daemon.client().cancel(third).await.expect("the owner may");
    token.submit(&job(7)).await.expect("one has ended");
    // Many at the same time do not get past it.
    let many = with_token(&daemon, Scope::Submit, Some(5)).await;
    let jobs: Vec<_> = (0..20).map(job).collect();
    let answers = futures_util::future::join_all(jobs.iter().map(|job| many.submit(job))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 5);
}

#[tokio::test]
async fn a_code_is_good_for_the_scope_that_its_maker_has_named() {
    let daemon = Daemon::start().await;
    let stranger = client(&daemon, None);
    for scope in [Scope::Admin, Scope::Read] {
        let made = daemon.client().make_pair_code(scope).await.expect("a code");
        assert_eq!((made.scope, made.page_url), (scope, Some(format!("http://{}/", daemon.tcp()))));
        let token = stranger.pair(&Pair { code: made.code, name: None }).await.expect("it is traded");
        assert_eq!(token.about.scope, scope);
        let refused = client(&daemon, Some(&token.token)).make_pair_code(Scope::Admin).await.is_err();
        assert_eq!(refused, scope == Scope::Read, "nobody but an admin makes codes");
    }
}

#[tokio::test]
async fn f_sec_22_a_code_is_traded_once_for_a_token_that_may_submit() {
    let daemon = Daemon::start().await;
    let stranger = client(&daemon, None);
    let trade = |code: &str| Pair { code: code.to_owned(), name: Some("extension".to_owned()) };
    assert_eq!(code(stranger.make_pair_code(Scope::Submit).await), ProblemCode::Unauthorized);
    assert_eq!(code(stranger.pair(&trade("0000-0000-0000-0000")).await), ProblemCode::PairingRefused);
    let pair_code = daemon.client().make_pair_code(Scope::Submit).await.expect("a code").code;
    let made = stranger.pair(&trade(&pair_code.to_lowercase())).await.expect("it is traded");
    assert_eq!((made.about.scope, made.about.name.as_str()), (Scope::Submit, "extension"));
    assert_eq!(code(stranger.pair(&trade(&pair_code)).await), ProblemCode::PairingRefused, "once");
    let paired = client(&daemon, Some(&made.token));
    paired.submit(&paused(SOMEWHERE)).await.expect("it may submit");
    assert_eq!(code(paired.stats().await), ProblemCode::ScopeNotAllowed);
    let mut answers = Vec::new();
    for _ in 0..12 {
        answers.push(code(stranger.pair(&trade("1111-1111-1111-1111")).await));
    }
    assert_eq!(answers.last(), Some(&ProblemCode::TooManyAttempts), "{answers:?}");
    let log = daemon.log();
    assert!(!log.contains(&made.token) && !log.contains(&pair_code), "a secret stands in the log");
}

#[tokio::test]
async fn f_sec_10_11_a_submit_token_is_refused_addresses_that_are_not_public() {
    let daemon = Daemon::start().await;
    let token = with_token(&daemon, Scope::Submit, None).await;
    for url in [
        "http://127.0.0.1/a",
        "http://2130706433/a",
        "http://0x7f.1/a",
        "http://[::1]/a",
        "http://[::ffff:10.0.0.1]/a",
        "http://169.254.169.254/latest/meta-data/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://[fd00::1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://0/",
    ] {
        let refused = |job: SubmitJob, field: &'static str| {
            let token = token.clone();
            async move {
                let problem = refusal(token.submit(&job).await);
                assert_eq!(
                    (&*problem.code, problem.field.as_deref()),
                    ("target-address-forbidden", Some(field)),
                    "{url}"
                );
            }
        };
        refused(paused(url), "url").await;
        refused(SubmitJob { mirrors: Some(vec![url.to_owned()]), ..paused(SOMEWHERE) }, "mirrors[0]").await;
        refused(SubmitJob { checksum_url: Some(url.to_owned()), ..paused(SOMEWHERE) }, "checksum_url").await;
    }
    let id = token.submit(&paused(SOMEWHERE)).await.expect("it may").id;
    let url = Some("http://10.0.0.1/a".to_owned());
    let problem = refusal(token.patch(id, &PatchJob { url, ..PatchJob::default() }).await);
    assert_eq!((&*problem.code, problem.field.as_deref()), ("target-address-forbidden", Some("url")));
    let job = daemon.submit_job(&paused("http://127.0.0.1:9/a")).await;
    assert_eq!(daemon.job(job).await.state, JobState::Paused, "the owner may");
}

#[tokio::test]
async fn f_sec_12_a_name_of_this_machine_is_refused_when_it_is_resolved_also_after_a_restart() {
    let mut daemon = Daemon::start().await;
    let server = Server::start();
    server.add("/a.bin", File::new(Content::seeded(1, MIB)));
    let token = with_token(&daemon, Scope::Submit, None).await;
    let url = format!("http://localhost:{}/a.bin", server.port());
    let now = token.submit(&SubmitJob::new(&url)).await.expect("a name is looked at later").id;
    let later = SubmitJob { on_duplicate: Some(OnDuplicate::Copy), ..paused(&url) };
    let later = token.submit(&later).await.expect("a name is looked at later").id;
    let reason = daemon.failed(now).await;
    assert_eq!(reason.code, "target-address-forbidden", "{}", reason.message);
    assert!(!reason.message.contains("127.0.0.1"), "nobody learns what the name means: {}", reason.message);
    daemon.kill();
    daemon.restart().await;
    daemon.client().resume(later).await.expect("it is paused");
    assert_eq!(daemon.failed(later).await.code, "target-address-forbidden", "after a restart");
    daemon.client().retry(now).await.expect("the owner tries again");
    assert_eq!(daemon.failed(now).await.code, "target-address-forbidden", "whoever tries again");
    assert!(server.log().is_empty(), "not one request was made");
    daemon.completed(daemon.submit(&url).await).await;
}

#[tokio::test]
async fn f_sec_22_no_token_gets_the_job_or_the_answer_of_another_one() {
    let daemon = Daemon::start().await;
    let (one, other) = (with_token(&daemon, Scope::Submit, None).await, with_token(&daemon, Scope::Submit, None).await);
    let confined = one.submit(&paused(SOMEWHERE)).await.expect("it may submit").id;
    let owners = daemon.submit_job(&paused(SOMEWHERE)).await;
    let others = other.submit(&paused(SOMEWHERE)).await.expect("it may submit").id;
    let mut ids = vec![confined, owners, others];
    ids.dedup();
    assert_eq!(ids.len(), 3, "each has its own");
    assert_eq!(one.submit(&paused(SOMEWHERE)).await.expect("it may submit").id, confined);
    assert_eq!(daemon.client().submit(&paused(SOMEWHERE)).await.expect("it may submit").id, owners);
    let admin = with_token(&daemon, Scope::Admin, None).await;
    let attached = admin.submit(&paused(SOMEWHERE)).await.expect("it may submit");
    assert_eq!((attached.id, attached.url.as_str()), (owners, SOMEWHERE), "it may reach as much as the owner");
    let reject = SubmitJob { on_duplicate: Some(OnDuplicate::Reject), ..paused(SOMEWHERE) };
    assert_eq!(refusal(other.submit(&reject).await).instance, Some(format!("/v1/jobs/{others}")));

    let token = |name: &str| NewToken { name: name.to_owned(), scope: Scope::Submit, jobs_max: None };
    let one = daemon.client().make_token(&token("one")).await.expect("a token").token;
    let other = daemon.client().make_token(&token("other")).await.expect("a token").token;
    let submit = |token: &str, url: &str| {
        let body = format!("{{\"url\": \"{url}\", \"start\": \"paused\"}}");
        daemon.raw(format!(
            "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nIdempotency-Key: k\r\n\
             Connection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let owner = daemon.home().token();
    let first: Vec<_> = [&one, &other, &owner].map(|token| submit(token, "https://files.example/k?sig=s")).into();
    let locations: std::collections::BTreeSet<_> = first.iter().map(|answer| answer.header("location")).collect();
    assert_eq!((locations.len(), first[0].status), (3, 201), "a key of another token is another key");
    for (token, before) in [&one, &other, &owner].into_iter().zip(&first) {
        let again = submit(token, "https://files.example/k?sig=s");
        assert_eq!((again.header("idempotent-replayed"), &again.body), (Some("true"), &before.body));
        assert_eq!(again.body.contains("sig=s"), *token == owner, "queries are the owner's to see: {}", again.body);
        assert_eq!(submit(token, "https://files.example/other").problem("reused").code, "idempotency-key-reused");
    }
}

#[tokio::test]
async fn f_sec_10_no_proxy_passes_the_requests_of_a_submit_token_on() {
    let server = Server::start();
    server.add("/a.bin", File::new(Content::seeded(1, MIB)));
    let proxy = haul_testkit::Proxy::http(None);
    let url = format!("http://only.the.proxy.knows.test:{}/a.bin", server.port());
    let mut daemon = Daemon::start().await;
    let new = NewToken { name: "browser".to_owned(), scope: Scope::Submit, jobs_max: None };
    let token = daemon.client().make_token(&new).await.expect("a token is made").token;
    let confined = client(&daemon, Some(&token)).submit(&paused(&url)).await.expect("a name is looked at later").id;
    daemon.terminate();
    daemon.home().configure(&format!("proxy = \"http://{}\"", proxy.authority()));
    daemon.restart().await;
    daemon.client().resume(confined).await.expect("it is paused");
    assert_eq!(daemon.failed(confined).await.code, "target-address-forbidden", "it was there before the proxy");
    let token = client(&daemon, Some(&token));
    let problem = refusal(token.submit(&SubmitJob::new(&url)).await);
    assert_eq!((&*problem.code, problem.field.as_deref()), ("target-address-forbidden", None));
    assert!(problem.detail.contains("`proxy`"), "it names what is to blame: {problem}");
    let renewed = PatchJob { url: Some(url.clone()), ..PatchJob::default() };
    assert_eq!(code(token.patch(confined, &renewed).await), ProblemCode::TargetAddressForbidden);
    assert!(server.log().is_empty(), "not one request was made");
    let owners = daemon.submit(&url).await;
    daemon.completed(owners).await;
}

/// What another user's request over the Unix socket is answered with. `None` where this user cannot become another one.
fn as_another_user(daemon: &Daemon, arguments: &[&str]) -> Option<String> {
    use std::os::unix::process::CommandExt as _;
    if !rustix::process::geteuid().is_root() {
        say("skipped: only root can be another user");
        return None;
    }
    let mut command = Command::new("curl");
    command.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--unix-socket"]);
    command.arg(daemon.home().socket()).args(arguments).uid(65534).gid(65534);
    let output = command.output().expect("`curl` can be run");
    Some(String::from_utf8(output.stdout).expect("a status"))
}

#[tokio::test]
async fn f_sec_07_a_peer_who_is_not_the_owner_may_do_what_the_settings_say() {
    use std::os::unix::fs::PermissionsExt as _;
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    for (settings, look, change) in [
        ("socket_mode = \"0660\"", "200", "200"),
        ("socket_mode = \"0660\"\nsocket_scope = \"read\"", "200", "403"),
        ("socket_mode = \"0660\"\nsocket_scope = \"none\"", "401", "401"),
        // Whoever opens the socket up behind the daemon's back lets nobody in.
        ("", "401", "401"),
    ] {
        let daemon = Daemon::with(settings).await;
        open(daemon.home().path(), 0o755);
        assert_eq!(as_another_user(&daemon, &["http://localhost/v1/jobs"]).as_deref().unwrap_or("000"), "000");
        open(&daemon.home().socket(), 0o666);
        let Some(answer) = as_another_user(&daemon, &["http://localhost/v1/jobs"]) else { return };
        assert_eq!(answer, look, "{settings}");
        let answer = as_another_user(&daemon, &["-X", "POST", "http://localhost/v1/pause"]);
        assert_eq!(answer.as_deref(), Some(change), "{settings}");
        let token = format!("Authorization: Bearer {}", daemon.home().token());
        let answer = as_another_user(&daemon, &["-H", &token, "-X", "POST", "http://localhost/v1/pause"]);
        assert_eq!(answer.as_deref(), Some("200"), "a token counts more");
        daemon.client().stats().await.expect("the owner may do everything");
    }
}

/// Puts a file in the place of another, for this test alone.
fn mounted(dir: &Path, text: &str, over: &str) {
    let file = dir.join(over.replace('/', "-"));
    fs::write(&file, text).expect("a writable file");
    let status = Command::new("mount").arg("--bind").arg(&file).arg(over).status().expect("`mount` can be run");
    assert!(status.success(), "{over}");
}

/// Serves at the public address what a server has at the loopback one; counts the connections.
fn publish(server: &Server) -> Arc<AtomicU64> {
    let connections = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&connections);
    let (listener, port) = (TcpListener::bind((PUBLIC, server.port())).expect("a free port"), server.port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counter.fetch_add(1, Relaxed);
            let inner = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
            for (mut from, mut to) in [(stream.try_clone(), inner.try_clone()), (Ok(inner), Ok(stream))]
                .map(|(from, to)| (from.expect("a handle"), to.expect("a handle")))
            {
                std::thread::spawn(move || {
                    let mut buffer = [0; 65536];
                    while let Ok(read) = from.read(&mut buffer) {
                        if read == 0 || to.write_all(&buffer[..read]).is_err() {
                            break;
                        }
                    }
                    to.shutdown(std::net::Shutdown::Write).ok();
                });
            }
        }
    });
    connections
}

#[tokio::test]
async fn f_sec_10_12_no_redirect_mirror_or_checksum_leads_a_submit_token_inside() {
    if !is_inside("tokens::f_sec_10_12_no_redirect_mirror_or_checksum_leads_a_submit_token_inside") {
        return;
    }
    let (server, daemon) = (Server::start(), Daemon::start().await);
    mounted(
        daemon.home().path(),
        "127.0.0.1 localhost inside.test\n11.0.0.1 outside.test\n11.0.0.1 mixed.test\n127.0.0.1 mixed.test\n",
        "/etc/hosts",
    );
    mounted(daemon.home().path(), "hosts: files\n", "/etc/nsswitch.conf");
    publish(&server);
    let content = Content::seeded(5, MIB);
    let at = |host: &str, path: &str| format!("http://{host}:{}{path}", server.port());
    let checksum = format!("sha256:{}", content.sha256());
    server.add("/open.bin", File::new(content.clone()));
    server.add("/inside.bin", File::new(content.clone()));
    server.add("/SUMS", File::new(Content::literal(format!("{}  open.bin\n", content.sha256()))));
    let hop = |path: &str, to: String| server.add(path, File::new(Content::empty()).redirect(302, to));
    hop("/to-literal", at("127.0.0.1", "/inside.bin"));
    hop("/to-name", at("inside.test", "/inside.bin"));
    hop("/to-mapped", at("[::ffff:7f00:1]", "/inside.bin"));
    hop("/two-hops", at("outside.test", "/to-literal"));
    hop("/to-sums", at("inside.test", "/SUMS"));
    let link = format!("<{}>; rel=duplicate", at("inside.test", "/inside.bin"));
    server.add("/linked.bin", File::new(content.clone()).header("Link", link));

    let token = with_token(&daemon, Scope::Submit, None).await;
    let submit = async |job: SubmitJob| {
        let another = SubmitJob { on_duplicate: Some(OnDuplicate::Copy), ..job };
        token.submit(&another).await.expect("it may").id
    };
    for url in [at(PUBLIC, "/open.bin"), at("outside.test", "/open.bin")] {
        daemon.completed(submit(SubmitJob::new(url)).await).await;
    }
    for url in [
        at(PUBLIC, "/to-literal"),
        at(PUBLIC, "/to-name"),
        at(PUBLIC, "/to-mapped"),
        at("outside.test", "/two-hops"),
        at("inside.test", "/inside.bin"),
        // One of its addresses is public: all have to be.
        at("mixed.test", "/inside.bin"),
    ] {
        let reason = daemon.failed(submit(SubmitJob::new(&url)).await).await;
        assert_eq!(reason.code, "target-address-forbidden", "{url}: {}", reason.message);
    }
    let sums = |path: &str| SubmitJob {
        checksum_url: Some(at("outside.test", path)),
        ..SubmitJob::new(at(PUBLIC, "/open.bin"))
    };
    daemon.completed(submit(sums("/SUMS")).await).await;
    let reason = daemon.failed(submit(sums("/to-sums")).await).await;
    assert_eq!(reason.code, "checksum-unavailable", "{}", reason.message);
    // A mirror that leads inside is dropped, and the job goes on.
    for job in [
        SubmitJob { mirrors: Some(vec![at("inside.test", "/inside.bin")]), ..SubmitJob::new(at(PUBLIC, "/open.bin")) },
        SubmitJob { mirrors: Some(vec![at(PUBLIC, "/to-name")]), ..SubmitJob::new(at(PUBLIC, "/open.bin")) },
        SubmitJob { checksum: Some(checksum), ..SubmitJob::new(at(PUBLIC, "/linked.bin")) },
    ] {
        daemon.completed(submit(job).await).await;
    }
    let inside = server.log().iter().filter(|request| request.path.starts_with("/inside")).count();
    assert_eq!(inside, 0, "a request came where none may go");
    // The owner's jobs go everywhere.
    daemon.completed(daemon.submit(&at(PUBLIC, "/to-name")).await).await;
}

#[tokio::test]
async fn f_sec_12_a_name_that_means_another_address_the_next_time_leads_nowhere() {
    if !is_inside("tokens::f_sec_12_a_name_that_means_another_address_the_next_time_leads_nowhere") {
        return;
    }
    let (server, daemon) = (Server::start(), Daemon::start().await);
    mounted(daemon.home().path(), "nameserver 127.0.0.53\noptions timeout:1 attempts:1\n", "/etc/resolv.conf");
    mounted(daemon.home().path(), "hosts: dns\n", "/etc/nsswitch.conf");
    let connections = publish(&server);
    rebinding_name_server();
    server.add("/a.bin", File::new(Content::seeded(6, MIB)));
    let token = with_token(&daemon, Scope::Submit, None).await;
    for n in 0..8 {
        let url = format!("http://rebind{n}.test:{}/a.bin", server.port());
        let id = token.submit(&SubmitJob::new(url)).await.expect("it may").id;
        let job = daemon.ended(id).await;
        let code = job.reason.as_ref().map(|reason| reason.code.as_str());
        assert!(matches!(code, None | Some("target-address-forbidden")), "{job:?}");
    }
    assert!(server.connections() > 0, "the first answer of the name server is a good one");
    assert_eq!(server.connections(), connections.load(Relaxed), "each connection went to the public address");
}

/// Answers each question for an address with the public one the first time and the loopback one ever after.
fn rebinding_name_server() {
    let socket = UdpSocket::bind(("127.0.0.53", 53)).expect("this network is the test's own");
    std::thread::spawn(move || {
        let mut asked = std::collections::BTreeSet::new();
        let mut packet = [0; 512];
        while let Ok((len, peer)) = socket.recv_from(&mut packet) {
            let question = &packet[12..len];
            let end = question.iter().position(|&byte| byte == 0).expect("a name ends") + 5;
            let question = &question[..end];
            let is_a = question[end - 4..end - 2] == [0, 1];
            let mut answer = packet[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
            answer.extend(question);
            if is_a {
                let is_first = asked.insert(question.to_vec());
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                answer.extend(if is_first { [11, 0, 0, 1] } else { [127, 0, 0, 1] });
            }
            socket.send_to(&answer, peer).ok();
        }
    });
}
