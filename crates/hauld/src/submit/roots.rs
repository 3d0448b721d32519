//! The directories that jobs may write to.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use haul_api::{Problem, ProblemCode};
use haul_core::{Fault, FaultKind};
use haul_transfer::{Disks, Place, place};
use serde::{Deserialize, Serialize};
use tracing::warn;
use url::Url;

use crate::config::Rule;

/// The allowed roots, each in its one real spelling. The first one is where files go by default.
///
/// This check is lexical below a root; when the file is made, the directory is opened beneath its root once more
/// without following symbolic links, so that a link which appears in between leads nowhere.
///
/// Directories that were seen on a volume are remembered, over restarts too. Where a volume is not mounted its mount point
/// is an ordinary directory, and nothing is ever written there.
#[derive(Debug)]
pub(crate) struct Roots {
    paths: Vec<PathBuf>,
    disks: Arc<Disks>,
    volumes: Mutex<Volumes>,
    /// Where files go whose jobs have a label and name no directory.
    of_labels: BTreeMap<String, PathBuf>,
    /// Where they go else, and what label they get.
    rules: Vec<Rule>,
}

/// What is remembered of volumes, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Volumes {
    /// The real path of each root, by the path that the configuration has for it.
    roots: BTreeMap<PathBuf, PathBuf>,
    /// How many mount points are crossed on the way to a directory, where it is any.
    mounts: BTreeMap<PathBuf, u32>,
    /// Something has been learned that is not stored yet.
    #[serde(skip)]
    is_news: bool,
}

/// How a root is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RootState {
    pub(crate) path: PathBuf,
    pub(crate) space: Option<RootSpace>,
    /// Why nothing can be saved there.
    pub(crate) trouble: Option<String>,
}

/// The space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RootSpace {
    pub(crate) free: u64,
    pub(crate) total: u64,
    /// What jobs leave free.
    pub(crate) kept_free: u64,
}

/// What stays free on a file system (DESIGN.md ruling 9), as far as it is a number.
const KEEP_FREE_MAX: u64 = 256 << 20;

/// The other bound, as a share of the file system.
const KEEP_FREE_SHARE: u64 = 50;

impl RootSpace {
    fn of(place: &Place) -> Result<Self, Fault> {
        let total = place.size_bytes()?;
        Ok(Self { free: place.free_bytes()?, total, kept_free: KEEP_FREE_MAX.min(total / KEEP_FREE_SHARE) })
    }
}

/// What stays free on the file system of a place.
pub(crate) fn keep_free(place: &Place) -> Result<u64, Fault> {
    RootSpace::of(place).map(|space| space.kept_free)
}

impl Roots {
    /// The download directory, made if it is missing, and the further roots, which must exist unless they lie on a volume
    /// that is not mounted now.
    pub(crate) fn new(
        download_dir: &Path,
        further: &[PathBuf],
        disks: Arc<Disks>,
        mut volumes: Volumes,
    ) -> io::Result<Self> {
        let mut paths = Vec::new();
        for dir in std::iter::once(download_dir).chain(further.iter().map(PathBuf::as_path)) {
            match volumes.absent_root(dir, &disks) {
                Some(real) => {
                    warn!(dir = %dir.display(), "the volume with this directory is not mounted; its jobs wait for it");
                    paths.push(real);
                }
                None => {
                    if dir == download_dir {
                        std::fs::create_dir_all(dir)?;
                    }
                    let real = dir.canonicalize()?;
                    volumes.note_root(dir, &real, disks.mounts_on(&real));
                    paths.push(real);
                }
            }
        }
        Ok(Self { paths, disks, volumes: Mutex::new(volumes), of_labels: BTreeMap::new(), rules: Vec::new() })
    }

    /// Lets the files of jobs with a label go to a directory of its own.
    pub(crate) fn with_labels(mut self, of_labels: BTreeMap<String, PathBuf>) -> Self {
        self.of_labels = of_labels;
        self
    }

    /// Lets rules say where files go whose jobs do not.
    pub(crate) fn with_rules(mut self, rules: Vec<Rule>) -> Self {
        self.rules = rules;
        self
    }

