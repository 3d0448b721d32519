//! Digests that a file must have: their kinds, and the spelling `sha-256:hex` that is stored and shown.

use std::fmt;
use std::str::FromStr;

/// The kinds of digest that haul can verify, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChecksumKind {
    /// 32 bits; finds damage, not malice.
    Crc32c,
    /// 128 bits; finds damage, not malice.
    Md5,
    /// 160 bits; finds damage, not malice.
    Sha1,
    /// 256 bits.
    Sha256,
    /// 256 bits.
    Blake3,
    /// 512 bits.
    Sha512,
}

/// A digest that a file must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    kind: ChecksumKind,
    digest: Vec<u8>,
}

/// Why a text is no checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChecksumProblem {
    /// It begins with none of the kinds.
    #[error("a checksum must begin with its kind: `sha-256:`, `sha-512:`, `blake3:`, `sha-1:`, `md5:` or `crc32c:`")]
    Kind,
    /// What follows is not a digest of that kind.
    #[error("`{kind}:` must be followed by {} hexadecimal digits", kind.bytes() * 2)]
    Digits {
        /// The kind.
        kind: ChecksumKind,
    },
}

impl ChecksumKind {
    /// The kind of this name, in any of the spellings of RFC 3230, RFC 9530, RFC 5854 and of people.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "crc32c" | "crc-32c" => Some(Self::Crc32c),
            "md5" | "md-5" => Some(Self::Md5),
            "sha" | "sha1" | "sha-1" => Some(Self::Sha1),
            "sha256" | "sha-256" => Some(Self::Sha256),
            "blake3" | "blake-3" | "b3" => Some(Self::Blake3),
            "sha512" | "sha-512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// How many bytes a digest has.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Crc32c => 4,
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 | Self::Blake3 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// The one spelling in which it is stored and shown.
impl fmt::Display for ChecksumKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crc32c => "crc32c",
            Self::Md5 => "md5",
            Self::Sha1 => "sha-1",
            Self::Sha256 => "sha-256",
            Self::Blake3 => "blake3",
            Self::Sha512 => "sha-512",
        })
    }
}

impl Checksum {
    /// A digest of this kind, if it has as many bytes as one.
    #[must_use]
    pub fn new(kind: ChecksumKind, digest: &[u8]) -> Option<Self> {
        (digest.len() == kind.bytes()).then(|| Self { kind, digest: digest.to_vec() })
    }

    /// Reads the digits of a digest of this kind, whatever their case.
    #[must_use]
    pub fn from_hex(kind: ChecksumKind, hex: &str) -> Option<Self> {
        let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
        if pairs.len() != kind.bytes() || !rest.is_empty() {
            return None;
        }
        let digest = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
        Some(Self { kind, digest: digest.collect::<Option<_>>()? })
    }

    /// The digest itself.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> ChecksumKind {
        self.kind
    }
}

impl FromStr for Checksum {
    type Err = ChecksumProblem;

    fn from_str(text: &str) -> Result<Self, ChecksumProblem> {
        let (kind, hex) = text.split_once(':').ok_or(ChecksumProblem::Kind)?;
        let kind = ChecksumKind::named(kind).ok_or(ChecksumProblem::Kind)?;
        Self::from_hex(kind, hex).ok_or(ChecksumProblem::Digits { kind })
    }
}

/// `sha-256:hex`, in lower case.
impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind)?;
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_read_in_many_spellings_and_written_in_one() {
        for (kind, digits, written) in [
            ("sha256", 64, "sha-256"),
            ("SHA-256", 64, "sha-256"),
            ("sha512", 128, "sha-512"),
            ("Sha-512", 128, "sha-512"),
            ("sha1", 40, "sha-1"),
            ("sha", 40, "sha-1"),
            ("MD5", 32, "md5"),
            ("BLAKE3", 64, "blake3"),
            ("crc32c", 8, "crc32c"),
        ] {
            let checksum: Checksum = format!("{kind}:{}", "aB".repeat(digits / 2)).parse().expect("a checksum");
            assert_eq!(checksum.to_string(), format!("{written}:{}", "ab".repeat(digits / 2)));
            assert_eq!(checksum.to_string().parse(), Ok(checksum), "{kind}");
        }
    }

    #[test]
    fn what_is_no_checksum_is_refused_with_what_helps() {
        let digits = |kind| ChecksumProblem::Digits { kind };
        for (text, problem) in [
            (String::new(), ChecksumProblem::Kind),
            ("0".repeat(64), ChecksumProblem::Kind),
            (format!("crc32:{}", "0".repeat(8)), ChecksumProblem::Kind),
            ("sha256:".to_owned(), digits(ChecksumKind::Sha256)),
            (format!("sha256:{}", "0".repeat(63)), digits(ChecksumKind::Sha256)),
            (format!("sha256:{}", "0".repeat(128)), digits(ChecksumKind::Sha256)),
            (format!("sha512:{}g", "0".repeat(127)), digits(ChecksumKind::Sha512)),
            (format!("sha1:{}", "é".repeat(20)), digits(ChecksumKind::Sha1)),
            (format!("blake3:{}", "0".repeat(63)), digits(ChecksumKind::Blake3)),
            ("crc32c:0000000".to_owned(), digits(ChecksumKind::Crc32c)),
            (format!("md5: {}", "0".repeat(31)), digits(ChecksumKind::Md5)),
        ] {
            assert_eq!(text.parse::<Checksum>(), Err(problem), "{text}");
        }
        let detail = digits(ChecksumKind::Sha512).to_string();
        assert_eq!(detail, "`sha-512:` must be followed by 128 hexadecimal digits");
    }
}
