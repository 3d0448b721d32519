//! The bytes of a job's file, also while they are coming.
//!
//! What is there is sent; what is not is waited for, and fetched first. A body ends in one of two ways: with its last byte,
//! or with a broken connection. It is never short without saying so.

mod range;
mod source;

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, stream};
use haul_api::{Problem, ProblemCode, paths};
use haul_core::{Intent, JobState, Phase};
use haul_store::JobRow;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tracing::debug;

use super::Api;
use super::document;
use super::extract::Id;
use super::jobs::driver_error;
use super::problem::Refused;
use range::{Asked, asked};
use source::{Available, Gone, Source, blocking};

/// Bytes that are read and sent at a time. A guess: few switches between threads, and little memory for each reader.
const PIECE_BYTES: u64 = 256 << 10;

/// How long the first byte of a file is waited for that nothing is known of. A guess: as long as a person waits.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);

/// What a browser may do with the bytes of a stranger: nothing, and without an origin.
const POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// What a stranger's file is called to a browser, whatever it is: nothing that it would show or run.
const MEDIA_TYPE: &str = "application/octet-stream";

/// The file's bytes, also while it is being fetched: what is there is sent at once, the rest as it comes.
#[utoipa::path(get, path = paths::JOB_CONTENT, tag = "jobs", params(
    ("id" = u64, Path, description = "The job's number"),
    ("Range" = Option<String>, Header, description = "One range, as in `bytes=0-999`; what else it may be is ignored")),
    responses(
    (status = 200, description = "All of it; the connection breaks where the job fails meanwhile", content_type = "application/octet-stream", body = Vec<u8>),
    (status = 206, description = "The range", content_type = "application/octet-stream", body = Vec<u8>, headers(("Content-Range" = String))),
    document::Content))]
pub(super) async fn content(State(api): State<Api>, Id(id): Id, headers: HeaderMap) -> Result<Response, Refused> {
    let row = api.store.job(id).await?.ok_or_else(|| Refused::unknown_job(id.0))?;
    refuse_without_bytes(&row)?;
    // What a condition depends on is not told: where there is one, all of it is sent.
    let range = headers.get(header::RANGE).filter(|_| !headers.contains_key(header::IF_RANGE));
    let range = range.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut source = Source::new(api.clone(), id);
    let known = row.identity.total_bytes.filter(|_| row.lifecycle.phase != Phase::Completed);
    let (total, row) = match known {
        Some(total) => (Some(total), row),
        // Once the first byte is there, so is what its server has said of the file.
        None => {
            refuse_unless_coming(&api, &row).await?;
            let first = tokio::time::timeout(BEGINS_WITHIN, source.available(0)).await;
            let first = first.map_err(|_| nothing_yet(&row))?.map_err(|gone| refused(&row, &gone))?;
            (first.total, api.store.job(id).await?.unwrap_or(row))
        }
    };
    source.promise(total);
    let (status, start, end) = match total.map(|total| (total, asked(range, total))) {
        Some((total, Asked::Beyond)) => return Ok(beyond(total)),
        Some((_, Asked::Part(start, end))) => (StatusCode::PARTIAL_CONTENT, start, Some(end)),
        Some((total, Asked::All)) => (StatusCode::OK, 0, Some(total)),
        // Without a length there are no ranges.
        None => (StatusCode::OK, 0, None),
    };
    let mut response = (status, Body::from_stream(pieces(source, start, end))).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::CONTENT_DISPOSITION, attachment(&row));
    if let (Some(total), Some(end)) = (total, end) {
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CONTENT_LENGTH, (end - start).into());
        if status == StatusCode::PARTIAL_CONTENT {
            headers.insert(header::CONTENT_RANGE, ascii(&format!("bytes {start}-{}/{total}", end - 1)));
        }
    }
    Ok(response)
}

