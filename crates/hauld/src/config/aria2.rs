//! The settings about the aria2 dialect.

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};

/// Further addresses that there may be. A guess: programs made for aria2 have two ports preset.
const LISTEN_MAX: usize = 8;

/// How the daemon speaks the dialect of aria2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Aria2Setting {
    /// Whether it does at all, at `/jsonrpc`.
    pub enabled: bool,
    /// Whether calls may be made by GET, with all that they say in the URL.
    pub get: bool,
    /// Further TCP addresses, for programs that cannot be told another port. One that is taken is passed over.
    pub listen: Vec<String>,
}

impl Default for Aria2Setting {
    fn default() -> Self {
        Self { enabled: true, get: false, listen: Vec::new() }
    }
}

impl Config {
    /// Checks what the types cannot.
    pub(super) fn check_aria2(&self) -> Result<(), ConfigError> {
        let listen = &self.aria2.listen;
        if listen.len() > LISTEN_MAX {
            let message = format!("has {} addresses in `listen`; there may be {LISTEN_MAX}", listen.len());
            return Err(ConfigError::value("aria2", message));
        }
        if !self.aria2.enabled && !listen.is_empty() {
            let message = "is not `enabled` and has addresses in `listen`; take one of both away".to_owned();
            return Err(ConfigError::value("aria2", message));
        }
        let is_address = |text: &&String| text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        match listen.iter().find(|text| !is_address(text)) {
            Some(wrong) => {
                let message = format!("has `{wrong}` in `listen`; it must be an address like \"127.0.0.1:6800\"");
                Err(ConfigError::value("aria2", message))
            }
            None => Ok(()),
        }
    }
}
