//! One file from several servers: those that have it contribute, those that have another one do no harm.

use std::ops::Range;

use haul_api::{Job, JobState, MirrorState, SubmitJob, Verification};
use haul_testkit::{Content, Do, File, Request, Server, When};

use crate::support::{DEADLINE, Daemon, MIB, completed, wait_until};

const PATH: &str = "/a.bin";

/// The job for a file that lies under one path on all these servers, the first of which has the say.
fn job(servers: &[&Server]) -> SubmitJob {
    let urls = servers.iter().map(|server| server.url(PATH)).collect();
    SubmitJob { mirrors: Some(urls), ..SubmitJob::default() }
}

fn with_checksum(job: SubmitJob, content: &Content) -> SubmitJob {
    SubmitJob { checksum: Some(format!("sha256:{}", content.sha256())), ..job }
}

fn serving(file: &File) -> Server {
    let server = Server::start();
    server.add(PATH, file.clone());
    server
}

/// A port at which nobody listens.
fn dead() -> Server {
    let server = Server::start();
    server.close_listener();
    server
}

/// Waits until a mirror is not used any more, and tells the code of why.
async fn dropped(daemon: &Daemon, id: u64, index: usize) -> String {
    let fits = |job: &Job| job.mirrors[index].state == Some(MirrorState::Dropped);
    let job = daemon.until(id, "the mirror is dropped", fits).await;
    let mirror = job.mirrors.into_iter().nth(index).expect("it was just there");
    mirror.reason.expect("a dropped mirror says why").code
}

#[tokio::test]
async fn three_mirrors_share_the_work_and_are_shown() {
    let daemon = Daemon::start().await;
    let content = Content::seeded(1, 24 * MIB + 7);
    // The validators of one server are not those of another.
    let file = |tag: &str, rate| File::new(content.clone()).etag(tag).shared_rate(rate);
    let servers = [file("\"1\"", 6_000_000), file("\"2\"", 4_000_000), file("\"3\"", 2_000_000)];
    let [first, second, third] = servers.each_ref().map(serving);
    let id = daemon.submit_job(&job(&[&first, &second, &third])).await;
    let all_give = |job: &Job| job.mirrors.iter().all(|mirror| mirror.done_bytes > Some(0));
    let shown = daemon.until(id, "each has given something", all_give).await;
    let states = shown.mirrors.iter().map(|mirror| mirror.state.expect("it runs")).collect::<Vec<_>>();
    assert_eq!(states, [MirrorState::Main, MirrorState::Proven, MirrorState::Proven]);
    assert_eq!(shown.url, first.url(PATH), "the first one is the job's URL");
    assert!(shown.mirrors.iter().map(|mirror| mirror.connections).sum::<u32>() <= shown.connections.max);

    let job = completed(&daemon, id, &content).await;
    assert_eq!(job.verification, Some(Verification::Overlap), "no validator vouches for all bytes");
    let urls: Vec<_> = job.mirrors.iter().map(|mirror| mirror.url.clone()).collect();
    assert_eq!(urls, [&first, &second, &third].map(|server| server.url(PATH)));
    assert!(job.mirrors.iter().all(|mirror| mirror.state.is_none() && mirror.done_bytes.is_none()), "{job:?}");
    for server in [&first, &second, &third] {
        assert!(server.bytes_sent(PATH) > content.len() / 20, "{} bytes are no contribution", server.bytes_sent(PATH));
    }
}

#[tokio::test]
async fn a_mirror_with_a_file_of_another_size_is_dropped_and_named() {
    let daemon = Daemon::start().await;
    let content = Content::seeded(2, 8 * MIB);
    let main = serving(&File::new(content.clone()).shared_rate(6_000_000));
    let longer = serving(&File::new(Content::seeded(2, 8 * MIB + 1)));
    let id = daemon.submit_job(&job(&[&main, &longer])).await;
    assert_eq!(dropped(&daemon, id, 1).await, "source-changed");
    let named = format!("host=\"http://127.0.0.1:{}\" code=\"source-changed\"", longer.port());
    assert!(daemon.log().contains(&named), "{}", daemon.log());
    completed(&daemon, id, &content).await;
    assert_eq!(longer.requests(PATH), 1, "it is asked once");
}

