//! From rows and views to what goes over the wire.

mod event;
mod host;
mod why;
mod words;

use std::time::Duration;

use haul_api::{ChunkTotals, Connections, JobProgress, Mirror, MirrorReason, Reason, Verification, Verified};
use haul_core::messages::{JobView, MirrorState, MirrorView};
use haul_core::{Chunk, ChunkState, Fault, Intent, JobState, Phase, WaitingFor};
use haul_store::{ChunkRow, JobRow, StateFilter};
use jiff::Timestamp;
use url::Url;

use crate::driver::{Limits, Live};
use crate::options::Options;
use crate::submit::without_userinfo;

pub(crate) use event::event;
pub(crate) use host::{core_fault, host, host_fault};
pub(crate) use why::{explained, stored};

/// Now, in Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A point in time of a row.
pub(crate) fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// One job as a client sees it.
pub(crate) fn job(row: &JobRow, live: Option<&Live>, limits: &Limits) -> haul_api::Job {
    let view = live.map(|live| &live.view);
    let state = JobState::shown(row.lifecycle, view.map(|view| view.state));
    let total = view.and_then(|view| view.total).or(row.identity.total_bytes);
    let done = view.map_or(row.counts.done_bytes, |view| view.done_bytes);
    // A job that has been paused may still be on its way out.
    let flowing = view.filter(|_| row.lifecycle.wants_to_run());
    let speed = flowing.map_or(0, |view| whole(view.bytes_per_second));
    let chunks = view.map(|view| view.chunks).filter(|(_, total)| *total > 0).map_or_else(
        || ChunkTotals { done: count(row.counts.chunks_done), total: count(row.counts.chunks_total) },
        |(done, total)| ChunkTotals { done: count(done as u64), total: count(total as u64) },
    );
    let verified: Option<Verified> = row.verified.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let options = Options::of(&row.wish);
    haul_api::Job {
        id: row.id.0,
        url: shown_url(&row.wish.url),
        page_url: crate::options::page_url_of(&row.wish),
        mirrors: mirrors(row, flowing),
        state: wire_state(state),
        waiting_for: waits_for(state),
        reason: reason(row, live, state),
        path: path(row),
        filename: filename(row),
        total_bytes: total,
        done_bytes: done,
        durable_bytes: live.map_or(row.counts.durable_bytes, |live| live.durable_bytes),
        speed,
        eta_seconds: eta_seconds(total, done, speed),
        connections: Connections {
            active: flowing.map_or(0, |view| view.connections),
            max: row.wish.connections.unwrap_or(limits.connections_per_job),
        },
        chunks,
        checksum: row.wish.checksum.clone().or_else(|| row.identity.digest.clone()),
        verification: match &verified {
            Some(verified) if row.lifecycle.phase == Phase::Completed && !verified.bad.is_empty() => {
                Some(Verification::Damaged)
            }
            Some(_) | None => row.verification.as_deref().and_then(verification),
        },
        verified,
        resumable: view.and_then(|view| view.accepts_ranges).or(row.identity.accepts_ranges),
        on_change: match row.wish.on_change {
            haul_store::OnChange::Restart => haul_api::OnChange::Restart,
            haul_store::OnChange::Fail => haul_api::OnChange::Fail,
        },
        method: options.method,
        insecure: options.insecure,
        proxy: options.shown_proxy(),
        start_at: starts_at(row),
        priority: row.wish.priority,
        bandwidth_limit: row.wish.bandwidth_limit.unwrap_or(0),
        label: row.wish.label.clone(),
        version: row.version,
        created_at: timestamp(row.created_at_ms),
        started_at: row.started_at_ms.map(timestamp),
        finished_at: row.finished_at_ms.map(timestamp),
    }
}

/// How far a running job is.
pub(crate) fn progress(row: &JobRow, live: &Live) -> JobProgress {
    let view = &live.view;
    let state = JobState::shown(row.lifecycle, Some(view.state));
    let total = view.total.or(row.identity.total_bytes);
    // A job that has been paused may still be on its way out.
    let (speed, connections) =
        if row.lifecycle.wants_to_run() { (whole(view.bytes_per_second), view.connections) } else { (0, 0) };
    JobProgress {
        id: row.id.0,
        state: wire_state(state),
        waiting_for: waits_for(state),
        done_bytes: view.done_bytes,
        total_bytes: total,
        speed,
        eta_seconds: eta_seconds(total, view.done_bytes, speed),
        connections,
    }
}

fn waits_for(state: JobState) -> Option<haul_api::WaitingFor> {
    match state {
        JobState::Waiting(what) => Some(wire_waiting(what)),
        JobState::Queued
        | JobState::Probing
        | JobState::Active
        | JobState::Paused
        | JobState::Verifying
        | JobState::Completed
        | JobState::Failed
        | JobState::Canceled => None,
    }
}

