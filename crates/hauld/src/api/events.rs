//! What happens to all jobs, as a stream of server-sent events.
//!
//! A stream has no queue of its own: it reads the log behind the last event that it has told, whenever the store says that
//! there is more. So replaying and following are the same, nothing falls between the two, and a reader that is slow costs a
//! page; when the log's bounds overtake it, it is told so. Progress is told as it is when the reader takes it.

mod follower;

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Uri, header};
use axum::response::sse::Sse;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use haul_api::event::PROGRESS;
use haul_api::{ProblemCode, StreamQuery, paths};
use haul_core::JobId;
use haul_store::{EventFilter, EventKind};

use super::Api;
use super::document;
use super::extract::job_id;
use super::problem::Refused;
use crate::access::Caller;

use follower::{Follower, Wanted};

/// Streams at a time (FAILURES.md, F-API-06).
pub(crate) const STREAMS_MAX: usize = 64;

/// The header that names the last event that is known (HTML, section 9.2.4).
const LAST_EVENT_ID: &str = "last-event-id";

/// Tells what happens to jobs, from now on or from an event on.
#[utoipa::path(get, path = paths::EVENTS, tag = "jobs", params(
    ("job" = Option<u64>, Query, description = "Only what happens to this job"),
    ("label" = Option<String>, Query, description = "Only what happens to jobs with this label"),
    ("types" = Option<Vec<String>>, Query, style = Form, explode = false, description = "Only these kinds of events, and `progress`"),
    ("Last-Event-ID" = Option<u64>, Header, description = "What has happened behind this event comes first; 0 means all that is kept")),
    responses(
        (status = 200, description = "Server-sent events without an end. The event is an event's kind with an `Event` as its data; or \
          `progress`, without an id, with a `Progress`; or `lagged` with a `Lagged`", content_type = "text/event-stream", body = String),
        document::Stream))]
pub(super) async fn stream(State(api): State<Api>, headers: HeaderMap, uri: Uri) -> Result<Response, Refused> {
    let caller = Caller::current();
    let query = StreamQuery::parse(uri.query().unwrap_or_default())?;
    let after = last_event_id(&headers)?;
    let types = Types::parse(query.types)?;
    let job = query.job.map(JobId);
    if let Some(id) = job {
        let row = api.store.job(id).await?;
        row.filter(|row| caller.sees(row)).ok_or_else(|| Refused::unknown_job(id.0))?;
    }
    let Ok(place) = Arc::clone(&api.streams).try_acquire_owned() else {
        let detail = format!("there are {STREAMS_MAX} streams, which is the most; end one, or try again later");
        return Err(Refused::new(ProblemCode::TooManyStreams, detail));
    };
    let filter = EventFilter { job, label: query.label, token: caller.only_of(), kinds: types.kinds };
    let wanted = Wanted { filter, events: types.events, progress: types.progress };
    let follower = Follower::new(&api, caller, place, wanted, after);
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    // A proxy on the way shall not hold anything back.
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), "no");
    Ok(([(header::CACHE_CONTROL, "no-store"), unbuffered], Sse::new(events)).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    // Numbers of events have the form of those of jobs.
    let id = value.to_str().ok().and_then(job_id);
    id.map(|id| Some(id.0)).ok_or_else(|| {
        let detail = "`Last-Event-ID` must be the `id` of an event, or 0";
        Refused::field(ProblemCode::InvalidValue, "Last-Event-ID", detail)
    })
}

/// What a stream tells.
#[derive(Debug, PartialEq, Eq)]
struct Types {
    /// Of events only these kinds; all when empty.
    kinds: Vec<String>,
    events: bool,
    progress: bool,
}

impl Types {
    fn parse(words: Vec<String>) -> Result<Self, Refused> {
        if words.is_empty() {
            return Ok(Self { kinds: Vec::new(), events: true, progress: true });
        }
        if let Some(unknown) = words.iter().find(|word| *word != PROGRESS && !EventKind::WORDS.contains(&word.as_str()))
        {
            let shown = haul_transfer::Escaped(unknown.as_bytes());
            let known = EventKind::WORDS.join("`, `");
            let detail = format!("no event is called `{shown}`; there are `{PROGRESS}`, `{known}`");
            return Err(Refused::field(ProblemCode::InvalidValue, "types", detail));
        }
        let (progress, kinds): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| word == PROGRESS);
        Ok(Self { events: !kinds.is_empty(), progress: !progress.is_empty(), kinds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_tells_everything_unless_types_are_named() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let types = |all: &[&str]| Types::parse(words(all)).expect("known types");
        assert_eq!(types(&[]), Types { kinds: Vec::new(), events: true, progress: true });
        assert_eq!(types(&["progress"]), Types { kinds: Vec::new(), events: false, progress: true });
        assert_eq!(types(&["failed"]), Types { kinds: words(&["failed"]), events: true, progress: false });
        let both = Types { kinds: words(&["paused", "taken-up"]), events: true, progress: true };
        assert_eq!(types(&["paused", "progress", "taken-up"]), both);
        for wrong in ["", "lagged", "Paused", "a\u{1b}"] {
            let problem = Types::parse(words(&["paused", wrong])).expect_err(wrong).0;
            assert_eq!(problem.field.as_deref(), Some("types"), "{wrong}");
            assert!(!problem.detail.contains('\u{1b}'));
        }
    }
}
