//! Why a job is not faster, or does not go on.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The answer to `GET /v1/jobs/{id}/why`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Why {
    /// One sentence.
    pub summary: String,
    /// What holds the job back, the weightiest first; empty where nothing does.
    pub reasons: Vec<WhyReason>,
}

/// One thing that holds a job back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhyReason {
    /// The stable kebab-case code.
    pub code: String,
    /// The same for people, with its numbers.
    pub message: String,
    /// Its numbers for programs, with their units in their names; which there are depends on the code.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, Value>))]
    pub numbers: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_stand_beside_the_message() {
        let wire = json!({
            "summary": "fetching at 360 KB/s: example.org takes 2 connections",
            "reasons": [{"code": "host-cap", "message": "example.org takes 2 connections", "learned_cap": 2}],
        });
        let why: Why = serde_json::from_value(wire.clone()).expect("the example is an answer");
        assert_eq!(why.reasons[0].numbers["learned_cap"], 2);
        assert_eq!(serde_json::to_value(why).expect("plain data"), wire);
    }
}
