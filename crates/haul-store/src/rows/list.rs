//! Many jobs at a time: pages, counts, bulk actions, and what is unfinished at start.
//!
//! A page is one arm per wished state, merged from the newest id down. Each arm is a range scan of one index, so a page
//! costs the same with a hundred jobs and with a hundred thousand.

use haul_core::{Action, Changed, Intent, JobId, Lifecycle};
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::jobs::{act, columns, query};
use super::{Stored, Word, chunks, pieces, tokens, validators};
use crate::{ActError, Filter, JobRow, Page, StateFilter, StoreError, StoredJob};

/// One page, and where the next one starts.
pub(crate) fn page(conn: &Connection, page: &Page) -> rusqlite::Result<(Vec<JobRow>, Option<JobId>)> {
    let mut ids = ids(&page.filter, page.before);
    ids.params.push(Value::Integer(i64::from(page.limit) + 1));
    let sql = format!(
        concat!("SELECT ", columns!(), " FROM jobs WHERE id IN ({} ORDER BY id DESC LIMIT ?) ORDER BY id DESC"),
        ids.sql
    );
    let mut rows = query(conn, &sql, params_from_iter(ids.params))?;
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    if rows.len() <= limit {
        return Ok((rows, None));
    }
    rows.truncate(limit);
    let next = rows.last().map(|row| row.id);
    Ok((rows, next))
}

/// Carries out an action on every job that it changes, in the order of their ids.
pub(crate) fn act_on_all(
    conn: &Connection,
    action: Action,
    filter: &Filter,
    now_ms: i64,
) -> Result<Vec<JobId>, StoreError> {
    let query = ids(filter, None);
    let ids: Vec<u64> = conn
        .prepare_cached(&format!("{} ORDER BY id", query.sql))?
        .query_map(params_from_iter(query.params), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut changed = Vec::new();
    for id in ids.into_iter().map(JobId) {
        match act(conn, id, action, now_ms) {
            Ok((Changed::Yes, _)) => changed.push(id),
            Ok((Changed::No, _)) | Err(ActError::Refused(..) | ActError::Unknown) => {}
            Err(ActError::Store(error)) => return Err(error),
        }
    }
    Ok(changed)
}

/// How many jobs there are in each stored state.
pub(crate) fn counts(conn: &Connection) -> rusqlite::Result<Vec<(Lifecycle, u64)>> {
    conn.prepare_cached(COUNT)?
        .query_map([], |row| {
            let (Stored(phase), Stored(intent)) = (row.get(0)?, row.get(1)?);
            Ok((Lifecycle { phase, intent }, row.get(2)?))
        })?
        .collect()
}

/// The next unfinished jobs, from the oldest up.
pub(crate) fn unfinished(conn: &Connection, after: Option<JobId>, limit: u32) -> rusqlite::Result<Vec<StoredJob>> {
    let after = after.map_or(0, |id| id.0);
    let rows = query(conn, UNFINISHED, params![after, limit])?;
    rows.into_iter().map(|row| with_chunks(conn, row)).collect()
}

/// The canceled jobs that are not hidden and whose rows still name a part file, from the oldest up.
pub(crate) fn canceled_with_part(conn: &Connection) -> rusqlite::Result<Vec<JobRow>> {
    query(conn, CANCELED_WITH_PART, [])
}

/// The hidden jobs, from the oldest up.
pub(crate) fn hidden(conn: &Connection) -> rusqlite::Result<Vec<JobRow>> {
    query(conn, HIDDEN, [])
}

/// Adds its chunks to a job.
pub(crate) fn with_chunks(conn: &Connection, row: JobRow) -> rusqlite::Result<StoredJob> {
    let chunks = chunks::all(conn, row.id)?;
    Ok(StoredJob {
        chunks: chunks.iter().map(chunks::reliable).collect(),
        digests: chunks.iter().filter_map(chunks::digest).collect(),
        pieces: pieces::get(conn, row.id)?,
        validators: validators::all(conn, row.id)?,
        row,
    })
}

struct Query {
    sql: String,
    params: Vec<Value>,
}

/// The query for the ids of the jobs that `filter` means and that are older than `before`.
fn ids(filter: &Filter, before: Option<JobId>) -> Query {
    let mut conditions = vec!["deleted_at_ms IS NULL"];
    let mut params = Vec::new();
    let mut add = |condition, value| {
        conditions.push(condition);
        params.push(value);
    };
    if let Some(id) = before {
        add("id < ?", Value::Integer(i64::try_from(id.0).unwrap_or(i64::MAX)));
    }
    if let Some(label) = &filter.label {
        add("label = ?", Value::Text(label.clone()));
    }
    if let Some(host) = &filter.host {
        add("host = ?", Value::Text(host.clone()));
    }
    if let Some(token) = filter.token {
        add("token_id = ?", Value::Integer(tokens::key(token)));
    }
    if let Some(q) = &filter.q {
        add(SEARCH, Value::Text(like(q)));
    }
    let arm = format!("SELECT id FROM jobs WHERE {}", conditions.join(" AND "));
    let states = states(&filter.states);
    if states.is_empty() {
        return Query { sql: arm, params };
    }
    let arms: Vec<String> =
        states.iter().map(|(phase, intent)| format!("{arm} AND phase = '{phase}' AND intent = '{intent}'")).collect();
    Query { sql: arms.join(" UNION ALL "), params: std::iter::repeat_n(params, arms.len()).flatten().collect() }
}

/// The wished states, each once: a job must not appear in two arms.
fn states(wished: &[StateFilter]) -> Vec<(&'static str, &'static str)> {
    let mut states: Vec<_> = wished
        .iter()
        .flat_map(|state| {
            Intent::ALL
                .iter()
                .filter(|intent| state.intent.is_none_or(|wished| wished == **intent))
                .map(|intent| (state.phase.word(), intent.word()))
        })
        .collect();
    states.sort_unstable();
    states.dedup();
    states
}

/// A pattern for LIKE that finds `text` literally.
fn like(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

const SEARCH: &str = r"
    concat_ws(char(10), url, label, coalesce(name, filename)) LIKE ? ESCAPE '\'";

const COUNT: &str = "
    SELECT phase, intent, count(*) FROM jobs INDEXED BY jobs_by_state
    WHERE deleted_at_ms IS NULL GROUP BY phase, intent";

const UNFINISHED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM jobs
    WHERE id > ?1 AND phase IN ('fetching', 'verifying') AND deleted_at_ms IS NULL
    ORDER BY id LIMIT ?2"
);

const CANCELED_WITH_PART: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM jobs WHERE phase = 'canceled' AND part_name IS NOT NULL AND deleted_at_ms IS NULL ORDER BY id"
);

