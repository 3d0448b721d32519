//! Disks that fail on purpose, for tests only.
//!
//! | module | what it does |
//! | --- | --- |
//! | `faulty` | lets single calls fail, or take their time |
//! | `power` | forgets what was not synced, when the power is cut |

mod faulty;
mod power;

pub use faulty::{Call, Failure, FaultyFs};
pub use power::PowerCut;
