//! Whichever call to the system fails, every job ends as the right bytes or as a reason.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;
use haul_api::{ClientError, JobState, SubmitJob, WaitingFor};
use haul_testkit::{Content, File, Server};
use haul_transfer::testing::{Call, Failure, FaultyFs};
use rustix::io::Errno;

use crate::rig::{Home, MIB, Rig, assert_holds, say};

/// A file in several chunks, for which space is reserved, and one that is written at once.
const LENGTHS: [u64; 2] = [5 * MIB, 70_000];

/// One daemon whose disk lets one call after the other fail.
struct Loop {
    server: Server,
    home: Home,
    rig: Rig,
    fs: Arc<FaultyFs>,
}

impl Loop {
    async fn start() -> Self {
        let (server, home, fs) = (Server::start(), Home::new(), Arc::new(FaultyFs::default()));
        for (seed, len) in (0..).zip(LENGTHS) {
            server.add(&path(len), File::new(Content::seeded(seed, len)).etag("\"v1\""));
        }
        let rig = Rig::start(&home, "data", Arc::clone(&fs) as _).await;
        Self { server, home, rig, fs }
    }

    /// How many calls of each kind a job makes where nothing fails.
    async fn calls(&self, len: u64) -> HashMap<Call, u64> {
        let before = self.fs.calls().len();
        let (_, after) = self.completes(len, None).await;
        let mut counts = HashMap::new();
        self.fs.calls()[before..after].iter().for_each(|call| *counts.entry(*call).or_default() += 1);
        counts
    }

    /// Lets one call of a job fail and sees the job through. True where that call was made.
    async fn survives(&self, len: u64, call: Call, before: u64, failure: Failure) -> bool {
        self.fs.fail_one_of(call, before, failure);
        self.completes(len, Some((call, before, failure))).await.0
    }

    /// True where the failure was met; and how many calls were made until the job was complete.
    async fn completes(&self, len: u64, what: Option<(Call, u64, Failure)>) -> (bool, usize) {
        let shown = format!("{len} bytes, {what:?}");
        let panics = matches!(what, Some((_, _, Failure::Panic)));
        // What is checked afterwards is read from the disk, too.
        let checksum = Some(format!("sha256:{}", content(len).sha256()));
        let on_duplicate = Some(haul_api::OnDuplicate::Copy);
        let job = SubmitJob { checksum, on_duplicate, ..SubmitJob::new(self.server.url(&path(len))) };
        let id = match self.rig.client().submit(&job).await {
            Ok(job) => job.id,
            // Already the look at its directory has failed.
            Err(ClientError::Problem(problem)) if problem.code == "target-not-writable" => {
                let (call, ..) = what.unwrap_or_else(|| panic!("{shown}: {problem:?}"));
                assert!(matches!(call, Call::StatPath | Call::MayWrite), "{shown}: {problem:?}");
                self.rig.submit_job(&job).await
            }
            // A request that panics gets an answer, too.
            Err(ClientError::Problem(problem)) if problem.code == "internal" => {
                assert!(panics, "{shown}: {problem:?}");
                self.rig.submit_job(&job).await
            }
            Err(error) => panic!("{shown}: {error}"),
        };
        let mut seen = self.rig.until(id, "it is clear what it does", is_clear).await;
        if let Some((_, _, failure)) = what {
            let as_expected = match failure {
                Failure::Error(Errno::NOSPC | Errno::DQUOT) => seen.state != JobState::Failed,
                Failure::Error(Errno::INTR) | Failure::Short => seen.state == JobState::Completed,
                Failure::Error(_) | Failure::Panic => seen.state != JobState::Canceled,
            };
            assert!(as_expected, "{shown}: {seen:?}");
        }
        if seen.state == JobState::Waiting {
            let code = seen.reason.as_ref().map(|reason| reason.code.as_str());
            let waits = match seen.waiting_for {
                Some(WaitingFor::Disk) => code == Some("disk-full"),
                // Where mount points cannot be looked at, one seems to be missing.
                Some(WaitingFor::Volume) => code == Some("target-unmounted"),
                Some(WaitingFor::Retry) => panics && code == Some("internal"),
                _ => false,
            };
            assert!(waits, "{shown}: {seen:?}");
            // Nobody helps it: it goes on by itself.
            seen = self.rig.ended(id).await;
        }
        let was_made = self.fs.heal();
        if seen.state == JobState::Failed {
            let reason = seen.reason.as_ref().unwrap_or_else(|| panic!("{shown}: it does not say why"));
            assert_eq!(reason.code, if panics { "internal" } else { "io-error" }, "{shown}: {reason:?}");
            self.rig.client().retry(id).await.expect("a failed job can be retried");
            seen = self.rig.ended(id).await;
        }
        assert_eq!(seen.state, JobState::Completed, "{shown}: {seen:?}");
        assert_eq!(seen.filename.as_deref(), Some(&path(len)[1..]), "{shown}");
        let there = self.home.names();
        assert_eq!(there, [&path(len)[1..]], "{shown}: nothing else is left");
        let path = seen.path.as_deref().map(Path::new).expect("it has a path");
        assert_holds(path, &content(len), &shown);
        let calls = self.fs.calls().len();
        // The next job finds its name free. A deletion would meet that one's failure when it is carried out.
        std::fs::remove_file(path).expect("it is there");
        (was_made, calls)
    }
}

