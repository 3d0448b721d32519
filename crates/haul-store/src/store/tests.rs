//! What only shows from within: how operations are grouped, ordered and lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::mpsc as gate;
use std::sync::{Arc, Mutex};

use haul_core::{ByteRange, Chunk, Intent, JobId};
use tempfile::TempDir;

use super::*;
use crate::rows::jobs;
use crate::schema::Migration;
use crate::{JobRows, NewJob, Wish};

type Answer<T> = oneshot::Receiver<Result<T, StoreError>>;

struct Bench {
    dir: TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let (store, _) = Store::open(&dir.path().join("haul.db"), "boot-1").unwrap();
        Self { dir, store }
    }

    /// Submits without waiting, from this thread, so that the order is known.
    fn send<T: Send + 'static>(
        &self,
        lane: Lane,
        run: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let (request, answer) = Op::request(lane, run);
        assert!(self.store.0.writes.try_send(request).is_ok(), "the queue has room");
        answer
    }

    fn append(&self, lane: Lane, text: String) -> Answer<()> {
        self.send(lane, move |conn| {
            let before = rows::setting(conn, "log")?.unwrap_or_default();
            Ok(rows::set_setting(conn, "log", &(before + &text))?)
        })
    }

    /// Keeps the writer busy until the returned sender is dropped.
    fn hold(&self) -> gate::Sender<()> {
        let (release, held) = gate::channel::<()>();
        let (begun, begins) = gate::channel();
        drop(self.send(Lane::Durable, move |_| {
            begun.send(()).unwrap();
            assert!(held.recv().is_err(), "released by dropping");
            Ok(())
        }));
        begins.recv().unwrap();
        release
    }

    fn log(&self) -> Option<String> {
        wait(self.send(Lane::Durable, |conn| Ok(rows::setting(conn, "log")?))).unwrap()
    }

    /// Copies the database as it is at this moment to a new place, as the end of the process would leave it.
    fn crash(&self) -> Copy {
        let from = self.dir.path().to_owned();
        let to = TempDir::new().unwrap();
        let at = to.path().to_owned();
        wait(self.send(Lane::Durable, move |_| {
            for name in ["haul.db", "haul.db-wal"] {
                fs::copy(from.join(name), at.join(name)).unwrap();
            }
            Ok(())
        }))
        .unwrap();
        Copy(to)
    }
}

struct Copy(TempDir);

impl Copy {
    fn path(&self) -> PathBuf {
        self.0.path().join("haul.db")
    }
}

fn wait<T>(answer: Answer<T>) -> Result<T, StoreError> {
    answer.blocking_recv().unwrap()
}

fn new_job(n: u64) -> NewJob {
    NewJob {
        wish: Wish {
            url: format!("https://h/{n}").into(),
            host: "https://h:443".to_owned(),
            dir: "/d".to_owned(),
            ..Wish::default()
        },
        intent: Intent::Run,
        part_token: "0123abcd".to_owned(),
        pieces: None,
        maker: None,
        gid: None,
    }
}

