//! Jobs: what an operation changes, what it refuses, and what lists show.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{HOST, World, chunk, job, named, rows, submitted};
use haul_core::{Action, Changed, Intent, JobId, Lifecycle, MirrorIndex, Phase, Refusal};
use haul_store::{
    ActError, Filter, Identity, Inserted, JobPatch, JobRows, Mirror, NewJob, OnConflict, OnDuplicate, Order, Page,
    Part, PhaseChange, Pieces, Reason, StateFilter, Store, UpdateError, Wish,
};

fn to(phase: Phase) -> PhaseChange {
    PhaseChange { phase, reason: None, path: None, verification: None }
}

fn reason(code: &str) -> Reason {
    Reason { code: code.to_owned(), message: "it did not work".to_owned(), at_ms: 5, retry_at_ms: Some(9) }
}

async fn list(store: &Store, filter: Filter) -> Vec<u64> {
    let page = Page { after: None, order: Order::default(), limit: 100, filter };
    let (rows, next) = store.jobs(page).await.unwrap();
    assert_eq!(next, None);
    rows.iter().map(|row| row.id.0).collect()
}

#[tokio::test]
async fn every_field_comes_back_as_it_went_in() {
    let world = World::new();
    let (store, _) = world.open("b");
    let mut new = job("https://example.org/a?token=1");
    new.wish = Wish {
        filename: Some("a.iso".to_owned()),
        expected_size: Some(i64::MAX as u64),
        checksum: Some("sha256:00".to_owned()),
        on_conflict: OnConflict::Overwrite,
        referrer: Some("https://example.org/page".into()),
        user_agent: Some("agent".to_owned()),
        connections: Some(7),
        bandwidth_limit: Some(0),
        priority: -3,
        label: Some("l".to_owned()),
        ..new.wish
    };
    new.intent = Intent::Pause;
    let id = store.insert_jobs(vec![new.clone()], 11).await.unwrap()[0];
    let identity = Identity {
        name: Some("a.iso".to_owned()),
        total_bytes: Some(1 << 40),
        accepts_ranges: Some(false),
        etag: Some("\"e\"".to_owned()),
        last_modified: Some("yesterday".to_owned()),
        final_url: Some("https://mirror/a".into()),
        mirror: MirrorIndex(1),
        digest: None,
    };
    let part = Part { name: "a.iso.0123abcd.haul-part".to_owned(), dev: u64::MAX, ino: 1 << 63 };
    store.set_opened(id, identity.clone(), 12).await.unwrap();
    store.set_opened(id, identity.clone(), 13).await.unwrap();
    store.set_part(id, Some(part.clone()), 14).await.unwrap();
    let answered = store.set_reason(id, Some(reason("dns")), 15).await.unwrap();
    let row = store.job(id).await.unwrap().unwrap();
    assert_eq!(answered, row);
    assert_eq!(row.wish, new.wish);
    assert_eq!(row.lifecycle, Lifecycle::accepted(Intent::Pause));
    assert_eq!(row.identity, identity);
    assert_eq!(row.part, Some(part));
    assert_eq!(row.reason, Some(reason("dns")));
    assert_eq!(row.part_token, "0123abcd");
    assert_eq!((row.created_at_ms, row.started_at_ms, row.updated_at_ms), (11, Some(12), 15));
    assert!(!format!("{row:?}").contains("token=1"));
    assert!(!format!("{row:?}").contains("canary"));
}

#[tokio::test]
async fn a_batch_with_one_impossible_job_is_refused_as_a_whole() {
    let world = World::new();
    let (store, _) = world.open("b");
    let mut bad = job("https://example.org/b");
    bad.part_token = "short".to_owned();
    let good = job("https://example.org/a");
    assert!(store.insert_jobs(vec![good, bad], 1).await.is_err());
    assert_eq!(list(&store, Filter::default()).await, [0_u64; 0]);
}

