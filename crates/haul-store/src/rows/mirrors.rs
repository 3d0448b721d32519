//! Where else a job's file is to be had: its mirrors beyond its own URL, in the order in which they came.

use haul_core::JobId;
use rusqlite::{Connection, params};

use super::key;
use crate::{Mirror, Private};

/// The mirrors of a job.
pub(crate) fn all(conn: &Connection, job: JobId) -> rusqlite::Result<Vec<Mirror>> {
    conn.prepare_cached(SELECT)?
        .query_map([key(job)], |row| {
            Ok(Mirror { url: Private(row.get(0)?), host: row.get(1)?, priority: row.get(2)? })
        })?
        .collect()
}

/// Adds mirrors behind those that are there.
pub(crate) fn append(conn: &Connection, job: JobId, mirrors: &[Mirror]) -> rusqlite::Result<()> {
    if mirrors.is_empty() {
        return Ok(());
    }
    let mut insert = conn.prepare_cached(INSERT)?;
    for mirror in mirrors {
        insert.execute(params![key(job), &*mirror.url, mirror.host, mirror.priority])?;
    }
    Ok(())
}

const SELECT: &str = "SELECT url, host, priority FROM mirrors WHERE job_id = ?1 ORDER BY position";

const INSERT: &str = "
    INSERT INTO mirrors (job_id, position, url, host, priority)
    VALUES (?1, (SELECT ifnull(max(position), 0) + 1 FROM mirrors WHERE job_id = ?1), ?2, ?3, ?4)";
