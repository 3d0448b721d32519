//! It is the same file from the first byte to the last: changed sources, farms, lying ranges, portals, renewed links. And
//! what the user is told.

use haul_api::{Job, JobState, OnChange, PatchJob, ProblemCode, SubmitJob, Verification, WaitingFor};
use haul_testkit::{Content, Do, File, Server, When};

use crate::support::{DEADLINE, Daemon, MIB, assert_holds, refusal, wait_until};

const PATH: &str = "/a.bin";

fn file_of(daemon: &Daemon) -> std::path::PathBuf {
    daemon.home().downloads().join("a.bin")
}

/// A job that has some bytes of this file.
async fn begun(daemon: &Daemon, server: &Server, file: File, job: SubmitJob) -> u64 {
    server.add(PATH, file.shared_rate(4_000_000));
    let id = daemon.submit_job(&SubmitJob { url: Some(server.url(PATH)), ..job }).await;
    daemon.until(id, "some bytes are written", |job| job.done_bytes > 2 * MIB).await;
    id
}

async fn paused(daemon: &Daemon, server: &Server, file: File, job: SubmitJob) -> u64 {
    let id = begun(daemon, server, file, job).await;
    daemon.client().pause(id).await.expect("a running job can be paused");
    id
}

fn patch_url(url: String) -> PatchJob {
    PatchJob { url: Some(url), ..PatchJob::default() }
}

// Changed files.

#[tokio::test]
async fn f_ident_03_04_05_a_changed_file_of_equal_length_is_found_without_a_strong_validator() {
    let day = |day: u32| format!("Thu, {day:02} Jan 2026 00:00:00 GMT");
    for (seed, before, after) in [
        (1, (None, None), (None, None)),
        (2, (Some("W/\"v\""), None), (Some("W/\"v\""), None)),
        (3, (None, Some(day(1))), (None, Some(day(1)))),
    ] {
        let (server, daemon) = (Server::start(), Daemon::start().await);
        let [old, new] = [seed, seed + 100].map(|seed| Content::seeded(seed, 6 * MIB));
        let shape = |content: &Content, (tag, date): (Option<&str>, Option<String>)| {
            let file = tag.map_or(File::new(content.clone()), |tag| File::new(content.clone()).etag(tag));
            date.map_or(file.clone(), |date| file.last_modified(date))
        };
        let id = paused(&daemon, &server, shape(&old, before), SubmitJob::default()).await;
        server.replace(PATH, shape(&new, after));
        daemon.client().resume(id).await.expect("a paused job can be resumed");
        let job = daemon.completed(id).await;
        assert_holds(&file_of(&daemon), &new);
        assert_ne!(job.verification, Some(Verification::Validator));
        assert!(daemon.log().contains("has changed on the server"), "{}", daemon.log());
    }
}

#[tokio::test]
async fn what_is_there_of_the_version_before_is_kept_until_the_new_one_is_complete() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let [old, new] = [11, 12].map(|seed| Content::seeded(seed, 6 * MIB));
    let id = paused(&daemon, &server, File::new(old).etag("\"v1\""), SubmitJob::default()).await;
    server.replace(PATH, File::new(new.clone()).etag("\"v2\"").shared_rate(2_000_000));
    daemon.client().resume(id).await.expect("a paused job can be resumed");
    let kept = || daemon.home().names().into_iter().filter(|name| name.ends_with(".old.haul-part")).count();
    wait_until("the old one is set aside", async || (kept() == 1).then_some(())).await;
    assert!(daemon.job(id).await.state != JobState::Completed);
    daemon.completed(id).await;
    assert_holds(&file_of(&daemon), &new);
    wait_until("it is removed", async || (daemon.home().names() == ["a.bin"]).then_some(())).await;
}

