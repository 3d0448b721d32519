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
//! | `address` | which addresses are public, checked in names and in literals |
//! | `client` | the only HTTP clients that transfer, one cache per thread |
//! | `network` | the way of requests: proxies, addresses, certificates of our own |
//! | `order` | what goes to a worker and what comes back |
//! | `worker` | one worker from its request to its last byte |
//! | `cookies` | what servers set on the way, and where it goes back to |
//! | `request`, `redirect` | the request's headers, and where a redirect may lead |
//! | `response`, `content_range`, `identity` | whether an answer fits, before its first byte is written |
//! | `hints`, `link`, `checksum` | what an answer says about mirrors, and the digest that a file must have |
//! | `body` | from the socket to the file |
//! | `route` | whether this machine has a network at all |
//! | `classify` | which [`FaultKind`](haul_core::FaultKind) an error is |
//! | `masked` | foreign text and URLs in a form that may be shown |
//! | `name`, `disposition` | file names from foreign bytes |
//! | `sidecar` | files that hold the checksums of others |
//! | `part`, `place` | part files, and the directories they lie in |
//! | `space` | what of a file system is promised to whom |
//! | `fs`, `disk_file` | the calls to the operating system behind all of these, and open files |
//! | `testing` | disks that fail, for tests |

pub mod address;
mod body;
mod checksum;
mod classify;
mod client;
mod content_range;
mod cookies;
mod disk_file;
pub mod disposition;
pub mod fs;
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
mod network;
mod order;
pub mod part;
pub mod place;
mod redirect;
mod request;
mod response;
mod route;
pub mod sidecar;
mod space;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod threads;
mod worker;

pub use checksum::{Checksum, ChecksumKind, ChecksumProblem};
pub use classify::disk_fault;
pub use client::{ClientKey, client};
pub use content_range::ContentRange;
pub use cookies::{Cookies, GivenCookie};
pub use disk_file::DiskFile;
pub use fs::{Disk, Fs};
pub use hints::{Hints, MirrorHint};
pub use identity::Identity;
pub use lane::{Lane, Span};
pub use limiter::Limiter;
pub use masked::{Escaped, Masked};
pub use name::{NameProblem, check_user_name, repair, try_repair};
pub use network::{ClientCert, IpVersion, Network, Proxy, is_proxy};
pub use order::{Login, Opened, Order, Report, Target};
pub use part::{OnConflict, PartFile, SealedFile, Stamp};
pub use place::Place;
pub use request::host_of;
pub use space::Disks;
pub use threads::Threads;
