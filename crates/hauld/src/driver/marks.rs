//! What has been written, and what is durable: the order of truth.
//!
//! Workers write; some ten times a second the driver looks how far they are, tells the engine, and has the changed rows
//! marked as `written` (no sync: that survives a kill). About once a second each part file is synced, and only then
//! are the rows of before the sync marked as `durable` (that survives a power cut). Never the other way round.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use haul_core::messages::Event;
use haul_core::{Fault, FaultKind, JobId};
use haul_store::{JobRows, StoreError};
use haul_transfer::{PartFile, Span};
use tracing::{debug, error, info};

use super::Driver;
use super::running::{Running, Then};
use super::tasks::{Done, Unsaved, blocking};

/// The longest wait between two looks at the workers (DESIGN.md section 5).
const SWEEP_MAX: Duration = Duration::from_millis(100);
/// The shortest: a look costs a transaction.
const SWEEP_MIN: Duration = Duration::from_millis(20);
/// How many bytes may come together between two looks, as far as `SWEEP_MIN` permits.
const SWEEP_BYTES: u64 = 1 << 20;
/// For so long after the answer to a further connection of a job, the looks are as frequent as can be: what it brings
/// decides on how many more the job gets.
const HURRY: Duration = Duration::from_millis(200);
/// How late a checkpoint may be, less what a sync may take (DESIGN.md section 5: at most 1 s in all).
const CHECKPOINT_EVERY: Duration = Duration::from_millis(800);

/// So long before a job's last byte is expected, what has come is synced before its time: the sync at its end, for which
/// its user waits, then finds little left to do.
const LAST_BYTES: Duration = Duration::from_millis(300);
/// No sync for that with fewer bytes, or sooner after the last one.
const LAST_BYTES_MIN: u64 = 4 << 20;
const LAST_BYTES_EVERY: Duration = Duration::from_millis(100);

/// When the workers are looked at.
pub(super) struct Sweep {
    last: Instant,
    every: Duration,
    hurry_until: Instant,
    /// When the rows were marked as written, and the bytes since then.
    marked: Instant,
    unmarked_bytes: u64,
}

impl Default for Sweep {
    fn default() -> Self {
        let now = Instant::now();
        Self { last: now, every: SWEEP_MAX, hurry_until: now, marked: now, unmarked_bytes: 0 }
    }
}

impl Sweep {
    /// When to look again; never while nothing can have changed.
    pub(super) fn due_at(&self, something: bool) -> Option<Instant> {
        something.then(|| self.last + self.every)
    }

    /// A further connection of a job has been answered.
    pub(super) fn hurry(&mut self) {
        self.hurry_until = Instant::now() + HURRY;
        self.every = SWEEP_MIN;
    }

    /// Adapts to how much came since the last look.
    fn done(&mut self, bytes: u64) {
        let elapsed = self.last.elapsed();
        self.last += elapsed;
        self.unmarked_bytes += bytes;
        let share = SWEEP_BYTES as f64 / bytes.max(1) as f64;
        let most = if self.last < self.hurry_until { SWEEP_MIN } else { SWEEP_MAX };
        self.every = elapsed.mul_f64(share.min(100.0)).clamp(SWEEP_MIN, most);
    }

    /// Tells whether the rows are to be marked as written, which costs a transaction.
    fn marks(&mut self) -> bool {
        let due = self.last.duration_since(self.marked) >= SWEEP_MAX || self.unmarked_bytes >= SWEEP_BYTES;
        if due {
            self.marked = self.last;
            self.unmarked_bytes = 0;
        }
        due
    }
}

impl Running {
    fn is_checkpoint_due(&self) -> bool {
        self.part.is_some() && !self.unsynced.is_empty() && self.synced_at.elapsed() >= CHECKPOINT_EVERY
    }

    /// So much is unsynced that its workers will soon have to wait, whatever rows say of it.
    fn has_much_to_sync(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.file().should_sync())
    }

    /// Its last bytes will come soon, and there is much to sync by then.
    fn ends_soon(&self) -> bool {
        let (Some(part), Some(total)) = (&self.part, self.row.identity.total_bytes) else { return false };
        let (unsynced, elapsed) = (part.file().unsynced_bytes(), self.synced_at.elapsed());
        if unsynced < LAST_BYTES_MIN || elapsed < LAST_BYTES_EVERY {
            return false;
        }
        let missing = total.saturating_sub(self.durable_bytes() + unsynced);
        missing as f64 * elapsed.as_secs_f64() < unsynced as f64 * LAST_BYTES.as_secs_f64()
    }
}

