//! One job, as the engine sees it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::messages::{JobSpec, Tuning};
use crate::meter::Meter;
use crate::{Fault, JobId, JobState, Ledger, MirrorIndex, Policy, Time, WaitingFor, WorkerId};

use super::host::HostId;
use super::mirror::{Mirror, Standing};
use super::ramp::Ramp;

/// The place in the queue: higher priority first, then where its user has put it, then first come, first served.
pub(super) type Rank = (Reverse<i32>, i64, JobId);

/// How long the last speed of a connection that is kept is remembered. A guess: not much longer than until the next
/// request.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// The stretch over which a job's speed is shown.
const SHOWN_WINDOW: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) mirrors: Vec<Mirror>,
    /// The mirror that defines the file.
    pub(super) main: MirrorIndex,
    /// Around where the next mirror's sample lies.
    pub(super) sample_from: u64,
    pub(super) tuning: Tuning,
    pub(super) stage: Stage,
    pub(super) total: Option<u64>,
    pub(super) accepts_ranges: Option<bool>,
    /// The rows; `None` until the length is known.
    pub(super) ledger: Option<Ledger>,
    /// Bytes of a file whose length is not known.
    pub(super) streamed: u64,
    pub(super) workers: BTreeSet<WorkerId>,
    /// The worker that was asked to give its connection up for this job.
    pub(super) promise: Option<WorkerId>,
    pub(super) restarts: u32,
    /// Times that damage was fetched again since all of the file was there.
    pub(super) mends: u32,
    /// All of the file has been fetched again because it was not the one that it must be.
    pub(super) fetched_twice: bool,
    /// The server has served the job, in this life or an earlier one.
    pub(super) served: bool,
    /// The most bytes that were ever there of this file: a single stream that starts over gains nothing before it.
    pub(super) furthest: u64,
    /// Failed attempts since the last gain. Workers that fail side by side count as one attempt.
    pub(super) attempts: u32,
    /// Those among them that a defect of ours has ended.
    pub(super) defects: u32,
    /// When the last of these attempts failed.
    pub(super) failed_at: Option<Time>,
    /// The median speed of its workers, when that was last known, in bytes per second.
    pub(super) usual_speed: Option<f64>,
    /// The connections of requests that were read to their end, which take its next ones: their speed, and since when they are
    /// idle.
    kept: Vec<(HostId, f64, Time)>,
    /// Where the part of a slow place begins that a connection was freed for, and when that was.
    pub(super) shared_place: Option<(u64, Time)>,
    /// Offsets at which somebody reads the file, the most urgent first.
    pub(super) demand: Vec<u64>,
    /// The offset that a connection was last freed for, and when that was.
    pub(super) freed_for: Option<(u64, Time)>,
    /// When it was handed over.
    pub(super) began: Time,
    /// When one of its connections last broke.
    pub(super) broke_at: Option<Time>,
    /// How many connections are worth it.
    pub(super) ramp: Ramp,
    /// Trials of another connection in the place of a slow one, and when the last one was.
    pub(super) trials: u32,
    pub(super) tried_at: Time,
    /// Bytes that races have fetched twice, or that were on their way when a lease was cut, as far as can be known.
    pub(super) wasted_bytes: u64,
    /// Bytes that were asked for once more, to compare them before others are written.
    pub(super) seam_bytes: u64,
    /// What workers have read beyond their ends: where it begins, and how much it is.
    pub(super) beyond: BTreeMap<u64, u64>,
    /// Seams that are being compared.
    pub(super) comparing: BTreeSet<u64>,
    /// Samples of its bytes from different answers were compared, and were equal.
    pub(super) compared: bool,
    /// Times that its bytes were found to be of different files, without a validator that says so.
    pub(super) conflicts: u32,
    pub(super) fault: Option<Fault>,
    pub(super) meter: Meter,
    /// The stored rows do not describe the file: nothing of it counts.
    rows_are_void: bool,
    /// What was last announced to the shell.
    pub(super) announced: Option<Shown>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stage {
    /// Waits for a slot.
    Queued,
    /// Holds a slot.
    Running,
    /// Cannot go on before a time, or before a person has done something.
    Waiting { until: Option<Time>, waiting_for: WaitingFor },
    /// Its workers have been asked to end.
    Ending(Ending),
    /// Its bytes are being dropped; then it goes on, or leaves if it was released meanwhile.
    Resetting { released: bool },
    /// All bytes are there, and are being looked at; a release counts if they turn out not to be the right ones.
    Sealing { released: bool },
}

/// What happens when the last worker is gone.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ending {
    /// The job leaves the engine.
    Release,
    /// The job fails.
    Fail(Fault),
    /// The job waits.
    Wait { until: Option<Time>, waiting_for: WaitingFor },
    /// The job goes on.
    Requeue,
    /// Bytes are dropped; then the job goes on, or leaves the engine where its user wants that meanwhile.
    Drop { what: Doubtful, released: bool },
}

