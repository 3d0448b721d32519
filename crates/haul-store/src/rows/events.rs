//! The history of jobs, and its bounds.

use haul_core::{Action, JobId, Phase};
use rusqlite::types::Type;
use rusqlite::{CachedStatement, Connection, Row, params};
use serde_json::{Value, json};

use super::{key, outbox};
use crate::{EventFilter, EventKind, EventPage, JobEvent, JobPatch, JobRow, NewEvent};

/// Events of one job that are kept. A guess: more than a person reads, and some 200 KB.
const OF_ONE_JOB_MAX: i64 = 1000;

/// Events of all jobs that are kept. A guess: the last 20,000 ordinary jobs, and some 20 MB.
const OF_ALL_MAX: i64 = 100_000;

/// How often the latter is looked after, in events: counting all of them takes a millisecond or two.
const COUNT_EVERY: i64 = 1000;

/// Appends what has happened to a job, and forgets the oldest that is one too many.
pub(crate) fn append(conn: &Connection, job: JobId, at_ms: i64, kind: &EventKind) -> rusqlite::Result<()> {
    History::of(conn)?.append(job, at_ms, kind)?;
    if conn.prepare_cached(TRIM_ONE_JOB)?.execute(params![key(job), OF_ONE_JOB_MAX])? > 0 {
        conn.prepare_cached(NOTE_CUT_OF_JOB)?.execute([key(job)])?;
    }
    Ok(())
}

/// The history to write into, with its statement looked up once.
pub(crate) struct History<'conn> {
    conn: &'conn Connection,
    insert: CachedStatement<'conn>,
    has_targets: bool,
}

impl<'conn> History<'conn> {
    pub(crate) fn of(conn: &'conn Connection) -> rusqlite::Result<Self> {
        Ok(Self { conn, insert: conn.prepare_cached(INSERT)?, has_targets: outbox::has_targets(conn)? })
    }

    /// Appends what has happened to a job that has less than too many events, and tells the targets.
    pub(crate) fn append(&mut self, job: JobId, at_ms: i64, kind: &EventKind) -> rusqlite::Result<()> {
        let (word, data) = stored(kind)?;
        self.insert.execute(params![key(job), at_ms, word, data])?;
        let id = self.conn.last_insert_rowid();
        if id % COUNT_EVERY == 0 && self.conn.prepare_cached(TRIM_ALL)?.execute([OF_ALL_MAX])? > 0 {
            self.conn.prepare_cached(NOTE_CUT)?.execute([])?;
            self.conn.prepare_cached(FORGET_CUTS_WITHIN)?.execute([])?;
        }
        if self.has_targets {
            outbox::put(self.conn, id, job, at_ms, &word, data.as_deref())?;
        }
        Ok(())
    }
}

/// The id of the newest event that there has ever been.
pub(crate) fn newest(conn: &Connection) -> rusqlite::Result<u64> {
    conn.prepare_cached(NEWEST)?.query_row([], |row| row.get(0))
}

/// The events behind `after` that a filter means, oldest first, `limit` at most; how far that has read; and how many
/// events behind `after` there are no more.
pub(crate) fn page_of_all(
    conn: &Connection,
    after: u64,
    limit: u32,
    filter: &EventFilter,
) -> rusqlite::Result<EventPage> {
    let newest = newest(conn)?;
    let up_to = i64::try_from(newest).unwrap_or(i64::MAX);
    let token = filter.token.map(super::tokens::key);
    let kinds = (!filter.kinds.is_empty()).then(|| json!(filter.kinds).to_string());
    let from = i64::try_from(after).unwrap_or(i64::MAX);
    let events: Vec<JobEvent> = conn
        .prepare_cached(SELECT_OF_ALL)?
        .query_map(params![from, up_to, filter.job.map(key), filter.label, token, kinds, limit], read)?
        .collect::<rusqlite::Result<_>>()?;
    let is_full = events.len() as u64 >= u64::from(limit);
    let read_to = events.last().filter(|_| is_full).map_or(newest, |event| event.id).max(after);
    // Looked at last: what has gone while the events were read is noted by now.
    let cut: Option<i64> = conn.prepare_cached(CUT)?.query_row(params![from, filter.job.map(key)], |row| row.get(0))?;
    let missed = match cut {
        Some(cut) => {
            let cut = cut.min(i64::try_from(read_to).unwrap_or(i64::MAX));
            let left: i64 = conn.prepare_cached(COUNT_BETWEEN)?.query_row([from, cut], |row| row.get(0))?;
            u64::try_from(cut - from - left).unwrap_or(0)
        }
        None => 0,
    };
    Ok(EventPage { events, read_to, missed })
}

