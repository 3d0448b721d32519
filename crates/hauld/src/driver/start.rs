//! How a job gets to the engine: freshly accepted, taken up at the start, or resumed.

use std::sync::Arc;

use haul_core::messages::{Command, JobSpec};
use haul_core::{ByteRange, Chunk, ChunkState, Fault, FaultKind, JobId, Phase, WaitingFor};
use haul_store::{EventKind, JobRow, Part, PhaseChange, RowDigest, Stamp, StoreError, StoredJob};
use haul_transfer::{Escaped, PartFile, Place, Span};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Driver;
use super::running::Running;
use super::sums;
use super::tasks::{Done, Found, blocking, until_stored};
use crate::convert::now_ms;
use crate::submit::Roots;

/// Stored jobs that are read at a time.
const PAGE: u32 = 200;

impl Driver {
    /// Begins to take up what an earlier run has left.
    pub(super) fn take_up_stored_jobs(&mut self) {
        self.save_volumes();
        self.read_stored_after(None);
        let (store, roots) = (self.store.clone(), Arc::clone(&self.roots));
        self.tasks.push(Box::pin(async move {
            let leftovers = leftovers(&store).await;
            tell_of_orphans(&store, roots).await;
            Done::Leftovers(leftovers)
        }));
    }

    /// Goes on with cancellations and deletions that an earlier run had begun.
    pub(super) fn discard_leftovers(&mut self, rows: Vec<JobRow>) {
        for row in rows {
            let files = row.deleted_at_ms.is_some() && row.delete_files;
            self.discard_later(row, files);
        }
    }

