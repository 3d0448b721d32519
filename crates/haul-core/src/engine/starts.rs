//! What a request costs at one host before its bytes flow: the time until its answer, and on a new connection what that
//! loses until it is up to speed.

use std::collections::VecDeque;
use std::time::Duration;

/// Starts of each kind that are remembered: the median of an odd number is one of them.
const REMEMBERED: usize = 9;

/// The longest that a start is thought to cost: more is not the start's fault.
const LAG_MAX: Duration = Duration::from_secs(3);

/// The last starts at one host.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// How long answers took, connecting included.
    answers: Recent,
    /// The same of requests on connections that were there already, and of those that had to connect first.
    on_kept: Recent,
    on_new: Recent,
    /// How much time new workers lost, until they were as fast as they got.
    lags: Recent,
}

impl Starts {
    /// An answer has begun, `took` after its request.
    pub(super) fn note_answer(&mut self, took: Duration, is_kept: bool) {
        self.answers.push(took);
        let of_its_kind = if is_kept { &mut self.on_kept } else { &mut self.on_new };
        of_its_kind.push(took);
    }

    /// A worker on a new connection has lost this much time at its start.
    pub(super) fn note_lag(&mut self, lag: Duration) {
        self.lags.push(lag.min(LAG_MAX));
    }

    /// How long an answer typically takes.
    pub(super) fn answer_time(&self) -> Option<Duration> {
        self.answers.middle
    }

    /// Takes over how long an answer typically takes, as it was remembered.
    pub(super) fn remember(&mut self, answer_time: Option<Duration>) {
        if answer_time != self.answer_time() {
            self.answers = Recent::default();
            answer_time.into_iter().for_each(|time| self.answers.push(time));
        }
    }

    /// How long a round trip takes, at most: the quickest answer took a connect, unless the connection was there, and the
    /// request's own way.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.answers.times.iter().min().map(|quickest| *quickest / 2)
    }

    /// What another request costs: the time until its answer, and on a new connection what it loses until it is up to speed.
    pub(super) fn cost(&self, is_kept: bool) -> Option<Duration> {
        let of_its_kind = if is_kept { &self.on_kept } else { &self.on_new };
        let answer = of_its_kind.middle.or(self.answer_time());
        if is_kept { answer } else { answer.max(self.lags.middle) }
    }
}

/// The last few of some times. Asked for far more often than there is a new one.
#[derive(Debug, Default)]
struct Recent {
    times: VecDeque<Duration>,
    /// Their median.
    middle: Option<Duration>,
}

impl Recent {
    fn push(&mut self, time: Duration) {
        if self.times.len() == REMEMBERED {
            self.times.pop_front();
        }
        self.times.push_back(time);
        let mut times: Vec<Duration> = self.times.iter().copied().collect();
        times.sort();
        self.middle = times.get(times.len() / 2).copied();
    }
}
