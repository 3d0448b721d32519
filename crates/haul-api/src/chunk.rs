//! Chunks as clients see them: the unit of planning, retry and persistence.

use serde::{Deserialize, Serialize};

/// The chunks of one job, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChunkList {
    /// All of them.
    pub chunks: Vec<Chunk>,
}

/// One chunk of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Chunk {
    /// The chunk's number in its job.
    pub index: u32,
    /// The first byte.
    pub start: u64,
    /// The byte after the last one; `null` while the length of the file is unknown.
    pub end: Option<u64>,
    /// How much is written, from `start`.
    pub done_bytes: u64,
    /// How much would survive a power cut, from `start`.
    pub durable_bytes: u64,
    /// Where the chunk stands.
    pub state: ChunkState,
    /// How often it was started again.
    pub retries: u32,
    /// How often its worker was stopped for being slow.
    pub strikes: u32,
    /// Whether the speed floor no longer applies.
    pub exempt: bool,
    /// Bytes per second of its worker, while it has one.
    pub speed: Option<u64>,
    /// The code of the last thing that went wrong.
    pub last_error: Option<String>,
}

/// Where a chunk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChunkState {
    /// Waits for a worker.
    Ready,
    /// Has a worker.
    Active,
    /// Waits for its next attempt.
    Backoff,
    /// Is complete.
    Done,
}

/// The chunks of a job, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChunkTotals {
    /// Chunks that are done.
    pub done: u32,
    /// Chunks that are planned.
    pub total: u32,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_chunk_survives_a_round_trip() {
        let chunk = json!({
            "index": 3, "start": 16, "end": 32, "done_bytes": 4, "durable_bytes": 2,
            "state": "backoff", "retries": 2, "strikes": 1, "exempt": false,
            "speed": null, "last_error": "stalled",
        });
        let list: ChunkList = serde_json::from_value(json!({"chunks": [chunk]})).expect("a chunk list");
        assert_eq!(list.chunks[0].state, ChunkState::Backoff);
        assert_eq!(serde_json::to_value(list).expect("plain data"), json!({"chunks": [chunk]}));
    }
}
