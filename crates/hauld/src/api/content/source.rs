//! Where the bytes of a job's file are, at the moment: in a part file that is being written, in one at rest, or in place.

use std::io;
use std::path::Path;
use std::sync::Arc;

use haul_core::{JobId, Ledger, Phase};
use haul_store::{JobRow, StoreError, StoredJob};
use haul_transfer::{DiskFile, PartFile, SealedFile};
use tokio::sync::broadcast::Receiver;

use crate::api::Api;
use crate::driver::{DriverError, Reading, Version, final_name};
use crate::submit::Roots;

/// Why there are no bytes. The reader of a body sees a broken connection; the log has the words.
#[derive(Debug, thiserror::Error)]
pub(super) enum Gone {
    #[error("the job has failed, was given up, or is deleted")]
    Ended,
    #[error("the file has become another one meanwhile")]
    Changed,
    #[error("the file is not there any more")]
    Missing,
    #[error("the daemon is stopping")]
    Stopping,
    #[error("the database failed: {0}")]
    Store(#[from] StoreError),
    #[error("cannot read the file: {0}")]
    Disk(String),
}

impl From<Gone> for io::Error {
    fn from(gone: Gone) -> Self {
        Self::other(gone.to_string())
    }
}

/// An open file, and how far its bytes are there.
pub(super) struct Available {
    pub(super) file: Arc<DiskFile>,
    pub(super) until: u64,
    pub(super) total: Option<u64>,
}

/// Somebody who reads. When it is dropped, nothing is fetched for it any more.
pub(super) struct Source {
    api: Api,
    id: JobId,
    /// The driver holds on to this reader as long as this is there.
    alive: Arc<()>,
    /// Times that the file was begun anew, and that bytes of it were dropped; it must stay so.
    began: Option<(u32, u32)>,
    /// The length that the reader was told.
    promised: Option<u64>,
    sealed: Option<(Arc<DiskFile>, u64)>,
}

impl Source {
    pub(super) fn new(api: Api, id: JobId) -> Self {
        Self { api, id, alive: Arc::new(()), began: None, promised: None, sealed: None }
    }

    /// The reader is told this length: from now on the file must have it.
    pub(super) fn promise(&mut self, total: Option<u64>) {
        self.promised = total;
    }

    /// Waits until the byte at `at` is there, or the file is known to end before it.
    pub(super) async fn available(&mut self, at: u64) -> Result<Available, Gone> {
        if let Some((file, len)) = &self.sealed {
            return Ok(Available { file: Arc::clone(file), until: *len, total: Some(*len) });
        }
        loop {
            // Before the look, so that no change is missed.
            let mut changes = self.api.driver.watch();
            let reading = self.api.driver.read(self.id, at, Arc::downgrade(&self.alive));
            let reading = tokio::select! {
                biased;
                () = self.api.stop.cancelled() => return Err(Gone::Stopping),
                reading = reading => reading.map_err(|error: DriverError| match error {
                    DriverError::Store(error) => Gone::Store(error),
                    DriverError::Refused(_) | DriverError::Declined(_) | DriverError::Stopping => Gone::Stopping,
                })?,
            };
            match reading {
                Reading::Bytes { file, until, version } => {
                    self.check(version)?;
                    return Ok(Available { file, until, total: version.total });
                }
                Reading::NotHere { dropped } => {
                    if let Some(available) = self.at_rest(at, dropped).await? {
                        return Ok(available);
                    }
                    self.changed(&mut changes).await?;
                }
            }
        }
    }

    /// The same for a job that nobody works on; nothing where it is to be waited for.
    async fn at_rest(&mut self, at: u64, dropped: u32) -> Result<Option<Available>, Gone> {
        let stored = self.api.store.stored_job(self.id).await?.ok_or(Gone::Ended)?;
        let total = stored.row.identity.total_bytes;
        let restarts = stored.row.restarts;
        let roots = Arc::clone(&self.api.roots);
        match stored.row.lifecycle.phase {
            Phase::Canceled | Phase::Failed => Err(Gone::Ended),
            Phase::Completed => {
                let sealed = blocking(move || open_sealed(&roots, &stored.row)).await?;
                let len = sealed.len;
                self.check(Version { total: Some(len), restarts, dropped })?;
                let file = Arc::new(sealed.file);
                self.sealed = Some((Arc::clone(&file), len));
                Ok(Some(Available { file, until: len, total: Some(len) }))
            }
            Phase::Fetching | Phase::Verifying => {
                let Some(total) = total else { return Ok(None) };
                self.check(Version { total: Some(total), restarts, dropped })?;
                let until = Ledger::restored(total, &stored.chunks).map_or(at, |ledger| ledger.done_until(at));
                if until <= at && at < total {
                    return Ok(None);
                }
                let part = blocking(move || open_part(&roots, &stored)).await?;
                Ok(Some(Available { file: Arc::clone(part.file()), until, total: Some(total) }))
            }
        }
    }

    /// What comes must be of the same file as what has gone.
    fn check(&mut self, version: Version) -> Result<(), Gone> {
        let began = (version.restarts, version.dropped);
        let is_same = *self.began.get_or_insert(began) == began;
        let fits = self.promised.is_none_or(|promised| version.total == Some(promised));
        if is_same && fits { Ok(()) } else { Err(Gone::Changed) }
    }

    /// Waits until the job has changed.
    async fn changed(&self, changes: &mut Receiver<JobId>) -> Result<(), Gone> {
        loop {
            tokio::select! {
                biased;
                () = self.api.stop.cancelled() => return Err(Gone::Stopping),
                // Who lags behind looks, too.
                change = changes.recv() => {
                    if change.is_ok_and(|id| id != self.id) {
                        continue;
                    }
                }
            }
            return Ok(());
        }
    }
}

/// Opens the file of a complete job, without following links. Blocks.
fn open_sealed(roots: &Roots, row: &JobRow) -> Result<SealedFile, Gone> {
    let place = roots.open(Path::new(&row.wish.dir)).map_err(|fault| Gone::Disk(fault.detail))?;
    let name = final_name(row).ok_or(Gone::Missing)?;
    let sealed = SealedFile::open(&Arc::new(place), name).map_err(|fault| Gone::Disk(fault.detail))?;
    sealed.ok_or(Gone::Missing)
}

/// Opens the part file of a job that is not complete. Blocks.
fn open_part(roots: &Roots, stored: &StoredJob) -> Result<PartFile, Gone> {
    let part = stored.row.part.as_ref().ok_or(Gone::Missing)?;
    let place = roots.open(Path::new(&stored.row.wish.dir)).map_err(|fault| Gone::Disk(fault.detail))?;
    let opened = PartFile::reopen(Arc::new(place), &part.name, part.dev, part.ino);
    opened.map_err(|fault| Gone::Disk(fault.detail))?.ok_or(Gone::Missing)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Gone> + Send + 'static,
) -> Result<T, Gone> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Gone::Disk("a file operation panicked".to_owned())))
}
