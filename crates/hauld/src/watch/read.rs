//! What a file in the watch folder asks for.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use haul_api::{Problem, SubmitJob};
use rustix::fs::OFlags;

use crate::{curl, input, metalink};

/// Jobs, and the place of each, as it is told in front of what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) places: Vec<String>,
    pub(super) jobs: Vec<Result<SubmitJob, Problem>>,
}

/// What the name of a file says of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    List,
    Link,
    Metalink,
    Curl,
}

/// As many as a submit may have (DESIGN.md section 6).
const BYTES_MAX: u64 = 16 << 20;

/// Whether a file with this name is one to read.
pub(super) fn is_known(name: &Path) -> bool {
    kind(name).is_some()
}

fn kind(path: &Path) -> Option<Kind> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "txt" => Some(Kind::List),
        "url" => Some(Kind::Link),
        "meta4" | "metalink" => Some(Kind::Metalink),
        "curl" => Some(Kind::Curl),
        _ => None,
    }
}

/// Reads a file. Blocks.
///
/// # Errors
///
/// Says why it cannot be used, without repeating what could be a secret.
pub(super) fn read(path: &Path) -> Result<Wanted, String> {
    let bytes = bytes(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("the file is larger than {BYTES_MAX} bytes"));
    }
    wanted(path, &bytes)
}

/// What the bytes of a file with this name ask for.
pub(super) fn wanted(name: &Path, bytes: &[u8]) -> Result<Wanted, String> {
    let wanted = match kind(name) {
        Some(Kind::Metalink) => from_metalink(bytes)?,
        Some(Kind::Curl) => {
            let job = curl::read(bytes.trim_ascii()).map_err(|error| error.to_string())?;
            Wanted { places: vec![String::new()], jobs: vec![Ok(job)] }
        }
        Some(Kind::Link) => from_link(text(bytes)?)?,
        Some(Kind::List) | None => from_list(text(bytes)?)?,
    };
    if wanted.jobs.is_empty() { Err("there is no URL in the file".to_owned()) } else { Ok(wanted) }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    // It may have become a link, or something that never ends, since it was found.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).expect("the flags of open(2) are an int");
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file any more"));
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned())
}

fn from_list(text: &str) -> Result<Wanted, String> {
    let listed = input::read(text).map_err(|error| error.to_string())?;
    let (places, jobs) = listed.jobs.into_iter().map(|(line, job)| (format!("line {line}: "), Ok(job))).unzip();
    Ok(Wanted { places, jobs })
}

/// A shortcut as Windows and browsers write it, or only a URL.
fn from_link(text: &str) -> Result<Wanted, String> {
    let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().map(str::trim);
    if !lines.clone().any(|line| line.starts_with('[')) {
        return from_list(text);
    }
    let url = lines.find_map(|line| {
        let (key, value) = line.split_once('=')?;
        key.trim().eq_ignore_ascii_case("url").then(|| value.trim())
    });
    let url = url.ok_or("there is no line `URL=…` in the file")?;
    Ok(Wanted { places: vec![String::new()], jobs: vec![Ok(SubmitJob::new(url))] })
}

fn from_metalink(bytes: &[u8]) -> Result<Wanted, String> {
    let files = metalink::read(bytes).map_err(|error| error.to_string())?;
    let place = |name: &str| format!("`{name}`: ");
    let (places, jobs) = files.iter().map(|file| (place(&file.name), file.entry().map(|entry| entry.job))).unzip();
    Ok(Wanted { places, jobs })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(name: &str, text: &str) -> Result<Vec<SubmitJob>, String> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a writable directory");
        read(&path).map(|wanted| wanted.jobs.into_iter().map(|job| job.expect("a good job")).collect())
    }

    #[test]
    fn each_kind_of_file_is_read() {
        let one = vec![SubmitJob::new("http://a/x?y=1")];
        for (name, text) in [
            ("a.url", "[InternetShortcut]\r\nIDList=\r\nURL=http://a/x?y=1\r\nIconIndex=0\r\n"),
            ("a.URL", "\u{feff}http://a/x?y=1\n"),
            ("a.txt", "# one\nhttp://a/x?y=1\n"),
            ("a.curl", "curl 'http://a/x?y=1'\n"),
        ] {
            assert_eq!(dropped(name, text).as_ref(), Ok(&one), "{name}");
        }
        let document = r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="a.iso">
            <url>http://a/x?y=1</url></file></metalink>"#;
        let named = SubmitJob { filename: Some("a.iso".to_owned()), ..one[0].clone() };
        for name in ["a.meta4", "a.metalink"] {
            assert_eq!(dropped(name, document), Ok(vec![named.clone()]));
        }
    }

    #[test]
    fn what_cannot_be_read_says_why_and_nothing_secret() {
        for (name, text, part) in [
            ("a.txt", "", "no URL"),
            ("a.txt", "http://a/\n bt-tracker=s3cret", "line 2: there is no option"),
            ("a.url", "[InternetShortcut]\nIconFile=s3cret", "`URL=…`"),
            ("a.curl", "wget s3cret", "`curl`"),
            ("a.meta4", "<html>s3cret", "no Metalink"),
        ] {
            let error = dropped(name, text).expect_err(name);
            assert!(error.contains(part) && !error.contains("s3cret"), "{name}: {error}");
        }
        assert!(read(Path::new("/nowhere/a.txt")).expect_err("gone").contains("cannot be read"));
        let dir = tempfile::tempdir().expect("a temporary directory");
        let link = dir.path().join("a.txt");
        std::os::unix::fs::symlink("/etc/passwd", &link).expect("a writable directory");
        assert!(read(&link).expect_err("a link").contains("cannot be read"));
    }
}
