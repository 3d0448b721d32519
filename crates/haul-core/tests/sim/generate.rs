//! Random worlds.

use std::time::Duration;

use haul_core::messages::Caps;
use haul_core::{ByteRange, FaultKind, JobId, Policy, Rng, Time};

use crate::host::{File, Host, Mishap, Outage, OverCap, Ranges, Slow};
use crate::job::Site;
use crate::user;
use crate::world::World;

const MIB: u64 = 1 << 20;
const MISHAPS: [Mishap; 14] = [
    Mishap::Reset,
    Mishap::Stall,
    Mishap::Truncated,
    Mishap::Shorter,
    Mishap::NoAnswer,
    Mishap::ResetAtOnce,
    Mishap::Status(500),
    Mishap::Status(503),
    Mishap::Status(429),
    Mishap::RangeMismatch,
    Mishap::Malformed,
    Mishap::Interference,
    Mishap::Local,
    Mishap::Internal,
];

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[usize::try_from(rng.below(from.len() as u64)).expect("an index")]
}

/// Between `least` and `most`, all orders of magnitude alike.
fn spread(rng: &mut Rng, least: f64, most: f64) -> f64 {
    least * (most / least).powf(rng.unit())
}

fn one_in(rng: &mut Rng, n: u64) -> bool {
    rng.below(n) == 0
}

impl World {
    pub(crate) fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let rng = &mut rng;
        let policy = Policy {
            active_jobs_max: pick(rng, &[1, 2, 4, 8]),
            connections_per_job: pick(rng, &[1, 2, 4, 8, 16, 32]),
            connections_per_host: pick(rng, &[1, 4, 8, 32]),
            connections_total: pick(rng, &[2, 8, 32, 512]),
            retry_limit: if one_in(rng, 10) { 5 } else { 0 },
            ..Policy::default()
        };
        let caps = Caps {
            active_jobs: policy.active_jobs_max,
            connections_per_job: policy.connections_per_job,
            connections_per_host: policy.connections_per_host,
            connections_total: policy.connections_total,
        };
        let mut world = Self::new(seed, policy);
        for index in 0..=rng.below(3) {
            world.hosts.push(random_host(rng, index));
        }
        let mut ids = Vec::new();
        for index in 1..=1 + rng.below(5) {
            let id = JobId(index);
            let host = usize::try_from(rng.below(world.hosts.len() as u64)).expect("an index");
            world.add_job(id, host, random_file(rng));
            if one_in(rng, 2) {
                world.add_mirrors(rng, id);
            }
            if one_in(rng, 20) {
                world.job(id).seal_fault = Some(FaultKind::ChecksumMismatch);
            }
            ids.push(id);
        }
        if one_in(rng, 5) {
            world.limit = spread(rng, 50_000.0, 2_000_000.0);
        }
        if one_in(rng, 8) {
            let from = Time::from_millis(rng.below(10_000));
            world.disk_full.push((from, from + Duration::from_millis(rng.below(30_000))));
        }
        world.tick = Duration::from_millis(pick(rng, &[100, 250, 400]));
        world.end_set_after = Duration::from_millis(pick(rng, &[0, 0, 1, 20]));
        for (at, act) in user::acts(rng, &ids, 20_000, caps) {
            world.add_act(at, act);
        }
        world
    }

    /// One or two mirrors, of which only some are what they should be.
    fn add_mirrors(&mut self, rng: &mut Rng, id: JobId) {
        let hosts = self.hosts.len() as u64;
        let job = self.job(id);
        for index in 1..=1 + u32::try_from(rng.below(2)).expect("small") {
            let host = usize::try_from(rng.below(hosts)).expect("an index");
            let file = random_mirror(rng, index, &job.sites[0].file);
            job.sites.push(Site::new(host, file));
        }
        job.named = if one_in(rng, 4) { 1 } else { job.sites.len() };
        job.checksum = one_in(rng, 2);
    }
}

