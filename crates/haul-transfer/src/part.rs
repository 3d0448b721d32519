//! Part files: where bytes lie until their file is complete.
//!
//! ```text
//! create --> reserve --> (written by workers) --> sync_data ... --> seal: the final name
//!   ^                         ^       |                              or remove
//! reopen ---------------------+       +--> restart: empty again
//! ```
//!
//! All calls block; the driver makes them on a blocking thread.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use haul_core::{Fault, FaultKind};
use rustix::fs::{FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::fs::unbroken;
use crate::name::{self, NAME_BYTES_MAX, PART_SUFFIX};
use crate::{DiskFile, Place};

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

/// What a file at rest looks like: where it looks different later, somebody has written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its length.
    pub bytes: u64,
    /// When its bytes were last changed, in nanoseconds since the Unix epoch.
    pub modified_ns: i64,
    /// When anything of it was last changed; no user can set this back.
    pub changed_ns: i64,
}

/// An open part file, `NAME.<8 hex>.haul-part`, beside its target.
#[derive(Debug)]
pub struct PartFile {
    place: Arc<Place>,
    name: String,
    file: Arc<DiskFile>,
    device: u64,
    inode: u64,
    /// Its name survives a power cut.
    is_named: AtomicBool,
}

/// A file under its final name, to be looked at.
#[derive(Debug)]
pub struct SealedFile {
    /// The file, for reading.
    pub file: DiskFile,
    /// The device that it lies on.
    pub device: u64,
    /// Its number on the device.
    pub inode: u64,
    /// Its length.
    pub len: u64,
}