impl Driver {
    pub(super) fn has_something_to_mark(&self) -> bool {
        let waits = |job: &Running| job.part.is_some() && !job.unsynced.is_empty() && !job.syncing;
        !self.workers.is_empty() || self.jobs.values().any(waits)
    }

    pub(super) fn sweep_if_due(&mut self) {
        let due = self.sweep.due_at(self.has_something_to_mark());
        if due.is_some_and(|at| at <= Instant::now()) {
            self.sweep();
        }
    }

    /// Looks how far the workers are.
    pub(super) fn sweep(&mut self) {
        let now = self.now();
        let mut came = 0;
        for (id, worker) in &mut self.workers {
            // In this order: what is summed up reaches at least as far as what is told.
            let (at, throttled) = (worker.lane.at(), worker.lane.throttled());
            if let Some(running) = self.jobs.get_mut(&worker.job) {
                running.sums.note_spans(worker.lane.take_spans());
            }
            let (told_at, told_throttled) = worker.told;
            worker.told = (at, throttled);
            came += at - told_at;
            // Silence is a fact, too: the engine's meters want to see it.
            let throttled = throttled > told_throttled || worker.lane.is_resting();
            self.engine.event(now, Event::Progress { worker: *id, at, throttled });
        }
        self.done_bytes += came;
        self.sweep.done(came);
        self.carry_out();
        if self.sweep.marks() {
            self.mark_written();
        }
        self.serve_readers();
        self.checkpoint_if_due();
        self.follow_all();
    }

    /// Takes over the rows of a job that the engine has changed.
    pub(super) fn collect_rows(&mut self, id: JobId) {
        if let Some(running) = self.jobs.get_mut(&id) {
            running.note_rows(self.engine.take_changed_rows(id));
        }
    }

