//! The dialect of aria2: its JSON-RPC over HTTP and WebSockets, for front ends and extensions that were made for it. It does
//! what the HTTP API does, by the same wishes and with the same checks, and words it as aria2 does.
//!
//! | module | is responsible for |
//! | --- | --- |
//! | `transport`, `socket` | how messages come and go: POST, GET, preflights, WebSockets |
//! | `envelope` | messages: calls, batches, answers |
//! | `call` | who calls, what that scope permits, how much one message may ask for |
//! | `methods` | the methods: what each needs, and who carries it out |
//! | `params`, `fault` | parameters by their places, errors |
//! | `gid` | what jobs are called |
//! | `add`, `options` | new jobs, and what their options mean |
//! | `change` | what is done with jobs that are there |
//! | `tell`, `status` | what jobs are like |
//! | `shown` | the options of jobs and of the daemon as they are shown |
//! | `defaults` | what clients have said of all new jobs |
//! | `secret` | what stands for secrets where they would be shown |
//! | `notices` | what is told without being asked |

mod add;
mod call;
mod change;
mod defaults;
mod envelope;
mod fault;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzzing;
mod gid;
mod methods;
mod notices;
mod options;
mod params;
mod secret;
mod shown;
mod socket;
mod status;
mod tell;
mod transport;

use std::sync::Arc;

use haul_store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::token::random_hex;

use defaults::Defaults;
use socket::SOCKETS_MAX;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fuzzing::wanted;
pub(crate) use transport::serve;

/// What there is for clients of aria2 beyond the API.
pub(crate) struct Dialect {
    /// Tells one run from another.
    session: String,
    defaults: Defaults,
    /// Places for WebSockets.
    places: Arc<Semaphore>,
    sockets: TaskTracker,
}

impl Dialect {
    /// With what clients have said in earlier runs.
    pub(crate) async fn load(store: &Store) -> Self {
        Self {
            session: random_hex(20),
            defaults: Defaults::load(store).await,
            places: Arc::new(Semaphore::new(SOCKETS_MAX)),
            sockets: TaskTracker::new(),
        }
    }

    /// Completes when the daemon stops and all WebSockets have ended.
    pub(crate) async fn ended(&self, stop: &CancellationToken) {
        stop.cancelled().await;
        self.sockets.close();
        self.sockets.wait().await;
    }
}
