//! The digests of a running job's chunks: what workers have summed up, put together row by row.
//!
//! A row's digest is made when the row is done, of what was received. Where workers' spans leave a gap, as where one broke
//! off in the middle or an earlier run has begun the row, only that gap is read back.

use std::collections::BTreeMap;

use haul_core::{ByteRange, Chunk, Fault, FaultKind};
use haul_store::RowDigest;
use haul_transfer::{DiskFile, Span};
use tokio_util::sync::CancellationToken;

use super::start::span;

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 256 << 10;

/// The most that one checkpoint reads back for the sake of digests. Rows of an older release have none; reading all of
/// them would hold the checkpoint up.
const READ_BACK_MAX: u64 = 64 << 20;

/// Spans that are kept: more than rows in work have, and a bound for a stream whose length nobody knows.
const SPANS_MAX: usize = 1 << 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// What workers have written of rows that are not done yet, by the first byte.
    spans: BTreeMap<u64, Span>,
    /// The digests of done rows, by the first byte.
    rows: BTreeMap<u64, Span>,
}

/// A row without a digest: what is known of it, and what is not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sketch(Vec<Stretch>);

#[derive(Debug, PartialEq, Eq)]
enum Stretch {
    Known(Span),
    Unknown(ByteRange),
}

impl Sums {
    pub(super) fn restored(digests: &[RowDigest]) -> Self {
        Self { spans: BTreeMap::new(), rows: digests.iter().map(|row| (row.range.start, span(row))).collect() }
    }

    /// Takes over what a worker has written.
    pub(super) fn note_spans(&mut self, spans: Vec<Span>) {
        self.spans.extend(spans.into_iter().map(|span| (span.start, span)));
        while self.spans.len() > SPANS_MAX {
            self.spans.pop_first();
        }
    }

    /// Takes over the digest of a done row.
    pub(super) fn note_row(&mut self, row: Span) {
        self.rows.insert(row.start, row);
        let within: Vec<u64> = self.spans.range(row.start..row.end).map(|(start, _)| *start).collect();
        for start in within {
            self.spans.remove(&start);
        }
    }

    /// Makes the digests of rows that are done, as far as nothing must be read for them.
    pub(super) fn note_done(&mut self, rows: &[Chunk]) {
        for row in rows {
            if self.lacks(row)
                && let Some(span) = self.sketch(row.range).known()
            {
                self.note_row(span);
            }
        }
    }

    /// What is known of those rows that are done and have no digest.
    pub(super) fn sketches(&self, rows: &[Chunk]) -> Vec<Sketch> {
        let mut left = READ_BACK_MAX;
        let sketches = rows.iter().filter(|row| self.lacks(row)).map(|row| self.sketch(row.range));
        sketches
            .take_while(|sketch| {
                left = left.saturating_sub(sketch.unknown_bytes());
                left > 0
            })
            .collect()
    }

    /// The digest of a row, if it is known.
    pub(super) fn of(&self, row: &Chunk) -> Option<u32> {
        let digest = self.rows.get(&row.range.start)?;
        (digest.end == row.range.end && row.missing() == 0).then_some(digest.crc32c)
    }

    /// The digests of all done rows, in the order of the file.
    pub(super) fn rows(&self) -> Vec<Span> {
        self.rows.values().copied().collect()
    }

    /// The digest of the whole file, where that of each row is known.
    pub(super) fn whole(&self, total: u64) -> Option<u32> {
        let mut rows = self.rows.values();
        let mut whole = *rows.next().filter(|first| first.start == 0)?;
        for row in rows {
            if row.start != whole.end {
                return None;
            }
            whole = whole.then(*row);
        }
        (whole.end == total).then_some(whole.crc32c)
    }

    /// Forgets what is not about these rows, some of which have lost bytes.
    pub(super) fn keep(&mut self, rows: &[Chunk]) {
        let kept = rows.iter().filter_map(|row| Some((row.range.start, self.of(row)?)));
        let kept: BTreeMap<u64, u32> = kept.collect();
        self.rows.retain(|start, span| kept.get(start) == Some(&span.crc32c));
        self.spans.clear();
    }

    fn lacks(&self, row: &Chunk) -> bool {
        row.missing() == 0 && !row.range.is_empty() && self.of(row).is_none()
    }

