//! The typed client: one method per route, over TCP with a token or over the Unix socket.

mod address;
mod error;
mod events;

use std::fmt;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::address::Address;
pub use self::error::ClientError;
pub use self::events::{EventStream, Told};
use crate::batch::BatchResult;
use crate::chunk::ChunkList;
use crate::doctor::Doctor;
use crate::event::EventList;
use crate::host::{Host, HostList, PatchHost};
use crate::job::{BulkResult, Job, JobFilter, JobList, JobState, PatchJob, VerifyJob};
use crate::options::Probe;
use crate::paths::{self, Action};
use crate::problem::{PROBLEM_MEDIA_TYPE, Problem};
use crate::query::{DeleteQuery, EventQuery, Files, HostQuery, JobQuery, StreamQuery, WAIT_SECONDS_MAX, WaitQuery};
use crate::service::{Limits, Log, Readiness, Settings, Stats};
use crate::submit::{BatchRef, CURL_MEDIA_TYPE, METALINK_MEDIA_TYPE, SubmitJob};
use crate::token::{MadeToken, NewPairCode, NewToken, Pair, PairCode, Scope, TokenList};
use crate::why::Why;

/// A connection to one daemon. Cheap to clone; the clones share their connections.
///
/// Every method can fail with each [`ClientError`] but those of [`Client::new`].
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    address: Address,
}

