//! 500 jobs, 200 at once.

use std::time::{Duration, Instant};

use haul_api::{JobQuery, JobState, Outcome, SubmitJob};
use haul_testkit::{Content, File, Line, Server};

use crate::support::{Daemon, assert_holds, say, wait_until};

const JOBS: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_jobs_of_one_request_complete_with_two_hundred_at_once_and_the_api_answers() {
    let settings = "max_active_jobs = 200\nconnections_per_host = 400\nlog = \"info\"";
    let (server, daemon) = (Server::start(), Daemon::with(settings).await);
    let content = |n: u64| Content::seeded(n, 40_000 + n * 97);
    // One line for all of them, so that they run side by side and not one after the other.
    let line = Line::new(6_000_000);
    for n in 0..JOBS {
        server.add(&format!("/{n}.bin"), File::new(content(n)).etag("\"v1\"").line(&line));
    }
    let jobs: Vec<_> = (0..JOBS).map(|n| SubmitJob::new(server.url(&format!("/{n}.bin")))).collect();
    let results = daemon.client().submit_many(&jobs).await.expect("one request is enough").results;
    assert_eq!(results.len(), jobs.len());
    assert!(results.iter().all(|item| matches!(item.outcome, Outcome::Job(_)) && item.status == 201));

    let mut latencies = Vec::new();
    let mut running_max = 0;
    wait_until("all have completed", async || {
        let begun = Instant::now();
        let stats = daemon.client().stats().await.expect("the API answers");
        latencies.push(begun.elapsed());
        let page = JobQuery { states: vec![JobState::Active], ..JobQuery::default() };
        let begun = Instant::now();
        daemon.client().jobs(&page).await.expect("the API answers");
        latencies.push(begun.elapsed());
        assert_eq!(stats.jobs.values().sum::<u64>(), JOBS, "{:?}", stats.jobs);
        running_max = running_max.max(stats.connections_active);
        assert_eq!(stats.jobs[&JobState::Failed], 0);
        (stats.jobs[&JobState::Completed] == JOBS).then_some(())
    })
    .await;
    latencies.sort();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
    say(&format!(
        "{} answers while they ran: median {:?}, p99 {:?}, longest {:?}; {running_max} connections at most",
        latencies.len(),
        at(50),
        at(99),
        at(100)
    ));
    assert!(at(99) < Duration::from_secs(1), "p99 {:?}", at(99));
    assert!(running_max >= 150, "only {running_max} connections at once");
    let mut requests = 0;
    for n in 0..JOBS {
        assert_holds(&daemon.home().downloads().join(format!("{n}.bin")), &content(n));
        requests += server.requests(&format!("/{n}.bin"));
    }
    // On a machine that is too busy to answer within 2 s, a few first requests are raced.
    assert!(requests <= JOBS + JOBS / 10, "one request per small file, but {requests} for {JOBS}");
    assert_eq!(daemon.home().names().len() as u64, JOBS);
}