/// What becomes of a job does not depend on chance any more.
fn is_clear(job: &haul_api::Job) -> bool {
    job.state.is_ended() || job.state == JobState::Waiting
}

fn path(len: u64) -> String {
    format!("/{len}.bin")
}

fn content(len: u64) -> Content {
    let seed = (0..).zip(LENGTHS).find(|(_, known)| *known == len).expect("one of the two").0;
    Content::seeded(seed, len)
}

/// Which calls of a kind are worth failing: all, but of many that are alike a few.
fn worth_failing(count: u64) -> Vec<u64> {
    if count <= 12 { (0..count).collect() } else { vec![0, 1, count / 4, count / 2, count - 2, count - 1] }
}

/// Daemons at the same time. Most of the time of a loop is spent waiting for a disk that was full.
const LOOPS: usize = 6;

/// Lets each call of a job fail once, in this way, and sees every job through.
async fn each_call_fails_once(failure: Failure, calls: impl Fn(Call) -> bool) {
    let first = Loop::start().await;
    let mut cases = Vec::new();
    for len in LENGTHS {
        let counts = first.calls(len).await;
        let wanted = counts.into_iter().filter(|(call, _)| calls(*call));
        cases.extend(wanted.flat_map(|(call, count)| worth_failing(count).into_iter().map(move |n| (len, call, n))));
    }
    first.rig.stop().await;
    let runs = (0..LOOPS).map(async |share| {
        let (this, mut met) = (Loop::start().await, 0);
        for (len, call, before) in cases.iter().skip(share).step_by(LOOPS) {
            met += usize::from(this.survives(*len, *call, *before, failure).await);
        }
        this.rig.stop().await;
        met
    });
    let (met, tried) = (join_all(runs).await.into_iter().sum::<usize>(), cases.len());
    say(&format!("{met} of {tried} failures were met: {failure:?}"));
    // No run makes exactly the calls of another.
    assert!(met * 10 >= tried * 7, "too many failures were never met: {met} of {tried}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_fails_with_eio() {
    each_call_fails_once(Failure::Error(Errno::IO), |_| true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_disk_01_each_call_finds_the_disk_full() {
    each_call_fails_once(Failure::Error(Errno::NOSPC), can_need_space).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_disk_05_each_call_finds_the_quota_used_up() {
    let few = |call| matches!(call, Call::OpenFile | Call::Allocate | Call::WriteAt | Call::Rename);
    each_call_fails_once(Failure::Error(Errno::DQUOT), few).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_disk_14_each_call_is_interrupted_and_nobody_notices() {
    each_call_fails_once(Failure::Error(Errno::INTR), |_| true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_disk_14_each_transfer_comes_short_and_nobody_notices() {
    each_call_fails_once(Failure::Short, |call| matches!(call, Call::WriteAt | Call::ReadAt)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_proc_03_each_call_panics_and_the_daemon_lives() {
    each_call_fails_once(Failure::Panic, |_| true).await;
}

/// Calls that a file system answers with ENOSPC or EDQUOT.
fn can_need_space(call: Call) -> bool {
    match call {
        Call::OpenFile
        | Call::MakeDir
        | Call::WriteAt
        | Call::Allocate
        | Call::SyncData
        | Call::SyncAll
        | Call::SyncDir
        | Call::Rename
        | Call::Link
        | Call::Truncate => true,
        Call::OpenRoot
        | Call::OpenBeneath
        | Call::Names
        | Call::StatPath
        | Call::MayWrite
        | Call::StatName
        | Call::Stat
        | Call::Space
        | Call::Unlink
        | Call::ReadAt
        | Call::SetMode => false,
    }
}