/// When a job starts, as long as that is to come.
fn starts_at(row: &JobRow) -> Option<Timestamp> {
    let waits = row.lifecycle.phase == Phase::Fetching && row.lifecycle.intent == haul_core::Intent::Run;
    row.wish.start_at_ms.filter(|at_ms| waits && *at_ms > now_ms()).map(timestamp)
}

/// The places where the file is to be had, with what the engine knows of each.
fn mirrors(row: &JobRow, view: Option<&JobView>) -> Vec<Mirror> {
    let urls = std::iter::once(&row.wish.url).chain(row.wish.mirrors.iter().map(|mirror| &mirror.url));
    urls.enumerate()
        .map(|(index, url)| {
            let view = view.and_then(|view| view.mirrors.get(index));
            Mirror {
                url: shown_url(url),
                state: view.map(|view| wire_mirror_state(view.state)),
                connections: view.map_or(0, |view| view.connections),
                speed: view.map_or(0, |view| whole(view.bytes_per_second)),
                done_bytes: view.map(|view| view.done_bytes),
                reason: view.and_then(mirror_reason),
            }
        })
        .collect()
}

/// Why a mirror does not contribute. What went wrong with one that does is over.
fn mirror_reason(view: &MirrorView) -> Option<MirrorReason> {
    let idle = view.state == MirrorState::Dropped || view.connections == 0;
    let fault = view.fault.as_ref().filter(|_| idle)?;
    Some(MirrorReason { code: fault.kind.code().to_owned(), message: fault.to_string() })
}

fn wire_mirror_state(state: MirrorState) -> haul_api::MirrorState {
    match state {
        MirrorState::Main => haul_api::MirrorState::Main,
        MirrorState::Unproven => haul_api::MirrorState::Unproven,
        MirrorState::Proving => haul_api::MirrorState::Proving,
        MirrorState::Proven => haul_api::MirrorState::Proven,
        MirrorState::Dropped => haul_api::MirrorState::Dropped,
    }
}

/// The seconds to the end at this speed.
fn eta_seconds(total: Option<u64>, done: u64, speed: u64) -> Option<u64> {
    total.filter(|_| speed > 0).map(|total| total.saturating_sub(done).div_ceil(speed))
}

/// The same of a URL that was read already.
pub(crate) fn shown(url: &Url) -> String {
    without_userinfo(url.clone()).into()
}

/// Hides the queries of a job's URLs from those who may not see them (DESIGN.md section 6).
pub(crate) fn mask_queries(job: &mut haul_api::Job) {
    let own = std::iter::once(&mut job.url).chain(&mut job.page_url);
    for url in own.chain(job.mirrors.iter_mut().map(|mirror| &mut mirror.url)) {
        if let Some((address, _)) = url.split_once('?') {
            *url = format!("{address}?…");
        }
    }
}

/// The URL without userinfo. Its query is shown; see [`mask_queries`].
fn shown_url(url: &str) -> String {
    let Ok(url) = Url::parse(url) else { return "unreadable".to_owned() };
    without_userinfo(url).into()
}

fn path(row: &JobRow) -> Option<String> {
    let name = row.identity.name.as_ref().or(row.wish.filename.as_ref());
    row.path.clone().or_else(|| Some(format!("{}/{}", row.wish.dir.trim_end_matches('/'), name?)))
}

/// The last part of [`path`]: a taken name was numbered only when the file got it.
fn filename(row: &JobRow) -> Option<String> {
    let path = path(row)?;
    path.rsplit('/').next().map(str::to_owned)
}

/// Why the job is not getting on: live where it waits, from its row where it has ended.
fn reason(row: &JobRow, live: Option<&Live>, state: JobState) -> Option<Reason> {
    if let JobState::Waiting(_) = state
        && let Some(view) = live.map(|live| &live.view)
    {
        let fault = view.fault.as_ref()?;
        // The row may still tell of the wait before.
        let stored = row.reason.as_ref().filter(|stored| stored.code == fault.kind.code());
        let at = stored.map_or_else(Timestamp::now, |stored| timestamp(stored.at_ms));
        let retry_at = view.retry_in.map(|wait| Timestamp::now().saturating_add(jiff_span(wait)).unwrap_or(at));
        return Some(Reason { code: fault.kind.code().to_owned(), message: message(fault, state), at, retry_at });
    }
    let stored = row.reason.as_ref().filter(|_| matches!(state, JobState::Failed | JobState::Waiting(_)))?;
    Some(Reason {
        code: stored.code.clone(),
        message: stored.message.clone(),
        at: timestamp(stored.at_ms),
        retry_at: stored.retry_at_ms.map(timestamp),
    })
}

