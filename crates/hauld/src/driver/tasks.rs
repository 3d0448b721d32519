//! Work that the driver has begun and does not wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use haul_core::{Fault, FaultKind, JobId, WorkerId};
use haul_store::{JobRow, JobRows, Mirror, StoreError, StoredJob, UpdateError};
use haul_transfer::{PartFile, Place};
use tokio::sync::oneshot;

use super::handle::{Answer, DriverError};

pub(super) type Task = Pin<Box<dyn Future<Output = Done> + Send>>;

/// A side task is done. Variants that carry an answer are sent to their asker by the driver, after the driver has taken
/// note, so that nobody can see an answer that the driver does not know of yet.
pub(super) enum Done {
    /// Nothing is left to do.
    Nothing,
    /// Some stored jobs have been read at the start.
    Stored(Result<Vec<StoredJob>, StoreError>),
    /// Jobs have been accepted.
    Submitted { rows: Result<Vec<JobRow>, StoreError>, answer: Answer<Vec<JobRow>> },
    /// A user's action is stored.
    Acted { row: Result<JobRow, DriverError>, answer: Answer<JobRow>, nudge: bool },
    /// A user's action on many jobs is stored.
    ActedAll { rows: Result<Vec<JobRow>, StoreError>, answer: Answer<u64> },
    /// A user's change is stored.
    Patched { row: Result<JobRow, DriverError>, answer: Answer<JobRow> },
    /// A job has a new URL or new headers, or keeps those that it had.
    Renewed { row: Result<JobRow, DriverError>, answer: Answer<JobRow> },
    /// Bytes that a worker has read beyond its end were compared with those that are there.
    SeamCompared { id: JobId, at: u64, differs: Option<Fault> },
    /// A job is hidden and can be let go.
    Hidden { rows: Result<Vec<JobRow>, StoreError>, id: JobId, files: bool, answer: Answer<()> },
    /// A stored job has been read, to go on with.
    Loaded { id: JobId, stored: Result<Option<StoredJob>, StoreError> },
    /// A stored job's part file has been looked at.
    Prepared { id: JobId, stored: Box<StoredJob>, found: Result<Found, Fault> },
    /// A job's directory is open.
    PlaceOpened { id: JobId, place: Result<Arc<Place>, Fault> },
    /// The first answer has led to a name and a part file.
    PartReady { id: JobId, worker: WorkerId, made: Result<Made, Fault> },
    /// Rows are durable, or cannot be made so.
    Checkpointed { id: JobId, rows: Result<JobRows, Unsaved> },
    /// A job's bytes are dropped.
    Reset { id: JobId, row: Result<JobRow, Fault> },
    /// A job's rows are stored anew; its part file, where that had to be opened again.
    Rewritten { id: JobId, part: Result<Option<PartFile>, Fault> },
    /// A job's list of mirrors, with those that it has got.
    MirrorsAdded { id: JobId, mirrors: Result<Vec<Mirror>, UpdateError> },
    /// A job's file is in place, or not.
    Sealed { id: JobId, row: Result<JobRow, Fault> },
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

pub(super) type Reply = oneshot::Sender<Result<Arc<std::fs::File>, Fault>>;

/// What became of a stored job's part file.
pub(super) enum Found {
    /// It is there, in its place.
    Part { place: Arc<Place>, part: PartFile },
    /// It is gone, or shorter than its rows say.
    Gone { place: Arc<Place> },
    /// It has its final name already: the daemon died between renaming and committing.
    Sealed { name: String },
}

/// A new part file and the row that names it.
pub(super) struct Made {
    pub(super) part: Option<PartFile>,
    pub(super) row: Box<JobRow>,
}

/// Does something that blocks where that harms nobody.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Fault::new(FaultKind::Internal, "a file operation panicked; this is a defect of haul")))
}

/// A database failure as a job's fault: it is the disk's, and passes.
pub(super) fn store_fault(error: &UpdateError) -> Fault {
    let kind = match error {
        UpdateError::Store(StoreError::Full) => FaultKind::DiskFull,
        UpdateError::Store(_) | UpdateError::Unknown | UpdateError::NameTaken => FaultKind::Internal,
        _ => FaultKind::Internal,
    };
    Fault::new(kind, format!("the database did not take the job's progress: {error}"))
}