#[tokio::test]
async fn actions_follow_the_lifecycle() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    let (changed, row) = store.act(id, Action::Pause, 2).await.unwrap();
    assert_eq!((changed, row.lifecycle.intent), (Changed::Yes, Intent::Pause));
    let (changed, row) = store.act(id, Action::Pause, 3).await.unwrap();
    assert_eq!((changed, row.updated_at_ms), (Changed::No, 2));
    let failed = PhaseChange { reason: Some(reason("http-status")), ..to(Phase::Failed) };
    let (_, row) = store.set_phase(id, failed, 4).await.unwrap();
    assert_eq!(row.finished_at_ms, Some(4));
    let refused = store.act(id, Action::Resume, 5).await.unwrap_err();
    assert!(matches!(refused, ActError::Refused(Refusal::JobEnded(Phase::Failed), Phase::Failed)), "{refused:?}");
    let (_, row) = store.act(id, Action::Retry, 6).await.unwrap();
    assert_eq!(row.lifecycle, Lifecycle::accepted(Intent::Run));
    assert_eq!((row.reason, row.finished_at_ms), (None, None));
}

#[tokio::test]
async fn f_api_09_an_id_that_no_job_has_is_unknown_even_where_sqlite_cannot_hold_it() {
    let world = World::new();
    let (store, _) = world.open("b");
    for id in [JobId(0), JobId(7), JobId(u64::MAX)] {
        assert_eq!(store.job(id).await.unwrap(), None);
        assert!(matches!(store.act(id, Action::Pause, 1).await, Err(ActError::Unknown)));
        let patched = store.patch(id, JobPatch::default(), 1).await;
        assert!(matches!(patched, Err(UpdateError::Unknown)));
        assert!(store.delete_jobs(vec![id]).await.unwrap().is_empty());
        assert!(store.chunks(id).await.unwrap().is_empty());
        store.checkpoint(rows(id, &[chunk(0, 10, 5)])).await.unwrap();
    }
}

#[tokio::test]
async fn f_db_13_a_canceled_job_stays_so_and_keeps_no_secret() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    store.checkpoint(rows(id, &[chunk(0, 10, 5)])).await.unwrap();
    let (_, row) = store.act(id, Action::Cancel, 2).await.unwrap();
    assert_eq!((row.wish.headers, row.finished_at_ms), (None, Some(2)));
    let (changed, row) = store.set_phase(id, to(Phase::Completed), 3).await.unwrap();
    assert_eq!((changed, row.lifecycle.phase), (Changed::No, Phase::Canceled));
    store.checkpoint(rows(id, &[chunk(0, 10, 9)])).await.unwrap();
    let patch = JobPatch { headers: Some(Some("{}".into())), ..JobPatch::default() };
    assert_eq!(store.patch(id, patch, 4).await.unwrap().wish.headers, None);
    let row = store.set_reason(id, Some(reason("dns")), 5).await.unwrap();
    assert_eq!((row.reason, row.counts.durable_bytes), (None, 5));
}

#[tokio::test]
async fn f_db_13_a_completed_job_knows_its_path_and_keeps_no_secret_in_the_file() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    store.set_phase(id, to(Phase::Verifying), 2).await.unwrap();
    let change = PhaseChange {
        path: Some("/downloads/a".to_owned()),
        verification: Some("length".to_owned()),
        ..to(Phase::Completed)
    };
    store.set_phase(id, change, 3).await.unwrap();
    let (_, row) = store.set_phase(id, to(Phase::Failed), 4).await.unwrap();
    assert_eq!(row.lifecycle.phase, Phase::Completed);
    assert_eq!(row.path.as_deref(), Some("/downloads/a"));
    assert_eq!(row.verification.as_deref(), Some("length"));
    store.close().await.unwrap();
    let bytes = std::fs::read(world.path()).unwrap();
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|w| w == text);
    assert!(holds(b"/downloads/a"), "the row is in the file");
    assert!(!holds(b"canary"), "its secret is not");
}

