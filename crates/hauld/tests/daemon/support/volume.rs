//! Real file systems that can be full, gone, or not to be written to.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Home, run, say};

/// A file system in memory, mounted below a home until it is dropped.
pub(crate) struct Volume {
    /// Where it always is.
    pub(crate) store: PathBuf,
    /// Where the daemon knows it.
    pub(crate) point: PathBuf,
}

impl Volume {
    /// `None` where this process may not mount anything; where it should be able to, that fails the test.
    pub(crate) fn mount(home: &Home, name: &str, options: &str) -> Option<Self> {
        let (store, point) = (home.path().join(format!("{name}.store")), home.path().join(name));
        fs::create_dir(&store).expect("a new directory");
        fs::create_dir(&point).expect("a new directory");
        let mounted = run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", &text(&store)]);
        if let Err(why) = mounted {
            let may_mount = rustix::process::geteuid().is_root() && std::env::var_os("CI").is_some();
            assert!(!may_mount, "nothing can be mounted: {why}");
            say(&format!("nothing was tested: no file system can be mounted here: {why}"));
            return None;
        }
        let volume = Self { store, point };
        volume.bind();
        Some(volume)
    }

    /// Puts it where the daemon knows it.
    pub(crate) fn bind(&self) {
        run("mount", &["--bind", &text(&self.store), &text(&self.point)]).expect("a mounted file system can be bound");
    }

    /// Takes it away from under whoever has files open on it.
    pub(crate) fn unbind(&self) {
        run("umount", &["-l", &text(&self.point)]).expect("it is mounted");
    }

    /// Mounts it anew with other options.
    pub(crate) fn remount(&self, options: &str) {
        run("mount", &["-o", &format!("remount,bind,{options}"), &text(&self.point)]).expect("it is mounted");
    }

    /// Lets a daemon save there that is started afterwards.
    pub(crate) fn allow(&self, home: &Home) {
        home.configure(&format!("allowed_roots = [{:?}]", self.dir()));
    }

    /// Where the daemon knows it.
    pub(crate) fn dir(&self) -> String {
        text(&self.point)
    }

    /// The names of part files on it.
    pub(crate) fn parts(&self) -> Vec<String> {
        let names = names(&self.store);
        names.into_iter().filter(|name| name.ends_with(".haul-part")).collect()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        run("umount", &["-l", &text(&self.point)]).ok();
        run("umount", &["-l", &text(&self.store)]).ok();
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// The names of what is in a directory.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
}
