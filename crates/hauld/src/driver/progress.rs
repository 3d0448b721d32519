//! How far jobs are, for those who watch all of them.

use haul_api::JobProgress;
use haul_core::{JobId, JobState};
use haul_store::TokenId;

use super::Driver;
use crate::convert;

/// How far a job is, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moving {
    pub(crate) progress: JobProgress,
    pub(crate) label: Option<String>,
    pub(crate) token: Option<TokenId>,
}

impl Driver {
    /// Looks at all jobs that do not only wait for a slot.
    pub(super) fn progress(&mut self) -> Vec<Moving> {
        let busy = self.engine.states().filter(|(_, state)| *state != JobState::Queued);
        let ids: Vec<JobId> = busy.map(|(id, _)| id).collect();
        ids.into_iter().filter_map(|id| self.moving(id)).collect()
    }

    fn moving(&mut self, id: JobId) -> Option<Moving> {
        let live = self.live(id)?;
        let row = &self.jobs.get(&id)?.row;
        Some(Moving {
            progress: convert::progress(row, &live),
            label: row.wish.label.clone(),
            token: row.maker.map(|maker| maker.token),
        })
    }
}
