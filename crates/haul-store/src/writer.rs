//! The one thread that writes.
//!
//! It takes an operation, and with it those that wait behind it, carries them out in one transaction with a savepoint
//! for each, commits, and only then answers. While a commit waits for the disk the next group gathers by itself, so
//! no timer is needed.
//!
//! Operations whose effect must survive a power cut go through the connection with `synchronous=FULL`, `written` marks
//! through the one with `synchronous=OFF`. The latter must never be the first to write after the WAL has been copied
//! into the database in full: it would begin the WAL anew without syncing its header, and after a power cut the
//! remains of the old one could be replayed (<https://sqlite.org/src/info/ff5be73dee>). Such a group takes the way of
//! the durable ones.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use crate::error::OpError;
use crate::place::Place;
use crate::rows::events;
use crate::{StoreError, schema};

/// Operations in one transaction at most. Measured (LIBRARIES.md): groups of 64 writers reach 63.5 by themselves; four
/// times that leaves room and keeps the longest transaction in the milliseconds.
const GROUP_MAX: usize = 256;

/// Frames in the WAL that make a checkpoint worth its syncs. Specified: SQLite's own default, 4 MiB.
const CHECKPOINT_FRAMES: i64 = 1000;

/// What a commit has to survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A power cut.
    Durable,
    /// The end of the process.
    Written,
}

/// A message to the thread.
pub(crate) enum Request {
    /// Carry this out.
    Op(Lane, Box<dyn Work>),
    /// End in order and tell how that went. What was sent later is dropped unanswered.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// An operation in its two steps.
pub(crate) trait Work: Send {
    /// Carries it out within a savepoint. An error means that its effect shall be undone, and holds what the database
    /// has to do with it.
    fn run(&mut self, conn: &Connection) -> Result<(), Option<StoreError>>;
    /// Answers, once the commit is through or has failed.
    fn answer(self: Box<Self>, commit: Result<(), StoreError>);
}

/// An operation that has not been carried out, or not been answered.
pub(crate) struct Op<F, T, E> {
    run: Option<F>,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Op<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: OpError,
{
    /// The message that carries `run` out, and its answer.
    pub(crate) fn request(lane: Lane, run: F) -> (Request, oneshot::Receiver<Result<T, E>>) {
        let (reply, answer) = oneshot::channel();
        let op = Self { run: Some(run), outcome: None, reply };
        (Request::Op(lane, Box::new(op)), answer)
    }
}

impl<F, T, E> Work for Op<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: OpError,
{
    fn run(&mut self, conn: &Connection) -> Result<(), Option<StoreError>> {
        let run = self.run.take().expect("an operation is carried out once");
        match self.outcome.insert(run(conn)) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.store_error().cloned()),
        }
    }

    fn answer(self: Box<Self>, commit: Result<(), StoreError>) {
        let answer = match (commit, self.outcome) {
            (Ok(()), Some(outcome)) | (Err(_), Some(outcome @ Err(_))) => outcome,
            (Err(error), Some(Ok(_)) | None) => Err(error.into()),
            (Ok(()), None) => unreachable!("a group is committed after all of it was carried out"),
        };
        // Whoever asked may have stopped listening; the operation counts all the same.
        drop(self.reply.send(answer));
    }
}

/// What the writer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Operations answered.
    pub operations: u64,
    /// Transactions that waited for the disk.
    pub durable_commits: u64,
    /// Transactions that did not.
    pub written_commits: u64,
    /// Times that the WAL was copied into the database.
    pub checkpoints: u64,
}

/// A transaction that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// It waited for the disk.
    pub is_durable: bool,
    /// From its beginning to the end of the commit.
    pub took: Duration,
}

/// Who is told of each commit, on the thread that makes them.
type Watcher = Box<dyn Fn(Commit) + Send + Sync>;

/// The counters behind [`Stats`].
#[derive(Default)]
pub(crate) struct Counters {
    operations: AtomicU64,
    durable_commits: AtomicU64,
    written_commits: AtomicU64,
    checkpoints: AtomicU64,
    watcher: OnceLock<Watcher>,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.read().fmt(f)
    }
}

impl Counters {
    /// Tells `watcher` of each commit from now on. The first one stays.
    pub(crate) fn watch(&self, watcher: Watcher) {
        self.watcher.set(watcher).ok();
    }

