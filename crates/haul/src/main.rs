//! `haul`: asks the daemon and prints the answer; `haul get` also runs an engine in this process where there is none.
//!
//! | module | is responsible for |
//! | --- | --- |
//! | `args` | what can be typed |
//! | `find` | which daemon is meant, and the token for it |
//! | `commands` | one call or a few, and the answer: `add`, `ls`, `show`, `why`, `pause`, `limit`, `host`, `open`, `doctor`, `db`, `man`, ... |
//! | `get`, `adopt`, `state_dir` | `haul get`: through the daemon or by itself, going on where it was |
//! | `submit`, `expand`, `cookies` | URLs and options as the API wants them |
//! | `follow` | polling until jobs are over, also across a restart of the daemon |
//! | `progress`, `bars`, `track`, `eta` | what is shown meanwhile |
//! | `sentence`, `table`, `text` | words, columns, harmless text |
//! | `out`, `error`, `interrupt` | the handles, what went wrong, Ctrl-C |
//!
//! Exit codes, which scripts rely on:
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | everything asked for was done |
//! | 1 | a job failed, the daemon refused, or `haul doctor` found something |
//! | 2 | the command line is wrong |
//! | 3 | the daemon is not running, or does not answer |
//! | 4 | the daemon does not accept the token or the user |
//! | 5 | no job has this id |
//! | 6 | a file, directory or the configuration of this side is to blame |
//! | 7 | the database is damaged (`haul db check`) |
//! | 130 | interrupted (Ctrl-C) |

mod adopt;
mod args;
mod bars;
mod commands;
mod cookies;
mod error;
mod eta;
mod expand;
mod find;
mod follow;
#[cfg(test)]
mod fuzzing;
mod get;
mod interrupt;
mod out;
mod progress;
mod sentence;
mod state_dir;
mod submit;
mod table;
mod text;
mod track;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::args::Cli;
use crate::error::{Exit, Failure};
use crate::out::Out;

fn main() -> ExitCode {
    hauld::install_crypto();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output and a mistake to standard error; either may have no reader.
            error.print().ok();
            return if error.exit_code() == 0 { Exit::Fine } else { Exit::Usage }.code().into();
        }
    };
    let out = Out::new(&cli.global);
    let exit = run(&cli, &out).unwrap_or_else(|failure| {
        out.failure(&failure);
        failure.exit
    });
    exit.code().into()
}

fn run(cli: &Cli, out: &Out) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // As in `hauld`, whose API and driver may run here: nothing on it computes for long.
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Local, format!("cannot start threads: {error}")))?;
    let exit = runtime.block_on(commands::run(cli, out));
    // A read of standard input or a name lookup that hangs must not hold up the end.
    runtime.shutdown_timeout(SHUTDOWN);
    exit
}

/// Everything worth waiting for has been waited for by then.
const SHUTDOWN: Duration = Duration::from_millis(200);
