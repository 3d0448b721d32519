//! What the daemon asks of the operating system about itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tracing::{debug, info, warn};

/// Descriptors that are kept for everything that is not a transfer: the database, the API, part files.
const DESCRIPTORS_RESERVED: u64 = 64;

/// The identity of this boot: written marks of another boot count for nothing.
pub(crate) fn boot_id() -> String {
    match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(id) => id.trim().to_owned(),
        Err(error) => {
            warn!(%error, "the boot id cannot be read; after a kill only synced bytes will be trusted");
            // Never equal to what the next start makes of it.
            crate::token::random_hex(16)
        }
    }
}

/// Tells the service manager that the daemon is alive.
pub(crate) fn feed_watchdog() {
    notify(&[NotifyState::Watchdog]);
}

/// Tells the service manager how the daemon is doing. Without one nothing happens.
pub(crate) fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "the service manager cannot be told anything");
    }
}

/// How often the service manager wants to hear from the daemon.
pub(crate) fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Raises the soft limit on open files to the hard one.
pub(crate) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => info!(from = limit.current, to = limit.maximum, "raised the limit on open files"),
        Err(error) => warn!(%error, "cannot raise the limit on open files"),
    }
}

/// Files and connections that may be open.
pub(crate) fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Files and connections that are open.
pub(crate) fn open_files() -> u64 {
    // The look itself takes one.
    fs::read_dir("/proc/self/fd").map_or(0, |entries| (entries.count() as u64).saturating_sub(1))
}

/// The operating system and its version.
pub(crate) fn name() -> String {
    let uname = rustix::system::uname();
    [uname.sysname(), uname.release(), uname.machine()].map(|word| word.to_string_lossy().into_owned()).join(" ")
}

/// Bytes that are free on the file system of a directory, and its size. Blocks.
pub(crate) fn space(dir: &Path) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}

/// The type of the file system that a path lies on, such as `ext4`. Blocks.
pub(crate) fn file_system_of(path: &Path) -> Option<String> {
    let real = path.canonicalize().ok()?;
    type_of(&fs::read_to_string("/proc/self/mountinfo").ok()?, &real)
}

/// The same by what the kernel says of mount points (`proc_pid_mountinfo(5)`).
fn type_of(mountinfo: &str, path: &Path) -> Option<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        Some((PathBuf::from(unescaped(mount.split(' ').nth(4)?)), source.split(' ').next()?))
    });
    // Of two at the same place the later one hides the other.
    let nearest =
        mounts.filter(|(point, _)| path.starts_with(point)).max_by_key(|(point, _)| point.components().count());
    nearest.map(|(_, name)| name.to_owned())
}

/// A mount point as it is called: the kernel writes blanks, tabs, line ends and backslashes in octal.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (escape, character)| text.replace(escape, character))
}

/// How many connections the limit on open files leaves room for: each may need a part file of its own.
pub(crate) fn connections_possible() -> u32 {
    u32::try_from(open_files_max().saturating_sub(DESCRIPTORS_RESERVED) / 2).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_point_tells_the_type() {
        let mounts = "21 1 0:2 / / rw - ext4 /dev/a rw\n\
                      22 21 0:3 / /srv/my\\040disk rw,relatime shared:1 - xfs /dev/b rw\n\
                      23 21 0:4 / /srv rw - tmpfs none rw\n\
                      24 23 0:5 / /srv rw - btrfs none rw\n";
        for (path, name) in [
            ("/home/me", "ext4"),
            ("/srv/my disk/a", "xfs"),
            ("/srv", "btrfs"),
            ("/srv/my", "btrfs"),
            ("/srvx", "ext4"),
        ] {
            assert_eq!(type_of(mounts, Path::new(path)).as_deref(), Some(name), "{path}");
        }
        assert_eq!(type_of("nonsense", Path::new("/")), None);
        assert!(file_system_of(Path::new("/proc")).is_some_and(|name| name == "proc"));
    }
}
