//! What users ask for: stored first, then done.

use std::sync::Arc;
use std::time::Duration;

use haul_api::{Problem, ProblemCode};
use haul_core::messages::Command;
use haul_core::{Action, JobId, JobState, Phase, Refusal, WaitingFor};
use haul_store::{ActError, Filter, JobPatch, JobRow, Once, Store, StoreError, UpdateError};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Driver;
use super::ending::remove_stored;
use super::handle::{Answer, DriverError, Explained, Live, Placing, Totals, Wish};
use super::submits::Submitted;
use super::tasks::{Done, blocking};
use crate::convert::now_ms;
use crate::submit::Roots;

impl Driver {
    pub(super) fn wish(&mut self, wish: Wish) {
        let now = self.now();
        if matches!(
            wish,
            Wish::Act(..)
                | Wish::ActAll(..)
                | Wish::Patch { .. }
                | Wish::Delete { .. }
                | Wish::ForgetEnded(..)
                | Wish::Restore(..)
        ) {
            self.save_events();
        }
        match wish {
            Wish::Submit { jobs, gone, answer } => self.submit(jobs, gone, answer),
            Wish::SubmitOnce { jobs, gone, once, answer } => self.submit_once(jobs, gone, once, answer),
            Wish::Probe(job, answer) => self.probe(*job, answer),
            Wish::Act(id, action, answer) => self.act(id, action, answer),
            Wish::ActAll(action, filter, answer) => self.act_all(action, filter, answer),
            Wish::Patch { id, patch, place, answer } => self.patch(id, *patch, place, answer),
            Wish::Delete { id, files, expected, answer } => self.delete(id, files, expected, answer),
            Wish::ForgetEnded(answer) => self.forget_ended(answer),
            Wish::AddMirrors { id, mirrors, answer } => self.add_mirrors(id, mirrors, Some(answer)),
            Wish::Restore(id, answer) => self.restore(id, answer),
            // Whoever asked may have gone; then the answer has nowhere to go, which is fine.
            Wish::Verify { id, repair, answer } => self.verify(id, repair, answer),
            Wish::Live(ids, answer) => {
                let live = ids.into_iter().filter_map(|id| Some((id, self.live(id)?))).collect();
                answer.send((live, self.verifying.keys().copied().collect())).ok();
            }
            Wish::LiveStates(answer) => {
                answer.send(self.engine.states().collect()).ok();
            }
            Wish::Busy(answer) => {
                let busy = self.engine.states().filter(|(_, state)| *state != JobState::Queued);
                let verifying = self.verifying.keys().map(|id| (*id, JobState::Verifying));
                answer.send(busy.chain(verifying).collect()).ok();
            }
            Wish::Progress(answer) => {
                answer.send(self.progress()).ok();
            }
            Wish::Chunks(id, answer) => {
                answer.send(self.engine.chunks(now, id)).ok();
            }
            Wish::Why(id, answer) => {
                answer.send(self.explain(id)).ok();
            }
            Wish::Hosts { after, limit, answer } => {
                answer.send(self.host_views(after.as_deref(), limit)).ok();
            }
            Wish::Host(name, answer) => {
                answer.send(self.known_host(&name)).ok();
            }
            Wish::ChangeHost(name, changes, answer) => self.change_host(name, changes, answer),
            Wish::ForgetHost(name, answer) => self.forget_host(name, answer),
            Wish::Read(reader) => self.read(reader),
            Wish::Totals(answer) => {
                answer.send(self.totals()).ok();
            }
            Wish::Limits(answer) => {
                answer.send(self.limits_now()).ok();
            }
            Wish::SetLimits(changes, answer) => self.set_limits(*changes, answer),
            Wish::Configure(limits) => self.configure(*limits),
        }
    }

    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Nothing => {}
            Done::Stored(page) => self.stored(page),
            Done::Leftovers(rows) => self.discard_leftovers(rows),
            Done::Submitted { submitted, answer } => {
                if let Ok(submitted) = &submitted {
                    self.newly_accepted(submitted);
                }
                answer.send(submitted.map_err(DriverError::from)).ok();
            }
            Done::SubmittedOnce { jobs, once, now_ms, answer } => {
                let once = once.map(|once| match once {
                    Once::First(inserted, answer) => {
                        let submitted = Submitted::new(jobs, inserted, now_ms);
                        self.newly_accepted(&submitted);
                        Once::First(submitted.inserted, answer)
                    }
                    Once::Again(_) | Once::Other => once,
                });
                answer.send(once.map_err(DriverError::from)).ok();
            }
            Done::Acted { row, answer, nudge } => {
                if let Ok(row) = &row {
                    self.acted(row, nudge);
                }
                answer.send(row).ok();
            }
            Done::ActedAll { rows, answer } => {
                let rows = rows.map_err(DriverError::from);
                let changed = rows.map(|rows| {
                    rows.iter().for_each(|row| self.acted(row, false));
                    rows.len() as u64
                });
                answer.send(changed).ok();
            }
            Done::Patched { id, row, answer } => {
                if let Some(running) = self.jobs.get_mut(&id) {
                    running.renaming = None;
                }
                if let Ok(row) = &row {
                    self.patched(row);
                }
                answer.send(row).ok();
            }
            Done::Renewed { row, answer } => {
                if let Ok(row) = &row {
                    self.renewed(row);
                }
                answer.send(row).ok();
            }
            Done::SeamCompared { id, at, differs } => self.seam_compared(id, at, differs),
            Done::Hidden { rows, id, answer } => self.hidden(rows, id, answer),
            Done::EndedHidden { ids, answer } => {
                let hidden = ids.map_err(DriverError::from).map(|ids| {
                    for id in &ids {
                        self.deleted(*id);
                        self.announce(*id);
                    }
                    ids.len() as u64
                });
                answer.send(hidden).ok();
            }
            Done::Restored { id, row, answer } => self.restored(id, row, answer),
            Done::ToDiscard { id, row } => self.discard_deleted(id, row),
            Done::Loaded { id, stored } => self.loaded(id, stored),
            Done::Prepared { id, stored, found } => self.prepared(id, stored, found),
            Done::Followed { id, followed } => self.followed(id, followed),
            Done::SidecarEnded { id, attempt, checksum } => self.sidecar_ended(id, attempt, checksum),
            Done::SidecarDue { id, attempt } => self.ask_for_sidecar(id, attempt),
            Done::ChecksumKnown { id, row } => self.checksum_known(id, row),
            Done::ToVerify { repair, row, answer } => self.asked_to_verify(repair, row, answer),
            Done::Verified { id } => self.verified(id),
            Done::Reopened { id, row } => self.reopened(id, row),
            Done::DiskReady { id, ready } => self.disk_ready(id, ready),
            Done::PartReady { id, worker, made } => self.part_ready(id, worker, made),
            Done::Checkpointed { id, rows } => self.checkpointed(id, rows),
            Done::RolledBack { id, rows } => self.rolled_back(id, rows),
            Done::Forgotten { id } => self.forgotten(id),
            Done::Marked(marked) => self.marked(marked),
            Done::Reset { id, row } => self.reset_done(id, row),
            Done::Rewritten { id, part } => self.rewritten(id, part),
            Done::MirrorsAdded { id, mirrors, answer } => self.mirrors_added(id, mirrors, answer),
            Done::Sealed { id, row } => self.sealed(id, row),
            Done::Settled { id } => self.settled(id),
        }
    }

    fn act(&mut self, id: JobId, action: Action, answer: Answer<JobRow>) {
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            let row = store.act(id, action, now_ms()).await.map_err(act_error);
            let nudge = matches!(action, Action::Resume | Action::Retry);
            Done::Acted { row: row.map(|(_, row)| row), answer, nudge }
        }));
    }

    fn act_all(&mut self, action: Action, filter: Filter, answer: Answer<u64>) {
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            let acted = async {
                let ids = store.act_all(action, filter, now_ms()).await?;
                let mut rows = Vec::with_capacity(ids.len());
                for id in ids {
                    rows.extend(store.job(id).await?);
                }
                Ok(rows)
            };
            Done::ActedAll { rows: acted.await, answer }
        }));
    }

    /// Does what a stored action calls for.
    fn acted(&mut self, row: &JobRow, nudge: bool) {
        let id = row.id;
        // Whoever asks for it has seen how it is.
        self.cleared(id);
        if let Some(running) = self.jobs.get_mut(&id) {
            running.row.lifecycle = row.lifecycle;
        }
        if row.lifecycle.wants_to_run() {
            self.wanted(id, nudge);
        } else if self.jobs.contains_key(&id) {
            self.release(id);
        } else if row.lifecycle.phase == Phase::Canceled {
            self.discard_later(row.clone(), false);
        }
        self.announce(id);
    }

    fn patch(&mut self, id: JobId, mut patch: JobPatch, place: Option<Placing>, answer: Answer<JobRow>) {
        if let Some(Placing { priority, position }) = place {
            patch.place = Some(Some(self.engine.place_at(id, priority, position)));
        }
        if patch.url.is_some() || patch.headers.is_some() {
            self.renew(id, patch, answer);
            return;
        }
        if let (Some(running), Some(name)) = (self.jobs.get_mut(&id), &patch.filename) {
            if running.making_part {
                let detail = "its file is just being made; rename it again in a moment";
                answer.send(Err(Problem::new(ProblemCode::ConflictState, detail).into())).ok();
                return;
            }
            running.renaming.clone_from(name);
        }
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            let row = store.patch(id, patch, now_ms()).await.map_err(update_error);
            Done::Patched { id, row, answer }
        }));
    }

    fn patched(&mut self, row: &JobRow) {
        let Some(running) = self.jobs.get_mut(&row.id) else { return };
        running.row.wish = row.wish.clone();
        running.row.identity.name = row.identity.name.clone().or_else(|| running.row.identity.name.take());
        running.limiter.set_rate(row.wish.bandwidth_limit);
        let running = &self.jobs[&row.id];
        let tuning = self.tuning(running);
        self.command(Command::Tune(row.id, tuning));
        self.announce(row.id);
    }

    fn delete(&mut self, id: JobId, files: bool, expected: Option<u64>, answer: Answer<()>) {
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            let rows = match expected {
                None => store.hide_jobs(vec![id], files, now_ms()).await,
                Some(version) => match store.hide_version(id, files, version, now_ms()).await {
                    Ok(row) => Ok(vec![row]),
                    Err(UpdateError::Store(error)) => Err(error),
                    Err(error) => {
                        answer.send(Err(update_error(error))).ok();
                        return Done::Nothing;
                    }
                },
            };
            Done::Hidden { rows, id, answer }
        }));
    }

    fn forget_ended(&mut self, answer: Answer<u64>) {
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            let ids = store.hide_ended(now_ms()).await;
            Done::EndedHidden { ids, answer }
        }));
    }

    fn hidden(&mut self, rows: Result<Vec<JobRow>, StoreError>, id: JobId, answer: Answer<()>) {
        let row = match rows {
            Ok(mut rows) => rows.pop(),
            Err(error) => {
                answer.send(Err(error.into())).ok();
                return;
            }
        };
        let Some(row) = row else {
            answer.send(Err(Refusal::UnknownJob.into())).ok();
            return;
        };
        if let Some(running) = self.jobs.get_mut(&id) {
            running.row.deleted_at_ms = row.deleted_at_ms;
            self.release(id);
        }
        self.deleted(id);
        answer.send(Ok(())).ok();
        self.announce(id);
    }

    /// Removes what a job that does not run has left on the disk, and a deleted job itself.
    pub(super) fn discard_later(&mut self, row: JobRow, files: bool) {
        let (store, roots, quit) = (self.store.clone(), Arc::clone(&self.roots), self.quit.clone());
        let (id, is_deleted) = (row.id, row.deleted_at_ms.is_some());
        self.tasks.push(Box::pin(async move {
            let is_gone = discard(&store, &roots, row, files, &quit).await;
            if is_gone
                && is_deleted
                && let Err(error) = store.delete_jobs(vec![id]).await
            {
                // It is hidden, so the next start deletes it.
                warn!(job = id.0, %error, "cannot delete a job yet");
            }
            Done::Nothing
        }));
    }

    /// What is known of a job beyond its row. One that the engine has let go of is told as before until its row says what
    /// has become of it.
    pub(super) fn live(&mut self, id: JobId) -> Option<Live> {
        let view = self.engine.job(self.now(), id);
        let running = self.jobs.get_mut(&id)?;
        let durable_bytes = running.durable_bytes();
        let view = match (view, running.told.take()) {
            (Some(mut view), _) => {
                // What the first answer has told is not stored yet, and the file has no name.
                if running.making_part && running.part.is_none() && view.state == JobState::Active {
                    view.state = JobState::Probing;
                }
                view
            }
            (None, Some(mut view)) => {
                view.done_bytes = view.done_bytes.max(durable_bytes);
                (view.connections, view.bytes_per_second) = (0, 0.0);
                for mirror in &mut view.mirrors {
                    (mirror.connections, mirror.bytes_per_second) = (0, 0.0);
                }
                view
            }
            (None, None) => return None,
        };
        running.told = Some(view.clone());
        Some(Live { view, durable_bytes })
    }

    fn explain(&self, id: JobId) -> Option<Explained> {
        let durable_bytes = self.jobs.get(&id)?.durable_bytes();
        let live = Live { view: self.engine.job(self.now(), id)?, durable_bytes };
        let reasons = self.engine.why(self.now(), id);
        Some(Explained { live, reasons, limits: self.limits_on(id), max_active_jobs: self.limits.max_active_jobs })
    }

    fn totals(&self) -> Totals {
        let now = self.now();
        let speeds = self.engine.jobs().filter_map(|id| Some(self.engine.job(now, id)?.bytes_per_second));
        Totals {
            connections: u32::try_from(self.engine.connections()).unwrap_or(u32::MAX),
            bytes_per_second: speeds.sum(),
            done_bytes: self.done_bytes,
            by_class: self.connections_by_class(),
        }
    }
}

