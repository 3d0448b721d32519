//! The handle: typed operations and queries.
//!
//! # Cancel safety
//!
//! An operation is submitted at the first poll unless the queue is full, and takes effect as a whole or not at all.
//! Dropping its future once it is submitted forgoes the answer only.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use haul_core::{Action, Changed, Chunk, JobId, Lifecycle, Phase};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::error;

use crate::error::OpError;
use crate::place::Place;
use crate::reader::{self, Read};
use crate::rows::requests::{self, Known};
use crate::rows::{
    self, accept,
    accept::{Accepting, Same},
    at_work, chunks,
    chunks::Mark,
    events, gids, hosts, jobs, list, outbox, queue, tokens, validators,
};
use crate::writer::{Commit, Counters, Lane, Op, Request, Writer};
use crate::{
    ActError, Backlog, ChunkRow, Cursor, EventFilter, EventPage, Filter, HostRow, Identity, Inserted, JobEvent,
    JobPatch, JobRow, JobRows, Maker, Mirror, NewEvent, NewJob, NewToken, OnDuplicate, Once, OnceAnswer, OnceRequest,
    OpenError, Opened, Page, Part, PhaseChange, Reason, Sameness, Slice, Stamp, Stats, StoreError, StoredJob, Target,
    TokenId, TokenRow, Untold, UntoldId, UpdateError, Validators, Waiting, open, schema,
};

/// Operations that wait for the writer, at most; who asks beyond that waits to be let in. Four groups: one is being
/// committed, and the next ones stand ready.
const WAITING_MAX: usize = 1024;

/// The store. Clones speak to the same threads, which end after [`close`](Self::close) or with the last clone.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    writes: mpsc::Sender<Request>,
    reads: mpsc::Sender<Read>,
    /// 0 where only one connection may have the file; then its thread reads, too.
    readers: usize,
    place: Place,
    counters: Arc<Counters>,
    newest_event: watch::Receiver<u64>,
    // Last, because it waits for the threads, and they wait for the senders to go.
    _threads: Threads,
}

impl Store {
    /// Opens the database at `path`, creating it and its directory where they are missing. Blocks; after an unclean
    /// stop it reads the whole file.
    ///
    /// `boot_id` names the machine's current boot; an empty one is never the same as the last.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; a refused file is left as it was.
    pub fn open(path: &Path, boot_id: &str) -> Result<(Self, Opened), OpenError> {
        Self::open_with(path, boot_id, schema::MIGRATIONS)
    }

    fn open_with(path: &Path, boot_id: &str, migrations: &[schema::Migration]) -> Result<(Self, Opened), OpenError> {
        Self::start(open::open(path, boot_id, migrations, open::Sharing::of)?)
    }

    fn start((connections, opened): (open::Connections, Opened)) -> Result<(Self, Opened), OpenError> {
        let counters = Arc::new(Counters::default());
        let readers = connections.readers.len();
        let (reads, mut threads) = reader::start(connections.readers).map_err(OpenError::Thread)?;
        let (writes, requests) = mpsc::channel(WAITING_MAX);
        let (newest, newest_event) = watch::channel(events::newest(&connections.durable)?);
        let writer = Writer {
            written: connections.written,
            durable: connections.durable,
            lock: connections.lock,
            place: connections.place.clone(),
            counters: Arc::clone(&counters),
            newest_event: newest,
        };
        let writer = thread::Builder::new()
            .name("haul-store".to_owned())
            .spawn(move || writer.run(requests))
            .map_err(OpenError::Thread)?;
        threads.push(writer);
        let place = connections.place;
        let shared = Shared { writes, reads, readers, place, counters, newest_event, _threads: Threads(threads) };
        Ok((Self(Arc::new(shared)), opened))
    }

    /// Accepts jobs, all or none of them, and answers with their ids in the same order.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then no job was accepted. [`StoreError::TooManyJobs`] where a token would have more than it may.
    pub async fn insert_jobs(&self, new: Vec<NewJob>, now_ms: i64) -> Result<Vec<JobId>, StoreError> {
        self.durable(move |conn| {
            let mut accepting = Accepting::begin(conn, now_ms)?;
            new.iter().map(|job| accepting.insert_within_quota(job)).collect()
        })
        .await
    }

