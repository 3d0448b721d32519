//! Moves one range from one URL to its place in one file. Knows no retries and no choices.
//!
//! The driver hands an [`Order`] to [`Threads::start`]. A worker on the thread of that file system makes the
//! request, checks the answer against everything that is known, and writes the body with positional writes that
//! never pass the end mark of its [`Lane`]. It answers with [`Report::Opened`] once the answer fits, and with
//! exactly one [`Report::Ended`] whatever happened.
//!
//! | module | is responsible for |
//! | --- | --- |
//! | `lane` | what driver and worker share of one range: next offset, end mark, stop |
//! | `limiter` | bandwidth limits |
//! | `threads` | the OS threads, their runtimes, and that every worker reports its end |
//! | `client` | the only HTTP clients that transfer, one cache per thread |
//! | `order` | what goes to a worker and what comes back |
//! | `worker` | one worker from its request to its last byte |
//! | `request`, `redirect` | the request's headers, and where a redirect may lead |
//! | `response`, `content_range`, `identity` | whether an answer fits, before its first byte is written |
//! | `hints`, `link`, `checksum` | what an answer says about mirrors, and the digest that a file must have |
//! | `body` | from the socket to the file |
//! | `classify` | which [`FaultKind`](haul_core::FaultKind) an error is |
//! | `masked` | foreign text and URLs in a form that may be shown |
//! | `name`, `disposition` | file names from foreign bytes |
//! | `part`, `place` | part files, and the directories they lie in |

mod body;
mod checksum;
mod classify;
mod client;
mod content_range;
pub mod disposition;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod hints;
mod identity;
mod lane;
mod limiter;
mod link;
mod masked;
pub mod name;
mod order;
pub mod part;
pub mod place;
mod redirect;
mod request;
mod response;
mod threads;
mod worker;

pub use checksum::{Checksum, ChecksumKind, ChecksumProblem};
pub use classify::disk_fault;
pub use client::ClientKey;
pub use content_range::ContentRange;
pub use hints::{Hints, MirrorHint};
pub use identity::Identity;
pub use lane::Lane;
pub use limiter::Limiter;
pub use masked::{Escaped, Masked};
pub use name::{NameProblem, check_user_name, repair, try_repair};
pub use order::{Opened, Order, Report, Target};
pub use part::{OnConflict, PartFile};
pub use place::Place;
pub use request::host_of;
pub use threads::Threads;
