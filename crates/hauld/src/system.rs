//! What the daemon asks of the operating system about itself.

use std::fs;
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

/// How many connections the limit on open files leaves room for: each may need a part file of its own.
pub(crate) fn connections_possible() -> u32 {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    u32::try_from(files.saturating_sub(DESCRIPTORS_RESERVED) / 2).unwrap_or(u32::MAX).max(1)
}