#[tokio::test]
async fn where_the_new_version_cannot_be_had_the_reason_says_where_the_old_one_is() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let id =
        paused(&daemon, &server, File::new(Content::seeded(13, 6 * MIB)).etag("\"v1\""), SubmitJob::default()).await;
    let next = File::new(Content::seeded(14, 5 * MIB)).etag("\"v2\"").shared_rate(500_000);
    server.replace(PATH, next.clone());
    daemon.client().resume(id).await.expect("a paused job can be resumed");
    assert!(
        server
            .wait_until_async(DEADLINE, |server| server.log().iter().any(|r| r.header("cache-control").is_some()))
            .await
    );
    server.replace(PATH, next.header("Content-Encoding", "gzip"));
    server.reset_connections();
    let reason = daemon.failed(id).await;
    assert_eq!(reason.code, "unexpected-encoding");
    let kept = daemon.home().names().into_iter().find(|name| name.ends_with(".old.haul-part")).expect("it is kept");
    assert!(reason.message.contains(&kept), "{}", reason.message);
    daemon.client().delete(id, haul_api::Files::Keep).await.expect("it can be forgotten");
    wait_until("both are removed", async || daemon.home().names().is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_job_that_shall_not_start_over_fails_keeps_its_bytes_and_starts_over_when_it_is_told_to() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let [old, new] = [15, 16].map(|seed| Content::seeded(seed, 6 * MIB));
    let wish = SubmitJob { on_change: Some(OnChange::Fail), ..SubmitJob::default() };
    let id = paused(&daemon, &server, File::new(old).etag("\"v1\""), wish).await;
    server.replace(PATH, File::new(new.clone()).etag("\"v2\""));
    daemon.client().resume(id).await.expect("a paused job can be resumed");
    let reason = daemon.failed(id).await;
    assert_eq!(reason.code, "source-changed");
    let job = daemon.job(id).await;
    assert!(job.done_bytes > 2 * MIB && job.on_change == OnChange::Fail, "{job:?}");
    let patch = PatchJob { on_change: Some(OnChange::Restart), ..PatchJob::default() };
    let job = daemon.client().patch(id, &patch).await.expect("it can be changed");
    assert_eq!((job.state, job.on_change), (JobState::Failed, OnChange::Restart));
    daemon.client().retry(id).await.expect("a failed job can be retried");
    daemon.completed(id).await;
    assert_holds(&file_of(&daemon), &new);
}

// Farms.

#[tokio::test]
async fn f_ident_06_07_a_farm_whose_servers_name_one_version_differently_goes_on_without_starting_over() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(21, 24 * MIB);
    let farm = File::new(content.clone()).etag("\"node-1\"").fault(When::Every(2), Do::Etag("\"node-2\"".to_owned()));
    let id = begun(&daemon, &server, farm, SubmitJob::default()).await;
    server.reset_connections();
    daemon.until(id, "more is there", |job| job.done_bytes > 6 * MIB).await;
    daemon.kill();
    daemon.restart().await;
    let job = daemon.completed(id).await;
    assert_holds(&file_of(&daemon), &content);
    assert_eq!(job.verification, Some(Verification::Overlap), "no validator vouches for all of it");
    let log = daemon.whole_log();
    assert!(log.contains("name the same bytes differently"), "{log}");
    assert!(!log.contains("has changed on the server"), "{log}");
    let again = server.bytes_sent_again(PATH);
    assert!(again < content.len() / 4, "{again} bytes were sent twice");
}

// Lying ranges.

#[tokio::test]
async fn f_range_03_a_server_that_sends_other_bytes_than_its_206_says_ends_as_the_right_bytes() {
    for (seed, tag) in [(31, Some("\"v1\"")), (32, None)] {
        let (server, daemon) = (Server::start(), Daemon::start().await);
        let content = Content::seeded(seed, 8 * MIB);
        let file = File::new(content.clone()).shared_rate(6_000_000);
        let file = tag.map_or(file.clone(), |tag| file.clone().etag(tag));
        server.add(PATH, file.fault(When::After(1), Do::WrongBody));
        let job = daemon.completed(daemon.submit(&server.url(PATH)).await).await;
        assert_holds(&file_of(&daemon), &content);
        assert_eq!(job.resumable, Some(false), "its ranges are not used any more");
        let log = daemon.log();
        assert!(log.contains("two answers do not fit together") || log.contains("sent another byte"), "{log}");
    }
}

