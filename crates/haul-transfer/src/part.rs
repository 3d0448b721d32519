//! Part files: where bytes lie until their file is complete.
//!
//! ```text
//! create --> reserve --> (written by workers) --> sync_data ... --> seal: the final name
//!   ^                         ^       |                              or remove
//! reopen ---------------------+       +--> restart: empty again
//! ```
//!
//! All calls block; the driver makes them on a blocking thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, OnceLock};

use haul_core::{Fault, FaultKind};
use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::name::{self, NAME_BYTES_MAX, PART_SUFFIX};
use crate::{Place, disk_fault};

/// What to do when the final name is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Take `NAME (1)`, `NAME (2)` and so on.
    #[default]
    Rename,
    /// Replace what is there.
    Overwrite,
    /// Give up.
    Fail,
}

/// An open part file, `NAME.<8 hex>.haul-part`, beside its target.
#[derive(Debug)]
pub struct PartFile {
    place: Arc<Place>,
    name: String,
    file: Arc<File>,
    device: u64,
    inode: u64,
}

impl PartFile {
    /// Makes the part file of a file that will be called `file_name`. It is ours alone (mode 0600).
    ///
    /// # Errors
    ///
    /// [`FaultKind::TargetExists`] when there is one with this tag already, else what the disk says.
    pub fn create(place: Arc<Place>, file_name: &str, tag: u32) -> Result<Self, Fault> {
        let name = part_name(file_name, tag);
        match place.open_file(&name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL) {
            Ok(file) => Self::of(place, name, file),
            Err(Errno::EXIST) => {
                let detail = format!("there is a part file {name} already");
                Err(Fault::new(FaultKind::TargetExists, detail))
            }
            Err(errno) => Err(place.fault(errno, "cannot make a file in")),
        }
    }

