//! Verifying on demand: a file is read again and compared with what was received, chunk by chunk.
//!
//! A complete file is left alone unless it is to be repaired: then its job is taken up again, and what is bad is fetched
//! like anything that is missing. Of a file that is not complete, what is bad is dropped at once.

use std::sync::Arc;

use haul_api::{BadRange, Verified};
use haul_core::messages::Command;
use haul_core::{ByteRange, Fault, JobId, Phase, Refusal};
use haul_store::{JobRow, JobRows, Part, StoreError, StoredJob, UpdateError};
use haul_transfer::SealedFile;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Driver;
use super::check::Expected;
use super::follow::{Hasher, Pieces};
use super::handle::{Answer, DriverError};
use super::start::{final_name, span};
use super::sums::{self, Found};
use super::tasks::{Done, blocking};
use crate::convert::{now_ms, timestamp};
use crate::submit::Roots;

/// Ranges that are told at most; more are summed up in the last one.
const BAD_MAX: usize = 1000;

impl Driver {
    /// A user wants a job's file verified.
    pub(super) fn verify(&mut self, id: JobId, repair: bool, answer: Answer<JobRow>) {
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move { Done::ToVerify { repair, row: store.job(id).await, answer } }));
    }

    pub(super) fn asked_to_verify(
        &mut self,
        repair: bool,
        row: Result<Option<JobRow>, StoreError>,
        answer: Answer<JobRow>,
    ) {
        let row = match row {
            Ok(Some(row)) if row.lifecycle.phase == Phase::Canceled => Err(Refusal::JobEnded(Phase::Canceled).into()),
            Ok(Some(row)) => Ok(row),
            Ok(None) => Err(Refusal::UnknownJob.into()),
            Err(error) => Err(DriverError::from(error)),
        };
        if let Ok(row) = &row {
            self.begin_to_verify(row, repair);
        }
        answer.send(row).ok();
    }

    fn begin_to_verify(&mut self, row: &JobRow, repair: bool) {
        let id = row.id;
        let is_under_way = self.verifying.contains_key(&id);
        *self.verifying.entry(id).or_default() |= repair;
        self.announce(id);
        if is_under_way {
            return;
        }
        let Some(running) = self.jobs.get_mut(&id) else {
            self.load(id);
            return;
        };
        // It goes on once its rows have been compared.
        running.wanted_again = row.lifecycle.wants_to_run();
        self.command(Command::Release(id));
    }

    /// A job that is to be verified runs nowhere.
    pub(super) fn verify_stored(&mut self, stored: StoredJob) {
        match stored.row.lifecycle.phase {
            Phase::Completed => self.verify_complete(stored),
            Phase::Fetching | Phase::Verifying | Phase::Failed => self.take_up(stored),
            Phase::Canceled => self.not_verified(stored.row.id),
        }
    }

    fn verify_complete(&mut self, stored: StoredJob) {
        let id = stored.row.id;
        let repair = self.verifying.get(&id).copied().unwrap_or_default();
        let (store, roots, quit) = (self.store.clone(), Arc::clone(&self.roots), self.quit.clone());
        self.tasks.push(Box::pin(async move {
            let (stored, seen) = {
                let stored = Arc::new(stored);
                let looked_at = Arc::clone(&stored);
                (stored, blocking(move || look(&roots, &looked_at, &quit)).await)
            };
            let seen = match seen {
                Ok(seen) => seen,
                Err(fault) if fault == sums::stopping() => return Done::Verified { id },
                Err(fault) => {
                    warn!(job = id.0, %fault, "a file cannot be verified");
                    store_verified(&store, id, &verified(&Found::default(), 0, Some(fault.to_string()))).await;
                    return Done::Verified { id };
                }
            };
            store_verified(&store, id, &verified(&seen.found, seen.unchecked_bytes, seen.reason)).await;
            if repair && !seen.found.bad.is_empty() {
                return Done::Reopened { id, row: reopen(&store, &stored, seen.part, &seen.found.bad).await };
            }
            Done::Verified { id }
        }));
    }

    /// Stores what was found of a job's part file, if that was asked for.
    pub(super) fn note_verified(&mut self, id: JobId, found: &Found, unchecked_bytes: u64) {
        self.note_found(id, verified(found, unchecked_bytes, None));
    }

    /// Stores that a job's part file cannot be verified, if that was asked for.
    pub(super) fn note_unverified(&mut self, id: JobId, fault: &Fault) {
        self.note_found(id, verified(&Found::default(), 0, Some(fault.to_string())));
    }

    fn note_found(&mut self, id: JobId, verified: Verified) {
        if !self.verifying.contains_key(&id) {
            return;
        }
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            store_verified(&store, id, &verified).await;
            Done::Verified { id }
        }));
    }

    /// What was found is stored.
    pub(super) fn verified(&mut self, id: JobId) {
        self.verifying.remove(&id);
        self.announce(id);
    }

    /// Nothing can be found out about a job.
    pub(super) fn not_verified(&mut self, id: JobId) {
        if self.verifying.remove(&id).is_some() {
            self.announce(id);
        }
    }

    /// A complete job is to fetch some of its file again.
    pub(super) fn reopened(&mut self, id: JobId, row: Result<JobRow, UpdateError>) {
        self.verifying.remove(&id);
        match row {
            Ok(row) => {
                info!(job = id.0, done = row.counts.done_bytes, "a damaged file is repaired");
                if row.lifecycle.wants_to_run() {
                    self.load(id);
                }
            }
            Err(UpdateError::Unknown) => {}
            Err(error) => error!(job = id.0, %error, "a damaged file cannot be repaired"),
        }
        self.announce(id);
    }
}

