//! `completions` and `man`: what shells and `man` know of the command line, made of the same description as `--help`.

use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use crate::args::{Cli, Program};
use crate::error::{Exit, Failure};
use crate::out::Out;

/// Prints what completes a command line.
pub(crate) fn completions(shell: Shell, program: Program, out: &Out) -> Result<Exit, Failure> {
    let (mut command, name) = match program {
        Program::Haul => (Cli::command(), "haul"),
        Program::Hauld => (hauld::Arguments::command(), "hauld"),
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    out.line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Fine)
}

/// Writes all manual pages.
pub(crate) fn pages(dir: &Path, out: &Out) -> Result<Exit, Failure> {
    fs::create_dir_all(dir).map_err(|error| Failure::local("create the directory", dir, &error))?;
    let mut haul = Cli::command().disable_help_subcommand(true);
    haul.build();
    page(&haul, "1", dir, out)?;
    pages_below(&haul, dir, out)?;
    page(&hauld::Arguments::command(), "8", dir, out)?;
    Ok(Exit::Fine)
}

/// Writes the pages of a command's commands.
fn pages_below(command: &clap::Command, dir: &Path, out: &Out) -> Result<(), Failure> {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        page(command, "1", dir, out)?;
        pages_below(command, dir, out)?;
    }
    Ok(())
}

fn page(command: &clap::Command, section: &str, dir: &Path, out: &Out) -> Result<(), Failure> {
    let man =
        Man::new(command.clone()).section(section).manual("haul").source(concat!("haul ", env!("CARGO_PKG_VERSION")));
    let path = dir.join(man.get_filename());
    let text = rendered(&man, command.get_name()).map_err(|error| Failure::local("render", &path, &error))?;
    fs::write(&path, text).map_err(|error| Failure::local("write", &path, &error))?;
    out.detail(path.display());
    Ok(())
}

fn rendered(man: &Man, name: &str) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    match name {
        "haul" => {
            man.render_subcommands_section(&mut text)?;
            files(HAUL_FILES).to_writer(&mut text)?;
        }
        "hauld" => files(HAULD_FILES).to_writer(&mut text)?,
        _ => {}
    }
    let exits = if name == "hauld" { HAULD_EXITS.to_vec() } else { Exit::meanings() };
    exit_status(&exits).to_writer(&mut text)?;
    see_also(name).to_writer(&mut text)?;
    Ok(text)
}

/// What an exit code means.
fn exit_status(codes: &[(u8, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in codes {
        entry(&mut roff, &code.to_string(), meaning);
    }
    roff
}

fn files(files: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["FILES"]);
    for (path, meaning) in files {
        entry(&mut roff, path, meaning);
    }
    roff
}

fn entry(roff: &mut Roff, term: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(term)]);
    roff.text([roman(meaning)]);
}

fn see_also(name: &str) -> Roff {
    let pages = [("haul", "(1)"), ("hauld", "(8)")];
    let mut line: Vec<Inline> = Vec::new();
    for (page, section) in pages.into_iter().filter(|(page, _)| *page != name) {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(page), roman(section)]);
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text(line);
    roff
}

const HAUL_FILES: &[(&str, &str)] = &[
    (
        "$XDG_RUNTIME_DIR/hauld.sock, /run/hauld/hauld.sock",
        "The sockets of your own daemon and of the system service, which are looked for in this order unless the daemon's \
         configuration or an option names another.",
    ),
    (
        "$XDG_STATE_HOME/haul/get",
        "What `haul get` without a daemon remembers of unfinished files, usually in ~/.local/state.",
    ),
];

const HAULD_FILES: &[(&str, &str)] = &[
    (
        "$XDG_CONFIG_HOME/hauld/hauld.toml, /etc/hauld/hauld.toml",
        "The settings, usually in ~/.config/hauld. The first that is there is read.",
    ),
    (
        "$XDG_DATA_HOME/hauld, /var/lib/hauld",
        "The database and the token of your own daemon, usually in ~/.local/share/hauld, and of the system service.",
    ),
    ("$XDG_RUNTIME_DIR/hauld.sock, /run/hauld/hauld.sock", "The Unix socket of the API."),
];

/// As README.md tells them.
const HAULD_EXITS: &[(u8, &str)] = &[
    (0, "it was asked to stop"),
    (1, "its database was moved or replaced under it"),
    (2, "wrong arguments"),
    (65, "the database is damaged"),
    (69, "an address or a socket cannot be used"),
    (70, "a defect of haul"),
    (74, "a directory, the database or the token cannot be used"),
    (75, "another hauld has the database"),
    (78, "a setting is wrong, or the database is not one of ours"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_of_the_daemon_is_told() {
        let readme = include_str!("../../../../README.md");
        for (code, _) in HAULD_EXITS.iter().filter(|(code, _)| *code > 2) {
            assert!(readme.contains(&code.to_string()), "{code} is not in the README");
        }
    }
}
