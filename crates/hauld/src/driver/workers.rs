//! Workers: from the engine's orders to the transfer threads, and back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use haul_core::messages::{Command, End, Event, Fetch, FetchKind, MirrorState, Note, StopReason, Suspect};
use haul_core::{Fault, FaultKind, JobId, MirrorIndex, WorkerId, plan};
use haul_store::{Identity as StoredIdentity, Private, UpdateError};
use haul_transfer::{Checksum, Lane, Opened, Order, PartFile, Place, Report, Target, part};
use http::HeaderValue;
use tracing::{debug, error, info, warn};

use super::Driver;
use super::disk::{create, reserve, stored_part};
use super::running::{Running, validators};
use super::tasks::{Done, Made, Reply, blocking, store_fault};
use crate::convert::now_ms;

/// A worker, as the driver knows it.
pub(super) struct RunningWorker {
    pub(super) job: JobId,
    pub(super) mirror: MirrorIndex,
    kind: FetchKind,
    /// Scheme, host and port of the server that it asks.
    pub(super) host: String,
    pub(super) lane: Arc<Lane>,
    /// What the engine was last told.
    pub(super) told: (u64, Duration),
    /// Why the driver itself has stopped it: the reason that the engine is given.
    pub(super) refused: Option<Fault>,
}

/// Tries for a name that no other job has.
const NAMES_MAX: u32 = 10_000;

impl Driver {
    /// Starts a worker, or has its disk looked at first.
    pub(super) fn fetch(&mut self, fetch: Fetch) {
        if self.stopping {
            return;
        }
        let lane = Arc::new(Lane::new(fetch.from, fetch.end.unwrap_or(Lane::OPEN)));
        let running = self.jobs.get_mut(&fetch.job).expect("the engine knows only jobs that run here");
        if let Some(total) = running.row.identity.total_bytes {
            lane.set_span_bytes(plan::chunk_bytes(total));
        }
        let worker = RunningWorker {
            job: fetch.job,
            mirror: fetch.mirror,
            kind: fetch.kind,
            host: running.mirror(fetch.mirror).host.clone(),
            lane,
            told: (fetch.from, Duration::ZERO),
            refused: None,
        };
        self.workers.insert(fetch.worker, worker);
        if !running.at_work {
            self.begin_work(fetch.job);
        }
        let running = self.jobs.get_mut(&fetch.job).expect("it was just there");
        match running.place.clone().filter(|_| !running.must_look) {
            Some(place) => match running.held_up() {
                Some(fault) => self.worker_ended(fetch.worker, fetch.from, End::Fault(fault)),
                None => self.start_worker(&place, &fetch),
            },
            None => {
                let id = running.id();
                running.waiting_orders.push(fetch);
                self.look_at_disk(id);
            }
        }
    }

    pub(super) fn start_worker(&mut self, place: &Place, fetch: &Fetch) {
        let running = &self.jobs[&fetch.job];
        let header = |text: &str| HeaderValue::from_str(text).ok();
        let mirror = running.mirror(fetch.mirror);
        let (headers, referrer) = running.secrets(fetch.mirror);
        let [asked, answers] = running.servers(fetch.mirror);
        let mut limiters = self.limiters.of_transfer(running.row.wish.label.as_deref(), [&asked, &answers]);
        limiters.push(running.limiter.clone());
        let order = Order {
            worker: fetch.worker,
            kind: fetch.kind,
            submitted: mirror.submitted.clone(),
            resolved: mirror.resolved.clone().filter(|_| !fetch.resolve),
            lane: Arc::clone(&self.workers[&fetch.worker].lane),
            timeouts: fetch.timeouts,
            overlap: fetch.overlap,
            reach: fetch.reach,
            identity: running.known(fetch.mirror, fetch.kind),
            others: running.others(fetch.mirror, fetch.kind),
            if_range: true,
            no_cache: running.no_cache,
            headers,
            cookies: Arc::clone(&running.cookies),
            user_agent: running.row.wish.user_agent.as_deref().and_then(header).or(Some(self.user_agent.clone())),
            referrer,
            login: self.login(&running.row, &mirror.submitted),
            post: running.post.clone(),
            client: running.client(&self.client),
            limiters,
            target: running.part.as_ref().map_or(Target::Ask, |part| Target::Ready(Arc::clone(part.file()))),
            reports: self.report_to.clone(),
        };
        let (job, worker, mirror) = (fetch.job.0, fetch.worker.0, fetch.mirror.0);
        debug!(job, worker, mirror, kind = ?fetch.kind, from = fetch.from, end = fetch.end, "fetching");
        if let Err(fault) = self.threads.start(place.filesystem(), order) {
            self.worker_ended(fetch.worker, fetch.from, End::Fault(fault));
        }
    }

