//! Real file systems that are full, gone, or not to be written to.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use haul_api::{Job, JobState, SubmitJob, WaitingFor};
use haul_testkit::{Content, File, Server};

use crate::support::{Daemon, Home, MIB, Volume, assert_holds, names, refusal, wait_until};

fn waits_for(job: &Job, what: WaitingFor) -> bool {
    job.state == JobState::Waiting && job.waiting_for == Some(what)
}

#[tokio::test]
async fn f_disk_01_a_full_disk_is_waited_for_and_other_disks_and_the_api_go_on() {
    let home = Home::new("");
    let Some(volume) = Volume::mount(&home, "full", "size=24m") else { return };
    volume.allow(&home);
    let ballast = volume.store.join("ballast");
    fs::write(&ballast, vec![1; 16 << 20]).expect("it fits");
    let (server, daemon) = (Server::start(), Daemon::at(home).await);
    let (content, other) = (Content::seeded(1, 12 * MIB), Content::seeded(2, 6 * MIB));
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\""));
    server.add("/b.bin", File::new(other.clone()).etag("\"v1\""));
    let id = daemon.submit_job(&SubmitJob { dir: Some(volume.dir()), ..SubmitJob::new(server.url("/a.bin")) }).await;
    let job = daemon.until(id, "it waits for space", |job| waits_for(job, WaitingFor::Disk)).await;
    let reason = job.reason.expect("it says why");
    assert_eq!(reason.code, "disk-full");
    // 12 MiB are needed and 2 % of 24 MiB stay free; 8 MiB are free.
    let missing: u64 = reason.message.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    assert!((4 * MIB..5 * MIB).contains(&missing), "F-DISK-02: {}", reason.message);
    assert_eq!(volume.parts(), [""; 0], "nothing is left there meanwhile");

    daemon.completed(daemon.submit(&server.url("/b.bin")).await).await;
    assert_holds(&daemon.home().downloads().join("b.bin"), &other);
    assert!(daemon.client().ready().await.expect("an answer").ready);
    assert!(daemon.client().why(id).await.expect("an answer").summary.contains("the disk is full"));

    let looks = || daemon.log().matches("looking at the disk").count();
    let (asked, looked) = (server.requests("/a.bin"), looks());
    wait_until("it looks again, and again", async || (looks() >= looked + 2).then_some(())).await;
    assert_eq!(server.requests("/a.bin"), asked, "nobody asks for what has no place");
    fs::remove_file(&ballast).expect("ours");
    let freed = Instant::now();
    daemon.until(id, "it goes on by itself", |job| job.state != JobState::Waiting).await;
    assert!(freed.elapsed() < Duration::from_secs(5), "it took {:?}", freed.elapsed());
    daemon.completed(id).await;
    assert_holds(&volume.store.join("a.bin"), &content);
}

#[tokio::test]
async fn f_disk_03_two_jobs_do_not_share_the_same_free_bytes() {
    let home = Home::new("");
    let Some(volume) = Volume::mount(&home, "small", "size=40m") else { return };
    volume.allow(&home);
    let (server, daemon) = (Server::start(), Daemon::at(home).await);
    let contents = [Content::seeded(1, 24 * MIB), Content::seeded(2, 24 * MIB)];
    for (n, content) in contents.iter().enumerate() {
        server.add(&format!("/{n}.bin"), File::new(content.clone()).etag("\"v1\"").shared_rate(12_000_000));
    }
    let job = |n: usize| SubmitJob { dir: Some(volume.dir()), ..SubmitJob::new(server.url(&format!("/{n}.bin"))) };
    let first = daemon.submit_job(&job(0)).await;
    daemon.until(first, "it is under way", |job| job.done_bytes > 0).await;
    let second = daemon.submit_job(&job(1)).await;
    daemon.until(second, "there is no space for both", |job| waits_for(job, WaitingFor::Disk)).await;
    daemon.completed(first).await;
    assert_holds(&volume.store.join("0.bin"), &contents[0]);
    assert!(waits_for(&daemon.job(second).await, WaitingFor::Disk), "the space is still taken");
    fs::remove_file(volume.store.join("0.bin")).expect("ours");
    daemon.completed(second).await;
    assert_holds(&volume.store.join("1.bin"), &contents[1]);
}