/// Why a user's change was not made.
pub(super) fn update_error(error: UpdateError) -> DriverError {
    let declined = |code, detail: &str| DriverError::Declined(Problem::new(code, detail));
    match error {
        UpdateError::Unknown => Refusal::UnknownJob.into(),
        UpdateError::NameTaken => {
            let detail = "another job is going to save under this name in the same directory";
            DriverError::Declined(Problem::new(ProblemCode::TargetBusy, detail).with_field("filename"))
        }
        UpdateError::Past(Phase::Verifying) => Refusal::Verifying.into(),
        UpdateError::Past(phase) => Refusal::JobEnded(phase).into(),
        UpdateError::Changed => {
            declined(ProblemCode::VersionChanged, "the job has changed; look at it again, and send its new `ETag`")
        }
        UpdateError::Store(error) => error.into(),
        other => {
            warn!(error = %other, "a change failed in a new way");
            StoreError::Closed.into()
        }
    }
}

pub(super) fn act_error(error: ActError) -> DriverError {
    match error {
        ActError::Unknown => Refusal::UnknownJob.into(),
        ActError::Refused(refusal, _) => refusal.into(),
        ActError::Store(error) => error.into(),
        other => {
            warn!(error = %other, "an action failed in a new way");
            StoreError::Closed.into()
        }
    }
}

