//! What came is what stands in the file, or it is noticed and mended: digests of chunks, checksums of files and pieces, and
//! verifying on demand.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use haul_api::{BadRange, JobState, Pieces, SubmitJob, Verification};
use haul_core::{ByteRange, Chunk, ChunkState, Intent, JobId};
use haul_store::{Identity, JobRows, NewJob, Part, Store, Wish};
use haul_testkit::{Content, Do, File, Server, When};

use crate::support::{DEADLINE, Daemon, Home, MIB, assert_holds, completed, refusal, wait_until};

const PATH: &str = "/a.bin";

fn checksum_of(content: &Content) -> Option<String> {
    Some(format!("sha256:{}", content.sha256()))
}

/// A server with one file.
fn serving(file: File) -> Server {
    let server = Server::start();
    server.add(PATH, file);
    server
}

/// Flips the bits of one byte of a file.
fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("it is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("it is as long");
    file.write_all_at(&[!byte[0]], at).expect("it is ours");
}

/// So many bytes of the file were sent, and beyond that only what is compared at seams: 64 KiB where a job goes on, and a
/// few KiB for each range.
fn assert_fetched(server: &Server, bytes: u64, what: &str) {
    let sent = server.bytes_sent(PATH);
    assert!((bytes..bytes + (80 << 10)).contains(&sent), "{what}: {sent} bytes instead of {bytes}");
}

// A checksum that does not match.

#[tokio::test]
async fn f_net_13_bytes_that_were_altered_on_the_way_heal_where_a_checksum_shows_them() {
    let content = Content::seeded(1, 5 * MIB);
    let altered = When::Region { range: 3 * MIB..3 * MIB + 1, first: 1 };
    let server = serving(File::new(content.clone()).etag("\"v\"").fault(altered, Do::Corrupt));
    let daemon = Daemon::start().await;
    let job = SubmitJob { checksum: checksum_of(&content), connections: Some(1), ..SubmitJob::new(server.url(PATH)) };
    let id = daemon.submit_job(&job).await;
    let job = completed(&daemon, id, &content).await;
    assert_eq!(job.verification, Some(Verification::Checksum));
    assert!(daemon.log().contains("all of it is fetched once more"), "{}", daemon.log());
    let again = server.bytes_sent_again(PATH);
    assert!(again <= content.len() + MIB, "once more, and not for ever: {again} bytes");
    let not_from_a_cache = |request: &haul_testkit::Request| request.header("cache-control") == Some("no-cache");
    assert!(server.log().iter().any(not_from_a_cache));
}

#[tokio::test]
async fn f_net_13_without_a_checksum_altered_bytes_pass_and_the_answer_says_what_it_rests_on() {
    let content = Content::seeded(2, 3 * MIB);
    let altered = When::Region { range: MIB..MIB + 1, first: u64::MAX };
    let server = serving(File::new(content.clone()).etag("\"v\"").fault(altered, Do::Corrupt));
    let daemon = Daemon::start().await;
    let job = daemon.completed(daemon.submit(&server.url(PATH)).await).await;
    assert_eq!(job.verification, Some(Verification::Validator), "and not `checksum`");
    assert_holds(&daemon.home().downloads().join("a.bin"), &content.inverted(MIB..MIB + 1));
}

#[tokio::test]
async fn f_done_07_a_wrong_checksum_fails_after_one_more_pass_and_its_file_never_gets_its_name() {
    let content = Content::seeded(3, 4 * MIB);
    let server = serving(File::new(content.clone()).etag("\"v\"").shared_rate(8_000_000));
    let daemon = Daemon::start().await;
    let wrong = Some(format!("sha256:{}", "0".repeat(64)));
    let id = daemon.submit_job(&SubmitJob { checksum: wrong, ..SubmitJob::new(server.url(PATH)) }).await;
    let job = wait_until("it has ended", async || {
        assert!(daemon.home().names().iter().all(|name| name.ends_with(".haul-part")), "{:?}", daemon.home().names());
        Some(daemon.job(id).await).filter(|job| job.state.is_ended())
    })
    .await;
    let reason = job.reason.expect("a failed job says why");
    assert_eq!((job.state, reason.code.as_str()), (JobState::Failed, "checksum-mismatch"));
    assert!(reason.message.contains("fetched twice and was the same both times"), "{}", reason.message);
    assert_holds(&daemon.home().part(), &content);
    let sent = server.bytes_sent(PATH);
    assert!(sent >= 2 * content.len() && sent < 3 * content.len(), "{sent} bytes for two passes");
}

