//! Kills at random moments over jobs of all kinds, and then the oracle: every file that is said to be complete is, byte
//! for byte; nothing is stuck; and what was fetched twice is next to nothing.
//!
//! Some 20 kills here; `TEST_KILLS=200` makes it long. `TEST_SEED` replays a run, as far as the machine permits.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use haul_api::{Files, Job, JobState, SubmitJob};
use haul_store::Store;
use haul_testkit::{Content, Do, File, Server, When};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::{DEADLINE, Daemon, MIB, assert_holds, say, seed, wait_until};

/// Bytes per second of each job that is measured.
const RATE: u64 = 4_000_000;

/// Jobs that are under way at a time.
const LIVE: usize = 8;

/// What a kill may cost each job that is being fetched, in seconds of its transfer.
const KILL_COSTS: f64 = 0.3;

/// The same where the machine was restarted, and only what was synced counts.
const POWER_CUT_COSTS: f64 = 1.0;

/// What one job may cost at the worst, in times of that: a machine that is busy with other things marks late.
const WORST: f64 = 2.0;

/// What is compared at a time when it is looked how much of a file was written.
const BLOCK: usize = 256;

/// The longest that a run of the daemon lasts.
const RUN_MAX: Duration = Duration::from_millis(600);

/// A job and what must become of it.
struct Task {
    path: String,
    content: Content,
    ends: Ends,
    /// Whether what it fetches twice is measured: not where its server cannot go on in the middle, nor where two have it.
    measured: bool,
    /// Seconds of transfer that the kills so far may have cost it.
    allowed: f64,
    /// Bytes that its server had sent and the daemon had not written when it was killed: they lay in the sockets, more of them
    /// the busier the machine, and nobody can keep them.
    unread: u64,
    verified: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Completed,
    /// Its URL is wrong.
    Failed,
    /// Its user has given it up, or has at least asked for that.
    Canceled,
    /// Its user has deleted it.
    Deleted,
}

struct World {
    random: StdRng,
    server: Server,
    second: Server,
    daemon: Daemon,
    tasks: BTreeMap<u64, Task>,
    next: u64,
    quarantined: usize,
    power_cuts: u32,
}

