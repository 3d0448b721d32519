//! The command line: what can be typed, and the table of exit codes under `--help`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use haul_api::{OnChange, OnConflict, OnDuplicate, Position, Rate, Size};
use jiff::Timestamp;

use crate::error::Exit;

/// Downloads files through the daemon `hauld`, or by itself.
#[derive(Debug, Parser)]
#[command(name = "haul", version, after_help = Exit::table(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// Ask the daemon on this Unix socket
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "server", value_hint = ValueHint::FilePath)]
    pub(crate) socket: Option<PathBuf>,
    /// Ask the daemon at this address, such as `http://127.0.0.1:4285`
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Read the token from this file
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print nothing but what was asked for, and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say what is going on
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Download into this directory and wait for the end
    ///
    /// A Metalink (`.meta4`) that lies here is read, and its files are downloaded.
    ///
    /// Uses the running daemon if it may write here, else an engine in this process. After an interruption the same
    /// command goes on where it was. Unless standard output is a terminal, the paths of the finished files go there,
    /// one a line; progress goes to standard error.
    Get(Get),
    /// Hand URLs, or the files of Metalinks that lie here (`.meta4`), to the daemon and return at once
    Add(Add),
    /// List jobs
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Show all about one job
    Show(Show),
    /// Tell what holds a job back
    Why {
        /// The job
        #[arg(value_name = "ID", value_parser = job_id)]
        id: u64,
    },
    /// Tell what a server says of a file, without fetching it
    Probe {
        /// Where the file is
        #[arg(value_name = "URL")]
        url: String,
        #[command(flatten)]
        options: JobOptions,
    },
    /// Follow jobs until they end; all unfinished ones unless some are named
    Watch {
        /// The jobs
        #[arg(value_name = "ID", value_parser = job_id)]
        ids: Vec<u64>,
    },
    /// Pause jobs
    Pause(IdsOrAll),
    /// Resume jobs; a waiting one tries now
    Resume(IdsOrAll),
    /// Start failed jobs again from the bytes that are there
    Retry(Ids),
    /// Give a job a new URL of the same file, in place of one that has expired
    ///
    /// The job goes on from the bytes that are there, once some of them were compared with what the new URL sends. Where
    /// that has another file nothing changes.
    Renew {
        /// The job
        #[arg(value_name = "ID", value_parser = job_id)]
        id: u64,
        /// Where its file is now
        #[arg(value_name = "URL")]
        url: String,
        /// Send this request header, in place of those before (repeatable)
        #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
        headers: Vec<String>,
    },
    /// Give jobs up and remove their unfinished files
    Cancel(Ids),
    /// Forget jobs; finished files stay unless --delete-files is given. `haul restore` takes it back within 10 seconds
    Rm {
        #[command(flatten)]
        ids: Ids,
        /// Delete the files, too
        #[arg(long)]
        delete_files: bool,
    },
    /// Bring jobs back that were forgotten within the last 10 seconds
    Restore(Ids),
    /// Move a job in the queue: to the `top`, to the `bottom`, or so that it is the N-th of those with its priority
    Move {
        /// The job
        #[arg(value_name = "ID", value_parser = job_id)]
        id: u64,
        /// Where to
        #[arg(value_name = "top|bottom|N")]
        position: Position,
    },
    /// Compare files with what was received, chunk by chunk
    ///
    /// The files of complete jobs are read again; with --repair, what is damaged is fetched again and waited for. Of jobs that
    /// are not complete, chunks that are damaged are dropped at once and fetched like all that is missing.
    Verify {
        #[command(flatten)]
        ids: Ids,
        /// Fetch again what is damaged
        #[arg(long)]
        repair: bool,
    },
    /// Show or set the bandwidth limit of everything, of a label or of one job
    ///
    /// `haul limit` shows those of everything and of all labels, with their daily windows and which of them hold now.
    /// `haul limit 2MB/s` sets it, `haul limit off` takes it away. `haul limit --label iso 2MB` sets that of all jobs with
    /// a label, `haul limit 17 500KB` that of job 17; without a rate both show it. A single plain number is a job; write
    /// `500B` for 500 bytes per second.
    Limit {
        /// The job and the rate; without a job everything is meant
        #[arg(value_names = ["ID", "RATE"], num_args = 0..=2)]
        words: Vec<String>,
        /// The limit of all jobs with this label
        #[arg(long)]
        label: Option<String>,
    },
    /// List hosts, or show one, or change what may be used of it
    ///
    /// `haul host` lists what is known of servers, `haul host http://example.org:8080` shows one; `example.org` alone
    /// means `https`. With options it changes what all jobs together may use of it.
    Host(Host),
    /// Look after the daemon's database, also while it runs
    Db(Db),
    /// Have the daemon examine itself; what is wrong is told with what to do about it
    ///
    /// It looks at disks, the database, limits, the clock, hosts and waiting jobs, and exits with 1 where it finds
    /// something. The report holds no secret: it can be shown to others.
    Doctor,
    /// Print where the owner's token is, or look after the tokens of other programs
    #[command(args_conflicts_with_subcommands = true)]
    Token {
        /// Print the owner's token itself
        #[arg(long)]
        show: bool,
        #[command(subcommand)]
        command: Option<TokenCommand>,
    },
    /// Print a code that a program can trade for a token, once and within two minutes
    ///
    /// A browser extension asks for it. The token may submit jobs from public addresses, look at its own ones, and renew
    /// their links.
    Pair,
    /// Open the web page in a browser
    ///
    /// Its address holds a code that the page trades for a token of its own, once and within two minutes. A browser that has
    /// a token keeps it. Without a screen the address is printed.
    Open {
        /// Print the address and open nothing
        #[arg(long)]
        print: bool,
    },
    /// Print what completes the command line in a shell
    ///
    /// For bash: `haul completions bash > ~/.local/share/bash-completion/completions/haul`. For zsh: into a file `_haul` in a
    /// directory of `$fpath`. For fish: `haul completions fish > ~/.config/fish/completions/haul.fish`.
    Completions {
        /// The shell
        shell: clap_complete::Shell,
        /// Whose command line
        #[arg(value_enum, default_value_t = Program::Haul)]
        program: Program,
    },
    /// Write the manual pages of `haul`, of each of its commands, and of `hauld` into a directory
    ///
    /// `man -l DIR/haul-get.1` shows one of them.
    Man {
        /// Where to
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
}

