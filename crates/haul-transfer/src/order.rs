//! What goes to a worker and what comes back.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use haul_core::messages::{End, FetchKind, Timeouts};
use haul_core::{Fault, WorkerId};
use http::{HeaderMap, HeaderValue};
use tokio::sync::{mpsc, oneshot};
use url::Url;

use crate::{ClientKey, Cookies, DiskFile, Hints, Identity, Lane, Limiter, name};

/// The order to transfer one range.
pub struct Order {
    /// Whose reports these are.
    pub worker: WorkerId,
    /// What kind of request to make.
    pub kind: FetchKind,
    /// The mirror's URL as it was given: its origin is the only one that gets secrets.
    pub submitted: Url,
    /// Where an earlier answer came from; the request starts there if this is given.
    pub resolved: Option<Url>,
    /// The range: from [`Lane::at`] to its end mark.
    pub lane: Arc<Lane>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// So many bytes before the range are asked for, too. The file has them, and they are compared before anything is
    /// written.
    pub overlap: u64,
    /// So many bytes behind the range are asked for, too: see [`Lane::beyond`].
    pub reach: u64,
    /// What is known of the file so far; empty before the first answer.
    pub identity: Identity,
    /// The validators that other hosts have sent which the URL has led to.
    pub others: Vec<Identity>,
    /// Whether `If-Range` may be sent.
    pub if_range: bool,
    /// Whether caches on the way are to be asked for a fresh answer, as after a changed source.
    pub no_cache: bool,
    /// The user's own request headers, for a mirror that may get them. They and the referrer stay on the origin of
    /// `submitted`.
    pub headers: HeaderMap,
    /// The job's jar.
    pub cookies: Arc<Cookies>,
    /// Who we say we are; `None` means haul with its version.
    pub user_agent: Option<HeaderValue>,
    /// The page that linked to the file.
    pub referrer: Option<HeaderValue>,
    /// Who the user is to the server, where neither its URL nor a header says so. It stays on the origin of `submitted`.
    pub login: Option<Login>,
    /// What a POST carries; `None` makes it a GET. Where the answer to an earlier POST came from another place, that is
    /// asked by GET.
    pub post: Option<Bytes>,
    /// Which client carries it.
    pub client: ClientKey,
    /// The bandwidth limits that it obeys, each of them once.
    pub limiters: Vec<Limiter>,
    /// Where the bytes go.
    pub target: Target,
    /// Where the reports go. Once nobody listens any more the worker stops.
    pub reports: mpsc::Sender<Report>,
}

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Option<String>,
}

/// Without the secrets.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// Where the bytes go, or, for a comparison, are.
#[derive(Clone, Debug)]
pub enum Target {
    /// Into this file.
    Ready(Arc<DiskFile>),
    /// Into the file that comes back as the reply to [`Report::Opened`].
    Ask,
}

/// What a worker tells the driver.
#[derive(Debug)]
pub enum Report {
    /// The answer has begun and fits what was asked and what is known.
    Opened {
        /// Whose answer it is.
        worker: WorkerId,
        /// What the answer says.
        opened: Box<Opened>,
        /// Takes the file, or why there is none; `None` where the order brought its file. The body stays in the
        /// socket until then; dropping it stops the worker.
        reply: Option<oneshot::Sender<Result<Arc<DiskFile>, Fault>>>,
    },
    /// The worker is gone. Comes exactly once, and nothing comes after it.
    Ended {
        /// The worker.
        worker: WorkerId,
        /// The offset of the byte it would have written next.
        at: u64,
        /// Why it ended.
        end: End,
    },
}

/// What an answer says of its file.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The file's length, where the server tells it.
    pub total: Option<u64>,
    /// Whether the answer is a 206.
    pub partial: bool,
    /// Where it came from, after redirects, without userinfo.
    pub final_url: Url,
    /// What will recognize this version again.
    pub identity: Identity,
    /// `Content-Disposition`, as it was sent.
    pub content_disposition: Option<Vec<u8>>,
    /// Whether it is the answer to a POST.
    pub by_post: bool,
    /// Whether `Accept-Ranges: none` was sent.
    pub refuses_ranges: bool,
    /// What it says about other sources and the file's digest.
    pub hints: Hints,
}

impl Opened {
    /// A safe name for the file of a user who gave none.
    #[must_use]
    pub fn file_name(&self, submitted: &Url) -> String {
        name::choose(self.content_disposition.as_deref(), &self.final_url, submitted)
    }
}

impl Order {
    /// Whether the first request is a POST. Another place that an earlier one has led to is asked by GET.
    pub(crate) fn posts(&self) -> bool {
        self.post.is_some() && self.resolved.is_none()
    }

    /// The URL that the first request goes to.
    pub(crate) fn start(&self) -> &Url {
        self.resolved.as_ref().unwrap_or(&self.submitted)
    }

    /// What an answer of this host has to fit: its own validators, where it has sent some.
    pub(crate) fn known_at(&self, host: &str) -> Identity {
        let own = self.others.iter().find(|other| other.host.as_deref() == Some(host));
        match own.filter(|_| self.identity.host.as_deref() != Some(host)) {
            Some(own) => {
                Identity { total: self.identity.total, content_type: self.identity.content_type.clone(), ..own.clone() }
            }
            None => self.identity.clone(),
        }
    }
}

/// Without headers and URLs, which hold secrets.
impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order")
            .field("worker", &self.worker)
            .field("kind", &self.kind)
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}
