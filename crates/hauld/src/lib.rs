//! The daemon as a library: wires core, store and transfer together, and owns every task and thread.
//!
//! | module | is responsible for |
//! | --- | --- |
//! | [`config`] | settings and their layers |
//! | `arguments` | the command line |
//! | `daemon` | start and stop on one page |
//! | `driver` | the task that owns the engine and carries out what it decides |
//! | `submit` | whether a job can be accepted |
//! | `options`, `netrc` | how requests go: proxies, addresses, cookies, bodies, passwords |
//! | `notify` | webhooks and hooks: who else is told of what happens |
//! | `watch` | files that are dropped into a directory |
//! | `pulse` | how far jobs are, for all who watch |
//! | `api` | HTTP: parse, one wish, await, convert |
//! | `aria2` | the same for clients that were made for aria2 |
//! | [`metalink`] | what a Metalink says about files, their URLs and digests |
//! | [`curl`] | what a command line of curl asks for |
//! | [`input`] | what a list of URLs asks for |
//! | [`database`] | checking and copying a database without being the daemon |
//! | `doctor` | what somebody should do something about |
//! | `convert` | rows and views as JSON |
//! | `inherited` | sockets that systemd has opened |
//! | `token`, `system`, [`logging`], `metrics` | the API token, the operating system, log lines, metrics |

mod access;
mod api;
mod arguments;
mod aria2;
pub mod config;
mod convert;
pub mod curl;
mod daemon;
pub mod database;
mod doctor;
mod driver;
mod embedded;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod inherited;
pub mod input;
pub mod logging;
pub mod metalink;
mod metrics;
mod netrc;
mod notify;
mod options;
mod pulse;
mod spread;
mod submit;
mod system;
mod token;
mod watch;

pub use arguments::Arguments;
pub use daemon::{Breakdown, Daemon, StartError};
pub use embedded::Embedded;
pub use inherited::Inherited;

/// Installs what must be there before the first TLS connection; call it first thing in `main`.
pub fn install_crypto() {
    // An error only says that it is there already.
    rustls::crypto::ring::default_provider().install_default().ok();
}

/// Prepares the process for many connections and files.
pub fn prepare_process() {
    system::raise_file_limit();
}

/// Tells the service manager that the daemon is ready.
pub fn tell_ready(status: &str) {
    system::notify(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status(status)]);
}