#[tokio::test]
async fn f_range_03_a_resume_that_is_answered_with_other_bytes_writes_none_of_them() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(33, 6 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"");
    // One connection, so that it is the first request that goes on from what is there.
    let wish = SubmitJob { connections: Some(1), ..SubmitJob::default() };
    let id = paused(&daemon, &server, file.clone(), wish).await;
    server.replace(PATH, file.shared_rate(8_000_000).fault(When::First(2), Do::WrongBody));
    daemon.client().resume(id).await.expect("a paused job can be resumed");
    daemon.completed(id).await;
    assert_holds(&file_of(&daemon), &content);
    assert!(daemon.log().contains("code=\"range-mismatch\""), "{}", daemon.log());
    assert!(server.bytes_sent_again(PATH) < 3 * MIB, "what was there is kept");
}

#[tokio::test]
async fn seams_cost_far_less_than_one_percent() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(34, 32 * MIB);
    server.add(PATH, File::new(content.clone()).etag("\"v1\"").rate_per_connection(1_500_000));
    let job = daemon.completed(daemon.submit(&server.url(PATH)).await).await;
    assert_holds(&file_of(&daemon), &content);
    assert_eq!(job.verification, Some(Verification::Validator));
    assert!(!daemon.log().contains("do not fit together"));
}

// Portals.

#[tokio::test]
async fn f_net_04_05_a_portal_in_mid_file_is_waited_for_and_said_to_be_one() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(41, 6 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"");
    let id = begun(&daemon, &server, file.clone(), SubmitJob::default()).await;
    server.replace(PATH, file.clone().fault(When::Always, Do::Html));
    server.reset_connections();
    let met = |job: &Job| job.reason.as_ref().is_some_and(|reason| reason.code == "interference");
    let job = daemon.until(id, "the portal is met", met).await;
    assert_eq!((job.state, job.waiting_for), (JobState::Waiting, Some(WaitingFor::Retry)));
    let message = job.reason.expect("it was just there").message;
    assert!(message.contains("something else in the place of the file"), "{message}");
    assert!(job.done_bytes > 2 * MIB, "nothing is discarded");
    server.replace(PATH, file);
    daemon.completed(id).await;
    assert_holds(&file_of(&daemon), &content);
    assert!(server.bytes_sent_again(PATH) < 2 * MIB);
}

#[tokio::test]
async fn f_net_06_a_portal_before_the_first_byte_is_waited_for_where_it_says_so_and_warned_of_where_it_looks_so() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(42, MIB);
    server.add(PATH, File::new(content.clone()).fault(When::First(2), Do::status(511)));
    let id = daemon.submit(&server.url(PATH)).await;
    daemon.until(id, "it waits", |job| job.state == JobState::Waiting).await;
    daemon.completed(id).await;
    assert_holds(&file_of(&daemon), &content);

    server.add("/b.iso", File::new(Content::empty()).fault(When::Always, Do::Html));
    let job = daemon.completed(daemon.submit(&server.url("/b.iso")).await).await;
    assert!(job.filename.is_some());
    assert!(daemon.log().contains("is a web page"), "{}", daemon.log());
}

// Links.

