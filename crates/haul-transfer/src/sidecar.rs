//! Files that hold the checksums of others: what `sha256sum`, `md5sum`, `b3sum` and their BSD cousins write.
//!
//! ```text
//! ba7816bf...15ad  a.iso            GNU; `*` before the name and `\` before the line have no meaning for us
//! SHA256 (a.iso) = ba7816bf...15ad  BSD
//! ba7816bf...15ad                   a digest alone
//! ```
//!
//! They come from anywhere: what is no such line is passed over, as are comments and signatures.

use crate::{Checksum, ChecksumKind, Escaped};

/// The most that is read of such a file: the largest distributions list some tens of thousands of names in one.
pub const SIDECAR_BYTES_MAX: u64 = 4 << 20;

/// Why a file does not tell a checksum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SidecarProblem {
    /// There is no line in it that could be one.
    #[error("it holds no checksum that haul can read")]
    NoChecksum,
    /// It lists others.
    #[error("none of its {lines} checksums is for {}", Escaped(name.as_bytes()))]
    NotListed {
        /// How many it lists.
        lines: usize,
        /// What was looked for.
        name: String,
    },
    /// It contradicts itself.
    #[error("it has two different {kind} checksums for {}", Escaped(name.as_bytes()))]
    Ambiguous {
        /// Their kind.
        kind: ChecksumKind,
        /// Whose they are.
        name: String,
    },
}

/// One line that says a checksum.
#[derive(Debug)]
struct Line<'a> {
    checksum: Checksum,
    /// The last part of the name beside it.
    name: Option<&'a str>,
}

/// Finds the strongest checksum for the file that has one of these names. A file that holds but one digest means that one,
/// whatever name stands beside it.
///
/// `source` is the last part of the sidecar's own name: some digests look alike, and it may tell which kind it is.
///
/// # Errors
///
/// When there is none, or two that differ.
pub fn find(bytes: &[u8], source: &str, names: &[&str]) -> Result<Checksum, SidecarProblem> {
    let text = String::from_utf8_lossy(bytes);
    let is_blake3 = ["blake3", "b3sum", ".b3"].iter().any(|mark| source.to_ascii_lowercase().contains(mark));
    let lines: Vec<Line<'_>> = text.lines().filter_map(|line| read(line, is_blake3)).collect();
    let wanted = names.first().copied().unwrap_or_default().to_owned();
    let listed = lines.iter().filter(|line| line.name.is_some_and(|name| names.contains(&name)));
    let mut found: Vec<&Checksum> = listed.map(|line| &line.checksum).collect();
    if found.is_empty() {
        match lines.as_slice() {
            [] => return Err(SidecarProblem::NoChecksum),
            [only] => return Ok(only.checksum.clone()),
            all if all.iter().all(|line| line.name.is_none()) => found.extend(all.iter().map(|line| &line.checksum)),
            all => return Err(SidecarProblem::NotListed { lines: all.len(), name: wanted }),
        }
    }
    let strongest = found.iter().map(|checksum| checksum.kind()).max().expect("there is one");
    found.retain(|checksum| checksum.kind() == strongest);
    if found.iter().any(|checksum| *checksum != found[0]) {
        return Err(SidecarProblem::Ambiguous { kind: strongest, name: wanted });
    }
    Ok(found[0].clone())
}

fn read(line: &str, is_blake3: bool) -> Option<Line<'_>> {
    let line = line.trim_start_matches('\u{feff}').trim();
    bsd(line).or_else(|| gnu(line, is_blake3))
}

/// `SHA256 (name) = digest`.
fn bsd(line: &str) -> Option<Line<'_>> {
    let (kind, rest) = line.split_once(" (")?;
    let kind = ChecksumKind::named(kind.trim_start_matches('\\'))?;
    let (name, digits) = rest.rsplit_once(") = ")?;
    Some(Line { checksum: Checksum::from_hex(kind, digits.trim())?, name: last_part(name) })
}

/// `digest  name`, `digest *name`, or `digest`.
fn gnu(line: &str, is_blake3: bool) -> Option<Line<'_>> {
    let line = line.strip_prefix('\\').unwrap_or(line);
    let (digits, name) = line.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((line, ""));
    let kind = match digits.len() {
        32 => ChecksumKind::Md5,
        40 => ChecksumKind::Sha1,
        64 if is_blake3 => ChecksumKind::Blake3,
        64 => ChecksumKind::Sha256,
        128 => ChecksumKind::Sha512,
        _ => return None,
    };
    let name = name.trim_start();
    Some(Line { checksum: Checksum::from_hex(kind, digits)?, name: last_part(name.strip_prefix('*').unwrap_or(name)) })
}

