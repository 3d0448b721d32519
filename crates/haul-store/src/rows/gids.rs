//! What clients of the aria2 dialect have chosen to call their jobs.

use std::collections::BTreeMap;

use haul_core::JobId;
use rusqlite::{Connection, OptionalExtension, params};

use super::key;
use super::list::json_list;
use crate::StoreError;

/// Gives a job a name that no other one has. One that is hidden has lost it.
pub(crate) fn put(conn: &Connection, job: JobId, gid: &str) -> Result<(), StoreError> {
    if find(conn, gid)?.is_some() {
        return Err(StoreError::GidTaken);
    }
    conn.prepare_cached("DELETE FROM gids WHERE gid = ?1")?.execute([gid])?;
    conn.prepare_cached("INSERT INTO gids (job_id, gid) VALUES (?1, ?2)")?.execute(params![key(job), gid])?;
    Ok(())
}

/// The job that is called so.
pub(crate) fn find(conn: &Connection, gid: &str) -> rusqlite::Result<Option<JobId>> {
    conn.prepare_cached(FIND)?.query_row([gid], |row| row.get(0).map(JobId)).optional()
}

/// The jobs whose chosen names begin so, a few at most.
pub(crate) fn beginning(conn: &Connection, prefix: &str) -> rusqlite::Result<Vec<(JobId, String)>> {
    conn.prepare_cached(BEGINNING)?.query_map([prefix], |row| Ok((JobId(row.get(0)?), row.get(1)?)))?.collect()
}

/// What those of these jobs are called that have a chosen name.
pub(crate) fn of(conn: &Connection, jobs: &[JobId]) -> rusqlite::Result<BTreeMap<JobId, String>> {
    let mut select = conn.prepare_cached(OF)?;
    select.query_map([json_list(jobs)], |row| Ok((JobId(row.get(0)?), row.get(1)?)))?.collect()
}

const FIND: &str = "SELECT job_id FROM gids JOIN jobs ON id = job_id WHERE gid = ?1 AND deleted_at_ms IS NULL";

const BEGINNING: &str = "
    SELECT job_id, gid FROM gids JOIN jobs ON id = job_id
    WHERE substr(gid, 1, length(?1)) = ?1 AND deleted_at_ms IS NULL LIMIT 2";

const OF: &str = "SELECT job_id, gid FROM gids WHERE job_id IN (SELECT value FROM json_each(?1))";
