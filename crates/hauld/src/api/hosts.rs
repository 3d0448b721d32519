//! The routes about hosts.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use haul_api::{Host, HostList, HostQuery, PatchHost, Problem, ProblemCode, body, paths, query};

use super::Api;
use super::document;
use super::extract::{self, HostName};
use super::jobs::driver_error;
use super::problem::Refused;
use crate::config::CONNECTIONS_MAX;
use crate::convert;
use crate::driver::HostChanges;

/// Lists the servers that are known, by name.
#[utoipa::path(get, path = paths::HOSTS, tag = "hosts", params(
    ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
    ("limit" = Option<u32>, Query, description = "Hosts on a page, 100 unless it is said", minimum = 1, maximum = 1000)),
    responses((status = 200, description = "A page", body = HostList), document::Page))]
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Json<HostList>, Refused> {
    let query = HostQuery::parse(uri.query().unwrap_or_default())?;
    let limit = query.limit.unwrap_or(query::LIMIT_DEFAULT) as usize;
    let (views, has_more) = api.driver.hosts(query.cursor, limit).await.map_err(|e| driver_error(None, e))?;
    let hosts: Vec<Host> = views.iter().map(convert::host).collect();
    let next_cursor = hosts.last().filter(|_| has_more).map(|host| host.host.clone());
    Ok(Json(HostList { hosts, next_cursor }))
}

/// Shows one server.
#[utoipa::path(get, path = paths::HOST, tag = "hosts", params(("host" = String, Path, description = "Scheme, name and port; a name alone means `https`", example = "https://example.org")),
    responses((status = 200, description = "The host", body = Host), document::OneHost))]
pub(super) async fn show(State(api): State<Api>, HostName(name): HostName) -> Result<Json<Host>, Refused> {
    let view = api.driver.host(name.clone()).await.map_err(|e| driver_error(None, e))?;
    view.map(|view| Json(convert::host(&view))).ok_or_else(|| Refused::unknown_host(&name))
}

/// Changes what is wished of a server.
#[utoipa::path(patch, path = paths::HOST, tag = "hosts", params(("host" = String, Path, description = "Scheme, name and port; a name alone means `https`", example = "https://example.org")), request_body = PatchHost,
    responses((status = 200, description = "The host as it is then", body = Host), document::PatchHost))]
pub(super) async fn patch(
    State(api): State<Api>,
    HostName(name): HostName,
    extract::Json(bytes): extract::Json,
) -> Result<Json<Host>, Refused> {
    let changes = check(body::parse(&bytes)?)?;
    let view = api.driver.change_host(name.clone(), changes).await.map_err(|e| driver_error(None, e))?;
    view.map(|view| Json(convert::host(&view))).ok_or_else(|| Refused::unknown_host(&name))
}

/// Forgets what was learned of a server and set for it.
#[utoipa::path(delete, path = paths::HOST, tag = "hosts", params(("host" = String, Path, description = "Scheme, name and port; a name alone means `https`", example = "https://example.org")),
    responses((status = 204, description = "It is forgotten"), document::OneHost))]
pub(super) async fn forget(State(api): State<Api>, HostName(name): HostName) -> Result<StatusCode, Refused> {
    let was_known = api.driver.forget_host(name.clone()).await.map_err(|e| driver_error(None, e))?;
    if was_known { Ok(StatusCode::NO_CONTENT) } else { Err(Refused::unknown_host(&name)) }
}

/// Checks a change of a host.
pub(crate) fn check(wanted: PatchHost) -> Result<HostChanges, Problem> {
    let wrong = |field: &str, detail: &str| Problem::new(ProblemCode::InvalidValue, detail).with_field(field);
    if wanted.connections.flatten().is_some_and(|connections| !(1..=CONNECTIONS_MAX).contains(&connections)) {
        let detail = format!("`connections` may be 1 to {CONNECTIONS_MAX}; `null` means what all hosts are allowed");
        return Err(wrong("connections", &detail));
    }
    // As for a job: SQLite, and many a JSON reader, knows no larger number.
    if wanted.bandwidth_limit.flatten().is_some_and(|rate| rate > i64::MAX as u64) {
        return Err(wrong("bandwidth_limit", "`bandwidth_limit` is too large; 0 means no limit"));
    }
    if wanted.blocked == Some(true) {
        return Err(wrong("blocked", "`blocked` can only be set to `false`, which means: try now"));
    }
    Ok(HostChanges {
        connections: wanted.connections,
        bandwidth_limit: wanted.bandwidth_limit.map(|rate| rate.filter(|rate| *rate > 0)),
        unblock: wanted.blocked.is_some(),
    })
}
