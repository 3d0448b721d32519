//! Which jobs are being worked on, so that one at which the process ends again and again can be told.

use std::collections::BTreeMap;

use haul_core::JobId;
use rusqlite::{Connection, params};

use super::key;

/// Notes that this run, the `runs`th one after the other, works on a job.
pub(crate) fn begin(conn: &Connection, job: JobId, runs: u32) -> rusqlite::Result<()> {
    conn.prepare_cached(BEGIN)?.execute(params![key(job), runs]).map(drop)
}

/// Notes that work on a job has brought something, or has ended: the process has survived it.
pub(crate) fn survived(conn: &Connection, job: JobId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM at_work WHERE job_id = ?1")?.execute([key(job)]).map(drop)
}

/// Clears everybody: the last run has ended in order, or the machine has ended it.
pub(crate) fn clear(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute("DELETE FROM at_work", []).map(drop)
}

/// The jobs that the process has ended at, and how many runs one after the other.
pub(crate) fn all(conn: &Connection) -> rusqlite::Result<BTreeMap<JobId, u32>> {
    conn.prepare("SELECT job_id, runs FROM at_work")?
        .query_map([], |row| Ok((JobId(row.get(0)?), row.get(1)?)))?
        .collect()
}

const BEGIN: &str = "
    INSERT OR REPLACE INTO at_work (job_id, runs) SELECT id, ?2 FROM jobs WHERE id = ?1";
