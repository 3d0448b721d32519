//! An open file that is written to and read from at offsets.

use std::fmt;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use haul_core::Fault;
use rustix::fs::{Mode, Stat};
use rustix::io::Errno;
use tokio::sync::Notify;

use crate::fs::{Disk, Fs, unbroken};
use crate::{Place, disk_fault};

/// So many unsynced bytes a file may have on any disk (FAILURES.md, F-DISK-15).
const UNSYNCED_MIN: u64 = 32 << 20;

/// And so many at most, on the fastest disk.
const UNSYNCED_MAX: u64 = 256 << 20;

/// In between, what the disk has just shown to sync in this time: so a power cut costs little time on any disk, and a
/// fast one is not kept waiting.
const SYNC_TIME: Duration = Duration::from_millis(200);

/// A sync of fewer bytes than this says nothing about the disk's speed.
const SYNC_EVIDENCE: u64 = 8 << 20;

/// An open file. Any number of workers write to it at the same time, each at its own offsets.
pub struct DiskFile {
    fs: Arc<dyn Fs>,
    file: OwnedFd,
    /// Where it lies, to tell a broken disk from one that is gone.
    place: Option<Arc<Place>>,
    /// Bytes written, ever.
    written: AtomicU64,
    /// As many of them as were written when the last sync began that succeeded.
    synced: AtomicU64,
    /// How many may be unsynced.
    unsynced_max: AtomicU64,
    /// Rings after each sync.
    has_synced: Notify,
}

impl DiskFile {
    pub(crate) fn new(place: Arc<Place>, file: OwnedFd) -> Self {
        Self { place: Some(Arc::clone(&place)), ..Self::over(Arc::clone(place.fs()), file) }
    }

    fn over(fs: Arc<dyn Fs>, file: OwnedFd) -> Self {
        let (written, synced, has_synced) = Default::default();
        Self { fs, file, place: None, written, synced, unsynced_max: UNSYNCED_MIN.into(), has_synced }
    }

    /// Reads into `buffer` as many bytes as come at once.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        Ok(unbroken(|| self.fs.read_at(self.fd(), buffer, at))?)
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    ///
    /// What the disk says, and [`io::ErrorKind::UnexpectedEof`] where the file ends before.
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => {
                    buffer = &mut buffer[read..];
                    at += read as u64;
                }
            }
        }
        Ok(())
    }

    /// Writes all of `bytes`, in as many calls as it takes (F-DISK-14).
    ///
    /// # Errors
    ///
    /// What the disk says; then any part of them may be written.
    pub fn write_all_at(&self, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
        self.written.fetch_add(bytes.len() as u64, Ordering::AcqRel);
        while !bytes.is_empty() {
            match unbroken(|| self.fs.write_at(self.fd(), bytes, at))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => {
                    bytes = &bytes[written..];
                    at += written as u64;
                }
            }
        }
        Ok(())
    }

    /// Makes everything that was written before survive a power cut. A failure is final: what was not synced may be lost
    /// although a second try succeeds (F-DISK-13).
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn sync_data(&self) -> io::Result<()> {
        self.note_sync(|| self.fs.sync_data(self.fd()))
    }

    /// As [`DiskFile::sync_data`], and what is known of the file, too.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn sync_all(&self) -> io::Result<()> {
        self.note_sync(|| self.fs.sync_all(self.fd()))
    }

    fn note_sync(&self, sync: impl FnMut() -> rustix::io::Result<()>) -> io::Result<()> {
        let (written, begun) = (self.written.load(Ordering::Acquire), Instant::now());
        unbroken(sync)?;
        let synced = self.synced.fetch_max(written, Ordering::AcqRel);
        if let Some(max) = unsynced_max(written.saturating_sub(synced), begun.elapsed()) {
            self.unsynced_max.store(max, Ordering::Release);
        }
        self.has_synced.notify_waiters();
        Ok(())
    }

    /// Bytes that were written since the last sync began.
    #[must_use]
    pub fn unsynced_bytes(&self) -> u64 {
        let synced = self.synced.load(Ordering::Acquire);
        self.written.load(Ordering::Acquire).saturating_sub(synced)
    }

    /// Tells whether so many bytes are unsynced that no more should be written before a sync (F-DISK-15). A file that lies
    /// nowhere in particular has nobody to sync it.
    #[must_use]
    pub fn is_full_of_unsynced(&self) -> bool {
        self.place.is_some() && self.unsynced_bytes() >= self.unsynced_max.load(Ordering::Acquire)
    }

    /// Tells whether a sync should begin, so that it ends before the file is full of unsynced bytes.
    #[must_use]
    pub fn should_sync(&self) -> bool {
        self.unsynced_bytes() >= self.unsynced_max.load(Ordering::Acquire) / 2
    }

    /// Completes when more may be written. Cancel safe: nothing is consumed.
    pub(crate) async fn room(&self) {
        loop {
            let mut synced = std::pin::pin!(self.has_synced.notified());
            synced.as_mut().enable();
            if !self.is_full_of_unsynced() {
                return;
            }
            synced.await;
        }
    }

    /// What is known of it.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(unbroken(|| self.fs.stat(self.fd()))?)
    }

    /// A reader that begins at the file's first byte.
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader { file: self, at: 0 }
    }

    pub(crate) fn allocate(&self, len: u64) -> Result<(), Errno> {
        unbroken(|| self.fs.allocate(self.fd(), len))
    }

    pub(crate) fn truncate(&self, len: u64) -> Result<(), Errno> {
        unbroken(|| self.fs.truncate(self.fd(), len))
    }

    pub(crate) fn set_mode(&self, mode: Mode) -> Result<(), Errno> {
        unbroken(|| self.fs.set_mode(self.fd(), mode))
    }

    /// The fault that an error of this file is; `doing` fits before a colon.
    #[must_use]
    pub fn fault(&self, error: &io::Error, doing: &str) -> Fault {
        let fault = disk_fault(error, doing);
        match &self.place {
            Some(place) => place.or_unmounted(fault),
            None => fault,
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A file of the real disk that lies nowhere in particular.
impl From<std::fs::File> for DiskFile {
    fn from(file: std::fs::File) -> Self {
        Self::over(Arc::new(Disk), file.into())
    }
}

impl fmt::Debug for DiskFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskFile").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Reads a file from its first byte on.
#[derive(Debug)]
pub struct Reader<'a> {
    file: &'a DiskFile,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// How many bytes may be unsynced where the disk has just synced so many in this time; `None` where that shows nothing.
fn unsynced_max(synced: u64, took: Duration) -> Option<u64> {
    let in_time = u128::from(synced) * SYNC_TIME.as_micros() / took.as_micros().max(1);
    let max = u64::try_from(in_time).unwrap_or(u64::MAX).clamp(UNSYNCED_MIN, UNSYNCED_MAX);
    (synced >= SYNC_EVIDENCE).then_some(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_disk_15_what_may_be_unsynced_follows_the_disk() {
        let after = |mib: u64, millis| unsynced_max(mib << 20, Duration::from_millis(millis)).map(|max| max >> 20);
        assert_eq!(after(16, 1_000), Some(32), "a slow disk");
        assert_eq!(after(32, 64), Some(100), "500 MiB/s");
        assert_eq!(after(100, 0), Some(256), "a disk that is memory");
        assert_eq!(after(1, 0), None, "too few bytes");
    }
}
