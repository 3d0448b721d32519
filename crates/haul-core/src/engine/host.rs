//! What is known of the servers: how many connections each takes, how fast they answer, and which are to be left alone
//! for now.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::messages::HostMemory;
use crate::{Class, Fault, Policy, Rng, Time, WorkerId};

use super::starts::Starts;
use super::worker::Worker;

/// Refusals that make a cap. One alone may be noise: a reset, a lost packet.
const REFUSALS_MIN: u32 = 2;

/// Resets or silences at one time, and at least as many as are served, that are as clear as a status.
const MANY: u32 = 3;

/// The longest time that a cap holds before one more connection is tried.
const CAP_HOLD_MAX: Duration = Duration::from_secs(600);

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
    /// Workers whose answer is late: the host may just let them hang, so that they take none of its places.
    late: u32,
    /// The most that were served at a time of late, and when that was last so.
    served: (u32, Time),
    /// How many connections the host was seen to accept at most; `None` while it did not clearly refuse one.
    learned_cap: Option<u32>,
    cap_until: Time,
    /// An alarm is set for the cap.
    looked_after: bool,
    /// How sure the cap is: refusals, less what time and answers have taken away.
    refusals: u32,
    /// How many were being served when the last one was refused, and the first worker to start after the last that counted.
    refused_at: (u32, WorkerId),
    /// Refusals of workers that started before that one.
    refused_together: u32,
    /// How many connections the user allows.
    user_cap: Option<u32>,
    /// Failures in a row without an answer in between.
    failures: u32,
    /// No new connection before this time.
    blocked_until: Option<Time>,
    /// After a block: one connection alone finds out whether the host is back.
    testing: bool,
    /// When the last one began that was to find out.
    tested_at: Option<Time>,
    /// Why it was blocked.
    pub(super) fault: Option<Fault>,
    /// What the last requests have cost before their bytes flowed.
    pub(super) starts: Starts,
    /// When the last answer began.
    pub(super) answered_at: Option<Time>,
    /// Connections that were last found to be worth it for one job.
    pub(super) useful: Option<u32>,
    /// What a connection gives, in bytes per second: a slow average.
    typical: Option<f64>,
}

#[derive(Debug, Default)]
pub(super) struct Hosts {
    hosts: BTreeMap<HostId, Host>,
    by_name: BTreeMap<String, HostId>,
    next: u32,
}

