//! Files of every shape arrive byte for byte, under the right name.

use std::fs;

use haul_api::{JobState, OnConflict, SubmitJob, Verification};
use haul_testkit::{Content, Do, File, Server, When};

use crate::support::{Daemon, MIB, assert_chunks_tile, assert_holds};

#[tokio::test]
async fn f_done_01_a_file_over_many_connections_is_byte_exact_and_its_chunks_tile() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(1, 40 * MIB + 17);
    server.add("/a.iso", File::new(content.clone()).etag("\"v1\"").rate_per_connection(2_000_000));
    let id = daemon.submit(&server.url("/a.iso")).await;
    let job = daemon.completed(id).await;

    assert_holds(&daemon.home().downloads().join("a.iso"), &content);
    assert_eq!(daemon.home().names(), ["a.iso"], "no part file stays");
    let expected = daemon.home().downloads().canonicalize().expect("it exists").join("a.iso");
    assert_eq!(job.path.as_deref(), expected.to_str());
    assert_eq!(job.verification, Some(Verification::Validator));
    assert_eq!(job.resumable, Some(true));
    let (_, connections) = server.in_flight("/a.iso");
    assert!((16..=32).contains(&connections), "{connections} connections at once");
    let again = server.bytes_sent_again("/a.iso");
    assert!(again * 50 <= content.len(), "{again} bytes were sent again");

    let chunks = daemon.client().chunks(id).await.expect("the chunks of a complete job").chunks;
    assert!(chunks.len() >= 41, "{} chunks of 1 MiB", chunks.len());
    assert_chunks_tile(&chunks, content.len());
    let log = daemon.log();
    let told = [" accepted ", " started ", " completed "].map(|step| log.find(step));
    assert!(told.is_sorted() && told[0].is_some(), "the log does not tell the story: {told:?}");
    assert!(log.lines().filter(|line| line.contains("INFO")).any(|line| line.contains(&format!("job={id}"))));
}

#[tokio::test]
async fn ten_files_at_once_are_all_byte_exact() {
    let (server, daemon) = (Server::start(), Daemon::with("max_active_jobs = 10").await);
    let contents: Vec<_> = (0..10).map(|n| Content::seeded(n, 2 * MIB + n * 1001)).collect();
    let mut ids = Vec::new();
    for (n, content) in contents.iter().enumerate() {
        let path = format!("/{n}.bin");
        server.add(&path, File::new(content.clone()).etag("\"v1\"").shared_rate(4_000_000));
        ids.push(daemon.submit(&server.url(&path)).await);
    }
    for (n, id) in ids.into_iter().enumerate() {
        daemon.completed(id).await;
        assert_holds(&daemon.home().downloads().join(format!("{n}.bin")), &contents[n]);
    }
    assert_eq!(daemon.home().names().len(), 10);
}

#[tokio::test]
async fn f_done_08_an_empty_file_completes_whatever_the_server_answers() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add("/unsatisfied.bin", File::new(Content::empty()));
    server.add("/whole.bin", File::new(Content::empty()).no_ranges());
    server.add("/chunked.bin", File::new(Content::empty()).chunked());
    for name in ["unsatisfied.bin", "whole.bin", "chunked.bin"] {
        let job = daemon.completed(daemon.submit(&server.url(&format!("/{name}"))).await).await;
        assert_eq!(job.total_bytes, Some(0), "{name}");
        assert_holds(&daemon.home().downloads().join(name), &Content::empty());
        assert_eq!(server.requests(&format!("/{name}")), 1, "{name}");
    }
}

#[tokio::test]
async fn a_file_of_one_byte_takes_one_request() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::literal(*b"x");
    server.add("/one", File::new(content.clone()));
    let job = daemon.completed(daemon.submit(&server.url("/one")).await).await;
    assert_eq!((job.total_bytes, job.verification), (Some(1), Some(Verification::Length)));
    assert_holds(&daemon.home().downloads().join("one"), &content);
    assert_eq!(server.requests("/one"), 1);
}

#[tokio::test]
async fn f_done_03_a_body_without_a_length_completes_and_says_that_nothing_vouches_for_it() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(3, 3 * MIB + 5);
    server.add("/chunked.bin", File::new(content.clone()).chunked());
    server.add("/closed.bin", File::new(content.clone()).close_delimited());
    for name in ["chunked.bin", "closed.bin"] {
        let id = daemon.submit(&server.url(&format!("/{name}"))).await;
        let job = daemon.completed(id).await;
        assert_eq!(job.verification, Some(Verification::None), "{name}");
        assert_eq!(job.resumable, Some(false), "{name}");
        assert_holds(&daemon.home().downloads().join(name), &content);
        assert_chunks_tile(&daemon.client().chunks(id).await.expect("its chunks").chunks, content.len());
    }
}

