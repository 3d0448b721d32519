//! What changes of a job: by its user, by its server, and by how its download goes.

use haul_core::{Action, Changed, JobId, Phase};

use crate::rows::{jobs, list, validators};
use crate::{
    ActError, Filter, Identity, JobPatch, JobRow, JobRows, Mirror, Part, PhaseChange, Reason, Stamp, Store, StoreError,
    UpdateError, Validators,
};

impl Store {
    /// Carries out a user's action on a job and answers with its row.
    ///
    /// # Errors
    ///
    /// [`ActError`]; then nothing has changed.
    pub async fn act(&self, id: JobId, action: Action, now_ms: i64) -> Result<(Changed, JobRow), ActError> {
        self.durable(move |conn| jobs::act(conn, id, action, now_ms)).await
    }

    /// Carries out a user's action on all jobs that `filter` means, passing over those that refuse it. Answers with
    /// the ids of those that it has changed, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then no job has changed.
    pub async fn act_all(&self, action: Action, filter: Filter, now_ms: i64) -> Result<Vec<JobId>, StoreError> {
        self.durable(move |conn| list::act_on_all(conn, action, &filter, now_ms)).await
    }

    /// Changes what the user wishes of a job.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn patch(&self, id: JobId, patch: JobPatch, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.durable(move |conn| jobs::patch(conn, id, patch, now_ms)).await
    }

    /// Notes what the server said of the file in place of what was noted before, and reserves the final name within the
    /// job's directory. The first time also counts as the job's start.
    ///
    /// # Errors
    ///
    /// [`UpdateError::NameTaken`] when another live job has that name: choose another one.
    pub async fn set_opened(&self, id: JobId, identity: Identity, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.durable(move |conn| jobs::set_opened(conn, id, identity, None, now_ms)).await
    }

    /// [`Store::set_opened`] for a file that goes to this directory, because of what the server said of it.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn set_opened_in(
        &self,
        id: JobId,
        identity: Identity,
        dir: String,
        now_ms: i64,
    ) -> Result<JobRow, UpdateError> {
        self.durable(move |conn| jobs::set_opened(conn, id, identity, Some(dir), now_ms)).await
    }

    /// Notes the part file that was created for a job, or that it is gone.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn set_part(&self, id: JobId, part: Option<Part>, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.edit_unseen(id, now_ms, move |row| row.part = part).await
    }

    /// Notes that the part file of a job was set aside under this name, because it is of an earlier version; or that none
    /// is kept any more.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn set_kept_part(&self, id: JobId, name: Option<String>, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.edit_unseen(id, now_ms, move |row| {
            if name.is_some() {
                row.part = None;
            }
            row.kept_part = name;
        })
        .await
    }

    /// Notes what a server calls the version that a job has, in place of what was noted of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn set_validators(&self, id: JobId, validators: Validators) -> Result<(), StoreError> {
        self.durable(move |conn| Ok(validators::put(conn, id, &validators)?)).await
    }

    /// Notes why a job waits, or that it no longer does. A job that is not fetching or verifying keeps its reason.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn set_reason(&self, id: JobId, reason: Option<Reason>, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.edit(id, now_ms, move |row| {
            if matches!(row.lifecycle.phase, Phase::Fetching | Phase::Verifying) {
                row.reason = reason;
            }
        })
        .await
    }

    /// Notes a step of the work. A job that is completed or canceled stays as it is: the answer is [`Changed::No`] and
    /// what is there.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn set_phase(
        &self,
        id: JobId,
        change: PhaseChange,
        now_ms: i64,
    ) -> Result<(Changed, JobRow), UpdateError> {
        self.durable(move |conn| jobs::set_phase(conn, id, change, now_ms)).await
    }

    /// Notes what the part files of some jobs look like at rest. The next mark of such a job voids that: then it is being
    /// written again.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn note_at_rest(&self, stamps: Vec<(JobId, Stamp)>, now_ms: i64) -> Result<(), StoreError> {
        self.durable(move |conn| {
            for (id, stamp) in stamps {
                match jobs::edit_unseen(conn, id, now_ms, |row| row.stamp = Some(stamp)) {
                    Ok(_)
                    | Err(
                        UpdateError::Unknown | UpdateError::NameTaken | UpdateError::Past(_) | UpdateError::Changed,
                    ) => {}
                    Err(UpdateError::Store(error)) => return Err(error),
                }
            }
            Ok(())
        })
        .await
    }

    /// Notes the digest that a job's file must have, now that it is known.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn set_checksum(&self, id: JobId, checksum: String, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.edit(id, now_ms, move |row| row.wish.checksum = Some(checksum)).await
    }

    /// Notes what was found when a job's file was verified on demand.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn set_verified(&self, id: JobId, verified: String, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.edit(id, now_ms, move |row| row.verified = Some(verified)).await
    }

    /// Takes a complete job up again: with these rows in the place of its own, of which some lack bytes. `part` is its
    /// file, which may still have its final name. A job that is not complete stays as it is: the answer is
    /// [`Changed::No`] and what is there.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn reopen(&self, rows: JobRows, part: Part, now_ms: i64) -> Result<(Changed, JobRow), UpdateError> {
        self.durable(move |conn| jobs::reopen(conn, &rows, part, now_ms)).await
    }

    /// Adds mirrors to a job, as long as they are new to it and it has no more than `max`, its own URL among them.
    /// Answers with all that it has then beyond its URL.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn add_mirrors(&self, id: JobId, new: Vec<Mirror>, max: usize) -> Result<Vec<Mirror>, UpdateError> {
        self.durable(move |conn| jobs::add_mirrors(conn, id, new, max)).await
    }

    async fn edit(
        &self,
        id: JobId,
        now_ms: i64,
        change: impl FnOnce(&mut JobRow) + Send + 'static,
    ) -> Result<JobRow, UpdateError> {
        self.durable(move |conn| jobs::edit(conn, id, now_ms, change)).await
    }

    async fn edit_unseen(
        &self,
        id: JobId,
        now_ms: i64,
        change: impl FnOnce(&mut JobRow) + Send + 'static,
    ) -> Result<JobRow, UpdateError> {
        self.durable(move |conn| jobs::edit_unseen(conn, id, now_ms, change)).await
    }
}
