//! The driver: the task that owns the engine, and carries out what it decides.
//!
//! It is told of wishes (from the API), reports (from the transfer threads) and of side tasks that are done (the
//! database, blocking file work). Each goes into the engine, and the effects that come out are carried out at once.
//! It never waits for the disk itself.
//!
//! Side tasks are polled in the order in which they were begun, so operations reach the store in that order, and the
//! store commits them in it.

mod at_work;
mod check;
mod disk;
mod ending;
mod events;
mod follow;
mod handle;
mod hosts;
mod later;
mod limiters;
mod limits;
mod marks;
mod mirrors;
mod nap;
mod probe;
mod progress;
mod queues;
mod readers;
mod renew;
mod running;
mod seams;
mod sidecar;
mod start;
mod submits;
mod sums;
mod tasks;
mod verify;
mod wishes;
mod workers;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use haul_core::messages::{Command, Effect, Event, QueueRule, Timeouts};
use haul_core::{Engine, JobId, QueueId, Time, WorkerId};
use haul_store::{HostRow, JobRow, Store};
use haul_transfer::{ClientKey, Login, Place, Report, Threads};
use http::HeaderValue;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};
use url::Url;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::netrc::Netrc;
use crate::submit::Roots;
use crate::system;

pub(crate) use handle::{
    DriverError, Explained, Handle, HostChanges, HostView, LimitOf, LimitOn, Live, OnceSubmit, Placing, Totals,
};
pub(crate) use limits::{LimitChanges, Limits, LimitsNow};
pub(crate) use progress::Moving;
pub(crate) use readers::{Reading, Version};
pub(crate) use start::final_name;
#[cfg(test)]
pub(crate) use submits::accepted;
pub(crate) use submits::{Became, Submitted};

use at_work::Suspects;
use handle::Wish;
use hosts::Book;
use limiters::Limiters;
use nap::Nap;
use running::Running;
use tasks::Task;
use workers::RunningWorker;

/// The driver. [`Driver::run`] is its life.
pub(crate) struct Driver {
    engine: Engine,
    origin: Instant,
    store: Store,
    threads: Arc<Threads>,
    limiters: Limiters,
    /// What the configuration says.
    configured: Limits,
    /// What users have changed of it.
    changed_limits: LimitChanges,
    /// What follows from both.
    limits: Limits,
    /// When the time of the day may call for other limits.
    schedule_due: Option<Instant>,
    roots: Arc<Roots>,
    /// How requests go unless a job says otherwise.
    client: ClientKey,
    netrc: Netrc,
    user_agent: HeaderValue,
    later: later::Later,
    queue_ids: queues::QueueIds,
    /// What the engine was last told of queues.
    queue_rules: Vec<(QueueId, QueueRule)>,
    jobs: HashMap<JobId, Running>,
    workers: HashMap<WorkerId, RunningWorker>,
    hosts: Book,
    suspects: Suspects,
    events: events::Waiting,
    /// Directories that jobs have open, so that many files in one directory open it once.
    places: HashMap<PathBuf, Weak<Place>>,
    tasks: FuturesUnordered<Task>,
    wishes: mpsc::Receiver<Wish>,
    reports: mpsc::Receiver<Report>,
    report_to: mpsc::Sender<Report>,
    handle: Handle,
    sweep: marks::Sweep,
    /// The database did not take the last marks.
    marks_fail: bool,
    nap: Nap,
    watchdog: Option<Duration>,
    readers: readers::Readers,
    done_bytes: u64,
    metrics: Metrics,
    /// Jobs whose files are being verified on demand, and whether they are to be repaired.
    verifying: HashMap<JobId, bool>,
    /// Followers that read at the moment, and how many may.
    followers: usize,
    followers_max: usize,
    sidecar_timeouts: Timeouts,
    /// Ends what takes long when the daemon stops.
    quit: CancellationToken,
    stopping: bool,
}

/// Reports that may wait for the driver. Each worker sends two in its life; when the driver is that far behind, workers
/// wait with theirs.
const REPORTS: usize = 1024;

/// File systems with a transfer thread of their own; more share.
const TRANSFER_THREADS_MAX: usize = 8;

/// How long workers may take to end when the daemon stops. They are between two reads, so this is long.
const WORKERS_STOP_WITHIN: Duration = Duration::from_millis(700);

