//! How far a job is, in the order of truth: written, then durable.

use haul_core::{Chunk, JobId};

use crate::rows::chunks::{self, Mark};
use crate::rows::{at_work, jobs};
use crate::writer::Lane;
use crate::{JobRow, JobRows, Store, StoreError, UpdateError};

impl Store {
    /// Forgets the bytes of a job and what its server said of the file; its name and its part file stay.
    /// `is_restart` counts it as one.
    ///
    /// Marks that were noted before must not be submitted after it.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn reset_chunks(&self, id: JobId, is_restart: bool, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.durable(move |conn| jobs::reset(conn, id, is_restart, now_ms)).await
    }

    /// Puts these rows in the place of all that a job has, because some of them have lost bytes. What was durable of the
    /// bytes that are left stays so. A job that is gone, completed or canceled is passed over.
    ///
    /// Marks that were noted before must not be submitted after it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn rewrite_chunks(&self, job: JobRows) -> Result<(), StoreError> {
        self.durable(move |conn| Ok(chunks::rewrite(conn, &job)?)).await
    }

    /// Gives up what a job has written and not made durable, because it may be lost. Answers with the rows that are left.
    ///
    /// Marks that were noted before must not be submitted after it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn roll_back(&self, id: JobId) -> Result<Vec<Chunk>, StoreError> {
        self.durable(move |conn| Ok(chunks::roll_back(conn, id)?)).await
    }

    /// Notes bytes that survive a power cut. They must have been synced before. Jobs that are gone, completed or
    /// canceled are passed over.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then no mark was set.
    pub async fn checkpoint(&self, jobs: Vec<JobRows>) -> Result<(), StoreError> {
        self.mark(Lane::Durable, Mark::Durable, jobs).await
    }

    /// Notes bytes that survive the end of the process, without waiting for the disk. Jobs that are gone, completed or
    /// canceled are passed over.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then no mark was set.
    pub async fn mark_written(&self, jobs: Vec<JobRows>) -> Result<(), StoreError> {
        if self.0.readers == 0 {
            // There, each commit waits for a disk elsewhere; a kill costs what came since the last checkpoint.
            return Ok(());
        }
        self.mark(Lane::Written, Mark::Written, jobs).await
    }

    /// Notes that a job is being worked on, in so many runs of the process one after the other.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn begin_work(&self, id: JobId, runs: u32) -> Result<(), StoreError> {
        self.submit(Lane::Written, move |conn| Ok(at_work::begin(conn, id, runs)?)).await
    }

    /// Notes that the process has survived its work on a job. Marks that say of new bytes, and the end of a job, note
    /// the same.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn survived_work(&self, id: JobId) -> Result<(), StoreError> {
        self.submit(Lane::Written, move |conn| Ok(at_work::survived(conn, id)?)).await
    }

    async fn mark(&self, lane: Lane, mark: Mark, jobs: Vec<JobRows>) -> Result<(), StoreError> {
        self.submit(lane, move |conn| {
            for job in &jobs {
                chunks::mark(conn, job, mark)?;
            }
            Ok(())
        })
        .await
    }
}
