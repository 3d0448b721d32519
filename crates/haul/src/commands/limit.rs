//! `limit`: the bandwidth limit of everything or of one job.

use haul_api::{Limits, PatchJob, Rate};

use crate::args::job_id;
use crate::error::{Exit, Failure};
use crate::find::Daemon;
use crate::out::Out;
use crate::sentence;

/// What the words after `limit` ask for; without a job everything is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Show(Option<u64>),
    Set(Option<u64>, Rate),
}

/// Reads the words after `limit`. A single plain number is a job, unless it is 0, which no job has.
pub(crate) fn read(words: &[String]) -> Result<Limit, Failure> {
    let rate = |word: &str| word.parse::<Rate>().map_err(|error| Failure::usage(error.to_string()));
    let id = |word: &str| job_id(word).map_err(|error| Failure::usage(format!("`{word}` is no job: {error}")));
    match words {
        [] => Ok(Limit::Show(None)),
        [word] => match job_id(word) {
            Ok(id) => Ok(Limit::Show(Some(id))),
            Err(_) => Ok(Limit::Set(None, rate(word)?)),
        },
        [job, word, ..] => Ok(Limit::Set(Some(id(job)?), rate(word)?)),
    }
}

/// Shows or sets the limit.
pub(crate) async fn limit(daemon: &Daemon, limit: Limit, out: &Out) -> Result<Exit, Failure> {
    let client = &daemon.client;
    let failed = |error| daemon.failure(error);
    match limit {
        Limit::Show(None) | Limit::Set(None, _) => {
            let settings = match limit {
                Limit::Set(_, rate) => {
                    let limits = Limits { bandwidth_limit: Some(rate.0), ..Limits::default() };
                    client.patch_settings(&limits).await
                }
                Limit::Show(_) => client.settings().await,
            };
            let settings = settings.map_err(failed)?;
            if out.is_json() {
                out.json(&settings)?;
            } else {
                out.line(format!("everything: {}", words(settings.bandwidth_limit)))?;
            }
        }
        Limit::Show(Some(id)) | Limit::Set(Some(id), _) => {
            let job = match limit {
                Limit::Set(_, rate) => {
                    let patch = PatchJob { bandwidth_limit: Some(rate.0), ..PatchJob::default() };
                    client.patch(id, &patch).await
                }
                Limit::Show(_) => client.job(id).await,
            };
            let job = job.map_err(|error| explained(daemon.failure(error), limit))?;
            if out.is_json() {
                out.json(&job)?;
            } else {
                out.line(format!("{}  {}: {}", job.id, sentence::name(&job), words(job.bandwidth_limit)))?;
            }
        }
    }
    Ok(Exit::Fine)
}

/// Whoever meant a rate without its unit learns so.
fn explained(failure: Failure, limit: Limit) -> Failure {
    match (limit, failure.exit) {
        (Limit::Show(Some(number)), Exit::UnknownJob) => failure
            .with_help(format!("to limit everything, write the number with its unit: `{number}KB` or `{number}B`")),
        _ => failure,
    }
}

/// The limit so that it reads back: `500KB/s` or `no limit`.
pub(super) fn words(bytes_per_second: u64) -> String {
    match bytes_per_second {
        0 => "no limit".to_owned(),
        rate => format!("{}/s", Rate(rate)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Result<Limit, Failure> {
        read(&line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_are_jobs_or_rates() {
        for (line, limit) in [
            ("", Limit::Show(None)),
            ("17", Limit::Show(Some(17))),
            ("0", Limit::Set(None, Rate(0))),
            ("none", Limit::Set(None, Rate(0))),
            ("2MB/s", Limit::Set(None, Rate(2_000_000))),
            ("500B", Limit::Set(None, Rate(500))),
            ("17 500", Limit::Set(Some(17), Rate(500))),
            ("17 none", Limit::Set(Some(17), Rate(0))),
        ] {
            assert_eq!(read_line(line).expect(line), limit, "{line}");
        }
        for line in ["fast", "17 fast", "2MB 17", "0 2MB"] {
            assert_eq!(read_line(line).expect_err(line).exit.code(), 2);
        }
    }

    #[test]
    fn a_limit_reads_back() {
        assert_eq!(words(0), "no limit");
        assert_eq!(words(500_000), "500KB/s");
        assert_eq!(words(500_000).parse(), Ok(Rate(500_000)));
    }
}
