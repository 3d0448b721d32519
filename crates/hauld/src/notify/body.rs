//! What webhooks and hooks are told: the event, and the job as it is then.

use haul_api::{Event, Job};
use haul_core::{JobId, Phase};
use haul_store::{JobEvent, Store};
use jiff::Timestamp;
use serde::Serialize;
use tracing::debug;

use crate::convert;
use crate::driver::Handle;

/// The payload, as Standard Webhooks has it.
#[derive(Serialize)]
struct Payload {
    r#type: String,
    timestamp: Timestamp,
    data: Data,
}

#[derive(Serialize)]
struct Data {
    event: Event,
    /// `null` where it is deleted.
    job: Option<Job>,
}

/// Makes payloads.
pub(super) struct Bodies {
    store: Store,
    driver: Handle,
}

impl Bodies {
    pub(super) fn new(store: Store, driver: Handle) -> Self {
        Self { store, driver }
    }

    /// What is told of an event; `None` when the job cannot be looked at now.
    pub(super) async fn of(&self, event: &JobEvent) -> Option<Vec<u8>> {
        let job = self.job(event.job).await?;
        let event = convert::event(event);
        let payload = Payload { r#type: event.kind.clone(), timestamp: event.at, data: Data { event, job } };
        Some(serde_json::to_vec(&payload).expect("a payload is plain JSON"))
    }

    /// The job without secrets. The inner `None` means that there is none.
    async fn job(&self, id: JobId) -> Option<Option<Job>> {
        let row = self.store.job(id).await;
        let Some(row) = row.inspect_err(|error| debug!(%error, "a job cannot be read")).ok()? else {
            return Some(None);
        };
        let (mut live, _) = self.driver.live(vec![id]).await.ok()?;
        let limits = self.driver.limits().await.ok()?.limits;
        let may_run = matches!(row.lifecycle.phase, Phase::Fetching | Phase::Verifying);
        let live = live.remove(&id).filter(|_| may_run);
        let mut job = convert::job(&row, live.as_ref(), &limits);
        convert::mask_queries(&mut job);
        Some(Some(job))
    }
}
