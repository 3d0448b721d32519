//! `host`: what is known of servers, and what all jobs together may use of one.

use haul_api::query::LIMIT_MAX;
use haul_api::{Host, HostList, HostQuery, PatchHost, Rate};
use jiff::Timestamp;

use super::{limit, show};
use crate::args::{self, HostConnections};
use crate::error::{Exit, Failure};
use crate::find::Daemon;
use crate::out::Out;
use crate::table::{Align, Table};
use crate::text::{count, escaped, left};

pub(crate) async fn host(daemon: &Daemon, args: &args::Host, out: &Out) -> Result<Exit, Failure> {
    let Some(name) = &args.name else { return list(daemon, out).await };
    let failed = |error| daemon.failure(error);
    if args.forget {
        daemon.client.forget_host(name).await.map_err(failed)?;
        // The API answers nothing, so there is nothing to print for programs.
        if !out.is_json() {
            out.note(format!("{}  forgotten", escaped(name)));
        }
        return Ok(Exit::Fine);
    }
    let patch = patch(args);
    let host = if patch == PatchHost::default() {
        daemon.client.host(name).await
    } else {
        daemon.client.patch_host(name, &patch).await
    };
    let host = host.map_err(failed)?;
    if out.is_json() {
        out.json(&host)?;
    } else {
        for (name, value) in facts(&host, Timestamp::now()) {
            out.line(format!("{name:<13} {value}"))?;
        }
    }
    Ok(Exit::Fine)
}

fn patch(args: &args::Host) -> PatchHost {
    PatchHost {
        connections: args.connections.map(|connections| match connections {
            HostConnections::Default => None,
            HostConnections::Max(number) => Some(number),
        }),
        bandwidth_limit: args.limit.map(|rate| Some(rate.0)),
        blocked: args.unblock.then_some(false),
    }
}

async fn list(daemon: &Daemon, out: &Out) -> Result<Exit, Failure> {
    let mut query = HostQuery { cursor: None, limit: Some(LIMIT_MAX) };
    let mut hosts = Vec::new();
    loop {
        let page = daemon.client.hosts(&query).await.map_err(|error| daemon.failure(error))?;
        hosts.extend(page.hosts);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    if out.is_json() {
        out.json(&HostList { hosts, next_cursor: None })?;
    } else if hosts.is_empty() {
        out.note("no hosts; they are met when something is downloaded from them");
    } else {
        out.line(table(&hosts, Timestamp::now()).render(out.width()))?;
    }
    Ok(Exit::Fine)
}

fn table(hosts: &[Host], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        ("HOST", Align::Left),
        ("IN USE", Align::Right),
        ("AT MOST", Align::Right),
        ("LEARNED", Align::Right),
        ("EACH", Align::Right),
        ("ANSWER", Align::Right),
        ("LIMIT", Align::Right),
        ("NOTE", Align::Left),
    ]);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for host in hosts {
        let limit = (host.bandwidth_limit > 0).then(|| limit::words(host.bandwidth_limit));
        table.push(vec![
            escaped(&host.host).into_owned().into(),
            host.connections.active.to_string().into(),
            host.connections.max.to_string().into(),
            or_dash(host.connections.learned_cap.map(|cap| cap.to_string())).into(),
            or_dash(host.bytes_per_second.map(|speed| Rate(speed).approx())).into(),
            or_dash(host.answer_time_ms.map(|millis| format!("{millis} ms"))).into(),
            or_dash(limit).into(),
            note(host, now).into(),
        ]);
    }
    table
}

/// What is unusual about a host at the moment: it is left alone, or it has refused connections.
fn note(host: &Host, now: Timestamp) -> String {
    let fault = || host.last_fault.as_ref().map(|fault| format!(": {}", escaped(&fault.message))).unwrap_or_default();
    match (blocked(host, now), host.connections.learned_cap) {
        (Some(blocked), _) => format!("left alone {blocked}{}", fault()),
        (None, Some(_)) => format!("has refused more{}", fault()),
        (None, None) => "-".to_owned(),
    }
}

/// Everything that is known of a host.
fn facts(host: &Host, now: Timestamp) -> Vec<(&'static str, String)> {
    let connections = host.connections;
    let mut facts = vec![
        ("host", escaped(&host.host).into_owned()),
        ("connections", format!("{} of at most {}", connections.active, connections.max)),
    ];
    let mut add = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    add("learned", connections.learned_cap.map(|cap| learned(host, cap, now)));
    add("useful", host.useful_connections.map(|number| format!("{} for one job", connections_in_words(number))));
    add("each", host.bytes_per_second.map(|speed| format!("about {}", Rate(speed).approx())));
    add("answers in", host.answer_time_ms.map(|millis| format!("{millis} ms")));
    add("left alone", blocked(host, now));
    add(
        "last fault",
        host.last_fault.as_ref().map(|fault| {
            format!("{} ({}), {}", escaped(&fault.message), escaped(&fault.code), show::local_time(fault.at))
        }),
    );
    add("limit", (host.bandwidth_limit > 0).then(|| limit::words(host.bandwidth_limit)));
    facts
}

