//! The limits that can be changed while the daemon runs.

use axum::Json;
use axum::extract::State;
use haul_api::{LabelSettings, Limits as Wanted, ProblemCode, Settings, Window, body, paths};

use super::Api;
use super::document;
use super::extract;
use super::jobs::driver_error;
use super::problem::Refused;
use crate::config::{CONNECTIONS_MAX, WINDOWS_MAX};
use crate::driver::{LimitChanges, LimitsNow};
use crate::submit;

/// The limits that can be changed while it runs.
#[utoipa::path(get, path = paths::SETTINGS, tag = "daemon",
    responses((status = 200, description = "The limits", body = Settings), document::Look))]
pub(super) async fn show(State(api): State<Api>) -> Result<Json<Settings>, Refused> {
    let limits = api.driver.limits().await.map_err(|e| driver_error(None, e))?;
    Ok(Json(settings(limits)))
}

/// Changes limits, at once and for later runs.
#[utoipa::path(patch, path = paths::SETTINGS, tag = "daemon", request_body = Wanted,
    responses((status = 200, description = "All limits as they are then", body = Settings), document::PatchSettings))]
pub(super) async fn change(
    State(api): State<Api>,
    extract::Json(bytes): extract::Json,
) -> Result<Json<Settings>, Refused> {
    let wanted: Wanted = body::parse(&bytes)?;
    check(&wanted)?;
    let changes = LimitChanges {
        bandwidth_limit: wanted.bandwidth_limit,
        bandwidth_schedule: wanted.bandwidth_schedule,
        labels: wanted.labels.unwrap_or_default(),
        max_active_jobs: wanted.max_active_jobs,
        connections_per_job: wanted.connections_per_job,
        connections_per_host: wanted.connections_per_host,
        connections_total: wanted.connections_total,
    };
    let limits = api.driver.set_limits(changes).await.map_err(|e| driver_error(None, e))?;
    Ok(Json(settings(limits)))
}

/// Checks a change of the limits.
pub(crate) fn check(wanted: &Wanted) -> Result<(), Refused> {
    for (field, value, most) in [
        ("max_active_jobs", wanted.max_active_jobs, 10_000),
        ("connections_per_job", wanted.connections_per_job, CONNECTIONS_MAX),
        ("connections_per_host", wanted.connections_per_host, 100_000),
        ("connections_total", wanted.connections_total, 100_000),
    ] {
        if value.is_some_and(|value| !(1..=most).contains(&value)) {
            let detail = format!("`{field}` may be 1 to {most}");
            return Err(Refused::field(ProblemCode::InvalidValue, field, detail));
        }
    }
    // As for a job: SQLite, and many a JSON reader, knows no larger number.
    if wanted.bandwidth_limit.is_some_and(|rate| rate > i64::MAX as u64) {
        let detail = "`bandwidth_limit` is too large; 0 means no limit";
        return Err(Refused::field(ProblemCode::InvalidValue, "bandwidth_limit", detail));
    }
    check_schedule("bandwidth_schedule", wanted.bandwidth_schedule.as_deref())?;
    let labels = wanted.labels.iter().flatten();
    for (label, limits) in labels {
        submit::label(label).map_err(|problem| problem.with_field("labels"))?;
        let schedule = limits.as_ref().and_then(|limits| limits.bandwidth_schedule.as_deref());
        check_schedule(&format!("labels.{label}.bandwidth_schedule"), schedule)?;
    }
    Ok(())
}

fn check_schedule(field: &str, schedule: Option<&[Window]>) -> Result<(), Refused> {
    if schedule.is_some_and(|windows| windows.len() > WINDOWS_MAX) {
        let detail = format!("`{field}` may have {WINDOWS_MAX} windows at most");
        return Err(Refused::field(ProblemCode::InvalidValue, field, detail));
    }
    Ok(())
}

fn settings(now: LimitsNow) -> Settings {
    let limits = now.limits;
    let labels = limits.labels.into_iter().map(|(label, bandwidth)| {
        let limits = LabelSettings {
            bandwidth_limit: bandwidth.bandwidth_limit,
            bandwidth_schedule: bandwidth.bandwidth_schedule,
            bandwidth_limit_now: now.labels.get(&label).copied().unwrap_or(0),
        };
        (label, limits)
    });
    Settings {
        labels: labels.collect(),
        bandwidth_limit: limits.bandwidth.bandwidth_limit,
        bandwidth_schedule: limits.bandwidth.bandwidth_schedule,
        bandwidth_limit_now: now.bandwidth,
        max_active_jobs: limits.max_active_jobs,
        connections_per_host: limits.connections_per_host,
        connections_per_job: limits.connections_per_job,
        connections_total: limits.connections_total,
    }
}
