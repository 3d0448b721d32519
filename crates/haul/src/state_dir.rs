//! Where an engine inside `haul get` keeps its database: one directory per command, so that the same command finds its
//! unfinished work again and different ones do not meet.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use etcetera::base_strategy::Xdg;
use haul_api::SubmitJob;
use sha2::{Digest as _, Sha256};

use crate::error::{Exit, Failure};
use crate::out::Out;

/// The directory of one `haul get`.
#[derive(Debug)]
pub(crate) struct StateDir(PathBuf);

impl StateDir {
    /// Makes the directory for these jobs, or finds it.
    ///
    /// # Errors
    ///
    /// When there is no home to put it, or it cannot be made.
    pub(crate) fn open(dir: &Path, jobs: &[SubmitJob]) -> Result<Self, Failure> {
        let home = Xdg::new().ok().and_then(|xdg| xdg.state_dir()).ok_or_else(|| {
            Failure::new(Exit::Local, "no home directory is known").with_help("set HOME or XDG_STATE_HOME")
        })?;
        let path = home.join("haul/get").join(key(dir, jobs));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| Failure::local("make the directory", &path, &error))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it: there is nothing left to go on with.
    pub(crate) fn remove(self, out: &Out) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            out.detail(Failure::local("remove", &self.0, &error).message);
        }
    }
}

/// 16 hex digits for a set of URLs in a directory, whatever their order; a name that was asked for makes a difference.
fn key(dir: &Path, jobs: &[SubmitJob]) -> String {
    let mut urls: Vec<_> = jobs.iter().map(SubmitJob::main_url).collect();
    urls.sort_unstable();
    let mut hash = Sha256::new();
    hash.update(dir.as_os_str().as_encoded_bytes());
    let filename = jobs.iter().find_map(|job| job.filename.as_deref());
    for part in urls.into_iter().chain(filename) {
        hash.update([0]);
        hash.update(part);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(dir: &str, urls: &[&str]) -> String {
        key(Path::new(dir), &urls.iter().map(|url| SubmitJob::new(*url)).collect::<Vec<_>>())
    }

    #[test]
    fn the_same_work_has_the_same_key() {
        let key = key_of("/srv", &["http://a/1", "http://a/2"]);
        assert_eq!(key, key_of("/srv", &["http://a/2", "http://a/1"]));
        assert_eq!(key.len(), 16);
        assert!(key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    }

    #[test]
    fn the_key_is_stable_over_versions() {
        // Unfinished work of an older haul must be found again.
        assert_eq!(key_of("/srv", &["http://a/1"]), "90b267e4ddcf329e");
    }

    #[test]
    fn other_work_has_another_key() {
        let key = key_of("/srv", &["http://a/1", "http://a/2"]);
        for (dir, urls) in [
            ("/tmp", &["http://a/1", "http://a/2"][..]),
            ("/srv", &["http://a/1"]),
            ("/srv", &["http://a/1http://a/2"]),
            ("/srv", &["http://a/1", "http://a/2", "http://a/3"]),
        ] {
            assert_ne!(key, key_of(dir, urls));
        }
        let named = SubmitJob { filename: Some("x".to_owned()), ..SubmitJob::new("http://a/1") };
        assert_ne!(super::key(Path::new("/srv"), &[named]), key_of("/srv", &["http://a/1"]));
    }
}
