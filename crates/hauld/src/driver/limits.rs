//! The limits that can be changed while the daemon runs: what the configuration says, what users have changed of it,
//! and what follows from both at this time of the day.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use haul_api::{Bandwidth, LabelLimits, Window};
use haul_core::JobId;
use haul_core::messages::{Caps, Command};
use haul_core::window::{self, InForce, WeekMinute};
use tracing::info;

use super::Driver;
use super::handle::{Answer, DriverError, LimitOf, LimitOn};
use super::queues::LabelRules;
use super::tasks::Done;
use crate::config::{Config, Label};
use crate::daemon::LIMITS_SETTING;

/// The limits that can be changed while the daemon runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Of all jobs together.
    pub(crate) bandwidth: Bandwidth,
    /// Of all jobs with the same label.
    pub(crate) labels: BTreeMap<String, Bandwidth>,
    /// How many jobs with the same label run, and when.
    pub(crate) queues: BTreeMap<String, LabelRules>,
    pub(crate) max_active_jobs: u32,
    pub(crate) connections_per_job: u32,
    pub(crate) connections_per_host: u32,
    pub(crate) connections_total: u32,
}

/// Limits that a user has changed while the daemon ran; they win over the configuration until they are changed again.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct LimitChanges {
    pub(crate) bandwidth_limit: Option<u64>,
    pub(crate) bandwidth_schedule: Option<Vec<Window>>,
    /// What is changed of each label, or that it has none any more.
    pub(crate) labels: BTreeMap<String, Option<LabelLimits>>,
    pub(crate) max_active_jobs: Option<u32>,
    pub(crate) connections_per_job: Option<u32>,
    pub(crate) connections_per_host: Option<u32>,
    pub(crate) connections_total: Option<u32>,
}

/// The limits, and which bandwidth limits hold now; 0 means none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitsNow {
    pub(crate) limits: Limits,
    pub(crate) bandwidth: u64,
    pub(crate) labels: BTreeMap<String, u64>,
}

impl LimitChanges {
    /// These changes, and `newer` ones on top.
    fn and(mut self, newer: Self) -> Self {
        for (label, newer) in newer.labels {
            let newer = match (self.labels.remove(&label).flatten(), newer) {
                (Some(older), Some(newer)) => Some(LabelLimits {
                    bandwidth_limit: newer.bandwidth_limit.or(older.bandwidth_limit),
                    bandwidth_schedule: newer.bandwidth_schedule.or(older.bandwidth_schedule),
                }),
                (None | Some(_), newer) => newer,
            };
            self.labels.insert(label, newer);
        }
        Self {
            bandwidth_limit: newer.bandwidth_limit.or(self.bandwidth_limit),
            bandwidth_schedule: newer.bandwidth_schedule.or(self.bandwidth_schedule),
            labels: self.labels,
            max_active_jobs: newer.max_active_jobs.or(self.max_active_jobs),
            connections_per_job: newer.connections_per_job.or(self.connections_per_job),
            connections_per_host: newer.connections_per_host.or(self.connections_per_host),
            connections_total: newer.connections_total.or(self.connections_total),
        }
    }
}