    fn read_stored_after(&mut self, after: Option<JobId>) {
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move { Done::Stored(store.unfinished(after, PAGE).await) }));
    }

    pub(super) fn stored(&mut self, page: Result<Vec<StoredJob>, StoreError>) {
        let jobs = match page {
            Ok(jobs) => jobs,
            Err(error) => {
                error!(%error, "cannot read the stored jobs; they are taken up when they are resumed");
                return;
            }
        };
        let last = jobs.last().map(|stored| stored.row.id);
        let is_full = jobs.len() == PAGE as usize;
        for stored in jobs {
            let id = stored.row.id;
            if !stored.row.lifecycle.wants_to_run() || self.jobs.contains_key(&id) {
                continue;
            }
            if let Some(fault) = self.quarantine(id) {
                self.fail(id, &fault);
                continue;
            }
            if self.held_as_suspect(id) {
                continue;
            }
            let done_bytes = stored.row.counts.done_bytes;
            if done_bytes > 0 {
                self.tell(id, EventKind::TakenUp { done_bytes, total_bytes: stored.row.identity.total_bytes });
            }
            self.take_up_in_time(stored);
        }
        if is_full {
            self.read_stored_after(last);
        }
        self.try_next_suspect();
    }

    /// Reads a stored job, to go on with it.
    pub(super) fn load(&mut self, id: JobId) {
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move { Done::Loaded { id, stored: store.stored_job(id).await } }));
    }

    pub(super) fn loaded(&mut self, id: JobId, stored: Result<Option<StoredJob>, StoreError>) {
        match stored {
            // It has been taken up already.
            Ok(Some(stored)) if self.jobs.contains_key(&stored.row.id) => self.cleared(id),
            Ok(Some(stored)) if self.verifying.contains_key(&id) => self.verify_stored(stored),
            Ok(Some(stored)) if stored.row.lifecycle.wants_to_run() => self.take_up_in_time(stored),
            // It is not wanted any more.
            Ok(_) => {
                self.cleared(id);
                self.not_verified(id);
            }
            Err(error) => {
                error!(job = id.0, %error, "cannot read a stored job");
                self.not_verified(id);
            }
        }
    }

    /// Goes on with a stored job, once it is known what has become of its part file.
    pub(super) fn take_up(&mut self, stored: StoredJob) {
        let id = stored.row.id;
        if !self.hold(&stored) {
            self.not_verified(id);
            return;
        }
        if stored.row.part.is_none() && stored.chunks.is_empty() {
            self.note_verified(id, &sums::Found::default(), 0);
            if stored.row.lifecycle.wants_to_run() {
                self.start(id, Vec::new());
            } else {
                self.settled(id);
            }
            return;
        }
        self.look_at_part(Box::new(stored));
    }

    fn look_at_part(&mut self, stored: Box<StoredJob>) {
        let id = stored.row.id;
        let verifies = self.verifying.contains_key(&id);
        self.jobs.get_mut(&id).expect("the caller holds the job").verifies = verifies;
        let (roots, quit) = (Arc::clone(&self.roots), self.quit.clone());
        self.tasks.push(Box::pin(async move {
            let looked_at = stored.clone();
            let found = blocking(move || find(&roots, &looked_at, verifies, &quit)).await;
            Done::Prepared { id, stored, found }
        }));
    }

    /// Keeps what running a job takes. False when the job cannot even be read.
    pub(super) fn hold(&mut self, stored: &StoredJob) -> bool {
        let id = stored.row.id;
        match Running::new(stored) {
            Ok(running) => {
                self.jobs.insert(id, running);
                true
            }
            Err(error) => {
                error!(job = id.0, %error, "a stored URL cannot be read");
                false
            }
        }
    }

    pub(super) fn start(&mut self, id: JobId, chunks: Vec<Chunk>) {
        let running = &self.jobs[&id];
        let had_bytes = running.row.started_at_ms.is_some() && running.row.identity.accepts_ranges != Some(true);
        if running.tuning().once && !self.engine.jobs().any(|held| held == id) {
            let detail = if running.row.wish.secrets.is_none() {
                Some("what its request carried is not kept once a job is complete; submit it again")
            } else if had_bytes {
                Some(
                    "its request was interrupted after bytes had come, and is not sent again by itself: `retry` sends it \
                     from the start",
                )
            } else {
                None
            };
            if let Some(detail) = detail {
                self.fail(id, &Fault::new(FaultKind::NotRepeatable, detail));
                return;
            }
        }
        let tuning = self.tuning(running);
        let spec = JobSpec { tuning, ..running.spec(chunks) };
        self.introduce(&spec.hosts);
        self.command(Command::Start(id, Box::new(spec)));
        self.tell_demand_again(id);
        self.announce(id);
    }

    pub(super) fn prepared(&mut self, id: JobId, mut stored: Box<StoredJob>, found: Result<Found, Fault>) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        if self.verifying.contains_key(&id) && !running.verifies {
            // That was asked for meanwhile.
            self.look_at_part(stored);
            return;
        }
        // Its user may have changed their mind meanwhile, or only want to know.
        let goes_on = running.row.lifecycle.wants_to_run() && running.row.deleted_at_ms.is_none();
        match found {
            Ok(Found::Part { place, part, compared }) => {
                running.place = Some(place);
                running.part = Some(Arc::new(part));
                let there: u64 = stored.chunks.iter().map(|chunk| chunk.done).sum();
                self.note_verified(id, &compared, there.saturating_sub(compared.checked_bytes));
                if !compared.bad.is_empty() {
                    self.drop_rows(id, &mut stored.chunks, &compared.bad);
                }
                if !goes_on {
                    self.let_go(id);
                    return;
                }
                let done: u64 = stored.chunks.iter().map(|chunk| chunk.done).sum();
                info!(job = id.0, done, total = stored.row.identity.total_bytes, "going on where it was");
                let running = self.jobs.get_mut(&id).expect("it was just there");
                // Rows that only the page cache vouched for are made durable by the first checkpoint.
                running.unsynced = stored.chunks.iter().map(|chunk| (chunk.range.start, *chunk)).collect();
                self.want_sidecar(id);
                self.start(id, stored.chunks);
            }
            Ok(Found::Gone { place }) => {
                running.place = Some(place);
                running.must_look = false;
                running.row.part = None;
                let bad = stored.chunks.iter().filter(|chunk| chunk.done > 0).map(|chunk| chunk.range).collect();
                self.note_verified(id, &sums::Found { bad, ..sums::Found::default() }, 0);
                if goes_on {
                    warn!(job = id.0, "the part file is gone, or nothing in it is ours; starting over");
                }
                self.forget(id);
            }
            Ok(Found::Sealed { name }) => {
                self.not_verified(id);
                self.already_sealed(id, &name);
            }
            // It waits; what it has is looked at once the disk is well.
            Err(fault) if goes_on && fault.kind.awaits_disk().is_some() => {
                running.unsynced = stored.chunks.iter().map(|chunk| (chunk.range.start, *chunk)).collect();
                running.unseen = fault.kind.awaits_disk() == Some(WaitingFor::Volume);
                self.note_unverified(id, &fault);
                self.start(id, stored.chunks);
            }
            Err(fault) if goes_on => {
                self.note_unverified(id, &fault);
                if fault == sums::stopping() { self.settled(id) } else { self.fail(id, &fault) }
            }
            Err(fault) => {
                warn!(job = id.0, %fault, "a part file cannot be looked at");
                self.note_unverified(id, &fault);
                self.let_go(id);
            }
        }
    }

    /// Drops rows whose bytes are not there any more.
    fn drop_rows(&mut self, id: JobId, chunks: &mut [Chunk], bad: &[ByteRange]) {
        let mut bytes = 0;
        for chunk in chunks.iter_mut() {
            let there = ByteRange::new(chunk.range.start, chunk.position());
            if bad.iter().any(|bad| bad.start < there.end && there.start < bad.end) {
                bytes += std::mem::take(&mut chunk.done);
                chunk.state = ChunkState::Ready;
            }
        }
        warn!(job = id.0, bytes, "some of the part file is not what was written to it; it is fetched again");
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        let rows = running.replace_rows(chunks.to_vec());
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            if let Err(error) = store.rewrite_chunks(rows).await {
                error!(job = id.0, %error, "cannot store that bytes of a job are gone");
            }
            Done::Nothing
        }));
    }

    /// Forgets what a job had, because it is gone; it goes on once the rows do not claim it any more.
    fn forget(&mut self, id: JobId) {
        self.save_events();
        self.jobs.get_mut(&id).expect("the caller holds the job").forget_bytes();
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            let reset = until_stored(|| store.reset_chunks(id, false, now_ms())).await.map(|_| ());
            let forgotten = until_stored(|| store.set_part(id, None, now_ms())).await.map(|_| ());
            if let Err(error) = reset.and(forgotten) {
                error!(job = id.0, %error, "cannot store that a job's bytes are gone");
            }
            Done::Forgotten { id }
        }));
    }

    /// It is stored that a job has no bytes.
    pub(super) fn forgotten(&mut self, id: JobId) {
        let Some(running) = self.jobs.get(&id) else { return };
        if running.row.lifecycle.wants_to_run() && running.row.deleted_at_ms.is_none() {
            self.start(id, Vec::new());
        } else {
            self.let_go(id);
        }
    }

    /// The daemon died between renaming a file and saying so.
    fn already_sealed(&mut self, id: JobId, name: &str) {
        info!(job = id.0, name, "was complete already");
        let path = format!("{}/{name}", self.jobs[&id].row.wish.dir.trim_end_matches('/'));
        let verification = self.jobs[&id].row.verification.clone();
        let change = PhaseChange { phase: Phase::Completed, reason: None, path: Some(path), verification };
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            if let Err(error) = until_stored(|| store.set_phase(id, change.clone(), now_ms())).await {
                error!(job = id.0, %error, "cannot store that a job is complete");
            }
            Done::Settled { id }
        }));
    }

    /// A user resumes or retries a job that may or may not be here.
    pub(super) fn wanted(&mut self, id: JobId, nudge: bool) {
        let Some(running) = self.jobs.get_mut(&id) else {
            self.load(id);
            return;
        };
        running.wanted_again = true;
        let held = self.engine.jobs().any(|held| held == id);
        if held {
            self.start(id, Vec::new());
            if nudge {
                self.command(Command::Nudge(id));
            }
        }
    }

    /// Lets the engine stop working on a job, if it does.
    pub(super) fn release(&mut self, id: JobId) {
        if let Some(running) = self.jobs.get_mut(&id) {
            running.wanted_again = false;
            self.command(Command::Release(id));
        }
    }
}