impl SealedFile {
    /// Opens what has this name; `None` where that is no file.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn open(place: &Arc<Place>, name: &str) -> Result<Option<Self>, Fault> {
        // Not to hang should the name belong to a pipe by now.
        let file = match place.open_file(name, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Ok(None),
            Err(errno) => return Err(place.fault(errno, &format!("cannot open {name} in"))),
        };
        let stat = file.stat().map_err(|error| file.fault(&error, &format!("cannot look at {name}")))?;
        let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let len = u64::try_from(stat.st_size).unwrap_or_default();
        Ok(is_regular.then_some(Self { file, device: stat.st_dev, inode: stat.st_ino, len }))
    }
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
            Ok(file) => Self::of(place, name, file).map(|(part, _)| part),
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
        match unbroken(|| place.fs().unlink(place.fd(), &part_name(file_name, tag))) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(place.fault(errno, "cannot remove an old part file in")),
        }
    }

    /// Opens a part file of an earlier run; `None` where it is gone or another file has its name (F-DISK-09).
    ///
    /// A file system that was mounted again may have another device number: what counts is that the file has this inode on
    /// the device of its directory.
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
        let filesystem = place.filesystem();
        let (part, stat) = Self::of(place, name.to_owned(), file)?;
        let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let is_ours = part.inode == inode && (part.device == device || part.device == filesystem) && is_regular;
        Ok(is_ours.then_some(part))
    }

    fn of(place: Arc<Place>, name: String, file: DiskFile) -> Result<(Self, Stat), Fault> {
        let stat = file.stat().map_err(|error| file.fault(&error, &format!("cannot look at {name}")))?;
        let (file, is_named) = (Arc::new(file), AtomicBool::new(false));
        Ok((Self { place, name, file, device: stat.st_dev, inode: stat.st_ino, is_named }, stat))
    }

    /// The file, for workers to write to.
    #[must_use]
    pub fn file(&self) -> &Arc<DiskFile> {
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
        let stat = self.file.stat().map_err(|error| self.fault(error, "cannot look at"))?;
        Ok(u64::try_from(stat.st_size).unwrap_or_default())
    }

    /// Tells whether nothing was ever written.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn is_empty(&self) -> Result<bool, Fault> {
        self.len().map(|len| len == 0)
    }

    /// What the file looks like now, while nobody writes to it.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn stamp(&self) -> Result<Stamp, Fault> {
        let stat = self.file.stat().map_err(|error| self.fault(error, "cannot look at"))?;
        let nanos = |seconds: i64, nanos| seconds.saturating_mul(1_000_000_000).saturating_add_unsigned(nanos);
        Ok(Stamp {
            bytes: u64::try_from(stat.st_size).unwrap_or_default(),
            modified_ns: nanos(stat.st_mtime, stat.st_mtime_nsec),
            changed_ns: nanos(stat.st_ctime, stat.st_ctime_nsec),
        })
    }

    /// Takes a file that stands under its final name back, to be worked on once more: it gets the name of a part file
    /// again. `None` where that name is not that very file any more.
    ///
    /// # Errors
    ///
    /// [`FaultKind::TargetExists`] when something else has the part file's name, else what the disk says.
    pub fn take_back(
        place: Arc<Place>,
        final_name: &str,
        part_name: &str,
        device: u64,
        inode: u64,
    ) -> Result<Option<Self>, Fault> {
        let Some(mut part) = Self::reopen(place, final_name, device, inode)? else { return Ok(None) };
        part.rename_to_free(part_name).map_err(|errno| match errno {
            Errno::EXIST => taken(part_name),
            errno => part.fault(errno.into(), "cannot take back"),
        })?;
        part_name.clone_into(&mut part.name);
        part.place.sync()?;
        Ok(Some(part))
    }

    /// Reserves disk space for a file of `total` bytes, as long as `keep_free` bytes stay free beside it and beside what
    /// other files were promised. A file system that cannot reserve is no fault: the file is sparse then.
    ///
    /// # Errors
    ///
    /// [`FaultKind::DiskFull`] when it does not fit, with the bytes that are missing; nothing is reserved then.
    pub fn reserve(&self, total: u64, keep_free: u64) -> Result<(), Fault> {
        self.place.space().reserve(&self.place, &self.file, total, keep_free)
    }

    /// Cuts off what lies beyond `total` bytes.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn cut(&self, total: u64) -> Result<(), Fault> {
        if self.len()? <= total {
            return Ok(());
        }
        self.file.truncate(total).map_err(|errno| self.fault(errno.into(), "cannot cut"))
    }

    /// Gives the file another name, `NAME.<8 hex>.old.haul-part`, and returns that: it is of an earlier version, and makes
    /// room for the part file of the new one. Another one of that name is replaced.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn set_aside(&self) -> Result<String, Fault> {
        let name = aside_name(&self.name);
        self.rename_over(&name).map_err(|errno| self.fault(errno.into(), "cannot set aside"))?;
        Ok(name)
    }

    /// Removes a file that was set aside. One that is not there any more is as good.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn remove_aside(place: &Place, name: &str) -> Result<(), Fault> {
        debug_assert!(name.ends_with(ASIDE_SUFFIX), "only what is ours is removed (F-DISK-18)");
        match unbroken(|| place.fs().unlink(place.fd(), name)) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(place.fault(errno, "cannot remove an earlier version from")),
        }
    }

    /// Drops all bytes, to start over.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn restart(&self) -> Result<(), Fault> {
        self.file.truncate(0).map_err(|errno| self.fault(errno.into(), "cannot empty"))
    }

    /// Makes everything that was written so far survive a power cut. A failure is final: what was not synced may be
    /// lost although a second try succeeds (F-DISK-13).
    ///
    /// # Errors
    ///
    /// [`FaultKind::TargetUnmounted`] when the volume is gone, [`FaultKind::DiskIo`] when the file is (F-DISK-07), else what
    /// the disk says.
    pub fn sync_data(&self) -> Result<(), Fault> {
        self.place.check_mounted()?;
        if !self.is_in_place()? {
            let detail = format!("the part file {} was removed or replaced while it was written", self.name);
            return Err(Fault::new(FaultKind::DiskIo, detail));
        }
        self.file.sync_data().map_err(|error| self.fault(error, "cannot sync"))?;
        if !self.is_named.load(Ordering::Acquire) {
            // Without its name the file is gone, and with it every byte that a row would claim.
            self.place.sync()?;
            self.is_named.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Tells whether the file still has its name: writing to a deleted file succeeds silently (F-DISK-07).
    fn is_in_place(&self) -> Result<bool, Fault> {
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
        self.file.set_mode(mode).map_err(|errno| self.fault(errno.into(), "cannot open up"))?;
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
        if !self.is_in_place()? {
            return Ok(());
        }
        match self.unlink(&self.name) {
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
        match self.rename_with(name, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.link_to_free(name),
            renamed => renamed,
        }
    }

    /// For file systems that cannot rename so (F-DISK-17): a hard link refuses a taken name, too. Where there are
    /// none, an empty file holds the name until we replace it.
    fn link_to_free(&self, name: &str) -> Result<(), Errno> {
        match unbroken(|| self.place.fs().link(self.place.fd(), &self.name, name)) {
            Ok(()) => self.unlink(&self.name),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                self.place.open_file(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
                self.rename_over(name)
            }
            Err(errno) => Err(errno),
        }
    }

    fn rename_over(&self, name: &str) -> Result<(), Errno> {
        self.rename_with(name, RenameFlags::empty())
    }

    fn rename_with(&self, name: &str, flags: RenameFlags) -> Result<(), Errno> {
        unbroken(|| self.place.fs().rename(self.place.fd(), &self.name, name, flags))
    }

    fn unlink(&self, name: &str) -> Result<(), Errno> {
        unbroken(|| self.place.fs().unlink(self.place.fd(), name))
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is always the last use of the error")]
    fn fault(&self, error: io::Error, doing: &str) -> Fault {
        let path = self.place.path().join(&self.name);
        self.file.fault(&error, &format!("{doing} {}", path.display()))
    }
}

pub(crate) fn part_name(file_name: &str, tag: u32) -> String {
    let room = NAME_BYTES_MAX - PART_SUFFIX.len() - 9;
    format!("{}.{tag:08x}{PART_SUFFIX}", name::cut(file_name, room))
}

/// The name of a part file that is set aside. Its tag stays.
fn aside_name(part_name: &str) -> String {
    let stem = part_name.strip_suffix(PART_SUFFIX).unwrap_or(part_name);
    let (file_name, tag) = stem.rsplit_once('.').unwrap_or((stem, ""));
    let room = NAME_BYTES_MAX - ASIDE_SUFFIX.len() - 9;
    format!("{}.{tag}{ASIDE_SUFFIX}", name::cut(file_name, room))
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

/// How the names of part files end that are set aside.
const ASIDE_SUFFIX: &str = ".old.haul-part";

/// How often a taken name is numbered before we give up.
const CONFLICTS_MAX: u32 = 9999;

/// For a system without `/proc`: what Debian and Fedora start with.
const UMASK_USUAL: u32 = 0o022;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::Disks;
    use crate::testing::{Call, Failure, FaultyFs};

    struct Fixture {
        dir: tempfile::TempDir,
        place: Arc<Place>,
    }

    impl Fixture {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let place = Place::open(&Disks::default(), dir.path(), "".as_ref(), false).expect("a place");
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
        assert_eq!(part.is_in_place(), Ok(false));
        std::os::unix::fs::symlink("/etc/passwd", &path).expect("a link");
        assert!(reopen(inode).is_none());
        part.remove().expect("nothing of ours is there");
        assert_eq!(t.names(), std::slice::from_ref(&name));
    }

    #[test]
    fn f_disk_09_a_file_that_was_written_to_has_another_stamp_even_if_its_times_are_set_back() {
        let t = Fixture::new();
        let part = t.part("a");
        let before = part.stamp().expect("there");
        assert_eq!(before.bytes, 5);
        assert_eq!(part.stamp(), Ok(before), "looking changes nothing");
        let path = t.dir.path().join(part.name());
        let file = std::fs::OpenOptions::new().write(true).open(path).expect("there");
        let times = file.metadata().and_then(|it| it.modified()).expect("Linux has it");
        loop {
            // The clock of the file system may tick slowly.
            part.file().write_all_at(b"BYTES", 0).expect("written");
            file.set_modified(times).expect("it is ours");
            let after = part.stamp().expect("there");
            assert_eq!((after.bytes, after.modified_ns), (before.bytes, before.modified_ns));
            if after != before {
                return;
            }
        }
    }

    #[test]
    fn a_sealed_file_is_taken_back_only_if_it_is_that_very_file() {
        let t = Fixture::new();
        let part = t.part("a");
        let (name, device, inode) = (part.name().to_owned(), part.device(), part.inode());
        part.seal("a", OnConflict::Fail).expect("sealed");
        let take_back = |inode| PartFile::take_back(Arc::clone(&t.place), "a", &name, device, inode);
        assert!(take_back(inode + 1).expect("no error").is_none());
        t.put(&name);
        assert_eq!(take_back(inode).expect_err("taken").kind, FaultKind::TargetExists);
        std::fs::remove_file(t.dir.path().join(&name)).expect("removed");
        let part = take_back(inode).expect("no error").expect("it is there");
        assert_eq!((part.name(), t.names()), (name.as_str(), vec![name.clone()]));
        assert_eq!(part.is_in_place(), Ok(true));
    }

    #[test]
    fn f_disk_02_space_is_reserved_only_if_there_is_enough() {
        let t = Fixture::new();
        let part = t.part("a");
        part.reserve(1 << 20, 0).expect("a megabyte");
        assert_eq!(part.len(), Ok(5), "the size stays");
        let blocks = part.file().stat().expect("stat").st_blocks;
        let fault = part.reserve(1 << 60, 0).expect_err("an exabyte");
        assert_eq!(fault.kind, FaultKind::DiskFull);
        let fault = part.reserve(2 << 20, u64::MAX).expect_err("nothing would stay free");
        assert_eq!(fault.kind, FaultKind::DiskFull);
        assert_eq!(part.file().stat().expect("stat").st_blocks, blocks);
        part.restart().expect("emptied");
        assert_eq!(part.len(), Ok(0));
        part.sync_data().expect("synced");
    }

    /// A part file on a disk that fails as it is told to.
    fn faulty(dir: &std::path::Path) -> (Arc<FaultyFs>, PartFile) {
        let fs = Arc::new(FaultyFs::default());
        let disks = Disks::new(Arc::clone(&fs) as _);
        let place = Place::open(&disks, dir, "".as_ref(), false).expect("a place");
        (fs, PartFile::create(Arc::new(place), "a", 0xab).expect("a part file"))
    }

    #[test]
    fn f_disk_03_what_a_refused_reservation_has_grabbed_is_given_back() {
        let t = Fixture::new();
        let (fs, part) = faulty(t.dir.path());
        part.file().write_all_at(b"bytes", 0).expect("written");
        fs.fail_one_of(Call::Allocate, 0, Failure::Error(Errno::NOSPC));
        let fault = part.reserve(1 << 20, 0).expect_err("refused");
        assert_eq!(fault.kind, FaultKind::DiskFull);
        assert!(fs.calls().ends_with(&[Call::Allocate, Call::Truncate]), "{:?}", fs.calls());
        assert_eq!(part.len(), Ok(5), "and nothing else");
    }

    #[test]
    fn f_disk_04_without_reservations_a_file_is_sparse() {
        let t = Fixture::new();
        let (fs, part) = faulty(t.dir.path());
        for errno in [Errno::OPNOTSUPP, Errno::NOSYS] {
            fs.fail_one_of(Call::Allocate, 0, Failure::Error(errno));
            part.reserve(1 << 20, 0).expect("no fault");
        }
        part.file().write_all_at(b"end", (1 << 20) - 3).expect("written");
        assert_eq!(part.len(), Ok(1 << 20));
        assert!(part.file().stat().expect("stat").st_blocks * 512 < 1 << 20);
    }

    #[test]
    fn f_disk_14_short_and_interrupted_calls_are_made_again() {
        let t = Fixture::new();
        let (fs, part) = faulty(t.dir.path());
        for n in 0..6 {
            fs.fail_one_of(Call::WriteAt, n * 2, Failure::Short);
            fs.fail_one_of(Call::WriteAt, n * 2 + 1, Failure::Error(Errno::INTR));
            fs.fail_one_of(Call::ReadAt, n, Failure::Short);
        }
        fs.fail_one_of(Call::SyncData, 0, Failure::Error(Errno::INTR));
        let bytes: Vec<u8> = (0..=255).collect();
        part.file().write_all_at(&bytes, 7).expect("written");
        part.sync_data().expect("synced");
        let mut found = vec![0; bytes.len()];
        part.file().read_exact_at(&mut found, 7).expect("read");
        assert_eq!(found, bytes);
        assert_eq!(part.file().unsynced_bytes(), 0);
    }

    #[test]
    fn f_disk_13_a_failed_sync_makes_nothing_durable() {
        let t = Fixture::new();
        let (fs, part) = faulty(t.dir.path());
        part.file().write_all_at(b"bytes", 0).expect("written");
        fs.fail_one_of(Call::SyncData, 0, Failure::Error(Errno::IO));
        assert_eq!(part.sync_data().expect_err("failed").kind, FaultKind::DiskIo);
        assert_eq!(part.file().unsynced_bytes(), 5);
    }

    #[test]
    fn a_first_sync_makes_the_name_durable_too() {
        let t = Fixture::new();
        let (fs, part) = faulty(t.dir.path());
        let syncs = || fs.calls().iter().filter(|call| **call == Call::SyncDir).count();
        part.sync_data().expect("synced");
        part.sync_data().expect("synced");
        assert_eq!(syncs(), 1);
    }

    #[test]
    fn f_name_04_06_part_and_numbered_names_fit() {
        let t = Fixture::new();
        let name = format!("{}.iso", "é".repeat(125));
        assert_eq!(name.len(), 254);
        let part = t.part(&name);
        assert!(part.name().len() <= 255 && part.name().contains(".iso."));
        let tag = part.name().strip_suffix(".haul-part").and_then(|rest| rest.rsplit('.').next()).expect("our suffix");
        assert!(tag.len() == 8 && tag.chars().all(|c| c.is_ascii_hexdigit()), "{tag}");
        t.put(&name);
        let sealed = part.seal(&name, OnConflict::Rename).expect("sealed");
        assert!(sealed.ends_with(" (1).iso") && sealed.len() <= 255, "{sealed}");
    }
}
