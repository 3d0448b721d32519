//! Where log lines go.
//!
//! Untrusted text reaches a log only in an escaped form, and URLs only masked; see `haul_transfer::Masked`.

use std::io::IsTerminal;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{Config, ConfigError, LogFormat};

/// Sends this process's log lines where the settings say.
///
/// # Errors
///
/// When the setting `log` is no filter.
pub fn start(config: &Config) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| ConfigError::value("log", format!("is \"{}\": {error}", config.log)))?;
    let layer = match config.log_format {
        LogFormat::Auto => journal().unwrap_or_else(text),
        LogFormat::Text => text(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    Ok(())
}

type Boxed = Box<dyn Layer<tracing_subscriber::Registry> + Send + Sync>;

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