impl Host {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            jobs: 0,
            active: 0,
            opened: 0,
            late: 0,
            served: (0, Time::ZERO),
            learned_cap: None,
            cap_until: Time::ZERO,
            looked_after: false,
            refusals: 0,
            refused_at: (0, WorkerId(0)),
            refused_together: 0,
            user_cap: None,
            failures: 0,
            blocked_until: None,
            testing: false,
            tested_at: None,
            fault: None,
            starts: Starts::default(),
            answered_at: None,
            useful: None,
            typical: None,
        }
    }

    /// How many connections may be served at a time.
    pub(super) fn cap(&self, policy: &Policy) -> u32 {
        let allowed = self.allowed(policy);
        let cap = self.learned_cap.map_or(allowed, |cap| cap.min(allowed));
        if self.testing { 1 } else { cap }
    }

    /// Tells whether another connection may be opened now.
    pub(super) fn has_room(&self, now: Time, policy: &Policy) -> bool {
        let served = self.active - self.late;
        let is_tested = self.testing && self.tested_at.is_some_and(|at| now.since(at) < policy.overdue_after);
        self.blocked_until(now).is_none()
            && self.active < self.allowed(policy)
            && served < self.cap(policy)
            && !(is_tested && self.active > 0)
    }

    /// How many connections the user allows.
    fn allowed(&self, policy: &Policy) -> u32 {
        self.user_cap.unwrap_or(policy.connections_per_host)
    }

    /// An answer is late.
    pub(super) fn note_late(&mut self) {
        self.late += 1;
    }

    /// Until when the host is left alone, if it is.
    pub(super) fn blocked_until(&self, now: Time) -> Option<Time> {
        self.blocked_until.filter(|until| *until > now)
    }

    /// How long an answer typically takes.
    pub(super) fn answer_time(&self) -> Option<Duration> {
        self.starts.answer_time()
    }

    /// A worker's answer has begun, `took` after its request: the host is there and takes this many connections. Tells
    /// whether that is news.
    pub(super) fn answered(&mut self, now: Time, took: Duration, worker: &Worker) -> bool {
        self.opened += 1;
        self.late -= u32::from(worker.late);
        self.note_served(now);
        self.failures = 0;
        self.blocked_until = None;
        self.fault = None;
        self.answered_at = Some(now);
        self.starts.note_answer(took, worker.is_kept());
        if self.opened > self.refused_at.0 {
            // It takes more than it was thought to.
            self.refusals = 0;
        }
        if let Some(cap) = &mut self.learned_cap {
            *cap = (*cap).max(self.opened);
        }
        std::mem::take(&mut self.testing)
    }

    /// A worker is gone.
    pub(super) fn left(&mut self, now: Time, was_answered: bool, was_late: bool) {
        self.note_served(now);
        self.active -= 1;
        self.opened -= u32::from(was_answered);
        self.late -= u32::from(was_late);
    }

    fn note_served(&mut self, now: Time) {
        if self.opened >= self.served.0 || self.served_of_late(now) == self.opened {
            self.served = (self.opened, now);
        }
    }

    /// How many are served at a time. Who has just come to an end and asks for more has not lost its place.
    fn served_of_late(&self, now: Time) -> u32 {
        let (most, at) = self.served;
        let soon = 2 * self.answer_time().unwrap_or_default();
        if now.since(at) <= soon { most.max(self.opened) } else { self.opened }
    }

    /// A worker of this host has run at this speed for a while.
    pub(super) fn note_speed(&mut self, bytes_per_second: f64) {
        let before = self.typical.unwrap_or(bytes_per_second);
        self.typical = Some(before + (bytes_per_second - before) / 4.0);
    }

    /// The host refused one connection more than it has: learns from it, and returns the cap and until when it holds,
    /// once it is clear enough.
    ///
    /// A status says it clearly. A reset or a silence may be noise, unless it comes again before more were served, or to most
    /// of those that wait.
    ///
    /// Workers that started before the last refusal that counts were refused for the same reason: together they count once.
    /// The `next` one to start may count again.
    pub(super) fn refused(
        &mut self,
        now: Time,
        worker: WorkerId,
        next: WorkerId,
        fault: &Fault,
        policy: &Policy,
    ) -> Option<(u32, Time)> {
        let clear = matches!(fault.kind.class(), Class::Busy | Class::Link);
        let served = self.served_of_late(now);
        if self.refusals == 0 || worker >= self.refused_at.1 {
            self.refusals = (self.refusals + if clear { REFUSALS_MIN } else { 1 }).min(u32::BITS);
            self.refused_at.1 = next;
            self.refused_together = 1;
        } else {
            self.refused_together += 1;
            if self.refused_together >= MANY.max(served) {
                self.refusals = self.refusals.max(REFUSALS_MIN);
            }
        }
        self.refused_at.0 = served;
        self.fault = Some(fault.clone());
        if self.refusals < REFUSALS_MIN {
            return None;
        }
        let cap = served.max(1);
        let wish = fault.retry_after.unwrap_or_default().min(policy.retry_after_max);
        // The surer it is, the longer it holds.
        let doublings = (self.refusals / REFUSALS_MIN - 1).min(16);
        let hold = policy.host_cap_hold.saturating_mul(1 << doublings).min(CAP_HOLD_MAX);
        self.learned_cap = Some(cap);
        self.looked_after = true;
        self.cap_until = now + hold.max(wish);
        Some((cap, self.cap_until))
    }

    /// Tells whether it has served somebody after this time.
    pub(super) fn has_served_since(&self, time: Time) -> bool {
        self.served.0 > 0 && self.served.1 > time
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
        self.tested_at = None;
        self.fault = Some(fault.clone());
        Some(wait)
    }

    /// Nobody is served, although nothing was said: one connection alone finds out whether the host is there, and after a while
    /// another one.
    pub(super) fn test(&mut self) {
        if !std::mem::replace(&mut self.testing, true) {
            self.tested_at = None;
        }
    }

    /// What is worth remembering of it.
    pub(super) fn memory(&self, now: Time) -> HostMemory {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a speed is small and positive")]
        let bytes_per_second = self.typical.map(|speed| speed as u64);
        HostMemory {
            name: self.name.clone(),
            cap: self.learned_cap,
            cap_holds: self.cap_until.since(now),
            refusals: self.refusals,
            useful: self.useful,
            bytes_per_second,
            answer_time: self.answer_time(),
            blocked_for: self.blocked_until(now).map_or(Duration::ZERO, |until| until.since(now)),
            fault: self.fault.clone(),
            connections_max: self.user_cap,
        }
    }

    fn remember(&mut self, now: Time, memory: &HostMemory) {
        self.learned_cap = memory.cap;
        self.cap_until = now + memory.cap_holds;
        self.refusals = memory.refusals;
        self.useful = memory.useful;
        self.typical = memory.bytes_per_second.map(|speed| speed as f64);
        self.starts.remember(memory.answer_time);
        self.blocked_until = Some(now + memory.blocked_for).filter(|until| *until > now);
        self.testing |= self.blocked_until.is_some();
        self.fault.clone_from(&memory.fault);
        self.user_cap = memory.connections_max.map(|cap| cap.max(1));
    }

    fn is_worth_keeping(&self) -> bool {
        self.learned_cap.is_some()
            || self.blocked_until.is_some()
            || self.user_cap.is_some()
            || self.useful.is_some()
            || self.typical.is_some()
    }
}

