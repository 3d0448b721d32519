//! Jobs that wait in the order in which their turn comes, and jobs that have ended in the order in which they did.
//!
//! Rows do not tell which jobs are at work: whoever asks names them.

use haul_core::JobId;
use rusqlite::{Connection, params};

use super::jobs::{columns, query};
use super::list::json_list;
use super::{events, jobs, tokens};
use crate::{Backlog, JobRow, Slice, TokenId, Waiting};

/// The jobs that wait, the first in turn first.
pub(crate) fn waiting(
    conn: &Connection,
    at_work: &[JobId],
    token: Option<TokenId>,
    slice: Slice,
) -> rusqlite::Result<Vec<JobRow>> {
    query(conn, WAITING, params![json_list(at_work), token.map(tokens::key), slice.limit, slice.skip])
}

/// The places of all jobs that wait.
pub(crate) fn places(conn: &Connection, at_work: &[JobId]) -> rusqlite::Result<Vec<Waiting>> {
    let mut select = conn.prepare_cached(PLACES)?;
    let place =
        |row: &rusqlite::Row<'_>| Ok(Waiting { id: JobId(row.get(0)?), priority: row.get(1)?, place: row.get(2)? });
    select.query_map(params![json_list(at_work), None::<i64>], place)?.collect()
}

/// The jobs that have ended, the last one first.
pub(crate) fn ended(conn: &Connection, token: Option<TokenId>, slice: Slice) -> rusqlite::Result<Vec<JobRow>> {
    query(conn, ENDED, params![token.map(tokens::key), slice.limit, slice.skip])
}

/// How many there are of both.
pub(crate) fn backlog(conn: &Connection, at_work: &[JobId], token: Option<TokenId>) -> rusqlite::Result<Backlog> {
    let params = params![json_list(at_work), token.map(tokens::key)];
    conn.prepare_cached(COUNT)?.query_row(params, |row| Ok(Backlog { waiting: row.get(0)?, ended: row.get(1)? }))
}

/// These jobs, but for those that are hidden.
pub(crate) fn of(conn: &Connection, ids: &[JobId]) -> rusqlite::Result<Vec<JobRow>> {
    query(conn, OF, [json_list(ids)])
}

/// The ids of all jobs but hidden ones.
pub(crate) fn ids(conn: &Connection) -> rusqlite::Result<Vec<JobId>> {
    conn.prepare_cached(IDS)?.query_map([], |row| row.get(0).map(JobId))?.collect()
}

/// Hides all jobs that have ended, and tells which those are. Their files stay.
pub(crate) fn hide_ended(conn: &Connection, now_ms: i64) -> rusqlite::Result<Vec<JobId>> {
    let ids: Vec<JobId> =
        conn.prepare_cached(ENDED_IDS)?.query_map([], |row| row.get(0).map(JobId))?.collect::<rusqlite::Result<_>>()?;
    let mut hide = conn.prepare_cached(jobs::HIDE)?;
    for id in &ids {
        hide.execute(rusqlite::named_params! { ":id": super::key(*id), ":delete_files": false, ":now": now_ms })?;
        events::append(conn, *id, now_ms, &crate::EventKind::Deleted)?;
    }
    Ok(ids)
}

/// What a job is that waits: it is not at work, or its user does not want it to be.
macro_rules! waits {
    () => {
        "deleted_at_ms IS NULL AND phase = 'fetching'
         AND (intent = 'pause' OR id NOT IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR token_id = ?2)"
    };
}

/// The order in which their turn comes, as the index has it.
macro_rules! in_turn {
    () => {
        " ORDER BY priority DESC, ifnull(place, id << 32), id"
    };
}

const WAITING: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM jobs INDEXED BY jobs_by_queue WHERE ",
    waits!(),
    in_turn!(),
    " LIMIT ?3 OFFSET ?4"
);

const PLACES: &str = concat!(
    "SELECT id, priority, ifnull(place, id << 32) FROM jobs INDEXED BY jobs_by_queue WHERE ",
    waits!(),
    in_turn!()
);

const ENDED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM jobs INDEXED BY jobs_by_finished
    WHERE deleted_at_ms IS NULL AND phase IN ('completed', 'failed', 'canceled') AND (?1 IS NULL OR token_id = ?1)
    ORDER BY order_finished_ms DESC, id DESC LIMIT ?2 OFFSET ?3"
);

const COUNT: &str = concat!(
    "SELECT (SELECT count(*) FROM jobs INDEXED BY jobs_by_state WHERE ",
    waits!(),
    "), (SELECT count(*) FROM jobs INDEXED BY jobs_by_state
    WHERE deleted_at_ms IS NULL AND phase IN ('completed', 'failed', 'canceled') AND (?2 IS NULL OR token_id = ?2))"
);

const OF: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM jobs WHERE id IN (SELECT value FROM json_each(?1)) AND deleted_at_ms IS NULL ORDER BY id"
);

const IDS: &str = "SELECT id FROM jobs WHERE deleted_at_ms IS NULL";

const ENDED_IDS: &str = "
    SELECT id FROM jobs INDEXED BY jobs_by_state
    WHERE deleted_at_ms IS NULL AND phase IN ('completed', 'failed', 'canceled')";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::MIGRATIONS;

    #[test]
    fn both_orders_are_those_of_an_index() {
        let conn = Connection::open_in_memory().unwrap();
        for migration in MIGRATIONS {
            conn.execute_batch(migration.sql).unwrap();
        }
        for (sql, index) in [(WAITING, "jobs_by_queue"), (PLACES, "jobs_by_queue"), (ENDED, "jobs_by_finished")] {
            let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nulls = vec![None::<i64>; plan.parameter_count()];
            let steps: Vec<String> = plan
                .query_map(rusqlite::params_from_iter(nulls), |row| row.get("detail"))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            assert!(steps[0].contains(index), "{steps:?}");
            assert!(steps.iter().all(|step| !step.contains("TEMP B-TREE")), "{steps:?}");
        }
    }

    #[test]
    fn a_job_that_nobody_has_put_anywhere_stands_where_the_engine_has_it() {
        let conn = Connection::open_in_memory().unwrap();
        for id in [1_u64, 7, 1 << 30] {
            let place: i64 = conn.query_row("SELECT ?1 << 32", [id], |row| row.get(0)).unwrap();
            assert_eq!(place, haul_core::messages::place_by_id(JobId(id)));
        }
    }
}
