//! What has happened to a job stands in its history, with the state that it speaks of.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{World, chunk, job, named, rows, submitted};
use haul_core::{Action, Intent, JobId, Phase};
use haul_store::{EventKind, Filter, JobPatch, NewEvent, NewJob, PhaseChange, Reason, Store};

async fn kinds(store: &Store, id: JobId) -> Vec<EventKind> {
    let (events, has_more) = store.events(id, 0, 1000).await.unwrap().expect("the job is there");
    assert!(!has_more);
    assert!(events.windows(2).all(|two| two[0].id < two[1].id));
    events.into_iter().map(|event| event.kind).collect()
}

fn to(phase: Phase) -> PhaseChange {
    PhaseChange { phase, reason: None, path: None, verification: None }
}

#[tokio::test]
async fn every_stored_change_of_a_job_stands_in_its_history() {
    let world = World::new();
    let (store, _) = world.open("b");
    let paused = NewJob { intent: Intent::Pause, ..job("https://u:canary@example.org/a?canary") };
    let id = store.insert_jobs(vec![paused], 1).await.unwrap()[0];
    store.act(id, Action::Pause, 2).await.unwrap();
    store.act_all(Action::Resume, Filter::default(), 3).await.unwrap();
    let identity = haul_store::Identity { total_bytes: Some(100), ..named("a.iso") };
    store.set_opened(id, identity.clone(), 4).await.unwrap();
    store.set_opened(id, identity, 5).await.unwrap();
    store.checkpoint(rows(id, &[chunk(0, 100, 40)])).await.unwrap();
    store.reset_chunks(id, true, 6).await.unwrap();
    store.checkpoint(rows(id, &[chunk(0, 100, 7)])).await.unwrap();
    store.reset_chunks(id, false, 7).await.unwrap();
    let patch = JobPatch { label: Some(Some("canary".to_owned())), ..JobPatch::default() };
    store.patch(id, patch, 8).await.unwrap();
    let reason = Reason {
        code: "http-status".to_owned(),
        message: "the server answered 404".to_owned(),
        at_ms: 9,
        retry_at_ms: None,
    };
    let failed = PhaseChange { reason: Some(reason), ..to(Phase::Failed) };
    store.set_phase(id, failed, 9).await.unwrap();
    store.act(id, Action::Retry, 10).await.unwrap();
    store.set_phase(id, to(Phase::Verifying), 11).await.unwrap();
    let completed = PhaseChange {
        path: Some("/d/a.iso".to_owned()),
        verification: Some("length".to_owned()),
        ..to(Phase::Completed)
    };
    store.set_phase(id, completed.clone(), 12).await.unwrap();
    store.set_phase(id, completed, 13).await.unwrap();

    let text = |text: &str| Some(text.to_owned());
    let expected = [
        EventKind::Accepted { paused: true },
        EventKind::Resumed,
        EventKind::Started { filename: text("a.iso"), total_bytes: Some(100), accepts_ranges: None },
        EventKind::Restarted { restarts: 1, dropped_bytes: 40 },
        EventKind::BytesDropped { dropped_bytes: 7 },
        EventKind::Edited { fields: vec!["label".to_owned()] },
        EventKind::Failed { code: text("http-status"), detail: text("the server answered 404") },
        EventKind::Retried,
        EventKind::Verifying,
        EventKind::Completed { path: text("/d/a.iso"), total_bytes: 0, verification: text("length") },
    ];
    let found = kinds(&store, id).await;
    assert_eq!(found, expected, "what changes nothing is not told");
    assert!(!format!("{found:?}").contains("canary"));
}

#[tokio::test]
async fn a_deleted_job_has_no_history_any_more_and_its_ids_do_not_come_back() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    store.hide_jobs(vec![id], false, 2).await.unwrap();
    assert_eq!(store.events(id, 0, 10).await.unwrap(), None);
    store.restore_jobs(vec![id], 3).await.unwrap();
    let before = kinds(&store, id).await;
    assert_eq!(before, [EventKind::Accepted { paused: false }, EventKind::Deleted, EventKind::Restored]);
    store.hide_jobs(vec![id], false, 4).await.unwrap();
    store.delete_jobs(vec![id]).await.unwrap();
    assert_eq!(store.events(id, 0, 10).await.unwrap(), None);
    let conn = rusqlite::Connection::open(world.path()).unwrap();
    let mut left = conn.prepare("SELECT DISTINCT kind FROM events").unwrap();
    let left: Vec<String> = left.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap();
    assert_eq!(left, ["deleted"], "that it was deleted is all that is left");
    store.close().await.unwrap();
    drop(store);

    let (store, _) = world.open("b");
    let other = submitted(&store).await;
    let (events, _) = store.events(other, 0, 10).await.unwrap().unwrap();
    assert_eq!(events[0].id, 5, "four events have been told before");
}

#[tokio::test]
async fn what_the_daemon_tells_of_a_job_that_is_gone_is_passed_over() {
    let world = World::new();
    let (store, _) = world.open("b");
    let (id, gone) = (submitted(&store).await, submitted(&store).await);
    store.delete_jobs(vec![gone]).await.unwrap();
    let event = |job| NewEvent { job, at_ms: 7, kind: EventKind::Active };
    store.note_events(vec![event(id), event(gone), event(JobId(u64::MAX)), event(id)]).await.unwrap();
    assert_eq!(kinds(&store, id).await[1..], [EventKind::Active, EventKind::Active]);
    let (page, has_more) = store.events(id, 0, 2).await.unwrap().unwrap();
    assert!(has_more);
    let (rest, has_more) = store.events(id, page[1].id, 2).await.unwrap().unwrap();
    assert_eq!((rest.len(), has_more), (1, false));
}

#[tokio::test]
async fn f_proc_04_runs_that_end_at_a_job_are_counted_until_it_gets_somewhere() {
    let world = World::new();
    let mut id = JobId(0);
    for run in 1..=3 {
        let (store, opened) = world.open("b");
        if run == 1 {
            id = submitted(&store).await;
        }
        let before = opened.at_work.get(&id).copied().unwrap_or(0);
        assert_eq!(before, run - 1);
        store.begin_work(id, before + 1).await.unwrap();
        // Twice in one run is once.
        store.begin_work(id, before + 1).await.unwrap();
    }
    let (store, opened) = world.open("b");
    assert_eq!(opened.at_work.get(&id), Some(&3));
    drop(store);

    for (what, survives) in [("bytes", true), ("no bytes", false), ("an end", true), ("a user", true), ("a wait", true)]
    {
        let (store, _) = world.open("b");
        store.begin_work(id, 2).await.unwrap();
        match what {
            // The second time they are nothing new.
            "bytes" | "no bytes" => store.mark_written(rows(id, &[chunk(0, 100, 5)])).await.unwrap(),
            "an end" => drop(store.set_phase(id, to(Phase::Failed), 5).await.unwrap()),
            "a user" => drop(store.act(id, Action::Retry, 6).await.unwrap()),
            _ => store.survived_work(id).await.unwrap(),
        }
        drop(store);
        let (store, opened) = world.open("b");
        assert_eq!(opened.at_work.is_empty(), survives, "{what}");
        drop(store);
    }

    // A stop in order and the end of the machine are nobody's fault.
    let (store, _) = world.open("b");
    store.begin_work(id, 1).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let (store, opened) = world.open("b");
    assert!(opened.at_work.is_empty());
    store.begin_work(id, 1).await.unwrap();
    drop(store);
    assert!(world.open("another boot").1.at_work.is_empty());
}
