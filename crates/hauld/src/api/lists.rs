//! Lists of jobs, and actions on all that a filter means.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use haul_api::{
    BulkResult, Job, JobFilter, JobList, JobQuery, JobState, Problem, ProblemCode, SortBy, body, paths, query,
};
use haul_core::{Action, JobId};
use haul_store::{Cursor, Filter, Order, Page};
use serde_json::{Value, json};

use super::Api;
use super::document;
use super::extract;
use super::jobs::{driver_error, shown};
use super::problem::Refused;
use crate::access::Caller;
use crate::convert;
use crate::submit;

/// Lists jobs.
#[utoipa::path(get, path = paths::JOBS, tag = "jobs", params(
    ("state" = Option<Vec<JobState>>, Query, style = Form, explode = false, description = "Only jobs in one of these states"),
    ("label" = Option<String>, Query, description = "Only jobs with this label"),
    ("host" = Option<String>, Query, description = "Only jobs from this server: scheme, name and port, or a name, which means `https`"),
    ("q" = Option<String>, Query, description = "Only jobs with this text in URL (but for its query), label or name, whatever the case of its ASCII letters"),
    ("sort" = Option<SortBy>, Query, description = "What they are ordered by; `id` unless it is said"),
    ("order" = Option<Direction>, Query, description = "`desc`, unless it is said, has the largest first"),
    ("fields" = Option<Vec<String>>, Query, style = Form, explode = false, description = "Only these fields of each job"),
    ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before, in the same order"),
    ("limit" = Option<u32>, Query, description = "Jobs on a page, 100 unless it is said", minimum = 1, maximum = 1000)),
    responses((status = 200, description = "A page", body = JobList), document::Page))]
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Response, Refused> {
    let query = JobQuery::parse(uri.query().unwrap_or_default())?;
    let order = Order { by: sort_by(query.sort), ascending: query.ascending };
    let after = query.cursor.as_deref().map(|text| parse_cursor(text, order)).transpose()?;
    let filter = filter(&api, &query.states, query.label, query.host, query.q).await?;
    let filter = Filter { token: Caller::current().only_of(), ..filter };
    let page = Page { after, order, limit: query.limit.unwrap_or(query::LIMIT_DEFAULT), filter };
    let (rows, next) = api.store.jobs(page).await?;
    let mut jobs = shown(&api, &rows).await?;
    // What has changed its state since the filter was made.
    jobs.retain(|job| query.states.is_empty() || query.states.contains(&job.state));
    let page = JobList { jobs, next_cursor: next.map(|cursor| cursor.to_string()) };
    if query.fields.is_empty() {
        return Ok(Json(page).into_response());
    }
    let jobs: Vec<Value> = page.jobs.iter().map(|job| selected(job, &query.fields)).collect();
    Ok(Json(json!({"jobs": jobs, "next_cursor": page.next_cursor})).into_response())
}

/// The order of a list.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "stands for two words in the document")]
pub(super) enum Direction {
    Asc,
    Desc,
}

/// Of a job only these fields.
fn selected(job: &Job, fields: &[String]) -> Value {
    let Ok(Value::Object(mut all)) = serde_json::to_value(job) else { return Value::Null };
    all.retain(|name, _| fields.contains(name));
    Value::Object(all)
}

fn sort_by(sort: SortBy) -> haul_store::SortBy {
    match sort {
        SortBy::Id => haul_store::SortBy::Id,
        SortBy::Priority => haul_store::SortBy::Priority,
        SortBy::Filename => haul_store::SortBy::Filename,
        SortBy::TotalBytes => haul_store::SortBy::TotalBytes,
        SortBy::FinishedAt => haul_store::SortBy::FinishedAt,
    }
}

fn parse_cursor(text: &str, order: Order) -> Result<Cursor, Refused> {
    text.parse().ok().filter(|cursor: &Cursor| cursor.fits(order)).ok_or_else(|| {
        let detail = "`cursor` must be the `next_cursor` of the page before, with the same `sort`";
        Refused::field(ProblemCode::InvalidValue, "cursor", detail)
    })
}

/// Which rows are meant. Rows know intent and phase; what a job does at the moment only the driver knows.
async fn filter(
    api: &Api,
    states: &[JobState],
    label: Option<String>,
    host: Option<String>,
    q: Option<String>,
) -> Result<Filter, Refused> {
    let host = host.as_deref().map(host_name).transpose()?;
    let mut filter = Filter { label, host, q, ..Filter::default() };
    if !states.is_empty() {
        let busy = api.driver.busy().await.map_err(|e| driver_error(None, e))?;
        in_states(&mut filter, states, &busy);
    }
    Ok(filter)
}

