//! Where else a job's file is to be had: its mirrors beyond its own URL, in the order in which they came.

use std::collections::BTreeMap;

use haul_core::JobId;
use rusqlite::{Connection, params};

use super::key;
use super::list::json_list;
use crate::{JobRow, Mirror, Private};

/// Fills in the mirrors of all these jobs, which have none yet.
pub(crate) fn fill(conn: &Connection, rows: &mut [JobRow]) -> rusqlite::Result<()> {
    let ids: Vec<JobId> = rows.iter().map(|row| row.id).collect();
    let mut all: BTreeMap<JobId, Vec<Mirror>> = BTreeMap::new();
    let mut select = conn.prepare_cached(SELECT)?;
    let mut found = select.query([json_list(&ids)])?;
    while let Some(row) = found.next()? {
        let mirror = Mirror { url: Private(row.get(1)?), host: row.get(2)?, priority: row.get(3)? };
        all.entry(JobId(row.get(0)?)).or_default().push(mirror);
    }
    for row in rows {
        row.wish.mirrors = all.remove(&row.id).unwrap_or_default();
    }
    Ok(())
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

const SELECT: &str = "
    SELECT job_id, url, host, priority FROM mirrors WHERE job_id IN (SELECT value FROM json_each(?1)) ORDER BY job_id, position";

const INSERT: &str = "
    INSERT INTO mirrors (job_id, position, url, host, priority)
    VALUES (?1, (SELECT ifnull(max(position), 0) + 1 FROM mirrors WHERE job_id = ?1), ?2, ?3, ?4)";