/// Lists often name files with the directories that they lie in.
fn last_part(name: &str) -> Option<&str> {
    name.rsplit(['/', '\\']).next().filter(|name| !name.is_empty() && *name != "-")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digits(kind: ChecksumKind, digit: char) -> String {
        digit.to_string().repeat(kind.bytes() * 2)
    }

    fn found(text: &str, names: &[&str]) -> String {
        find(text.as_bytes(), "SUMS", names).map_or_else(|problem| problem.to_string(), |it| it.to_string())
    }

    #[test]
    fn each_way_to_write_a_checksum_is_read() {
        let sha256 = digits(ChecksumKind::Sha256, 'A');
        let expected = format!("sha-256:{}", digits(ChecksumKind::Sha256, 'a'));
        for text in [
            format!("{sha256}  a.iso\n"),
            format!("{sha256} *a.iso\r\n"),
            format!("\u{feff}{sha256}\ta.iso"),
            format!("\\{sha256}  ./isos/a.iso"),
            format!("SHA256 (a.iso) = {sha256}"),
            format!("SHA256 (dir/a.iso) = {sha256}\n"),
            sha256.clone(),
            format!("{sha256}  -\n"),
            format!("{sha256}  another name\n"),
            format!("# isos\n\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{sha256}  a.iso\n-----END-----\n"),
            format!("{sha256}  b.iso\n{sha256}  a.iso\n"),
            format!("{}  a.iso\n{sha256}  a.iso\n", digits(ChecksumKind::Md5, '1')),
        ] {
            assert_eq!(found(&text, &["a.iso"]), expected, "{text:?}");
        }
        for kind in [ChecksumKind::Md5, ChecksumKind::Sha1, ChecksumKind::Sha512] {
            let hex = digits(kind, '7');
            assert_eq!(found(&format!("{hex}  a.iso"), &["a.iso"]), format!("{kind}:{hex}"));
        }
    }

    #[test]
    fn a_blake3_digest_is_known_by_the_name_of_its_list() {
        let hex = digits(ChecksumKind::Blake3, '3');
        let kind = |source| find(hex.as_bytes(), source, &["a"]).expect("a digest").kind();
        assert_eq!(kind("a.iso.b3"), ChecksumKind::Blake3);
        assert_eq!(kind("BLAKE3SUMS"), ChecksumKind::Blake3);
        assert_eq!(kind("a.iso.sha256"), ChecksumKind::Sha256);
        assert_eq!(found(&format!("BLAKE3 (a) = {hex}"), &["a"]), format!("blake3:{hex}"));
    }

    #[test]
    fn of_many_lines_the_one_with_our_name_counts() {
        let line = |digit, name: &str| format!("{}  {name}\n", digits(ChecksumKind::Sha256, digit));
        let list = line('1', "a.iso") + &line('2', "b.iso") + &line('3', "a.iso.torrent");
        assert!(found(&list, &["b.iso"]).ends_with("22"));
        assert!(found(&list, &["as our user calls it", "a.iso"]).ends_with("11"));
        assert_eq!(found(&list, &["c.iso"]), "none of its 3 checksums is for c.iso");
    }

    #[test]
    fn a_list_that_says_nothing_or_two_things_is_no_answer() {
        let sha256 = |digit| digits(ChecksumKind::Sha256, digit);
        for text in ["", "<html>404</html>", "SHA256 (a) = 00", "a.iso ba7816bf", "\0\u{ff}\n\n"] {
            assert_eq!(found(text, &["a"]), "it holds no checksum that haul can read", "{text:?}");
        }
        let twice = format!("{0}  a\n{0}  a\n", sha256('1'));
        assert!(found(&twice, &["a"]).starts_with("sha-256:"), "the same twice is the same once");
        let differ = format!("{}  a\n{}  x/a\n", sha256('1'), sha256('2'));
        assert_eq!(found(&differ, &["a"]), "it has two different sha-256 checksums for a");
        let bare = format!("{}\n{}\n", sha256('1'), sha256('2'));
        assert_eq!(found(&bare, &["a"]), "it has two different sha-256 checksums for a");
    }

    proptest! {
        #[test]
        fn hostile_lists_never_panic(
            text in "([0-9a-fA-F]{32}|[0-9a-f]{64}|SHA256 \\(|MD5 \\(|\\) = |a\\.iso| |\\*|\\\\|\n|\r|\0|\u{e9}|/){0,60}",
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            for bytes in [text.as_bytes(), &bytes] {
                if let Ok(checksum) = find(bytes, "SUMS", &["a.iso"]) {
                    prop_assert_eq!(checksum.to_string().parse(), Ok(checksum));
                }
            }
        }
    }
}
