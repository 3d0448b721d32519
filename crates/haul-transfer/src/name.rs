//! File names from foreign sources: a server's are repaired, a user's are refused (FAILURES F-NAME-01 to 05).
//!
//! The order is: the name that the user gave, `filename*`, `filename`, the last path segment of the final URL where
//! that has an extension, that of the submitted URL, `download`.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::disposition;

/// Why a name that a user gave cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameProblem {
    /// There is no character in it.
    #[error("a file name cannot be empty")]
    Empty,
    /// It names a path.
    #[error("a file name cannot contain `/`; use `dir` for the directory")]
    Slash,
    /// It holds a control character.
    #[error("a file name cannot contain control characters")]
    Control,
    /// It is `.` or `..`, or begins with a dot.
    #[error("a file name cannot begin with a dot")]
    Dot,
    /// It has more than 255 bytes.
    #[error("a file name cannot be longer than 255 bytes")]
    TooLong,
    /// It ends like the names of part files.
    #[error("a file name cannot end in `.haul-part`")]
    Reserved,
}

/// Checks a name that a user gave. It is used as it is, or not at all.
///
/// # Errors
///
/// When it could not be a file's name, or would be a hidden one.
pub fn check_user_name(name: &str) -> Result<(), NameProblem> {
    if name.is_empty() {
        Err(NameProblem::Empty)
    } else if name.contains('/') {
        Err(NameProblem::Slash)
    } else if name.chars().any(char::is_control) {
        Err(NameProblem::Control)
    } else if name.starts_with('.') {
        Err(NameProblem::Dot)
    } else if name.len() > NAME_BYTES_MAX {
        Err(NameProblem::TooLong)
    } else if ends_like_a_part(name) {
        Err(NameProblem::Reserved)
    } else {
        Ok(())
    }
}

/// The name of a file whose user gave none: from the answer, else from the URLs.
#[must_use]
pub fn choose(content_disposition: Option<&[u8]>, final_url: &Url, submitted_url: &Url) -> String {
    content_disposition
        .and_then(disposition::file_name)
        .and_then(|name| repaired(&name))
        .or_else(|| last_segment(final_url).filter(|name| extension(name).is_some()))
        .or_else(|| last_segment(submitted_url))
        .unwrap_or_else(|| FALLBACK.to_owned())
}

/// Makes a safe file name of what a server sent. Repairing twice is the same as repairing once.
#[must_use]
pub fn repair(name: impl AsRef<[u8]>) -> String {
    try_repair(name).unwrap_or_else(|| FALLBACK.to_owned())
}

/// The same, unless nothing is left of the name.
#[must_use]
pub fn try_repair(name: impl AsRef<[u8]>) -> Option<String> {
    repaired(&disposition::text(name.as_ref()))
}

/// Tells whether a character has no shape of its own or reorders those around it (category Cf, and the two
/// separators that end lines).
pub(crate) fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

/// Cuts a name to so many bytes, between characters, and keeps its extension.
pub(crate) fn cut(name: &str, bytes_max: usize) -> String {
    if name.len() <= bytes_max {
        return name.to_owned();
    }
    let kept = extension(name).map_or("", |at| &name[at..]);
    let kept = if kept.len() < bytes_max { kept } else { "" };
    let stem = &name[..name.len() - kept.len()];
    let room = stem.floor_char_boundary(bytes_max - kept.len());
    format!("{}{kept}", stem[..room].trim_end_matches(is_edge))
}

fn last_segment(url: &Url) -> Option<String> {
    let segment = url.path_segments()?.next_back()?;
    let bytes: Vec<u8> = percent_decode_str(segment).collect();
    repaired(&disposition::text(&bytes))
}

/// The repaired name, unless nothing is left of it.
fn repaired(name: &str) -> Option<String> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut name: String = name.chars().map(tame).collect();
    loop {
        let next = settled(&name)?;
        if next == name {
            return Some(name);
        }
        // Cutting can bring forth what the other rules forbid, such as a device name before many blanks.
        name = next;
    }
}

fn tame(character: char) -> char {
    let is_bad = character.is_control()
        || is_invisible(character)
        || is_no_character(character)
        || matches!(character, '"' | '*' | ':' | '<' | '>' | '?' | '|' | '\\' | '/');
    if is_bad { '_' } else { character }
}

/// One pass of the rules that look at the name as a whole.
fn settled(name: &str) -> Option<String> {
    let name = name.trim_matches(is_edge);
    if name.is_empty() {
        return None;
    }
    let name = if ends_like_a_part(name) {
        format!("{}_", &name[..name.len() - PART_SUFFIX.len()])
    } else if name.starts_with('-') || is_device(name) {
        format!("_{name}")
    } else {
        name.to_owned()
    };
    Some(cut(&name, REPAIRED_BYTES_MAX))
}

fn is_edge(character: char) -> bool {
    character == '.' || character.is_whitespace()
}

/// Code points that are promised never to be characters, and the one that stands for a broken one.
fn is_no_character(character: char) -> bool {
    let code = u32::from(character);
    matches!(code, 0xfdd0..=0xfdef | 0xfffd) || code & 0xfffe == 0xfffe
}

/// Where the extension begins, its dot included: short, of letters and digits, behind a stem. `.tar.gz` is one.
pub(crate) fn extension(name: &str) -> Option<usize> {
    let dot = name.rfind('.').filter(|&dot| dot > 0)?;
    let letters = &name[dot + 1..];
    if letters.is_empty() || letters.len() > EXTENSION_BYTES_MAX || !letters.chars().all(char::is_alphanumeric) {
        return None;
    }
    let is_tar = name[..dot].len() > 4 && name[..dot].to_ascii_lowercase().ends_with(".tar");
    Some(if is_tar { dot - 4 } else { dot })
}

