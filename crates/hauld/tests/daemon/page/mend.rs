//! Every row whose job waits or has failed has the button that mends it.

use std::fs;
use std::os::unix::fs::FileExt as _;

use haul_api::{JobState, OnChange, OnConflict, SubmitJob, WaitingFor};
use haul_testkit::{Content, Do, File, Server, When};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::play;
use crate::support::{Daemon, Home, MIB, Volume, assert_holds};

#[tokio::test(flavor = "multi_thread")]
async fn f_disk_01_a_full_disk_is_freed_on_the_page_and_the_job_goes_on_by_itself() {
    let home = Home::new("");
    let Some(volume) = Volume::mount(&home, "full", "size=24m") else { return };
    volume.allow(&home);
    let (server, daemon) = (Server::start(), Daemon::at(home).await);
    let new = Content::seeded(2, 16 * MIB);
    server.add("/old.bin", File::new(Content::seeded(1, 10 * MIB)).etag("\"v1\""));
    server.add("/new.bin", File::new(new.clone()).etag("\"v1\""));
    server.add("/elsewhere.bin", File::new(Content::seeded(3, MIB)));
    let there = |path: &str| SubmitJob { dir: Some(volume.dir()), ..SubmitJob::new(server.url(path)) };
    daemon.completed(daemon.submit(&server.url("/elsewhere.bin")).await).await;
    daemon.completed(daemon.submit_job(&there("/old.bin")).await).await;
    let id = daemon.submit_job(&there("/new.bin")).await;
    daemon.until(id, "it waits for space", |job| job.waiting_for == Some(WaitingFor::Disk)).await;
    if play(&daemon, "space", json!({})).await {
        assert_holds(&volume.store.join("new.bin"), &new);
        assert!(!volume.store.join("old.bin").exists());
        assert!(daemon.home().downloads().join("elsewhere.bin").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_left_alone_is_changed_and_tried_now_on_the_page() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(4, MIB);
    let busy = Do::status_with(503, "Retry-After", "600");
    server.add("/a.iso", File::new(content.clone()).fault(When::First(1), busy));
    let id = daemon.submit(&server.url("/a.iso")).await;
    daemon.until(id, "it waits", |job| job.waiting_for == Some(WaitingFor::Host)).await;
    if play(&daemon, "host", json!({"host": server.url("")})).await {
        assert_holds(&daemon.home().downloads().join("a.iso"), &content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_that_waits_or_has_failed_is_mended_by_the_button_of_its_row() {
    let home = Home::new("");
    // A day that is neither today nor yesterday.
    let today = Timestamp::now().to_zoned_datetime(TimeZone::system());
    let other = today.tomorrow().and_then(|day| day.tomorrow()).expect("a day").strftime("%a").to_string();
    home.configure(&format!(
        "retry_wait = \"10m\"\nretry_wait_max = \"10m\"\n\
         labels = {{ closed = {{ windows = [{{ from = \"00:00\", to = \"00:01\", days = [\"{}\"] }}] }} }}",
        other.to_lowercase()
    ));
    let (server, daemon) = (Server::start(), Daemon::at(home).await);
    let content = |seed: u64| Content::seeded(seed, 2 * MIB);
    let job = |path: &str| SubmitJob::new(server.url(path));
    let path = |name: &str| daemon.home().downloads().join(name);

    // A name that is taken.
    fs::write(path("taken.bin"), "mine").expect("a new file");
    server.add("/taken.bin", File::new(content(1)));
    let taken = SubmitJob { on_conflict: Some(OnConflict::Fail), ..job("/taken.bin") };
    assert_eq!(daemon.failed(daemon.submit_job(&taken).await).await.code, "target-exists");

    // A file that has changed.
    let old = Content::seeded(2, 6 * MIB);
    server.add("/changed.bin", File::new(old).etag("\"v1\"").shared_rate(2_000_000));
    let changed = SubmitJob { on_change: Some(OnChange::Fail), ..job("/changed.bin") };
    let changed = daemon.submit_job(&changed).await;
    daemon.until(changed, "some bytes are written", |job| job.done_bytes > MIB).await;
    daemon.client().pause(changed).await.expect("a running job can be paused");
    server.replace("/changed.bin", File::new(content(3)).etag("\"v2\""));
    daemon.client().resume(changed).await.expect("a paused job can be resumed");
    assert_eq!(daemon.failed(changed).await.code, "source-changed");

    // A file that is damaged.
    server.add("/damaged.bin", File::new(content(4)).etag("\"v1\""));
    let damaged = daemon.submit_job(&job("/damaged.bin")).await;
    daemon.completed(damaged).await;
    let file = fs::OpenOptions::new().write(true).open(path("damaged.bin")).expect("it is ours");
    file.write_all_at(b"other", MIB).expect("writable");
    daemon.client().verify(damaged, false, 30).await.expect("it is complete");

    // A digest that cannot be had.
    server.add("/unproved.bin", File::new(content(5)));
    let unproved = SubmitJob { checksum_url: Some(server.url("/SHA256SUMS")), ..job("/unproved.bin") };
    assert_eq!(daemon.failed(daemon.submit_job(&unproved).await).await.code, "checksum-unavailable");
    let sums = format!("{}  unproved.bin\n", content(5).sha256());
    server.add("/SHA256SUMS", File::new(Content::literal(sums)));

    // A time that has not come.
    server.add("/closed.bin", File::new(content(6)));
    let closed = SubmitJob { label: Some("closed".to_owned()), ..job("/closed.bin") };
    let closed = daemon.submit_job(&closed).await;
    daemon.until(closed, "it waits", |job| job.waiting_for == Some(WaitingFor::Schedule)).await;

    // A server that fails.
    server.add("/later.bin", File::new(content(7)).fault(When::First(1), Do::status(500)));
    let later = daemon.submit_job(&job("/later.bin")).await;
    daemon.until(later, "it waits", |job| job.state == JobState::Waiting).await;

    if play(&daemon, "mend", json!({})).await {
        for (name, seed) in [
            ("free.bin", 1),
            ("changed.bin", 3),
            ("damaged.bin", 4),
            ("unproved.bin", 5),
            ("closed.bin", 6),
            ("later.bin", 7),
        ] {
            assert_holds(&path(name), &content(seed));
        }
        assert_eq!(fs::read_to_string(path("taken.bin")).expect("it is there"), "mine");
    }
}