fn written(job: JobId, done: u64) -> JobRows {
    let chunk = Chunk { done, ..Chunk::empty(ByteRange::new(0, 1000)) };
    JobRows::new(job, vec![chunk])
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

#[test]
fn what_gathers_during_a_commit_becomes_one_transaction() {
    let bench = Bench::new();
    let release = bench.hold();
    let before = bench.store.stats();
    let answers: Vec<_> = (0..256).map(|n| bench.append(Lane::Durable, n.to_string())).collect();
    drop(release);
    for answer in answers {
        wait(answer).unwrap();
    }
    let after = bench.store.stats();
    assert_eq!(after.durable_commits - before.durable_commits, 2, "the held one and the group");
}

#[test]
fn operations_are_committed_in_the_order_of_their_submission_on_either_connection() {
    let bench = Bench::new();
    let mut expected = String::new();
    let mut last = None;
    for n in 0..300_u32 {
        // Runs of both kinds, of different lengths.
        let lane = if n * n % 7 < 3 { Lane::Written } else { Lane::Durable };
        expected += &format!("{n},");
        last = Some(bench.append(lane, format!("{n},")));
    }
    wait(last.unwrap()).unwrap();
    assert_eq!(bench.log(), Some(expected));
    let stats = bench.store.stats();
    assert!(stats.written_commits > 5 && stats.durable_commits > 5, "{stats:?}");
}

#[test]
fn an_operation_that_fails_in_a_group_fails_alone() {
    let bench = Bench::new();
    let release = bench.hold();
    let first = bench.append(Lane::Durable, "a".to_owned());
    let failing = bench.send(Lane::Durable, |conn| -> Result<(), StoreError> {
        rows::set_setting(conn, "log", "lost")?;
        Err(StoreError::Full)
    });
    let last = bench.append(Lane::Durable, "b".to_owned());
    drop(release);
    wait(first).unwrap();
    assert!(matches!(wait(failing), Err(StoreError::Full)));
    wait(last).unwrap();
    assert_eq!(bench.log().as_deref(), Some("ab"));
}

#[test]
fn an_operation_whose_asker_is_gone_is_carried_out_all_the_same() {
    let bench = Bench::new();
    drop(bench.append(Lane::Durable, "a".to_owned()));
    assert_eq!(bench.log().as_deref(), Some("a"));
}

#[test]
fn a_full_database_says_so_and_goes_on_when_there_is_room_again() {
    let bench = Bench::new();
    let limit = |pages: u32| {
        wait(bench.send(Lane::Durable, move |conn| {
            Ok(conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, u32>(0))?)
        }))
        .unwrap()
    };
    let used = limit(1);
    assert!(used > 10, "SQLite answers with the pages in use: {used}");
    let runtime = runtime();
    let many = || (0..2000).map(new_job).collect::<Vec<_>>();
    let refused = runtime.block_on(bench.store.insert_jobs(many(), 1));
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    limit(1_000_000);
    let ids = runtime.block_on(bench.store.insert_jobs(many(), 2)).unwrap();
    assert_eq!(ids.len(), 2000);
    let counts = runtime.block_on(bench.store.count_by_state()).unwrap();
    assert_eq!(counts.iter().map(|c| c.1).sum::<u64>(), 2000, "none of the refused ones is there");
}

#[test]
fn a_transaction_that_is_taken_back_fails_all_of_its_group() {
    let bench = Bench::new();
    let release = bench.hold();
    let first = bench.append(Lane::Durable, "a".to_owned());
    let breaking = bench.send(Lane::Durable, |conn| -> Result<(), StoreError> {
        conn.execute_batch("ROLLBACK")?;
        Err(StoreError::Full)
    });
    let last = bench.append(Lane::Durable, "b".to_owned());
    drop(release);
    assert!(matches!(wait(first), Err(StoreError::Full)));
    assert!(matches!(wait(breaking), Err(StoreError::Full)));
    assert!(matches!(wait(last), Err(StoreError::Full)));
    assert_eq!(bench.log(), None);
    wait(bench.append(Lane::Durable, "c".to_owned())).unwrap();
    assert_eq!(bench.log().as_deref(), Some("c"));
}

#[test]
fn f_db_07_the_wal_never_begins_anew_without_a_sync() {
    let bench = Bench::new();
    wait(bench.append(Lane::Durable, "a".to_owned())).unwrap();
    wait(bench.append(Lane::Written, "b".to_owned())).unwrap();
    let aside = Connection::open(bench.dir.path().join("haul.db")).unwrap();
    schema::checkpoint(&aside).unwrap();
    let (frames, copied) = schema::wal_frames(&aside).unwrap();
    assert!(frames > 0 && frames == copied, "{copied} of {frames}");

    let before = bench.store.stats();
    wait(bench.append(Lane::Written, "c".to_owned())).unwrap();
    let between = bench.store.stats();
    assert_eq!(between.durable_commits - before.durable_commits, 1);
    assert_eq!(between.written_commits, before.written_commits);
    wait(bench.append(Lane::Written, "d".to_owned())).unwrap();
    assert_eq!(bench.store.stats().written_commits - between.written_commits, 1);
    assert_eq!(bench.log().as_deref(), Some("abcd"));
}

#[test]
fn f_db_14_the_wal_is_copied_back_before_it_grows_large() {
    let bench = Bench::new();
    for n in 0..100 {
        let text = n.to_string().repeat(50_000);
        wait(bench.send(Lane::Written, move |conn| Ok(rows::set_setting(conn, "log", &text)?))).unwrap();
    }
    assert!(bench.store.stats().checkpoints > 0);
    let wal = fs::metadata(bench.dir.path().join("haul.db-wal")).unwrap().len();
    assert!(wal < 8 << 20, "{wal} bytes");
}