#[tokio::test]
async fn a_mirror_with_other_bytes_is_dropped_and_never_contributes() {
    let daemon = Daemon::start().await;
    let content = Content::seeded(3, 8 * MIB);
    let main = serving(&File::new(content.clone()).shared_rate(6_000_000));
    let other = serving(&File::new(Content::seeded(4, 8 * MIB)));
    let id = daemon.submit_job(&job(&[&main, &other])).await;
    assert_eq!(dropped(&daemon, id, 1).await, "bytes-differ");
    let job = completed(&daemon, id, &content).await;
    // One mirror alone has given all bytes; where its own answers meet they were compared.
    assert!(matches!(job.verification, Some(Verification::Length | Verification::Overlap)), "{job:?}");
    assert_eq!(other.requests(PATH), 1, "it is asked for a sample and nothing else");
}

#[tokio::test]
async fn a_mirror_that_dies_in_the_middle_costs_nothing_but_its_speed() {
    let daemon = Daemon::start().await;
    let content = Content::seeded(5, 16 * MIB);
    for dies in [0, 1] {
        let servers = [(); 2].map(|()| serving(&File::new(content.clone()).etag("\"v\"").shared_rate(4_000_000)));
        let id = daemon.submit_job(&job(&[&servers[0], &servers[1]])).await;
        let both_give = |job: &Job| job.mirrors.iter().all(|mirror| mirror.done_bytes > Some(MIB / 2));
        daemon.until(id, "both give", both_give).await;
        servers[dies].close_listener();
        servers[dies].reset_connections();
        let job = completed(&daemon, id, &content).await;
        assert_eq!(job.mirrors.len(), 2);
        daemon.client().delete(id, haul_api::Files::Delete).await.expect("it can be deleted");
        wait_until("the file is deleted", async || daemon.home().names().is_empty().then_some(())).await;
    }
}

#[tokio::test]
async fn a_first_mirror_that_is_dead_from_the_start_is_passed_over_even_after_a_kill() {
    let mut daemon = Daemon::start().await;
    let content = Content::seeded(6, 12 * MIB);
    let (first, second) = (dead(), serving(&File::new(content.clone()).etag("\"v\"").shared_rate(4_000_000)));
    let id = daemon.submit_job(&job(&[&first, &second])).await;
    assert!(second.wait_until_async(DEADLINE, |second| second.bytes_sent(PATH) > content.len() / 2).await);
    daemon.until(id, "the second has the say", |job| job.mirrors[1].state == Some(MirrorState::Main)).await;
    daemon.kill();
    daemon.restart().await;
    completed(&daemon, id, &content).await;
    let again = second.bytes_sent_again(PATH);
    assert!(again < content.len() / 3, "{again} bytes were sent twice");
}

#[tokio::test]
async fn a_first_mirror_that_comes_back_with_another_file_does_not_get_the_say_again() {
    let mut daemon = Daemon::start().await;
    let content = Content::seeded(16, 12 * MIB);
    let (first, second) = (dead(), serving(&File::new(content.clone()).shared_rate(4_000_000)));
    first.add(PATH, File::new(Content::seeded(17, 12 * MIB)).shared_rate(4_000_000));
    let id = daemon.submit_job(&job(&[&first, &second])).await;
    assert!(second.wait_until_async(DEADLINE, |second| second.bytes_sent(PATH) > content.len() / 3).await);
    daemon.kill();
    first.reopen_listener();
    daemon.restart().await;
    assert_eq!(dropped(&daemon, id, 0).await, "bytes-differ");
    completed(&daemon, id, &content).await;
}

#[tokio::test]
async fn a_first_mirror_that_is_gone_after_a_few_bytes_leaves_them_to_the_second() {
    let daemon = Daemon::with("stall_timeout = \"300ms\"").await;
    let content = Content::seeded(18, 3 * MIB);
    let first = serving(&File::new(content.clone()).fault(When::Always, Do::StallAfter(5000)));
    let second = serving(&File::new(content.clone()));
    let id = daemon.submit_job(&SubmitJob { connections: Some(1), ..job(&[&first, &second]) }).await;
    daemon.until(id, "a few bytes are there", |job| job.done_bytes > 0).await;
    first.remove(PATH);
    completed(&daemon, id, &content).await;
    assert!(daemon.log().contains("code=\"http-status\""), "the first one is dropped: {}", daemon.log());
}

