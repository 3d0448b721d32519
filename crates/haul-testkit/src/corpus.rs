//! The inputs of the fuzz targets, for the ordinary tests.

use std::fs;
use std::path::{Path, PathBuf};

/// Calls a fuzz target's function with each file of its corpus, `crates/fuzz/corpus/TARGET`.
///
/// # Panics
///
/// When there is no such file, and when the function panics; then it says at which file.
pub fn replay(target: &str, check: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = fs::read_dir(&dir).unwrap_or_else(|error| panic!("cannot read {}: {error}", dir.display()));
    let mut files: Vec<PathBuf> = files.map(|entry| entry.expect("the directory can be read").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no file in {}", dir.display());
    for file in files {
        let bytes = fs::read(&file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        let held = std::panic::catch_unwind(|| check(&bytes)).is_ok();
        assert!(held, "{} breaks a promise, see above", file.display());
    }
}
