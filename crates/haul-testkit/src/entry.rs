//! A file in service, and the state that all parts of the server share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::fault::Rule;
use crate::file::File;
use crate::lock;
use crate::log::Log;

/// What the handle, the acceptor and the connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) files: Mutex<BTreeMap<String, Arc<Entry>>>,
    pub(crate) log: Arc<Log>,
    pub(crate) connections: Arc<Mutex<Count>>,
    pub(crate) refuses: AtomicBool,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            files: Mutex::new(BTreeMap::new()),
            log: Arc::new(Log::new()),
            connections: Arc::default(),
            refuses: AtomicBool::new(false),
        }
    }

    pub(crate) fn file(&self, path: &str) -> Option<Arc<Entry>> {
        lock(&self.files).get(path).cloned()
    }

    pub(crate) fn refuses(&self) -> bool {
        self.refuses.load(Relaxed)
    }
}

/// How many came, are there, and were there at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) total: u64,
    pub(crate) present: u64,
    pub(crate) present_max: u64,
}

impl Count {
    fn enter(&mut self) {
        self.present += 1;
        self.present_max = self.present_max.max(self.present);
    }
}

/// Present as long as it is not dropped.
#[derive(Debug)]
pub(crate) struct Presence(Arc<Mutex<Count>>);

impl Presence {
    /// Enters, and is counted. Whoever is not to be counted as present has no presence.
    pub(crate) fn enter(count: &Arc<Mutex<Count>>) -> Self {
        lock(count).enter();
        Self(Arc::clone(count))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        lock(&self.0).present -= 1;
    }
}

/// A file in service. A replaced one lives on until its last answer has been sent.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) file: File,
    pub(crate) rules: Vec<Rule>,
    pub(crate) visitors: Arc<Mutex<Count>>,
}

/// What a request met when it came.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It is the n-th, and in flight.
    Admitted(u64, Presence),
    /// Too many are in flight; this is the status for it.
    Crowded(u16),
}

impl Entry {
    pub(crate) fn new(mut file: File) -> Self {
        let rules = std::mem::take(&mut file.faults);
        Self { file, rules: rules.into_iter().map(Rule::new).collect(), visitors: Arc::default() }
    }

    /// Counts a request and lets it in, unless the file is crowded.
    pub(crate) fn admit(&self) -> Admission {
        let mut count = lock(&self.visitors);
        count.total += 1;
        match self.file.max_in_flight {
            Some((max, status)) if count.present >= max => Admission::Crowded(status),
            Some(_) | None => {
                let ordinal = count.total;
                drop(count);
                Admission::Admitted(ordinal, Presence::enter(&self.visitors))
            }
        }
    }
}