/// Looks what has become of a stored job's part file, and compares what cannot be relied on, or `all` of it, with what was
/// written. Blocks.
fn find(roots: &Roots, stored: &StoredJob, all: bool, quit: &CancellationToken) -> Result<Found, Fault> {
    let row = &stored.row;
    let place = Arc::new(roots.open(std::path::Path::new(&row.wish.dir))?);
    let Some(known) = &row.part else { return Ok(Found::Gone { place }) };
    let part = match PartFile::reopen(Arc::clone(&place), &known.name, known.dev, known.ino)? {
        Some(part) => Some(part),
        None => taken_back(&place, row, known)?,
    };
    if let Some(part) = part {
        let compared = compare(&part, stored, all, quit)?;
        let is_bad = |chunk: &Chunk| compared.bad.iter().any(|bad| chunk.range.start == bad.start);
        let had = stored.chunks.iter().any(|chunk| chunk.done > 0);
        let has = stored.chunks.iter().any(|chunk| chunk.done > 0 && !is_bad(chunk));
        return Ok(if had && !has { Found::Gone { place } } else { Found::Part { place, part, compared } });
    }
    // It was verified, and perhaps renamed before its sealing failed.
    let may_be_sealed = row.lifecycle.phase == Phase::Verifying || row.verification.is_some();
    if may_be_sealed && let Some(name) = place.name_of(known.ino)? {
        place.sync()?;
        return Ok(Found::Sealed { name });
    }
    Ok(Found::Gone { place })
}