    fn committed(&self, commit: Commit) {
        let commits = if commit.is_durable { &self.durable_commits } else { &self.written_commits };
        commits.fetch_add(1, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.get() {
            watcher(commit);
        }
    }

    pub(crate) fn read(&self) -> Stats {
        Stats {
            operations: self.operations.load(Ordering::Relaxed),
            durable_commits: self.durable_commits.load(Ordering::Relaxed),
            written_commits: self.written_commits.load(Ordering::Relaxed),
            checkpoints: self.checkpoints.load(Ordering::Relaxed),
        }
    }
}

/// What the thread owns.
pub(crate) struct Writer {
    /// None where only one connection may have the file.
    pub(crate) written: Option<Connection>,
    pub(crate) durable: Connection,
    pub(crate) lock: File,
    pub(crate) place: Place,
    pub(crate) counters: Arc<Counters>,
    pub(crate) newest_event: watch::Sender<u64>,
}

impl Writer {
    /// Serves until it is told to close, or until nobody can send any more.
    pub(crate) fn run(self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut batch = Batch::default();
            batch.add(first);
            while batch.has_room()
                && let Ok(next) = requests.try_recv()
            {
                batch.add(next);
            }
            while let Some((lane, group)) = batch.next_group() {
                self.carry_out(lane, group);
            }
            if let Some(reply) = batch.close {
                requests.close();
                // Whoever asked may have stopped listening; the store is closed all the same.
                drop(reply.send(self.close()));
                return;
            }
        }
    }

    fn carry_out(&self, lane: Lane, mut group: Vec<Box<dyn Work>>) {
        let commit = self.commit(lane, &mut group);
        self.tell_newest_event();
        self.counters.operations.fetch_add(group.len() as u64, Ordering::Relaxed);
        for op in group {
            op.answer(commit.clone());
        }
        // Nobody has to wait for this one.
        self.checkpoint_if_due();
    }

    fn commit(&self, lane: Lane, group: &mut [Box<dyn Work>]) -> Result<(), StoreError> {
        if !self.place.is_kept() {
            // Closing must not touch the files that stand there now (F-DB-15).
            self.durable.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            return Err(StoreError::Replaced);
        }
        let written = self.written.as_ref().filter(|_| lane == Lane::Written);
        let (conn, is_durable) = match written {
            Some(written) if self.wal_goes_on()? => (written, false),
            Some(_) | None => (&self.durable, true),
        };
        let begun = Instant::now();
        let done = transact(conn, group);
        match done {
            Ok(()) => self.counters.committed(Commit { is_durable, took: begun.elapsed() }),
            Err(_) if conn.is_autocommit() => {}
            Err(_) => execute(conn, schema::ROLLBACK)?,
        }
        done
    }

    /// Tells whoever waits for events that there are new ones.
    fn tell_newest_event(&self) {
        if let Ok(newest) = events::newest(&self.durable) {
            self.newest_event.send_if_modified(|known| std::mem::replace(known, newest) != newest);
        }
    }

    /// Tells whether the next commit is appended to the WAL rather than beginning it anew.
    fn wal_goes_on(&self) -> rusqlite::Result<bool> {
        let (frames, copied) = schema::wal_frames(&self.durable)?;
        Ok(frames > copied)
    }

    fn checkpoint_if_due(&self) {
        let due = schema::wal_frames(&self.durable).is_ok_and(|(frames, copied)| frames - copied >= CHECKPOINT_FRAMES);
        if !due {
            return;
        }
        self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = schema::checkpoint(&self.durable) {
            warn!(%error, "the database's log could not be copied into the database; it grows until that works");
        }
    }

    fn close(self) -> Result<(), StoreError> {
        let Self { written, durable, lock, place, counters: _, newest_event: _ } = self;
        if !place.is_kept() {
            durable.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            return Err(StoreError::Replaced);
        }
        schema::note_closed(&durable)?;
        drop(written);
        // The durable connection goes last: the last one to close syncs in its own manner.
        schema::checkpoint_all(&durable)?;
        durable.close().map_err(|(_, error)| error)?;
        drop(lock);
        Ok(())
    }
}

/// Requests that were taken from the channel together.
#[derive(Default)]
struct Batch {
    ops: VecDeque<(Lane, Box<dyn Work>)>,
    close: Option<oneshot::Sender<Result<(), StoreError>>>,
}

impl Batch {
    fn add(&mut self, request: Request) {
        match request {
            Request::Op(lane, op) => self.ops.push_back((lane, op)),
            Request::Close(reply) => self.close = Some(reply),
        }
    }

    fn has_room(&self) -> bool {
        self.close.is_none() && self.ops.len() < GROUP_MAX
    }

    /// Takes the operations at the front that share a lane.
    fn next_group(&mut self) -> Option<(Lane, Vec<Box<dyn Work>>)> {
        let lane = self.ops.front()?.0;
        let len = self.ops.iter().take_while(|op| op.0 == lane).count();
        Some((lane, self.ops.drain(..len).map(|op| op.1).collect()))
    }
}

fn transact(conn: &Connection, group: &mut [Box<dyn Work>]) -> Result<(), StoreError> {
    execute(conn, schema::BEGIN)?;
    for op in group {
        execute(conn, schema::SAVEPOINT)?;
        if let Err(cause) = op.run(conn) {
            // A full disk or a failed read may have made SQLite take the whole transaction back: the operations before
            // this one are lost with it, and the ones behind it would run without any.
            if let Some(error) = cause
                && conn.is_autocommit()
            {
                return Err(error);
            }
            execute(conn, schema::UNDO)?;
        }
        execute(conn, schema::KEEP)?;
    }
    execute(conn, schema::COMMIT)?;
    Ok(())
}

fn execute(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.execute([]).map(drop)
}
