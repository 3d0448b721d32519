//! One job at a time: read, change, remove.

use std::collections::HashSet;

use haul_core::{Action, Changed, Intent, JobId, Lifecycle, MirrorIndex, Phase};
use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row, named_params};

use super::{Stored, Word, at_work, chunks, events, key, mirrors, validators};
use crate::{
    ActError, Counts, EventKind, Identity, JobPatch, JobRow, JobRows, Maker, Mirror, Part, PhaseChange, Private,
    Reason, Stamp, TokenId, UpdateError, Wish,
};

/// The names of all part files.
pub(crate) fn part_names(conn: &Connection) -> rusqlite::Result<HashSet<String>> {
    let mut names = conn.prepare_cached(PART_NAMES)?;
    names.query_map([], |row| row.get(0))?.collect()
}

/// The job, hidden or not.
pub(crate) fn get(conn: &Connection, id: JobId) -> rusqlite::Result<Option<JobRow>> {
    Ok(query(conn, SELECT, [key(id)])?.pop())
}

/// The jobs that a query for [`columns`] finds, with their mirrors.
pub(super) fn query(conn: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<Vec<JobRow>> {
    let mut rows: Vec<JobRow> = conn.prepare_cached(sql)?.query_map(params, read)?.collect::<rusqlite::Result<_>>()?;
    mirrors::fill(conn, &mut rows)?;
    Ok(rows)
}

/// The job, unless it is hidden.
pub(crate) fn get_visible(conn: &Connection, id: JobId) -> rusqlite::Result<Option<JobRow>> {
    Ok(get(conn, id)?.filter(|row| row.deleted_at_ms.is_none()))
}

/// Carries out an action on one job, as [`Lifecycle::apply`] rules.
pub(crate) fn act(conn: &Connection, id: JobId, action: Action, now_ms: i64) -> Result<(Changed, JobRow), ActError> {
    let mut row = get_visible(conn, id)?.ok_or(ActError::Unknown)?;
    let before = row.lifecycle;
    let changed = row.lifecycle.apply(action).map_err(|refusal| ActError::Refused(refusal, before.phase))?;
    // Whoever says something about a job that is to start later has another mind now.
    let waited = row.wish.start_at_ms.take().is_some();
    if changed == Changed::No && !waited {
        return Ok((changed, row));
    }
    let begins_anew = action == Action::Retry && before.phase == Phase::Failed && row.wish.once;
    if begins_anew && row.identity.accepts_ranges != Some(true) {
        // Its user wants the request sent once more.
        chunks::clear(conn, id)?;
        validators::clear(conn, id)?;
        row.identity = Identity { name: row.identity.name.take(), ..Identity::default() };
        row.started_at_ms = None;
    }
    if row.lifecycle.phase != before.phase {
        // Whoever tries a failed job again gives it all its chances again.
        row.restarts = 0;
        row.reason = None;
        row.finished_at_ms = (row.lifecycle.phase == Phase::Canceled).then_some(now_ms);
    }
    row.version += 1;
    save(conn, &mut row, now_ms)?;
    events::append(conn, id, now_ms, &events::of_action(action))?;
    at_work::survived(conn, id)?;
    if begins_anew {
        // Its counts are those of its rows.
        row = get(conn, id)?.ok_or(ActError::Unknown)?;
    }
    Ok((Changed::Yes, row))
}

/// Takes a step of the work, unless the job has ended meanwhile.
pub(crate) fn set_phase(
    conn: &Connection,
    id: JobId,
    change: PhaseChange,
    now_ms: i64,
) -> Result<(Changed, JobRow), UpdateError> {
    let mut row = get(conn, id)?.ok_or(UpdateError::Unknown)?;
    if matches!(row.lifecycle.phase, Phase::Completed | Phase::Canceled) {
        return Ok((Changed::No, row));
    }
    row.lifecycle.phase = change.phase;
    row.reason = change.reason;
    row.path = change.path.or(row.path);
    row.verification = change.verification.or(row.verification);
    row.finished_at_ms = match change.phase {
        Phase::Fetching | Phase::Verifying => None,
        Phase::Completed | Phase::Failed | Phase::Canceled => {
            at_work::survived(conn, id)?;
            Some(now_ms)
        }
    };
    if change.phase == Phase::Completed {
        // What was found earlier is not about this file.
        row.verified = None;
    }
    row.version += 1;
    save(conn, &mut row, now_ms)?;
    if let Some(kind) = events::of_phase(&row) {
        events::append(conn, id, now_ms, &kind)?;
    }
    Ok((Changed::Yes, row))
}

/// Takes a complete job up again, to fetch what these rows lack. Its file, as `part` tells it, may still have its final
/// name. Answers [`Changed::No`] where the job is not complete.
pub(crate) fn reopen(
    conn: &Connection,
    rows: &JobRows,
    part: Part,
    now_ms: i64,
) -> Result<(Changed, JobRow), UpdateError> {
    let mut row = get_visible(conn, rows.job)?.ok_or(UpdateError::Unknown)?;
    if row.lifecycle.phase != Phase::Completed {
        return Ok((Changed::No, row));
    }
    let before = row.counts.done_bytes;
    row.lifecycle = Lifecycle::accepted(Intent::Run);
    row.part = Some(part);
    row.stamp = None;
    row.verification = None;
    row.finished_at_ms = None;
    row.version += 1;
    save(conn, &mut row, now_ms)?;
    chunks::rewrite(conn, rows)?;
    let row = get(conn, rows.job)?.ok_or(UpdateError::Unknown)?;
    let dropped_bytes = before.saturating_sub(row.counts.done_bytes);
    events::append(conn, row.id, now_ms, &EventKind::BytesDropped { dropped_bytes })?;
    Ok((Changed::Yes, row))
}

/// Changes what a user wishes of a job.
pub(crate) fn patch(conn: &Connection, id: JobId, patch: JobPatch, now_ms: i64) -> Result<JobRow, UpdateError> {
    let before = get_visible(conn, id)?.ok_or(UpdateError::Unknown)?;
    if patch.expected.is_some_and(|expected| expected != before.version) {
        return Err(UpdateError::Changed);
    }
    if patch.filename.is_some() && !matches!(before.lifecycle.phase, Phase::Fetching | Phase::Failed) {
        return Err(UpdateError::Past(before.lifecycle.phase));
    }
    let edited = events::of_patch(&patch);
    let has_moved = patch.url.is_some();
    if has_moved {
        validators::clear_mirror(conn, id, MirrorIndex(0))?;
    }
    let row = edit(conn, id, now_ms, |row| {
        if let Some(Some(name)) = &patch.filename
            && row.identity.name.is_some()
        {
            // The name that was chosen before; the part file keeps its own.
            row.identity.name = Some(name.clone());
        }
        patch.apply(&mut row.wish);
        row.renewed |= has_moved && row.counts.done_bytes > 0;
        if has_moved && row.identity.mirror == MirrorIndex(0) {
            // What the URL before led to, and was told there, says nothing about the new one.
            (row.identity.etag, row.identity.last_modified, row.identity.final_url) = (None, None, None);
        }
    })?;
    if let Some(edited) = edited {
        events::append(conn, id, now_ms, &edited)?;
    }
    Ok(row)
}

/// Notes what the server said of the file, and the directory that follows from it, if one does; the first time is the job's
/// start.
pub(crate) fn set_opened(
    conn: &Connection,
    id: JobId,
    identity: Identity,
    dir: Option<String>,
    now_ms: i64,
) -> Result<JobRow, UpdateError> {
    let mut is_start = false;
    let row = edit(conn, id, now_ms, |row| {
        // A name that is reserved stays: its user may have changed it since the answer began.
        let name = row.identity.name.take().or(identity.name);
        row.identity = Identity { name, ..identity };
        row.wish.dir = dir.unwrap_or_else(|| std::mem::take(&mut row.wish.dir));
        is_start = row.started_at_ms.is_none();
        row.started_at_ms.get_or_insert(now_ms);
    })?;
    if is_start {
        let Identity { name, total_bytes, accepts_ranges, .. } = row.identity.clone();
        let started = EventKind::Started { filename: name, total_bytes, accepts_ranges };
        events::append(conn, id, now_ms, &started)?;
    }
    Ok(row)
}

/// Forgets what the server said of a file whose bytes are dropped, but for its name.
pub(crate) fn reset(conn: &Connection, id: JobId, is_restart: bool, now_ms: i64) -> Result<JobRow, UpdateError> {
    let dropped_bytes = get(conn, id)?.ok_or(UpdateError::Unknown)?.counts.done_bytes;
    chunks::clear(conn, id)?;
    validators::clear(conn, id)?;
    let row = edit(conn, id, now_ms, |row| {
        row.identity = Identity { name: row.identity.name.take(), ..Identity::default() };
        row.verification = None;
        row.renewed = false;
        row.restarts += u32::from(is_restart);
    })?;
    if is_restart {
        events::append(conn, id, now_ms, &EventKind::Restarted { restarts: row.restarts, dropped_bytes })?;
    } else if dropped_bytes > 0 {
        events::append(conn, id, now_ms, &EventKind::BytesDropped { dropped_bytes })?;
    }
    Ok(row)
}

/// Changes one row and stores it, as a new version.
pub(crate) fn edit(
    conn: &Connection,
    id: JobId,
    now_ms: i64,
    change: impl FnOnce(&mut JobRow),
) -> Result<JobRow, UpdateError> {
    edit_unseen(conn, id, now_ms, |row| {
        row.version += 1;
        change(row);
    })
}

/// Changes of one row what no client sees, and stores it.
pub(crate) fn edit_unseen(
    conn: &Connection,
    id: JobId,
    now_ms: i64,
    change: impl FnOnce(&mut JobRow),
) -> Result<JobRow, UpdateError> {
    let mut row = get(conn, id)?.ok_or(UpdateError::Unknown)?;
    change(&mut row);
    save(conn, &mut row, now_ms)?;
    Ok(row)
}

impl JobPatch {
    pub(crate) fn apply(self, wish: &mut Wish) {
        if let Some((url, host)) = self.url {
            wish.url = url;
            wish.host = host;
        }
        set(&mut wish.filename, self.filename);
        set(&mut wish.on_change, self.on_change);
        set(&mut wish.priority, self.priority);
        set(&mut wish.bandwidth_limit, self.bandwidth_limit);
        set(&mut wish.connections, self.connections);
        set(&mut wish.headers, self.headers);
        set(&mut wish.label, self.label);
        set(&mut wish.place, self.place);
        set(&mut wish.credentials, self.credentials);
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// Hides a job that is in the version that was expected.
pub(crate) fn hide_version(
    conn: &Connection,
    id: JobId,
    delete_files: bool,
    version: u64,
    now_ms: i64,
) -> Result<JobRow, UpdateError> {
    let row = get_visible(conn, id)?.ok_or(UpdateError::Unknown)?;
    if row.version != version {
        return Err(UpdateError::Changed);
    }
    hide(conn, &[id], delete_files, now_ms)?.pop().ok_or(UpdateError::Unknown)
}

/// Hides jobs, keeping their rows for a while.
pub(crate) fn hide(conn: &Connection, ids: &[JobId], delete_files: bool, now_ms: i64) -> rusqlite::Result<Vec<JobRow>> {
    let mut hide = conn.prepare_cached(HIDE)?;
    let mut hidden = Vec::new();
    for id in ids {
        if hide.execute(named_params! { ":id": key(*id), ":delete_files": delete_files, ":now": now_ms })? > 0 {
            hidden.extend(get(conn, *id)?);
            events::append(conn, *id, now_ms, &EventKind::Deleted)?;
        }
    }
    Ok(hidden)
}

/// Shows hidden jobs again. One whose name was reserved by another meanwhile comes back without a name.
pub(crate) fn restore(conn: &Connection, ids: &[JobId], now_ms: i64) -> Result<Vec<JobRow>, UpdateError> {
    let mut restored = Vec::new();
    for id in ids {
        let Some(mut row) = get(conn, *id)?.filter(|row| row.deleted_at_ms.is_some()) else {
            continue;
        };
        row.deleted_at_ms = None;
        row.version += 1;
        row.delete_files = false;
        match save(conn, &mut row, now_ms).map_err(UpdateError::from) {
            Err(UpdateError::NameTaken) => {
                row.identity.name = None;
                save(conn, &mut row, now_ms)?;
            }
            saved => saved?,
        }
        events::append(conn, *id, now_ms, &EventKind::Restored)?;
        restored.push(row);
    }
    Ok(restored)
}

/// Removes jobs with their chunks and their history, and tells what they were.
pub(crate) fn delete(conn: &Connection, ids: &[JobId]) -> rusqlite::Result<Vec<JobRow>> {
    let mut delete = conn.prepare_cached("DELETE FROM jobs WHERE id = ?1")?;
    let mut gone = Vec::new();
    for id in ids {
        gone.extend(get(conn, *id)?);
        delete.execute([key(*id)])?;
        events::forget(conn, *id)?;
    }
    Ok(gone)
}

/// Adds mirrors behind those that a job has, as long as they are new to it and it has no more than `max` with its own
/// URL. Answers with all that it has then.
pub(crate) fn add_mirrors(
    conn: &Connection,
    id: JobId,
    new: Vec<Mirror>,
    max: usize,
) -> Result<Vec<Mirror>, UpdateError> {
    let wish = get(conn, id)?.ok_or(UpdateError::Unknown)?.wish;
    let mut all = wish.mirrors;
    let before = all.len();
    for mirror in new {
        let is_known = mirror.url == wish.url || all.iter().any(|known| known.url == mirror.url);
        if !is_known && all.len() + 1 < max {
            all.push(mirror);
        }
    }
    mirrors::append(conn, id, &all[before..])?;
    Ok(all)
}

/// Stores all of a row but its mirrors, and its counts, which belong to the chunks. Secrets end with the job.
fn save(conn: &Connection, row: &mut JobRow, now_ms: i64) -> rusqlite::Result<()> {
    if matches!(row.lifecycle.phase, Phase::Completed | Phase::Canceled) {
        row.wish.headers = None;
        row.wish.secrets = None;
        row.wish.credentials = None;
    }
    row.updated_at_ms = now_ms;
    let (wish, identity) = (&row.wish, &row.identity);
    let reason = row.reason.as_ref();
    let part = row.part.as_ref();
    conn.prepare_cached(UPDATE)?.execute(named_params! {
        ":id": key(row.id),
        ":url": &*wish.url,
        ":host": wish.host,
        ":dir": wish.dir,
        ":filename": wish.filename,
        ":checksum": wish.checksum.clone().or_else(|| told_by_server(identity)),
        ":on_change": wish.on_change.word(),
        ":headers": wish.headers.as_deref(),
        ":credentials": wish.credentials.as_deref(),
        ":connections": wish.connections,
        ":bandwidth_limit": wish.bandwidth_limit,
        ":priority": wish.priority,
        ":label": wish.label,
        ":secrets": wish.secrets.as_deref(),
        ":start_at_ms": wish.start_at_ms,
        ":place": wish.place,
        ":phase": row.lifecycle.phase.word(),
        ":intent": row.lifecycle.intent.word(),
        ":reason_code": reason.map(|r| &r.code),
        ":reason_message": reason.map(|r| &r.message),
        ":reason_at_ms": reason.map(|r| r.at_ms),
        ":retry_at_ms": reason.and_then(|r| r.retry_at_ms),
        ":restarts": row.restarts,
        ":total_bytes": identity.total_bytes,
        ":accepts_ranges": identity.accepts_ranges,
        ":etag": identity.etag,
        ":last_modified": identity.last_modified,
        ":final_url": identity.final_url.as_deref(),
        ":source_mirror": identity.mirror.0,
        ":name": identity.name,
        ":path": row.path,
        ":part_name": part.map(|p| &p.name),
        ":part_dev": part.map(|p| p.dev.cast_signed()),
        ":part_ino": part.map(|p| p.ino.cast_signed()),
        ":part_bytes": row.stamp.map(|s| s.bytes),
        ":part_modified_ns": row.stamp.map(|s| s.modified_ns),
        ":part_changed_ns": row.stamp.map(|s| s.changed_ns),
        ":kept_part": row.kept_part,
        ":renewed": row.renewed,
        ":verification": row.verification,
        ":verified": row.verified,
        ":started_at_ms": row.started_at_ms,
        ":finished_at_ms": row.finished_at_ms,
        ":updated_at_ms": row.updated_at_ms,
        ":deleted_at_ms": row.deleted_at_ms,
        ":version": row.version,
        ":delete_files": row.delete_files,
    })?;
    Ok(())
}

/// What stands in the column `checksum` of a job whose user has named none.
fn told_by_server(identity: &Identity) -> Option<String> {
    identity.digest.as_ref().map(|digest| format!("{TOLD_BY_SERVER}{digest}"))
}

/// Reads a row of [`columns`], which has no mirrors. By position: looking each of the many names up costs ten times the
/// rest of a page.
fn read(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    // Fields are evaluated in the order in which they stand here, which is the order of the columns.
    let mut cells = Cells { row, at: 0 };
    Ok(JobRow {
        id: JobId(cells.next()?),
        wish: Wish {
            url: Private(cells.next()?),
            host: cells.next()?,
            mirrors: Vec::new(),
            dir: cells.next()?,
            filename: cells.next()?,
            expected_size: cells.next()?,
            checksum: cells.wish_checksum()?,
            on_conflict: cells.next::<Stored<_>>()?.0,
            on_change: cells.next::<Stored<_>>()?.0,
            headers: cells.private()?,
            referrer: cells.private()?,
            user_agent: cells.next()?,
            connections: cells.next()?,
            bandwidth_limit: cells.next()?,
            priority: cells.next()?,
            label: cells.next()?,
            checksum_url: cells.private()?,
            options: cells.next()?,
            secrets: cells.private()?,
            start_at_ms: cells.next()?,
            place: cells.next()?,
            sameness: cells.next()?,
            once: cells.next()?,
            credentials: cells.private()?,
        },
        maker: cells.maker()?,
        lifecycle: Lifecycle { phase: cells.next::<Stored<_>>()?.0, intent: cells.next::<Stored<_>>()?.0 },
        reason: cells.reason()?,
        restarts: cells.next()?,
        identity: Identity {
            name: cells.next()?,
            total_bytes: cells.next()?,
            accepts_ranges: cells.next()?,
            etag: cells.next()?,
            last_modified: cells.next()?,
            final_url: cells.private()?,
            mirror: MirrorIndex(cells.next()?),
            digest: cells.server_digest()?,
        },
        path: cells.next()?,
        part_token: cells.next()?,
        part: cells.part()?,
        stamp: cells.stamp()?,
        kept_part: cells.next()?,
        renewed: cells.next()?,
        verification: cells.next()?,
        verified: cells.next()?,
        counts: Counts {
            done_bytes: cells.next()?,
            durable_bytes: cells.next()?,
            chunks_done: cells.next()?,
            chunks_total: cells.next()?,
        },
        created_at_ms: cells.next()?,
        started_at_ms: cells.next()?,
        finished_at_ms: cells.next()?,
        updated_at_ms: cells.next()?,
        deleted_at_ms: cells.next()?,
        version: cells.next()?,
        delete_files: cells.next()?,
    })
}

/// The columns that [`read`] wants, in its order.
macro_rules! columns {
    () => {
        "id, url, host, dir, filename, expected_size, checksum, on_conflict, on_change, headers, referrer, user_agent, \
         connections, bandwidth_limit, priority, label, checksum_url, \
         options, secrets, start_at_ms, place, sameness, once, credentials, token_id, public_only, \
         phase, intent, reason_code, reason_message, reason_at_ms, \
         retry_at_ms, restarts, name, total_bytes, accepts_ranges, etag, last_modified, final_url, source_mirror, \
          checksum, path, \
         part_token, part_name, part_dev, part_ino, part_bytes, part_modified_ns, part_changed_ns, kept_part, renewed, \
         verification, verified, done_bytes, durable_bytes, chunks_done, chunks_total, \
         created_at_ms, started_at_ms, finished_at_ms, updated_at_ms, deleted_at_ms, version, delete_files"
    };
}
pub(super) use columns;

/// The cells of a row from left to right.
struct Cells<'a> {
    row: &'a Row<'a>,
    at: usize,
}

impl Cells<'_> {
    fn next<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        self.at += 1;
        self.row.get(self.at - 1)
    }

    fn private(&mut self) -> rusqlite::Result<Option<Private>> {
        Ok(self.next::<Option<String>>()?.map(Private))
    }

    fn wish_checksum(&mut self) -> rusqlite::Result<Option<String>> {
        Ok(self.next::<Option<String>>()?.filter(|text| !text.starts_with(TOLD_BY_SERVER)))
    }

    fn server_digest(&mut self) -> rusqlite::Result<Option<String>> {
        Ok(self.next::<Option<String>>()?.and_then(|text| text.strip_prefix(TOLD_BY_SERVER).map(str::to_owned)))
    }

    fn reason(&mut self) -> rusqlite::Result<Option<Reason>> {
        let (code, message, at_ms, retry_at_ms): (Option<String>, Option<String>, Option<i64>, _) =
            (self.next()?, self.next()?, self.next()?, self.next()?);
        // The three come together, as the schema demands.
        Ok(code.zip(message).zip(at_ms).map(|((code, message), at_ms)| Reason { code, message, at_ms, retry_at_ms }))
    }

    fn maker(&mut self) -> rusqlite::Result<Option<Maker>> {
        let (token, public_only): (Option<u64>, bool) = (self.next()?, self.next()?);
        Ok(token.map(|token| Maker { token: TokenId(token), public_only }))
    }

    fn part(&mut self) -> rusqlite::Result<Option<Part>> {
        let (name, dev, ino): (Option<String>, Option<i64>, Option<i64>) = (self.next()?, self.next()?, self.next()?);
        // The three come together, as the schema demands.
        let part = name.zip(dev).zip(ino);
        Ok(part.map(|((name, dev), ino)| Part { name, dev: dev.cast_unsigned(), ino: ino.cast_unsigned() }))
    }

    fn stamp(&mut self) -> rusqlite::Result<Option<Stamp>> {
        let (bytes, modified_ns, changed_ns): (Option<u64>, Option<i64>, Option<i64>) =
            (self.next()?, self.next()?, self.next()?);
        // The three come together, as the schema demands.
        let stamp = bytes.zip(modified_ns).zip(changed_ns);
        Ok(stamp.map(|((bytes, modified_ns), changed_ns)| Stamp { bytes, modified_ns, changed_ns }))
    }
}

