//! A panic ends what it happens in, and the jobs go on.

use std::sync::Arc;

use haul_api::{JobState, SubmitJob};
use haul_testkit::{Content, File, Server};
use haul_transfer::testing::{Call, Failure, FaultyFs};

use crate::rig::{Home, MIB, Rig, assert_holds, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_proc_03_a_worker_that_panics_costs_its_connection_and_nothing_else() {
    let (server, home, fs) = (Server::start(), Home::new(), Arc::new(FaultyFs::default()));
    let contents = [Content::seeded(1, 12 * MIB), Content::seeded(2, 12 * MIB)];
    for (n, content) in contents.iter().enumerate() {
        server.add(&format!("/{n}.bin"), File::new(content.clone()).etag("\"v1\"").shared_rate(6_000_000));
    }
    let rig = Rig::start(&home, "data", Arc::clone(&fs) as _).await;
    let ids = [rig.submit(&server.url("/0.bin")).await, rig.submit(&server.url("/1.bin")).await];
    for id in ids {
        rig.until(id, "it is under way", |job| job.done_bytes > MIB).await;
    }
    for _ in 0..5 {
        fs.fail_one_of(Call::WriteAt, 3, Failure::Panic);
        wait_until("a worker has panicked", || fs.all_met()).await;
    }
    for (id, content) in ids.into_iter().zip(&contents) {
        let job = rig.completed(id).await;
        assert_holds(job.path.expect("a path").as_ref(), content, "after five panics");
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_proc_03_a_job_whose_workers_always_panic_fails_and_the_others_go_on() {
    let (server, home, fs) = (Server::start(), Home::new(), Arc::new(FaultyFs::default()));
    let (content, other) = (Content::seeded(3, 12 * MIB), Content::seeded(4, 8 * MIB));
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\"").shared_rate(12_000_000));
    server.add("/b.bin", File::new(other.clone()).etag("\"v1\"").shared_rate(4_000_000));
    let rig = Rig::start(&home, "data", Arc::clone(&fs) as _).await;
    fs.panic_from(8 * MIB);
    // With one connection what comes before that byte is there before it.
    let job = SubmitJob { connections: Some(1), ..SubmitJob::new(server.url("/a.bin")) };
    let id = rig.client().submit(&job).await.expect("it is accepted").id;
    let innocent = rig.submit(&server.url("/b.bin")).await;
    let failed = rig.ended(id).await;
    let reason = failed.reason.as_ref().expect("it says why");
    assert_eq!((failed.state, reason.code.as_str()), (JobState::Failed, "internal"), "{failed:?}");
    assert!(reason.message.contains("a defect in haul"), "{}", reason.message);
    assert!(failed.done_bytes >= 7 * MIB, "what can be had is there: {failed:?}");
    let job = rig.completed(innocent).await;
    assert_holds(job.path.expect("a path").as_ref(), &other, "beside one that fails");
    assert!(rig.client().ready().await.expect("an answer").ready);

    fs.heal();
    rig.client().retry(id).await.expect("a failed job can be retried");
    let job = rig.completed(id).await;
    assert_holds(job.path.expect("a path").as_ref(), &content, "once it is mended");
    rig.stop().await;
}
