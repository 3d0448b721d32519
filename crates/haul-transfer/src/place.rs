//! Directories that files are put into: beneath a root, and never out of it by a symbolic link.
//!
//! All calls block.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use haul_core::{Fault, FaultKind};
use rustix::fs::{OFlags, StatVfs};
use rustix::io::Errno;

use crate::fs::{Fs, mounts_on, of, unbroken};
use crate::name::PART_SUFFIX;
use crate::space::{Disks, Space};
use crate::{DiskFile, disk_fault};

/// An open directory for the files of some jobs.
#[derive(Debug)]
pub struct Place {
    fs: Arc<dyn Fs>,
    space: Arc<Space>,
    dir: OwnedFd,
    path: PathBuf,
    filesystem: u64,
    /// How many mount points its path crossed when it was opened.
    mounts: u32,
}

impl Place {
    /// Opens the directory `relative` beneath `root`, and makes what is missing of it if `create` says so.
    ///
    /// The root may be reached by symbolic links; beneath it none is followed (F-DISK-12).
    ///
    /// # Errors
    ///
    /// When the directory is not there, cannot be made, or does not lie beneath the root.
    pub fn open(disks: &Disks, root: &Path, relative: &Path, create: bool) -> Result<Self, Fault> {
        let fs = disks.fs();
        let path = root.join(relative);
        let fault = |errno: Errno| disk_fault(&errno.into(), &format!("cannot use the directory {}", path.display()));
        let mut dir = unbroken(|| fs.open_root(root)).map_err(fault)?;
        match beneath(&**fs, &dir, relative) {
            Err(Errno::NOENT) if create => dir = make(&**fs, dir, relative).map_err(fault)?,
            opened => dir = opened.map_err(fault)?,
        }
        let filesystem = unbroken(|| fs.stat(of(&dir))).map_err(fault)?.st_dev;
        let mounts = mounts_on(&**fs, &path);
        Ok(Self { fs: Arc::clone(fs), space: disks.space(filesystem), dir, path, filesystem, mounts })
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

    /// How many mount points its path crossed when it was opened.
    #[must_use]
    pub fn mounts(&self) -> u32 {
        self.mounts
    }

    /// Bytes that are free for us on the file system.
    ///
    /// # Errors
    ///
    /// When the file system does not tell.
    pub fn free_bytes(&self) -> Result<u64, Fault> {
        self.statvfs().map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// The size of the file system.
    ///
    /// # Errors
    ///
    /// When the file system does not tell.
    pub fn size_bytes(&self) -> Result<u64, Fault> {
        self.statvfs().map(|stat| stat.f_blocks.saturating_mul(stat.f_frsize))
    }

    /// Tells whether a file of `len` bytes fits, with what is promised to others, so that `keep_free` stay free.
    ///
    /// # Errors
    ///
    /// [`FaultKind::DiskFull`] when it does not, with the bytes that are missing.
    pub fn check_space(&self, len: u64, keep_free: u64) -> Result<(), Fault> {
        self.space.check(self, len, keep_free)
    }

    /// Tells whether this name is that very file, as after a crash between renaming and committing.
    ///
    /// # Errors
    ///
    /// When the directory cannot be looked at.
    pub fn holds(&self, name: &str, device: u64, inode: u64) -> Result<bool, Fault> {
        match unbroken(|| self.fs.stat_name(self.fd(), name)) {
            Ok(stat) => Ok(stat.st_dev == device && stat.st_ino == inode),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.fault(errno, "cannot look at a file in")),
        }
    }

    /// Tells whether anything has this name.
    ///
    /// # Errors
    ///
    /// When the directory cannot be looked at.
    pub fn has(&self, name: &str) -> Result<bool, Fault> {
        match unbroken(|| self.fs.stat_name(self.fd(), name)) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.fault(errno, "cannot look at a file in")),
        }
    }

    /// The name under which a file stands here.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn name_of(&self, inode: u64) -> Result<Option<String>, Fault> {
        let names = unbroken(|| self.fs.names(self.fd())).map_err(|errno| self.fault(errno, "cannot list"))?;
        for (name, _) in names.into_iter().filter(|(_, found)| *found == inode) {
            if self.holds(&name, self.filesystem, inode)? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// The names here that part files have.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn part_names(&self) -> Result<Vec<String>, Fault> {
        let names = unbroken(|| self.fs.names(self.fd())).map_err(|errno| self.fault(errno, "cannot list"))?;
        Ok(names.into_iter().map(|(name, _)| name).filter(|name| name.ends_with(PART_SUFFIX)).collect())
    }

    /// Makes names that were given or changed here survive a power cut.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn sync(&self) -> Result<(), Fault> {
        unbroken(|| self.fs.sync_dir(self.fd())).map_err(|errno| self.fault(errno, "cannot sync"))
    }

    /// Whether what is mounted here now is what was mounted when the place was opened. Writing to what is not any more may
    /// succeed, and be lost (F-DISK-08).
    ///
    /// # Errors
    ///
    /// [`FaultKind::TargetUnmounted`] when it is gone.
    pub fn check_mounted(&self) -> Result<(), Fault> {
        let is_there = match unbroken(|| self.fs.stat_path(&self.path)) {
            Ok(stat) => stat.st_dev == self.filesystem,
            // A directory that its user has moved keeps what is in it.
            Err(_) => mounts_on(&*self.fs, &self.path) >= self.mounts,
        };
        if is_there { Ok(()) } else { Err(unmounted(&self.path)) }
    }

    /// The same fault, or that the volume is gone, if that is behind it.
    pub(crate) fn or_unmounted(&self, fault: Fault) -> Fault {
        if matches!(fault.kind, FaultKind::DiskIo | FaultKind::TargetNotWritable) {
            return self.check_mounted().err().unwrap_or(fault);
        }
        fault
    }

    pub(crate) fn fs(&self) -> &Arc<dyn Fs> {
        &self.fs
    }

    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    pub(crate) fn open_file(self: &Arc<Self>, name: &str, flags: OFlags) -> Result<DiskFile, Errno> {
        let file = unbroken(|| self.fs.open_file(self.fd(), name, flags))?;
        Ok(DiskFile::new(Arc::clone(self), file))
    }

    pub(crate) fn fault(&self, errno: Errno, doing: &str) -> Fault {
        self.or_unmounted(disk_fault(&errno.into(), &format!("{doing} {}", self.path.display())))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        of(&self.dir)
    }

    fn statvfs(&self) -> Result<StatVfs, Fault> {
        unbroken(|| self.fs.space(self.fd())).map_err(|errno| self.fault(errno, "cannot look at"))
    }
}

