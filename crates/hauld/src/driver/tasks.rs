//! Work that the driver has begun and does not wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use haul_core::{Chunk, Fault, FaultKind, JobId, WorkerId};
use haul_store::{JobRow, JobRows, Mirror, Once, StoreError, StoredJob, UpdateError};
use haul_transfer::{Checksum, DiskFile, PartFile, Place, Span};
use tokio::sync::oneshot;

use super::check::Unsealed;
use super::follow::Follower;
use super::handle::{Answer, DriverError};
use super::submits::{NewJobs, Submitted};
use super::sums;

pub(super) type Task = Pin<Box<dyn Future<Output = Done> + Send>>;

/// A side task is done. Variants that carry an answer are sent to their asker by the driver, after the driver has taken
/// note, so that nobody can see an answer that the driver does not know of yet.
pub(super) enum Done {
    /// Nothing is left to do.
    Nothing,
    /// Some stored jobs have been read at the start.
    Stored(Result<Vec<StoredJob>, StoreError>),
    /// Canceled and deleted jobs whose bytes are still there.
    Leftovers(Vec<JobRow>),
    /// Jobs have been accepted.
    Submitted { submitted: Result<Submitted, StoreError>, answer: Answer<Submitted> },
    /// A request to accept jobs has been carried out, now or before.
    SubmittedOnce { jobs: NewJobs, once: Result<Once, StoreError>, now_ms: i64, answer: Answer<Once> },
    /// A user's action is stored.
    Acted { row: Result<JobRow, DriverError>, answer: Answer<JobRow>, nudge: bool },
    /// A user's action on many jobs is stored.
    ActedAll { rows: Result<Vec<JobRow>, StoreError>, answer: Answer<u64> },
    /// A user's change is stored.
    Patched { id: JobId, row: Result<JobRow, DriverError>, answer: Answer<JobRow> },
    /// A job has a new URL or new headers, or keeps those that it had.
    Renewed { row: Result<JobRow, DriverError>, answer: Answer<JobRow> },
    /// Bytes that a worker has read beyond its end were compared with those that are there.
    SeamCompared { id: JobId, at: u64, differs: Option<Fault> },
    /// A job is hidden and can be let go.
    Hidden { rows: Result<Vec<JobRow>, StoreError>, id: JobId, answer: Answer<()> },
    /// All jobs that had ended are hidden.
    EndedHidden { ids: Result<Vec<JobId>, StoreError>, answer: Answer<u64> },
    /// The deletion of a job is taken back, or not.
    Restored { id: JobId, row: Result<JobRow, DriverError>, answer: Answer<JobRow> },
    /// A deleted job has been read, to be removed.
    ToDiscard { id: JobId, row: Result<Option<JobRow>, StoreError> },
    /// A stored job has been read, to go on with.
    Loaded { id: JobId, stored: Result<Option<StoredJob>, StoreError> },
    /// A stored job's part file has been looked at.
    Prepared { id: JobId, stored: Box<StoredJob>, found: Result<Found, Fault> },
    /// A job's disk has been looked at: its directory and its part file are open, and there is space; or why not.
    DiskReady { id: JobId, ready: Result<Ready, Fault> },
    /// The first answer has led to a name and a part file.
    PartReady { id: JobId, worker: WorkerId, made: Result<Made, Fault> },
    /// Rows are durable, or cannot be made so.
    Checkpointed { id: JobId, rows: Result<(JobRows, Vec<Span>), Unsaved> },
    /// Some more of a job's file is hashed.
    Followed { id: JobId, followed: Result<Box<Follower>, Fault> },
    /// A request for the file that holds a job's checksum has ended.
    SidecarEnded { id: JobId, attempt: u32, checksum: Result<Checksum, Fault> },
    /// That file is to be asked for once more.
    SidecarDue { id: JobId, attempt: u32 },
    /// The checksum that it told is stored.
    ChecksumKnown { id: JobId, row: Result<JobRow, UpdateError> },
    /// A job that is to be verified has been read.
    ToVerify { repair: bool, row: Result<Option<JobRow>, StoreError>, answer: Answer<JobRow> },
    /// What was found of a job's file is stored.
    Verified { id: JobId },
    /// A complete job has been taken up again to be repaired.
    Reopened { id: JobId, row: Result<JobRow, UpdateError> },
    /// A job's bytes that are not durable are given up; the rows that are left.
    RolledBack { id: JobId, rows: Result<Vec<Chunk>, StoreError> },
    /// It is stored that a job has no bytes.
    Forgotten { id: JobId },
    /// Rows are marked as written, or not.
    Marked(Result<(), StoreError>),
    /// A job's bytes are dropped.
    Reset { id: JobId, row: Result<JobRow, Fault> },
    /// A job's rows are stored anew; its part file, where that had to be opened again.
    Rewritten { id: JobId, part: Result<Option<PartFile>, Fault> },
    /// A job's list of mirrors, with those that it has got.
    MirrorsAdded { id: JobId, mirrors: Result<Vec<Mirror>, UpdateError>, answer: Option<Answer<usize>> },
    /// A job's file is in place, or not.
    Sealed { id: JobId, row: Result<JobRow, Unsealed> },
    /// A job is settled and can be forgotten here.
    Settled { id: JobId },
}

/// Why rows are not durable.
pub(super) enum Unsaved {
    /// The part file could not be synced: what was written may be lost, whatever a later sync says.
    Unsynced(Fault),
    /// The bytes are safe, but the database did not take these rows.
    Unstored(JobRows, StoreError),
}

pub(super) type Reply = oneshot::Sender<Result<Arc<DiskFile>, Fault>>;

/// What a job needs before its workers can start.
pub(super) struct Ready {
    pub(super) place: Arc<Place>,
    /// Where it has been opened just now.
    pub(super) part: Option<PartFile>,
}

/// What became of a stored job's part file.
pub(super) enum Found {
    /// It is there, in its place, and this is what was found of its rows.
    Part { place: Arc<Place>, part: PartFile, compared: sums::Found },
    /// It is gone, or shorter than its rows say.
    Gone { place: Arc<Place> },
    /// It has its final name already: the daemon died between renaming and committing.
    Sealed { name: String },
}

/// A new part file and the row that names it.
pub(super) struct Made {
    pub(super) part: Option<PartFile>,
    pub(super) row: Box<JobRow>,
    /// Where the job is now, if it was sent to another directory.
    pub(super) moved: Option<Arc<Place>>,
}

/// Does something that blocks where that harms nobody.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Fault::new(FaultKind::Internal, "a file operation panicked; this is a defect of haul")))
}

/// Stores something that must be stored before anything goes on: while the database's disk is full, again and again.
pub(super) async fn until_stored<T, F>(mut store: impl FnMut() -> F) -> Result<T, UpdateError>
where
    F: Future<Output = Result<T, UpdateError>>,
{
    loop {
        match store().await {
            Err(UpdateError::Store(StoreError::Full)) => tokio::time::sleep(FULL_PAUSE).await,
            stored => return stored,
        }
    }
}

/// How long a full database is left alone.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// A database failure as a job's fault: it is the disk's, and passes.
pub(super) fn store_fault(error: &UpdateError) -> Fault {
    let kind = match error {
        UpdateError::Store(StoreError::Full) => FaultKind::DiskFull,
        UpdateError::Store(_)
        | UpdateError::Unknown
        | UpdateError::NameTaken
        | UpdateError::Past(_)
        | UpdateError::Changed => FaultKind::Internal,
        _ => FaultKind::Internal,
    };
    Fault::new(kind, format!("the database did not take the job's progress: {error}"))
}