    /// The first rule that holds for a job of whatever type its file is, and those before it, which hold for some types.
    pub(crate) fn rule(&self, url: &Url, filename: Option<&str>, label: Option<&str>) -> (Option<&Rule>, Vec<&Rule>) {
        let mut by_type = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.fits(url, filename, label)) {
            if rule.types.is_empty() {
                return (Some(rule), by_type);
            }
            by_type.push(rule);
        }
        (None, by_type)
    }

    /// The root that a directory lies in, if it does. The directory is in its one real spelling.
    pub(crate) fn holding(&self, dir: &Path) -> Option<&Path> {
        self.split(dir).map(|(root, _)| root)
    }

    /// Where the files of jobs with this label go, as they would say it.
    pub(crate) fn of_label(&self, label: Option<&str>) -> Option<&str> {
        self.of_labels.get(label?)?.to_str()
    }

    /// The root that `dir` lies in, and the rest of the path.
    fn split<'a>(&self, dir: &'a Path) -> Option<(&Path, &'a Path)> {
        self.paths.iter().find_map(|root| Some((root.as_path(), dir.strip_prefix(root).ok()?)))
    }

    /// Opens a directory that was accepted before, and makes what is missing of it.
    ///
    /// # Errors
    ///
    /// When it does not lie beneath a root any more, or cannot be used.
    pub(crate) fn open(&self, dir: &Path) -> Result<Place, Fault> {
        let Some((root, rest)) = self.split(dir) else {
            let detail = format!("{} is not in an allowed root any more; `allowed_roots` can add it", dir.display());
            return Err(Fault::new(FaultKind::TargetNotWritable, detail));
        };
        if self.is_unmounted(root, dir) {
            return Err(place::unmounted(dir));
        }
        let opened = Place::open(&self.disks, root, rest, true)?;
        // It may have gone between the look and the opening.
        if opened.mounts() < self.volumes().known(root, dir) {
            return Err(place::unmounted(dir));
        }
        self.volumes().note(root, dir, opened.mounts());
        Ok(opened)
    }

    /// How the roots are, the default one first. Blocks.
    pub(crate) fn states(&self) -> Vec<RootState> {
        self.paths.iter().map(|root| self.state(root)).collect()
    }

    /// How the default root is. Blocks.
    pub(crate) fn default_state(&self) -> RootState {
        self.state(&self.paths[0])
    }

    fn state(&self, root: &Path) -> RootState {
        let path = root.to_owned();
        if self.is_unmounted(root, root) {
            return RootState { path, space: None, trouble: Some("its volume is not mounted".to_owned()) };
        }
        if let Some((_, error)) = self.disks.refusal_of(root) {
            return RootState { path, space: None, trouble: Some(error.to_string()) };
        }
        match Place::open(&self.disks, root, Path::new(""), false).and_then(|place| RootSpace::of(&place)) {
            Ok(space) => RootState { path, space: Some(space), trouble: None },
            Err(fault) => RootState { path, space: None, trouble: Some(fault.detail) },
        }
    }

    /// The part files that lie directly in a root. Blocks.
    pub(crate) fn part_files(&self) -> Vec<PathBuf> {
        let mut parts = Vec::new();
        for root in &self.paths {
            // A root that cannot be listed has nothing to show.
            let Ok(place) = Place::open(&self.disks, root, Path::new(""), false) else { continue };
            let names = place.part_names().unwrap_or_default();
            parts.extend(names.into_iter().map(|name| root.join(name)));
        }
        parts
    }

    /// What has been learned of volumes since this was last asked.
    pub(crate) fn news(&self) -> Option<Volumes> {
        let mut volumes = self.volumes();
        std::mem::take(&mut volumes.is_news).then(|| volumes.clone())
    }

    /// The directory that a job names: absolute, or below the default one. Blocks.
    ///
    /// # Errors
    ///
    /// `path-outside-roots` when it lies in no root, `target-not-writable` when nothing can be written there.
    pub(crate) fn resolve(&self, dir: Option<&str>) -> Result<String, Problem> {
        let refuse = |detail: &str| Problem::new(ProblemCode::PathOutsideRoots, detail).with_field("dir");
        let named = Path::new(dir.unwrap_or_default());
        if dir.is_some_and(|dir| dir.chars().any(char::is_control)) {
            return Err(refuse("the directory's name holds control characters"));
        }
        if named.components().any(|part| part == Component::ParentDir) {
            return Err(refuse("the directory must not hold `..`"));
        }
        let path: PathBuf = self.paths[0].join(named).components().collect();
        let real = real_spelling(&path);
        let Some((root, _)) = self.split(&real) else {
            return Err(refuse(
                "the directory lies outside of `download_dir` and `allowed_roots`; the settings can add it",
            ));
        };
        // A job for a volume that is not mounted waits for it.
        if !self.is_unmounted(root, &real) {
            self.refuse_unwritable(&real)?;
        }
        real.into_os_string().into_string().map_err(|_| refuse("the directory's name must be UTF-8"))
    }

    /// Sees what is there of a directory that is yet to be made (FAILURES.md, F-DISK-06).
    fn refuse_unwritable(&self, dir: &Path) -> Result<(), Problem> {
        match self.disks.refusal_of(dir) {
            None => Ok(()),
            Some((found, error)) => {
                let detail = format!("nothing can be saved in `{}`: {error}", brief(found.as_ref()));
                Err(Problem::new(ProblemCode::TargetNotWritable, detail).with_field("dir"))
            }
        }
    }

    fn is_unmounted(&self, root: &Path, dir: &Path) -> bool {
        self.disks.mounts_on(dir) < self.volumes().known(root, dir)
    }

    fn volumes(&self) -> MutexGuard<'_, Volumes> {
        self.volumes.lock().expect("nothing panics while it is held")
    }
}

