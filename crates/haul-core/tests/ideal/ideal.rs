//! The ideal: a time that no scheduler can go below which begins with one request, as one must that knows neither the
//! length nor whether there are ranges.
//!
//! The ideal knows every rate and every break in advance. It pays the round trips, and the time to notice a silence
//! on its only connection. Each bound below holds for every scheduler; the ideal is the greatest of them.
//!
//! **Approach.** The first byte comes after a connect and an answer. Only then do the others begin, each with a
//! connect and an answer of its own. A first connection that never answers is the only one that there is: it costs
//! [`NOTICE`], the time after which a second request is worth it, or the whole patience for an answer where only one
//! connection is allowed.
//!
//! **Link.** From its first byte on, the job gets no more than the link, and no more than the connections together that
//! have begun. Where connections start slowly, so do those of the ideal, but it never has to start one twice.
//!
//! **Connections.** A connection that begins at `s` has `T - s` seconds until the end at `T`. In these it must carry
//! its part of the ordinary bytes at its rate, and its part of the slow region at the region's rate. The bytes are
//! shared out in the best way: the region goes to those connections that lose least in it. A lame connection is
//! replaced at once and at no cost, so that all have the full rate; a place keeps its rate whoever connects, so that
//! all are used as they are. Where all connections together live too short to carry the file, each replacement costs
//! an approach of connection time, and a slow start.
//!
//! **One connection.** Where only one is allowed or served at a time, its life is a sequence: each break costs an
//! approach, each silence the stall timeout and an approach, a lame one an approach. The silences are what a client
//! pays that waits as long as our policy; one that replaces its connection without need, or sooner, may be faster.

use haul_core::Policy;

use crate::nature::{Break, Nanos, Nature, nanos, seconds};

/// After how many seconds a first request without an answer is worth a second one (DESIGN.md, ruling 4).
const NOTICE: f64 = 2.0;

/// Less than any time that matters, in seconds: at the border between two stretches the later one counts.
const ROUNDING: f64 = 1e-9;

impl Nature {
    /// The ideal time, in seconds.
    pub(crate) fn ideal(&self) -> f64 {
        if self.usable() == 1 {
            return self.one_after_the_other();
        }
        self.bound_by_link().max(self.bound_by_connections())
    }

    /// Tells whether nobody at all can go below the ideal.
    pub(crate) fn bounds_everybody(&self) -> bool {
        if self.usable() == 1 {
            return self.stalls == 0.0 && self.unanswered == 0.0;
        }
        // Who throws away connections that would soon end, unused, may have fewer slow starts.
        !(self.slow_start && (self.stalls > 0.0 || self.resets > 0.0))
    }

    /// When the first byte comes.
    fn first_byte(&self) -> f64 {
        let unanswered = (0..).take_while(|ordinal| !self.connection(*ordinal).answers).count();
        seconds(self.approach()) + unanswered as f64 * NOTICE
    }

    fn bound_by_link(&self) -> f64 {
        let first = self.first_byte();
        let others = seconds(self.approach());
        let rates: Vec<f64> = (0..self.usable()).map(|place| self.rate * self.place(place as usize)).collect();
        let mut left = self.bytes as f64;
        let mut since = 0.0;
        for until in self.changes() {
            let flows = rates.iter().enumerate().map(|(place, rate)| {
                let age = if place == 0 { since } else { since - others };
                if age < -ROUNDING { 0.0 } else { rate.min(self.window(nanos(age.max(0.0) + ROUNDING))) }
            });
            let total = flows.sum::<f64>().min(self.link);
            if left <= total * (until - since) {
                return first + since + left / total;
            }
            left -= total * (until - since);
            since = until;
        }
        unreachable!("the last stretch has no end")
    }

    /// When the connections' rates change, in seconds from the first byte on: the others begin, or one has become older.
    fn changes(&self) -> Vec<f64> {
        let others = seconds(self.approach());
        let mut changes = vec![others, f64::INFINITY];
        if self.slow_start {
            let grown = (0..40).map(|round| f64::from(round + 1) * seconds(self.connect));
            changes.extend(grown.flat_map(|age| [age, others + age]));
        }
        changes.sort_by(f64::total_cmp);
        changes
    }

    /// What a connection of this rate has brought at this age, in seconds.
    fn carried(&self, rate: f64, age: f64) -> f64 {
        if !self.slow_start {
            return rate * age;
        }
        let round_trip = seconds(self.connect);
        let mut bytes = 0.0;
        for round in 0.. {
            let begun = f64::from(round) * round_trip;
            let window = self.window(nanos(begun + ROUNDING));
            if window >= rate {
                return bytes + rate * (age - begun).max(0.0);
            }
            bytes += window * (age - begun).clamp(0.0, round_trip);
        }
        unreachable!("a window grows beyond every rate")
    }

