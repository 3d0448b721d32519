//! Marks: what a chunk's row claims, and the sums over them.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::path::Path;

use common::{World, chunk, rows, submitted};
use haul_core::{ByteRange, Chunk, ChunkState, JobId, MirrorIndex, WorkerId};
use haul_store::{Counts, JobRows, Store};
use proptest::prelude::*;
use rusqlite::Connection;

async fn claims(store: &Store, id: JobId) -> Vec<(ByteRange, u64, u64, &'static str)> {
    let chunks = store.chunks(id).await.unwrap();
    chunks.iter().map(|c| (c.range, c.durable, c.written, c.state)).collect()
}

#[tokio::test]
async fn the_two_marks_are_independent_until_the_durable_one_overtakes() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    let range = ByteRange::new(0, 100);
    store.mark_written(rows(id, &[chunk(0, 100, 60)])).await.unwrap();
    assert_eq!(claims(&store, id).await, [(range, 0, 60, "ready")]);
    store.checkpoint(rows(id, &[chunk(0, 100, 40)])).await.unwrap();
    assert_eq!(claims(&store, id).await, [(range, 40, 60, "ready")]);
    store.checkpoint(rows(id, &[chunk(0, 100, 100)])).await.unwrap();
    assert_eq!(claims(&store, id).await, [(range, 100, 100, "done")]);
}

#[tokio::test]
async fn a_row_noted_before_a_cut_does_not_undo_the_cut() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    store.checkpoint(rows(id, &[chunk(0, 100, 10)])).await.unwrap();
    store.mark_written(rows(id, &[chunk(0, 50, 50), chunk(50, 100, 20)])).await.unwrap();
    let mut late = chunk(0, 100, 30);
    late.state = ChunkState::Active(WorkerId(1));
    store.checkpoint(rows(id, &[late])).await.unwrap();
    let expected = [(ByteRange::new(0, 50), 30, 50, "done"), (ByteRange::new(50, 100), 0, 20, "ready")];
    assert_eq!(claims(&store, id).await, expected);
    let counts = store.job(id).await.unwrap().unwrap().counts;
    let expected = Counts { done_bytes: 70, durable_bytes: 30, chunks_done: 1, chunks_total: 2 };
    assert_eq!(counts, expected);
}

#[tokio::test]
async fn what_an_unfinished_job_comes_back_with_makes_a_ledger() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    let mut troubled = chunk(100, 200, 7);
    (troubled.retries, troubled.strikes) = (4, 2);
    troubled.state = ChunkState::Backoff(haul_core::Time::from_millis(5));
    store.checkpoint(rows(id, &[chunk(0, 100, 100), troubled])).await.unwrap();
    assert_eq!(claims(&store, id).await[1].3, "backoff");
    let jobs = store.unfinished(None, 10).await.unwrap();
    let ledger = haul_core::Ledger::restored(200, &jobs[0].chunks).expect("rows that tile the file");
    assert_eq!((ledger.done_bytes(), ledger.counts()), (107, (1, 2)));
    let restored = ledger.chunk_at(150).unwrap();
    assert_eq!((restored.retries, restored.strikes), (4, 2));
    assert_eq!(jobs, [store.stored_job(id).await.unwrap().unwrap()]);
    assert!(store.unfinished(Some(id), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn rewritten_rows_have_lost_their_bytes_and_the_others_stay_durable() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    let of_mirror = |row: Chunk, mirror| Chunk { mirror: MirrorIndex(mirror), ..row };
    let first = [chunk(0, 100, 100), of_mirror(chunk(100, 200, 100), 1), chunk(200, 300, 60)];
    store.checkpoint(rows(id, &first)).await.unwrap();
    store.mark_written(rows(id, &[chunk(200, 300, 90)])).await.unwrap();

    let healed = [chunk(0, 100, 100), of_mirror(chunk(100, 200, 0), 1), chunk(200, 250, 50), chunk(250, 300, 40)];
    store.rewrite_chunks(JobRows::new(id, healed.to_vec())).await.unwrap();
    let expected = [(0, 100, 100, "done"), (100, 0, 0, "ready"), (200, 50, 50, "done"), (250, 10, 40, "ready")];
    let found = store.chunks(id).await.unwrap();
    let found: Vec<_> = found.iter().map(|c| (c.range.start, c.durable, c.written, c.state)).collect();
    assert_eq!(found, expected);
    let counts = store.job(id).await.unwrap().unwrap().counts;
    assert_eq!(counts, Counts { done_bytes: 190, durable_bytes: 160, chunks_done: 2, chunks_total: 4 });

    store.delete_jobs(vec![id]).await.unwrap();
    store.rewrite_chunks(JobRows::new(id, healed.to_vec())).await.unwrap();
    assert!(store.chunks(id).await.unwrap().is_empty(), "a job that is gone has no rows");
}

#[tokio::test]
async fn older_news_of_a_row_does_not_say_whose_its_newer_bytes_are() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    let of_mirror = |done, mirror| Chunk { mirror: MirrorIndex(mirror), ..chunk(0, 100, done) };
    store.mark_written(rows(id, &[of_mirror(50, 1)])).await.unwrap();
    store.checkpoint(rows(id, &[of_mirror(20, 0)])).await.unwrap();
    let stored = store.stored_job(id).await.unwrap().unwrap();
    assert_eq!((stored.chunks[0].done, stored.chunks[0].mirror), (50, MirrorIndex(1)));
}

