//! What holds a job back, in words and in numbers.

use std::time::Duration;

use haul_api::{HumanDuration, Rate, WhyReason};
use haul_core::messages::Why;
use haul_core::{Fault, Intent, JobState, Phase, WaitingFor};
use haul_store::JobRow;
use serde_json::{Map, Value, json};

use super::host::status;
use super::{eta_seconds, millis, path, starts_at, timestamp, whole, wire_waiting};
use crate::driver::{Explained, LimitOf, LimitOn};
use crate::options::Options;

/// The code of the one thing that is worth knowing but holds nothing back: there is always a speed.
const PER_CONNECTION: &str = "per-connection";

const CHECKING: &str = "all bytes are there; the file is being checked and put in place";

const MIB: f64 = 1_048_576.0;

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

/// One reason with its stable code, its sentence and its numbers.
fn reason(why: &Why, known: &Explained) -> WhyReason {
    let (code, message, numbers) = match why {
        Why::NoSlot { active, ahead } => (
            "no-slot",
            format!(
                "{} at a time is all that `max_active_jobs` allows, and {}",
                count(u64::from(known.max_active_jobs), "job"),
                if *ahead == 0 { "it is the next".to_owned() } else { format!("{} before it", come(*ahead)) }
            ),
            json!({"active_jobs": active, "max_active_jobs": known.max_active_jobs, "jobs_ahead": ahead}),
        ),
        Why::QueueFull { max, ahead } => (
            "queue-full",
            format!(
                "{} at a time is all that `max_active_jobs` of its label allows, and {}",
                count(*max as u64, "job"),
                if *ahead == 0 { "it is the next".to_owned() } else { format!("{} before it", come(*ahead)) }
            ),
            json!({"max_active_jobs": max, "jobs_ahead": ahead}),
        ),
        Why::Waits { waiting_for, retry_in, fault } => (
            "waits",
            format!("{}{}", awaited(*waiting_for, fault.as_ref()), next_try(*retry_in)),
            json!({
                "waiting_for": wire_waiting(*waiting_for), "retry_in_ms": retry_in.map(millis), "fault": wire(fault),
            }),
        ),
        Why::HostWaits { host, wait, fault } => (
            "host-waits",
            format!("{} is left alone for {}{}", name(host), words(*wait), after_colon(fault.as_ref())),
            json!({"host": host, "retry_in_ms": millis(*wait), "fault": wire(fault)}),
        ),
        Why::HostCap { host, cap, active, refusals, holds, fault } => (
            "host-cap",
            format!(
                "{} takes {}, {} (learned from {}{}; one more is tried {})",
                name(host),
                count(u64::from(*cap), "connection"),
                if active >= cap { "all in use".to_owned() } else { format!("{active} in use") },
                count(u64::from(*refusals), "refusal"),
                fault.as_ref().map_or_else(String::new, |fault| format!(", last: {}", short(fault))),
                in_words(*holds),
            ),
            json!({
                "host": host, "learned_cap": cap, "connections": active, "refusals": refusals,
                "holds_ms": millis(*holds), "fault": wire(fault),
            }),
        ),
        Why::HostFull { host, max } => (
            "host-full",
            format!("{} is allowed {}, all in use", name(host), count(u64::from(*max), "connection")),
            json!({"host": host, "connections_max": max}),
        ),
        Why::TotalFull { max } => (
            "total-full",
            format!(
                "all {} that may be open in all are in use (`connections_total`)",
                count(u64::from(*max), "connection")
            ),
            json!({"connections_max": max}),
        ),
        Why::JobCap { max } => (
            "job-cap",
            format!("it uses the {} that it may use", count(u64::from(*max), "connection")),
            json!({"connections_max": max}),
        ),
        Why::NoGain { useful } => (
            "no-gain",
            format!("more than {} would bring nothing", count(u64::from(*useful), "connection")),
            json!({"useful_connections": useful}),
        ),
        Why::Limited => {
            let limits: Vec<_> = known.limits.iter().map(limit_in_numbers).collect();
            ("bandwidth-limit", limited(&known.limits), json!({"limits": limits}))
        }
        Why::SingleConnection => (
            "single-connection",
            "the server sends files only from their start, so one connection is all there can be".to_owned(),
            json!({"connections_max": 1}),
        ),
        Why::PerConnection { bytes_per_second, connections } => (
            PER_CONNECTION,
            format!(
                "the server gives about {} per connection ({connections} in use)",
                Rate(*bytes_per_second).approx()
            ),
            json!({"bytes_per_second": bytes_per_second, "connections": connections}),
        ),
        Why::ExemptChunk { chunk, strikes, bytes_per_second } => (
            "exempt-chunk",
            format!(
                "the chunk at {} is left alone after {}; it comes at {}",
                place(*chunk),
                count(u64::from(*strikes), "strike"),
                Rate(*bytes_per_second).approx()
            ),
            json!({"chunk_start": chunk, "strikes": strikes, "bytes_per_second": bytes_per_second}),
        ),
        Why::Backoff { chunks, retry_in } => (
            "backoff",
            format!(
                "{} held back after a fault; the next try is {}",
                if *chunks == 1 { "1 chunk is".to_owned() } else { format!("{chunks} chunks are") },
                in_words(*retry_in)
            ),
            json!({"chunks": chunks, "retry_in_ms": millis(*retry_in)}),
        ),
        Why::Silent { since } => {
            ("silent", format!("nothing has come for {}", words(*since)), json!({"silent_ms": millis(*since)}))
        }
        Why::MirrorDropped { mirror, fault } => (
            "mirror-dropped",
            format!("mirror {mirror} is not used any more: {fault}"),
            json!({"mirror": mirror.0, "fault": wire(&Some(fault.clone()))}),
        ),
    };
    let Value::Object(numbers) = numbers else { unreachable!("every arm makes an object") };
    WhyReason { code: code.to_owned(), message, numbers }
}

