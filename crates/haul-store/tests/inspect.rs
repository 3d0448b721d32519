//! Checking and copying a database beside the daemon that uses it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{World, job, submitted};
use haul_store::{OpenError, Store, back_up, check};
use rusqlite::Connection;

fn listing(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_copy_is_made_while_jobs_come_in_and_is_whole() {
    let world = World::new();
    let (store, _) = world.open("b");
    let first = submitted(&store).await;
    let backups = world.dir.path().join("backups");
    fs::create_dir(&backups).unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..200 {
                store.insert_jobs(vec![job("https://example.org/b"); 5], 1).await.unwrap();
            }
        })
    };
    let mut counts = Vec::new();
    for n in 0.. {
        let is_last = writer.is_finished();
        let (from, to) = (world.path(), backups.join(format!("{n}.db")));
        let copied = tokio::task::spawn_blocking(move || back_up(&from, &to)).await.unwrap().unwrap();
        assert_eq!((copied.jobs - 1) % 5, 0, "a batch is in it as a whole or not at all");
        counts.push(copied.jobs);
        if is_last {
            break;
        }
    }
    writer.await.unwrap();
    assert_eq!(counts.last(), Some(&1001));
    assert_eq!(listing(&backups).len(), counts.len(), "a copy is one file: {:?}", listing(&backups));

    let copy = backups.join("0.db");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(check(&copy, true).unwrap().damage.is_empty());
    let refused = back_up(&world.path(), &copy).unwrap_err();
    assert!(matches!(refused, OpenError::Io { action: "create", .. }), "{refused:?}");
    let (restored, _) = Store::open(&copy, "b").unwrap();
    assert!(restored.job(first).await.unwrap().is_some());
    assert!(store.job(first).await.unwrap().is_some(), "the original goes on");
}

#[tokio::test]
async fn what_cannot_be_copied_leaves_no_half_copy() {
    let world = World::new();
    let to = world.dir.path().join("copy.db");
    let missing = back_up(&world.path(), &to).unwrap_err();
    assert!(matches!(missing, OpenError::Missing { .. }), "{missing:?}");
    let (store, _) = world.open("b");
    store.insert_jobs(vec![job("https://example.org/a"); 500], 1).await.unwrap();
    store.close().await.unwrap();
    damage(&world.path(), "jobs");
    let corrupt = back_up(&world.path(), &to).unwrap_err();
    assert!(matches!(corrupt, OpenError::Corrupt { .. }), "{corrupt:?}");
    assert!(!to.exists());
}

#[tokio::test]
async fn a_check_finds_damage_and_changes_nothing() {
    let world = World::new();
    let (store, _) = world.open("b");
    store.insert_jobs(vec![job("https://example.org/a"); 500], 1).await.unwrap();
    for thoroughly in [false, true] {
        let checked = check(&world.path(), thoroughly).unwrap();
        assert_eq!((checked.damage.as_slice(), checked.jobs), (&[][..], 500), "while it is in use");
    }
    store.close().await.unwrap();
    drop(store);
    damage(&world.path(), "jobs");
    let before = fs::read(world.path()).unwrap();
    let found = check(&world.path(), false);
    assert!(!matches!(&found, Ok(checked) if checked.damage.is_empty()), "{found:?}");
    assert_eq!(fs::read(world.path()).unwrap(), before);
}

/// Overwrites the first page of a table.
fn damage(path: &Path, table: &str) {
    let conn = Connection::open(path).unwrap();
    let (page, size): (usize, usize) = conn
        .query_row(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema WHERE name = ?1",
            [table],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    conn.close().unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[(page - 1) * size..page * size].fill(0xAA);
    fs::write(path, &bytes).unwrap();
}