#[tokio::test]
async fn a_first_mirror_whose_file_has_not_the_expected_size_is_passed_over() {
    let daemon = Daemon::start().await;
    let content = Content::seeded(7, 3 * MIB);
    let wrong = serving(&File::new(Content::seeded(7, 3 * MIB - 1)));
    let right = serving(&File::new(content.clone()));
    let expecting = |servers: &[&Server]| SubmitJob { size: Some(3 * MIB), ..job(servers) };
    let reason = daemon.failed(daemon.submit_job(&expecting(&[&wrong, &wrong])).await).await;
    assert_eq!(reason.code, "checksum-mismatch", "one URL is no choice");
    completed(&daemon, daemon.submit_job(&expecting(&[&wrong, &right])).await, &content).await;
}

/// A file from two mirrors of which the other one sends wrong bytes, `wrong` of each MiB; and what the log says then. What
/// the main one has sent is kept.
async fn from_a_liar(wrong: impl Fn(u64) -> Range<u64>) -> String {
    let mut daemon = Daemon::start().await;
    let content = Content::seeded(8, 16 * MIB);
    let bent = (0..16).fold(content.clone(), |bent, chunk| bent.inverted(wrong(chunk * MIB)));
    let main = serving(&File::new(content.clone()).etag("\"v\"").shared_rate(4_000_000));
    let liar = serving(&File::new(bent).etag("\"v\"").shared_rate(4_000_000));
    let id = daemon.submit_job(&with_checksum(job(&[&main, &liar]), &content)).await;
    let job = completed(&daemon, id, &content).await;
    assert_eq!(job.verification, Some(Verification::Checksum));
    assert_eq!(job.mirrors.len(), 2);
    let again = main.bytes_sent_again(PATH);
    assert!(again < MIB, "what it has sent already is asked for again: {again} bytes");
    daemon.terminate();
    daemon.log()
}

// A sample begins where a row does, and is shorter than what is right in these. A seam lies where a row begins or ends.

#[tokio::test]
async fn a_wrong_checksum_heals_where_a_mirror_has_sent_wrong_bytes_that_no_sample_saw() {
    let log = from_a_liar(|chunk| chunk + 700_000..chunk + 701_000).await;
    // Unless a lease happens to end beside wrong bytes: then the seam shows it, and before.
    let shown = ["the checksum does not match", "two answers do not fit together"];
    assert!(shown.iter().any(|text| log.contains(text)), "the liar has contributed: {log}");
}

#[tokio::test]
async fn where_bytes_of_a_mirror_do_not_fit_to_those_beside_them_it_is_left_and_what_it_gave_is_fetched_again() {
    let log = from_a_liar(|chunk| chunk + 150_000..chunk + MIB).await;
    assert!(log.contains("two answers do not fit together"), "a seam lies within wrong bytes: {log}");
}

#[tokio::test]
async fn a_kill_in_the_middle_keeps_the_mirrors_and_their_bytes() {
    let mut daemon = Daemon::start().await;
    let content = Content::seeded(9, 24 * MIB);
    let servers = [(); 3].map(|()| serving(&File::new(content.clone()).etag("\"v\"").shared_rate(4_000_000)));
    let [first, second, third] = &servers;
    let id = daemon.submit_job(&with_checksum(job(&[first, second, third]), &content)).await;
    let all_give = |job: &Job| job.mirrors.iter().all(|mirror| mirror.done_bytes > Some(MIB));
    let before = daemon.until(id, "each has given something", all_give).await;
    daemon.kill();
    let requests: Vec<u64> = servers.iter().map(|server| server.requests(PATH)).collect();
    daemon.restart().await;
    let after = daemon.until(id, "it runs", |job| job.state == JobState::Active).await;
    for (before, after) in before.mirrors.iter().zip(&after.mirrors) {
        assert_eq!(before.url, after.url);
        let (before, after) = (before.done_bytes.expect("it ran"), after.done_bytes.expect("it runs"));
        assert!(after + MIB >= before, "{after} of {before} bytes of one mirror are left");
    }
    let all_asked = |_: &Server| servers.iter().zip(&requests).all(|(server, before)| server.requests(PATH) > *before);
    assert!(first.wait_until_async(DEADLINE, all_asked).await, "all mirrors are in use again");
    let job = completed(&daemon, id, &content).await;
    assert_eq!(job.verification, Some(Verification::Checksum));
}

