//! How a job leaves: sealed, failed, released, dropped.
//!
//! A complete file goes this way, and a crash at any arrow is resolved at the next start:
//!
//! ```text
//! synced, rows durable -> checked -> row says verifying -> renamed, directory synced -> row says completed
//! ```

use std::path::PathBuf;
use std::sync::Arc;

use haul_api::Verification;
use haul_core::messages::{Event, JobView, Outcome};
use haul_core::{Fault, FaultKind, JobId, JobState, MirrorIndex, Phase, WaitingFor};
use haul_store::{Identity, JobRow, OnConflict, Part, PhaseChange, Reason, Stamp};
use haul_transfer::{PartFile, Place};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::Driver;
use super::check::{Complete, Expected, Unsealed, check};
use super::running::{Running, Then};
use super::sums;
use super::tasks::{Done, blocking, store_fault, until_stored};
use super::workers::wrong_size;
use crate::convert::{message, now_ms, verification_word};

/// Waits shorter than this are not worth a row.
const WAIT_STORED_FROM: std::time::Duration = std::time::Duration::from_secs(5);

impl Driver {
    /// Gives a complete file its name.
    pub(super) fn seal(&mut self, id: JobId) {
        self.save_events();
        self.begin_work(id);
        let view = self.engine.job(self.now(), id);
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        let plan = match SealPlan::of(running, view.as_ref()) {
            Ok(plan) => plan,
            Err(fault) => {
                self.event(Event::SealFailed(id, fault));
                return;
            }
        };
        let part = running.part.take().and_then(Arc::into_inner);
        let dir = PathBuf::from(&running.row.wish.dir);
        let (place, stored) = (running.place.clone(), running.row.part.clone());
        let total = plan.total;
        let complete = Complete {
            total,
            expected: plan.expected.clone(),
            follower: running.following.take().filter(|follower| follower.fits(plan.expected.kind())),
            rows: running.sums.rows(),
        };
        let (store, roots, quit) = (self.store.clone(), Arc::clone(&self.roots), self.quit.clone());
        self.tasks.push(Box::pin(async move {
            let sealed = async {
                let ready = match part {
                    Some(part) => ToSeal::Part(part),
                    // An earlier try has failed, at whatever point.
                    None => {
                        blocking(move || {
                            let place = place.map_or_else(|| roots.open(&dir).map(Arc::new), Ok)?;
                            retake(place, stored)
                        })
                        .await?
                    }
                };
                let ready = match ready {
                    ToSeal::Part(part) if !complete.expected.is_nothing() => {
                        ToSeal::Part(checked(part, complete, quit).await?)
                    }
                    ToSeal::Part(_) | ToSeal::Named(_) => ready,
                };
                if let Some(learned) = plan.learned {
                    // Only the end of the body has told how long the file is.
                    let stored = store.set_opened(id, learned, now_ms()).await;
                    stored.map_err(|error| store_fault(&error))?;
                }
                let change = |phase, path| PhaseChange {
                    phase,
                    reason: None,
                    path,
                    verification: Some(verification_word(plan.verification)),
                };
                let stored = store.set_phase(id, change(Phase::Verifying, None), now_ms()).await;
                let (_, row) = stored.map_err(|error| store_fault(&error))?;
                // Its user may have renamed it until now; from here on that is refused.
                let name = row.identity.name.unwrap_or(plan.name);
                let path = match ready {
                    ToSeal::Part(part) => {
                        let dir = part.place().path().to_owned();
                        let seal = move || {
                            // Bytes of an earlier version may lie behind its end.
                            part.cut(total)?;
                            part.seal(&name, plan.on_conflict)
                        };
                        dir.join(blocking(seal).await?)
                    }
                    ToSeal::Named(path) => path,
                };
                let path = path.display().to_string();
                let stored = store.set_phase(id, change(Phase::Completed, Some(path)), now_ms()).await;
                Ok(stored.map(|(_, row)| row).map_err(|error| store_fault(&error))?)
            };
            Done::Sealed { id, row: sealed.await }
        }));
    }