/// How often a volume is looked for that holds what is to be removed.
const VOLUME_PAUSE: Duration = Duration::from_secs(2);

/// Removes what a job that is not running has left on the disk. A volume that is not there is waited for; false where the
/// daemon stops before it is: the next start goes on.
pub(super) async fn discard(
    store: &Store,
    roots: &Arc<Roots>,
    row: JobRow,
    files: bool,
    quit: &CancellationToken,
) -> bool {
    if row.identity.name.is_none() && row.part.is_none() && row.kept_part.is_none() {
        // Nothing was ever made for it.
        return true;
    }
    let (id, row) = (row.id, Arc::new(row));
    let mut waits = false;
    loop {
        let (roots, row) = (Arc::clone(roots), Arc::clone(&row));
        let removed = blocking(move || {
            let place = Arc::new(roots.open(std::path::Path::new(&row.wish.dir))?);
            remove_stored(&place, &row, files)
        });
        match removed.await {
            Ok(()) => break,
            Err(fault) if fault.kind.awaits_disk() == Some(WaitingFor::Volume) => {
                if !std::mem::replace(&mut waits, true) {
                    info!(job = id.0, %fault, "the bytes of a job are removed once their volume is there");
                }
            }
            Err(fault) => {
                warn!(job = id.0, %fault, "the bytes of a job could not be removed");
                return true;
            }
        }
        if tokio::time::timeout(VOLUME_PAUSE, quit.cancelled()).await.is_ok() {
            return false;
        }
    }
    if let Err(error) = store.set_part(id, None, now_ms()).await {
        debug!(job = id.0, %error, "the job's row is gone already");
    }
    true
}
