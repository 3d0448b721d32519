//! All SQL about jobs, chunks, events, the outbox, hosts, tokens and settings, and the conversions between rows and types.
//!
//! The functions run inside a transaction that the caller owns. A `u64` that SQLite cannot hold is an error, in both
//! directions; device and inode numbers, of which all 64 bits may be used, are stored as they are.

pub(crate) mod accept;
pub(crate) mod at_work;
pub(crate) mod chunks;
pub(crate) mod events;
pub(crate) mod gids;
pub(crate) mod hosts;
pub(crate) mod jobs;
pub(crate) mod list;
pub(crate) mod mirrors;
pub(crate) mod outbox;
pub(crate) mod pieces;
pub(crate) mod queue;
pub(crate) mod requests;
pub(crate) mod tokens;
pub(crate) mod validators;

use haul_core::{Intent, JobId, Phase};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, OptionalExtension};

use crate::{OnChange, OnConflict};

/// The key of a job's row. An id that SQLite cannot hold is the id of no job.
pub(crate) fn key(id: JobId) -> i64 {
    i64::try_from(id.0).unwrap_or(-1)
}

pub(crate) fn setting(conn: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT value FROM settings WHERE key = ?1")?.query_row([key], |row| row.get(0)).optional()
}

pub(crate) fn set_setting(conn: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT OR REPLACE INTO settings VALUES (?1, ?2)")?.execute([key, value]).map(drop)
}

/// A value that is stored as one of a few words.
pub(crate) trait Word: Copy + Sized + 'static {
    const ALL: &'static [Self];
    fn word(self) -> &'static str;
}

/// Reads a [`Word`] from its column.
pub(crate) struct Stored<W>(pub(crate) W);

impl<W: Word> FromSql for Stored<W> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        W::ALL.iter().find(|w| w.word() == text).map(|w| Self(*w)).ok_or(FromSqlError::InvalidType)
    }
}

impl Word for Phase {
    const ALL: &'static [Self] = &[Self::Fetching, Self::Verifying, Self::Completed, Self::Failed, Self::Canceled];
    fn word(self) -> &'static str {
        match self {
            Self::Fetching => "fetching",
            Self::Verifying => "verifying",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

impl Word for Intent {
    const ALL: &'static [Self] = &[Self::Run, Self::Pause];
    fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Pause => "pause",
        }
    }
}

impl Word for OnConflict {
    const ALL: &'static [Self] = &[Self::Rename, Self::Overwrite, Self::Fail];
    fn word(self) -> &'static str {
        match self {
            Self::Rename => "rename",
            Self::Overwrite => "overwrite",
            Self::Fail => "fail",
        }
    }
}

impl Word for OnChange {
    const ALL: &'static [Self] = &[Self::Restart, Self::Fail];
    fn word(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Fail => "fail",
        }
    }
}

/// The word for the state of a chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkWord {
    Ready,
    Active,
    Backoff,
    Done,
}

impl Word for ChunkWord {
    const ALL: &'static [Self] = &[Self::Ready, Self::Active, Self::Backoff, Self::Done];
    fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Active => "active",
            Self::Backoff => "backoff",
            Self::Done => "done",
        }
    }
}
