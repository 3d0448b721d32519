//! Stories: inputs with times, and the effects that follow.
//!
//! The script is the shell of the story: it answers `SetEnd`, `Stop`, `Reset` and `Seal` at once, and whatever the
//! story does not say otherwise. Bytes flow only in [`Script::flow`].

mod demand;
mod faults;
mod floor;
mod hosts;
mod identity;
mod leases;
mod mirrors;
mod network;
mod priorities;
mod queues;
mod races;
mod ramp;
#[path = "../script/mod.rs"]
#[expect(dead_code, reason = "only the crash stories need all of the script")]
mod script;
mod seams;
mod servers;
mod steals;
mod trials;
mod users;
mod why;

use std::time::Duration;

use haul_core::{Fault, FaultKind, JobId, Policy};

const JOB: JobId = JobId(1);
const OTHER: JobId = JobId(2);

fn connections(most: u32) -> Policy {
    Policy { connections_per_job: most, ..Policy::default() }
}

fn busy(status: u16, retry_after: Option<u64>) -> Fault {
    Fault { retry_after: retry_after.map(Duration::from_secs), ..Fault::new(FaultKind::Status(status), "busy") }
}
