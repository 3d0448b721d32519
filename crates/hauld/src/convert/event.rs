//! What has happened to a job, in words and in numbers.

use std::time::Duration;

use haul_api::{Event, Rate, Size};
use haul_store::{EventKind, JobEvent};
use serde_json::{Map, Value};

use super::timestamp;
use super::words::{count as amount, in_words, name, place, words};

/// One event as a client sees it.
pub(crate) fn event(event: &JobEvent) -> Event {
    // Both are plain data under names, so this cannot fail; and where it did, the words would still be there.
    let mut wire = serde_json::to_value(&event.kind).unwrap_or_default();
    let kind = wire["kind"].as_str().unwrap_or_default().to_owned();
    let data = match wire["data"].take() {
        Value::Object(data) => data,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    };
    let message = message(&event.kind);
    Event { id: event.id, job: event.job.0, at: timestamp(event.at_ms), kind, message, data }
}

/// One sentence on what has happened.
fn message(kind: &EventKind) -> String {
    match kind {
        EventKind::Accepted { paused: false } => "accepted".to_owned(),
        EventKind::Accepted { paused: true } => "accepted, to be started later".to_owned(),
        EventKind::Paused => "paused by a user".to_owned(),
        EventKind::Resumed => "resumed by a user".to_owned(),
        EventKind::Retried => "started again by a user".to_owned(),
        EventKind::Canceled => "given up by a user".to_owned(),
        EventKind::Edited { fields } => format!("changed by a user: {}", fields.join(", ")),
        EventKind::Deleted => "deleted by a user".to_owned(),
        EventKind::Restored => "brought back by a user".to_owned(),
        EventKind::Queued => "waits for a slot".to_owned(),
        EventKind::Probing => "asking the server".to_owned(),
        EventKind::Started { filename, total_bytes, accepts_ranges } => {
            started(filename, *total_bytes, *accepts_ranges)
        }
        EventKind::Active => "fetching".to_owned(),
        EventKind::Waiting { waiting_for, detail, retry_in_ms, code: _ } => format!(
            "waiting for {waiting_for}{}{}",
            after_colon(detail.as_deref()),
            retry_in_ms.map_or_else(String::new, |ms| format!("; the next try is {}", in_words(millis(ms))))
        ),
        EventKind::Verifying => "all bytes are there; they are being checked".to_owned(),
        EventKind::Completed { path, total_bytes, verification } => format!(
            "complete: {}{}{}",
            Size(*total_bytes).approx(),
            path.as_ref().map_or_else(String::new, |path| format!(" in {path}")),
            verification.as_ref().map_or_else(String::new, |word| format!(", verified by: {word}"))
        ),
        EventKind::Failed { detail, code: _ } => format!("failed{}", after_colon(detail.as_deref())),
        EventKind::TakenUp { done_bytes, total_bytes } => format!(
            "taken up by a new run of the daemon, with {}{}",
            Size(*done_bytes).approx(),
            total_bytes.map_or_else(String::new, |total| format!(" of {}", Size(total).approx()))
        ),
        EventKind::Restarted { restarts, dropped_bytes } => format!(
            "the file has changed on its server: starting over (time {restarts}), {} dropped",
            Size(*dropped_bytes).approx()
        ),
        EventKind::BytesDropped { dropped_bytes } => {
            format!("{} that were there cannot be used; they are fetched again", Size(*dropped_bytes).approx())
        }
        EventKind::Fault { host, detail, wait_ms, count, .. } => {
            format!("{}: {detail}{}; tried again {}", name(host), times(*count), in_words(millis(*wait_ms)))
        }
        EventKind::Strike { host, chunk_start, strikes, bytes_per_second, count } => format!(
            "{}: a connection at {} was too slow, at {}{}, and is replaced ({} for that chunk)",
            name(host),
            place(*chunk_start),
            Rate(*bytes_per_second).approx(),
            times(*count),
            amount(u64::from(*strikes), "strike")
        ),
        EventKind::Replaced { host, reason, count } => {
            let why = if reason == "unanswered" { "its answer is overdue" } else { "another one may be faster" };
            format!("{}: a connection is replaced, because {why}{}", name(host), times(*count))
        }
        EventKind::HostCap { host, connections } => {
            format!("{} takes no more than {}", name(host), amount(u64::from(*connections), "connection"))
        }
        EventKind::HostWaits { host, wait_ms, detail, code: _ } => {
            format!("{} is left alone for {}: {detail}", name(host), words(millis(*wait_ms)))
        }
        EventKind::SingleConnection => "the server does not serve ranges; one connection from now on".to_owned(),
        EventKind::LinkTriedAgain => "the link has expired; the submitted URL is tried once more".to_owned(),
        EventKind::MirrorsAdded { hosts } => {
            let hosts: Vec<_> = hosts.iter().map(|host| name(host)).collect();
            format!("the file is also to be had at {}", hosts.join(", "))
        }
        EventKind::MirrorProven { mirror, host } => {
            format!("mirror {mirror} ({}) has the same file and contributes", name(host))
        }
        EventKind::MirrorDropped { mirror, host, detail, code: _ } => {
            format!("mirror {mirror} ({}) is not used any more: {detail}", name(host))
        }
        EventKind::ValidatorsVary { mirror, host } => {
            format!("mirror {mirror} ({}) names the same bytes differently; samples are compared instead", name(host))
        }
        EventKind::Conflict { detail, code: _ } => format!("two answers do not fit together: {detail}"),
        EventKind::Healing { bytes } => {
            format!("the checksum does not match; {} are fetched again", Size(*bytes).approx())
        }
    }
}

