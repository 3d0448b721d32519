//! Seams: where the bytes of one answer meet those of another. A server can say 206 and the right range and send other
//! bytes, or those of another version, and no header tells. So a few bytes are fetched twice and compared.
//!
//! | the left neighbour | who compares |
//! | --- | --- |
//! | is there | the new request, which starts a little earlier |
//! | is being fetched, or yet to be | the left range, which reads on over the seam when it arrives |
//!
//! Neither costs a round trip. What differs before anything is written is asked for again, like any lie about ranges.
//! Where both are in the file already, or it is not to be had any better, one of them is wrong. Another mirror than the main
//! one is dropped then, with all that it has given. Otherwise the job starts over, and with a single connection where the
//! server's own validators say that both are of one version.

use crate::messages::{Effect, FetchKind, Note};
use crate::{Fault, FaultKind, JobId, MirrorIndex, Time};

use super::Engine;
use super::job::{Doubtful, Ending, Stage};
use super::worker::Worker;

/// Bytes that are compared at a seam (DESIGN.md section 5).
const SEAM_BYTES: u64 = 4 << 10;

/// The least: by chance they are equal where a file is empty space.
const SEAM_BYTES_MIN: u64 = 64;

/// Bytes that are compared when a job goes on from what an earlier run has left: perhaps nothing else vouches for them
/// (FAILURES.md section 3).
const RESUME_BYTES: u64 = 64 << 10;

/// A seam may be this share of its lease, and all overlaps together this share of the file, but for the first one and those
/// after a lie. What is beyond that is joined by the least.
const SEAM_SHARE: u64 = 512;

impl Engine {
    /// How a new range is joined to its neighbours: bytes before it and behind it to ask for once more.
    pub(super) fn seam(&mut self, id: JobId, index: MirrorIndex, from: u64, end: Option<u64>) -> (u64, u64) {
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        let (Some(ledger), Some(end)) = (&job.ledger, end) else { return (0, 0) };
        let (mirror, total) = (job.mirror(index), ledger.total());
        let is_resume = !mirror.compared && job.seam_bytes == 0;
        let goes_on = ledger.chunk_at(from).is_some_and(|chunk| chunk.done > 0 || chunk.retries > 0);
        let usual = ((end - from) / SEAM_SHARE).clamp(SEAM_BYTES_MIN, SEAM_BYTES);
        let before = match () {
            () if is_resume => RESUME_BYTES.min((total / SEAM_SHARE).max(SEAM_BYTES)),
            // Who has lied is looked at more closely.
            () if mirror.seam_lies > 0 => SEAM_BYTES,
            () if job.seam_bytes + SEAM_BYTES > total / SEAM_SHARE => SEAM_BYTES_MIN,
            () if goes_on => SEAM_BYTES,
            () => usual,
        };
        let overlap = ledger.done_before(from, before);
        let reach = usual.min(total - end);
        job.seam_bytes += overlap;
        (overlap, reach)
    }

    /// A worker has read on beyond the end of its lease.
    pub(super) fn read_beyond(&mut self, id: JobId, at: u64, len: u64) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.stage == Stage::Running && len > 0) else {
            self.late_facts += 1;
            return;
        };
        job.beyond.insert(at, len);
        self.compare_seams(id);
    }

    /// Has the bytes beyond those seams compared whose right side is there by now.
    pub(super) fn compare_seams(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(ledger) = job.ledger.as_ref().filter(|_| !job.beyond.is_empty()) else { return };
        let there = job.beyond.iter().filter(|(at, len)| ledger.is_done(**at, **at + **len));
        for (at, len) in there.map(|(at, len)| (*at, *len)).collect::<Vec<_>>() {
            job.beyond.remove(&at);
            job.comparing.insert(at);
            self.effects.push_back(Effect::CompareSeam { job: id, at, len });
        }
    }

    pub(super) fn seam_compared(&mut self, now: Time, id: JobId, at: u64, differs: Option<Fault>) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.comparing.contains(&at)) else {
            self.late_facts += 1;
            return;
        };
        job.comparing.remove(&at);
        let giver = job.ledger.as_ref().and_then(|ledger| ledger.chunk_at(at)).map(|chunk| chunk.mirror);
        let giver = giver.unwrap_or(job.main);
        match differs {
            None => {
                job.compared = true;
                job.mirror_mut(giver).compared = true;
                self.after_worker(now, id);
            }
            Some(fault) if job.stage == Stage::Running => self.bytes_conflict(now, id, at, giver, fault),
            // It starts over or leaves, for another reason.
            Some(_) => {}
        }
    }

    /// Bytes from two answers differ, and nobody can tell which are wrong: where one of them is not of the mirror that defines
    /// the file, that one.
    fn bytes_conflict(&mut self, now: Time, id: JobId, at: u64, right: MirrorIndex, fault: Fault) {
        self.effects.push_back(Effect::Note(id, Note::Conflict { fault: fault.clone() }));
        let job = self.jobs.get_mut(&id).expect("the caller holds the job");
        job.fault = Some(fault.clone());
        let left = job.ledger.as_ref().and_then(|ledger| ledger.chunk_at(at.checked_sub(1)?)).map(|chunk| chunk.mirror);
        let suspect = [Some(right), left].into_iter().flatten().find(|mirror| *mirror != job.main);
        if let Some(mirror) = suspect
            && self.drop_mirror(now, id, mirror, &fault)
        {
            self.end_job(now, id, Ending::drop(Doubtful::From(mirror)));
        } else if fault.kind == FaultKind::RangeMismatch {
            self.go_single(now, id, right);
        } else {
            self.source_changed(now, id, fault);
        }
    }

    /// An answer named the right range of the right version, and had other bytes than those that are there. Nothing of
    /// it was written.
    pub(super) fn seam_lied(&mut self, now: Time, worker: &Worker, fault: Fault) {
        debug_assert_eq!(worker.kind, FetchKind::Range, "only ranges have seams");
        let job = self.jobs.get_mut(&worker.job).expect("a worker belongs to a job");
        let mirror = job.mirror_mut(worker.mirror);
        mirror.seam_lies += 1;
        if mirror.seam_lies <= self.policy.range_lies_max {
            self.return_chunk(now, worker, fault);
        } else {
            self.bytes_conflict(now, worker.job, worker.from, worker.mirror, fault);
        }
    }
}
