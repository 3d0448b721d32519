//! What each server calls the version that a job has.

use haul_core::{JobId, MirrorIndex};
use rusqlite::{Connection, named_params, params};

use super::key;
use crate::Validators;

/// The validators of a job, those of its own URL first.
pub(crate) fn all(conn: &Connection, job: JobId) -> rusqlite::Result<Vec<Validators>> {
    conn.prepare_cached(SELECT)?
        .query_map([key(job)], |row| {
            Ok(Validators {
                mirror: MirrorIndex(row.get(0)?),
                host: row.get(1)?,
                etag: row.get(2)?,
                last_modified: row.get(3)?,
                date_is_strong: row.get(4)?,
                varies: row.get(5)?,
            })
        })?
        .collect()
}

/// Stores validators in place of those of the same mirror and host. A job that is gone has none.
pub(crate) fn put(conn: &Connection, job: JobId, validators: &Validators) -> rusqlite::Result<()> {
    conn.prepare_cached(PUT)?
        .execute(named_params! {
            ":job": key(job),
            ":position": validators.mirror.0,
            ":host": validators.host,
            ":etag": validators.etag,
            ":last_modified": validators.last_modified,
            ":date_is_strong": validators.date_is_strong,
            ":varies": validators.varies,
        })
        .map(drop)
}

/// Forgets the validators of a job: it has another version now, or none.
pub(crate) fn clear(conn: &Connection, job: JobId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM validators WHERE job_id = ?1")?.execute([key(job)]).map(drop)
}

/// Forgets the validators of one mirror of a job: it is at another URL now.
pub(crate) fn clear_mirror(conn: &Connection, job: JobId, mirror: MirrorIndex) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM validators WHERE job_id = ?1 AND position = ?2")?
        .execute(params![key(job), mirror.0])
        .map(drop)
}

const SELECT: &str = "
    SELECT position, host, etag, last_modified, date_is_strong, varies FROM validators
    WHERE job_id = ?1 ORDER BY position, host";

const PUT: &str = "
    INSERT OR REPLACE INTO validators (job_id, position, host, etag, last_modified, date_is_strong, varies)
    SELECT :job, :position, :host, :etag, :last_modified, :date_is_strong, :varies
    WHERE EXISTS (SELECT 1 FROM jobs WHERE id = :job)";
