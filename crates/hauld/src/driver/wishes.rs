//! What users ask for: stored first, then done.

use std::sync::Arc;

use haul_core::messages::Command;
use haul_core::{Action, JobId, Lifecycle, Phase, Refusal};
use haul_store::{ActError, Counts, Filter, Identity, JobPatch, JobRow, NewJob, StoreError, StoredJob, UpdateError};
use tracing::{info, warn};

use super::Driver;
use super::ending::remove_stored;
use super::handle::{Answer, DriverError, Explained, Live, Totals, Wish};
use super::tasks::{Done, blocking};
use crate::convert::now_ms;

impl Driver {
    pub(super) fn wish(&mut self, wish: Wish) {
        let now = self.now();
        if matches!(wish, Wish::Act(..) | Wish::ActAll(..) | Wish::Patch(..) | Wish::Delete { .. }) {
            self.save_events();
        }
        match wish {
            Wish::Submit(jobs, answer) => self.submit(jobs, answer),
            Wish::Act(id, action, answer) => self.act(id, action, answer),
            Wish::ActAll(action, filter, answer) => self.act_all(action, filter, answer),
            Wish::Patch(id, patch, answer) => self.patch(id, *patch, answer),
            Wish::Delete { id, files, answer } => self.delete(id, files, answer),
            // Whoever asked may have gone; then the answer has nowhere to go, which is fine.
            Wish::Verify { id, repair, answer } => self.verify(id, repair, answer),
            Wish::Live(ids, answer) => {
                let live = ids.into_iter().filter_map(|id| Some((id, self.live(id)?))).collect();
                answer.send((live, self.verifying.keys().copied().collect())).ok();
            }
            Wish::LiveStates(answer) => {
                let ids: Vec<JobId> = self.engine.jobs().collect();
                let states = ids.into_iter().filter_map(|id| Some((id, self.engine.job(now, id)?.state))).collect();
                answer.send(states).ok();
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
            Done::Submitted { rows, answer } => self.submitted(rows, answer),
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
            Done::Patched { row, answer } => {
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
            Done::Hidden { rows, id, files, answer } => self.hidden(rows, id, files, answer),
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
            Done::MirrorsAdded { id, mirrors } => self.mirrors_added(id, mirrors),
            Done::Sealed { id, row } => self.sealed(id, row),
            Done::Settled { id } => self.settled(id),
        }
    }

    fn submit(&mut self, jobs: Vec<NewJob>, answer: Answer<Vec<JobRow>>) {
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            let now_ms = now_ms();
            let ids = store.insert_jobs(jobs.clone(), now_ms).await;
            let rows = ids.map(|ids| ids.into_iter().zip(jobs).map(|(id, job)| accepted(id, job, now_ms)).collect());
            Done::Submitted { rows, answer }
        }));
    }

    fn submitted(&mut self, jobs: Result<Vec<StoredJob>, StoreError>, answer: Answer<Vec<JobRow>>) {
        let rows = jobs.map(|jobs| {
            let rows = jobs.iter().map(|job| job.row.clone()).collect();
            for job in jobs {
                info!(job = job.row.id.0, host = job.row.wish.host, "accepted");
                // What is read at the start may already hold a job that was accepted meanwhile.
                if job.row.lifecycle.wants_to_run() && !self.jobs.contains_key(&job.row.id) {
                    self.take_up(job);
                }
            }
            rows
        });
        answer.send(rows.map_err(DriverError::from)).ok();
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

    fn patch(&mut self, id: JobId, patch: JobPatch, answer: Answer<JobRow>) {
        if patch.url.is_some() || patch.headers.is_some() {
            self.renew(id, patch, answer);
            return;
        }
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            let row = store.patch(id, patch, now_ms()).await.map_err(|error| match error {
                UpdateError::Unknown => Refusal::UnknownJob.into(),
                UpdateError::Store(error) => DriverError::from(error),
                // The patch holds no name, so none can be taken.
                UpdateError::NameTaken | _ => DriverError::from(StoreError::Closed),
            });
            Done::Patched { row, answer }
        }));
    }

    fn patched(&mut self, row: &JobRow) {
        let Some(running) = self.jobs.get_mut(&row.id) else { return };
        running.row.wish = row.wish.clone();
        running.limiter.set_rate(row.wish.bandwidth_limit);
        let tuning = running.tuning();
        self.command(Command::Tune(row.id, tuning));
        self.announce(row.id);
    }

    fn delete(&mut self, id: JobId, files: bool, answer: Answer<()>) {
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            let rows = store.hide_jobs(vec![id], now_ms()).await;
            Done::Hidden { rows, id, files, answer }
        }));
    }

    fn hidden(&mut self, rows: Result<Vec<JobRow>, StoreError>, id: JobId, files: bool, answer: Answer<()>) {
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
            running.delete_files = files;
            self.release(id);
        } else {
            self.discard_later(row, files);
        }
        answer.send(Ok(())).ok();
        self.announce(id);
    }

    /// Removes what a job that does not run has left on the disk, and a deleted job itself.
    pub(super) fn discard_later(&mut self, row: JobRow, files: bool) {
        let (store, roots) = (self.store.clone(), Arc::clone(&self.roots));
        let (id, is_deleted) = (row.id, row.deleted_at_ms.is_some());
        self.tasks.push(Box::pin(async move {
            discard(&store, &roots, row, files).await;
            if is_deleted && let Err(error) = store.delete_jobs(vec![id]).await {
                // It is hidden, so the next start deletes it.
                warn!(job = id.0, %error, "cannot delete a job yet");
            }
            Done::Nothing
        }));
    }

    fn live(&self, id: JobId) -> Option<Live> {
        let running = self.jobs.get(&id)?;
        let view = self.engine.job(self.now(), id)?;
        Some(Live { view, durable_bytes: running.durable_bytes() })
    }

    fn explain(&self, id: JobId) -> Option<Explained> {
        let live = self.live(id)?;
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
        }
    }
}

/// A job that has just been inserted.
fn accepted(id: JobId, job: NewJob, now_ms: i64) -> StoredJob {
    let row = JobRow {
        id,
        lifecycle: Lifecycle::accepted(job.intent),
        wish: job.wish,
        maker: job.maker,
        reason: None,
        restarts: 0,
        identity: Identity::default(),
        path: None,
        part_token: job.part_token,
        part: None,
        stamp: None,
        kept_part: None,
        renewed: false,
        verification: None,
        verified: None,
        counts: Counts::default(),
        created_at_ms: now_ms,
        started_at_ms: None,
        finished_at_ms: None,
        updated_at_ms: now_ms,
        deleted_at_ms: None,
    };
    StoredJob { row, chunks: Vec::new(), digests: Vec::new(), pieces: job.pieces, validators: Vec::new() }
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

/// Removes what a job that is not running has left on the disk.
pub(super) async fn discard(store: &haul_store::Store, roots: &Arc<crate::submit::Roots>, row: JobRow, files: bool) {
    if row.identity.name.is_none() {
        // Nothing was ever made for it.
        return;
    }
    let (id, roots) = (row.id, Arc::clone(roots));
    let removed = blocking(move || {
        let place = Arc::new(roots.open(std::path::Path::new(&row.wish.dir))?);
        remove_stored(&place, &row, files)
    });
    if let Err(fault) = removed.await {
        warn!(job = id.0, %fault, "the bytes of a job could not be removed");
    } else if let Err(error) = store.set_part(id, None, now_ms()).await {
        tracing::debug!(job = id.0, %error, "the job's row is gone already");
    }
}
