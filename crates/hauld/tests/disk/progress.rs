//! How far a job is: what is written and what survives a power cut are told apart, and neither goes back.

use std::sync::Arc;

use haul_api::{Job, JobState, SubmitJob};
use haul_testkit::{Content, File, Server};
use haul_transfer::testing::{Call, Failure, FaultyFs};
use rustix::io::Errno;

use crate::rig::{Home, MIB, Released, Rig, wait_until};

/// What has been told of a job so far.
#[derive(Default)]
struct Told {
    done: u64,
    durable: u64,
}

impl Told {
    /// Compares what is told now with what was told before.
    fn note(&mut self, job: &Job) {
        assert!(job.durable_bytes <= job.done_bytes, "more survives than is there: {job:?}");
        assert!(job.done_bytes >= self.done, "{} bytes were written already: {job:?}", self.done);
        assert!(job.durable_bytes >= self.durable, "{} bytes were durable already: {job:?}", self.durable);
        (self.done, self.durable) = (job.done_bytes, job.durable_bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_done_12_written_and_durable_bytes_are_told_apart_and_never_fall() {
    let (server, home, fs) = (Server::start(), Home::new(), Arc::new(FaultyFs::default()));
    let content = Content::seeded(1, 16 * MIB);
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\"").shared_rate(8_000_000));
    let rig = Rig::start(&home, "data", Arc::clone(&fs) as _).await;
    let mut told = Told::default();

    let released = Released(Arc::clone(&fs));
    fs.hold(Call::SyncData);
    let id = rig.submit(&server.url("/a.bin")).await;
    wait_until("a sync is under way", || fs.waiting() > 0).await;
    let job = rig.until(id, "bytes are written", |job| {
        told.note(job);
        job.done_bytes > 2 * MIB
    });
    assert_eq!(job.await.durable_bytes, 0, "nothing is durable before the first sync has ended");
    drop(released);
    let durable = |job: &Job, told: &mut Told| {
        told.note(job);
        job.durable_bytes > 2 * MIB
    };
    rig.until(id, "bytes are durable", |job| durable(job, &mut told)).await;

    // Neither falls while a job leaves and comes back.
    for _ in 0..3 {
        rig.client().pause(id).await.expect("a running job can be paused");
        rig.until(id, "it is paused", |job| {
            told.note(job);
            job.state == JobState::Paused && job.durable_bytes == job.done_bytes
        })
        .await;
        rig.client().resume(id).await.expect("a paused job can be resumed");
        let from = told.done;
        rig.until(id, "it goes on", |job| {
            told.note(job);
            job.done_bytes > from + MIB
        })
        .await;
    }
    // Nor over a stop of the daemon.
    rig.stop().await;
    let rig = Rig::start(&home, "data", Arc::clone(&fs) as _).await;
    let job = rig.until(id, "it ends", |job| {
        told.note(job);
        job.state.is_ended()
    });
    let job = job.await;
    assert_eq!((job.state, job.done_bytes, job.durable_bytes), (JobState::Completed, content.len(), content.len()));
    rig.stop().await;
}

/// How far along a state is.
fn rank(state: JobState) -> u32 {
    match state {
        JobState::Queued => 0,
        JobState::Probing => 1,
        JobState::Active | JobState::Waiting | JobState::Paused => 2,
        JobState::Verifying => 3,
        JobState::Completed | JobState::Failed | JobState::Canceled => 4,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_fails_is_told_as_it_was_until_its_row_says_so() {
    let (server, home, fs) = (Server::start(), Home::new(), Arc::new(FaultyFs::default()));
    server.add("/a.bin", File::new(Content::seeded(2, 8 * MIB)).etag("\"v1\"").shared_rate(4_000_000));
    let rig = Rig::start(&home, "data", Arc::clone(&fs) as _).await;
    let id = rig.submit(&server.url("/a.bin")).await;
    rig.until(id, "bytes are written", |job| job.done_bytes > MIB).await;
    // Its last checkpoint hangs, and so its row cannot say yet what has become of it.
    let released = Released(Arc::clone(&fs));
    fs.hold(Call::SyncData);
    wait_until("a checkpoint is under way", || fs.waiting() > 0).await;
    let before = rig.until(id, "more is written", |job| job.durable_bytes < job.done_bytes).await;
    fs.fail_all_of(Call::WriteAt, Failure::Error(Errno::IO));
    let leaving = rig.until(id, "its workers are gone", |job| job.connections.active == 0).await;
    for _ in 0..50 {
        let job = rig.job(id).await;
        assert_eq!(job.state, leaving.state, "{job:?}");
        assert_eq!(job.state, JobState::Active, "{job:?}");
        assert!(job.done_bytes >= before.done_bytes, "{job:?}");
    }
    fs.heal();
    drop(released);
    assert_eq!(rig.ended(id).await.state, JobState::Failed);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_active_only_once_its_file_has_a_name() {
    let (server, home, fs) = (Server::start(), Home::new(), Arc::new(FaultyFs::default()));
    server.add("/a.bin", File::new(Content::seeded(3, MIB)).etag("\"v1\"").shared_rate(500_000));
    let rig = Rig::start(&home, "data", Arc::clone(&fs) as _).await;
    let released = Released(Arc::clone(&fs));
    fs.hold(Call::OpenFile);
    let id = rig.submit(&server.url("/a.bin")).await;
    wait_until("its part file is being made", || fs.waiting() > 0).await;
    let waited = rig.client().wait(id, 30, Some(JobState::Probing));
    let waited = async {
        let mut waited = std::pin::pin!(waited);
        for _ in 0..20 {
            let job = rig.job(id).await;
            assert_eq!(job.state, JobState::Probing, "{job:?}");
            let early = tokio::time::timeout(std::time::Duration::from_millis(1), waited.as_mut()).await;
            assert!(early.is_err(), "{early:?}");
        }
        drop(released);
        waited.await.expect("an answer")
    };
    let job = waited.await;
    assert_eq!((job.state, job.filename.as_deref()), (JobState::Active, Some("a.bin")), "{job:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_never_combines_what_was_with_what_is() {
    let (server, home) = (Server::start(), Home::new());
    let rig = Arc::new(Rig::on_disk(&home, "data").await);
    for n in 0..20_u64 {
        let content = Content::seeded(n, 200_000 + n);
        // Every third one ends in a failure after a first byte, and some have to be checked.
        let file = File::new(content.clone()).etag("\"v1\"").shared_rate(4_000_000);
        server.add(&format!("/{n}.bin"), file);
        let checksum = match n % 3 {
            0 => None,
            1 => Some(format!("sha256:{}", content.sha256())),
            _ => Some(format!("sha256:{}", "0".repeat(64))),
        };
        let id = rig.submit_job(&SubmitJob { checksum, ..SubmitJob::new(server.url(&format!("/{n}.bin"))) }).await;
        let watch = async |_: usize| {
            let mut last = JobState::Queued;
            loop {
                let job = rig.job(id).await;
                // A file that does not match is fetched once more.
                assert!(n % 3 == 2 || rank(job.state) >= rank(last), "after {last:?}: {job:?}");
                assert!(n % 3 != 2 || job.state != JobState::Queued || last == JobState::Queued, "{last:?}: {job:?}");
                if rank(job.state) >= 2 {
                    assert_eq!(job.total_bytes, Some(content.len()), "{job:?}");
                    assert!(job.filename.is_some() && job.started_at.is_some(), "{job:?}");
                }
                if job.state == JobState::Completed {
                    assert!(job.verification.is_some() && job.finished_at.is_some(), "{job:?}");
                    assert_eq!((job.done_bytes, job.durable_bytes), (content.len(), content.len()), "{job:?}");
                }
                if job.state == JobState::Failed {
                    assert!(job.reason.is_some() && job.finished_at.is_some(), "{job:?}");
                }
                if job.state.is_ended() {
                    return;
                }
                last = job.state;
            }
        };
        futures_util::future::join_all((0..4).map(watch)).await;
    }
    Arc::into_inner(rig).expect("nobody else has it").stop().await;
}