#[tokio::test]
async fn f_http_05_f_ident_13_a_renewed_link_goes_on_after_proof_and_a_wrong_one_changes_nothing() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(51, 8 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"");
    let id = begun(&daemon, &server, file.clone(), SubmitJob::default()).await;
    server.replace(PATH, file.fault(When::Always, Do::status(403)));
    server.reset_connections();
    let job = daemon.until(id, "it waits for a link", |job| job.waiting_for == Some(WaitingFor::Link)).await;
    let message = job.reason.expect("it says why").message;
    assert!(message.contains("403") && message.contains("give the job a new `url`"), "{message}");

    // Somewhere else, and in all the wrong ways.
    let other = Server::start();
    let client = daemon.client();
    other.add("/same-length", File::new(Content::seeded(52, 8 * MIB)));
    other.add("/longer", File::new(Content::seeded(51, 8 * MIB + 1)));
    // Equal at the start, and at the start only.
    other.add("/tail", File::new(content.clone().inverted(300_000..8 * MIB)));
    for (path, code) in [
        ("/same-length", ProblemCode::SourceChanged),
        ("/longer", ProblemCode::SourceChanged),
        ("/tail", ProblemCode::SourceChanged),
        ("/missing", ProblemCode::LinkNotProven),
    ] {
        let problem = refusal(client.patch(id, &patch_url(other.url(path))).await);
        assert_eq!((problem.known_code(), problem.status, problem.field.as_deref()), (Some(code), 409, Some("url")));
        assert!(problem.detail.contains("nothing was changed"), "{}", problem.detail);
        let job = daemon.job(id).await;
        assert_eq!((job.url, job.waiting_for), (server.url(PATH), Some(WaitingFor::Link)), "{path}");
    }
    for url in ["ftp://a/b", "no url"] {
        assert_eq!(
            refusal(client.patch(id, &patch_url(url.to_owned())).await).known_code(),
            Some(ProblemCode::InvalidUrl)
        );
    }

    other.add("/fresh", File::new(content.clone()).etag("\"other\""));
    let job = client.patch(id, &patch_url(other.url("/fresh?sig=s3cret"))).await.expect("it has the same file");
    assert_eq!(job.url, other.url("/fresh?sig=s3cret"));
    let job = daemon.completed(id).await;
    assert_holds(&file_of(&daemon), &content);
    assert_eq!(job.verification, Some(Verification::Overlap), "no validator is of both");
    assert!(other.bytes_sent("/fresh") < 7 * MIB, "what was there is kept");
    assert!(!daemon.log().contains("s3cret"), "a query is secret");
}

#[tokio::test]
async fn f_http_09_headers_of_the_old_server_are_not_sent_to_the_new_one() {
    let (server, other, daemon) = (Server::start(), Server::start(), Daemon::start().await);
    let content = Content::seeded(53, 8 * MIB);
    let headers = Some([("Cookie".to_owned(), "canary=1".to_owned())].into());
    let id = paused(&daemon, &server, File::new(content.clone()), SubmitJob { headers, ..SubmitJob::default() }).await;
    other.add(PATH, File::new(content.clone()));
    daemon.client().patch(id, &patch_url(other.url(PATH))).await.expect("it has the same file");
    assert_eq!(daemon.job(id).await.state, JobState::Paused, "who is paused stays so");
    daemon.client().resume(id).await.expect("it can be resumed");
    daemon.completed(id).await;
    assert_holds(&file_of(&daemon), &content);
    assert!(server.log().iter().all(|request| request.header("cookie").is_some()));
    assert!(!other.log().is_empty() && other.log().iter().all(|request| request.header("cookie").is_none()));
}

#[tokio::test]
async fn f_http_04_who_is_not_let_in_fails_after_one_request_and_new_headers_continue() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(54, MIB);
    for (status, code) in [(401, "auth-required"), (407, "proxy-auth-required")] {
        let path = format!("/{status}.bin");
        server.add(&path, File::new(content.clone()).fault(When::First(1), Do::status(status)));
        let id = daemon.submit(&server.url(&path)).await;
        assert_eq!(daemon.failed(id).await.code, code);
        assert_eq!(server.requests(&path), 1);
        let headers = Some(Some([("Authorization".to_owned(), "Bearer canary".to_owned())].into()));
        daemon.client().patch(id, &PatchJob { headers, ..PatchJob::default() }).await.expect("headers can be changed");
        daemon.completed(id).await;
        let last = server.log().pop().expect("it was asked");
        assert_eq!(last.header("authorization"), Some("Bearer canary"));
        assert!(!daemon.log().contains("canary"));
    }
}

