//! A job, as its world and its store know it.

use std::collections::{BTreeMap, BTreeSet};

use haul_core::messages::{Outcome, Tuning};
use haul_core::{Chunk, FaultKind, MirrorIndex, Time};

use crate::contents::Contents;
use crate::host::File;
use crate::spans::Spans;

pub(crate) struct Job {
    /// Where its file is to be had, in the order of its mirrors.
    pub(crate) sites: Vec<Site>,
    /// How many of them its user has named so far.
    pub(crate) named: usize,
    /// Its user has named a checksum: that of the first site's bytes, as they are at first.
    pub(crate) checksum: bool,
    pub(crate) tuning: Tuning,
    /// The engine holds it.
    pub(crate) held: bool,
    pub(crate) releasing: bool,
    pub(crate) reset_due: bool,
    pub(crate) seal_due: bool,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) finished_at: Time,
    /// Which bytes count.
    pub(crate) written: Spans,
    /// What is really in the part file.
    pub(crate) contents: Contents,
    /// What the shell knows of the file.
    pub(crate) identity: Identity,
    pub(crate) restarts: u32,
    pub(crate) healings: u32,
    pub(crate) seal_fault: Option<FaultKind>,
    pub(crate) stored: Stored,
    pub(crate) durable: Stored,
    pub(crate) best_done: u64,
    pub(crate) requests: u64,
    pub(crate) ever_progressed: bool,
    /// Requests since the last byte, and when that came.
    pub(crate) requests_in_vain: u32,
    pub(crate) progressed_at: Time,
    pub(crate) starving_since: Option<Time>,
    pub(crate) strikes: u32,
}

/// A file at a host, as one of a job's mirrors.
pub(crate) struct Site {
    pub(crate) host: usize,
    pub(crate) file: File,
    /// Where its URL leads to is known.
    pub(crate) resolved: bool,
    /// Answers with the file's permanent status.
    pub(crate) denials: u32,
}

/// What the shell knows of a file: nothing, at first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) total: Option<u64>,
    /// The version that each site's answers have to be of.
    pub(crate) versions: BTreeMap<usize, u32>,
    /// Sites that have defined the file, or have been compared with it.
    pub(crate) trusted: BTreeSet<usize>,
}

/// What the store keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    pub(crate) rows: BTreeMap<u64, Chunk>,
    pub(crate) total: Option<u64>,
    /// The mirror that defines the file.
    pub(crate) main: MirrorIndex,
    pub(crate) accepts_ranges: bool,
    pub(crate) identity: Identity,
}

impl Job {
    pub(crate) fn new(host: usize, file: File) -> Self {
        Self {
            sites: vec![Site::new(host, file)],
            named: 1,
            checksum: false,
            tuning: Tuning::default(),
            held: false,
            releasing: false,
            reset_due: false,
            seal_due: false,
            outcome: None,
            finished_at: Time::ZERO,
            written: Spans::default(),
            contents: Contents::default(),
            identity: Identity::default(),
            restarts: 0,
            healings: 0,
            seal_fault: None,
            stored: Stored::default(),
            durable: Stored::default(),
            best_done: 0,
            requests: 0,
            ever_progressed: false,
            requests_in_vain: 0,
            progressed_at: Time::ZERO,
            starving_since: None,
            strikes: 0,
        }
    }

    pub(crate) fn site(&self, mirror: MirrorIndex) -> &Site {
        &self.sites[mirror.0 as usize]
    }

    pub(crate) fn site_mut(&mut self, mirror: MirrorIndex) -> &mut Site {
        &mut self.sites[mirror.0 as usize]
    }
}

impl Site {
    pub(crate) fn new(host: usize, file: File) -> Self {
        Self { host, file, resolved: false, denials: 0 }
    }
}
