//! What users ask for: stored first, then done.

use std::sync::Arc;

use haul_core::messages::Command;
use haul_core::{Action, Changed, JobId, Lifecycle, Refusal};
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
        match wish {
            Wish::Submit(jobs, answer) => self.submit(jobs, answer),
            Wish::Act(id, action, answer) => self.act(id, action, answer),
            Wish::ActAll(action, filter, answer) => self.act_all(action, filter, answer),
            Wish::Patch(id, patch, answer) => self.patch(id, *patch, answer),
            Wish::Delete { id, files, answer } => self.delete(id, files, answer),
            // Whoever asked may have gone; then the answer has nowhere to go, which is fine.
            Wish::Live(ids, answer) => {
                let live = ids.into_iter().filter_map(|id| Some((id, self.live(id)?))).collect();
                answer.send(live).ok();
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
            Done::Prepared { id, stored, found } => self.prepared(id, *stored, found),
            Done::PlaceOpened { id, place } => self.place_opened(id, place),
            Done::PartReady { id, worker, made } => self.part_ready(id, worker, made),
            Done::Checkpointed { id, rows } => self.checkpointed(id, rows),
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

    fn submitted(&mut self, rows: Result<Vec<JobRow>, StoreError>, answer: Answer<Vec<JobRow>>) {
        if let Ok(rows) = &rows {
            for row in rows {
                info!(job = row.id.0, host = row.wish.host, "accepted");
                if row.lifecycle.wants_to_run() {
                    self.take_up(StoredJob { row: row.clone(), chunks: Vec::new(), validators: Vec::new() });
                }
            }
        }
        answer.send(rows.map_err(DriverError::from)).ok();
    }

    fn act(&mut self, id: JobId, action: Action, answer: Answer<JobRow>) {
        let (store, roots) = (self.store.clone(), Arc::clone(&self.roots));
        let is_here = self.jobs.contains_key(&id);
        self.tasks.push(Box::pin(async move {
            let acted = store.act(id, action, now_ms()).await;
            let row = acted.map_err(act_error);
            // A job that is not running here has nobody else to remove its partial bytes.
            if let Ok((Changed::Yes, row)) = &row
                && action == Action::Cancel
                && !is_here
            {
                discard(&store, &roots, row.clone(), false).await;
            }
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
        if let Some(running) = self.jobs.get_mut(&id) {
            running.row.lifecycle = row.lifecycle;
        }
        if row.lifecycle.wants_to_run() {
            self.wanted(id, nudge);
        } else {
            self.release(id);
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
            self.release(id);
        } else {
            let (store, roots) = (self.store.clone(), Arc::clone(&self.roots));
            self.tasks.push(Box::pin(async move {
                discard(&store, &roots, row, files).await;
                if let Err(error) = store.delete_jobs(vec![id]).await {
                    // It is hidden, so the next start deletes it.
                    warn!(job = id.0, %error, "cannot delete a job yet");
                }
                Done::Nothing
            }));
        }
        answer.send(Ok(())).ok();
        self.announce(id);
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

/// The row of a job that has just been inserted.
fn accepted(id: JobId, job: NewJob, now_ms: i64) -> JobRow {
    JobRow {
        id,
        lifecycle: Lifecycle::accepted(job.intent),
        wish: job.wish,
        reason: None,
        restarts: 0,
        identity: Identity::default(),
        path: None,
        part_token: job.part_token,
        part: None,
        kept_part: None,
        renewed: false,
        verification: None,
        counts: Counts::default(),
        created_at_ms: now_ms,
        started_at_ms: None,
        finished_at_ms: None,
        updated_at_ms: now_ms,
        deleted_at_ms: None,
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

/// Removes what a job that is not running has left on the disk.
async fn discard(store: &haul_store::Store, roots: &Arc<crate::submit::Roots>, row: JobRow, files: bool) {
    if row.part.is_none() && row.kept_part.is_none() {
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