/// The mean wait after `failures` failures in a row: doubling from `retry_wait` up to `retry_wait_max`.
pub(super) fn backoff(policy: &Policy, failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    policy.retry_wait.saturating_mul(factor).min(policy.retry_wait_max)
}

/// Hosts without a job that are remembered here; the store remembers more.
const IDLE_MAX: usize = 1_000;

impl Hosts {
    pub(super) fn enter(&mut self, name: &str) -> HostId {
        let id = self.id_of(name);
        self.get_mut(id).jobs += 1;
        id
    }

    fn id_of(&mut self, name: &str) -> HostId {
        let id = *self.by_name.entry(name.to_owned()).or_insert_with(|| {
            self.next += 1;
            HostId(self.next)
        });
        self.hosts.entry(id).or_insert_with(|| Host::new(name));
        id
    }

    /// A job about this host is gone.
    pub(super) fn leave(&mut self, id: HostId) {
        self.get_mut(id).jobs -= 1;
        self.forget_if_idle(id);
    }

    /// A host that nobody needs and that teaches nothing is forgotten; of the others, only so many are kept.
    fn forget_if_idle(&mut self, id: HostId) {
        let crowded = self.hosts.len() > IDLE_MAX;
        let host = self.get(id);
        if host.jobs == 0 && (crowded || !host.is_worth_keeping()) {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: HostId) {
        let host = self.hosts.remove(&id).expect("the caller holds the host");
        debug_assert_eq!(host.active, 0, "a worker belongs to a job");
        self.by_name.remove(&host.name);
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

    pub(super) fn find(&self, id: HostId) -> Option<&Host> {
        self.hosts.get(&id)
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Host> {
        self.by_name.get(name).map(|id| &self.hosts[id])
    }

    /// Takes over what an earlier run or the user says; returns when the host has to be looked at.
    pub(super) fn remember(&mut self, now: Time, memory: &HostMemory) -> (HostId, Option<Time>) {
        let id = self.id_of(&memory.name);
        let host = self.get_mut(id);
        host.remember(now, memory);
        host.looked_after = host.active > 0;
        let cap_until = host.learned_cap.filter(|_| host.looked_after).map(|_| host.cap_until);
        (id, host.blocked_until.into_iter().chain(cap_until).min())
    }

    /// Forgets what was learned of a host, but not what is running.
    pub(super) fn forget(&mut self, now: Time, name: &str) -> Option<HostId> {
        let id = *self.by_name.get(name)?;
        self.get_mut(id).remember(now, &HostMemory::default());
        self.forget_if_idle(id);
        Some(id)
    }

    /// The user says: try now.
    pub(super) fn forgive(&mut self, id: HostId) {
        let host = self.get_mut(id);
        host.blocked_until = None;
    }

    /// Ends a block whose time has come, and lets a learned cap decay by one connection if somebody is there to try it.
    /// Returns when to look again; a cap that nobody uses is looked at when somebody does.
    pub(super) fn wake(&mut self, now: Time, id: HostId, policy: &Policy) -> Option<Time> {
        let host = self.hosts.get_mut(&id)?;
        if host.blocked_until.is_some_and(|until| until <= now) {
            host.blocked_until = None;
        }
        host.looked_after = host.active > 0;
        if let Some(cap) = host.learned_cap.filter(|_| host.cap_until <= now && host.looked_after) {
            host.learned_cap = Some(cap + 1).filter(|cap| *cap < policy.connections_per_host);
            host.cap_until = now + policy.host_cap_hold;
        }
        let next = host.learned_cap.filter(|_| host.looked_after).map(|_| host.cap_until);
        self.forget_if_idle(id);
        next
    }

    /// A worker has begun. Returns when a cap that nobody has looked after is to be looked at.
    pub(super) fn entered(&mut self, now: Time, id: HostId) -> Option<Time> {
        let host = self.get_mut(id);
        host.active += 1;
        if host.testing {
            host.tested_at = Some(now);
        }
        let neglected = !std::mem::replace(&mut host.looked_after, true) && host.learned_cap.is_some();
        neglected.then(|| host.cap_until.max(now))
    }
}