#[test]
fn f_db_01_02_every_answered_insert_survives_the_end_of_the_process_at_any_moment() {
    let bench = Bench::new();
    let answered = Arc::new(Mutex::new(Vec::new()));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (store, answered) = (bench.store.clone(), Arc::clone(&answered));
            thread::spawn(move || {
                let runtime = runtime();
                for n in 0..150 {
                    let ids = runtime.block_on(store.insert_jobs(vec![new_job(n); 3], 1)).unwrap();
                    runtime.block_on(store.mark_written(vec![written(ids[0], n)])).unwrap();
                    answered.lock().unwrap().extend(ids);
                }
            })
        })
        .collect();
    let mut sizes = Vec::new();
    while !writers.iter().all(JoinHandle::is_finished) {
        let expected = answered.lock().unwrap().clone();
        let copy = bench.crash();
        let (store, opened) = Store::open(&copy.path(), "boot-1").unwrap();
        assert!(!opened.was_closed && opened.same_boot);
        let found = runtime().block_on(store.unfinished(None, u32::MAX)).unwrap();
        let ids: Vec<JobId> = found.iter().map(|job| job.row.id).collect();
        for id in &expected {
            assert!(ids.binary_search(id).is_ok(), "job {id} was answered and is gone");
        }
        assert_eq!(ids.len() % 3, 0, "a batch is there as a whole or not at all");
        sizes.push(expected.len());
    }
    for writer in writers {
        writer.join().unwrap();
    }
    sizes.dedup();
    assert!(sizes.len() > 2, "the copies were made at different moments: {sizes:?}");
}

#[test]
fn f_db_01_02_a_power_cut_takes_written_marks_and_nothing_else() {
    let bench = Bench::new();
    let runtime = runtime();
    let ids = runtime.block_on(bench.store.insert_jobs(vec![new_job(1)], 1)).unwrap();
    runtime.block_on(bench.store.checkpoint(vec![written(ids[0], 100)])).unwrap();
    let aside = Connection::open(bench.dir.path().join("haul.db")).unwrap();
    let (synced, _) = schema::wal_frames(&aside).unwrap();
    runtime.block_on(bench.store.mark_written(vec![written(ids[0], 700)])).unwrap();

    let killed = bench.crash();
    let cut = bench.crash();
    let wal = fs::OpenOptions::new().write(true).open(cut.0.path().join("haul.db-wal")).unwrap();
    // A header of 32 bytes, then frames of a header of 24 bytes and a page each.
    let synced_bytes = 32 + u64::try_from(synced).unwrap() * (24 + 4096);
    assert!(wal.metadata().unwrap().len() > synced_bytes, "the mark is behind it");
    wal.set_len(synced_bytes).unwrap();

    for (copy, boot, done) in [(killed, "boot-1", 700), (cut, "boot-2", 100)] {
        let (store, opened) = Store::open(&copy.path(), boot).unwrap();
        assert_eq!(opened.same_boot, boot == "boot-1");
        let jobs = runtime.block_on(store.unfinished(None, 10)).unwrap();
        assert_eq!(jobs[0].chunks[0].done, done);
        assert_eq!(jobs[0].row.counts.done_bytes, done);
        assert_eq!(jobs[0].row.counts.durable_bytes, 100);
    }
}

#[test]
fn f_db_04_one_thread_writes_and_none_of_a_runtime_does() {
    let bench = Bench::new();
    let name = || thread::current().name().map(str::to_owned);
    for lane in [Lane::Durable, Lane::Written] {
        assert_eq!(wait(bench.send(lane, move |_| Ok(name()))).unwrap().as_deref(), Some("haul-store"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let reader = runtime.block_on(bench.store.read(move |_| Ok(name()))).unwrap();
    assert_eq!(reader.as_deref(), Some("haul-read"));

    // A group holds the write lock from its first moment: it never finds out later that it may not write.
    let release = bench.hold();
    let other = Connection::open(bench.dir.path().join("haul.db")).unwrap();
    other.busy_timeout(std::time::Duration::ZERO).unwrap();
    let busy = other.execute_batch("BEGIN IMMEDIATE").unwrap_err();
    assert_eq!(busy.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));
    drop(release);
}

#[test]
fn f_db_07_14_no_connection_maps_the_file_or_copies_the_wal_by_itself_and_the_wal_is_bounded() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
    let bench = Bench::new();
    let number = |conn: &Connection, pragma: &str| {
        conn.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0)).unwrap_or(0)
    };
    for lane in [Lane::Durable, Lane::Written] {
        let settings = wait(bench.send(lane, move |conn| {
            Ok(["mmap_size", "wal_autocheckpoint", "journal_size_limit", "secure_delete"]
                .map(|name| number(conn, name)))
        }));
        assert_eq!(settings.unwrap(), [0, 0, 64 << 20, 1]);
    }
    let reader =
        runtime().block_on(bench.store.read(move |conn| Ok([number(conn, "mmap_size"), number(conn, "query_only")])));
    assert_eq!(reader.unwrap(), [0, 1]);
}