fn started(filename: &Option<String>, total_bytes: Option<u64>, accepts_ranges: Option<bool>) -> String {
    format!(
        "the server has answered: {}, {}{}",
        filename.as_deref().unwrap_or("a file without a name"),
        total_bytes.map_or_else(|| "of unknown length".to_owned(), |total| Size(total).approx()),
        if accepts_ranges == Some(false) { ", from its start only" } else { "" }
    )
}

fn after_colon(detail: Option<&str>) -> String {
    detail.map_or_else(String::new, |detail| format!(": {detail}"))
}

fn times(count: u32) -> String {
    if count == 1 { String::new() } else { format!(" ({count} times)") }
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use haul_core::JobId;
    use serde_json::json;

    use super::*;

    fn wire(kind: EventKind) -> Value {
        let event = event(&JobEvent { id: 7, job: JobId(17), at_ms: 1000, kind });
        serde_json::to_value(event).expect("plain data")
    }

    #[test]
    fn events_have_words_and_numbers() {
        let text = |text: &str| text.to_owned();
        let host = || text("https://example.org");
        for (kind, word, message, number) in [
            (EventKind::Paused, "paused", "paused by a user", Value::Null),
            (
                EventKind::Started {
                    filename: Some(text("a.iso")),
                    total_bytes: Some(4_700_000_000),
                    accepts_ranges: Some(true),
                },
                "started",
                "the server has answered: a.iso, 4.70 GB",
                json!(4_700_000_000_u64),
            ),
            (
                EventKind::Fault {
                    host: host(),
                    code: text("reset"),
                    detail: text("the connection broke"),
                    chunk_start: 5,
                    retries: 2,
                    wait_ms: 400,
                    count: 12,
                },
                "fault",
                "example.org: the connection broke (12 times); tried again in 1 s",
                Value::Null,
            ),
            (
                EventKind::Waiting {
                    waiting_for: text("retry"),
                    code: Some(text("connect")),
                    detail: Some(text("refused")),
                    retry_in_ms: Some(8000),
                },
                "waiting",
                "waiting for retry: refused; the next try is in 8 s",
                Value::Null,
            ),
            (
                EventKind::Strike {
                    host: text("http://example.org:8080"),
                    chunk_start: 3 << 20,
                    strikes: 1,
                    bytes_per_second: 50_000,
                    count: 1,
                },
                "strike",
                "http://example.org:8080: a connection at 3 MiB was too slow, at 50.0 KB/s, and is replaced (1 strike for \
                 that chunk)",
                Value::Null,
            ),
        ] {
            let wire = wire(kind);
            assert_eq!((&wire["id"], &wire["job"], &wire["kind"]), (&json!(7), &json!(17), &json!(word)));
            assert_eq!(wire["message"], message);
            assert_eq!(wire["at"], "1970-01-01T00:00:01Z");
            assert_eq!(wire["total_bytes"], number, "{wire}");
        }
    }

    #[test]
    fn the_fields_of_an_event_do_not_hide_its_own() {
        let kinds = [
            EventKind::Waiting { waiting_for: String::new(), code: None, detail: None, retry_in_ms: None },
            EventKind::Edited { fields: vec!["label".to_owned()] },
        ];
        for kind in kinds {
            let wire = wire(kind);
            assert_eq!((wire["id"].as_u64(), wire["job"].as_u64()), (Some(7), Some(17)), "{wire}");
        }
    }
}
