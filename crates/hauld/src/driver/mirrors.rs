//! Mirrors that a job gets later: those that the answer names which says what the file is (RFC 6249), and those that its user
//! adds.

use haul_core::JobId;
use haul_core::messages::Command;
use haul_store::{EventKind, Mirror, UpdateError};
use haul_transfer::Hints;
use tracing::{debug, error, info};
use url::Url;

use super::Driver;
use super::handle::Answer;
use super::tasks::Done;
use super::wishes::update_error;
use crate::submit;

impl Driver {
    /// Adds the mirrors that an answer names. Only where a digest will tell what they are worth: the user's, or one in the
    /// same answer (RFC 6249 wants the links ignored where there is none).
    pub(super) fn add_named_mirrors(&mut self, id: JobId, hints: &Hints) {
        let is_checked = hints.checksum.is_some() || self.jobs[&id].row.wish.checksum.is_some();
        if is_checked {
            self.add_named(id, hints.mirrors.iter().map(|mirror| mirror.url.clone()).collect());
        } else if !hints.mirrors.is_empty() {
            debug!(job = id.0, mirrors = hints.mirrors.len(), "mirrors are named without a digest, and not used");
        }
    }

    fn add_named(&mut self, id: JobId, urls: Vec<Url>) {
        let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let new: Vec<Mirror> = urls.into_iter().filter(is_http).map(submit::mirror).collect();
        if !new.is_empty() && self.jobs.contains_key(&id) {
            self.add_mirrors(id, new, None);
        }
    }

    /// Adds mirrors to a job, as far as they are new to it and are not too many. They are stored first, so that the place of
    /// each in the job's list is the same for ever: rows name their mirror by it.
    pub(super) fn add_mirrors(&mut self, id: JobId, new: Vec<Mirror>, answer: Option<Answer<usize>>) {
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            Done::MirrorsAdded { id, mirrors: store.add_mirrors(id, new, submit::MIRRORS_MAX).await, answer }
        }));
    }

    /// The list of a job's mirrors is stored.
    pub(super) fn mirrors_added(
        &mut self,
        id: JobId,
        mirrors: Result<Vec<Mirror>, UpdateError>,
        answer: Option<Answer<usize>>,
    ) {
        if let Some(answer) = answer {
            // Whoever asked may have gone.
            answer.send(mirrors.clone().map(|mirrors| mirrors.len()).map_err(update_error)).ok();
        }
        let Some(running) = self.jobs.get_mut(&id) else { return };
        match mirrors {
            Ok(mirrors) => {
                let hosts = running.extend_mirrors(mirrors);
                if !hosts.is_empty() {
                    info!(job = id.0, ?hosts, "has further mirrors");
                    self.tell(id, EventKind::MirrorsAdded { hosts: hosts.clone() });
                    self.introduce(&hosts);
                    self.command(Command::AddMirrors(id, hosts));
                    self.announce(id);
                }
            }
            Err(error) => error!(job = id.0, %error, "cannot store further mirrors of a job"),
        }
    }
}
