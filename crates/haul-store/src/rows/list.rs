//! Many jobs at a time: pages, counts, bulk actions, and what is unfinished at start.
//!
//! A page is one arm per wished state, merged from the newest id down. Each arm is a range scan of one index, so a page
//! costs the same with a hundred jobs and with a hundred thousand.

use haul_core::{Action, Changed, Intent, JobId, Lifecycle};
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::jobs::{act, columns, query};
use super::{Stored, Word, chunks, pieces, tokens, validators};
use crate::{ActError, Cursor, Filter, JobRow, Order, Page, SortBy, SortKey, StateFilter, StoreError, StoredJob};

/// One page, and where the next one starts.
pub(crate) fn page(conn: &Connection, page: &Page) -> rusqlite::Result<(Vec<JobRow>, Option<Cursor>)> {
    let Query { sql, mut params } = ids(&page.filter, page.order, page.after.as_ref());
    params.push(Value::Integer(i64::from(page.limit) + 1));
    let (column, way) = (column(page.order.by), way(page.order));
    // The plus keeps the planner from walking an index once more instead of sorting one page.
    let sql = format!(
        concat!("SELECT ", columns!(), " FROM jobs WHERE id IN (SELECT id FROM ({} LIMIT ?)) ORDER BY +{} {}, id {}"),
        sql, column, way, way
    );
    let mut rows = query(conn, &sql, params_from_iter(params))?;
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    if rows.len() <= limit {
        return Ok((rows, None));
    }
    rows.truncate(limit);
    let next = rows.last().map(|row| Cursor::behind(row, page.order.by));
    Ok((rows, next))
}

/// Carries out an action on every job that it changes, in the order of their ids.
pub(crate) fn act_on_all(
    conn: &Connection,
    action: Action,
    filter: &Filter,
    now_ms: i64,
) -> Result<Vec<JobId>, StoreError> {
    let query = ids(filter, Order { by: SortBy::Id, ascending: true }, None);
    let ids: Vec<u64> = conn
        .prepare_cached(&query.sql)?
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
        durable: chunks.iter().map(|chunk| (chunk.range.start, chunk.durable)).collect(),
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

/// The query for the ids of the jobs that `filter` means and that are behind `after`, in this order.
fn ids(filter: &Filter, order: Order, after: Option<&Cursor>) -> Query {
    let (column, way) = (column(order.by), way(order));
    let mut conditions = vec!["deleted_at_ms IS NULL".to_owned()];
    let mut params = Vec::new();
    let mut add = |condition: &str, value| {
        conditions.push(condition.to_owned());
        params.push(value);
    };
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
    if let Some(Cursor { id, key }) = after {
        let behind = if order.ascending { ">" } else { "<" };
        let id = Value::Integer(i64::try_from(id.0).unwrap_or(i64::MAX));
        let key = match key {
            SortKey::Id => None,
            SortKey::Number(number) => Some(Value::Integer(*number)),
            SortKey::Text(text) => Some(Value::Text(text.clone())),
        };
        conditions.push(match key {
            None => format!("id {behind} ?"),
            Some(_) => format!("({column}, id) {behind} (?, ?)"),
        });
        params.extend(key.into_iter().chain([id]));
    }
    let arm = |more: &str| format!("SELECT id, {column} AS key FROM jobs WHERE {}{more}", conditions.join(" AND "));
    let (mut arms, mut all) = (Vec::new(), Vec::new());
    for (phase, intent) in states(&filter.states) {
        let state = format!(" AND phase = '{phase}' AND intent = '{intent}'");
        all.extend(params.iter().cloned());
        if filter.except.is_empty() {
            arms.push(arm(&state));
        } else {
            arms.push(arm(&(state + " AND id NOT IN (SELECT value FROM json_each(?))")));
            all.push(list(&filter.except));
        }
    }
    if let Some(among) = filter.among.as_ref().filter(|among| !among.is_empty() || arms.is_empty()) {
        arms.push(arm(" AND id IN (SELECT value FROM json_each(?))"));
        all.extend(params);
        all.push(list(among));
    } else if arms.is_empty() {
        arms.push(arm(""));
        all = params;
    }
    let order = if order.by == SortBy::Id { format!("id {way}") } else { format!("key {way}, id {way}") };
    Query { sql: format!("{} ORDER BY {order}", arms.join(" UNION ALL ")), params: all }
}

fn column(by: SortBy) -> &'static str {
    match by {
        SortBy::Id => "id",
        SortBy::Priority => "priority",
        SortBy::Filename => "order_filename",
        SortBy::TotalBytes => "order_total_bytes",
        SortBy::FinishedAt => "order_finished_ms",
    }
}

