//! What the rest of the daemon can ask of the driver.

use std::collections::HashMap;

use haul_core::messages::{Caps, JobView, Why};
use haul_core::{Action, Chunk, JobId, Refusal};
use haul_store::{Filter, HostRow, JobPatch, JobRow, NewJob, StoreError};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::config::Config;

/// A way to reach the driver. Every method is cancel safe: once the wish is sent it is carried out, whether or not
/// anybody waits for the answer.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    wishes: mpsc::Sender<Wish>,
    changes: broadcast::Sender<JobId>,
}

/// Why the driver did not do as it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriverError {
    /// The job's state, or its absence, forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The daemon is going down.
    #[error("the daemon is stopping")]
    Stopping,
}

/// What a driver knows of a running job beyond its row.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) view: JobView,
    pub(crate) durable_bytes: u64,
}

/// What holds a running job back, and what it takes to say so.
#[derive(Clone, Debug)]
pub(crate) struct Explained {
    pub(crate) live: Live,
    /// The weightiest first.
    pub(crate) reasons: Vec<Why>,
    /// The bandwidth limits that it is under, in bytes per second.
    pub(crate) limits: Vec<(LimitOf, u64)>,
    pub(crate) max_active_jobs: u32,
}

/// Whose a bandwidth limit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitOf {
    Job,
    Host,
    Everything,
}

/// What is known of a host.
#[derive(Clone, Debug)]
pub(crate) struct HostView {
    pub(crate) row: HostRow,
    /// Connections in use.
    pub(crate) active: u32,
    /// Connections that are allowed.
    pub(crate) max: u32,
}

/// What a user changes of a host; `None` leaves a field alone, `Some(None)` takes a wish back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostChanges {
    pub(crate) connections: Option<Option<u32>>,
    pub(crate) bandwidth_limit: Option<Option<u64>>,
    pub(crate) unblock: bool,
}

/// The limits that can be changed while the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) bandwidth_limit: u64,
    pub(crate) max_active_jobs: u32,
    pub(crate) connections_per_job: u32,
    pub(crate) connections_per_host: u32,
    pub(crate) connections_total: u32,
}

/// Limits that a user has changed while the daemon ran; they win over the configuration until they are changed again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct LimitChanges {
    pub(crate) bandwidth_limit: Option<u64>,
    pub(crate) max_active_jobs: Option<u32>,
    pub(crate) connections_per_job: Option<u32>,
    pub(crate) connections_per_host: Option<u32>,
    pub(crate) connections_total: Option<u32>,
}

/// What is going on at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) connections: u32,
    pub(crate) bytes_per_second: f64,
    /// Bytes received since the start.
    pub(crate) done_bytes: u64,
}

pub(crate) type Answer<T> = oneshot::Sender<Result<T, DriverError>>;

/// A wish on its way to the driver.
#[derive(Debug)]
pub(crate) enum Wish {
    Submit(Vec<NewJob>, Answer<Vec<JobRow>>),
    Act(JobId, Action, Answer<JobRow>),
    ActAll(Action, Filter, Answer<u64>),
    Patch(JobId, Box<JobPatch>, Answer<JobRow>),
    Delete { id: JobId, files: bool, answer: Answer<()> },
    Live(Vec<JobId>, oneshot::Sender<HashMap<JobId, Live>>),
    LiveStates(oneshot::Sender<HashMap<JobId, haul_core::JobState>>),
    Chunks(JobId, oneshot::Sender<Vec<(Chunk, Option<f64>)>>),
    Why(JobId, oneshot::Sender<Option<Explained>>),
    Hosts { after: Option<String>, limit: usize, answer: oneshot::Sender<(Vec<HostView>, bool)> },
    Host(String, oneshot::Sender<Option<HostView>>),
    ChangeHost(String, HostChanges, Answer<Option<HostView>>),
    ForgetHost(String, Answer<bool>),
    Totals(oneshot::Sender<Totals>),
    Limits(oneshot::Sender<Limits>),
    SetLimits(LimitChanges, Answer<Limits>),
    Configure(Limits),
}