#[tokio::test]
async fn f_disk_08_a_volume_that_is_gone_is_waited_for_and_its_mount_point_stays_empty() {
    let home = Home::new("");
    let Some(volume) = Volume::mount(&home, "volume", "size=64m") else { return };
    volume.allow(&home);
    let (server, mut daemon) = (Server::start(), Daemon::at(home).await);
    daemon.tolerate("a checkpoint failed");
    let content = Content::seeded(1, 24 * MIB);
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\"").shared_rate(4_000_000));
    let id = daemon.submit_job(&SubmitJob { dir: Some(volume.dir()), ..SubmitJob::new(server.url("/a.bin")) }).await;
    let before = daemon.until(id, "a checkpoint is made", |job| job.durable_bytes > 0).await;

    volume.unbind();
    let job = daemon.until(id, "it is noticed", |job| waits_for(job, WaitingFor::Volume)).await;
    assert_eq!(job.reason.expect("it says why").code, "target-unmounted");
    // A new job for it is accepted and waits, too.
    server.add("/b.bin", File::new(Content::seeded(2, 100)));
    let below = Some(format!("{}/below", volume.dir()));
    let new = daemon.submit_job(&SubmitJob { dir: below, ..SubmitJob::new(server.url("/b.bin")) }).await;
    daemon.until(new, "it waits, too", |job| waits_for(job, WaitingFor::Volume)).await;
    assert_eq!(names(&volume.point), [""; 0], "nothing is ever written to the bare mount point");

    volume.bind();
    let back = Instant::now();
    daemon.until(id, "it goes on by itself", |job| job.state == JobState::Active).await;
    assert!(back.elapsed() < Duration::from_secs(5), "it took {:?}", back.elapsed());
    let kept = daemon.job(id).await;
    assert!(kept.durable_bytes >= before.durable_bytes, "{kept:?}");

    // Also where it is not there when the daemon starts.
    daemon.kill();
    volume.unbind();
    daemon.restart().await;
    let job = daemon.until(id, "it waits", |job| waits_for(job, WaitingFor::Volume)).await;
    assert!(job.done_bytes >= before.durable_bytes, "{job:?}");
    assert_eq!(names(&volume.point), [""; 0], "nothing is ever written to the bare mount point");
    server.replace("/a.bin", File::new(content.clone()).etag("\"v1\""));
    volume.bind();
    for id in [id, new] {
        daemon.completed(id).await;
    }
    assert_holds(&volume.store.join("a.bin"), &content);
    assert_holds(&volume.store.join("below/b.bin"), &Content::seeded(2, 100));
    let again = server.bytes_sent_again("/a.bin");
    assert!(again <= 16 * MIB, "{again} bytes were sent twice");
}

#[tokio::test]
async fn f_disk_06_a_directory_that_cannot_be_written_is_refused_and_later_fails() {
    let home = Home::new("");
    let Some(volume) = Volume::mount(&home, "readonly", "size=8m") else { return };
    volume.allow(&home);
    let (server, daemon) = (Server::start(), Daemon::at(home).await);
    server.add("/a.bin", File::new(Content::seeded(1, 1000)));
    let job = SubmitJob { dir: Some(volume.dir()), ..SubmitJob::new(server.url("/a.bin")) };
    let paused = SubmitJob { start: Some(haul_api::Start::Paused), ..job.clone() };
    let accepted = daemon.submit_job(&paused).await;
    volume.remount("ro");
    let below = SubmitJob { dir: Some(format!("{}/new/dir", volume.dir())), ..job.clone() };
    for job in [&job, &below] {
        let problem = refusal(daemon.client().submit(job).await);
        assert_eq!((problem.status, problem.code.as_ref()), (422, "target-not-writable"), "{problem:?}");
        assert_eq!(problem.field.as_deref(), Some("dir"));
        assert!(problem.detail.contains("Read-only"), "{}", problem.detail);
    }
    daemon.client().resume(accepted).await.expect("a paused job can be resumed");
    let reason = daemon.failed(accepted).await;
    assert_eq!(reason.code, "target-not-writable");
    volume.remount("rw");
    daemon.client().retry(accepted).await.expect("a failed job can be retried");
    daemon.completed(accepted).await;
}

#[tokio::test]
async fn f_disk_06_a_file_in_the_place_of_a_directory_is_refused() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    fs::write(daemon.home().downloads().join("file"), "here").expect("a new file");
    let job = SubmitJob { dir: Some("file/below".to_owned()), ..SubmitJob::new(server.url("/a.bin")) };
    let problem = refusal(daemon.client().submit(&job).await);
    assert_eq!((problem.status, problem.code.as_ref()), (422, "target-not-writable"), "{problem:?}");
}

