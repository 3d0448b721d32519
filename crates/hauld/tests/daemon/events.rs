//! What has happened to a job can be read afterwards, in its order, with its causes and without secrets.

mod streams;
mod targets;

use std::collections::BTreeMap;

use haul_api::{Event, EventQuery, PatchJob, SubmitJob};
use haul_testkit::{Content, Do, File, Server, When};

use crate::support::{Daemon, MIB, assert_holds, refusal, wait_until};

/// The whole history of a job, in pages of three.
pub(crate) async fn history(daemon: &Daemon, id: u64) -> Vec<Event> {
    let mut query = EventQuery { cursor: None, limit: Some(3) };
    let mut events: Vec<Event> = Vec::new();
    loop {
        let page = daemon.client().events(id, &query).await.expect("the job is there");
        assert!(page.events.len() <= 3);
        events.extend(page.events);
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor.parse().expect("an id")),
            None => break,
        }
    }
    assert!(events.windows(2).all(|two| two[0].id < two[1].id), "{events:#?}");
    assert!(events.iter().all(|event| event.job == id && !event.message.is_empty()));
    events
}

/// Waits until something stands in the history so often, and tells the last of it.
pub(crate) async fn told(daemon: &Daemon, id: u64, kind: &str, times: usize) -> Event {
    wait_until(kind, async || {
        let events: Vec<_> = history(daemon, id).await.into_iter().filter(|event| event.kind == kind).collect();
        (events.len() >= times).then(|| events.last().expect("there is one").clone())
    })
    .await
}

/// Where each kind stands first.
fn places(events: &[Event]) -> BTreeMap<&str, usize> {
    events.iter().enumerate().rev().map(|(at, event)| (event.kind.as_str(), at)).collect()
}

#[tokio::test]
async fn the_life_of_a_job_is_told_in_its_order_with_causes_and_hosts_and_without_secrets() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(1, 8 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"").shared_rate(4_000_000);
    server.add("/a.iso", file.fault(When::First(2), Do::ResetAfter(100_000)));
    let url = server.url("/a.iso?token=canary").replace("//", "//ann:canary@");
    let headers = BTreeMap::from([("X-Key".to_owned(), "canary".to_owned())]);
    let id = daemon.submit_job(&SubmitJob { headers: Some(headers), ..SubmitJob::new(url) }).await;
    daemon.until(id, "some bytes are written", |job| job.done_bytes > MIB).await;
    let fault = told(&daemon, id, "fault", 1).await;
    assert_eq!(fault.data["code"], "reset");
    assert_eq!(fault.data["host"], server.url("/").trim_end_matches('/'));
    assert!(fault.data["count"].as_u64() >= Some(1) && fault.data["wait_ms"].is_u64(), "{fault:?}");

    daemon.client().pause(id).await.expect("it can be paused");
    let patch = PatchJob { label: Some(Some("canary".to_owned())), priority: Some(3), ..PatchJob::default() };
    daemon.client().patch(id, &patch).await.expect("it can be changed");
    daemon.client().resume(id).await.expect("it can be resumed");
    daemon.until(id, "it gets on", |job| job.done_bytes > 3 * MIB).await;
    daemon.kill();
    daemon.restart().await;
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.iso"), &content);

    let events = history(&daemon, id).await;
    let places = places(&events);
    let order = ["accepted", "probing", "started", "active", "paused", "edited", "resumed", "taken-up", "completed"];
    let found: Vec<usize> =
        order.iter().map(|kind| *places.get(kind).unwrap_or_else(|| panic!("{kind}: {places:?}"))).collect();
    assert!(found.is_sorted(), "{order:?} stand at {found:?}");
    assert_eq!(events[0].kind, "accepted");
    assert_eq!(events[places["started"]].data["total_bytes"], content.len());
    assert_eq!(events[places["edited"]].data["fields"], serde_json::json!(["priority", "label"]));
    let last = events.last().expect("it has a history");
    assert_eq!((last.kind.as_str(), &last.data["verification"]), ("completed", &serde_json::json!("validator")));
    let text = serde_json::to_string(&events).expect("plain data");
    assert!(!text.contains("canary") && !text.contains("token="), "{text}");
}

#[tokio::test]
async fn a_failure_is_told_with_its_code_and_a_deleted_job_has_no_history() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add("/a.bin", File::new(Content::empty()).fault(When::Always, Do::status(404)));
    let id = daemon.submit(&server.url("/a.bin")).await;
    daemon.failed(id).await;
    let failed = told(&daemon, id, "failed", 1).await;
    assert_eq!(failed.data["code"], "http-status");
    assert!(failed.message.contains("404"), "{failed:?}");

    for query in ["limit=0", "limit=1001", "cursor=x", "order=asc"] {
        let token = daemon.home().token();
        let path = haul_api::paths::job_events(id);
        let request = format!(
            "GET {path}?{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let problem = daemon.raw(request).problem(query);
        assert_eq!(problem.status, 422, "{query}");
        assert_eq!(problem.field.as_deref(), query.split('=').next(), "{query}");
    }
    daemon.client().delete(id, haul_api::Files::Keep).await.expect("it can be deleted");
    for id in [id, 4711, u64::MAX] {
        let problem = refusal(daemon.client().events(id, &EventQuery::default()).await);
        assert_eq!((problem.status, &*problem.code), (404, "job-not-found"));
    }
}

#[tokio::test]
async fn a_wait_is_told_with_its_reason_and_its_end() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let busy = Do::status_with(503, "Retry-After", "6");
    server.add("/a.bin", File::new(Content::seeded(2, 1000)).fault(When::First(1), busy));
    let id = daemon.submit(&server.url("/a.bin")).await;
    let waiting = told(&daemon, id, "waiting", 1).await;
    assert_eq!((&waiting.data["waiting_for"], &waiting.data["code"]), (&"host".into(), &"http-status".into()));
    assert!(waiting.data["retry_in_ms"].as_u64() > Some(5000), "{waiting:?}");
    let alone = told(&daemon, id, "host-waits", 1).await;
    assert!(alone.message.contains("is left alone for"), "{alone:?}");
    daemon.client().resume(id).await.expect("a waiting job can be resumed");
    daemon.completed(id).await;
    let kinds: Vec<_> = history(&daemon, id).await.into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds.last().map(String::as_str), Some("completed"), "{kinds:?}");
}
