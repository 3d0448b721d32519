//! Whether a complete file has the digest that it must have.

use std::io::Read;

use haul_core::{Fault, FaultKind};
use haul_store::JobRow;
use haul_transfer::{Checksum, ChecksumKind, PartFile};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Sha256, Sha512};

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// The digest that a file must have.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    checksum: Checksum,
    named_by: NamedBy,
}

/// Who says that this is the file's digest.
#[derive(Clone, Copy, Debug)]
enum NamedBy {
    User,
    Server,
}

impl Expected {
    /// The one that the job's user has named, else the one that its server has told.
    pub(super) fn of(row: &JobRow) -> Result<Option<Self>, Fault> {
        let users = row.wish.checksum.as_deref().map(|text| (text, NamedBy::User));
        let servers = row.identity.digest.as_deref().map(|text| (text, NamedBy::Server));
        let Some((text, named_by)) = users.or(servers) else { return Ok(None) };
        let unreadable = |_| Fault::new(FaultKind::Internal, "the stored checksum cannot be read");
        Ok(Some(Self { checksum: text.parse().map_err(unreadable)?, named_by }))
    }

    fn fault(&self, actual: &Checksum, part: &PartFile) -> Fault {
        let kept = part.place().path().join(part.name());
        let (expected, kept) = (&self.checksum, kept.display());
        let detail = match self.named_by {
            NamedBy::User => {
                format!("the file's checksum is {actual}, expected was {expected}; the bytes are kept in {kept}")
            }
            NamedBy::Server => format!(
                "the file's checksum is {actual}, but the server said {expected} in its answer: the bytes were damaged on \
                 the way, or the server is wrong, and then a job with a `checksum` of your own is the way out; the bytes \
                 are kept in {kept}"
            ),
        };
        Fault::new(FaultKind::ChecksumMismatch, detail)
    }
}

/// Compares a complete file with its expected digest. Blocks.
pub(super) fn check(part: PartFile, expected: &Expected) -> Result<PartFile, Fault> {
    let actual = digest(part.file().reader(), expected.checksum.kind())
        .map_err(|error| part.file().fault(&error, "cannot read the file to check it"))?;
    if actual == expected.checksum { Ok(part) } else { Err(expected.fault(&actual, &part)) }
}

fn digest(mut file: impl Read, kind: ChecksumKind) -> std::io::Result<Checksum> {
    let mut hasher: Box<dyn DynDigest> = match kind {
        ChecksumKind::Md5 => Box::new(Md5::default()),
        ChecksumKind::Sha1 => Box::new(Sha1::default()),
        ChecksumKind::Sha256 => Box::new(Sha256::default()),
        ChecksumKind::Sha512 => Box::new(Sha512::default()),
    };
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(Checksum::new(kind, &hasher.finalize()).expect("each hasher stands beside its own kind"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_digest_is_computed() {
        for expected in [
            "md5:900150983cd24fb0d6963f7d28e17f72",
            "sha-1:a9993e364706816aba3e25717850c26c9cd0d89d",
            "sha-256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "sha-512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ] {
            let expected: Checksum = expected.parse().expect("a checksum");
            assert_eq!(digest(&b"abc"[..], expected.kind()).expect("readable"), expected);
        }
    }
}
