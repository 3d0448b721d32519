//! Hashing a file while it is still being fetched: a follower reads what is there without a gap from the first byte on,
//! out of the page cache, so that little is left to be hashed when the last byte has come.

use std::sync::Arc;

use haul_core::{ByteRange, Fault, JobId};
use haul_transfer::{Checksum, ChecksumKind, DiskFile};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Sha256, Sha512};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Driver;
use super::check::Expected;
use super::sums::{self, READ_BYTES};
use super::tasks::{Done, blocking};

/// Following is worth a task from this many bytes on: a guess, some milliseconds of hashing.
const FOLLOW_FROM: u64 = 8 << 20;

/// Bytes that one task hashes at most, so that none takes longer than some 200 ms.
const FOLLOW_MAX: u64 = 64 << 20;

/// The digests of a file's pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pieces {
    /// Bytes of each piece but the last.
    length: u64,
    checksums: Vec<Checksum>,
}

impl Pieces {
    /// As they were stored; `None` where that cannot be read.
    pub(super) fn stored(stored: &haul_store::Pieces) -> Option<Self> {
        let kind = ChecksumKind::named(&stored.kind)?;
        let digests = stored.digests.chunks(kind.bytes());
        let checksums = digests.map(|digest| Checksum::new(kind, digest)).collect::<Option<_>>()?;
        Some(Self { length: stored.length, checksums })
    }

    fn of(&self, index: u64) -> Option<&Checksum> {
        self.checksums.get(usize::try_from(index).ok()?)
    }

    /// Whether they are those of a file of this size.
    pub(super) fn cover(&self, total: u64) -> bool {
        self.checksums.len() as u64 == total.div_ceil(self.length)
    }
}

/// A digest in the making.
pub(super) enum Hasher {
    Crc32c(u32),
    Blake3(Box<blake3::Hasher>),
    Other(ChecksumKind, Box<dyn DynDigest + Send>),
}

impl Hasher {
    pub(super) fn new(kind: ChecksumKind) -> Self {
        match kind {
            ChecksumKind::Crc32c => Self::Crc32c(0),
            ChecksumKind::Blake3 => Self::Blake3(Box::default()),
            ChecksumKind::Md5 => Self::Other(kind, Box::new(Md5::default())),
            ChecksumKind::Sha1 => Self::Other(kind, Box::new(Sha1::default())),
            ChecksumKind::Sha256 => Self::Other(kind, Box::new(Sha256::default())),
            ChecksumKind::Sha512 => Self::Other(kind, Box::new(Sha512::default())),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32c(crc32c) => *crc32c = crc32c::crc32c_append(*crc32c, bytes),
            Self::Blake3(hasher) => _ = hasher.update(bytes),
            Self::Other(_, hasher) => hasher.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Checksum {
        let checksum = match self {
            // As text it is written with the highest digit first.
            Self::Crc32c(crc32c) => Checksum::new(ChecksumKind::Crc32c, &crc32c.to_be_bytes()),
            Self::Blake3(hasher) => Checksum::new(ChecksumKind::Blake3, hasher.finalize().as_bytes()),
            Self::Other(kind, hasher) => Checksum::new(kind, &hasher.finalize()),
        };
        checksum.expect("each hasher stands beside its own kind")
    }
}

/// See the module.
pub(super) struct Follower {
    at: u64,
    whole: Option<Hasher>,
    pieces: Option<Arc<Pieces>>,
    /// That of the piece in which `at` lies.
    piece: Option<Hasher>,
    bad: Vec<ByteRange>,
}

/// What a follower has found at the end of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Followed {
    pub(super) whole: Option<Checksum>,
    /// Pieces that are not what they must be.
    pub(super) bad: Vec<ByteRange>,
}

impl Follower {
    pub(super) fn new(whole: Option<ChecksumKind>, pieces: Option<Arc<Pieces>>) -> Self {
        Self { at: 0, whole: whole.map(Hasher::new), pieces, piece: None, bad: Vec::new() }
    }

