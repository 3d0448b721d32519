//! One reader of a stream: how far it has been told, and what comes next.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use haul_api::event::{LAGGED, PROGRESS};
use haul_api::{JobProgress, Lagged, Progress};
use haul_core::JobId;
use haul_store::{EventFilter, EventPage, JobEvent, Store};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, Interval, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::access::Caller;
use crate::api::Api;
use crate::convert;
use crate::driver::Moving;

/// Events that are read at once: what a stream holds at most. A guess: some 20 KB.
const PAGE: u32 = 64;

/// How often a stream says something although nothing happens, so that both sides notice when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What a reader wants to be told.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Whose events and progress.
    pub(super) filter: EventFilter,
    pub(super) events: bool,
    pub(super) progress: bool,
}

/// One reader.
pub(super) struct Follower {
    store: Store,
    stop: CancellationToken,
    /// Its token is revoked.
    revoked: CancellationToken,
    wanted: Wanted,
    /// Everything up to this event was told, or is not wanted.
    read_to: u64,
    /// The id that the reader has been told last.
    told_id: Option<u64>,
    newest: watch::Receiver<u64>,
    seen: watch::Receiver<Arc<[Moving]>>,
    /// What was told of each job that runs.
    told: HashMap<u64, JobProgress>,
    /// A page and a little more, at most.
    ready: VecDeque<Event>,
    heartbeat: Interval,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// Begins behind the event `after`, or with what happens from now on.
    pub(super) fn new(
        api: &Api,
        caller: Caller,
        place: OwnedSemaphorePermit,
        wanted: Wanted,
        after: Option<u64>,
    ) -> Self {
        let newest = api.store.newest_event();
        let now = *newest.borrow();
        let mut follower = Self {
            store: api.store.clone(),
            stop: api.stop.clone(),
            revoked: api.access.until_revoked(caller),
            wanted,
            read_to: after.unwrap_or(now).min(now),
            told_id: None,
            newest,
            seen: api.pulse.watch(),
            told: HashMap::new(),
            ready: VecDeque::new(),
            heartbeat: interval_at(Instant::now() + HEARTBEAT, HEARTBEAT),
            _place: place,
        };
        // What has not happened yet was told by another database.
        if after.is_some_and(|after| after > now) {
            follower.ready.push_back(message(LAGGED, &Lagged { missed: 0 }));
        }
        // So the reader knows at once from where on it has to ask again.
        follower.beat();
        follower.seen.mark_changed();
        follower
    }

    /// What comes next; `None` when the stream has ended.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if self.stop.is_cancelled() || self.revoked.is_cancelled() {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.wanted.events && *self.newest.borrow_and_update() > self.read_to {
                self.read().await?;
                continue;
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = self.revoked.cancelled() => return None,
                // The store is closed where there is nobody to change it.
                changed = self.newest.changed() => changed.ok()?,
                changed = self.seen.changed(), if self.wanted.progress => {
                    changed.ok()?;
                    self.tell_progress();
                }
                _ = self.heartbeat.tick() => self.beat(),
            }
        }
    }

    /// Reads the next events. A reader comes back when the database cannot be read.
    async fn read(&mut self) -> Option<()> {
        let page = self.store.events_of_all(self.read_to, PAGE, self.wanted.filter.clone()).await;
        let EventPage { events, read_to, missed } =
            page.inspect_err(|error| debug!(%error, "a stream ends: its events cannot be read")).ok()?;
        if missed > 0 {
            self.ready.push_back(message(LAGGED, &Lagged { missed }));
        }
        for event in &events {
            self.tell(event);
        }
        self.read_to = read_to;
        Some(())
    }

    fn tell(&mut self, event: &JobEvent) {
        self.told_id = Some(event.id);
        let event = convert::event(event);
        self.ready.push_back(message(&event.kind, &event).id(event.id.to_string()));
    }

    /// Tells of jobs of which something has changed.
    fn tell_progress(&mut self) {
        let seen = Arc::clone(&self.seen.borrow_and_update());
        let filter = &self.wanted.filter;
        let wanted = |moving: &&Moving| {
            filter.job.is_none_or(|job| job == JobId(moving.progress.id))
                && filter.label.as_ref().is_none_or(|label| moving.label.as_ref() == Some(label))
                && filter.token.is_none_or(|token| moving.token == Some(token))
        };
        let now: HashMap<u64, JobProgress> =
            seen.iter().filter(wanted).map(|moving| (moving.progress.id, moving.progress.clone())).collect();
        let mut jobs: Vec<_> =
            now.values().filter(|progress| self.told.get(&progress.id) != Some(progress)).cloned().collect();
        jobs.sort_by_key(|progress| progress.id);
        if !jobs.is_empty() {
            self.ready.push_back(message(PROGRESS, &Progress { jobs }));
        }
        self.told = now;
    }

    /// Says that the stream is alive, and from where on to ask again.
    fn beat(&mut self) {
        let event = if self.wanted.events && self.told_id != Some(self.read_to) {
            self.told_id = Some(self.read_to);
            Event::default().id(self.read_to.to_string())
        } else {
            Event::default().comment("")
        };
        self.ready.push_back(event);
    }
}

fn message(kind: &str, data: &impl Serialize) -> Event {
    let data = serde_json::to_string(data).expect("an event is plain JSON");
    Event::default().event(kind).data(data)
}
