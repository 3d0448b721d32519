//! The digests of files' pieces.

use haul_core::JobId;
use rusqlite::{Connection, OptionalExtension, params};

use super::key;
use crate::Pieces;

pub(crate) fn insert(conn: &Connection, job: JobId, pieces: &Pieces) -> rusqlite::Result<()> {
    let (kind, length, digests) = (&pieces.kind, pieces.length, &pieces.digests);
    conn.prepare_cached(INSERT)?.execute(params![key(job), kind, length, digests]).map(drop)
}

pub(crate) fn get(conn: &Connection, job: JobId) -> rusqlite::Result<Option<Pieces>> {
    conn.prepare_cached("SELECT kind, length, digests FROM pieces WHERE job_id = ?1")?
        .query_row([key(job)], |row| Ok(Pieces { kind: row.get(0)?, length: row.get(1)?, digests: row.get(2)? }))
        .optional()
}

const INSERT: &str = "INSERT INTO pieces (job_id, kind, length, digests) VALUES (?1, ?2, ?3, ?4)";