#[test]
fn f_db_15_nothing_is_written_once_another_file_stands_in_the_place_of_the_database() {
    let bench = Bench::new();
    let path = bench.dir.path().join("haul.db");
    let other = Bench::new();
    runtime().block_on(other.store.close()).unwrap();
    assert!(bench.store.is_in_place());
    fs::rename(other.dir.path().join("haul.db"), &path).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(!bench.store.is_in_place());
    let refused = runtime().block_on(bench.store.insert_jobs(vec![new_job(1)], 1));
    assert!(matches!(refused, Err(StoreError::Replaced)), "{refused:?}");
    let closed = runtime().block_on(bench.store.close());
    assert!(matches!(closed, Err(StoreError::Replaced)), "{closed:?}");
    assert_eq!(fs::read(&path).unwrap(), before, "not even closing touches it");

    let removed = Bench::new();
    fs::remove_file(removed.dir.path().join("haul.db")).unwrap();
    assert!(!removed.store.is_in_place());
    let refused = runtime().block_on(removed.store.insert_jobs(vec![new_job(1)], 1));
    assert!(matches!(refused, Err(StoreError::Replaced)), "{refused:?}");
}

#[test]
fn f_db_11_over_a_network_one_connection_has_the_file_for_itself_and_keeps_no_shared_memory() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("haul.db");
    let runtime = runtime();
    // What a local disk has left goes on there.
    let (store, _) = Store::open(&path, "boot").unwrap();
    let id = runtime.block_on(store.insert_jobs(vec![new_job(1)], 1)).unwrap()[0];
    drop(store);

    let alone = || Store::start(open::open(&path, "boot", schema::MIGRATIONS, |_| Ok(open::Sharing::Exclusive))?);
    let (store, opened) = alone().unwrap();
    assert!(opened.same_boot && !opened.was_closed);
    assert!(!path.with_extension("db-wal").exists() && !path.with_extension("db-shm").exists());
    let other = Connection::open(&path).unwrap();
    other.busy_timeout(std::time::Duration::ZERO).unwrap();
    let busy = other.query_row("SELECT count(*) FROM jobs", [], |row| row.get::<_, i64>(0)).unwrap_err();
    assert_eq!(busy.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));

    runtime.block_on(store.checkpoint(vec![written(id, 100)])).unwrap();
    runtime.block_on(store.mark_written(vec![written(id, 700)])).unwrap();
    let found = runtime.block_on(store.stored_job(id)).unwrap().unwrap();
    assert_eq!(found.chunks[0].done, 100, "there, only what is durable is stored");
    assert_eq!(store.stats().written_commits, 0);
    runtime.block_on(store.close()).unwrap();
    drop(store);
    let (store, opened) = alone().unwrap();
    assert!(opened.was_closed);
    drop(store);
    let (store, _) = Store::open(&path, "boot").unwrap();
    assert!(runtime.block_on(store.job(id)).unwrap().is_some(), "and back again");
}

/// The number that the next migration will have.
const NEXT: u32 = schema::MIGRATIONS[schema::MIGRATIONS.len() - 1].number + 1;

/// All migrations, and one more.
fn and_then(sql: &'static str) -> Vec<Migration> {
    let next = Migration { number: NEXT, name: "next", sql };
    schema::MIGRATIONS.iter().copied().chain([next]).collect()
}

