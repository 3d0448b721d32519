//! Hosts: what was learned of them is kept over restarts, and what their users want is told to the engine.
//!
//! The book holds everything that is stored. The engine is told of a host when a job of it starts, unless it knows
//! the host already: it remembers fewer hosts than the book does. What it learns comes back when it says so
//! ([`Effect::HostChanged`](haul_core::messages::Effect)), and when a job of that host leaves.

mod book;

use std::collections::{BTreeSet, HashMap};

use haul_core::messages::Command;
use haul_core::{JobId, JobState, WaitingFor};
use haul_store::HostRow;
use tracing::{debug, error};

use super::Driver;
use super::handle::{Answer, ConnectionsByClass, DriverError, HostChanges, HostView};
use super::tasks::Done;
use crate::convert::now_ms;

pub(super) use book::Book;

impl Driver {
    /// Tells the engine what is known of hosts that it does not know.
    pub(super) fn introduce(&mut self, hosts: &[String]) {
        for name in hosts {
            if self.engine.host(self.now(), name).is_none()
                && let Some(row) = self.hosts.get(name)
            {
                let memory = book::memory(row, now_ms());
                self.command(Command::KnowHost(memory));
            }
        }
    }

    /// The engine has met a fault of a host.
    pub(super) fn host_changed(&mut self, name: &str) {
        if let Some(memory) = self.engine.host(self.now(), name) {
            self.hosts.blame(&memory, now_ms());
        }
        self.hosts.note(name);
    }

    /// A host has answered: if it was left alone, it no longer is.
    pub(super) fn host_answered(&mut self, name: &str) {
        if self.hosts.get(name).is_some_and(|row| row.blocked_until_ms.is_some()) {
            self.hosts.note(name);
        }
    }

    /// A job leaves: what its hosts have taught is kept.
    pub(super) fn note_hosts(&mut self, hosts: &[String]) {
        for name in hosts {
            self.hosts.note(name);
        }
    }

    /// A job runs on: how many connections it has found to be useful is kept already, so that it can begin with them after
    /// a kill.
    pub(super) fn note_useful_connections(&mut self, hosts: &[String]) {
        for name in hosts {
            let useful = self.engine.host(self.now(), name).and_then(|memory| memory.useful);
            if useful.is_some() && useful != self.hosts.get(name).and_then(|row| row.useful_connections) {
                self.hosts.note(name);
            }
        }
    }

    pub(super) fn save_hosts_if_due(&mut self) {
        if self.hosts.due_at().is_some_and(|at| at <= std::time::Instant::now()) {
            self.save_hosts();
        }
    }

