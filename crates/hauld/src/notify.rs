//! Who else is told of what happens: webhooks and hooks.
//!
//! The store puts each event into the outbox of those who want it, in the transaction of the event itself. Here a task for
//! each of them takes the oldest, tells of it, and removes it once that is done: in order, at least once, whatever ends
//! in between.
//!
//! | module | is responsible for |
//! | --- | --- |
//! | `body` | what is told |
//! | `webhook` | telling by a signed POST |
//! | `hook` | telling by running a program |

mod body;
mod hook;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use haul_core::{Rng, delivery};
use haul_store::{Store, StoreError, Untold};
use haul_transfer::ClientKey;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::driver::Handle;

pub(crate) use hook::Hook;
pub(crate) use webhook::Webhook;

use body::Bodies;

/// Programs that run at the same time. A guess: they share the machine with the transfers.
const HOOKS_AT_ONCE: usize = 4;

/// How long to wait when the database cannot be used.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How long tasks may take to end when the daemon stops.
const STOPS_WITHIN: Duration = Duration::from_millis(500);

/// Somebody who is told of events.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) teller: Teller,
    /// The kinds of events.
    pub(crate) kinds: Vec<String>,
    /// Only those of jobs with one of these labels; none means all jobs.
    pub(crate) labels: Vec<String>,
}

/// How somebody is told.
#[derive(Clone)]
pub(crate) enum Teller {
    Webhook(Webhook),
    Hook(Hook),
}

/// How an attempt to tell somebody has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing is left to do.
    Told,
    /// It was not taken, and never will be.
    Refused(String),
    /// It may be taken another time.
    Failed(String),
}

impl Target {
    /// Its name in the outbox: a webhook and a hook may be called the same.
    fn key(&self) -> String {
        match self.teller {
            Teller::Webhook(_) => format!("webhook {}", self.name),
            Teller::Hook(_) => format!("hook {}", self.name),
        }
    }
}

/// Notes who is told of events from now on.
pub(crate) async fn note_targets(store: &Store, targets: &[Target]) -> Result<(), StoreError> {
    let to_store = |target: &Target| haul_store::Target {
        name: target.key(),
        kinds: target.kinds.clone(),
        labels: target.labels.clone(),
    };
    let dropped = store.set_targets(targets.iter().map(to_store).collect()).await?;
    if dropped > 0 {
        warn!(dropped, "webhooks or hooks that are not in the configuration any more had not been told of all events");
    }
    Ok(())
}

/// The tasks that tell.
pub(crate) struct Notifier {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Notifier {
    pub(crate) fn start(targets: Vec<Target>, store: &Store, driver: &Handle, client: ClientKey) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let hooks = Arc::new(Semaphore::new(HOOKS_AT_ONCE));
        for target in targets {
            let task = Task {
                key: target.key(),
                teller: target.teller,
                store: store.clone(),
                bodies: Bodies::new(store.clone(), driver.clone()),
                client: client.clone(),
                hooks: Arc::clone(&hooks),
                rng: Rng::new(rand::random()),
            };
            let stop = stop.clone();
            // Whatever it is at when it is told to stop is dropped, and done anew at the next start.
            tasks.spawn(async move { stop.run_until_cancelled(task.run()).await });
        }
        Self { stop, tasks }
    }

    /// Ends all tasks. What was not told is told after the next start.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOPS_WITHIN, self.tasks.wait()).await.is_err() {
            debug!("some webhooks or hooks did not end in time");
        }
    }
}

/// Tells one target, one event after the other.
struct Task {
    key: String,
    teller: Teller,
    store: Store,
    bodies: Bodies,
    client: ClientKey,
    hooks: Arc<Semaphore>,
    rng: Rng,
}

impl Task {
    async fn run(mut self) {
        let mut newest = self.store.newest_event();
        loop {
            newest.mark_unchanged();
            match self.store.first_untold(self.key.clone()).await {
                Ok(Some(untold)) => self.tell(untold).await,
                Ok(None) => {
                    // An event is in the outbox when it is told that there is one.
                    if newest.changed().await.is_err() {
                        return;
                    }
                }
                Err(StoreError::Closed) => return,
                Err(error) => self.pause(&error).await,
            }
        }
    }

    async fn tell(&mut self, untold: Untold) {
        let (target, event) = (self.key.as_str(), untold.event.id);
        match self.attempt(&untold).await {
            Outcome::Told => debug!(target_name = target, event, "told of an event"),
            Outcome::Refused(reason) => {
                warn!(target_name = target, event, reason, "an event was refused and is dropped")
            }
            Outcome::Failed(reason) => match delivery::retry_wait(untold.attempts.saturating_add(1)) {
                Some(wait) => return self.wait(&untold, reason, wait).await,
                None => warn!(target_name = target, event, reason, "an event was tried for a day and is dropped"),
            },
        }
        if let Err(error) = self.store.told(untold.id).await {
            self.pause(&error).await;
        }
    }

    async fn attempt(&self, untold: &Untold) -> Outcome {
        let Some(body) = self.bodies.of(&untold.event).await else {
            return Outcome::Failed("the job could not be looked at".to_owned());
        };
        match &self.teller {
            Teller::Webhook(webhook) => webhook.tell(&self.client, &untold.event, body).await,
            Teller::Hook(hook) => {
                let Ok(_place) = self.hooks.acquire().await else { return Outcome::Failed("stopping".to_owned()) };
                hook.tell(&self.key, &untold.event, body).await
            }
        }
    }

    async fn wait(&mut self, untold: &Untold, reason: String, wait: Duration) {
        let (target, event, wait) = (self.key.as_str(), untold.event.id, self.rng.jittered(wait));
        if untold.attempts == 0 {
            info!(target_name = target, event, reason, ?wait, "an event was not taken; it is tried again for a day");
        } else {
            debug!(
                target_name = target,
                event,
                reason,
                ?wait,
                attempts = untold.attempts,
                "an event was not taken again"
            );
        }
        if let Err(error) = self.store.note_attempt(untold.id).await {
            debug!(%error, "an attempt was not noted");
        }
        tokio::time::sleep(wait).await;
    }

    async fn pause(&self, error: &StoreError) {
        debug!(%error, target_name = self.key, "the outbox cannot be used");
        tokio::time::sleep(STORE_PAUSE).await;
    }
}
