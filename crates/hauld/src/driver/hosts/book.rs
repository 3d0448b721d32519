//! The book of hosts: a row for each, as it is stored, and which of them have news.
//!
//! The engine counts in durations from now, rows in the time of the wall clock. What lies between the two is here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use haul_core::messages::HostMemory;
use haul_store::HostRow;

use crate::convert;

/// Hosts that are remembered; beyond that the oldest go. A guess: years of a person's hosts, some 3 MB.
const HOSTS_MAX: usize = 10_000;

/// How long news may wait for more of their kind.
const NEWS_WAIT: Duration = Duration::from_secs(1);

/// What a stored time may still hold up at most, whatever the clock has done meanwhile: the longest `Retry-After` that
/// is obeyed.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// See the module.
#[derive(Debug, Default)]
pub(in crate::driver) struct Book {
    rows: BTreeMap<String, HostRow>,
    /// Hosts whose rows are to be written anew.
    news: BTreeSet<String>,
    /// When the first of the news came.
    since: Option<Instant>,
}

/// What is to be stored.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    pub(super) learned: Vec<HostRow>,
    pub(super) forgotten: Vec<String>,
}

impl Book {
    pub(in crate::driver) fn new(rows: Vec<HostRow>) -> Self {
        Self { rows: rows.into_iter().map(|row| (row.name.clone(), row)).collect(), ..Self::default() }
    }