/// Bytes that a job cannot build on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubtful {
    Everything,
    /// What one mirror has given.
    From(MirrorIndex),
}

impl Ending {
    pub(super) fn drop(what: Doubtful) -> Self {
        Self::Drop { what, released: false }
    }

    /// It is a verdict on the job. One that only makes room has none yet: what its last workers are told may still be one.
    pub(super) fn is_verdict(&self) -> bool {
        !matches!(self, Self::Requeue | Self::Wait { waiting_for: WaitingFor::Schedule, .. })
    }
}

/// The part of a job's view that is worth an announcement.
pub(super) type Shown = (JobState, Option<Time>, Option<u64>, Option<bool>);

impl Job {
    pub(super) fn new(now: Time, id: JobId, hosts: &[HostId], spec: JobSpec) -> Self {
        let ledger = spec.source.as_ref().and_then(|s| Ledger::restored(s.total, &s.chunks));
        let accepts_ranges = spec.source.as_ref().filter(|_| ledger.is_some()).map(|s| s.accepts_ranges);
        let done = ledger.as_ref().map_or(0, Ledger::done_bytes);
        let mut mirrors: Vec<Mirror> = hosts.iter().map(|host| Mirror::new(*host, Standing::Unproven)).collect();
        let main = spec.main;
        mirrors[main.0 as usize].standing = Standing::Proven;
        Self {
            id,
            mirrors,
            main,
            sample_from: 0,
            tuning: spec.tuning,
            stage: Stage::Queued,
            total: ledger.as_ref().map(Ledger::total),
            accepts_ranges,
            streamed: 0,
            workers: BTreeSet::new(),
            promise: None,
            restarts: spec.restarts,
            mends: 0,
            fetched_twice: false,
            served: done > 0,
            furthest: done,
            attempts: 0,
            defects: 0,
            failed_at: None,
            usual_speed: None,
            kept: Vec::new(),
            shared_place: None,
            demand: Vec::new(),
            freed_for: None,
            began: now,
            broke_at: None,
            ramp: Ramp::default(),
            trials: 0,
            tried_at: now,
            wasted_bytes: 0,
            seam_bytes: 0,
            beyond: BTreeMap::new(),
            comparing: BTreeSet::new(),
            compared: false,
            conflicts: 0,
            fault: None,
            meter: Meter::new(now, done, SHOWN_WINDOW),
            rows_are_void: spec.source.is_some() && ledger.is_none(),
            announced: None,
            ledger,
        }
    }

    pub(super) fn rank(&self) -> Rank {
        (Reverse(self.tuning.priority), self.tuning.place, self.id)
    }

    /// What the job's connections count when connections are shared out: who has least is served first.
    pub(super) fn holdings(&self) -> f64 {
        f64::from(self.connections()) * self.connection_cost()
    }

    /// What one connection counts: each step of priority halves it.
    pub(super) fn connection_cost(&self) -> f64 {
        2_f64.powi(-self.tuning.priority.clamp(-5, 5))
    }

    /// Connections in use.
    pub(super) fn connections(&self) -> u32 {
        u32::try_from(self.workers.len()).unwrap_or(u32::MAX)
    }

    /// The speed to expect of the next request to a host, where it follows another one of this job on its connection.
    pub(super) fn kept_speed(&self, now: Time, host: HostId) -> Option<f64> {
        let kept = self.kept.iter().rev().find(|(of, _, at)| *of == host && now.since(*at) <= KEPT_FOR);
        kept.map(|(_, speed, _)| *speed)
    }

    /// A request was read to its end at this speed: its connection is free for another one.
    pub(super) fn keep(&mut self, now: Time, host: HostId, speed: f64) {
        self.kept.retain(|(_, _, at)| now.since(*at) <= KEPT_FOR);
        self.kept.push((host, speed, now));
    }

    /// Another request to a host takes the connection that was used last, if there is one. Tells at what speed that was.
    pub(super) fn take_kept(&mut self, now: Time, host: HostId) -> Option<f64> {
        self.kept.retain(|(_, _, at)| now.since(*at) <= KEPT_FOR);
        let last = self.kept.iter().rposition(|(of, _, _)| *of == host)?;
        Some(self.kept.remove(last).1)
    }

    pub(super) fn mirror(&self, index: MirrorIndex) -> &Mirror {
        &self.mirrors[index.0 as usize]
    }

    pub(super) fn mirror_mut(&mut self, index: MirrorIndex) -> &mut Mirror {
        &mut self.mirrors[index.0 as usize]
    }

    pub(super) fn mirrors(&self) -> impl Iterator<Item = (MirrorIndex, &Mirror)> {
        (0..).map(MirrorIndex).zip(&self.mirrors)
    }

