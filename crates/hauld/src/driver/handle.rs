//! What the rest of the daemon can ask of the driver.

use std::collections::{HashMap, HashSet};
use std::sync::Weak;

use haul_api::{Problem, Window};
use haul_core::messages::{JobView, Why};
use haul_core::{Action, Chunk, JobId, Refusal};
use haul_store::{Filter, HostRow, JobPatch, JobRow, Mirror, NewJob, Once, OnceAnswer, OnceRequest, StoreError};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::limits::{LimitChanges, Limits, LimitsNow};
use super::probe::Probed;
use super::progress::Moving;
use super::readers::{Reader, Reading};
use super::submits::Submitted;
use crate::submit::Checked;

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
    /// It cannot be done, for a reason that belongs to the request.
    #[error(transparent)]
    Declined(#[from] Problem),
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
    pub(crate) limits: Vec<LimitOn>,
    pub(crate) max_active_jobs: u32,
}

/// A bandwidth limit that a job is under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitOn {
    pub(crate) of: LimitOf,
    pub(crate) bytes_per_second: u64,
    /// The daily window that it comes from.
    pub(crate) window: Option<Window>,
}

/// Whose a bandwidth limit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LimitOf {
    Job,
    Label(String),
    /// By its `scheme://host:port`.
    Host(String),
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

/// Where a job is put in the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placing {
    /// Among those of this priority.
    pub(crate) priority: i32,
    /// Counted from 1.
    pub(crate) position: u64,
}

/// What is going on at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) connections: u32,
    pub(crate) bytes_per_second: f64,
    /// Bytes received since the start.
    pub(crate) done_bytes: u64,
    pub(crate) by_class: ConnectionsByClass,
}

/// Connections in use, by what is known of their hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionsByClass {
    /// To hosts that have refused none.
    pub(crate) open: u32,
    /// To hosts whose refusals suggest a number.
    pub(crate) capped: u32,
    /// To hosts whose user allows a number.
    pub(crate) limited: u32,
}

pub(crate) type Answer<T> = oneshot::Sender<Result<T, DriverError>>;

/// Makes the answer to a submit of what became of its jobs.
pub(crate) type MakeAnswer = Box<dyn FnOnce(Submitted) -> OnceAnswer + Send>;

/// A request to accept jobs that is to be carried out once, and how its answer is made of what became of them.
pub(crate) struct OnceSubmit {
    pub(crate) request: OnceRequest,
    pub(crate) answer: MakeAnswer,
}

impl std::fmt::Debug for OnceSubmit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnceSubmit").finish_non_exhaustive()
    }
}

/// A wish on its way to the driver.
#[derive(Debug)]
pub(crate) enum Wish {
    Submit { jobs: Vec<Checked>, gone: Vec<JobId>, answer: Answer<Submitted> },
    SubmitOnce { jobs: Vec<Checked>, gone: Vec<JobId>, once: OnceSubmit, answer: Answer<Once> },
    Probe(Box<NewJob>, Answer<Probed>),
    Act(JobId, Action, Answer<JobRow>),
    ActAll(Action, Filter, Answer<u64>),
    Patch { id: JobId, patch: Box<JobPatch>, place: Option<Placing>, answer: Answer<JobRow> },
    Delete { id: JobId, files: bool, expected: Option<u64>, answer: Answer<()> },
    ForgetEnded(Answer<u64>),
    AddMirrors { id: JobId, mirrors: Vec<Mirror>, answer: Answer<usize> },
    Restore(JobId, Answer<JobRow>),
    Verify { id: JobId, repair: bool, answer: Answer<JobRow> },
    Live(Vec<JobId>, oneshot::Sender<(HashMap<JobId, Live>, HashSet<JobId>)>),
    LiveStates(oneshot::Sender<HashMap<JobId, haul_core::JobState>>),
    Busy(oneshot::Sender<HashMap<JobId, haul_core::JobState>>),
    Progress(oneshot::Sender<Vec<Moving>>),
    Chunks(JobId, oneshot::Sender<Vec<(Chunk, Option<f64>)>>),
    Why(JobId, oneshot::Sender<Option<Explained>>),
    Hosts { after: Option<String>, limit: usize, answer: oneshot::Sender<(Vec<HostView>, bool)> },
    Host(String, oneshot::Sender<Option<HostView>>),
    ChangeHost(String, HostChanges, Answer<Option<HostView>>),
    ForgetHost(String, Answer<bool>),
    Read(Reader),
    Totals(oneshot::Sender<Totals>),
    Limits(oneshot::Sender<LimitsNow>),
    SetLimits(Box<LimitChanges>, Answer<LimitsNow>),
    Configure(Box<Limits>),
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

