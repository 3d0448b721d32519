//! What happens to jobs, as a stream that outlives its connections.

mod parser;

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response};
use tokio::time::{sleep, timeout};

use super::{ANSWER_TIMEOUT, Client, ClientError};
use crate::event::{Event, JobProgress, LAGGED, Lagged, PROGRESS, Progress};
use crate::paths;
use crate::query::StreamQuery;

use parser::{Message, Parser};

/// What a stream tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Something has happened to a job.
    Event(Event),
    /// How far jobs are: those of which something has changed.
    Progress(Vec<JobProgress>),
    /// So many events were missed, at most, because they are not kept any more: look at the jobs anew.
    Lagged(u64),
}

/// What happens to jobs. A connection that breaks is made again, and goes on behind the last event.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    query: StreamQuery,
    /// The last event that has come, or that nothing is missed before.
    last: Option<u64>,
    open: Option<Open>,
    was_open: bool,
    failures: u32,
    ready: VecDeque<Told>,
}

#[derive(Debug)]
struct Open {
    response: Response,
    parser: Parser,
}

impl EventStream {
    pub(super) fn new(client: Client, query: StreamQuery, after: Option<u64>) -> Self {
        Self { client, query, last: after, open: None, was_open: false, failures: 0, ready: VecDeque::new() }
    }

    /// The next that there is to tell. Waits for as long as it takes, also for a daemon that restarts.
    ///
    /// # Errors
    ///
    /// Each [`ClientError`] of the first connection; afterwards those that trying again does not mend, such as a token that
    /// was revoked.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what has come is kept for the next call.
    pub async fn next(&mut self) -> Result<Told, ClientError> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Ok(told);
            }
            match self.read().await {
                Ok(()) => self.failures = 0,
                Err(error) if self.was_open && error.may_pass() => {
                    self.open = None;
                    let pause = RECONNECT_FIRST * (1 << self.failures.min(RECONNECT_DOUBLINGS));
                    self.failures += 1;
                    sleep(pause).await;
                }
                Err(error) => {
                    self.open = None;
                    return Err(error);
                }
            }
        }
    }

    /// Reads what comes next, on a new connection where there is none.
    async fn read(&mut self) -> Result<(), ClientError> {
        let silent = || ClientError::Silent { address: self.client.address.clone() };
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let response = self.client.open_stream(&self.query, self.last);
                let response = timeout(ANSWER_TIMEOUT, response).await.map_err(|_| silent())??;
                self.was_open = true;
                self.open.insert(Open { response, parser: Parser::default() })
            }
        };
        let came = timeout(SILENCE_MAX, open.response.chunk()).await.map_err(|_| silent())?;
        let Some(bytes) = came.map_err(|error| ClientError::from_exchange(error, &self.client.address))? else {
            // It ends when the daemon stops; whether it may be read again the next connection tells.
            self.open = None;
            return Err(silent());
        };
        for message in open.parser.feed(&bytes) {
            if let Some(id) = message.id {
                self.last = Some(id);
            }
            self.ready.extend(told(&message));
        }
        Ok(())
    }
}

/// What a message says; nothing where a newer daemon tells what is not known here.
fn told(message: &Message) -> Option<Told> {
    let data = message.data.as_bytes();
    match message.event.as_str() {
        _ if data.is_empty() => None,
        PROGRESS => serde_json::from_slice(data).ok().map(|Progress { jobs }| Told::Progress(jobs)),
        LAGGED => serde_json::from_slice(data).ok().map(|Lagged { missed }| Told::Lagged(missed)),
        _ => serde_json::from_slice(data).ok().map(Told::Event),
    }
}

impl Client {
    async fn open_stream(&self, query: &StreamQuery, after: Option<u64>) -> Result<Response, ClientError> {
        // A stream has no end that could be waited for.
        let mut request = self.request(Method::GET, paths::EVENTS, &query.to_query()).timeout(FOR_EVER);
        if let Some(id) = after {
            request = request.header(LAST_EVENT_ID, id);
        }
        let response = request.send().await.map_err(|error| ClientError::from_exchange(error, &self.address))?;
        if !response.status().is_success() {
            return Err(self.refusal(&self.whole(response).await?));
        }
        let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if media_type.is_some_and(|value| value.starts_with(MEDIA_TYPE)) {
            Ok(response)
        } else {
            Err(self.unexpected(response.status(), None))
        }
    }
}

/// The header that names the last event that is known (HTML, section 9.2.4).
const LAST_EVENT_ID: &str = "Last-Event-ID";

/// The media type of a stream of events.
const MEDIA_TYPE: &str = "text/event-stream";

/// Longer than anybody reads a stream; reqwest has a limit or another, and timers end at some 30 years.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A daemon that says nothing for so long is gone: it says something every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// The wait before a connection is made again; it doubles with each one that fails, so often. A guess: 6.4 s at most.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_DOUBLINGS: u32 = 6;
