//! `ls`: all jobs in a table.

use console::Style;
use haul_api::{Job, JobList, JobQuery, JobState, Rate, Size};
use jiff::Timestamp;

use crate::args::Ls;
use crate::error::{Exit, Failure};
use crate::find::Daemon;
use crate::follow::all_jobs;
use crate::out::Out;
use crate::sentence;
use crate::table::{Align, Cell, Table};
use crate::text::left;

pub(crate) async fn ls(daemon: &Daemon, args: &Ls, out: &Out) -> Result<Exit, Failure> {
    let query = JobQuery { states: args.state.clone(), label: args.label.clone(), ..JobQuery::default() };
    let jobs = all_jobs(daemon, query).await.map_err(|error| daemon.failure(error))?;
    if out.is_json() {
        out.json(&JobList { jobs, next_cursor: None })?;
    } else if jobs.is_empty() {
        out.note("no jobs; `haul add URL` makes one");
    } else {
        out.line(table(&jobs, Timestamp::now()).render(out.width()))?;
    }
    Ok(Exit::Fine)
}

fn table(jobs: &[Job], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        ("ID", Align::Right),
        ("STATE", Align::Left),
        ("DONE", Align::Right),
        ("SIZE", Align::Right),
        ("SPEED", Align::Right),
        ("LEFT", Align::Right),
        ("NAME", Align::Left),
    ]);
    for job in jobs {
        table.push(vec![
            job.id.to_string().into(),
            Cell::styled(job.state.as_str(), style(job.state)),
            sentence::progress(job).into(),
            job.total_bytes.map_or_else(|| "-".to_owned(), |total| Size(total).approx()).into(),
            if job.speed > 0 { Rate(job.speed).approx() } else { "-".to_owned() }.into(),
            job.eta_seconds.map_or_else(|| "-".to_owned(), left).into(),
            name_and_reason(job, now).into(),
        ]);
    }
    table
}

fn name_and_reason(job: &Job, now: Timestamp) -> String {
    let name = sentence::name(job);
    match sentence::reason(job, now) {
        reason if reason.is_empty() => name,
        reason => format!("{name} ({reason})"),
    }
}

/// The colour of a state, on a terminal only.
pub(super) fn style(state: JobState) -> Style {
    match state {
        JobState::Completed => Style::new().green(),
        JobState::Failed => Style::new().red(),
        JobState::Waiting => Style::new().yellow(),
        JobState::Active | JobState::Probing | JobState::Verifying => Style::new().cyan(),
        JobState::Queued | JobState::Paused | JobState::Canceled => Style::new().dim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sentence::tests::{job, job_because};

    #[test]
    fn a_row_tells_what_a_job_is_doing() {
        let mut active = job(JobState::Active);
        (active.done_bytes, active.speed, active.eta_seconds) = (340_000_000, 87_300_000, Some(125));
        let failed = job_because(JobState::Failed, "404 Not Found", None);
        let text = table(&[active, failed], Timestamp::UNIX_EPOCH).render(None);
        assert_eq!(
            text,
            "ID  STATE   DONE     SIZE      SPEED        LEFT  NAME\n\
             17  active  34 %  1.00 GB  87.3 MB/s  2 min 05 s  a.iso\n\
             17  failed   0 %  1.00 GB          -           -  a.iso (404 Not Found)"
        );
    }
}
