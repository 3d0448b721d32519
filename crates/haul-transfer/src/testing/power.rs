//! A disk that forgets what was not synced.
//!
//! The files that the daemon sees are real; beside them stands, in memory, what would be there after a power cut. A write
//! counts there once a sync of its file has succeeded that began after it, a name once a sync of its directory has. At the
//! cut, of what was not synced any part may have reached the disk: of a file's writes any of them, of a directory's changes
//! a first few, as a journal would have it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use haul_core::Rng;
use rustix::fs::{AtFlags, OFlags, RenameFlags, Stat, StatVfs};
use rustix::io::{Errno, Result};

use crate::fs::{Disk, Fs};

/// See the module.
#[derive(Debug)]
pub struct PowerCut {
    /// Keeps every file by its inode, whatever becomes of its names.
    aside: PathBuf,
    state: Mutex<State>,
    let_go: Condvar,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<u64, Image>,
    dirs: HashMap<u64, Names>,
    power: Power,
    /// Syncs of files that are to fail.
    failing_syncs: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Power {
    #[default]
    On,
    /// Nobody gets an answer.
    Off,
    /// Every call fails.
    Gone,
}

/// A file as it would be after a cut, and what has been done to it since.
#[derive(Debug, Default)]
struct Image {
    durable: Vec<u8>,
    /// In their order, each with its number.
    pending: Vec<(u64, Change)>,
    changes: u64,
}

#[derive(Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// The names in a directory as they would be after a cut, and what has been done to them since.
#[derive(Debug)]
struct Names {
    dir: OwnedFd,
    durable: BTreeMap<String, u64>,
    pending: Vec<Renaming>,
}

/// One step that happens as a whole or not at all.
#[derive(Debug)]
struct Renaming {
    gone: Option<String>,
    new: Option<(String, u64)>,
}

impl PowerCut {
    /// `aside` is an empty directory on the same file system as the files.
    #[must_use]
    pub fn new(aside: &Path) -> Self {
        Self { aside: aside.to_owned(), state: Mutex::default(), let_go: Condvar::new() }
    }

    /// Lets the next sync of a file fail, and loses for ever what it should have made durable: the system believes that it
    /// is written, so a later sync says nothing of it.
    pub fn fail_next_sync(&self) {
        self.state().failing_syncs += 1;
    }

    /// Cuts the power: nobody gets an answer from the disk any more. Now is the time to look what else is durable.
    pub fn cut(&self) {
        self.state().power = Power::Off;
    }

    /// Makes the real files and names those that are there after the cut, and lets every call of before and from now on fail.
    /// `seed` decides what of the unsynced has reached the disk: about `share` of it.
    pub fn restore(&self, seed: u64, share: f64) {
        let mut state = self.state();
        assert_eq!(state.power, Power::Off, "first the power is cut");
        state.power = Power::Gone;
        self.let_go.notify_all();
        let mut rng = Rng::new(seed);
        let mut is_kept = || (rng.next_u64() % 1000) as f64 / 1000.0 < share;
        let State { files, dirs, .. } = &mut *state;
        for (inode, image) in &mut *files {
            let kept: Vec<_> = image.pending.drain(..).filter(|_| is_kept()).collect();
            kept.into_iter().for_each(|(_, change)| image.take(change));
            let file = File::options().write(true).truncate(true).open(self.kept(*inode));
            file.and_then(|mut file| file.write_all(&image.durable)).expect("the file is kept aside");
        }
        for names in dirs.values_mut() {
            let kept = names.pending.iter().take_while(|_| is_kept()).count();
            names.settle(kept);
            names.pending.clear();
            for (name, _) in Disk.names(names.dir.as_fd()).expect("a directory") {
                // `.` and `..` stay.
                rustix::fs::unlinkat(&names.dir, &name, AtFlags::empty()).ok();
            }
            for (name, inode) in &names.durable {
                let linked = rustix::fs::linkat(rustix::fs::CWD, self.kept(*inode), &names.dir, name, AtFlags::empty());
                linked.expect("the file is kept aside");
            }
        }
        for inode in files.keys() {
            fs::remove_file(self.kept(*inode)).expect("the file is kept aside");
        }
    }

