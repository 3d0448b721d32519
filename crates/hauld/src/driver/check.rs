//! Whether a complete file is the one that it must be.

use std::sync::Arc;

use haul_core::{ByteRange, Fault, FaultKind};
use haul_store::JobRow;
use haul_transfer::{Checksum, ChecksumKind, PartFile, Span};
use tokio_util::sync::CancellationToken;

use super::follow::{Follower, Pieces};
use super::running::Running;
use super::sums;

/// What the file must be, as far as anybody has told.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    checksum: Option<(Checksum, NamedBy)>,
    pieces: Option<Arc<Pieces>>,
}

/// Who says that this is the file's digest.
#[derive(Clone, Copy, Debug)]
enum NamedBy {
    User,
    Sidecar,
    Server,
}

/// Why a file cannot be sealed.
#[derive(Debug)]
pub(super) enum Unsealed {
    /// The world got in the way.
    Fault(Fault),
    /// It is not the file that it must be.
    Mismatched { fault: Fault, damaged: Vec<ByteRange> },
}

impl From<Fault> for Unsealed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Expected {
    /// What a running job's file must be.
    pub(super) fn of(running: &Running) -> Result<Self, Fault> {
        Self::of_row(&running.row, running.pieces.clone())
    }

    /// The digest that the job's user has named, else the one that its server has told; and the digests of its pieces.
    pub(super) fn of_row(row: &JobRow, pieces: Option<Arc<Pieces>>) -> Result<Self, Fault> {
        let by_user = if row.wish.checksum_url.is_some() { NamedBy::Sidecar } else { NamedBy::User };
        let users = row.wish.checksum.as_deref().map(|text| (text, by_user));
        let servers = row.identity.digest.as_deref().map(|text| (text, NamedBy::Server));
        let unreadable = |_| Fault::new(FaultKind::Internal, "the stored checksum cannot be read");
        let checksum = match users.or(servers) {
            Some((text, named_by)) => Some((text.parse().map_err(unreadable)?, named_by)),
            None => None,
        };
        Ok(Self { checksum, pieces })
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.checksum.is_none() && self.pieces.is_none()
    }

    pub(super) fn kind(&self) -> Option<ChecksumKind> {
        self.checksum.as_ref().map(|(checksum, _)| checksum.kind())
    }

    pub(super) fn follower(&self) -> Follower {
        Follower::new(self.kind(), self.pieces.clone())
    }

    /// Whether this is the digest that the file must have; `None` where nobody has told one.
    pub(super) fn matches(&self, whole: Option<&Checksum>) -> Option<bool> {
        self.checksum.as_ref().map(|(expected, _)| Some(expected) == whole)
    }

    fn fault(&self, actual: &Checksum, part: &PartFile) -> Fault {
        let kept = part.place().path().join(part.name());
        let kept = kept.display();
        let Some((expected, named_by)) = &self.checksum else { return damaged(part) };
        let detail = match named_by {
            NamedBy::User => {
                format!("the file's checksum is {actual}, expected was {expected}; the bytes are kept in {kept}")
            }
            NamedBy::Sidecar => format!(
                "the file's checksum is {actual}, but the file at `checksum_url` says {expected}; the bytes are kept in \
                 {kept}"
            ),
            NamedBy::Server => format!(
                "the file's checksum is {actual}, but the server said {expected} in its answer: the bytes were damaged on \
                 the way, or the server is wrong, and then a job with a `checksum` of your own is the way out; the bytes \
                 are kept in {kept}"
            ),
        };
        Fault::new(FaultKind::ChecksumMismatch, detail)
    }
}

/// What is known of a complete file when it is checked.
pub(super) struct Complete {
    pub(super) total: u64,
    pub(super) expected: Expected,
    /// Who has hashed some of it already.
    pub(super) follower: Option<Box<Follower>>,
    /// The digests of its rows.
    pub(super) rows: Vec<Span>,
}

/// Compares a complete file with what it must be, and where it is not that, with what was received. Blocks.
pub(super) fn check(part: PartFile, complete: Complete, quit: &CancellationToken) -> Result<PartFile, Unsealed> {
    let Complete { total, expected, follower, rows } = complete;
    if expected.pieces.as_ref().is_some_and(|pieces| !pieces.cover(total)) {
        let detail = format!("the file has {total} bytes, which is not what the digests of its pieces are for");
        return Err(Fault::new(FaultKind::ChecksumMismatch, detail).into());
    }
    let mut follower = follower.map_or_else(|| expected.follower(), |follower| *follower);
    if let Err(fault) = follower.follow(part.file(), total, quit) {
        let bad = sums::compare(part.file(), &rows, quit, |_| {})?.bad;
        if bad.is_empty() {
            return Err(fault.into());
        }
        return Err(Unsealed::Mismatched { fault: damaged(&part), damaged: bad });
    }
    let followed = follower.finish();
    if !followed.bad.is_empty() {
        let (bad, kept) = (followed.bad.len(), part.place().path().join(part.name()));
        let detail = format!(
            "{bad} of the file's pieces have not the digests that they must have; the bytes are kept in {}",
            kept.display()
        );
        let fault = Fault::new(FaultKind::ChecksumMismatch, detail);
        return Err(Unsealed::Mismatched { fault, damaged: followed.bad });
    }
    match followed.whole {
        Some(actual) if expected.matches(Some(&actual)) == Some(false) => {
            let fault = expected.fault(&actual, &part);
            let damaged = sums::compare(part.file(), &rows, quit, |_| {})?.bad;
            Err(Unsealed::Mismatched { fault, damaged })
        }
        Some(_) | None => Ok(part),
    }
}

fn damaged(part: &PartFile) -> Fault {
    let kept = part.place().path().join(part.name());
    let detail = format!("{} does not hold the bytes any more that were written to it", kept.display());
    Fault::new(FaultKind::ChecksumMismatch, detail)
}