    pub(super) fn set_end(&mut self, worker: WorkerId, end: u64) {
        // One that has ended since the engine decided on it has been told of.
        let Some(running) = self.workers.get(&worker) else { return };
        let end = running.lane.set_end(end);
        self.event(Event::EndSet { worker, end });
    }

    pub(super) fn stop_worker(&mut self, worker: WorkerId, reason: StopReason) {
        if let Some(running) = self.workers.get(&worker) {
            debug!(job = running.job.0, worker = worker.0, ?reason, "stopping a worker");
            running.lane.stop();
            self.metrics.stopped(reason);
            let (job, host) = (running.job, running.host.clone());
            self.tell_replaced(job, host, reason);
        }
    }

    pub(super) fn report(&mut self, report: Report) {
        match report {
            Report::Opened { worker, opened, reply } => self.opened(worker, *opened, reply),
            Report::Ended { worker, at, end } => self.worker_ended(worker, at, end),
        }
    }

    pub(super) fn worker_ended(&mut self, worker: WorkerId, at: u64, end: End) {
        let Some(running) = self.workers.remove(&worker) else {
            error!(worker = worker.0, "a worker ended twice");
            return;
        };
        debug!(job = running.job.0, worker = worker.0, at, ?end, "a worker ended");
        self.done_bytes += at.saturating_sub(running.told.0);
        if let Some(job) = self.jobs.get_mut(&running.job) {
            job.sums.note_spans(running.lane.take_spans());
        }
        if end == End::Finished {
            self.keep_beyond(&running, at);
        }
        let end = running.refused.map_or(end, End::Fault);
        let disk_fault = match &end {
            End::Fault(fault) if fault.kind.awaits_disk().is_some() => Some(fault.clone()),
            End::Fault(_) | End::Finished | End::Stopped => None,
        };
        self.event(Event::WorkerEnded { worker, at, end });
        self.collect_rows(running.job);
        if let Some(fault) = disk_fault {
            self.note_disk_fault(running.job, &fault);
        }
        self.take_what_is_left(running.job);
    }

    /// An answer has begun and fits.
    fn opened(&mut self, worker: WorkerId, opened: Opened, reply: Option<Reply>) {
        let Some(asked) = self.workers.get(&worker) else { return };
        let (id, index, kind, host) = (asked.job, asked.mirror, asked.kind, asked.host.clone());
        if kind == FetchKind::Range {
            self.sweep.hurry();
        }
        self.host_answered(&host);
        let Some(running) = self.jobs.get_mut(&id) else { return };
        let is_first = running.row.identity.total_bytes.is_none();
        let source = running.row.identity.mirror;
        let mirror = running.mirror_mut(index);
        // What a POST was answered by at another place is not there for a GET.
        let moved = opened.final_url != mirror.submitted && !opened.by_post;
        mirror.resolved = moved.then(|| opened.final_url.clone());
        // A job that turns to another mirror before its first byte asks anew what the file is.
        if is_first || (kind == FetchKind::Probe && source != index) {
            self.tune_post(id);
            self.described(id, worker, index, &opened, reply);
            return;
        }
        if mirror.note_identity(&opened.identity) {
            self.store_validators(id, validators(index, &opened.identity, false));
        }
        self.tune_post(id);
        self.event(Event::Opened { worker, total: opened.total, partial: opened.partial });
        if let Some(reply) = reply {
            self.reply_with_part(id, worker, reply);
        }
    }

    /// Where a POST has led elsewhere its request may be repeated from now on.
    fn tune_post(&mut self, id: JobId) {
        let running = &self.jobs[&id];
        if running.post.is_some() {
            let tuning = self.tuning(running);
            self.command(Command::Tune(id, tuning));
        }
    }

    /// An answer tells what the file is.
    fn described(&mut self, id: JobId, worker: WorkerId, from: MirrorIndex, opened: &Opened, reply: Option<Reply>) {
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        if let Some(fault) = wrong_size(running.row.wish.expected_size, opened.total) {
            // Another mirror may have the file that is meant.
            let kind = if self.has_other_mirror(id, from) { FaultKind::SourceChanged } else { fault.kind };
            self.refuse(worker, Fault { kind, ..fault });
            return;
        }
        if opened.identity.is_html() && !may_be_a_page(&opened.file_name(&running.mirror(from).submitted)) {
            // Perhaps the login page of a hotel; perhaps what the user wants (F-NET-06).
            warn!(job = id.0, "what the server has sent under the name of another kind of file is a web page");
        }
        if let (Some(total), Some(worker)) = (opened.total, self.workers.get(&worker)) {
            worker.lane.set_span_bytes(plan::chunk_bytes(total));
        }
        running.content_type.clone_from(&opened.identity.content_type);
        running.mirror_mut(from).identity = opened.identity.clone();
        self.store_validators(id, validators(from, &opened.identity, false));
        let accepts_ranges = opened.partial && opened.total.is_some() && !opened.refuses_ranges;
        if !opened.by_post {
            self.add_named_mirrors(id, &opened.hints);
        }
        self.make_part(id, worker, from, opened, accepts_ranges, reply);
        self.event(Event::Opened { worker, total: opened.total, partial: accepts_ranges });
    }

