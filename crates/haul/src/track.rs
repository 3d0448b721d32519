//! One job as somebody watches it: the smoothed estimate, and when there is something to say about it.

use std::time::Duration;

use haul_api::{Job, JobState, Rate, Size};
use jiff::Timestamp;

use crate::eta::Eta;
use crate::sentence;
use crate::text::{left, percent};

/// A watched job. Times are seconds since the watching began.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub(crate) job: Job,
    first_at: f64,
    first_done_bytes: u64,
    eta: Eta,
    speed: u64,
    said: Said,
}

/// What the plain output has told of a job so far.
#[derive(Clone, Debug)]
struct Said {
    at: f64,
    percent: u64,
    start: bool,
    standstill: String,
}

impl Track {
    pub(crate) fn new(job: &Job, now: f64) -> Self {
        let done = job.done_bytes;
        let mut track = Self {
            job: job.clone(),
            first_at: now,
            first_done_bytes: done,
            eta: Eta::default(),
            speed: 0,
            said: Said {
                at: now,
                percent: job.total_bytes.map_or(0, |total| percent(done, total)),
                start: false,
                standstill: String::new(),
            },
        };
        track.observe(job, now);
        track
    }

    /// Takes in how the job is doing now.
    pub(crate) fn observe(&mut self, job: &Job, now: f64) {
        let speed = if job.state == JobState::Active { job.speed } else { 0 };
        let remaining = job.total_bytes.map(|total| total.saturating_sub(job.done_bytes));
        self.speed = self.eta.observe(now, speed, remaining);
        self.job = job.clone();
    }

    /// The smoothed speed in bytes per second.
    pub(crate) fn speed(&self) -> u64 {
        self.speed
    }

    /// The time left in words, `-` while it is unknown.
    pub(crate) fn left(&self, now: f64) -> String {
        let known = self.job.total_bytes.and_then(|_| self.eta.left(now));
        known.map_or_else(|| "-".to_owned(), left)
    }

    /// The sentence for the end of a completed job.
    pub(crate) fn completed(&self, now: f64) -> String {
        let watched = Duration::from_secs_f64((now - self.first_at).max(0.0));
        sentence::completed(&self.job, self.first_done_bytes, watched)
    }

    /// The line for output that is no terminal, if there is news: the start, a standstill and its reason, and every
    /// ten seconds or ten per cent how far it is.
    pub(crate) fn line(&mut self, now: f64, clock: Timestamp) -> Option<String> {
        match self.job.state {
            JobState::Waiting | JobState::Paused => self.standstill_line(now, clock),
            JobState::Active => self.start_line(now).or_else(|| self.progress_line(now)),
            JobState::Queued
            | JobState::Probing
            | JobState::Verifying
            | JobState::Completed
            | JobState::Failed
            | JobState::Canceled => None,
        }
    }

    fn standstill_line(&mut self, now: f64, clock: Timestamp) -> Option<String> {
        // Without the countdown, or each second would be news.
        let reason = self.job.reason.as_ref().map(|reason| reason.message.clone()).unwrap_or_default();
        let standstill = format!("{}{reason}", self.job.state.as_str());
        let is_due = now - self.said.at >= LINE_SECONDS || self.said.standstill.is_empty();
        if self.said.standstill == standstill || !is_due {
            return None;
        }
        self.said.standstill = standstill;
        self.said.at = now;
        Some(format!("{}: {}", sentence::name(&self.job), sentence::state(&self.job, clock)))
    }

    fn start_line(&mut self, now: f64) -> Option<String> {
        if self.said.start {
            return None;
        }
        self.said.start = true;
        self.said.at = now;
        let name = sentence::name(&self.job);
        let size = self.job.total_bytes.map_or_else(|| "size unknown".to_owned(), |total| Size(total).approx());
        Some(match self.first_done_bytes {
            0 => format!("fetching {name} ({size})"),
            done => format!("fetching {name} ({size}, {} of it are there)", Size(done).approx()),
        })
    }

    fn progress_line(&mut self, now: f64) -> Option<String> {
        let percent = self.job.total_bytes.map_or(0, |total| percent(self.job.done_bytes, total));
        if now - self.said.at < LINE_SECONDS && percent < self.said.percent + LINE_PERCENT {
            return None;
        }
        self.said.at = now;
        self.said.percent = percent - percent % LINE_PERCENT;
        self.said.standstill.clear();
        let (name, sizes, rate) = (sentence::name(&self.job), sentence::sizes(&self.job), Rate(self.speed).approx());
        let far = self.job.total_bytes.map(|_| format!("{percent} %, ")).unwrap_or_default();
        Some(format!("{name}: {far}{sizes}, {rate}, {} left", self.left(now)))
    }
}

/// A line at least this often while bytes flow, and at most this often about standstills.
const LINE_SECONDS: f64 = 10.0;
/// A line at each of these steps.
const LINE_PERCENT: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sentence::tests::{job, job_because};

    fn active(done_bytes: u64) -> Job {
        Job { done_bytes, speed: 10_000_000, ..job(JobState::Active) }
    }

    fn lines(steps: &[(f64, Job)]) -> Vec<String> {
        let mut track = Track::new(&steps[0].1, steps[0].0);
        let clock = "2026-11-05T10:00:04Z".parse().expect("a time");
        let mut lines = Vec::new();
        for (now, job) in steps {
            track.observe(job, *now);
            lines.extend(track.line(*now, clock));
        }
        lines
    }

    #[test]
    fn the_start_is_told_once() {
        let lines = lines(&[(0.0, job(JobState::Queued)), (0.2, active(0)), (0.4, active(9)), (0.6, active(99))]);
        assert_eq!(lines, ["fetching a.iso (1.00 GB)"]);
    }

    #[test]
    fn a_resumed_job_tells_what_is_there() {
        assert_eq!(lines(&[(0.0, active(400_000_000))]), ["fetching a.iso (1.00 GB, 400 MB of it are there)"]);
    }

    #[test]
    fn progress_is_told_at_ten_per_cent_and_after_ten_seconds() {
        let lines = lines(&[
            (0.0, active(0)),
            (1.0, active(99_000_000)),
            (2.0, active(101_000_000)),
            (3.0, active(190_000_000)),
            (12.5, active(195_000_000)),
            (13.0, active(200_000_000)),
        ]);
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[1].starts_with("a.iso: 10 %, 101 MB / 1.00 GB, 50.5 MB/s, "), "{lines:?}");
        assert!(lines[2].starts_with("a.iso: 19 %, "), "{lines:?}");
        assert!(lines[3].starts_with("a.iso: 20 %, "), "{lines:?}");
    }

    #[test]
    fn a_standstill_is_told_once_per_reason() {
        let refused = || job_because(JobState::Waiting, "connection refused", Some("2026-11-05T10:00:08Z"));
        let full = || job_because(JobState::Waiting, "the disk is full", None);
        let lines = lines(&[(0.0, refused()), (0.2, refused()), (1.0, full()), (11.0, full()), (12.0, full())]);
        assert_eq!(lines, ["a.iso: waiting: connection refused, next try in 4 s", "a.iso: waiting: the disk is full"]);
    }
}
