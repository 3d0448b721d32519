//! Where log lines go, and which there are.
//!
//! A process has one log. Its filter can be changed while it runs; the next start takes that of the settings.
//!
//! Untrusted text reaches a log only in an escaped form, and URLs only masked; see `haul_transfer::Masked`.

use std::io::IsTerminal;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::info;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Config, ConfigError, LogFormat};

/// Sends this process's log lines where the settings say.
///
/// # Errors
///
/// When the setting `log` is no filter.
pub fn start(config: &Config) -> Result<(), ConfigError> {
    let (filter, handle) = reload::Layer::new(parse(&config.log).map_err(wrong(config))?);
    let layer = match config.log_format {
        LogFormat::Auto => journal().unwrap_or_else(text),
        LogFormat::Text => text(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    SWITCH.set(Switch { handle, filter: Mutex::new(config.log.clone()) }).ok();
    Ok(())
}

/// Logs what the settings say from now on, whatever was said meanwhile.
///
/// # Errors
///
/// When the setting `log` is no filter; then nothing has changed.
pub fn reload(config: &Config) -> Result<(), ConfigError> {
    change(&config.log).map_err(wrong(config))
}

/// Logs what `filter` says from now on.
///
/// # Errors
///
/// Says what is wrong with the filter; then nothing has changed.
pub(crate) fn change(filter: &str) -> Result<(), String> {
    let parsed = parse(filter)?;
    let Some(switch) = SWITCH.get() else { return Ok(()) };
    let mut now = switch.filter.lock().unwrap_or_else(PoisonError::into_inner);
    if *now == filter {
        return Ok(());
    }
    switch.handle.reload(parsed).expect("the subscriber lives as long as the process");
    let before = std::mem::replace(&mut *now, filter.to_owned());
    info!(before, filter, "the log was changed");
    Ok(())
}

/// The filter that holds now. Where a process does not log through us it is empty.
pub(crate) fn current() -> String {
    SWITCH.get().map_or_else(String::new, |switch| switch.filter.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// The one log of this process.
static SWITCH: OnceLock<Switch> = OnceLock::new();

struct Switch {
    handle: reload::Handle<EnvFilter, Registry>,
    /// What holds now, as it was written.
    filter: Mutex<String>,
}

/// The longest filter. A guess: far more targets than there are.
const FILTER_MAX: usize = 1000;

/// Reads a filter, more strictly than [`EnvFilter`]: a word that is no level would be taken for the name of a target, and
/// silence all others. What is wrong is told without repeating any of it.
fn parse(filter: &str) -> Result<EnvFilter, String> {
    if filter.len() > FILTER_MAX {
        return Err(format!("is longer than {FILTER_MAX} bytes"));
    }
    let directives = || filter.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let is_level = |directive: &str| directive.parse::<LevelFilter>().is_ok();
    if directives().next().is_none() {
        return Err(format!("is empty; {LEVELS}"));
    }
    if directives().any(|directive| !is_level(directive) && !directive.contains('=')) {
        return Err(format!("has a word that is no level; {LEVELS}"));
    }
    EnvFilter::try_new(directives().collect::<Vec<_>>().join(",")).map_err(|_| format!("is no filter; {LEVELS}"))
}

const LEVELS: &str = "use `error`, `warn`, `info`, `debug`, `trace`, or a filter like `info,hauld::driver=debug`";

fn wrong(config: &Config) -> impl FnOnce(String) -> ConfigError {
    let value = format!("{:?}", config.log);
    move |error| ConfigError::value("log", format!("is {value}, which {error}"))
}

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// The journal, when standard error is connected to it.
fn journal() -> Option<Boxed> {
    std::env::var_os("JOURNAL_STREAM")?;
    // INFO is what a user would notice, not more: keep it at its own level.
    let layer = tracing_journald::layer().ok()?.with_field_prefix(None).with_priority_mappings(
        tracing_journald::PriorityMappings {
            info: tracing_journald::Priority::Informational,
            ..tracing_journald::PriorityMappings::new()
        },
    );
    Some(layer.boxed())
}

fn text() -> Boxed {
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    fmt::layer().with_ansi(colours).with_target(false).with_writer(std::io::stderr).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_levels_and_targets_and_nothing_else() {
        for good in ["info", "off", "DEBUG", "info,", "warn,hauld::driver=trace", "info, haul_store=debug"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        let long = "a=info,".repeat(FILTER_MAX);
        for bad in ["", " , ", "verbose", "infos", "hauld", "hauld=loud", "info,canary", "info,a=canary", &long] {
            let error = parse(bad).expect_err(bad);
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
