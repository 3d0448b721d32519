//! `limit`: the bandwidth limit of everything, of a label, or of one job.

use std::collections::BTreeMap;

use haul_api::{Day, LabelLimits, Limits, PatchJob, Rate, Settings, Window};

use crate::args::job_id;
use crate::error::{Exit, Failure};
use crate::find::Daemon;
use crate::out::Out;
use crate::sentence;

/// What the words after `limit` ask for; without a rate it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    of: Of,
    rate: Option<Rate>,
}

/// Whose limit.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    Everything,
    Label(String),
    Job(u64),
}

/// Reads the words after `limit`. A single plain number is a job, unless it is 0, which no job has, or a label is named.
pub(crate) fn read(words: &[String], label: Option<&str>) -> Result<Limit, Failure> {
    let rate = |word: &str| word.parse::<Rate>().map_err(|error| Failure::usage(error.to_string()));
    let id = |word: &str| job_id(word).map_err(|error| Failure::usage(format!("`{word}` is no job: {error}")));
    let of = |of, rate| Ok(Limit { of, rate });
    match (words, label) {
        ([], None) => of(Of::Everything, None),
        ([word], None) => match job_id(word) {
            Ok(id) => of(Of::Job(id), None),
            Err(_) => of(Of::Everything, Some(rate(word)?)),
        },
        ([job, word, ..], None) => of(Of::Job(id(job)?), Some(rate(word)?)),
        ([], Some(label)) => of(Of::Label(label.to_owned()), None),
        ([word], Some(label)) => of(Of::Label(label.to_owned()), Some(rate(word)?)),
        ([..], Some(_)) => Err(Failure::usage("a job's limit and a label's are set one after the other".to_owned())),
    }
}

/// Shows or sets the limit.
pub(crate) async fn limit(daemon: &Daemon, limit: Limit, out: &Out) -> Result<Exit, Failure> {
    match limit.of {
        Of::Job(id) => job(daemon, id, limit.rate, out).await,
        Of::Everything | Of::Label(_) => shared(daemon, limit, out).await,
    }
}

async fn shared(daemon: &Daemon, limit: Limit, out: &Out) -> Result<Exit, Failure> {
    let settings = match limit.rate {
        Some(rate) => daemon.client.patch_settings(&change(&limit.of, rate.0)).await,
        None => daemon.client.settings().await,
    };
    let settings = settings.map_err(|error| daemon.failure(error))?;
    if out.is_json() {
        out.json(&settings)?;
    } else {
        for line in lines(&settings, &limit) {
            out.line(line)?;
        }
    }
    Ok(Exit::Fine)
}

fn change(of: &Of, rate: u64) -> Limits {
    match of {
        Of::Everything | Of::Job(_) => Limits { bandwidth_limit: Some(rate), ..Limits::default() },
        Of::Label(label) => {
            let limits = LabelLimits { bandwidth_limit: Some(rate), ..LabelLimits::default() };
            Limits { labels: Some(BTreeMap::from([(label.clone(), Some(limits))])), ..Limits::default() }
        }
    }
}

/// What was asked for or set; all there is when everything was asked for.
fn lines(settings: &Settings, limit: &Limit) -> Vec<String> {
    let mut lines = Vec::new();
    if limit.of == Of::Everything {
        let Settings { bandwidth_limit, bandwidth_schedule, bandwidth_limit_now, .. } = settings;
        lines.extend(with_windows("everything", *bandwidth_limit, bandwidth_schedule, *bandwidth_limit_now));
    }
    for (label, limits) in &settings.labels {
        let is_asked_for = match &limit.of {
            Of::Everything => limit.rate.is_none(),
            Of::Label(asked) => asked == label,
            Of::Job(_) => false,
        };
        if is_asked_for {
            let (name, now) = (format!("label {label}"), limits.bandwidth_limit_now);
            lines.extend(with_windows(&name, limits.bandwidth_limit, &limits.bandwidth_schedule, now));
        }
    }
    match &limit.of {
        Of::Label(label) if lines.is_empty() => vec![format!("label {label}: {}", words(0))],
        Of::Everything | Of::Label(_) | Of::Job(_) => lines,
    }
}

fn with_windows(name: &str, limit: u64, schedule: &[Window], now: u64) -> Vec<String> {
    if schedule.is_empty() {
        return vec![format!("{name}: {}", words(limit))];
    }
    let windows = schedule.iter().map(|window| {
        let Window { from, to, bandwidth_limit, .. } = window;
        format!("  {from} to {to}, {}: {}", days(&window.days), words(*bandwidth_limit))
    });
    [format!("{name}: {}, now {}", words(limit), words(now))].into_iter().chain(windows).collect()
}

