//! The database: it alone holds the state, and whoever takes it away ends the daemon.

use std::fs;
use std::time::Duration;

use haul_api::JobState;
use haul_testkit::{Content, Do, File, Server, When};

use crate::events::told;
use crate::support::{DEADLINE, Daemon, MIB, assert_holds};

#[tokio::test]
async fn f_db_03_no_file_beside_the_database_holds_state() {
    let (server, mut daemon) = (Server::start(), Daemon::with("connections_per_job = 4").await);
    let content = Content::seeded(1, 8 * MIB);
    server.add("/a.iso", File::new(content.clone()).etag("\"v1\"").shared_rate(4_000_000));
    let id = daemon.submit(&server.url("/a.iso")).await;
    daemon.until(id, "some bytes are written", |job| job.done_bytes > 3 * MIB).await;
    daemon.kill();
    let data = daemon.home().data();
    let mut names: Vec<_> = fs::read_dir(&data)
        .expect("the data directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    assert_eq!(names, ["haul.db", "haul.db-shm", "haul.db-wal", "haul.db.lock", "token"]);
    assert_eq!(daemon.home().names().len(), 1, "and beside the target there is the part file");
    for name in ["haul.db-shm", "haul.db.lock"] {
        fs::remove_file(data.join(name)).expect("it is ours");
    }
    daemon.restart().await;
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.iso"), &content);
    let again = server.bytes_sent_again("/a.iso");
    assert!(again < 2 * MIB, "{again} bytes were sent twice");
}

#[tokio::test]
async fn f_db_15_a_database_that_is_replaced_under_a_running_daemon_ends_it() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    // Whatever it cannot store from then on is an error, and it says so.
    daemon.tolerate("");
    server.add("/a.iso", File::new(Content::seeded(2, 64 * MIB)).etag("\"v1\"").shared_rate(2_000_000));
    let id = daemon.submit(&server.url("/a.iso")).await;
    daemon.until(id, "some bytes are written", |job| job.done_bytes > MIB).await;
    let path = daemon.home().database();
    let aside = path.with_extension("aside");
    fs::rename(&path, &aside).expect("it is ours");
    fs::write(&path, "the thesis of somebody else").expect("a writable directory");
    let (status, took) = daemon.ended_by_itself().await;
    assert_eq!(status.code(), Some(1));
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    assert!(daemon.log().contains("was moved, removed or replaced"));
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "the thesis of somebody else");

    fs::rename(&aside, &path).expect("it is ours");
    daemon.restart().await;
    daemon.until(id, "it goes on", |job| job.done_bytes > 2 * MIB).await;
}

#[tokio::test]
async fn f_proc_04_a_job_at_which_the_daemon_dies_three_times_is_left_alone_until_its_user_says_so() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(3, 64 * MIB);
    // On a host of its own: where others are answered, its silence would soon be overdue, and survived.
    let silent = Server::start();
    silent.add("/poison.bin", File::new(Content::seeded(4, 1000)).fault(When::Always, Do::NeverAnswer));
    server.add("/slow.bin", File::new(content.clone()).etag("\"v1\"").shared_rate(1_000_000));
    let (poison, slow) =
        (daemon.submit(&silent.url("/poison.bin")).await, daemon.submit(&server.url("/slow.bin")).await);
    for run in 1..=3 {
        // What is told is stored behind the note that it is being worked on.
        told(&daemon, poison, "probing", run).await;
        let stored = daemon.job(slow).await.durable_bytes;
        daemon.until(slow, "the other one gets on, and that is stored", |job| job.durable_bytes > stored).await;
        daemon.kill();
        daemon.restart().await;
    }
    let reason = daemon.failed(poison).await;
    assert_eq!(reason.code, "quarantined");
    assert!(reason.message.contains(&format!("haul retry {poison}")), "{}", reason.message);
    assert_ne!(daemon.job(slow).await.state, JobState::Failed, "who gets on is not to blame");

    server.replace("/slow.bin", File::new(content.clone()).etag("\"v1\""));
    server.reset_connections();
    daemon.completed(slow).await;
    assert_holds(&daemon.home().downloads().join("slow.bin"), &content);

    // Its user says so, and whatever it was is over.
    silent.replace("/poison.bin", File::new(Content::seeded(4, 1000)));
    daemon.client().retry(poison).await.expect("a failed job can be retried");
    daemon.completed(poison).await;
}

#[tokio::test]
async fn a_stop_in_order_counts_against_nobody() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    server.add("/a.bin", File::new(Content::seeded(5, 1000)).fault(When::Always, Do::NeverAnswer));
    let id = daemon.submit(&server.url("/a.bin")).await;
    for run in 1..=4 {
        assert!(server.wait_until(DEADLINE, |server| server.requests("/a.bin") >= run));
        let (status, _) = daemon.terminate();
        assert_eq!(status.code(), Some(0));
        daemon.restart().await;
    }
    assert!(!daemon.job(id).await.state.is_ended());
}
