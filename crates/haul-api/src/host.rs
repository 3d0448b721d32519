//! Servers as clients see them: what was learned of each, and what its user wants.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::body::present;

/// One server, by scheme, host and port, over all jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Host {
    /// `scheme://host:port`, the port only where it is not the scheme's own.
    pub host: String,
    /// The connections in use, allowed and learned.
    pub connections: HostConnections,
    /// How many connections of one job were last found to be worth it.
    pub useful_connections: Option<u32>,
    /// What one connection typically gives.
    pub bytes_per_second: Option<u64>,
    /// How long an answer typically takes.
    pub answer_time_ms: Option<u64>,
    /// Until when the host is left alone.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub blocked_until: Option<Timestamp>,
    /// Why it last refused a connection or was left alone.
    pub last_fault: Option<HostFault>,
    /// Bytes per second at most, 0 for no limit.
    pub bandwidth_limit: u64,
}

/// The connections to a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostConnections {
    /// In use now, over all jobs.
    pub active: u32,
    /// Allowed at most, by what was set for the host or for all hosts.
    pub max: u32,
    /// How many the host's refusals suggest; `null` when it did not clearly refuse any.
    pub learned_cap: Option<u32>,
    /// How many refusals the learned cap rests on.
    pub learned_from: u32,
    /// When one connection more than the learned cap is tried.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub holds_until: Option<Timestamp>,
}

/// What last went wrong with a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostFault {
    /// The stable kebab-case code.
    pub code: String,
    /// The same for people.
    pub message: String,
    /// When it happened.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
}

/// The body of `PATCH /v1/hosts/{host}`. A field that is `None` is left as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PatchHost {
    /// The most connections over all jobs; `Some(None)`, on the wire `null`, means what all hosts are allowed.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u32>, minimum = 1, maximum = 64))]
    pub connections: Option<Option<u32>>,
    /// Bytes per second at most; 0 and `Some(None)`, on the wire `null`, mean no limit.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>, maximum = 9_223_372_036_854_775_807_i64))]
    pub bandwidth_limit: Option<Option<u64>>,
    /// `false`: do not leave the host alone any longer, try now.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::openapi::only_false, required = false))]
    pub blocked: Option<bool>,
}

/// One page of hosts, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostList {
    /// The hosts of this page.
    pub hosts: Vec<Host>,
    /// What to ask the next page with; `null` on the last one.
    pub next_cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::body;

    #[test]
    fn a_host_survives_a_round_trip_with_its_nulls() {
        let wire = json!({
            "host": "https://example.org",
            "connections": {
                "active": 2, "max": 32, "learned_cap": 2, "learned_from": 3, "holds_until": "2026-11-05T10:00:14Z",
            },
            "useful_connections": 8,
            "bytes_per_second": 180_000,
            "answer_time_ms": 42,
            "blocked_until": null,
            "last_fault": {
                "code": "http-status", "message": "the server answered 429", "at": "2026-11-05T10:00:00Z",
            },
            "bandwidth_limit": 0,
        });
        let host: Host = serde_json::from_value(wire.clone()).expect("the example is a host");
        assert_eq!(serde_json::to_value(host).expect("plain data"), wire);
    }

    #[test]
    fn a_patch_tells_absent_from_null() {
        let patch: PatchHost = body::parse(b"{}").expect("nothing to change");
        assert_eq!(patch, PatchHost::default());
        let patch: PatchHost = body::parse(br#"{"connections": null, "bandwidth_limit": 5}"#).expect("a good body");
        assert_eq!((patch.connections, patch.bandwidth_limit), (Some(None), Some(Some(5))));
        assert_eq!(json!(patch), json!({"connections": null, "bandwidth_limit": 5}));
        for (body, field) in [(&br#"{"blocked": null}"#[..], "blocked"), (br#"{"cap": 4}"#, "cap")] {
            let problem = body::parse::<PatchHost>(body).expect_err("it says nothing");
            assert_eq!(problem.field.as_deref(), Some(field));
        }
    }
}
