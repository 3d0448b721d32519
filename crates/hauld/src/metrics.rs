//! What the daemon counts and measures, for Prometheus.
//!
//! Every daemon has a registry of its own: nothing is global. No label has values without a bound: hosts are told by what
//! is known of them and not by their names, requests by their route and not by their path.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use haul_api::JobState;
use haul_core::messages::{Note, StopReason};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::driver::Totals;

/// The media type of [`Metrics::written`].
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds for what a disk does, in seconds: from a write into a cache to a disk that is drowning.
const DISK_SECONDS: [f64; 12] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// Bounds for how long a request takes, in seconds; the longest of them wait on purpose.
const REQUEST_SECONDS: [f64; 10] = [0.0005, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0, 60.0];

/// Bounds for how late the driver is, in seconds: it looks at the workers every 20 ms at best.
const LAG_SECONDS: [f64; 9] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// The metrics of one daemon. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    jobs: Family<State, Gauge>,
    received: Counter,
    speed: Gauge<f64, AtomicU64>,
    connections: Family<HostClass, Gauge>,
    retries: Family<Cause, Counter>,
    strikes: Counter,
    replaced: Family<Cause, Counter>,
    syncs: Histogram,
    commits: Family<CommitKind, Histogram>,
    store_waiting: Gauge,
    requests: Family<Request, Histogram>,
    lag: Histogram,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HostClass {
    host_class: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Cause {
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CommitKind {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: String,
    status: String,
}

/// What is only known when somebody asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Now {
    pub(crate) jobs: Vec<(JobState, u64)>,
    pub(crate) totals: Totals,
    /// Operations that wait for the database.
    pub(crate) store_waiting: usize,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("haul_build", "The version that runs", build);
        let metrics = Inner {
            jobs: Family::default(),
            received: Counter::default(),
            speed: Gauge::default(),
            connections: Family::default(),
            retries: Family::default(),
            strikes: Counter::default(),
            replaced: Family::default(),
            syncs: Histogram::new(DISK_SECONDS),
            commits: Family::new_with_constructor(|| Histogram::new(DISK_SECONDS)),
            store_waiting: Gauge::default(),
            requests: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
            lag: Histogram::new(LAG_SECONDS),
            registry,
        };
        Self(Arc::new(metrics.registered()))
    }

    /// Bytes have come from servers since the start.
    fn set_received(&self, bytes: u64) {
        self.0.received.inner().fetch_max(bytes, Ordering::Relaxed);
    }

    /// The engine has found something worth a note.
    pub(crate) fn note(&self, note: &Note) {
        match note {
            Note::ChunkReturned { fault, .. } => {
                self.0.retries.get_or_create(&Cause { cause: fault.kind.code() }).inc();
            }
            Note::Strike { .. } => _ = self.0.strikes.inc(),
            Note::HostCap { .. }
            | Note::HostWaits { .. }
            | Note::SingleConnection
            | Note::Restart { .. }
            | Note::LinkTriedAgain
            | Note::MirrorProven(_)
            | Note::MirrorDropped { .. }
            | Note::ValidatorsVary(_)
            | Note::Conflict { .. }
            | Note::Healing { .. } => {}
        }
    }

    /// A worker was stopped; where another one takes its place, that counts.
    pub(crate) fn stopped(&self, reason: StopReason) {
        let cause = match reason {
            StopReason::BelowFloor => "below-floor",
            StopReason::Trial => "slow",
            StopReason::Unanswered => "unanswered",
            StopReason::JobStops | StopReason::Overtaken | StopReason::Yield | StopReason::Woke => return,
        };
        self.0.replaced.get_or_create(&Cause { cause }).inc();
    }

    /// A part file was synced.
    pub(crate) fn synced(&self, took: Duration) {
        self.0.syncs.observe(took.as_secs_f64());
    }

    /// A transaction was committed.
    pub(crate) fn committed(&self, commit: haul_store::Commit) {
        let kind = if commit.is_durable { "durable" } else { "written" };
        self.0.commits.get_or_create(&CommitKind { kind }).observe(commit.took.as_secs_f64());
    }

    /// The driver came to something so long after it was due.
    pub(crate) fn late(&self, by: Duration) {
        self.0.lag.observe(by.as_secs_f64());
    }

    /// A request to the API was answered.
    pub(crate) fn answered(&self, method: &http::Method, route: &str, status: http::StatusCode, took: Duration) {
        let request =
            Request { method: method_word(method), route: route.to_owned(), status: status.as_str().to_owned() };
        self.0.requests.get_or_create(&request).observe(took.as_secs_f64());
    }

    /// All of it as text, with what is known now.
    pub(crate) fn written(&self, now: &Now) -> Result<String, fmt::Error> {
        for (state, count) in &now.jobs {
            self.0.jobs.get_or_create(&State { state: state.as_str() }).set(gauge(*count));
        }
        self.set_received(now.totals.done_bytes);
        self.0.speed.set(now.totals.bytes_per_second);
        let by_class = now.totals.by_class;
        for (host_class, count) in [("open", by_class.open), ("capped", by_class.capped), ("limited", by_class.limited)]
        {
            self.0.connections.get_or_create(&HostClass { host_class }).set(count.into());
        }
        self.0.store_waiting.set(gauge(now.store_waiting as u64));
        let mut written = String::new();
        text::encode(&mut written, &self.0.registry)?;
        Ok(written)
    }
}

