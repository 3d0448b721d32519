//! What can go wrong between a client and the daemon.

use std::error::Error;
use std::io;

use crate::client::Address;
use crate::problem::{Problem, ProblemCode};

/// Why a call brought no answer of the expected type.
///
/// No text holds the token, and no URL beyond the daemon's own address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nothing listens there.
    #[error("cannot reach the daemon at {address}; start it with `hauld`")]
    Unreachable {
        /// Where the daemon was looked for.
        address: Address,
        /// The failed connection.
        source: reqwest::Error,
    },
    /// The socket belongs to another user.
    #[error("not permitted to use the daemon at {address}; it serves the user that runs it")]
    Forbidden {
        /// Where the daemon was looked for.
        address: Address,
        /// The failed connection.
        source: reqwest::Error,
    },
    /// The daemon did not answer in time.
    #[error("the daemon at {address} did not answer in time; look at its log")]
    TimedOut {
        /// The daemon that was asked.
        address: Address,
        /// What timed out.
        source: reqwest::Error,
    },
    /// The same, of a request that has no time limit of its own.
    #[error("the daemon at {address} did not answer in time; look at its log")]
    Silent {
        /// The daemon that was asked.
        address: Address,
    },
    /// The connection broke before the answer was complete.
    #[error("lost the connection to the daemon at {address}; look at its log")]
    Interrupted {
        /// The daemon that was asked.
        address: Address,
        /// What broke.
        source: reqwest::Error,
    },
    /// The daemon refused.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The answer is none of ours.
    #[error("the answer from {address} (status {status}) is not haul's; does something else listen there?")]
    Unexpected {
        /// Who answered.
        address: Address,
        /// The status of the answer.
        status: u16,
        /// Why a body of a success could not be read.
        source: Option<serde_json::Error>,
    },
    /// The address has another scheme, no host, or says more than scheme, host and port.
    #[error("the address of the daemon must look like `http://127.0.0.1:4285`")]
    InvalidAddress,
    /// The token holds characters that no header can carry.
    #[error("the token has characters that no token has; copy it again from the token file")]
    InvalidToken,
    /// The HTTP client could not be made.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
}

impl ClientError {
    /// Whether the daemon may have done what it was asked although no answer has come, or is still at it.
    pub(crate) fn may_have_been_accepted(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Interrupted { .. } => true,
            Self::Problem(problem) => problem.known_code() == Some(ProblemCode::IdempotencyKeyInUse),
            Self::Unreachable { .. }
            | Self::Forbidden { .. }
            | Self::Silent { .. }
            | Self::Unexpected { .. }
            | Self::InvalidAddress
            | Self::InvalidToken
            | Self::Setup(_) => false,
        }
    }

    /// Whether a stream that was open before may be so again in a while.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Silent { .. } | Self::Interrupted { .. } => true,
            Self::Problem(problem) => problem.status >= 500,
            Self::Forbidden { .. }
            | Self::Unexpected { .. }
            | Self::InvalidAddress
            | Self::InvalidToken
            | Self::Setup(_) => false,
        }
    }

    /// Classifies a failed exchange. A body that breaks off counts as interrupted.
    pub(crate) fn from_exchange(error: reqwest::Error, address: &Address) -> Self {
        let address = address.clone();
        let source = error.without_url();
        if source.is_connect() && is_permission_denied(&source) {
            Self::Forbidden { address, source }
        } else if source.is_connect() {
            Self::Unreachable { address, source }
        } else if source.is_timeout() {
            Self::TimedOut { address, source }
        } else {
            Self::Interrupted { address, source }
        }
    }
}

fn is_permission_denied(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::PermissionDenied) {
            return true;
        }
        cause = error.source();
    }
    false
}