#[tokio::test]
async fn f_disk_05_a_limit_on_file_sizes_ends_the_job_and_not_the_daemon() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(2, 6 * MIB);
    server.add("/a.iso", File::new(Content::seeded(1, 24 * MIB)));
    server.add("/b.iso", File::new(content.clone()));
    daemon.limit_file_size(16 * MIB);
    let reason = daemon.failed(daemon.submit(&server.url("/a.iso")).await).await;
    assert_eq!(reason.code, "too-large", "{}", reason.message);
    daemon.completed(daemon.submit(&server.url("/b.iso")).await).await;
    assert_holds(&daemon.home().downloads().join("b.iso"), &content);
}

#[tokio::test]
async fn f_disk_18_what_is_not_ours_is_never_removed() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    // The last one of the paused job may find the file replaced.
    daemon.tolerate("a checkpoint failed");
    server.add("/a.iso", File::new(Content::seeded(1, 16 * MIB)).shared_rate(1_000_000));
    server.add("/b.iso", File::new(Content::seeded(2, 1000)));
    let running = daemon.submit(&server.url("/a.iso")).await;
    let complete = daemon.submit(&server.url("/b.iso")).await;
    daemon.completed(complete).await;
    daemon.until(running, "some bytes are written", |job| job.done_bytes > 0).await;
    // Somebody puts files of their own under both names.
    daemon.client().pause(running).await.expect("it can be paused");
    for path in [daemon.home().part(), daemon.home().downloads().join("b.iso")] {
        fs::write(path.with_extension("mine"), "precious").expect("a new file");
        fs::rename(path.with_extension("mine"), &path).expect("one directory");
    }
    let before = daemon.home().names();
    daemon.client().delete(running, haul_api::Files::Delete).await.expect("it can be deleted");
    daemon.client().delete(complete, haul_api::Files::Delete).await.expect("it can be deleted");
    // Once a new job has gone all the way, the deletions are done.
    server.add("/c.iso", File::new(Content::seeded(3, 1000)));
    daemon.completed(daemon.submit(&server.url("/c.iso")).await).await;
    let expected: Vec<String> = before.into_iter().chain(["c.iso".to_owned()]).collect();
    let mut expected = expected;
    expected.sort();
    assert_eq!(daemon.home().names(), expected);
    for name in daemon.home().names().iter().filter(|name| *name != "c.iso") {
        assert_eq!(fs::read_to_string(daemon.home().downloads().join(name)).expect("a file"), "precious", "{name}");
    }
}

#[tokio::test]
async fn f_disk_19_part_files_of_no_job_are_named_and_never_removed() {
    let home = Home::new("");
    let orphan = home.downloads().join("old.iso.0badcafe.haul-part");
    fs::create_dir(home.downloads()).expect("a new directory");
    fs::write(&orphan, "somebody's").expect("a new file");
    let (server, mut daemon) = (Server::start(), Daemon::at(home).await);
    server.add("/a.iso", File::new(Content::seeded(1, 8 * MIB)).shared_rate(1_000_000));
    let id = daemon.submit(&server.url("/a.iso")).await;
    daemon.until(id, "some bytes are written", |job| job.done_bytes > 0).await;
    daemon.terminate();
    daemon.restart().await;
    let told = || daemon.log().lines().filter(|line| line.contains("belongs to no job")).map(str::to_owned).collect();
    let told: Vec<String> =
        wait_until("it is told", async || Some(told()).filter(|told: &Vec<_>| !told.is_empty())).await;
    assert_eq!(told.len(), 1, "only the orphan is one: {told:?}");
    assert!(told[0].contains("old.iso.0badcafe.haul-part"), "{told:?}");
    assert_eq!(fs::read_to_string(&orphan).expect("it stays"), "somebody's");
}

#[tokio::test]
async fn f_db_05_a_full_database_refuses_jobs_pauses_and_recovers() {
    let home = Home::new("");
    let Some(volume) = Volume::mount(&home, "state", "size=4m") else { return };
    home.configure(&format!("data_dir = {:?}", volume.point.join("data")));
    let (server, mut daemon) = (Server::start(), Daemon::at(home).await);
    daemon.tolerate("the database");
    let content = Content::seeded(1, 16 * MIB);
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\"").shared_rate(3_000_000));
    let id = daemon.submit(&server.url("/a.bin")).await;
    daemon.until(id, "a checkpoint is made", |job| job.durable_bytes > 0).await;

    let ballast = volume.store.join("ballast");
    fill(&ballast);
    let job = daemon.until(id, "it waits", |job| waits_for(job, WaitingFor::Disk)).await;
    assert_eq!(job.reason.expect("it says why").code, "disk-full");
    let problem = refusal(daemon.client().submit(&SubmitJob::new(server.url("/b.bin"))).await);
    assert_eq!((problem.status, problem.code.as_ref()), (507, "storage-unavailable"), "{problem:?}");
    assert_eq!(daemon.client().jobs(&haul_api::JobQuery::default()).await.expect("it still lists").jobs.len(), 1);

    fs::remove_file(&ballast).expect("ours");
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
    daemon.completed(daemon.submit(&server.url("/a.bin")).await).await;
}

