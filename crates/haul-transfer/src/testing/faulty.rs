//! A disk of which single calls fail, or take as long as a test wants.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard};

use rustix::fs::{Mode, OFlags, RenameFlags, Stat, StatVfs};
use rustix::io::{Errno, Result};

use crate::fs::{Disk, Fs};

/// Which call it is; the names are those of [`Fs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are named after the calls")]
pub enum Call {
    OpenRoot,
    OpenBeneath,
    MakeDir,
    Names,
    OpenFile,
    StatPath,
    MayWrite,
    StatName,
    Stat,
    Space,
    Rename,
    Link,
    Unlink,
    SyncDir,
    ReadAt,
    WriteAt,
    SyncData,
    SyncAll,
    Allocate,
    Truncate,
    SetMode,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// With this error, and nothing is done.
    Error(Errno),
    /// It transfers half of its bytes. A call that transfers none does its work.
    Short,
    /// It panics, as a defect of ours would.
    Panic,
}

/// The real disk, of which calls fail as a test wants it.
#[derive(Debug, Default)]
pub struct FaultyFs {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    plans: Vec<Plan>,
    /// The bytes that are said to be free, where that is not the truth.
    free: Option<u64>,
    /// Calls that wait until they are released.
    held: Vec<Call>,
    waiting: usize,
    /// Writes from this offset on panic.
    panic_from: Option<u64>,
}

/// A failure that is to come.
#[derive(Debug)]
struct Plan {
    /// Any call where this is `None`.
    call: Option<Call>,
    /// Calls of that kind that still go well before.
    before: u64,
    /// Calls that fail; for ever where this is `None`.
    times: Option<u64>,
    failure: Failure,
}

impl FaultyFs {
    /// Lets one call fail: the one after `before` others.
    pub fn fail_one(&self, before: u64, failure: Failure) {
        self.plan(Plan { call: None, before, times: Some(1), failure });
    }

    /// Lets one call of this kind fail: the one after `before` others of it.
    pub fn fail_one_of(&self, call: Call, before: u64, failure: Failure) {
        self.plan(Plan { call: Some(call), before, times: Some(1), failure });
    }

    /// Lets all calls of this kind fail until [`FaultyFs::heal`].
    pub fn fail_all_of(&self, call: Call, failure: Failure) {
        self.plan(Plan { call: Some(call), before: 0, times: None, failure });
    }

    /// Lets all writes panic that begin at this offset of their file, or behind it, until [`FaultyFs::heal`].
    pub fn panic_from(&self, at: u64) {
        self.state().panic_from = Some(at);
    }

    /// Tells whether no failure is left to come.
    #[must_use]
    pub fn all_met(&self) -> bool {
        self.state().plans.is_empty()
    }

    /// From now on all goes well. True where no failure was left to come.
    pub fn heal(&self) -> bool {
        let mut state = self.state();
        state.panic_from = None;
        std::mem::take(&mut state.plans).is_empty()
    }

    /// Says that so many bytes are free; `None` is the truth.
    pub fn pretend_free(&self, bytes: Option<u64>) {
        self.state().free = bytes;
    }

    /// Holds up all calls of this kind until [`FaultyFs::release`].
    pub fn hold(&self, call: Call) {
        self.state().held.push(call);
    }

    /// Calls that are being held up now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state().waiting
    }

    /// Lets everything go on that is held up.
    pub fn release(&self) {
        self.state().held.clear();
        self.released.notify_all();
    }

    /// The calls that were made so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    fn plan(&self, plan: Plan) {
        self.state().plans.push(plan);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }

    /// What becomes of a call: it fails, or it is carried out, in whole or only half of it.
    fn meet(&self, call: Call) -> Result<Extent> {
        let mut state = self.state();
        state.calls.push(call);
        while state.held.contains(&call) {
            state.waiting += 1;
            state = self.released.wait(state).expect("nothing panics while it is held");
            state.waiting -= 1;
        }
        let (mut met, mut panics) = (Ok(Extent::Whole), false);
        state.plans.retain_mut(|plan| {
            if plan.call.is_some_and(|kind| kind != call) {
                return true;
            }
            if plan.before > 0 {
                plan.before -= 1;
                return true;
            }
            met = match plan.failure {
                Failure::Error(errno) => Err(errno),
                Failure::Short => Ok(Extent::Half),
                Failure::Panic => {
                    panics = true;
                    Ok(Extent::Whole)
                }
            };
            plan.times = plan.times.map(|times| times - 1);
            plan.times != Some(0)
        });
        drop(state);
        assert!(!panics, "on purpose, in {call:?}");
        met
    }
}