/// Whose command line is meant.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Program {
    /// The command line
    Haul,
    /// The daemon
    Hauld,
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// List the tokens but the one in the token file
    Ls,
    /// Make a token and print it; it is not shown again
    Add(TokenAdd),
    /// Revoke tokens; their jobs stay
    Rm {
        /// The tokens
        #[arg(value_name = "ID", required = true)]
        ids: Vec<u64>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct TokenAdd {
    /// What to call it
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What it permits: everything, looking, or submitting
    #[arg(long, value_name = "SCOPE", value_parser = ["admin", "read", "submit"], default_value = "submit")]
    pub(crate) scope: String,
    /// Unfinished jobs that it may have at a time
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<u32>,
}

#[derive(Args, Debug)]
pub(crate) struct Get {
    /// What to download: URLs, or Metalinks that lie here
    #[arg(value_name = "URL|FILE.meta4", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) urls: Vec<String>,
    #[command(flatten)]
    pub(crate) many: Many,
    #[command(flatten)]
    pub(crate) options: JobOptions,
}

/// Many URLs at once, the same for `get` and `add`.
#[derive(Args, Debug)]
pub(crate) struct Many {
    /// Make many URLs of one with `{one,two}`, `[1-20]`, `[01-20]`, `[a-f]` or `[0-100:10]` in it, as curl does
    #[arg(short = 'g', long)]
    pub(crate) expand: bool,
    /// Print the URLs, and ask for none of them
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Add {
    /// What to download: URLs, or Metalinks that lie here
    #[arg(value_name = "URL|FILE.meta4", required_unless_present_any = ["input", "curl"])]
    pub(crate) urls: Vec<String>,
    /// Read URLs from a file, one a line; `-` is standard input. Mirrors, and options on lines below, as in an input file of
    /// aria2
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) input: Option<PathBuf>,
    /// Read a command line of curl from standard input, as browsers copy it ("Copy as cURL")
    #[arg(long, conflicts_with_all = ["urls", "input", "expand"])]
    pub(crate) curl: bool,
    /// Do not start yet
    #[arg(long, conflicts_with = "start_at")]
    pub(crate) paused: bool,
    /// Start at this time, such as `2026-11-05T22:00:00+01:00`
    #[arg(long, value_name = "TIME")]
    pub(crate) start_at: Option<Timestamp>,
    /// What to do when the same was added before
    #[arg(long, value_name = "POLICY")]
    pub(crate) on_duplicate: Option<Duplicate>,
    /// Where to put it in the queue
    #[arg(long, value_name = "top|bottom|N")]
    pub(crate) position: Option<Position>,
    #[command(flatten)]
    pub(crate) many: Many,
    #[command(flatten)]
    pub(crate) options: JobOptions,
}

/// How to download, the same for `get` and `add`.
#[derive(Args, Debug, Default)]
pub(crate) struct JobOptions {
    /// The same file is also to be had here (repeatable; one URL only)
    #[arg(long = "mirror", value_name = "URL")]
    pub(crate) mirrors: Vec<String>,
    /// Save into this directory
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
    /// Save under this name (one URL only)
    #[arg(short, long, value_name = "NAME", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Use at most this many connections
    #[arg(short = 'x', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) connections: Option<u32>,
    /// Take at most this many bytes per second, such as `2MB`
    #[arg(short, long, value_name = "RATE")]
    pub(crate) limit: Option<Rate>,
    /// Go before jobs with a lower number
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) priority: Option<i32>,
    /// A word to find the job by
    #[arg(long, value_name = "WORD")]
    pub(crate) label: Option<String>,
    /// Send this request header (repeatable)
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// Send this Referer
    #[arg(long, value_name = "URL")]
    pub(crate) referer: Option<String>,
    /// Send this User-Agent
    #[arg(long, value_name = "TEXT")]
    pub(crate) user_agent: Option<String>,
    /// The digest that the file must have, as `sha256:HEX` (or `sha512`, `blake3`, `sha1`, `md5`, `crc32c`)
    #[arg(long, value_name = "ALGORITHM:HEX")]
    pub(crate) checksum: Option<String>,
    /// Where a file is that tells the digest, such as `https://example.org/SHA256SUMS`
    #[arg(long, value_name = "URL", conflicts_with = "checksum")]
    pub(crate) checksum_url: Option<String>,
    /// The size that the file must have, such as `4700000000`
    #[arg(long, value_name = "SIZE")]
    pub(crate) size: Option<Size>,
    /// What to do when the file exists
    #[arg(long, value_name = "POLICY")]
    pub(crate) on_conflict: Option<Conflict>,
    /// What to do when the file changes on its server
    #[arg(long, value_name = "POLICY")]
    pub(crate) on_change: Option<Change>,
    /// Go through this proxy (`http`, `https`, `socks5` or `socks5h`); `none` for none
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// Hosts to ask without the proxy, with commas between them
    #[arg(long, value_name = "HOSTS")]
    pub(crate) no_proxy: Option<String>,
    /// Do not look at the server's certificate: whoever sits in between can send another file
    #[arg(short = 'k', long)]
    pub(crate) insecure: bool,
    /// Come from this address of the machine
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) source_address: Option<IpAddr>,
    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6', long)]
    pub(crate) ipv6: bool,
    /// Send the cookies of this file (`cookies.txt`), each where it belongs
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) cookies: Option<PathBuf>,
    /// Ask by POST, and send this text, or with `@FILE` what is in a file (`@-` is standard input)
    #[arg(long, value_name = "TEXT|@FILE")]
    pub(crate) data: Option<String>,
}

