//! Jobs come, and go again.

use std::sync::Arc;

use haul_core::JobId;

use crate::rows::accept::{self, Accepting, Same};
use crate::rows::requests::{self, Known};
use crate::rows::{jobs, queue};
use crate::{
    Inserted, JobRow, Maker, NewJob, OnDuplicate, Once, OnceAnswer, OnceRequest, Sameness, Store, StoreError,
    UpdateError,
};

impl Store {
    /// Accepts jobs, all or none of them, and answers with their ids in the same order.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then no job was accepted. [`StoreError::TooManyJobs`] where a token would have more than it may.
    pub async fn insert_jobs(&self, new: Vec<NewJob>, now_ms: i64) -> Result<Vec<JobId>, StoreError> {
        self.durable(move |conn| {
            let mut accepting = Accepting::begin(conn, now_ms)?;
            new.iter().map(|job| accepting.insert_within_quota(job)).collect()
        })
        .await
    }

    /// Accepts jobs, all or none of them, but those that are the same as one that is there. Answers in the same order.
    ///
    /// `gone` are complete jobs whose files are not there any more: nothing is the same as they.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then no job was accepted.
    pub async fn insert_unless_same(
        &self,
        new: Arc<[(NewJob, OnDuplicate)]>,
        gone: Vec<JobId>,
        now_ms: i64,
    ) -> Result<Vec<Inserted>, StoreError> {
        self.durable(move |conn| accept::insert_all_unless_same(conn, &new, &gone, now_ms)).await
    }

    /// The same, unless this request has been carried out before; its answer, which `answer` makes of what became of the
    /// jobs, is remembered with them. An answer that refuses it is not: then nothing was done, and it may be tried again.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then no job was accepted.
    pub async fn insert_once(
        &self,
        new: Arc<[(NewJob, OnDuplicate)]>,
        gone: Vec<JobId>,
        request: OnceRequest,
        answer: impl FnOnce(&[Inserted]) -> OnceAnswer + Send + 'static,
        now_ms: i64,
    ) -> Result<Once, StoreError> {
        self.durable(move |conn| {
            match requests::find(conn, &request, now_ms)? {
                Known::Same(answer) => return Ok(Once::Again(answer)),
                Known::Other => return Ok(Once::Other),
                Known::No => {}
            }
            let inserted = accept::insert_all_unless_same(conn, &new, &gone, now_ms)?;
            let answer = answer(&inserted);
            if answer.status < 400 {
                requests::put(conn, &request, &answer, now_ms)?;
            }
            Ok(Once::First(inserted, answer))
        })
        .await
    }

    /// Jobs that are the same as one of these wishes and have not ended without a file, a few at most of each.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn same(&self, wanted: Vec<(Sameness, Option<Maker>)>) -> Result<Vec<JobRow>, StoreError> {
        self.read(move |conn| {
            // One lock for all of them; where nobody else can hold it there may be a transaction already.
            let _transaction = conn.is_autocommit().then(|| conn.unchecked_transaction()).transpose()?;
            let mut same = Same::new(conn)?;
            let mut rows = Vec::new();
            for (sameness, maker) in wanted {
                rows.extend(same.rows(sameness, maker)?);
            }
            Ok(rows)
        })
        .await
    }

    /// Hides jobs from all lists and actions, and notes whether what they saved is to go with them; answers with those that
    /// were not hidden yet. Their names are free at once.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn hide_jobs(&self, ids: Vec<JobId>, files: bool, now_ms: i64) -> Result<Vec<JobRow>, StoreError> {
        self.durable(move |conn| Ok(jobs::hide(conn, &ids, files, now_ms)?)).await
    }

    /// Hides a job that is in this version.
    ///
    /// # Errors
    ///
    /// [`UpdateError::Changed`] when it is in another one; then nothing has changed.
    pub async fn hide_version(&self, id: JobId, files: bool, version: u64, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.durable(move |conn| jobs::hide_version(conn, id, files, version, now_ms)).await
    }

    /// Shows hidden jobs again; answers with those that were hidden. One whose name another job has reserved meanwhile
    /// comes back without one.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn restore_jobs(&self, ids: Vec<JobId>, now_ms: i64) -> Result<Vec<JobRow>, UpdateError> {
        self.durable(move |conn| jobs::restore(conn, &ids, now_ms)).await
    }

    /// Removes jobs, hidden or not, with their chunks; answers with what they were.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn delete_jobs(&self, ids: Vec<JobId>) -> Result<Vec<JobRow>, StoreError> {
        self.durable(move |conn| Ok(jobs::delete(conn, &ids)?)).await
    }

    /// Hides all jobs that have ended, and tells which those are. Their files stay.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn hide_ended(&self, now_ms: i64) -> Result<Vec<JobId>, StoreError> {
        self.durable(move |conn| Ok(queue::hide_ended(conn, now_ms)?)).await
    }
}