    /// Whether it makes the digest that is wanted.
    pub(super) fn fits(&self, wanted: Option<ChecksumKind>) -> bool {
        let kind = self.whole.as_ref().map(|hasher| match hasher {
            Hasher::Crc32c(_) => ChecksumKind::Crc32c,
            Hasher::Blake3(_) => ChecksumKind::Blake3,
            Hasher::Other(kind, _) => *kind,
        });
        kind == wanted
    }

    /// Hashes up to `until`. Blocks.
    pub(super) fn follow(&mut self, file: &DiskFile, until: u64, quit: &CancellationToken) -> Result<(), Fault> {
        let mut buffer = vec![0; READ_BYTES];
        while self.at < until {
            if quit.is_cancelled() {
                return Err(sums::stopping());
            }
            let len = usize::try_from(until - self.at).unwrap_or(READ_BYTES).min(READ_BYTES);
            let bytes = &mut buffer[..len];
            file.read_exact_at(bytes, self.at)
                .map_err(|error| file.fault(&error, "cannot read the file to check it"))?;
            self.take(bytes);
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        if let Some(whole) = &mut self.whole {
            whole.update(bytes);
        }
        let Some(pieces) = self.pieces.clone() else {
            self.at += bytes.len() as u64;
            return;
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let index = self.at / pieces.length;
            let end = index.saturating_add(1).saturating_mul(pieces.length);
            let len = usize::try_from(end - self.at).unwrap_or(rest.len()).min(rest.len());
            let (now, later) = rest.split_at(len);
            if let Some(expected) = pieces.of(index) {
                self.piece.get_or_insert_with(|| Hasher::new(expected.kind())).update(now);
            }
            self.at += len as u64;
            rest = later;
            if self.at == end {
                self.end_piece(&pieces, index);
            }
        }
    }

    fn end_piece(&mut self, pieces: &Pieces, index: u64) {
        let found = self.piece.take().map(Hasher::finish);
        if found.as_ref() != pieces.of(index) {
            self.bad.push(ByteRange::new(index * pieces.length, self.at));
        }
    }

    /// What was found, once it has come to the end of the file.
    pub(super) fn finish(mut self) -> Followed {
        if let Some(pieces) = self.pieces.clone()
            && self.piece.is_some()
        {
            self.end_piece(&pieces, self.at / pieces.length);
        }
        Followed { whole: self.whole.map(Hasher::finish), bad: self.bad }
    }
}

/// Where the follower of a job is.
#[derive(Default)]
pub(super) enum Following {
    /// There is none.
    #[default]
    None,
    /// It waits for more bytes.
    Here(Box<Follower>),
    /// It reads.
    Away,
    /// It reads what does not count any more.
    AwayInVain,
    /// It could not read. Sealing tries once more, and says what is wrong.
    Failed,
}

impl Following {
    pub(super) fn is_away(&self) -> bool {
        matches!(self, Self::Away | Self::AwayInVain)
    }

    /// Forgets what was hashed: bytes have been dropped.
    pub(super) fn forget(&mut self) {
        *self = if self.is_away() { Self::AwayInVain } else { Self::None };
    }

    pub(super) fn take(&mut self) -> Option<Box<Follower>> {
        match std::mem::take(self) {
            Self::Here(follower) => Some(follower),
            Self::None | Self::Away | Self::AwayInVain | Self::Failed => None,
        }
    }
}

impl Driver {
    /// Lets followers go on whose jobs have got on.
    pub(super) fn follow_all(&mut self) {
        let ids: Vec<JobId> = self.jobs.keys().copied().collect();
        for id in ids {
            if self.followers < self.followers_max {
                self.follow(id);
            }
        }
    }

