//! What a job says its bytes are: the digest of the file, where that is to be had, and the digests of its pieces.

use haul_api::{Pieces, Problem, SubmitJob};
use haul_store::Private;
use haul_transfer::{Checksum, ChecksumKind};

use super::{invalid, url};

/// A digest in its one spelling.
pub(super) fn checksum(text: &str) -> Result<String, Problem> {
    let checksum = text.trim().parse::<Checksum>().map_err(|problem| invalid("checksum", problem.to_string()))?;
    Ok(checksum.to_string())
}

/// Where the digest is to be had, which is not needed where it is named.
pub(super) fn checksum_url(job: &SubmitJob) -> Result<Option<Private>, Problem> {
    let Some(text) = &job.checksum_url else { return Ok(None) };
    if job.checksum.is_some() {
        let detail = "give either the `checksum` or the `checksum_url` that tells it, not both".to_owned();
        return Err(invalid("checksum_url", detail));
    }
    url("checksum_url", text).map(|url| Some(Private(url.into())))
}

/// Digests of pieces as they are stored.
pub(super) fn pieces(given: &Pieces, size: Option<u64>) -> Result<haul_store::Pieces, Problem> {
    let kind = ChecksumKind::named(&given.kind).ok_or_else(|| {
        let detail = "`pieces.kind` must be `sha-256`, `sha-512`, `blake3`, `sha-1`, `md5` or `crc32c`".to_owned();
        invalid("pieces.kind", detail)
    })?;
    if given.length == 0 || i64::try_from(given.length).is_err() {
        return Err(invalid("pieces.length", "`pieces.length` must be a number of bytes from 1 on".to_owned()));
    }
    let mut digests = Vec::new();
    for (index, digits) in given.digests.iter().enumerate() {
        let field = format!("pieces.digests[{index}]");
        let digest = Checksum::from_hex(kind, digits).ok_or_else(|| {
            invalid(&field, format!("`{field}` must be {} hexadecimal digits for {kind}", kind.bytes() * 2))
        })?;
        digests.extend(digest.digest());
    }
    let number = given.digests.len() as u64;
    if size.is_some_and(|size| number != size.div_ceil(given.length)) {
        let detail = format!("{number} pieces of {} bytes do not make a file of this `size`", given.length);
        return Err(invalid("pieces.digests", detail));
    }
    Ok(haul_store::Pieces { kind: kind.to_string(), length: given.length, digests })
}
