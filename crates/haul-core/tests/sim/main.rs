//! Seeded virtual worlds: hosts, links, disks and users that misbehave, with the invariants checked after each step.
//!
//! `HAUL_SIM_WORLDS=N` runs that many worlds, `HAUL_SIM_SEED=N` replays the one whose seed a failure printed, and
//! `HAUL_SIM_TRACE=1` tells its story.

mod contents;
mod generate;
mod host;
mod invariants;
mod job;
mod link;
mod measure;
mod shell;
mod spans;
mod transfers;
mod user;
mod world;

use std::time::Duration;

use haul_core::Time;
use world::World;

/// Worlds of an ordinary run. A guess: all kinds of trouble meet in a few seconds.
const WORLDS: u64 = 1_200;

/// No world needs longer: the longest waits are backoffs and pauses of some minutes, and every kind of trouble ends.
const DEADLINE: Duration = Duration::from_secs(12 * 3600);

fn number(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "only tests are steered by the environment")]
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

/// Names the seed when anything panics, the engine included.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failing test says how to replay it")]
            {
                eprintln!("this was world {0}; replay it with HAUL_SIM_SEED={0} HAUL_SIM_TRACE=1", self.0);
            }
        }
    }
}

fn run(seed: u64) {
    let _seed = Seed(seed);
    let mut world = World::random(seed);
    if !world.run(Time::ZERO + DEADLINE) {
        let stuck: Vec<_> = world.jobs.iter().filter(|(_, job)| job.outcome.is_none()).collect();
        let views: Vec<_> = stuck.iter().map(|(id, _)| (**id, world.engine.job(world.now, **id))).collect();
        world.fail(format!("stuck: {views:#?}"));
    }
    world.check(world.workers.is_empty() || world.jobs.values().any(|job| job.held), || "workers are left".to_owned());
}

/// The worlds are shared out over some tests, which run side by side.
fn run_share(share: u64) {
    if let Some(seed) = number("HAUL_SIM_SEED") {
        if share == 0 {
            run(seed);
        }
        return;
    }
    let worlds = number("HAUL_SIM_WORLDS").unwrap_or(WORLDS);
    let base = number("HAUL_SIM_BASE").unwrap_or(1);
    for seed in (base..base + worlds).filter(|seed| seed % 4 == share) {
        run(seed);
    }
}

#[test]
fn invariants_hold_in_random_worlds_1() {
    run_share(0);
}

#[test]
fn invariants_hold_in_random_worlds_2() {
    run_share(1);
}

#[test]
fn invariants_hold_in_random_worlds_3() {
    run_share(2);
}

#[test]
fn invariants_hold_in_random_worlds_4() {
    run_share(3);
}

/// Worlds that once failed, and what they taught.
#[test]
fn worlds_that_once_failed() {
    for seed in [
        // Released in the moment in which a stream of unknown length ended: rows without a total were left.
        307_073, 312_788,
        // The second of two first requests brought the whole file, and the first one was doubled while it was being stopped.
        68, // Passed over for another mirror, trusted all the same when it was back.
        37, 34, // An heir was trusted after a restart, although it had not been compared.
        477, 227, // An heir with too few bytes to be compared with: nothing happened any more.
        163, // A job with mirrors on two hosts was not asked again when the full one had room.
        129, 128, 62,  // Rows of a source that was forgotten stayed in the store.
        244, // The sum of what is left counted a second first request, which has no end yet.
        586,
        // Starved with a mirror that could not prove itself, that shared a full host, or that was not main.
        23, 1_000_788, 2_001_517, 2_004_314, 2_007_988,
        // A dropped mirror's first request was still on its way when the next one's was made.
        2_000_501, 2_004_547,
        // Passed on to another mirror while all connections were in use, and not asked again; or not passed on, because
        // the other one's host was full.
        3_007_070, 3_014_082, 3_012_050, 3_015_519,
        // Nothing came, and so the leases became as small as they may be.
        4_009_765,
        // A mirror whose sample was being compared counted as a sibling that runs, and as a sign that the other one serves.
        6_006_987,
        // A job of high priority paused for some 200 ms again and again, and each time another one had its slot meanwhile.
        3_015_235,
        // Each chunk was asked for once, as fast as the server answered with an error, while an older stream went on;
        // the same where all of them had failed once before.
        4_990, 1_002_929,
        // What the loser of a race had brought was taken from the winner's lease, to be fetched a third time.
        7_002_741, 9_005_600, // Given up for its late answer while another first request was answered.
        7_009_979, 9_002_378,
        // Paused while it was sealed, it went on when its bytes turned out to be the wrong ones.
        9_009_935,
        // A verdict on a job that was on its way back to the queue was not listened to, and asked for again.
        16_708,
    ] {
        run(seed);
    }
}