    fn kept(&self, inode: u64) -> PathBuf {
        self.aside.join(inode.to_string())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }

    /// The state, as long as the power is on.
    fn on(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        while state.power == Power::Off {
            state = self.let_go.wait(state).expect("nothing panics while it is held");
        }
        if state.power == Power::On { Ok(state) } else { Err(Errno::IO) }
    }

    /// Begins to watch a file and keeps it aside.
    fn watch(&self, state: &mut State, dir: BorrowedFd<'_>, name: &str, inode: u64, durable: Vec<u8>) {
        if let Entry::Vacant(entry) = state.files.entry(inode) {
            entry.insert(Image { durable, ..Image::default() });
            rustix::fs::linkat(dir, name, rustix::fs::CWD, self.kept(inode), AtFlags::empty())
                .expect("one file system");
        }
    }

    fn sync(&self, file: BorrowedFd<'_>) -> Result<()> {
        let inode = inode(file)?;
        let begun = {
            let mut state = self.on()?;
            let is_to_fail = state.failing_syncs > 0;
            let image = state.files.get_mut(&inode).expect("it is watched");
            if is_to_fail {
                image.pending.clear();
                state.failing_syncs -= 1;
                return Err(Errno::IO);
            }
            image.changes
        };
        std::thread::sleep(SYNC_TAKES);
        let mut state = self.on()?;
        let image = state.files.get_mut(&inode).expect("it is watched");
        let count = image.pending.partition_point(|(number, _)| *number < begun);
        let done: Vec<_> = image.pending.drain(..count).collect();
        done.into_iter().for_each(|(_, change)| image.take(change));
        Ok(())
    }
}

impl Image {
    fn note(&mut self, change: Change) {
        self.pending.push((self.changes, change));
        self.changes += 1;
    }

    /// Makes a change durable.
    fn take(&mut self, change: Change) {
        match change {
            Change::Write { at, bytes } => {
                let end = at + bytes.len();
                if self.durable.len() < end {
                    self.durable.resize(end, 0);
                }
                self.durable[at..end].copy_from_slice(&bytes);
            }
            Change::Truncate(len) => self.durable.resize(len, 0),
        }
    }
}

impl Names {
    /// Makes the first changes durable.
    fn settle(&mut self, count: usize) {
        for Renaming { gone, new } in self.pending.drain(..count) {
            if let Some(name) = gone {
                self.durable.remove(&name);
            }
            self.durable.extend(new);
        }
    }
}

impl State {
    /// The names in an open directory; what is there when it is first seen is durable.
    fn names(&mut self, dir: BorrowedFd<'_>) -> Result<&mut Names> {
        Ok(match self.dirs.entry(inode(dir)?) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let dir = rustix::io::dup(dir)?;
                new.insert(Names { dir, durable: BTreeMap::new(), pending: Vec::new() })
            }
        })
    }

    fn changed(&mut self, dir: BorrowedFd<'_>, gone: Option<&str>, new: Option<(&str, u64)>) -> Result<()> {
        let gone = gone.map(str::to_owned);
        let new = new.map(|(name, inode)| (name.to_owned(), inode));
        self.names(dir)?.pending.push(Renaming { gone, new });
        Ok(())
    }
}

fn inode(file: BorrowedFd<'_>) -> Result<u64> {
    rustix::fs::fstat(file).map(|stat| stat.st_ino)
}

fn offset(at: u64) -> usize {
    usize::try_from(at).expect("files in tests are small")
}

/// Long enough for others to write in the middle of it.
const SYNC_TAKES: Duration = Duration::from_millis(3);

impl Fs for PowerCut {
    fn open_root(&self, path: &Path) -> Result<OwnedFd> {
        let _on = self.on()?;
        Disk.open_root(path)
    }

