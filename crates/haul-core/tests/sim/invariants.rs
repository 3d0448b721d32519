//! What must hold at every step of every world (FAILURES.md section 1).

use std::time::Duration;

use haul_core::messages::{Effect, Fetch, FetchKind, MirrorState, Note, Outcome, StopReason};
use haul_core::{ByteRange, ChunkState, Class, Fault, FaultKind, JobId, JobState, Policy, Time, WaitingFor};

use crate::host;
use crate::job::{Job, Site};
use crate::link::{Phase, Worker};
use crate::spans::Spans;
use crate::world::World;

/// A running job is served after this time at the latest, if others have connections to give away.
const FAIRNESS: Duration = Duration::from_secs(10);

/// The first request of a job is not doubled before it has been without an answer for this long.
const PROBE_AGAIN_AFTER: Duration = Duration::from_secs(2);

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
            && self.jobs[&id].sites.iter().any(|site| site.file.links_left == 0 || site.file.status.is_some())
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
        let now = self.now;
        let usable = view.mirrors.iter().zip(&job.sites).filter(|(mirror, _)| mirror.state != MirrorState::Dropped);
        let hosts: Vec<usize> = usable.map(|(_, site)| site.host).collect();
        let there = |other: JobId, host: usize| {
            self.workers.values().filter(|w| w.job == other && self.host_of(other, w.fetch.mirror) == host).count()
        };
        let shares = |host: &usize| self.jobs.keys().any(|other| *other != id && there(*other, *host) >= 2);
        let rich = idle && hosts.iter().all(shares);
        let job = self.job(id);
        job.best_done = done;
        job.starving_since = if rich { job.starving_since.or(Some(now)) } else { None };
        let starving = job.starving_since.is_some_and(|since| now.since(since) > FAIRNESS);
        self.check(!starving, || format!("{id} starves while others have two connections"));
    }

    /// Before an effect is carried out.
    pub(crate) fn check_effect(&mut self, effect: &Effect) {
        let about = match effect {
            Effect::Fetch(fetch) => Some(fetch.job),
            Effect::SetEnd { worker, .. } | Effect::Stop { worker, .. } => self.workers.get(worker).map(|w| w.job),
            Effect::Reset(id)
            | Effect::Rewrite(id)
            | Effect::CheckDisk(id)
            | Effect::Seal(id)
            | Effect::Changed(id) => Some(*id),
            Effect::Released(id) | Effect::Ended(id, _) | Effect::Note(id, _) => Some(*id),
            Effect::CompareSeam { job, .. } => Some(*job),
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
            Effect::Rewrite(_) | Effect::CheckDisk(_) | Effect::HostChanged(_) | Effect::CompareSeam { .. } => {}
        }
    }

    fn check_fetch(&self, fetch: &Fetch) {
        let job = &self.jobs[&fetch.job];
        let host_index = self.host_of(fetch.job, fetch.mirror);
        let host = &self.hosts[host_index];
        let of_job = self.workers.values().filter(|w| w.job == fetch.job).count();
        let on_host = self.workers.values().filter(|w| self.host_of(w.job, w.fetch.mirror) == host_index).count();
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
        self.check_range(fetch, job);
    }

    fn check_range(&self, fetch: &Fetch, job: &Job) {
        let (from, end) = (fetch.from, fetch.end.unwrap_or(u64::MAX));
        let is_sane = match fetch.kind {
            FetchKind::Probe | FetchKind::Whole => from == 0 && fetch.end.is_none(),
            FetchKind::Range | FetchKind::Compare => from < end && Some(end) <= job.identity.total,
        };
        self.check(is_sane, || format!("an odd range: {fetch:?}"));
        let is_there = fetch.overlap <= from && job.written.covers(from - fetch.overlap, from);
        let reach = fetch.reach <= job.identity.total.unwrap_or(0).saturating_sub(end);
        self.check(fetch.reach == 0 || reach, || format!("nothing is behind {fetch:?}"));
        self.check(fetch.overlap == 0 || is_there, || format!("nothing to compare with before {fetch:?}"));
        let mirror = fetch.mirror.0 as usize;
        match fetch.kind {
            FetchKind::Compare => {
                self.check(job.written.covers(from, end), || format!("nothing to compare with: {fetch:?}"));
                return;
            }
            FetchKind::Range => self.check(job.identity.trusted.contains(&mirror), || {
                format!("who has not proved itself must not contribute: {fetch:?}, {:?}", job.identity)
            }),
            FetchKind::Probe | FetchKind::Whole => {}
        }
        // In a race two fetch the same bytes, to the same end; nobody else shares any. Who has lost one does not count.
        let shared: Vec<&Worker> = self
            .workers
            .values()
            .filter(|w| w.job == fetch.job && w.writes() && !w.overtaken && w.stopping != Some(StopReason::Overtaken))
            .filter(|w| w.at < end && from < w.mark)
            .collect();
        let is_race = match shared.as_slice() {
            [first] if fetch.kind == FetchKind::Probe => {
                let is_late = self.now.since(first.started) >= PROBE_AGAIN_AFTER;
                first.fetch.kind == FetchKind::Probe && matches!(first.phase, Phase::Asking) && is_late
            }
            [rival] => rival.mark.min(job.identity.total.unwrap_or(u64::MAX)) == end && rival.fetch.from <= from,
            _ => false,
        };
        self.check(is_race || shared.is_empty(), || format!("others own bytes of {fetch:?}: {shared:?}"));
        self.check(is_race || !job.written.touches(from, end), || format!("bytes of {fetch:?} are there already"));
    }

    /// INV-1, by the world's own record.
    fn check_seal(&self, id: JobId) {
        let job = &self.jobs[&id];
        let total = self.engine.job(self.now, id).and_then(|view| view.total);
        let bytes = total.unwrap_or(u64::MAX);
        let is_a_files = job.sites.iter().any(|site| site.file.bytes == bytes);
        self.check(is_a_files, || format!("{id} is sealed with {total:?} bytes: no file is of this size"));
        let covered = job.written.bytes() == bytes && job.written.covers(0, bytes);
        self.check(covered, || format!("{id} is sealed with {} of {bytes} bytes", job.written.bytes()));
        self.check(!self.workers.values().any(|w| w.job == id), || format!("{id} is sealed with workers running"));
    }

    /// Tells whether the file is the one that its checksum is of.
    pub(crate) fn is_as_promised(&self, id: JobId) -> bool {
        let job = &self.jobs[&id];
        let bytes = job.sites[0].file.bytes;
        job.written.bytes() == bytes && job.contents.first_other(ByteRange::new(0, bytes), 0).is_none()
    }

    /// A complete file is of one make, but for what a mirror gave that lies now and then: where there is no checksum,
    /// nobody could know.
    fn check_contents(&self, id: JobId) {
        let job = &self.jobs[&id];
        let mut makes = job.contents.makes(ByteRange::new(0, job.written.bytes()));
        makes.retain(|make| job.checksum || !host::is_wrong(*make));
        makes.sort_unstable();
        makes.dedup();
        self.check(makes.len() <= 1, || format!("{id} is complete, and made of {makes:?}"));
        self.check(!job.checksum || self.is_as_promised(id), || format!("{id} is complete, and not as promised"));
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
            let possible = job.sites.iter().any(|site| site.file.status.is_none() || site.file.dies.is_some());
            self.check(job.seal_fault.is_none() && possible, || format!("{id} cannot be complete"));
            self.check_contents(id);
            return;
        };
        let legitimate = job.sites.iter().any(|site| self.may_fail(job, site, fault));
        self.check(legitimate, || format!("{id} failed without need: {fault:?}"));
        // Two, where the first request was so late that another one was made.
        let denials = job.sites[0].denials;
        let status = job.sites[0].file.status.map(FaultKind::Status);
        let alone = job.sites.len() == 1 && status == Some(fault.kind);
        let enough = (1..=2).contains(&denials) || job.ever_progressed || limited(&self.policy);
        self.check(!alone || enough, || format!("{id} was denied {denials} times"));
    }

    /// Tells whether a fault of this kind at this site is a reason for the job to fail.
    fn may_fail(&self, job: &Job, site: &Site, fault: &Fault) -> bool {
        match fault.kind.class() {
            Class::SourceChanged => job.restarts >= self.policy.restarts_max,
            Class::Protocol | Class::RangesRefused => site.file.mishaps_left < 100,
            Class::Link | Class::Permanent if site.file.status.is_some() => true,
            Class::Link => site.file.links_left == 0,
            Class::Permanent => job.seal_fault == Some(fault.kind) || job.checksum,
            Class::Transient | Class::Busy => limited(&self.policy) || fault.kind == FaultKind::Internal,
            Class::Disk | Class::Volume | Class::Local | Class::Doubted | Class::Network => false,
        }
    }
}

/// A job fails after so many attempts.
fn limited(policy: &Policy) -> bool {
    policy.retry_limit > 0
}
