//! Jobs that are accepted, unless they are there already.

use haul_core::{Intent, JobId};
use rusqlite::{CachedStatement, Connection, Statement, params};

use super::jobs::{columns, query};
use super::{Word, events, gids, mirrors, pieces, tokens};
use crate::{EventKind, Inserted, JobRow, Maker, NewJob, OnDuplicate, Sameness, StoreError};

/// Inserts jobs, but those that are the same as one that is there; `gone` are complete ones whose files are not there any
/// more.
pub(crate) fn insert_all_unless_same(
    conn: &Connection,
    new: &[(NewJob, OnDuplicate)],
    gone: &[JobId],
    now_ms: i64,
) -> Result<Vec<Inserted>, StoreError> {
    let mut accepting = Accepting::begin(conn, now_ms)?;
    new.iter().map(|(job, on_duplicate)| accepting.insert_unless_same(job, on_duplicate, gone)).collect()
}

/// Accepts jobs: statements are looked up once for all of them.
pub(crate) struct Accepting<'conn> {
    conn: &'conn Connection,
    insert: CachedStatement<'conn>,
    same: Same<'conn>,
    history: events::History<'conn>,
    now_ms: i64,
}

impl<'conn> Accepting<'conn> {
    pub(crate) fn begin(conn: &'conn Connection, now_ms: i64) -> rusqlite::Result<Self> {
        let insert = conn.prepare_cached(INSERT)?;
        Ok(Self { conn, insert, same: Same::new(conn)?, history: events::History::of(conn)?, now_ms })
    }

    /// Inserts a job, unless it is the same as one that is there; `gone` are complete ones whose files are not there any
    /// more.
    pub(crate) fn insert_unless_same(
        &mut self,
        job: &NewJob,
        on_duplicate: &OnDuplicate,
        gone: &[JobId],
    ) -> Result<Inserted, StoreError> {
        let same = match (on_duplicate, job.wish.sameness) {
            (OnDuplicate::Copy, _) | (_, None) => None,
            (OnDuplicate::Attach | OnDuplicate::Reject, Some(sameness)) => {
                self.same.rows(sameness, job.maker)?.into_iter().find(|row| !gone.contains(&row.id))
            }
        };
        match (on_duplicate, same) {
            (_, None) => self.insert_within_quota(job).map(Inserted::New),
            (OnDuplicate::Reject, Some(row)) => Ok(Inserted::Rejected(row.id)),
            (OnDuplicate::Attach | OnDuplicate::Copy, Some(row)) => Ok(Inserted::There(Box::new(row))),
        }
    }

    /// Inserts a job unless its token has as many as it may, or another job is called the same.
    pub(crate) fn insert_within_quota(&mut self, job: &NewJob) -> Result<JobId, StoreError> {
        if let Some(maker) = job.maker {
            tokens::check_quota(self.conn, maker.token)?;
        }
        let id = self.insert(job)?;
        if let Some(gid) = &job.gid {
            gids::put(self.conn, id, gid)?;
        }
        Ok(id)
    }

    fn insert(&mut self, job: &NewJob) -> rusqlite::Result<JobId> {
        insert(&mut self.insert, job, self.now_ms)?;
        let id = u64::try_from(self.conn.last_insert_rowid()).map(JobId);
        let id = id.map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
        mirrors::append(self.conn, id, &job.wish.mirrors)?;
        if let Some(pieces) = &job.pieces {
            pieces::insert(self.conn, id, pieces)?;
        }
        self.history.append(id, self.now_ms, &EventKind::Accepted { paused: job.intent == Intent::Pause })?;
        Ok(id)
    }
}

/// Inserts the row of a job alone.
fn insert(statement: &mut Statement<'_>, job: &NewJob, now_ms: i64) -> rusqlite::Result<()> {
    let wish = &job.wish;
    // By number: to look 28 names up takes a tenth of the time.
    let values = params![
        &*wish.url,
        wish.host,
        wish.dir,
        wish.filename,
        wish.expected_size,
        wish.checksum,
        wish.checksum_url.as_deref(),
        wish.on_conflict.word(),
        wish.on_change.word(),
        wish.headers.as_deref(),
        wish.referrer.as_deref(),
        wish.user_agent,
        wish.connections,
        wish.bandwidth_limit,
        wish.priority,
        wish.label,
        wish.options,
        wish.secrets.as_deref(),
        wish.start_at_ms,
        wish.place,
        wish.sameness,
        wish.once,
        wish.credentials.as_deref(),
        job.maker.map(|maker| tokens::key(maker.token)),
        job.maker.is_some_and(|maker| maker.public_only),
        job.intent.word(),
        job.part_token,
        now_ms,
    ];
    statement.execute(values).map(drop)
}

