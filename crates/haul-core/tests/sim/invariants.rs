//! What must hold at every step of every world (FAILURES.md section 1).

use std::time::Duration;

use haul_core::messages::{Effect, Fetch, FetchKind, Note, Outcome};
use haul_core::{ChunkState, Class, JobId, JobState, Time, WaitingFor};

use crate::spans::Spans;
use crate::world::World;

/// A running job is served after this time at the latest, if others have connections to give away.
const FAIRNESS: Duration = Duration::from_secs(10);

impl World {
    pub(crate) fn host_answered(&mut self, host: usize) {
        self.hosts[host].left_alone_until = Time::ZERO;
    }

    /// Every job is at its end, or waits for a person who will not come.
    pub(crate) fn is_settled(&self) -> bool {
        let unsubmitted =
            |id: &JobId| self.acts.iter().any(|act| matches!(act, crate::user::Act::Submit(job) if job == id));
        self.jobs.iter().all(|(id, job)| {
            job.outcome.is_some()
                || (job.held && self.waits_for_a_link(*id))
                || (job.requests == 0 && !job.held && !unsubmitted(id))
        })
    }

    fn waits_for_a_link(&self, id: JobId) -> bool {
        self.engine.job(self.now, id).is_some_and(|view| view.state == JobState::Waiting(WaitingFor::Link))
            && self.jobs[&id].file.links_left == 0
    }

    /// After each input and its effects.
    pub(crate) fn check_step(&mut self) {
        let connections = self.engine.connections();
        self.check(connections == self.workers.len(), || {
            format!("the engine counts {connections} workers, there are {}", self.workers.len())
        });
        if let Some(id) = self.reported {
            self.check_next_step(id);
            return;
        }
        let ids: Vec<JobId> = self.jobs.iter().filter(|(_, job)| job.held).map(|(id, _)| *id).collect();
        for id in ids {
            self.check_next_step(id);
        }
    }

    /// INV-5: every job has a next step, and nobody starves.
    fn check_next_step(&mut self, id: JobId) {
        let Some(view) = self.engine.job(self.now, id) else {
            self.fail(format!("the engine has forgotten {id} without a word"));
        };
        let alarm = self.engine.poll_timeout();
        let job = &self.jobs[&id];
        let done = view.done_bytes;
        self.check(done <= job.written.bytes(), || {
            format!("{id} claims {done} bytes of {} that were written", job.written.bytes())
        });
        self.check(done >= job.best_done, || format!("{id} fell from {} to {done} bytes", job.best_done));
        let moves =
            !self.workers.is_empty() || alarm.is_some() || self.jobs.values().any(|job| job.reset_due || job.seal_due);
        let idle = match view.state {
            JobState::Waiting(WaitingFor::Link) => false,
            JobState::Waiting(_) if job.releasing || view.connections > 0 => false,
            JobState::Waiting(_) => {
                let wakes = view.retry_in.is_some_and(|wait| alarm.is_some_and(|(at, _)| at <= self.now + wait));
                self.check(wakes, || format!("{id} waits without an alarm: {view:?}, {alarm:?}"));
                false
            }
            JobState::Verifying => {
                self.check(job.seal_due, || format!("{id} verifies without an order"));
                false
            }
            JobState::Queued => {
                self.check(moves, || format!("{id} is queued and nothing will ever happen"));
                false
            }
            JobState::Probing | JobState::Active => {
                self.check(moves, || format!("{id} runs and nothing will ever happen: {view:?}"));
                view.connections == 0 && !job.reset_due
            }
            JobState::Paused | JobState::Completed | JobState::Failed | JobState::Canceled => {
                self.fail(format!("the engine does not know the state {:?}", view.state))
            }
        };
        let host = job.host;
        let now = self.now;
        let rich = self.jobs.iter().any(|(other, job)| {
            *other != id && job.host == host && self.workers.values().filter(|w| w.job == *other).count() >= 2
        });
        let job = self.job(id);
        job.best_done = done;
        job.starving_since = if idle && rich { job.starving_since.or(Some(now)) } else { None };
        let starving = job.starving_since.is_some_and(|since| now.since(since) > FAIRNESS);
        self.check(!starving, || format!("{id} starves while others have two connections"));
    }