impl Driver {
    /// A driver that has not begun; the handle reaches it once it runs.
    pub(crate) fn new(
        config: &Config,
        changes: LimitChanges,
        hosts: Vec<HostRow>,
        store: Store,
        roots: Arc<Roots>,
    ) -> (Self, Handle) {
        let configured = Limits::of(config);
        let limits = configured.changed(&changes);
        let (handle, wishes) = Handle::new();
        let (report_to, reports) = mpsc::channel(REPORTS);
        let mut policy = config.policy();
        policy.active_jobs_max = limits.max_active_jobs as usize;
        policy.connections_per_job = limits.connections_per_job;
        policy.connections_per_host = limits.connections_per_host;
        policy.connections_total = limits.connections_total.min(system::connections_possible());
        let sidecar_timeouts = sidecar::timeouts(&policy);
        let user_agent = HeaderValue::from_str(&config.user_agent)
            .unwrap_or_else(|_| HeaderValue::from_static(concat!("haul/", env!("CARGO_PKG_VERSION"))));
        let mut driver = Self {
            engine: Engine::new(policy, rand::random()),
            origin: Instant::now(),
            store,
            threads: Arc::new(Threads::new(TRANSFER_THREADS_MAX)),
            limiters: Limiters::new(),
            configured,
            changed_limits: changes,
            limits,
            schedule_due: None,
            roots,
            client: config.client().expect("a configuration is checked before it is used"),
            netrc: Netrc::default(),
            user_agent,
            later: later::Later::default(),
            queue_ids: queues::QueueIds::default(),
            queue_rules: Vec::new(),
            jobs: HashMap::new(),
            workers: HashMap::new(),
            hosts: Book::new(hosts),
            suspects: Suspects::default(),
            events: events::Waiting::default(),
            places: HashMap::new(),
            tasks: FuturesUnordered::new(),
            wishes,
            reports,
            report_to,
            handle: handle.clone(),
            sweep: marks::Sweep::default(),
            marks_fail: false,
            nap: Nap::default(),
            watchdog: None,
            readers: readers::Readers::default(),
            done_bytes: 0,
            metrics: Metrics::new(),
            verifying: HashMap::new(),
            followers: 0,
            followers_max: std::thread::available_parallelism().map_or(1, usize::from),
            sidecar_timeouts,
            quit: CancellationToken::new(),
            stopping: false,
        };
        driver.apply_bandwidth();
        (driver, handle)
    }

    /// Feeds the service manager's watchdog at a third of `period`, from the loop that it shall watch.
    pub(crate) fn watched(mut self, period: Option<Duration>) -> Self {
        self.watchdog = period.map(|period| period / 3);
        self
    }