/// What the column `checksum` begins with where the digest is the server's and not the user's.
const TOLD_BY_SERVER: &str = "server ";

const SELECT: &str = concat!("SELECT ", columns!(), " FROM jobs WHERE id = ?1");

const PART_NAMES: &str = "
    SELECT part_name FROM jobs WHERE part_name IS NOT NULL
    UNION SELECT kept_part FROM jobs WHERE kept_part IS NOT NULL";

pub(super) const UPDATE: &str = "
    UPDATE jobs SET
        url = :url, host = :host, dir = :dir, filename = :filename, checksum = :checksum, on_change = :on_change,
        headers = :headers, credentials = :credentials, secrets = :secrets, start_at_ms = :start_at_ms, place = :place,
        connections = :connections, bandwidth_limit = :bandwidth_limit, priority = :priority, label = :label, phase = :phase, intent = :intent,
        reason_code = :reason_code, reason_message = :reason_message, reason_at_ms = :reason_at_ms,
        retry_at_ms = :retry_at_ms, restarts = :restarts, total_bytes = :total_bytes,
        accepts_ranges = :accepts_ranges, etag = :etag, last_modified = :last_modified, final_url = :final_url,
        source_mirror = :source_mirror, name = :name, path = :path, part_name = :part_name, part_dev = :part_dev, part_ino = :part_ino,
        part_bytes = :part_bytes, part_modified_ns = :part_modified_ns, part_changed_ns = :part_changed_ns,
        kept_part = :kept_part, renewed = :renewed,
        verification = :verification, verified = :verified, started_at_ms = :started_at_ms, finished_at_ms = :finished_at_ms,
        updated_at_ms = :updated_at_ms, deleted_at_ms = :deleted_at_ms, version = :version, delete_files = :delete_files
    WHERE id = :id";

pub(super) const HIDE: &str = "
    UPDATE jobs SET deleted_at_ms = :now, delete_files = :delete_files, updated_at_ms = :now, version = version + 1
    WHERE id = :id AND deleted_at_ms IS NULL";
