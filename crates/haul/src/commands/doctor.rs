//! `doctor`: what is wrong, and what to do about it.

use haul_api::doctor::{Directory, Doctor};
use haul_api::{Finding, Size};

use crate::error::{Exit, Failure};
use crate::find::Daemon;
use crate::out::Out;
use crate::text::escaped;

pub(crate) async fn doctor(daemon: &Daemon, out: &Out) -> Result<Exit, Failure> {
    let report = daemon.client.doctor().await.map_err(|error| daemon.failure(error))?;
    if out.is_json() {
        out.json(&report)?;
    } else {
        if !out.is_quiet() {
            facts(&report).iter().try_for_each(|fact| out.line(escaped(fact)))?;
        }
        report.findings.iter().try_for_each(|finding| out.line(in_words(finding)))?;
        if report.findings.is_empty() {
            out.note("nothing is wrong");
        }
    }
    Ok(if report.findings.is_empty() { Exit::Fine } else { Exit::Failed })
}

/// What was looked at, a line each.
fn facts(report: &Doctor) -> Vec<String> {
    let mut facts = vec![
        format!(
            "hauld {} on {}, SQLite {}, up for {} s",
            report.version, report.system, report.sqlite, report.uptime_seconds
        ),
        format!(
            "{} of {} files are open; room for {} connections, {} are allowed",
            report.limits.open_files,
            report.limits.open_files_max,
            report.limits.connections_possible,
            report.limits.connections_total
        ),
    ];
    if report.database.damage.is_empty() {
        let database = &report.database;
        facts.push(format!("the database is sound: {} jobs, {}", database.jobs, Size(database.bytes).approx()));
    }
    facts.extend(report.directories.iter().map(of_directory));
    facts.extend(report.hosts.iter().filter_map(|host| {
        Some(format!("{} takes {} connections, as it seems", host.host, host.connections.learned_cap?))
    }));
    facts.extend(report.waiting.iter().map(|job| format!("job {} {}: {}", job.id, job.state.as_str(), job.why)));
    facts.extend(
        report
            .last_errors
            .iter()
            .take(ERRORS_SHOWN)
            .map(|event| format!("job {} at {}: {}", event.job, event.at, event.message)),
    );
    facts
}

fn of_directory(directory: &Directory) -> String {
    let file_system = directory.file_system.as_deref().unwrap_or("an unknown file system");
    let free = directory.free_bytes.map_or_else(|| "an unknown space".to_owned(), |free| Size(free).approx());
    format!("{} `{}` on {file_system}: {free} free", directory.setting, directory.path)
}

/// Errors that a person wants to see at once; `--json` has more.
const ERRORS_SHOWN: usize = 5;

fn in_words(finding: &Finding) -> String {
    format!("\nproblem: {}\n    {}", escaped(&finding.message), escaped(&finding.advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_what_to_do_and_cannot_steer_the_terminal() {
        let finding = Finding {
            code: "disk-full".to_owned(),
            message: "`/a\u{1b}[2J` is full".to_owned(),
            advice: "Free some space there.".to_owned(),
        };
        assert_eq!(in_words(&finding), "\nproblem: `/a\\u{1b}[2J` is full\n    Free some space there.");
    }
}
