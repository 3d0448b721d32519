//! Jobs as clients see them.
//!
//! Sizes are bytes, speeds bytes per second, times RFC 3339 in UTC. What is not known yet is
//! `null`, not left out.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::body::present;
use crate::chunk::ChunkTotals;
use crate::options::{Method, Position};
use crate::submit::OnChange;

/// One job and how it is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Job {
    /// The number that people type. Never reused.
    pub id: u64,
    /// The submitted URL, without userinfo; of several, the first.
    pub url: String,
    /// The page that the link stood on, without userinfo, until the job is complete.
    #[serde(default)]
    pub page_url: Option<String>,
    /// All the places where its file is to be had, `url` among them.
    #[serde(default)]
    pub mirrors: Vec<Mirror>,
    /// The one word for where the job stands.
    pub state: JobState,
    /// What a waiting job waits for.
    pub waiting_for: Option<WaitingFor>,
    /// Why the job waits or failed.
    pub reason: Option<Reason>,
    /// Where the file is or will be, once its name is known.
    pub path: Option<String>,
    /// The last part of `path`.
    pub filename: Option<String>,
    /// The length of the file.
    pub total_bytes: Option<u64>,
    /// How much is written.
    pub done_bytes: u64,
    /// How much would survive a power cut.
    pub durable_bytes: u64,
    /// Received bytes per second, lately.
    pub speed: u64,
    /// Seconds to the end at this speed.
    pub eta_seconds: Option<u64>,
    /// The connections in use and permitted.
    pub connections: Connections,
    /// The chunks done and planned.
    pub chunks: ChunkTotals,
    /// The digest that the file must have.
    pub checksum: Option<String>,
    /// What vouches for the bytes of a finished file.
    pub verification: Option<Verification>,
    /// What was found when its file was last verified on demand.
    #[serde(default)]
    pub verified: Option<Verified>,
    /// Whether the server can go on in the middle of the file.
    pub resumable: Option<bool>,
    /// What happens when the file changes on its server.
    #[serde(default)]
    pub on_change: OnChange,
    /// How the file is asked for.
    #[serde(default)]
    pub method: Method,
    /// The server's certificate is not looked at: whoever sits in between can send another file.
    #[serde(default)]
    pub insecure: bool,
    /// The proxy that was given along, without user and password.
    #[serde(default)]
    pub proxy: Option<String>,
    /// It does not start before.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub start_at: Option<Timestamp>,
    /// Higher goes first.
    pub priority: i32,
    /// Bytes per second at most, 0 for no limit.
    pub bandwidth_limit: u64,
    /// The word that the client gave to find the job by.
    pub label: Option<String>,
    /// Counts the changes of the job, but for progress.
    #[serde(default)]
    pub version: u64,
    /// When the job was submitted.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When the first request was made.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub started_at: Option<Timestamp>,
    /// When the job completed, failed or was canceled.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub finished_at: Option<Timestamp>,
}

impl Job {
    /// The names of all fields.
    pub const FIELDS: [&str; 32] = [
        "id",
        "url",
        "page_url",
        "mirrors",
        "state",
        "waiting_for",
        "reason",
        "path",
        "filename",
        "total_bytes",
        "done_bytes",
        "durable_bytes",
        "speed",
        "eta_seconds",
        "connections",
        "chunks",
        "checksum",
        "verification",
        "verified",
        "resumable",
        "on_change",
        "method",
        "insecure",
        "proxy",
        "start_at",
        "priority",
        "bandwidth_limit",
        "label",
        "version",
        "created_at",
        "started_at",
        "finished_at",
    ];
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for a slot.
    Queued,
    /// The first request is under way.
    Probing,
    /// Ranges are being fetched.
    Active,
    /// Cannot go on now; [`WaitingFor`] says what has to happen.
    Waiting,
    /// The user asked to pause.
    Paused,
    /// All bytes are there; digests are being finished.
    Verifying,
    /// Verified and sealed under its final name.
    Completed,
    /// Ended with a permanent reason; the bytes are kept.
    Failed,
    /// The user gave it up.
    Canceled,
}

impl JobState {
    /// Every state once, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Probing,
        Self::Active,
        Self::Waiting,
        Self::Paused,
        Self::Verifying,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Probing => "probing",
            Self::Active => "active",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Verifying => "verifying",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Finds the state of a word on the wire.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether nothing more happens unless a person asks for it.
    pub const fn is_ended(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Canceled => true,
            Self::Queued | Self::Probing | Self::Active | Self::Waiting | Self::Paused | Self::Verifying => false,
        }
    }
}

/// One of the places where a job's file is to be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Mirror {
    /// The URL, without userinfo.
    pub url: String,
    /// What it is good for; `null` while the job does not run.
    pub state: Option<MirrorState>,
    /// The connections in use.
    pub connections: u32,
    /// Received bytes per second, lately.
    pub speed: u64,
    /// How much of the file came from it; `null` while the job does not run.
    pub done_bytes: Option<u64>,
    /// Why it does not contribute.
    pub reason: Option<MirrorReason>,
}