/// What a complete file was found to be.
struct Seen {
    found: Found,
    unchecked_bytes: u64,
    /// The file, as it would be taken up again.
    part: Option<Part>,
    reason: Option<String>,
}

/// Compares a complete file with its rows, and with what it must be. Blocks.
fn look(roots: &Roots, stored: &StoredJob, quit: &CancellationToken) -> Result<Seen, Fault> {
    let row = &stored.row;
    let total = row.identity.total_bytes.unwrap_or(row.counts.done_bytes);
    let everything = ByteRange::new(0, total);
    let place = Arc::new(roots.open(std::path::Path::new(&row.wish.dir))?);
    let sealed = final_name(row).map(|name| SealedFile::open(&place, name)).transpose()?.flatten();
    let Some(sealed) = sealed else {
        let found = Found { bad: vec![everything], checked_bytes: 0 };
        let reason = Some("there is no file any more under the name that it got".to_owned());
        return Ok(Seen { found, unchecked_bytes: 0, part: row.part.clone(), reason });
    };
    let part = row.part.clone().map(|part| Part { dev: sealed.device, ino: sealed.inode, ..part });
    let pieces = stored.pieces.as_ref().and_then(Pieces::stored).map(Arc::new);
    let expected = Expected::of_row(row, pieces)?;
    let mut whole = expected.kind().map(Hasher::new);
    let mut found = Found::default();
    let mut unchecked_bytes = 0;
    for chunk in &stored.chunks {
        let digest = stored.digests.iter().find(|digest| digest.range == chunk.range).map(span);
        let also = |bytes: &[u8]| {
            if let Some(whole) = &mut whole {
                whole.update(bytes);
            }
        };
        match digest {
            Some(row) => {
                let compared = sums::compare(&sealed.file, &[row], quit, also)?;
                found.bad.extend(compared.bad);
                found.checked_bytes += compared.checked_bytes;
            }
            None if sums::read(&sealed.file, chunk.range, also).is_err() => found.bad.push(chunk.range),
            None => unchecked_bytes += chunk.range.len(),
        }
    }
    if sealed.len > total {
        found.bad.push(ByteRange::new(total, sealed.len));
    }
    let mut reason = None;
    if found.bad.is_empty()
        && let Some(matches) = expected.matches(whole.map(Hasher::finish).as_ref())
    {
        if matches {
            (found.checked_bytes, unchecked_bytes) = (total, 0);
        } else {
            // All that was compared is right, so it is in what could not be.
            let known = |chunk: &&haul_core::Chunk| !stored.digests.iter().any(|digest| digest.range == chunk.range);
            found.bad = stored.chunks.iter().filter(known).map(|chunk| chunk.range).collect();
            if found.bad.is_empty() {
                found.bad.push(everything);
            }
            reason = Some("its checksum does not match any more".to_owned());
        }
    }
    Ok(Seen { found, unchecked_bytes, part, reason })
}

/// Takes a complete job up again without the bytes that are bad.
async fn reopen(
    store: &haul_store::Store,
    stored: &StoredJob,
    part: Option<Part>,
    bad: &[ByteRange],
) -> Result<JobRow, UpdateError> {
    let part = part.ok_or(UpdateError::Unknown)?;
    let mut rows = stored.chunks.clone();
    for row in &mut rows {
        if bad.iter().any(|bad| bad.start < row.range.end && row.range.start < bad.end) {
            row.done = 0;
            row.state = haul_core::ChunkState::Ready;
        }
    }
    store.reopen(JobRows::new(stored.row.id, rows), part, now_ms()).await.map(|(_, row)| row)
}

fn verified(found: &Found, unchecked_bytes: u64, reason: Option<String>) -> Verified {
    let mut bad: Vec<BadRange> = Vec::new();
    for range in &found.bad {
        let is_full = bad.len() == BAD_MAX;
        match bad.last_mut() {
            Some(last) if last.end == range.start || is_full => last.end = range.end,
            Some(_) | None => bad.push(BadRange { start: range.start, end: range.end }),
        }
    }
    Verified { at: timestamp(now_ms()), checked_bytes: found.checked_bytes, unchecked_bytes, bad, reason }
}

async fn store_verified(store: &haul_store::Store, id: JobId, verified: &Verified) {
    let text = serde_json::to_string(verified).expect("plain data");
    match store.set_verified(id, text, now_ms()).await {
        // It was deleted meanwhile.
        Ok(_) | Err(UpdateError::Unknown) => {}
        Err(error) => error!(job = id.0, %error, "cannot store what was found of a file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_told_as_one_and_thousands_are_summed_up() {
        let range = |start, end| ByteRange::new(start, end);
        let told = |bad| verified(&Found { bad, checked_bytes: 9 }, 1, None);
        let three = told(vec![range(0, 5), range(5, 9), range(20, 30)]);
        assert_eq!(three.bad, [BadRange { start: 0, end: 9 }, BadRange { start: 20, end: 30 }]);
        assert_eq!((three.checked_bytes, three.unchecked_bytes), (9, 1));
        let many = told((0..3000).map(|n| range(n * 10, n * 10 + 5)).collect());
        assert_eq!(many.bad.len(), BAD_MAX);
        assert_eq!(many.bad.last().map(|last| last.end), Some(29_995));
    }
}