/// [`OnDuplicate`] as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Duplicate {
    /// Answer with the job that is there
    Attach,
    /// Make a job of its own
    Copy,
    /// Refuse
    Reject,
}

impl From<Duplicate> for OnDuplicate {
    fn from(duplicate: Duplicate) -> Self {
        match duplicate {
            Duplicate::Attach => Self::Attach,
            Duplicate::Copy => Self::Copy,
            Duplicate::Reject => Self::Reject,
        }
    }
}

/// [`OnChange`] as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Change {
    /// Start over, three times at most
    Restart,
    /// Fail, and keep what is there
    Fail,
}

impl From<Change> for OnChange {
    fn from(change: Change) -> Self {
        match change {
            Change::Restart => Self::Restart,
            Change::Fail => Self::Fail,
        }
    }
}

/// [`OnConflict`] as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Conflict {
    /// Save under another name
    Rename,
    /// Replace the file once the new one is complete
    Overwrite,
    /// Refuse
    Fail,
}

impl From<Conflict> for OnConflict {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Rename => Self::Rename,
            Conflict::Overwrite => Self::Overwrite,
            Conflict::Fail => Self::Fail,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Ls {
    /// Only jobs in these states, such as `active,waiting`
    #[arg(short, long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    pub(crate) state: Vec<haul_api::JobState>,
    /// Only jobs with this label
    #[arg(long, value_name = "WORD")]
    pub(crate) label: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// The job
    #[arg(value_name = "ID", value_parser = job_id)]
    pub(crate) id: u64,
    /// Show its chunks
    #[arg(long)]
    pub(crate) chunks: bool,
    /// Show what has happened to it, the oldest first
    #[arg(long, conflicts_with = "chunks")]
    pub(crate) events: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Host {
    /// The host, such as `https://example.org:8443`
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Use at most this many connections to it; `default` takes that back
    #[arg(short = 'x', long, value_name = "N", requires = "name")]
    pub(crate) connections: Option<HostConnections>,
    /// Take at most this many bytes per second from it, such as `2MB`; `none` takes that back
    #[arg(short, long, value_name = "RATE", requires = "name")]
    pub(crate) limit: Option<Rate>,
    /// Do not leave it alone any longer: try now
    #[arg(long, requires = "name")]
    pub(crate) unblock: bool,
    /// Forget what was learned of it and set for it
    #[arg(long, requires = "name", conflicts_with_all = ["connections", "limit", "unblock"])]
    pub(crate) forget: bool,
}

/// How many connections to a host may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostConnections {
    /// As many as to every host.
    Default,
    Max(u32),
}

impl FromStr for HostConnections {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "default" {
            return Ok(Self::Default);
        }
        let number = text.parse().ok().filter(|number| (1..=64).contains(number));
        number.map(Self::Max).ok_or_else(|| "write a number from 1 to 64, or `default`".to_owned())
    }
}

