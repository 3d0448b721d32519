//! What one world is like: its network, its host, its file, and what befalls its connections.
//!
//! Everything that happens to a connection is decided by the order in which the host accepts it, so that all
//! schedulers meet the same sequence, however they behave.

use haul_core::{ByteRange, Rng};

/// Time in whole nanoseconds since the world began.
pub(crate) type Nanos = u64;

pub(crate) const SECOND: Nanos = 1_000_000_000;

/// Nothing is slower, in bytes per second: a packet every 1.5 s. What is has the silences of a stall.
pub(crate) const TRICKLE: f64 = 1e3;

/// A lame connection is below the speed floor: what is faster is left alone on purpose (DESIGN.md section 4).
pub(crate) const LAME_MAX: f64 = 290e3;

/// What a connection brings in its first round trip (RFC 6928).
const FIRST_PACKETS: f64 = 10.0 * 1460.0;

/// The kinds of worlds. A world of a kind has exactly what its name says, a mixture has two of the kinds that mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Every connection has the same rate, and nothing goes wrong.
    Plain,
    /// A link that is thinner than the sum of the connections.
    Link,
    /// A host that serves fewer connections than the job may use.
    Capped,
    /// Some connections are at least 10 times slower than the others, for as long as they live.
    Lame,
    /// The host's places have different rates; a new connection takes a free place.
    Uneven,
    /// A region of the file is slow on every connection.
    Region,
    /// Some connections fall silent for ever.
    Stalls,
    /// Some or all connections break.
    Resets,
    /// Some connections never answer.
    Unanswered,
    /// Two of the above at once.
    Mixture,
}

pub(crate) const CLASSES: [Class; 10] = [
    Class::Plain,
    Class::Link,
    Class::Capped,
    Class::Lame,
    Class::Uneven,
    Class::Region,
    Class::Stalls,
    Class::Resets,
    Class::Unanswered,
    Class::Mixture,
];

#[derive(Clone, Debug)]
pub(crate) struct Nature {
    pub(crate) seed: u64,
    pub(crate) class: Class,
    /// Connections that the job may use.
    pub(crate) connections: u32,
    pub(crate) bytes: u64,
    /// From nothing to a connection.
    pub(crate) connect: Nanos,
    /// From a request to its answer.
    pub(crate) answer: Nanos,
    /// Bytes per second of an ordinary connection.
    pub(crate) rate: f64,
    /// Bytes per second of all connections together.
    pub(crate) link: f64,
    /// New connections start slowly, as TCP does.
    pub(crate) slow_start: bool,
    /// Requests that the host serves at a time, and what the others get.
    pub(crate) cap: Option<(u32, OverCap)>,
    /// The share of the connections that are lame.
    pub(crate) lame: f64,
    /// The standard deviation of the logarithm of the places' rates.
    pub(crate) uneven: f64,
    /// A region of the file, and its bytes per second on any connection.
    pub(crate) slow: Option<(ByteRange, f64)>,
    /// The share of the connections that fall silent.
    pub(crate) stalls: f64,
    /// The share of the connections that break.
    pub(crate) resets: f64,
    /// The share of the connections that never answer.
    pub(crate) unanswered: f64,
}

/// What a request above a host's cap gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverCap {
    Unavailable,
    Reset,
    NoAnswer,
}

/// What a connection is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    /// Its rate in relation to an ordinary one's, its place not counted.
    pub(crate) factor: f64,
    pub(crate) answers: bool,
    /// The bytes that it carries before it ends.
    pub(crate) life: u64,
    pub(crate) end: Break,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    Stall,
    Reset,
}

impl Nature {
    /// The connection that is accepted as the `ordinal`th, counted from 0.
    pub(crate) fn connection(&self, ordinal: u32) -> Connection {
        let mut rng = Rng::new(self.seed ^ (u64::from(ordinal) + 1).wrapping_mul(0xa076_1d64_78bd_642f));
        let lame = (self.rate / spread(&mut rng, 10.0, 50.0)).clamp(TRICKLE, LAME_MAX) / self.rate;
        let factor = if rng.unit() < self.lame { lame } else { 1.0 };
        let answers = rng.unit() >= self.unanswered;
        let (stalls, breaks) = (rng.unit() < self.stalls, rng.unit() < self.resets);
        let share = self.bytes as f64 / f64::from(self.connections);
        let life = if stalls || breaks { whole(share * spread(&mut rng, 0.02, 2.0)).max(1) } else { u64::MAX };
        Connection { factor, answers, life, end: if stalls { Break::Stall } else { Break::Reset } }
    }

    /// The rate of a place, in relation to an ordinary one's.
    pub(crate) fn place(&self, place: usize) -> f64 {
        if self.uneven == 0.0 {
            return 1.0;
        }
        let mut rng = Rng::new(self.seed ^ (place as u64 + 1).wrapping_mul(0xe703_7ed1_a0b4_28db));
        // Box and Muller: two even spreads make one normal one.
        let radius = (-2.0 * (1.0 - rng.unit()).ln()).sqrt();
        (self.uneven * radius * (std::f64::consts::TAU * rng.unit()).cos()).exp()
    }

    /// What a connection brings in its place once it has started, in bytes per second. A lame one is below the speed floor
    /// wherever it is.
    pub(crate) fn full_rate(&self, factor: f64, place: usize) -> f64 {
        let rate = self.rate * factor * self.place(place);
        if factor < 1.0 { rate.min(LAME_MAX) } else { rate }
    }

    /// Connections that can be served at a time.
    pub(crate) fn usable(&self) -> u32 {
        self.cap.map_or(self.connections, |(cap, _)| cap.min(self.connections))
    }

    /// The most that a connection brings whose first byte came `age` ago, in bytes per second: ten packets in the first
    /// round trip, and twice as many in each that follows.
    pub(crate) fn window(&self, age: Nanos) -> f64 {
        if !self.slow_start {
            return f64::INFINITY;
        }
        let doublings = u32::try_from((age / self.connect).min(60)).expect("a small number");
        FIRST_PACKETS * f64::from(doublings).exp2() / seconds(self.connect)
    }

    /// From the decision to make a request on a new connection to its first byte.
    pub(crate) fn approach(&self) -> Nanos {
        self.connect + self.answer
    }
}

/// Between `least` and `most`, all orders of magnitude alike.
pub(crate) fn spread(rng: &mut Rng, least: f64, most: f64) -> f64 {
    least * (most / least).powf(rng.unit())
}

/// A number without its fraction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "byte counts and times are positive")]
pub(crate) fn whole(number: f64) -> u64 {
    number as u64
}

pub(crate) fn nanos(seconds: f64) -> Nanos {
    whole((seconds * SECOND as f64).ceil())
}

pub(crate) fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / SECOND as f64
}
