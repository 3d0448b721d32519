//! Files in the watch folder, and the names that they get.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::read;

/// A file that was dropped.
#[derive(Debug)]
pub(super) struct Dropped {
    pub(super) path: PathBuf,
    changed: Option<SystemTime>,
}

/// Files of the same name that may be kept. A guess.
const NUMBER_MAX: u32 = 1000;

/// The files in a directory that are to be submitted, by name. Blocks.
pub(super) fn find(dir: &Path) -> io::Result<Vec<Dropped>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        // Programs that put a file in its place when it is complete hide it until then.
        if name.as_encoded_bytes().starts_with(b".") || !read::is_known(name.as_ref()) {
            continue;
        }
        // Not of what a link leads to. One that has gone meanwhile is none.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() {
            found.push(Dropped { path: entry.path(), changed: metadata.modified().ok() });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

impl Dropped {
    /// Whether it has not changed for so long.
    pub(super) fn has_settled(&self, long: Duration) -> bool {
        // A time that is to come says nothing.
        self.changed.is_none_or(|changed| changed.elapsed().map_or(true, |age| age >= long))
    }

    pub(super) fn name(&self) -> OsString {
        self.path.file_name().unwrap_or_default().to_owned()
    }

    /// Gives it the name that says what has become of it, with the reason beside it where it failed. No file is replaced but
    /// the reason of an earlier one. Blocks.
    pub(super) fn mark(self, result: Result<(), String>) -> io::Result<()> {
        let suffix = if result.is_ok() { "added" } else { "failed" };
        let marked = self.rename(suffix)?;
        let Err(reason) = result else { return Ok(()) };
        let why = with_suffix(&marked, "why");
        // Removed and made anew, because it may be a link to another file.
        if let Err(error) = fs::remove_file(&why)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&why)?;
        file.write_all(reason.trim_end().as_bytes())?;
        file.write_all(b"\n")
    }

    fn rename(&self, suffix: &str) -> io::Result<PathBuf> {
        for number in 1..=NUMBER_MAX {
            let to = if number == 1 { suffix.to_owned() } else { format!("{number}.{suffix}") };
            let to = with_suffix(&self.path, &to);
            match renameat_with(CWD, &self.path, CWD, &to, RenameFlags::NOREPLACE) {
                Ok(()) => return Ok(to),
                Err(rustix::io::Errno::EXIST) => {}
                // Not every file system knows how not to replace.
                Err(rustix::io::Errno::INVAL) if !to.exists() => return fs::rename(&self.path, &to).map(|()| to),
                Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "there are too many files of this name"))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("a directory");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn only_plain_files_with_a_known_extension_are_taken() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["b.txt", "a.META4", ".hidden.txt", "a.iso", "txt", "c.txt.added", "d.txt.failed.why"] {
            fs::write(dir.path().join(name), "").expect("a writable directory");
        }
        fs::create_dir(dir.path().join("e.txt")).expect("a writable directory");
        std::os::unix::fs::symlink("b.txt", dir.path().join("f.txt")).expect("a writable directory");
        let found = find(dir.path()).expect("a directory");
        assert_eq!(found.iter().map(Dropped::name).collect::<Vec<_>>(), ["a.META4", "b.txt"]);
    }

    #[test]
    fn no_file_is_replaced_and_no_link_is_followed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("a.txt");
        for result in [Ok(()), Ok(()), Err("because"), Err("of this")] {
            fs::write(&path, "").expect("a writable directory");
            let dropped = find(dir.path()).expect("a directory").remove(0);
            dropped.mark(result.map_err(str::to_owned)).expect("it can be renamed");
        }
        let expected = [
            "a.txt.2.added",
            "a.txt.2.failed",
            "a.txt.2.failed.why",
            "a.txt.added",
            "a.txt.failed",
            "a.txt.failed.why",
        ];
        assert_eq!(names(dir.path()), expected);
        assert_eq!(fs::read_to_string(dir.path().join("a.txt.2.failed.why")).expect("it is there"), "of this\n");

        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").expect("a writable directory");
        fs::write(dir.path().join("b.txt"), "").expect("a writable directory");
        std::os::unix::fs::symlink(&victim, dir.path().join("b.txt.failed.why")).expect("a writable directory");
        let dropped = find(dir.path()).expect("a directory").remove(0);
        dropped.mark(Err("because".to_owned())).expect("it can be renamed");
        assert_eq!(fs::read_to_string(victim).expect("it is there"), "precious");
    }

    #[test]
    fn a_file_that_still_changes_has_not_settled() {
        let at = |changed| Dropped { path: "/x".into(), changed };
        let now = SystemTime::now();
        assert!(!at(Some(now)).has_settled(Duration::from_secs(60)));
        assert!(at(Some(now - Duration::from_secs(61))).has_settled(Duration::from_secs(60)));
        assert!(at(Some(now + Duration::from_secs(3600))).has_settled(Duration::from_secs(60)));
    }
}