/// Narrows a filter down to jobs in these states, where `busy` do something that their rows do not tell.
fn in_states(filter: &mut Filter, states: &[JobState], busy: &HashMap<JobId, haul_core::JobState>) {
    let is_wanted = |state: haul_core::JobState| states.contains(&convert::wire_state(state));
    filter.states = states.iter().filter_map(|state| convert::resting(*state)).collect();
    filter.except = busy.keys().copied().collect();
    filter.among = Some(busy.iter().filter(|(_, state)| is_wanted(**state)).map(|(id, _)| *id).collect());
}

fn host_name(text: &str) -> Result<String, Problem> {
    submit::host_name(text).ok_or_else(|| {
        let detail = "`host` must be a scheme, a name and a port, or a name: `example.org` means `https://example.org`";
        Problem::new(ProblemCode::InvalidValue, detail).with_field("host")
    })
}

/// Lets jobs rest: all that can, or those that the body means.
#[utoipa::path(post, path = paths::PAUSE_ALL, tag = "jobs", request_body(content = Option<JobFilter>, description = "May be left out"),
    responses((status = 200, description = "How many have changed", body = BulkResult), document::ActAll))]
pub(super) async fn pause(api: State<Api>, body: extract::OptionalJson) -> Result<Json<BulkResult>, Refused> {
    act(api, body, Action::Pause).await
}

/// Lets jobs go on: all that can, or those that the body means.
#[utoipa::path(post, path = paths::RESUME_ALL, tag = "jobs", request_body(content = Option<JobFilter>, description = "May be left out"),
    responses((status = 200, description = "How many have changed", body = BulkResult), document::ActAll))]
pub(super) async fn resume(api: State<Api>, body: extract::OptionalJson) -> Result<Json<BulkResult>, Refused> {
    act(api, body, Action::Resume).await
}

/// Starts failed jobs again from the bytes that are there: all of them, or those that the body means.
#[utoipa::path(post, path = paths::RETRY_ALL, tag = "jobs", request_body(content = Option<JobFilter>, description = "May be left out"),
    responses((status = 200, description = "How many have changed", body = BulkResult), document::ActAll))]
pub(super) async fn retry(api: State<Api>, body: extract::OptionalJson) -> Result<Json<BulkResult>, Refused> {
    act(api, body, Action::Retry).await
}

/// Gives jobs up, those that the body means, and removes their unfinished files.
#[utoipa::path(post, path = paths::CANCEL_ALL, tag = "jobs", request_body(content = JobFilter, description = "`{}` means all jobs"),
    responses((status = 200, description = "How many have changed", body = BulkResult), document::ActAll))]
pub(super) async fn cancel(api: State<Api>, body: extract::Json) -> Result<Json<BulkResult>, Refused> {
    // All bytes of all jobs are not given up by leaving something out.
    act(api, extract::OptionalJson(Some(body.0)), Action::Cancel).await
}

async fn act(
    State(api): State<Api>,
    extract::OptionalJson(bytes): extract::OptionalJson,
    action: Action,
) -> Result<Json<BulkResult>, Refused> {
    let wanted: JobFilter = bytes.map_or(Ok(JobFilter::default()), |bytes| body::parse(&bytes))?;
    if wanted.state.as_ref().is_some_and(Vec::is_empty) {
        let detail = "`state` must name at least one state; leave it out for all";
        return Err(Refused::field(ProblemCode::InvalidValue, "state", detail));
    }
    let states = wanted.state.unwrap_or_default();
    let filter = filter(&api, &states, wanted.label, wanted.host, wanted.q).await?;
    let changed = api.driver.act_all(action, filter).await.map_err(|e| driver_error(None, e))?;
    Ok(Json(BulkResult { changed }))
}

#[cfg(test)]
mod tests {
    use haul_core::{Phase, WaitingFor};

    use super::*;

    #[test]
    fn a_job_that_is_busy_counts_by_what_it_does() {
        let busy = HashMap::from([
            (JobId(1), haul_core::JobState::Active),
            (JobId(2), haul_core::JobState::Waiting(WaitingFor::Disk)),
            (JobId(3), haul_core::JobState::Verifying),
        ]);
        let mut filter = Filter::default();
        in_states(&mut filter, &[JobState::Waiting, JobState::Completed], &busy);
        assert_eq!(filter.states.iter().map(|state| state.phase).collect::<Vec<_>>(), [Phase::Completed]);
        assert_eq!(filter.among, Some(vec![JobId(2)]));
        assert_eq!(filter.except.len(), 3);
    }
}