#[tokio::test]
async fn f_done_06_a_chunked_body_without_its_end_is_not_complete() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(4, 2 * MIB);
    server.add("/a.bin", File::new(content.clone()).chunked().fault(When::First(1), Do::CloseAfter(MIB)));
    daemon.completed(daemon.submit(&server.url("/a.bin")).await).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
    assert_eq!(server.requests("/a.bin"), 2);
}

#[tokio::test]
async fn f_range_11_a_server_without_ranges_gets_one_connection_and_after_a_break_again_one() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(5, 8 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"").rate_per_connection(16_000_000);
    server.add("/ignored.bin", file.clone().no_ranges().fault(When::First(1), Do::ResetAfter(3 * MIB)));
    server.add("/denied.bin", file.accept_ranges_none().fault(When::First(1), Do::CloseAfter(3 * MIB)));
    for name in ["ignored.bin", "denied.bin"] {
        let path = format!("/{name}");
        daemon.completed(daemon.submit(&server.url(&path)).await).await;
        assert_holds(&daemon.home().downloads().join(name), &content);
        assert_eq!(server.in_flight(&path), (0, 1), "{name}");
        assert_eq!(server.requests(&path), 2, "{name}");
    }
}

#[tokio::test]
async fn f_name_01_the_name_is_the_jobs_else_the_servers_else_the_urls() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(6, 1000);
    let file = |disposition: &str| File::new(content.clone()).header("Content-Disposition", disposition);
    server.add("/star", file("attachment; filename=\"plain.bin\"; filename*=UTF-8''na%C3%AFve%20file.bin"));
    server.add("/plain", file("attachment; filename=\"plain.bin\""));
    server.add("/evil", file("attachment; filename=\"../../../etc/.evil.sh\""));
    server.add("/url.tar.gz", File::new(content.clone()));
    server.add("/named", file("attachment; filename=\"other.bin\""));
    for (path, filename, expected) in [
        ("/star", None, "naïve file.bin"),
        ("/plain", None, "plain.bin"),
        ("/evil", None, "evil.sh"),
        ("/url.tar.gz", None, "url.tar.gz"),
        ("/named", Some("mine.bin"), "mine.bin"),
    ] {
        let mut job = SubmitJob::new(server.url(path));
        job.filename = filename.map(str::to_owned);
        let job = daemon.completed(daemon.submit_job(&job).await).await;
        assert_eq!(job.filename.as_deref(), Some(expected), "{path}");
        assert_holds(&daemon.home().downloads().join(expected), &content);
    }
}

#[tokio::test]
async fn f_disk_10_a_taken_name_is_numbered_or_replaced_or_refused_as_the_job_says() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(7, 2000);
    server.add("/a.tar.gz", File::new(content.clone()));
    let target = daemon.home().downloads().join("a.tar.gz");
    let job = |on_conflict| SubmitJob { on_conflict, ..SubmitJob::new(server.url("/a.tar.gz")) };

    fs::write(&target, "was here before").expect("a writable directory");
    let renamed = daemon.completed(daemon.submit_job(&job(None)).await).await;
    assert_holds(&daemon.home().downloads().join("a (1).tar.gz"), &content);
    assert!(renamed.path.is_some_and(|path| path.ends_with("/a (1).tar.gz")));
    assert_eq!(renamed.filename.as_deref(), Some("a (1).tar.gz"), "name and path say the same");

    let requests = server.requests("/a.tar.gz");
    let reason = daemon.failed(daemon.submit_job(&job(Some(OnConflict::Fail))).await).await;
    assert_eq!(reason.code, "target-exists");
    assert!(reason.message.contains("a.tar.gz"), "{}", reason.message);
    assert_eq!(fs::read_to_string(&target).expect("it is still there"), "was here before");
    assert!(server.requests("/a.tar.gz") <= requests + 1);

    daemon.completed(daemon.submit_job(&job(Some(OnConflict::Overwrite))).await).await;
    assert_holds(&target, &content);
}

#[tokio::test]
async fn f_disk_11_two_jobs_of_one_name_do_not_write_into_each_other() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let (one, two) = (Content::seeded(8, 4 * MIB), Content::seeded(9, 4 * MIB));
    server.add("/1/a.bin", File::new(one.clone()).shared_rate(8_000_000));
    server.add("/2/a.bin", File::new(two.clone()).shared_rate(8_000_000));
    let first = daemon.submit(&server.url("/1/a.bin")).await;
    let second = daemon.submit(&server.url("/2/a.bin")).await;
    let paths = [daemon.completed(first).await.path, daemon.completed(second).await.path];
    assert_eq!(daemon.home().names(), ["a (1).bin", "a.bin"]);
    for (path, content) in paths.into_iter().zip([one, two]) {
        assert_holds(path.expect("a complete job has a path").as_ref(), &content);
    }
}