    /// Before an effect is carried out.
    pub(crate) fn check_effect(&mut self, effect: &Effect) {
        let about = match effect {
            Effect::Fetch(fetch) => Some(fetch.job),
            Effect::SetEnd { worker, .. } | Effect::Stop { worker, .. } => self.workers.get(worker).map(|w| w.job),
            Effect::Reset(id) | Effect::Rewrite(id) | Effect::Seal(id) | Effect::Changed(id) => Some(*id),
            Effect::Released(id) | Effect::Ended(id, _) | Effect::Note(id, _) => Some(*id),
            Effect::HostChanged(_) => None,
        };
        if let Some(id) = about {
            self.check(self.jobs[&id].held, || format!("an effect for a job that is gone: {effect:?}"));
        }
        match effect {
            Effect::Fetch(fetch) => self.check_fetch(fetch),
            Effect::Seal(id) => self.check_seal(*id),
            Effect::Reset(id) | Effect::Released(id) | Effect::Ended(id, _) => {
                let workers = self.workers.values().filter(|w| w.job == *id).count();
                self.check(workers == 0, || format!("{workers} workers are running at {effect:?}"));
            }
            Effect::Note(_, Note::HostWaits { host, wait, .. }) => {
                let index = self.host_index(host);
                self.hosts[index].left_alone_until = self.now + *wait;
            }
            Effect::SetEnd { .. } | Effect::Stop { .. } | Effect::Changed(_) | Effect::Note(..) => {}
            Effect::Rewrite(_) | Effect::HostChanged(_) => {}
        }
    }

    fn check_fetch(&self, fetch: &Fetch) {
        let job = &self.jobs[&fetch.job];
        let host = &self.hosts[job.host];
        let of_job = self.workers.values().filter(|w| w.job == fetch.job).count();
        let on_host = self.workers.values().filter(|w| self.jobs[&w.job].host == job.host).count();
        let job_cap = job.tuning.connections.unwrap_or(self.caps.connections_per_job) as usize;
        self.check(of_job < job_cap, || format!("{} has {of_job} connections already", fetch.job));
        self.check(on_host < self.caps.connections_per_host as usize, || format!("{} is full", host.name));
        self.check(self.workers.len() < self.caps.connections_total as usize, || "all connections are used".to_owned());
        self.check(host.left_alone_until <= self.now, || format!("{} is to be left alone", host.name));
        self.check(!self.workers.contains_key(&fetch.worker), || format!("{:?} runs already", fetch.worker));
        self.check(!job.reset_due && !job.seal_due && !job.releasing, || {
            format!("{} is not to be fetched now", fetch.job)
        });
        // Requests without a gain get rarer and rarer: a burst, and then less than one a second.
        let seconds = self.now.since(job.progressed_at).as_secs();
        let patience = 80 + seconds * u64::from(self.caps.connections_per_job.min(4)) / 2;
        self.check(u64::from(job.requests_in_vain) <= patience, || {
            format!("{} has made {} requests in vain in {seconds} s", fetch.job, job.requests_in_vain)
        });
        let (from, end) = (fetch.from, fetch.end.unwrap_or(u64::MAX));
        let whole = fetch.kind != FetchKind::Range;
        self.check(from < end && (!whole || (from == 0 && fetch.end.is_none())), || format!("an odd range: {fetch:?}"));
        // In a race two fetch the same bytes, to the same end; nobody else shares any.
        let shared: Vec<_> = self.workers.values().filter(|w| w.job == fetch.job && w.at < end && from < w.mark).collect();
        let is_race = matches!(shared.as_slice(), [rival] if rival.mark.min(job.file.bytes) == end && rival.fetch.from <= from);
        self.check(is_race || shared.is_empty(), || format!("others own bytes of {fetch:?}: {shared:?}"));
        self.check(is_race || !job.written.touches(from, end), || format!("bytes of {fetch:?} are there already"));
    }