fn awaited(waiting_for: WaitingFor, fault: Option<&Fault>) -> String {
    let what = match waiting_for {
        WaitingFor::Retry => "the last try failed",
        WaitingFor::Host => "the server asks for a pause",
        WaitingFor::Disk => "the disk is full",
        WaitingFor::Network => "there is no network",
        WaitingFor::Schedule => "none of the windows of its label is open",
        WaitingFor::Link => "the link has expired, and a person has to renew it",
        WaitingFor::Volume => "the volume is gone",
    };
    format!("{what}{}", after_colon(fault))
}

fn next_try(retry_in: Option<Duration>) -> String {
    retry_in.map_or_else(String::new, |wait| format!("; the next try is {}", in_words(wait)))
}

fn after_colon(fault: Option<&Fault>) -> String {
    fault.map_or_else(String::new, |fault| format!(": {fault}"))
}

fn limited(limits: &[LimitOn]) -> String {
    let limits: Vec<_> = limits.iter().map(limit_in_words).collect();
    match limits.as_slice() {
        [] => "our own bandwidth limit holds it up".to_owned(),
        [one] => format!("our own bandwidth limit holds it up: {one}"),
        several => format!("our own bandwidth limits hold it up: {}", several.join(", ")),
    }
}

/// `2MB/s for the label iso from 08:00 to 18:00`
fn limit_in_words(limit: &LimitOn) -> String {
    let of = match &limit.of {
        LimitOf::Job => "this job".to_owned(),
        LimitOf::Label(label) => format!("the label {label}"),
        LimitOf::Host(host) => name(host).to_owned(),
        LimitOf::Everything => "everything".to_owned(),
    };
    let window = limit.window.as_ref().map(|window| format!(" from {} to {}", window.from, window.to));
    format!("{}/s for {of}{}", Rate(limit.bytes_per_second), window.unwrap_or_default())
}

fn limit_in_numbers(limit: &LimitOn) -> Value {
    let (of, name) = match &limit.of {
        LimitOf::Job => ("job", None),
        LimitOf::Label(label) => ("label", Some(label)),
        LimitOf::Host(host) => ("host", Some(host)),
        LimitOf::Everything => ("everything", None),
    };
    let mut numbers =
        Map::from_iter([("of".to_owned(), json!(of)), ("bytes_per_second".to_owned(), json!(limit.bytes_per_second))]);
    numbers.extend(name.map(|name| ("name".to_owned(), json!(name))));
    numbers.extend(
        limit
            .window
            .as_ref()
            .map(|window| ("window".to_owned(), json!({"from": window.from, "to": window.to, "days": window.days}))),
    );
    Value::Object(numbers)
}

/// A host as people call it; what is not `https` is told by its scheme.
pub(super) fn name(host: &str) -> &str {
    host.strip_prefix("https://").unwrap_or(host)
}

/// A fault in a word: its status if there is one, else its code.
fn short(fault: &Fault) -> String {
    status(fault.kind).map_or_else(|| fault.kind.code().to_owned(), |status| status.to_string())
}

fn wire(fault: &Option<Fault>) -> Value {
    json!(fault.as_ref().map(|fault| json!({"code": fault.kind.code(), "message": fault.to_string()})))
}

fn come(jobs: usize) -> String {
    if jobs == 1 { "1 more comes".to_owned() } else { format!("{jobs} more come") }
}

pub(super) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A place in a file: `276 MiB`, `0.5 MiB`.
pub(super) fn place(at: u64) -> String {
    let mib = at as f64 / MIB;
    if mib.fract() == 0.0 { format!("{mib:.0} MiB") } else { format!("{mib:.1} MiB") }
}

/// A wait, in seconds from one up.
pub(super) fn words(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    HumanDuration(Duration::from_secs(seconds.max(1))).approx()
}

pub(super) fn in_words(wait: Duration) -> String {
    if wait.is_zero() { "now".to_owned() } else { format!("in {}", words(wait)) }
}

#[cfg(test)]
mod tests {
    use haul_api::{Day, Window};
    use haul_core::messages::JobView;
    use haul_core::{FaultKind, JobId, Lifecycle, MirrorIndex};
    use haul_store::{Counts, Identity, Reason, Wish};

    use super::*;
    use crate::driver::Live;

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
