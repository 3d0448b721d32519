//! Kills, checkpoints and lost part files cost next to nothing and never a byte.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use haul_api::{JobState, SubmitJob};
use haul_core::{ByteRange, Chunk, Intent, JobId, Phase, plan};
use haul_store::{Identity, JobRows, NewJob, Part, PhaseChange, Store, Wish};
use haul_testkit::{Content, File, Server};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::{DEADLINE, Daemon, Home, MIB, assert_chunks_tile, assert_holds, say, seed, wait_until};

/// How often the one download is killed.
const KILLS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn f_db_01_ten_kills_at_random_moments_cost_less_than_five_percent_and_no_byte() {
    let mut random = StdRng::seed_from_u64(seed());
    // A kill costs what came since the last mark, 2 MiB at this rate, and what lies in the sockets. The size makes that
    // little; few connections keep the sockets of a busy machine from holding much.
    let (server, mut daemon) = (Server::start(), Daemon::with("connections_per_job = 8").await);
    let content = Content::seeded(random.random(), 1024 * MIB);
    server.add("/a.iso", File::new(content.clone()).etag("\"v1\"").shared_rate(50_000_000));
    let id = daemon.submit(&server.url("/a.iso")).await;

    let mut moments: Vec<u64> = (0..KILLS).map(|_| random.random_range(MIB..content.len() - MIB)).collect();
    moments.sort_unstable();
    for moment in moments {
        // From here on nobody asks the daemon for anything: it has to go on by itself.
        let sent = |server: &Server| server.bytes_sent("/a.iso") - server.bytes_sent_again("/a.iso");
        assert!(server.wait_until(DEADLINE, |server| sent(server) >= moment), "it does not go on by itself");
        daemon.kill();
        daemon.restart().await;
    }
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.iso"), &content);
    assert_chunks_tile(&daemon.client().chunks(id).await.expect("its chunks").chunks, content.len());
    assert_eq!(daemon.home().names(), ["a.iso"]);
    let again = server.bytes_sent_again("/a.iso");
    let percent = again as f64 * 100.0 / content.len() as f64;
    say(&format!("{again} of {} bytes were sent twice in {KILLS} kills: {percent:.2} %", content.len()));
    assert!(percent < 5.0, "{again} bytes were sent twice: {percent:.2} %");
}

#[tokio::test]
async fn f_proc_01_a_stop_in_order_takes_less_than_two_seconds_and_sends_nearly_nothing_twice() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(2, 32 * MIB);
    server.add("/a.iso", File::new(content.clone()).etag("\"v1\"").shared_rate(16_000_000));
    let id = daemon.submit(&server.url("/a.iso")).await;
    assert!(server.wait_until(DEADLINE, |server| server.bytes_sent("/a.iso") > content.len() / 2));
    let (status, took) = daemon.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    assert!(!daemon.home().socket().exists(), "the socket goes with the daemon");
    let kept = durable_bytes(&daemon).await;
    assert!(kept >= content.len() / 2 - 2 * MIB, "only {kept} bytes are durable after a stop in order");

    daemon.restart().await;
    assert!(!daemon.log().contains("the last run did not end in order"));
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.iso"), &content);
    // What lay in 32 sockets is lost, nothing else.
    let again = server.bytes_sent_again("/a.iso");
    assert!(again <= content.len() / 10, "{again} bytes were sent twice");
}

#[tokio::test]
async fn a_stop_ends_long_polls_and_idle_connections_at_once() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    server.add("/a.iso", File::new(Content::seeded(3, 8 * MIB)).shared_rate(100_000));
    let id = daemon.submit(&server.url("/a.iso")).await;
    let client = daemon.client().clone();
    let poll = tokio::spawn(async move { client.wait(id, 60, None).await });
    let idle = std::net::TcpStream::connect(daemon.tcp()).expect("the daemon listens");
    daemon.until(id, "it runs", |job| job.state == JobState::Active).await;
    let (status, took) = daemon.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    let job = poll.await.expect("no panic").expect("the poll is answered, not cut off");
    assert!(!job.state.is_ended());
    drop(idle);
}