#[derive(Args, Debug)]
pub(crate) struct Db {
    /// The database in this directory instead of the daemon's usual one
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: DbCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Copy it, as it is at this moment, into a new file
    ///
    /// The copy holds secrets that jobs were given, and only you can read it. An existing file is never replaced. To go
    /// back to a copy: stop the daemon, put the copy in the place of `haul.db`, remove `haul.db-wal` and `haul.db-shm`.
    Backup {
        /// The new file
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Look for damage
    Check {
        /// Compare every index with its table, too, which takes longer
        #[arg(long)]
        full: bool,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Ids {
    /// The jobs
    #[arg(value_name = "ID", required = true, value_parser = job_id)]
    pub(crate) ids: Vec<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct IdsOrAll {
    /// The jobs
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all", value_parser = job_id)]
    pub(crate) ids: Vec<u64>,
    /// All jobs
    #[arg(long)]
    pub(crate) all: bool,
}

/// Reads a job's number, with or without the `#` that people put before it.
pub(crate) fn job_id(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .parse()
        .ok()
        .filter(|id| is_number && *id != 0)
        .ok_or_else(|| "a job's id is a number such as `17`; `haul ls` shows them".to_owned())
}

fn state(text: &str) -> Result<haul_api::JobState, String> {
    haul_api::JobState::from_word(text).ok_or_else(|| {
        let words = haul_api::JobState::ALL.map(haul_api::JobState::as_str).join(", ");
        format!("a state is one of {words}")
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ids_are_numbers_from_one() {
        assert_eq!(job_id("17"), Ok(17));
        assert_eq!(job_id("#17"), Ok(17));
        assert_eq!(job_id("18446744073709551615"), Ok(u64::MAX));
        for text in ["", "#", "0", "-1", "+1", "1.0", "a", "17a", "18446744073709551616"] {
            assert!(job_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn global_flags_may_follow_the_command() {
        let cli = Cli::try_parse_from(["haul", "ls", "--json", "--socket", "/run/x"]).expect("a good line");
        assert!(cli.global.json);
        assert_eq!(cli.global.socket, Some("/run/x".into()));
        for line in [
            &["haul", "ls", "--socket", "/x", "--server", "http://x"][..],
            &["haul", "pause"],
            &["haul", "pause", "--all", "3"],
            &["haul", "limit", "1", "2", "3"],
            &["haul", "why"],
            &["haul", "show", "1", "--chunks", "--events"],
            &["haul", "db"],
            &["haul", "db", "backup"],
            &["haul", "host", "--limit", "2MB"],
            &["haul", "host", "a.example", "-x", "65"],
            &["haul", "host", "a.example", "--forget", "--unblock"],
            &["haul", "get"],
            &["haul", "add"],
            &["haul", "get", "http://a/", "-x", "65"],
            &["haul", "get", "http://a/", "-l", "fast"],
            &["haul", "ls", "-s", "done"],
        ] {
            let error = Cli::try_parse_from(line).expect_err("a wrong line");
            assert_eq!(error.exit_code(), 2, "{line:?}");
        }
    }

    #[test]
    fn options_of_a_host_are_read() {
        let line = ["haul", "host", "a.example", "--connections", "default", "--limit", "none", "--unblock"];
        let Command::Host(host) = Cli::try_parse_from(line).expect("a good line").command else { panic!("not host") };
        assert_eq!(host.name.as_deref(), Some("a.example"));
        assert_eq!((host.connections, host.limit), (Some(HostConnections::Default), Some(Rate(0))));
        assert!(host.unblock && !host.forget);
        assert_eq!("4".parse(), Ok(HostConnections::Max(4)));
    }

    #[test]
    fn options_of_a_job_are_read() {
        let cli = Cli::try_parse_from([
            "haul",
            "get",
            "-x4",
            "-l",
            "2MB/s",
            "-p",
            "-3",
            "-H",
            "A: b",
            "-H",
            "C: d",
            "-o",
            "x",
            "http://a/",
        ])
        .expect("a good line");
        let Command::Get(get) = cli.command else { panic!("not get: {:?}", cli.command) };
        assert_eq!(get.urls, ["http://a/"]);
        assert_eq!(get.options.connections, Some(4));
        assert_eq!(get.options.limit, Some(Rate(2_000_000)));
        assert_eq!(get.options.priority, Some(-3));
        assert_eq!(get.options.headers, ["A: b", "C: d"]);
    }
}
