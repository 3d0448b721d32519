//! Directories that files are put into: beneath a root, and never out of it by a symbolic link.
//!
//! All calls block.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use haul_core::Fault;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::disk_fault;

/// An open directory for the files of some jobs.
#[derive(Debug)]
pub struct Place {
    dir: OwnedFd,
    path: PathBuf,
    filesystem: u64,
}

impl Place {
    /// Opens the directory `relative` beneath `root`, and makes what is missing of it if `create` says so.
    ///
    /// The root may be reached by symbolic links; beneath it none is followed (F-DISK-12).
    ///
    /// # Errors
    ///
    /// When the directory is not there, cannot be made, or does not lie beneath the root.
    pub fn open(root: &Path, relative: &Path, create: bool) -> Result<Self, Fault> {
        let path = root.join(relative);
        let fault = |errno: Errno| {
            let error = io::Error::from(errno);
            disk_fault(&error, &format!("cannot use the directory {}", path.display()))
        };
        let mut dir = rustix::fs::open(root, DIRECTORY, Mode::empty()).map_err(fault)?;
        match beneath(&dir, relative) {
            Err(Errno::NOENT) if create => dir = make(dir, relative).map_err(fault)?,
            opened => dir = opened.map_err(fault)?,
        }
        let filesystem = rustix::fs::fstat(&dir).map_err(fault)?.st_dev;
        Ok(Self { dir, path, filesystem })
    }

    /// What tells this file system from others: which transfer thread writes here.
    #[must_use]
    pub fn filesystem(&self) -> u64 {
        self.filesystem
    }

    /// The directory's path, to be shown.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are free for us on the file system.
    ///
    /// # Errors
    ///
    /// When the file system does not tell.
    pub fn free_bytes(&self) -> Result<u64, Fault> {
        let stat = rustix::fs::fstatvfs(&self.dir).map_err(|errno| self.fault(errno, "cannot look at"))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Tells whether this name is that very file, as after a crash between renaming and committing.
    #[must_use]
    pub fn holds(&self, name: &str, device: u64, inode: u64) -> bool {
        rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| stat.st_dev == device && stat.st_ino == inode)
    }

    /// Tells whether anything has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let stat = rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.err() != Some(Errno::NOENT)
    }

    /// Makes names that were given or changed here survive a power cut.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn sync(&self) -> Result<(), Fault> {
        rustix::fs::fsync(&self.dir).map_err(|errno| self.fault(errno, "cannot sync"))
    }

    pub(crate) fn open_file(&self, name: &str, flags: OFlags) -> Result<File, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
    }

    pub(crate) fn fault(&self, errno: Errno, doing: &str) -> Fault {
        disk_fault(&errno.into(), &format!("{doing} {}", self.path.display()))
    }
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// Opens a directory beneath another one.
fn beneath(dir: &OwnedFd, relative: &Path) -> Result<OwnedFd, Errno> {
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // The kernel asks for another try while directories around it are being renamed.
    for _ in 0..RACES_MAX {
        match rustix::fs::openat2(dir, relative, DIRECTORY, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            opened => return opened,
        }
    }
    Err(Errno::AGAIN)
}

/// Makes a directory and those above it, step by step.
fn make(mut dir: OwnedFd, relative: &Path) -> Result<OwnedFd, Errno> {
    for component in relative.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::CurDir => continue,
            // Through these no directory is made.
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV),
        };
        match rustix::fs::mkdirat(&dir, name, Mode::RWXU | Mode::RWXG | Mode::RWXO) {
            Ok(()) => rustix::fs::fsync(&dir)?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        dir = beneath(&dir, Path::new(name))?;
    }
    Ok(dir)
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A guess: such races are over in microseconds.
const RACES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use haul_core::FaultKind;

    use super::*;

    #[test]
    fn f_disk_12_nothing_beneath_a_root_leads_out_of_it() {
        let root = tempfile::tempdir().expect("a directory");
        let outside = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink(outside.path(), root.path().join("link")).expect("a link");
        for relative in ["link", "link/new", "../", "..", "new/../..", "/etc", "new/../../x"] {
            Place::open(root.path(), Path::new(relative), true).expect_err(relative);
        }
        let entries = std::fs::read_dir(outside.path()).expect("a directory");
        assert_eq!(entries.count(), 0);
    }

    #[test]
    fn missing_directories_are_made_only_if_asked() {
        let root = tempfile::tempdir().expect("a directory");
        let relative = Path::new("a/b");
        let fault = Place::open(root.path(), relative, false).expect_err("not there");
        assert_eq!(fault.kind, FaultKind::DiskIo);
        let place = Place::open(root.path(), relative, true).expect("made");
        assert!(root.path().join("a/b").is_dir());
        assert!(place.free_bytes().expect("a number") > 0);
        let same = Place::open(root.path(), relative, false).expect("there");
        assert_eq!(same.filesystem(), place.filesystem());
        Place::open(root.path(), Path::new(""), false).expect("the root itself");
    }

    #[test]
    fn a_root_may_be_reached_by_a_link() {
        let real = tempfile::tempdir().expect("a directory");
        let link = real.path().join("link");
        std::os::unix::fs::symlink(real.path(), &link).expect("a link");
        Place::open(&link, Path::new("sub"), true).expect("the user's own link");
        assert!(real.path().join("sub").is_dir());
    }
}