fn days(days: &[Day]) -> String {
    if days.len() == Day::ALL.len() {
        return "every day".to_owned();
    }
    days.iter().map(Day::to_string).collect::<Vec<_>>().join(" ")
}

async fn job(daemon: &Daemon, id: u64, rate: Option<Rate>, out: &Out) -> Result<Exit, Failure> {
    let job = match rate {
        Some(rate) => {
            let patch = PatchJob { bandwidth_limit: Some(rate.0), ..PatchJob::default() };
            daemon.client.patch(id, &patch).await
        }
        None => daemon.client.job(id).await,
    };
    let job = job.map_err(|error| explained(daemon.failure(error), id, rate))?;
    if out.is_json() {
        out.json(&job)?;
    } else {
        out.line(format!("{}  {}: {}", job.id, sentence::name(&job), words(job.bandwidth_limit)))?;
    }
    Ok(Exit::Fine)
}

/// Whoever meant a rate without its unit learns so.
fn explained(failure: Failure, number: u64, rate: Option<Rate>) -> Failure {
    match (rate, failure.exit) {
        (None, Exit::UnknownJob) => failure
            .with_help(format!("to limit everything, write the number with its unit: `{number}KB` or `{number}B`")),
        _ => failure,
    }
}

/// The limit so that it reads back: `500KB/s` or `no limit`.
pub(super) fn words(bytes_per_second: u64) -> String {
    match bytes_per_second {
        0 => "no limit".to_owned(),
        rate => format!("{}/s", Rate(rate)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_line(line: &str, label: Option<&str>) -> Result<Limit, Failure> {
        read(&line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>(), label)
    }

    #[test]
    fn words_are_jobs_or_rates() {
        for (line, of, rate) in [
            ("", Of::Everything, None),
            ("17", Of::Job(17), None),
            ("0", Of::Everything, Some(0)),
            ("none", Of::Everything, Some(0)),
            ("off", Of::Everything, Some(0)),
            ("2MB/s", Of::Everything, Some(2_000_000)),
            ("500B", Of::Everything, Some(500)),
            ("17 500", Of::Job(17), Some(500)),
            ("17 none", Of::Job(17), Some(0)),
        ] {
            assert_eq!(read_line(line, None).expect(line), Limit { of, rate: rate.map(Rate) }, "{line}");
        }
        for line in ["fast", "17 fast", "2MB 17", "0 2MB"] {
            assert_eq!(read_line(line, None).expect_err(line).exit.code(), 2);
        }
    }

    #[test]
    fn with_a_label_a_plain_number_is_a_rate() {
        for (line, rate) in [("", None), ("500", Some(500)), ("2MB", Some(2_000_000)), ("off", Some(0))] {
            let limit = Limit { of: Of::Label("iso".to_owned()), rate: rate.map(Rate) };
            assert_eq!(read_line(line, Some("iso")).expect(line), limit, "{line}");
        }
        for line in ["fast", "17 2MB"] {
            assert_eq!(read_line(line, Some("iso")).expect_err(line).exit.code(), 2);
        }
    }

    #[test]
    fn limits_are_shown_with_their_windows_and_what_holds_now() {
        let settings = serde_json::from_value(json!({
            "bandwidth_limit": 2_000_000, "bandwidth_limit_now": 500_000, "bandwidth_schedule": [
                {"from": "08:00", "to": "18:00", "days": ["mon", "fri"], "bandwidth_limit": 500_000},
                {"from": "22:00", "to": "06:00", "bandwidth_limit": 0}],
            "labels": {"iso": {"bandwidth_limit": 1000, "bandwidth_limit_now": 1000, "bandwidth_schedule": []}},
            "max_active_jobs": 8, "connections_per_host": 32, "connections_per_job": 32, "connections_total": 512,
        }))
        .expect("settings");
        let shown = |line, label| lines(&settings, &read_line(line, label).expect("right"));
        let everything = [
            "everything: 2MB/s, now 500KB/s",
            "  08:00 to 18:00, mon fri: 500KB/s",
            "  22:00 to 06:00, every day: no limit",
        ];
        assert_eq!(shown("2MB", None), everything, "what was set");
        assert_eq!(shown("", None)[..3], everything);
        assert_eq!(shown("", None)[3..], ["label iso: 1KB/s"]);
        assert_eq!(shown("", Some("iso")), ["label iso: 1KB/s"]);
        assert_eq!(shown("", Some("other")), ["label other: no limit"]);
    }

    #[test]
    fn a_limit_reads_back() {
        assert_eq!(words(0), "no limit");
        assert_eq!(words(500_000), "500KB/s");
        assert_eq!(words(500_000).parse(), Ok(Rate(500_000)));
    }
}
