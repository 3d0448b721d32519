//! Chunks and the sums over them.
//!
//! Marks only rise and ends only come nearer, so a row that was noted before a sync and arrives after a cut does no
//! harm: a range that has been cut stays cut.

use haul_core::{ByteRange, Chunk, ChunkState, JobId, MirrorIndex, Phase};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::{ChunkWord, Stored, Word, at_work, key};
use crate::{ChunkRow, JobRows, RowDigest};

/// Which mark a row's `done` sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It survives a power cut, and so it is written as well.
    Durable,
    /// It survives the end of the process.
    Written,
}

/// Stores changed rows and keeps the job's sums. Jobs that are gone, completed or canceled are passed over.
pub(crate) fn mark(conn: &Connection, job: &JobRows, mark: Mark) -> rusqlite::Result<()> {
    if !has_bytes_to_count(conn, job.job)? {
        return Ok(());
    }
    let mut change = Sums::default();
    for chunk in &job.rows {
        change.add(put(conn, job, chunk, mark)?);
    }
    if change.written > 0 {
        at_work::survived(conn, job.job)?;
    }
    conn.prepare_cached(ADD_SUMS)?.execute(named_params! {
        ":id": key(job.job),
        ":done": change.written,
        ":durable": change.durable,
        ":chunks_done": change.chunks_done,
        ":chunks_total": change.chunks_total,
    })?;
    Ok(())
}

/// Removes all rows of a job.
pub(crate) fn clear(conn: &Connection, job: JobId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM chunks WHERE job_id = ?1")?.execute([key(job)])?;
    conn.prepare_cached(CLEAR_SUMS)?.execute([key(job)]).map(drop)
}

/// Puts rows in the place of all that a job has: some have lost bytes, which no mark could say. What is durable of the
/// bytes that are left stays so.
pub(crate) fn rewrite(conn: &Connection, job: &JobRows) -> rusqlite::Result<()> {
    if !has_bytes_to_count(conn, job.job)? {
        return Ok(());
    }
    let before = all(conn, job.job)?;
    conn.prepare_cached("DELETE FROM chunks WHERE job_id = ?1")?.execute([key(job.job)])?;
    for chunk in &job.rows {
        let at = before.partition_point(|row| row.range.end <= chunk.range.start);
        let known = before.get(at);
        let durable_end = known.map_or(0, |row| row.range.start + row.durable);
        let same = known.filter(|row| row.range == chunk.range && chunk.missing() == 0);
        let digest = job.digests.get(&chunk.range.start).copied().or(same.and_then(|row| row.digest));
        let row = ChunkRow {
            durable: durable_end.saturating_sub(chunk.range.start).min(chunk.done),
            ..merged(None, chunk, digest, Mark::Written)
        };
        store(conn, job.job, &row)?;
    }
    conn.prepare_cached(COUNT_SUMS)?.execute([key(job.job)]).map(drop)
}

/// Takes back what is not durable, and answers with what is left.
pub(crate) fn roll_back(conn: &Connection, job: JobId) -> rusqlite::Result<Vec<Chunk>> {
    conn.prepare_cached(ROLL_BACK)?.execute([key(job)])?;
    conn.prepare_cached(COUNT_SUMS)?.execute([key(job)])?;
    Ok(all(conn, job)?.iter().map(reliable).collect())
}

/// The rows of a job in the order of the file.
pub(crate) fn all(conn: &Connection, job: JobId) -> rusqlite::Result<Vec<ChunkRow>> {
    conn.prepare_cached(SELECT_ALL)?.query_map([key(job)], read)?.collect()
}

/// Whether the job is there, and neither completed nor canceled.
fn has_bytes_to_count(conn: &Connection, job: JobId) -> rusqlite::Result<bool> {
    let phase = conn
        .prepare_cached("SELECT phase FROM jobs WHERE id = ?1")?
        .query_row([key(job)], |row| row.get::<_, Stored<Phase>>(0))
        .optional()?;
    Ok(matches!(phase, Some(Stored(Phase::Fetching | Phase::Verifying | Phase::Failed))))
}

/// What can be relied on, in the core's words.
pub(crate) fn reliable(row: &ChunkRow) -> Chunk {
    let mut chunk = Chunk::empty(row.range);
    chunk.done = row.written;
    chunk.retries = row.retries;
    chunk.strikes = row.strikes;
    chunk.mirror = row.mirror;
    if chunk.missing() == 0 {
        chunk.state = ChunkState::Done;
    }
    chunk
}

/// The digest of a row, where it is known.
pub(crate) fn digest(row: &ChunkRow) -> Option<RowDigest> {
    let is_durable = row.durable == row.range.len();
    row.digest.map(|crc32c| RowDigest { range: row.range, crc32c, is_durable })
}

/// The change of a job's sums.
#[derive(Default)]
struct Sums {
    written: i64,
    durable: i64,
    chunks_done: i64,
    chunks_total: i64,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.written += other.written;
        self.durable += other.durable;
        self.chunks_done += other.chunks_done;
        self.chunks_total += other.chunks_total;
    }
}

fn put(conn: &Connection, rows: &JobRows, chunk: &Chunk, mark: Mark) -> rusqlite::Result<Sums> {
    let (job, start) = (rows.job, chunk.range.start);
    let before = conn.prepare_cached(SELECT_ONE)?.query_row(params![key(job), start], read).optional()?;
    let after = merged(before, chunk, rows.digests.get(&start).copied(), mark);
    store(conn, job, &after)?;
    Ok(Sums {
        written: difference(before.map(|b| b.written), after.written),
        durable: difference(before.map(|b| b.durable), after.durable),
        chunks_done: i64::from(is_done(&after)) - i64::from(before.as_ref().is_some_and(is_done)),
        chunks_total: i64::from(before.is_none()),
    })
}

