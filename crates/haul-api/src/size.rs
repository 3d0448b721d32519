//! Sizes and rates as people write them: `300KB`, `5MiB`, `1.5GB/s`.
//!
//! On the wire both are plain numbers; this form is for the configuration and the command line.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes.
///
/// Reads digits with an optional fraction and unit, where case does not matter and a space may
/// stand between: `KB` or `K` is 1,000, `KiB` is 1,024, and so on up to `TB` and `TiB`.
/// Prints the shortest form that reads back as the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

impl Size {
    /// The size for a progress line: three digits at most before the unit, `1.43 GB`.
    pub fn approx(self) -> String {
        approx(self.0)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_exact(self.0, f)
    }
}

impl FromStr for Size {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, ParseSizeError> {
        bytes(text).map(Self).map_err(|cause| ParseSizeError {
            cause,
            input: shown(text),
            examples: "`0`, `1048576`, `300KB`, `5MiB` or `1.5GB`",
        })
    }
}

/// A number of bytes per second, 0 for no limit.
///
/// Reads what [`Size`] reads, with an optional `/s`, and `none` or `off`. Prints as [`Size`] does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(pub u64);

impl Rate {
    /// The rate for a progress line: `1.43 MB/s`.
    pub fn approx(self) -> String {
        format!("{}/s", approx(self.0))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_exact(self.0, f)
    }
}

impl FromStr for Rate {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, ParseSizeError> {
        let trimmed = text.trim();
        if ["none", "off"].iter().any(|word| trimmed.eq_ignore_ascii_case(word)) {
            return Ok(Self(0));
        }
        let amount = trimmed.strip_suffix("/s").unwrap_or(trimmed);
        bytes(amount).map(Self).map_err(|cause| ParseSizeError {
            cause,
            input: shown(text),
            examples: "`300KB`, `5MiB/s`, `1.5GB` or `none`",
        })
    }
}

/// A text that is no size or rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` {cause}; write it as {examples}")]
pub struct ParseSizeError {
    input: String,
    cause: Cause,
    examples: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Cause {
    #[error("does not start with a number")]
    NoNumber,
    #[error("has an unknown unit")]
    UnknownUnit,
    #[error("is more than 18.4 million TB")]
    TooLarge,
}

fn bytes(text: &str) -> Result<u64, Cause> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(Cause::NoNumber);
    }
    let unit_bytes = unit_bytes(unit.trim_start()).ok_or(Cause::UnknownUnit)?;
    scaled(whole, fraction, unit_bytes).ok_or(Cause::TooLarge)
}

/// `whole.fraction * unit_bytes` without a float, rounded down to a byte.
fn scaled(whole: &str, fraction: &str, unit_bytes: u64) -> Option<u64> {
    // More digits than these are less than a byte in every unit.
    let fraction = &fraction[..fraction.len().min(18)];
    let digits = u32::try_from(fraction.len()).ok()?;
    let part = fraction.parse::<u128>().ok()? * u128::from(unit_bytes) / 10_u128.pow(digits);
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit_bytes)?;
    whole.checked_add(u64::try_from(part).ok()?)
}

fn unit_bytes(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    if matches!(unit.as_str(), "" | "b") {
        return Some(1);
    }
    UNITS
        .iter()
        .find(|(name, _)| {
            let name = name.to_ascii_lowercase();
            // `K` for `KB`, as curl and wget users type it; `Ki` stays unknown.
            name == unit || (name.len() == 2 && name.strip_suffix('b') == Some(&unit))
        })
        .map(|(_, bytes)| *bytes)
}

fn write_exact(bytes: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let unit = UNITS.iter().find(|(_, unit)| bytes != 0 && bytes.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) => write!(f, "{}{name}", bytes / unit),
        None => write!(f, "{bytes}"),
    }
}

fn approx(bytes: u64) -> String {
    // Only the decimal units: one line of progress must not mix two kinds.
    let unit = UNITS.iter().find(|(name, unit)| !name.contains('i') && bytes >= *unit);
    let Some((name, unit)) = unit else {
        return format!("{bytes} B");
    };
    let hundredths = u128::from(bytes) * 100 / u128::from(*unit);
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    match whole {
        0..10 => format!("{whole}.{rest:02} {name}"),
        10..100 => format!("{whole}.{} {name}", rest / 10),
        _ => format!("{whole} {name}"),
    }
}

