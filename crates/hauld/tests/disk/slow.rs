//! A disk that hangs holds up nobody but its own jobs.

use std::sync::Arc;
use std::time::Duration;

use haul_api::{JobState, SubmitJob};
use haul_testkit::{Content, File, Server};
use haul_transfer::testing::{Call, FaultyFs};

use crate::rig::{Home, MIB, Released, Rig, wait_until};

/// Far more than an answer takes, and far less than a hanging disk.
const AT_ONCE: Duration = Duration::from_secs(5);

// One thread for everything that is asynchronous: whatever hangs on it hangs for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn f_proc_09_while_the_disk_hangs_the_api_answers() {
    for call in
        [Call::MayWrite, Call::OpenRoot, Call::Allocate, Call::WriteAt, Call::SyncData, Call::ReadAt, Call::Rename]
    {
        let (server, home, fs) = (Server::start(), Home::new(), Arc::new(FaultyFs::default()));
        let content = Content::seeded(1, 5 * MIB);
        server.add("/a.bin", File::new(content.clone()).etag("\"v1\""));
        let rig = Rig::start(&home, "data", Arc::clone(&fs) as _).await;
        let _released = Released(Arc::clone(&fs));
        fs.hold(call);
        // A digest makes it read the file, too.
        let checksum = Some(format!("sha256:{}", content.sha256()));
        let job = SubmitJob { checksum, ..SubmitJob::new(server.url("/a.bin")) };
        let client = rig.client().clone();
        let submitted = tokio::spawn(async move { client.submit(&job).await });
        wait_until("the disk hangs", || fs.waiting() > 0).await;
        let asked = async {
            rig.client().stats().await.expect("an answer");
            rig.client().ready().await.expect("an answer")
        };
        let answer = tokio::time::timeout(AT_ONCE, asked).await;
        let answer = answer.unwrap_or_else(|_| panic!("{call:?} holds up the API"));
        // It may say that the directory does not answer.
        assert!(answer.ready || !answer.reasons.is_empty(), "{call:?}: {answer:?}");
        fs.release();
        let id = submitted.await.expect("no panic").expect("it is accepted").id;
        let job = rig.ended(id).await;
        assert_eq!(job.state, JobState::Completed, "{call:?}: {job:?}");
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_disk_15_a_slow_disk_holds_the_socket_up_and_not_the_memory() {
    let (server, home, fs) = (Server::start(), Home::new(), Arc::new(FaultyFs::default()));
    let content = Content::seeded(2, 128 * MIB);
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\""));
    let rig = Rig::start(&home, "data", Arc::clone(&fs) as _).await;
    let _released = Released(Arc::clone(&fs));
    fs.hold(Call::SyncData);
    let id = rig.submit(&server.url("/a.bin")).await;
    wait_until("a sync is under way", || fs.waiting() > 0).await;
    // It comes to rest: no call is made any more, although the server would send.
    let (mut last, mut same) = (0, 0);
    let rests = |_: &haul_api::Job| {
        let now = fs.calls().iter().filter(|call| **call == Call::WriteAt).count();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same >= 100
    };
    let job = rig.until(id, "it rests", rests).await;
    assert!(job.done_bytes >= 16 * MIB, "it rests too early, after {} bytes", job.done_bytes);
    // Each of six connections may have had a piece in hand.
    assert!(job.done_bytes <= 32 * MIB + 6 * PIECE, "{} bytes are unsynced", job.done_bytes);
    fs.release();
    rig.completed(id).await;
    rig.stop().await;
}

/// More than is read at once.
const PIECE: u64 = 512 << 10;
