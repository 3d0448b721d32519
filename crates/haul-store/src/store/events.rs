//! What has happened, and who is still to be told of it.

use haul_core::JobId;
use tokio::sync::watch;

use crate::rows::{events, jobs, outbox};
use crate::writer::Lane;
use crate::{EventFilter, EventPage, JobEvent, NewEvent, Store, StoreError, Target, Untold, UntoldId};

impl Store {
    /// Adds to the history of jobs; those that are gone are passed over.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing was added.
    pub async fn note_events(&self, events: Vec<NewEvent>) -> Result<(), StoreError> {
        self.durable(move |conn| Ok(events::append_all(conn, &events)?)).await
    }

    /// The history of a job behind the event `after`, oldest first, `limit` at most, and whether there is more. `None`
    /// where there is no such job, or it is hidden.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn events(&self, id: JobId, after: u64, limit: u32) -> Result<Option<(Vec<JobEvent>, bool)>, StoreError> {
        self.read(move |conn| {
            let job = jobs::get_visible(conn, id)?;
            job.map(|_| events::page(conn, id, after, limit)).transpose()
        })
        .await
    }

    /// The id of the newest event, from now on. It is told once the event can be read.
    #[must_use]
    pub fn newest_event(&self) -> watch::Receiver<u64> {
        self.0.newest_event.clone()
    }

    /// The events of all jobs behind `after` that `filter` means, oldest first, `limit` at most.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn events_of_all(&self, after: u64, limit: u32, filter: EventFilter) -> Result<EventPage, StoreError> {
        self.read(move |conn| events::page_of_all(conn, after, limit, &filter)).await
    }

    /// Notes who is told of events from now on. What others have not been told of is forgotten; answers how much that was.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn set_targets(&self, targets: Vec<Target>) -> Result<u64, StoreError> {
        self.durable(move |conn| Ok(outbox::set_targets(conn, &targets)?)).await
    }

    /// The oldest event that a target has not been told of.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn first_untold(&self, target: String) -> Result<Option<Untold>, StoreError> {
        self.read(move |conn| outbox::first(conn, &target)).await
    }

    /// Notes that a target was told of an event, or never will be.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn told(&self, id: UntoldId) -> Result<(), StoreError> {
        self.durable(move |conn| Ok(outbox::remove(conn, id)?)).await
    }

    /// Notes that an attempt to tell of an event has failed, without waiting for the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn note_attempt(&self, id: UntoldId) -> Result<(), StoreError> {
        self.submit(Lane::Written, move |conn| Ok(outbox::note_attempt(conn, id)?)).await
    }

    /// The latest faults and failures of all jobs but hidden ones, the newest first, `limit` at most.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn last_errors(&self, limit: u32) -> Result<Vec<JobEvent>, StoreError> {
        self.read(move |conn| events::last_errors(conn, limit)).await
    }
}