/// A job that has ended without its file, or is kept from beginning, has none to show.
fn refuse_without_bytes(row: &JobRow) -> Result<(), Refused> {
    let why = match (row.lifecycle.phase, row.lifecycle.intent) {
        (Phase::Canceled, _) => "somebody has given the job up",
        (Phase::Failed, _) => "the job has failed; `retry` goes on from the bytes that are there",
        (Phase::Fetching, Intent::Pause) if row.identity.total_bytes.is_none() => {
            "the job is paused, and nothing of its file is there; `resume` lets it go on"
        }
        (Phase::Fetching | Phase::Verifying | Phase::Completed, _) => return Ok(()),
    };
    Err(conflict(row, why.to_owned()))
}

/// Of a job that nothing is known of, and that nobody asks about, nothing comes for a while.
async fn refuse_unless_coming(api: &Api, row: &JobRow) -> Result<(), Refused> {
    if row.lifecycle.phase == Phase::Completed {
        return Ok(());
    }
    let (live, _) = api.driver.live(vec![row.id]).await.map_err(|e| driver_error(Some(row.id), e))?;
    // One that is not there may be on its way to the engine, or out of it.
    let waits = live.get(&row.id).is_some_and(|live| matches!(live.view.state, JobState::Waiting(_)));
    if waits { Err(nothing_yet(row)) } else { Ok(()) }
}

fn nothing_yet(row: &JobRow) -> Refused {
    conflict(row, format!("nothing of the file is there yet; `GET {}` says why", paths::job_why(row.id.0)))
}

fn refused(row: &JobRow, gone: &Gone) -> Refused {
    match gone {
        Gone::Stopping => Refused::shutting_down(),
        Gone::Store(error) => error.clone().into(),
        Gone::Ended | Gone::Changed | Gone::Missing | Gone::Disk(_) => conflict(row, format!("{gone}")),
    }
}

fn conflict(row: &JobRow, detail: String) -> Refused {
    Refused(Problem::new(ProblemCode::ConflictState, detail).with_instance(paths::job(row.id.0)))
}

fn beyond(total: u64) -> Response {
    let detail = format!("the file has {total} bytes, and none where the range begins");
    let mut response = Refused::field(ProblemCode::RangeNotSatisfiable, "Range", detail).into_response();
    response.headers_mut().insert(header::CONTENT_RANGE, ascii(&format!("bytes */{total}")));
    response
}

fn ascii(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("words and digits")
}

/// What RFC 8187 lets stand as it is.
const AS_IT_IS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The name under which a browser saves it (RFC 6266).
fn attachment(row: &JobRow) -> HeaderValue {
    let sealed = crate::driver::final_name(row);
    let name = sealed.or(row.identity.name.as_deref()).or(row.wish.filename.as_deref()).unwrap_or("download");
    ascii(&format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(name, AS_IT_IS)))
}

/// The bytes from `at` to `end`, or to the end of the file, piece by piece.
fn pieces(source: Source, at: u64, end: Option<u64>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((source, at), move |(mut source, at)| async move {
        if end.is_some_and(|end| at >= end) {
            return Ok(None);
        }
        let piece = piece(&mut source, at, end).await.inspect_err(|gone| debug!(%gone, at, "a reader is cut off"));
        let piece = piece.map_err(io::Error::from)?;
        let next = at + piece.len() as u64;
        Ok((!piece.is_empty()).then_some((piece, (source, next))))
    })
}

/// The next bytes; none at the end of a file whose length was not known.
async fn piece(source: &mut Source, at: u64, end: Option<u64>) -> Result<Bytes, Gone> {
    let Available { file, until, total: _ } = source.available(at).await?;
    let until = until.min(end.unwrap_or(u64::MAX)).min(at.saturating_add(PIECE_BYTES));
    let len = usize::try_from(until.saturating_sub(at)).expect("a piece fits into memory");
    blocking(move || {
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, at).map_err(|error| Gone::Disk(error.to_string()))?;
        Ok(bytes.into())
    })
    .await
}
