//! The bytes of a file, computed by position.
//!
//! The 8-byte word `i` of a seeded content is a splitmix64 output of seed and `i`, little endian. So
//! any range is produced without the rest, and two places or two seeds never look alike.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::{as_bytes, as_len};

/// What a file consists of. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Content {
    source: Source,
    len: u64,
    inverted: Vec<Range<u64>>,
}

#[derive(Clone, Debug)]
enum Source {
    Seeded(u64),
    Literal(Arc<[u8]>),
}

impl Content {
    /// Content of `len` bytes that are determined by `seed` and position alone.
    pub fn seeded(seed: u64, len: u64) -> Self {
        Self::of(Source::Seeded(mix(seed)), len)
    }

    /// Content that is exactly these bytes.
    pub fn literal(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Vec<u8> = bytes.into();
        let len = as_bytes(bytes.len());
        Self::of(Source::Literal(bytes.into()), len)
    }

    /// Content of 0 bytes.
    pub fn empty() -> Self {
        Self::seeded(0, 0)
    }

    fn of(source: Source, len: u64) -> Self {
        Self { source, len, inverted: Vec::new() }
    }

    /// The same content with every bit of `range` flipped: another version that shares most bytes.
    #[must_use]
    pub fn inverted(mut self, range: Range<u64>) -> Self {
        self.inverted.push(range);
        self
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Panics
    ///
    /// When the content ends before `buf` is full.
    pub fn read(&self, offset: u64, buf: &mut [u8]) {
        let end = offset + as_bytes(buf.len());
        assert!(end <= self.len, "bytes {offset}..{end} are beyond the {} bytes of the content", self.len);
        match &self.source {
            Source::Seeded(base) => generate(*base, offset, buf),
            Source::Literal(bytes) => buf.copy_from_slice(&bytes[as_len(offset)..as_len(end)]),
        }
        for range in &self.inverted {
            let (from, to) = (range.start.max(offset), range.end.min(end));
            if from < to {
                invert(&mut buf[as_len(from - offset)..as_len(to - offset)]);
            }
        }
    }

    /// All bytes at once, to compare with what was downloaded.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; as_len(self.len)];
        self.read(0, &mut bytes);
        bytes
    }

    /// The SHA-256 digest in lower-case hexadecimal, computed in small steps.
    pub fn sha256(&self) -> String {
        let mut digest = Sha256::new();
        let mut block = vec![0; 256 * 1024];
        let mut offset = 0;
        while offset < self.len {
            let step = as_len((self.len - offset).min(as_bytes(block.len())));
            self.read(offset, &mut block[..step]);
            digest.update(&block[..step]);
            offset += as_bytes(step);
        }
        let mut hex = String::with_capacity(64);
        for byte in digest.finalize() {
            write!(hex, "{byte:02x}").expect("a string takes everything");
        }
        hex
    }
}

/// Flips every bit.
pub(crate) fn invert(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}

/// Writes the words around `offset`, the first and the last perhaps only in part.
fn generate(base: u64, offset: u64, buf: &mut [u8]) {
    let skipped = as_len(offset % WORD);
    let lead = if skipped == 0 { 0 } else { buf.len().min(as_len(WORD) - skipped) };
    let (first, rest) = buf.split_at_mut(lead);
    first.copy_from_slice(&word(base, offset / WORD)[skipped..skipped + lead]);

    let mut index = offset.div_ceil(WORD);
    let (words, tail) = rest.as_chunks_mut::<8>();
    for out in words {
        *out = word(base, index);
        index += 1;
    }
    tail.copy_from_slice(&word(base, index)[..tail.len()]);
}

fn word(base: u64, index: u64) -> [u8; 8] {
    mix(base.wrapping_add(index.wrapping_mul(GOLDEN))).to_le_bytes()
}

/// The finalizer of splitmix64.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Bytes per generated word.
const WORD: u64 = 8;

/// The increment of splitmix64: 2^64 divided by the golden ratio, made odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_range_equals_the_same_part_of_the_whole() {
        let content = Content::seeded(3, 100).inverted(20..33);
        let all = content.bytes();
        for start in 0..100 {
            for end in start..=100 {
                let mut part = vec![0; end - start];
                content.read(as_bytes(start), &mut part);
                assert_eq!(part, all[start..end], "{start}..{end}");
            }
        }
    }

    #[test]
    fn seeds_and_places_differ() {
        let (one, two) = (Content::seeded(1, 4096), Content::seeded(2, 4096));
        let (one, two) = (one.bytes(), two.bytes());
        assert!(!one.chunks(8).any(|word| two.chunks(8).any(|w| w == word)));
        assert_ne!(one[..2048], one[2048..]);
    }

    #[test]
    fn inverting_changes_only_the_range() {
        let (plain, changed) = (Content::seeded(1, 64).bytes(), Content::seeded(1, 64).inverted(10..12).bytes());
        let differing: Vec<usize> = (0..64).filter(|&i| plain[i] != changed[i]).collect();
        assert_eq!(differing, [10, 11]);
    }

    #[test]
    fn the_digest_is_the_known_one() {
        assert_eq!(
            Content::literal("abc").sha256(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(Content::empty().sha256().starts_with("e3b0c44298fc1c14"));
    }
}
