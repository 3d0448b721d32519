//! How far jobs are, looked at a few times a second for all who watch, and not at all while nobody does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::driver::{Handle, Moving};

/// How often progress is told: 4 times a second, which a person sees as flowing.
const EVERY: Duration = Duration::from_millis(250);

/// What has been seen last. Clones share it.
#[derive(Clone)]
pub(crate) struct Pulse(Arc<Shared>);

struct Shared {
    seen: watch::Sender<Arc<[Moving]>>,
    watched: Notify,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        let (seen, _) = watch::channel(Arc::from([]));
        Self(Arc::new(Shared { seen, watched: Notify::new() }))
    }

    /// What is seen from now on, and what was seen last. A slow reader sees less often, and always the newest.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<[Moving]>> {
        let watching = self.0.seen.subscribe();
        self.0.watched.notify_one();
        watching
    }

    /// Looks, until it is told to stop or the driver is gone.
    pub(crate) async fn beat(self, driver: Handle, stop: CancellationToken) {
        let beats = async {
            loop {
                if self.0.seen.receiver_count() == 0 {
                    // Whoever comes later is not told of old news.
                    self.0.seen.send_replace(Arc::from([]));
                    self.0.watched.notified().await;
                }
                let Ok(moving) = driver.progress().await else { return };
                self.0.seen.send_if_modified(|seen| {
                    let is_new = **seen != *moving;
                    *seen = moving.into();
                    is_new
                });
                tokio::time::sleep(EVERY).await;
            }
        };
        stop.run_until_cancelled(beats).await;
    }
}
