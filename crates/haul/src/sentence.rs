//! What is said about a job, in words.

use std::time::Duration;

use haul_api::{Job, JobState, Rate, Size, Verification};
use jiff::Timestamp;

use crate::error::{Exit, Failure};
use crate::text::{count, escaped, left, percent, shown_url, took};

/// The file's name, or what the URL lets expect of it.
pub(crate) fn name(job: &Job) -> String {
    match &job.filename {
        Some(filename) => escaped(filename).into_owned(),
        None => expected_name(&job.url),
    }
}

fn expected_name(url: &str) -> String {
    let shown = shown_url(url);
    let last = shown.trim_end_matches("?...").rsplit('/').next().unwrap_or_default();
    // `https://example.org/` names nothing but the host.
    if last.is_empty() { shown } else { last.to_owned() }
}

/// The state, and for a job that cannot go on the reason: `waiting: connection refused, next try in 4 s`.
pub(crate) fn state(job: &Job, now: Timestamp) -> String {
    let word = if job.state == JobState::Probing { "asking the server" } else { job.state.as_str() };
    match (job.state, &job.reason) {
        (JobState::Waiting | JobState::Failed, Some(_)) => format!("{word}: {}", reason(job, now)),
        (JobState::Waiting, None) => match job.waiting_for {
            Some(waiting_for) => format!("{word} for: {}", waiting_for.as_str()),
            None => word.to_owned(),
        },
        _ => word.to_owned(),
    }
}

/// The same for one line that may be cut: what changes comes first, `next try in 4 s: connection refused`.
pub(crate) fn short_state(job: &Job, now: Timestamp) -> String {
    match (fact(job), next_try(job, now)) {
        (Some(fact), Some(next)) => format!("{next}: {fact}"),
        _ => state(job, now),
    }
}

/// Why the job waits or failed, and when it goes on. Empty without a reason.
pub(crate) fn reason(job: &Job, now: Timestamp) -> String {
    match (fact(job), next_try(job, now)) {
        (Some(fact), Some(next)) => format!("{fact}, {next}"),
        (fact, _) => fact.unwrap_or_default(),
    }
}

/// The reason in the daemon's words.
fn fact(job: &Job) -> Option<String> {
    let reason = job.reason.as_ref()?;
    let message = escaped(&reason.message);
    // The daemon's own "next attempt in 8 s" was true when it was written; ours counts down.
    let fact = if reason.retry_at.is_some() { message.split("; next ").next() } else { None };
    Some(fact.unwrap_or(&message).to_owned())
}

fn next_try(job: &Job, now: Timestamp) -> Option<String> {
    let retry_at = job.reason.as_ref()?.retry_at.filter(|_| job.state == JobState::Waiting)?;
    let seconds = u64::try_from(retry_at.duration_since(now).as_millis()).unwrap_or(0).div_ceil(1000);
    Some(if seconds == 0 { "next try now".to_owned() } else { format!("next try in {}", left(seconds)) })
}

/// How much is there: `1.07 GB / 4.70 GB`, or `1.07 GB` while the length is unknown.
pub(crate) fn sizes(job: &Job) -> String {
    match job.total_bytes {
        Some(total) => format!("{} / {}", Size(job.done_bytes).approx(), Size(total).approx()),
        None => Size(job.done_bytes).approx(),
    }
}

/// How far the job is: `34 %`, or `-` while the length is unknown.
pub(crate) fn progress(job: &Job) -> String {
    job.total_bytes.map_or_else(|| "-".to_owned(), |total| format!("{} %", percent(job.done_bytes, total)))
}

/// `completed a.iso (1.07 GB in 12.3 s, 87.3 MB/s)`, told of what went on since somebody looked.
pub(crate) fn completed(job: &Job, first_done_bytes: u64, watched: Duration) -> String {
    let mut facts = vec![Size(job.done_bytes).approx()];
    let fetched = job.done_bytes.saturating_sub(first_done_bytes);
    if fetched > 0 {
        let span = if first_done_bytes == 0 { lifetime(job).unwrap_or(watched) } else { watched };
        let amount = if first_done_bytes == 0 { String::new() } else { format!(", {} of it", Size(fetched).approx()) };
        facts[0] += &format!("{amount} in {}", took(span));
        facts.extend(average(fetched, span).map(Rate::approx));
    }
    if job.verification == Some(Verification::Checksum) {
        facts.push("checksum right".to_owned());
    }
    format!("completed {} ({})", name(job), facts.join(", "))
}

fn lifetime(job: &Job) -> Option<Duration> {
    Duration::try_from(job.finished_at?.duration_since(job.started_at?)).ok()
}

fn average(bytes: u64, span: Duration) -> Option<Rate> {
    let millis = span.as_millis();
    let rate = (u128::from(bytes) * 1000).checked_div(millis)?;
    u64::try_from(rate).ok().map(Rate)
}