    fn sketch(&self, range: ByteRange) -> Sketch {
        let mut stretches = Vec::new();
        let mut at = range.start;
        for span in self.spans.range(range.start..range.end).map(|(_, span)| *span) {
            // Of two workers that raced, one has begun in the middle of what the other has summed up.
            if span.start < at || span.end > range.end {
                continue;
            }
            if span.start > at {
                stretches.push(Stretch::Unknown(ByteRange::new(at, span.start)));
            }
            stretches.push(Stretch::Known(span));
            at = span.end;
        }
        if at < range.end {
            stretches.push(Stretch::Unknown(ByteRange::new(at, range.end)));
        }
        Sketch(stretches)
    }
}

impl Sketch {
    /// The digest, if nothing has to be read.
    fn known(&self) -> Option<Span> {
        let mut sum: Option<Span> = None;
        for stretch in &self.0 {
            let Stretch::Known(span) = stretch else { return None };
            sum = Some(sum.map_or(*span, |sum| sum.then(*span)));
        }
        sum
    }

    fn unknown_bytes(&self) -> u64 {
        self.0.iter().map(|stretch| if let Stretch::Unknown(range) = stretch { range.len() } else { 0 }).sum()
    }

    /// The digest, with what is not known read back. Blocks.
    pub(super) fn complete(self, file: &DiskFile) -> Result<Span, Fault> {
        let mut sum: Option<Span> = None;
        for stretch in self.0 {
            let span = match stretch {
                Stretch::Known(span) => span,
                Stretch::Unknown(range) => read_back(file, range)?,
            };
            sum = Some(sum.map_or(span, |sum| sum.then(span)));
        }
        sum.ok_or_else(|| Fault::new(FaultKind::Internal, "a row without a byte has no digest"))
    }
}

fn read_back(file: &DiskFile, range: ByteRange) -> Result<Span, Fault> {
    let mut crc32c = 0;
    read(file, range, |bytes| crc32c = crc32c::crc32c_append(crc32c, bytes))
        .map_err(|error| file.fault(&error, "cannot read the part file"))?;
    Ok(Span { start: range.start, end: range.end, crc32c })
}

/// Reads a range from the front to the end. Blocks.
pub(super) fn read(file: &DiskFile, range: ByteRange, mut take: impl FnMut(&[u8])) -> std::io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    let mut at = range.start;
    while at < range.end {
        let len = usize::try_from(range.end - at).unwrap_or(READ_BYTES).min(READ_BYTES);
        file.read_exact_at(&mut buffer[..len], at)?;
        take(&buffer[..len]);
        at += len as u64;
    }
    Ok(())
}

/// What became of bytes since they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Those that are not there any more, or others in their place.
    pub(super) bad: Vec<ByteRange>,
    /// How many were compared with a digest.
    pub(super) checked_bytes: u64,
}

/// Compares rows with what a file holds. `also` sees every byte that could be read. Blocks.
///
/// What cannot be read is as bad as what is wrong: it is written anew.
///
/// # Errors
///
/// When it is told to stop, or when the disk says something that is not about these bytes.
pub(super) fn compare(
    file: &DiskFile,
    rows: &[Span],
    quit: &CancellationToken,
    mut also: impl FnMut(&[u8]),
) -> Result<Found, Fault> {
    let mut found = Found::default();
    for row in rows {
        if quit.is_cancelled() {
            return Err(stopping());
        }
        let range = ByteRange::new(row.start, row.end);
        let mut crc32c = 0;
        let read = read(file, range, |bytes| {
            crc32c = crc32c::crc32c_append(crc32c, bytes);
            also(bytes);
        });
        let is_good = match read {
            Ok(()) => crc32c == row.crc32c,
            Err(error) if is_about_the_bytes(&error) => false,
            Err(error) => return Err(file.fault(&error, "cannot read the file to check it")),
        };
        found.checked_bytes += range.len();
        if !is_good {
            found.bad.push(range);
        }
    }
    Ok(found)
}