#[tokio::test]
async fn two_live_jobs_never_share_a_final_name() {
    let world = World::new();
    let (store, _) = world.open("b");
    let (a, b) = (submitted(&store).await, submitted(&store).await);
    store.set_opened(a, named("x"), 1).await.unwrap();
    let taken = store.set_opened(b, named("x"), 1).await.unwrap_err();
    assert!(matches!(taken, UpdateError::NameTaken), "{taken:?}");
    store.set_opened(b, named("x (1)"), 1).await.unwrap();
    // A failed job can be retried, so it keeps its name; a canceled one does not.
    store.set_phase(a, to(Phase::Failed), 2).await.unwrap();
    let c = submitted(&store).await;
    let taken = store.set_opened(c, named("x"), 2).await.unwrap_err();
    assert!(matches!(taken, UpdateError::NameTaken), "{taken:?}");
    store.act(a, Action::Cancel, 3).await.unwrap();
    store.set_opened(c, named("x"), 3).await.unwrap();
    let mut elsewhere = job("https://example.org/d");
    elsewhere.wish.dir = "/other".to_owned();
    let d = store.insert_jobs(vec![elsewhere], 4).await.unwrap()[0];
    store.set_opened(d, named("x"), 4).await.unwrap();
}

#[tokio::test]
async fn a_name_that_is_reserved_stays_whatever_the_next_answer_calls_the_file() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    store.set_opened(id, named("x"), 1).await.unwrap();
    let row = store.set_opened(id, named("y"), 2).await.unwrap();
    assert_eq!(row.identity.name.as_deref(), Some("x"));
    let patch = JobPatch { filename: Some(Some("z".to_owned())), ..JobPatch::default() };
    store.patch(id, patch, 3).await.unwrap();
    let row = store.set_opened(id, named("x"), 4).await.unwrap();
    assert_eq!(row.identity.name.as_deref(), Some("z"));
}

#[tokio::test]
async fn the_same_is_inserted_once_unless_it_is_to_be_a_copy() {
    let world = World::new();
    let (store, _) = world.open("b");
    let like = |sameness: u8, on_duplicate: OnDuplicate| {
        let mut new = job("https://example.org/a");
        new.wish.sameness = Some([sameness; 16]);
        (new, on_duplicate)
    };
    let insert = async |new: Vec<(NewJob, OnDuplicate)>, gone: Vec<JobId>| {
        let inserted = store.insert_unless_same(new.into(), gone, 1).await.unwrap();
        let told = inserted.into_iter().map(|inserted| match inserted {
            Inserted::New(id) => ("new", id.0),
            Inserted::There(row) => ("there", row.id.0),
            Inserted::Rejected(id) => ("rejected", id.0),
        });
        told.collect::<Vec<_>>()
    };
    let (attach, copy, reject) = (OnDuplicate::Attach, OnDuplicate::Copy, OnDuplicate::Reject);
    let new = vec![like(1, attach.clone()), like(1, attach.clone()), like(2, reject.clone()), like(1, reject.clone())];
    assert_eq!(insert(new, vec![]).await, [("new", 1), ("there", 1), ("new", 2), ("rejected", 1)]);
    assert_eq!(insert(vec![like(1, copy), like(1, attach.clone())], vec![]).await, [("new", 3), ("there", 3)]);
    let unlike = (job("https://example.org/a"), attach.clone());
    assert_eq!(insert(vec![unlike.clone(), unlike], vec![]).await, [("new", 4), ("new", 5)]);
    // A complete one counts unless its file is gone; one that has ended without a file does not.
    let change = |phase| PhaseChange { phase, reason: None, path: None, verification: None };
    store.set_phase(JobId(2), change(Phase::Completed), 2).await.unwrap();
    assert_eq!(insert(vec![like(2, attach.clone())], vec![]).await, [("there", 2)]);
    assert_eq!(insert(vec![like(2, attach.clone())], vec![JobId(2)]).await, [("new", 6)]);
    store.act(JobId(6), Action::Cancel, 3).await.unwrap();
    store.hide_jobs(vec![JobId(2)], false, 3).await.unwrap();
    assert_eq!(insert(vec![like(2, attach)], vec![]).await, [("new", 7)]);
}

