//! What comes out: percentiles, by scheduler and kind of world.

use std::fmt;

use crate::nature::{CLASSES, Class, Nature, seconds};
use crate::world::Tally;

/// Connections that are plenty.
const MANY: u32 = 16;

/// One run of one scheduler in one world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) seed: u64,
    pub(crate) class: Class,
    /// The ideal time, in round trips.
    pub(crate) round_trips: f64,
    /// A link is the bottleneck by far, and connections are plenty.
    pub(crate) thin: bool,
    /// Its time in relation to the ideal; infinite when it was stuck.
    pub(crate) ratio: f64,
    /// Bytes that came twice, in relation to the file's.
    pub(crate) twice: f64,
    pub(crate) requests: u64,
    /// Connections that were opened.
    pub(crate) connections: u64,
    /// Connections that were in use at a time, in relation to those that the job may use.
    pub(crate) in_use: f64,
    /// Requests that the host refused, or let hang, because it serves no more.
    pub(crate) refused: u64,
    pub(crate) events: u64,
}

impl Row {
    pub(crate) fn new(nature: &Nature, ideal: f64, tally: &Tally) -> Self {
        let bytes = nature.bytes as f64;
        Self {
            seed: nature.seed,
            class: nature.class,
            round_trips: ideal / seconds(nature.connect),
            thin: nature.link < nature.rate * f64::from(nature.connections) / 2.0 && nature.connections >= MANY,
            ratio: tally.took.map_or(f64::INFINITY, |took| took / ideal),
            twice: if tally.took.is_some() { (tally.received as f64 - bytes) / bytes } else { 0.0 },
            requests: tally.requests,
            connections: tally.connections,
            in_use: tally.took.map_or(1.0, |took| tally.worker_seconds / took / f64::from(nature.connections)),
            refused: tally.refused,
            events: tally.events,
        }
    }
}

/// The figures of some rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) worlds: usize,
    pub(crate) median: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    pub(crate) stuck: usize,
    pub(crate) twice_p99: f64,
    /// Requests for a file, and connections for it, in the median.
    pub(crate) requests: f64,
    pub(crate) connections: f64,
    /// Connections in use at a time, in relation to those that the job may use, in the mean.
    pub(crate) in_use: f64,
    /// Requests that were refused for a file, in the mean.
    pub(crate) refused: f64,
}

impl Figures {
    pub(crate) fn of(rows: &[Row]) -> Self {
        let ratios = sorted(rows.iter().map(|row| row.ratio));
        Self {
            worlds: rows.len(),
            median: percentile(&ratios, 50),
            p90: percentile(&ratios, 90),
            p99: percentile(&ratios, 99),
            max: percentile(&ratios, 100),
            stuck: ratios.iter().filter(|ratio| ratio.is_infinite()).count(),
            twice_p99: percentile(&sorted(rows.iter().map(|row| row.twice)), 99),
            requests: percentile(&sorted(rows.iter().map(|row| row.requests as f64)), 50),
            connections: percentile(&sorted(rows.iter().map(|row| row.connections as f64)), 50),
            in_use: mean(rows.iter().map(|row| row.in_use)),
            refused: mean(rows.iter().map(|row| row.refused as f64)),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} {:>8.3} {:>8.3} {:>8.3}", self.worlds, self.median, self.p90, self.p99)?;
        write!(f, " {:>8.3} {:>6} {:>8.2}% {:>8}", self.max, self.stuck, self.twice_p99 * 100.0, self.requests)?;
        write!(f, " {:>11} {:>6.0}% {:>7.1}", self.connections, self.in_use * 100.0, self.refused)
    }
}

const HEAD: &str = "worlds   median      p90      p99      max  stuck twice p99 requests connections  in use refused";

fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_unstable_by(f64::total_cmp);
    numbers
}

fn mean(numbers: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = numbers.len() as f64;
    numbers.sum::<f64>() / count.max(1.0)
}

/// The number that so many per cent do not exceed; 0 where there is none.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[expect(clippy::print_stdout, reason = "asked for by an environment variable")]
pub(crate) fn print(name: &str, rows: &[Row]) {
    println!("\n{name:<30} {HEAD}");
    print_some("all", rows, |_| true);
    for class in CLASSES {
        print_some(&format!("{class:?}").to_lowercase(), rows, |row| row.class == class);
    }
    print_some("thin link, 16 or more", rows, |row| row.thin);
    for (name, least, most) in
        [("below 60 round trips", 0.0, 60.0), ("60 to 300", 60.0, 300.0), ("300 or more", 300.0, f64::MAX)]
    {
        print_some(name, rows, |row| row.round_trips >= least && row.round_trips < most);
    }
}

#[expect(clippy::print_stdout, reason = "asked for by an environment variable")]
fn print_some(name: &str, rows: &[Row], which: impl Fn(&Row) -> bool) {
    let some: Vec<Row> = rows.iter().filter(|row| which(row)).copied().collect();
    if !some.is_empty() {
        println!("  {name:<28} {}", Figures::of(&some));
    }
}

/// The seeds of the worlds in which a scheduler was worst, by kind.
#[expect(clippy::print_stdout, reason = "asked for by an environment variable")]
pub(crate) fn print_worst(rows: &[Row]) {
    println!("\nworst seeds");
    for class in CLASSES {
        let mut of_class: Vec<&Row> = rows.iter().filter(|row| row.class == class).collect();
        of_class.sort_unstable_by(|a, b| b.ratio.total_cmp(&a.ratio));
        let worst: Vec<String> =
            of_class.iter().take(10).map(|row| format!("{} ({:.2})", row.seed, row.ratio)).collect();
        println!("  {:<12} {}", format!("{class:?}").to_lowercase(), worst.join(", "));
    }
}