fn with_digests(id: JobId, chunks: &[Chunk], digests: &[(u64, u32)]) -> JobRows {
    JobRows { digests: digests.iter().copied().collect(), ..JobRows::new(id, chunks.to_vec()) }
}

async fn digests(store: &Store, id: JobId) -> Vec<(u64, u32, bool)> {
    let stored = store.stored_job(id).await.unwrap().unwrap();
    stored.digests.iter().map(|digest| (digest.range.start, digest.crc32c, digest.is_durable)).collect()
}

#[tokio::test]
async fn a_digest_is_that_of_one_done_row_and_goes_with_its_bytes() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    let all = [chunk(0, 100, 100), chunk(100, 200, 100), chunk(200, 300, 60)];
    let early = with_digests(id, &all, &[(0, u32::MAX), (200, 7)]);
    store.mark_written(vec![early]).await.unwrap();
    assert_eq!(digests(&store, id).await, [(0, u32::MAX, false)], "a row that is not done has none");
    store.checkpoint(vec![with_digests(id, &all, &[(100, 5)])]).await.unwrap();
    assert_eq!(digests(&store, id).await, [(0, u32::MAX, true), (100, 5, true)], "older ones stay");
    store.mark_written(rows(id, &[chunk(0, 100, 100)])).await.unwrap();
    assert_eq!(digests(&store, id).await.len(), 2, "a mark without a digest takes none away");

    let healed = [chunk(0, 50, 50), chunk(50, 100, 50), chunk(100, 200, 100), chunk(200, 300, 0)];
    store.rewrite_chunks(with_digests(id, &healed, &[(0, 3)])).await.unwrap();
    assert_eq!(digests(&store, id).await, [(0, 3, true), (100, 5, true)], "rows that were cut are others");
}

#[tokio::test]
async fn a_power_cut_takes_the_digests_of_rows_that_it_took_bytes_of() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    store.checkpoint(vec![with_digests(id, &[chunk(0, 100, 100)], &[(0, 1)])]).await.unwrap();
    store.mark_written(vec![with_digests(id, &[chunk(100, 200, 100)], &[(100, 2)])]).await.unwrap();
    store.close().await.unwrap();
    let (store, _) = world.open("another boot");
    assert_eq!(digests(&store, id).await, [(0, 1, true)]);
}

#[tokio::test]
async fn f_disk_09_what_a_part_file_looks_like_at_rest_holds_until_the_next_mark() {
    let world = World::new();
    let (store, _) = world.open("b");
    let id = submitted(&store).await;
    let stamp = haul_store::Stamp { bytes: 7, modified_ns: -1, changed_ns: i64::MAX };
    let stored = async || store.job(id).await.unwrap().unwrap().stamp;
    store.note_at_rest(vec![(id, stamp), (JobId(99), stamp)], 5).await.unwrap();
    assert_eq!(stored().await, Some(stamp));
    store.mark_written(rows(id, &[chunk(0, 100, 1)])).await.unwrap();
    assert_eq!(stored().await, None);
    store.note_at_rest(vec![(id, stamp)], 6).await.unwrap();
    store.checkpoint(rows(id, &[chunk(0, 100, 2)])).await.unwrap();
    assert_eq!(stored().await, None);
}