    /// Accepts jobs, all or none, but those that are the same as one that is there; they survive a power cut once this
    /// returns. `gone` are complete jobs whose files are not there any more.
    pub(crate) async fn submit(&self, jobs: Vec<Checked>, gone: Vec<JobId>) -> Result<Submitted, DriverError> {
        self.ask(|answer| Wish::Submit { jobs, gone, answer }).await
    }

    /// The same for a request that is to be carried out once.
    pub(crate) async fn submit_once(
        &self,
        jobs: Vec<Checked>,
        gone: Vec<JobId>,
        once: OnceSubmit,
    ) -> Result<Once, DriverError> {
        self.ask(|answer| Wish::SubmitOnce { jobs, gone, once, answer }).await
    }

    /// Asks what a server says of a file.
    pub(crate) async fn probe(&self, job: NewJob) -> Result<Probed, DriverError> {
        self.ask(|answer| Wish::Probe(Box::new(job), answer)).await
    }

    /// Takes a deletion back.
    pub(crate) async fn restore(&self, id: JobId) -> Result<JobRow, DriverError> {
        self.ask(|answer| Wish::Restore(id, answer)).await
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
    pub(crate) async fn patch(
        &self,
        id: JobId,
        patch: JobPatch,
        place: Option<Placing>,
    ) -> Result<JobRow, DriverError> {
        self.ask(|answer| Wish::Patch { id, patch: Box::new(patch), place, answer }).await
    }

    /// Forgets a job if it is in the version that is expected, and with `files` removes what it saved.
    pub(crate) async fn delete(&self, id: JobId, files: bool, expected: Option<u64>) -> Result<(), DriverError> {
        self.ask(|answer| Wish::Delete { id, files, expected, answer }).await
    }

    /// Forgets all jobs that have ended, and keeps their files; tells how many those are.
    pub(crate) async fn forget_ended(&self) -> Result<u64, DriverError> {
        self.ask(Wish::ForgetEnded).await
    }

    /// Adds mirrors to a job, as far as they are new to it and not too many; tells how many it has then.
    pub(crate) async fn add_mirrors(&self, id: JobId, mirrors: Vec<Mirror>) -> Result<usize, DriverError> {
        self.ask(|answer| Wish::AddMirrors { id, mirrors, answer }).await
    }

    /// Begins to verify the file of a job; with `repair`, what is bad of a complete one is fetched again.
    pub(crate) async fn verify(&self, id: JobId, repair: bool) -> Result<JobRow, DriverError> {
        self.ask(|answer| Wish::Verify { id, repair, answer }).await
    }

    /// What is known of those of `ids` that are running; and all jobs whose files are being verified on demand.
    pub(crate) async fn live(&self, ids: Vec<JobId>) -> Result<(HashMap<JobId, Live>, HashSet<JobId>), DriverError> {
        self.look(|answer| Wish::Live(ids, answer)).await
    }

    /// The states of all jobs that the engine holds.
    pub(crate) async fn live_states(&self) -> Result<HashMap<JobId, haul_core::JobState>, DriverError> {
        self.look(Wish::LiveStates).await
    }

    /// The states of those jobs whose rows do not tell them: they do not only wait for a slot, or are being verified on
    /// demand.
    pub(crate) async fn busy(&self) -> Result<HashMap<JobId, haul_core::JobState>, DriverError> {
        self.look(Wish::Busy).await
    }

    /// How far all jobs are that do not only wait for a slot.
    pub(crate) async fn progress(&self) -> Result<Vec<Moving>, DriverError> {
        self.look(Wish::Progress).await
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

    /// Waits until the byte at `at` of a job's file is there. As long as `reader` lives what it waits for, and what follows, is
    /// fetched first.
    pub(crate) async fn read(&self, id: JobId, at: u64, reader: Weak<()>) -> Result<Reading, DriverError> {
        self.look(|answer| Wish::Read(Reader::new(id, at, reader, answer))).await
    }

    /// What is going on.
    pub(crate) async fn totals(&self) -> Result<Totals, DriverError> {
        self.look(Wish::Totals).await
    }

    /// The limits, and which of them hold now.
    pub(crate) async fn limits(&self) -> Result<LimitsNow, DriverError> {
        self.look(Wish::Limits).await
    }

    /// Changes limits, for this run and later ones; answers with all of them.
    pub(crate) async fn set_limits(&self, changes: LimitChanges) -> Result<LimitsNow, DriverError> {
        self.ask(|answer| Wish::SetLimits(Box::new(changes), answer)).await
    }

    /// Takes over the limits of a configuration that was read again; what users have changed stays.
    pub(crate) async fn configure(&self, limits: Limits) -> Result<(), DriverError> {
        self.wishes.send(Wish::Configure(Box::new(limits))).await.map_err(|_| DriverError::Stopping)
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
