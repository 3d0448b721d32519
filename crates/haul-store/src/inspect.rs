//! Looking at a database, or copying it, without being the daemon that uses it. Both work while one does.

use std::fs;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::open::{connect, copy_into, failed, is_ours};
use crate::{OpenError, schema};

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The number of its newest migration.
    pub schema: u32,
    /// Jobs, hidden ones among them.
    pub jobs: u64,
    /// The size of the file.
    pub bytes: u64,
    /// What is wrong with it; empty where nothing is.
    pub damage: Vec<String>,
}

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The number of the newest migration.
    pub schema: u32,
    /// Jobs, hidden ones among them.
    pub jobs: u64,
    /// The size of the copy.
    pub bytes: u64,
}

/// Checks a database: its structure, or `thoroughly` also whether every index says what its table does. Blocks.
///
/// # Errors
///
/// [`OpenError`], [`Corrupt`](OpenError::Corrupt) where it is too damaged to be looked at.
pub fn check(path: &Path, thoroughly: bool) -> Result<Checked, OpenError> {
    let conn = look_at(path)?;
    Ok(Checked {
        schema: schema::version(&conn)?,
        damage: schema::find_all_damage(&conn, thoroughly)?,
        jobs: schema::count_jobs(&conn)?,
        bytes: size(path)?,
    })
}

/// Copies a database, as it is at one moment, into a file that does not exist yet and that only its owner can read.
/// Blocks.
///
/// # Errors
///
/// [`OpenError`]; then there is no copy.
pub fn back_up(path: &Path, to: &Path) -> Result<Copied, OpenError> {
    let conn = look_at(path)?;
    copy_into(&conn, to)?;
    let copy = look_at(to)?;
    Ok(Copied { schema: schema::version(&copy)?, jobs: schema::count_jobs(&copy)?, bytes: size(to)? })
}

/// The version of SQLite that is linked.
#[must_use]
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

fn look_at(path: &Path) -> Result<Connection, OpenError> {
    let known = schema::MIGRATIONS.last().map_or(0, |migration| migration.number);
    if !is_ours(path, known)? {
        return Err(OpenError::Missing { path: path.to_owned() });
    }
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let found = schema::version(&conn)?;
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    Ok(conn)
}

fn size(path: &Path) -> Result<u64, OpenError> {
    fs::metadata(path).map(|metadata| metadata.len()).map_err(failed("look at", path))
}
