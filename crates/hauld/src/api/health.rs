//! Totals, liveness and readiness.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use haul_api::{JobState, Problem, Readiness, Stats, paths};

use super::Api;
use super::document;
use super::jobs::driver_error;
use super::problem::Refused;
use crate::convert::{whole, wire_state};
use crate::doctor::DATABASE_NEEDS;
use crate::submit::RootState;
use crate::system;

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
pub(super) async fn jobs_by_state(api: &Api) -> Result<BTreeMap<JobState, u64>, Refused> {
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
    let reasons = not_ready(&api).await;
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, reasons }))
}

/// How long anything may take that readiness depends on. A guess: who asks waits for some seconds at most.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// Why jobs would not be accepted or not be carried out. Anybody may ask, so no path is told.
async fn not_ready(api: &Api) -> Vec<String> {
    if api.stop.is_cancelled() {
        return vec!["the daemon is stopping".to_owned()];
    }
    let (roots, data_dir) = (api.roots.clone(), api.configuration.data_dir.clone());
    let driver = tokio::time::timeout(READY_WITHIN, api.driver.totals());
    let store = tokio::time::timeout(READY_WITHIN, api.store.count_by_state());
    let disks = tokio::task::spawn_blocking(move || (system::space(&data_dir), roots.default_state()));
    let (driver, store, disks) = tokio::join!(driver, store, tokio::time::timeout(READY_WITHIN, disks));
    let mut reasons = Vec::new();
    match driver {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => reasons.push("the daemon is stopping".to_owned()),
        Err(_) => reasons.push("the driver does not answer".to_owned()),
    }
    match store {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => reasons.push(format!("the database cannot be read: {error}")),
        Err(_) => reasons.push("the database does not answer".to_owned()),
    }
    match disks {
        Ok(Ok((data, root))) => reasons.extend(of_disks(&data, &root)),
        Ok(Err(_)) | Err(_) => reasons.push("a disk does not answer".to_owned()),
    }
    reasons
}

/// What is wrong with the disks of the database and of `download_dir`.
fn of_disks(data: &io::Result<(u64, u64)>, root: &RootState) -> Vec<String> {
    let mut reasons = Vec::new();
    match data {
        Ok((free, _)) if *free > DATABASE_NEEDS => {}
        Ok(_) => reasons.push("the disk with the database is full".to_owned()),
        Err(error) => reasons.push(format!("the disk with the database cannot be used: {error}")),
    }
    if root.trouble.is_some() {
        reasons.push("nothing can be saved in `download_dir`; `haul doctor` says why".to_owned());
    }
    if root.space.is_some_and(|space| space.free <= space.kept_free) {
        reasons.push("the disk with `download_dir` is full".to_owned());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submit::RootSpace;

    #[test]
    fn full_and_absent_disks_are_told_without_their_paths() {
        let root = |free, trouble: Option<&str>| RootState {
            path: "/srv/secret".into(),
            space: Some(RootSpace { free, total: 1000, kept_free: 20 }),
            trouble: trouble.map(str::to_owned),
        };
        let fine = Ok((DATABASE_NEEDS + 1, 1 << 40));
        assert_eq!(of_disks(&fine, &root(21, None)), Vec::<String>::new());
        assert_eq!(of_disks(&Ok((DATABASE_NEEDS, 1 << 40)), &root(21, None)), ["the disk with the database is full"]);
        assert_eq!(of_disks(&fine, &root(20, None)), ["the disk with `download_dir` is full"]);
        let absent = of_disks(&fine, &root(21, Some("/srv/secret is closed")));
        assert_eq!(absent, ["nothing can be saved in `download_dir`; `haul doctor` says why"]);
        assert_eq!(of_disks(&Err(io::ErrorKind::NotFound.into()), &root(21, None)).len(), 1);
    }
}