    pub(super) fn sealed(&mut self, id: JobId, row: Result<JobRow, Unsealed>) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        match row {
            Ok(row) => {
                let millis = now_ms() - row.started_at_ms.unwrap_or(row.created_at_ms);
                info!(
                    job = id.0,
                    host = row.wish.host,
                    path = row.path,
                    bytes = row.counts.done_bytes,
                    millis,
                    verification = row.verification,
                    "completed"
                );
                running.row = row;
                self.drop_kept_part(id);
                self.event(Event::Sealed(id));
            }
            // The next start seals it.
            Err(Unsealed::Fault(fault)) if fault == sums::stopping() => {}
            Err(Unsealed::Fault(fault)) => {
                self.note_disk_fault(id, &fault);
                self.event(Event::SealFailed(id, fault));
            }
            Err(Unsealed::Mismatched { mut fault, damaged }) => {
                let sum = running.row.identity.total_bytes.and_then(|total| running.sums.whole(total));
                if sum.is_some() && std::mem::replace(&mut running.last_sum, sum) == sum {
                    fault.detail += "; it was fetched twice and was the same both times, so it is the checksum that is \
                                     wrong, or the file on the server";
                }
                self.event(Event::Mismatched { job: id, fault, damaged });
            }
        }
    }

    pub(super) fn job_ended(&mut self, id: JobId, outcome: Outcome) {
        match outcome {
            // The row has said so since before the engine knew.
            Outcome::Completed => self.settled(id),
            Outcome::Failed(fault) => self.when_synced(id, Then::Fail(fault)),
        }
    }

    /// Stores that a job has failed, and why.
    pub(super) fn fail(&mut self, id: JobId, fault: &Fault) {
        let mut fault = fault.clone();
        let row = self.jobs.get(&id).map(|running| &running.row);
        if let Some((row, kept)) = row.and_then(|row| Some((row, row.kept_part.as_ref()?))) {
            let dir = row.wish.dir.trim_end_matches('/');
            fault.detail += &format!("; what was there of the version before is kept in {dir}/{kept}");
        }
        let fault = &fault;
        warn!(job = id.0, code = fault.kind.code(), "failed: {fault}");
        self.save_events();
        let change =
            PhaseChange { phase: Phase::Failed, reason: Some(reason(fault, None)), path: None, verification: None };
        let store = self.store.clone();
        let part = self.jobs.get_mut(&id).and_then(|running| running.part.take());
        self.tasks.push(Box::pin(async move {
            if let Err(error) = until_stored(|| store.set_phase(id, change.clone(), now_ms())).await {
                error!(job = id.0, %error, "cannot store that a job has failed");
            }
            if let Some(part) = part {
                note_at_rest(&store, vec![(id, part)]).await;
            }
            Done::Settled { id }
        }));
    }

    /// Lets go of a job as it was asked to: it is paused, canceled, or deleted.
    pub(super) fn let_go(&mut self, id: JobId) {
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        // What is deleted may be brought back for a while.
        let gone = running.row.lifecycle.phase == Phase::Canceled;
        let part = running.part.take();
        let store = self.store.clone();
        if !gone {
            let Some(part) = part else {
                self.settled(id);
                return;
            };
            self.tasks.push(Box::pin(async move {
                note_at_rest(&store, vec![(id, part)]).await;
                Done::Settled { id }
            }));
            return;
        }
        if part.is_none() && running.row.part.is_some() {
            // Its volume is away, perhaps.
            self.settled(id);
            return;
        }
        self.drop_kept_part(id);
        let running = self.jobs.get_mut(&id).expect("it was just there");
        running.removed = true;
        self.tasks.push(Box::pin(async move {
            if let Some(part) = part.and_then(Arc::into_inner) {
                remove(part).await;
            }
            if let Err(error) = store.set_part(id, None, now_ms()).await {
                error!(job = id.0, %error, "cannot store that a job's bytes are gone");
            }
            Done::Settled { id }
        }));
    }

    /// Drops all bytes of a job so that it can start over.
    pub(super) fn reset(&mut self, id: JobId) {
        self.save_events();
        let restarts = self.engine.job(self.now(), id).map_or(0, |view| view.restarts);
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        let is_restart = restarts > running.row.restarts;
        running.no_cache |= is_restart || running.refetched;
        running.forget_bytes();
        // What is there of the version before is kept until the new one is complete.
        let aside = if is_restart { running.part.take() } else { None };
        let (store, part) = (self.store.clone(), running.part.clone());
        self.tasks.push(Box::pin(async move {
            let reset = async {
                // The rows go first: they must never say more than the disk holds.
                let row = until_stored(|| store.reset_chunks(id, is_restart, now_ms()))
                    .await
                    .map_err(|error| store_fault(&error))?;
                if let Some(part) = aside {
                    let name = blocking(move || part.set_aside()).await?;
                    return store.set_kept_part(id, Some(name), now_ms()).await.map_err(|error| store_fault(&error));
                }
                match part {
                    Some(part) => blocking(move || part.restart()).await.map(|()| row),
                    None => Ok(row),
                }
            };
            Done::Reset { id, row: reset.await }
        }));
    }

    /// Removes what is kept of an earlier version.
    pub(super) fn drop_kept_part(&mut self, id: JobId) {
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        let Some(name) = running.row.kept_part.take() else { return };
        let Some(place) = running.place.clone() else { return };
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            match blocking(move || PartFile::remove_aside(&place, &name)).await {
                Ok(()) => {
                    if let Err(error) = store.set_kept_part(id, None, now_ms()).await {
                        tracing::debug!(job = id.0, %error, "the job's row is gone already");
                    }
                }
                Err(fault) => warn!(job = id.0, %fault, "the part file of an earlier version could not be removed"),
            }
            Done::Nothing
        }));
    }

    pub(super) fn reset_done(&mut self, id: JobId, row: Result<JobRow, Fault>) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        match row {
            Ok(row) => {
                running.row.restarts = row.restarts;
                running.row.counts = row.counts;
                running.row.part = row.part;
                running.row.kept_part = row.kept_part;
            }
            // The next attempt looks at the disk and empties the file first, and the user gets to see why it fails.
            Err(fault) => {
                error!(job = id.0, %fault, "cannot drop the bytes of a job");
                running.must_look = true;
            }
        }
        self.event(Event::ResetDone(id));
    }

    /// Stores the rows of a job anew, of which some have lost their bytes.
    pub(super) fn rewrite(&mut self, id: JobId) {
        let rows = self.engine.chunks(self.now(), id).into_iter().map(|(row, _)| row).collect();
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        let rows = running.replace_rows(rows);
        let (place, stored, has_part) = (running.place.clone(), running.row.part.clone(), running.part.is_some());
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            if let Err(error) = store.rewrite_chunks(rows).await {
                // They say more than is there; should they be believed after a crash, the checksum finds it once more.
                error!(job = id.0, %error, "cannot store that bytes of a job are to be fetched again");
            }
            // Sealing has taken the part file.
            let part = if has_part { Ok(None) } else { blocking(move || reopen(place, stored)).await.map(Some) };
            Done::Rewritten { id, part }
        }));
    }

    pub(super) fn rewritten(&mut self, id: JobId, part: Result<Option<PartFile>, Fault>) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        match part {
            Ok(Some(part)) => running.part = Some(Arc::new(part)),
            Ok(None) => {}
            Err(fault) => running.lost = Some(fault),
        }
        self.event(Event::ResetDone(id));
    }

    /// Forgets a job here; and takes it up again if its user has meanwhile asked for that.
    pub(super) fn settled(&mut self, id: JobId) {
        self.cleared(id);
        let Some(running) = self.jobs.remove(&id) else { return };
        self.note_hosts(&running.hosts());
        self.announce(id);
        self.serve_readers();
        if running.row.lifecycle.phase == Phase::Canceled && !running.removed {
            // Its user gave it up while it was on its way out. The job itself may still be restored, if it is deleted, too.
            self.discard_later(JobRow { deleted_at_ms: None, ..running.row.clone() }, false);
        }
        let ended = matches!(running.row.lifecycle.phase, Phase::Completed | Phase::Failed | Phase::Canceled);
        let goes_on = running.row.lifecycle.wants_to_run() && running.wanted_again && !ended;
        if running.row.deleted_at_ms.is_none() && (goes_on || self.verifying.contains_key(&id)) {
            self.load(id);
        } else {
            self.not_verified(id);
        }
    }

    /// What a client sees of a job has changed.
    pub(super) fn job_changed(&mut self, id: JobId) {
        let now = self.now();
        let (Some(view), true) = (self.engine.job(now, id), self.jobs.contains_key(&id)) else { return };
        let lasting = view.retry_in.is_none_or(|wait| wait >= WAIT_STORED_FROM);
        self.tell_state(id, &view, lasting);
        if matches!(view.state, JobState::Waiting(_)) {
            self.survived_work(id);
        }
        let running = self.jobs.get_mut(&id).expect("it was just there");
        running.told = Some(view.clone());
        let reason = match (view.state, &view.fault) {
            (JobState::Waiting(what), Some(fault)) if lasting || what.is_the_disk() => {
                // The disk is looked at every few seconds, which is no news.
                let is_known = running.row.reason.as_ref().is_some_and(|known| known.code == fault.kind.code());
                if what.is_the_disk() && running.reason_stored && is_known {
                    self.announce(id);
                    return;
                }
                match what {
                    WaitingFor::Link => warn!(job = id.0, "waits for a new link: {fault}"),
                    WaitingFor::Disk => warn!(job = id.0, "waits for space: {fault}"),
                    WaitingFor::Volume => warn!(job = id.0, "waits for its volume: {fault}"),
                    WaitingFor::Retry | WaitingFor::Host | WaitingFor::Network | WaitingFor::Schedule => {}
                }
                Some(Reason { message: message(fault, view.state), ..reason(fault, view.retry_in) })
            }
            _ => None,
        };
        if reason.is_some() || running.reason_stored {
            running.reason_stored = reason.is_some();
            running.row.reason.clone_from(&reason);
            let store = self.store.clone();
            self.tasks.push(Box::pin(async move {
                if let Err(error) = store.set_reason(id, reason, now_ms()).await {
                    error!(job = id.0, %error, "cannot store why a job waits");
                }
                Done::Nothing
            }));
        }
        self.announce(id);
    }
}

