//! The command line of `hauld`. It is here and not in `main` because its manual page and completions are made of it, too.

use std::path::PathBuf;

use clap::Parser;

/// Downloads files over HTTP(S): hand it a URL, it comes back as a complete, verified file.
///
/// It is driven over its HTTP API and by the command line `haul`. Settings come from, later ones win: defaults, the
/// configuration file (`--config`, else `$XDG_CONFIG_HOME/hauld/hauld.toml`, else `/etc/hauld/hauld.toml`),
/// `HAULD_*` variables, and `--set`.
#[derive(Debug, Parser)]
#[command(name = "hauld", version, max_term_width = 100)]
pub struct Arguments {
    /// Read this configuration file instead of the usual one.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Set one setting, like `--set listen=127.0.0.1:9000`. Can be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print every setting, its value and where it came from, and exit.
    #[arg(long)]
    pub print_config: bool,
}
