//! The daemon itself as clients see it: settings, totals, readiness.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::body::present;
use crate::job::JobState;

/// The body of `PATCH /v1/settings`. A field that is `None` is left as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes per second over all jobs, 0 for no limit.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub bandwidth_limit: Option<u64>,
    /// Jobs that may run at once.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub max_active_jobs: Option<u32>,
    /// Connections to one host over all jobs.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub connections_per_host: Option<u32>,
    /// Connections of one job that names no number itself.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub connections_per_job: Option<u32>,
    /// Connections over all jobs.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub connections_total: Option<u32>,
}

/// The settings in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Bytes per second over all jobs, 0 for no limit.
    pub bandwidth_limit: u64,
    /// Jobs that may run at once.
    pub max_active_jobs: u32,
    /// Connections to one host over all jobs.
    pub connections_per_host: u32,
    /// Connections of one job that names no number itself.
    pub connections_per_job: u32,
    /// Connections over all jobs.
    pub connections_total: u32,
}

/// The totals of `GET /v1/stats`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// How many jobs are in each state.
    pub jobs: BTreeMap<JobState, u64>,
    /// Received bytes per second over all jobs, lately.
    pub speed: u64,
    /// Connections in use.
    pub connections_active: u32,
    /// Bytes written since the daemon started.
    pub done_bytes: u64,
    /// Seconds since the daemon started.
    pub uptime_seconds: u64,
    /// The daemon's version.
    pub version: String,
    /// Bytes per second over all jobs, 0 for no limit.
    pub bandwidth_limit: u64,
}

/// The answer of `/readyz`: 200 when ready, else 503.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether jobs are accepted and fetched.
    pub ready: bool,
    /// Why not, in words.
    pub reasons: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::body;

    #[test]
    fn limits_name_what_they_do_not_know() {
        let limits: Limits = body::parse(br#"{"bandwidth_limit": 0}"#).expect("a good body");
        assert_eq!(limits.bandwidth_limit, Some(0));
        assert_eq!(limits.max_active_jobs, None);
        assert_eq!(json!(limits), json!({"bandwidth_limit": 0}));
        let problem = body::parse::<Limits>(br#"{"listen": "::"}"#).expect_err("not live");
        assert_eq!(problem.code, "unknown-field");
        assert_eq!(problem.field.as_deref(), Some("listen"));
    }

    #[test]
    fn stats_count_jobs_by_the_words_of_their_states() {
        let stats = Stats {
            jobs: BTreeMap::from([(JobState::Active, 2), (JobState::Completed, 5)]),
            speed: 1,
            connections_active: 2,
            done_bytes: 3,
            uptime_seconds: 4,
            version: "0.1.0".to_owned(),
            bandwidth_limit: 0,
        };
        let wire = serde_json::to_value(&stats).expect("plain data");
        assert_eq!(wire["jobs"], json!({"active": 2, "completed": 5}));
        let back: Stats = serde_json::from_value(wire).expect("it was just written");
        assert_eq!(back, stats);
    }
}