    pub(super) fn mark_written(&mut self) {
        let ids: Vec<JobId> = self.jobs.keys().copied().collect();
        for id in ids {
            self.collect_rows(id);
        }
        let jobs: Vec<JobRows> =
            self.jobs.values_mut().filter(|job| job.part.is_some()).filter_map(Running::take_unwritten).collect();
        if jobs.is_empty() {
            return;
        }
        for job in &jobs {
            self.gained_bytes(job.job);
        }
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move { Done::Marked(store.mark_written(jobs).await) }));
    }

    pub(super) fn marked(&mut self, marked: Result<(), StoreError>) {
        let failed = marked.is_err();
        if let Err(error) = marked
            && !self.marks_fail
        {
            // Once, not twenty times a second.
            error!(%error, "cannot mark bytes as written; a kill would cost them");
        }
        self.marks_fail = failed;
    }

    fn checkpoint_if_due(&mut self) {
        let due: Vec<JobId> = self
            .jobs
            .values()
            .filter(|job| !job.syncing && (job.has_much_to_sync() || job.is_checkpoint_due() || job.ends_soon()))
            .map(Running::id)
            .collect();
        for id in due {
            self.checkpoint(id);
        }
    }

    /// Syncs the part file of a job and then stores the rows of before the sync.
    pub(super) fn checkpoint(&mut self, id: JobId) {
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        let Some(part) = running.part.clone() else { return };
        let mut rows = running.take_unsynced();
        let sketches = running.sums.sketches(&rows.rows);
        running.syncing = true;
        running.synced_at = Instant::now();
        let (store, metrics) = (self.store.clone(), self.metrics.clone());
        self.tasks.push(Box::pin(async move {
            let synced = blocking(move || {
                let begun = Instant::now();
                part.sync_data()?;
                metrics.synced(begun.elapsed());
                let digests = sketches.into_iter().map(|sketch| sketch.complete(part.file()));
                // Rows without a digest are as good as before; whoever reads them next meets the same disk.
                Ok(digests.filter_map(|digest| digest.inspect_err(|fault| debug!(%fault, "no digest")).ok()).collect())
            });
            let synced: Result<Vec<Span>, Fault> = synced.await;
            let rows = match synced {
                Ok(digests) => {
                    rows.digests.extend(digests.iter().map(|digest| (digest.start, digest.crc32c)));
                    match store.checkpoint(vec![rows.clone()]).await {
                        Ok(()) => Ok((rows, digests)),
                        Err(error) => Err(Unsaved::Unstored(rows, error)),
                    }
                }
                Err(fault) => Err(Unsaved::Unsynced(fault)),
            };
            Done::Checkpointed { id, rows }
        }));
    }

    pub(super) fn checkpointed(&mut self, id: JobId, rows: Result<(JobRows, Vec<Span>), Unsaved>) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        running.syncing = false;
        match rows {
            Ok((rows, digests)) => {
                running.note_durable(&rows.rows);
                digests.into_iter().for_each(|digest| running.sums.note_row(digest));
                if running.unstored.take().is_some() {
                    info!(job = id.0, "the database takes checkpoints again");
                }
                debug!(job = id.0, durable = running.durable_bytes(), "checkpoint");
                let hosts = running.hosts();
                self.note_useful_connections(&hosts);
            }
            Err(Unsaved::Unstored(rows, error)) => {
                if running.unstored.is_none() {
                    error!(job = id.0, %error, "the database did not take a checkpoint");
                }
                for row in rows.rows {
                    running.unsynced.entry(row.range.start).or_insert(row);
                }
                let fault = Fault::new(FaultKind::DiskFull, format!("the progress cannot be stored: {error}"));
                match running.then {
                    Some(Then::Seal) => {
                        running.then = None;
                        self.event(Event::SealFailed(id, fault));
                    }
                    // Nobody is left who would try again later; the last durable rows stand.
                    Some(Then::Reset | Then::Rewrite | Then::LetGo | Then::Fail(_)) => running.unsynced.clear(),
                    None => {
                        running.unstored = Some(fault.clone());
                        self.stop_job_workers(id, &fault);
                        self.note_disk_fault(id, &fault);
                    }
                }
            }
            Err(Unsaved::Unsynced(fault)) => {
                error!(job = id.0, %fault, "a checkpoint failed");
                self.give_up_unsynced(id, &fault);
            }
        }
        self.go_on_when_synced(id);
    }

    pub(super) fn stop_job_workers(&mut self, id: JobId, fault: &Fault) {
        for worker in self.workers.values_mut().filter(|worker| worker.job == id) {
            worker.refused = Some(fault.clone());
            worker.lane.stop();
        }
    }

    /// Does something with a job once no checkpoint of it is under way, its part file is not being made, and everything
    /// that it has written is durable.
    pub(super) fn when_synced(&mut self, id: JobId, then: Then) {
        self.collect_rows(id);
        let running = self.jobs.get_mut(&id).expect("the engine knows only jobs that run here");
        running.then = Some(then);
        self.go_on_when_synced(id);
    }

    pub(super) fn go_on_when_synced(&mut self, id: JobId) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        if running.syncing || running.making_part || running.rolling_back || running.then.is_none() {
            return;
        }
        let drops_bytes = matches!(running.then, Some(Then::Reset | Then::Rewrite));
        if !drops_bytes && !running.unsynced.is_empty() && running.part.is_some() {
            self.checkpoint(id);
            return;
        }
        let is_hashed = !running.following.is_away() && !running.sidecar.is_awaited();
        if matches!(running.then, Some(Then::Seal)) && !is_hashed {
            return;
        }
        match running.then.take() {
            Some(Then::Seal) => self.seal(id),
            Some(Then::Reset) => self.reset(id),
            Some(Then::Rewrite) => self.rewrite(id),
            Some(Then::LetGo) => self.let_go(id),
            Some(Then::Fail(fault)) => self.fail(id, &fault),
            None => {}
        }
    }

    /// The part files of all jobs that are here.
    pub(super) fn all_parts(&self) -> Vec<(JobId, Arc<PartFile>)> {
        let trusted = self.jobs.values().filter(|job| !job.distrusted);
        trusted.filter_map(|job| Some((job.id(), job.part.clone()?))).collect()
    }

    /// Makes everything durable.
    pub(super) async fn checkpoint_all(&mut self) {
        let syncs = self.jobs.values_mut().filter(|job| job.part.is_some() && !job.unsynced.is_empty()).map(|job| {
            let (id, part, rows) = (job.id(), job.part.clone().expect("it was just there"), job.take_unsynced());
            async move { (id, blocking(move || part.sync_data()).await.map(|()| rows)) }
        });
        let mut safe = Vec::new();
        for (id, synced) in join_all(syncs).await {
            match synced {
                Ok(rows) => safe.push(rows),
                Err(fault) => {
                    error!(job = id.0, %fault, "the last checkpoint failed");
                    if let Err(error) = self.store.roll_back(id).await {
                        error!(job = id.0, %error, "cannot store that unsynced bytes are given up");
                    }
                }
            }
        }
        if !safe.is_empty()
            && let Err(error) = self.store.checkpoint(safe).await
        {
            error!(%error, "the last checkpoint could not be stored");
        }
    }
}