    /// Counts together with the rest of the daemon.
    pub(crate) fn measured(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Tells users and passwords for hosts.
    pub(crate) fn knowing(mut self, netrc: Netrc) -> Self {
        self.netrc = netrc;
        self
    }

    /// Who the user is to the host of this URL, where the job itself does not say so. The logins of the daemon's owner are
    /// not for those whom it confines.
    fn login(&self, row: &JobRow, url: &Url) -> Option<Login> {
        let is_confined = row.maker.is_some_and(|maker| maker.public_only);
        self.netrc.login(url.host_str().filter(|_| !is_confined)?)
    }

    /// Tells which jobs earlier runs of the process have died at, and how many of them one after the other.
    pub(crate) fn mindful_of(mut self, died_at: BTreeMap<JobId, u32>) -> Self {
        self.suspects = Suspects::new(died_at);
        self
    }

    /// Works until it is told to stop, then leaves everything so that the next start can go on.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        self.apply_host_limits();
        self.take_up_stored_jobs();
        let mut fed_at = Instant::now();
        loop {
            self.carry_out();
            let wake_at = self.wake_at(fed_at);
            // Ends first, so that what is freed is known before anything new is decided on.
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = self.tasks.next() => self.done(done),
                Some(report) = self.reports.recv() => self.report(report),
                Some(wish) = self.wishes.recv() => self.wish(wish),
                () = tokio::time::sleep_until(wake_at.into()) => {}
            }
            if self.nap.is_over() {
                self.woke();
            } else if wake_at <= Instant::now() {
                self.metrics.late(wake_at.elapsed());
            }
            self.sweep_if_due();
            self.save_hosts_if_due();
            self.save_events_if_due();
            self.follow_schedule_if_due();
            self.do_what_is_due();
            let now = self.now();
            if self.engine.poll_timeout().is_some_and(|(at, _)| at <= now) {
                self.engine.handle_timeout(now);
            }
            if self.watchdog.is_some_and(|period| fed_at.elapsed() >= period) {
                fed_at = Instant::now();
                system::feed_watchdog();
            }
        }
        self.shut_down().await;
    }

    /// When something is due even if nobody reports anything.
    fn wake_at(&self, fed_at: Instant) -> Instant {
        // Without a worker and without a watchdog the daemon sleeps; a day is as good as for ever.
        let mut wake_at = Instant::now() + Duration::from_secs(24 * 3600);
        if let Some((at, _)) = self.engine.poll_timeout() {
            wake_at = wake_at.min(self.origin + at.since_origin());
        }
        if let Some(period) = self.watchdog {
            wake_at = wake_at.min(fed_at + period);
        }
        if let Some(at) = self.sweep.due_at(self.has_something_to_mark()) {
            wake_at = wake_at.min(at);
        }
        for at in
            [self.hosts.due_at(), self.events.due_at(), self.schedule_due, self.later.due_at()].into_iter().flatten()
        {
            wake_at = wake_at.min(at);
        }
        wake_at
    }

    fn now(&self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }

    fn command(&mut self, command: Command) {
        let now = self.now();
        if let Err(refusal) = self.engine.command(now, command) {
            debug!(%refusal, "the engine does not hold the job");
        }
    }

    fn event(&mut self, event: Event) {
        let now = self.now();
        self.engine.event(now, event);
    }

    /// Carries out everything that the engine has decided.
    fn carry_out(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                Effect::Fetch(fetch) => self.fetch(fetch),
                Effect::SetEnd { worker, end } => self.set_end(worker, end),
                Effect::Stop { worker, reason } => self.stop_worker(worker, reason),
                Effect::Changed(id) => self.job_changed(id),
                Effect::CompareSeam { job, at, len } => self.compare_seam(job, at, len),
                Effect::Reset(id) => {
                    self.readers.note_dropped(id);
                    self.when_synced(id, running::Then::Reset);
                }
                Effect::Rewrite(id) => {
                    self.readers.note_dropped(id);
                    self.when_synced(id, running::Then::Rewrite);
                }
                Effect::CheckDisk(id) => self.check_disk(id),
                Effect::HostChanged(host) => self.host_changed(&host),
                Effect::Seal(id) => self.when_synced(id, running::Then::Seal),
                Effect::Released(id) => self.when_synced(id, running::Then::LetGo),
                Effect::Ended(id, outcome) => self.job_ended(id, outcome),
                Effect::Note(id, note) => self.note(id, &note),
            }
        }
    }

    /// Tells the watchers that a job has changed. Nobody may be watching.
    fn announce(&self, id: JobId) {
        self.handle.changes().send(id).ok();
    }

    async fn shut_down(mut self) {
        self.stopping = true;
        self.quit.cancel();
        self.save_all_hosts();
        self.save_events();
        for worker in self.workers.values() {
            worker.lane.stop();
        }
        let deadline = tokio::time::Instant::now() + WORKERS_STOP_WITHIN;
        while !self.workers.is_empty() {
            tokio::select! {
                biased;
                Some(done) = self.tasks.next() => self.done(done),
                Some(report) = self.reports.recv() => self.report(report),
                () = tokio::time::sleep_until(deadline) => break,
            }
            self.carry_out();
        }
        self.sweep();
        self.mark_written();
        self.checkpoint_all().await;
        self.save_events();
        // Whatever is under way in the database is carried out, and what follows from it is stored; only a blocked disk
        // is not waited for.
        let drained = async {
            while let Some(done) = self.tasks.next().await {
                self.done(done);
            }
            // From here on nothing is written or marked any more.
            ending::note_at_rest(&self.store.clone(), self.all_parts()).await;
        };
        if tokio::time::timeout(WORKERS_STOP_WITHIN, drained).await.is_err() {
            error!("the disk does not answer; the last checkpoint may be missing");
        }
        let threads = self.threads;
        let ended = tokio::task::spawn_blocking(move || threads.stop(WORKERS_STOP_WITHIN)).await;
        if !ended.unwrap_or(false) {
            error!("a transfer thread hangs and is left behind");
        }
    }
}