const HIDDEN: &str = concat!("SELECT ", columns!(), " FROM jobs WHERE deleted_at_ms IS NOT NULL ORDER BY id");

#[cfg(test)]
mod tests {
    use haul_core::Phase;

    use super::*;
    use crate::schema::MIGRATIONS;

    fn plan_of(filter: &Filter) -> Vec<String> {
        let conn = Connection::open_in_memory().unwrap();
        for migration in MIGRATIONS {
            conn.execute_batch(migration.sql).unwrap();
        }
        let query = ids(filter, Some(JobId(7)));
        let sql = format!("EXPLAIN QUERY PLAN {} ORDER BY id DESC LIMIT 5", query.sql);
        let mut statement = conn.prepare(&sql).unwrap();
        statement
            .query_map(params_from_iter(query.params), |row| row.get("detail"))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap()
    }

    #[test]
    fn a_page_is_a_range_scan_whatever_the_filter() {
        let state = |phase, intent| StateFilter { phase, intent };
        let filters = [
            Filter::default(),
            Filter { states: vec![state(Phase::Fetching, Some(Intent::Run))], ..Filter::default() },
            Filter { states: vec![state(Phase::Completed, None), state(Phase::Failed, None)], ..Filter::default() },
            Filter { host: Some("https://h:443".to_owned()), ..Filter::default() },
            Filter { label: Some("l".to_owned()), ..Filter::default() },
            Filter { token: Some(crate::TokenId(7)), ..Filter::default() },
        ];
        for filter in filters {
            let plan = plan_of(&filter);
            assert!(plan.iter().any(|step| step.starts_with("SEARCH jobs")), "{plan:?}");
            for step in plan {
                assert!(!step.contains("TEMP B-TREE"), "{step}");
                assert!(!step.starts_with("SCAN"), "{step}");
                if !filter.states.is_empty() && step.starts_with("SEARCH") {
                    assert!(step.contains("(phase=? AND intent=? AND rowid<?)"), "{step}");
                }
            }
        }
    }

    #[test]
    fn a_state_that_is_wished_twice_is_asked_for_once() {
        let both = StateFilter { phase: Phase::Failed, intent: None };
        let one = StateFilter { intent: Some(Intent::Run), ..both };
        assert_eq!(states(&[both, one]), [("failed", "pause"), ("failed", "run")]);
    }
}