async fn durable_bytes(daemon: &Daemon) -> u64 {
    let store = open_store(daemon.home());
    let row = store.job(JobId(1)).await.expect("a readable row").expect("the job");
    store.close().await.expect("nobody else uses it");
    row.counts.durable_bytes
}

fn open_store(home: &Home) -> Store {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux has one");
    let (store, _) = Store::open(&home.database(), boot_id.trim()).expect("the daemon has left it in order");
    store
}

#[tokio::test]
async fn a_paused_job_stays_paused_over_a_kill_and_keeps_its_bytes() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(4, 8 * MIB);
    server.add("/a.iso", File::new(content.clone()).etag("\"v1\"").shared_rate(8_000_000));
    let id = daemon.submit(&server.url("/a.iso")).await;
    assert!(server.wait_until(DEADLINE, |server| server.bytes_sent("/a.iso") > 3 * MIB));
    daemon.client().pause(id).await.expect("a running job can be paused");
    daemon.kill();
    assert!(server.wait_until(DEADLINE, |server| server.in_flight("/a.iso").0 == 0));
    let requests = server.requests("/a.iso");

    daemon.restart().await;
    // Once a new job has gone all the way, the old ones have been taken up.
    server.add("/b.bin", File::new(Content::seeded(5, 10)));
    daemon.completed(daemon.submit(&server.url("/b.bin")).await).await;
    let job = daemon.job(id).await;
    assert_eq!(job.state, JobState::Paused);
    assert!(job.done_bytes >= 2 * MIB, "{} bytes are left", job.done_bytes);
    assert_eq!(server.requests("/a.iso"), requests, "a paused job makes no request");

    daemon.client().resume(id).await.expect("a paused job can be resumed");
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.iso"), &content);
    let again = server.bytes_sent_again("/a.iso");
    assert!(again <= content.len() / 5, "{again} bytes were sent twice");
}

#[tokio::test]
async fn f_db_02_what_was_acknowledged_survives_a_kill_at_once() {
    let (server, mut daemon) = (Server::start(), Daemon::with("max_active_jobs = 1").await);
    let content = Content::seeded(6, 2 * MIB);
    server.add("/slow.bin", File::new(Content::seeded(7, 8 * MIB)).shared_rate(100_000));
    server.add("/a.bin", File::new(content.clone()));
    let slow = daemon.submit(&server.url("/slow.bin")).await;
    let deleted = daemon.submit(&server.url("/a.bin")).await;
    let canceled = daemon.submit(&server.url("/a.bin")).await;
    daemon.client().delete(deleted, haul_api::Files::Keep).await.expect("it can be deleted");
    daemon.client().cancel(canceled).await.expect("it can be canceled");
    daemon.client().pause(slow).await.expect("it can be paused");
    let submitted = daemon.submit(&server.url("/a.bin")).await;
    daemon.kill();
    daemon.restart().await;

    daemon.completed(submitted).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
    assert_eq!(daemon.job(slow).await.state, JobState::Paused);
    assert_eq!(daemon.job(canceled).await.state, JobState::Canceled);
    assert!(daemon.client().job(deleted).await.is_err(), "a deleted job does not come back");
}

#[tokio::test]
async fn f_disk_09_a_part_file_that_went_while_the_daemon_was_down_means_starting_over() {
    for damage in [Damage::Removed, Damage::Truncated, Damage::Replaced] {
        let (server, mut daemon) = (Server::start(), Daemon::start().await);
        let content = Content::seeded(8, 6 * MIB);
        server.add("/a.iso", File::new(content.clone()).etag("\"v1\"").shared_rate(8_000_000));
        let id = daemon.submit(&server.url("/a.iso")).await;
        daemon.until(id, "some bytes are written", |job| job.done_bytes > 2 * MIB).await;
        daemon.kill();
        let part = daemon.home().part();
        damage.do_to(&part);

        daemon.restart().await;
        daemon.completed(id).await;
        assert_holds(&daemon.home().downloads().join("a.iso"), &content);
        assert!(daemon.log().contains("starting over"), "{damage:?}");
    }
}

