//! What holds a job back, in words and in numbers.

mod reason;

use std::time::Duration;

use haul_api::{HumanDuration, Rate, WhyReason};
use haul_core::{Intent, JobState, Phase};
use haul_store::JobRow;
use serde_json::{Map, json};

use super::{eta_seconds, path, starts_at, timestamp, whole};
use crate::driver::Explained;
use crate::options::Options;

use reason::{PER_CONNECTION, reason};

const CHECKING: &str = "all bytes are there; the file is being checked and put in place";

/// Explains a job that the engine holds.
pub(crate) fn explained(row: &JobRow, known: &Explained) -> haul_api::Why {
    let state = JobState::shown(row.lifecycle, Some(known.live.view.state));
    if let JobState::Paused | JobState::Completed | JobState::Failed | JobState::Canceled | JobState::Verifying = state
    {
        return stored(row);
    }
    let mut reasons: Vec<WhyReason> = known.reasons.iter().map(|why| reason(why, known)).collect();
    let what = doing(state, known);
    let weightiest = reasons.iter().find(|reason| reason.code != PER_CONNECTION).cloned();
    reasons.extend(insecure(row));
    let summary = match weightiest {
        Some(weightiest) => format!("{what}: {}", weightiest.message),
        None => format!("{what}; nothing holds it back"),
    };
    haul_api::Why { summary, reasons }
}

/// Explains a job of which there is only a row.
pub(crate) fn stored(row: &JobRow) -> haul_api::Why {
    let id = row.id;
    let because = row.reason.as_ref();
    let why = because.map_or("the reason was not stored", |reason| reason.message.as_str());
    let (code, message) = match (row.lifecycle.phase, row.lifecycle.intent) {
        (Phase::Fetching, Intent::Pause) => {
            ("paused", format!("somebody has paused it; `haul resume {id}` lets it go on"))
        }
        (Phase::Fetching, Intent::Run) if starts_at(row).is_some() => {
            let time = starts_at(row).unwrap_or_default();
            ("not-yet", format!("queued: it starts at {time}; `haul resume {id}` starts it now"))
        }
        (Phase::Fetching, Intent::Run) if because.is_some() => ("waiting", format!("waiting: {why}")),
        (Phase::Fetching, Intent::Run) => ("queued", "queued: it is about to be taken up".to_owned()),
        (Phase::Verifying, _) => ("verifying", CHECKING.to_owned()),
        (Phase::Completed, _) => ("completed", format!("it is complete: {}", path(row).unwrap_or_default())),
        (Phase::Failed, _) => ("failed", format!("it has failed: {why}; `haul retry {id}` tries again")),
        (Phase::Canceled, _) => ("canceled", "somebody has given it up".to_owned()),
    };
    let fault = because
        .filter(|_| matches!(code, "failed" | "waiting"))
        .map(|reason| json!({"code": reason.code, "message": reason.message, "at": timestamp(reason.at_ms)}));
    let numbers = fault.map_or_else(Map::new, |fault| Map::from_iter([("fault".to_owned(), fault)]));
    let mut reasons = vec![WhyReason { code: code.to_owned(), message: message.clone(), numbers }];
    reasons.extend(insecure(row));
    haul_api::Why { summary: message, reasons }
}

/// Nothing that holds a job back, but nobody should overlook it.
fn insecure(row: &JobRow) -> Option<WhyReason> {
    let message = "the server's certificate is not looked at: whoever sits in between can send another file".to_owned();
    let is_insecure = Options::of(&row.wish).insecure;
    is_insecure.then(|| WhyReason { code: "insecure".to_owned(), message, numbers: Map::new() })
}

