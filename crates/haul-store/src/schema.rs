//! The schema: migrations, pragmas, and what the store notes about itself.
//!
//! A migration is a numbered file in `migrations/` that is only ever added. The text of each applied one is kept in
//! the database, so that an edited file is noticed. `user_version` is the number of the newest one.

use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, params};

use crate::OpenError;
use crate::rows::at_work;

/// The mark of our databases: `haul` in ASCII.
pub(crate) const APPLICATION_ID: u32 = 0x6861_756C;

/// All migrations, oldest first.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "jobs", sql: include_str!("../../../migrations/0001_jobs.sql") },
    Migration { number: 2, name: "mirrors", sql: include_str!("../../../migrations/0002_mirrors.sql") },
    Migration { number: 3, name: "hosts", sql: include_str!("../../../migrations/0003_hosts.sql") },
    Migration { number: 4, name: "events", sql: include_str!("../../../migrations/0004_events.sql") },
    Migration { number: 5, name: "digests", sql: include_str!("../../../migrations/0005_digests.sql") },
    Migration { number: 6, name: "identity", sql: include_str!("../../../migrations/0006_identity.sql") },
    Migration { number: 7, name: "requests", sql: include_str!("../../../migrations/0007_requests.sql") },
    Migration { number: 8, name: "tokens", sql: include_str!("../../../migrations/0008_tokens.sql") },
    Migration { number: 9, name: "options", sql: include_str!("../../../migrations/0009_options.sql") },
    Migration { number: 10, name: "outbox", sql: include_str!("../../../migrations/0010_outbox.sql") },
    Migration { number: 11, name: "gids", sql: include_str!("../../../migrations/0011_gids.sql") },
    Migration { number: 12, name: "inline_checks", sql: include_str!("../../../migrations/0012_inline_checks.sql") },
];

/// The pages that a writing connection keeps, in KiB. Measured: with SQLite's own 2 MiB a batch of 10,000 jobs writes pages
/// several times that it changes again; beyond this nothing is won.
const WRITER_CACHE_KIB: i64 = 8 << 10;

/// How long to wait for a lock of another process, such as a `sqlite3` shell. Specified: rusqlite's own default.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(crate) const COMMIT: &str = "COMMIT";
pub(crate) const ROLLBACK: &str = "ROLLBACK";
pub(crate) const SAVEPOINT: &str = "SAVEPOINT op";
pub(crate) const KEEP: &str = "RELEASE op";
pub(crate) const UNDO: &str = "ROLLBACK TO op";

/// One step from one schema to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Migration {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

/// Sets what every connection wants.
pub(crate) fn set_up(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(64);
    // A plan never depends on what is bound, or SQLite would parse a statement anew each time that is another value.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA mmap_size = 0; PRAGMA foreign_keys = ON;")
}

/// Marks a new database as ours. This must reach the file itself before WAL mode, so that a glance at its header
/// tells whose it is.
pub(crate) fn mark_as_ours(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "application_id", APPLICATION_ID)
}

/// Sets what a writing connection wants. Both checkpoint only when told to ([`checkpoint`]).
pub(crate) fn set_up_writer(conn: &Connection, journal: &str, synchronous: &str) -> rusqlite::Result<()> {
    conn.pragma_update_and_check(None, "journal_mode", journal, |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    conn.execute_batch(
        "PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864; PRAGMA secure_delete = ON;",
    )
}

/// Sets what the only connection to a file wants; before it looks at the file.
pub(crate) fn set_up_exclusive(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(()))
}

/// Sets what a reading connection wants.
pub(crate) fn set_up_reader(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch("PRAGMA query_only = ON;")
}

/// The frames in the WAL, and how many of them are in the database file already.
pub(crate) fn wal_frames(conn: &Connection) -> rusqlite::Result<(i64, i64)> {
    conn.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
}

/// Moves frames from the WAL into the database file, as many as readers let it, and gives the memory of their pages back.
pub(crate) fn checkpoint(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))?;
    conn.execute_batch("PRAGMA shrink_memory")
}