impl HostChanges {
    pub(super) fn apply(self, row: &mut HostRow) {
        row.connections_max = self.connections.unwrap_or(row.connections_max);
        row.bandwidth_limit = self.bandwidth_limit.unwrap_or(row.bandwidth_limit);
        if self.unblock {
            row.blocked_until_ms = None;
        }
    }
}

impl LimitChanges {
    /// These changes, and `newer` ones on top.
    pub(super) fn and(self, newer: Self) -> Self {
        Self {
            bandwidth_limit: newer.bandwidth_limit.or(self.bandwidth_limit),
            max_active_jobs: newer.max_active_jobs.or(self.max_active_jobs),
            connections_per_job: newer.connections_per_job.or(self.connections_per_job),
            connections_per_host: newer.connections_per_host.or(self.connections_per_host),
            connections_total: newer.connections_total.or(self.connections_total),
        }
    }
}

impl Limits {
    /// The limits that a configuration sets.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            bandwidth_limit: config.bandwidth_limit.0,
            max_active_jobs: config.max_active_jobs,
            connections_per_job: config.connections_per_job,
            connections_per_host: config.connections_per_host,
            connections_total: config.connections_total,
        }
    }

    /// These limits as changed.
    pub(super) fn changed(self, changes: LimitChanges) -> Self {
        Self {
            bandwidth_limit: changes.bandwidth_limit.unwrap_or(self.bandwidth_limit),
            max_active_jobs: changes.max_active_jobs.unwrap_or(self.max_active_jobs),
            connections_per_job: changes.connections_per_job.unwrap_or(self.connections_per_job),
            connections_per_host: changes.connections_per_host.unwrap_or(self.connections_per_host),
            connections_total: changes.connections_total.unwrap_or(self.connections_total),
        }
    }

    pub(super) fn caps(self) -> Caps {
        Caps {
            active_jobs: self.max_active_jobs as usize,
            connections_per_job: self.connections_per_job,
            connections_per_host: self.connections_per_host,
            connections_total: self.connections_total,
        }
    }

    /// The limit as the buckets want it.
    pub(super) fn rate(self) -> Option<u64> {
        Some(self.bandwidth_limit).filter(|rate| *rate > 0)
    }
}

/// Wishes that may wait. Handlers wait for their answers, so there is at most one for each connection; when the driver
/// is that far behind, waiting here is right.
const WISHES: usize = 256;

/// Changes that a slow watcher may lag behind before it is told to look for itself.
const CHANGES: usize = 4096;

impl Handle {
    pub(super) fn new() -> (Self, mpsc::Receiver<Wish>) {
        let (wishes, inbox) = mpsc::channel(WISHES);
        let (changes, _) = broadcast::channel(CHANGES);
        (Self { wishes, changes }, inbox)
    }

    pub(super) fn changes(&self) -> &broadcast::Sender<JobId> {
        &self.changes
    }