impl Limits {
    /// The limits that a configuration sets.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            bandwidth: Bandwidth {
                bandwidth_limit: config.bandwidth_limit.0,
                bandwidth_schedule: config.bandwidth_schedule.clone(),
            },
            labels: config.labels.iter().filter_map(|(name, label)| Some((name.clone(), bandwidth(label)?))).collect(),
            queues: config
                .labels
                .iter()
                .filter_map(|(name, label)| Some((name.clone(), LabelRules::of(label)?)))
                .collect(),
            max_active_jobs: config.max_active_jobs,
            connections_per_job: config.connections_per_job,
            connections_per_host: config.connections_per_host,
            connections_total: config.connections_total,
        }
    }

    /// These limits as changed.
    pub(super) fn changed(&self, changes: &LimitChanges) -> Self {
        let mut labels = self.labels.clone();
        for (label, change) in &changes.labels {
            match change {
                None => {
                    labels.remove(label);
                }
                Some(change) => {
                    let bandwidth = labels.entry(label.clone()).or_default();
                    *bandwidth = changed(bandwidth, change.bandwidth_limit, change.bandwidth_schedule.as_deref());
                }
            }
        }
        Self {
            bandwidth: changed(&self.bandwidth, changes.bandwidth_limit, changes.bandwidth_schedule.as_deref()),
            labels,
            queues: self.queues.clone(),
            max_active_jobs: changes.max_active_jobs.unwrap_or(self.max_active_jobs),
            connections_per_job: changes.connections_per_job.unwrap_or(self.connections_per_job),
            connections_per_host: changes.connections_per_host.unwrap_or(self.connections_per_host),
            connections_total: changes.connections_total.unwrap_or(self.connections_total),
        }
    }

    pub(super) fn caps(&self) -> Caps {
        Caps {
            active_jobs: self.max_active_jobs as usize,
            connections_per_job: self.connections_per_job,
            connections_per_host: self.connections_per_host,
            connections_total: self.connections_total,
        }
    }
}

/// What a label's configuration says of bandwidth, if it does.
fn bandwidth(label: &Label) -> Option<Bandwidth> {
    let bandwidth =
        Bandwidth { bandwidth_limit: label.bandwidth_limit.0, bandwidth_schedule: label.bandwidth_schedule.clone() };
    (bandwidth != Bandwidth::default()).then_some(bandwidth)
}

fn changed(bandwidth: &Bandwidth, limit: Option<u64>, schedule: Option<&[Window]>) -> Bandwidth {
    Bandwidth {
        bandwidth_limit: limit.unwrap_or(bandwidth.bandwidth_limit),
        bandwidth_schedule: schedule.unwrap_or(&bandwidth.bandwidth_schedule).to_vec(),
    }
}

/// A local time, to the millisecond.
#[derive(Clone, Copy, Debug)]
struct LocalTime {
    minute: WeekMinute,
    /// What of this minute is over.
    into: Duration,
}

impl LocalTime {
    /// The time here and now: the zone's rules, and a change of the zone itself, are looked up each time.
    fn now() -> Self {
        Self::of(jiff::ZonedDateTime::now().datetime())
    }

    fn of(time: jiff::civil::DateTime) -> Self {
        // jiff counts days, hours, minutes and seconds in small signed numbers that are never negative.
        let part = |part: i8| u16::try_from(part).unwrap_or_default();
        let day = window::Day::ALL[usize::from(part(time.weekday().to_monday_zero_offset()))];
        let minute = WeekMinute::new(day, part(time.hour()) * 60 + part(time.minute()));
        let millis = u64::try_from(time.millisecond()).unwrap_or_default();
        Self { minute, into: Duration::from_secs(part(time.second()).into()) + Duration::from_millis(millis) }
    }

    fn limit(self, bandwidth: &Bandwidth) -> InForce {
        let windows: Vec<_> = bandwidth.bandwidth_schedule.iter().map(core_window).collect();
        window::in_force(rate(bandwidth.bandwidth_limit), &windows, self.minute)
    }

    /// The window that holds: that whose limit [`LocalTime::limit`] tells.
    fn window(self, bandwidth: &Bandwidth) -> Option<&Window> {
        let holds = |window: &&Window| {
            let alone = window::Window { limit: Some(0), ..core_window(window) };
            window::in_force(None, &[alone], self.minute).limit.is_some()
        };
        bandwidth.bandwidth_schedule.iter().find(holds)
    }

    /// The limit as it is explained to people.
    fn limit_on(self, of: LimitOf, bandwidth: &Bandwidth) -> Option<LimitOn> {
        let bytes_per_second = self.limit(bandwidth).limit?;
        Some(LimitOn { of, bytes_per_second, window: self.window(bandwidth).cloned() })
    }