#[tokio::test]
async fn a_link_cannot_be_renewed_once_the_job_has_ended() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add(PATH, File::new(Content::seeded(55, 1000)));
    let id = daemon.submit(&server.url(PATH)).await;
    daemon.completed(id).await;
    let problem = refusal(daemon.client().patch(id, &patch_url(server.url(PATH))).await);
    assert_eq!(problem.known_code(), Some(ProblemCode::ConflictState));
    let problem = refusal(daemon.client().patch(999, &patch_url(server.url(PATH))).await);
    assert_eq!(problem.known_code(), Some(ProblemCode::JobNotFound));
}

// Names.

#[tokio::test]
async fn f_name_06_07_the_part_file_lies_beside_its_target_and_no_attribute_says_where_it_came_from() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(71, 6 * MIB);
    let id = begun(&daemon, &server, File::new(content.clone()), SubmitJob::default()).await;
    let part = daemon.home().part();
    let name = part.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
    let tag = name.strip_prefix("a.bin.").and_then(|rest| rest.strip_suffix(".haul-part")).expect("NAME.TAG.haul-part");
    assert!(tag.len() == 8 && tag.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    assert_eq!(part.parent(), file_of(&daemon).parent());
    daemon.completed(id).await;
    let mut attributes = vec![0; 4096];
    let len = rustix::fs::listxattr(file_of(&daemon), &mut attributes[..]).unwrap_or(0);
    let attributes = String::from_utf8_lossy(&attributes[..len]).into_owned();
    assert!(!attributes.contains("user."), "{attributes:?}");
}

#[tokio::test]
async fn f_ident_08_every_request_asks_for_the_bytes_as_they_are_stored() {
    let (server, second, mut daemon) = (Server::start(), Server::start(), Daemon::start().await);
    let content = Content::seeded(81, 12 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"").shared_rate(6_000_000);
    server.add("/moved.bin", File::new(content.clone()).redirect(302, PATH));
    server.add(PATH, file.clone());
    second.add(PATH, file);
    server.add("/sums", File::new(Content::literal(format!("{}  a.bin\n", content.sha256()))));
    // A probe, a redirect, ranges, a mirror that is compared, a file of checksums, and after a kill and a pause all that
    // goes on.
    let job = SubmitJob {
        mirrors: Some(vec![second.url(PATH)]),
        checksum_url: Some(server.url("/sums")),
        filename: Some("a.bin".to_owned()),
        ..SubmitJob::new(server.url("/moved.bin"))
    };
    let id = daemon.submit_job(&job).await;
    daemon.until(id, "some bytes are written", |job| job.done_bytes > 2 * MIB).await;
    daemon.kill();
    daemon.restart().await;
    daemon.until(id, "it goes on", |job| job.done_bytes > 6 * MIB).await;
    daemon.client().pause(id).await.expect("a running job can be paused");
    daemon.client().resume(id).await.expect("a paused job can be resumed");
    daemon.completed(id).await;
    assert_holds(&file_of(&daemon), &content);

    let requests: Vec<_> = server.log().into_iter().chain(second.log()).collect();
    let has = |what: &str, fits: &dyn Fn(&haul_testkit::Request) -> bool| {
        assert!(requests.iter().any(fits), "no request {what}");
    };
    has("was redirected", &|request| request.path == "/moved.bin");
    has("was for the checksum", &|request| request.path == "/sums");
    has("was for a range", &|request| request.range.is_some_and(|(start, _)| start > 0));
    has("had a condition", &|request| request.header("if-range").is_some());
    for request in &requests {
        let asked = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("accept-encoding"));
        let asked: Vec<&str> = asked.map(|(_, value)| value.as_str()).collect();
        assert_eq!(asked, ["identity"], "{} {:?}", request.path, request.range);
    }
}
