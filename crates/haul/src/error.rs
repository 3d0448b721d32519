//! What can go wrong for the person at the keyboard: a sentence, what helps, and an exit code.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use haul_api::{ClientError, Problem, ProblemCode};
use serde_json::json;

use crate::text::escaped;

/// How the process ends. Scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Fine = 0,
    Failed = 1,
    Usage = 2,
    Unreachable = 3,
    Unauthorized = 4,
    UnknownJob = 5,
    Local = 6,
    Damaged = 7,
    Interrupted = 130,
}

impl Exit {
    const ALL: [Self; 9] = [
        Self::Fine,
        Self::Failed,
        Self::Usage,
        Self::Unreachable,
        Self::Unauthorized,
        Self::UnknownJob,
        Self::Local,
        Self::Damaged,
        Self::Interrupted,
    ];

    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Fine => "everything asked for was done",
            Self::Failed => "a job failed, the daemon refused, or `haul doctor` found something",
            Self::Usage => "the command line is wrong",
            Self::Unreachable => "the daemon is not running, or does not answer",
            Self::Unauthorized => "the daemon does not accept the token or the user",
            Self::UnknownJob => "no job has this id",
            Self::Local => "a file, directory or the configuration of this side is to blame",
            Self::Damaged => "the database is damaged (`haul db check`)",
            Self::Interrupted => "interrupted (Ctrl-C)",
        }
    }

    /// All codes with what they mean.
    pub(crate) fn meanings() -> Vec<(u8, &'static str)> {
        Self::ALL.iter().map(|exit| (exit.code(), exit.meaning())).collect()
    }

    /// The table under `--help`.
    pub(crate) fn table() -> String {
        let mut table = "Exit codes:\n".to_owned();
        for (code, meaning) in Self::meanings() {
            writeln!(table, "  {code:>3}  {meaning}").expect("a String takes everything");
        }
        table.pop();
        table
    }
}

/// Why a command ended early, in words for its user.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What went wrong, as a fragment without a full stop.
    pub(crate) message: String,
    /// What helps, one line each.
    pub(crate) help: Vec<String>,
    /// What lies behind it, for `--verbose`.
    pub(crate) cause: Option<String>,
    /// The daemon's own words, for programs.
    pub(crate) problem: Option<Box<Problem>>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), help: Vec::new(), cause: None, problem: None }
    }

    /// A mistake on the command line that clap does not find.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A file or directory on this side that cannot be used.
    pub(crate) fn local(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::new(Exit::Local, format!("cannot {doing} `{}`: {error}", escaped(&path.display().to_string())))
    }

    /// Nobody reads standard output any more: no reason to say anything.
    pub(crate) fn closed_pipe() -> Self {
        Self::new(Exit::Fine, "")
    }

    pub(crate) fn is_closed_pipe(&self) -> bool {
        self.exit == Exit::Fine
    }

    #[must_use]
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Finds the words for a call to the daemon that brought no answer.
    pub(crate) fn from_client(error: ClientError, token_file: Option<&Path>) -> Self {
        let cause = deepest(&error);
        let mut failure = match error {
            ClientError::Problem(problem) => Self::from_problem(problem, token_file),
            ClientError::Unreachable { address, .. } => {
                Self::new(Exit::Unreachable, format!("the daemon is not running: nothing answers at {address}"))
                    .with_help(HOW_TO_START)
            }
            ClientError::Forbidden { address, .. } => {
                Self::new(Exit::Unauthorized, format!("you may not use the daemon at {address}"))
                    .with_help("it serves the user that runs it; ask with `--server URL --token-file FILE` instead")
            }
            ClientError::TimedOut { .. } | ClientError::Silent { .. } | ClientError::Interrupted { .. } => {
                Self::new(Exit::Unreachable, error.to_string())
                    .with_help("`journalctl --user -u hauld` shows its log if systemd runs it")
            }
            ClientError::Unexpected { .. } => Self::new(Exit::Unreachable, error.to_string())
                .with_help("`--socket PATH` or `--server URL` names another daemon"),
            ClientError::InvalidAddress => Self::new(Exit::Usage, error.to_string()),
            ClientError::InvalidToken | ClientError::Setup(_) => Self::new(Exit::Local, error.to_string()),
            other => Self::new(Exit::Failed, other.to_string()),
        };
        failure.cause = cause;
        failure
    }

    /// Finds the words for a refusal.
    pub(crate) fn from_problem(problem: Problem, token_file: Option<&Path>) -> Self {
        let code = problem.known_code();
        let exit = match code {
            Some(
                ProblemCode::Unauthorized
                | ProblemCode::ScopeNotAllowed
                | ProblemCode::HostNotAllowed
                | ProblemCode::OriginNotAllowed,
            ) => Exit::Unauthorized,
            Some(ProblemCode::JobNotFound) => Exit::UnknownJob,
            Some(ProblemCode::ShuttingDown) => Exit::Unreachable,
            Some(_) | None => Exit::Failed,
        };
        // What follows there is advice for people who write HTTP by hand; ours comes below.
        let detail = match code {
            Some(ProblemCode::JobNotFound | ProblemCode::HostNotFound) => {
                problem.detail.split("; `GET ").next().unwrap_or_default()
            }
            Some(_) | None => &problem.detail,
        };
        let mut failure = Self::new(exit, escaped(detail));
        failure.help = match code {
            Some(ProblemCode::Unauthorized) => vec![token_help(token_file)],
            Some(ProblemCode::JobNotFound) => vec!["`haul ls` shows the jobs that there are".to_owned()],
            Some(ProblemCode::HostNotFound) => {
                vec!["`haul host` shows the hosts that are known; without a scheme, `https` is meant".to_owned()]
            }
            Some(ProblemCode::PathOutsideRoots) => {
                vec!["`haul get` saves anywhere; `allowed_roots` in hauld.toml is where the daemon may".to_owned()]
            }
            Some(_) | None => Vec::new(),
        };
        if let Some(field) = &problem.field {
            let field = escaped(field);
            match flag_of(&field) {
                Some(flag) => failure.help.push(format!("the field to blame is `{field}`, set by `{flag}`")),
                None if !problem.detail.contains(field.as_ref()) => {
                    failure.help.push(format!("the field to blame is `{field}`"));
                }
                None => {}
            }
        }
        failure.problem = Some(Box::new(problem));
        failure
    }

    /// The lines for a person, the first one without `error: `.
    pub(crate) fn lines(&self, verbose: bool) -> Vec<(&'static str, &str)> {
        let mut lines = vec![("error", self.message.as_str())];
        if verbose && let Some(cause) = &self.cause {
            lines.push(("cause", cause));
        }
        lines.extend(self.help.iter().map(|help| ("help", help.as_str())));
        lines
    }

    /// The same for a program.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        json!({"error": {
            "exit_code": self.exit.code(),
            "message": self.message,
            "help": self.help,
            "problem": self.problem,
        }})
    }
}

