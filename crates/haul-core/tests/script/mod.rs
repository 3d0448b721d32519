//! The shell of a story: it answers what needs an answer at once, and lets bytes flow when told to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haul_core::messages::{
    Caps, Command, Effect, End, Event, Fetch, FetchKind, HostMemory, JobSpec, JobView, MirrorState, Note, Outcome,
    QueueRule, Source, StopReason, Tuning, Why,
};
use haul_core::{
    ByteRange, Chunk, Engine, Fault, FaultKind, JobId, JobState, MirrorIndex, Policy, QueueId, Time, WorkerId,
};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const HOST: &str = "http://host";
/// How often workers report, unless the story says otherwise.
const TICK: Duration = Duration::from_millis(100);

/// What a request gets instead of an answer.
type Serve = dyn Fn(&Fetch) -> Option<FaultKind>;

/// Which requests get no answer at all.
type Hang = dyn Fn(&Fetch) -> bool;

pub(crate) struct Script {
    pub(crate) engine: Engine,
    pub(crate) now: Time,
    /// Bytes that were written twice.
    pub(crate) twice: u64,
    pub(crate) resets: u32,
    pub(crate) seals: u32,
    pub(crate) rewrites: u32,
    pub(crate) set_ends: u32,
    /// How the next attempts to seal end, before one succeeds.
    pub(crate) seal_faults: Vec<FaultKind>,
    /// The user wants the job gone while its file is being sealed.
    pub(crate) release_at_seal: bool,
    /// What mismatches know to be damaged.
    pub(crate) damaged: Vec<ByteRange>,
    /// What the next looks at the disk find, before one finds it well.
    pub(crate) disk_faults: Vec<FaultKind>,
    /// Looks at the disk.
    pub(crate) disk_checks: u32,
    /// Our own limit holds every worker up.
    pub(crate) throttled: bool,
    /// How often workers report.
    pub(crate) tick: Duration,
    /// How long answers take, beyond the next tick.
    pub(crate) answer_after: Duration,
    /// Workers do not end when they are told to, before [`Script::end`] lets them.
    pub(crate) hold_stops: bool,
    /// Workers do not report what they have written.
    pub(crate) hold_reports: bool,
    running: BTreeMap<WorkerId, Running>,
    fetches: BTreeMap<WorkerId, Fetch>,
    asked_at: BTreeMap<WorkerId, Time>,
    stopped_at: BTreeMap<WorkerId, Time>,
    seen: Vec<Effect>,
    rows: BTreeMap<JobId, BTreeMap<u64, Chunk>>,
    written: BTreeMap<JobId, BTreeSet<(u64, u64)>>,
    /// What was announced of the jobs' states.
    states: Vec<(JobId, JobState)>,
    ended: BTreeMap<JobId, (Outcome, Time)>,
    totals: BTreeMap<JobId, u64>,
    serve: Box<Serve>,
    hang: Box<Hang>,
}

