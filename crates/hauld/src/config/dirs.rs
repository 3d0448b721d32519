//! Where things go by default, following the XDG base directories.

use std::env;
use std::path::{Path, PathBuf};

use etcetera::{BaseStrategy, base_strategy::Xdg};

use super::ConfigError;

/// The system-wide configuration file.
const SYSTEM_FILE: &str = "/etc/hauld/hauld.toml";

fn xdg() -> Result<Xdg, ConfigError> {
    Xdg::new().map_err(|_| ConfigError::NoHome)
}

pub(super) fn data() -> Result<PathBuf, ConfigError> {
    // systemd names the directory that it made for the service.
    match env::var_os("STATE_DIRECTORY") {
        Some(dir) if Path::new(&dir).is_absolute() => Ok(dir.into()),
        Some(_) | None => Ok(xdg()?.data_dir().join("hauld")),
    }
}

pub(super) fn socket() -> Result<PathBuf, ConfigError> {
    if let Some(dir) = env::var_os("RUNTIME_DIRECTORY").filter(|dir| Path::new(dir).is_absolute()) {
        return Ok(Path::new(&dir).join("hauld.sock"));
    }
    match env::var_os("XDG_RUNTIME_DIR").filter(|dir| Path::new(dir).is_absolute()) {
        Some(dir) => Ok(Path::new(&dir).join("hauld.sock")),
        None => Ok(data()?.join("hauld.sock")),
    }
}

pub(super) fn downloads() -> Result<PathBuf, ConfigError> {
    match env::var_os("XDG_DOWNLOAD_DIR").filter(|dir| Path::new(dir).is_absolute()) {
        Some(dir) => Ok(dir.into()),
        None if env::var_os("STATE_DIRECTORY").is_some() => Ok(data()?.join("downloads")),
        None => Ok(xdg()?.home_dir().join("Downloads")),
    }
}

/// The configuration file to read when none is named: the user's, else the system's, if there is one.
pub(super) fn config_file() -> Option<PathBuf> {
    let users = xdg().ok().map(|xdg| xdg.config_dir().join("hauld/hauld.toml"));
    users.into_iter().chain([SYSTEM_FILE.into()]).find(|path| path.exists())
}