    /// There is a mirror that may contribute, now or later.
    pub(super) fn has_proven_mirror(&self) -> bool {
        self.mirrors.iter().any(|mirror| mirror.standing == Standing::Proven)
    }

    /// The host of the mirror that defines the file.
    pub(super) fn host(&self) -> HostId {
        self.mirror(self.main).host
    }

    /// Who would take the place of a mirror: one that contributes, else any that is not dropped.
    pub(super) fn heir(&self, index: MirrorIndex) -> Option<MirrorIndex> {
        let others = || self.mirrors().filter(|(i, mirror)| *i != index && mirror.standing != Standing::Dropped);
        let proven = others().find(|(_, mirror)| mirror.standing == Standing::Proven);
        proven.or_else(|| others().next()).map(|(index, _)| index)
    }

    /// Connections that it may have now: its cap, or fewer as long as more were not found to be worth it.
    pub(super) fn connections_wanted(&self, policy: &Policy) -> u32 {
        let cap = self.connections_max(policy);
        if policy.adaptive { self.ramp.allowed().min(cap) } else { cap }
    }

    pub(super) fn connections_max(&self, policy: &Policy) -> u32 {
        self.tuning.connections.unwrap_or(policy.connections_per_job).max(1)
    }

    pub(super) fn done_bytes(&self) -> u64 {
        self.ledger.as_ref().map_or(self.streamed, Ledger::done_bytes)
    }

    /// All bytes are there. Never true because a queue is empty.
    pub(super) fn is_covered(&self) -> bool {
        self.ledger.as_ref().is_some_and(Ledger::is_complete)
    }

    /// A file that is read in one stream starts from its first byte every time.
    pub(super) fn must_reset(&self) -> bool {
        self.rows_are_void || (self.is_single() && self.done_bytes() > 0)
    }

    /// An interruption would have its request made once more, which nobody has asked for.
    pub(super) fn would_be_repeated(&self) -> bool {
        self.tuning.once && self.is_single()
    }

    /// What its last workers are told cannot change any more how it ends.
    pub(super) fn is_decided(&self) -> bool {
        matches!(&self.stage, Stage::Ending(ending) if ending.is_verdict())
    }

    /// Only one connection makes sense, or is possible.
    pub(super) fn is_single(&self) -> bool {
        self.ledger.is_none() || self.accepts_ranges == Some(false)
    }

    /// Nothing is ready, so that another worker could only help one that is running.
    pub(super) fn has_to_steal(&self) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| !ledger.has_ready()) && !self.is_single()
    }

    /// Forgets every byte, and unless the ranges alone are at fault, the file as well.
    pub(super) fn drop_bytes(&mut self, now: Time) {
        self.ledger = None;
        self.total = None;
        self.streamed = 0;
        self.rows_are_void = false;
        if self.accepts_ranges != Some(false) {
            self.accepts_ranges = None;
        }
        for mirror in &mut self.mirrors {
            if mirror.standing != Standing::Dropped {
                mirror.standing = Standing::Unproven;
            }
        }
        let main = self.main;
        self.mirror_mut(main).standing = Standing::Proven;
        for mirror in &mut self.mirrors {
            (mirror.compared, mirror.seam_lies, mirror.doubts) = (false, 0, 0);
        }
        self.wasted_bytes = 0;
        self.seam_bytes = 0;
        self.beyond.clear();
        self.comparing.clear();
        self.compared = false;
        self.restart_meter(now);
    }

    /// Forgets what a mirror said of the file of which nothing is there yet, but for the rows that were made of it.
    pub(super) fn forget_source(&mut self) {
        self.accepts_ranges = None;
        if self.ledger.is_none() {
            self.total = None;
        }
    }

    /// Measures from the bytes that are there now, which may be fewer than before.
    pub(super) fn restart_meter(&mut self, now: Time) {
        self.meter = Meter::new(now, self.done_bytes(), SHOWN_WINDOW);
    }

    pub(super) fn shown(&self) -> Shown {
        let until = match self.stage {
            Stage::Waiting { until, .. } | Stage::Ending(Ending::Wait { until, .. }) => until,
            Stage::Queued | Stage::Running | Stage::Ending(_) | Stage::Resetting { .. } | Stage::Sealing { .. } => None,
        };
        (self.state(), until, self.total, self.accepts_ranges)
    }

    pub(super) fn state(&self) -> JobState {
        match self.stage {
            Stage::Queued | Stage::Ending(Ending::Requeue) => JobState::Queued,
            Stage::Waiting { waiting_for, .. } | Stage::Ending(Ending::Wait { waiting_for, .. }) => {
                JobState::Waiting(waiting_for)
            }
            Stage::Sealing { .. } => JobState::Verifying,
            Stage::Running if self.total.is_none() && self.streamed == 0 => JobState::Probing,
            Stage::Running | Stage::Resetting { .. } | Stage::Ending(_) => JobState::Active,
        }
    }
}
