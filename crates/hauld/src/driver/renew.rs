//! A renewed link: a job gets a new URL, or new headers, once the same file is proved to be behind it (FAILURES.md,
//! F-IDENT-13).
//!
//! Some of the bytes that are there are fetched from the new URL and compared: at the start, in the middle and at the end.
//! The answers must name the same length. Otherwise nothing changes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use haul_api::{Problem, ProblemCode};
use haul_core::messages::{End, FetchKind, Timeouts};
use haul_core::{Action, Class, Fault, FaultKind, JobId, Phase, Refusal, WorkerId};
use haul_store::{JobPatch, JobRow, StoredJob, UpdateError};
use haul_transfer::{ClientKey, Identity, Lane, Order, PartFile, Place, Report, Target, Threads};
use http::HeaderValue;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::info;
use url::Url;

use super::Driver;
use super::handle::{Answer, DriverError};
use super::running::{client, headers as read_headers};
use super::tasks::{Done, blocking};
use crate::convert::now_ms;
use crate::netrc::Netrc;
use crate::options::Manner;
use crate::submit::{Credentials, Roots, two_credentials};

/// Bytes that are compared at each of the three places.
const SAMPLE_BYTES: u64 = 64 << 10;

/// How long the new URL may take. Somebody waits for the answer.
const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(5), response: Duration::from_secs(15), stall: Duration::from_secs(5) };

/// How long all of it may take: shorter than the patience of our own client.
const PROOF_MAX: Duration = Duration::from_secs(25);

impl Driver {
    pub(super) fn renew(&mut self, id: JobId, patch: JobPatch, answer: Answer<JobRow>) {
        let renewal = Renewal {
            id,
            store: self.store.clone(),
            roots: Arc::clone(&self.roots),
            threads: Arc::clone(&self.threads),
            client: self.client.clone(),
            netrc: self.netrc.clone(),
            user_agent: self.user_agent.clone(),
        };
        self.tasks.push(Box::pin(async move { Done::Renewed { row: renewal.carry_out(patch).await, answer } }));
    }

    /// Goes on with what is stored now.
    pub(super) fn renewed(&mut self, row: &JobRow) {
        let id = row.id;
        info!(job = id.0, host = row.wish.host, "has a new link");
        if let Some(running) = self.jobs.get_mut(&id) {
            running.renew(&row.wish);
            running.row.lifecycle = row.lifecycle;
            running.row.identity.name = row.identity.name.clone().or_else(|| running.row.identity.name.take());
            if self.engine.jobs().any(|held| held == id) {
                // The engine counts connections by the host of before: the job leaves it, and comes back.
                self.release(id);
                if let Some(running) = self.jobs.get_mut(&id) {
                    running.wanted_again = row.lifecycle.wants_to_run();
                }
            }
        } else if row.lifecycle.wants_to_run() {
            self.wanted(id, true);
        }
        self.announce(id);
    }
}

/// What it takes to find out and to store.
struct Renewal {
    id: JobId,
    store: haul_store::Store,
    roots: Arc<Roots>,
    threads: Arc<Threads>,
    client: ClientKey,
    netrc: Netrc,
    user_agent: HeaderValue,
}

impl Renewal {
    async fn carry_out(self, mut patch: JobPatch) -> Result<JobRow, DriverError> {
        let stored = self.store.stored_job(self.id).await?.ok_or(Refusal::UnknownJob)?;
        if patch.expected.is_some_and(|expected| expected != stored.row.version) {
            return Err(super::wishes::update_error(UpdateError::Changed));
        }
        match stored.row.lifecycle.phase {
            Phase::Fetching | Phase::Failed => {}
            Phase::Verifying => return Err(Refusal::Verifying.into()),
            phase @ (Phase::Completed | Phase::Canceled) => return Err(Refusal::JobEnded(phase).into()),
        }
        let before = stored.row.wish.host.clone();
        let moves_on = patch.url.as_ref().is_some_and(|(_, host)| *host != before);
        if moves_on && stored.row.wish.once {
            // So is what a POST carries.
            let detail = "a job that asks by POST keeps its server; submit it anew for another one";
            return Err(Problem::new(ProblemCode::InvalidValue, detail).with_field("url").into());
        }
        if moves_on && patch.headers.is_none() {
            // What was secret between the user and the server before is no business of the new one.
            patch.headers = Some(None);
        }
        let new = Credentials::read(patch.credentials.as_ref().and_then(Option::as_ref));
        let credentials = Credentials::read(stored.row.wish.credentials.as_ref());
        patch.credentials = Some(credentials.renewed(&stored.row.wish, &patch, new));
        self.check(&stored, &patch).await?;
        let row = self.store.patch(self.id, patch, now_ms()).await.map_err(super::wishes::update_error)?;
        if row.lifecycle.phase != Phase::Failed {
            return Ok(row);
        }
        // Who gives a failed job a new link wants it to go on.
        let acted = self.store.act(self.id, Action::Retry, now_ms()).await;
        acted.map(|(_, row)| row).map_err(super::wishes::act_error)
    }

