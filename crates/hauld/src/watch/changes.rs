//! Being told of changes of a directory (`inotify(7)`).

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

/// Tells that files have come into a directory.
pub(super) struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    pub(super) fn of(dir: &Path) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let kinds = WatchFlags::CREATE | WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        inotify::add_watch(&fd, dir, kinds)?;
        #[expect(deprecated, reason = "its successor is unsafe; an OwnedFd is the same descriptor as long as it lives")]
        AsyncFd::new(fd).map(Self)
    }

    /// Completes once there was a change since this was last asked.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what has not been told stays to be told.
    pub(super) async fn any(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            // Which change it was does not matter. The longest single event has a name of 255 bytes.
            let mut events = [0; 4096];
            if let Ok(read) = ready.try_io(|fd| rustix::io::read(fd, &mut events).map_err(io::Error::from)) {
                return read.map(|_| ());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_new_file_is_told_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let changes = Changes::of(dir.path()).expect("inotify is there");
        std::fs::read_dir(dir.path()).expect("a directory");
        assert!(futures_util::FutureExt::now_or_never(changes.any()).is_none(), "looking is no change");
        std::fs::write(dir.path().join("a"), "").expect("a writable directory");
        changes.any().await.expect("it is told");
        assert!(Changes::of(&dir.path().join("nothing")).is_err());
    }
}
