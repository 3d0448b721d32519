//! Checking and copying a database, also while a daemon uses it.

use std::path::{Path, PathBuf};

pub use haul_store::{Checked, Copied, OpenError, back_up, check};

/// The database in a data directory.
#[must_use]
pub fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("haul.db")
}
