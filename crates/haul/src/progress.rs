//! Shows how jobs are doing: bars on a terminal, plain lines elsewhere, JSON for programs, nothing when quiet.

use std::collections::BTreeMap;
use std::time::Instant;

use haul_api::{Job, JobState};
use jiff::Timestamp;
use serde_json::json;

use crate::bars::Bars;
use crate::error::Failure;
use crate::out::Out;
use crate::sentence;
use crate::track::Track;

/// What is shown while jobs are followed.
#[derive(Debug)]
pub(crate) struct Progress {
    out: Out,
    began: Instant,
    tracks: BTreeMap<u64, Track>,
    view: View,
}

#[derive(Debug)]
enum View {
    Bars(Box<Bars>),
    Lines,
    /// When each job's last event was written, and the state that it told.
    Json(BTreeMap<u64, (f64, JobState)>),
    Nothing,
}

impl Progress {
    pub(crate) fn new(out: &Out) -> Self {
        let view = if out.is_json() {
            View::Json(BTreeMap::new())
        } else if out.is_quiet() {
            View::Nothing
        } else if out.can_draw() {
            View::Bars(Box::new(Bars::new()))
        } else {
            View::Lines
        };
        Self { out: out.clone(), began: Instant::now(), tracks: BTreeMap::new(), view }
    }

    /// Shows how a job is doing now.
    ///
    /// # Errors
    ///
    /// When the events cannot be written.
    pub(crate) fn update(&mut self, job: &Job) -> Result<(), Failure> {
        let now = self.began.elapsed().as_secs_f64();
        let track = self
            .tracks
            .entry(job.id)
            .and_modify(|track| track.observe(job, now))
            .or_insert_with(|| Track::new(job, now));
        match &mut self.view {
            View::Bars(bars) => bars.update(track, now),
            View::Lines => {
                if let Some(line) = track.line(now, Timestamp::now()) {
                    self.out.note(line);
                }
            }
            View::Json(told) => {
                let is_due =
                    told.get(&job.id).is_none_or(|(at, state)| now - at >= EVENT_SECONDS || *state != job.state);
                if is_due && !job.state.is_ended() {
                    told.insert(job.id, (now, job.state));
                    self.out.json(&json!({"event": "progress", "job": job}))?;
                }
            }
            View::Nothing => {}
        }
        Ok(())
    }

    /// Redraws what sums up all jobs, once each has been updated.
    pub(crate) fn sum_up(&mut self) {
        let now = self.began.elapsed().as_secs_f64();
        if let View::Bars(bars) = &mut self.view {
            bars.sum_up(self.tracks.values(), now);
        }
    }

    /// Tells that a job is over, and `failure` why it brought no file.
    ///
    /// # Errors
    ///
    /// When the events cannot be written.
    pub(crate) fn over(&mut self, job: &Job, failure: Option<&Failure>) -> Result<(), Failure> {
        if let View::Json(_) = self.view {
            let event = match job.state {
                JobState::Completed => "completed",
                JobState::Canceled => "canceled",
                JobState::Failed
                | JobState::Queued
                | JobState::Probing
                | JobState::Active
                | JobState::Waiting
                | JobState::Paused
                | JobState::Verifying => "failed",
            };
            return self.out.json(&json!({"event": event, "job": job}));
        }
        let now = self.began.elapsed().as_secs_f64();
        let sentence = self.tracks.get(&job.id).map(|track| track.completed(now));
        if let View::Bars(bars) = &mut self.view {
            bars.remove(job.id);
        }
        match failure {
            Some(failure) => self.aside(|out| out.failure(failure)),
            None => {
                self.aside(|out| out.note(sentence.unwrap_or_else(|| format!("completed {}", sentence::name(job)))))
            }
        }
        Ok(())
    }

    /// Writes to standard error while the bars are out of the way.
    pub(crate) fn aside(&self, write: impl FnOnce(&Out)) {
        match &self.view {
            View::Bars(bars) => bars.suspend(|| write(&self.out)),
            View::Lines | View::Json(_) | View::Nothing => write(&self.out),
        }
    }

    /// Takes the bars away.
    pub(crate) fn clear(&mut self) {
        if let View::Bars(bars) = &mut self.view {
            bars.clear();
        }
    }
}

/// An event for a program at most this often per job, unless its state changed. A guess.
const EVENT_SECONDS: f64 = 1.0;
