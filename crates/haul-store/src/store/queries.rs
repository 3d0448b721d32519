//! Questions about jobs, which change nothing.

use std::collections::{BTreeMap, HashSet};

use haul_core::{JobId, Lifecycle};

use crate::rows::{chunks, gids, jobs, list, queue};
use crate::{Backlog, ChunkRow, Cursor, JobRow, Page, Slice, Store, StoreError, StoredJob, TokenId, Waiting};

impl Store {
    /// A deleted job that is still there.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn hidden_job(&self, id: JobId) -> Result<Option<JobRow>, StoreError> {
        self.read(move |conn| Ok(jobs::get(conn, id)?.filter(|row| row.deleted_at_ms.is_some()))).await
    }

    /// A job, unless it is hidden.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn job(&self, id: JobId) -> Result<Option<JobRow>, StoreError> {
        self.read(move |conn| jobs::get_visible(conn, id)).await
    }

    /// Those of these jobs that are not hidden, by their ids.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn jobs_of(&self, ids: Vec<JobId>) -> Result<Vec<JobRow>, StoreError> {
        self.read(move |conn| queue::of(conn, &ids)).await
    }

    /// Some of the jobs that wait or are paused, the first in turn first; not those that are `at_work`, unless they are to be
    /// paused.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn waiting_jobs(
        &self,
        at_work: Vec<JobId>,
        token: Option<TokenId>,
        slice: Slice,
    ) -> Result<Vec<JobRow>, StoreError> {
        self.read(move |conn| queue::waiting(conn, &at_work, token, slice)).await
    }

    /// Where all these jobs stand, in their order.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn waiting_places(&self, at_work: Vec<JobId>) -> Result<Vec<Waiting>, StoreError> {
        self.read(move |conn| queue::places(conn, &at_work)).await
    }

    /// Some of the jobs that have ended, the last one first.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn ended_jobs(&self, token: Option<TokenId>, slice: Slice) -> Result<Vec<JobRow>, StoreError> {
        self.read(move |conn| queue::ended(conn, token, slice)).await
    }

    /// How many jobs wait or are paused, as [`waiting_jobs`](Self::waiting_jobs) has them, and how many have ended.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn backlog(&self, at_work: Vec<JobId>, token: Option<TokenId>) -> Result<Backlog, StoreError> {
        self.read(move |conn| queue::backlog(conn, &at_work, token)).await
    }

    /// The ids of all jobs but hidden ones.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn job_ids(&self) -> Result<Vec<JobId>, StoreError> {
        self.read(queue::ids).await
    }

    /// The job that a client of the aria2 dialect has chosen to call so.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn job_of_gid(&self, gid: String) -> Result<Option<JobId>, StoreError> {
        self.read(move |conn| gids::find(conn, &gid)).await
    }

    /// The jobs whose chosen names begin so, two at most.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn gids_beginning(&self, prefix: String) -> Result<Vec<(JobId, String)>, StoreError> {
        self.read(move |conn| gids::beginning(conn, &prefix)).await
    }

    /// What those of these jobs are called that have a chosen name, hidden or not.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn gids_of(&self, jobs: Vec<JobId>) -> Result<BTreeMap<JobId, String>, StoreError> {
        self.read(move |conn| gids::of(conn, &jobs)).await
    }

    /// A job with its chunks, unless it is hidden.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn stored_job(&self, id: JobId) -> Result<Option<StoredJob>, StoreError> {
        self.read(move |conn| {
            let row = jobs::get_visible(conn, id)?;
            row.map(|row| list::with_chunks(conn, row)).transpose()
        })
        .await
    }

    /// One page of jobs, and what to ask for as `after` next.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn jobs(&self, page: Page) -> Result<(Vec<JobRow>, Option<Cursor>), StoreError> {
        self.read(move |conn| list::page(conn, &page)).await
    }

    /// How many jobs there are in each stored state, hidden ones aside.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn count_by_state(&self) -> Result<Vec<(Lifecycle, u64)>, StoreError> {
        self.read(list::counts).await
    }

    /// The chunks of a job in the order of the file.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn chunks(&self, id: JobId) -> Result<Vec<ChunkRow>, StoreError> {
        self.read(move |conn| chunks::all(conn, id)).await
    }

    /// The next jobs that are fetching or verifying and not paused, with their chunks: oldest first, those after
    /// `after`, `limit` at most.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn unfinished(&self, after: Option<JobId>, limit: u32) -> Result<Vec<StoredJob>, StoreError> {
        self.read(move |conn| list::unfinished(conn, after, limit)).await
    }

    /// The names of all part files that jobs have, hidden jobs' too.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn part_names(&self) -> Result<HashSet<String>, StoreError> {
        self.read(jobs::part_names).await
    }

    /// The canceled jobs whose part file has not been removed, as far as their rows know; oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn canceled_with_part(&self) -> Result<Vec<JobRow>, StoreError> {
        self.read(list::canceled_with_part).await
    }

    /// The hidden jobs, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn hidden_jobs(&self) -> Result<Vec<JobRow>, StoreError> {
        self.read(list::hidden).await
    }
}
