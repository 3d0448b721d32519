//! What has happened to a job.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::job::{JobState, WaitingFor};

/// One page of a job's history, the oldest event first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventList {
    /// The events of this page.
    pub events: Vec<Event>,
    /// What to ask the next page with; `null` on the last one.
    pub next_cursor: Option<String>,
}

/// Something that has happened to a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Its number: ascending over all jobs, never reused.
    pub id: u64,
    /// The job.
    pub job: u64,
    /// When it happened.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// What happened, as a stable kebab-case word.
    pub kind: String,
    /// The same for people.
    pub message: String,
    /// The rest for programs, with units in the names; what there is depends on the kind.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, Value>))]
    pub data: Map<String, Value>,
}

/// The word for [`Progress`] among the types of a stream.
pub const PROGRESS: &str = "progress";

/// The word for [`Lagged`] among the types of a stream.
pub const LAGGED: &str = "lagged";

/// How far jobs are, of a stream: those of which something has changed since it was last told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// The jobs.
    pub jobs: Vec<JobProgress>,
}

/// How far one job is; with the names and the meaning that these fields have in a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobProgress {
    /// The job.
    pub id: u64,
    /// Its state.
    pub state: JobState,
    /// What it waits for.
    pub waiting_for: Option<WaitingFor>,
    /// Bytes written.
    pub done_bytes: u64,
    /// The file's length; `null` while unknown.
    pub total_bytes: Option<u64>,
    /// Bytes per second.
    pub speed: u64,
    /// Seconds to the end at this speed.
    pub eta_seconds: Option<u64>,
    /// Connections in use.
    pub connections: u32,
}

/// Tells the reader of a stream that it has missed events, because they are not kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lagged {
    /// How many, at most.
    pub missed: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_stands_beside_the_message() {
        let wire = json!({
            "events": [{
                "id": 4711, "job": 17, "at": "2026-11-05T10:00:00Z", "kind": "host-cap",
                "message": "example.org takes no more than 2 connections",
                "host": "https://example.org", "connections": 2,
            }],
            "next_cursor": null,
        });
        let list: EventList = serde_json::from_value(wire.clone()).expect("the example is an answer");
        assert_eq!(list.events[0].data["connections"], 2);
        assert_eq!(serde_json::to_value(list).expect("plain data"), wire);
    }
}
