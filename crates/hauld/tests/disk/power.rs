//! A power cut at any moment costs no byte that a row claims, and no accepted job.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haul_api::{JobState, SubmitJob};
use haul_core::{JobId, Phase, Rng};
use haul_store::{JobRow, Store};
use haul_testkit::{Content, File, Server};
use haul_transfer::testing::PowerCut;
use rusqlite::{Connection, OpenFlags};

use crate::rig::{Home, MIB, Rig, assert_holds, say, wait_until};

/// Power cuts in one run, half of them with a single file: where several end up in one directory, each that is sealed makes
/// the names of all durable. Each takes some three seconds.
const CUTS: u64 = 8;

/// What is downloaded when the power goes: some of it is long done then, some has hardly begun.
const LENGTHS: [u64; 5] = [12 * MIB, 9_000_000, 300_000, 70_000, 1];

/// The rate of all together: enough for one or two checkpoints.
const RATE: u64 = 9_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_db_02_a_power_cut_costs_no_durable_byte_and_no_accepted_job() {
    let given = std::env::var("TEST_SEED").ok().and_then(|text| text.parse().ok());
    let first: u64 = given.unwrap_or_else(rand::random);
    say(&format!("TEST_SEED={first}"));
    for seed in (0..CUTS).map(|n| first.wrapping_add(n)) {
        one_cut(seed).await;
    }
}

async fn one_cut(seed: u64) {
    let mut rng = Rng::new(seed);
    let (server, home) = (Server::start(), Home::new());
    let line = haul_testkit::Line::new(RATE);
    let lengths = if seed.is_multiple_of(2) { &LENGTHS[..] } else { &LENGTHS[..1] };
    let contents: Vec<Content> = lengths.iter().map(|len| Content::seeded(seed ^ len, *len)).collect();
    for (n, content) in contents.iter().enumerate() {
        server.add(&format!("/{n}.bin"), File::new(content.clone()).etag("\"v1\"").line(&line));
    }
    let disk = Arc::new(PowerCut::new(&home.aside()));
    let rig = Rig::start(&home, "before", Arc::clone(&disk) as _).await;
    let mut ids = Vec::new();
    for n in 0..contents.len() {
        ids.push(rig.submit(&server.url(&format!("/{n}.bin"))).await);
    }
    // Anywhere from before the first byte to after the last one.
    let all: u64 = lengths.iter().sum();
    let moment = rng.below(all + all / 10).min(all);
    let sent = || (0..lengths.len()).map(|n| server.bytes_sent(&format!("/{n}.bin"))).sum::<u64>();
    wait_until("the moment has come", || sent() >= moment).await;

    disk.cut();
    copy_database(&home.data("before"), &home.data("after"));
    // All that was not synced is lost, or any part of it.
    disk.restore(seed, [0.0, 0.0, 0.5, 0.9][usize::try_from(seed / 2 % 4).expect("small")]);
    rig.stop().await;
    let claimed = check_claims(&home, &ids, &contents, seed).await;
    say(&format!("seed {seed}: cut after {moment} of {all} bytes, {claimed} of them durable"));

    let rig = Rig::on_disk(&home, "after").await;
    for (id, content) in ids.into_iter().zip(&contents) {
        let job = rig.completed(id).await;
        assert_holds(job.path.as_deref().map(Path::new).expect("it has a path"), content, &format!("seed {seed}"));
    }
    let names: Vec<String> = (0..lengths.len()).map(|n| format!("{n}.bin")).collect();
    assert_eq!(home.names(), names, "seed {seed}: nothing else is left");
    rig.stop().await;
}

/// Copies the database as it lies on the disk. A reader keeps its log from being begun anew meanwhile.
fn copy_database(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new directory");
    let path = from.join("haul.db");
    let reader = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the daemon's database");
    reader.execute_batch("BEGIN; SELECT count(*) FROM jobs;").expect("readable");
    for name in ["haul.db", "haul.db-wal"] {
        fs::copy(from.join(name), to.join(name)).expect("readable");
    }
}

/// Looks at the rows as the next start would: in another boot only what is durable counts. Each byte of it must be there.
async fn check_claims(home: &Home, ids: &[u64], contents: &[Content], seed: u64) -> u64 {
    let (store, opened) = Store::open(&home.data("after").join("haul.db"), "another boot").expect("it is sound");
    assert!(!opened.same_boot && !opened.was_closed);
    let mut claimed = 0;
    for (id, content) in ids.iter().zip(contents) {
        let row = store.job(JobId(*id)).await.expect("readable").expect("an accepted job is there");
        for chunk in store.chunks(JobId(*id)).await.expect("readable") {
            assert_eq!(chunk.written, chunk.durable, "seed {seed}: only what is durable counts");
            if chunk.durable > 0 {
                let file =
                    file_of(home, &row).unwrap_or_else(|| panic!("seed {seed}: {row:?} claims bytes of no file"));
                let start = usize::try_from(chunk.range.start).expect("small");
                let len = usize::try_from(chunk.durable).expect("small");
                let found = file.get(start..start + len);
                let wanted = content.bytes();
                let is_there = found.is_some_and(|found| found == &wanted[start..start + len]);
                assert!(is_there, "seed {seed}: {:?} of job {id} claims {len} bytes that are not there", chunk.range);
                claimed += chunk.durable;
            }
        }
        if row.lifecycle.phase == Phase::Completed {
            let path = row.path.as_deref().expect("it has a path");
            assert_holds(path.as_ref(), content, &format!("seed {seed}"));
        }
    }
    store.close().await.expect("nobody else uses it");
    claimed
}

/// The bytes of a job's file, under whatever name it has.
fn file_of(home: &Home, row: &JobRow) -> Option<Vec<u8>> {
    use std::os::unix::fs::MetadataExt as _;
    let part = row.part.as_ref()?;
    let paths = home.names().into_iter().map(|name| home.downloads().join(name));
    let is_it = |path: &PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.ino() == part.ino);
    paths.into_iter().find(is_it).map(|path| fs::read(path).expect("readable"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_disk_13_what_a_failed_sync_has_lost_is_fetched_again() {
    let (server, home) = (Server::start(), Home::new());
    let content = Content::seeded(1, 12 * MIB);
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\"").shared_rate(5_000_000));
    let disk = Arc::new(PowerCut::new(&home.aside()));
    let rig = Rig::start(&home, "before", Arc::clone(&disk) as _).await;
    let id = rig.submit_job(&SubmitJob::new(server.url("/a.bin"))).await;
    let before = rig.until(id, "a checkpoint is made", |job| job.durable_bytes > 0).await;
    disk.fail_next_sync();
    let failed = rig.ended(id).await;
    assert_eq!(failed.state, JobState::Failed, "{failed:?}");
    assert_eq!(failed.reason.as_ref().map(|reason| reason.code.as_str()), Some("io-error"));
    assert!(failed.durable_bytes >= before.durable_bytes, "what was durable stays: {failed:?}");
    assert_eq!(failed.done_bytes, failed.durable_bytes, "and nothing else: {failed:?}");

    server.replace("/a.bin", File::new(content.clone()).etag("\"v1\""));
    rig.client().retry(id).await.expect("a failed job can be retried");
    rig.completed(id).await;
    let again = server.bytes_sent_again("/a.bin");
    assert!(again <= content.len() - failed.durable_bytes, "{again} bytes were sent again");
    // Whoever believed in a second sync has a file with holes after a power cut.
    disk.cut();
    disk.restore(1, 0.0);
    rig.stop().await;
    assert_holds(&home.downloads().join("a.bin"), &content, "after the cut");
}
