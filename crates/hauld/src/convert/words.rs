//! Words and numbers as people read them.

use std::time::Duration;

use haul_api::HumanDuration;

const MIB: f64 = 1_048_576.0;

/// A host as people call it; what is not `https` is told by its scheme.
pub(super) fn name(host: &str) -> &str {
    host.strip_prefix("https://").unwrap_or(host)
}

pub(super) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A place in a file: `276 MiB`, `0.5 MiB`.
pub(super) fn place(at: u64) -> String {
    let mib = at as f64 / MIB;
    if mib.fract() == 0.0 { format!("{mib:.0} MiB") } else { format!("{mib:.1} MiB") }
}

/// A wait, in seconds from one up.
pub(super) fn words(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    HumanDuration(Duration::from_secs(seconds.max(1))).approx()
}

pub(super) fn in_words(wait: Duration) -> String {
    if wait.is_zero() { "now".to_owned() } else { format!("in {}", words(wait)) }
}
