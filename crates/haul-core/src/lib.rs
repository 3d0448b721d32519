//! The brain of haul: decides which range is fetched, from where, when, how often, and when to give up.
//!
//! Everything here is pure and deterministic. Inputs carry the time; outputs are effects for a shell to carry out.
//! Nothing here reads a clock, opens a file or a socket, or starts a thread, so all of it is proved in a simulator.

pub mod bucket;
pub mod delivery;
mod engine;
pub mod fault;
mod ids;
pub mod ledger;
pub mod lifecycle;
pub mod messages;
pub mod meter;
pub mod plan;
mod policy;
mod range;
mod rng;
mod time;
pub mod window;

pub use engine::Engine;
pub use fault::{Class, Fault, FaultKind};
pub use ids::{JobId, MirrorIndex, QueueId, WorkerId};
pub use ledger::{Chunk, ChunkState, Ledger};
pub use lifecycle::{Action, Changed, Intent, JobState, Lifecycle, Phase, Refusal, WaitingFor};
pub use policy::Policy;
pub use range::ByteRange;
pub use rng::Rng;
pub use time::Time;