#[tokio::test]
async fn f_done_07_a_damaged_disk_is_told_from_a_damaged_line_and_only_its_chunk_is_fetched_again() {
    let content = Content::seeded(4, 8 * MIB);
    let server = serving(File::new(content.clone()).etag("\"v\"").shared_rate(6_000_000));
    let daemon = Daemon::start().await;
    let job = SubmitJob { checksum: checksum_of(&content), connections: Some(1), ..SubmitJob::new(server.url(PATH)) };
    let id = daemon.submit_job(&job).await;
    daemon.until(id, "three chunks are there", |job| job.chunks.done >= 3).await;
    flip(&daemon.home().part(), MIB + 5);
    completed(&daemon, id, &content).await;
    assert!(daemon.log().contains("what is damaged is fetched again"), "{}", daemon.log());
    let again = server.bytes_sent_again(PATH);
    assert!((1..=MIB + MIB / 2).contains(&again), "{again} bytes were sent again");
}

// A part file at rest.

#[tokio::test]
async fn f_disk_09_of_a_part_file_that_was_changed_at_rest_only_chunks_with_the_right_digest_stay() {
    for while_paused in [true, false] {
        let content = Content::seeded(5, 16 * MIB);
        let server = serving(File::new(content.clone()).etag("\"v\"").shared_rate(6_000_000));
        let mut daemon = Daemon::start().await;
        let id = daemon.submit_job(&SubmitJob { connections: Some(1), ..SubmitJob::new(server.url(PATH)) }).await;
        daemon.until(id, "six chunks are there", |job| job.chunks.done >= 6).await;
        if while_paused {
            daemon.client().pause(id).await.expect("it runs");
            wait_until("it has come to rest", async || daemon.log().contains("left at rest").then_some(())).await;
            flip(&daemon.home().part(), 2 * MIB + 5);
            daemon.client().resume(id).await.expect("it is paused");
        } else {
            daemon.terminate();
            flip(&daemon.home().part(), 2 * MIB + 5);
            daemon.restart().await;
        }
        completed(&daemon, id, &content).await;
        assert!(daemon.log().contains("is not what was written to it"), "{}", daemon.log());
        // The changed chunk, the one that was half there, and what lay in the sockets.
        let again = server.bytes_sent_again(PATH);
        assert!((MIB..=4 * MIB).contains(&again), "{again} bytes were sent again");
    }
}

#[tokio::test]
async fn f_disk_09_a_part_file_that_nobody_has_touched_is_believed_and_nothing_is_sent_again() {
    let content = Content::seeded(6, 12 * MIB);
    let server = serving(File::new(content.clone()).etag("\"v\"").shared_rate(6_000_000));
    let mut daemon = Daemon::start().await;
    let id = daemon.submit_job(&SubmitJob { connections: Some(1), ..SubmitJob::new(server.url(PATH)) }).await;
    daemon.until(id, "some chunks are there", |job| job.chunks.done >= 4).await;
    daemon.terminate();
    daemon.restart().await;
    completed(&daemon, id, &content).await;
    assert!(!daemon.log().contains("is not what was written to it"));
    let again = server.bytes_sent_again(PATH);
    assert!(again < MIB, "only what lay in the socket: {again} bytes");
}

/// A home with a database in which nothing runs, and a job in it whose part file holds this, with rows of 1 MiB.
struct Stopped {
    home: Home,
    store: Store,
    id: JobId,
    content: Content,
}