    /// How long to wait for the next look at the clock.
    fn next_look(self, changes_in: u32) -> Duration {
        let change = Duration::from_secs(u64::from(changes_in) * 60);
        // The clock is read with less than a millisecond cut off; a look that comes too early is repeated.
        (change.saturating_sub(self.into) + Duration::from_millis(1)).min(LOOK_EVERY)
    }
}

/// How often the clock is looked at while there are windows: it may be set, and does not tell when the machine sleeps.
const LOOK_EVERY: Duration = Duration::from_secs(60);

fn core_window(window: &Window) -> window::Window {
    window::Window {
        days: window.days.iter().map(|day| window::Day::ALL[*day as usize]).collect(),
        from: window.from.minutes(),
        to: window.to.minutes(),
        limit: rate(window.bandwidth_limit),
    }
}

/// A limit as the buckets want it.
fn rate(bandwidth_limit: u64) -> Option<u64> {
    Some(bandwidth_limit).filter(|rate| *rate > 0)
}

impl Driver {
    /// Has the limits of a configuration that was read again count; what users have changed stays.
    pub(super) fn configure(&mut self, limits: Limits) {
        self.configured = limits;
        self.apply_limits();
    }

    fn apply_limits(&mut self) {
        self.limits = self.configured.changed(&self.changed_limits);
        self.apply_bandwidth();
        self.command(Command::SetCaps(self.limits.caps()));
        info!(limits = ?self.limits, "limits changed");
    }

    pub(super) fn set_limits(&mut self, changes: LimitChanges, answer: Answer<LimitsNow>) {
        self.changed_limits = std::mem::take(&mut self.changed_limits).and(changes);
        // What nobody configured need not be remembered as removed.
        let configured = &self.configured.labels;
        self.changed_limits.labels.retain(|label, change| change.is_some() || configured.contains_key(label));
        self.apply_limits();
        let (limits, changes) = (self.limits_now(), self.changed_limits.clone());
        let store = self.store.clone();
        self.tasks.push(Box::pin(async move {
            let text = serde_json::to_string(&changes).expect("numbers and texts are JSON");
            let stored = store.set_setting(LIMITS_SETTING.to_owned(), text).await;
            answer.send(stored.map(|()| limits).map_err(DriverError::from)).ok();
            Done::Nothing
        }));
    }

    /// The limits, and which of them hold now.
    pub(super) fn limits_now(&self) -> LimitsNow {
        let labels = self.limits.labels.keys();
        LimitsNow {
            limits: self.limits.clone(),
            bandwidth: self.limiters.rate().unwrap_or(0),
            labels: labels.map(|label| (label.clone(), self.limiters.label_rate(label).unwrap_or(0))).collect(),
        }
    }

    /// The bandwidth limits that a job is under at this time of the day, its own first.
    pub(super) fn limits_on(&self, id: JobId) -> Vec<LimitOn> {
        let now = LocalTime::now();
        let running = &self.jobs[&id];
        let fixed = |of, bytes_per_second| LimitOn { of, bytes_per_second, window: None };
        let own = running.row.wish.bandwidth_limit.and_then(rate).map(|limit| fixed(LimitOf::Job, limit));
        let label = running.row.wish.label.as_ref();
        let label = label.and_then(|name| now.limit_on(LimitOf::Label(name.clone()), self.limits.labels.get(name)?));
        let hosts = running.all_servers().into_iter();
        let hosts =
            hosts.filter_map(|name| Some(fixed(LimitOf::Host(name.clone()), self.hosts.get(&name)?.bandwidth_limit?)));
        let everything = now.limit_on(LimitOf::Everything, &self.limits.bandwidth);
        own.into_iter().chain(label).chain(hosts).chain(everything).collect()
    }

    /// Looks at the clock again when a window may have begun or ended.
    pub(super) fn follow_schedule_if_due(&mut self) {
        if self.schedule_due.is_some_and(|at| at <= Instant::now()) {
            self.apply_bandwidth();
        }
    }

