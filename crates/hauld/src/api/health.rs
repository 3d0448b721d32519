//! Totals, liveness and readiness.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use haul_api::{JobState, Problem, Readiness, Stats, paths};

use super::Api;
use super::document;
use super::jobs::driver_error;
use super::problem::Refused;
use crate::convert::{whole, wire_state};

/// Totals.
#[utoipa::path(get, path = paths::STATS, tag = "daemon",
    responses((status = 200, description = "Totals", body = Stats), document::Look))]
pub(super) async fn stats(State(api): State<Api>) -> Result<Json<Stats>, Refused> {
    let totals = api.driver.totals().await.map_err(|e| driver_error(None, e))?;
    let limits = api.driver.limits().await.map_err(|e| driver_error(None, e))?;
    Ok(Json(Stats {
        jobs: jobs_by_state(&api).await?,
        speed: whole(totals.bytes_per_second),
        connections_active: totals.connections,
        done_bytes: totals.done_bytes,
        uptime_seconds: api.started.elapsed().as_secs(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bandwidth_limit: limits.bandwidth,
    }))
}

/// Counts all jobs: the stored ones by their rows, the running ones by what they are doing.
async fn jobs_by_state(api: &Api) -> Result<BTreeMap<JobState, u64>, Refused> {
    let mut counts: BTreeMap<JobState, u64> = JobState::ALL.into_iter().map(|state| (state, 0)).collect();
    for (lifecycle, number) in api.store.count_by_state().await? {
        let state = haul_core::JobState::shown(lifecycle, None);
        *counts.entry(wire_state(state)).or_default() += number;
    }
    let live = api.driver.live_states().await.map_err(|e| driver_error(None, e))?;
    for state in live.into_values().map(wire_state) {
        // A running job's row says no more than that it is to be fetched, which counts as queued.
        let queued = counts.entry(JobState::Queued).or_default();
        let is_fetching = matches!(
            state,
            JobState::Queued | JobState::Probing | JobState::Active | JobState::Waiting | JobState::Paused
        );
        if is_fetching && *queued > 0 {
            *queued -= 1;
            *counts.entry(state).or_default() += 1;
        }
    }
    Ok(counts)
}

/// The process answers.
#[utoipa::path(get, path = paths::HEALTHZ, tag = "daemon", security(()), responses(
    (status = 200, description = "It does", content_type = "text/plain", body = String), document::Open))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The daemon can take and carry out jobs, or says why not.
#[utoipa::path(get, path = paths::READYZ, tag = "daemon", security(()), responses(
    (status = 200, description = "It can", body = Readiness), document::Open,
    (status = 503, description = "It cannot, and why", content((Readiness = "application/json"), (Problem = "application/problem+json")))))]
pub(super) async fn readyz(State(api): State<Api>) -> (StatusCode, Json<Readiness>) {
    let mut reasons = Vec::new();
    if api.stop.is_cancelled() || api.driver.totals().await.is_err() {
        reasons.push("the daemon is stopping".to_owned());
    }
    if let Err(error) = api.store.count_by_state().await {
        reasons.push(format!("the database cannot be read: {error}"));
    }
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, reasons }))
}
