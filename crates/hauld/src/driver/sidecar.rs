//! The file that holds a job's checksum (`checksum_url`): fetched by the same rules as any download, into memory, while the
//! job's own file is on its way.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use haul_core::messages::{Command, End, Event, FetchKind, Timeouts};
use haul_core::{Class, Fault, FaultKind, JobId, WorkerId};
use haul_store::{JobRow, UpdateError};
use haul_transfer::{Checksum, DiskFile, Identity, Lane, Masked, Order, Report, Target, sidecar};
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use rustix::fs::MemfdFlags;
use tokio::sync::mpsc;
use tracing::{info, warn};
use url::Url;

use super::Driver;
use super::running::Then;
use super::tasks::{Done, store_fault};
use crate::convert::now_ms;
use crate::submit::origin;

/// Attempts before the job fails: the file is small, and a server that does not give it does not want to.
const ATTEMPTS_MAX: u32 = 4;

/// The wait before the second attempt; it doubles.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// How far the file is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Sidecar {
    /// Nobody has asked for it: there is none, or it is not its time yet.
    #[default]
    Unasked,
    /// It is on its way.
    Asked,
    /// It has come.
    Come,
    /// It cannot be had.
    Failed(Fault),
}

impl Sidecar {
    /// Whether sealing has to wait for it.
    pub(super) fn is_awaited(&self) -> bool {
        *self == Self::Asked
    }

    /// Refuses to seal a file whose checksum should be known and is not.
    pub(super) fn refuse(&self, row: &JobRow) -> Result<(), Fault> {
        if let Self::Failed(fault) = self {
            return Err(fault.clone());
        }
        if row.wish.checksum_url.is_some() && row.wish.checksum.is_none() {
            return Err(Fault::new(FaultKind::ChecksumUnavailable, "the checksum was not fetched"));
        }
        Ok(())
    }
}

impl Driver {
    /// Asks for the checksum file of a job that has one, once the job's own file has a name to be looked up.
    pub(super) fn want_sidecar(&mut self, id: JobId) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        let wish = &running.row.wish;
        if wish.checksum_url.is_none() || wish.checksum.is_some() || running.sidecar != Sidecar::Unasked {
            return;
        }
        running.sidecar = Sidecar::Asked;
        self.ask_for_sidecar(id, 1);
    }

    pub(super) fn ask_for_sidecar(&mut self, id: JobId, attempt: u32) {
        let Some(running) = self.jobs.get(&id) else { return };
        let url = running.row.wish.checksum_url.as_deref().and_then(|url| Url::parse(url).ok());
        let (Some(url), Some(place)) = (url, running.place.clone()) else { return };
        let (reports, received) = mpsc::channel(4);
        let lane = Arc::new(Lane::new(0, sidecar::SIDECAR_BYTES_MAX + 1));
        let started = memory().and_then(|file| {
            let order = self.sidecar_order(id, &url, &lane, &file, reports);
            self.threads.start(place.filesystem(), order).map(|()| file)
        });
        let names = self.jobs[&id].names();
        let quit = self.quit.clone();
        self.tasks.push(Box::pin(async move {
            let checksum = match started {
                Ok(file) => {
                    let end = tokio::select! {
                        biased;
                        () = quit.cancelled() => { lane.stop(); return Done::Nothing },
                        end = ended(received) => end,
                    };
                    read(end, &file, &url, &names)
                }
                Err(fault) => Err(fault),
            };
            Done::SidecarEnded { id, attempt, checksum }
        }));
    }

    fn sidecar_order(
        &mut self,
        id: JobId,
        url: &Url,
        lane: &Arc<Lane>,
        file: &Arc<DiskFile>,
        reports: mpsc::Sender<Report>,
    ) -> Order {
        let running = &self.jobs[&id];
        let (headers, referrer) = running.secrets_for(url);
        let host = origin(url);
        let mut limiters = self.limiters.of_transfer(running.row.wish.label.as_deref(), [&host, &host]);
        limiters.push(running.limiter.clone());
        let user_agent = running.row.wish.user_agent.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
        Order {
            // Its reports do not go to the engine.
            worker: WorkerId(0),
            kind: FetchKind::Whole,
            submitted: url.clone(),
            resolved: None,
            lane: Arc::clone(lane),
            timeouts: self.sidecar_timeouts,
            overlap: 0,
            reach: 0,
            identity: Identity::default(),
            others: Vec::new(),
            if_range: false,
            no_cache: running.no_cache,
            headers,
            cookies: Arc::clone(&running.cookies),
            user_agent: user_agent.or(Some(self.user_agent.clone())),
            referrer,
            login: self.login(&running.row, url),
            post: None,
            client: running.client(&self.client),
            limiters,
            target: Target::Ready(Arc::clone(file)),
            reports,
        }
    }

    pub(super) fn sidecar_ended(&mut self, id: JobId, attempt: u32, checksum: Result<Checksum, Fault>) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        match checksum {
            Ok(checksum) => {
                info!(job = id.0, kind = %checksum.kind(), "the file that holds the checksum has come");
                let store = self.store.clone();
                self.tasks.push(Box::pin(async move {
                    let row = store.set_checksum(id, checksum.to_string(), now_ms()).await;
                    Done::ChecksumKnown { id, row }
                }));
            }
            Err(fault) if may_pass(&fault) && attempt < ATTEMPTS_MAX => {
                warn!(job = id.0, attempt, code = fault.kind.code(), "the file that holds the checksum: {fault}");
                let (quit, wait) = (self.quit.clone(), RETRY_WAIT * 2_u32.pow(attempt - 1));
                self.tasks.push(Box::pin(async move {
                    tokio::select! {
                        biased;
                        () = quit.cancelled() => Done::Nothing,
                        () = tokio::time::sleep(wait) => Done::SidecarDue { id, attempt: attempt + 1 },
                    }
                }));
            }
            Err(fault) => {
                let detail = format!("the checksum cannot be had from `checksum_url`: {fault}");
                let fault = Fault::new(FaultKind::ChecksumUnavailable, detail);
                running.sidecar = Sidecar::Failed(fault.clone());
                self.fail_for(id, fault);
            }
        }
    }

    pub(super) fn checksum_known(&mut self, id: JobId, row: Result<JobRow, UpdateError>) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        match row {
            Ok(row) => {
                running.sidecar = Sidecar::Come;
                running.row.wish.checksum = row.wish.checksum;
                self.announce(id);
                self.go_on_when_synced(id);
            }
            Err(error) => {
                let fault = store_fault(&error);
                running.sidecar = Sidecar::Failed(fault.clone());
                self.fail_for(id, fault);
            }
        }
    }

    /// Fails a job, whatever it is at.
    fn fail_for(&mut self, id: JobId, fault: Fault) {
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        if matches!(running.then, Some(Then::Seal)) {
            running.then = None;
            self.event(Event::SealFailed(id, fault));
        } else {
            self.command(Command::GiveUp(id, fault));
        }
    }
}

