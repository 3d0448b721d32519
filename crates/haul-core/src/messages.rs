//! What goes into the engine and what comes out of it.
//!
//! Commands are wishes, imperative; events are facts, in the past tense; effects are orders to the shell. Every
//! [`Effect::Fetch`] is answered by exactly one [`Event::WorkerEnded`], whatever happened, and every
//! [`Effect::SetEnd`] at once by one [`Event::EndSet`], but where the worker has ended before the order was carried out.

mod command;
mod effect;
mod event;
mod note;
mod view;
mod why;

pub use command::{Caps, Command, JobSpec, OnChange, QueueRule, Source, Tuning, place_between, place_by_id};
pub use effect::{Alarm, Effect, Fetch, FetchKind, Outcome, StopReason, Timeouts};
pub use event::{End, Event};
pub use note::{Note, Suspect};
pub use view::{HostMemory, JobView, MirrorState, MirrorView};
pub use why::Why;
