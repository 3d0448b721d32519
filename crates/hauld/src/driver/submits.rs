//! Jobs that are submitted: stored first, then taken up.

use std::sync::Arc;

use haul_core::{Intent, JobId, Lifecycle};
use haul_store::{Counts, Identity, Inserted, JobRow, NewJob, OnDuplicate, Once, StoredJob};
use tracing::{info, warn};

use super::Driver;
use super::handle::{Answer, OnceSubmit};
use super::tasks::Done;
use crate::convert::now_ms;
use crate::options::Options;
use crate::submit::Checked;

/// Jobs to be stored, and what is to happen where one is there already.
pub(super) type NewJobs = Arc<[(NewJob, OnDuplicate)]>;

/// What became of a submit.
#[derive(Debug)]
pub(crate) struct Submitted {
    jobs: NewJobs,
    pub(super) inserted: Vec<Inserted>,
    now_ms: i64,
}

/// What became of one job of a submit.
#[derive(Clone, Debug)]
pub(crate) enum Became {
    /// It is this new job.
    New(JobRow),
    /// This job is the same.
    There(JobRow),
    /// It was refused, because this job is the same.
    Rejected(JobId),
}

impl Submitted {
    /// `inserted` has one entry for each of `jobs`.
    pub(super) fn new(jobs: NewJobs, inserted: Vec<Inserted>, now_ms: i64) -> Self {
        Self { jobs, inserted, now_ms }
    }

    /// What became of the job that was given at `index`.
    ///
    /// # Panics
    ///
    /// When there was none.
    pub(crate) fn became(&self, index: usize) -> Became {
        match &self.inserted[index] {
            Inserted::New(id) => Became::New(accepted(*id, self.jobs[index].0.clone(), self.now_ms).row),
            Inserted::There(row) => Became::There(JobRow::clone(row)),
            Inserted::Rejected(id) => Became::Rejected(*id),
        }
    }
}

impl Driver {
    pub(super) fn submit(&mut self, jobs: Vec<Checked>, gone: Vec<JobId>, answer: Answer<Submitted>) {
        let jobs = self.placed(jobs);
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            let now_ms = now_ms();
            let inserted = store.insert_unless_same(Arc::clone(&jobs), gone, now_ms).await;
            Done::Submitted { submitted: inserted.map(|inserted| Submitted::new(jobs, inserted, now_ms)), answer }
        }));
    }

    pub(super) fn submit_once(&mut self, jobs: Vec<Checked>, gone: Vec<JobId>, once: OnceSubmit, answer: Answer<Once>) {
        let jobs = self.placed(jobs);
        let store = self.store.clone();
        let OnceSubmit { request, answer: make } = once;
        self.tasks.push(Box::pin(async move {
            let now_ms = now_ms();
            let make = {
                let jobs = Arc::clone(&jobs);
                move |inserted: &[Inserted]| make(Submitted::new(jobs, inserted.to_vec(), now_ms))
            };
            let once = store.insert_once(Arc::clone(&jobs), gone, request, make, now_ms).await;
            Done::SubmittedOnce { jobs, once, now_ms, answer }
        }));
    }

    /// Jobs with their places in the queue, where they name one, and what is to happen where one is there already.
    fn placed(&self, mut jobs: Vec<Checked>) -> NewJobs {
        for checked in &mut jobs {
            // The newest is the last by itself.
            if let Some(position) = checked.position.filter(|position| *position < u64::MAX) {
                let wish = &mut checked.job.wish;
                wish.place = Some(self.engine.place_at(NOT_YET, wish.priority, position));
            }
        }
        jobs.into_iter().map(|checked| (checked.job, checked.on_duplicate)).collect()
    }

    /// Takes up the jobs that have just been stored.
    pub(super) fn newly_accepted(&mut self, submitted: &Submitted) {
        for (inserted, (job, _)) in submitted.inserted.iter().zip(&*submitted.jobs) {
            let Inserted::New(id) = *inserted else { continue };
            let wish = &job.wish;
            info!(job = id.0, host = wish.host, "accepted");
            if Options::of(wish).insecure {
                warn!(job = id.0, host = wish.host, "the server's certificate is not looked at, as its user wants it");
            }
            // What is read at the start may already hold a job that was accepted meanwhile.
            if job.intent == Intent::Run && !self.jobs.contains_key(&id) {
                self.take_up_in_time(accepted(id, job.clone(), submitted.now_ms));
            }
        }
    }
}

/// Stands for a job that has no id yet: it comes behind all others.
const NOT_YET: JobId = JobId(u64::MAX >> 33);

/// A job that has just been inserted.
pub(crate) fn accepted(id: JobId, job: NewJob, now_ms: i64) -> StoredJob {
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
        version: 1,
        delete_files: false,
    };
    let (chunks, durable, digests, validators) = Default::default();
    StoredJob { row, chunks, durable, digests, pieces: job.pieces, validators }
}
