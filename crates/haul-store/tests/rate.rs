//! How fast it is. The figures are printed (`cargo test -p haul-store --test rate -- --nocapture`); only the effects
//! are asserted, since a test machine may be busy.

#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

mod common;

use std::time::Instant;

use common::{World, chunk, job, rows};
use haul_core::{Action, Phase};
use haul_store::{Cursor, Filter, Order, Page, SortKey, StateFilter};

#[tokio::test]
async fn ten_thousand_jobs_go_in_with_one_commit() {
    let world = World::new();
    let (store, _) = world.open("b");
    let before = store.stats().durable_commits;
    let new = vec![job("https://example.org/some/path/file.iso"); 10_000];
    let begin = Instant::now();
    let ids = store.insert_jobs(new, 1).await.unwrap();
    let spent = begin.elapsed();
    assert_eq!(ids.len(), 10_000);
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(store.stats().durable_commits - before, 1);
    println!("insert: {:.0} rows/s in one batch", 10_000.0 / spent.as_secs_f64());

    let begin = Instant::now();
    let changed = store.act_all(Action::Pause, Filter::default(), 2).await.unwrap();
    assert_eq!(changed.len(), 10_000);
    println!("pause all: {:.0} rows/s", 10_000.0 / begin.elapsed().as_secs_f64());

    let begin = Instant::now();
    let filter = Filter { states: vec![StateFilter { phase: Phase::Fetching, intent: None }], ..Filter::default() };
    let page =
        Page { after: Some(Cursor { id: ids[5000], key: SortKey::Id }), order: Order::default(), limit: 100, filter };
    // The first query of a connection reads the schema, so each of the threads may need more for its first page.
    for _ in 0..100 {
        assert_eq!(store.jobs(page.clone()).await.unwrap().0.len(), 100);
    }
    println!("a page of 100: {:?}", begin.elapsed() / 100);
}

#[tokio::test]
async fn single_operations_share_commits_when_many_ask_at_once() {
    let world = World::new();
    let (store, _) = world.open("b");
    let before = store.stats();
    let begin = Instant::now();
    let clients: Vec<_> = (0..64)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    store.insert_jobs(vec![job("https://example.org/a")], 1).await.unwrap();
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let spent = begin.elapsed();
    let after = store.stats();
    let commits = after.durable_commits - before.durable_commits;
    assert_eq!(after.operations - before.operations, 1280);
    assert!(commits < 640, "{commits} commits for 1280 operations");
    println!("64 clients: {:.0} operations/s, {commits} commits for 1280", 1280.0 / spent.as_secs_f64());
}

#[tokio::test]
async fn marks_of_many_rows() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = store.insert_jobs(vec![job("https://example.org/a")], 1).await.unwrap()[0];
    let at = |done| -> Vec<_> { (0..32).map(|n| chunk(n * 1000, n * 1000 + 1000, done)).collect() };
    store.checkpoint(rows(id, &at(0))).await.unwrap();
    let begin = Instant::now();
    for done in 1..=200 {
        store.mark_written(rows(id, &at(done))).await.unwrap();
    }
    println!("a written mark of 32 rows: {:?}", begin.elapsed() / 200);
    let begin = Instant::now();
    for done in 201..=300 {
        store.checkpoint(rows(id, &at(done))).await.unwrap();
    }
    println!("a checkpoint of 32 rows: {:?}", begin.elapsed() / 100);
    assert_eq!(store.job(id).await.unwrap().unwrap().counts.durable_bytes, 32 * 300);
}
