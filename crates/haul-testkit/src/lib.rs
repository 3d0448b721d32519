//! A hostile HTTP/1.1 file server, for tests only.
//!
//! It serves content that is computed by position, so a test knows every byte of a file of any size
//! without storing it, and it misbehaves on purpose: it lies about ranges, resets, stalls, trickles,
//! changes files between two requests. It speaks over raw sockets, because an HTTP library would
//! refuse to send what has to be provoked.
//!
//! ```
//! use haul_testkit::{Content, Do, File, Server, When};
//!
//! let server = Server::start();
//! let content = Content::seeded(7, 1 << 20);
//! server.add(
//!     "/a.iso",
//!     File::new(content)
//!         .etag("\"v1\"")
//!         .fault(When::First(2), Do::status(503))
//!         .fault(When::Region { range: 4096..8192, first: 3 }, Do::Trickle(50_000)),
//! );
//! assert!(server.url("/a.iso").starts_with("http://127.0.0.1:"));
//! ```
//!
//! | module | responsible for |
//! | --- | --- |
//! | `content` | the bytes |
//! | `file`, `fault` | what a test orders: shape and misbehaviour |
//! | `head` | reading a request |
//! | `answer`, `lies` | deciding the truthful answer, and bending it |
//! | `connection`, `body`, `course`, `pace` | sending it: framing, faults on the way, rates |
//! | `server`, `acceptor`, `entry`, `log` | the handle, its thread, and what it remembers |
//! | `port` | a port that nobody else is given |
//! | `proxy` | proxies on the way to servers |
//! | `corpus` | the inputs of the fuzz targets |

mod acceptor;
mod answer;
mod body;
mod connection;
mod content;
mod corpus;
mod course;
mod date;
mod entry;
mod fault;
mod file;
mod head;
mod lies;
mod log;
mod outbox;
mod pace;
mod port;
mod proxy;
mod server;

pub use content::Content;
pub use corpus::replay;
pub use fault::{Do, When};
pub use file::File;
pub use log::Request;
pub use pace::Line;
pub use port::Port;
pub use proxy::Proxy;
pub use server::Server;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a test has panicked while it held the lock: the data is only counters and maps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A length that is known to fit into memory.
fn as_len(bytes: u64) -> usize {
    usize::try_from(bytes).expect("the test kit runs on 64 bits")
}

/// A buffer length as a byte count.
fn as_bytes(len: usize) -> u64 {
    u64::try_from(len).expect("a length fits into 64 bits")
}
