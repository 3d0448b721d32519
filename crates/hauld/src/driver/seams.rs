//! Seams: comparing what one worker has read beyond its end with what another has written there.

use std::os::unix::fs::FileExt as _;

use haul_core::messages::Event;
use haul_core::{Fault, FaultKind, JobId};
use tracing::debug;

use super::Driver;
use super::running::Beyond;
use super::tasks::{Done, blocking};
use super::workers::RunningWorker;

impl Driver {
    /// Keeps what a worker has read beyond its end, until the engine says that the same bytes are there from another one.
    pub(super) fn keep_beyond(&mut self, worker: &RunningWorker, at: u64) {
        let (Some(bytes), Some(running)) = (worker.lane.beyond(), self.jobs.get_mut(&worker.job)) else { return };
        let vouched = running.mirror(worker.mirror).is_vouched();
        running.beyond.insert(at, Beyond { bytes: bytes.clone(), vouched, host: worker.host.clone() });
        let len = bytes.len() as u64;
        self.event(Event::ReadBeyond { job: worker.job, at, len });
    }

    pub(super) fn compare_seam(&mut self, id: JobId, at: u64, len: u64) {
        let running = self.jobs.get_mut(&id).expect("the engine knows only jobs that run here");
        let (beyond, part) = (running.beyond.remove(&at), running.part.clone());
        let Some((beyond, part)) = beyond.zip(part).filter(|(beyond, _)| beyond.bytes.len() as u64 == len) else {
            self.seam_compared(id, at, None);
            return;
        };
        self.tasks.push(Box::pin(async move {
            let sent = beyond.bytes.clone();
            let differs = blocking(move || {
                let mut there = vec![0; sent.len()];
                let read = part.file().read_exact_at(&mut there, at);
                read.map_err(|error| haul_transfer::disk_fault(&error, "cannot read the part file"))?;
                Ok(there.iter().zip(&sent).position(|(there, sent)| there != sent))
            });
            let differs = match differs.await {
                Ok(differs) => differs.map(|offset| beyond.fault(at + offset as u64)),
                Err(fault) => {
                    // Whoever reads the file next meets the same disk, and says so.
                    debug!(job = id.0, %fault, "a seam could not be compared");
                    None
                }
            };
            Done::SeamCompared { id, at, differs }
        }));
    }

    pub(super) fn seam_compared(&mut self, id: JobId, at: u64, differs: Option<Fault>) {
        self.event(Event::SeamCompared { job: id, at, differs });
    }
}

impl Beyond {
    fn fault(&self, at: u64) -> Fault {
        let kind = if self.vouched { FaultKind::RangeMismatch } else { FaultKind::BytesDiffer };
        Fault::new(kind, format!("{} has sent two different bytes {at}, each in an answer of its own", self.host))
    }
}