fn learned(host: &Host, cap: u32, now: Timestamp) -> String {
    let refusals = count(host.connections.learned_from as usize, "refusal");
    let again = match host.connections.holds_until.map(|until| seconds(until, now)) {
        Some(seconds) if seconds > 0 => format!("; one more is tried in {}", left(seconds)),
        Some(_) | None => "; one more is tried next".to_owned(),
    };
    format!("it takes {}, from {refusals}{again}", connections_in_words(cap))
}

fn blocked(host: &Host, now: Timestamp) -> Option<String> {
    let seconds = seconds(host.blocked_until?, now);
    (seconds > 0).then(|| format!("for {}", left(seconds)))
}

fn connections_in_words(number: u32) -> String {
    count(number as usize, "connection")
}

/// The whole seconds until then, rounded up; 0 when it has passed.
fn seconds(until: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(until.duration_since(now).as_millis()).unwrap_or(0).div_ceil(1000)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn busy() -> Host {
        serde_json::from_value(json!({
            "host": "https://a.example",
            "connections": {
                "active": 2, "max": 32, "learned_cap": 2, "learned_from": 3, "holds_until": "2026-11-05T10:00:14Z",
            },
            "useful_connections": 8, "bytes_per_second": 180_000, "answer_time_ms": 42,
            "blocked_until": null,
            "last_fault": {"code": "http-status", "message": "429\u{1b}[2J", "at": "2026-11-05T10:00:00Z"},
            "bandwidth_limit": 2_000_000,
        }))
        .expect("a host")
    }

    fn quiet() -> Host {
        let connections = haul_api::HostConnections { max: 32, ..Default::default() };
        Host {
            host: "http://b.example:8080".to_owned(),
            connections,
            useful_connections: None,
            bytes_per_second: None,
            answer_time_ms: None,
            last_fault: None,
            bandwidth_limit: 0,
            ..busy()
        }
    }

    #[test]
    fn a_row_tells_what_a_host_gives_and_refuses() {
        let left_alone = Host { blocked_until: Some(at("2026-11-05T10:00:30Z")), ..busy() };
        let text = table(&[busy(), quiet(), left_alone], at("2026-11-05T10:00:00Z")).render(None);
        let rows: Vec<_> = text.lines().map(str::trim_end).collect();
        assert_eq!(
            rows,
            [
                "HOST                   IN USE  AT MOST  LEARNED      EACH  ANSWER  LIMIT  NOTE",
                "https://a.example           2       32        2  180 KB/s   42 ms  2MB/s  has refused more: 429\\u{1b}[2J",
                "http://b.example:8080       0       32        -         -       -      -  -",
                "https://a.example           2       32        2  180 KB/s   42 ms  2MB/s  left alone for 30 s: 429\\u{1b}[2J",
            ]
        );
    }

    #[test]
    fn unknown_facts_are_left_out_and_known_ones_are_words() {
        let now = at("2026-11-05T10:00:00.5Z");
        let names: Vec<_> = facts(&quiet(), now).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["host", "connections"]);
        let facts = facts(&busy(), now);
        let fact = |wanted| &facts.iter().find(|(name, _)| *name == wanted).expect("it is known").1;
        assert_eq!(fact("learned"), "it takes 2 connections, from 3 refusals; one more is tried in 14 s");
        assert_eq!(fact("useful"), "8 connections for one job");
        assert!(!facts.iter().any(|(_, value)| value.contains(char::is_control)));
        assert_eq!(
            learned(&busy(), 1, at("2026-11-05T10:00:14Z")),
            "it takes 1 connection, from 3 refusals; one more is tried next"
        );
    }

    #[test]
    fn options_become_a_patch_and_none_of_them_a_question() {
        let args = |connections, limit, unblock| args::Host { name: None, connections, limit, unblock, forget: false };
        assert_eq!(patch(&args(None, None, false)), PatchHost::default());
        assert_eq!(
            patch(&args(Some(HostConnections::Default), Some(Rate(0)), true)),
            PatchHost { connections: Some(None), bandwidth_limit: Some(Some(0)), blocked: Some(false) }
        );
        assert_eq!(patch(&args(Some(HostConnections::Max(4)), None, false)).connections, Some(Some(4)));
    }
}
