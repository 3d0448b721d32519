//! What has happened to a job: the history that people and streams read.
//!
//! The words of the kinds and the names of their fields are stored and go over the wire: both are only ever added to.
//! Nothing here holds a URL: hosts are `scheme://host:port`, and details are free of secrets.

use haul_core::JobId;
use serde::{Deserialize, Serialize};

use crate::TokenId;

/// Something that has happened to a job, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEvent {
    /// Its id: ascending over all jobs, never reused.
    pub id: u64,
    /// The job.
    pub job: JobId,
    /// When it happened.
    pub at_ms: i64,
    /// What happened.
    pub kind: EventKind,
}

/// Something that has happened to a job, to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The job.
    pub job: JobId,
    /// When it happened.
    pub at_ms: i64,
    /// What happened.
    pub kind: EventKind,
}

/// Which events of all jobs are meant; by default all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only those of this job.
    pub job: Option<JobId>,
    /// Only those of jobs with this label.
    pub label: Option<String>,
    /// Only those of jobs that this token has submitted.
    pub token: Option<TokenId>,
    /// Only these [kinds](EventKind::WORDS); all when empty.
    pub kinds: Vec<String>,
}

/// Some events of all jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The oldest first.
    pub events: Vec<JobEvent>,
    /// Whoever goes on behind this event misses nothing.
    pub read_to: u64,
    /// Events that would have been before these and are not kept any more: at most so many.
    pub missed: u64,
}

/// Somebody who is told of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What it is called.
    pub name: String,
    /// The [kinds](EventKind::WORDS) of events.
    pub kinds: Vec<String>,
    /// The labels of their jobs; none means all jobs.
    pub labels: Vec<String>,
}

/// The number of an entry of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UntoldId(pub(crate) i64);

/// An event that a target has not been told of yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// Its number in the outbox.
    pub id: UntoldId,
    /// The event.
    pub event: JobEvent,
    /// Attempts that have failed.
    pub attempts: u32,
}

/// What has happened to a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "kebab-case")]
pub enum EventKind {
    /// Somebody has submitted it.
    Accepted {
        /// It does not start until it is resumed.
        paused: bool,
    },
    /// Somebody lets it rest.
    Paused,
    /// Somebody lets it go on.
    Resumed,
    /// Somebody starts it again after it had failed.
    Retried,
    /// Somebody has given it up.
    Canceled,
    /// Somebody has changed what they want of it.
    Edited {
        /// The names of the fields; their values may be secrets.
        fields: Vec<String>,
    },
    /// Somebody has deleted it.
    Deleted,
    /// Somebody has taken its deletion back.
    Restored,
    /// It waits for a slot.
    Queued,
    /// Its first request is under way.
    Probing,
    /// Its first answer has told what the file is.
    Started {
        /// The name that it will have.
        filename: Option<String>,
        /// How long it is, where the server has said so.
        total_bytes: Option<u64>,
        /// Whether the server serves ranges.
        accepts_ranges: Option<bool>,
    },
    /// It is being fetched.
    Active,
    /// It cannot go on for a while.
    Waiting {
        /// What for, in the word of the API.
        waiting_for: String,
        /// The code of the fault.
        code: Option<String>,
        /// The fault.
        detail: Option<String>,
        /// In how long it goes on by itself.
        retry_in_ms: Option<u64>,
    },
    /// All bytes are there; they are being checked.
    Verifying,
    /// The file is in place.
    Completed {
        /// Where.
        path: Option<String>,
        /// How long it is.
        total_bytes: u64,
        /// What vouches for its bytes.
        verification: Option<String>,
    },
    /// It has ended for a reason that waiting does not mend.
    Failed {
        /// The code of the fault.
        code: Option<String>,
        /// The fault.
        detail: Option<String>,
    },
    /// The daemon has started and goes on with it.
    TakenUp {
        /// Bytes that are there.
        done_bytes: u64,
        /// How long the file is.
        total_bytes: Option<u64>,
    },
    /// The file has changed on its server, and the job starts over.
    Restarted {
        /// Times that this has happened.
        restarts: u32,
        /// Bytes that are dropped.
        dropped_bytes: u64,
    },
    /// Bytes that were there cannot be used, and are fetched again.
    BytesDropped {
        /// How many.
        dropped_bytes: u64,
    },
    /// Attempts have ended in a fault and are made again.
    Fault {
        /// The host that they were made at.
        host: String,
        /// The code of the fault.
        code: String,
        /// The last such fault.
        detail: String,
        /// Where the chunk of the last one starts.
        chunk_start: u64,
        /// The retries of that chunk.
        retries: u32,
        /// How long it is held back.
        wait_ms: u64,
        /// Attempts within about a second that have ended like this.
        count: u32,
    },
    /// Connections were below the speed floor and are replaced.
    Strike {
        /// The host that they were made to.
        host: String,
        /// Where the chunk of the last one starts.
        chunk_start: u64,
        /// The strikes of that chunk.
        strikes: u32,
        /// The speed of the last one.
        bytes_per_second: u64,
        /// Connections within about a second.
        count: u32,
    },
    /// Connections were replaced for another reason.
    Replaced {
        /// The host that they were made to.
        host: String,
        /// Why: `slow`, or `unanswered`.
        reason: String,
        /// Connections within about a second.
        count: u32,
    },
    /// A host takes no more connections.
    HostCap {
        /// Which.
        host: String,
        /// How many it takes.
        connections: u32,
    },
    /// A host is left alone for a while.
    HostWaits {
        /// Which.
        host: String,
        /// For how long.
        wait_ms: u64,
        /// The code of the fault.
        code: String,
        /// The fault.
        detail: String,
    },
    /// The server does not serve ranges.
    SingleConnection,
    /// A link has expired, and the submitted URL is tried once more.
    LinkTriedAgain,
    /// Further mirrors have become known.
    MirrorsAdded {
        /// Their hosts.
        hosts: Vec<String>,
    },
    /// A mirror has the same file and contributes.
    MirrorProven {
        /// Its place in the list.
        mirror: u32,
        /// Its host.
        host: String,
    },
    /// A mirror is not used any more.
    MirrorDropped {
        /// Its place in the list.
        mirror: u32,
        /// Its host.
        host: String,
        /// The code of the fault.
        code: String,
        /// The fault.
        detail: String,
    },
    /// A mirror's servers name the same bytes differently: samples are compared instead.
    ValidatorsVary {
        /// Its place in the list.
        mirror: u32,
        /// Its host.
        host: String,
    },
    /// The bytes of two answers differ where they meet.
    Conflict {
        /// The code of the fault.
        code: String,
        /// The fault.
        detail: String,
    },
    /// The checksum does not match, and what is doubtful is fetched again.
    Healing {
        /// How much that is.
        bytes: u64,
    },
}