#[derive(Debug)]
enum Damage {
    Removed,
    Truncated,
    Replaced,
}

impl Damage {
    fn do_to(&self, part: &std::path::Path) {
        let len = fs::metadata(part).expect("it is there").len();
        match self {
            Self::Removed => fs::remove_file(part).expect("it is ours"),
            Self::Truncated => {
                fs::OpenOptions::new().write(true).open(part).and_then(|file| file.set_len(1000)).expect("it is ours");
            }
            Self::Replaced => {
                // Another file under the same name, with the right length and the wrong bytes.
                fs::write(part.with_extension("new"), vec![7; usize::try_from(len).expect("small")]).expect("space");
                fs::rename(part.with_extension("new"), part).expect("one directory");
            }
        }
    }
}

#[tokio::test]
async fn a_part_file_that_its_row_does_not_know_of_is_no_obstacle() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(9, 3 * MIB);
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\""));
    let home = stopped(daemon);
    let store = open_store(&home);
    // As a kill leaves it between the making of the part file and the row that names it.
    let id = store.insert_jobs(vec![new_job(&home, &server.url("/a.bin"))], 1).await.expect("a new row")[0];
    store.set_opened(id, identity(&content), 2).await.expect("the row is there");
    store.close().await.expect("nobody else uses it");
    fs::write(home.downloads().join("a.bin.0badcafe.haul-part"), "left over").expect("a writable directory");

    let daemon = Daemon::at(home).await;
    daemon.completed(id.0).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
    assert_eq!(daemon.home().names(), ["a.bin"]);
}

#[tokio::test]
async fn f_done_11_a_kill_between_rename_and_row_is_resolved_at_the_next_start() {
    for renamed in [true, false] {
        let (server, daemon) = (Server::start(), Daemon::start().await);
        let content = Content::seeded(10, 3 * MIB + 1);
        server.add("/a.bin", File::new(content.clone()).etag("\"v1\""));
        let home = stopped(daemon);
        let store = open_store(&home);
        let id = store.insert_jobs(vec![new_job(&home, &server.url("/a.bin"))], 1).await.expect("a new row")[0];
        store.set_opened(id, identity(&content), 2).await.expect("the row is there");
        let name = "a.bin.0badcafe.haul-part";
        // Somebody else's file took the wanted name, so that the job's own is numbered.
        fs::write(home.downloads().join("a.bin"), "of somebody else").expect("a writable directory");
        let path = home.downloads().join(if renamed { "a (1).bin" } else { name });
        fs::write(&path, content.bytes()).expect("a writable directory");
        let (dev, ino) = fs::metadata(&path).map(|metadata| (metadata.dev(), metadata.ino())).expect("it is there");
        store.set_part(id, Some(Part { name: name.to_owned(), dev, ino }), 3).await.expect("the row is there");
        store.checkpoint(vec![JobRows::new(id, all_done(content.len()))]).await.expect("rows of the job");
        let verifying = PhaseChange {
            phase: Phase::Verifying,
            reason: None,
            path: None,
            verification: Some("validator".to_owned()),
        };
        store.set_phase(id, verifying, 4).await.expect("the row is there");
        store.close().await.expect("nobody else uses it");

        let daemon = Daemon::at(home).await;
        let job = daemon.completed(id.0).await;
        assert_eq!(job.filename.as_deref(), Some("a (1).bin"), "renamed: {renamed}");
        assert_holds(job.path.expect("a complete job has a path").as_ref(), &content);
        assert_eq!(daemon.home().names(), ["a (1).bin", "a.bin"]);
        assert_eq!(server.requests("/a.bin"), 0, "F-DONE-09: nothing is missing, so nothing is asked");
    }
}

