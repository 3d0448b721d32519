//! Random worlds, and how they are distributed.
//!
//! | what | how it is drawn | why it is limited |
//! | --- | --- | --- |
//! | connections | 1 to 64, all orders of magnitude alike | |
//! | rate of a connection | 10 KB/s to 100 MB/s, all orders of magnitude alike | |
//! | round trip | 1 to 300 ms, all orders of magnitude alike: the time of a connect | |
//! | answer | one to two round trips | |
//! | slow start | in half of the worlds: ten packets in a connection's first round trip, then twice as many in each | |
//! | length of the file | 5 s to 5 min at the full rate, all orders of magnitude alike, but at least 8 MiB | smaller ones are left on few requests on purpose |
//! | link | 5 to 100 % of the sum of the connections | |
//! | cap | from 1 to one less than the connections; 503, reset and silence alike | |
//! | lame | 2, 5, 10 or 20 % of at least 2 connections, 10 to 50 times slower, but not below 1 KB/s and not above 290 KB/s | one connection has nobody to be compared with; what is above the speed floor is left alone on purpose (DESIGN.md section 4) |
//! | uneven | a logarithm's deviation of 0.2 to 1 | |
//! | region | 0.05 to 2 % of the file, anywhere, 5 to 50 times slower, but not below 1 KB/s | as in the rig that measures over real wires |
//! | stalls | 2, 5 or 10 % of the connections, after 2 to 200 % of a fair share of the file | |
//! | resets | 5, 20 or 100 % of the connections, likewise | |
//! | unanswered | 2, 5 or 10 % of the connections | |
//!
//! Nothing is slower than 1 KB/s because that has the silences of a stall. Nearly half of the worlds are as most downloads
//! are: plain, or with a link as the bottleneck.

use haul_core::{ByteRange, Rng};

use crate::nature::{Class, Nature, OverCap, TRICKLE, nanos, spread, whole};

/// Of a hundred worlds, how many are of each kind. A guess at what people meet, with trouble over-represented.
const WEIGHTS: [(Class, u64); 10] = [
    (Class::Plain, 25),
    (Class::Link, 20),
    (Class::Capped, 8),
    (Class::Lame, 8),
    (Class::Uneven, 7),
    (Class::Region, 7),
    (Class::Stalls, 7),
    (Class::Resets, 5),
    (Class::Unanswered, 5),
    (Class::Mixture, 8),
];

/// The share of the worlds in which connections start slowly. In the others they are known to each other already, or the
/// round trip does not matter.
const SLOW_STARTS: f64 = 0.5;

/// Smaller files are left on few requests on purpose.
const BYTES_MIN: u64 = 8 << 20;

/// The kinds that can be mixed. A host's cap is a world of its own: what else happens there could not be told apart.
const MIXING: [Class; 7] =
    [Class::Link, Class::Lame, Class::Uneven, Class::Region, Class::Stalls, Class::Resets, Class::Unanswered];

impl Nature {
    pub(crate) fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let rng = &mut rng;
        let class = draw_class(rng);
        let connections = u32::try_from(whole(spread(rng, 1.0, 65.0))).expect("a small number");
        let round_trip = spread(rng, 0.001, 0.3);
        let mut nature = Self {
            seed,
            class,
            connections,
            bytes: 0,
            connect: nanos(round_trip),
            answer: nanos(round_trip * (1.0 + rng.unit())),
            rate: spread(rng, 10e3, 100e6),
            link: f64::INFINITY,
            slow_start: false,
            cap: None,
            lame: 0.0,
            uneven: 0.0,
            slow: None,
            stalls: 0.0,
            resets: 0.0,
            unanswered: 0.0,
        };
        let lasts = spread(rng, 5.0, 300.0);
        let first = rng.below(MIXING.len() as u64);
        let second = (first + 1 + rng.below(MIXING.len() as u64 - 1)) % MIXING.len() as u64;
        let mut chosen =
            if class == Class::Mixture { vec![at(&MIXING, first), at(&MIXING, second)] } else { vec![class] };
        // The region needs to know the length, and the length depends on the link.
        chosen.sort_unstable();
        for kind in chosen.iter().filter(|kind| **kind != Class::Region) {
            nature.add(rng, *kind);
        }
        let total = (f64::from(nature.usable()) * nature.rate).min(nature.link);
        nature.bytes = whole(total * lasts).max(BYTES_MIN);
        if chosen.contains(&Class::Region) {
            nature.add(rng, Class::Region);
        }
        nature.slow_start = rng.unit() < SLOW_STARTS;
        nature
    }

    fn add(&mut self, rng: &mut Rng, kind: Class) {
        match kind {
            Class::Plain | Class::Mixture => {}
            Class::Link => self.link = self.rate * f64::from(self.connections) * spread(rng, 0.05, 1.0),
            Class::Capped => {
                self.connections = self.connections.max(2);
                let cap = u32::try_from(whole(spread(rng, 1.0, f64::from(self.connections)))).expect("a small number");
                self.cap = Some((cap, pick(rng, &[OverCap::Unavailable, OverCap::Reset, OverCap::NoAnswer])));
            }
            Class::Lame => {
                self.connections = self.connections.max(2);
                self.lame = pick(rng, &[0.02, 0.05, 0.1, 0.2]);
            }
            Class::Uneven => self.uneven = 0.2 + 0.8 * rng.unit(),
            Class::Region => {
                let length = whole(self.bytes as f64 * spread(rng, 0.0005, 0.02)).max(1);
                let start = rng.below(self.bytes - length + 1);
                let rate = (self.rate / spread(rng, 5.0, 50.0)).max(TRICKLE);
                self.slow = Some((ByteRange::new(start, start + length), rate));
            }
            Class::Stalls => self.stalls = pick(rng, &[0.02, 0.05, 0.1]),
            Class::Resets => self.resets = pick(rng, &[0.05, 0.2, 1.0]),
            Class::Unanswered => self.unanswered = pick(rng, &[0.02, 0.05, 0.1]),
        }
    }
}

fn draw_class(rng: &mut Rng) -> Class {
    let mut left = rng.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
    for (class, weight) in WEIGHTS {
        if left < weight {
            return class;
        }
        left -= weight;
    }
    unreachable!("the draw is below the sum")
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    let index = rng.below(from.len() as u64);
    at(from, index)
}

fn at<T: Copy>(from: &[T], index: u64) -> T {
    from[usize::try_from(index).expect("an index")]
}