/// How long to wait for what.
pub(super) fn timeouts(policy: &haul_core::Policy) -> Timeouts {
    Timeouts { connect: policy.connect_timeout, response: policy.response_timeout, stall: policy.stall_timeout }
}

/// A file without a name that lies in memory.
fn memory() -> Result<Arc<DiskFile>, Fault> {
    let file = rustix::fs::memfd_create("haul-checksum", MemfdFlags::CLOEXEC);
    let fault = |errno| Fault::new(FaultKind::Local, format!("no memory for the checksum: {errno}"));
    file.map(|file| Arc::new(DiskFile::from(File::from(file)))).map_err(fault)
}

/// Waits for the end of the one worker that reports here.
async fn ended(mut reports: mpsc::Receiver<Report>) -> (u64, End) {
    while let Some(report) = reports.recv().await {
        match report {
            Report::Opened { .. } => {}
            Report::Ended { at, end, .. } => return (at, end),
        }
    }
    (0, End::Stopped)
}

fn read((bytes, end): (u64, End), file: &DiskFile, url: &Url, names: &[String]) -> Result<Checksum, Fault> {
    let unusable = |what: &str| Fault::new(FaultKind::ChecksumUnavailable, format!("{}: {what}", Masked(url)));
    match end {
        End::Finished if bytes > sidecar::SIDECAR_BYTES_MAX => {
            let most = sidecar::SIDECAR_BYTES_MAX >> 20;
            return Err(unusable(&format!("it is larger than {most} MiB, which no list of checksums is")));
        }
        End::Finished => {}
        End::Stopped => return Err(Fault::new(FaultKind::Local, "the transfer was stopped")),
        End::Fault(fault) => return Err(fault),
    }
    let mut text = vec![0; usize::try_from(bytes).unwrap_or_default()];
    file.read_exact_at(&mut text, 0).map_err(|error| unusable(&error.to_string()))?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    sidecar::find(&text, &last_segment(url), &names).map_err(|problem| unusable(&problem.to_string()))
}

/// The last part of a URL's path, as people read it.
pub(super) fn last_segment(url: &Url) -> String {
    let segment = url.path().rsplit('/').next().unwrap_or_default();
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// Whether another attempt may go better.
fn may_pass(fault: &Fault) -> bool {
    match fault.kind.class() {
        Class::Transient | Class::Busy | Class::Local | Class::Protocol | Class::Network => true,
        Class::Permanent
        | Class::Link
        | Class::RangesRefused
        | Class::SourceChanged
        | Class::Doubted
        | Class::Disk
        | Class::Volume => false,
    }
}
