//! What targets have not been told of yet, and who they are.

use haul_core::JobId;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;
use tracing::warn;

use super::{events, key};
use crate::{Target, Untold, UntoldId};

/// Events that may wait for one target. A guess: a day of a busy machine, and some 3 MB.
const OF_ONE_TARGET_MAX: i64 = 10_000;

/// How often that is looked after, in events: it takes a millisecond for each target that is far behind.
const TRIM_EVERY: i64 = 256;

/// Whether anybody is told of events.
pub(crate) fn has_targets(conn: &Connection) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM targets")?.exists([])
}

/// Puts an event into the outbox of each target that wants it.
pub(crate) fn put(
    conn: &Connection,
    event: i64,
    job: JobId,
    at_ms: i64,
    kind: &str,
    data: Option<&str>,
) -> rusqlite::Result<()> {
    let put = conn.prepare_cached(PUT)?.execute(params![event, key(job), at_ms, kind, data])?;
    let last = conn.last_insert_rowid();
    let put = i64::try_from(put).unwrap_or(i64::MAX);
    if put > 0 && last % TRIM_EVERY < put {
        trim(conn)?;
    }
    Ok(())
}

fn trim(conn: &Connection) -> rusqlite::Result<()> {
    let names: Vec<String> =
        conn.prepare_cached("SELECT name FROM targets")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for name in names {
        let dropped = conn.prepare_cached(TRIM)?.execute(params![name, OF_ONE_TARGET_MAX])?;
        if dropped > 0 {
            warn!(name, dropped, "too many events wait for a webhook or a hook; the oldest are dropped");
        }
    }
    Ok(())
}

/// Makes these the targets; answers how many events others had not been told of.
pub(crate) fn set_targets(conn: &Connection, targets: &[Target]) -> rusqlite::Result<u64> {
    let names = json!(targets.iter().map(|target| &target.name).collect::<Vec<_>>()).to_string();
    let dropped = conn.prepare_cached(DROP_OTHERS)?.execute([&names])?;
    conn.prepare_cached("DELETE FROM targets WHERE name NOT IN (SELECT value FROM json_each(?1))")?
        .execute([&names])?;
    for target in targets {
        let (kinds, labels) = (json!(target.kinds).to_string(), json!(target.labels).to_string());
        conn.prepare_cached(PUT_TARGET)?.execute([&target.name, &kinds, &labels])?;
    }
    Ok(dropped as u64)
}

/// The oldest event that a target has not been told of.
pub(crate) fn first(conn: &Connection, target: &str) -> rusqlite::Result<Option<Untold>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Untold { event: events::read(row)?, id: UntoldId(row.get(5)?), attempts: row.get(6)? })
    };
    conn.prepare_cached(FIRST)?.query_row([target], read).optional()
}

/// One that was dropped meanwhile is as good as removed.
pub(crate) fn remove(conn: &Connection, id: UntoldId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id.0]).map(drop)
}

pub(crate) fn note_attempt(conn: &Connection, id: UntoldId) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE outbox SET attempts = attempts + 1 WHERE id = ?1")?.execute([id.0]).map(drop)
}

const PUT: &str = "
    INSERT INTO outbox (target, event_id, job_id, at_ms, kind, data)
    SELECT name, ?1, ?2, ?3, ?4, ?5 FROM targets
    WHERE EXISTS (SELECT 1 FROM json_each(targets.kinds) WHERE value = ?4)
        AND (json_array_length(targets.labels) = 0 OR EXISTS (
            SELECT 1 FROM json_each(targets.labels) WHERE value = (SELECT label FROM jobs WHERE id = ?2)
        ))
    ORDER BY name";

const TRIM: &str = "
    DELETE FROM outbox WHERE target = ?1 AND id <= (
        SELECT id FROM outbox WHERE target = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2
    )";

const DROP_OTHERS: &str = "DELETE FROM outbox WHERE target NOT IN (SELECT value FROM json_each(?1))";

const PUT_TARGET: &str = "
    INSERT INTO targets (name, kinds, labels) VALUES (?1, ?2, ?3)
    ON CONFLICT (name) DO UPDATE SET kinds = excluded.kinds, labels = excluded.labels";

const FIRST: &str = "
    SELECT event_id, job_id, at_ms, kind, data, id, attempts FROM outbox WHERE target = ?1 ORDER BY id LIMIT 1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventKind;
    use crate::schema::MIGRATIONS;

    fn database(targets: &[Target]) -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        for migration in MIGRATIONS {
            conn.execute_batch(migration.sql).unwrap();
        }
        set_targets(&conn, targets).unwrap();
        conn
    }

    fn target(name: &str, kinds: &[&str]) -> Target {
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        Target { name: name.to_owned(), kinds, labels: Vec::new() }
    }

    fn happens(conn: &Connection, job: u64, kind: &EventKind) {
        events::append(conn, JobId(job), 5, kind).unwrap();
    }

    #[test]
    fn a_target_is_told_in_order_of_what_it_wants_until_it_was_told() {
        let conn = database(&[target("a", &["active", "paused"]), target("b", &["paused"])]);
        for kind in [EventKind::Queued, EventKind::Active, EventKind::Paused] {
            happens(&conn, 7, &kind);
        }
        let untold = first(&conn, "a").unwrap().unwrap();
        assert_eq!((untold.event.id, untold.event.job, untold.event.at_ms), (2, JobId(7), 5));
        assert_eq!((untold.event.kind, untold.attempts), (EventKind::Active, 0));
        note_attempt(&conn, untold.id).unwrap();
        assert_eq!(first(&conn, "a").unwrap().unwrap().attempts, 1);
        remove(&conn, untold.id).unwrap();
        assert_eq!(first(&conn, "a").unwrap().unwrap().event.id, 3);
        assert_eq!(first(&conn, "b").unwrap().unwrap().event.id, 3);
        assert_eq!(first(&conn, "c").unwrap(), None);
    }

    #[test]
    fn what_a_target_has_not_been_told_of_goes_with_it_and_stays_otherwise() {
        let conn = database(&[target("a", &["paused"]), target("b", &["paused"])]);
        happens(&conn, 7, &EventKind::Paused);
        assert_eq!(set_targets(&conn, &[target("a", &["active"])]).unwrap(), 1);
        assert!(first(&conn, "a").unwrap().is_some() && first(&conn, "b").unwrap().is_none());
        happens(&conn, 7, &EventKind::Paused);
        let count: i64 = conn.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 1, "it wants other kinds now");
    }

    #[test]
    fn a_target_with_labels_hears_of_no_other_job() {
        let labels = vec!["iso".to_owned()];
        let conn = database(&[Target { labels, ..target("a", &["paused"]) }]);
        happens(&conn, 7, &EventKind::Paused);
        assert_eq!(first(&conn, "a").unwrap(), None);
    }

    #[test]
    fn the_outbox_of_a_target_is_bounded_and_takes_none_from_others() {
        let conn = database(&[target("a", &["active"]), target("b", &["paused"])]);
        happens(&conn, 1, &EventKind::Paused);
        for job in 0..OF_ONE_TARGET_MAX + 2 * TRIM_EVERY {
            happens(&conn, job.cast_unsigned(), &EventKind::Active);
        }
        let count: i64 =
            conn.query_row("SELECT count(*) FROM outbox WHERE target = 'a'", [], |row| row.get(0)).unwrap();
        assert!((OF_ONE_TARGET_MAX..OF_ONE_TARGET_MAX + TRIM_EVERY).contains(&count), "{count}");
        assert!(first(&conn, "b").unwrap().is_some());
    }
}
