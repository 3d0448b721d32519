//! What is told without being asked: that jobs begin, rest, end.
//!
//! Like a stream of events, this has no queue: it reads the log of events behind the last one that it has told. That a job has
//! begun stands there within a second, how it has ended at once.

use std::collections::{HashSet, VecDeque};

use haul_api::JobState;
use haul_core::JobId;
use haul_store::{EventFilter, EventKind, EventPage, JobEvent, StoreError};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use super::gid;
use crate::access::Caller;
use crate::api::Api;

/// Events that are read at once. A guess, as for streams.
const PAGE: u32 = 64;

const START: &str = "aria2.onDownloadStart";
const PAUSE: &str = "aria2.onDownloadPause";
const STOP: &str = "aria2.onDownloadStop";
const COMPLETE: &str = "aria2.onDownloadComplete";
const ERROR: &str = "aria2.onDownloadError";

/// All that aria2 has; the last one is never told.
pub(super) const NAMES: [&str; 6] = [START, PAUSE, STOP, COMPLETE, ERROR, "aria2.onBtDownloadComplete"];

/// Kinds of events of which something may follow.
const KINDS: [&str; 9] =
    ["probing", "active", "queued", "waiting", "paused", "canceled", "deleted", "completed", "failed"];

/// The moment from which on somebody is told.
pub(super) struct Moment {
    read_to: u64,
    /// The jobs that are at work.
    at_work: AtWork,
}

impl Moment {
    pub(super) async fn now(api: &Api) -> Result<Self, Fault> {
        let read_to = *api.store.newest_event().borrow();
        let moving = api.driver.progress().await?.into_iter().filter(|moving| {
            matches!(moving.progress.state, JobState::Probing | JobState::Active | JobState::Verifying)
        });
        Ok(Self { read_to, at_work: AtWork(moving.map(|moving| JobId(moving.progress.id)).collect()) })
    }
}

/// What one socket is told.
pub(super) struct Notices {
    filter: EventFilter,
    read_to: u64,
    at_work: AtWork,
    newest: watch::Receiver<u64>,
    /// Not told yet: those of a page at most, two of an event.
    ready: VecDeque<Value>,
    revoked: CancellationToken,
}

impl Notices {
    /// Tells this caller what has happened since.
    pub(super) fn since(moment: Moment, api: &Api, caller: Caller) -> Self {
        let kinds = KINDS.map(str::to_owned).to_vec();
        let mut newest = api.store.newest_event();
        newest.mark_changed();
        Self {
            filter: EventFilter { token: caller.only_of(), kinds, ..EventFilter::default() },
            read_to: moment.read_to,
            at_work: moment.at_work,
            newest,
            ready: VecDeque::new(),
            revoked: api.access.until_revoked(caller),
        }
    }

    /// What comes next; `None` when nothing more will.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was read and not told is read again.
    pub(super) async fn next(&mut self, api: &Api) -> Option<Value> {
        loop {
            if let Some(notice) = self.ready.pop_front() {
                return Some(notice);
            }
            if *self.newest.borrow_and_update() > self.read_to {
                self.read(api).await.ok()?;
                continue;
            }
            tokio::select! {
                biased;
                () = self.revoked.cancelled() => return None,
                changed = self.newest.changed() => changed.ok()?,
            }
        }
    }

    async fn read(&mut self, api: &Api) -> Result<(), StoreError> {
        let page = api.store.events_of_all(self.read_to, PAGE, self.filter.clone()).await?;
        let EventPage { events, read_to, .. } = page;
        let names = gid::names(&api.store, events.iter().map(|event| event.job).collect()).await?;
        // Nothing is awaited from here on.
        for event in &events {
            let gid = names.get(&event.job).map_or("", String::as_str);
            self.ready.extend(self.at_work.names(event).map(|name| notice(name, gid)));
        }
        self.read_to = read_to;
        Ok(())
    }
}

fn notice(name: &str, gid: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": name, "params": [{"gid": gid}]})
}

/// The jobs that are at work, as far as has been told.
#[derive(Debug, Default)]
struct AtWork(HashSet<JobId>);

impl AtWork {
    /// What follows from an event.
    fn names(&mut self, event: &JobEvent) -> impl Iterator<Item = &'static str> + use<> {
        let job = event.job;
        let (first, second) = match &event.kind {
            EventKind::Probing | EventKind::Active => (self.0.insert(job).then_some(START), None),
            EventKind::Paused => (self.0.remove(&job).then_some(PAUSE), None),
            EventKind::Canceled | EventKind::Deleted => (self.0.remove(&job).then_some(STOP), None),
            // A job that had ended before it was seen to begin has begun, too.
            EventKind::Completed { .. } => ((!self.0.remove(&job)).then_some(START), Some(COMPLETE)),
            EventKind::Failed { .. } => ((!self.0.remove(&job)).then_some(START), Some(ERROR)),
            EventKind::Queued | EventKind::Waiting { .. } => {
                self.0.remove(&job);
                (None, None)
            }
            EventKind::Accepted { .. }
            | EventKind::Resumed
            | EventKind::Retried
            | EventKind::Edited { .. }
            | EventKind::Restored
            | EventKind::Started { .. }
            | EventKind::Verifying
            | EventKind::TakenUp { .. }
            | EventKind::Restarted { .. }
            | EventKind::BytesDropped { .. }
            | EventKind::Fault { .. }
            | EventKind::Strike { .. }
            | EventKind::Replaced { .. }
            | EventKind::HostCap { .. }
            | EventKind::HostWaits { .. }
            | EventKind::SingleConnection
            | EventKind::LinkTriedAgain
            | EventKind::MirrorsAdded { .. }
            | EventKind::MirrorProven { .. }
            | EventKind::MirrorDropped { .. }
            | EventKind::ValidatorsVary { .. }
            | EventKind::Conflict { .. }
            | EventKind::Healing { .. } => (None, None),
        };
        first.into_iter().chain(second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of these events of one job.
    fn told(kinds: Vec<EventKind>) -> Vec<&'static str> {
        let mut at_work = AtWork::default();
        let event = |kind| JobEvent { id: 1, job: JobId(1), at_ms: 0, kind };
        kinds.into_iter().map(event).flat_map(|event| at_work.names(&event).collect::<Vec<_>>()).collect()
    }

    fn completed() -> EventKind {
        EventKind::Completed { path: None, total_bytes: 1, verification: None }
    }

    #[test]
    fn a_job_begins_once_and_ends_once() {
        use EventKind::{Active, Canceled, Deleted, Paused, Probing, Queued, Resumed};
        assert_eq!(told(vec![Queued, Probing, Active, completed(), Deleted]), [START, COMPLETE]);
        assert_eq!(told(vec![completed()]), [START, COMPLETE], "too fast to be seen");
        let failed = EventKind::Failed { code: None, detail: None };
        assert_eq!(told(vec![Probing, failed]), [START, ERROR]);
        assert_eq!(told(vec![Probing, Paused, Resumed, Active, Canceled]), [START, PAUSE, START, STOP]);
        assert_eq!(told(vec![Active, Deleted]), [START, STOP]);
        // One that waits rests already.
        assert!(told(vec![Queued, Paused, Canceled]).is_empty());
        assert!(told(vec![Paused, Deleted]).is_empty());
        assert_eq!(told(vec![Active, Queued, Active]), [START, START], "another one had its slot meanwhile");
    }

    #[test]
    fn kinds_are_spelled_as_they_are_stored() {
        assert!(KINDS.iter().all(|kind| EventKind::WORDS.contains(kind)));
    }
}
