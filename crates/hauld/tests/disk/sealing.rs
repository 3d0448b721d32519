//! A complete file gets its name and takes it from nobody.

use std::fs;
use std::sync::Arc;

use haul_testkit::{Content, File, Server};
use haul_transfer::testing::{Call, FaultyFs};

use crate::rig::{Home, Released, Rig, assert_holds, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_disk_10_a_name_that_is_taken_at_the_last_moment_is_left_alone() {
    let (server, home, fs) = (Server::start(), Home::new(), Arc::new(FaultyFs::default()));
    let content = Content::seeded(1, 70_000);
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\""));
    let rig = Rig::start(&home, "data", Arc::clone(&fs) as _).await;
    let released = Released(Arc::clone(&fs));
    fs.hold(Call::Rename);
    let id = rig.submit(&server.url("/a.bin")).await;
    wait_until("it is about to get its name", || fs.waiting() > 0).await;
    let taken = home.downloads().join("a.bin");
    fs::write(&taken, "of somebody else").expect("a new file");
    drop(released);
    let job = rig.completed(id).await;
    assert_eq!(job.filename.as_deref(), Some("a (1).bin"));
    assert_holds(job.path.expect("a path").as_ref(), &content, "beside the other one");
    assert_eq!(fs::read_to_string(&taken).expect("it is there"), "of somebody else");
    rig.stop().await;
}