    /// Accepts jobs, all or none of them, but those that are the same as one that is there. Answers in the same order.
    ///
    /// `gone` are complete jobs whose files are not there any more: nothing is the same as they.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then no job was accepted.
    pub async fn insert_unless_same(
        &self,
        new: Arc<[(NewJob, OnDuplicate)]>,
        gone: Vec<JobId>,
        now_ms: i64,
    ) -> Result<Vec<Inserted>, StoreError> {
        self.durable(move |conn| accept::insert_all_unless_same(conn, &new, &gone, now_ms)).await
    }

    /// The same, unless this request has been carried out before; its answer, which `answer` makes of what became of the
    /// jobs, is remembered with them. An answer that refuses it is not: then nothing was done, and it may be tried again.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then no job was accepted.
    pub async fn insert_once(
        &self,
        new: Arc<[(NewJob, OnDuplicate)]>,
        gone: Vec<JobId>,
        request: OnceRequest,
        answer: impl FnOnce(&[Inserted]) -> OnceAnswer + Send + 'static,
        now_ms: i64,
    ) -> Result<Once, StoreError> {
        self.durable(move |conn| {
            match requests::find(conn, &request, now_ms)? {
                Known::Same(answer) => return Ok(Once::Again(answer)),
                Known::Other => return Ok(Once::Other),
                Known::No => {}
            }
            let inserted = accept::insert_all_unless_same(conn, &new, &gone, now_ms)?;
            let answer = answer(&inserted);
            if answer.status < 400 {
                requests::put(conn, &request, &answer, now_ms)?;
            }
            Ok(Once::First(inserted, answer))
        })
        .await
    }

