//! The only place that writes: answers to standard output, everything else to standard error.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use console::{Style, Term};
use serde::Serialize;

use crate::args::Global;
use crate::error::Failure;
use crate::text::escaped;

/// Where output goes and what it may look like.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    json: bool,
    quiet: bool,
    verbose: bool,
}

impl Out {
    pub(crate) fn new(global: &Global) -> Self {
        Self { json: global.json, quiet: global.quiet, verbose: global.verbose }
    }

    /// Whether answers are for programs.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether nothing but answers and errors is wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether a progress display can move the cursor.
    pub(crate) fn can_draw(&self) -> bool {
        // Without a cursor to move, each redraw would be a new line.
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        io::stderr().is_terminal() && !is_dumb && !self.json && !self.quiet
    }

    /// Whether the paths of finished files are an answer: a person at a terminal has seen them go by.
    pub(crate) fn wants_paths(&self) -> bool {
        !self.json && (self.quiet || !io::stdout().is_terminal())
    }

    /// The columns of the terminal that standard output is, if it is one.
    pub(crate) fn width(&self) -> Option<usize> {
        Term::stdout().size_checked().filter(|_| io::stdout().is_terminal()).map(|(_, columns)| columns.into())
    }

    /// Writes one line or several to standard output.
    ///
    /// # Errors
    ///
    /// [`Failure::closed_pipe`] when the reader has gone, as `head` does.
    pub(crate) fn line(&self, text: impl Display) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(|error| {
            if error.kind() == ErrorKind::BrokenPipe {
                return Failure::closed_pipe();
            }
            Failure::local("write to", "standard output".as_ref(), &error)
        })
    }

    /// Writes a foreign text: as it is for a program, harmless for a terminal.
    pub(crate) fn foreign(&self, text: &str) -> Result<(), Failure> {
        if io::stdout().is_terminal() { self.line(escaped(text)) } else { self.line(text) }
    }

    /// Writes one JSON document on one line to standard output.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.line(serde_json::to_string(value).expect("wire types are plain data"))
    }

    /// Tells a person what happened, unless quiet.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.quiet {
            to_stderr(text);
        }
    }

    /// Tells a person who asked for more than the usual.
    pub(crate) fn detail(&self, text: impl Display) {
        if self.verbose {
            to_stderr(text);
        }
    }

    /// Reports what went wrong and what helps.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.is_closed_pipe() {
            return;
        }
        if self.json {
            return to_stderr(failure.to_json());
        }
        for (word, text) in failure.lines(self.verbose) {
            let style = if word == "error" { Style::new().red().bold() } else { Style::new().cyan() };
            to_stderr(format!("{}: {text}", style.for_stderr().apply_to(word)));
        }
    }
}

fn to_stderr(text: impl Display) {
    // Where standard error is gone there is nobody left to tell.
    writeln!(io::stderr().lock(), "{text}").ok();
}