#[tokio::test]
async fn whoever_acts_on_a_job_that_starts_later_has_it_now() {
    let world = World::new();
    let (store, _) = world.open("b");
    let mut later = job("https://example.org/a");
    later.wish.start_at_ms = Some(9_000);
    let id = store.insert_jobs(vec![later], 1).await.unwrap()[0];
    assert_eq!(store.job(id).await.unwrap().unwrap().wish.start_at_ms, Some(9_000));
    let (changed, row) = store.act(id, Action::Resume, 2).await.unwrap();
    assert_eq!((changed, row.wish.start_at_ms), (Changed::Yes, None));
    assert_eq!(store.act(id, Action::Resume, 3).await.unwrap().0, Changed::No);
}

#[tokio::test]
async fn f_db_13_secrets_end_with_the_job() {
    let world = World::new();
    let (store, _) = world.open("b");
    let mut new = job("https://example.org/a");
    new.wish.secrets = Some("canary".into());
    new.wish.options = Some("{}".to_owned());
    let ids = store.insert_jobs(vec![new.clone(), new], 1).await.unwrap();
    let completed = PhaseChange { phase: Phase::Completed, reason: None, path: None, verification: None };
    store.set_phase(ids[0], completed, 2).await.unwrap();
    store.act(ids[1], Action::Cancel, 2).await.unwrap();
    for id in ids {
        let wish = store.job(id).await.unwrap().unwrap().wish;
        assert_eq!((wish.secrets, wish.options.as_deref()), (None, Some("{}")));
    }
}

