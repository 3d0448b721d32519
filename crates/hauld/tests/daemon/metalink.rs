//! A Metalink is submitted like a batch of the files that it describes.

use haul_api::{BatchItem, ClientError, Job, MirrorState, Outcome, Problem, Verification};
use haul_testkit::{Content, File, Server};

use crate::support::{Daemon, MIB, assert_holds, refusal};

fn metalink(files: &str) -> Vec<u8> {
    format!(r#"<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink">{files}</metalink>"#).into_bytes()
}

fn hash(content: &Content) -> String {
    format!(r#"<hash type="sha-256">{}</hash>"#, content.sha256())
}

fn job(item: &BatchItem) -> &Job {
    match &item.outcome {
        Outcome::Job(job) => job,
        Outcome::Problem(problem) => panic!("{problem:?}"),
    }
}

fn problem(item: &BatchItem) -> &Problem {
    match &item.outcome {
        Outcome::Job(job) => panic!("{job:?}"),
        Outcome::Problem(problem) => problem,
    }
}

#[tokio::test]
async fn a_file_is_fetched_from_the_mirrors_of_its_metalink_and_has_its_name() {
    let (slow, fast, daemon) = (Server::start(), Server::start(), Daemon::start().await);
    let content = Content::seeded(60, 24 * MIB);
    slow.add("/1", File::new(content.clone()).etag("\"1\"").shared_rate(3_000_000));
    fast.add("/2", File::new(content.clone()).etag("\"2\"").shared_rate(12_000_000));
    let document = metalink(&format!(
        r#"<file name="a.iso"><size>{}</size>{}<url priority="2">{}</url><url>ftp://a.example/a</url>
        <url priority="1">{}</url></file>"#,
        content.len(),
        hash(&content),
        fast.url("/2"),
        slow.url("/1"),
    ));
    let results = daemon.client().submit_metalink(document).await.expect("a good Metalink").results;
    assert_eq!((results.len(), results[0].status, results[0].urls_dropped), (1, 201, 1));
    let accepted = job(&results[0]);
    assert_eq!((accepted.url.as_str(), accepted.mirrors[1].url.as_str()), (&*slow.url("/1"), &*fast.url("/2")));
    assert_eq!(accepted.checksum, Some(format!("sha-256:{}", content.sha256())));
    let gives = |job: &Job| job.mirrors[1].state == Some(MirrorState::Proven) && job.mirrors[1].done_bytes > Some(0);
    daemon.until(accepted.id, "both give something", gives).await;
    assert_eq!(daemon.completed(accepted.id).await.verification, Some(Verification::Checksum));
    assert_holds(&daemon.home().downloads().join("a.iso"), &content);
}

#[tokio::test]
async fn a_file_that_is_nowhere_to_be_had_spoils_only_itself() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(61, 100_000);
    server.add("/b", File::new(content.clone()));
    let document = metalink(&format!(
        r#"<file name="a"><url>ftp://canary.example/a</url><url>magnet:?xt=canary</url></file>
        <file name="../b">{}<url>{}</url></file><file name="c"/>"#,
        hash(&content),
        server.url("/b"),
    ));
    let results = daemon.client().submit_metalink(document).await.expect("a good Metalink").results;
    assert_eq!(results.iter().map(|item| item.status).collect::<Vec<_>>(), [422, 201, 422]);
    let refused = problem(&results[0]);
    assert_eq!(refused.code, "invalid-url");
    let detail =
        "the Metalink has no URL for `a` that can be fetched: all 2 are neither http nor https, or cannot be read";
    assert_eq!(refused.detail, detail);
    assert!(problem(&results[2]).detail.ends_with("it names none"), "{results:?}");
    daemon.completed(job(&results[1]).id).await;
    let names = daemon.home().names();
    assert!(names.len() == 1 && names[0].ends_with('b'), "{names:?}");
    assert!(!daemon.log().contains("canary"));
}

#[tokio::test]
async fn a_file_that_is_not_what_its_metalink_says_fails() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let (content, other) = (Content::seeded(62, MIB), Content::seeded(63, MIB));
    server.add("/a", File::new(other));
    let (hash, url) = (hash(&content), server.url("/a"));
    let document = metalink(&format!(
        r#"<file name="a">{hash}<url>{url}</url></file><file name="b"><size>5</size><url>{url}</url></file>"#
    ));
    let results = daemon.client().submit_metalink(document).await.expect("a good Metalink").results;
    for item in &results {
        assert_eq!(daemon.failed(job(item).id).await.code, "checksum-mismatch");
    }
}

#[tokio::test]
async fn what_is_no_metalink_is_refused_with_its_line() {
    let daemon = Daemon::start().await;
    for (document, reason) in [
        (&b"<metalink>\n</metalink>"[..], "line 1: this is no Metalink"),
        (b"not XML", "line 1"),
        (&metalink("<file name=\"a\">"), "a closing tag does not fit"),
        (&metalink(""), "the Metalink describes no file"),
        (b"<!DOCTYPE a [<!ENTITY b \"canary\">]><metalink/>", "DOCTYPE"),
        (&vec![b' '; 16 << 20], "line 1"),
    ] {
        let refused = refusal(daemon.client().submit_metalink(document.to_vec()).await);
        assert_eq!((refused.status, refused.code.as_ref()), (422, "invalid-metalink"), "{refused:?}");
        assert!(refused.detail.contains(reason) && !refused.detail.contains("canary"), "{refused:?}");
    }
    let too_large = daemon.client().submit_metalink(vec![b' '; (16 << 20) + 1]).await.expect_err("it is too large");
    // A body that is refused is not read to its end, and the client may notice that first.
    let is_refused = matches!(&too_large, ClientError::Problem(problem) if problem.code == "body-too-large");
    assert!(is_refused || !matches!(too_large, ClientError::Problem(_)), "{too_large:?}");
}
