//! `db`: checks the database or copies it. Needs no daemon, and none has to be stopped.

use std::error::Error;
use std::path::Path;

use haul_api::Size;
use hauld::database::{self, Checked, Copied, OpenError};
use serde_json::json;

use crate::args::{Db, DbCommand};
use crate::error::{Exit, Failure};
use crate::find;
use crate::out::Out;
use crate::text::escaped;

pub(crate) fn db(args: &Db, out: &Out) -> Result<Exit, Failure> {
    let dir = args.data_dir.clone().map_or_else(|| find::configuration().map(|config| config.data_dir), Ok)?;
    let path = database::path_in(&dir);
    match &args.command {
        DbCommand::Backup { file } => back_up(&path, file, out),
        DbCommand::Check { full } => check(&path, *full, out),
    }
}

fn back_up(path: &Path, file: &Path, out: &Out) -> Result<Exit, Failure> {
    let Copied { schema, jobs, bytes } = database::back_up(path, file).map_err(|error| failure(&error))?;
    let file = file.display().to_string();
    if out.is_json() {
        out.json(&json!({"file": file, "bytes": bytes, "jobs": jobs, "schema": schema}))?;
    } else {
        out.note(format!("copied {} with {}", Size(bytes).approx(), words(jobs)));
        out.foreign(&file)?;
    }
    Ok(Exit::Fine)
}

fn check(path: &Path, full: bool, out: &Out) -> Result<Exit, Failure> {
    let Checked { schema, jobs, bytes, damage } = match database::check(path, full) {
        Ok(checked) => checked,
        // Too damaged to be looked at: that is an answer.
        Err(OpenError::Corrupt { detail }) => Checked { schema: 0, jobs: 0, bytes: 0, damage: vec![detail] },
        Err(error) => return Err(failure(&error)),
    };
    let shown = path.display().to_string();
    let kind = if full { "full" } else { "quick" };
    if out.is_json() {
        let sound = damage.is_empty();
        out.json(&json!({
            "database": shown, "check": kind, "sound": sound, "damage": damage, "schema": schema, "jobs": jobs,
            "bytes": bytes,
        }))?;
    } else if damage.is_empty() {
        out.line(format!("sound ({kind} check): {}, {}, schema {schema}", words(jobs), Size(bytes).approx()))?;
    } else {
        out.line(format!("damaged: `{}`", escaped(&shown)))?;
        for line in damage.iter().flat_map(|text| text.lines()) {
            out.line(format!("  {}", escaped(line)))?;
        }
        out.note("stop the daemon, keep a copy of this file, and go back to a backup; finished files are not touched");
    }
    Ok(if damage.is_empty() { Exit::Fine } else { Exit::Damaged })
}

fn words(jobs: u64) -> String {
    if jobs == 1 { "1 job".to_owned() } else { format!("{jobs} jobs") }
}

fn failure(error: &OpenError) -> Failure {
    let exit = if matches!(error, OpenError::Corrupt { .. }) { Exit::Damaged } else { Exit::Local };
    let source = error.source().map_or_else(String::new, |source| format!(": {source}"));
    let failure = Failure::new(exit, escaped(&format!("{error}{source}")));
    if matches!(error, OpenError::Missing { .. }) {
        return failure
            .with_help("`--data-dir DIR` names the directory that it is in; `hauld --print-config` tells where");
    }
    failure
}