#[test]
fn f_db_09_a_database_is_copied_before_its_schema_changes() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("haul.db");
    let runtime = runtime();
    let (store, _) = Store::open(&path, "boot").unwrap();
    runtime.block_on(store.insert_jobs(vec![new_job(1)], 1)).unwrap();
    runtime.block_on(store.close()).unwrap();
    drop(store);

    let more = and_then("CREATE TABLE next (a INTEGER) STRICT;");
    let (store, opened) = Store::open_with(&path, "boot", &more).unwrap();
    assert!(runtime.block_on(store.job(JobId(1))).unwrap().is_some());
    let backup = opened.backup.expect("a copy");
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    let copy = Connection::open(&backup).unwrap();
    assert_eq!(schema::version(&copy).unwrap(), NEXT - 1);
    assert!(jobs::get(&copy, JobId(1)).unwrap().is_some());
    runtime.block_on(store.close()).unwrap();
    drop(store);

    let newer = Store::open(&path, "boot").unwrap_err();
    assert!(matches!(newer, OpenError::Newer { found: NEXT, known } if known == NEXT - 1), "{newer:?}");
}

#[test]
fn f_db_09_a_migration_that_fails_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("haul.db");
    drop(Store::open(&path, "boot").unwrap());
    let broken = and_then("CREATE TABLE next (a INTEGER) STRICT; INSERT INTO nowhere VALUES (1);");
    let failed = Store::open_with(&path, "boot", &broken);
    assert!(matches!(failed, Err(OpenError::Sqlite(_))));
    let (_, opened) = Store::open(&path, "boot").unwrap();
    assert!(!opened.created);
    let conn = Connection::open(&path).unwrap();
    assert!(conn.prepare("SELECT * FROM next").is_err());
}

#[test]
fn an_edited_migration_is_noticed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("haul.db");
    drop(Store::open_with(&path, "boot", &and_then("CREATE TABLE next (a INTEGER) STRICT;")).unwrap());
    let edited = and_then("CREATE TABLE next (b INTEGER) STRICT;");
    let refused = Store::open_with(&path, "boot", &edited).unwrap_err();
    assert!(matches!(refused, OpenError::EditedMigration { number: NEXT }), "{refused:?}");
}

/// A database as the first release has left it: a job with a file that is half there.
const FIRST_RELEASE: &str = "
    INSERT INTO jobs (
        url, host, dir, on_conflict, priority, phase, intent, part_token, total_bytes, accepts_ranges, etag, final_url,
        done_bytes, durable_bytes, chunks_done, chunks_total, created_at_ms, updated_at_ms
    ) VALUES (
        'https://h/1', 'https://h:443', '/d', 'rename', 0, 'fetching', 'run', '0123abcd', 200, 1, '\"v\"', NULL,
        150, 100, 1, 2, 1, 1
    );
    INSERT INTO chunks VALUES (1, 0, 100, 100, 100, 'done', 0, 0), (1, 100, 200, 0, 50, 'ready', 1, 2);
    INSERT INTO meta VALUES ('boot_id', 'boot'), ('clean_shutdown', '0');
";

#[test]
fn a_database_of_the_first_release_is_taken_over_with_its_jobs_and_marks() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("haul.db");
    let mut conn = Connection::open(&path).unwrap();
    schema::mark_as_ours(&conn).unwrap();
    schema::migrate(&mut conn, &schema::MIGRATIONS[..1], 0).unwrap();
    conn.execute_batch(FIRST_RELEASE).unwrap();
    conn.close().unwrap();

    let (store, opened) = Store::open(&path, "boot").unwrap();
    assert!(opened.backup.is_some(), "the schema changes");
    let runtime = runtime();
    let stored = runtime.block_on(store.stored_job(JobId(1))).unwrap().expect("the job");
    assert_eq!(stored.row.wish.mirrors, []);
    assert_eq!(stored.row.identity.etag.as_deref(), Some("\"v\""));
    assert_eq!(stored.row.identity.mirror, haul_core::MirrorIndex(0));
    let marks: Vec<_> = stored.chunks.iter().map(|c| (c.done, c.retries, c.strikes, c.mirror.0)).collect();
    assert_eq!(marks, [(100, 0, 0, 0), (50, 1, 2, 0)]);
    let ids = runtime.block_on(store.insert_jobs(vec![mirrored()], 2)).unwrap();
    let row = runtime.block_on(store.job(ids[0])).unwrap().expect("the new job");
    assert_eq!(row.wish, mirrored().wish);
    assert_eq!(runtime.block_on(store.hosts()).unwrap(), []);
}

fn mirrored() -> NewJob {
    let mut job = new_job(2);
    let mirror = |n: u32| crate::Mirror {
        url: format!("https://m{n}/2").into(),
        host: format!("https://m{n}:443"),
        priority: (n == 1).then_some(n),
    };
    job.wish.mirrors = vec![mirror(1), mirror(2)];
    job
}