    /// INV-1, by the world's own record.
    fn check_seal(&self, id: JobId) {
        let job = &self.jobs[&id];
        let bytes = job.file.bytes;
        let covered = job.written.bytes() == bytes && job.written.covers(0, bytes);
        self.check(covered, || format!("{id} is sealed with {} of {bytes} bytes", job.written.bytes()));
        self.check(!self.workers.values().any(|w| w.job == id), || format!("{id} is sealed with workers running"));
    }

    /// The rows tile the file and say no more than is there.
    pub(crate) fn check_job(&self, id: JobId) {
        let job = &self.jobs[&id];
        if !job.held {
            return;
        }
        let Some(view) = self.engine.job(self.now, id) else { return };
        let rows = self.engine.chunks(self.now, id);
        let mut at = 0;
        let mut done = 0;
        for (row, _) in &rows {
            self.check(row.range.start == at && !row.range.is_empty(), || format!("rows do not tile: {row:?} at {at}"));
            self.check(job.written.covers(row.range.start, row.position()), || {
                format!("a row claims too much: {row:?}")
            });
            match row.state {
                ChunkState::Active(worker) => {
                    let owner = self.workers.get(&worker).filter(|w| w.job == id);
                    self.check(owner.is_some(), || format!("nobody works on {row:?}"));
                }
                ChunkState::Done => self.check(row.missing() == 0, || format!("not done: {row:?}")),
                ChunkState::Ready | ChunkState::Backoff(_) => {
                    self.check(row.missing() > 0, || format!("nothing is missing of {row:?}"));
                }
            }
            at = row.range.end;
            done += row.done;
        }
        if !rows.is_empty() {
            self.check(Some(at) == view.total && done == view.done_bytes, || format!("the sums differ: {view:?}"));
        }
    }

    /// What the store keeps of a job that has left is what is in its file, and can be gone on from.
    pub(crate) fn check_stored(&self, id: JobId) {
        let job = &self.jobs[&id];
        let rows = &job.stored.rows;
        let mut at = 0;
        for row in rows.values() {
            self.check(row.range.start == at, || format!("stored rows do not tile: {row:?} at {at}"));
            at = row.range.end;
        }
        if !rows.is_empty() {
            self.check(Some(at) == job.stored.total, || format!("stored rows end at {at} of {:?}", job.stored.total));
            let claimed = Spans::of_rows(rows.values()).bytes();
            self.check(claimed == job.written.bytes(), || {
                format!("{id} left with {} bytes, of which its rows know {claimed}", job.written.bytes())
            });
        }
    }

    /// A job ends for a reason that the world knows of.
    pub(crate) fn check_outcome(&self, id: JobId) {
        let job = &self.jobs[&id];
        let Some(Outcome::Failed(fault)) = &job.outcome else {
            self.check(job.seal_fault.is_none() && job.file.status.is_none(), || format!("{id} cannot be complete"));
            return;
        };
        let limited = self.policy.retry_limit > 0;
        let legitimate = match fault.kind.class() {
            Class::SourceChanged => job.restarts >= self.policy.restarts_max,
            Class::Protocol | Class::RangesRefused => job.file.mishaps_left < 100,
            Class::Link | Class::Permanent if job.file.status.is_some() => {
                self.check(job.denials == 1 || job.ever_progressed, || {
                    format!("{id} was denied {} times", job.denials)
                });
                true
            }
            Class::Link => job.file.links_left == 0,
            Class::Permanent => job.seal_fault == Some(fault.kind),
            Class::Transient | Class::Busy => limited,
            Class::Disk | Class::Local => false,
        };
        self.check(legitimate, || format!("{id} failed without need: {fault:?}"));
    }
}
