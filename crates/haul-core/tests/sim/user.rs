//! Virtual users, and what else happens to a daemon.

use haul_core::messages::{Caps, Tuning};
use haul_core::{JobId, Rng, Time};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Submit(JobId),
    Pause(JobId),
    Resume(JobId),
    Nudge(JobId),
    Tune(JobId, Tuning),
    SetCaps(Caps),
    /// The rest of a job's mirrors is found.
    NameMirrors(JobId),
    /// Somebody reads a job's file at this offset.
    Read(JobId, u64),
    /// Nobody does any more.
    StopReading(JobId),
    /// What is known of the host with this number is forgotten.
    ForgetHost(usize),
    /// The daemon dies, and comes back with what was durable.
    Crash,
    /// A fact about a worker that is long gone.
    LateFact(u64),
}

/// Some acts, at times of their own, after which every job runs again.
pub(crate) fn acts(rng: &mut Rng, jobs: &[JobId], span_ms: u64, caps: Caps) -> Vec<(Time, Act)> {
    let mut acts = Vec::new();
    for job in jobs {
        let submitted = if rng.below(3) == 0 { rng.below(span_ms / 2 + 1) } else { 0 };
        acts.push((Time::from_millis(submitted), Act::Submit(*job)));
        if rng.below(3) == 0 {
            for _ in 0..=rng.below(2) {
                let at = submitted + rng.below(span_ms) + 1;
                acts.push((Time::from_millis(at), Act::Pause(*job)));
                // Sometimes at once, before the last worker is gone.
                let rest = if rng.below(2) == 0 { rng.below(50) } else { rng.below(20_000) };
                acts.push((Time::from_millis(at + rest), Act::Resume(*job)));
            }
        }
        if rng.below(6) == 0 {
            acts.push((Time::from_millis(submitted + rng.below(span_ms)), Act::Nudge(*job)));
        }
        acts.push((Time::from_millis(submitted + rng.below(span_ms)), Act::NameMirrors(*job)));
        if rng.below(4) == 0 {
            let priority = i32::try_from(rng.below(7)).expect("small") - 3;
            let connections = (rng.below(2) == 0).then(|| u32::try_from(rng.below(20)).expect("small") + 1);
            let tuning = Tuning { priority, connections, ..Tuning::default() };
            acts.push((Time::from_millis(submitted + rng.below(span_ms)), Act::Tune(*job, tuning)));
        }
    }
    if rng.below(6) == 0 {
        let mut small = |most: u64| u32::try_from(rng.below(most) + 1).expect("small");
        let lower = Caps {
            active_jobs: small(4) as usize,
            connections_per_job: small(8),
            connections_per_host: small(8),
            connections_total: small(12),
        };
        let at = rng.below(span_ms);
        acts.push((Time::from_millis(at), Act::SetCaps(lower)));
        acts.push((Time::from_millis(at + rng.below(30_000)), Act::SetCaps(caps)));
    }
    for _ in 0..rng.below(3).saturating_sub(1) {
        acts.push((Time::from_millis(rng.below(span_ms)), Act::Crash));
    }
    if rng.below(6) == 0 {
        let host = usize::try_from(rng.below(8)).expect("small");
        acts.push((Time::from_millis(rng.below(span_ms)), Act::ForgetHost(host)));
    }
    for _ in 0..rng.below(4) {
        acts.push((Time::from_millis(rng.below(span_ms)), Act::LateFact(rng.below(60))));
    }
    // Of its own: what else happens in a world does not depend on who reads.
    let mut readers = rng.clone();
    for job in jobs.iter().filter(|_| readers.below(4) == 0).collect::<Vec<_>>() {
        for _ in 0..=readers.below(6) {
            let at = readers.below(span_ms);
            acts.push((Time::from_millis(at), Act::Read(*job, readers.below(64 << 20))));
            acts.push((Time::from_millis(at + readers.below(10_000)), Act::StopReading(*job)));
        }
    }
    acts
}