/// Compares a complete file with what it must be.
async fn checked(part: PartFile, complete: Complete, quit: CancellationToken) -> Result<PartFile, Unsealed> {
    let checked = tokio::task::spawn_blocking(move || check(part, complete, &quit)).await;
    checked.unwrap_or_else(|_| Err(Fault::new(FaultKind::Internal, "checking a file panicked").into()))
}

/// Notes what part files look like that nobody writes to any more, so that a change is noticed later.
pub(super) async fn note_at_rest(store: &haul_store::Store, parts: Vec<(JobId, Arc<PartFile>)>) {
    let stamps = blocking(move || {
        let stamp = |(id, part): (JobId, Arc<PartFile>)| {
            let haul_transfer::Stamp { bytes, modified_ns, changed_ns } = part.stamp().ok()?;
            Some((id, Stamp { bytes, modified_ns, changed_ns }))
        };
        Ok(parts.into_iter().filter_map(stamp).collect::<Vec<_>>())
    });
    let Ok(stamps) = stamps.await else { return };
    let files = stamps.len();
    if files == 0 {
        return;
    }
    match store.note_at_rest(stamps, now_ms()).await {
        Ok(()) => debug!(files, "part files are left at rest"),
        // Without it rows are compared with the file only as far as no checkpoint covers them.
        Err(error) => warn!(%error, "cannot store what part files look like"),
    }
}

