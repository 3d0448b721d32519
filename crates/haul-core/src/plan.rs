//! The tiered chunk plan: how large the units of accounting, persistence and retry are.

use crate::ByteRange;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Below this, chunks are small so that even a short file feeds several workers.
const TIER_MIDDLE: u64 = 64 * MIB;

/// More rows than this cost more to keep than finer accounting is worth.
pub const CHUNKS_MAX: u64 = 4096;

/// The chunk size for a job of `total` bytes.
///
/// 1 MiB below 64 MiB, 4 MiB below 1 GiB, 16 MiB from there; it doubles from 64 GiB on, so that a job never
/// has more than [`CHUNKS_MAX`] chunks.
#[must_use]
pub fn chunk_bytes(total: u64) -> u64 {
    match total {
        0..TIER_MIDDLE => MIB,
        TIER_MIDDLE..GIB => 4 * MIB,
        GIB.. => {
            let mut size = 16 * MIB;
            while total.div_ceil(size) > CHUNKS_MAX {
                size *= 2;
            }
            size
        }
    }
}

/// Cuts `total` bytes into chunks, in order and without a gap.
pub fn chunks(total: u64) -> impl Iterator<Item = ByteRange> {
    let size = chunk_bytes(total);
    (0..total.div_ceil(size)).map(move |index| {
        let start = index * size;
        ByteRange::new(start, total.min(start.saturating_add(size)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tiers_are_1_4_and_16_mib() {
        for (total, size) in [
            (0, MIB),
            (64 * MIB - 1, MIB),
            (64 * MIB, 4 * MIB),
            (GIB - 1, 4 * MIB),
            (GIB, 16 * MIB),
            (64 * GIB, 16 * MIB),
            (64 * GIB + 1, 32 * MIB),
        ] {
            assert_eq!(chunk_bytes(total), size, "for {total} bytes");
        }
    }

    #[test]
    fn chunks_tile_the_file_and_are_never_too_many() {
        for total in [0, 1, MIB, MIB + 1, 70 * MIB - 3, 5 * GIB + 7, 1 << 50, u64::MAX] {
            let mut at = 0;
            let mut count = 0;
            for range in chunks(total) {
                assert_eq!(range.start, at);
                assert!(!range.is_empty());
                at = range.end;
                count += 1;
            }
            assert_eq!(at, total);
            assert!(count <= CHUNKS_MAX, "{count} chunks for {total} bytes");
        }
    }
}