/// Why a job that is over brought no file; `None` for one that did. `again` is the command that tries again.
pub(crate) fn failure(job: &Job, again: &str, now: Timestamp) -> Option<Failure> {
    let name = name(job);
    let (message, help) = match job.state {
        JobState::Completed => return None,
        JobState::Canceled => (format!("{name} was canceled"), None),
        JobState::Failed => {
            let why = reason(job, now);
            let why = if why.is_empty() { "the daemon gave no reason" } else { &why };
            let from = if job.done_bytes > 0 { ", from the bytes that are there" } else { "" };
            (format!("{name} failed: {why}"), Some(format!("{again} tries again{from}")))
        }
        JobState::Queued
        | JobState::Probing
        | JobState::Active
        | JobState::Waiting
        | JobState::Paused
        | JobState::Verifying => {
            let help = format!("its bytes are kept; once the cause is gone, {again} goes on from there");
            (format!("{name} cannot go on by itself: {}", reason(job, now)), Some(help))
        }
    };
    let failure = Failure::new(Exit::Failed, message);
    Some(match help {
        Some(help) => failure.with_help(help),
        None => failure,
    })
}

/// `2 of 3 jobs failed`, when it was more than one.
pub(crate) fn tally(failed: usize, all: usize) -> Option<String> {
    (failed > 0 && all > 1).then(|| format!("{failed} of {} did not complete", count(all, "job")))
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A job in a state, with a little of everything.
    pub(crate) fn job(state: JobState) -> Job {
        serde_json::from_value(json!({
            "id": 17, "url": "https://example.org/files/a.iso?sig=s3cret", "state": state, "waiting_for": null,
            "reason": null, "path": null, "filename": null, "total_bytes": 1_000_000_000_u64, "done_bytes": 0,
            "durable_bytes": 0, "speed": 0, "eta_seconds": null, "connections": {"active": 0, "max": 32},
            "chunks": {"done": 0, "total": 60}, "checksum": null, "verification": null, "resumable": true,
            "priority": 0, "bandwidth_limit": 0, "label": null, "created_at": "2026-11-05T10:00:00Z",
            "started_at": null, "finished_at": null,
        }))
        .expect("the example is a job")
    }

    /// The same with a reason.
    pub(crate) fn job_because(state: JobState, message: &str, retry_at: Option<&str>) -> Job {
        let reason = json!({"code": "connect", "message": message, "at": "2026-11-05T10:00:00Z", "retry_at": retry_at});
        Job { reason: Some(serde_json::from_value(reason).expect("a reason")), ..job(state) }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_job_without_a_name_is_called_by_its_url() {
        let mut job = job(JobState::Probing);
        assert_eq!(name(&job), "a.iso");
        job.url = "https://example.org/".to_owned();
        assert_eq!(name(&job), "https://example.org/");
        job.filename = Some("b\x1b[31m.iso".to_owned());
        assert_eq!(name(&job), "b\\u{1b}[31m.iso");
    }

    #[test]
    fn a_waiting_job_says_why_and_counts_down() {
        let message = "connection refused; next attempt in 8 s";
        let job = job_because(JobState::Waiting, message, Some("2026-11-05T10:00:08Z"));
        let state_at = |time| state(&job, at(time));
        assert_eq!(state_at("2026-11-05T10:00:04Z"), "waiting: connection refused, next try in 4 s");
        let short = short_state(&job, at("2026-11-05T10:00:04.1Z"));
        assert_eq!(short, "next try in 4 s: connection refused");
        assert_eq!(state_at("2026-11-05T10:00:09Z"), "waiting: connection refused, next try now");
        let job = job_because(JobState::Waiting, "the disk is full; free 3 GB", None);
        assert_eq!(state(&job, Timestamp::UNIX_EPOCH), "waiting: the disk is full; free 3 GB");
    }

    #[test]
    fn a_completed_job_tells_size_time_and_speed() {
        let mut job = job(JobState::Completed);
        job.done_bytes = 1_000_000_000;
        job.started_at = Some(at("2026-11-05T10:00:00Z"));
        job.finished_at = Some(at("2026-11-05T10:00:12.5Z"));
        let watched = Duration::from_secs(4);
        assert_eq!(completed(&job, 0, watched), "completed a.iso (1.00 GB in 12.5 s, 80.0 MB/s)");
        let text = completed(&job, 600_000_000, watched);
        assert_eq!(text, "completed a.iso (1.00 GB, 400 MB of it in 4.00 s, 100 MB/s)");
        assert_eq!(completed(&job, 1_000_000_000, watched), "completed a.iso (1.00 GB)");
        job.verification = Some(Verification::Checksum);
        job.finished_at = job.started_at;
        let text = completed(&job, 0, watched);
        assert_eq!(text, "completed a.iso (1.00 GB in 0.00 s, checksum right)");
    }

    #[test]
    fn a_failed_job_says_why_and_what_helps() {
        let now = Timestamp::UNIX_EPOCH;
        assert!(failure(&job(JobState::Completed), "x", now).is_none());
        let job = job_because(JobState::Failed, "404 Not Found\n", None);
        let failure = failure(&job, "`haul retry 17`", now).expect("it failed");
        assert_eq!(failure.message, "a.iso failed: 404 Not Found\\u{a}");
        assert!(failure.help[0].starts_with("`haul retry 17` tries again"), "{failure:?}");
        assert_eq!(failure.exit.code(), 1);
    }
}