struct Running {
    job: JobId,
    started: Time,
    at: u64,
    mark: u64,
    opened: bool,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::with(Policy::default())
    }

    /// Every job gets all the connections that its cap allows at once, and nothing is fetched twice: most stories are
    /// about something else.
    pub(crate) fn with(policy: Policy) -> Self {
        Self::as_it_is(Policy { adaptive: false, races: false, ..policy })
    }

    pub(crate) fn as_it_is(policy: Policy) -> Self {
        Self {
            engine: Engine::new(policy, 7),
            now: Time::ZERO,
            twice: 0,
            resets: 0,
            seals: 0,
            rewrites: 0,
            set_ends: 0,
            seal_faults: Vec::new(),
            release_at_seal: false,
            damaged: Vec::new(),
            disk_faults: Vec::new(),
            disk_checks: 0,
            throttled: false,
            hold_stops: false,
            hold_reports: false,
            running: BTreeMap::new(),
            fetches: BTreeMap::new(),
            asked_at: BTreeMap::new(),
            stopped_at: BTreeMap::new(),
            seen: Vec::new(),
            rows: BTreeMap::new(),
            written: BTreeMap::new(),
            states: Vec::new(),
            ended: BTreeMap::new(),
            totals: BTreeMap::new(),
            serve: Box::new(|_| None),
            hang: Box::new(|_| false),
            tick: TICK,
            answer_after: Duration::ZERO,
        }
    }

    /// A job whose probe has been answered: it has as many workers as it may, all of them opened.
    pub(crate) fn probed(mut self, id: JobId, total: u64) -> Self {
        self.start(id);
        self.open_all(total);
        self
    }

    pub(crate) fn start(&mut self, id: JobId) {
        self.start_with(id, Tuning::default());
    }

    pub(crate) fn start_on(&mut self, host: &str, id: JobId) {
        self.order(Command::Start(id, Box::new(JobSpec { hosts: vec![host.to_owned()], ..JobSpec::default() })));
    }

    /// A job whose file of `total` bytes is to be had at these hosts.
    pub(crate) fn start_at(&mut self, hosts: &[&str], id: JobId, total: u64) {
        self.totals.insert(id, total);
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        self.order(Command::Start(id, Box::new(JobSpec { hosts, ..JobSpec::default() })));
    }

    pub(crate) fn add_mirrors(&mut self, id: JobId, hosts: &[&str]) {
        self.order(Command::AddMirrors(id, hosts.iter().map(|host| (*host).to_owned()).collect()));
    }

    pub(crate) fn know_host(&mut self, memory: HostMemory) {
        self.order(Command::KnowHost(memory));
    }

    pub(crate) fn start_with(&mut self, id: JobId, tuning: Tuning) {
        self.order(Command::Start(
            id,
            Box::new(JobSpec { hosts: vec![HOST.to_owned()], tuning, ..JobSpec::default() }),
        ));
    }

    pub(crate) fn start_from_rows(&mut self, id: JobId, total: u64) {
        self.start_from_rows_at(&[HOST], id, total);
    }

    pub(crate) fn start_from_rows_at(&mut self, hosts: &[&str], id: JobId, total: u64) {
        let chunks = self.rows[&id].values().copied().collect();
        let source = Some(Source { total, accepts_ranges: true, chunks });
        self.ended.remove(&id);
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        self.order(Command::Start(id, Box::new(JobSpec { hosts, source, ..JobSpec::default() })));
    }

    /// The process is gone, and with it whatever the store does not know.
    pub(crate) fn crash(&mut self, policy: Policy, id: JobId) {
        self.engine = Engine::new(Policy { adaptive: false, races: false, ..policy }, 8);
        self.running.clear();
        self.fetches.clear();
        self.seen.clear();
        self.write_as_stored(id);
    }

    /// What was written since these rows were stored is lost.
    pub(crate) fn roll_back(&mut self, id: JobId, rows: Vec<Chunk>) {
        self.rows.insert(id, rows.iter().map(|row| (row.range.start, *row)).collect());
        self.write_as_stored(id);
        self.feed(Event::RolledBack(id, rows));
    }

    fn write_as_stored(&mut self, id: JobId) {
        let rows = self.rows.entry(id).or_default().values();
        let stretches = rows.filter(|row| row.done > 0).map(|row| (row.range.start, row.position())).collect();
        self.written.insert(id, stretches);
    }

    pub(crate) fn release(&mut self, id: JobId) {
        self.order(Command::Release(id));
    }

    /// Somebody reads the file at these offsets.
    pub(crate) fn demand(&mut self, id: JobId, offsets: &[u64]) {
        // Of a job that has ended nobody wants anything any more.
        self.engine.command(self.now, Command::Demand(id, offsets.to_vec())).ok();
        self.carry_out();
    }

    pub(crate) fn nudge(&mut self, id: JobId) {
        self.order(Command::Nudge(id));
    }

    pub(crate) fn tune(&mut self, id: JobId, tuning: Tuning) {
        self.order(Command::Tune(id, tuning));
    }

    pub(crate) fn set_queues(&mut self, rules: Vec<(QueueId, QueueRule)>) {
        self.order(Command::SetQueues(rules));
    }

    pub(crate) fn set_caps(&mut self, caps: Caps) {
        self.order(Command::SetCaps(caps));
    }

    /// What requests get from now on, instead of an answer.
    pub(crate) fn serve(&mut self, serve: impl Fn(&Fetch) -> Option<FaultKind> + 'static) {
        self.serve = Box::new(serve);
    }

    /// Which requests get no answer from now on.
    pub(crate) fn hang(&mut self, hang: impl Fn(&Fetch) -> bool + 'static) {
        self.hang = Box::new(hang);
    }

    pub(crate) fn opened(&mut self, worker: WorkerId, total: Option<u64>, partial: bool) {
        let running = self.running.get_mut(&worker).expect("a running worker");
        running.opened = true;
        if let Some(total) = total {
            self.totals.insert(running.job, total);
        }
        self.feed(Event::Opened { worker, total, partial });
    }

    /// A 206 of a file of `total` bytes.
    pub(crate) fn open(&mut self, worker: WorkerId, total: u64) {
        self.opened(worker, Some(total), true);
    }

    /// Answers whoever is waiting for an answer, until nobody is.
    pub(crate) fn open_all(&mut self, total: u64) {
        while let Some((worker, _)) = self.running.iter().find(|(_, running)| !running.opened) {
            self.open(*worker, total);
        }
    }

    /// The story itself has told the engine that this worker is gone.
    pub(crate) fn gone(&mut self, worker: WorkerId) {
        self.running.remove(&worker).expect("a running worker");
        self.carry_out();
    }

    /// All workers break at once: nothing is carried out in between.
    pub(crate) fn break_all(&mut self, kind: FaultKind) {
        for (worker, running) in std::mem::take(&mut self.running) {
            let end = End::Fault(Fault::new(kind, "broken"));
            self.engine.event(self.now, Event::WorkerEnded { worker, at: running.at, end });
        }
        self.carry_out();
    }

    pub(crate) fn fault(&mut self, worker: WorkerId, kind: FaultKind) {
        self.end(worker, End::Fault(Fault::new(kind, "as the story has it")));
    }

    pub(crate) fn end(&mut self, worker: WorkerId, end: End) {
        let at = self.running.remove(&worker).expect("a running worker").at;
        self.feed(Event::WorkerEnded { worker, at, end });
    }

    /// Lets bytes flow for some seconds: at a rate by worker and offset. Requests are answered within a tick.
    pub(crate) fn flow(&mut self, seconds: f64, mut rate: impl FnMut(WorkerId, u64) -> f64) {
        self.flow_by(seconds, |fetch, at, _| rate(fetch.worker, at));
    }

    /// The same, at a rate by request and offset.
    pub(crate) fn flow_for(&mut self, seconds: f64, mut rate: impl FnMut(&Fetch, u64) -> f64) {
        self.flow_by(seconds, |fetch, at, _| rate(fetch, at));
    }

    /// The same over a line that all workers share.
    pub(crate) fn flow_shared(&mut self, seconds: f64, line: f64) {
        self.flow_by(seconds, |_, _, workers| line / f64::from(workers.max(1)));
    }

    fn flow_by(&mut self, seconds: f64, mut rate: impl FnMut(&Fetch, u64, u32) -> f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.now < end {
            let next = (self.now + self.tick).min(end);
            let tick = next.since(self.now).as_secs_f64();
            self.wait_until(next);
            for worker in self.workers() {
                let Some(running) = self.running.get(&worker) else { continue };
                let open = u32::try_from(self.running.values().filter(|r| r.opened).count()).expect("small");
                if !running.opened {
                    if self.now.since(running.started) >= self.answer_after {
                        self.answer(worker);
                    }
                    continue;
                }
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
                let bytes = (rate(&self.fetches[&worker], running.at, open) * tick) as u64;
                self.write(worker, bytes);
            }
        }
    }

    /// Time passes, and nobody out there does anything.
    pub(crate) fn wait(&mut self, seconds: f64) {
        self.wait_until(self.now + Duration::from_secs_f64(seconds));
    }

    fn wait_until(&mut self, then: Time) {
        while let Some((at, _)) = self.engine.poll_timeout().filter(|(at, _)| *at <= then) {
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
            self.carry_out();
        }
        self.now = then;
    }

    fn answer(&mut self, worker: WorkerId) {
        let fetch = self.fetches[&worker].clone();
        if (self.hang)(&fetch) {
            return;
        }
        match (self.serve)(&fetch) {
            Some(kind) => self.fault(worker, kind),
            None => {
                let total = self.totals.get(&fetch.job).copied();
                self.opened(worker, total, fetch.kind != FetchKind::Whole);
            }
        }
    }

    fn write(&mut self, worker: WorkerId, bytes: u64) {
        let running = self.running.get_mut(&worker).expect("a running worker");
        let body_end = self.totals.get(&running.job).copied().unwrap_or(u64::MAX);
        let from = running.at;
        let limit = running.mark.min(body_end);
        let to = (from + bytes).min(limit);
        running.at = to;
        let job = running.job;
        let writes = self.fetches[&worker].kind != FetchKind::Compare;
        if to > from && writes {
            let stretches = self.written.entry(job).or_default();
            let overlaps = stretches.iter().any(|(start, end)| *start < to && from < *end);
            self.twice += if overlaps { to - from } else { 0 };
            stretches.insert((from, to));
        }
        if to == limit {
            self.end(worker, End::Finished);
        } else if !self.hold_reports {
            self.feed(Event::Progress { worker, at: to, throttled: self.throttled });
        }
    }

    fn order(&mut self, command: Command) {
        self.engine.command(self.now, command).expect("the story knows its jobs");
        self.carry_out();
    }

    pub(crate) fn feed(&mut self, event: Event) {
        self.engine.event(self.now, event);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            self.seen.push(effect.clone());
            match effect {
                Effect::Fetch(fetch) => {
                    let mark = fetch.end.unwrap_or(u64::MAX);
                    let running = Running { job: fetch.job, started: self.now, at: fetch.from, mark, opened: false };
                    self.running.insert(fetch.worker, running);
                    self.asked_at.insert(fetch.worker, self.now);
                    self.fetches.insert(fetch.worker, fetch);
                }
                Effect::SetEnd { worker, end } => {
                    self.set_ends += 1;
                    if let Some(running) = self.running.get_mut(&worker) {
                        running.mark = end.max(running.at);
                        let end = running.mark;
                        self.engine.event(self.now, Event::EndSet { worker, end });
                    }
                }
                Effect::Stop { worker, .. } => {
                    self.stopped_at.insert(worker, self.now);
                    if self.hold_stops {
                        continue;
                    }
                    if let Some(running) = self.running.remove(&worker) {
                        let event = Event::WorkerEnded { worker, at: running.at, end: End::Stopped };
                        self.engine.event(self.now, event);
                    }
                }
                Effect::Reset(id) => {
                    self.resets += 1;
                    self.rows.remove(&id);
                    self.written.remove(&id);
                    self.engine.event(self.now, Event::ResetDone(id));
                }
                Effect::CheckDisk(id) => {
                    self.disk_checks += 1;
                    let found = if self.disk_faults.is_empty() {
                        Ok(())
                    } else {
                        Err(Fault::new(self.disk_faults.remove(0), "as the story has it"))
                    };
                    self.engine.event(self.now, Event::DiskChecked(id, found));
                }
                Effect::Seal(id) => {
                    self.seals += 1;
                    if self.release_at_seal {
                        self.engine.command(self.now, Command::Release(id)).expect("the engine holds the job");
                    }
                    let event = if self.seal_faults.is_empty() {
                        Event::Sealed(id)
                    } else {
                        let fault = Fault::new(self.seal_faults.remove(0), "as the story has it");
                        if fault.kind == FaultKind::ChecksumMismatch {
                            Event::Mismatched { job: id, fault, damaged: self.damaged.clone() }
                        } else {
                            Event::SealFailed(id, fault)
                        }
                    };
                    self.engine.event(self.now, event);
                }
                Effect::Released(id) => self.store(id),
                Effect::Ended(id, outcome) => {
                    self.store(id);
                    self.ended.insert(id, (outcome, self.now));
                }
                Effect::Changed(id) => {
                    self.states.extend(self.engine.job(self.now, id).map(|view| (id, view.state)));
                    self.store(id);
                }
                Effect::Rewrite(id) => {
                    self.rewrites += 1;
                    let rows: BTreeMap<u64, Chunk> =
                        self.engine.chunks(self.now, id).into_iter().map(|(row, _)| (row.range.start, row)).collect();
                    let kept = rows.values().filter(|row| row.done > 0).map(|row| (row.range.start, row.position()));
                    self.written.insert(id, kept.collect());
                    self.rows.insert(id, rows);
                    self.engine.event(self.now, Event::ResetDone(id));
                }
                Effect::CompareSeam { .. } | Effect::Note(..) | Effect::HostChanged(_) => {}
            }
        }
    }

    /// The store takes what has changed.
    pub(crate) fn store(&mut self, id: JobId) {
        let rows = self.engine.take_changed_rows(id);
        self.rows.entry(id).or_default().extend(rows.into_iter().map(|row| (row.range.start, row)));
    }

    // What the story asks.

    pub(crate) fn workers(&self) -> Vec<WorkerId> {
        self.running.keys().copied().collect()
    }

    pub(crate) fn only_worker(&self) -> WorkerId {
        assert_eq!(self.running.len(), 1, "one worker, and no other");
        *self.running.keys().next().expect("there is one")
    }

    pub(crate) fn fetch(&self, worker: WorkerId) -> &Fetch {
        &self.fetches[&worker]
    }

    pub(crate) fn view(&self, id: JobId) -> JobView {
        self.engine.job(self.now, id).expect("the engine holds the job")
    }

    pub(crate) fn view_of_ranges(&self, id: JobId) -> Option<bool> {
        let single = Effect::Note(id, Note::SingleConnection);
        self.seen.contains(&single).then_some(false)
    }

    pub(crate) fn outcome(&self, id: JobId) -> Option<&Outcome> {
        self.ended.get(&id).map(|(outcome, _)| outcome)
    }

    /// When the job ended.
    pub(crate) fn seconds(&self, id: JobId) -> f64 {
        self.ended[&id].1.since_origin().as_secs_f64()
    }

    /// Bytes that were written, counted once.
    pub(crate) fn bytes(&self, id: JobId) -> u64 {
        self.written.get(&id).into_iter().flatten().map(|(start, end)| end - start).sum()
    }

    /// Bytes that the store knows of.
    pub(crate) fn rows_done(&self, id: JobId) -> u64 {
        self.rows[&id].values().map(|row| row.done).sum()
    }

    /// The rows that the store has.
    pub(crate) fn rows(&self, id: JobId) -> Vec<Chunk> {
        self.rows.get(&id).into_iter().flat_map(BTreeMap::values).copied().collect()
    }

    pub(crate) fn row_count(&self, id: JobId) -> usize {
        self.rows[&id].len()
    }

    /// Requests that were made for a job.
    pub(crate) fn fetched(&self, id: JobId) -> usize {
        self.fetches.values().filter(|fetch| fetch.job == id).count()
    }

    /// Times that a fault was counted against the job.
    pub(crate) fn charged(&self, id: JobId) -> usize {
        let charges = |effect: &&Effect| matches!(effect, Effect::Note(job, Note::ChunkReturned { .. }) if *job == id);
        self.seen.iter().filter(charges).count()
    }

    /// Workers that were stopped for this reason.
    pub(crate) fn stops(&self, why: StopReason) -> usize {
        self.seen.iter().filter(|effect| matches!(effect, Effect::Stop { reason, .. } if *reason == why)).count()
    }

    /// The states of a job, as they were announced.
    pub(crate) fn states(&self, id: JobId) -> Vec<JobState> {
        self.states.iter().filter(|(job, _)| *job == id).map(|(_, state)| *state).collect()
    }

    /// The seams that were to be compared, in order.
    pub(crate) fn seams(&self) -> Vec<(u64, u64)> {
        let seams = self.seen.iter().filter_map(|effect| {
            if let Effect::CompareSeam { at, len, .. } = effect { Some((*at, *len)) } else { None }
        });
        seams.collect()
    }

    /// Everything that was noted, in order.
    pub(crate) fn notes(&self) -> impl Iterator<Item = &Note> {
        self.seen.iter().filter_map(|effect| if let Effect::Note(_, note) = effect { Some(note) } else { None })
    }

    /// The requests of a job, in order.
    pub(crate) fn fetches(&self, id: JobId) -> impl Iterator<Item = &Fetch> {
        self.fetches.values().filter(move |fetch| fetch.job == id)
    }

    /// Requests of a kind that were made to a mirror.
    pub(crate) fn requests(&self, id: JobId, mirror: u32, kind: FetchKind) -> usize {
        self.fetches(id).filter(|fetch| fetch.mirror == MirrorIndex(mirror) && fetch.kind == kind).count()
    }

    /// What a mirror is good for.
    pub(crate) fn mirror(&self, id: JobId, mirror: usize) -> MirrorState {
        self.view(id).mirrors[mirror].state
    }

    /// What is remembered of a host.
    pub(crate) fn host(&self, name: &str) -> HostMemory {
        self.engine.host(self.now, name).unwrap_or_default()
    }

    pub(crate) fn why(&self, id: JobId) -> Vec<Why> {
        self.engine.why(self.now, id)
    }

    /// When a worker was started, in seconds.
    pub(crate) fn asked(&self, worker: WorkerId) -> f64 {
        self.asked_at[&worker].since_origin().as_secs_f64()
    }

    /// When workers were stopped for this reason, in seconds.
    pub(crate) fn stop_times(&self, why: StopReason) -> Vec<f64> {
        let stops = self.seen.iter().filter_map(|effect| match effect {
            Effect::Stop { worker, reason } if *reason == why => Some(self.stopped_at[worker]),
            Effect::Fetch(_)
            | Effect::SetEnd { .. }
            | Effect::Stop { .. }
            | Effect::Reset(_)
            | Effect::Rewrite(_)
            | Effect::CheckDisk(_)
            | Effect::CompareSeam { .. }
            | Effect::Seal(_)
            | Effect::Changed(_)
            | Effect::HostChanged(_)
            | Effect::Released(_)
            | Effect::Ended(..)
            | Effect::Note(..) => None,
        });
        stops.map(|at| at.since_origin().as_secs_f64()).collect()
    }

    /// After how many seconds a worker was stopped, to a tenth; `None` where it was not.
    pub(crate) fn patience(&self, worker: WorkerId) -> Option<f64> {
        let stopped = self.stopped_at.get(&worker)?;
        Some((stopped.since(self.asked_at[&worker]).as_secs_f64() * 10.0).round() / 10.0)
    }

    /// Two workers that fetch up to the same end.
    pub(crate) fn racing(&self) -> Option<(WorkerId, WorkerId)> {
        let mut ends: BTreeMap<u64, WorkerId> = BTreeMap::new();
        self.running.iter().find_map(|(id, running)| ends.insert(running.mark, *id).map(|other| (other, *id)))
    }

    /// Where a running worker's next byte goes.
    pub(crate) fn at(&self, worker: WorkerId) -> u64 {
        self.running[&worker].at
    }

    /// Where a running worker stops.
    pub(crate) fn mark(&self, worker: WorkerId) -> u64 {
        self.running[&worker].mark
    }

    /// Seconds since the story began.
    pub(crate) fn clock(&self) -> f64 {
        self.now.since_origin().as_secs_f64()
    }

    /// The strikes that were given, in order.
    pub(crate) fn strikes(&self) -> Vec<u32> {
        let strikes = self.seen.iter().filter_map(|effect| {
            if let Effect::Note(_, Note::Strike { strikes, .. }) = effect { Some(*strikes) } else { None }
        });
        strikes.collect()
    }
}