/// The fault of a directory whose volume is not mounted.
#[must_use]
pub fn unmounted(path: &Path) -> Fault {
    let detail = format!("the volume with {} is not mounted; mount it, and the job goes on", path.display());
    Fault::new(FaultKind::TargetUnmounted, detail)
}

/// Opens a directory beneath another one.
fn beneath(fs: &dyn Fs, dir: &OwnedFd, relative: &Path) -> Result<OwnedFd, Errno> {
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    // The kernel asks for another try while directories around it are being renamed.
    for _ in 0..RACES_MAX {
        match unbroken(|| fs.open_beneath(of(dir), relative)) {
            Err(Errno::AGAIN) => {}
            opened => return opened,
        }
    }
    Err(Errno::AGAIN)
}

/// Makes a directory and those above it, step by step.
fn make(fs: &dyn Fs, mut dir: OwnedFd, relative: &Path) -> Result<OwnedFd, Errno> {
    for component in relative.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::CurDir => continue,
            // Through these no directory is made.
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV),
        };
        match unbroken(|| fs.make_dir(of(&dir), name)) {
            Ok(()) => unbroken(|| fs.sync_dir(of(&dir)))?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        dir = beneath(fs, &dir, Path::new(name))?;
    }
    Ok(dir)
}

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
            Place::open(&Disks::default(), root.path(), Path::new(relative), true).expect_err(relative);
        }
        let entries = std::fs::read_dir(outside.path()).expect("a directory");
        assert_eq!(entries.count(), 0);
    }

    #[test]
    fn missing_directories_are_made_only_if_asked() {
        let root = tempfile::tempdir().expect("a directory");
        let relative = Path::new("a/b");
        let fault = Place::open(&Disks::default(), root.path(), relative, false).expect_err("not there");
        assert_eq!(fault.kind, FaultKind::DiskIo);
        let place = Place::open(&Disks::default(), root.path(), relative, true).expect("made");
        assert!(root.path().join("a/b").is_dir());
        assert!(place.free_bytes().expect("a number") > 0);
        let same = Place::open(&Disks::default(), root.path(), relative, false).expect("there");
        assert_eq!(same.filesystem(), place.filesystem());
        Place::open(&Disks::default(), root.path(), Path::new(""), false).expect("the root itself");
    }

    #[test]
    fn a_root_may_be_reached_by_a_link() {
        let real = tempfile::tempdir().expect("a directory");
        let link = real.path().join("link");
        std::os::unix::fs::symlink(real.path(), &link).expect("a link");
        Place::open(&Disks::default(), &link, Path::new("sub"), true).expect("the user's own link");
        assert!(real.path().join("sub").is_dir());
    }
}