    /// Removes what an earlier run has left under the name that [`PartFile::create`] would take.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn remove_leftover(place: &Place, file_name: &str, tag: u32) -> Result<(), Fault> {
        match rustix::fs::unlinkat(place, part_name(file_name, tag), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(place.fault(errno, "cannot remove an old part file in")),
        }
    }

    /// Opens a part file of an earlier run; `None` where it is gone or another file has its name (F-DISK-09).
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn reopen(place: Arc<Place>, name: &str, device: u64, inode: u64) -> Result<Option<Self>, Fault> {
        // Not to hang should the name belong to a pipe by now.
        let file = match place.open_file(name, OFlags::RDWR | OFlags::NONBLOCK) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Ok(None),
            Err(errno) => return Err(place.fault(errno, &format!("cannot open {name} in"))),
        };
        let part = Self::of(place, name.to_owned(), file)?;
        let is_regular = part.file.metadata().is_ok_and(|metadata| metadata.is_file());
        let is_ours = (part.device, part.inode) == (device, inode) && is_regular;
        Ok(is_ours.then_some(part))
    }

    fn of(place: Arc<Place>, name: String, file: File) -> Result<Self, Fault> {
        let metadata = file.metadata().map_err(|error| disk_fault(&error, &format!("cannot look at {name}")))?;
        Ok(Self { place, name, file: Arc::new(file), device: metadata.dev(), inode: metadata.ino() })
    }

    /// The file, for workers to write to.
    #[must_use]
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// The directory it lies in.
    #[must_use]
    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Its own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The device it lies on; with [`PartFile::inode`] it tells the file from all others.
    #[must_use]
    pub fn device(&self) -> u64 {
        self.device
    }

    /// Its number on the device.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// The offset behind the last byte that was ever written.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn len(&self) -> Result<u64, Fault> {
        self.metadata().map(|metadata| metadata.len())
    }

    /// Tells whether nothing was ever written.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn is_empty(&self) -> Result<bool, Fault> {
        self.len().map(|len| len == 0)
    }

    /// Reserves disk space for a file of `total` bytes, as long as `keep_free` bytes stay free beside it. A file
    /// system that cannot reserve is no fault: the file is sparse then.
    ///
    /// # Errors
    ///
    /// [`FaultKind::DiskFull`] when it does not fit; nothing is reserved then.
    pub fn reserve(&self, total: u64, keep_free: u64) -> Result<(), Fault> {
        let metadata = self.metadata()?;
        let missing = total.saturating_sub(metadata.blocks().saturating_mul(STAT_BLOCK_BYTES));
        let free = self.place.free_bytes()?;
        if missing == 0 {
            return Ok(());
        }
        // Asked for more than there is, ext4 takes all that is left before it says no (F-DISK-02).
        if missing.saturating_add(keep_free) > free {
            let dir = self.place.path().display();
            let detail = format!(
                "no space for {total} bytes in {dir}: {missing} bytes are missing, {keep_free} must stay free, {free} are"
            );
            return Err(Fault::new(FaultKind::DiskFull, detail));
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, total) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            Err(errno) => {
                // What a refused request has grabbed is given back (F-DISK-03).
                let given_back = rustix::fs::ftruncate(&self.file, metadata.len());
                if let Err(error) = given_back {
                    tracing::warn!(part = self.name, %error, "reserved space could not be given back");
                }
                Err(self.fault(errno.into(), "cannot reserve space for"))
            }
        }
    }

    /// Drops all bytes, to start over.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn restart(&self) -> Result<(), Fault> {
        rustix::fs::ftruncate(&self.file, 0).map_err(|errno| self.fault(errno.into(), "cannot empty"))
    }

    /// Makes everything that was written so far survive a power cut. A failure is final: what was not synced may be
    /// lost although a second try succeeds (F-DISK-13).
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn sync_data(&self) -> Result<(), Fault> {
        self.file.sync_data().map_err(|error| self.fault(error, "cannot sync"))
    }

    /// Tells whether the file still has its name: writing to a deleted file succeeds silently (F-DISK-07).
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.place.holds(&self.name, self.device, self.inode)
    }

    /// Gives the file its final name and returns it. Name and bytes survive a power cut then.
    ///
    /// The file gets the access that the user's umask leaves, and never that to execute it (F-DISK-20).
    ///
    /// # Errors
    ///
    /// [`FaultKind::TargetExists`] when the name is taken and may neither be replaced nor changed, else what the
    /// disk says. The part file stays.
    pub fn seal(self, final_name: &str, on_conflict: OnConflict) -> Result<String, Fault> {
        let mode = Mode::from_raw_mode(0o666 & !umask());
        rustix::fs::fchmod(&self.file, mode).map_err(|errno| self.fault(errno.into(), "cannot open up"))?;
        self.file.sync_all().map_err(|error| self.fault(error, "cannot sync"))?;
        let name = self.rename(final_name, on_conflict)?;
        self.place.sync()?;
        Ok(name)
    }

    /// Removes the file, if it is still ours (F-DISK-18).
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn remove(self) -> Result<(), Fault> {
        if !self.is_in_place() {
            return Ok(());
        }
        match rustix::fs::unlinkat(&self.place, self.name.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.fault(errno.into(), "cannot remove")),
        }
    }

    fn rename(&self, final_name: &str, on_conflict: OnConflict) -> Result<String, Fault> {
        if on_conflict == OnConflict::Overwrite {
            return match self.rename_over(final_name) {
                Ok(()) => Ok(final_name.to_owned()),
                Err(Errno::ISDIR) => Err(taken(final_name)),
                Err(errno) => Err(self.fault(errno.into(), "cannot rename")),
            };
        }
        let tries = match on_conflict {
            OnConflict::Rename => CONFLICTS_MAX,
            OnConflict::Overwrite | OnConflict::Fail => 0,
        };
        for number in 0..=tries {
            let name = numbered(final_name, number);
            match self.rename_to_free(&name) {
                Ok(()) => return Ok(name),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.fault(errno.into(), "cannot rename")),
            }
        }
        Err(taken(final_name))
    }

    /// Never replaces: the file system itself refuses, so that there is no moment between looking and renaming.
    fn rename_to_free(&self, name: &str) -> Result<(), Errno> {
        let (place, part) = (&self.place, self.name.as_str());
        match rustix::fs::renameat_with(place, part, place, name, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.link_to_free(name),
            renamed => renamed,
        }
    }

    /// For file systems that cannot rename so (F-DISK-17): a hard link refuses a taken name, too. Where there are
    /// none, an empty file holds the name until we replace it.
    fn link_to_free(&self, name: &str) -> Result<(), Errno> {
        let (place, part) = (&self.place, self.name.as_str());
        match rustix::fs::linkat(place, part, place, name, AtFlags::empty()) {
            Ok(()) => rustix::fs::unlinkat(place, part, AtFlags::empty()),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                place.open_file(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
                self.rename_over(name)
            }
            Err(errno) => Err(errno),
        }
    }

    fn rename_over(&self, name: &str) -> Result<(), Errno> {
        rustix::fs::renameat(&self.place, self.name.as_str(), &self.place, name)
    }

    fn metadata(&self) -> Result<std::fs::Metadata, Fault> {
        self.file.metadata().map_err(|error| self.fault(error, "cannot look at"))
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is always the last use of the error")]
    fn fault(&self, error: io::Error, doing: &str) -> Fault {
        let path = self.place.path().join(&self.name);
        disk_fault(&error, &format!("{doing} {}", path.display()))
    }
}