    fn open_beneath(&self, dir: BorrowedFd<'_>, relative: &Path) -> Result<OwnedFd> {
        let _on = self.on()?;
        Disk.open_beneath(dir, relative)
    }

    fn open_file(&self, dir: BorrowedFd<'_>, name: &str, flags: OFlags) -> Result<OwnedFd> {
        let mut state = self.on()?;
        let was_there = Disk.stat_name(dir, name).is_ok();
        let file = Disk.open_file(dir, name, flags)?;
        let inode = inode(file.as_fd())?;
        if was_there && !state.files.contains_key(&inode) {
            state.names(dir)?.durable.insert(name.to_owned(), inode);
            let mut durable = vec![0; offset(u64::try_from(Disk.stat(file.as_fd())?.st_size).unwrap_or_default())];
            let read = Disk.read_at(file.as_fd(), &mut durable, 0)?;
            assert_eq!(read, durable.len(), "a file in a test is read at once");
            self.watch(&mut state, dir, name, inode, durable);
        } else if !was_there {
            state.changed(dir, None, Some((name, inode)))?;
            self.watch(&mut state, dir, name, inode, Vec::new());
        }
        Ok(file)
    }

    fn stat_path(&self, path: &Path) -> Result<Stat> {
        let _on = self.on()?;
        Disk.stat_path(path)
    }

    fn stat_name(&self, dir: BorrowedFd<'_>, name: &str) -> Result<Stat> {
        let _on = self.on()?;
        Disk.stat_name(dir, name)
    }

    fn space(&self, dir: BorrowedFd<'_>) -> Result<StatVfs> {
        let _on = self.on()?;
        Disk.space(dir)
    }

    fn rename(&self, dir: BorrowedFd<'_>, from: &str, to: &str, flags: RenameFlags) -> Result<()> {
        let mut state = self.on()?;
        let inode = Disk.stat_name(dir, from)?.st_ino;
        Disk.rename(dir, from, to, flags)?;
        state.changed(dir, Some(from), Some((to, inode)))
    }

    fn link(&self, dir: BorrowedFd<'_>, from: &str, to: &str) -> Result<()> {
        let mut state = self.on()?;
        let inode = Disk.stat_name(dir, from)?.st_ino;
        Disk.link(dir, from, to)?;
        state.changed(dir, None, Some((to, inode)))
    }

    fn unlink(&self, dir: BorrowedFd<'_>, name: &str) -> Result<()> {
        let mut state = self.on()?;
        Disk.unlink(dir, name)?;
        state.changed(dir, Some(name), None)
    }

    fn sync_dir(&self, dir: BorrowedFd<'_>) -> Result<()> {
        let mut state = self.on()?;
        let names = state.names(dir)?;
        let all = names.pending.len();
        names.settle(all);
        Ok(())
    }

    fn read_at(&self, file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> Result<usize> {
        let _on = self.on()?;
        Disk.read_at(file, buffer, at)
    }

    fn write_at(&self, file: BorrowedFd<'_>, bytes: &[u8], at: u64) -> Result<usize> {
        let mut state = self.on()?;
        let written = Disk.write_at(file, bytes, at)?;
        let image = state.files.get_mut(&inode(file)?).expect("it is watched");
        image.note(Change::Write { at: offset(at), bytes: bytes[..written].to_vec() });
        Ok(written)
    }

    fn sync_data(&self, file: BorrowedFd<'_>) -> Result<()> {
        self.sync(file)
    }

    fn sync_all(&self, file: BorrowedFd<'_>) -> Result<()> {
        self.sync(file)
    }

    fn truncate(&self, file: BorrowedFd<'_>, len: u64) -> Result<()> {
        let mut state = self.on()?;
        Disk.truncate(file, len)?;
        let image = state.files.get_mut(&inode(file)?).expect("it is watched");
        image.note(Change::Truncate(offset(len)));
        Ok(())
    }

    fn set_mode(&self, file: BorrowedFd<'_>, mode: rustix::fs::Mode) -> Result<()> {
        let _on = self.on()?;
        Disk.set_mode(file, mode)
    }
}