    fn follow(&mut self, id: JobId) {
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        let can_follow = matches!(running.following, Following::None | Following::Here(_));
        let Some(part) = running.part.as_ref().filter(|_| can_follow) else { return };
        let file = Arc::clone(part.file());
        let Ok(expected) = Expected::of(running) else { return };
        if expected.is_nothing() {
            return;
        }
        let follower = running.following.take().filter(|follower| follower.fits(expected.kind()));
        let mut follower = follower.unwrap_or_else(|| Box::new(expected.follower()));
        let there = self.engine.done_until(id, follower.at);
        if there < follower.at.saturating_add(FOLLOW_FROM) {
            running.following = Following::Here(follower);
            return;
        }
        let until = there.min(follower.at + FOLLOW_MAX);
        running.following = Following::Away;
        self.followers += 1;
        let quit = self.quit.clone();
        self.tasks.push(Box::pin(async move {
            let followed = blocking(move || follower.follow(&file, until, &quit).map(|()| follower)).await;
            Done::Followed { id, followed }
        }));
    }

    pub(super) fn followed(&mut self, id: JobId, followed: Result<Box<Follower>, Fault>) {
        self.followers -= 1;
        let Some(running) = self.jobs.get_mut(&id) else { return };
        let counts = matches!(running.following, Following::Away);
        running.following = match followed {
            Ok(follower) if counts => Following::Here(follower),
            Err(fault) if counts => {
                debug!(job = id.0, %fault, "cannot hash a file while it is fetched");
                Following::Failed
            }
            Ok(_) | Err(_) => Following::None,
        };
        self.go_on_when_synced(id);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn hex(kind: ChecksumKind, bytes: &[u8]) -> String {
        let mut hasher = Hasher::new(kind);
        hasher.update(bytes);
        hasher.finish().to_string()
    }

    #[test]
    fn each_kind_of_digest_is_computed() {
        for expected in [
            "crc32c:364b3fb7",
            "md5:900150983cd24fb0d6963f7d28e17f72",
            "sha-1:a9993e364706816aba3e25717850c26c9cd0d89d",
            "sha-256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
            "sha-512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ] {
            let checksum: Checksum = expected.parse().expect("a checksum");
            assert_eq!(hex(checksum.kind(), b"abc"), expected);
        }
    }

    fn pieces(bytes: &[u8], length: usize) -> Arc<Pieces> {
        let checksums = bytes.chunks(length).map(|piece| {
            let mut hasher = Hasher::new(ChecksumKind::Sha1);
            hasher.update(piece);
            hasher.finish()
        });
        Arc::new(Pieces { length: length as u64, checksums: checksums.collect() })
    }

    #[test]
    fn whole_and_pieces_are_hashed_in_one_pass_in_whatever_steps() {
        let bytes: Vec<u8> = (0..1_000_003_u32).map(|n| (n % 253).to_le_bytes()[0]).collect();
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&bytes).expect("written");
        let (file, quit) = (DiskFile::from(file), CancellationToken::new());
        for (length, steps) in [(100_000, vec![1, 99_999, 100_000, 700_001]), (7, vec![]), (1 << 21, vec![5])] {
            let mut follower = Follower::new(Some(ChecksumKind::Sha256), Some(pieces(&bytes, length)));
            for until in steps.into_iter().chain([bytes.len() as u64]) {
                follower.follow(&file, until, &quit).expect("readable");
            }
            let whole = hex(ChecksumKind::Sha256, &bytes).parse().ok();
            assert_eq!(follower.finish(), Followed { whole, bad: Vec::new() }, "pieces of {length}");
        }
    }

    #[test]
    fn f_done_07_a_piece_that_does_not_match_is_named_alone() {
        let bytes = vec![7; 1000];
        let known = pieces(&bytes, 300);
        assert!(known.cover(1000) && !known.cover(900) && !known.cover(1201));
        let mut other = bytes;
        other[299] = 0;
        other[999] = 0;
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&other).expect("written");
        let file = DiskFile::from(file);
        let mut follower = Follower::new(None, Some(known));
        follower.follow(&file, 1000, &CancellationToken::new()).expect("readable");
        let bad = vec![ByteRange::new(0, 300), ByteRange::new(900, 1000)];
        assert_eq!(follower.finish(), Followed { whole: None, bad });
    }
}
