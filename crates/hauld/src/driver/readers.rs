//! Readers of files that are still being fetched: who waits for which byte.
//!
//! A reader asks for the next bytes; where they are not there yet its answer is kept here until they are. The engine is
//! told where each reader is, so that it fetches there first. A reader that has gone is noticed by what it no longer
//! holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use haul_core::JobId;
use haul_core::messages::Command;
use haul_transfer::DiskFile;
use tokio::sync::oneshot;
use tracing::debug;

use super::Driver;

/// Offsets that the engine is told of for one job. A guess: more than there are viewers of one file.
const TOLD_MAX: usize = 8;

/// What a reader gets.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    /// The bytes from where it is up to `until` are there.
    Bytes { file: Arc<DiskFile>, until: u64, version: Version },
    /// The job is not being worked on here.
    NotHere { dropped: u32 },
}

/// What must not change while somebody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// The file's length, as far as it is known.
    pub(crate) total: Option<u64>,
    /// Times that the job was begun anew because its source had changed.
    pub(crate) restarts: u32,
    /// Times that bytes were dropped since somebody reads them: those that come in their place may be others.
    pub(crate) dropped: u32,
}

/// Somebody who reads a job's file.
#[derive(Debug)]
pub(crate) struct Reader {
    job: JobId,
    at: u64,
    /// Gone when the reader is.
    alive: Weak<()>,
    answer: Option<oneshot::Sender<Reading>>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Readers {
    all: Vec<Reader>,
    /// Jobs that the engine was told of.
    told: BTreeSet<JobId>,
    /// How often bytes of jobs that somebody reads were dropped.
    dropped: BTreeMap<JobId, u32>,
}

impl Reader {
    pub(super) fn new(job: JobId, at: u64, alive: Weak<()>, answer: oneshot::Sender<Reading>) -> Self {
        Self { job, at, alive, answer: Some(answer) }
    }

    fn is_gone(&self) -> bool {
        self.alive.strong_count() == 0
    }
}

impl Readers {
    /// Whether there is anybody to look after.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.told.is_empty()
    }

    /// Bytes of a job are dropped.
    pub(super) fn note_dropped(&mut self, job: JobId) {
        if self.all.iter().any(|reader| reader.job == job) {
            *self.dropped.entry(job).or_default() += 1;
        }
    }

    fn dropped(&self, job: JobId) -> u32 {
        self.dropped.get(&job).copied().unwrap_or(0)
    }

    /// A reader asks for more: it is where it is now.
    fn put(&mut self, reader: Reader) {
        self.all.retain(|known| !known.alive.ptr_eq(&reader.alive));
        self.all.push(reader);
    }
}

impl Driver {
    /// A reader asks for the bytes from where it is.
    pub(super) fn read(&mut self, reader: Reader) {
        let job = reader.job;
        self.readers.put(reader);
        self.serve_readers();
        // Who finds its bytes there needs nothing, and the engine knows where it has come from.
        let waits = self.readers.all.last().is_some_and(|reader| reader.answer.is_some());
        if waits || !self.readers.told.contains(&job) {
            self.tell_demand(job);
        }
    }

    /// Answers those whose bytes are there, or will not come from here, and forgets those that have gone.
    pub(super) fn serve_readers(&mut self) {
        if self.readers.is_empty() {
            return;
        }
        let mut readers = std::mem::take(&mut self.readers.all);
        let gone: Vec<JobId> = readers.iter().filter(|reader| reader.is_gone()).map(|reader| reader.job).collect();
        readers.retain(|reader| !reader.is_gone());
        for reader in &mut readers {
            if reader.answer.is_some()
                && let Some(reading) = self.reading(reader)
                && let Some(answer) = reader.answer.take()
            {
                // It may have gone in this moment.
                answer.send(reading).ok();
            }
        }
        self.readers.all = readers;
        let Self { readers: Readers { all, dropped, .. }, .. } = self;
        dropped.retain(|job, _| all.iter().any(|reader| reader.job == *job));
        for job in gone {
            debug!(job = job.0, "a reader has gone");
            self.tell_demand(job);
        }
    }

    /// What a reader can be told now; nothing where it has to wait.
    fn reading(&self, reader: &Reader) -> Option<Reading> {
        let dropped = self.readers.dropped(reader.job);
        let Some(running) = self.jobs.get(&reader.job) else { return Some(Reading::NotHere { dropped }) };
        let file = Arc::clone(running.part.as_ref()?.file());
        let view = self.engine.job(self.now(), reader.job)?;
        let until = self.engine.done_until(reader.job, reader.at);
        let is_there = until > reader.at || view.total.is_some_and(|total| reader.at >= total);
        let version = Version { total: view.total, restarts: view.restarts, dropped };
        is_there.then_some(Reading::Bytes { file, until, version })
    }

    /// Tells the engine where a job's readers are.
    fn tell_demand(&mut self, job: JobId) {
        let mut offsets: Vec<u64> =
            self.readers.all.iter().filter(|reader| reader.job == job).map(|reader| reader.at).collect();
        // Who asked last waits most urgently.
        offsets.reverse();
        offsets.truncate(TOLD_MAX);
        let was_told = if offsets.is_empty() { self.readers.told.remove(&job) } else { !self.readers.told.insert(job) };
        if (was_told || !offsets.is_empty()) && self.engine.job(self.now(), job).is_some() {
            self.command(Command::Demand(job, offsets));
        }
    }

    /// A job is taken up again: whoever reads it reads on.
    pub(super) fn tell_demand_again(&mut self, job: JobId) {
        if self.readers.told.contains(&job) {
            self.tell_demand(job);
        }
    }
}