    pub(in crate::driver) fn get(&self, name: &str) -> Option<&HostRow> {
        self.rows.get(name)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &HostRow> {
        self.rows.values()
    }

    /// Notes that the engine knows something new of a host.
    pub(super) fn note(&mut self, name: &str) {
        self.news.insert(name.to_owned());
        self.since.get_or_insert_with(Instant::now);
    }

    /// When the news have waited long enough.
    pub(in crate::driver) fn due_at(&self) -> Option<Instant> {
        self.since.map(|since| since + NEWS_WAIT)
    }

    /// Takes over what the engine knows of a host.
    pub(super) fn learn(&mut self, memory: &HostMemory, now_ms: i64) {
        let nothing = HostMemory { name: memory.name.clone(), ..HostMemory::default() };
        if *memory == nothing && !self.rows.contains_key(&memory.name) {
            return;
        }
        learn(self.entry(&memory.name), memory, now_ms);
    }

    /// Takes over a fault that has just happened.
    pub(super) fn blame(&mut self, memory: &HostMemory, now_ms: i64) {
        self.learn(memory, now_ms);
        if let (Some(row), Some(fault)) = (self.rows.get_mut(&memory.name), &memory.fault) {
            row.fault = Some(convert::host_fault(fault, now_ms));
        }
    }

    /// The row of a host, to write a wish into.
    pub(super) fn entry(&mut self, name: &str) -> &mut HostRow {
        self.rows.entry(name.to_owned()).or_insert_with(|| HostRow { name: name.to_owned(), ..HostRow::default() })
    }

    /// Tears a host's page out; tells what stood there.
    pub(super) fn forget(&mut self, name: &str) -> Option<HostRow> {
        self.news.remove(name);
        self.rows.remove(name)
    }

    /// Takes the names of the hosts with news.
    pub(super) fn take_news(&mut self) -> BTreeSet<String> {
        self.since = None;
        std::mem::take(&mut self.news)
    }

    /// What has to be stored for these hosts. Where the book is full, hosts that nobody needs go: those without a wish
    /// first, the oldest first.
    pub(super) fn pages(&mut self, names: &BTreeSet<String>, is_needed: impl Fn(&str) -> bool) -> Pages {
        let mut forgotten = Vec::new();
        let excess = self.rows.len().saturating_sub(HOSTS_MAX);
        if excess > 0 {
            let mut candidates: Vec<_> = self.rows.values().filter(|row| !is_needed(&row.name)).collect();
            let is_wished = |row: &HostRow| row.connections_max.is_some() || row.bandwidth_limit.is_some();
            candidates.sort_by_key(|row| (is_wished(row), row.updated_at_ms));
            forgotten.extend(candidates.into_iter().take(excess).map(|row| row.name.clone()));
        }
        for name in &forgotten {
            self.rows.remove(name);
        }
        Pages { learned: names.iter().filter_map(|name| self.rows.get(name)).cloned().collect(), forgotten }
    }
}

/// Brings a row to what the engine knows now. A fault that the engine has forgotten stays the last one.
pub(super) fn learn(row: &mut HostRow, memory: &HostMemory, now_ms: i64) {
    row.learned_cap = memory.cap.map(|cap| (cap, after(now_ms, memory.cap_holds)));
    row.refusals = memory.refusals;
    row.useful_connections = memory.useful;
    row.bytes_per_second = memory.bytes_per_second;
    row.answer_time_ms = memory.answer_time.map(convert::millis);
    row.blocked_until_ms = (!memory.blocked_for.is_zero()).then(|| after(now_ms, memory.blocked_for));
    if let Some(fault) = &memory.fault
        && row.fault.as_ref().is_none_or(|known| *known != convert::host_fault(fault, known.at_ms))
    {
        row.fault = Some(convert::host_fault(fault, now_ms));
    }
    row.updated_at_ms = now_ms;
}

/// What the engine is told of a row.
pub(super) fn memory(row: &HostRow, now_ms: i64) -> HostMemory {
    HostMemory {
        name: row.name.clone(),
        cap: row.learned_cap.map(|(cap, _)| cap),
        cap_holds: row.learned_cap.map_or(Duration::ZERO, |(_, until_ms)| until(now_ms, until_ms)),
        refusals: row.refusals,
        useful: row.useful_connections,
        bytes_per_second: row.bytes_per_second,
        answer_time: row.answer_time_ms.map(Duration::from_millis),
        blocked_for: row.blocked_until_ms.map_or(Duration::ZERO, |until_ms| until(now_ms, until_ms)),
        fault: row.fault.as_ref().and_then(convert::core_fault),
        connections_max: row.connections_max,
    }
}

fn after(now_ms: i64, wait: Duration) -> i64 {
    now_ms.saturating_add_unsigned(convert::millis(wait))
}

/// How long it is until then. A clock that was set back must not make that for ever.
fn until(now_ms: i64, until_ms: i64) -> Duration {
    let wait = u64::try_from(until_ms.saturating_sub(now_ms)).unwrap_or(0);
    Duration::from_millis(wait).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use haul_core::{Fault, FaultKind};

    use super::*;

    const NOW: i64 = 1_000_000_000;

    fn busy() -> HostMemory {
        HostMemory {
            name: "https://a.example".to_owned(),
            cap: Some(2),
            cap_holds: Duration::from_secs(14),
            refusals: 3,
            useful: Some(8),
            bytes_per_second: Some(180_000),
            answer_time: Some(Duration::from_millis(42)),
            blocked_for: Duration::from_secs(30),
            fault: Some(Fault::new(FaultKind::Status(429), "the server answered 429")),
            connections_max: None,
        }
    }

    fn row(memory: &HostMemory, now_ms: i64) -> HostRow {
        let mut book = Book::default();
        book.learn(memory, now_ms);
        book.get(&memory.name).cloned().expect("it was worth a row")
    }

    #[test]
    fn what_was_learned_comes_back_less_the_time_that_passed() {
        let row = row(&busy(), NOW);
        assert_eq!(memory(&row, NOW), busy());
        let later = memory(&row, NOW + 20_000);
        assert_eq!((later.cap, later.cap_holds), (Some(2), Duration::ZERO));
        assert_eq!(later.blocked_for, Duration::from_secs(10));
        assert_eq!(memory(&row, NOW + 90_000).blocked_for, Duration::ZERO);
    }

    #[test]
    fn a_clock_that_was_set_back_blocks_for_an_hour_at_most() {
        let row = row(&busy(), NOW);
        let back = memory(&row, NOW - 365 * 24 * 3_600_000);
        assert_eq!((back.blocked_for, back.cap_holds), (WAIT_MAX, WAIT_MAX));
        assert_eq!(memory(&row, i64::MIN).blocked_for, WAIT_MAX);
    }

    #[test]
    fn the_last_fault_stays_with_its_time_until_the_next() {
        let mut row = row(&busy(), NOW);
        learn(&mut row, &HostMemory { fault: None, ..busy() }, NOW + 5);
        learn(&mut row, &busy(), NOW + 6);
        assert_eq!(row.fault.as_ref().map(|fault| (fault.status, fault.at_ms)), Some((Some(429), NOW)));
        let other = Fault::new(FaultKind::Status(503), "the server answered 503");
        learn(&mut row, &HostMemory { fault: Some(other), ..busy() }, NOW + 7);
        assert_eq!(row.fault.as_ref().map(|fault| (fault.status, fault.at_ms)), Some((Some(503), NOW + 7)));
    }

    #[test]
    fn a_repeated_fault_has_a_new_time() {
        let mut book = Book::default();
        book.blame(&busy(), NOW);
        book.blame(&busy(), NOW + 8);
        let fault = book.get("https://a.example").and_then(|row| row.fault.clone()).expect("it was blamed");
        assert_eq!(fault.at_ms, NOW + 8);
    }

    #[test]
    fn a_host_that_taught_nothing_gets_no_row() {
        let mut book = Book::default();
        book.learn(&HostMemory { name: "https://a.example".to_owned(), ..HostMemory::default() }, NOW);
        assert!(book.get("https://a.example").is_none());
    }

    #[test]
    fn a_full_book_loses_its_oldest_hosts_but_none_in_use_and_wishes_last() {
        let rows = (0..HOSTS_MAX as i64 + 3).map(|n| HostRow {
            name: format!("https://{n}.example"),
            connections_max: (n == 0).then_some(4),
            bandwidth_limit: (n == 1).then_some(1),
            updated_at_ms: n,
            ..HostRow::default()
        });
        let mut book = Book::new(rows.collect());
        let newest = BTreeSet::from(["https://10002.example".to_owned(), "https://gone.example".to_owned()]);
        let pages = book.pages(&newest, |name| name == "https://3.example");
        assert_eq!(pages.forgotten, ["https://2.example", "https://4.example", "https://5.example"]);
        assert_eq!(pages.learned.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["https://10002.example"]);
        assert_eq!(book.rows().count(), HOSTS_MAX);
    }
}