/// What an error repeats of a text.
fn shown(text: &str) -> String {
    // A guess: longer than every size that anyone means.
    text.chars().take(40).collect()
}

/// Units from large to small, which is the order in which printing tries them.
const UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
];

/// Writes the type as text; reads text, or a whole number of bytes.
macro_rules! serde_as_text_or_number {
    ($($name:ident $expected:literal)+) => { $(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct TextOrNumber;

                impl Visitor<'_> for TextOrNumber {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<$name, E> {
                        Ok($name(bytes))
                    }

                    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<$name, E> {
                        u64::try_from(bytes).map($name).map_err(|_| {
                            E::invalid_value(de::Unexpected::Signed(bytes), &self)
                        })
                    }
                }

                deserializer.deserialize_any(TextOrNumber)
            }
        }
    )+ };
}

serde_as_text_or_number! {
    Size "a size such as \"5MiB\" or a number of bytes"
    Rate "a rate such as \"300KB\" or a number of bytes per second"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_read_as_written() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1_048_576),
            ("7B", 7),
            ("300KB", 300_000),
            ("300kb", 300_000),
            ("300k", 300_000),
            ("1KiB", 1024),
            ("5MiB", 5_242_880),
            ("5 MiB", 5_242_880),
            (" 2M ", 2_000_000),
            ("1.5GB", 1_500_000_000),
            ("0.5KiB", 512),
            ("1.0001KB", 1000),
            ("1TiB", 1_099_511_627_776),
            ("2TB", 2_000_000_000_000),
            ("0.00000000000000000000001TB", 0),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_examples() {
        for (text, cause) in [
            ("", "does not start with a number"),
            ("fast", "does not start with a number"),
            ("-1KB", "does not start with a number"),
            (".5MB", "does not start with a number"),
            ("1.MB", "does not start with a number"),
            ("1.2.3MB", "does not start with a number"),
            ("5 apples", "has an unknown unit"),
            ("1Ki", "has an unknown unit"),
            ("1KB/s", "has an unknown unit"),
            ("1e9", "has an unknown unit"),
            ("18446744073709551616", "is more than"),
            ("99999999TB", "is more than"),
        ] {
            let error = text.parse::<Size>().expect_err("no size").to_string();
            assert!(error.contains(cause), "{text}: {error}");
            assert!(error.contains("`300KB`"), "{text}: {error}");
        }
    }

    #[test]
    fn printing_is_exact_and_reads_back() {
        for (bytes, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1KB"),
            (1024, "1KiB"),
            (300_000, "300KB"),
            (5 << 20, "5MiB"),
            (1_500_000_000, "1500MB"),
            (u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
            assert_eq!(text.parse(), Ok(Size(bytes)));
        }
    }

    #[test]
    fn people_see_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 KB"),
            (12_345, "12.3 KB"),
            (999_999, "999 KB"),
            (1_430_000_000, "1.43 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(Size(bytes).approx(), text);
            assert_eq!(Rate(bytes).approx(), format!("{text}/s"));
        }
    }

    #[test]
    fn rates_take_a_second_and_none() {
        for (text, rate) in
            [("300KB", 300_000), ("300KB/s", 300_000), ("5 MiB/s", 5_242_880), ("0", 0), ("none", 0), ("off", 0)]
        {
            assert_eq!(text.parse(), Ok(Rate(rate)), "{text}");
        }
        assert_eq!(
            "8Mbit".parse::<Rate>().expect_err("bits").to_string(),
            "`8Mbit` has an unknown unit; write it as `300KB`, `5MiB/s`, `1.5GB` or `none`"
        );
    }

    #[test]
    fn configuration_may_hold_text_or_a_number() {
        for value in [json!("5MiB"), json!(5_242_880)] {
            let size: Size = serde_json::from_value(value).expect("a size");
            assert_eq!(size, Size(5 << 20));
        }
        assert_eq!(json!(Rate(300_000)), json!("300KB"));
        for value in [json!(-1), json!(1.5), json!(true), json!("x")] {
            assert!(serde_json::from_value::<Rate>(value).is_err());
        }
    }
}