/// What went wrong, and what a person can do where nobody else can.
pub(crate) fn message(fault: &Fault, state: JobState) -> String {
    if state == JobState::Waiting(WaitingFor::Link) {
        return format!(
            "{fault}; the link has expired: give the job a new `url`, or `resume` it to try this one again"
        );
    }
    fault.to_string()
}

fn jiff_span(wait: std::time::Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(wait).unwrap_or(jiff::SignedDuration::MAX)
}

pub(crate) fn wire_state(state: JobState) -> haul_api::JobState {
    match state {
        JobState::Queued => haul_api::JobState::Queued,
        JobState::Probing => haul_api::JobState::Probing,
        JobState::Active => haul_api::JobState::Active,
        JobState::Waiting(_) => haul_api::JobState::Waiting,
        JobState::Paused => haul_api::JobState::Paused,
        JobState::Verifying => haul_api::JobState::Verifying,
        JobState::Completed => haul_api::JobState::Completed,
        JobState::Failed => haul_api::JobState::Failed,
        JobState::Canceled => haul_api::JobState::Canceled,
    }
}

pub(crate) fn wire_waiting(what: WaitingFor) -> haul_api::WaitingFor {
    match what {
        WaitingFor::Retry => haul_api::WaitingFor::Retry,
        WaitingFor::Disk => haul_api::WaitingFor::Disk,
        WaitingFor::Network => haul_api::WaitingFor::Network,
        WaitingFor::Host => haul_api::WaitingFor::Host,
        WaitingFor::Schedule => haul_api::WaitingFor::Schedule,
        WaitingFor::Link => haul_api::WaitingFor::Link,
        WaitingFor::Volume => haul_api::WaitingFor::Volume,
    }
}

/// The word by which an event tells what a job waits for.
pub(crate) fn waiting_word(what: WaitingFor) -> &'static str {
    wire_waiting(what).as_str()
}

fn verification(word: &str) -> Option<Verification> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
}

/// The word by which a verification is stored.
pub(crate) fn verification_word(verification: Verification) -> String {
    match verification {
        Verification::Checksum => "checksum",
        Verification::Validator => "validator",
        Verification::Overlap => "overlap",
        Verification::Length => "length",
        Verification::None => "none",
        Verification::Damaged => "damaged",
    }
    .to_owned()
}

/// One chunk of a running job as a client sees it.
pub(crate) fn chunk(
    index: usize,
    chunk: &Chunk,
    speed: Option<f64>,
    durable: u64,
    strikes_max: u32,
) -> haul_api::Chunk {
    haul_api::Chunk {
        index: count(index as u64),
        start: chunk.range.start,
        end: Some(chunk.range.end),
        done_bytes: chunk.done,
        durable_bytes: durable.min(chunk.done),
        state: match chunk.state {
            ChunkState::Ready => haul_api::ChunkState::Ready,
            ChunkState::Active(_) => haul_api::ChunkState::Active,
            ChunkState::Backoff(_) => haul_api::ChunkState::Backoff,
            ChunkState::Done => haul_api::ChunkState::Done,
        },
        retries: chunk.retries,
        strikes: chunk.strikes,
        exempt: chunk.strikes >= strikes_max,
        speed: speed.map(whole),
        last_error: None,
    }
}

/// One chunk of a job that is not running.
pub(crate) fn stored_chunk(index: usize, row: &ChunkRow, strikes_max: u32) -> haul_api::Chunk {
    let done = row.written == row.range.len();
    haul_api::Chunk {
        index: count(index as u64),
        start: row.range.start,
        end: Some(row.range.end),
        done_bytes: row.written,
        durable_bytes: row.durable,
        state: if done { haul_api::ChunkState::Done } else { haul_api::ChunkState::Ready },
        retries: row.retries,
        strikes: row.strikes,
        exempt: row.strikes >= strikes_max,
        speed: None,
        last_error: None,
    }
}

/// The stored states of jobs that a client sees in this one and that do nothing at the moment.
pub(crate) fn resting(state: haul_api::JobState) -> Option<StateFilter> {
    let (phase, intent) = match state {
        haul_api::JobState::Queued => (Phase::Fetching, Some(Intent::Run)),
        haul_api::JobState::Paused => (Phase::Fetching, Some(Intent::Pause)),
        haul_api::JobState::Verifying => (Phase::Verifying, None),
        haul_api::JobState::Completed => (Phase::Completed, None),
        haul_api::JobState::Failed => (Phase::Failed, None),
        haul_api::JobState::Canceled => (Phase::Canceled, None),
        haul_api::JobState::Probing | haul_api::JobState::Active | haul_api::JobState::Waiting => return None,
    };
    Some(StateFilter { phase, intent })
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A speed in whole bytes per second.
pub(crate) fn whole(speed: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; a speed is not negative")]
    let whole = speed as u64;
    whole
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