/// The file is too short, or the disk cannot read these bytes.
fn is_about_the_bytes(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::UnexpectedEof
        || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// Why something that takes long was given up.
pub(super) fn stopping() -> Fault {
    Fault::new(FaultKind::Local, "the daemon is stopping")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn bytes(len: u64) -> Vec<u8> {
        (0..len).map(|n| (n % 251).to_le_bytes()[0]).collect()
    }

    fn span(bytes: &[u8], start: u64, end: u64) -> Span {
        let range = usize::try_from(start).expect("small")..usize::try_from(end).expect("small");
        Span { start, end, crc32c: crc32c::crc32c(&bytes[range]) }
    }

    fn done(start: u64, end: u64) -> Chunk {
        Chunk { done: end - start, ..Chunk::empty(ByteRange::new(start, end)) }
    }

    fn file(bytes: &[u8]) -> DiskFile {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file.into()
    }

    #[test]
    fn a_row_that_one_worker_has_written_needs_no_reading() {
        let bytes = bytes(2 * MIB);
        let mut sums = Sums::default();
        sums.note_spans(vec![span(&bytes, 0, MIB), span(&bytes, MIB, 2 * MIB)]);
        let rows = [done(0, 2 * MIB)];
        sums.note_done(&rows);
        assert_eq!(sums.of(&rows[0]), Some(crc32c::crc32c(&bytes)));
        assert!(sums.sketches(&rows).is_empty());
        assert!(sums.spans.is_empty(), "what is used is forgotten");
        assert_eq!(sums.of(&done(0, MIB)), None, "a digest is that of one range");
    }

    #[test]
    fn only_gaps_are_read_back_and_an_overlap_is_one() {
        let bytes = bytes(MIB);
        // Two workers raced from 500 on, and the front is of an earlier run.
        let mut sums = Sums::default();
        sums.note_spans(vec![span(&bytes, 100, 1000), span(&bytes, 500, 2000), span(&bytes, 3000, MIB)]);
        sums.note_spans(vec![span(&bytes, 2000, 3000)]);
        let rows = [done(0, MIB)];
        sums.note_done(&rows);
        assert_eq!(sums.of(&rows[0]), None);
        let sketches = sums.sketches(&rows);
        assert_eq!(sketches[0].unknown_bytes(), 100 + 1000);
        let file = file(&bytes);
        let whole = sketches.into_iter().next().expect("one row").complete(&file).expect("readable");
        assert_eq!(whole, span(&bytes, 0, MIB));
        sums.note_row(whole);
        assert_eq!(sums.of(&rows[0]), Some(whole.crc32c));
    }

    #[test]
    fn rows_that_have_lost_bytes_lose_their_digests() {
        let bytes = bytes(3 * MIB);
        let mut sums = Sums::default();
        for n in 0..3 {
            sums.note_row(span(&bytes, n * MIB, (n + 1) * MIB));
        }
        assert_eq!(sums.whole(3 * MIB), Some(crc32c::crc32c(&bytes)));
        let voided = Chunk::empty(ByteRange::new(MIB, 2 * MIB));
        sums.keep(&[done(0, MIB), voided, done(2 * MIB, 2 * MIB + 5), done(2 * MIB + 5, 3 * MIB)]);
        assert_eq!((sums.rows(), sums.whole(3 * MIB)), (vec![span(&bytes, 0, MIB)], None));
    }

    #[test]
    fn f_disk_09_changed_missing_and_unreadable_bytes_are_found_and_nothing_else() {
        let good = bytes(4 * MIB);
        let rows: Vec<Span> = (0..4).map(|n| span(&good, n * MIB, (n + 1) * MIB)).collect();
        let mut other = good.clone();
        other[usize::try_from(MIB).expect("small")] ^= 1;
        other.truncate(other.len() - 1);
        let quit = CancellationToken::new();
        let mut seen = 0;
        let found = compare(&file(&other), &rows, &quit, |bytes| seen += bytes.len()).expect("readable");
        assert_eq!(found.bad, [ByteRange::new(MIB, 2 * MIB), ByteRange::new(3 * MIB, 4 * MIB)]);
        assert_eq!(found.checked_bytes, 4 * MIB);
        assert!(seen >= 3 << 20);
        let fine = compare(&file(&good), &rows, &quit, |_| {}).expect("readable");
        assert_eq!(fine, Found { bad: Vec::new(), checked_bytes: 4 * MIB });
        quit.cancel();
        assert_eq!(compare(&file(&good), &rows, &quit, |_| {}), Err(stopping()));
    }
}