/// Fills a file system to its last byte.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).expect("a new file");
    while file.write_all(&[1; 4096]).is_ok() {}
}

/// A job with bytes on a volume that has been taken away.
async fn begun_and_taken_away(daemon: &mut Daemon, volume: &Volume, server: &Server, path: &str) -> u64 {
    server.add(path, File::new(Content::seeded(7, 24 * MIB)).etag("\"v1\"").shared_rate(4_000_000));
    let id = daemon.submit_job(&SubmitJob { dir: Some(volume.dir()), ..SubmitJob::new(server.url(path)) }).await;
    daemon.until(id, "a checkpoint is made", |job| job.durable_bytes > 0).await;
    volume.unbind();
    daemon.until(id, "it is noticed", |job| waits_for(job, WaitingFor::Volume)).await;
    id
}

#[tokio::test]
async fn f_disk_08_what_a_job_leaves_on_a_volume_that_is_away_is_removed_once_it_is_back() {
    for (is_deleted, is_killed) in [(false, false), (true, false), (false, true), (true, true)] {
        let what = format!("deleted: {is_deleted}, killed: {is_killed}");
        let home = Home::new("");
        let Some(volume) = Volume::mount(&home, "volume", "size=64m") else { return };
        volume.allow(&home);
        let (server, mut daemon) = (Server::start(), Daemon::at(home).await);
        daemon.tolerate("a checkpoint failed");
        let id = begun_and_taken_away(&mut daemon, &volume, &server, "/a.bin").await;
        if is_deleted {
            daemon.client().delete(id, haul_api::Files::Delete).await.expect("it can be deleted");
        } else {
            daemon.client().cancel(id).await.expect("it can be canceled");
        }
        if is_killed {
            daemon.kill();
            daemon.restart().await;
        }
        wait_until("it is told", async || {
            let told = daemon.log().contains("are removed once their volume is there");
            told.then_some(())
        })
        .await;
        assert_eq!(names(&volume.point), [""; 0], "{what}: nothing is ever written to the bare mount point");
        assert_eq!(volume.parts().len(), 1, "{what}: nobody can reach it");
        volume.bind();
        wait_until("nothing is left", async || volume.parts().is_empty().then_some(())).await;
        // The volume can be taken away again, and a stop does not wait for anything.
        assert!(daemon.terminate().1 < Duration::from_secs(2), "{what}");
    }
}

#[tokio::test]
async fn f_disk_09_a_part_file_whose_volume_was_away_at_the_start_is_compared_when_it_is_back() {
    use std::os::unix::fs::FileExt as _;
    let home = Home::new("");
    let Some(volume) = Volume::mount(&home, "volume", "size=64m") else { return };
    volume.allow(&home);
    let (server, mut daemon) = (Server::start(), Daemon::at(home).await);
    let content = Content::seeded(8, 16 * MIB);
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\"").shared_rate(6_000_000));
    let job = SubmitJob { dir: Some(volume.dir()), connections: Some(1), ..SubmitJob::new(server.url("/a.bin")) };
    let id = daemon.submit_job(&job).await;
    daemon.until(id, "some chunks are there", |job| job.chunks.done >= 4).await;
    daemon.terminate();
    volume.unbind();
    let part = volume.store.join(&volume.parts()[0]);
    let file = fs::OpenOptions::new().write(true).open(part).expect("it is there");
    file.write_all_at(b"of somebody else", MIB + 7).expect("writable");
    drop(file);

    daemon.restart().await;
    let job = daemon.until(id, "it waits", |job| waits_for(job, WaitingFor::Volume)).await;
    assert!(job.done_bytes >= 4 * MIB, "{job:?}");
    volume.bind();
    daemon.completed(id).await;
    assert_holds(&volume.store.join("a.bin"), &content);
    assert!(daemon.log().contains("is not what was written to it"), "{}", daemon.log());
    let again = server.bytes_sent_again("/a.bin");
    assert!((1..=4 * MIB).contains(&again), "one chunk and what lay in the socket, not {again} bytes");
}