/// Appends events in their order. Jobs that are gone have no history any more.
pub(crate) fn append_all(conn: &Connection, events: &[NewEvent]) -> rusqlite::Result<()> {
    for event in events {
        if conn.prepare_cached("SELECT 1 FROM jobs WHERE id = ?1")?.exists([key(event.job)])? {
            append(conn, event.job, event.at_ms, &event.kind)?;
        }
    }
    Ok(())
}

/// The events of a job behind `after`, oldest first, `limit` at most; and whether there are more.
pub(crate) fn page(conn: &Connection, job: JobId, after: u64, limit: u32) -> rusqlite::Result<(Vec<JobEvent>, bool)> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut events: Vec<JobEvent> = conn
        .prepare_cached(SELECT)?
        .query_map(params![key(job), after, i64::from(limit) + 1], read)?
        .collect::<rusqlite::Result<_>>()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = events.len() > limit;
    events.truncate(limit);
    Ok((events, has_more))
}

/// The latest faults and failures of all jobs but hidden ones, the newest first, `limit` at most.
pub(crate) fn last_errors(conn: &Connection, limit: u32) -> rusqlite::Result<Vec<JobEvent>> {
    conn.prepare_cached(SELECT_ERRORS)?.query_map([limit], read)?.collect()
}

/// Forgets the history of a job that is removed, but for the last word.
pub(crate) fn forget(conn: &Connection, job: JobId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM events WHERE job_id = ?1 AND kind <> 'deleted'")?.execute([key(job)])?;
    conn.prepare_cached("DELETE FROM events_cut WHERE job_id = ?1")?.execute([key(job)]).map(drop)
}

/// What a user's action looks like in the history.
pub(crate) fn of_action(action: Action) -> EventKind {
    match action {
        Action::Pause => EventKind::Paused,
        Action::Resume => EventKind::Resumed,
        Action::Retry => EventKind::Retried,
        Action::Cancel => EventKind::Canceled,
    }
}

/// What a step of the work looks like in the history; none where it only goes on.
pub(crate) fn of_phase(row: &JobRow) -> Option<EventKind> {
    let reason = row.reason.as_ref();
    match row.lifecycle.phase {
        Phase::Fetching => None,
        Phase::Verifying => Some(EventKind::Verifying),
        Phase::Completed => Some(EventKind::Completed {
            path: row.path.clone(),
            total_bytes: row.identity.total_bytes.unwrap_or(row.counts.done_bytes),
            verification: row.verification.clone(),
        }),
        Phase::Failed => Some(EventKind::Failed {
            code: reason.map(|reason| reason.code.clone()),
            detail: reason.map(|reason| reason.message.clone()),
        }),
        Phase::Canceled => Some(EventKind::Canceled),
    }
}

