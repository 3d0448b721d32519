//! `Content-Range`, read from foreign bytes (RFC 9110 section 14.4; FAILURES F-RANGE-09).

use haul_core::ByteRange;

/// What a `Content-Range` header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// The body is this part of a file with this length, if the server knows it.
    Part {
        /// The bytes of the body.
        range: ByteRange,
        /// The length of the file.
        total: Option<u64>,
    },
    /// No byte of the range that was asked for exists; the file has this length.
    Unsatisfied {
        /// The length of the file.
        total: u64,
    },
}

impl ContentRange {
    /// Reads a header value.
    ///
    /// Tolerates `bytes:` and `bytes=`, which servers in the field send, and any case of the unit. Everything else
    /// that is not in the grammar, contradicts itself or does not fit 64 bits is `None`.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let rest = after_unit(value.trim_ascii())?;
        let slash = rest.iter().position(|&byte| byte == b'/')?;
        let (range, total) = (&rest[..slash], &rest[slash + 1..]);
        if range == b"*" {
            return Some(Self::Unsatisfied { total: number(total)? });
        }
        let dash = range.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (number(&range[..dash])?, number(&range[dash + 1..])?);
        let total = if total == b"*" { None } else { Some(number(total)?) };
        if first > last || total.is_some_and(|total| last >= total) {
            return None;
        }
        Some(Self::Part { range: ByteRange::new(first, last.checked_add(1)?), total })
    }
}

fn after_unit(value: &[u8]) -> Option<&[u8]> {
    let (unit, rest) = value.split_at_checked(5)?;
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    match rest.split_first()? {
        (b' ' | b'\t' | b':' | b'=', rest) => Some(rest.trim_ascii_start()),
        _ => None,
    }
}

/// Digits only: `FromStr` would take a sign.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(start: u64, end: u64, total: Option<u64>) -> Option<ContentRange> {
        let range = ByteRange::new(start, end);
        Some(ContentRange::Part { range, total })
    }

    #[test]
    fn f_range_09_the_grammar_and_two_slips_are_understood() {
        for (value, meaning) in [
            ("bytes 0-99/100", part(0, 100, Some(100))),
            ("bytes 5-5/*", part(5, 6, None)),
            ("bytes: 0-99/100", part(0, 100, Some(100))),
            ("bytes=0-99/100", part(0, 100, Some(100))),
            ("BYTES  0-9/10 ", part(0, 10, Some(10))),
            ("bytes */0", Some(ContentRange::Unsatisfied { total: 0 })),
        ] {
            assert_eq!(ContentRange::parse(value.as_bytes()), meaning, "{value}");
        }
    }

    #[test]
    fn f_range_09_all_else_is_rejected() {
        for value in [
            "",
            "bytes",
            "bytes ",
            "bytes0-1/2",
            "items 0-1/2",
            "bytes 0-1",
            "bytes 2-1/9",
            "bytes 0-10/10",
            "bytes +0-1/2",
            "bytes -1-1/2",
            "bytes 0-/2",
            "bytes -5/10",
            "bytes */*",
            "bytes 0 - 1/2",
            "bytes 0-1/2/3",
            "bytes 0-1,4-5/9",
            "bytes 0-18446744073709551615/*",
            "bytes 0-1/18446744073709551616",
            "bytes 0x0-1/2",
        ] {
            assert_eq!(ContentRange::parse(value.as_bytes()), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn f_range_09_random_bytes_neither_panic_nor_contradict(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                "bytes[ :=]{1,2}[0-9*]{1,22}-?[0-9]{0,22}/[0-9*]{0,22}".prop_map(String::into_bytes),
            ],
        ) {
            if let Some(ContentRange::Part { range, total }) = ContentRange::parse(&bytes) {
                prop_assert!(!range.is_empty());
                prop_assert!(total.is_none_or(|total| range.end <= total));
            }
        }

        #[test]
        fn f_range_09_what_a_server_writes_is_read(start: u32, len in 1..u32::MAX, more: u32) {
            let (start, len, more) = (u64::from(start), u64::from(len), u64::from(more));
            let total = start + len + more;
            let value = format!("bytes {start}-{}/{total}", start + len - 1);
            prop_assert_eq!(ContentRange::parse(value.as_bytes()), part(start, start + len, Some(total)));
        }
    }
}