    /// Whether the job can have this URL.
    async fn check(&self, stored: &StoredJob, patch: &JobPatch) -> Result<(), DriverError> {
        let Some((url, _)) = &patch.url else { return Ok(()) };
        let url = Url::parse(url).map_err(|error| not_proven(&error.to_string()))?;
        let kept = stored.row.wish.headers.as_deref();
        let headers = match &patch.headers {
            Some(new) => new.as_deref(),
            None => kept,
        };
        let mut headers = headers.map(read_headers).unwrap_or_default();
        let credentials = Credentials::read(patch.credentials.as_ref().and_then(Option::as_ref));
        if let Some(value) = credentials.header(&url)
            && headers.insert(http::header::AUTHORIZATION, value).is_some()
        {
            return Err(two_credentials().into());
        }
        let samples = samples(stored);
        let Some(total) = stored.row.identity.total_bytes.filter(|_| !samples.is_empty()) else { return Ok(()) };
        let (roots, row) = (Arc::clone(&self.roots), stored.row.clone());
        let found = blocking(move || find(&roots, &row)).await;
        // Without its part file the job starts over anyway.
        let Some((place, part)) = found.map_err(|fault| not_proven(&fault.to_string()))? else { return Ok(()) };
        let Manner { way, cookies, post } = Manner::of(&stored.row.wish);
        let (client, cookies) = (client(&self.client, &way, &stored.row), Arc::new(cookies));
        let login = url.host_str().filter(|_| !client.public_only).and_then(|host| self.netrc.login(host));
        let compared = samples.into_iter().zip(0..).map(|((from, end), number)| {
            let (reports, received) = mpsc::channel(REPORTS);
            let order = Order {
                worker: WorkerId(number),
                kind: FetchKind::Compare,
                submitted: url.clone(),
                resolved: None,
                lane: Arc::new(Lane::new(from, end)),
                timeouts: TIMEOUTS,
                overlap: 0,
                reach: 0,
                identity: Identity { total: Some(total), ..Identity::default() },
                others: Vec::new(),
                if_range: false,
                no_cache: false,
                headers: headers.clone(),
                cookies: Arc::clone(&cookies),
                user_agent: Some(self.user_agent.clone()),
                referrer: stored.row.wish.referrer.as_deref().and_then(|text| HeaderValue::from_str(text).ok()),
                login: login.clone(),
                post: post.clone(),
                client: client.clone(),
                limiters: Vec::new(),
                target: Target::Ready(Arc::clone(part.file())),
                reports,
            };
            compare(&self.threads, place.filesystem(), order, received)
        });
        match timeout(PROOF_MAX, try_join_all(compared)).await {
            Ok(compared) => compared.map(|_| ()).map_err(|fault| refused(&fault).into()),
            Err(_) => Err(not_proven(&format!("no answer within {} s", PROOF_MAX.as_secs())).into()),
        }
    }
}

/// Reports of one comparison: that it has begun, and that it has ended.
const REPORTS: usize = 2;

async fn compare(
    threads: &Threads,
    filesystem: u64,
    order: Order,
    mut received: mpsc::Receiver<Report>,
) -> Result<(), Fault> {
    let end = order.lane.end();
    threads.start(filesystem, order)?;
    while let Some(report) = received.recv().await {
        match report {
            Report::Opened { .. } => {}
            Report::Ended { at, end: End::Finished, .. } if at == end => return Ok(()),
            Report::Ended { end: End::Fault(fault), .. } => return Err(fault),
            Report::Ended { at, .. } => {
                return Err(Fault::new(FaultKind::Truncated, format!("the comparison ended at byte {at} of {end}")));
            }
        }
    }
    Err(Fault::new(FaultKind::Local, "the daemon is stopping"))
}

/// Stretches that are there: at the start, in the middle and at the end of all such bytes.
fn samples(stored: &StoredJob) -> Vec<(u64, u64)> {
    // A server without ranges sends the whole file again, and nothing is gone on from.
    if stored.row.identity.accepts_ranges != Some(true) {
        return Vec::new();
    }
    let there: Vec<_> = stored.chunks.iter().filter(|chunk| chunk.done > 0).collect();
    let (Some(first), Some(last)) = (there.first(), there.last()) else { return Vec::new() };
    let middle = there[there.len() / 2];
    let at_start = (first.range.start, first.position().min(first.range.start + SAMPLE_BYTES));
    let center = middle.range.start + middle.done / 2;
    let at_center = (center.saturating_sub(SAMPLE_BYTES / 2).max(middle.range.start), middle.position());
    let at_center = (at_center.0, at_center.1.min(at_center.0 + SAMPLE_BYTES));
    let at_end = (last.position().saturating_sub(SAMPLE_BYTES).max(last.range.start), last.position());
    let mut samples = vec![at_start, at_center, at_end];
    samples.dedup();
    samples
}

/// Opens the part file of a job, if it is there. Blocks.
fn find(roots: &Roots, row: &JobRow) -> Result<Option<(Arc<Place>, PartFile)>, Fault> {
    let Some(part) = &row.part else { return Ok(None) };
    let place = Arc::new(roots.open(Path::new(&row.wish.dir))?);
    let opened = PartFile::reopen(Arc::clone(&place), &part.name, part.dev, part.ino)?;
    Ok(opened.map(|part| (place, part)))
}

/// The new URL does not have the file, or that could not be found out.
fn refused(fault: &Fault) -> Problem {
    if fault.kind.class() != Class::SourceChanged {
        return not_proven(&fault.to_string());
    }
    let detail = format!("the new URL has another file: {fault}; nothing was changed");
    Problem::new(ProblemCode::SourceChanged, detail).with_field("url")
}

fn not_proven(why: &str) -> Problem {
    let detail = format!("the new URL could not be compared with what is there: {why}; nothing was changed");
    Problem::new(ProblemCode::LinkNotProven, detail).with_field("url")
}
