//! Each thing that may hold a job back: its stable code, its sentence and its numbers.

use std::time::Duration;

use haul_api::{Rate, WhyReason};
use haul_core::messages::Why;
use haul_core::{Fault, WaitingFor};
use serde_json::{Map, Value, json};

use crate::convert::host::status;
use crate::convert::words::{count, in_words, name, place, words};
use crate::convert::{millis, wire_waiting};
use crate::driver::{Explained, LimitOf, LimitOn};

/// The code of the one thing that is worth knowing but holds nothing back: there is always a speed.
pub(super) const PER_CONNECTION: &str = "per-connection";

/// One reason with its stable code, its sentence and its numbers.
pub(super) fn reason(why: &Why, known: &Explained) -> WhyReason {
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
