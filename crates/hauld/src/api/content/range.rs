//! Which bytes a reader asks for (RFC 9110, section 14).

/// What a `Range` header means for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it: there is no header, it is not one that we know, or it names several ranges.
    All,
    /// These bytes, the end excluded; at least one.
    Part(u64, u64),
    /// Bytes that the file does not have.
    Beyond,
}

/// Reads a `Range` header for a file of `total` bytes.
pub(super) fn asked(header: &str, total: u64) -> Asked {
    let Some((unit, range)) = header.split_once('=') else { return Asked::All };
    let Some((first, last)) = range.split_once('-').filter(|_| unit.eq_ignore_ascii_case("bytes")) else {
        return Asked::All;
    };
    let (start, end) = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1)),
        (Some(first), None) if last.is_empty() => (first, u64::MAX),
        (None, Some(0)) if first.is_empty() => return Asked::Beyond,
        (None, Some(suffix)) if first.is_empty() => (total.saturating_sub(suffix), u64::MAX),
        (Some(_) | None, Some(_) | None) => return Asked::All,
    };
    if start >= total { Asked::Beyond } else { Asked::Part(start, end.min(total)) }
}

/// A number of digits; one that is too large is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_served_and_what_is_not_understood_is_ignored() {
        for (header, meaning) in [
            ("bytes=0-9", Asked::Part(0, 10)),
            ("Bytes = 5-", Asked::All),
            ("BYTES=5-", Asked::Part(5, 100)),
            ("bytes=-7", Asked::Part(93, 100)),
            ("bytes=-1000", Asked::Part(0, 100)),
            ("bytes=99-99", Asked::Part(99, 100)),
            ("bytes=0-18446744073709551615", Asked::Part(0, 100)),
            ("bytes=0-99999999999999999999", Asked::Part(0, 100)),
            ("bytes=100-", Asked::Beyond),
            ("bytes=99999999999999999999-", Asked::Beyond),
            ("bytes=-0", Asked::Beyond),
            ("", Asked::All),
            ("bytes=", Asked::All),
            ("bytes=-", Asked::All),
            ("bytes=9-5", Asked::All),
            ("bytes=0-1,5-6", Asked::All),
            ("bytes=a-b", Asked::All),
            ("bytes=+1-2", Asked::All),
            ("items=0-9", Asked::All),
        ] {
            assert_eq!(asked(header, 100), meaning, "{header}");
        }
        assert_eq!(asked("bytes=0-", 0), Asked::Beyond);
        assert_eq!(asked("bytes=-5", 0), Asked::Beyond);
    }
}
