//! Hosts: what was learned of them, and what their users want.

mod common;

use common::World;
use haul_store::{HostFault, HostRow};

fn host(name: &str) -> HostRow {
    HostRow { name: name.to_owned(), updated_at_ms: 1, ..HostRow::default() }
}

fn learned(name: &str) -> HostRow {
    HostRow {
        learned_cap: Some((3, 10_000)),
        refusals: 4,
        useful_connections: Some(8),
        bytes_per_second: Some(180_000),
        answer_time_ms: Some(42),
        blocked_until_ms: Some(20_000),
        fault: Some(HostFault {
            code: "http-status".to_owned(),
            status: Some(429),
            message: "the server answered 429".to_owned(),
            at_ms: 5,
        }),
        connections_max: Some(16),
        bandwidth_limit: Some(1_000_000),
        ..host(name)
    }
}

#[tokio::test]
async fn every_field_comes_back_as_it_went_in() {
    let world = World::new();
    let (store, _) = world.open("b");
    let (plain, full) = (host("https://b.example"), learned("https://a.example"));
    store.note_hosts(vec![plain.clone(), full.clone()], Vec::new()).await.unwrap();
    assert_eq!(store.hosts().await.unwrap(), [full.clone(), plain.clone()], "by name");
    store.close().await.unwrap();
    let (again, _) = world.open("b");
    assert_eq!(again.hosts().await.unwrap(), [full, plain]);
}

#[tokio::test]
async fn the_newest_word_counts_and_what_is_forgotten_is_gone() {
    let world = World::new();
    let (store, _) = world.open("b");
    store.set_host(learned("https://a.example")).await.unwrap();
    store.note_hosts(vec![host("https://a.example"), host("https://b.example")], Vec::new()).await.unwrap();
    assert_eq!(store.hosts().await.unwrap(), [host("https://a.example"), host("https://b.example")]);
    store.note_hosts(vec![host("https://c.example")], vec!["https://a.example".to_owned()]).await.unwrap();
    store.forget_host("https://b.example".to_owned()).await.unwrap();
    store.forget_host("https://unknown.example".to_owned()).await.unwrap();
    assert_eq!(store.hosts().await.unwrap(), [host("https://c.example")]);
}