#[tokio::test]
async fn a_failed_post_without_ranges_begins_anew() {
    let world = World::new();
    let (store, _) = world.open("b");
    let mut new = job("https://example.org/a");
    new.wish.once = true;
    let id = store.insert_jobs(vec![new], 1).await.unwrap()[0];
    store.set_opened(id, Identity { accepts_ranges: Some(false), ..named("x") }, 2).await.unwrap();
    store.checkpoint(rows(id, &[chunk(0, 10, 5)])).await.unwrap();
    let failed = PhaseChange { phase: Phase::Failed, reason: None, path: None, verification: None };
    store.set_phase(id, failed, 3).await.unwrap();
    let (_, row) = store.act(id, Action::Retry, 4).await.unwrap();
    assert_eq!((row.counts.done_bytes, row.started_at_ms, row.identity.accepts_ranges), (0, None, None));
    assert_eq!(row.identity.name.as_deref(), Some("x"));
    assert!(store.chunks(id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_hidden_job_is_out_of_sight_until_it_is_restored() {
    let world = World::new();
    let (store, _) = world.open("b");
    let (a, b) = (submitted(&store).await, submitted(&store).await);
    store.set_opened(a, named("x"), 1).await.unwrap();
    store.checkpoint(rows(a, &[chunk(0, 10, 5)])).await.unwrap();
    assert_eq!(store.hide_jobs(vec![a, JobId(9)], false, 2).await.unwrap().len(), 1);
    assert_eq!(store.hide_jobs(vec![a], false, 3).await.unwrap().len(), 0);
    assert_eq!(store.job(a).await.unwrap(), None);
    assert_eq!(list(&store, Filter::default()).await, [b.0]);
    assert_eq!(store.count_by_state().await.unwrap().iter().map(|c| c.1).sum::<u64>(), 1);
    assert_eq!(store.unfinished(None, 10).await.unwrap().len(), 1);
    assert!(matches!(store.act(a, Action::Cancel, 3).await, Err(ActError::Unknown)));
    assert_eq!(store.hidden_jobs().await.unwrap()[0].deleted_at_ms, Some(2));

    store.set_opened(b, named("x"), 3).await.unwrap();
    let restored = store.restore_jobs(vec![a, b], 4).await.unwrap();
    assert_eq!(restored.len(), 1);
    assert_eq!(restored[0].identity.name, None, "another job has reserved it");
    assert_eq!(store.job(a).await.unwrap().unwrap().counts.durable_bytes, 5);

    let gone = store.delete_jobs(vec![a, b]).await.unwrap();
    assert_eq!(gone.len(), 2);
    assert!(store.chunks(a).await.unwrap().is_empty());
    assert_eq!(submitted(&store).await, JobId(3), "ids are never reused");
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    let before = store.job(id).await.unwrap().unwrap().wish;
    let patch = JobPatch {
        url: Some(("https://b/".into(), "https://b:443".to_owned())),
        priority: Some(2),
        bandwidth_limit: Some(Some(100)),
        label: Some(Some("l".to_owned())),
        ..JobPatch::default()
    };
    let row = store.patch(id, patch, 2).await.unwrap();
    let expected = Wish {
        url: "https://b/".into(),
        host: "https://b:443".to_owned(),
        priority: 2,
        bandwidth_limit: Some(100),
        label: Some("l".to_owned()),
        ..before
    };
    assert_eq!(row.wish, expected);
    let patch = JobPatch { bandwidth_limit: Some(None), ..JobPatch::default() };
    let row = store.patch(id, patch, 3).await.unwrap();
    assert_eq!(row.wish, Wish { bandwidth_limit: None, ..expected });
}

#[tokio::test]
async fn f_db_14_pages_run_from_the_newest_down_and_miss_nothing() {
    let world = World::new();
    let (store, _) = world.open("b");
    let ids = store.insert_jobs(vec![job("https://example.org/a"); 25], 1).await.unwrap();
    for id in ids.iter().filter(|id| id.0 % 2 == 0) {
        store.act(*id, Action::Pause, 2).await.unwrap();
    }
    store.set_phase(ids[4], to(Phase::Failed), 3).await.unwrap();
    let filter = Filter {
        states: [(Phase::Fetching, Some(Intent::Run)), (Phase::Fetching, None)]
            .map(|(phase, intent)| StateFilter { phase, intent })
            .to_vec(),
        ..Filter::default()
    };
    let mut page = Page { after: None, order: Order::default(), limit: 10, filter };
    let mut seen = Vec::new();
    let mut pages = Vec::new();
    loop {
        let (rows, next) = store.jobs(page.clone()).await.unwrap();
        pages.push(rows.len());
        seen.extend(rows.iter().map(|row| row.id.0));
        page.after = next.clone();
        if next.is_none() {
            break;
        }
    }
    let expected: Vec<u64> = (1..=25).rev().filter(|id| *id != 5).collect();
    assert_eq!((seen, pages), (expected, vec![10, 10, 4]));
}

#[tokio::test]
async fn filters_find_literally_what_they_name() {
    let world = World::new();
    let (store, _) = world.open("b");
    let mut new =
        vec![job("https://example.org/100%_A"), job("https://example.org/100xyA"), job("https://other.org/b")];
    new[2].wish.host = "https://other.org:443".to_owned();
    new[2].wish.label = Some("music".to_owned());
    store.insert_jobs(new, 1).await.unwrap();
    store.set_opened(JobId(3), named("Song.ogg"), 2).await.unwrap();
    let q = |text: &str| Filter { q: Some(text.to_owned()), ..Filter::default() };
    assert_eq!(list(&store, q("100%_a")).await, [1]);
    assert_eq!(list(&store, q("song")).await, [3]);
    assert_eq!(list(&store, q("nowhere")).await, [0_u64; 0]);
    let host = Filter { host: Some(HOST.to_owned()), ..Filter::default() };
    assert_eq!(list(&store, host).await, [2, 1]);
    let label = Filter {
        label: Some("music".to_owned()),
        states: vec![StateFilter { phase: Phase::Fetching, intent: None }],
        ..Filter::default()
    };
    assert_eq!(list(&store, label).await, [3]);
}

#[tokio::test]
async fn an_action_on_all_passes_over_those_that_refuse() {
    let world = World::new();
    let (store, _) = world.open("b");
    let ids = store.insert_jobs(vec![job("https://example.org/a"); 5], 1).await.unwrap();
    store.set_phase(ids[1], to(Phase::Completed), 2).await.unwrap();
    store.act(ids[2], Action::Pause, 2).await.unwrap();
    store.hide_jobs(vec![ids[4]], false, 2).await.unwrap();
    let changed = store.act_all(Action::Pause, Filter::default(), 3).await.unwrap();
    assert_eq!(changed, [ids[0], ids[3]]);
    let counts = store.count_by_state().await.unwrap();
    let paused = Lifecycle::accepted(Intent::Pause);
    assert!(counts.contains(&(paused, 3)), "{counts:?}");
}

#[tokio::test]
async fn starting_over_forgets_the_bytes_and_the_source_but_not_the_name() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    let digest = Some("md5:00".to_owned());
    let identity = Identity { total_bytes: Some(10), etag: Some("\"e\"".to_owned()), digest, ..named("x") };
    store.set_opened(id, identity, 1).await.unwrap();
    store.checkpoint(rows(id, &[chunk(0, 10, 5)])).await.unwrap();
    let row = store.reset_chunks(id, true, 2).await.unwrap();
    assert_eq!((row.identity, row.restarts), (named("x"), 1));
    assert_eq!(row.counts, haul_store::Counts::default());
    assert!(store.chunks(id).await.unwrap().is_empty());
    assert_eq!(store.reset_chunks(id, false, 3).await.unwrap().restarts, 1);
}

#[tokio::test]
async fn the_digest_that_a_server_tells_is_kept_apart_and_never_replaces_the_users() {
    let world = World::new();
    let (store, _) = world.open("b");
    let told = Identity { digest: Some("sha-256:01".to_owned()), ..named("x") };
    let without = submitted(&store).await;
    let mut new = job("https://example.org/b");
    new.wish.checksum = Some("sha-256:02".to_owned());
    let with = store.insert_jobs(vec![new], 1).await.unwrap()[0];
    store.set_opened(without, told.clone(), 2).await.unwrap();
    store.set_opened(with, Identity { name: Some("y".to_owned()), ..told.clone() }, 2).await.unwrap();
    // Whatever else changes in the row leaves it alone.
    store.set_reason(without, Some(reason("dns")), 3).await.unwrap();
    drop(store);
    let (store, _) = world.open("b");
    let row = store.job(without).await.unwrap().unwrap();
    assert_eq!((row.wish.checksum, row.identity), (None, told));
    let row = store.job(with).await.unwrap().unwrap();
    assert_eq!((row.wish.checksum.as_deref(), row.identity.digest), (Some("sha-256:02"), None));
}

#[tokio::test]
async fn settings_are_kept() {
    let world = World::new();
    let (store, _) = world.open("b");
    let set = |value: &str| store.set_setting("limits".to_owned(), value.to_owned());
    assert_eq!(store.setting("limits".to_owned()).await.unwrap(), None);
    set("{}").await.unwrap();
    set(r#"{"a":1}"#).await.unwrap();
    drop(store);
    let (store, _) = world.open("b");
    let value = store.setting("limits".to_owned()).await.unwrap();
    assert_eq!(value.as_deref(), Some(r#"{"a":1}"#));
}

fn mirror(url: &str) -> Mirror {
    Mirror { url: url.into(), host: "https://m:443".to_owned(), priority: None }
}

#[tokio::test]
async fn mirrors_come_in_order_each_once_and_not_without_end() {
    let world = World::new();
    let (store, _) = world.open("b");
    let mut new = job("https://example.org/a");
    new.wish.mirrors = vec![mirror("https://m/1")];
    let id = store.insert_jobs(vec![new], 1).await.unwrap()[0];
    let more = ["https://m/2", "https://example.org/a", "https://m/1", "https://m/3", "https://m/2", "https://m/4"];
    let all = store.add_mirrors(id, more.map(mirror).to_vec(), 4).await.unwrap();
    let expected = ["https://m/1", "https://m/2", "https://m/3"].map(mirror);
    assert_eq!(all, expected);
    assert_eq!(store.job(id).await.unwrap().unwrap().wish.mirrors, expected);
    assert_eq!(store.unfinished(None, 10).await.unwrap()[0].row.wish.mirrors, expected);
    let page = Page { after: None, order: Order::default(), limit: 10, filter: Filter::default() };
    assert_eq!(store.jobs(page.clone()).await.unwrap().0[0].wish.mirrors, expected);

    // Each of several jobs has its own.
    let mut other = job("https://example.org/b");
    other.wish.mirrors = vec![mirror("https://m/1")];
    store.insert_jobs(vec![job("https://example.org/c"), other], 2).await.unwrap();
    let listed: Vec<_> = store.jobs(page).await.unwrap().0.into_iter().map(|row| row.wish.mirrors.len()).collect();
    assert_eq!(listed, [1, 0, 3]);

    store.delete_jobs(vec![id]).await.unwrap();
    assert!(matches!(store.add_mirrors(id, Vec::new(), 4).await, Err(UpdateError::Unknown)));
    let conn = rusqlite::Connection::open(world.path()).unwrap();
    let left: i64 = conn.query_row("SELECT count(*) FROM mirrors", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1, "they go with their job");
}

#[tokio::test]
async fn only_a_complete_job_is_taken_up_again_and_it_lacks_what_it_is_told() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    let part = |ino| Part { name: "a.part".to_owned(), dev: 1, ino };
    let both = JobRows {
        digests: [(0, 1), (100, 2)].into(),
        ..JobRows::new(id, vec![chunk(0, 100, 100), chunk(100, 200, 100)])
    };
    store.checkpoint(vec![both]).await.unwrap();
    let lacking = || JobRows::new(id, vec![chunk(0, 100, 100), chunk(100, 200, 0)]);
    let (changed, _) = store.reopen(lacking(), part(2), 3).await.unwrap();
    assert_eq!(changed, Changed::No, "it is not complete");

    let path = Some("/downloads/a".to_owned());
    let complete = PhaseChange { path, ..to(Phase::Completed) };
    store.set_phase(id, complete, 4).await.unwrap();
    store.set_verified(id, "found".to_owned(), 5).await.unwrap();
    let (changed, row) = store.reopen(lacking(), part(2), 6).await.unwrap();
    assert_eq!((changed, row.lifecycle.phase), (Changed::Yes, Phase::Fetching));
    assert_eq!((row.counts.done_bytes, row.counts.durable_bytes), (100, 100));
    assert_eq!((row.part, row.path.as_deref(), row.finished_at_ms), (Some(part(2)), Some("/downloads/a"), None));
    assert_eq!(row.verified.as_deref(), Some("found"));
    let stored = store.stored_job(id).await.unwrap().unwrap();
    assert_eq!(stored.digests.iter().map(|digest| digest.crc32c).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn where_a_checksum_is_and_the_digests_of_pieces_come_back() {
    let world = World::new();
    let (store, _) = world.open("b");
    let pieces = Pieces { kind: "sha-1".to_owned(), length: 5, digests: vec![1, 2, 3] };
    let mut new = job("https://example.org/a");
    new.wish.checksum_url = Some("https://example.org/SUMS?s3cret".into());
    new.pieces = Some(pieces.clone());
    let id = store.insert_jobs(vec![new.clone()], 1).await.unwrap()[0];
    let stored = store.stored_job(id).await.unwrap().unwrap();
    assert_eq!((stored.row.wish.checksum_url, stored.pieces), (new.wish.checksum_url, Some(pieces)));
    let row = store.set_checksum(id, "md5:00".to_owned(), 2).await.unwrap();
    assert_eq!(row.wish.checksum.as_deref(), Some("md5:00"));
    store.delete_jobs(vec![id]).await.unwrap();
}