pub(crate) fn part_name(file_name: &str, tag: u32) -> String {
    let room = NAME_BYTES_MAX - PART_SUFFIX.len() - 9;
    format!("{}.{tag:08x}{PART_SUFFIX}", name::cut(file_name, room))
}

fn taken(name: &str) -> Fault {
    let detail = format!("the name {name} is taken; rename the job or what is there");
    Fault::new(FaultKind::TargetExists, detail)
}

/// The `number`th name to try for a file: `a.tar.gz`, `a (1).tar.gz`, and so on. It fits, too (F-NAME-04).
#[must_use]
pub fn numbered(name: &str, number: u32) -> String {
    if number == 0 {
        return name.to_owned();
    }
    let mark = format!(" ({number})");
    let name = name::cut(name, NAME_BYTES_MAX - mark.len());
    let at = name::extension(&name).unwrap_or(name.len());
    format!("{}{mark}{}", &name[..at], &name[at..])
}

/// The process's umask, read without changing it, which would be seen by other threads.
fn umask() -> u32 {
    static UMASK: OnceLock<u32> = OnceLock::new();
    *UMASK.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
        umask.and_then(|digits| u32::from_str_radix(digits.trim(), 8).ok()).unwrap_or(UMASK_USUAL)
    })
}

/// How often a taken name is numbered before we give up.
const CONFLICTS_MAX: u32 = 9999;

/// The unit of `st_blocks` on Linux, whatever the file system's own is.
const STAT_BLOCK_BYTES: u64 = 512;

