//! What the engine tells of a job when it is asked.

use crate::messages::JobView;
use crate::{Fault, Ledger, Time};

use super::Engine;
use super::job::{Ending, Job, Stage};

impl Engine {
    pub(super) fn view(&self, now: Time, job: &Job) -> JobView {
        let retry_in = match job.stage {
            Stage::Waiting { until, .. } | Stage::Ending(Ending::Wait { until, .. }) => {
                until.map(|until| until.since(now))
            }
            Stage::Queued | Stage::Running | Stage::Ending(_) | Stage::Resetting { .. } | Stage::Sealing { .. } => None,
        };
        JobView {
            state: job.state(),
            fault: self.explanation(job),
            retry_in,
            total: job.total,
            accepts_ranges: job.accepts_ranges,
            done_bytes: job.done_bytes(),
            bytes_per_second: if job.workers.is_empty() { 0.0 } else { job.meter.bytes_per_second(now) },
            connections: u32::try_from(job.workers.len()).unwrap_or(u32::MAX),
            connections_max: job.connections_max(&self.policy),
            chunks: job.ledger.as_ref().map_or((0, 0), Ledger::counts),
            restarts: job.restarts,
            compared: job.compared,
            mirrors: self.mirror_views(now, job),
        }
    }

    /// The fault that a waiting job owes its wait to.
    pub(super) fn explanation(&self, job: &Job) -> Option<Fault> {
        match job.stage {
            Stage::Waiting { .. } | Stage::Ending(Ending::Wait { .. }) => {
                // What others have brought since has nothing to do with what it waits for.
                let of_mirrors = || job.mirrors().find_map(|(_, mirror)| mirror.fault.clone());
                job.fault.clone().or_else(of_mirrors).or_else(|| self.hosts.get(job.host()).fault.clone())
            }
            Stage::Queued | Stage::Running | Stage::Ending(_) | Stage::Resetting { .. } | Stage::Sealing { .. } => None,
        }
    }
}