/// Moves all frames into the database file and empties the WAL.
pub(crate) fn checkpoint_all(conn: &Connection) -> rusqlite::Result<()> {
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Looks for damage; `None` means there is none.
pub(crate) fn find_damage(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((found != "ok").then_some(found))
}

/// Looks for all damage there is, thoroughly or quickly; empty means there is none.
pub(crate) fn find_all_damage(conn: &Connection, thoroughly: bool) -> rusqlite::Result<Vec<String>> {
    let sql = if thoroughly { "PRAGMA integrity_check" } else { "PRAGMA quick_check" };
    let mut found: Vec<String> =
        conn.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    found.retain(|line| line != "ok");
    let mut dangling = conn.prepare("PRAGMA foreign_key_check")?;
    let lines = dangling.query_map([], |row| {
        Ok(format!(
            "a row of {} belongs to a row of {} that is not there",
            row.get::<_, String>(0)?,
            row.get::<_, String>(2)?
        ))
    })?;
    for line in lines {
        found.push(line?);
    }
    Ok(found)
}

/// How many jobs there are.
pub(crate) fn count_jobs(conn: &Connection) -> rusqlite::Result<u64> {
    conn.query_row("SELECT count(*) FROM jobs", [], |row| row.get(0))
}

/// The number of the newest applied migration.
pub(crate) fn version(conn: &Connection) -> rusqlite::Result<u32> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Writes a copy of the whole database into the empty file at `path`.
pub(crate) fn back_up(conn: &Connection, path: &str) -> rusqlite::Result<()> {
    conn.execute("VACUUM INTO ?1", [path]).map(drop)
}

/// Compares the applied migrations with ours and applies the missing ones: all of them, or none.
pub(crate) fn migrate(conn: &mut Connection, migrations: &[Migration], found: u32) -> Result<(), OpenError> {
    let (known, missing): (Vec<_>, Vec<_>) = migrations.iter().partition(|migration| migration.number <= found);
    for migration in known {
        compare(conn, migration)?;
    }
    let Some(newest) = missing.last() else { return Ok(()) };
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (
            number INTEGER PRIMARY KEY, name TEXT NOT NULL, sql TEXT NOT NULL, applied_at TEXT NOT NULL
        ) STRICT",
    )?;
    for migration in &missing {
        tx.execute_batch(migration.sql)?;
        tx.execute(
            "INSERT INTO migrations VALUES (?1, ?2, ?3, strftime('%FT%TZ'))",
            params![migration.number, migration.name, migration.sql],
        )?;
    }
    tx.pragma_update(None, "user_version", newest.number)?;
    Ok(tx.commit()?)
}

fn compare(conn: &Connection, migration: &Migration) -> Result<(), OpenError> {
    let number = migration.number;
    let applied: Option<String> =
        conn.query_row("SELECT sql FROM migrations WHERE number = ?1", [number], |row| row.get(0)).optional()?;
    if applied.as_deref() == Some(migration.sql) { Ok(()) } else { Err(OpenError::EditedMigration { number }) }
}

/// Tells whether the last run ended in order.
pub(crate) fn was_closed(conn: &Connection) -> rusqlite::Result<bool> {
    Ok(note(conn, "clean_shutdown")?.as_deref() == Some("1"))
}

/// Notes that this run ends in order: nobody's fault.
pub(crate) fn note_closed(conn: &Connection) -> rusqlite::Result<()> {
    at_work::clear(conn)?;
    set_note(conn, "clean_shutdown", "1")
}

/// Notes that a run begins in the boot `boot_id` and tells whether the last one was in the same. If not, `written`
/// marks are forgotten in the same transaction: what they speak of may be gone. And then it was the machine that has
/// ended the last run, whatever that was working on.
pub(crate) fn note_opened(conn: &mut Connection, boot_id: &str) -> rusqlite::Result<bool> {
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let same_boot = !boot_id.is_empty() && note(&tx, "boot_id")?.as_deref() == Some(boot_id);
    if !same_boot {
        tx.execute_batch(FORGET_WRITTEN)?;
        at_work::clear(&tx)?;
    }
    set_note(&tx, "boot_id", boot_id)?;
    set_note(&tx, "clean_shutdown", "0")?;
    tx.commit()?;
    Ok(same_boot)
}

fn note(conn: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}

fn set_note(conn: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    conn.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", [key, value]).map(drop)
}

const FORGET_WRITTEN: &str = "
    UPDATE chunks SET written = durable, state = 'ready' WHERE written > durable;
    UPDATE jobs SET
        done_bytes = durable_bytes,
        chunks_done = (SELECT count(*) FROM chunks WHERE job_id = jobs.id AND state = 'done')
    WHERE done_bytes > durable_bytes;
";