/// For a system without `/proc`: what Debian and Fedora start with.
const UMASK_USUAL: u32 = 0o022;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

    use super::*;

    struct Fixture {
        dir: tempfile::TempDir,
        place: Arc<Place>,
    }

    impl Fixture {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let place = Place::open(dir.path(), "".as_ref(), false).expect("a place");
            Self { dir, place: Arc::new(place) }
        }

        fn part(&self, name: &str) -> PartFile {
            let part = PartFile::create(Arc::clone(&self.place), name, 0xab).expect("a part file");
            part.file().write_all_at(b"bytes", 0).expect("written");
            part
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.dir.path()).expect("a directory");
            let mut names: Vec<_> =
                entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
            names.sort();
            names
        }

        fn put(&self, name: &str) {
            std::fs::write(self.dir.path().join(name), "old").expect("written");
        }

        fn read(&self, name: &str) -> String {
            std::fs::read_to_string(self.dir.path().join(name)).expect("read")
        }
    }

    #[test]
    fn f_disk_20_a_part_is_private_and_a_sealed_file_is_not_executable() {
        let t = Fixture::new();
        let mode = |name: &str| {
            let metadata = std::fs::metadata(t.dir.path().join(name)).expect("there");
            metadata.permissions().mode() & 0o7777
        };
        let part = t.part("a.iso");
        assert_eq!(t.names(), ["a.iso.000000ab.haul-part"]);
        assert_eq!(mode("a.iso.000000ab.haul-part"), 0o600);
        assert_eq!(part.seal("a.iso", OnConflict::Fail).expect("sealed"), "a.iso");
        assert_eq!(t.names(), ["a.iso"]);
        assert_eq!(mode("a.iso"), 0o666 & !umask());
        assert_eq!(t.read("a.iso"), "bytes");
    }

    #[test]
    fn f_disk_10_sealing_never_replaces_unless_told_to() {
        let t = Fixture::new();
        for name in ["a.tar.gz", "a (1).tar.gz"] {
            t.put(name);
        }
        let name = t.part("a.tar.gz").seal("a.tar.gz", OnConflict::Rename).expect("sealed");
        assert_eq!(name, "a (2).tar.gz");
        let fault = t.part("x").seal("a.tar.gz", OnConflict::Fail).expect_err("taken");
        assert_eq!(fault.kind, FaultKind::TargetExists);
        assert_eq!(t.read("a.tar.gz"), "old");
        t.part("y").seal("a.tar.gz", OnConflict::Overwrite).expect("sealed");
        assert_eq!(t.read("a.tar.gz"), "bytes");
        std::fs::create_dir(t.dir.path().join("d")).expect("a directory");
        let fault = t.part("z").seal("d", OnConflict::Overwrite).expect_err("a directory");
        assert_eq!(fault.kind, FaultKind::TargetExists);
    }

    #[test]
    fn f_disk_17_without_noreplace_a_link_does_the_same() {
        let t = Fixture::new();
        t.put("a");
        let part = t.part("a");
        assert_eq!(part.link_to_free("a"), Err(Errno::EXIST));
        part.link_to_free("b").expect("linked");
        assert_eq!(t.names(), ["a", "b"]);
        assert_eq!((t.read("a"), t.read("b")), ("old".to_owned(), "bytes".to_owned()));
    }

    #[test]
    fn a_second_part_with_the_same_tag_is_refused() {
        let t = Fixture::new();
        let _part = t.part("a");
        let fault = PartFile::create(Arc::clone(&t.place), "a", 0xab).expect_err("there");
        assert_eq!(fault.kind, FaultKind::TargetExists);
    }

    #[test]
    fn f_disk_09_only_the_same_file_is_opened_again() {
        let t = Fixture::new();
        let part = t.part("a");
        let (name, device, inode) = (part.name().to_owned(), part.device(), part.inode());
        let reopen = |inode| PartFile::reopen(Arc::clone(&t.place), &name, device, inode).expect("no error");
        let again = reopen(inode).expect("the same");
        assert_eq!(again.len(), Ok(5));
        assert!(reopen(inode + 1).is_none());
        let path = t.dir.path().join(&name);
        std::fs::remove_file(&path).expect("removed");
        assert!(reopen(inode).is_none());
        assert!(!part.is_in_place());
        std::os::unix::fs::symlink("/etc/passwd", &path).expect("a link");
        assert!(reopen(inode).is_none());
        part.remove().expect("nothing of ours is there");
        assert_eq!(t.names(), std::slice::from_ref(&name));
    }

    #[test]
    fn f_disk_02_space_is_reserved_only_if_there_is_enough() {
        let t = Fixture::new();
        let part = t.part("a");
        part.reserve(1 << 20, 0).expect("a megabyte");
        assert_eq!(part.len(), Ok(5), "the size stays");
        let blocks = part.metadata().expect("metadata").blocks();
        let fault = part.reserve(1 << 60, 0).expect_err("an exabyte");
        assert_eq!(fault.kind, FaultKind::DiskFull);
        let fault = part.reserve(2 << 20, u64::MAX).expect_err("nothing would stay free");
        assert_eq!(fault.kind, FaultKind::DiskFull);
        assert_eq!(part.metadata().expect("metadata").blocks(), blocks);
        part.restart().expect("emptied");
        assert_eq!(part.len(), Ok(0));
        part.sync_data().expect("synced");
    }

    #[test]
    fn f_name_04_part_and_numbered_names_fit() {
        let t = Fixture::new();
        let name = format!("{}.iso", "é".repeat(125));
        assert_eq!(name.len(), 254);
        let part = t.part(&name);
        assert!(part.name().len() <= 255 && part.name().contains(".iso."));
        t.put(&name);
        let sealed = part.seal(&name, OnConflict::Rename).expect("sealed");
        assert!(sealed.ends_with(" (1).iso") && sealed.len() <= 255, "{sealed}");
    }
}