/// A home with a database in which nothing runs.
fn stopped(mut daemon: Daemon) -> Home {
    let (status, _) = daemon.terminate();
    assert_eq!(status.code(), Some(0));
    daemon.into_home()
}

fn new_job(home: &Home, url: &str) -> NewJob {
    let origin = url::Url::parse(url).expect("a URL").origin().ascii_serialization();
    let dir = home.downloads().canonicalize().expect("the daemon has made it").display().to_string();
    let wish = Wish { url: url.into(), host: origin, dir, ..Wish::default() };
    NewJob { wish, intent: Intent::Run, part_token: "0badcafe".to_owned(), pieces: None, maker: None, gid: None }
}

fn identity(content: &Content) -> Identity {
    Identity {
        name: Some("a.bin".to_owned()),
        total_bytes: Some(content.len()),
        accepts_ranges: Some(true),
        etag: Some("\"v1\"".to_owned()),
        ..Identity::default()
    }
}

fn all_done(total: u64) -> Vec<Chunk> {
    let done = |range: ByteRange| {
        let mut chunk = Chunk::empty(range);
        chunk.done = range.len();
        chunk.state = haul_core::ChunkState::Done;
        chunk
    };
    plan::chunks(total).map(done).collect()
}

#[tokio::test]
async fn f_disk_07_a_part_file_that_is_deleted_while_it_is_written_is_noticed() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    daemon.tolerate("a checkpoint failed");
    server.add("/a.iso", File::new(Content::seeded(11, 16 * MIB)).etag("\"v1\"").shared_rate(4_000_000));
    let id = daemon.submit(&server.url("/a.iso")).await;
    daemon.until(id, "some bytes are written", |job| job.done_bytes > MIB).await;
    fs::remove_file(daemon.home().part()).expect("it is ours");
    let reason = daemon.failed(id).await;
    assert_eq!(reason.code, "io-error");
    assert!(reason.message.contains("was removed or replaced"), "{}", reason.message);

    server.replace("/a.iso", File::new(Content::seeded(11, 16 * MIB)).etag("\"v1\""));
    daemon.client().retry(id).await.expect("a failed job can be retried");
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.iso"), &Content::seeded(11, 16 * MIB));
}

#[tokio::test]
async fn inv_3_at_no_moment_does_a_row_claim_more_than_the_part_file_holds() {
    let mut random = StdRng::seed_from_u64(seed());
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(random.random(), 24 * MIB);
    server.add("/a.iso", File::new(content.clone()).etag("\"v1\"").shared_rate(24_000_000));
    let id = daemon.submit_job(&SubmitJob { connections: Some(6), ..SubmitJob::new(server.url("/a.iso")) }).await;
    for round in 1..4 {
        let moment = round * content.len() / 4 - random.random_range(0..2 * MIB);
        wait_until("it gets on", async || (server.bytes_sent("/a.iso") >= moment).then_some(())).await;
        daemon.kill();
        let store = open_store(daemon.home());
        let chunks = store.chunks(JobId(id)).await.expect("readable rows");
        store.close().await.expect("nobody else uses it");
        let part = fs::File::open(daemon.home().part()).expect("it is there");
        for chunk in &chunks {
            let len = usize::try_from(chunk.written).expect("small");
            let (mut there, mut right) = (vec![0; len], vec![0; len]);
            part.read_exact_at(&mut there, chunk.range.start).expect("the part file is as long as its rows say");
            content.read(chunk.range.start, &mut right);
            assert!(there == right, "the row of {:?} claims bytes that are not there", chunk.range);
            assert!(chunk.durable <= chunk.written);
        }
        daemon.restart().await;
    }
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.iso"), &content);
}
