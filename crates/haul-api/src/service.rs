//! The daemon itself as clients see it: settings, totals, readiness.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::body::present;
use crate::job::JobState;
use crate::schedule::{self, Window};

/// The body of `PATCH /v1/settings`. A field that is `None` is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes per second over all jobs, 0 for no limit.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, maximum = 9_223_372_036_854_775_807_i64))]
    pub bandwidth_limit: Option<u64>,
    /// The times at which another limit holds, all of them.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, max_items = 32))]
    pub bandwidth_schedule: Option<Vec<Window>>,
    /// Limits of the jobs with a label, by the label; `None`, on the wire `null`, removes those of one. Labels that are not
    /// named are left as they are.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::openapi::labels, required = false))]
    pub labels: Option<BTreeMap<String, Option<LabelLimits>>>,
    /// Jobs that may run at once.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, minimum = 1, maximum = 10_000))]
    pub max_active_jobs: Option<u32>,
    /// Connections to one host over all jobs.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, minimum = 1, maximum = 100_000))]
    pub connections_per_host: Option<u32>,
    /// Connections of one job that names no number itself.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, minimum = 1, maximum = 64))]
    pub connections_per_job: Option<u32>,
    /// Connections over all jobs.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, minimum = 1, maximum = 100_000))]
    pub connections_total: Option<u32>,
}

/// What changes of a label's limits. A field that is `None` is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LabelLimits {
    /// Bytes per second over all jobs with the label, 0 for no limit.
    #[serde(default, deserialize_with = "some_rate", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::openapi::rate, required = false))]
    pub bandwidth_limit: Option<u64>,
    /// The times at which another limit holds, all of them.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, max_items = 32))]
    pub bandwidth_schedule: Option<Vec<Window>>,
}

fn some_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    schedule::rate(deserializer).map(Some)
}

/// The settings in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Settings {
    /// Bytes per second over all jobs, 0 for no limit.
    pub bandwidth_limit: u64,
    /// The times at which another limit holds.
    pub bandwidth_schedule: Vec<Window>,
    /// The limit that holds now: that of the first window that holds, else `bandwidth_limit`.
    pub bandwidth_limit_now: u64,
    /// Limits of the jobs with a label, by the label.
    pub labels: BTreeMap<String, LabelSettings>,
    /// Jobs that may run at once.
    pub max_active_jobs: u32,
    /// Connections to one host over all jobs.
    pub connections_per_host: u32,
    /// Connections of one job that names no number itself.
    pub connections_per_job: u32,
    /// Connections over all jobs.
    pub connections_total: u32,
}

/// The limits of the jobs with one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LabelSettings {
    /// Bytes per second over all jobs with the label, 0 for no limit.
    pub bandwidth_limit: u64,
    /// The times at which another limit holds.
    pub bandwidth_schedule: Vec<Window>,
    /// The limit that holds now.
    pub bandwidth_limit_now: u64,
}

/// The totals of `GET /v1/stats`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stats {
    /// How many jobs are in each state.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, u64>))]
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
    /// The limit in bytes per second that holds now over all jobs, 0 for none.
    pub bandwidth_limit: u64,
}

/// What is logged: the body and the answer of `PUT /v1/log-level`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter as in the setting `log`.
    #[cfg_attr(feature = "openapi", schema(example = "info,hauld::driver=debug"))]
    pub log: String,
}

/// The answer of `/readyz`: 200 when ready, else 503.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    fn what_is_wrong_within_a_list_or_a_label_is_named_with_its_place() {
        let schedule = |window: &str| {
            format!(r#"{{"bandwidth_schedule": [{{"from": "08:00", "to": "09:00", "bandwidth_limit": 1}}, {window}]}}"#)
        };
        for (body, code, field) in [
            (
                schedule(r#"{"from": "8", "to": "09:00", "bandwidth_limit": 1}"#),
                "invalid-value",
                "bandwidth_schedule[1].from",
            ),
            (
                schedule(r#"{"from": "08:00", "to": 9, "bandwidth_limit": 1}"#),
                "invalid-value",
                "bandwidth_schedule[1].to",
            ),
            (schedule(r#"{"from": "08:00", "bandwidth_limit": 1}"#), "invalid-value", "bandwidth_schedule[1].to"),
            (
                schedule(r#"{"from": "08:00", "to": "09:00", "bandwidth_limit": "fast"}"#),
                "invalid-value",
                "bandwidth_schedule[1].bandwidth_limit",
            ),
            (
                schedule(r#"{"from": "08:00", "to": "09:00", "bandwidth_limit": 1, "days": []}"#),
                "invalid-value",
                "bandwidth_schedule[1].days",
            ),
            (
                schedule(r#"{"from": "08:00", "to": "09:00", "bandwidth_limit": 1, "days": ["sol"]}"#),
                "invalid-value",
                "bandwidth_schedule[1].days[0]",
            ),
            (
                schedule(r#"{"from": "08:00", "to": "09:00", "bandwidth_limit": 1, "day": []}"#),
                "unknown-field",
                "bandwidth_schedule[1].day",
            ),
            (schedule("7"), "invalid-value", "bandwidth_schedule[1]"),
            (
                r#"{"labels": {"iso": {"bandwidth_limit": -1}}}"#.to_owned(),
                "invalid-value",
                "labels.iso.bandwidth_limit",
            ),
            (
                r#"{"labels": {"iso": {"bandwidth_limit": null}}}"#.to_owned(),
                "invalid-value",
                "labels.iso.bandwidth_limit",
            ),
            (r#"{"labels": {"iso": {"limit": 1}}}"#.to_owned(), "unknown-field", "labels.iso.limit"),
            (r#"{"labels": {"iso": 1}}"#.to_owned(), "invalid-value", "labels.iso"),
            (r#"{"labels": null}"#.to_owned(), "invalid-value", "labels"),
        ] {
            let problem = body::parse::<Limits>(body.as_bytes()).expect_err(&body);
            assert_eq!((&*problem.code, problem.field.as_deref()), (code, Some(field)), "{body}: {problem}");
            assert!(!problem.detail.contains("another kind"), "{body}: {problem}");
        }
    }

    #[test]
    fn a_label_is_changed_or_removed() {
        let limits: Limits =
            body::parse(br#"{"labels": {"iso": {"bandwidth_limit": "500KB"}, "old": null}}"#).expect("a good body");
        let labels = limits.labels.expect("they are named");
        assert_eq!(labels["iso"].as_ref().expect("a change").bandwidth_limit, Some(500_000));
        assert_eq!(labels["old"], None);
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