    /// Tells of every job whose state has changed, from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<JobId> {
        self.changes.subscribe()
    }

    /// Accepts jobs, all or none; they survive a power cut once this returns.
    pub(crate) async fn submit(&self, jobs: Vec<NewJob>) -> Result<Vec<JobRow>, DriverError> {
        self.ask(|answer| Wish::Submit(jobs, answer)).await
    }

    /// Carries out a user's action on one job.
    pub(crate) async fn act(&self, id: JobId, action: Action) -> Result<JobRow, DriverError> {
        self.ask(|answer| Wish::Act(id, action, answer)).await
    }

    /// Carries out a user's action on all jobs that it makes sense for; tells how many changed.
    pub(crate) async fn act_all(&self, action: Action, filter: Filter) -> Result<u64, DriverError> {
        self.ask(|answer| Wish::ActAll(action, filter, answer)).await
    }

    /// Changes what a user can change of a job.
    pub(crate) async fn patch(&self, id: JobId, patch: JobPatch) -> Result<JobRow, DriverError> {
        self.ask(|answer| Wish::Patch(id, Box::new(patch), answer)).await
    }

    /// Forgets a job, and with `files` removes what it saved.
    pub(crate) async fn delete(&self, id: JobId, files: bool) -> Result<(), DriverError> {
        self.ask(|answer| Wish::Delete { id, files, answer }).await
    }

    /// What is known of those of `ids` that are running.
    pub(crate) async fn live(&self, ids: Vec<JobId>) -> Result<HashMap<JobId, Live>, DriverError> {
        self.look(|answer| Wish::Live(ids, answer)).await
    }

    /// The states of all jobs that the engine holds.
    pub(crate) async fn live_states(&self) -> Result<HashMap<JobId, haul_core::JobState>, DriverError> {
        self.look(Wish::LiveStates).await
    }

    /// The chunks of a running job with the speed at each; empty when it is not running.
    pub(crate) async fn chunks(&self, id: JobId) -> Result<Vec<(Chunk, Option<f64>)>, DriverError> {
        self.look(|answer| Wish::Chunks(id, answer)).await
    }

    /// What holds a job back; `None` when it is not running.
    pub(crate) async fn why(&self, id: JobId) -> Result<Option<Explained>, DriverError> {
        self.look(|answer| Wish::Why(id, answer)).await
    }

    /// Known hosts by name, those behind `after`, `limit` at most; and whether there are more.
    pub(crate) async fn hosts(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<HostView>, bool), DriverError> {
        self.look(|answer| Wish::Hosts { after, limit, answer }).await
    }

    /// What is known of a host; `None` where nothing is.
    pub(crate) async fn host(&self, name: String) -> Result<Option<HostView>, DriverError> {
        self.look(|answer| Wish::Host(name, answer)).await
    }

    /// Changes what is wished of a host; `None` where there is nothing to change.
    pub(crate) async fn change_host(
        &self,
        name: String,
        changes: HostChanges,
    ) -> Result<Option<HostView>, DriverError> {
        self.ask(|answer| Wish::ChangeHost(name, changes, answer)).await
    }

    /// Forgets a host; tells whether there was anything to forget.
    pub(crate) async fn forget_host(&self, name: String) -> Result<bool, DriverError> {
        self.ask(|answer| Wish::ForgetHost(name, answer)).await
    }

    /// What is going on.
    pub(crate) async fn totals(&self) -> Result<Totals, DriverError> {
        self.look(Wish::Totals).await
    }

    /// The limits in force.
    pub(crate) async fn limits(&self) -> Result<Limits, DriverError> {
        self.look(Wish::Limits).await
    }

    /// Changes limits, for this run and later ones; answers with those in force.
    pub(crate) async fn set_limits(&self, changes: LimitChanges) -> Result<Limits, DriverError> {
        self.ask(|answer| Wish::SetLimits(changes, answer)).await
    }

    /// Takes over the limits of a configuration that was read again; what users have changed stays.
    pub(crate) async fn configure(&self, limits: Limits) -> Result<(), DriverError> {
        self.wishes.send(Wish::Configure(limits)).await.map_err(|_| DriverError::Stopping)
    }

    async fn ask<T>(&self, wish: impl FnOnce(Answer<T>) -> Wish) -> Result<T, DriverError> {
        let (answer, answered) = oneshot::channel();
        self.wishes.send(wish(answer)).await.map_err(|_| DriverError::Stopping)?;
        answered.await.map_err(|_| DriverError::Stopping)?
    }

    async fn look<T>(&self, wish: impl FnOnce(oneshot::Sender<T>) -> Wish) -> Result<T, DriverError> {
        let (answer, answered) = oneshot::channel();
        self.wishes.send(wish(answer)).await.map_err(|_| DriverError::Stopping)?;
        answered.await.map_err(|_| DriverError::Stopping)
    }
}
