//! The daemon examines itself.

use axum::Json;
use axum::extract::State;
use haul_api::doctor::{Clock, Database, Directory, Doctor, ProcessLimits, WaitingJob};
use haul_api::{Event, Host, JobState, WaitingFor, paths};
use haul_core::JobId;

use super::Api;
use super::document;
use super::jobs::driver_error;
use super::problem::Refused;
use crate::convert::{self, wire_state, wire_waiting};
use crate::{database, doctor, logging, system};

/// Faults and failures that are told.
const ERRORS_MAX: u32 = 20;

/// Waiting jobs that are told.
const WAITING_MAX: usize = 20;

/// Hosts that are told.
const HOSTS_MAX: usize = 20;

/// Hosts that are looked at.
const HOSTS_SEEN_MAX: usize = 10_000;

/// What there is to know when something is wrong, and what to do about it. It holds no secret.
#[utoipa::path(get, path = paths::DOCTOR, tag = "daemon",
    responses((status = 200, description = "The findings, and what they come from", body = Doctor), document::Look))]
pub(super) async fn doctor(State(api): State<Api>) -> Result<Json<Doctor>, Refused> {
    let errors = api.store.last_errors(ERRORS_MAX).await?;
    let last_errors: Vec<Event> = errors.iter().map(convert::event).collect();
    let limits = api.driver.limits().await.map_err(|e| driver_error(None, e))?;
    let mut report = Doctor {
        healthy: true,
        findings: Vec::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sqlite: haul_store::sqlite_version().to_owned(),
        system: system::name(),
        uptime_seconds: api.started.elapsed().as_secs(),
        clock: Clock { now: jiff::Timestamp::now(), last_error_at: last_errors.iter().map(|event| event.at).max() },
        log: logging::current(),
        configuration: api.configuration.entries().into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        directories: directories(&api).await,
        limits: process_limits(limits.limits.connections_total),
        database: check(&api).await,
        last_errors,
        hosts: hosts(&api).await?,
        waiting: waiting(&api).await?,
    };
    report.findings = doctor::findings(&report);
    report.healthy = report.findings.is_empty();
    Ok(Json(report))
}

/// The directory of the database, and those that files go to.
async fn directories(api: &Api) -> Vec<Directory> {
    let (roots, data_dir) = (api.roots.clone(), api.configuration.data_dir.clone());
    let look = move || {
        let space = system::space(&data_dir);
        let data = Directory {
            setting: "data_dir".to_owned(),
            path: data_dir.display().to_string(),
            file_system: system::file_system_of(&data_dir),
            free_bytes: space.as_ref().ok().map(|space| space.0),
            total_bytes: space.as_ref().ok().map(|space| space.1),
            reserved_bytes: doctor::DATABASE_NEEDS,
            trouble: space.err().map(|error| error.to_string()),
        };
        let states = roots.states().into_iter().enumerate().map(|(index, state)| Directory {
            setting: if index == 0 { "download_dir" } else { "allowed_roots" }.to_owned(),
            file_system: system::file_system_of(&state.path),
            path: state.path.display().to_string(),
            free_bytes: state.space.map(|space| space.free),
            total_bytes: state.space.map(|space| space.total),
            reserved_bytes: state.space.map_or(0, |space| space.kept_free),
            trouble: state.trouble,
        });
        std::iter::once(data).chain(states).collect()
    };
    tokio::task::spawn_blocking(look).await.expect("looking at directories does not panic")
}

fn process_limits(connections_total: u32) -> ProcessLimits {
    ProcessLimits {
        open_files_max: system::open_files_max(),
        open_files: system::open_files(),
        connections_possible: system::connections_possible(),
        connections_total,
    }
}

async fn check(api: &Api) -> Database {
    let path = database::path_in(&api.configuration.data_dir);
    let checked = tokio::task::spawn_blocking(move || database::check(&path, false));
    let waiting = api.store.waiting() as u64;
    match checked.await.expect("checking a database does not panic") {
        Ok(checked) => Database {
            bytes: checked.bytes,
            schema: checked.schema,
            jobs: checked.jobs,
            damage: checked.damage,
            waiting,
        },
        Err(error) => Database { bytes: 0, schema: 0, jobs: 0, damage: vec![error.to_string()], waiting },
    }
}

/// Hosts of which there is something to tell.
async fn hosts(api: &Api) -> Result<Vec<Host>, Refused> {
    let (views, _) = api.driver.hosts(None, HOSTS_SEEN_MAX).await.map_err(|e| driver_error(None, e))?;
    let is_special = |host: &Host| {
        host.connections.learned_cap.is_some() || host.blocked_until.is_some() || host.bandwidth_limit > 0
    };
    Ok(views.iter().map(convert::host).filter(is_special).take(HOSTS_MAX).collect())
}

/// Jobs that wait: those that need a person, then those that wait for something else, then those in the queue.
async fn waiting(api: &Api) -> Result<Vec<WaitingJob>, Refused> {
    let states = api.driver.live_states().await.map_err(|e| driver_error(None, e))?;
    let mut waiting: Vec<(u8, JobId, haul_core::JobState)> = states
        .into_iter()
        .filter_map(|(id, state)| match wire_state(state) {
            JobState::Waiting if needs_a_person(state) => Some((0, id, state)),
            JobState::Waiting => Some((1, id, state)),
            JobState::Queued => Some((2, id, state)),
            JobState::Probing
            | JobState::Active
            | JobState::Paused
            | JobState::Verifying
            | JobState::Completed
            | JobState::Failed
            | JobState::Canceled => None,
        })
        .collect();
    waiting.sort_by_key(|(class, id, _)| (*class, *id));
    let mut told = Vec::new();
    for (_, id, state) in waiting.into_iter().take(WAITING_MAX) {
        // What has ended meanwhile waits no more.
        let Some(row) = api.store.job(id).await? else { continue };
        let Some(known) = api.driver.why(id).await.map_err(|e| driver_error(Some(id), e))? else { continue };
        told.push(WaitingJob {
            id: id.0,
            state: wire_state(state),
            waiting_for: waiting_for(state),
            why: convert::explained(&row, &known).summary,
        });
    }
    Ok(told)
}

fn waiting_for(state: haul_core::JobState) -> Option<WaitingFor> {
    if let haul_core::JobState::Waiting(what) = state { Some(wire_waiting(what)) } else { None }
}

fn needs_a_person(state: haul_core::JobState) -> bool {
    matches!(waiting_for(state), Some(WaitingFor::Link | WaitingFor::Volume))
}