fn token_help(token_file: Option<&Path>) -> String {
    match token_file {
        Some(path) => {
            let path = path.display().to_string();
            format!("the token came from `{}`; `--token-file FILE` names another one", escaped(&path))
        }
        None => "`--token-file FILE` names the daemon's token file; `haul token` on its machine prints the path".into(),
    }
}

/// The flag that sets a field of a submit.
fn flag_of(field: &str) -> Option<&'static str> {
    Some(match field {
        "dir" => "--dir",
        "filename" => "--output",
        "connections" => "--connections",
        "bandwidth_limit" => "--limit",
        "priority" => "--priority",
        "label" => "--label",
        "referrer" => "--referer",
        "user_agent" => "--user-agent",
        "checksum" => "--checksum",
        "checksum_url" => "--checksum-url",
        "size" => "--size",
        "on_conflict" => "--on-conflict",
        _ if field == "headers" || field.starts_with("headers.") => "--header",
        _ => return None,
    })
}

/// The last cause in the chain, which is the one that the operating system gave.
fn deepest(error: &dyn Error) -> Option<String> {
    let mut cause = error.source()?;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Some(escaped(&cause.to_string()).into_owned())
}

/// What helps when nothing answers.
pub(crate) const HOW_TO_START: &str =
    "start it with `hauld`, or `systemctl --user start hauld`; `haul get URL` works without it";

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: ProblemCode) -> Failure {
        Failure::from_problem(Problem::new(code, "the daemon says no"), Some(Path::new("/data/token")))
    }

    #[test]
    fn every_refusal_has_an_exit_code() {
        for code in ProblemCode::ALL {
            let expected = match code.as_str() {
                "unauthorized" | "scope-not-allowed" | "host-not-allowed" | "origin-not-allowed" => 4,
                "job-not-found" => 5,
                "shutting-down" => 3,
                _ => 1,
            };
            assert_eq!(refused(*code).exit.code(), expected, "{code}");
        }
    }

    #[test]
    fn failures_on_the_way_have_exit_codes() {
        for (error, code) in [(ClientError::InvalidAddress, 2), (ClientError::InvalidToken, 6)] {
            assert_eq!(Failure::from_client(error, None).exit.code(), code);
        }
    }

    #[test]
    fn a_wrong_token_names_its_file() {
        let failure = refused(ProblemCode::Unauthorized);
        assert!(failure.help[0].contains("`/data/token`"), "{failure:?}");
    }

    #[test]
    fn an_unknown_job_points_to_the_list() {
        let failure = refused(ProblemCode::JobNotFound);
        assert!(failure.help[0].contains("`haul ls`"), "{failure:?}");
    }

    #[test]
    fn a_field_to_blame_is_named_with_its_flag() {
        let problem = Problem::new(ProblemCode::HeaderNotAllowed, "it cannot be set").with_field("headers.Host");
        let failure = Failure::from_problem(problem, None);
        assert_eq!(failure.help, ["the field to blame is `headers.Host`, set by `--header`"]);
        let problem = Problem::new(ProblemCode::InvalidUrl, "`url` must be http or https").with_field("url");
        assert!(Failure::from_problem(problem, None).help.is_empty());
    }

    #[test]
    fn f_sec_24_foreign_words_cannot_steer_the_terminal() {
        let problem = Problem::new(ProblemCode::InvalidUrl, "no \x1b[2J").with_field("\x1b]0;x\x07");
        let failure = Failure::from_problem(problem, None);
        let shown: String = failure.lines(true).iter().map(|(_, line)| *line).collect();
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }

    #[test]
    fn the_table_shows_every_code() {
        let table = Exit::table();
        for code in ["  0 ", "  1 ", "  2 ", "  3 ", "  4 ", "  5 ", "  6 ", "  7 ", "130 "] {
            assert!(table.contains(code), "{table}");
        }
    }
}