/// What a mirror is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MirrorState {
    /// It has the say: what the others send is compared with what it has sent.
    Main,
    /// Nothing is known of it yet.
    Unproven,
    /// A sample of it is being compared.
    Proving,
    /// It has the same file and contributes.
    Proven,
    /// It is not used any more.
    Dropped,
}

impl MirrorState {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Unproven => "unproven",
            Self::Proving => "proving",
            Self::Proven => "proven",
            Self::Dropped => "dropped",
        }
    }
}

/// Why a mirror does not contribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MirrorReason {
    /// The stable kebab-case code.
    pub code: String,
    /// The same for people.
    pub message: String,
}

/// What has to happen before a waiting job goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WaitingFor {
    /// A backoff ends.
    Retry,
    /// The disk has space again.
    Disk,
    /// The network is back.
    Network,
    /// The host answers again.
    Host,
    /// A time window opens.
    Schedule,
    /// A person renews the expired URL.
    Link,
    /// A person mounts the volume.
    Volume,
}

impl WaitingFor {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Disk => "disk",
            Self::Network => "network",
            Self::Host => "host",
            Self::Schedule => "schedule",
            Self::Link => "link",
            Self::Volume => "volume",
        }
    }
}

/// Why a job waits or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reason {
    /// The stable kebab-case code.
    pub code: String,
    /// The same for people, with what helps.
    pub message: String,
    /// When it happened.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// When the job goes on by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub retry_at: Option<Timestamp>,
}

/// What vouches for the bytes of a file, from strong to weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// The digest is the expected one.
    Checksum,
    /// Every answer had the same strong validator.
    Validator,
    /// Bytes fetched twice were equal.
    Overlap,
    /// Only the length is known to be right.
    Length,
    /// Not even the length was known.
    None,
    /// The file was found damaged.
    Damaged,
}

/// What was found when a file was verified on demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Verified {
    /// When that was.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// Bytes that were compared with what was received.
    pub checked_bytes: u64,
    /// Bytes that are there, but nothing is known to compare them with.
    pub unchecked_bytes: u64,
    /// Bytes that are not what they were, in the order of the file.
    pub bad: Vec<BadRange>,
    /// What else is to be said, for people.
    pub reason: Option<String>,
}

/// Bytes of a file that are not what they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BadRange {
    /// The first of them.
    pub start: u64,
    /// One past the last.
    pub end: u64,
}

/// The body of `POST /v1/jobs/{id}/verify`, which may be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VerifyJob {
    /// Whether what is bad of a complete file is fetched again.
    #[serde(default)]
    pub repair: bool,
}

/// The connections of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Connections {
    /// In use now.
    pub active: u32,
    /// Permitted at most.
    pub max: u32,
}

/// The body of `PATCH /v1/jobs/{id}`. A field that is `None` is left as it is.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PatchJob {
    /// A new URL of the same file, in place of one that has expired.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, format = "uri"))]
    pub url: Option<String>,
    /// The name to save under, while the file has not got its name yet.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, min_length = 1, max_length = 255))]
    pub filename: Option<String>,
    /// The request headers for the URL's own origin, in place of those before; `Some(None)` takes them away.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<BTreeMap<String, String>>))]
    pub headers: Option<Option<BTreeMap<String, String>>>,
    /// What happens when the file changes on its server.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub on_change: Option<OnChange>,
    /// Higher goes first.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, minimum = -100, maximum = 100))]
    pub priority: Option<i32>,
    /// The most connections that this job may use at once.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, minimum = 1, maximum = 64))]
    pub connections: Option<u32>,
    /// Bytes per second at most, 0 for no limit.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, maximum = 9_223_372_036_854_775_807_i64))]
    pub bandwidth_limit: Option<u64>,
    /// Where it is put among those of its priority that wait.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::openapi::position, required = false))]
    pub position: Option<Position>,
    /// The new label; `Some(None)`, on the wire `null`, takes the label away.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, min_length = 1, max_length = 64))]
    pub label: Option<Option<String>>,
}

impl fmt::Debug for PatchJob {
    /// Leaves out the URL and the header values: people put passwords there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header_names: Vec<_> = self.headers.iter().flatten().flat_map(BTreeMap::keys).collect();
        f.debug_struct("PatchJob")
            .field("has_url", &self.url.is_some())
            .field("filename", &self.filename)
            .field("header_names", &header_names)
            .field("on_change", &self.on_change)
            .field("priority", &self.priority)
            .field("connections", &self.connections)
            .field("bandwidth_limit", &self.bandwidth_limit)
            .field("position", &self.position)
            .field("label", &self.label)
            .finish()
    }
}

/// One page of jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobList {
    /// The jobs of this page.
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::openapi::jobs_of_a_page))]
    pub jobs: Vec<Job>,
    /// What to ask the next page with; `null` on the last one.
    pub next_cursor: Option<String>,
}

