//! What happens to jobs is written down: what the engine finds worth a note, and each change of what a client sees.
//!
//! What changes a row of a job stands in its history by the same transaction, and the store sees to that. The rest is
//! gathered for up to a second, so that the transfers never wait for it: like things are counted, not repeated.

use std::time::{Duration, Instant};

use haul_core::messages::{JobView, Note, StopReason};
use haul_core::{JobId, JobState, MirrorIndex};
use haul_store::{EventKind, NewEvent};
use tracing::error;

use super::Driver;
use super::running::Running;
use super::tasks::Done;
use crate::convert::{millis, now_ms, waiting_word};

/// How long an event may wait for more of its kind.
const WAIT: Duration = Duration::from_secs(1);

/// Events that may wait; with one more they go at once. A guess: a page of the database.
const WAITING_MAX: usize = 256;

/// Events that are not stored yet.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    events: Vec<NewEvent>,
    /// When the first of them came.
    since: Option<Instant>,
}

impl Waiting {
    /// When they have waited long enough.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.since.map(|since| if self.events.len() < WAITING_MAX { since + WAIT } else { since })
    }

    fn add(&mut self, event: NewEvent) {
        self.since.get_or_insert_with(Instant::now);
        let like = self.events.iter_mut().rev().filter(|known| known.job == event.job);
        for known in like {
            if known.kind.absorb(&event.kind) {
                known.at_ms = event.at_ms;
                return;
            }
        }
        self.events.push(event);
    }

    fn take(&mut self) -> Vec<NewEvent> {
        self.since = None;
        let mut events = std::mem::take(&mut self.events);
        // What was counted has the time of the last of its kind.
        events.sort_by_key(|event| event.at_ms);
        events
    }
}

impl Driver {
    /// Writes down what has happened to a job, within a second.
    pub(super) fn tell(&mut self, job: JobId, kind: EventKind) {
        self.events.add(NewEvent { job, at_ms: now_ms(), kind });
    }

    pub(super) fn save_events_if_due(&mut self) {
        if self.events.due_at().is_some_and(|at| at <= Instant::now()) {
            self.save_events();
        }
    }

    /// Has everything stored that was written down; before anything that the store itself writes down, so that the
    /// history has the order of what happened.
    pub(super) fn save_events(&mut self) {
        let events = self.events.take();
        if events.is_empty() {
            return;
        }
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            if let Err(error) = store.note_events(events).await {
                error!(%error, "cannot store what has happened to jobs");
            }
            Done::Nothing
        }));
    }

    /// What a client sees of a job may have changed. Short waits are not told: the fault before them is.
    pub(super) fn tell_state(&mut self, id: JobId, view: &JobView, lasting: bool) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        let Some(kind) = of_state(view, lasting).filter(|_| running.told_state != Some(view.state)) else { return };
        running.told_state = Some(view.state);
        self.tell(id, kind);
    }

    /// A worker was stopped: tells that its connection is replaced, where the speed floor does not say so.
    pub(super) fn tell_replaced(&mut self, job: JobId, host: String, reason: StopReason) {
        let reason = match reason {
            StopReason::Trial => "slow",
            StopReason::Unanswered => "unanswered",
            StopReason::BelowFloor | StopReason::JobStops | StopReason::Overtaken | StopReason::Yield => return,
        };
        self.tell(job, EventKind::Replaced { host, reason: reason.to_owned(), count: 1 });
    }

    /// Writes down what the engine finds worth it.
    pub(super) fn tell_note(&mut self, id: JobId, note: &Note) {
        let Some(running) = self.jobs.get(&id) else { return };
        if let Some(kind) = of_note(running, note) {
            self.tell(id, kind);
        }
    }
}

/// A state that the engine has brought a job to. Others are the store's to tell.
fn of_state(view: &JobView, lasting: bool) -> Option<EventKind> {
    let fault = view.fault.as_ref();
    Some(match view.state {
        JobState::Queued => EventKind::Queued,
        JobState::Probing => EventKind::Probing,
        JobState::Active => EventKind::Active,
        JobState::Waiting(what) if lasting => EventKind::Waiting {
            waiting_for: waiting_word(what).to_owned(),
            code: fault.map(|fault| fault.kind.code().to_owned()),
            detail: fault.map(ToString::to_string),
            retry_in_ms: view.retry_in.map(millis),
        },
        JobState::Waiting(_)
        | JobState::Paused
        | JobState::Verifying
        | JobState::Completed
        | JobState::Failed
        | JobState::Canceled => return None,
    })
}

fn of_note(running: &Running, note: &Note) -> Option<EventKind> {
    let host = |mirror: MirrorIndex| running.mirror(mirror).host.clone();
    Some(match note {
        Note::ChunkReturned { chunk, mirror, retries, wait, fault } => EventKind::Fault {
            host: host(*mirror),
            code: fault.kind.code().to_owned(),
            detail: fault.to_string(),
            chunk_start: *chunk,
            retries: *retries,
            wait_ms: millis(*wait),
            count: 1,
        },
        Note::Strike { chunk, mirror, strikes, bytes_per_second } => EventKind::Strike {
            host: host(*mirror),
            chunk_start: *chunk,
            strikes: *strikes,
            bytes_per_second: *bytes_per_second,
            count: 1,
        },
        Note::HostCap { host, cap } => EventKind::HostCap { host: host.clone(), connections: *cap },
        Note::HostWaits { host, wait, fault } => EventKind::HostWaits {
            host: host.clone(),
            wait_ms: millis(*wait),
            code: fault.kind.code().to_owned(),
            detail: fault.to_string(),
        },
        Note::SingleConnection => EventKind::SingleConnection,
        Note::LinkTriedAgain => EventKind::LinkTriedAgain,
        Note::MirrorProven(mirror) => EventKind::MirrorProven { mirror: mirror.0, host: host(*mirror) },
        Note::MirrorDropped { mirror, fault } => EventKind::MirrorDropped {
            mirror: mirror.0,
            host: host(*mirror),
            code: fault.kind.code().to_owned(),
            detail: fault.to_string(),
        },
        Note::Healing { bytes, .. } => EventKind::Healing { bytes: *bytes },
        // The store tells it when the bytes are dropped.
        Note::Restart { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(job: u64, host: &str, at_ms: i64) -> NewEvent {
        let kind = EventKind::Replaced { host: host.to_owned(), reason: "slow".to_owned(), count: 1 };
        NewEvent { job: JobId(job), at_ms, kind }
    }

    #[test]
    fn like_events_of_one_job_become_one_with_the_time_of_the_last() {
        let mut waiting = Waiting::default();
        let active = NewEvent { job: JobId(1), at_ms: 2, kind: EventKind::Active };
        for event in [replaced(1, "a", 1), active.clone(), replaced(1, "a", 3), replaced(2, "a", 4)] {
            waiting.add(event);
        }
        let events = waiting.take();
        assert_eq!(events[0], active);
        assert!(matches!(&events[1].kind, EventKind::Replaced { count: 2, .. }), "{events:?}");
        assert_eq!(events[1].at_ms, 3);
        assert_eq!(events[2], replaced(2, "a", 4), "of another job");
        assert_eq!(events.len(), 3);
        assert_eq!(waiting.due_at(), None);
    }

    #[test]
    fn many_events_do_not_wait_for_more() {
        let mut waiting = Waiting::default();
        for n in 0..WAITING_MAX as u64 {
            assert!(waiting.due_at().is_none_or(|at| at > Instant::now()));
            waiting.add(replaced(n, "a", 1));
        }
        assert!(waiting.due_at().is_some_and(|at| at <= Instant::now()));
    }
}
