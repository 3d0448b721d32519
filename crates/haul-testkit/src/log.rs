//! What the server remembers of each request.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::head::{self, Head};
use crate::lock;

/// One request, and how far its answer has got.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The number of the connection it came on, counted from 1.
    pub connection: u64,
    /// The method, `GET` or another.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// What followed the `?`.
    pub query: Option<String>,
    /// Names and values as they were received, in order.
    pub headers: Vec<(String, String)>,
    /// What it carried.
    pub body: Vec<u8>,
    /// The range asked: first byte and, if given, last byte (inclusive, as in the header). The first
    /// byte of a suffix is computed from the length of the file.
    pub range: Option<(u64, Option<u64>)>,
    /// The status sent; 0 as long as, or if, there is no answer.
    pub status: u16,
    /// The position of the first content byte of the answer.
    pub offset: u64,
    /// Bytes of the body that were handed to the socket, without framing and surplus bytes.
    pub sent: u64,
    /// Whether the whole answer was handed to the socket.
    pub complete: bool,
    /// When it arrived, since the server started.
    pub at: Duration,
    /// When the server was done with it, since the server started.
    pub ended: Option<Duration>,
}

impl Request {
    /// The first value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        head::header(&self.headers, name)
    }

    /// The content positions that were sent; empty for an answer without content.
    pub fn covered(&self) -> Range<u64> {
        match self.status {
            200 | 206 => self.offset..self.offset + self.sent,
            _ => 0..0,
        }
    }
}

/// All requests so far.
#[derive(Debug)]
pub(crate) struct Log {
    started: Instant,
    requests: Mutex<Vec<Request>>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), requests: Mutex::new(Vec::new()) }
    }

    /// Runs `look` over all requests.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&[Request]) -> T) -> T {
        look(&lock(&self.requests))
    }

    /// Notes that a request has arrived.
    pub(crate) fn begin(self: &Arc<Self>, connection: u64, head: &Head, total: u64) -> Record {
        let mut requests = lock(&self.requests);
        requests.push(Request {
            connection,
            method: head.method.clone(),
            path: head.path.clone(),
            query: head.query.clone(),
            headers: head.headers.clone(),
            body: head.body.clone(),
            range: head.range(total),
            status: 0,
            offset: 0,
            sent: 0,
            complete: false,
            at: self.started.elapsed(),
            ended: None,
        });
        Record { log: Arc::clone(self), index: requests.len() - 1 }
    }
}

/// The right to go on writing one entry of the log. Dropping it notes the end.
#[derive(Debug)]
pub(crate) struct Record {
    log: Arc<Log>,
    index: usize,
}

impl Record {
    /// Changes the entry. While `change` runs nobody can read the log.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Request) -> T) -> T {
        change(&mut lock(&self.log.requests)[self.index])
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let now = self.log.started.elapsed();
        self.change(|request| request.ended = Some(now));
    }
}