/// A complete file that is to be repaired has its final name still.
fn taken_back(place: &Arc<Place>, row: &JobRow, part: &Part) -> Result<Option<PartFile>, Fault> {
    let Some(name) = final_name(row).filter(|_| row.lifecycle.phase == Phase::Fetching) else { return Ok(None) };
    let part = PartFile::take_back(Arc::clone(place), name, &part.name, part.dev, part.ino)?;
    if let (Some(part), Some(total)) = (&part, row.identity.total_bytes) {
        part.cut(total)?;
    }
    Ok(part)
}

/// The name that a job's file had, or has, when it was complete.
pub(crate) fn final_name(row: &JobRow) -> Option<&str> {
    std::path::Path::new(row.path.as_deref()?).file_name()?.to_str()
}

/// Compares rows with what the part file holds: all of them if that is asked for or somebody has written to the file, and
/// after an unclean stop those that no checkpoint covers (F-DISK-09).
fn compare(part: &PartFile, stored: &StoredJob, all: bool, quit: &CancellationToken) -> Result<sums::Found, Fault> {
    let haul_transfer::Stamp { bytes, modified_ns, changed_ns } = part.stamp()?;
    let stamp = Stamp { bytes, modified_ns, changed_ns };
    let needed = stored.chunks.iter().filter(|c| c.done > 0).map(Chunk::position).max().unwrap_or(0);
    let changed = bytes < needed || stored.row.stamp.is_some_and(|known| known != stamp);
    let in_doubt = |digest: &RowDigest| all || changed || (stored.row.stamp.is_none() && !digest.is_durable);
    let rows: Vec<Span> = stored.digests.iter().filter(|digest| in_doubt(digest)).map(span).collect();
    let mut found = sums::compare(part.file(), &rows, quit, |_| {})?;
    if changed {
        // Nothing vouches for the others.
        let has_digest = |chunk: &Chunk| stored.digests.iter().any(|digest| digest.range == chunk.range);
        let others = stored.chunks.iter().filter(|chunk| chunk.done > 0 && !has_digest(chunk));
        found.bad.extend(others.map(|chunk| chunk.range));
    }
    Ok(found)
}

/// The digest of a stored row.
pub(super) fn span(digest: &RowDigest) -> Span {
    Span { start: digest.range.start, end: digest.range.end, crc32c: digest.crc32c }
}

/// The canceled and deleted jobs whose bytes an earlier run has not come to.
async fn leftovers(store: &haul_store::Store) -> Vec<JobRow> {
    let mut rows = Vec::new();
    for found in [store.canceled_with_part().await, store.hidden_jobs().await] {
        match found {
            Ok(found) => rows.extend(found),
            Err(error) => error!(%error, "cannot read which jobs were canceled or deleted"),
        }
    }
    rows
}

/// Writes down which part files in the roots belong to no job. They may be another daemon's, or of a lost database: they are
/// never removed by a guess (FAILURES.md, F-DISK-19).
async fn tell_of_orphans(store: &haul_store::Store, roots: Arc<Roots>) {
    let known = match store.part_names().await {
        Ok(known) => known,
        Err(error) => {
            error!(%error, "cannot read the names of part files");
            return;
        }
    };
    let orphans = blocking(move || {
        let mut parts = roots.part_files();
        parts.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| !known.contains(name)));
        Ok(parts)
    });
    for path in orphans.await.unwrap_or_default() {
        warn!(path = %Escaped(path.as_os_str().as_encoded_bytes()), "this part file belongs to no job; remove it if nothing else wants it");
    }
}