    fn bound_by_connections(&self) -> f64 {
        let first = self.first_byte();
        let others = first + seconds(self.approach());
        let mut flows: Vec<Flow> = (0..self.usable())
            .map(|place| {
                let rate = self.rate * self.place(place as usize);
                let slow = self.slow.map_or(rate, |(_, slow)| slow.min(rate));
                Flow { from: if place == 0 { first } else { others }, rate, slow }
            })
            .collect();
        // Who loses least in the region takes it.
        flows.sort_by(|a, b| (b.slow / b.rate).total_cmp(&(a.slow / a.rate)));
        let slow_bytes = self.slow.map_or(0.0, |(region, _)| region.len() as f64);
        let bytes = self.bytes as f64;
        let slowest = flows.iter().map(|flow| flow.rate).fold(f64::INFINITY, f64::min);
        let lost = self.lost_to_replacements(flows.len(), slowest);
        let slow_starts = if self.slow_start { 40.0 * seconds(self.connect) } else { 0.0 };
        let most = bytes / flows[0].rate.min(flows[0].slow);
        let (mut low, mut high) = (first, first + most + others + lost + slow_starts);
        while high - low > 1e-9 * high {
            let middle = f64::midpoint(low, high);
            if self.carries(&flows, middle, slow_bytes, bytes - slow_bytes + lost) {
                high = middle
            } else {
                low = middle
            }
        }
        low
    }

    /// The bytes that a connection of this rate could have brought while those begin that are needed beyond the first `flows`
    /// because others have ended: in an approach each, and in a slow start.
    ///
    /// All that are needed but the last are used until they end. Which of them begin late is left to the ideal: those whose
    /// slow start costs least. In a slow region it would cost less, so that there it does not count.
    fn lost_to_replacements(&self, flows: usize, rate: f64) -> f64 {
        let mut carried = 0;
        let mut slow_starts = Vec::new();
        for ordinal in 0.. {
            if carried >= self.bytes {
                break;
            }
            let like = self.connection(ordinal);
            if like.answers {
                carried = like.life.saturating_add(carried);
                let life = like.life.min(self.bytes) as f64;
                slow_starts.push(rate * self.time_for(rate, life) - life);
            }
        }
        let late = slow_starts.len().saturating_sub(flows);
        slow_starts.pop();
        slow_starts.sort_by(f64::total_cmp);
        let in_starts: f64 = slow_starts.iter().take(late.saturating_sub(1)).sum();
        late as f64 * seconds(self.approach()) * rate + if self.slow.is_none() { in_starts } else { 0.0 }
    }

    /// Tells whether the flows, the best for the region first, can carry so many bytes until `until`.
    fn carries(&self, flows: &[Flow], until: f64, mut slow_bytes: f64, mut bytes: f64) -> bool {
        for flow in flows {
            let time = (until - flow.from).max(0.0);
            let in_region = (slow_bytes / flow.slow).min(time);
            slow_bytes -= in_region * flow.slow;
            // A slow start costs least in the region.
            bytes -= self.carried(flow.rate, time) - self.carried(flow.rate, in_region);
        }
        slow_bytes <= 0.5 && bytes <= 0.5
    }

    fn one_after_the_other(&self) -> f64 {
        let policy = Policy::default();
        let rate = (self.rate * self.place(0)).min(self.link);
        let slow_bytes = self.slow.map_or(0, |(region, _)| region.len());
        let slow_rate = self.slow.map_or(rate, |(_, slow)| slow.min(rate));
        let mut time = (self.bytes - slow_bytes) as f64 / rate + slow_bytes as f64 / slow_rate;
        let mut left = self.bytes;
        for ordinal in 0.. {
            let like = self.connection(ordinal);
            time += seconds(self.approach());
            // What a slow start costs, at most until the connection's end.
            let carries = like.life.min(left) as f64;
            let start = slow_rate * self.time_for(slow_rate, carries) - carries;
            if !like.answers {
                // The patience counts from the request.
                time += policy.response_timeout.as_secs_f64() - seconds(self.answer);
            } else if like.factor == 1.0 {
                time += start / slow_rate;
                if like.life >= left {
                    break;
                }
                left -= like.life;
                time += if like.end == Break::Stall { policy.stall_timeout.as_secs_f64() } else { 0.0 };
            }
        }
        time
    }

    /// How long a connection of this rate takes for so many bytes.
    fn time_for(&self, rate: f64, bytes: f64) -> f64 {
        let mut time = bytes / rate;
        // What it has not brought by then comes at the full rate, or later.
        for _ in 0..64 {
            time += (bytes - self.carried(rate, time)).max(0.0) / rate;
        }
        time
    }

    /// When a scheduler that is not done is called stuck.
    pub(crate) fn cut_off(&self, times: f64) -> Nanos {
        nanos(self.ideal() * times)
    }
}

struct Flow {
    /// When it begins, in seconds.
    from: f64,
    rate: f64,
    /// Its rate in the slow region.
    slow: f64,
}
