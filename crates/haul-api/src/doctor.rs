//! What there is to know when something is wrong, and what to do about it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::host::Host;
use crate::job::{JobState, WaitingFor};

/// The answer to `GET /v1/doctor`. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Doctor {
    /// Nothing was found.
    pub healthy: bool,
    /// What somebody should do something about.
    pub findings: Vec<Finding>,
    /// The daemon's version.
    pub version: String,
    /// The version of SQLite.
    pub sqlite: String,
    /// The operating system and its version.
    pub system: String,
    /// Seconds since the daemon started.
    pub uptime_seconds: u64,
    /// The wall clock.
    pub clock: Clock,
    /// What is logged.
    pub log: String,
    /// Every setting as it was at the start, as TOML, without secrets.
    pub configuration: BTreeMap<String, String>,
    /// The directories that the daemon writes to.
    pub directories: Vec<Directory>,
    /// What the process may use.
    pub limits: ProcessLimits,
    /// The database.
    pub database: Database,
    /// The latest faults and failures of jobs, the newest first.
    pub last_errors: Vec<Event>,
    /// Hosts that refuse connections, are left alone, or have limits of their own.
    pub hosts: Vec<Host>,
    /// Jobs that wait, those that need a person first.
    pub waiting: Vec<WaitingJob>,
}

/// Something to do something about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finding {
    /// The stable kebab-case code.
    pub code: String,
    /// What was found.
    pub message: String,
    /// One sentence on what to do.
    pub advice: String,
}

/// The wall clock, and what it has said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DoctorClock))]
pub struct Clock {
    /// What it says now.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub now: Timestamp,
    /// What it said at the latest fault or failure.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_error_at: Option<Timestamp>,
}

/// A directory that the daemon writes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Directory {
    /// The setting that names it: `data_dir`, `download_dir` or `allowed_roots`.
    pub setting: String,
    /// The directory.
    pub path: String,
    /// The type of its file system, such as `ext4`.
    pub file_system: Option<String>,
    /// Bytes that are free for the daemon.
    pub free_bytes: Option<u64>,
    /// The size of the file system.
    pub total_bytes: Option<u64>,
    /// Bytes that are left free for others.
    pub reserved_bytes: u64,
    /// Why it cannot be used, if so.
    pub trouble: Option<String>,
}

/// What the process may use, and what it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProcessLimits {
    /// Files and connections that may be open.
    pub open_files_max: u64,
    /// Those that are.
    pub open_files: u64,
    /// Connections to servers that this leaves room for.
    pub connections_possible: u32,
    /// Connections to servers that the settings allow.
    pub connections_total: u32,
}

/// The database, as a check has found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Database {
    /// Its size.
    pub bytes: u64,
    /// The number of its newest migration.
    pub schema: u32,
    /// Jobs in it, deleted ones that are still there among them.
    pub jobs: u64,
    /// What is wrong with it; empty where nothing is.
    pub damage: Vec<String>,
    /// Operations that wait for it.
    pub waiting: u64,
}

/// A job that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitingJob {
    /// The job's number.
    pub id: u64,
    /// `queued` or `waiting`.
    pub state: JobState,
    /// What it waits for, if it is `waiting`.
    pub waiting_for: Option<WaitingFor>,
    /// Why, in one sentence.
    pub why: String,
}
