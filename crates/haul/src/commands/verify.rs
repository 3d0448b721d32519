//! `verify`: what became of files since they came, and with `--repair` the fetching of what is damaged.

use haul_api::{ClientError, Job, JobState, Size, Verified, query};

use super::act::report;
use crate::error::{Exit, Failure};
use crate::find::Daemon;
use crate::follow::{End, Follow};
use crate::interrupt::Interrupt;
use crate::out::Out;
use crate::progress::Progress;
use crate::sentence;
use crate::text::{count, escaped};

/// Ranges that a line names; of more it tells how many.
const NAMED_MAX: usize = 3;

/// Verifies one job's file after the other.
pub(crate) async fn verify(daemon: &Daemon, ids: &[u64], repair: bool, out: &Out) -> Result<Exit, Failure> {
    let mut interrupt = Interrupt::new()?;
    let mut exit = Exit::Fine;
    for id in ids {
        let answered = tokio::select! {
            biased;
            () = interrupt.asked() => return Ok(Exit::Interrupted),
            answered = verified(daemon, *id, repair) => answered,
        };
        let mut job = match answered {
            Ok(job) => job,
            Err(error) => {
                exit = report(daemon, *id, error, exit, out)?;
                continue;
            }
        };
        let found = job.verified.clone();
        let is_fine = found.as_ref().is_none_or(|found| found.bad.is_empty() && found.reason.is_none());
        if !out.is_json() {
            let text = line(&job, found.as_ref(), repair);
            if is_fine { out.line(text)? } else { out.failure(&damaged(&job, text, repair)) }
        }
        let mut is_mended = is_fine;
        if repair && !is_fine && !job.state.is_ended() && job.state != JobState::Paused {
            match mended(daemon, job.clone(), &mut interrupt, out).await? {
                End::Over(outcome) => {
                    is_mended = outcome.failed == 0;
                    job = daemon.client.job(*id).await.map_err(|error| daemon.failure(error))?;
                }
                End::Interrupted(_) => return Ok(Exit::Interrupted),
            }
        }
        if out.is_json() {
            out.json(&job)?;
        }
        if !is_mended {
            exit = Exit::Failed;
        }
    }
    Ok(exit)
}

/// Has a file verified and waits for what was found, however long that takes.
async fn verified(daemon: &Daemon, id: u64, repair: bool) -> Result<Job, ClientError> {
    let mut job = daemon.client.verify(id, repair, query::WAIT_SECONDS_MAX).await?;
    while job.state == JobState::Verifying {
        job = daemon.client.wait(id, query::WAIT_SECONDS_MAX, Some(JobState::Verifying)).await?;
    }
    Ok(job)
}

/// Waits until what was damaged has been fetched.
async fn mended(daemon: &Daemon, job: Job, interrupt: &mut Interrupt, out: &Out) -> Result<End, Failure> {
    let mut progress = Progress::new(out);
    let follow = Follow {
        daemon,
        progress: &mut progress,
        interrupt,
        is_over: |job| job.state.is_ended() || job.state == JobState::Paused,
        again: |job| format!("`haul retry {}`", job.id),
        joins_new: false,
    };
    let end = follow.run(vec![job]).await;
    progress.clear();
    end
}

fn damaged(job: &Job, text: String, repair: bool) -> Failure {
    let failure = Failure::new(Exit::Failed, text);
    if job.state == JobState::Completed && !repair {
        return failure.with_help(format!("`haul verify {} --repair` fetches that again", job.id));
    }
    failure
}

/// `17  a.iso: intact, 1.07 GB checked`, or `17  a.iso: 16.8 MB in 1 place damaged (bytes 0-16777215)`.
fn line(job: &Job, found: Option<&Verified>, repair: bool) -> String {
    let name = format!("{}  {}", job.id, sentence::name(job));
    let Some(found) = found else { return format!("{name}: nothing is known of its bytes") };
    let mut text = if found.bad.is_empty() {
        let word = if found.checked_bytes > 0 { "intact, " } else { "" };
        format!("{name}: {word}{} checked", Size(found.checked_bytes).approx())
    } else {
        let bytes: u64 = found.bad.iter().map(|bad| bad.end - bad.start).sum();
        let named = found.bad.iter().take(NAMED_MAX).map(|bad| format!("{}-{}", bad.start, bad.end - 1));
        let more = if found.bad.len() > NAMED_MAX { ", ..." } else { "" };
        let named: Vec<String> = named.collect();
        let places = count(found.bad.len(), "place");
        format!("{name}: {} in {places} damaged (bytes {}{more})", Size(bytes).approx(), named.join(", "))
    };
    if found.unchecked_bytes > 0 {
        text += &format!(", {} cannot be checked", Size(found.unchecked_bytes).approx());
    }
    if let Some(reason) = &found.reason {
        text += &format!(": {}", escaped(reason));
    }
    if !found.bad.is_empty() && (repair || job.state != JobState::Completed) {
        text += "; it is fetched again";
    }
    text
}

#[cfg(test)]
mod tests {
    use haul_api::BadRange;
    use jiff::Timestamp;

    use super::*;
    use crate::sentence::tests::job;

    #[test]
    fn a_line_tells_what_was_found() {
        let found = |bad: &[(u64, u64)], checked_bytes, unchecked_bytes| Verified {
            at: Timestamp::UNIX_EPOCH,
            checked_bytes,
            unchecked_bytes,
            bad: bad.iter().map(|(start, end)| BadRange { start: *start, end: *end }).collect(),
            reason: None,
        };
        let completed = job(JobState::Completed);
        let told = |found: &Verified| line(&completed, Some(found), false);
        assert_eq!(told(&found(&[], 1_070_000_000, 0)), "17  a.iso: intact, 1.07 GB checked");
        assert_eq!(told(&found(&[], 0, 5_000_000)), "17  a.iso: 0 B checked, 5.00 MB cannot be checked");
        let one = found(&[(0, 1_000_000)], 2_000_000, 0);
        assert_eq!(told(&one), "17  a.iso: 1.00 MB in 1 place damaged (bytes 0-999999)");
        let many = found(&[(0, 1), (2, 3), (4, 5), (6, 7)], 7, 0);
        assert_eq!(told(&many), "17  a.iso: 4 B in 4 places damaged (bytes 0-0, 2-2, 4-4, ...)");
        let text = line(&job(JobState::Active), Some(&one), true);
        assert!(text.ends_with("; it is fetched again"), "{text}");
        let gone = Verified { reason: Some("there is no file\n".to_owned()), ..one };
        assert!(told(&gone).ends_with(": there is no file\\u{a}"), "{}", told(&gone));
        assert_eq!(damaged(&completed, String::new(), false).help, ["`haul verify 17 --repair` fetches that again"]);
    }
}
