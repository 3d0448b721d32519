//! Where a job's bytes can be had: its mirrors, which of them may contribute, and which one is asked next.
//!
//! The main mirror defines the file; it is the submitted URL until that is dropped. Every other one has to prove itself:
//! a sample of bytes that are there already is fetched from it and compared. A mirror whose answers do not fit is
//! dropped as long as there is another one; the last one is judged like the only URL of an ordinary job.

use std::time::Duration;

use crate::messages::{Effect, MirrorState, MirrorView, Note, StopReason};
use crate::{Fault, JobId, Ledger, MirrorIndex, Time, WaitingFor, WorkerId};

use super::Engine;
use super::host::HostId;
use super::job::{Doubtful, Ending, Job, Stage};
use super::worker::Worker;

/// The most that a mirror has to prove. A mirror that lies once in a million bytes is caught.
const PROOF_BYTES_MAX: u64 = 1 << 20;

/// The least that a proof is worth a request for.
const PROOF_BYTES_MIN: u64 = 16 << 10;

/// A proof costs bytes that are fetched twice: at most this share of the file, for each mirror.
const PROOF_SHARE: u64 = 200;

/// For so long from a job's beginning, places are kept for mirrors that have to prove themselves. A guess: by then there is
/// something that they can be compared with, or the line is slow.
const PROOFS_FIRST: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) host: HostId,
    pub(super) standing: Standing,
    /// No request before this time, and one alone from then on until it is answered.
    pub(super) hold_until: Option<Time>,
    /// The submitted URL is to be asked, not a redirect's target.
    pub(super) resolve: bool,
    /// When the submitted URL was last asked because a link had expired.
    pub(super) link_tried_at: Option<Time>,
    /// Times in a row that the job was refused here while others were served.
    pub(super) refusals: u32,
    /// Requests in a row that failed before they brought a byte.
    pub(super) failed_requests: u32,
    /// It was seen to answer a range.
    pub(super) ranges_proven: bool,
    /// Lies about ranges since the last honest answer.
    pub(super) range_lies: u32,
    /// Bytes that it has sent were compared with those that are there, and were equal.
    pub(super) compared: bool,
    /// Answers that named the right range and had other bytes, since the last one that had the same.
    pub(super) seam_lies: u32,
    /// Answers with another validator and the same length, until samples were compared.
    pub(super) doubts: u32,
    /// What its last connection brought, in bytes per second, once one has run for long enough.
    pub(super) gave: Option<f64>,
    /// The last thing that went wrong.
    pub(super) fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is known of it.
    Unproven,
    /// A sample is being compared.
    Proving,
    /// It may contribute. The main mirror always may.
    Proven,
    /// It is not used any more.
    Dropped,
}

impl Mirror {
    pub(super) fn new(host: HostId, standing: Standing) -> Self {
        Self {
            host,
            standing,
            hold_until: None,
            resolve: false,
            link_tried_at: None,
            refusals: 0,
            failed_requests: 0,
            ranges_proven: false,
            range_lies: 0,
            compared: false,
            seam_lies: 0,
            doubts: 0,
            gave: None,
            fault: None,
        }
    }
}

impl Engine {
    pub(super) fn add_mirrors(&mut self, now: Time, id: JobId, names: &[String]) {
        for name in names {
            let host = self.hosts.enter(name);
            let job = self.jobs.get_mut(&id).expect("the caller checked");
            job.mirrors.push(Mirror::new(host, Standing::Unproven));
        }
        self.touched.insert(id);
        let waiting_for = match self.jobs[&id].stage {
            Stage::Waiting { waiting_for, .. } => Some(waiting_for),
            Stage::Queued | Stage::Running | Stage::Ending(_) | Stage::Resetting { .. } | Stage::Sealing { .. } => None,
        };
        // Who waits for a server need not wait for all of them.
        if matches!(waiting_for, Some(WaitingFor::Host | WaitingFor::Retry | WaitingFor::Link)) {
            self.begin(now, id);
        }
    }

    /// The mirror that the next request of a job should go to, of those that contribute and can be asked now; with
    /// `room` only those whose host has room.
    ///
    /// Each is judged by what one more connection would get there: its share of what the mirror gives now, or what it gave
    /// last. One that had no connection yet is tried first.
    pub(super) fn best_mirror(&self, now: Time, job: &Job, room: bool) -> Option<MirrorIndex> {
        let free = job.mirrors().filter(|(_, mirror)| mirror.standing == Standing::Proven);
        let free = free.filter(|(index, _)| self.can_ask(now, job, *index, room));
        let promise = |index: MirrorIndex| {
            let workers = job.workers.iter().map(|id| &self.workers[id]).filter(|w| w.mirror == index);
            let (mut count, mut speed) = (0_u32, 0.0);
            for worker in workers {
                count += 1;
                speed += worker.meter.bytes_per_second(now);
            }
            let untried = || job.mirror(index).gave.unwrap_or(f64::INFINITY);
            if count == 0 { untried() } else { speed / f64::from(count + 1) }
        };
        free.map(|(index, _)| (index, promise(index)))
            .reduce(|best, other| if other.1 > best.1 { other } else { best })
            .map(|(index, _)| index)
    }