impl EventKind {
    /// The word of every kind, in the order above.
    pub const WORDS: &[&str] = &[
        "accepted",
        "paused",
        "resumed",
        "retried",
        "canceled",
        "edited",
        "deleted",
        "restored",
        "queued",
        "probing",
        "started",
        "active",
        "waiting",
        "verifying",
        "completed",
        "failed",
        "taken-up",
        "restarted",
        "bytes-dropped",
        "fault",
        "strike",
        "replaced",
        "host-cap",
        "host-waits",
        "single-connection",
        "link-tried-again",
        "mirrors-added",
        "mirror-proven",
        "mirror-dropped",
        "validators-vary",
        "conflict",
        "healing",
    ];

    /// Takes in another event of the same job if it says the same; tells whether it has.
    pub fn absorb(&mut self, newer: &Self) -> bool {
        match (self, newer) {
            (
                Self::Fault { host, code, detail, chunk_start, retries, wait_ms, count },
                Self::Fault {
                    host: newer_host,
                    code: newer_code,
                    detail: newer_detail,
                    chunk_start: newer_chunk,
                    retries: newer_retries,
                    wait_ms: newer_wait,
                    count: more,
                },
            ) if host == newer_host && code == newer_code => {
                detail.clone_from(newer_detail);
                (*chunk_start, *retries, *wait_ms) = (*newer_chunk, *newer_retries, *newer_wait);
                *count += more;
                true
            }
            (
                Self::Strike { host, chunk_start, strikes, bytes_per_second, count },
                Self::Strike {
                    host: newer_host,
                    chunk_start: newer_chunk,
                    strikes: newer_strikes,
                    bytes_per_second: newer_speed,
                    count: more,
                },
            ) if host == newer_host => {
                (*chunk_start, *strikes, *bytes_per_second) = (*newer_chunk, *newer_strikes, *newer_speed);
                *count += more;
                true
            }
            (
                Self::Replaced { host, reason, count },
                Self::Replaced { host: newer_host, reason: newer_reason, count: more },
            ) if host == newer_host && reason == newer_reason => {
                *count += more;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(host: &str, code: &str, chunk_start: u64) -> EventKind {
        EventKind::Fault {
            host: host.to_owned(),
            code: code.to_owned(),
            detail: format!("{code} at {chunk_start}"),
            chunk_start,
            retries: 1,
            wait_ms: 100,
            count: 1,
        }
    }

    #[test]
    fn every_kind_has_its_word_in_the_list() {
        let unknown = serde_json::from_str::<EventKind>(r#"{"kind": "?"}"#).expect_err("no such kind").to_string();
        let (_, known) = unknown.split_once("expected one of ").expect("it names all of them");
        let known: Vec<_> = known.split('`').skip(1).step_by(2).collect();
        assert_eq!(known, EventKind::WORDS);
    }

    #[test]
    fn the_same_fault_of_the_same_host_is_counted_and_the_last_one_told() {
        let mut first = fault("https://a", "reset", 5);
        assert!(first.absorb(&fault("https://a", "reset", 7)));
        let EventKind::Fault { count, chunk_start, detail, .. } = &first else { panic!("it is a fault still") };
        assert_eq!((*count, *chunk_start, detail.as_str()), (2, 7, "reset at 7"));
        assert!(!first.absorb(&fault("https://b", "reset", 7)));
        assert!(!first.absorb(&fault("https://a", "stall", 7)));
        assert!(!EventKind::Active.absorb(&EventKind::Active), "what happens twice is told twice");
    }
}
