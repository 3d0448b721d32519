//! The file systems that a process writes to: how they are reached, and what of their space is promised.
//!
//! A file that has its whole length allocated needs no promise. On a file system that cannot allocate ahead, files are
//! sparse, and what they will grow by is counted here, so that many jobs do not each believe in the same free bytes.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use haul_core::{Fault, FaultKind};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::fs::{Disk, Fs, mounts_on, unbroken};
use crate::{DiskFile, Place};

/// All file systems. One of these belongs to a process.
#[derive(Debug)]
pub struct Disks {
    fs: Arc<dyn Fs>,
    /// By `st_dev`.
    spaces: Mutex<HashMap<u64, Arc<Space>>>,
}

impl Disks {
    /// Reached by these calls.
    #[must_use]
    pub fn new(fs: Arc<dyn Fs>) -> Self {
        Self { fs, spaces: Mutex::default() }
    }

    /// How many mount points a path crosses, as far as it exists.
    #[must_use]
    pub fn mounts_on(&self, path: &Path) -> u32 {
        mounts_on(&*self.fs, path)
    }

    /// Why nothing could be made below a directory that is there, or is yet to be made, with the part of its path that
    /// refuses it; `None` where all is well.
    #[must_use]
    pub fn refusal_of(&self, dir: &Path) -> Option<(PathBuf, io::Error)> {
        for path in dir.ancestors() {
            let errno = match unbroken(|| self.fs.stat_path(path)) {
                Err(Errno::NOENT) => continue,
                Err(errno) => errno,
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => Errno::NOTDIR,
                Ok(_) => match unbroken(|| self.fs.may_write(path)) {
                    Ok(()) => return None,
                    Err(errno) => errno,
                },
            };
            return Some((path.to_owned(), errno.into()));
        }
        None
    }

    pub(crate) fn fs(&self) -> &Arc<dyn Fs> {
        &self.fs
    }

    pub(crate) fn space(&self, filesystem: u64) -> Arc<Space> {
        let mut spaces = self.spaces.lock().expect("nothing panics while it is held");
        Arc::clone(spaces.entry(filesystem).or_default())
    }
}

/// The real ones.
impl Default for Disks {
    fn default() -> Self {
        Self::new(Arc::new(Disk))
    }
}

/// What of one file system is promised.
#[derive(Debug, Default)]
pub(crate) struct Space(Mutex<Vec<Promise>>);

/// A file may become this long.
struct Promise {
    file: Weak<DiskFile>,
    len: u64,
}

impl Space {
    /// Promises a file its whole length and allocates it where that can be done.
    ///
    /// One file after the other: two that looked at the same time would see the same free bytes.
    pub(crate) fn reserve(&self, place: &Place, file: &Arc<DiskFile>, len: u64, keep_free: u64) -> Result<(), Fault> {
        let mut promises = self.promises();
        promises.retain(|promise| promise.file.strong_count() > 0 && !promise.is_to(file));
        let missing = missing(file, len).map_err(|error| file.fault(&error, "cannot look at the part file"))?;
        if missing > 0 {
            fits(place, missing, &promises, keep_free)?;
            allocate(place, file, len)?;
        }
        promises.push(Promise { file: Arc::downgrade(file), len });
        Ok(())
    }

    /// Tells whether a file of this length would fit now; nothing is promised.
    pub(crate) fn check(&self, place: &Place, len: u64, keep_free: u64) -> Result<(), Fault> {
        let mut promises = self.promises();
        promises.retain(|promise| promise.file.strong_count() > 0);
        fits(place, len, &promises, keep_free)
    }

    /// The disk is asked while they are held: a panic there is one job's, and what others were promised still stands
    /// (F-PROC-03).
    fn promises(&self) -> MutexGuard<'_, Vec<Promise>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Promise {
    fn is_to(&self, file: &Arc<DiskFile>) -> bool {
        std::ptr::eq(self.file.as_ptr(), Arc::as_ptr(file))
    }

    /// What the file may still take. One that cannot be looked at is not counted: its own job finds out.
    fn missing(&self) -> u64 {
        self.file.upgrade().and_then(|file| missing(&file, self.len).ok()).unwrap_or(0)
    }
}

impl fmt::Debug for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promise").field("len", &self.len).finish_non_exhaustive()
    }
}

/// The bytes of a file of this length that no block is allocated for.
fn missing(file: &DiskFile, len: u64) -> io::Result<u64> {
    let blocks = u64::try_from(file.stat()?.st_blocks).unwrap_or_default();
    Ok(len.saturating_sub(blocks.saturating_mul(STAT_BLOCK_BYTES)))
}

fn fits(place: &Place, needed: u64, promises: &[Promise], keep_free: u64) -> Result<(), Fault> {
    let promised = promises.iter().map(Promise::missing).fold(0, u64::saturating_add);
    let free = place.free_bytes()?;
    let wanted = needed.saturating_add(promised).saturating_add(keep_free);
    // Asked for more than there is, ext4 takes all that is left before it says no (F-DISK-02).
    if wanted <= free {
        return Ok(());
    }
    let (dir, short) = (place.path().display(), wanted - free);
    let promised = if promised == 0 { String::new() } else { format!("{promised} are promised to other files, ") };
    let detail = format!(
        "{short} bytes are missing in {dir}: {needed} are needed, {promised}{keep_free} must stay free, {free} are"
    );
    Err(Fault::new(FaultKind::DiskFull, detail))
}

fn allocate(place: &Place, file: &DiskFile, len: u64) -> Result<(), Fault> {
    let before = file.stat().map_err(|error| file.fault(&error, "cannot look at the part file"))?.st_size;
    match file.allocate(len) {
        // The file is sparse then (F-DISK-04).
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(errno) => {
            // What a refused request has grabbed is given back (F-DISK-03).
            if let Err(error) = file.truncate(u64::try_from(before).unwrap_or_default()) {
                tracing::warn!(dir = ?place.path(), %error, "reserved space could not be given back");
            }
            let doing = format!("cannot reserve {len} bytes in {}", place.path().display());
            Err(file.fault(&errno.into(), &doing))
        }
    }
}

/// The unit of `st_blocks`, whatever the file system's own block size is (POSIX leaves it open; Linux says 512).
const STAT_BLOCK_BYTES: u64 = 512;