/// What a job that the engine holds is doing: `fetching at 2.88 MB/s, 4 min 05 s left`.
fn doing(state: JobState, known: &Explained) -> String {
    let view = &known.live.view;
    let speed = whole(view.bytes_per_second);
    match state {
        JobState::Queued => "queued".to_owned(),
        JobState::Probing => "asking the server".to_owned(),
        JobState::Waiting(_) => "waiting".to_owned(),
        JobState::Active if speed == 0 => "fetching".to_owned(),
        JobState::Active
        | JobState::Paused
        | JobState::Verifying
        | JobState::Completed
        | JobState::Failed
        | JobState::Canceled => {
            let left = eta_seconds(view.total, view.done_bytes, speed);
            let left = left.map(|seconds| format!(", {} left", HumanDuration(Duration::from_secs(seconds)).approx()));
            format!("fetching at {}{}", Rate(speed).approx(), left.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use haul_api::{Day, Window};
    use haul_core::messages::{JobView, Why};
    use haul_core::{Fault, FaultKind, JobId, Lifecycle, MirrorIndex, WaitingFor};
    use haul_store::{Counts, Identity, Reason, Wish};
    use serde_json::Value;

    use super::*;
    use crate::driver::{LimitOf, LimitOn, Live};

    fn known(state: JobState, speed: f64, reasons: Vec<Why>) -> Explained {
        let view = JobView {
            state,
            fault: None,
            retry_in: None,
            total: Some(1_000_000_000),
            accepts_ranges: Some(true),
            done_bytes: 300_000_000,
            bytes_per_second: speed,
            connections: 2,
            connections_max: 32,
            chunks: (1, 60),
            restarts: 0,
            compared: false,
            mirrors: Vec::new(),
        };
        let limit = |of, bytes_per_second, window| LimitOn { of, bytes_per_second, window };
        let limits = vec![
            limit(LimitOf::Job, 2_000_000, None),
            limit(LimitOf::Label("iso".to_owned()), 3_000_000, Some(evening())),
            limit(LimitOf::Host("https://example.com".to_owned()), 4_000_000, None),
            limit(LimitOf::Everything, 5_000_000, None),
        ];
        Explained { live: Live { view, durable_bytes: 0 }, reasons, limits, max_active_jobs: 8 }
    }

    fn evening() -> Window {
        let time = |text: &str| text.parse().expect("a time");
        Window { from: time("18:00"), to: time("23:30"), days: vec![Day::Sat, Day::Sun], bandwidth_limit: 3_000_000 }
    }

    fn row(phase: Phase, intent: Intent, message: Option<&str>) -> JobRow {
        JobRow {
            id: JobId(17),
            wish: Wish { dir: "/srv".to_owned(), filename: Some("a.iso".to_owned()), ..Wish::default() },
            maker: None,
            lifecycle: Lifecycle { phase, intent },
            reason: message.map(|message| Reason {
                code: "http-status".to_owned(),
                message: message.to_owned(),
                at_ms: 0,
                retry_at_ms: None,
            }),
            restarts: 0,
            identity: Identity::default(),
            path: None,
            kept_part: None,
            renewed: false,
            part_token: "0123abcd".to_owned(),
            part: None,
            stamp: None,
            verification: None,
            verified: None,
            counts: Counts::default(),
            created_at_ms: 0,
            started_at_ms: None,
            finished_at_ms: None,
            updated_at_ms: 0,
            deleted_at_ms: None,
            version: 1,
            delete_files: false,
        }
    }

    /// Its row in the table below; a new variant does not compile until it has one.
    fn index(why: &Why) -> usize {
        match why {
            Why::NoSlot { .. } => 0,
            Why::Waits { .. } => 1,
            Why::HostWaits { .. } => 2,
            Why::HostCap { .. } => 3,
            Why::HostFull { .. } => 4,
            Why::TotalFull { .. } => 5,
            Why::JobCap { .. } => 6,
            Why::NoGain { .. } => 7,
            Why::Limited => 8,
            Why::SingleConnection => 9,
            Why::PerConnection { .. } => 10,
            Why::ExemptChunk { .. } => 11,
            Why::Backoff { .. } => 12,
            Why::Silent { .. } => 13,
            Why::MirrorDropped { .. } => 14,
            Why::QueueFull { .. } => 15,
        }
    }

    fn every_reason() -> Vec<(Why, &'static str, &'static str, Value)> {
        let busy = || Some(Fault::new(FaultKind::Status(429), "the server answered 429 Too Many Requests"));
        let fault = json!({"code": "http-status", "message": "the server answered 429 Too Many Requests"});
        let (host, secs) = (|| "https://example.com".to_owned(), Duration::from_secs);
        vec![
            (
                Why::NoSlot { active: 8, ahead: 3 },
                "no-slot",
                "8 jobs at a time is all that `max_active_jobs` allows, and 3 more come before it",
                json!({"active_jobs": 8, "max_active_jobs": 8, "jobs_ahead": 3}),
            ),
            (
                Why::Waits { waiting_for: WaitingFor::Host, retry_in: Some(secs(75)), fault: busy() },
                "waits",
                "the server asks for a pause: the server answered 429 Too Many Requests; the next try is in 1 min 15 s",
                json!({"waiting_for": "host", "retry_in_ms": 75_000, "fault": fault}),
            ),
            (
                Why::HostWaits { host: host(), wait: secs(30), fault: None },
                "host-waits",
                "example.com is left alone for 30 s",
                json!({"host": "https://example.com", "retry_in_ms": 30_000, "fault": null}),
            ),
            (
                Why::HostCap {
                    host: host(),
                    cap: 2,
                    active: 2,
                    refusals: 3,
                    holds: Duration::from_millis(13_400),
                    fault: busy(),
                },
                "host-cap",
                "example.com takes 2 connections, all in use (learned from 3 refusals, last: 429; one more is tried in 14 s)",
                json!({
                    "host": "https://example.com", "learned_cap": 2, "connections": 2, "refusals": 3, "holds_ms": 13_400,
                    "fault": fault,
                }),
            ),
            (
                Why::HostFull { host: "http://example.com:8080".to_owned(), max: 1 },
                "host-full",
                "http://example.com:8080 is allowed 1 connection, all in use",
                json!({"host": "http://example.com:8080", "connections_max": 1}),
            ),
            (
                Why::TotalFull { max: 512 },
                "total-full",
                "all 512 connections that may be open in all are in use (`connections_total`)",
                json!({"connections_max": 512}),
            ),
            (
                Why::JobCap { max: 32 },
                "job-cap",
                "it uses the 32 connections that it may use",
                json!({"connections_max": 32}),
            ),
            (
                Why::NoGain { useful: 8 },
                "no-gain",
                "more than 8 connections would bring nothing",
                json!({"useful_connections": 8}),
            ),
            (
                Why::Limited,
                "bandwidth-limit",
                "our own bandwidth limits hold it up: 2MB/s for this job, 3MB/s for the label iso from 18:00 to 23:30, \
                 4MB/s for example.com, 5MB/s for everything",
                json!({"limits": [
                    {"of": "job", "bytes_per_second": 2_000_000},
                    {
                        "of": "label", "name": "iso", "bytes_per_second": 3_000_000,
                        "window": {"from": "18:00", "to": "23:30", "days": ["sat", "sun"]},
                    },
                    {"of": "host", "name": "https://example.com", "bytes_per_second": 4_000_000},
                    {"of": "everything", "bytes_per_second": 5_000_000},
                ]}),
            ),
            (
                Why::SingleConnection,
                "single-connection",
                "the server sends files only from their start, so one connection is all there can be",
                json!({"connections_max": 1}),
            ),
            (
                Why::PerConnection { bytes_per_second: 180_000, connections: 16 },
                "per-connection",
                "the server gives about 180 KB/s per connection (16 in use)",
                json!({"bytes_per_second": 180_000, "connections": 16}),
            ),
            (
                Why::ExemptChunk { chunk: 276 << 20, strikes: 3, bytes_per_second: 48_000 },
                "exempt-chunk",
                "the chunk at 276 MiB is left alone after 3 strikes; it comes at 48.0 KB/s",
                json!({"chunk_start": 276_u64 << 20, "strikes": 3, "bytes_per_second": 48_000}),
            ),
            (
                Why::Backoff { chunks: 1, retry_in: Duration::from_millis(400) },
                "backoff",
                "1 chunk is held back after a fault; the next try is in 1 s",
                json!({"chunks": 1, "retry_in_ms": 400}),
            ),
            (Why::Silent { since: secs(3) }, "silent", "nothing has come for 3 s", json!({"silent_ms": 3000})),
            (
                Why::MirrorDropped { mirror: MirrorIndex(2), fault: Fault::new(FaultKind::BytesDiffer, "other bytes") },
                "mirror-dropped",
                "mirror 2 is not used any more: other bytes",
                json!({"mirror": 2, "fault": {"code": "bytes-differ", "message": "other bytes"}}),
            ),
            (
                Why::QueueFull { max: 2, ahead: 0 },
                "queue-full",
                "2 jobs at a time is all that `max_active_jobs` of its label allows, and it is the next",
                json!({"max_active_jobs": 2, "jobs_ahead": 0}),
            ),
        ]
    }

    #[test]
    fn every_reason_has_its_code_its_sentence_and_its_numbers() {
        let context = known(JobState::Active, 1.0, Vec::new());
        for (row, (why, code, message, numbers)) in every_reason().into_iter().enumerate() {
            assert_eq!(index(&why), row, "the table has a row for each variant, in their order");
            let reason = reason(&why, &context);
            assert_eq!((reason.code.as_str(), reason.message.as_str()), (code, message));
            assert_eq!(Value::Object(reason.numbers), numbers, "{code}");
        }
        assert_eq!(every_reason().len(), 16, "the last row is that of the last variant");
    }

    #[test]
    fn one_sentence_says_what_it_is_doing_and_what_holds_it_back() {
        let each = || Why::PerConnection { bytes_per_second: 180_000, connections: 2 };
        for (state, speed, reasons, summary) in [
            (
                JobState::Active,
                2_880_000.0,
                vec![Why::JobCap { max: 2 }, each()],
                "fetching at 2.88 MB/s, 4 min 04 s left: it uses the 2 connections that it may use",
            ),
            (
                JobState::Active,
                2_880_000.0,
                vec![each()],
                "fetching at 2.88 MB/s, 4 min 04 s left; nothing holds it back",
            ),
            (
                JobState::Active,
                0.0,
                vec![Why::Silent { since: Duration::from_secs(3) }],
                "fetching: nothing has come for 3 s",
            ),
            (
                JobState::Queued,
                0.0,
                vec![Why::NoSlot { active: 8, ahead: 0 }],
                "queued: 8 jobs at a time is all that `max_active_jobs` allows, and it is the next",
            ),
            (JobState::Probing, 0.0, Vec::new(), "asking the server; nothing holds it back"),
            (
                JobState::Waiting(WaitingFor::Link),
                0.0,
                vec![Why::Waits { waiting_for: WaitingFor::Link, retry_in: None, fault: None }],
                "waiting: the link has expired, and a person has to renew it",
            ),
        ] {
            let why = explained(&row(Phase::Fetching, Intent::Run, None), &known(state, speed, reasons));
            assert_eq!(why.summary, summary);
        }
    }

    #[test]
    fn a_job_that_the_engine_does_not_hold_is_explained_by_its_row() {
        for (phase, intent, message, code, summary) in [
            (Phase::Fetching, Intent::Pause, None, "paused", "somebody has paused it; `haul resume 17` lets it go on"),
            (Phase::Fetching, Intent::Run, None, "queued", "queued: it is about to be taken up"),
            (Phase::Fetching, Intent::Run, Some("the disk is full"), "waiting", "waiting: the disk is full"),
            (Phase::Verifying, Intent::Run, None, "verifying", CHECKING),
            (Phase::Completed, Intent::Run, None, "completed", "it is complete: /srv/a.iso"),
            (
                Phase::Failed,
                Intent::Run,
                Some("404 Not Found"),
                "failed",
                "it has failed: 404 Not Found; `haul retry 17` tries again",
            ),
            (Phase::Canceled, Intent::Run, None, "canceled", "somebody has given it up"),
        ] {
            let why = stored(&row(phase, intent, message));
            assert_eq!(why.summary, summary);
            let [reason] = why.reasons.as_slice() else { panic!("one reason: {why:?}") };
            assert_eq!((reason.code.as_str(), reason.message.as_str()), (code, summary));
            assert_eq!(reason.numbers.get("fault").is_some(), message.is_some());
        }
    }

    #[test]
    fn what_the_user_wants_comes_before_what_the_engine_is_still_doing() {
        let why = explained(&row(Phase::Fetching, Intent::Pause, None), &known(JobState::Active, 5.0, Vec::new()));
        assert_eq!(why.reasons[0].code, "paused");
    }
}
