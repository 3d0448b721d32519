//! What the page can do beyond showing and mending.

use haul_testkit::{Content, Do, File, Server, When};
use serde_json::json;

use super::{paused, play};
use crate::support::{Daemon, Home};

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_moved_in_the_queue_by_the_menu_of_a_row_and_by_keys() {
    let home = Home::new("");
    home.configure("max_active_jobs = 1");
    let (server, daemon) = (Server::start(), Daemon::at(home).await);
    for name in ["hold", "a", "b", "c", "d"] {
        let path = format!("/{name}.bin");
        server.add(&path, File::new(Content::seeded(1, 1000)).fault(When::Always, Do::NeverAnswer));
        daemon.submit(&server.url(&path)).await;
    }
    play(&daemon, "menu", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_exported_on_the_page() {
    let daemon = Daemon::start().await;
    for name in ["a", "b", "c", "d"] {
        daemon.submit_job(&paused(format!("http://h.invalid/{name}.bin"))).await;
    }
    play(&daemon, "export", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_asked_for_it_is_told_that_jobs_have_ended() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    for (seed, name) in (1..).zip(["a", "b", "c", "d", "e", "f"]) {
        server.add(&format!("/{name}.bin"), File::new(Content::seeded(seed, 1000)));
    }
    play(&daemon, "notify", json!({"server": server.url("")})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_day_are_edited_on_the_page() {
    play(&Daemon::start().await, "schedule", json!({})).await;
}
