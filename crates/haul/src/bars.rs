//! Bars on a terminal: one for each job that has begun, and one for all of them.

use std::collections::BTreeMap;

use console::{Alignment, Term, pad_str, truncate_str};
use haul_api::{JobState, Rate, Size};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use crate::eta::Eta;
use crate::sentence;
use crate::text::{left, percent};
use crate::track::Track;

/// The bars at the bottom of the terminal.
#[derive(Debug)]
pub(crate) struct Bars {
    multi: MultiProgress,
    jobs: BTreeMap<u64, ProgressBar>,
    total: Option<ProgressBar>,
    eta: Eta,
}

impl Bars {
    pub(crate) fn new() -> Self {
        Self { multi: MultiProgress::new(), jobs: BTreeMap::new(), total: None, eta: Eta::default() }
    }

    /// Redraws the bar of one job.
    pub(crate) fn update(&mut self, track: &Track, now: f64) {
        let job = &track.job;
        if job.state.is_ended() {
            return self.remove(job.id);
        }
        let columns = columns();
        let room = usize::from(Term::stderr().size().0).saturating_sub(ROWS_SPARED);
        if !self.jobs.contains_key(&job.id) {
            // The total counts those for which there is no room, and those that have not begun.
            let has_begun = job.state != JobState::Queued || self.jobs.is_empty();
            if !has_begun || self.jobs.len() >= room {
                return;
            }
            let bar = unseen();
            let bar = match &self.total {
                Some(total) => self.multi.insert_before(total, bar),
                None => self.multi.add(bar),
            };
            self.jobs.insert(job.id, bar);
        }
        let bar = &self.jobs[&job.id];
        let name_columns = name_columns(columns);
        let name = truncate_str(&sentence::name(job), name_columns, "…").into_owned();
        bar.set_prefix(pad_str(&name, name_columns, Alignment::Left, None).into_owned());
        let is_flowing = job.state == JobState::Active;
        bar.set_style(style(is_flowing && job.total_bytes.is_some(), columns));
        bar.set_message(if is_flowing { numbers(track, now, columns) } else { standstill(track) });
        bar.set_length(job.total_bytes.unwrap_or(0).max(1));
        bar.set_position(job.done_bytes);
    }

    /// Redraws the bar of all jobs, if there are several.
    pub(crate) fn sum_up<'a>(&mut self, tracks: impl Iterator<Item = &'a Track> + Clone, now: f64) {
        let all = tracks.clone().count();
        if all < 2 {
            return;
        }
        let columns = columns();
        let total = self.total.get_or_insert_with(|| self.multi.add(unseen()));
        let sum = Sum::of(tracks);
        self.eta.observe(now, sum.speed, Some(sum.total_bytes.saturating_sub(sum.done_bytes)));
        let left = self.eta.left(now).map_or_else(|| "-".to_owned(), left);
        let name_columns = name_columns(columns);
        let prefix = format!("{} of {all} ended", sum.over);
        total.set_prefix(pad_str(&prefix, name_columns, Alignment::Left, Some("…")).into_owned());
        total.set_style(style(true, columns));
        total.set_message(sum.numbers(&left, columns));
        total.set_length(sum.total_bytes.max(1));
        total.set_position(sum.done_bytes);
    }

    /// Takes away the bar of a job that is over.
    pub(crate) fn remove(&mut self, id: u64) {
        if let Some(bar) = self.jobs.remove(&id) {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
    }

    /// Runs `write` while no bar is in the way.
    pub(crate) fn suspend(&self, write: impl FnOnce()) {
        self.multi.suspend(write);
    }

    /// Takes all bars away.
    pub(crate) fn clear(&mut self) {
        for bar in self.jobs.values().chain(&self.total) {
            bar.finish_and_clear();
        }
        self.jobs.clear();
        self.total = None;
    }
}

/// All jobs in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    over: usize,
    total_bytes: u64,
    done_bytes: u64,
    speed: u64,
    connections: u32,
}