    /// Tells whether a job has a mirror besides this one that is still in use.
    fn has_other_mirror(&self, id: JobId, index: MirrorIndex) -> bool {
        let view = self.engine.job(self.now(), id);
        let mirrors = view.into_iter().flat_map(|view| view.mirrors).zip(0..);
        mirrors.into_iter().any(|(mirror, other)| other != index.0 && mirror.state != MirrorState::Dropped)
    }

    /// Writes down what the engine finds worth it, and draws the conclusion that is the driver's.
    pub(super) fn note(&mut self, id: JobId, note: &Note) {
        log(id, self.jobs.get(&id), note);
        self.metrics.note(note);
        self.tell_note(id, note);
        if let Note::MirrorDropped { mirror, .. } = note
            && let Some(running) = self.jobs.get_mut(&id)
        {
            // Should it be tried once more, it may have got another file meanwhile.
            running.mirror_mut(*mirror).forget();
        }
        if let Note::Healing { what: Suspect::Everything, .. } = note
            && let Some(running) = self.jobs.get_mut(&id)
        {
            running.refetched = true;
        }
        if let Note::ValidatorsVary(mirror) = note
            && let Some(running) = self.jobs.get_mut(&id)
        {
            let varying = running.mirror_mut(*mirror);
            varying.note_varying();
            let validators = validators(*mirror, &varying.identity, true);
            self.store_validators(id, validators);
        }
    }