    /// Tells whether a request to this mirror can be made now.
    pub(super) fn can_ask(&self, now: Time, job: &Job, index: MirrorIndex, room: bool) -> bool {
        let mirror = job.mirror(index);
        let workers = || job.workers.iter().map(|id| &self.workers[id]).filter(|worker| worker.mirror == index);
        let alone = || workers().next().is_none();
        let another_asks = || workers().any(|worker| worker.opened_at.is_none());
        let held_back = mirror.hold_until.is_some_and(|until| until > now || another_asks());
        // While one connection asks for a new link, the others would only be refused.
        let asks_for_link = mirror.resolve && !alone();
        let host = self.hosts.get(mirror.host);
        let host_serves = host.blocked_until(now).is_none() && (!room || host.has_room(now, &self.policy));
        !held_back && !asks_for_link && host_serves
    }

    /// A mirror that could prove itself now, and the bytes to compare.
    pub(super) fn next_proof(&self, now: Time, job: &Job, room: bool) -> Option<(MirrorIndex, u64, u64)> {
        let unproven = job.mirrors().filter(|(_, mirror)| mirror.standing == Standing::Unproven);
        let (index, _) = unproven.into_iter().find(|(index, _)| self.can_ask(now, job, *index, room))?;
        let (from, end) = sample(job)?;
        Some((index, from, end))
    }

    /// Connections that are kept for mirrors which can be asked for a proof as soon as there is something to compare.
    pub(super) fn kept_for_proofs(&self, now: Time, job: &Job) -> u32 {
        if now.since(job.began) >= PROOFS_FIRST {
            return 0;
        }
        let unproven = job.mirrors().filter(|(_, mirror)| mirror.standing == Standing::Unproven);
        u32::try_from(unproven.filter(|(index, _)| self.can_ask(now, job, *index, true)).count()).unwrap_or(u32::MAX)
    }

    /// A mirror's sample has been compared.
    pub(super) fn proof_ended(&mut self, id: JobId, index: MirrorIndex, equal: bool) {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        job.sample_from = self.rng.next_u64();
        let mirror = job.mirror_mut(index);
        if mirror.standing == Standing::Proving {
            mirror.standing = if equal { Standing::Proven } else { Standing::Unproven };
            if equal {
                mirror.compared = true;
                let varies = std::mem::take(&mut mirror.doubts) > 0;
                job.compared = true;
                let note = if varies { Note::ValidatorsVary(index) } else { Note::MirrorProven(index) };
                self.effects.push_back(Effect::Note(id, note));
            }
        }
    }

    /// Drops a mirror because of `fault`, if the job has another one. Tells whether it was dropped.
    pub(super) fn drop_mirror(&mut self, now: Time, id: JobId, index: MirrorIndex, fault: &Fault) -> bool {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        let Some(heir) = job.heir(index) else {
            return false;
        };
        let mirror = job.mirror_mut(index);
        if mirror.standing != Standing::Dropped {
            mirror.standing = Standing::Dropped;
            mirror.fault = Some(fault.clone());
            self.effects.push_back(Effect::Note(id, Note::MirrorDropped { mirror: index, fault: fault.clone() }));
        }
        let is_main = job.main == index;
        // Two of different mirrors must never define the file at the same time.
        let unanswered = |worker: &Worker| worker.mirror == index && worker.opened_at.is_none();
        let pointless: Vec<WorkerId> = self.workers_of(id).filter(|(_, w)| unanswered(w)).map(|(id, _)| id).collect();
        for worker in pointless {
            self.stop_worker(worker, StopReason::JobStops);
        }
        if is_main {
            self.make_main(now, id, heir);
        }
        self.touched.insert(id);
        true
    }

    /// From now on this mirror defines the file. Where nothing is there yet, nor on its way, it needs no proof.
    pub(super) fn make_main(&mut self, now: Time, id: JobId, index: MirrorIndex) {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        let before = std::mem::replace(&mut job.main, index);
        if job.done_bytes() == 0 && job.workers.is_empty() {
            // What the one before said of the file is as good as unsaid.
            if job.mirror(before).standing != Standing::Dropped {
                job.mirror_mut(before).standing = Standing::Unproven;
            }
            job.mirror_mut(index).standing = Standing::Proven;
            job.forget_source();
            if job.ledger.is_some() {
                // The store knows rows of it.
                self.end_job(now, id, Ending::drop(Doubtful::Everything));
            }
        }
    }