impl Sum {
    fn of<'a>(tracks: impl Iterator<Item = &'a Track>) -> Self {
        tracks.fold(Self::default(), |sum, track| Self {
            over: sum.over + usize::from(track.job.state.is_ended()),
            // What is unknown counts as what is there, so that the bar can still reach its end.
            total_bytes: sum.total_bytes.saturating_add(track.job.total_bytes.unwrap_or(track.job.done_bytes)),
            done_bytes: sum.done_bytes.saturating_add(track.job.done_bytes),
            speed: sum.speed.saturating_add(track.speed()),
            connections: sum.connections.saturating_add(track.job.connections.active),
        })
    }

    fn numbers(self, left: &str, columns: usize) -> String {
        let sizes = format!("{} / {}", Size(self.done_bytes).approx(), Size(self.total_bytes).approx());
        laid_out(columns, self.done_bytes, &sizes, self.speed, left, self.connections)
    }
}

fn numbers(track: &Track, now: f64, columns: usize) -> String {
    let job = &track.job;
    let sizes = sentence::sizes(job);
    laid_out(columns, job.done_bytes, &sizes, track.speed(), &track.left(now), job.connections.active)
}

/// Fields of fixed width, so that nothing moves while the numbers change.
fn laid_out(columns: usize, done: u64, sizes: &str, speed: u64, left: &str, connections: u32) -> String {
    let rate = Rate(speed).approx();
    match columns {
        0..60 => format!("{rate:>9} {left:>11}"),
        60..100 => format!("{:>7} {rate:>9} {left:>11} {connections:>2} conn", Size(done).approx()),
        _ => format!("{sizes:>17} {rate:>9} {left:>11} {connections:>2} conn"),
    }
}

/// A bar that is not drawn before it belongs to the others and has something to show.
fn unseen() -> ProgressBar {
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden()).with_style(style(false, columns()))
}

fn standstill(track: &Track) -> String {
    let job = &track.job;
    let state = sentence::short_state(job, Timestamp::now());
    match job.total_bytes.filter(|_| job.done_bytes > 0) {
        Some(total) => format!("{:>3}% {state}", percent(job.done_bytes, total)),
        None => state,
    }
}

fn style(has_bar: bool, columns: usize) -> ProgressStyle {
    let template = match (has_bar, columns) {
        (true, 0..60) => "{prefix} {percent:>3}% {msg}",
        (true, _) => "{prefix} [{wide_bar}] {percent:>3}% {msg}",
        (false, _) => "{prefix} {wide_msg}",
    };
    ProgressStyle::with_template(template).expect("the templates are right").progress_chars("=> ")
}

fn columns() -> usize {
    Term::stderr().size().1.into()
}

/// A quarter of the line is for the name.
fn name_columns(columns: usize) -> usize {
    (columns / 4).clamp(10, 40)
}

/// Lines of the terminal that bars leave alone: the total, the command and one to breathe.
const ROWS_SPARED: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sentence::tests::job;

    #[test]
    fn fields_keep_their_width() {
        for columns in [40, 80, 120] {
            let one = laid_out(columns, 1, "1 B / 1.00 GB", 0, "-", 1);
            let other = laid_out(columns, 999_000_000, "999 MB / 1.00 GB", 123_000_000, "12 min 05 s", 32);
            assert_eq!(one.len(), other.len(), "`{one}` `{other}`");
            assert!(one.len() + 30 < columns.max(60), "`{one}` leaves room for name and bar");
        }
    }

    #[test]
    fn templates_are_right() {
        for columns in [0, 59, 60, 200] {
            style(true, columns);
            style(false, columns);
        }
    }

    #[test]
    fn the_total_sums_what_is_known() {
        let mut done = job(JobState::Completed);
        done.done_bytes = 1_000_000_000;
        let mut endless = job(JobState::Active);
        (endless.total_bytes, endless.done_bytes, endless.speed) = (None, 5, 7);
        let tracks = [Track::new(&done, 0.0), Track::new(&endless, 0.0)];
        let sum = Sum::of(tracks.iter());
        let expected = Sum { over: 1, total_bytes: 1_000_000_005, done_bytes: 1_000_000_005, speed: 7, connections: 0 };
        assert_eq!(sum, expected);
    }
}