#[tokio::test]
async fn f_http_09_what_is_secret_stays_at_the_origin_of_the_first_mirror() {
    let daemon = Daemon::start().await;
    let content = Content::seeded(10, 12 * MIB);
    let file = |tag: &str| File::new(content.clone()).etag(tag).shared_rate(3_000_000);
    let (own, other, foreign) = (serving(&file("\"1\"")), Server::start(), serving(&file("\"3\"")));
    own.add("/again.bin", file("\"2\""));
    // A redirect back to the origin does not open the door either.
    other.add(PATH, File::new(Content::empty()).redirect(302, own.url("/back.bin")));
    own.add("/back.bin", file("\"4\""));
    let with_user = foreign.url(PATH).replace("http://", "http://ann:s3cret-foreign@");
    let headers = [("Authorization", "Bearer s3cret"), ("X-Key", "s3cret")];
    let wish = SubmitJob {
        mirrors: Some(vec![own.url("/again.bin"), with_user, other.url(PATH)]),
        headers: Some(headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
        referrer: Some("http://page.example/s3cret".to_owned()),
        ..SubmitJob::new(own.url(PATH))
    };
    let id = daemon.submit_job(&wish).await;
    let all_give = |job: &Job| job.mirrors.iter().all(|mirror| mirror.done_bytes > Some(0));
    daemon.until(id, "each has given something, one host with two validators too", all_give).await;
    let job = completed(&daemon, id, &content).await;

    let is_secret = |value: &str| value.contains("s3cret");
    let has_secret = |request: &Request| request.headers.iter().any(|(_, value)| is_secret(value));
    for request in own.log() {
        assert_eq!(has_secret(&request), request.path != "/back.bin", "{}", request.path);
    }
    assert!(!other.log().iter().any(has_secret));
    for request in foreign.log() {
        assert_eq!(request.header("authorization"), Some("Basic YW5uOnMzY3JldC1mb3JlaWdu"), "its own user only");
        assert!(!has_secret(&request));
    }
    assert!(
        own.log()
            .iter()
            .chain(&other.log())
            .all(|request| { request.header("authorization").is_none_or(|value| !value.starts_with("Basic")) })
    );
    assert!(!format!("{job:?}").contains("s3cret"), "{job:?}");
    assert!(!daemon.log().contains("s3cret"), "{}", daemon.log());
}

#[tokio::test]
async fn a_mistake_in_a_mirror_is_named_by_its_place() {
    let daemon = Daemon::start().await;
    let submit = async |mirrors: &[&str]| {
        let mirrors = mirrors.iter().map(|url| (*url).to_owned()).collect();
        let refused = daemon.client().submit(&SubmitJob { mirrors: Some(mirrors), ..SubmitJob::default() }).await;
        let haul_api::ClientError::Problem(problem) = refused.expect_err("a mistake") else { panic!("no problem") };
        (problem.code.into_owned(), problem.field.unwrap_or_default())
    };
    let wrong = submit(&["http://a.example/1", "http://b.example/1", "ftp://c.example/1"]).await;
    assert_eq!(wrong, ("invalid-url".to_owned(), "mirrors[2]".to_owned()));
    let many: Vec<String> = (0..17).map(|n| format!("http://h{n}.example/")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(submit(&many).await, ("invalid-value".to_owned(), "mirrors".to_owned()));
    assert_eq!(submit(&[]).await, ("invalid-value".to_owned(), "url".to_owned()));
}