/// How much of a transfer is carried out.
enum Extent {
    Whole,
    Half,
}

impl Extent {
    /// Never nothing of something.
    fn of(&self, len: usize) -> usize {
        match self {
            Self::Whole => len,
            Self::Half => len.div_ceil(2),
        }
    }
}

impl Fs for FaultyFs {
    fn open_root(&self, path: &Path) -> Result<OwnedFd> {
        self.meet(Call::OpenRoot)?;
        Disk.open_root(path)
    }

    fn open_beneath(&self, dir: BorrowedFd<'_>, relative: &Path) -> Result<OwnedFd> {
        self.meet(Call::OpenBeneath)?;
        Disk.open_beneath(dir, relative)
    }

    fn make_dir(&self, dir: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
        self.meet(Call::MakeDir)?;
        Disk.make_dir(dir, name)
    }

    fn names(&self, dir: BorrowedFd<'_>) -> Result<Vec<(String, u64)>> {
        self.meet(Call::Names)?;
        Disk.names(dir)
    }

    fn open_file(&self, dir: BorrowedFd<'_>, name: &str, flags: OFlags) -> Result<OwnedFd> {
        self.meet(Call::OpenFile)?;
        Disk.open_file(dir, name, flags)
    }

    fn stat_path(&self, path: &Path) -> Result<Stat> {
        self.meet(Call::StatPath)?;
        Disk.stat_path(path)
    }

    fn may_write(&self, path: &Path) -> Result<()> {
        self.meet(Call::MayWrite)?;
        Disk.may_write(path)
    }

    fn stat_name(&self, dir: BorrowedFd<'_>, name: &str) -> Result<Stat> {
        self.meet(Call::StatName)?;
        Disk.stat_name(dir, name)
    }

    fn stat(&self, file: BorrowedFd<'_>) -> Result<Stat> {
        self.meet(Call::Stat)?;
        Disk.stat(file)
    }

    fn space(&self, dir: BorrowedFd<'_>) -> Result<StatVfs> {
        self.meet(Call::Space)?;
        let mut space = Disk.space(dir)?;
        if let Some(free) = self.state().free {
            space.f_bavail = free / space.f_frsize.max(1);
        }
        Ok(space)
    }

    fn rename(&self, dir: BorrowedFd<'_>, from: &str, to: &str, flags: RenameFlags) -> Result<()> {
        self.meet(Call::Rename)?;
        Disk.rename(dir, from, to, flags)
    }

    fn link(&self, dir: BorrowedFd<'_>, from: &str, to: &str) -> Result<()> {
        self.meet(Call::Link)?;
        Disk.link(dir, from, to)
    }

    fn unlink(&self, dir: BorrowedFd<'_>, name: &str) -> Result<()> {
        self.meet(Call::Unlink)?;
        Disk.unlink(dir, name)
    }

    fn sync_dir(&self, dir: BorrowedFd<'_>) -> Result<()> {
        self.meet(Call::SyncDir)?;
        Disk.sync_dir(dir)
    }

    fn read_at(&self, file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> Result<usize> {
        let len = self.meet(Call::ReadAt)?.of(buffer.len());
        Disk.read_at(file, &mut buffer[..len], at)
    }

    fn write_at(&self, file: BorrowedFd<'_>, bytes: &[u8], at: u64) -> Result<usize> {
        let len = self.meet(Call::WriteAt)?.of(bytes.len());
        let panic_from = self.state().panic_from;
        assert!(panic_from.is_none_or(|from| at < from), "on purpose, at byte {at}");
        Disk.write_at(file, &bytes[..len], at)
    }

    fn sync_data(&self, file: BorrowedFd<'_>) -> Result<()> {
        self.meet(Call::SyncData)?;
        Disk.sync_data(file)
    }

    fn sync_all(&self, file: BorrowedFd<'_>) -> Result<()> {
        self.meet(Call::SyncAll)?;
        Disk.sync_all(file)
    }

    fn allocate(&self, file: BorrowedFd<'_>, len: u64) -> Result<()> {
        self.meet(Call::Allocate)?;
        Disk.allocate(file, len)
    }

    fn truncate(&self, file: BorrowedFd<'_>, len: u64) -> Result<()> {
        self.meet(Call::Truncate)?;
        Disk.truncate(file, len)
    }

    fn set_mode(&self, file: BorrowedFd<'_>, mode: Mode) -> Result<()> {
        self.meet(Call::SetMode)?;
        Disk.set_mode(file, mode)
    }
}