impl Inner {
    /// The same, known to its registry.
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("haul_jobs", "Jobs by their state", self.jobs.clone());
        registry.register("haul_received_bytes", "Bytes received of files", self.received.clone());
        registry.register("haul_speed_bytes_per_second", "What all jobs receive", self.speed.clone());
        registry.register(
            "haul_connections",
            "Connections in use, by what is known of their hosts",
            self.connections.clone(),
        );
        registry.register("haul_retries", "Chunks that are tried again, by cause", self.retries.clone());
        registry.register("haul_strikes", "Strikes of chunks, all from the speed floor", self.strikes.clone());
        registry.register(
            "haul_replaced_connections",
            "Connections that were replaced, by cause",
            self.replaced.clone(),
        );
        registry.register("haul_sync_seconds", "How long part files took to sync", self.syncs.clone());
        registry.register("haul_commit_seconds", "How long the database took to commit", self.commits.clone());
        registry.register("haul_store_waiting", "Operations that wait for the database", self.store_waiting.clone());
        registry.register("haul_api_request_seconds", "Time to the head of an answer", self.requests.clone());
        registry.register("haul_driver_lag_seconds", "How late the driver comes to what is due", self.lag.clone());
        self
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A method as a label: anybody may send any word.
fn method_word(method: &http::Method) -> &'static str {
    for known in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
        if method.as_str() == known {
            return known;
        }
    }
    "other"
}

#[cfg(test)]
mod tests {
    use haul_core::{Fault, FaultKind, MirrorIndex};

    use super::*;

    fn line<'a>(text: &'a str, start: &str) -> &'a str {
        text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start}: {text}"))
    }

    #[test]
    fn what_happens_is_counted_by_its_cause_and_apart_from_other_daemons() {
        let (metrics, other) = (Metrics::new(), Metrics::new());
        let fault = Fault::new(FaultKind::Reset, "the connection broke");
        let (chunk, mirror) = (0, MirrorIndex(0));
        for retries in 1..=2 {
            let wait = Duration::from_secs(1);
            metrics.note(&Note::ChunkReturned { chunk, mirror, retries, wait, fault: fault.clone() });
        }
        metrics.note(&Note::Strike { chunk, mirror, strikes: 1, bytes_per_second: 5 });
        metrics.stopped(StopReason::BelowFloor);
        metrics.stopped(StopReason::JobStops);
        metrics.committed(haul_store::Commit { is_durable: true, took: Duration::from_millis(2) });
        metrics.answered(&http::Method::GET, "/v1/jobs/{id}", http::StatusCode::OK, Duration::from_millis(2));
        let brew = http::Method::from_bytes(b"BREW").expect("a method");
        metrics.answered(&brew, "none", http::StatusCode::NOT_FOUND, Duration::ZERO);
        let text = metrics.written(&Now::default()).expect("text");
        assert_eq!(line(&text, "haul_retries_total"), "haul_retries_total{cause=\"reset\"} 2");
        assert_eq!(line(&text, "haul_strikes_total"), "haul_strikes_total 1");
        assert_eq!(
            line(&text, "haul_replaced_connections_total"),
            "haul_replaced_connections_total{cause=\"below-floor\"} 1"
        );
        assert_eq!(line(&text, "haul_commit_seconds_count"), "haul_commit_seconds_count{kind=\"durable\"} 1");
        let requests = "haul_api_request_seconds_count";
        for labels in [
            "{method=\"GET\",route=\"/v1/jobs/{id}\",status=\"200\"}",
            "{method=\"other\",route=\"none\",status=\"404\"}",
        ] {
            assert!(text.contains(&format!("{requests}{labels} 1\n")), "{labels}: {text}");
        }
        let other = other.written(&Now::default()).expect("text");
        assert!(!other.contains("haul_retries_total{"), "{other}");
        assert_eq!(line(&other, "haul_strikes_total"), "haul_strikes_total 0");
    }

    #[test]
    fn received_bytes_never_fall() {
        let metrics = Metrics::new();
        for (bytes, told) in [(5, 5), (9, 9), (7, 9)] {
            let totals = Totals { done_bytes: bytes, ..Totals::default() };
            let text = metrics.written(&Now { totals, ..Now::default() }).expect("text");
            assert_eq!(line(&text, "haul_received_bytes_total"), format!("haul_received_bytes_total {told}"));
        }
    }
}