#[tokio::test]
async fn a_file_of_another_size_than_expected_fails_and_gets_no_name() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add("/a.bin", File::new(Content::seeded(10, 3 * MIB)));
    server.add("/b.bin", File::new(Content::seeded(10, 3 * MIB)).chunked());
    for name in ["a.bin", "b.bin"] {
        let job = SubmitJob { size: Some(3 * MIB - 1), ..SubmitJob::new(server.url(&format!("/{name}"))) };
        let reason = daemon.failed(daemon.submit_job(&job).await).await;
        assert_eq!(reason.code, "checksum-mismatch", "{name}");
        assert!(reason.message.contains(&(3 * MIB - 1).to_string()), "{}", reason.message);
        assert!(!daemon.home().downloads().join(name).exists(), "{name}");
        assert_eq!(server.requests(&format!("/{name}")), 1, "{name}");
    }
    let job = SubmitJob { size: Some(3 * MIB), ..SubmitJob::new(server.url("/a.bin")) };
    daemon.completed(daemon.submit_job(&job).await).await;
}

#[tokio::test]
async fn f_done_07_a_wrong_checksum_keeps_the_part_file_and_never_gives_the_final_name() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(11, 5 * MIB + 3);
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\""));
    let job = |sum: String| SubmitJob { checksum: Some(sum), ..SubmitJob::new(server.url("/a.bin")) };

    let wrong = daemon.submit_job(&job(format!("sha256:{}", "0".repeat(64)))).await;
    let reason = daemon.failed(wrong).await;
    assert_eq!(reason.code, "checksum-mismatch");
    assert!(reason.message.contains(&content.sha256()), "{}", reason.message);
    assert!(!daemon.home().downloads().join("a.bin").exists());
    assert_holds(&daemon.home().part(), &content);
    daemon.client().delete(wrong, haul_api::Files::Keep).await.expect("a failed job can be deleted");

    let right = daemon.submit_job(&job(format!("SHA-256:{}", content.sha256().to_uppercase()))).await;
    let job = daemon.completed(right).await;
    assert_eq!(job.verification, Some(Verification::Checksum));
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
}

#[tokio::test]
async fn each_kind_of_checksum_is_verified() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add("/abc", File::new(Content::literal("abc")));
    let sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                  2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    for (given, shown) in [
        (format!("SHA512:{sha512}"), format!("sha-512:{sha512}")),
        (
            "sha1:A9993E364706816ABA3E25717850C26C9CD0D89D".into(),
            "sha-1:a9993e364706816aba3e25717850c26c9cd0d89d".into(),
        ),
        ("md5:900150983cd24fb0d6963f7d28e17f72".into(), "md5:900150983cd24fb0d6963f7d28e17f72".to_owned()),
    ] {
        let wrong = SubmitJob { checksum: Some(given.replace('9', "8")), ..SubmitJob::new(server.url("/abc")) };
        let reason = daemon.failed(daemon.submit_job(&wrong).await).await;
        assert_eq!(reason.code, "checksum-mismatch");
        assert!(reason.message.contains(&shown), "{}", reason.message);
        let right = SubmitJob { checksum: Some(given), ..SubmitJob::new(server.url("/abc")) };
        let job = daemon.completed(daemon.submit_job(&right).await).await;
        assert_eq!((job.checksum, job.verification), (Some(shown), Some(Verification::Checksum)));
    }
}

#[tokio::test]
async fn f_http_09_a_redirect_is_followed_and_secrets_stay_at_their_origin() {
    let (first, second, daemon) = (Server::start(), Server::start(), Daemon::start().await);
    let content = Content::seeded(12, 3 * MIB);
    first.add("/get", File::new(Content::empty()).redirect(302, second.url("/files/real.iso?signature=1")));
    second.add("/files/real.iso", File::new(content.clone()).etag("\"v1\"").rate_per_connection(2_000_000));
    let headers = [("Authorization", "Bearer canary"), ("Cookie", "canary=1"), ("X-Key", "canary")];
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let job = SubmitJob { headers: Some(headers), ..SubmitJob::new(first.url("/get")) };
    let job = daemon.completed(daemon.submit_job(&job).await).await;
    assert_eq!(job.filename.as_deref(), Some("real.iso"));
    assert_holds(&daemon.home().downloads().join("real.iso"), &content);
    let is_ours = |request: &haul_testkit::Request| request.headers.iter().any(|(_, value)| value.contains("canary"));
    assert!(first.log().iter().all(is_ours), "the origin gets what the user gave for it");
    assert!(!second.log().iter().any(is_ours), "nobody else does");
    assert!(second.log().iter().all(|request| request.header("referer").is_none()));
}

#[tokio::test]
async fn a_job_that_starts_paused_makes_no_request_before_it_is_resumed() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(13, MIB);
    server.add("/a.bin", File::new(content.clone()));
    let job = SubmitJob { start: Some(haul_api::Start::Paused), ..SubmitJob::new(server.url("/a.bin")) };
    let id = daemon.submit_job(&job).await;
    assert_eq!(daemon.job(id).await.state, JobState::Paused);
    assert_eq!(server.requests("/a.bin"), 0);
    daemon.client().resume(id).await.expect("a paused job can be resumed");
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
}