#[tokio::test(flavor = "multi_thread")]
async fn f_db_01_f_proc_02_kills_at_random_moments_lose_nothing_and_cost_next_to_nothing() {
    let kills = std::env::var("TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let settings = "max_active_jobs = 6\nconnections_per_job = 4\nlog = \"info\"";
    let mut world = World {
        random: StdRng::seed_from_u64(seed()),
        server: Server::start(),
        second: Server::start(),
        daemon: Daemon::with(settings).await,
        tasks: BTreeMap::new(),
        next: 0,
        quarantined: 0,
        power_cuts: 0,
    };
    let begun = Instant::now();
    for _ in 0..kills {
        world.submit_more().await;
        world.run_for_a_while().await;
        world.kill_and_restart().await;
        world.look().await;
    }
    let killed_for = begun.elapsed();
    world.finish().await;
    world.judge().await;
    say(&format!(
        "{kills} kills in {killed_for:?}, {} of them power cuts; {} times a job was quarantined",
        world.power_cuts, world.quarantined
    ));
    // Kills that come faster than first bytes do blame the innocent; they go on when their user says so.
    assert!(world.quarantined <= kills, "{} jobs were quarantined", world.quarantined);
}

impl World {
    /// Submits jobs of random kinds until enough are under way.
    async fn submit_more(&mut self) {
        let live = self.tasks.values().filter(|task| !task.verified).count();
        for _ in live..LIVE {
            let (wish, task) = self.random_job();
            let id = self.daemon.submit_job(&wish).await;
            self.tasks.insert(id, task);
        }
    }

    fn random_job(&mut self) -> (SubmitJob, Task) {
        self.next += 1;
        let path = format!("/{}.bin", self.next);
        let large = self.random.random_range(2 * MIB..8 * MIB);
        let small = self.random.random_range(0..300_000);
        let kind = self.random.random_range(0..10);
        let len = if kind == 0 { small } else { large };
        let content = Content::seeded(self.random.random(), len);
        let file = File::new(content.clone()).etag("\"v1\"").shared_rate(RATE);
        let mut wish = SubmitJob::new(self.server.url(&path));
        let mut task = Task {
            path: path.clone(),
            content,
            ends: Ends::Completed,
            measured: true,
            allowed: 0.0,
            unread: 0,
            verified: false,
        };
        let plain = || File::new(task.content.clone()).shared_rate(RATE);
        let file = match kind {
            1 => plain(),
            2 => plain().last_modified("Thu, 01 Jan 2026 00:00:00 GMT"),
            3 => {
                wish.checksum = Some(format!("sha256:{}", task.content.sha256()));
                file
            }
            4 => {
                // What a reset leaves in the buffers comes on top.
                task.measured = false;
                file.fault(When::Every(3), Do::ResetAfter(300_000))
            }
            5 => {
                self.second.add(&path, file.clone());
                wish.mirrors = Some(vec![self.second.url(&path)]);
                task.measured = false;
                file
            }
            6 => {
                task.measured = false;
                file.chunked()
            }
            7 => {
                task.measured = false;
                file.close_delimited()
            }
            8 => {
                task.measured = false;
                task.ends = Ends::Failed;
                file.fault(When::Always, Do::status(404))
            }
            _ => file,
        };
        self.server.add(&path, file);
        (wish, task)
    }

    /// Lets the daemon run for a random time, in which its user does this and that.
    async fn run_for_a_while(&mut self) {
        let until = Instant::now() + RUN_MAX.mul_f64(self.random.random());
        while Instant::now() < until {
            let ids: Vec<u64> = self.tasks.iter().filter(|(_, task)| !task.verified).map(|(id, _)| *id).collect();
            let id = ids[self.random.random_range(0..ids.len())];
            let client = self.daemon.client().clone();
            // Whatever cannot be done now is refused, and that is right.
            match self.random.random_range(0..40) {
                0..4 => drop(client.pause(id).await),
                4..12 => drop(client.resume(id).await),
                12 => drop(client.resume_all().await),
                13 if client.cancel(id).await.is_ok() => self.ends(id, Ends::Canceled),
                14 if client.delete(id, Files::Delete).await.is_ok() => self.ends(id, Ends::Deleted),
                _ => tokio::time::sleep(Duration::from_millis(self.random.random_range(1..40))).await,
            }
        }
    }

    fn ends(&mut self, id: u64, ends: Ends) {
        let task = self.tasks.get_mut(&id).expect("it was submitted");
        task.ends = ends;
        task.measured = false;
    }

    async fn kill_and_restart(&mut self) {
        let flowing: Vec<u64> =
            self.tasks.iter().filter(|(_, task)| self.server.in_flight(&task.path).0 > 0).map(|(id, _)| *id).collect();
        self.daemon.kill();
        let is_power_cut = self.random.random_range(0..8) == 0;
        if is_power_cut {
            // A run in another boot, and then one in yet another: what was not synced counts for nothing any more.
            drop(Store::open(&self.daemon.home().database(), "another boot").expect("it is sound"));
            self.power_cuts += 1;
        }
        for id in flowing {
            let unread = self.unread(&self.tasks[&id]);
            let task = self.tasks.get_mut(&id).expect("it was submitted");
            task.unread += unread;
            task.allowed += if is_power_cut { POWER_CUT_COSTS } else { KILL_COSTS };
        }
        self.daemon.restart().await;
    }

    /// Bytes of a job that its server has sent and that do not stand in its file.
    fn unread(&self, task: &Task) -> u64 {
        let rests = |server: &Server| server.in_flight(&task.path).0 == 0;
        assert!(self.server.wait_until(DEADLINE, rests), "the server notices that its client is gone");
        let sent = self.server.bytes_sent(&task.path) - self.server.bytes_sent_again(&task.path);
        let (name, downloads) = (&task.path[1..], self.daemon.home().downloads());
        if downloads.join(name).exists() {
            return 0;
        }
        let names = self.daemon.home().names();
        let part = names.iter().find(|part| part.starts_with(&format!("{name}.")) && part.ends_with(".haul-part"));
        let there = part.map(|part| std::fs::read(downloads.join(part)).expect("readable")).unwrap_or_default();
        // The content is random: what is equal was written.
        let right = task.content.bytes();
        let same = |(there, right): (&[u8], &[u8])| there.iter().zip(right).take_while(|(a, b)| a == b).count() as u64;
        sent.saturating_sub(there.chunks(BLOCK).zip(right.chunks(BLOCK)).map(same).sum())
    }

    /// Looks at every job whose fate is not known yet: whatever is said to have ended must have.
    async fn look(&mut self) {
        let open: Vec<u64> = self.tasks.iter().filter(|(_, task)| !task.verified).map(|(id, _)| *id).collect();
        for id in open {
            let job = self.daemon.client().job(id).await.ok();
            let task = self.tasks.get_mut(&id).expect("it was submitted");
            let quarantined = job.as_ref().is_some_and(is_quarantined);
            if quarantined {
                self.daemon.client().retry(id).await.expect("a failed job can be retried");
                self.quarantined += 1;
            } else {
                task.verified = task.has_ended(job.as_ref());
            }
        }
    }

    /// Lets everything come to its end, without kills.
    async fn finish(&mut self) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.tasks.values().any(|task| !task.verified) {
            self.daemon.client().resume_all().await.expect("the API answers");
            self.look().await;
            if Instant::now() > until {
                for (id, task) in self.tasks.iter().filter(|(_, task)| !task.verified) {
                    say(&format!("stuck: {:?} at {}: {:?}", task.ends, task.path, self.daemon.client().job(*id).await));
                }
                panic!("something is stuck");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn judge(&self) {
        // A cancellation is acknowledged before its bytes are gone.
        wait_until("no part of a job that has ended is left", async || {
            let names = self.daemon.home().names();
            names.iter().all(|name| !name.ends_with(".haul-part")).then_some(())
        })
        .await;
        let (mut again, mut unread, mut allowed, mut bytes, mut worst) = (0, 0, 0.0, 0, 0.0_f64);
        for task in self.tasks.values().filter(|task| task.measured && task.allowed > 0.0) {
            let sent_again = self.server.bytes_sent_again(&task.path);
            let lost = sent_again.saturating_sub(task.unread);
            (again, unread) = (again + lost, unread + sent_again - lost);
            allowed += task.allowed;
            bytes += task.content.len();
            worst = worst.max(lost as f64 / RATE as f64 / task.allowed);
        }
        let (seconds, hits) = (again as f64 / RATE as f64, allowed / KILL_COSTS);
        say(&format!(
            "{} jobs; of {bytes} bytes that were hit {again} were sent twice that had been received, and {unread} that lay in \
             sockets: {seconds:.2} s of transfer for some {hits:.0} hits, {:.3} s each ({allowed:.1} s allowed; the worst job \
             used {worst:.2} of its share)",
            self.tasks.len(),
            seconds / hits.max(1.0)
        ));
        assert!(seconds <= allowed, "{seconds:.2} s of transfer were repeated, {allowed:.2} s are allowed");
        assert!(worst <= WORST, "one job has repeated {worst:.2} times what it may");
    }
}

impl Task {
    /// Tells whether it has ended; whatever is said of it then is checked.
    fn has_ended(&self, job: Option<&Job>) -> bool {
        let Some(job) = job else {
            assert_eq!(self.ends, Ends::Deleted, "{} is gone", self.path);
            return true;
        };
        match job.state {
            JobState::Completed => {
                // A cancellation may have come too late.
                assert!(matches!(self.ends, Ends::Completed), "{:?}: {job:?}", self.ends);
                assert_eq!((job.total_bytes, job.durable_bytes), (Some(self.content.len()), self.content.len()));
                assert_holds(Path::new(job.path.as_deref().expect("a complete job has a path")), &self.content);
                true
            }
            JobState::Failed => {
                assert_eq!(self.ends, Ends::Failed, "{job:?}");
                true
            }
            JobState::Canceled => {
                assert_eq!(self.ends, Ends::Canceled, "{job:?}");
                true
            }
            JobState::Queued
            | JobState::Probing
            | JobState::Active
            | JobState::Waiting
            | JobState::Paused
            | JobState::Verifying => {
                assert!(matches!(self.ends, Ends::Completed | Ends::Failed), "{:?}: {job:?}", self.ends);
                false
            }
        }
    }
}

fn is_quarantined(job: &Job) -> bool {
    job.state == JobState::Failed && job.reason.as_ref().is_some_and(|reason| reason.code == "quarantined")
}