    /// Has everything new stored.
    pub(super) fn save_hosts(&mut self) {
        let news = self.hosts.take_news();
        for name in &news {
            if let Some(memory) = self.engine.host(self.now(), name) {
                self.hosts.learn(&memory, now_ms());
            }
        }
        let needed = self.hosts_of_jobs();
        let pages = self.hosts.pages(&news, |name| needed.contains(name));
        if pages.learned.is_empty() && pages.forgotten.is_empty() {
            return;
        }
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            let (learned, forgotten) = (pages.learned.len(), pages.forgotten.len());
            match store.note_hosts(pages.learned, pages.forgotten).await {
                Ok(()) => debug!(learned, forgotten, "what was learned of hosts is stored"),
                Err(error) => {
                    error!(%error, "cannot store what was learned of hosts; it is learned again after a restart");
                }
            }
            Done::Nothing
        }));
    }

    /// Has everything stored that is known of the hosts of all jobs, as one of the daemon's last acts.
    pub(super) fn save_all_hosts(&mut self) {
        for name in self.hosts_of_jobs() {
            self.hosts.note(&name);
        }
        self.save_hosts();
    }

    fn hosts_of_jobs(&self) -> BTreeSet<String> {
        self.jobs.values().flat_map(super::Running::hosts).collect()
    }

    /// One page of all known hosts by name, beginning behind `after`, and whether there are more.
    pub(super) fn host_views(&self, after: Option<&str>, limit: usize) -> (Vec<HostView>, bool) {
        let mut names = self.hosts_of_jobs();
        names.extend(self.hosts.rows().map(|row| row.name.clone()));
        let behind = |name: &&String| after.is_none_or(|after| name.as_str() > after);
        let active = self.connections_by_host();
        let mut views: Vec<_> = names
            .iter()
            .filter(behind)
            .take(limit + 1)
            .map(|name| self.host_view(name, active.get(name.as_str()).copied().unwrap_or(0)))
            .collect();
        let has_more = views.len() > limit;
        views.truncate(limit);
        (views, has_more)
    }

    /// What is known of a host; `None` where it is neither in the book nor any job's.
    pub(super) fn known_host(&self, name: &str) -> Option<HostView> {
        let is_known =
            self.hosts.get(name).is_some() || self.jobs.values().any(|job| job.hosts().iter().any(|host| host == name));
        let active = self.connections_by_host().get(name).copied().unwrap_or(0);
        is_known.then(|| self.host_view(name, active))
    }

    fn host_view(&self, name: &str, active: u32) -> HostView {
        let mut row = self.hosts.get(name).cloned().unwrap_or_default();
        name.clone_into(&mut row.name);
        if let Some(memory) = self.engine.host(self.now(), name) {
            book::learn(&mut row, &memory, now_ms());
        }
        HostView { active, max: row.connections_max.unwrap_or(self.limits.connections_per_host), row }
    }

    fn connections_by_host(&self) -> HashMap<&str, u32> {
        let mut active = HashMap::new();
        for worker in self.workers.values() {
            *active.entry(worker.host.as_str()).or_default() += 1;
        }
        active
    }

    /// Connections in use, by what is known of their hosts.
    pub(super) fn connections_by_class(&self) -> ConnectionsByClass {
        let mut by_class = ConnectionsByClass::default();
        for (name, active) in self.connections_by_host() {
            let row = self.hosts.get(name);
            let is_capped = self.engine.host(self.now(), name).is_some_and(|memory| memory.cap.is_some());
            let class = match row {
                Some(row) if row.connections_max.is_some() => &mut by_class.limited,
                Some(_) | None if is_capped => &mut by_class.capped,
                Some(_) | None => &mut by_class.open,
            };
            *class += active;
        }
        by_class
    }

    /// Changes what a user wishes of a host, and answers when it is stored. A host that nothing is known of, and
    /// nothing is wished of, gets no row.
    pub(super) fn change_host(&mut self, name: String, changes: HostChanges, answer: Answer<Option<HostView>>) {
        let wishes_something =
            matches!(changes.connections, Some(Some(_))) || matches!(changes.bandwidth_limit, Some(Some(_)));
        if !wishes_something && self.known_host(&name).is_none() {
            answer.send(Ok(None)).ok();
            return;
        }
        let now = self.now();
        let row = self.hosts.entry(&name);
        if let Some(memory) = self.engine.host(now, &name) {
            book::learn(row, &memory, now_ms());
        }
        changes.apply(row);
        row.updated_at_ms = now_ms();
        let row = row.clone();
        self.obey(&row, changes.unblock);
        let view = self.known_host(&name);
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            let stored = store.set_host(row).await;
            answer.send(stored.map(|()| view).map_err(DriverError::from)).ok();
            Done::Nothing
        }));
    }

    /// Makes a changed wish count from now on.
    fn obey(&mut self, row: &HostRow, unblock: bool) {
        if self.engine.host(self.now(), &row.name).is_some() {
            self.command(Command::KnowHost(book::memory(row, now_ms())));
        }
        self.apply_host_limit(&row.name, row.bandwidth_limit);
        if unblock {
            self.try_host_now(&row.name);
        }
    }

    /// Forgets a host; answers whether there was anything to forget, when that is stored.
    pub(super) fn forget_host(&mut self, name: String, answer: Answer<bool>) {
        if self.known_host(&name).is_none() {
            answer.send(Ok(false)).ok();
            return;
        }
        self.hosts.forget(&name);
        self.command(Command::ForgetHost(name.clone()));
        self.apply_host_limit(&name, None);
        self.try_host_now(&name);
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            let stored = store.forget_host(name).await;
            answer.send(stored.map(|()| true).map_err(DriverError::from)).ok();
            Done::Nothing
        }));
    }

    /// Lets the jobs go on that wait because of a host.
    fn try_host_now(&mut self, name: &str) {
        let now = self.now();
        let waits = |id: JobId| {
            let state = self.engine.job(now, id).map(|view| view.state);
            matches!(state, Some(JobState::Waiting(WaitingFor::Host | WaitingFor::Retry)))
        };
        let of_host = self.jobs.values().filter(|job| job.hosts().iter().any(|host| host == name));
        let waiting: Vec<JobId> = of_host.map(super::Running::id).filter(|id| waits(*id)).collect();
        for id in waiting {
            self.command(Command::Nudge(id));
        }
    }

    /// Makes the stored bandwidth limits of hosts count, at the start.
    pub(super) fn apply_host_limits(&mut self) {
        let limited: Vec<(String, u64)> =
            self.hosts.rows().filter_map(|row| Some((row.name.clone(), row.bandwidth_limit?))).collect();
        for (name, limit) in limited {
            self.apply_host_limit(&name, Some(limit));
        }
    }

    /// The one place where a host's bandwidth limit, or its end, reaches the transfers.
    fn apply_host_limit(&mut self, host: &str, bytes_per_second: Option<u64>) {
        debug!(host, bytes_per_second, "the bandwidth limit of a host");
        self.limiters.set_host_rate(host, bytes_per_second);
    }
}
