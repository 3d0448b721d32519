//! What a daemon uses does not grow with what it has done.
//!
//! Some seconds of it here; `TEST_SOAK_SECONDS=86400` makes a day of it.

use std::fs;
use std::time::{Duration, Instant};

use haul_api::{Files, JobState, SubmitJob};
use haul_testkit::{Content, File, Server};

use crate::support::{Daemon, MIB, assert_holds, say, wait_until};

/// Jobs in a round.
const JOBS: u64 = 30;

/// 2 of the runtime, 32 that wait for disks, 4 of the store, one for each file system, some that resolve names.
const THREADS_MAX: u64 = 56;

/// What a process uses.
#[derive(Debug)]
struct Use {
    kib: u64,
    descriptors: u64,
    threads: u64,
}

impl Use {
    fn of(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.trim().split(' ').next()?.parse().ok());
            number.expect("Linux tells it")
        };
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).expect("the process runs").count() as u64;
        Self { kib: field("VmRSS:"), descriptors, threads: field("Threads:") }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f_proc_10_a_short_soak_is_flat() {
    let seconds = std::env::var("TEST_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let (server, daemon) = (Server::start(), Daemon::with("log = \"info\"").await);
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut rounds, mut warm) = (0, None);
    while Instant::now() < until || rounds < 6 {
        round(&server, &daemon, rounds).await;
        rounds += 1;
        // Caches, threads and the allocator take some rounds to get to their size.
        if rounds == 4 {
            warm = Some(Use::of(daemon.process()));
        }
    }
    let (warm, now) = (warm.expect("there were four rounds"), Use::of(daemon.process()));
    say(&format!("after 4 rounds {warm:?}, after {rounds} {now:?}"));
    assert!(now.descriptors <= warm.descriptors + 8, "descriptors: {warm:?}, {now:?}");
    assert!(now.threads <= THREADS_MAX, "threads: {warm:?}, {now:?}");
    assert!(now.kib <= warm.kib + (24 << 10), "memory: {warm:?}, {now:?}");
    assert_eq!(daemon.client().stats().await.expect("the API answers").jobs.values().sum::<u64>(), 0);
    // A deletion is acknowledged before the file is gone.
    wait_until("all files are deleted", async || daemon.home().names().is_empty().then_some(())).await;
}

/// Small jobs, one over many connections, one that is canceled and one that fails; then all are deleted.
async fn round(server: &Server, daemon: &Daemon, round: u64) {
    let mut jobs = Vec::new();
    for n in 0..JOBS {
        let path = format!("/{round}-{n}.bin");
        let len = if n == 0 { 3 * MIB } else { 1000 + n * 3001 };
        let content = Content::seeded(round * JOBS + n, len);
        if n != 1 {
            server.add(&path, File::new(content.clone()).etag("\"v1\""));
        }
        jobs.push((path, content));
    }
    let wishes: Vec<_> = jobs.iter().map(|(path, _)| SubmitJob::new(server.url(path))).collect();
    let results = daemon.client().submit_many(&wishes).await.expect("one request is enough").results;
    for (n, (result, (path, content))) in results.into_iter().zip(&jobs).enumerate() {
        let haul_api::Outcome::Job(job) = result.outcome else { panic!("not accepted: {path}") };
        let job = daemon.ended(job.id).await;
        if n == 1 {
            assert_eq!(job.state, JobState::Failed);
        } else {
            assert_eq!(job.state, JobState::Completed, "{job:?}");
            assert_holds(job.path.as_deref().expect("a complete job has a path").as_ref(), content);
        }
        daemon.client().delete(job.id, Files::Delete).await.expect("it can be deleted");
        server.remove(path);
    }
}