fn random_mirror(rng: &mut Rng, index: u32, first: &File) -> File {
    let good =
        File { bytes: first.bytes, tells_length: first.tells_length, changes_at: Vec::new(), ..random_file(rng) };
    match rng.below(10) {
        0 => File { bytes: first.bytes + 1 + rng.below(MIB), make: index, ..good },
        1 | 2 => File { make: index, ..good },
        3 => File { status: Some(pick(rng, &[401, 403, 404, 410, 451])), ..good },
        4 => File { dies: Some((Time::from_millis(rng.below(20_000)), pick(rng, &[403, 404, 410]))), ..good },
        5 => File { wrong: random_regions(rng, first.bytes), ..good },
        6 => File { changes_at: vec![Time::from_millis(rng.below(20_000))], ..good },
        _ => good,
    }
}

fn random_regions(rng: &mut Rng, bytes: u64) -> Vec<ByteRange> {
    let region = |rng: &mut Rng| {
        let start = rng.below(bytes.max(1));
        ByteRange::new(start, start + 1 + rng.below(MIB))
    };
    (0..=rng.below(3)).map(|_| region(rng)).collect()
}

fn random_host(rng: &mut Rng, index: u64) -> Host {
    let per_connection = spread(rng, 40_000.0, 10_000_000.0);
    let link = if one_in(rng, 3) { f64::INFINITY } else { per_connection * spread(rng, 0.7, 20.0) };
    let retry_after = one_in(rng, 2).then(|| Duration::from_secs(1 + rng.below(60)));
    let over = pick(
        rng,
        &[OverCap::Status(503, retry_after), OverCap::Status(429, retry_after), OverCap::Reset, OverCap::NoAnswer],
    );
    let cap = one_in(rng, 4).then(|| (u32::try_from(1 + rng.below(6)).expect("small"), over));
    let mut outages = Vec::new();
    if one_in(rng, 3) {
        for _ in 0..=rng.below(2) {
            let from = Time::from_millis(if one_in(rng, 3) { 0 } else { rng.below(20_000) });
            let retry_after = one_in(rng, 2).then(|| Duration::from_secs(1 + rng.below(90)));
            let outage = pick(
                rng,
                &[
                    Outage::Refused,
                    Outage::NoConnection,
                    Outage::NoAnswer,
                    Outage::Dns,
                    Outage::Status(503, retry_after),
                    Outage::Status(429, retry_after),
                    Outage::Status(500, None),
                ],
            );
            outages.push((from, from + Duration::from_millis(rng.below(60_000)), outage));
        }
    }
    Host {
        latency: Duration::from_millis(1 + rng.below(200)),
        connect: Duration::from_millis(1 + rng.below(150)),
        per_connection,
        link,
        cap,
        outages,
        ..Host::named(&format!("http://host{index}"))
    }
}

fn random_file(rng: &mut Rng) -> File {
    let bytes = match rng.below(8) {
        0 => 0,
        1 => 1 + rng.below(100),
        2 => rng.below(MIB),
        3..=6 => rng.below(8 * MIB),
        _ => rng.below(40 * MIB),
    };
    let mut file = File::plain(bytes);
    file.tells_length = !one_in(rng, 10);
    file.ranges = match rng.below(10) {
        0 => Ranges::No,
        1 => Ranges::OnlyFromZero,
        2 => Ranges::Sometimes(2 + rng.below(8)),
        _ => Ranges::Yes,
    };
    file.status = one_in(rng, 20).then(|| pick(rng, &[400, 401, 403, 404, 410, 451]));
    if one_in(rng, 2) {
        file.mishaps = (0..=rng.below(3)).map(|_| pick(rng, &MISHAPS)).collect();
        file.mishap_chance = pick(rng, &[0.05, 0.2, 0.5, 0.9]);
        file.mishaps_left = u32::try_from(rng.below(60)).expect("small");
    }
    for _ in 0..rng.below(3) {
        let start = rng.below(bytes.max(1));
        file.slow.push(Slow {
            region: ByteRange::new(start, start + 1 + rng.below(MIB)),
            rate: spread(rng, 2_000.0, 100_000.0),
            requests_left: if one_in(rng, 5) { u32::MAX } else { u32::try_from(rng.below(8)).expect("small") },
        });
    }
    if one_in(rng, 10) {
        let mut at = 0;
        for _ in 0..=rng.below(5) {
            at += rng.below(6_000);
            file.changes_at.push(Time::from_millis(at));
        }
    }
    if one_in(rng, 12) {
        file.link_lasts = Some(Duration::from_millis(500 + rng.below(20_000)));
        file.links_left = if one_in(rng, 3) { 1 } else { u32::MAX };
    }
    file
}
