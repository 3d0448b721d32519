//! What somebody should do something about, found in a report of the daemon's state.

use haul_api::doctor::{Directory, Doctor, WaitingJob};
use haul_api::{Finding, Size, WaitingFor};
use jiff::SignedDuration;

/// How far the clock may be behind what it has said before. A guess: more than it is ever set right by.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(60);

/// What the database needs to go on: a few of its logs. A guess.
pub(crate) const DATABASE_NEEDS: u64 = 16 << 20;

/// Looks through a report.
pub(crate) fn findings(report: &Doctor) -> Vec<Finding> {
    let mut findings: Vec<Finding> = report.directories.iter().filter_map(of_directory).collect();
    findings.extend(of_database(report));
    findings.extend(of_files(report));
    findings.extend(of_clock(report));
    findings.extend(report.waiting.iter().filter_map(of_job));
    findings
}

fn finding(code: &str, message: String, advice: impl Into<String>) -> Finding {
    Finding { code: code.to_owned(), message, advice: advice.into() }
}

fn of_directory(directory: &Directory) -> Option<Finding> {
    let (path, setting) = (&directory.path, &directory.setting);
    if let Some(trouble) = &directory.trouble {
        let message = format!("`{path}` ({setting}) cannot be used: {trouble}");
        let advice = format!("Mount it, give the daemon's user the right to write there, or change `{setting}`.");
        return Some(finding("directory-unusable", message, advice));
    }
    let free = directory.free_bytes?;
    if free > directory.reserved_bytes {
        return None;
    }
    let message = format!("`{path}` ({setting}) is full: {} are free", Size(free).approx());
    Some(finding("disk-full", message, "Free some space there; jobs that wait for it go on by themselves."))
}

fn of_database(report: &Doctor) -> Option<Finding> {
    let first = report.database.damage.first()?;
    let message = format!("the database is damaged: {first}");
    let advice =
        "Stop the daemon, keep a copy of the database, and go back to a backup; finished files are not touched.";
    Some(finding("database-damaged", message, advice))
}

fn of_files(report: &Doctor) -> Option<Finding> {
    let limits = report.limits;
    if limits.connections_possible >= limits.connections_total {
        return None;
    }
    let message = format!(
        "{} open files leave room for {} connections, and `connections_total` is {}",
        limits.open_files_max, limits.connections_possible, limits.connections_total
    );
    Some(finding(
        "few-open-files",
        message,
        "Raise the limit (`LimitNOFILE=` in the unit), or lower `connections_total`.",
    ))
}

fn of_clock(report: &Doctor) -> Option<Finding> {
    let then = report.clock.last_error_at?;
    let behind = then.duration_since(report.clock.now);
    if behind <= CLOCK_TOLERANCE {
        return None;
    }
    let message = format!("the clock says {}, and has said {then} before", report.clock.now);
    Some(finding("clock-behind", message, "Set the clock right: certificates and start times depend on it."))
}

fn of_job(job: &WaitingJob) -> Option<Finding> {
    let (id, why) = (job.id, &job.why);
    match job.waiting_for? {
        WaitingFor::Link => {
            let advice = format!("Give it a new URL of the same file: `haul renew {id} URL`.");
            Some(finding("link-expired", format!("job {id} needs a new link: {why}"), advice))
        }
        WaitingFor::Volume => {
            let advice = format!("Mount the volume; the job goes on by itself, or at once with `haul resume {id}`.");
            Some(finding("volume-away", format!("job {id} needs its volume: {why}"), advice))
        }
        WaitingFor::Retry | WaitingFor::Disk | WaitingFor::Network | WaitingFor::Host | WaitingFor::Schedule => None,
    }
}

#[cfg(test)]
mod tests {
    use haul_api::JobState;
    use haul_api::doctor::{Clock, Database, ProcessLimits};
    use jiff::Timestamp;

    use super::*;

    type Trouble<'a> = &'a dyn Fn(&mut Doctor);

    fn healthy() -> Doctor {
        let directory = Directory {
            setting: "download_dir".to_owned(),
            path: "/srv".to_owned(),
            file_system: Some("ext4".to_owned()),
            free_bytes: Some(1 << 40),
            total_bytes: Some(1 << 41),
            reserved_bytes: 256 << 20,
            trouble: None,
        };
        Doctor {
            healthy: true,
            findings: Vec::new(),
            version: String::new(),
            sqlite: String::new(),
            system: String::new(),
            uptime_seconds: 1,
            clock: Clock { now: Timestamp::UNIX_EPOCH, last_error_at: Some(Timestamp::UNIX_EPOCH) },
            log: "info".to_owned(),
            configuration: std::collections::BTreeMap::new(),
            directories: vec![directory],
            limits: ProcessLimits {
                open_files_max: 1024,
                open_files: 9,
                connections_possible: 480,
                connections_total: 480,
            },
            database: Database { bytes: 1, schema: 1, jobs: 0, damage: Vec::new(), waiting: 0 },
            last_errors: Vec::new(),
            hosts: Vec::new(),
            waiting: Vec::new(),
        }
    }

    #[test]
    fn each_trouble_is_found_alone_and_says_what_to_do() {
        assert_eq!(findings(&healthy()), []);
        let job = |waiting_for| WaitingJob { id: 7, state: JobState::Waiting, waiting_for, why: "because".to_owned() };
        let troubles: [(&str, &str, Trouble<'_>); 7] = [
            ("directory-unusable", "download_dir", &|r| r.directories[0].trouble = Some("not mounted".to_owned())),
            ("disk-full", "space", &|r| r.directories[0].free_bytes = Some(256 << 20)),
            ("database-damaged", "backup", &|r| r.database.damage = vec!["row 3".to_owned()]),
            ("few-open-files", "LimitNOFILE", &|r| r.limits.connections_total = 481),
            ("clock-behind", "clock", &|r| r.clock.last_error_at = Timestamp::from_second(61).ok()),
            ("link-expired", "haul renew 7", &|r| r.waiting = vec![job(Some(WaitingFor::Link))]),
            ("volume-away", "haul resume 7", &|r| r.waiting = vec![job(Some(WaitingFor::Volume))]),
        ];
        for (code, advice, trouble) in troubles {
            let mut report = healthy();
            trouble(&mut report);
            let found = findings(&report);
            assert_eq!(found.iter().map(|finding| finding.code.as_str()).collect::<Vec<_>>(), [code]);
            assert!(found[0].advice.contains(advice), "{found:?}");
        }
    }

    #[test]
    fn what_passes_by_itself_is_no_finding() {
        let mut report = healthy();
        report.clock.last_error_at = Timestamp::from_second(59).ok();
        let waits = |waiting_for| WaitingJob { id: 7, state: JobState::Waiting, waiting_for, why: String::new() };
        report.waiting = vec![waits(Some(WaitingFor::Retry)), waits(None)];
        assert_eq!(findings(&report), []);
    }
}