fn store(conn: &Connection, job: JobId, row: &ChunkRow) -> rusqlite::Result<()> {
    conn.prepare_cached(PUT)?
        .execute(named_params! {
            ":job_id": key(job),
            ":start": row.range.start,
            ":end_": row.range.end,
            ":durable": row.durable,
            ":written": row.written,
            ":state": row.state,
            ":retries": row.retries,
            ":strikes": row.strikes,
            ":mirror": row.mirror.0,
            ":digest": row.digest,
        })
        .map(drop)
}

fn merged(before: Option<ChunkRow>, chunk: &Chunk, digest: Option<u32>, mark: Mark) -> ChunkRow {
    let start = chunk.range.start;
    let end = before.map_or(chunk.range.end, |b| b.range.end.min(chunk.range.end));
    let range = ByteRange::new(start, end);
    let (durable, written) = before.map_or((0, 0), |b| (b.durable, b.written));
    // A row that knows of fewer bytes is older news, and may not know where the newer ones came from.
    let mirror = before.filter(|b| b.written > chunk.done).map_or(chunk.mirror, |b| b.mirror);
    let durable = match mark {
        Mark::Durable => durable.max(chunk.done),
        Mark::Written => durable,
    };
    // Of a prefix that reaches beyond the end, the rest belongs to the row behind it.
    let durable = durable.min(range.len());
    let written = written.max(chunk.done).min(range.len());
    // A digest is that of one range: a row that is about another one may not have it.
    let digest = digest.filter(|_| chunk.range == range).or(before.filter(|b| b.range == range).and_then(|b| b.digest));
    ChunkRow {
        range,
        durable,
        written,
        state: state(chunk.state, written == range.len()).word(),
        retries: chunk.retries.max(before.map_or(0, |b| b.retries)),
        strikes: chunk.strikes.max(before.map_or(0, |b| b.strikes)),
        mirror,
        digest: digest.filter(|_| written == range.len()),
    }
}

/// A row is done when its bytes are written; a mark that is behind the engine's state is still on its way.
fn state(engine: ChunkState, complete: bool) -> ChunkWord {
    if complete {
        return ChunkWord::Done;
    }
    match engine {
        ChunkState::Ready => ChunkWord::Ready,
        ChunkState::Backoff(_) => ChunkWord::Backoff,
        ChunkState::Active(_) | ChunkState::Done => ChunkWord::Active,
    }
}

fn is_done(row: &ChunkRow) -> bool {
    row.written == row.range.len()
}

/// Both are lengths of ranges that SQLite has taken, so they fit.
fn difference(before: Option<u64>, after: u64) -> i64 {
    after.cast_signed() - before.unwrap_or(0).cast_signed()
}

fn read(row: &Row<'_>) -> rusqlite::Result<ChunkRow> {
    let read = ChunkRow {
        range: ByteRange::new(row.get("start")?, row.get("end_")?),
        durable: row.get("durable")?,
        written: row.get("written")?,
        state: row.get::<_, Stored<ChunkWord>>("state")?.0.word(),
        retries: row.get("retries")?,
        strikes: row.get("strikes")?,
        mirror: MirrorIndex(row.get("mirror")?),
        digest: row.get("digest")?,
    };
    // A power cut takes the bytes, and leaves the digest behind.
    Ok(ChunkRow { digest: read.digest.filter(|_| is_done(&read)), ..read })
}

const SELECT_ONE: &str = "SELECT * FROM chunks WHERE job_id = ?1 AND start = ?2";

const SELECT_ALL: &str = "SELECT * FROM chunks WHERE job_id = ?1 ORDER BY start";

pub(super) const PUT: &str = "
    INSERT INTO chunks (job_id, start, end_, durable, written, state, retries, strikes, mirror, digest)
    VALUES (:job_id, :start, :end_, :durable, :written, :state, :retries, :strikes, :mirror, :digest)
    ON CONFLICT DO UPDATE SET
        end_ = excluded.end_, durable = excluded.durable, written = excluded.written, state = excluded.state,
        retries = excluded.retries, strikes = excluded.strikes, mirror = excluded.mirror,
        digest = excluded.digest";

const ROLL_BACK: &str = "
    UPDATE chunks SET written = durable, state = 'ready' WHERE job_id = ?1 AND written > durable";

const ADD_SUMS: &str = "
    UPDATE jobs SET
        done_bytes = done_bytes + :done, durable_bytes = durable_bytes + :durable,
        chunks_done = chunks_done + :chunks_done, chunks_total = chunks_total + :chunks_total,
        part_bytes = NULL, part_modified_ns = NULL, part_changed_ns = NULL -- the file is being written
    WHERE id = :id";

const COUNT_SUMS: &str = "
    UPDATE jobs SET (done_bytes, durable_bytes, chunks_done, chunks_total) = (
        SELECT ifnull(sum(written), 0), ifnull(sum(durable), 0), count(*) FILTER (WHERE state = 'done'), count(*)
        FROM chunks WHERE job_id = ?1
    ) WHERE id = ?1";

const CLEAR_SUMS: &str = "
    UPDATE jobs SET done_bytes = 0, durable_bytes = 0, chunks_done = 0, chunks_total = 0 WHERE id = ?1";
