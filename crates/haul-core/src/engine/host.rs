//! What is known of the servers: how many connections each takes, and which are to be left alone for now.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Fault, Policy, Rng, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostId(pub(super) u32);

/// One server, by scheme, host and port.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    /// Jobs that are about this host.
    jobs: usize,
    /// Workers that are running.
    pub(super) active: u32,
    /// Workers whose answer has begun.
    pub(super) opened: u32,
    /// How many connections the host was seen to accept at most; `None` while it never refused one.
    learned_cap: Option<u32>,
    cap_until: Time,
    /// Failures in a row without an answer in between.
    failures: u32,
    /// No new connection before this time.
    blocked_until: Option<Time>,
    /// After a block: one connection alone finds out whether the host is back.
    testing: bool,
    /// Why it was blocked.
    pub(super) fault: Option<Fault>,
}

#[derive(Debug, Default)]
pub(super) struct Hosts {
    hosts: BTreeMap<HostId, Host>,
    by_name: BTreeMap<String, HostId>,
    next: u32,
}

impl Host {
    /// How many connections may be open at a time.
    pub(super) fn cap(&self, policy: &Policy) -> u32 {
        let cap = self.learned_cap.map_or(policy.connections_per_host, |cap| cap.min(policy.connections_per_host));
        if self.testing { 1 } else { cap }
    }

    /// Tells whether another connection may be opened now.
    pub(super) fn has_room(&self, now: Time, policy: &Policy) -> bool {
        self.blocked_until(now).is_none() && self.active < self.cap(policy)
    }

    /// Until when the host is left alone, if it is.
    pub(super) fn blocked_until(&self, now: Time) -> Option<Time> {
        self.blocked_until.filter(|until| *until > now)
    }

    /// A worker's answer has begun: the host is there and takes this many connections. Tells whether that is news.
    pub(super) fn answered(&mut self) -> bool {
        self.opened += 1;
        self.failures = 0;
        self.blocked_until = None;
        self.fault = None;
        if let Some(cap) = &mut self.learned_cap {
            *cap = (*cap).max(self.opened);
        }
        std::mem::take(&mut self.testing)
    }

    /// A worker is gone.
    pub(super) fn left(&mut self, was_answered: bool) {
        self.active -= 1;
        self.opened -= u32::from(was_answered);
    }

    /// The host refused one connection more than it has: learns from it, and returns the cap and how long it holds.
    pub(super) fn refused(&mut self, now: Time, fault: &Fault, policy: &Policy) -> (u32, Time) {
        let cap = self.opened.max(1);
        let wish = fault.retry_after.unwrap_or_default().min(policy.retry_after_max);
        self.learned_cap = Some(cap);
        self.cap_until = now + policy.host_cap_hold.max(wish);
        (cap, self.cap_until)
    }

    /// The host does not serve anyone: leaves it alone and returns for how long, unless it is blocked already.
    pub(super) fn failed(&mut self, now: Time, fault: &Fault, policy: &Policy, rng: &mut Rng) -> Option<Duration> {
        if self.blocked_until(now).is_some() {
            return None;
        }
        let wait = match fault.retry_after {
            Some(wish) => wish.min(policy.retry_after_max),
            None => rng.jittered(backoff(policy, self.failures)),
        };
        self.failures = self.failures.saturating_add(1);
        self.blocked_until = Some(now + wait);
        self.testing = true;
        self.fault = Some(fault.clone());
        Some(wait)
    }
}

/// The mean wait after `failures` failures in a row: doubling from `retry_wait` up to `retry_wait_max`.
pub(super) fn backoff(policy: &Policy, failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    policy.retry_wait.saturating_mul(factor).min(policy.retry_wait_max)
}

impl Hosts {
    pub(super) fn enter(&mut self, name: &str) -> HostId {
        let id = *self.by_name.entry(name.to_owned()).or_insert_with(|| {
            self.next += 1;
            HostId(self.next)
        });
        let host = self.hosts.entry(id).or_insert_with(|| Host {
            name: name.to_owned(),
            jobs: 0,
            active: 0,
            opened: 0,
            learned_cap: None,
            cap_until: Time::ZERO,
            failures: 0,
            blocked_until: None,
            testing: false,
            fault: None,
        });
        host.jobs += 1;
        id
    }

    /// A job about this host is gone.
    pub(super) fn leave(&mut self, id: HostId) {
        self.get_mut(id).jobs -= 1;
        self.forget_if_idle(id);
    }

    /// A host that nobody needs and that teaches nothing is forgotten.
    fn forget_if_idle(&mut self, id: HostId) {
        let host = self.get(id);
        if host.jobs == 0 && host.learned_cap.is_none() && host.blocked_until.is_none() {
            debug_assert_eq!(host.active, 0, "a worker belongs to a job");
            let host = self.hosts.remove(&id).expect("it was just there");
            self.by_name.remove(&host.name);
        }
    }

    pub(super) fn ids(&self) -> Vec<HostId> {
        self.hosts.keys().copied().collect()
    }

    pub(super) fn get(&self, id: HostId) -> &Host {
        &self.hosts[&id]
    }

    pub(super) fn get_mut(&mut self, id: HostId) -> &mut Host {
        self.hosts.get_mut(&id).expect("a host stays while jobs are about it")
    }

    /// The user says: try now.
    pub(super) fn forgive(&mut self, id: HostId) {
        let host = self.get_mut(id);
        host.blocked_until = None;
    }

    /// Ends a block whose time has come, and lets a learned cap decay by one connection; returns when to look again.
    pub(super) fn wake(&mut self, now: Time, id: HostId, policy: &Policy) -> Option<Time> {
        let host = self.hosts.get_mut(&id)?;
        if host.blocked_until.is_some_and(|until| until <= now) {
            host.blocked_until = None;
        }
        if let Some(cap) = host.learned_cap.filter(|_| host.cap_until <= now) {
            host.learned_cap = Some(cap + 1).filter(|cap| *cap < policy.connections_per_host);
            host.cap_until = now + policy.host_cap_hold;
        }
        let next = host.learned_cap.map(|_| host.cap_until);
        self.forget_if_idle(id);
        next
    }
}