/// Which jobs a bulk action is for: the body of `POST /v1/pause` and the like. A field that is left out does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct JobFilter {
    /// Those in one of these states.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, min_items = 1))]
    pub state: Option<Vec<JobState>>,
    /// Those with this label.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub label: Option<String>,
    /// Those from this server.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, example = "https://example.org"))]
    pub host: Option<String>,
    /// Those with this text in URL, label or name, whatever the case of its ASCII letters.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub q: Option<String>,
}

/// The answer to `POST /v1/pause` and the like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BulkResult {
    /// How many jobs changed.
    pub changed: u64,
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::body;

    /// A job as the documentation shows it.
    pub(crate) fn job_json() -> Value {
        json!({
            "id": 17,
            "url": "https://example.org/a.iso",
            "page_url": "https://example.org/isos",
            "mirrors": [
                {
                    "url": "https://example.org/a.iso",
                    "state": "main",
                    "connections": 0,
                    "speed": 0,
                    "done_bytes": 1_000_000,
                    "reason": {"code": "connect", "message": "connection refused"},
                },
                {
                    "url": "https://example.net/a.iso",
                    "state": null,
                    "connections": 0,
                    "speed": 0,
                    "done_bytes": null,
                    "reason": null,
                },
            ],
            "state": "waiting",
            "waiting_for": "retry",
            "reason": {
                "code": "connect",
                "message": "connection refused; next attempt in 8 s",
                "at": "2026-11-05T10:00:00Z",
                "retry_at": "2026-11-05T10:00:08Z",
            },
            "path": "/srv/files/a.iso",
            "filename": "a.iso",
            "total_bytes": 4_700_000_000_u64,
            "done_bytes": 1_000_000,
            "durable_bytes": 900_000,
            "speed": 0,
            "eta_seconds": null,
            "connections": {"active": 0, "max": 32},
            "chunks": {"done": 0, "total": 281},
            "checksum": null,
            "verification": null,
            "verified": null,
            "resumable": true,
            "on_change": "restart",
            "method": "GET",
            "insecure": false,
            "proxy": null,
            "start_at": null,
            "priority": 0,
            "bandwidth_limit": 0,
            "label": null,
            "version": 3,
            "created_at": "2026-11-05T09:59:00.25Z",
            "started_at": "2026-11-05T09:59:01Z",
            "finished_at": null,
        })
    }

    pub(crate) fn job() -> Job {
        serde_json::from_value(job_json()).expect("the example is a job")
    }

    #[test]
    fn a_job_survives_a_round_trip_with_its_nulls() {
        assert_eq!(serde_json::to_value(job()).expect("plain data"), job_json());
    }

    #[test]
    fn all_fields_are_listed() {
        let json = job_json();
        let fields: Vec<_> = json.as_object().expect("a job is an object").keys().map(String::as_str).collect();
        let mut known = Job::FIELDS.to_vec();
        known.sort_unstable();
        assert_eq!(fields, known);
    }

    #[test]
    fn states_have_the_words_of_the_design() {
        for state in JobState::ALL {
            assert_eq!(json!(state), json!(state.as_str()));
            assert_eq!(JobState::from_word(state.as_str()), Some(state));
        }
        assert_eq!(JobState::from_word("done"), None);
        let ended: Vec<_> = JobState::ALL.iter().filter(|s| s.is_ended()).collect();
        assert_eq!(json!(ended), json!(["completed", "failed", "canceled"]));
        for waiting in [
            WaitingFor::Retry,
            WaitingFor::Disk,
            WaitingFor::Network,
            WaitingFor::Host,
            WaitingFor::Schedule,
            WaitingFor::Link,
            WaitingFor::Volume,
        ] {
            assert_eq!(json!(waiting), json!(waiting.as_str()));
        }
        for state in
            [MirrorState::Main, MirrorState::Unproven, MirrorState::Proving, MirrorState::Proven, MirrorState::Dropped]
        {
            assert_eq!(json!(state), json!(state.as_str()));
        }
    }

    #[test]
    fn a_patch_tells_absent_from_null() {
        let patch: PatchJob = body::parse(b"{}").expect("nothing to change");
        assert_eq!(patch, PatchJob::default());
        let patch: PatchJob = body::parse(br#"{"label": null}"#).expect("takes it away");
        assert_eq!(patch.label, Some(None));
        assert_eq!(json!(patch), json!({"label": null}));
        let patch: PatchJob =
            body::parse(br#"{"url": "https://a/?s3cret", "headers": {"Cookie": "s3cret"}}"#).expect("both");
        assert!(!format!("{patch:?}").contains("s3cret"), "{patch:?}");
        let problem = body::parse::<PatchJob>(br#"{"priority": null}"#).expect_err("says nothing");
        assert_eq!(problem.field.as_deref(), Some("priority"));
    }
}
