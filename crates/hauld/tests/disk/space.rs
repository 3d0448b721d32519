//! A full disk is waited for, and costs nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haul_api::{JobState, SubmitJob, WaitingFor};
use haul_testkit::{Content, File, Server};
use haul_transfer::testing::{Call, Failure, FaultyFs};
use rustix::io::Errno;

use crate::rig::{Home, MIB, Rig, assert_holds, wait_until};

/// The most that stays free beside the files of jobs (DESIGN.md ruling 9).
const KEEP_FREE: u64 = 256 * MIB;

fn is_waiting_for_space(job: &haul_api::Job) -> bool {
    job.state == JobState::Waiting && job.waiting_for == Some(WaitingFor::Disk)
}

fn looks(fs: &FaultyFs) -> usize {
    fs.calls().iter().filter(|call| **call == Call::Space).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_disk_01_a_disk_that_fills_up_costs_no_durable_byte_and_no_request() {
    let (server, home, fs) = (Server::start(), Home::new(), Arc::new(FaultyFs::default()));
    let content = Content::seeded(1, 12 * MIB);
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\"").shared_rate(5_000_000));
    let rig = Rig::start(&home, "data", Arc::clone(&fs) as _).await;
    // Where nothing can be reserved, space can run out in the middle.
    fs.fail_all_of(Call::Allocate, Failure::Error(Errno::OPNOTSUPP));
    let id = rig.submit(&server.url("/a.bin")).await;
    rig.until(id, "a checkpoint is made", |job| job.durable_bytes > 0).await;
    fs.pretend_free(Some(1000));
    fs.fail_all_of(Call::WriteAt, Failure::Error(Errno::NOSPC));
    let full = rig.until(id, "it waits", is_waiting_for_space).await;
    wait_until("what is there is synced", || fs.calls().last() == Some(&Call::Space)).await;

    // From now on it only looks at the disk, and says what is missing.
    let (asked, before) = (server.requests("/a.bin"), looks(&fs));
    wait_until("it looks again", || looks(&fs) >= before + 4).await;
    let job = rig.until(id, "it says what is missing", |job| {
        job.reason.as_ref().is_some_and(|reason| reason.message.contains("bytes are missing"))
    });
    let job = job.await;
    assert!(is_waiting_for_space(&job), "{job:?}");
    assert_eq!(job.reason.as_ref().map(|reason| reason.code.as_str()), Some("disk-full"));
    assert_eq!(server.requests("/a.bin"), asked, "nobody asks for what cannot be saved");
    assert!(job.durable_bytes >= full.durable_bytes, "no durable byte is lost: {job:?}");

    fs.pretend_free(None);
    fs.heal();
    let freed = Instant::now();
    rig.until(id, "it goes on by itself", |job| job.state != JobState::Waiting).await;
    assert!(freed.elapsed() < Duration::from_secs(5), "it took {:?}", freed.elapsed());
    let done = rig.completed(id).await;
    assert_holds(done.path.expect("a path").as_ref(), &content, "after the wait");
    // What six sockets held is all that was fetched twice.
    let again = server.bytes_sent_again("/a.bin");
    assert!(again <= 5 * MIB, "{again} bytes were sent again");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_disk_04_where_nothing_can_be_reserved_space_is_promised_only_once() {
    let (server, home, fs) = (Server::start(), Home::new(), Arc::new(FaultyFs::default()));
    fs.fail_all_of(Call::Allocate, Failure::Error(Errno::OPNOTSUPP));
    fs.pretend_free(Some(20 * MIB + KEEP_FREE));
    let contents = [Content::seeded(1, 12 * MIB), Content::seeded(2, 12 * MIB)];
    server.add("/0.bin", File::new(contents[0].clone()).etag("\"v1\"").shared_rate(4_000_000));
    server.add("/1.bin", File::new(contents[1].clone()).etag("\"v1\""));
    let rig = Rig::start(&home, "data", Arc::clone(&fs) as _).await;
    let first = rig.submit(&server.url("/0.bin")).await;
    rig.until(first, "it is under way", |job| job.done_bytes > 0).await;
    let second = rig.submit(&server.url("/1.bin")).await;
    let waits = rig.until(second, "there is no space for both", is_waiting_for_space).await;
    let message = waits.reason.expect("it says why").message;
    assert!(message.contains("bytes are missing") && message.contains("promised to other files"), "{message}");
    assert_eq!(rig.job(first).await.state, JobState::Active, "the first one goes on");
    for (n, id) in [first, second].into_iter().enumerate() {
        let job = rig.completed(id).await;
        assert_holds(job.path.expect("a path").as_ref(), &contents[n], "sparse files are as good");
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_disk_16_a_stale_file_is_opened_again_and_nothing_else_is_taken_for_it() {
    for is_replaced in [false, true] {
        let (server, home, fs) = (Server::start(), Home::new(), Arc::new(FaultyFs::default()));
        let content = Content::seeded(3, 12 * MIB);
        server.add("/a.bin", File::new(content.clone()).etag("\"v1\"").shared_rate(5_000_000));
        let rig = Rig::start(&home, "data", Arc::clone(&fs) as _).await;
        let id = rig.submit_job(&SubmitJob::new(server.url("/a.bin"))).await;
        let before = rig.until(id, "a checkpoint is made", |job| job.durable_bytes > 0).await;
        fs.fail_all_of(Call::WriteAt, Failure::Error(Errno::STALE));
        rig.until(id, "it waits", |job| job.waiting_for == Some(WaitingFor::Volume)).await;
        let part = home.downloads().join(&home.names()[0]);
        if is_replaced {
            std::fs::write(part.with_extension("new"), std::fs::read(&part).expect("readable")).expect("space");
            std::fs::rename(part.with_extension("new"), &part).expect("one directory");
        }
        fs.heal();
        let job = rig.ended(id).await;
        if is_replaced {
            let reason = job.reason.expect("it says why");
            assert_eq!((job.state, reason.code.as_str()), (JobState::Failed, "io-error"), "{}", reason.message);
            rig.client().retry(id).await.expect("a failed job can be retried");
        } else {
            assert_eq!(job.state, JobState::Completed, "{job:?}");
            let again = server.bytes_sent_again("/a.bin");
            assert!(again <= content.len() - before.durable_bytes, "{again} bytes were sent again");
        }
        let done = rig.completed(id).await;
        assert_holds(done.path.expect("a path").as_ref(), &content, "after all");
        rig.stop().await;
    }
}