/// Names that Windows takes for devices, whatever their extension.
fn is_device(name: &str) -> bool {
    let base = name.split('.').next().unwrap_or_default().trim_end();
    let base = base.to_ascii_uppercase();
    match base.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" => true,
        base => base
            .strip_prefix("COM")
            .or_else(|| base.strip_prefix("LPT"))
            .is_some_and(|port| matches!(port, "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")),
    }
}

fn ends_like_a_part(name: &str) -> bool {
    name.len()
        .checked_sub(PART_SUFFIX.len())
        .and_then(|at| name.as_bytes().get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case(PART_SUFFIX.as_bytes()))
}

/// What a file is called when nobody has a better idea.
const FALLBACK: &str = "download";

/// How the names of part files end.
pub(crate) const PART_SUFFIX: &str = ".haul-part";

/// Bytes of a file name: `NAME_MAX` of Linux.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// Bytes of a repaired name: it leaves room for `.xxxxxxxx.haul-part` and ` (9999)`.
const REPAIRED_BYTES_MAX: usize = NAME_BYTES_MAX - 9 - PART_SUFFIX.len() - 7;

/// Bytes of what still counts as an extension; a guess (`.appinstaller` has 12).
const EXTENSION_BYTES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn f_name_02_users_names_are_refused_not_changed() {
        for (name, problem) in [
            ("", NameProblem::Empty),
            ("a/b", NameProblem::Slash),
            ("..", NameProblem::Dot),
            (".", NameProblem::Dot),
            (".bashrc", NameProblem::Dot),
            ("a\0b", NameProblem::Control),
            ("a\nb", NameProblem::Control),
            ("a.HAUL-part", NameProblem::Reserved),
        ] {
            assert_eq!(check_user_name(name), Err(problem), "{name:?}");
        }
        assert_eq!(check_user_name(&"é".repeat(128)), Err(NameProblem::TooLong));
        assert_eq!(check_user_name(&"a".repeat(255)), Ok(()));
        assert_eq!(check_user_name("-rf * é.iso"), Ok(()));
    }

    #[test]
    fn f_name_03_servers_names_are_repaired() {
        for (name, repaired) in [
            ("a.iso", "a.iso"),
            ("../../etc/passwd", "passwd"),
            ("C:\\temp\\a.txt", "a.txt"),
            (" ..a b. ", "a b"),
            ("a\u{202e}gpj.exe", "a_gpj.exe"),
            ("a\u{200b}b\u{feff}", "a_b_"),
            ("a:b*c?\"<>|", "a_b_c_____"),
            ("-rf", "_-rf"),
            ("con", "_con"),
            ("Com1 .txt", "_Com1 .txt"),
            ("console", "console"),
            ("x.haul-part", "x_"),
            ("x.y.HAUL-PART", "x.y_"),
            ("", "download"),
            ("...", "download"),
            ("/", "download"),
            ("a\u{ffff}\u{fdd0}", "a__"),
        ] {
            assert_eq!(repair(name), repaired, "{name:?}");
            assert_eq!(try_repair(name).is_none(), repaired == FALLBACK, "{name:?}");
        }
        assert_eq!(repair(b"caf\xe9.txt"), "café.txt");
    }

    #[test]
    fn f_name_04_long_names_keep_their_extension_and_are_cut_at_a_character() {
        let name = repair(format!("{}.tar.gz", "é".repeat(300)));
        assert!(name.len() <= 229 && name.len() >= 227, "{}", name.len());
        assert!(name.ends_with("é.tar.gz"));
        assert_eq!(repair(format!("con{}x.txt", " ".repeat(300))), "_con.txt");
    }

    #[test]
    fn f_name_01_the_order_is_disposition_final_url_submitted_url_download() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let submitted = url("https://a/get.php?file=1");
        for (disposition, last, name) in [
            (Some("attachment; filename=d.bin"), "https://b/f.iso", "d.bin"),
            (Some("attachment; filename=\"..\""), "https://b/f.iso", "f.iso"),
            (None, "https://b/x/f%20g.iso?sig=1", "f g.iso"),
            (None, "https://b/0a1b2c", "get.php"),
        ] {
            let chosen = choose(disposition.map(str::as_bytes), &url(last), &submitted);
            assert_eq!(chosen, name);
        }
        assert_eq!(choose(None, &url("https://b/"), &url("https://a/")), "download");
        assert_eq!(choose(None, &url("https://b/%2e%2e%2f"), &url("https://a/file")), "file");
    }

    proptest! {
        #[test]
        fn f_name_05_repaired_names_are_safe_and_repairing_is_idempotent(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..400),
                any::<String>().prop_map(String::into_bytes),
                "(con|-|\\.| |a|é|\\.haul-part|\\.tar|\\.gz|\u{202e}){0,120}".prop_map(String::into_bytes),
            ],
        ) {
            let name = repair(&bytes);
            prop_assert_eq!(repair(&name), name.clone());
            prop_assert!(!name.is_empty() && name != "." && name != "..");
            prop_assert!(!name.contains(['/', '\0', '\\']));
            prop_assert!(!name.chars().any(|c| c.is_control() || is_invisible(c)));
            prop_assert!(name.len() <= 229);
            prop_assert_eq!(check_user_name(&name), Ok(()));
        }

        #[test]
        fn f_name_05_chosen_names_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let url = Url::parse("https://a/b").expect("a URL");
            let mut header = b"attachment; filename=\"".to_vec();
            header.extend(bytes);
            prop_assert_eq!(check_user_name(&choose(Some(&header), &url, &url)), Ok(()));
        }
    }
}