    /// Sets every limiter to what holds at this time of the day.
    pub(super) fn apply_bandwidth(&mut self) {
        let before = self.limiters.rate();
        let now = LocalTime::now();
        let all = now.limit(&self.limits.bandwidth);
        let labels: BTreeMap<_, _> =
            self.limits.labels.iter().map(|(label, bandwidth)| (label.as_str(), now.limit(bandwidth))).collect();
        let changes_in = labels.values().chain([&all]).filter_map(|limit| limit.changes_in).min();
        let rates: BTreeMap<String, _> =
            labels.iter().map(|(label, limit)| ((*label).to_owned(), limit.limit)).collect();
        let changes_in = changes_in.into_iter().chain(self.apply_queues(now.minute)).min();
        self.limiters.set_rate(all.limit);
        self.limiters.set_label_rates(rates.iter().map(|(label, limit)| (label.as_str(), *limit)).collect());
        self.schedule_due = changes_in.map(|minutes| Instant::now() + now.next_look(minutes));
        if before != all.limit {
            info!(bytes_per_second = all.limit, "another bandwidth limit holds from now on");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use haul_api::SubmitJob;
    use haul_core::Phase;
    use haul_core::window::Day;
    use haul_store::{JobRow, Store};
    use haul_testkit::{Content, File, Server};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::driver::HostChanges;
    use crate::submit::{self, Roots, Volumes};

    fn window(from: &str, to: &str, limit: u64) -> Window {
        let time = |text: &str| text.parse().expect("a time");
        Window { from: time(from), to: time(to), days: haul_api::Day::ALL.to_vec(), bandwidth_limit: limit }
    }

    fn label(limit: Option<u64>, schedule: Option<Vec<Window>>) -> Option<LabelLimits> {
        Some(LabelLimits { bandwidth_limit: limit, bandwidth_schedule: schedule })
    }

    fn changes<const N: usize>(labels: [(&str, Option<LabelLimits>); N]) -> LimitChanges {
        let labels = labels.into_iter().map(|(name, change)| (name.to_owned(), change)).collect();
        LimitChanges { labels, ..LimitChanges::default() }
    }

    fn configured() -> Limits {
        let mut config = Config::defaults().expect("a home directory");
        config.labels = BTreeMap::from([(
            "iso".to_owned(),
            Label {
                bandwidth_limit: haul_api::Rate(100),
                bandwidth_schedule: vec![window("08:00", "18:00", 10)],
                ..Label::default()
            },
        )]);
        Limits::of(&config)
    }

    #[test]
    fn a_labels_change_leaves_what_it_does_not_name() {
        let older = changes([("iso", label(Some(200), None)), ("other", label(Some(7), None))]);
        let limits = configured().changed(&older);
        assert_eq!(limits.labels["iso"].bandwidth_limit, 200);
        assert_eq!(limits.labels["iso"].bandwidth_schedule, configured().labels["iso"].bandwidth_schedule);
        let both = older.and(changes([("iso", label(None, Some(Vec::new())))]));
        let limits = configured().changed(&both);
        assert_eq!(limits.labels["iso"], Bandwidth { bandwidth_limit: 200, ..Bandwidth::default() });
        assert_eq!(limits.labels["other"].bandwidth_limit, 7);
    }

    #[test]
    fn a_removed_label_stays_removed_until_it_is_set_again() {
        let removed = changes([("iso", label(Some(200), None))]).and(changes([("iso", None)]));
        assert!(configured().changed(&removed).labels.is_empty());
        let again = removed.and(changes([("iso", label(None, Some(Vec::new())))]));
        assert_eq!(configured().changed(&again).labels["iso"].bandwidth_limit, 100, "that of the configuration");
    }

    #[test]
    fn the_window_of_the_local_time_counts() {
        let bandwidth = Bandwidth { bandwidth_limit: 0, bandwidth_schedule: vec![window("08:00", "18:00", 10)] };
        let at = |hour, minute| LocalTime::of(jiff::civil::date(2026, 3, 29).at(hour, minute, 20, 0)).limit(&bandwidth);
        assert_eq!(at(7, 59), InForce { limit: None, changes_in: Some(1) });
        assert_eq!(at(8, 0), InForce { limit: Some(10), changes_in: Some(600) });
    }

    #[test]
    fn a_limit_is_explained_by_the_window_that_it_comes_from() {
        let (work, night) = (window("08:00", "18:00", 10), window("17:00", "06:00", 0));
        let bandwidth = Bandwidth { bandwidth_limit: 99, bandwidth_schedule: vec![work.clone(), night] };
        let at = |hour| {
            let time = LocalTime::of(jiff::civil::date(2026, 3, 29).at(hour, 30, 0, 0));
            time.limit_on(LimitOf::Everything, &bandwidth).map(|limit| (limit.bytes_per_second, limit.window))
        };
        assert_eq!(at(7), Some((99, None)));
        assert_eq!(at(17), Some((10, Some(work))), "the first that holds counts");
        assert_eq!(at(18), None, "a window can lift the limit");
    }

    #[test]
    fn days_of_all_three_calendars_agree() {
        let sunday = LocalTime::of(jiff::civil::date(2026, 3, 29).at(0, 0, 0, 0));
        assert_eq!(sunday.minute, WeekMinute::new(Day::Sunday, 0));
        let names = haul_api::Day::ALL.map(|day| day.to_string());
        for (name, day) in names.iter().zip(window::Day::ALL) {
            assert!(format!("{day:?}").to_lowercase().starts_with(name));
        }
    }

    #[test]
    fn the_clock_is_looked_at_at_the_edge_and_at_least_every_minute() {
        let time = LocalTime::of(jiff::civil::date(2026, 3, 29).at(7, 59, 20, 500_000_000));
        assert_eq!(time.next_look(1), Duration::from_millis(39_501));
        assert_eq!(time.next_look(2), Duration::from_secs(60));
        assert_eq!(time.next_look(600), Duration::from_secs(60));
    }

    /// Waits until the job's row is as it shall be.
    async fn until(store: &Store, id: JobId, fits: impl Fn(&JobRow) -> bool) -> JobRow {
        let row = async {
            loop {
                match store.job(id).await.expect("the store works").filter(&fits) {
                    Some(row) => return row,
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), row).await.expect("it does not take long")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_hosts_limit_holds_for_its_jobs_and_changes_while_they_run() {
        crate::install_crypto();
        let (server, dir) = (Server::start(), tempfile::tempdir().expect("a temporary directory"));
        let len = 8 << 20;
        server.add("/a", File::new(Content::seeded(1, len)).etag("\"v1\""));
        let mut config = Config::defaults().expect("a home directory");
        config.download_dir = dir.path().join("files");
        let roots =
            Arc::new(Roots::new(&config.download_dir, &[], Arc::default(), Volumes::default()).expect("a directory"));
        let (store, _) = Store::open(&dir.path().join("haul.db"), "a boot").expect("a new database");
        let (driver, handle) =
            Driver::new(&config, LimitChanges::default(), Vec::new(), store.clone(), Arc::clone(&roots));
        let stop = CancellationToken::new();
        let running = tokio::spawn(driver.run(stop.clone()));

        let job = submit::check(&SubmitJob::new(server.url("/a")), &roots).expect("a good job");
        let limit = |limit| HostChanges { bandwidth_limit: Some(limit), ..HostChanges::default() };
        handle.change_host(job.job.wish.host.clone(), limit(Some(1000))).await.expect("it runs");
        let submitted = handle.submit(vec![job], Vec::new()).await.expect("it runs");
        let crate::driver::Became::New(row) = submitted.became(0) else { panic!("it is the first one") };
        let begun = until(&store, row.id, |row| row.counts.done_bytes > 0).await;
        assert!(begun.counts.done_bytes < len / 100, "{:?}", begun.counts);
        handle.change_host(row.wish.host, limit(None)).await.expect("it runs");
        until(&store, row.id, |row| row.lifecycle.phase == Phase::Completed).await;

        stop.cancel();
        running.await.expect("the driver does not panic");
        store.close().await.expect("the database is closed");
    }
}