/// A complete file on its way to its final name.
enum ToSeal {
    /// It is a part file still.
    Part(PartFile),
    /// It has this path already; only the row does not say so yet.
    Named(PathBuf),
}

/// Finds the file of a job whose sealing has failed before. Blocks.
fn retake(place: Arc<Place>, stored: Option<Part>) -> Result<ToSeal, Fault> {
    let stored = stored.ok_or_else(gone)?;
    if let Some(part) = PartFile::reopen(Arc::clone(&place), &stored.name, stored.dev, stored.ino)? {
        return Ok(ToSeal::Part(part));
    }
    let name = place.name_of(stored.ino)?.ok_or_else(gone)?;
    place.sync()?;
    Ok(ToSeal::Named(place.path().join(name)))
}

/// Opens the part file of a job whose sealing has failed again. Blocks.
fn reopen(place: Option<Arc<Place>>, stored: Option<Part>) -> Result<PartFile, Fault> {
    let (place, stored) = place.zip(stored).ok_or_else(gone)?;
    PartFile::reopen(place, &stored.name, stored.dev, stored.ino)?.ok_or_else(gone)
}

fn gone() -> Fault {
    Fault::new(FaultKind::DiskIo, "the part file is gone; `retry` fetches the file again")
}

/// What sealing needs to know.
struct SealPlan {
    name: String,
    on_conflict: haul_transfer::OnConflict,
    total: u64,
    expected: Expected,
    verification: Verification,
    /// What the row says of the file, with the length that it does not know yet.
    learned: Option<Identity>,
}

