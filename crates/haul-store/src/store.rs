//! The handle: typed operations and queries.
//!
//! # Cancel safety
//!
//! An operation is submitted at the first poll unless the queue is full, and takes effect as a whole or not at all.
//! Dropping its future once it is submitted forgoes the answer only.

mod changes;
mod events;
mod intake;
mod progress;
mod queries;
mod settings;

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::error;

use crate::error::OpError;
use crate::place::Place;
use crate::reader::{self, Read};
use crate::rows;
use crate::writer::{Commit, Counters, Lane, Op, Request, Writer};
use crate::{OpenError, Opened, Stats, StoreError, open, schema};

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
        let (newest, newest_event) = watch::channel(rows::events::newest(&connections.durable)?);
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

    /// Tells whether the database is still the file that was opened. Blocks.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.0.place.is_kept()
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