impl Stopped {
    async fn new(content: Content, server: &Server, part: &[u8]) -> Self {
        let mut daemon = Daemon::start().await;
        daemon.terminate();
        let home = daemon.into_home();
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux has one");
        let (store, _) = Store::open(&home.database(), boot_id.trim()).expect("the daemon has left it in order");
        let url = server.url(PATH);
        let host = url::Url::parse(&url).expect("a URL").origin().ascii_serialization();
        let dir = home.downloads().canonicalize().expect("the daemon has made it").display().to_string();
        let wish = Wish { url: url.into(), host, dir, ..Wish::default() };
        let job = NewJob {
            wish,
            intent: Intent::Run,
            part_token: "0badcafe".to_owned(),
            pieces: None,
            maker: None,
            gid: None,
        };
        let id = store.insert_jobs(vec![job], 1).await.expect("a new row")[0];
        let identity = Identity {
            name: Some("a.bin".to_owned()),
            total_bytes: Some(content.len()),
            accepts_ranges: Some(true),
            etag: Some("\"v\"".to_owned()),
            ..Identity::default()
        };
        store.set_opened(id, identity, 2).await.expect("the row is there");
        let name = "a.bin.0badcafe.haul-part".to_owned();
        fs::write(home.downloads().join(&name), part).expect("a writable directory");
        let stopped = Self { home, store, id, content };
        let part = stopped.part(&name);
        stopped.store.set_part(id, Some(part), 3).await.expect("the row is there");
        stopped
    }

    fn part(&self, name: &str) -> Part {
        let metadata = fs::metadata(self.home.downloads().join(name)).expect("it is there");
        Part { name: "a.bin.0badcafe.haul-part".to_owned(), dev: metadata.dev(), ino: metadata.ino() }
    }

    /// Done rows with the digests of what the content has there.
    fn rows(&self, rows: std::ops::Range<u64>) -> JobRows {
        let done = |n: u64| Chunk {
            done: MIB,
            state: ChunkState::Done,
            ..Chunk::empty(ByteRange::new(n * MIB, (n + 1) * MIB))
        };
        let bytes = self.content.bytes();
        let digest = |n: u64| {
            let start = usize::try_from(n * MIB).expect("small");
            (n * MIB, crc32c::crc32c(&bytes[start..start + (1 << 20)]))
        };
        let digests = rows.clone().map(digest).collect();
        JobRows { digests, ..JobRows::new(self.id, rows.map(done).collect()) }
    }

    async fn start(self) -> Daemon {
        self.store.close().await.expect("nobody else uses it");
        Daemon::at(self.home).await
    }
}

#[tokio::test]
async fn after_an_unclean_stop_what_no_checkpoint_covers_is_compared_with_its_digest() {
    let content = Content::seeded(7, 4 * MIB);
    let server = serving(File::new(content.clone()).etag("\"v\""));
    let mut part = content.bytes();
    part[(2 << 20) + 7] ^= 1;
    let stopped = Stopped::new(content.clone(), &server, &part).await;
    stopped.store.checkpoint(vec![stopped.rows(0..2)]).await.expect("rows of the job");
    stopped.store.mark_written(vec![stopped.rows(2..4)]).await.expect("rows of the job");
    let id = stopped.id.0;
    let daemon = stopped.start().await;
    completed(&daemon, id, &content).await;
    assert_fetched(&server, MIB, "the one row whose bytes are not there");
}

// Verifying on demand.

#[tokio::test]
async fn a_damaged_file_is_found_and_only_what_is_damaged_is_fetched_again() {
    let content = Content::seeded(8, 8 * MIB);
    let server = serving(File::new(content.clone()).etag("\"v\""));
    let daemon = Daemon::start().await;
    let job = SubmitJob { connections: Some(1), ..SubmitJob::new(server.url(PATH)) };
    let id = daemon.submit_job(&job).await;
    completed(&daemon, id, &content).await;
    let client = daemon.client();
    let job = client.verify(id, false, 30).await.expect("it is complete");
    let found = job.verified.expect("it was verified");
    assert_eq!((found.checked_bytes, found.unchecked_bytes, found.bad.len()), (content.len(), 0, 0));
    assert_eq!((job.state, job.verification), (JobState::Completed, Some(Verification::Validator)));

    let path = daemon.home().downloads().join("a.bin");
    flip(&path, 3 * MIB + 5);
    let sent = server.bytes_sent(PATH);
    let job = client.verify(id, false, 30).await.expect("it is complete");
    assert_eq!((job.state, job.verification), (JobState::Completed, Some(Verification::Damaged)));
    let bad = [BadRange { start: 3 * MIB, end: 4 * MIB }];
    assert_eq!(job.verified.expect("it was verified").bad, bad);
    assert_eq!(server.bytes_sent(PATH), sent, "nothing is fetched unless that is asked for");

    let job = client.verify(id, true, 30).await.expect("it is complete");
    assert_ne!(job.state, JobState::Verifying, "{job:?}");
    let job = completed(&daemon, id, &content).await;
    assert_eq!((job.verified, job.verification), (None, Some(Verification::Validator)));
    assert_fetched(&server, sent + MIB, "the one chunk");
}