fn way(order: Order) -> &'static str {
    if order.ascending { "ASC" } else { "DESC" }
}

/// Ids as one parameter.
fn list(ids: &[JobId]) -> Value {
    Value::Text(json_list(ids))
}

/// Ids as `json_each` reads them.
pub(super) fn json_list(ids: &[JobId]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
    format!("[{}]", ids.join(","))
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

/// Queries of URLs are not searched: not all who may list jobs may see them.
const SEARCH: &str = r"
    concat_ws(char(10), substr(url, 1, instr(url || '?', '?') - 1), label, coalesce(name, filename)) LIKE ? ESCAPE '\'";

const COUNT: &str = "
    SELECT phase, intent, count(*) FROM jobs INDEXED BY jobs_by_state
    WHERE deleted_at_ms IS NULL GROUP BY phase, intent";

const UNFINISHED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM jobs NOT INDEXED
    WHERE id > ?1 AND phase IN ('fetching', 'verifying') AND intent = 'run' AND deleted_at_ms IS NULL
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

    fn plan_of(filter: &Filter, by: SortBy, key: SortKey) -> Vec<String> {
        let after = Cursor { id: JobId(7), key };
        let query = ids(filter, Order { by, ascending: false }, Some(&after));
        plan(&format!("{} LIMIT 5", query.sql), params_from_iter(query.params))
    }

    fn plan(sql: &str, params: impl rusqlite::Params) -> Vec<String> {
        let conn = Connection::open_in_memory().unwrap();
        for migration in MIGRATIONS {
            conn.execute_batch(migration.sql).unwrap();
        }
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        statement.query_map(params, |row| row.get("detail")).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn jobs_to_go_on_with_are_read_once_however_many_there_are() {
        assert_eq!(plan(UNFINISHED, params![7, 200]), ["SEARCH jobs USING INTEGER PRIMARY KEY (rowid>?)"]);
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
            let plan = plan_of(&filter, SortBy::Id, SortKey::Id);
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
    fn a_page_in_another_order_is_a_range_scan_too() {
        for (by, key, index) in [
            (SortBy::Priority, SortKey::Number(0), "jobs_by_priority (priority<?"),
            (SortBy::Filename, SortKey::Text("a".to_owned()), "jobs_by_filename (order_filename<?"),
            (SortBy::TotalBytes, SortKey::Number(5), "jobs_by_total_bytes (order_total_bytes<?"),
            (SortBy::FinishedAt, SortKey::Number(5), "jobs_by_finished (order_finished_ms<?"),
        ] {
            let plan = plan_of(&Filter::default(), by, key).join("; ");
            assert!(
                plan.contains(index) || plan.contains(&index.replace(" (", " ((").replace("<?", ",rowid)<(?,?)")),
                "{plan}"
            );
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }

    #[test]
    fn a_state_that_is_wished_twice_is_asked_for_once() {
        let both = StateFilter { phase: Phase::Failed, intent: None };
        let one = StateFilter { intent: Some(Intent::Run), ..both };
        assert_eq!(states(&[both, one]), [("failed", "pause"), ("failed", "run")]);
    }
}