    /// A job without a byte whose main mirror cannot be asked now goes to the next one that can. One with bytes that nobody
    /// is left to go on from, and too few to compare others with, starts over.
    pub(super) fn pass_main_on(&mut self, now: Time, id: JobId) {
        let job = &self.jobs[&id];
        let stays = job.mirrors.len() == 1 && job.has_proven_mirror();
        if stays || !job.workers.is_empty() || job.is_covered() {
            return;
        }
        if job.done_bytes() > 0 {
            if !job.has_proven_mirror() && sample(job).is_none() {
                self.end_job(now, id, Ending::drop(Doubtful::Everything));
            }
            return;
        }
        if job.mirrors.len() == 1 {
            return;
        }
        let may_define = job.mirror(job.main).standing == Standing::Proven;
        if may_define && self.can_ask(now, job, job.main, false) {
            return;
        }
        let usable = |room| {
            let mut others = job.mirrors().filter(|(_, mirror)| mirror.standing != Standing::Dropped);
            others.find(|(index, _)| self.can_ask(now, job, *index, room)).map(|(index, _)| index)
        };
        let next = usable(true).or_else(|| usable(false)).or_else(|| (!may_define).then_some(job.main));
        if let Some(index) = next {
            self.make_main(now, id, index);
            if self.running.contains(&id) {
                self.ask_again(id);
            }
        }
    }

    pub(super) fn mirror_views(&self, now: Time, job: &Job) -> Vec<MirrorView> {
        job.mirrors()
            .map(|(index, mirror)| {
                let workers: Vec<WorkerId> =
                    job.workers.iter().copied().filter(|id| self.workers[id].mirror == index).collect();
                let fault = mirror.fault.clone().or_else(|| self.hosts.get(mirror.host).fault.clone());
                MirrorView {
                    state: match mirror.standing {
                        Standing::Dropped => MirrorState::Dropped,
                        Standing::Proven if index == job.main => MirrorState::Main,
                        Standing::Unproven => MirrorState::Unproven,
                        Standing::Proving => MirrorState::Proving,
                        Standing::Proven => MirrorState::Proven,
                    },
                    connections: u32::try_from(workers.len()).unwrap_or(u32::MAX),
                    bytes_per_second: workers.iter().map(|id| self.workers[id].meter.bytes_per_second(now)).sum(),
                    done_bytes: job.ledger.as_ref().map_or(0, |ledger| Ledger::bytes_from(ledger, index)),
                    fault,
                }
            })
            .collect()
    }

    /// In how long a mirror that can be asked later can be asked, at the earliest.
    pub(super) fn next_mirror_at(&self, now: Time, job: &Job) -> Option<(Time, HostId)> {
        let can_prove_itself = || job.done_bytes() == 0 || sample(job).is_some();
        let useful = job.mirrors().filter(|(_, mirror)| match mirror.standing {
            Standing::Proven => true,
            Standing::Unproven => can_prove_itself(),
            Standing::Proving | Standing::Dropped => false,
        });
        let waits = useful.map(|(_, mirror)| {
            let held = mirror.hold_until.filter(|until| *until > now);
            let until = held.max(self.hosts.get(mirror.host).blocked_until(now));
            (until.unwrap_or(now), mirror.host)
        });
        waits.min().filter(|(until, _)| until.since(now) > Duration::ZERO)
    }
}

/// There is something that a mirror in doubt can be compared with.
pub(super) fn has_sample(job: &Job) -> bool {
    let longest = job.ledger.as_ref().and_then(Ledger::longest_done);
    longest.is_some_and(|(from, end)| end - from >= PROOF_BYTES_MIN)
}

/// Bytes that are there and that another mirror's can be compared with.
///
/// Where they lie must not be foreseen by a mirror that lies elsewhere: any done stretch will do. A shorter one will do
/// where nobody is left who could bring more.
fn sample(job: &Job) -> Option<(u64, u64)> {
    let ledger = job.ledger.as_ref()?;
    let want = (ledger.total() / PROOF_SHARE).clamp(PROOF_BYTES_MIN, PROOF_BYTES_MAX).min(ledger.total());
    if let Some(from) = ledger.find_done(job.sample_from % ledger.total().max(1), want) {
        return Some((from, from + want));
    }
    let longest = ledger.longest_done().filter(|_| !job.has_proven_mirror());
    longest.filter(|(from, end)| end - from >= PROOF_BYTES_MIN)
}