#[tokio::test]
async fn a_file_that_is_gone_or_too_long_is_repaired_as_well() {
    let content = Content::seeded(9, 3 * MIB);
    let server = serving(File::new(content.clone()).etag("\"v\""));
    let daemon = Daemon::start().await;
    let id = daemon.submit(&server.url(PATH)).await;
    completed(&daemon, id, &content).await;
    let path = daemon.home().downloads().join("a.bin");
    let sent = server.bytes_sent(PATH);
    fs::OpenOptions::new().append(true).open(&path).and_then(|file| file.set_len(3 * MIB + 9)).expect("it is ours");
    let job = daemon.client().verify(id, true, 30).await.expect("it is complete");
    assert!(job.state == JobState::Completed || job.verified.is_some(), "{job:?}");
    completed(&daemon, id, &content).await;
    assert_eq!(server.bytes_sent(PATH), sent, "nothing was missing");

    fs::remove_file(&path).expect("it is ours");
    let job = daemon.client().verify(id, false, 30).await.expect("it is complete");
    let found = job.verified.expect("it was verified");
    assert_eq!(found.bad, [BadRange { start: 0, end: content.len() }]);
    assert!(found.reason.expect("it says more").contains("no file any more"));
    daemon.client().verify(id, true, 30).await.expect("it is complete");
    completed(&daemon, id, &content).await;
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_repair_loses_neither_file_nor_repair() {
    let content = Content::seeded(10, 4 * MIB);
    let server = serving(File::new(content.clone()).etag("\"v\""));
    let mut bytes = content.bytes();
    bytes[5] ^= 1;
    let stopped = Stopped::new(content.clone(), &server, &bytes).await;
    stopped.store.checkpoint(vec![stopped.rows(0..4)]).await.expect("rows of the job");
    // As a kill leaves it between the row that says so and the renaming of the file.
    let downloads = stopped.home.downloads();
    fs::rename(downloads.join("a.bin.0badcafe.haul-part"), downloads.join("a.bin")).expect("it is ours");
    let complete = haul_store::PhaseChange {
        phase: haul_core::Phase::Completed,
        reason: None,
        path: Some(downloads.canonicalize().expect("it exists").join("a.bin").display().to_string()),
        verification: None,
    };
    stopped.store.set_phase(stopped.id, complete, 4).await.expect("the row is there");
    let mut rows = stopped.rows(0..4);
    rows.rows[0] = Chunk::empty(rows.rows[0].range);
    rows.digests.remove(&0);
    stopped.store.reopen(rows, stopped.part("a.bin"), 5).await.expect("it is complete");
    let id = stopped.id.0;
    let daemon = stopped.start().await;
    completed(&daemon, id, &content).await;
    assert_fetched(&server, MIB, "the one row that was to be repaired");
}

#[tokio::test]
async fn files_that_are_not_complete_are_verified_too_and_what_is_bad_is_dropped() {
    let content = Content::seeded(11, 12 * MIB);
    let server = serving(File::new(content.clone()).etag("\"v\"").shared_rate(5_000_000));
    let daemon = Daemon::start().await;
    let id = daemon.submit_job(&SubmitJob { connections: Some(1), ..SubmitJob::new(server.url(PATH)) }).await;
    for is_paused in [false, true] {
        let more = if is_paused { 7 } else { 3 };
        daemon.until(id, "some chunks are there", |job| job.chunks.done >= more).await;
        if is_paused {
            daemon.client().pause(id).await.expect("it runs");
        }
        flip(&daemon.home().part(), MIB + 5);
        let job = daemon.client().verify(id, false, 30).await.expect("it is there");
        assert_eq!(job.state == JobState::Paused, is_paused, "{job:?}");
        let found = job.verified.expect("it was verified");
        assert_eq!(found.bad.first().map(|bad| (bad.start, bad.end)), Some((MIB, 2 * MIB)), "{found:?}");
        assert!(found.checked_bytes >= 3 * MIB, "{found:?}");
        assert_ne!(job.verification, Some(Verification::Damaged), "what is bad is not there any more");
    }
    daemon.client().resume(id).await.expect("it is paused");
    completed(&daemon, id, &content).await;
    let again = server.bytes_sent_again(PATH);
    assert!(again >= 2 * MIB, "{again} bytes");
}

#[tokio::test]
async fn what_cannot_be_verified_is_refused_with_the_reason() {
    let server = serving(File::new(Content::seeded(12, MIB)).shared_rate(1000));
    let daemon = Daemon::start().await;
    assert_eq!(refusal(daemon.client().verify(99, false, 0).await).code, "job-not-found");
    let id = daemon.submit(&server.url(PATH)).await;
    daemon.client().cancel(id).await.expect("it runs");
    let problem = refusal(daemon.client().verify(id, false, 0).await);
    assert_eq!((problem.code.as_ref(), problem.status), ("conflict-state", 409));
    let token = daemon.home().token();
    for (query, body, kind, status, field) in [
        ("", "{\"repair\": 1}", "application/json", 422, Some("repair")),
        ("", "{\"mend\": true}", "application/json", 422, Some("mend")),
        ("", "repair=true", "application/x-www-form-urlencoded", 415, None),
        ("?wait=soon", "", "application/json", 422, Some("wait")),
        ("?state=active", "", "application/json", 422, Some("state")),
    ] {
        let answer = daemon.raw(format!(
            "POST /v1/jobs/{id}/verify{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ));
        let problem = answer.problem(body);
        assert_eq!((problem.status, problem.field.as_deref()), (status, field), "{body} {query}");
    }
}

// Checksums from elsewhere.

#[tokio::test]
async fn each_kind_of_checksum_is_verified() {
    let content = Content::literal("abc");
    let server = serving(File::new(content.clone()));
    let daemon = Daemon::start().await;
    for checksum in [
        "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
        "crc32c:364b3fb7",
        "sha1:a9993e364706816aba3e25717850c26c9cd0d89d",
    ] {
        let job = SubmitJob { checksum: Some(checksum.to_owned()), ..SubmitJob::new(server.url(PATH)) };
        let job = daemon.completed(daemon.submit_job(&job).await).await;
        assert_eq!(job.verification, Some(Verification::Checksum), "{checksum}");
        let mut wrong = checksum.to_owned();
        wrong.replace_range(wrong.len() - 1.., "0");
        let job = SubmitJob { checksum: Some(wrong.clone()), ..SubmitJob::new(server.url(PATH)) };
        let reason = daemon.failed(daemon.submit_job(&job).await).await;
        assert_eq!(reason.code, "checksum-mismatch", "{wrong}");
    }
}

fn with_list(server: &Server, path: &str) -> SubmitJob {
    SubmitJob { checksum_url: Some(server.url(path)), ..SubmitJob::new(server.url(PATH)) }
}

#[tokio::test]
async fn a_list_of_checksums_is_fetched_and_the_line_with_our_name_counts() {
    let content = Content::seeded(13, 3 * MIB);
    let server = serving(File::new(content.clone()));
    let list = format!("{}  b.bin\n{} *a.bin\n", "0".repeat(64), content.sha256());
    // The list takes longer than the file.
    let slow = File::new(Content::literal(list)).delay(std::time::Duration::from_millis(700));
    server.add("/SHA256SUMS", slow.fault(When::First(1), Do::status(503)));
    let daemon = Daemon::start().await;
    let wish = SubmitJob { filename: Some("mine.bin".to_owned()), ..with_list(&server, "/SHA256SUMS") };
    let job = daemon.completed(daemon.submit_job(&wish).await).await;
    assert_eq!(job.verification, Some(Verification::Checksum));
    assert_eq!(job.checksum, Some(format!("sha-256:{}", content.sha256())));
    assert_holds(&daemon.home().downloads().join("mine.bin"), &content);
}

#[tokio::test]
async fn a_list_of_checksums_that_cannot_be_had_is_a_clear_failure() {
    let content = Content::seeded(14, 2 * MIB);
    let server = serving(File::new(content.clone()).shared_rate(3_000_000));
    server.add("/html", File::new(Content::literal("<html>not this page</html>")));
    server.add("/others", File::new(Content::literal(format!("{0}  x\n{0}  y\n", "0".repeat(64)))));
    server.add("/large", File::new(Content::seeded(1, 5 * MIB)));
    server.add("/wrong", File::new(Content::literal(format!("{}  a.bin\n", "0".repeat(64)))));
    let daemon = Daemon::start().await;
    for (path, code, says) in [
        ("/gone", "checksum-unavailable", "404"),
        ("/html", "checksum-unavailable", "no checksum that haul can read"),
        ("/others", "checksum-unavailable", "none of its 2 checksums is for a.bin"),
        ("/large", "checksum-unavailable", "larger than 4 MiB"),
        ("/wrong?s3cret", "checksum-mismatch", "`checksum_url` says sha-256:0000"),
    ] {
        let reason = daemon.failed(daemon.submit_job(&with_list(&server, path)).await).await;
        assert_eq!(reason.code, code, "{path}: {}", reason.message);
        assert!(reason.message.contains(says), "{path}: {}", reason.message);
        assert!(!reason.message.contains("s3cret"), "{}", reason.message);
    }
    assert!(!daemon.home().downloads().join("a.bin").exists());
    assert!(!daemon.log().contains("s3cret"));
}

#[tokio::test]
async fn a_list_at_another_origin_gets_no_secrets_and_follows_the_rules_for_redirects() {
    let content = Content::seeded(15, MIB);
    let list = File::new(Content::literal(format!("{}  a.bin\n", content.sha256())));
    let (server, other) = (serving(File::new(content.clone())), Server::start());
    other.add("/sums", list.clone());
    other.add("/out", File::new(Content::empty()).redirect(302, "file:///etc/passwd"));
    server.add("/sums", list);
    let daemon = Daemon::start().await;
    let headers = [("X-Key".to_owned(), "s3cret".to_owned())].into();
    let wish = |url: String| SubmitJob {
        checksum_url: Some(url),
        headers: Some(std::collections::BTreeMap::clone(&headers)),
        ..SubmitJob::new(server.url(PATH))
    };
    for url in [server.url("/sums"), other.url("/sums")] {
        let job = daemon.completed(daemon.submit_job(&wish(url)).await).await;
        assert_eq!(job.verification, Some(Verification::Checksum));
    }
    let reason = daemon.failed(daemon.submit_job(&wish(other.url("/out"))).await).await;
    assert_eq!(reason.code, "checksum-unavailable");
    assert!(server.log().iter().all(|request| request.header("x-key") == Some("s3cret")));
    assert!(other.log().iter().all(|request| request.header("x-key").is_none()));
}

#[tokio::test]
async fn a_piece_that_does_not_match_is_fetched_again_alone() {
    let content = Content::seeded(16, 4 * MIB + 100);
    let altered = When::Region { range: 2 * MIB + 10..2 * MIB + 11, first: 1 };
    let server = serving(File::new(content.clone()).etag("\"v\"").fault(altered, Do::Corrupt));
    let daemon = Daemon::start().await;
    // Of another length than chunks.
    let length = 300_000;
    let sum = |piece: &[u8]| format!("{:08x}", crc32c::crc32c(piece));
    let digests = content.bytes().chunks(length).map(sum).collect();
    let pieces = Pieces { kind: "crc32c".to_owned(), length: length as u64, digests };
    let wish = SubmitJob { connections: Some(1), size: Some(content.len()), ..SubmitJob::new(server.url(PATH)) };
    let job = SubmitJob { pieces: Some(pieces), ..wish };
    let id = daemon.submit_job(&job).await;
    let job = completed(&daemon, id, &content).await;
    assert_eq!(job.verification, Some(Verification::Checksum));
    assert_fetched(&server, content.len() + length as u64, "the piece and nothing else");
    let wait = server.wait_until(DEADLINE, |server| server.in_flight(PATH).0 == 0);
    assert!(wait);
}
