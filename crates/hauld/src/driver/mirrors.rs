//! Mirrors that a job gets while it runs.

use haul_core::JobId;
use haul_core::messages::Command;
use haul_store::{Mirror, UpdateError};
use tracing::{error, info};
use url::Url;

use super::Driver;
use super::tasks::Done;
use crate::submit;

impl Driver {
    /// Adds mirrors to a job that runs here, as far as they are new to it and are not too many. They are stored first,
    /// so that the place of each in the job's list is the same for ever: rows name their mirror by it.
    #[expect(dead_code, reason = "called by whoever reads mirrors out of an answer")]
    pub(super) fn add_mirrors(&mut self, id: JobId, urls: Vec<Url>) {
        let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let new: Vec<Mirror> = urls.into_iter().filter(is_http).map(submit::mirror).collect();
        if new.is_empty() || !self.jobs.contains_key(&id) {
            return;
        }
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            Done::MirrorsAdded { id, mirrors: store.add_mirrors(id, new, submit::MIRRORS_MAX).await }
        }));
    }

    /// The list of a job's mirrors is stored.
    pub(super) fn mirrors_added(&mut self, id: JobId, mirrors: Result<Vec<Mirror>, UpdateError>) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        match mirrors {
            Ok(mirrors) => {
                let hosts = running.extend_mirrors(mirrors);
                if !hosts.is_empty() {
                    info!(job = id.0, ?hosts, "has further mirrors");
                    self.introduce(&hosts);
                    self.command(Command::AddMirrors(id, hosts));
                    self.announce(id);
                }
            }
            Err(error) => error!(job = id.0, %error, "cannot store further mirrors of a job"),
        }
    }
}