impl Volumes {
    /// The real path of a root whose volume is not mounted.
    fn absent_root(&self, dir: &Path, disks: &Disks) -> Option<PathBuf> {
        let real = self.roots.get(dir)?;
        let known = self.mounts.get(real).copied().unwrap_or(0);
        // A link that leads elsewhere now is the user's decision.
        let still_there = dir.canonicalize().ok().is_none_or(|now| now == *real);
        (still_there && disks.mounts_on(real) < known).then(|| real.clone())
    }

    fn note_root(&mut self, dir: &Path, real: &Path, mounts: u32) {
        if self.roots.get(dir).is_none_or(|known| known != real) {
            self.roots.insert(dir.to_owned(), real.to_owned());
            self.is_news = true;
        }
        self.note(real, real, mounts);
    }

    /// How many mount points are crossed at least on the way to a directory when its volume is there.
    fn known(&self, root: &Path, dir: &Path) -> u32 {
        let known = self.mounts.get(dir).or_else(|| self.mounts.get(root));
        known.copied().unwrap_or(0)
    }

    /// Remembers a directory on a volume. One below a root that lies on the root's own needs no line.
    fn note(&mut self, root: &Path, dir: &Path, mounts: u32) {
        if mounts > self.known(root, dir) {
            self.mounts.insert(dir.to_owned(), mounts);
            self.is_news = true;
        }
    }
}

/// The path with its symbolic links resolved as far as it exists.
fn real_spelling(path: &Path) -> PathBuf {
    for existing in path.ancestors() {
        if let Ok(real) = existing.canonicalize() {
            let rest = path.strip_prefix(existing).expect("an ancestor is a prefix");
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_owned()
}

/// A path in a message: of a long one, the end.
fn brief(path: &Path) -> String {
    let text = path.to_string_lossy();
    match text.char_indices().rev().nth(SHOWN_MAX) {
        Some((at, _)) => format!("...{}", &text[at..]),
        None => text.into_owned(),
    }
}

/// Characters of a path that a message shows, less one.
const SHOWN_MAX: usize = 199;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_directories_below_a_root_are_accepted() {
        let outer = tempfile::tempdir().expect("a temporary directory");
        let (home, other) = (outer.path().join("home"), outer.path().join("other"));
        fs::create_dir_all(&other).expect("a writable directory");
        let roots =
            Roots::new(&home, std::slice::from_ref(&other), Arc::default(), Volumes::default()).expect("both exist");
        let home = home.canonicalize().expect("it was made");
        symlink("/etc", home.join("link")).expect("a new link");
        symlink(&other, home.join("fine")).expect("a new link");

        assert_eq!(roots.resolve(None), Ok(home.display().to_string()));
        assert_eq!(roots.resolve(Some("a/b")), Ok(home.join("a/b").display().to_string()));
        assert_eq!(
            roots.resolve(Some("fine/x")),
            Ok(other.canonicalize().expect("it exists").join("x").display().to_string())
        );
        assert!(roots.resolve(Some(&other.display().to_string())).is_ok());
        for outside in ["/", "/etc", "link", "link/x", "..", "a/../../x", "/tmp/../etc", "a\nb"] {
            let problem = roots.resolve(Some(outside)).expect_err(outside);
            assert_eq!((problem.code.as_ref(), problem.field.as_deref()), ("path-outside-roots", Some("dir")));
        }
        assert!(roots.resolve(Some(&format!("{}-evil", home.display()))).is_err());
    }
    #[test]
    fn a_name_that_no_directory_can_have_is_not_repeated_in_full() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let roots = Roots::new(home.path(), &[], Arc::default(), Volumes::default()).expect("it exists");
        let problem = roots.resolve(Some(&"a".repeat(3000))).expect_err("too long for a name");
        assert_eq!((problem.code.as_ref(), problem.field.as_deref()), ("target-not-writable", Some("dir")));
        assert!(problem.detail.len() < 400, "{problem}");
    }
}