    /// Has stored what a server calls the version that a job has.
    fn store_validators(&mut self, id: JobId, validators: haul_store::Validators) {
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            if let Err(error) = store.set_validators(id, validators).await {
                error!(job = id.0, %error, "cannot store a server's validators");
            }
            Done::Nothing
        }));
    }

    /// Stops a worker for a reason of ours.
    fn refuse(&mut self, worker: WorkerId, fault: Fault) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.refused = Some(fault);
            worker.lane.stop();
        }
    }

    /// A worker asks for a file that is there, or is being made.
    fn reply_with_part(&mut self, id: JobId, worker: WorkerId, reply: Reply) {
        let Some(running) = self.jobs.get_mut(&id) else { return };
        if let Some(part) = running.part.as_ref().filter(|_| !running.making_part) {
            reply.send(Ok(Arc::clone(part.file()))).ok();
            return;
        }
        // Several answers may begin before the file is made; it must be made once.
        running.asking.push((worker, reply));
        if !running.making_part {
            let identity = running.row.identity.clone();
            self.push_part(id, worker, identity);
        }
    }

    /// Has a name chosen and reserved and a part file made, and what the answer said stored.
    fn make_part(
        &mut self,
        id: JobId,
        worker: WorkerId,
        from: MirrorIndex,
        opened: &Opened,
        accepts_ranges: bool,
        reply: Option<Reply>,
    ) {
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        running.choose_dir();
        // A part file, once made, keeps its job's name through restarts.
        let wished = running.renaming.as_ref().or(running.row.identity.name.as_ref());
        let name = wished.or(running.row.wish.filename.as_ref()).cloned();
        let mirror = running.mirror(from);
        let name = name.unwrap_or_else(|| opened.file_name(&mirror.submitted));
        let told_before = running.row.identity.digest.clone().filter(|_| running.refetched);
        let digest = opened.hints.checksum.as_ref().filter(|_| running.row.wish.checksum.is_none());
        let identity = StoredIdentity {
            name: Some(name),
            total_bytes: opened.total,
            accepts_ranges: Some(accepts_ranges),
            etag: opened.identity.etag.clone(),
            last_modified: opened.identity.last_modified.clone(),
            final_url: mirror.resolved.as_ref().map(|url| Private(url.to_string())),
            mirror: from,
            // What was said of a file that did not match holds for what is fetched in its place.
            digest: digest.map(Checksum::to_string).or(told_before),
        };
        running.row.identity = identity.clone();
        running.asking.extend(reply.map(|reply| (worker, reply)));
        // An answer that broke off at once may be followed by another one before the file is made.
        if running.making_part {
            running.told_meanwhile = Some(identity);
        } else {
            self.push_part(id, worker, identity);
        }
    }

    /// Has stored what another answer has said of the file while it was being made under its name.
    fn push_newer(&mut self, id: JobId, worker: WorkerId, newer: StoredIdentity) {
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        let identity = StoredIdentity { name: running.row.identity.name.clone(), ..newer };
        running.row.identity = identity.clone();
        self.push_part(id, worker, identity);
    }

    fn push_part(&mut self, id: JobId, worker: WorkerId, identity: StoredIdentity) {
        self.save_events();
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        debug_assert!(!running.making_part, "a second part file would take the place of the first");
        running.making_part = true;
        let (store, roots, place) = (self.store.clone(), Arc::clone(&self.roots), running.place.clone());
        let dir = running.row.wish.dir.clone();
        let tag = u32::from_str_radix(&running.row.part_token, 16).unwrap_or_default();
        let on_conflict = running.row.wish.on_conflict;
        let known = running.part.clone();
        let kept = running.row.kept_part.clone();
        self.tasks.push(Box::pin(async move {
            let made = async {
                // Another directory has just been chosen.
                let is_moved = place.is_none();
                let path = PathBuf::from(&dir);
                let place = match place {
                    Some(place) => place,
                    None => blocking(move || roots.open(&path).map(Arc::new)).await?,
                };
                if on_conflict == haul_store::OnConflict::Fail {
                    refuse_taken_name(&place, identity.name.as_deref()).await?;
                }
                let total = identity.total_bytes;
                let row = reserve_name(&store, &place, id, identity, dir, on_conflict).await?;
                let name = row.identity.name.clone().unwrap_or_default();
                let moved = is_moved.then(|| Arc::clone(&place));
                let part = blocking(move || match known {
                    Some(part) => reserve(&part, total).map(|()| None),
                    None => create(place, &name, tag, total, kept.as_deref()).map(Some),
                });
                Ok(Made { part: part.await?, row: Box::new(row), moved })
            };
            Done::PartReady { id, worker, made: made.await }
        }));
    }

    pub(super) fn part_ready(&mut self, id: JobId, worker: WorkerId, made: Result<Made, Fault>) {
        // A job stays here until its part file is made, whatever its user wants meanwhile.
        let running = self.jobs.get_mut(&id).expect("nobody lets go of a job while its part file is being made");
        running.making_part = false;
        let asking = std::mem::take(&mut running.asking);
        match made {
            Ok(Made { part, row, moved }) => {
                if let Some(place) = moved {
                    running.must_look = false;
                    running.place = Some(Arc::clone(&place));
                    self.places.insert(place.path().to_owned(), Arc::downgrade(&place));
                    self.save_volumes();
                }
                let running = self.jobs.get_mut(&id).expect("it was just there");
                let told_meanwhile = running.told_meanwhile.take();
                running.row.identity = row.identity;
                running.row.started_at_ms = row.started_at_ms;
                if let Some(part) = part {
                    info!(job = id.0, part = part.name(), total = running.row.identity.total_bytes, "started");
                    self.note_part(id, part);
                }
                if let Some(newer) = told_meanwhile {
                    self.push_newer(id, worker, newer);
                }
                self.want_sidecar(id);
                for (worker, reply) in asking {
                    self.reply_with_part(id, worker, reply);
                }
            }
            Err(fault) => {
                self.refuse(worker, fault.clone());
                for (worker, _) in asking {
                    self.refuse(worker, fault.clone());
                }
            }
        }
        self.go_on_when_synced(id);
        self.announce(id);
    }

    /// Keeps a new part file, and has its row say where it is.
    fn note_part(&mut self, id: JobId, part: PartFile) {
        let running = self.jobs.get_mut(&id).expect("the caller holds the job");
        let stored = stored_part(&part);
        running.row.part = Some(stored.clone());
        running.part = Some(Arc::new(part));
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            if let Err(error) = store.set_part(id, Some(stored), now_ms()).await {
                error!(job = id.0, %error, "cannot store the part file's name");
            }
            Done::Nothing
        }));
    }
}

/// Tells whether a file of this name would be no surprise as a web page: it has no extension, or that of one.
fn may_be_a_page(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    extension.is_none_or(|extension| {
        ["html", "htm", "xhtml", "php", "asp", "aspx", "jsp", "cgi", "shtml"].contains(&extension.as_str())
    })
}