/// What a change of wishes looks like in the history.
pub(crate) fn of_patch(patch: &JobPatch) -> Option<EventKind> {
    let JobPatch {
        expected: _,
        url,
        filename,
        priority,
        bandwidth_limit,
        connections,
        headers,
        label,
        on_change,
        place,
        credentials: _,
    } = patch;
    let fields = [
        ("url", url.is_some()),
        ("filename", filename.is_some()),
        ("priority", priority.is_some()),
        ("bandwidth_limit", bandwidth_limit.is_some()),
        ("connections", connections.is_some()),
        ("headers", headers.is_some()),
        ("label", label.is_some()),
        ("position", place.is_some()),
        ("on_change", on_change.is_some()),
    ];
    let fields: Vec<String> = fields.into_iter().filter(|field| field.1).map(|field| field.0.to_owned()).collect();
    (!fields.is_empty()).then_some(EventKind::Edited { fields })
}

/// An event in its two columns.
fn stored(kind: &EventKind) -> rusqlite::Result<(String, Option<String>)> {
    let value = serde_json::to_value(kind).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
    let word = value["kind"].as_str().unwrap_or_default().to_owned();
    Ok((word, value.get("data").map(Value::to_string)))
}

/// Reads an event from the first five columns: id, job, time, kind, data.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<JobEvent> {
    let (word, data): (String, Option<String>) = (row.get(3)?, row.get(4)?);
    let not_read = |e: serde_json::Error| rusqlite::Error::FromSqlConversionFailure(4, Type::Text, e.into());
    let data: Option<Value> = data.as_deref().map(serde_json::from_str).transpose().map_err(not_read)?;
    let value = match data {
        Some(data) => json!({"kind": word, "data": data}),
        None => json!({"kind": word}),
    };
    Ok(JobEvent {
        id: row.get(0)?,
        job: JobId(row.get(1)?),
        at_ms: row.get(2)?,
        kind: serde_json::from_value(value).map_err(not_read)?,
    })
}

pub(super) const INSERT: &str = "INSERT INTO events (job_id, at_ms, kind, data) VALUES (?1, ?2, ?3, ?4)";

const SELECT: &str = "
    SELECT id, job_id, at_ms, kind, data FROM events WHERE job_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3";

const NEWEST: &str = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)";

const SELECT_OF_ALL: &str = "
    SELECT events.id, events.job_id, events.at_ms, events.kind, events.data
    FROM events LEFT JOIN jobs ON jobs.id = events.job_id
    WHERE events.id > ?1 AND events.id <= ?2
        AND (?3 IS NULL OR events.job_id = ?3)
        AND (?4 IS NULL OR jobs.label = ?4)
        AND (?5 IS NULL OR jobs.token_id = ?5)
        AND (?6 IS NULL OR events.kind IN (SELECT value FROM json_each(?6)))
    ORDER BY events.id LIMIT ?7";

const CUT: &str = "
    SELECT max(up_to) FROM events_cut WHERE up_to > ?1 AND (?2 IS NULL OR job_id = ?2 OR job_id = 0)";

const COUNT_BETWEEN: &str = "SELECT count(*) FROM events WHERE id > ?1 AND id <= ?2";

const NOTE_CUT_OF_JOB: &str = "
    INSERT OR REPLACE INTO events_cut SELECT ?1, min(id) - 1 FROM events WHERE job_id = ?1";

const NOTE_CUT: &str = "INSERT OR REPLACE INTO events_cut SELECT 0, min(id) - 1 FROM events";

const FORGET_CUTS_WITHIN: &str = "
    DELETE FROM events_cut WHERE job_id <> 0 AND up_to <= (SELECT up_to FROM events_cut WHERE job_id = 0)";

const SELECT_ERRORS: &str = "
    SELECT events.id, job_id, at_ms, kind, data FROM events JOIN jobs ON jobs.id = job_id
    WHERE kind IN ('fault', 'failed') AND deleted_at_ms IS NULL ORDER BY events.id DESC LIMIT ?1";

const TRIM_ONE_JOB: &str = "
    DELETE FROM events WHERE job_id = ?1 AND id <= (
        SELECT id FROM events WHERE job_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2
    )";