#[derive(Clone, Debug)]
enum Step {
    Checkpoint(usize, Vec<Chunk>),
    Written(usize, Vec<Chunk>),
    Rewrite(usize, Vec<Chunk>),
    Reset(usize),
    Reboot,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let a_chunk = (0..6_u64, 1..=10_u64, 0..=10_u64, 0..3_u32).prop_map(|(slot, len, done, trouble)| {
        let range = ByteRange::new(slot * 10, slot * 10 + len);
        Chunk {
            done: done.min(len),
            retries: trouble,
            state: if trouble == 1 { ChunkState::Active(WorkerId(1)) } else { ChunkState::Ready },
            ..Chunk::empty(range)
        }
    });
    let chunks = || prop::collection::vec(a_chunk.clone(), 0..8);
    let step = prop_oneof![
        6 => (0..2_usize, chunks()).prop_map(|(job, rows)| Step::Checkpoint(job, rows)),
        6 => (0..2_usize, chunks()).prop_map(|(job, rows)| Step::Written(job, rows)),
        1 => (0..2_usize, chunks()).prop_map(|(job, rows)| Step::Rewrite(job, tiles(rows))),
        1 => (0..2_usize).prop_map(Step::Reset),
        1 => Just(Step::Reboot),
    ];
    prop::collection::vec(step, 1..20)
}

/// Rows that stand one behind the other, as those of an engine do.
fn tiles(mut rows: Vec<Chunk>) -> Vec<Chunk> {
    rows.sort_by_key(|row| row.range.start);
    rows.dedup_by_key(|row| row.range.start);
    rows
}

/// The sums as the rows have them, beside the sums as the jobs have them.
fn sums(path: &Path) -> Vec<([i64; 4], [i64; 4])> {
    let conn = Connection::open(path).unwrap();
    let mut statement = conn
        .prepare(
            "SELECT j.done_bytes, j.durable_bytes, j.chunks_done, j.chunks_total,
                ifnull(sum(c.written), 0), ifnull(sum(c.durable), 0),
                count(*) FILTER (WHERE c.written = c.end_ - c.start), count(c.start)
            FROM jobs j LEFT JOIN chunks c ON c.job_id = j.id GROUP BY j.id ORDER BY j.id",
        )
        .unwrap();
    let four = |row: &rusqlite::Row<'_>, at: usize| -> rusqlite::Result<[i64; 4]> {
        Ok([row.get(at)?, row.get(at + 1)?, row.get(at + 2)?, row.get(at + 3)?])
    };
    statement.query_map([], |row| Ok((four(row, 0)?, four(row, 4)?))).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_sums_of_a_job_are_the_sums_of_its_rows(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let world = World::new();
        let (mut store, _) = world.open("0");
        let ids = [(); 2].map(|()| runtime.block_on(submitted(&store)));
        let mut boots = 0;
        for step in steps {
            match step {
                Step::Checkpoint(job, chunks) => {
                    runtime.block_on(store.checkpoint(rows(ids[job], &chunks))).unwrap();
                }
                Step::Written(job, chunks) => {
                    runtime.block_on(store.mark_written(rows(ids[job], &chunks))).unwrap();
                }
                Step::Rewrite(job, rows) => {
                    runtime.block_on(store.rewrite_chunks(JobRows::new(ids[job], rows))).unwrap();
                }
                Step::Reset(job) => {
                    runtime.block_on(store.reset_chunks(ids[job], false, 1)).unwrap();
                }
                Step::Reboot => {
                    boots += 1;
                    drop(store);
                    store = world.open(&boots.to_string()).0;
                }
            }
            for (stored, counted) in sums(&world.path()) {
                prop_assert_eq!(stored, counted);
            }
        }
    }
}
