//! Opening and closing: whose file it is, whether it is whole, and what of it counts.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{World, chunk, rows, submitted};
use haul_store::{OpenError, Store, StoreError};
use rusqlite::Connection;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("the file is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn f_db_12_everything_it_creates_is_for_its_owner_only() {
    let world = World::new();
    let (store, opened) = world.open("b");
    submitted(&store).await;
    assert!(opened.created);
    let path = world.path();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for suffix in ["", "-wal", "-shm", ".lock"] {
        assert_eq!(mode(Path::new(&format!("{}{suffix}", path.display()))), 0o600, "{suffix}");
    }
}

#[tokio::test]
async fn f_db_10_a_second_instance_is_refused_until_the_first_has_closed() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    let second = Store::open(&world.path(), "b").unwrap_err();
    assert!(matches!(second, OpenError::Locked { .. }), "{second:?}");
    store.close().await.unwrap();
    let (again, opened) = world.open("b");
    assert!(opened.was_closed && !opened.created);
    assert!(again.job(id).await.unwrap().is_some());
}

#[tokio::test]
async fn after_close_every_clone_says_so_and_the_log_is_empty() {
    let world = World::new();
    let (store, _) = world.open("b");
    let clone = store.clone();
    let id = submitted(&store).await;
    store.close().await.unwrap();
    assert!(matches!(clone.job(id).await, Err(StoreError::Closed)));
    assert!(matches!(clone.delete_jobs(vec![id]).await, Err(StoreError::Closed)));
    assert!(matches!(clone.close().await, Err(StoreError::Closed)));
    let wal = world.path().with_extension("db-wal");
    assert!(fs::metadata(wal).map_or(0, |m| m.len()) == 0);
}

#[tokio::test]
async fn what_was_submitted_before_close_is_carried_out() {
    let world = World::new();
    let (store, _) = world.open("b");
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { submitted(&store).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let (again, _) = world.open("b");
    assert_eq!(again.unfinished(None, 100).await.unwrap().len(), 50);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_the_file_untouched() {
    let world = World::new();
    let (store, _) = world.open("b");
    store.close().await.unwrap();
    let conn = Connection::open(world.path()).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    conn.close().unwrap();
    let before = fs::read(world.path()).unwrap();
    let refused = Store::open(&world.path(), "b").unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 99, known: 1.. }), "{refused:?}");
    assert_eq!(fs::read(world.path()).unwrap(), before);
}

#[tokio::test]
async fn f_db_08_a_newer_schema_that_is_only_in_the_log_is_refused_and_both_stay() {
    let world = World::new();
    let (store, _) = world.open("b");
    store.close().await.unwrap();
    let conn = Connection::open(world.path()).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    let other = World::new();
    fs::create_dir(other.path().parent().unwrap()).unwrap();
    let wal = |world: &World| world.path().with_extension("db-wal");
    fs::copy(world.path(), other.path()).unwrap();
    fs::copy(wal(&world), wal(&other)).unwrap();
    let before = (fs::read(other.path()).unwrap(), fs::read(wal(&other)).unwrap());
    assert_ne!(before.0[60..64], [0, 0, 0, 99], "the file itself does not say so yet");
    let refused = Store::open(&other.path(), "b").unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 99, known: 1.. }), "{refused:?}");
    assert_eq!((fs::read(other.path()).unwrap(), fs::read(wal(&other)).unwrap()), before);
}

#[test]
fn f_db_08_a_database_of_another_program_is_refused_and_untouched() {
    let world = World::new();
    fs::create_dir(world.path().parent().unwrap()).unwrap();
    let conn = Connection::open(world.path()).unwrap();
    conn.execute_batch("PRAGMA application_id = 42; CREATE TABLE jobs (id);").unwrap();
    conn.close().unwrap();
    let before = fs::read(world.path()).unwrap();
    let refused = Store::open(&world.path(), "b").unwrap_err();
    assert!(matches!(refused, OpenError::Foreign { application_id: 42, .. }), "{refused:?}");
    assert_eq!(fs::read(world.path()).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_untouched() {
    let world = World::new();
    fs::create_dir(world.path().parent().unwrap()).unwrap();
    fs::write(world.path(), "my thesis").unwrap();
    let refused = Store::open(&world.path(), "b").unwrap_err();
    assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused:?}");
    assert_eq!(fs::read(world.path()).unwrap(), b"my thesis");
}

#[test]
fn an_empty_file_is_taken_as_a_new_database() {
    let world = World::new();
    fs::create_dir(world.path().parent().unwrap()).unwrap();
    fs::write(world.path(), "").unwrap();
    let (_, opened) = world.open("b");
    assert!(opened.created);
    assert_eq!(mode(&world.path()), 0o600);
}

#[tokio::test]
async fn f_db_06_damage_is_found_after_an_unclean_stop() {
    let world = World::new();
    let (store, _) = world.open("b");
    store.insert_jobs(vec![common::job("https://example.org/a"); 500], 1).await.unwrap();
    store.close().await.unwrap();
    // The last run did not end in order.
    drop(world.open("b"));
    let conn = Connection::open(world.path()).unwrap();
    let (page, size): (usize, usize) = conn
        .query_row(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema WHERE name = 'jobs'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    conn.close().unwrap();
    let mut bytes = fs::read(world.path()).unwrap();
    bytes[(page - 1) * size..page * size].fill(0xAA);
    fs::write(world.path(), &bytes).unwrap();
    let refused = Store::open(&world.path(), "b").unwrap_err();
    assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused:?}");
    assert_eq!(fs::read(world.path()).unwrap(), bytes);
}

#[tokio::test]
async fn f_db_01_02_written_marks_count_in_the_same_boot_only_and_never_come_back() {
    let world = World::new();
    let (store, _) = world.open("boot-1");
    let id = submitted(&store).await;
    let marks = |a, b| rows(id, &[chunk(0, 100, a), chunk(100, 200, b)]);
    store.checkpoint(marks(100, 10)).await.unwrap();
    store.mark_written(marks(100, 100)).await.unwrap();
    drop(store);

    for (boot, same, done, chunks_done) in [
        ("boot-1", true, 200, 2),
        ("boot-2", false, 110, 1),
        // The marks were made in boot 1: two runs in boot 2 must not bring them back.
        ("boot-2", true, 110, 1),
    ] {
        let (store, opened) = world.open(boot);
        assert_eq!(opened.same_boot, same);
        let job = store.unfinished(None, 10).await.unwrap().remove(0);
        assert_eq!(job.row.counts.done_bytes, done);
        assert_eq!(job.row.counts.durable_bytes, 110);
        assert_eq!(job.row.counts.chunks_done, chunks_done);
        assert_eq!(job.chunks.iter().map(|c| c.done).sum::<u64>(), done);
    }
}

#[test]
fn an_unknown_boot_is_never_the_same() {
    let world = World::new();
    drop(world.open(""));
    assert!(!world.open("").1.same_boot);
}
