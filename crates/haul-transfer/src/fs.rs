//! Every call to the operating system that places and part files make, behind one trait, so that tests can let each of
//! them fail.
//!
//! A call is made once here. Whoever uses them goes through [`unbroken`], which repeats what a signal has interrupted
//! (F-DISK-14).

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Access, AtFlags, FallocateFlags, Mode, OFlags, RenameFlags, ResolveFlags, Stat, StatVfs};
use rustix::io::{Errno, Result};

/// The calls. What they do by default is the real thing.
///
/// Names are relative to an open directory, which is what keeps them beneath a root.
pub trait Fs: fmt::Debug + Send + Sync {
    /// Opens a directory by its path.
    ///
    /// # Errors
    ///
    /// What the system says; so do all others.
    fn open_root(&self, path: &Path) -> Result<OwnedFd> {
        rustix::fs::open(path, DIRECTORY, Mode::empty())
    }

    /// Opens a directory beneath another one, without following a symbolic link (F-DISK-12).
    fn open_beneath(&self, dir: BorrowedFd<'_>, relative: &Path) -> Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(dir, relative, DIRECTORY, Mode::empty(), resolve)
    }

    /// Makes a directory.
    fn make_dir(&self, dir: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
        rustix::fs::mkdirat(dir, name, Mode::RWXU | Mode::RWXG | Mode::RWXO)
    }

    /// The names in a directory and their inodes. Names that are not UTF-8 are none of ours and left out.
    fn names(&self, dir: BorrowedFd<'_>) -> Result<Vec<(String, u64)>> {
        let entries = rustix::fs::Dir::read_from(dir)?;
        let named = entries.map(|entry| {
            let entry = entry?;
            Ok(entry.file_name().to_str().ok().map(|name| (name.to_owned(), entry.ino())))
        });
        named.filter_map(Result::transpose).collect()
    }

    /// Opens a file, or makes one that only its owner may read.
    fn open_file(&self, dir: BorrowedFd<'_>, name: &str, flags: OFlags) -> Result<OwnedFd> {
        rustix::fs::openat(dir, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)
    }

    /// What a path leads to.
    fn stat_path(&self, path: &Path) -> Result<Stat> {
        rustix::fs::stat(path)
    }

    /// Tells whether this process may make and change names in a directory.
    fn may_write(&self, path: &Path) -> Result<()> {
        rustix::fs::accessat(rustix::fs::CWD, path, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
    }

    /// What has this name.
    fn stat_name(&self, dir: BorrowedFd<'_>, name: &str) -> Result<Stat> {
        rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// An open file or directory.
    fn stat(&self, file: BorrowedFd<'_>) -> Result<Stat> {
        rustix::fs::fstat(file)
    }

    /// The file system of an open file or directory.
    fn space(&self, dir: BorrowedFd<'_>) -> Result<StatVfs> {
        rustix::fs::fstatvfs(dir)
    }

    /// Gives a file another name in its directory.
    fn rename(&self, dir: BorrowedFd<'_>, from: &str, to: &str, flags: RenameFlags) -> Result<()> {
        rustix::fs::renameat_with(dir, from, dir, to, flags)
    }

    /// Gives a file a second name.
    fn link(&self, dir: BorrowedFd<'_>, from: &str, to: &str) -> Result<()> {
        rustix::fs::linkat(dir, from, dir, to, AtFlags::empty())
    }

    /// Takes a name away.
    fn unlink(&self, dir: BorrowedFd<'_>, name: &str) -> Result<()> {
        rustix::fs::unlinkat(dir, name, AtFlags::empty())
    }

    /// Makes the names in a directory survive a power cut.
    fn sync_dir(&self, dir: BorrowedFd<'_>) -> Result<()> {
        rustix::fs::fsync(dir)
    }

    /// Reads as many bytes as come at once.
    fn read_at(&self, file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> Result<usize> {
        rustix::io::pread(file, buffer, at)
    }

    /// Writes as many bytes as go at once.
    fn write_at(&self, file: BorrowedFd<'_>, bytes: &[u8], at: u64) -> Result<usize> {
        rustix::io::pwrite(file, bytes, at)
    }

    /// Makes a file's bytes survive a power cut.
    fn sync_data(&self, file: BorrowedFd<'_>) -> Result<()> {
        rustix::fs::fdatasync(file)
    }

    /// Makes a file with all that is known of it survive a power cut.
    fn sync_all(&self, file: BorrowedFd<'_>) -> Result<()> {
        rustix::fs::fsync(file)
    }

    /// Reserves space for the first `len` bytes of a file; its length stays.
    fn allocate(&self, file: BorrowedFd<'_>, len: u64) -> Result<()> {
        rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, len)
    }

    /// Makes a file this long.
    fn truncate(&self, file: BorrowedFd<'_>, len: u64) -> Result<()> {
        rustix::fs::ftruncate(file, len)
    }

    /// Sets who may do what with a file.
    fn set_mode(&self, file: BorrowedFd<'_>, mode: Mode) -> Result<()> {
        rustix::fs::fchmod(file, mode)
    }
}

/// The real disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Fs for Disk {}

/// Makes a call again for as long as signals interrupt it (F-DISK-14).
pub(crate) fn unbroken<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

/// How many mount points a path crosses, as far as it exists. Where it crosses fewer than it did, a volume is gone
/// (F-DISK-08).
///
/// Numbers of devices are not compared with what they were in an earlier run: a disk that is plugged in again may get
/// another one.
pub fn mounts_on(fs: &dyn Fs, path: &Path) -> u32 {
    let mut ancestors: Vec<&Path> = path.ancestors().collect();
    ancestors.reverse();
    let known = ancestors.into_iter().map_while(|path| unbroken(|| fs.stat_path(path)).ok());
    let devices: Vec<u64> = known.map(|stat| stat.st_dev).collect();
    let crossed = devices.windows(2).filter(|pair| pair[0] != pair[1]).count();
    u32::try_from(crossed).unwrap_or(u32::MAX)
}

/// The directory of an open descriptor, as calls take it.
pub(crate) fn of(dir: &impl AsFd) -> BorrowedFd<'_> {
    dir.as_fd()
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
