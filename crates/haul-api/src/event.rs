//! What has happened to a job.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
