//! The directories that jobs may write to.

use std::io;
use std::path::{Component, Path, PathBuf};

use haul_api::{Problem, ProblemCode};
use haul_core::{Fault, FaultKind};
use haul_transfer::Place;

/// The allowed roots, each in its one real spelling. The first one is where files go by default.
///
/// This check is lexical below a root; when the file is made, the directory is opened beneath its root once more
/// without following symbolic links, so that a link which appears in between leads nowhere.
#[derive(Clone, Debug)]
pub(crate) struct Roots(Vec<PathBuf>);

impl Roots {
    /// The download directory, made if it is missing, and the further roots, which must exist.
    pub(crate) fn new(download_dir: &Path, further: &[PathBuf]) -> io::Result<Self> {
        std::fs::create_dir_all(download_dir)?;
        let all = std::iter::once(download_dir).chain(further.iter().map(PathBuf::as_path));
        all.map(Path::canonicalize).collect::<io::Result<_>>().map(Self)
    }

    /// The root that `dir` lies in, and the rest of the path.
    fn split<'a>(&self, dir: &'a Path) -> Option<(&Path, &'a Path)> {
        self.0.iter().find_map(|root| Some((root.as_path(), dir.strip_prefix(root).ok()?)))
    }

    /// Opens a directory that was accepted before, and makes what is missing of it.
    ///
    /// # Errors
    ///
    /// When it does not lie beneath a root any more, or cannot be used.
    pub(crate) fn open(&self, dir: &Path) -> Result<Place, Fault> {
        match self.split(dir) {
            Some((root, rest)) => Place::open(root, rest, true),
            None => {
                let detail =
                    format!("{} is not in an allowed root any more; `allowed_roots` can add it", dir.display());
                Err(Fault::new(FaultKind::TargetNotWritable, detail))
            }
        }
    }

    /// The directory that a job names: absolute, or below the default one.
    ///
    /// # Errors
    ///
    /// `path-outside-roots` when it lies in no root.
    pub(crate) fn resolve(&self, dir: Option<&str>) -> Result<String, Problem> {
        let refuse = |detail: &str| Problem::new(ProblemCode::PathOutsideRoots, detail).with_field("dir");
        let named = Path::new(dir.unwrap_or_default());
        if dir.is_some_and(|dir| dir.chars().any(char::is_control)) {
            return Err(refuse("the directory's name holds control characters"));
        }
        if named.components().any(|part| part == Component::ParentDir) {
            return Err(refuse("the directory must not hold `..`"));
        }
        let path: PathBuf = self.0[0].join(named).components().collect();
        let real = real_spelling(&path);
        let inside = self.split(&real).is_some();
        if !inside {
            return Err(refuse(
                "the directory lies outside of `download_dir` and `allowed_roots`; the settings can add it",
            ));
        }
        real.into_os_string().into_string().map_err(|_| refuse("the directory's name must be UTF-8"))
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
        let roots = Roots::new(&home, std::slice::from_ref(&other)).expect("both exist");
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
}
