//! What 100,000 jobs cost. Figures, not verdicts: run it in release mode on a quiet machine.
//!
//! `cargo test --release -p hauld --locked --test daemon scale -- --ignored --nocapture`

use std::fs;
use std::time::Instant;

use haul_api::{JobQuery, JobState, SortBy};
use serde_json::{Value, json};

use crate::support::{Daemon, Home, say, wait_until};

const JOBS: usize = 100_000;
const BATCH: usize = 10_000;

#[tokio::test]
#[ignore = "takes a minute, and its figures mean something in release mode only"]
async fn a_hundred_thousand_jobs_go_in_are_listed_and_are_there_after_a_restart() {
    let mut daemon = Daemon::at(Home::new("log = \"warn,hauld::daemon=info\"")).await;
    for batch in 0..JOBS / BATCH {
        let job = |n: usize| {
            let n = batch * BATCH + n;
            json!({"url": format!("https://host{}.example/some/path/file-{n}.iso", n % 50), "start": "paused",
                "label": format!("label{}", n % 20), "priority": n % 100})
        };
        let body = json!({"jobs": (0..BATCH).map(job).collect::<Vec<Value>>()}).to_string();
        let head = format!(
            "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            daemon.home().token(),
            body.len()
        );
        let begun = Instant::now();
        let answer = daemon.raw(head + &body);
        assert_eq!(answer.status, 200);
        let rate = BATCH as f64 / begun.elapsed().as_secs_f64();
        say(&format!("batch {batch}: {BATCH} jobs in {:?}, {rate:.0} per second", begun.elapsed()));
    }
    let paused = JobQuery { states: vec![JobState::Paused], ..JobQuery::default() };
    for (what, query) in [
        ("all", JobQuery::default()),
        ("state", paused.clone()),
        ("state and label", JobQuery { label: Some("label7".to_owned()), ..paused }),
        ("host", JobQuery { host: Some("host7.example".to_owned()), ..JobQuery::default() }),
        ("sort=priority", JobQuery { sort: SortBy::Priority, ..JobQuery::default() }),
        ("sort=filename", JobQuery { sort: SortBy::Filename, ascending: true, ..JobQuery::default() }),
        ("q, many found", JobQuery { q: Some("file-9".to_owned()), ..JobQuery::default() }),
        ("q, one found", JobQuery { q: Some("file-777.iso".to_owned()), ..JobQuery::default() }),
    ] {
        pages(&daemon, what, query).await;
    }
    say(&format!("memory with {JOBS} idle jobs after their submit: {} KiB", resident(&daemon)));
    daemon.terminate();
    let begun = Instant::now();
    daemon.restart().await;
    say(&format!("ready after {:?}", begun.elapsed()));
    wait_until("all jobs are listed", async || daemon.client().jobs(&JobQuery::default()).await.ok()).await;
    say(&format!("memory with {JOBS} idle jobs after a restart: {} KiB", resident(&daemon)));
}

/// Asks for up to 300 pages of 100 jobs, one after the other, and tells how long they took.
async fn pages(daemon: &Daemon, what: &str, mut query: JobQuery) {
    let mut took = Vec::new();
    for _ in 0..300 {
        let begun = Instant::now();
        let page = daemon.client().jobs(&query).await.expect("a page");
        took.push(begun.elapsed());
        query.cursor = page.next_cursor;
    }
    took.sort();
    say(&format!("{what}: median {:?}, p99 {:?}", took[took.len() / 2], took[took.len() * 99 / 100]));
}

/// Resident memory in KiB.
fn resident(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.process())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
