//! Programs that are not part of haul and that some tests run.

use std::path::{Path, PathBuf};

use super::say;

/// Where `.ci/run` installs the programs that come from PyPI.
const VENV: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/python/bin");

/// Finds a program of `.ci/requirements.txt`, or the `python` that has its libraries. `None` on a machine that does not have
/// it, which is said.
///
/// # Panics
///
/// In CI, which has it.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let found = Some(Path::new(VENV).join(name)).filter(|program| program.is_file());
    found.or_else(|| missing(name, "`docs/TESTING.md` says how to install it"))
}

/// Finds Chromium. `None` on a machine that does not have it, which is said.
///
/// # Panics
///
/// In CI, which has it.
pub(crate) fn chromium() -> Option<PathBuf> {
    installed(["chromium", "chromium-browser"]).or_else(|| missing("chromium", "install the package `chromium`"))
}

/// Finds Firefox. `None` on a machine that does not have it, which is said.
///
/// # Panics
///
/// In CI, which has it.
pub(crate) fn firefox() -> Option<PathBuf> {
    installed(["firefox-esr", "firefox"]).or_else(|| missing("firefox-esr", "install the package `firefox-esr`"))
}

fn installed(names: [&str; 2]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name)));
    places.find(|program| program.is_file())
}

fn missing(name: &str, help: &str) -> Option<PathBuf> {
    assert!(std::env::var_os("CI").is_none(), "{name} cannot be found; {help}");
    say(&format!("SKIPPED: {name} cannot be found; {help}"));
    None
}