/// The fault of a file that has another size than its user has named.
pub(super) fn wrong_size(expected: Option<u64>, total: Option<u64>) -> Option<Fault> {
    let (expected, total) = expected.zip(total)?;
    (expected != total).then(|| {
        let detail = format!("the job expects {expected} bytes, but the server's file has {total}");
        Fault::new(FaultKind::ChecksumMismatch, detail)
    })
}

async fn refuse_taken_name(place: &Arc<Place>, name: Option<&str>) -> Result<(), Fault> {
    let name = name.unwrap_or_default();
    if is_taken(place, name).await? {
        let detail = format!("{} exists already, and the job must not replace it", place.path().join(name).display());
        return Err(Fault::new(FaultKind::TargetExists, detail));
    }
    Ok(())
}

async fn is_taken(place: &Arc<Place>, name: &str) -> Result<bool, Fault> {
    let (place, name) = (Arc::clone(place), name.to_owned());
    blocking(move || place.has(&name)).await
}

/// The first number from `from` on whose name no file has.
async fn first_free(place: &Arc<Place>, wanted: &str, from: u32) -> Result<u32, Fault> {
    let (place, wanted) = (Arc::clone(place), wanted.to_owned());
    let search = move || {
        for number in from..NAMES_MAX {
            if !place.has(&part::numbered(&wanted, number))? {
                return Ok(number);
            }
        }
        Ok(NAMES_MAX)
    };
    blocking(search).await
}

/// Stores what the answer said under the first name that no other job has reserved and, where the job may not replace
/// it, no file has.
async fn reserve_name(
    store: &haul_store::Store,
    place: &Arc<Place>,
    id: JobId,
    mut identity: StoredIdentity,
    dir: String,
    on_conflict: haul_store::OnConflict,
) -> Result<haul_store::JobRow, Fault> {
    let wanted = identity.name.clone().unwrap_or_default();
    let mut number = 0;
    while number < NAMES_MAX {
        if on_conflict == haul_store::OnConflict::Rename {
            number = first_free(place, &wanted, number).await?;
        }
        identity.name = Some(part::numbered(&wanted, number));
        match store.set_opened_in(id, identity.clone(), dir.clone(), now_ms()).await {
            Ok(row) => return Ok(row),
            Err(UpdateError::NameTaken) => number += 1,
            Err(error) => return Err(store_fault(&error)),
        }
    }
    Err(Fault::new(FaultKind::TargetExists, format!("{NAMES_MAX} other jobs have the name {wanted}")))
}

/// Writes down what the engine finds worth it.
fn log(job: JobId, running: Option<&Running>, note: &Note) {
    let job = job.0;
    let host = |mirror: MirrorIndex| running.map(|running| running.mirror(mirror).host.clone());
    match note {
        Note::ChunkReturned { chunk, mirror: _, retries, wait, fault } => {
            warn!(job, chunk, retries, ?wait, code = fault.kind.code(), "a chunk is tried again: {fault}");
        }
        Note::Strike { chunk, mirror: _, strikes, bytes_per_second } => {
            info!(job, chunk, strikes, bytes_per_second, "a connection was below the speed floor and is replaced");
        }
        Note::HostCap { host, cap } => info!(job, host, cap, "the host takes no more connections"),
        Note::HostWaits { host, wait, fault } => {
            warn!(job, host, ?wait, code = fault.kind.code(), "the host is left alone for a while: {fault}");
        }
        Note::SingleConnection => info!(job, "the server does not serve ranges; one connection from now on"),
        Note::Restart { restarts } => warn!(job, restarts, "the file has changed on the server; starting over"),
        Note::LinkTriedAgain => info!(job, "the link has expired; trying the submitted URL once more"),
        Note::MirrorProven(mirror) => {
            info!(job, mirror = mirror.0, host = host(*mirror), "a mirror has the same file and contributes");
        }
        Note::MirrorDropped { mirror, fault } => {
            let code = fault.kind.code();
            warn!(job, mirror = mirror.0, host = host(*mirror), code, "a mirror is not used any more: {fault}");
        }
        Note::ValidatorsVary(mirror) => info!(
            job,
            mirror = mirror.0,
            host = host(*mirror),
            "the servers name the same bytes differently; samples are compared instead"
        ),
        Note::Conflict { fault } => warn!(job, code = fault.kind.code(), "two answers do not fit together: {fault}"),
        Note::Healing { what, bytes } => {
            let what = match what {
                Suspect::Damage => "what is damaged is fetched again",
                Suspect::Mirrors => "what other mirrors than the first have sent is fetched again",
                Suspect::Everything => "all of it is fetched once more",
            };
            warn!(job, bytes, "the checksum does not match; {what}");
        }
    }
}