impl SealPlan {
    /// `view` is what the engine knows of the complete file.
    fn of(running: &Running, view: Option<&JobView>) -> Result<Self, Fault> {
        let wish = &running.row.wish;
        let total = view.and_then(|view| view.total);
        if let Some(fault) = wrong_size(wish.expected_size, total) {
            return Err(fault);
        }
        running.sidecar.refuse(&running.row)?;
        let expected = Expected::of(running)?;
        let mirrors = (0..).map(MirrorIndex).zip(view.map_or(&[][..], |view| &view.mirrors));
        let givers: Vec<MirrorIndex> =
            mirrors.filter(|(_, mirror)| mirror.done_bytes > 0).map(|(index, _)| index).collect();
        let giver = running.mirror(givers.first().copied().unwrap_or(running.row.identity.mirror));
        let compared = view.is_some_and(|view| view.compared);
        let verification = match () {
            () if !expected.is_nothing() => Verification::Checksum,
            // What one mirror's validators vouch for is not what another has sent: samples of that were compared.
            () if givers.len() > 1 => Verification::Overlap,
            () if running.row.renewed => Verification::Overlap,
            () if giver.is_vouched() => Verification::Validator,
            () if compared => Verification::Overlap,
            () if running.row.identity.total_bytes.is_some() => Verification::Length,
            () => Verification::None,
        };
        let is_news = running.row.identity.total_bytes.is_none();
        Ok(Self {
            name: name(&running.row),
            on_conflict: match wish.on_conflict {
                OnConflict::Rename => haul_transfer::OnConflict::Rename,
                OnConflict::Overwrite => haul_transfer::OnConflict::Overwrite,
                OnConflict::Fail => haul_transfer::OnConflict::Fail,
            },
            total: total.unwrap_or_default(),
            expected,
            verification,
            learned: is_news.then(|| Identity { total_bytes: total, ..running.row.identity.clone() }),
        })
    }
}

/// Removes a part file; one that is not there any more is as good.
pub(super) async fn remove(part: PartFile) {
    let name = part.name().to_owned();
    if let Err(fault) = blocking(move || part.remove()).await {
        warn!(name, %fault, "a part file could not be removed");
    }
}

/// Removes what a stored job has left on the disk: its part file, and with `files` its complete file, as long as it is
/// still the one that the job made (FAILURES.md, F-DISK-18). Blocks.
pub(super) fn remove_stored(place: &Arc<Place>, row: &JobRow, files: bool) -> Result<(), Fault> {
    if let Some(kept) = &row.kept_part {
        PartFile::remove_aside(place, kept)?;
    }
    let Some(part) = &row.part else {
        // A run that died before it had noted its part file may have left one.
        let tag = u32::from_str_radix(&row.part_token, 16).unwrap_or_default();
        return row.identity.name.as_ref().map_or(Ok(()), |name| PartFile::remove_leftover(place, name, tag));
    };
    let path = row.path.as_deref().map(std::path::Path::new).and_then(|path| path.file_name()?.to_str());
    let complete = path.filter(|_| files && row.lifecycle.phase == Phase::Completed);
    for name in [Some(part.name.as_str()), complete].into_iter().flatten() {
        if let Some(ours) = PartFile::reopen(Arc::clone(place), name, part.dev, part.ino)? {
            ours.remove()?;
        }
    }
    Ok(())
}

/// The name that a job's file gets. One that has lost its own to another job, while it was deleted, gets one beside it.
fn name(row: &JobRow) -> String {
    let of_part = || {
        let name = row.part.as_ref()?.name.strip_suffix(".haul-part")?;
        name.rsplit_once('.').map(|(name, _)| name.to_owned())
    };
    row.identity.name.clone().or_else(of_part).unwrap_or_default()
}

fn reason(fault: &Fault, retry_in: Option<std::time::Duration>) -> Reason {
    let at_ms = now_ms();
    let retry_at_ms = retry_in.map(|wait| at_ms.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)));
    Reason { code: fault.kind.code().to_owned(), message: fault.to_string(), at_ms, retry_at_ms }
}