impl Client {
    /// Makes a client; nothing is sent yet. A Unix socket needs no token.
    ///
    /// # Errors
    ///
    /// [`ClientError::InvalidToken`], or [`ClientError::Setup`] when an `https` address finds no
    /// certificate store.
    ///
    /// # Panics
    ///
    /// When no rustls provider is installed: reqwest asks for one even where only `http` is
    /// spoken. `rustls::crypto::ring::default_provider().install_default()` comes first in `main`.
    pub fn new(address: Address, token: Option<&str>) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .user_agent(concat!("haul/", env!("CARGO_PKG_VERSION")))
            .default_headers(authorization(token)?);
        if !address.is_tls() {
            // Loading the system's certificates costs 17 ms and fails where there are none.
            builder = builder.tls_certs_only([]);
        }
        if let Address::Unix(path) = &address {
            builder = builder.unix_socket(path.as_path());
        }
        let http = builder.build().map_err(ClientError::Setup)?;
        Ok(Self { http, address })
    }

    /// Where the daemon is expected.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Submits one job. Where the answer is lost it is asked for again, and the job accepted once nevertheless.
    pub async fn submit(&self, job: &SubmitJob) -> Result<Job, ClientError> {
        self.submit_once(|request| request.json(job)).await
    }

    /// Submits many jobs; each is accepted or refused by itself. As [`Self::submit`] where the answer is lost.
    pub async fn submit_many(&self, jobs: &[SubmitJob]) -> Result<BatchResult, ClientError> {
        self.submit_once(|request| request.json(&BatchRef { jobs })).await
    }

    /// Submits the files that a Metalink 4 describes; each is accepted or refused by itself. As [`Self::submit`] where the
    /// answer is lost.
    pub async fn submit_metalink(&self, document: Vec<u8>) -> Result<BatchResult, ClientError> {
        let filled = |request: RequestBuilder| request.header(CONTENT_TYPE, METALINK_MEDIA_TYPE).body(document.clone());
        self.submit_once(filled).await
    }

    /// Sends a submit with a key of its own, and once more with the same one as long as its answer is lost.
    async fn submit_once<T: DeserializeOwned>(
        &self,
        filled: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<T, ClientError> {
        let key = random_key();
        let send = || self.call(filled(self.request(Method::POST, paths::JOBS, "").header(IDEMPOTENCY_KEY, &key)));
        let mut is_lost = false;
        for pause in REPEATED_AFTER {
            match send().await {
                Err(error) if error.may_have_been_accepted() => is_lost = true,
                // It has ended meanwhile, and may be on its way back.
                Err(ClientError::Unreachable { .. }) if is_lost => {}
                answered => return answered,
            }
            tokio::time::sleep(pause).await;
        }
        send().await
    }

    /// Submits what a command line of curl asks for, as browsers copy it. As [`Self::submit`] where the answer is lost.
    pub async fn submit_curl(&self, command: String) -> Result<Job, ClientError> {
        let filled = |request: RequestBuilder| request.header(CONTENT_TYPE, CURL_MEDIA_TYPE).body(command.clone());
        self.submit_once(filled).await
    }

    /// Asks what a server says of a file, without fetching it.
    pub async fn probe(&self, job: &SubmitJob) -> Result<Probe, ClientError> {
        let request = self.request(Method::POST, paths::PROBE, "");
        self.call(request.json(job).timeout(PROBE_TIMEOUT)).await
    }

    /// Lists one page of jobs.
    pub async fn jobs(&self, query: &JobQuery) -> Result<JobList, ClientError> {
        self.call(self.request(Method::GET, paths::JOBS, &query.to_query())).await
    }

    /// Shows one job.
    pub async fn job(&self, id: u64) -> Result<Job, ClientError> {
        self.get(&paths::job(id)).await
    }

    /// Shows one job once its state is no longer `state` (else: once it ended), or when the
    /// seconds are over. The daemon waits [`WAIT_SECONDS_MAX`] at most.
    pub async fn wait(&self, id: u64, seconds: u64, state: Option<JobState>) -> Result<Job, ClientError> {
        let seconds = seconds.min(WAIT_SECONDS_MAX);
        let query = WaitQuery { wait_seconds: Some(seconds), state };
        let request = self.request(Method::GET, &paths::job(id), &query.to_query());
        self.call(request.timeout(ANSWER_TIMEOUT + Duration::from_secs(seconds))).await
    }

    /// Changes one job.
    pub async fn patch(&self, id: u64, patch: &PatchJob) -> Result<Job, ClientError> {
        self.send(Method::PATCH, &paths::job(id), patch).await
    }

    /// Pauses one job.
    pub async fn pause(&self, id: u64) -> Result<Job, ClientError> {
        self.act(id, Action::Pause).await
    }

    /// Resumes one job; a waiting one tries now.
    pub async fn resume(&self, id: u64) -> Result<Job, ClientError> {
        self.act(id, Action::Resume).await
    }

    /// Starts a failed job again from its bytes.
    pub async fn retry(&self, id: u64) -> Result<Job, ClientError> {
        self.act(id, Action::Retry).await
    }

    /// Gives one job up.
    pub async fn cancel(&self, id: u64) -> Result<Job, ClientError> {
        self.act(id, Action::Cancel).await
    }

    /// Takes the deletion of one job back, as long as that is possible.
    pub async fn restore(&self, id: u64) -> Result<Job, ClientError> {
        self.call(self.request(Method::POST, &paths::job_restore(id), "")).await
    }

    /// Has the file of one job verified, and with `repair` what is bad of a complete one fetched again. Answers when that
    /// is known, or when the seconds are over: then the job's state is [`JobState::Verifying`]. The daemon waits
    /// [`WAIT_SECONDS_MAX`] at most.
    pub async fn verify(&self, id: u64, repair: bool, seconds: u64) -> Result<Job, ClientError> {
        let seconds = seconds.min(WAIT_SECONDS_MAX);
        let query = WaitQuery { wait_seconds: Some(seconds), state: None };
        let request = self.request(Method::POST, &paths::job_verify(id), &query.to_query());
        self.call(request.json(&VerifyJob { repair }).timeout(ANSWER_TIMEOUT + Duration::from_secs(seconds))).await
    }

    /// Carries out an action on every job that `filter` means and that it makes sense for.
    pub async fn act_all(&self, action: Action, filter: &JobFilter) -> Result<BulkResult, ClientError> {
        let path = match action {
            Action::Pause => paths::PAUSE_ALL,
            Action::Resume => paths::RESUME_ALL,
            Action::Retry => paths::RETRY_ALL,
            Action::Cancel => paths::CANCEL_ALL,
        };
        self.send(Method::POST, path, filter).await
    }

    /// Pauses every job.
    pub async fn pause_all(&self) -> Result<BulkResult, ClientError> {
        self.call(self.request(Method::POST, paths::PAUSE_ALL, "")).await
    }

    /// Resumes every job.
    pub async fn resume_all(&self) -> Result<BulkResult, ClientError> {
        self.call(self.request(Method::POST, paths::RESUME_ALL, "")).await
    }

    /// Forgets one job.
    pub async fn delete(&self, id: u64, files: Files) -> Result<(), ClientError> {
        let query = DeleteQuery { files }.to_query();
        let request = self.request(Method::DELETE, &paths::job(id), &query);
        self.success(request).await.map(|_no_content| ())
    }

    /// Shows the chunks of one job.
    pub async fn chunks(&self, id: u64) -> Result<ChunkList, ClientError> {
        self.get(&paths::job_chunks(id)).await
    }

    /// Lists one page of what has happened to one job, the oldest first.
    pub async fn events(&self, id: u64, query: &EventQuery) -> Result<EventList, ClientError> {
        self.call(self.request(Method::GET, &paths::job_events(id), &query.to_query())).await
    }

    /// Tells what happens to jobs, from the event behind `after` on, or from now on. Nothing is sent yet.
    pub fn event_stream(&self, query: StreamQuery, after: Option<u64>) -> EventStream {
        EventStream::new(self.clone(), query, after)
    }

    /// Tells what holds one job back.
    pub async fn why(&self, id: u64) -> Result<Why, ClientError> {
        self.get(&paths::job_why(id)).await
    }

    /// Lists one page of hosts.
    pub async fn hosts(&self, query: &HostQuery) -> Result<HostList, ClientError> {
        self.call(self.request(Method::GET, paths::HOSTS, &query.to_query())).await
    }

    /// Shows one host: `scheme://host:port`, or a host alone, which means `https`.
    pub async fn host(&self, name: &str) -> Result<Host, ClientError> {
        self.get(&paths::host(name)).await
    }

    /// Changes what is wished of one host.
    pub async fn patch_host(&self, name: &str, patch: &PatchHost) -> Result<Host, ClientError> {
        self.send(Method::PATCH, &paths::host(name), patch).await
    }

    /// Forgets one host: what was learned of it and what was set for it.
    pub async fn forget_host(&self, name: &str) -> Result<(), ClientError> {
        self.success(self.request(Method::DELETE, &paths::host(name), "")).await.map(|_no_content| ())
    }

    /// Lists the tokens.
    pub async fn tokens(&self) -> Result<TokenList, ClientError> {
        self.get(paths::TOKENS).await
    }

    /// Makes a token. It is never shown again.
    pub async fn make_token(&self, new: &NewToken) -> Result<MadeToken, ClientError> {
        self.send(Method::POST, paths::TOKENS, new).await
    }

    /// Revokes one token. Its jobs stay.
    pub async fn revoke_token(&self, id: u64) -> Result<(), ClientError> {
        self.success(self.request(Method::DELETE, &paths::token(id), "")).await.map(|_no_content| ())
    }

    /// Makes a code that can be traded for a token of this scope, once and for a short time.
    pub async fn make_pair_code(&self, scope: Scope) -> Result<PairCode, ClientError> {
        self.send(Method::POST, paths::PAIR_CODE, &NewPairCode { scope: Some(scope) }).await
    }

    /// Trades a code for a token. Needs no token itself.
    pub async fn pair(&self, pair: &Pair) -> Result<MadeToken, ClientError> {
        self.send(Method::POST, paths::PAIR, pair).await
    }

    /// Shows the totals.
    pub async fn stats(&self) -> Result<Stats, ClientError> {
        self.get(paths::STATS).await
    }

    /// Shows the settings in force.
    pub async fn settings(&self) -> Result<Settings, ClientError> {
        self.get(paths::SETTINGS).await
    }

    /// Changes settings and shows those in force then.
    pub async fn patch_settings(&self, limits: &Limits) -> Result<Settings, ClientError> {
        self.send(Method::PATCH, paths::SETTINGS, limits).await
    }

    /// Has the daemon examine itself.
    pub async fn doctor(&self) -> Result<Doctor, ClientError> {
        self.get(paths::DOCTOR).await
    }

    /// Shows what is logged.
    pub async fn log(&self) -> Result<Log, ClientError> {
        self.get(paths::LOG_LEVEL).await
    }

    /// Changes what is logged until the next start.
    pub async fn set_log(&self, filter: &str) -> Result<Log, ClientError> {
        self.send(Method::PUT, paths::LOG_LEVEL, &Log { log: filter.to_owned() }).await
    }

    /// Asks whether the daemon is ready. Not being ready is an answer, not an error.
    pub async fn ready(&self) -> Result<Readiness, ClientError> {
        let answer = self.exchange(self.request(Method::GET, paths::READYZ, "")).await?;
        if answer.is_problem {
            return Err(self.refusal(&answer));
        }
        match answer.status {
            StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => self.decode(&answer),
            _ => Err(self.refusal(&answer)),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(self.request(Method::GET, path, "")).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        self.call(self.request(method, path, "").json(body)).await
    }

    async fn act(&self, id: u64, action: Action) -> Result<Job, ClientError> {
        self.call(self.request(Method::POST, &paths::job_action(id, action), "")).await
    }

    fn request(&self, method: Method, path: &str, query: &str) -> RequestBuilder {
        self.http.request(method, self.address.url(path, query))
    }

    async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        self.decode(&self.success(request).await?)
    }

    async fn success(&self, request: RequestBuilder) -> Result<Answer, ClientError> {
        let answer = self.exchange(request).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.refusal(&answer)) }
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Answer, ClientError> {
        let failed = |error| ClientError::from_exchange(error, &self.address);
        let response = request.send().await.map_err(failed)?;
        self.whole(response).await
    }

    /// Reads an answer to its end.
    async fn whole(&self, response: reqwest::Response) -> Result<Answer, ClientError> {
        let failed = |error| ClientError::from_exchange(error, &self.address);
        let status = response.status();
        let is_problem = is_problem(response.headers());
        let body = response.bytes().await.map_err(failed)?.to_vec();
        Ok(Answer { status, is_problem, body })
    }

    fn decode<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, ClientError> {
        serde_json::from_slice(&answer.body).map_err(|source| self.unexpected(answer.status, Some(source)))
    }

    fn refusal(&self, answer: &Answer) -> ClientError {
        if !answer.is_problem {
            return self.unexpected(answer.status, None);
        }
        match self.decode::<Problem>(answer) {
            Ok(problem) => ClientError::Problem(problem),
            Err(error) => error,
        }
    }

    fn unexpected(&self, status: StatusCode, source: Option<serde_json::Error>) -> ClientError {
        ClientError::Unexpected { address: self.address.clone(), status: status.as_u16(), source }
    }
}

impl fmt::Debug for Client {
    /// Leaves out the HTTP client, whose default headers hold the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.address).finish_non_exhaustive()
    }
}

struct Answer {
    status: StatusCode,
    is_problem: bool,
    body: Vec<u8>,
}

fn authorization(token: Option<&str>) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ClientError::InvalidToken)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// A key that nobody else has.
fn random_key() -> String {
    format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>())
}

fn is_problem(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(';').next().map(str::trim) == Some(PROBLEM_MEDIA_TYPE))
}

/// The header that names a request, so that it is carried out once.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// How long to wait before a submit whose answer was lost is sent again. A guess: a daemon that restarts is back by then.
const REPEATED_AFTER: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(1), Duration::from_secs(3)];

/// A guess: the daemon is on this machine or on this network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A guess: the longest that a batch of 16 MiB may take to be committed on a slow disk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a probe may take: longer than the daemon waits for a server.
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_sec_20_the_token_header_hides_its_value() {
        let headers = authorization(Some("s3cret")).expect("a good token");
        assert_eq!(headers[AUTHORIZATION], "Bearer s3cret");
        assert!(!format!("{headers:?}").contains("s3cret"));
    }
}