const TRIM_ALL: &str = "
    DELETE FROM events WHERE id IN (
        SELECT id FROM events ORDER BY id LIMIT max(0, (SELECT count(*) FROM events) - ?1)
    )";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::MIGRATIONS;

    fn database() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        for migration in MIGRATIONS {
            conn.execute_batch(migration.sql).unwrap();
        }
        conn
    }

    fn every_kind() -> Vec<EventKind> {
        let text = |text: &str| text.to_owned();
        let host = || text("https://example.org");
        vec![
            EventKind::Accepted { paused: true },
            EventKind::Paused,
            EventKind::Edited { fields: vec![text("label")] },
            EventKind::Started { filename: None, total_bytes: Some(u64::MAX), accepts_ranges: Some(true) },
            EventKind::Waiting {
                waiting_for: text("retry"),
                code: Some(text("connect")),
                detail: Some(text("refused")),
                retry_in_ms: None,
            },
            EventKind::Fault {
                host: host(),
                code: text("reset"),
                detail: text("the connection broke"),
                chunk_start: 1,
                retries: 2,
                wait_ms: 3,
                count: 4,
            },
            EventKind::MirrorsAdded { hosts: vec![host()] },
        ]
    }

    #[test]
    fn what_is_stored_comes_back_in_pages_oldest_first() {
        let conn = database();
        let job = JobId(7);
        for (kind, at_ms) in every_kind().iter().zip(100..) {
            append(&conn, job, at_ms, kind).unwrap();
            append(&conn, JobId(8), at_ms, &EventKind::Active).unwrap();
        }
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let (events, has_more) = page(&conn, job, after, 3).unwrap();
            after = events.last().unwrap().id;
            found.extend(events);
            if !has_more {
                break;
            }
        }
        assert_eq!(found.iter().map(|event| event.kind.clone()).collect::<Vec<_>>(), every_kind());
        assert_eq!(found.iter().map(|event| event.at_ms).collect::<Vec<_>>(), (100..107).collect::<Vec<_>>());
        assert!(found.windows(2).all(|two| two[0].id < two[1].id));
        assert_eq!(page(&conn, job, u64::MAX, 3).unwrap(), (Vec::new(), false));
    }

    #[test]
    fn one_job_keeps_its_newest_events_and_takes_none_from_others() {
        let conn = database();
        append(&conn, JobId(1), 0, &EventKind::Accepted { paused: false }).unwrap();
        for n in 0..OF_ONE_JOB_MAX + 50 {
            append(&conn, JobId(2), n, &EventKind::Active).unwrap();
        }
        let (events, has_more) = page(&conn, JobId(2), 0, u32::MAX).unwrap();
        assert_eq!((events.len() as i64, has_more), (OF_ONE_JOB_MAX, false));
        assert_eq!(events[0].at_ms, 50, "the oldest are gone");
        assert_eq!(page(&conn, JobId(1), 0, 10).unwrap().0.len(), 1);
    }

    #[test]
    fn all_jobs_together_are_bounded_and_ids_are_never_used_again() {
        let conn = database();
        let many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 101500)
            INSERT INTO events (job_id, at_ms, kind) SELECT n, n, 'active' FROM n";
        conn.execute_batch(many).unwrap();
        for n in 0..COUNT_EVERY {
            append(&conn, JobId(200_000 + n.cast_unsigned()), n, &EventKind::Active).unwrap();
        }
        let (count, oldest, newest): (i64, i64, i64) = conn
            .query_row("SELECT count(*), min(id), max(id) FROM events", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .unwrap();
        assert!((OF_ALL_MAX..OF_ALL_MAX + COUNT_EVERY).contains(&count), "{count}");
        assert_eq!(oldest, newest - count + 1, "the oldest are gone");
        let missed = page_of_all(&conn, 7, 1, &EventFilter::default()).unwrap().missed;
        assert_eq!(missed + 7, oldest.cast_unsigned() - 1);
        conn.execute_batch("DELETE FROM events").unwrap();
        append(&conn, JobId(1), 0, &EventKind::Active).unwrap();
        assert_eq!(page(&conn, JobId(1), 0, 1).unwrap().0[0].id, newest.cast_unsigned() + 1);
    }

    fn ids(page: &EventPage) -> Vec<u64> {
        page.events.iter().map(|event| event.id).collect()
    }

    #[test]
    fn a_page_of_all_jobs_holds_what_its_filter_means_and_tells_how_far_it_has_read() {
        let conn = database();
        for n in 1..=6 {
            let kind = if n % 2 == 0 { EventKind::Active } else { EventKind::Queued };
            append(&conn, JobId(n % 3), 0, &kind).unwrap();
        }
        let all = EventFilter::default();
        let first = page_of_all(&conn, 0, 4, &all).unwrap();
        assert_eq!((ids(&first), first.read_to, first.missed), (vec![1, 2, 3, 4], 4, 0));
        let second = page_of_all(&conn, 4, 4, &all).unwrap();
        assert_eq!((ids(&second), second.read_to), (vec![5, 6], 6));
        let of_job = EventFilter { job: Some(JobId(1)), ..EventFilter::default() };
        let page = page_of_all(&conn, 0, 4, &of_job).unwrap();
        assert_eq!((ids(&page), page.read_to), (vec![1, 4], 6), "what others did is read, too");
        let of_kind = EventFilter { kinds: vec!["active".to_owned()], ..of_job };
        assert_eq!(ids(&page_of_all(&conn, 0, 4, &of_kind).unwrap()), [4]);
        let labelled = EventFilter { label: Some("a".to_owned()), ..EventFilter::default() };
        assert!(page_of_all(&conn, 0, 4, &labelled).unwrap().events.is_empty(), "no such job is there");
        let ahead = page_of_all(&conn, 99, 4, &all).unwrap();
        assert_eq!((ids(&ahead), ahead.read_to, ahead.missed), (vec![], 99, 0));
    }

    #[test]
    fn whoever_is_behind_what_was_cut_off_is_told_how_much_that_is() {
        let conn = database();
        for n in 0..OF_ONE_JOB_MAX + 50 {
            append(&conn, JobId(2), n, &EventKind::Active).unwrap();
        }
        append(&conn, JobId(3), 0, &EventKind::Active).unwrap();
        let missed = |after, job: Option<u64>| {
            let filter = EventFilter { job: job.map(JobId), ..EventFilter::default() };
            page_of_all(&conn, after, 1, &filter).unwrap().missed
        };
        assert_eq!([missed(0, None), missed(20, None), missed(49, None), missed(50, None)], [50, 30, 1, 0]);
        assert_eq!([missed(0, Some(2)), missed(0, Some(3))], [50, 0]);
        forget(&conn, JobId(2)).unwrap();
        assert_eq!(missed(0, None), 0, "the history of a job that is gone is not missed");
    }

    #[test]
    fn a_removed_job_leaves_nothing_but_that_it_was_deleted() {
        let conn = database();
        for kind in every_kind().into_iter().chain([EventKind::Deleted]) {
            append(&conn, JobId(3), 1, &kind).unwrap();
        }
        forget(&conn, JobId(3)).unwrap();
        let (events, _) = page(&conn, JobId(3), 0, 100).unwrap();
        assert_eq!(events.iter().map(|event| event.kind.clone()).collect::<Vec<_>>(), [EventKind::Deleted]);
    }

    #[test]
    fn an_edit_names_its_fields_and_none_of_their_values() {
        let patch = JobPatch {
            url: Some(("https://u:canary@h/?canary".into(), "https://h:443".to_owned())),
            headers: Some(Some("canary".into())),
            ..JobPatch::default()
        };
        let kind = of_patch(&patch).unwrap();
        assert_eq!(kind, EventKind::Edited { fields: vec!["url".to_owned(), "headers".to_owned()] });
        assert_eq!(of_patch(&JobPatch::default()), None);
    }
}