    /// Jobs that are the same as one of these wishes and have not ended without a file, a few at most of each.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn same(&self, wanted: Vec<(Sameness, Option<Maker>)>) -> Result<Vec<JobRow>, StoreError> {
        self.read(move |conn| {
            // One lock for all of them; where nobody else can hold it there may be a transaction already.
            let _transaction = conn.is_autocommit().then(|| conn.unchecked_transaction()).transpose()?;
            let mut same = Same::new(conn)?;
            let mut rows = Vec::new();
            for (sameness, maker) in wanted {
                rows.extend(same.rows(sameness, maker)?);
            }
            Ok(rows)
        })
        .await
    }

    /// A deleted job that is still there.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn hidden_job(&self, id: JobId) -> Result<Option<JobRow>, StoreError> {
        self.read(move |conn| Ok(jobs::get(conn, id)?.filter(|row| row.deleted_at_ms.is_some()))).await
    }

    /// Carries out a user's action on a job and answers with its row.
    ///
    /// # Errors
    ///
    /// [`ActError`]; then nothing has changed.
    pub async fn act(&self, id: JobId, action: Action, now_ms: i64) -> Result<(Changed, JobRow), ActError> {
        self.durable(move |conn| jobs::act(conn, id, action, now_ms)).await
    }

    /// Carries out a user's action on all jobs that `filter` means, passing over those that refuse it. Answers with
    /// the ids of those that it has changed, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then no job has changed.
    pub async fn act_all(&self, action: Action, filter: Filter, now_ms: i64) -> Result<Vec<JobId>, StoreError> {
        self.durable(move |conn| list::act_on_all(conn, action, &filter, now_ms)).await
    }

    /// Changes what the user wishes of a job.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn patch(&self, id: JobId, patch: JobPatch, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.durable(move |conn| jobs::patch(conn, id, patch, now_ms)).await
    }

    /// Notes what the server said of the file in place of what was noted before, and reserves the final name within the
    /// job's directory. The first time also counts as the job's start.
    ///
    /// # Errors
    ///
    /// [`UpdateError::NameTaken`] when another live job has that name: choose another one.
    pub async fn set_opened(&self, id: JobId, identity: Identity, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.durable(move |conn| jobs::set_opened(conn, id, identity, None, now_ms)).await
    }

    /// [`Store::set_opened`] for a file that goes to this directory, because of what the server said of it.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn set_opened_in(
        &self,
        id: JobId,
        identity: Identity,
        dir: String,
        now_ms: i64,
    ) -> Result<JobRow, UpdateError> {
        self.durable(move |conn| jobs::set_opened(conn, id, identity, Some(dir), now_ms)).await
    }

    /// Notes the part file that was created for a job, or that it is gone.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn set_part(&self, id: JobId, part: Option<Part>, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.edit_unseen(id, now_ms, move |row| row.part = part).await
    }

    /// Notes that the part file of a job was set aside under this name, because it is of an earlier version; or that none
    /// is kept any more.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn set_kept_part(&self, id: JobId, name: Option<String>, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.edit_unseen(id, now_ms, move |row| {
            if name.is_some() {
                row.part = None;
            }
            row.kept_part = name;
        })
        .await
    }

    /// Notes what a server calls the version that a job has, in place of what was noted of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn set_validators(&self, id: JobId, validators: Validators) -> Result<(), StoreError> {
        self.durable(move |conn| Ok(validators::put(conn, id, &validators)?)).await
    }

    /// Notes why a job waits, or that it no longer does. A job that is not fetching or verifying keeps its reason.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn set_reason(&self, id: JobId, reason: Option<Reason>, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.edit(id, now_ms, move |row| {
            if matches!(row.lifecycle.phase, Phase::Fetching | Phase::Verifying) {
                row.reason = reason;
            }
        })
        .await
    }

    /// Notes a step of the work. A job that is completed or canceled stays as it is: the answer is [`Changed::No`] and
    /// what is there.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn set_phase(
        &self,
        id: JobId,
        change: PhaseChange,
        now_ms: i64,
    ) -> Result<(Changed, JobRow), UpdateError> {
        self.durable(move |conn| jobs::set_phase(conn, id, change, now_ms)).await
    }

    /// Forgets the bytes of a job and what its server said of the file; its name and its part file stay.
    /// `is_restart` counts it as one.
    ///
    /// Marks that were noted before must not be submitted after it.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn reset_chunks(&self, id: JobId, is_restart: bool, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.durable(move |conn| jobs::reset(conn, id, is_restart, now_ms)).await
    }

    /// Puts these rows in the place of all that a job has, because some of them have lost bytes. What was durable of the
    /// bytes that are left stays so. A job that is gone, completed or canceled is passed over.
    ///
    /// Marks that were noted before must not be submitted after it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn rewrite_chunks(&self, job: JobRows) -> Result<(), StoreError> {
        self.durable(move |conn| Ok(chunks::rewrite(conn, &job)?)).await
    }

    /// Notes what the part files of some jobs look like at rest. The next mark of such a job voids that: then it is being
    /// written again.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn note_at_rest(&self, stamps: Vec<(JobId, Stamp)>, now_ms: i64) -> Result<(), StoreError> {
        self.durable(move |conn| {
            for (id, stamp) in stamps {
                match jobs::edit_unseen(conn, id, now_ms, |row| row.stamp = Some(stamp)) {
                    Ok(_)
                    | Err(
                        UpdateError::Unknown | UpdateError::NameTaken | UpdateError::Past(_) | UpdateError::Changed,
                    ) => {}
                    Err(UpdateError::Store(error)) => return Err(error),
                }
            }
            Ok(())
        })
        .await
    }

    /// Notes the digest that a job's file must have, now that it is known.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn set_checksum(&self, id: JobId, checksum: String, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.edit(id, now_ms, move |row| row.wish.checksum = Some(checksum)).await
    }

    /// Notes what was found when a job's file was verified on demand.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn set_verified(&self, id: JobId, verified: String, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.edit(id, now_ms, move |row| row.verified = Some(verified)).await
    }

    /// Takes a complete job up again: with these rows in the place of its own, of which some lack bytes. `part` is its
    /// file, which may still have its final name. A job that is not complete stays as it is: the answer is
    /// [`Changed::No`] and what is there.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn reopen(&self, rows: JobRows, part: Part, now_ms: i64) -> Result<(Changed, JobRow), UpdateError> {
        self.durable(move |conn| jobs::reopen(conn, &rows, part, now_ms)).await
    }

    /// Gives up what a job has written and not made durable, because it may be lost. Answers with the rows that are left.
    ///
    /// Marks that were noted before must not be submitted after it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn roll_back(&self, id: JobId) -> Result<Vec<Chunk>, StoreError> {
        self.durable(move |conn| Ok(chunks::roll_back(conn, id)?)).await
    }

    /// Adds mirrors to a job, as long as they are new to it and it has no more than `max`, its own URL among them.
    /// Answers with all that it has then beyond its URL.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn add_mirrors(&self, id: JobId, new: Vec<Mirror>, max: usize) -> Result<Vec<Mirror>, UpdateError> {
        self.durable(move |conn| jobs::add_mirrors(conn, id, new, max)).await
    }

    /// Notes bytes that survive a power cut. They must have been synced before. Jobs that are gone, completed or
    /// canceled are passed over.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then no mark was set.
    pub async fn checkpoint(&self, jobs: Vec<JobRows>) -> Result<(), StoreError> {
        self.mark(Lane::Durable, Mark::Durable, jobs).await
    }

    /// Notes bytes that survive the end of the process, without waiting for the disk. Jobs that are gone, completed or
    /// canceled are passed over.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then no mark was set.
    pub async fn mark_written(&self, jobs: Vec<JobRows>) -> Result<(), StoreError> {
        if self.0.readers == 0 {
            // There, each commit waits for a disk elsewhere; a kill costs what came since the last checkpoint.
            return Ok(());
        }
        self.mark(Lane::Written, Mark::Written, jobs).await
    }

    /// Adds to the history of jobs; those that are gone are passed over.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing was added.
    pub async fn note_events(&self, events: Vec<NewEvent>) -> Result<(), StoreError> {
        self.durable(move |conn| Ok(events::append_all(conn, &events)?)).await
    }

    /// The history of a job behind the event `after`, oldest first, `limit` at most, and whether there is more. `None`
    /// where there is no such job, or it is hidden.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn events(&self, id: JobId, after: u64, limit: u32) -> Result<Option<(Vec<JobEvent>, bool)>, StoreError> {
        self.read(move |conn| {
            let job = jobs::get_visible(conn, id)?;
            job.map(|_| events::page(conn, id, after, limit)).transpose()
        })
        .await
    }

    /// The id of the newest event, from now on. It is told once the event can be read.
    #[must_use]
    pub fn newest_event(&self) -> watch::Receiver<u64> {
        self.0.newest_event.clone()
    }

    /// The events of all jobs behind `after` that `filter` means, oldest first, `limit` at most.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn events_of_all(&self, after: u64, limit: u32, filter: EventFilter) -> Result<EventPage, StoreError> {
        self.read(move |conn| events::page_of_all(conn, after, limit, &filter)).await
    }

    /// Notes who is told of events from now on. What others have not been told of is forgotten; answers how much that was.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn set_targets(&self, targets: Vec<Target>) -> Result<u64, StoreError> {
        self.durable(move |conn| Ok(outbox::set_targets(conn, &targets)?)).await
    }

    /// The oldest event that a target has not been told of.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn first_untold(&self, target: String) -> Result<Option<Untold>, StoreError> {
        self.read(move |conn| outbox::first(conn, &target)).await
    }

    /// Notes that a target was told of an event, or never will be.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn told(&self, id: UntoldId) -> Result<(), StoreError> {
        self.durable(move |conn| Ok(outbox::remove(conn, id)?)).await
    }

    /// Notes that an attempt to tell of an event has failed, without waiting for the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn note_attempt(&self, id: UntoldId) -> Result<(), StoreError> {
        self.submit(Lane::Written, move |conn| Ok(outbox::note_attempt(conn, id)?)).await
    }

    /// The latest faults and failures of all jobs but hidden ones, the newest first, `limit` at most.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn last_errors(&self, limit: u32) -> Result<Vec<JobEvent>, StoreError> {
        self.read(move |conn| events::last_errors(conn, limit)).await
    }

    /// Notes that a job is being worked on, in so many runs of the process one after the other.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn begin_work(&self, id: JobId, runs: u32) -> Result<(), StoreError> {
        self.submit(Lane::Written, move |conn| Ok(at_work::begin(conn, id, runs)?)).await
    }

    /// Notes that the process has survived its work on a job. Marks that say of new bytes, and the end of a job, note
    /// the same.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn survived_work(&self, id: JobId) -> Result<(), StoreError> {
        self.submit(Lane::Written, move |conn| Ok(at_work::survived(conn, id)?)).await
    }

    /// Tells whether the database is still the file that was opened. Blocks.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.0.place.is_kept()
    }

    /// Hides jobs from all lists and actions, and notes whether what they saved is to go with them; answers with those that
    /// were not hidden yet. Their names are free at once.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn hide_jobs(&self, ids: Vec<JobId>, files: bool, now_ms: i64) -> Result<Vec<JobRow>, StoreError> {
        self.durable(move |conn| Ok(jobs::hide(conn, &ids, files, now_ms)?)).await
    }

    /// Hides a job that is in this version.
    ///
    /// # Errors
    ///
    /// [`UpdateError::Changed`] when it is in another one; then nothing has changed.
    pub async fn hide_version(&self, id: JobId, files: bool, version: u64, now_ms: i64) -> Result<JobRow, UpdateError> {
        self.durable(move |conn| jobs::hide_version(conn, id, files, version, now_ms)).await
    }

    /// Shows hidden jobs again; answers with those that were hidden. One whose name another job has reserved meanwhile
    /// comes back without one.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; then nothing has changed.
    pub async fn restore_jobs(&self, ids: Vec<JobId>, now_ms: i64) -> Result<Vec<JobRow>, UpdateError> {
        self.durable(move |conn| jobs::restore(conn, &ids, now_ms)).await
    }

    /// Removes jobs, hidden or not, with their chunks; answers with what they were.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn delete_jobs(&self, ids: Vec<JobId>) -> Result<Vec<JobRow>, StoreError> {
        self.durable(move |conn| Ok(jobs::delete(conn, &ids)?)).await
    }

    /// Stores what was learned of some hosts and forgets others, without waiting for the disk: a power cut costs no more
    /// than learning it again.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn note_hosts(&self, learned: Vec<HostRow>, forgotten: Vec<String>) -> Result<(), StoreError> {
        self.submit(Lane::Written, move |conn| change_hosts(conn, &learned, &forgotten)).await
    }

    /// Stores what a user wishes of a host.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn set_host(&self, host: HostRow) -> Result<(), StoreError> {
        self.durable(move |conn| change_hosts(conn, &[host], &[])).await
    }

    /// Forgets a host; one that is not there is as good.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn forget_host(&self, name: String) -> Result<(), StoreError> {
        self.durable(move |conn| change_hosts(conn, &[], &[name])).await
    }

    /// Everything that is known of hosts, by name.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn hosts(&self) -> Result<Vec<HostRow>, StoreError> {
        self.read(hosts::all).await
    }

    /// Stores a token.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn add_token(&self, new: NewToken, now_ms: i64) -> Result<TokenRow, StoreError> {
        self.durable(move |conn| Ok(tokens::insert(conn, new, now_ms)?)).await
    }

    /// Revokes a token; tells whether there was one. Its jobs stay.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn revoke_token(&self, id: TokenId, now_ms: i64) -> Result<bool, StoreError> {
        self.durable(move |conn| Ok(tokens::revoke(conn, id, now_ms)?)).await
    }

    /// Notes that a token was used, without waiting for the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn note_token_use(&self, id: TokenId, now_ms: i64) -> Result<(), StoreError> {
        self.submit(Lane::Written, move |conn| Ok(tokens::note_use(conn, id, now_ms)?)).await
    }

    /// All tokens that are not revoked, the oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        self.read(tokens::all).await
    }

    /// Stores a setting.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn set_setting(&self, key: String, value: String) -> Result<(), StoreError> {
        self.durable(move |conn| Ok(rows::set_setting(conn, &key, &value)?)).await
    }

    /// A stored setting.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn setting(&self, key: String) -> Result<Option<String>, StoreError> {
        self.read(move |conn| rows::setting(conn, &key)).await
    }

    /// A job, unless it is hidden.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn job(&self, id: JobId) -> Result<Option<JobRow>, StoreError> {
        self.read(move |conn| jobs::get_visible(conn, id)).await
    }

    /// Those of these jobs that are not hidden, by their ids.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn jobs_of(&self, ids: Vec<JobId>) -> Result<Vec<JobRow>, StoreError> {
        self.read(move |conn| queue::of(conn, &ids)).await
    }

    /// Some of the jobs that wait or are paused, the first in turn first; not those that are `at_work`, unless they are to be
    /// paused.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn waiting_jobs(
        &self,
        at_work: Vec<JobId>,
        token: Option<TokenId>,
        slice: Slice,
    ) -> Result<Vec<JobRow>, StoreError> {
        self.read(move |conn| queue::waiting(conn, &at_work, token, slice)).await
    }

    /// Where all these jobs stand, in their order.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn waiting_places(&self, at_work: Vec<JobId>) -> Result<Vec<Waiting>, StoreError> {
        self.read(move |conn| queue::places(conn, &at_work)).await
    }

    /// Some of the jobs that have ended, the last one first.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn ended_jobs(&self, token: Option<TokenId>, slice: Slice) -> Result<Vec<JobRow>, StoreError> {
        self.read(move |conn| queue::ended(conn, token, slice)).await
    }

    /// How many jobs wait or are paused, as [`waiting_jobs`](Self::waiting_jobs) has them, and how many have ended.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn backlog(&self, at_work: Vec<JobId>, token: Option<TokenId>) -> Result<Backlog, StoreError> {
        self.read(move |conn| queue::backlog(conn, &at_work, token)).await
    }

    /// Hides all jobs that have ended, and tells which those are. Their files stay.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn hide_ended(&self, now_ms: i64) -> Result<Vec<JobId>, StoreError> {
        self.durable(move |conn| Ok(queue::hide_ended(conn, now_ms)?)).await
    }

    /// The ids of all jobs but hidden ones.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn job_ids(&self) -> Result<Vec<JobId>, StoreError> {
        self.read(queue::ids).await
    }

    /// The job that a client of the aria2 dialect has chosen to call so.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn job_of_gid(&self, gid: String) -> Result<Option<JobId>, StoreError> {
        self.read(move |conn| gids::find(conn, &gid)).await
    }

    /// The jobs whose chosen names begin so, two at most.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn gids_beginning(&self, prefix: String) -> Result<Vec<(JobId, String)>, StoreError> {
        self.read(move |conn| gids::beginning(conn, &prefix)).await
    }

    /// What those of these jobs are called that have a chosen name, hidden or not.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn gids_of(&self, jobs: Vec<JobId>) -> Result<BTreeMap<JobId, String>, StoreError> {
        self.read(move |conn| gids::of(conn, &jobs)).await
    }

    /// A job with its chunks, unless it is hidden.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn stored_job(&self, id: JobId) -> Result<Option<StoredJob>, StoreError> {
        self.read(move |conn| {
            let row = jobs::get_visible(conn, id)?;
            row.map(|row| list::with_chunks(conn, row)).transpose()
        })
        .await
    }

    /// One page of jobs, and what to ask for as `after` next.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn jobs(&self, page: Page) -> Result<(Vec<JobRow>, Option<Cursor>), StoreError> {
        self.read(move |conn| list::page(conn, &page)).await
    }

    /// How many jobs there are in each stored state, hidden ones aside.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn count_by_state(&self) -> Result<Vec<(Lifecycle, u64)>, StoreError> {
        self.read(list::counts).await
    }

    /// The chunks of a job in the order of the file.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn chunks(&self, id: JobId) -> Result<Vec<ChunkRow>, StoreError> {
        self.read(move |conn| chunks::all(conn, id)).await
    }

    /// The next jobs that are fetching or verifying and not paused, with their chunks: oldest first, those after
    /// `after`, `limit` at most.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn unfinished(&self, after: Option<JobId>, limit: u32) -> Result<Vec<StoredJob>, StoreError> {
        self.read(move |conn| list::unfinished(conn, after, limit)).await
    }

    /// The names of all part files that jobs have, hidden jobs' too.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn part_names(&self) -> Result<HashSet<String>, StoreError> {
        self.read(jobs::part_names).await
    }

    /// The canceled jobs whose part file has not been removed, as far as their rows know; oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn canceled_with_part(&self) -> Result<Vec<JobRow>, StoreError> {
        self.read(list::canceled_with_part).await
    }

    /// The hidden jobs, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn hidden_jobs(&self) -> Result<Vec<JobRow>, StoreError> {
        self.read(list::hidden).await
    }

    /// What the writer has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.counters.read()
    }

    /// Tells `watcher` of each commit from now on, on the thread that makes them: it must not block. The first watcher
    /// stays.
    pub fn watch_commits(&self, watcher: impl Fn(Commit) + Send + Sync + 'static) {
        self.0.counters.watch(Box::new(watcher));
    }

    /// Operations that wait for the writer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.writes.max_capacity() - self.0.writes.capacity()
    }

    /// Carries out what was submitted, notes that this run ended in order, and ends all threads. From then on every
    /// clone answers [`StoreError::Closed`].
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the threads have ended all the same.
    pub async fn close(&self) -> Result<(), StoreError> {
        let (alive, mut readers_gone) = mpsc::channel(1);
        for _ in 0..self.0.readers {
            let sent = self.0.reads.send(Read::Stop(alive.clone())).await;
            sent.map_err(|_| StoreError::Closed)?;
        }
        drop(alive);
        // Nothing is ever sent: this ends when the last reader has dropped its end.
        readers_gone.recv().await;
        let (reply, closed) = oneshot::channel();
        let sent = self.0.writes.send(Request::Close(reply)).await;
        sent.map_err(|_| StoreError::Closed)?;
        closed.await.map_err(|_| StoreError::Closed)?
    }

    async fn mark(&self, lane: Lane, mark: Mark, jobs: Vec<JobRows>) -> Result<(), StoreError> {
        self.submit(lane, move |conn| {
            for job in &jobs {
                chunks::mark(conn, job, mark)?;
            }
            Ok(())
        })
        .await
    }

    async fn edit(
        &self,
        id: JobId,
        now_ms: i64,
        change: impl FnOnce(&mut JobRow) + Send + 'static,
    ) -> Result<JobRow, UpdateError> {
        self.durable(move |conn| jobs::edit(conn, id, now_ms, change)).await
    }

    async fn edit_unseen(
        &self,
        id: JobId,
        now_ms: i64,
        change: impl FnOnce(&mut JobRow) + Send + 'static,
    ) -> Result<JobRow, UpdateError> {
        self.durable(move |conn| jobs::edit_unseen(conn, id, now_ms, change)).await
    }

    async fn durable<T, E>(&self, run: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: OpError,
    {
        self.submit(Lane::Durable, run).await
    }

    async fn submit<T, E>(
        &self,
        lane: Lane,
        run: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: OpError,
    {
        let (request, answer) = Op::request(lane, run);
        let sent = self.0.writes.send(request).await;
        sent.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.0.readers == 0 {
            return self.durable(move |conn| Ok(query(conn)?)).await;
        }
        let (reply, answer) = oneshot::channel();
        let query = Read::Query(Box::new(move |conn| {
            // Whoever asked may have stopped listening.
            drop(reply.send(query(conn)));
        }));
        let sent = self.0.reads.send(query).await;
        sent.map_err(|_| StoreError::Closed)?;
        Ok(answer.await.map_err(|_| StoreError::Closed)??)
    }
}

fn change_hosts(conn: &Connection, saved: &[HostRow], forgotten: &[String]) -> Result<(), StoreError> {
    for host in saved {
        hosts::save(conn, host)?;
    }
    for name in forgotten {
        hosts::delete(conn, name)?;
    }
    Ok(())
}

/// The threads, waited for at the end.
#[derive(Debug)]
struct Threads(Vec<JoinHandle<()>>);

impl Drop for Threads {
    fn drop(&mut self) {
        for thread in self.0.drain(..) {
            if thread.join().is_err() {
                error!("a thread of the store had panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests;
