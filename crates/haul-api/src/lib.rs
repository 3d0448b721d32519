//! What goes over the wire between `hauld` and its clients: bodies, problem codes, paths, and
//! the typed [`Client`]. Knows no behaviour.
//!
#![doc = include_str!("../README.md")]
//!
//! # Bodies
//!
//! ```
//! use haul_api::{ProblemCode, SubmitBody};
//!
//! let body = br#"{"url": "https://example.org/a.iso", "conections": 4}"#;
//! let problem = SubmitBody::parse(body).expect_err("the field is misspelt");
//! assert_eq!(problem.known_code(), Some(ProblemCode::UnknownField));
//! assert_eq!(problem.field.as_deref(), Some("conections"));
//!
//! let body = br#"{"url": "https://example.org/a.iso", "connections": 4}"#;
//! let SubmitBody::One(job) = SubmitBody::parse(body)? else {
//!     panic!("a body without `jobs` is one job");
//! };
//! assert_eq!(job.connections, Some(4));
//! # Ok::<(), haul_api::Problem>(())
//! ```

pub mod batch;
pub mod body;
pub mod chunk;
pub mod client;
pub mod doctor;
pub mod duration;
pub mod event;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
pub mod job;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod options;
pub mod paths;
pub mod problem;
pub mod query;
pub mod schedule;
pub mod service;
pub mod size;
pub mod submit;
pub mod token;
pub mod why;

pub use batch::{BatchItem, BatchResult, Outcome};
pub use chunk::{Chunk, ChunkList, ChunkState, ChunkTotals};
pub use client::{Address, Client, ClientError, EventStream, Told};
pub use doctor::{Doctor, Finding};
pub use duration::HumanDuration;
pub use event::{Event, EventList, JobProgress, Lagged, Progress};
pub use host::{Host, HostConnections, HostFault, HostList, PatchHost};
pub use job::{
    BadRange, BulkResult, Connections, Job, JobFilter, JobList, JobState, Mirror, MirrorReason, MirrorState, PatchJob,
    Reason, Verification, Verified, VerifyJob, WaitingFor,
};
pub use options::{Cookie, IpVersion, Method, OnDuplicate, Position, Probe, RequestBody, Start};
pub use problem::{PROBLEM_MEDIA_TYPE, Problem, ProblemCode};
pub use query::{DeleteQuery, EventQuery, Files, HostQuery, JobQuery, SortBy, StreamQuery, WaitQuery};
pub use schedule::{Bandwidth, Day, TimeOfDay, Window};
pub use service::{LabelLimits, LabelSettings, Limits, Log, Readiness, Settings, Stats};
pub use size::{Rate, Size};
pub use submit::{CURL_MEDIA_TYPE, METALINK_MEDIA_TYPE, OnChange, OnConflict, Pieces, SubmitBody, SubmitJob};
pub use token::{MadeToken, NewPairCode, NewToken, Pair, PairCode, Proof, Prove, Scope, Token, TokenList};
pub use why::{Why, WhyReason};
