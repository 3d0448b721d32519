//! What is done at a time of the clock: jobs that start later, and deletions that can be taken back for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use haul_core::{JobId, Refusal};
use haul_store::{JobRow, StoredJob, UpdateError};
use tracing::{error, info};

use super::Driver;
use super::handle::{Answer, DriverError};
use super::tasks::Done;
use crate::convert::now_ms;

/// How long a deletion can be taken back (DESIGN.md section 6).
pub(crate) const RESTORE_WITHIN: Duration = Duration::from_secs(10);

/// How often the clock is looked at while jobs wait for it: it may be set, and does not tell when the machine sleeps.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long to wait for a job that has not stopped yet.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Later {
    /// Jobs that wait for their start, by its time in Unix milliseconds.
    starts: BTreeSet<(i64, JobId)>,
    /// Deleted jobs, and when they go for good.
    deleted: BTreeMap<JobId, Instant>,
}

impl Later {
    /// When something may be due.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let start = self.starts.first().map(|(at_ms, _)| {
            let wait = u64::try_from(at_ms.saturating_sub(now_ms())).unwrap_or(0);
            // The clock is read with less than a millisecond cut off.
            Instant::now() + Duration::from_millis(wait.saturating_add(1)).min(LOOK_EVERY)
        });
        start.into_iter().chain(self.deleted.values().copied()).min()
    }
}

impl Driver {
    /// Keeps a job until its start, if that is to come.
    pub(super) fn keep_until_start(&mut self, row: &JobRow) -> bool {
        let Some(at_ms) = row.wish.start_at_ms.filter(|at_ms| *at_ms > now_ms()) else { return false };
        self.later.starts.insert((at_ms, row.id));
        true
    }

    /// Goes on with a job that wants to run, now or when it is to start.
    pub(super) fn take_up_in_time(&mut self, stored: StoredJob) {
        if !self.keep_until_start(&stored.row) {
            self.take_up(stored);
        }
    }

    /// Does what is due.
    pub(super) fn do_what_is_due(&mut self) {
        while let Some(&(at_ms, id)) = self.later.starts.first().filter(|(at_ms, _)| *at_ms <= now_ms()) {
            self.later.starts.remove(&(at_ms, id));
            info!(job = id.0, "its time has come");
            self.load(id);
        }
        let now = Instant::now();
        let due: Vec<JobId> = self.later.deleted.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        for id in due {
            if self.jobs.contains_key(&id) {
                // Its file is being written or sealed still.
                self.later.deleted.insert(id, now + AGAIN_AFTER);
            } else {
                self.later.deleted.remove(&id);
                self.delete_for_good(id);
            }
        }
    }

    /// A job was deleted; it can be brought back for a while.
    pub(super) fn deleted(&mut self, id: JobId) {
        self.later.deleted.insert(id, Instant::now() + RESTORE_WITHIN);
    }

    fn delete_for_good(&mut self, id: JobId) {
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move { Done::ToDiscard { id, row: store.hidden_job(id).await } }));
    }

    /// A deleted job has been read, to be removed.
    pub(super) fn discard_deleted(&mut self, id: JobId, row: Result<Option<JobRow>, haul_store::StoreError>) {
        match row {
            Ok(Some(row)) => {
                let files = row.delete_files;
                self.discard_later(row, files);
            }
            Ok(None) => {}
            // It is hidden, so the next start deletes it.
            Err(error) => error!(job = id.0, %error, "cannot read a deleted job"),
        }
    }

    /// Takes a deletion back.
    pub(super) fn restore(&mut self, id: JobId, answer: Answer<JobRow>) {
        if self.later.deleted.remove(&id).is_none() {
            answer.send(Err(Refusal::UnknownJob.into())).ok();
            return;
        }
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            let rows = store.restore_jobs(vec![id], now_ms()).await.map_err(|error| match error {
                UpdateError::Store(error) => DriverError::from(error),
                UpdateError::Unknown | UpdateError::NameTaken | _ => DriverError::from(Refusal::UnknownJob),
            });
            let row = rows.and_then(|mut rows| rows.pop().ok_or_else(|| Refusal::UnknownJob.into()));
            Done::Restored { id, row, answer }
        }));
    }

    pub(super) fn restored(&mut self, id: JobId, row: Result<JobRow, DriverError>, answer: Answer<JobRow>) {
        match &row {
            Ok(row) => {
                info!(job = id.0, "is back");
                if let Some(running) = self.jobs.get_mut(&id) {
                    running.row.deleted_at_ms = None;
                    running.row.identity.name.clone_from(&row.identity.name);
                }
                if row.lifecycle.wants_to_run() && !self.keep_until_start(row) {
                    self.wanted(id, false);
                }
                self.announce(id);
            }
            // It is still hidden, and must go some day.
            Err(DriverError::Store(_)) => self.deleted(id),
            Err(_) => {}
        }
        answer.send(row).ok();
    }
}
