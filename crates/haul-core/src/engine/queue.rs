//! Who waits for a slot, and whose turn it is.
//!
//! All jobs that wait stand in one order, by rank, but each belongs to a queue, and a queue may be full or closed: then the
//! next one of another queue goes first. A job of a closed queue does not wait for a slot but for its time.

use std::collections::{BTreeMap, BTreeSet};

use crate::messages::{QueueRule, place_between, place_by_id};
use crate::{JobId, QueueId, Time, WaitingFor};

use super::Engine;
use super::job::{Ending, Rank, Stage};

/// The jobs that wait for a slot, and the rules of their queues.
#[derive(Debug, Default)]
pub(super) struct Queues {
    waiting: BTreeMap<QueueId, BTreeSet<Rank>>,
    rules: BTreeMap<QueueId, QueueRule>,
}

impl Queues {
    pub(super) fn insert(&mut self, queue: QueueId, rank: Rank) {
        self.waiting.entry(queue).or_default().insert(rank);
    }

    /// Tells whether it was there.
    pub(super) fn remove(&mut self, queue: QueueId, rank: &Rank) -> bool {
        let Some(waiting) = self.waiting.get_mut(&queue) else { return false };
        let was_there = waiting.remove(rank);
        if waiting.is_empty() {
            self.waiting.remove(&queue);
        }
        was_there
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many come before this one, of all queues.
    pub(super) fn ahead(&self, rank: &Rank) -> usize {
        self.waiting.values().map(|ranks| ranks.range(..rank).count()).sum()
    }

    /// How many come before this one in its queue.
    pub(super) fn ahead_in(&self, queue: QueueId, rank: &Rank) -> usize {
        self.waiting.get(&queue).map_or(0, |ranks| ranks.range(..rank).count())
    }

    /// The first of each queue, in the order of their ranks.
    fn heads(&self) -> Vec<(Rank, QueueId)> {
        let first = |(queue, ranks): (&QueueId, &BTreeSet<Rank>)| ranks.first().map(|rank| (*rank, *queue));
        let mut heads: Vec<_> = self.waiting.iter().filter_map(first).collect();
        heads.sort_unstable();
        heads
    }

    pub(super) fn rule(&self, queue: QueueId) -> QueueRule {
        self.rules.get(&queue).copied().unwrap_or_default()
    }
}

impl Engine {
    /// The next job that gets a slot, and who has to give one up for it.
    pub(super) fn next_in_line(&self) -> Option<(JobId, Option<JobId>)> {
        for (rank, queue) in self.queues.heads() {
            // A slot is taken from a job of lower priority only, never from one that merely came later.
            let victim = |of: Option<QueueId>| {
                let running = self.running.iter().map(|id| &self.jobs[id]);
                let last = running
                    .filter(|job| of.is_none_or(|of| job.tuning.queue == of) && !job.would_be_repeated())
                    .map(super::job::Job::rank)
                    .max();
                last.filter(|(priority, ..)| *priority > rank.0).map(|(_, _, id)| id)
            };
            let is_full = self.queues.rule(queue).active_max.is_some_and(|max| self.active_in(queue) >= max);
            let has_slot = self.running.len() < self.policy.active_jobs_max;
            match (is_full, has_slot) {
                (false, true) => return Some((rank.2, None)),
                (true, _) => {
                    if let Some(victim) = victim(Some(queue)) {
                        return Some((rank.2, Some(victim)));
                    }
                }
                (false, false) => {
                    if let Some(victim) = victim(None) {
                        return Some((rank.2, Some(victim)));
                    }
                }
            }
        }
        None
    }

    /// Jobs of a queue that hold a slot.
    pub(super) fn active_in(&self, queue: QueueId) -> usize {
        self.running.iter().filter(|id| self.jobs[id].tuning.queue == queue).count()
    }

    /// Takes over the rules of all queues that have some.
    pub(super) fn set_queues(&mut self, now: Time, rules: Vec<(QueueId, QueueRule)>) {
        self.queues.rules = rules.into_iter().collect();
        let ids: Vec<JobId> = self.jobs.keys().copied().collect();
        for id in ids {
            let job = self.jobs.get_mut(&id).expect("it was just there");
            let is_closed = self.queues.rule(job.tuning.queue).is_closed;
            match &mut job.stage {
                Stage::Queued | Stage::Running if is_closed => {
                    let ending = Ending::Wait { until: None, waiting_for: WaitingFor::Schedule };
                    self.end_job(now, id, ending);
                }
                Stage::Waiting { waiting_for: WaitingFor::Schedule, .. } if !is_closed => self.begin(now, id),
                Stage::Ending(ending @ Ending::Wait { waiting_for: WaitingFor::Schedule, .. }) if !is_closed => {
                    *ending = Ending::Requeue;
                }
                Stage::Queued
                | Stage::Running
                | Stage::Waiting { .. }
                | Stage::Ending(_)
                | Stage::Resetting { .. }
                | Stage::Sealing { .. } => {}
            }
        }
        let full: Vec<(QueueId, usize)> =
            self.queues.rules.iter().filter_map(|(queue, rule)| Some((*queue, rule.active_max?))).collect();
        for (queue, max) in full {
            while self.active_in(queue) > max {
                let of_queue = self.running.iter().filter(|id| self.jobs[id].tuning.queue == queue);
                let last = *of_queue.max_by_key(|id| self.jobs[id].rank()).expect("there are more than may be");
                self.end_job(now, last, Ending::Requeue);
            }
        }
    }

    /// A job is in another queue now.
    pub(super) fn moved(&mut self, now: Time, id: JobId) {
        let job = &self.jobs[&id];
        let rule = self.queues.rule(job.tuning.queue);
        match job.stage {
            Stage::Queued | Stage::Running if rule.is_closed => {
                self.end_job(now, id, Ending::Wait { until: None, waiting_for: WaitingFor::Schedule });
            }
            Stage::Running if rule.active_max.is_some_and(|max| self.active_in(job.tuning.queue) > max) => {
                self.end_job(now, id, Ending::Requeue);
            }
            Stage::Waiting { waiting_for: WaitingFor::Schedule, .. } if !rule.is_closed => self.begin(now, id),
            Stage::Queued
            | Stage::Running
            | Stage::Waiting { .. }
            | Stage::Ending(_)
            | Stage::Resetting { .. }
            | Stage::Sealing { .. } => {}
        }
    }

    /// The place of a job that shall be the `position`th, counted from 1, of those of this priority that wait for a slot.
    /// Beyond the last it is the last.
    #[must_use]
    pub fn place_at(&self, id: JobId, priority: i32, position: u64) -> i64 {
        let of_priority = |rank: &&Rank| rank.0.0 == priority && rank.2 != id;
        let mut places: Vec<i64> =
            self.queues.waiting.values().flatten().filter(of_priority).map(|(_, place, _)| *place).collect();
        places.sort_unstable();
        let index = usize::try_from(position.saturating_sub(1)).unwrap_or(usize::MAX).min(places.len());
        let before = index.checked_sub(1).map(|before| places[before]);
        place_between(before, places.get(index).copied()).unwrap_or_else(|| place_by_id(id))
    }
}
