//! The handle.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use crate::acceptor::{self, Order};
use crate::entry::{Count, Entry, Shared};
use crate::file::File;
use crate::lock;
use crate::log::Request;

/// A hostile file server on a port of its own, on a thread of its own. Dropping it stops it.
///
/// No method needs a runtime, and none but the two `wait_until` waits for a client.
#[derive(Debug)]
pub struct Server {
    port: u16,
    shared: Arc<Shared>,
    orders: Option<tokio::sync::mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server on a free port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// When the machine gives it no thread or no socket; a test cannot go on then.
    pub fn start() -> Self {
        let shared = Arc::new(Shared::new());
        // Orders are rare and each is waited for, so this bound is not met by fewer than 16 threads.
        let (orders, inbox) = tokio::sync::mpsc::channel(16);
        let (ready, port) = mpsc::channel();
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("haul-testkit".to_owned())
            .spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("a runtime can be built");
                let ended = runtime.block_on(acceptor::run(of_thread, inbox, ready));
                ended.expect("the listener can be opened and closed");
            })
            .expect("a thread can be started");
        Self {
            port: port.recv().expect("the server's thread tells its port"),
            shared,
            orders: Some(orders),
            thread: Some(thread),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a path, which starts with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Offers a file, replacing the one at that path. Its requests are counted from 1.
    pub fn add(&self, path: &str, file: File) {
        let entry = Arc::new(Entry::new(file));
        lock(&self.shared.files).insert(path.to_owned(), entry);
    }

    /// Changes the file at a path. What is being sent goes on with the old one, as from an open file
    /// of a real server; for faults, requests are counted from 1 again.
    ///
    /// # Panics
    ///
    /// When there is no file yet.
    pub fn replace(&self, path: &str, file: File) {
        let known = lock(&self.shared.files).contains_key(path);
        assert!(known, "there is no file at {path} to replace");
        self.add(path, file);
    }

    /// Takes a file away; requests get 404.
    pub fn remove(&self, path: &str) {
        lock(&self.shared.files).remove(path);
    }

    /// All requests so far, in the order of their arrival.
    pub fn log(&self) -> Vec<Request> {
        self.shared.log.with(<[Request]>::to_vec)
    }

    /// How many requests for a path have arrived.
    pub fn requests(&self, path: &str) -> u64 {
        self.of_path(path, |_| 1)
    }

    /// How many body bytes of a path were handed to sockets, in all requests together.
    pub fn bytes_sent(&self, path: &str) -> u64 {
        self.of_path(path, |request| request.sent)
    }

    fn of_path(&self, path: &str, value: impl Fn(&Request) -> u64) -> u64 {
        self.shared.log.with(|requests| {
            let of_path = requests.iter().filter(|request| request.path == path);
            of_path.map(value).sum()
        })
    }

    /// How many content bytes of a path were sent again after they had been sent once.
    pub fn bytes_sent_again(&self, path: &str) -> u64 {
        let mut ranges: Vec<_> = self.shared.log.with(|requests| {
            let of_path = requests.iter().filter(|request| request.path == path);
            of_path.map(Request::covered).collect()
        });
        ranges.sort_by_key(|range| range.start);
        let (mut again, mut end) = (0, 0);
        for range in ranges {
            again += range.end.min(end).saturating_sub(range.start);
            end = end.max(range.end);
        }
        again
    }

    /// How many requests for a file are in flight, and how many were at most since it was added.
    ///
    /// Requests that were turned away by [`File::max_connections`] do not count.
    pub fn in_flight(&self, path: &str) -> (u64, u64) {
        let entry = self.shared.file(path);
        let count = entry.map_or_else(Count::default, |entry| *lock(&entry.visitors));
        (count.present, count.present_max)
    }

    /// How many connections were accepted, including those that were reset at once.
    pub fn connections(&self) -> u64 {
        lock(&self.shared.connections).total
    }

    /// How many connections are open.
    pub fn connections_open(&self) -> u64 {
        lock(&self.shared.connections).present
    }

    /// How many connections were open at the same time at most.
    pub fn connections_max(&self) -> u64 {
        lock(&self.shared.connections).present_max
    }

    /// Resets each new connection as soon as it is accepted, or no longer does.
    pub fn refuse_connections(&self, refuse: bool) {
        self.shared.refuses.store(refuse, Relaxed);
    }

    /// Closes the listener: new clients are refused by the system. Open connections stay.
    pub fn close_listener(&self) {
        self.order(Order::CloseListener);
    }

    /// Opens the listener again, on the same port.
    pub fn reopen_listener(&self) {
        self.order(Order::ReopenListener);
    }

    /// Resets all open connections, as when a server is killed.
    pub fn reset_connections(&self) {
        self.order(Order::ResetConnections);
    }

    /// Gives an order and waits until it has been carried out.
    fn order(&self, order: impl FnOnce(Sender<()>) -> Order) {
        let (done, carried_out) = mpsc::channel();
        let orders = self.orders.as_ref().expect("orders are taken until the drop");
        let given = orders.try_send(order(done));
        given.expect("the server's thread takes orders");
        // The sender is dropped when it has been done: an error is the signal.
        carried_out.recv().ok();
    }

    /// Waits until `condition` is true, for `deadline` at most; false when it never was.
    ///
    /// Blocks the thread. In an async test use [`Server::wait_until_async`].
    #[must_use]
    pub fn wait_until(&self, deadline: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let until = Instant::now() + deadline;
        while !condition(self) {
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }

    /// As [`Server::wait_until`], leaving the thread to other tasks.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is changed.
    #[must_use]
    pub async fn wait_until_async(&self, deadline: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let until = Instant::now() + deadline;
        while !condition(self) {
            if Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.orders.take());
        let ended = self.thread.take().map(JoinHandle::join);
        // A second panic during a first would hide it.
        if !thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the server's thread panicked");
        }
    }
}

/// How often a condition is looked at: often enough not to be felt in a test.
const POLL: Duration = Duration::from_millis(2);
