//! The threads that read. Each has a read-only connection and sees what was committed when its query began.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::{io, thread};

use rusqlite::Connection;
use tokio::sync::mpsc;

/// Queries that wait for a thread, at most; who asks beyond that waits to be let in. A guess: far more than the threads
/// carry out within the time that a client waits.
const WAITING_MAX: usize = 256;

/// A message to one of the threads.
pub(crate) enum Read {
    /// Carry this query out.
    Query(Box<dyn FnOnce(&Connection) + Send>),
    /// End, and drop the sender so that the owner notices.
    Stop(mpsc::Sender<()>),
}

/// Starts a thread for each connection.
pub(crate) fn start(connections: Vec<Connection>) -> io::Result<(mpsc::Sender<Read>, Vec<JoinHandle<()>>)> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let receiver = Arc::new(Mutex::new(receiver));
    let threads = connections
        .into_iter()
        .map(|conn| {
            let receiver = Arc::clone(&receiver);
            thread::Builder::new().name("haul-read".to_owned()).spawn(move || run(conn, &receiver))
        })
        .collect::<io::Result<_>>()?;
    Ok((sender, threads))
}

fn run(conn: Connection, queries: &Mutex<mpsc::Receiver<Read>>) {
    while let Some(read) = next(queries) {
        match read {
            Read::Query(query) => query(&conn),
            Read::Stop(stopped) => {
                drop(conn);
                drop(stopped);
                return;
            }
        }
    }
}

fn next(queries: &Mutex<mpsc::Receiver<Read>>) -> Option<Read> {
    queries.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}