/// Finds jobs that are the same as a wish.
pub(crate) struct Same<'conn> {
    conn: &'conn Connection,
    any: CachedStatement<'conn>,
}

impl<'conn> Same<'conn> {
    pub(crate) fn new(conn: &'conn Connection) -> rusqlite::Result<Self> {
        Ok(Self { conn, any: conn.prepare_cached(ANY_SAME)? })
    }

    /// Jobs that are the same as a wish of this maker and have not ended without a file, the newest first. To a confined
    /// maker only its own ones are; to all others none of a confined one is, who may have changed its URL since.
    pub(crate) fn rows(&mut self, sameness: Sameness, maker: Option<Maker>) -> rusqlite::Result<Vec<JobRow>> {
        // Of a large batch hardly any is there, and this takes a fifth of the time.
        if !self.any.exists([sameness])? {
            return Ok(Vec::new());
        }
        let confined = maker.filter(|maker| maker.public_only).map(|maker| tokens::key(maker.token));
        query(self.conn, SAME, params![sameness, confined])
    }
}

const INSERT: &str = "
    INSERT INTO jobs (
        url, host, dir, filename, expected_size, checksum, checksum_url, on_conflict, on_change, headers,
        referrer, user_agent, connections, bandwidth_limit, priority, label, options, secrets, start_at_ms,
        place, sameness, once, credentials, token_id, public_only, phase, intent, part_token, created_at_ms,
        updated_at_ms
    ) VALUES (
        ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22,
        ?23, ?24, ?25, 'fetching', ?26, ?27, ?28, ?28
    )";

const ANY_SAME: &str = "
    SELECT 1 FROM jobs INDEXED BY jobs_by_sameness
    WHERE sameness = ?1 AND deleted_at_ms IS NULL AND phase NOT IN ('failed', 'canceled')";

const SAME: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM jobs INDEXED BY jobs_by_sameness
    WHERE sameness = ?1 AND iif(public_only, token_id, NULL) IS ?2 AND deleted_at_ms IS NULL AND phase NOT IN ('failed', 'canceled')
    ORDER BY id DESC LIMIT 16"
);

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::rows::{chunks, jobs};
    use crate::schema::{self, MIGRATIONS};

    fn database() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        schema::set_up(&conn).unwrap();
        for migration in MIGRATIONS {
            conn.execute_batch(migration.sql).unwrap();
        }
        conn
    }

    #[test]
    fn the_same_is_found_by_an_index() {
        let conn = database();
        let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {SAME}")).unwrap();
        let steps: Vec<String> =
            plan.query_map(params![[0_u8; 16], 7], |row| row.get("detail")).unwrap().map(Result::unwrap).collect();
        assert!(steps[0].contains("USING INDEX jobs_by_sameness (sameness=?)"), "{steps:?}");
        assert!(steps.iter().all(|step| !step.contains("TEMP B-TREE")), "{steps:?}");
    }

    #[test]
    fn a_row_is_written_without_a_tree_of_its_own() {
        let conn = database();
        for sql in [INSERT, events::INSERT, chunks::PUT, jobs::UPDATE] {
            let mut plan = conn.prepare(&format!("EXPLAIN {sql}")).unwrap();
            let codes: Vec<String> = plan.raw_query().mapped(|row| row.get("opcode")).map(Result::unwrap).collect();
            assert!(codes.len() > 10 && !codes.iter().any(|code| code == "OpenEphemeral"), "{sql}: {codes:?}");
        }
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        let conn = database();
        conn.execute_batch(
            "INSERT INTO jobs (id, url, host, dir, on_conflict, priority, phase, intent, part_token, created_at_ms, updated_at_ms)
             VALUES (1, '', '', '', 'rename', 0, 'fetching', 'run', '01234567', 0, 0);
             INSERT INTO chunks (job_id, start, end_, durable, written, state, retries, strikes)
             VALUES (1, 0, 5, 0, 0, 'ready', 0, 0)",
        )
        .unwrap();
        for change in ["jobs SET phase = 'x'", "jobs SET on_conflict = 'x'", "chunks SET state = 'x'"] {
            let refused = conn.execute_batch(&format!("UPDATE {change}")).unwrap_err();
            assert!(refused.to_string().contains("CHECK constraint failed"), "{change}: {refused}");
        }
    }

    #[test]
    fn a_query_is_parsed_once_whatever_is_bound() {
        let conn = database();
        for n in 0_u8..5 {
            assert!(query(&conn, SAME, params![[n; 16], None::<i64>]).unwrap().is_empty());
        }
        assert_eq!(conn.prepare_cached(SAME).unwrap().get_status(StatementStatus::RePrepare), 0);
    }
}
