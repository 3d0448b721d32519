//! The accept loop: our own, because a daemon that lives for years needs deadlines on everything a peer can delay.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use haul_store::Scope;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::guard::Via;
use super::patient::Patient;
use crate::system;

/// Connections at a time (DESIGN.md section 6), half of them for each kind of socket, so that strangers on TCP leave the
/// owner's socket alone. One more waits in the kernel until one ends; none can stay for ever, because of the deadlines.
const CONNECTIONS_MAX: usize = 1024;

/// What is left of them however few files may be open. A guess.
const CONNECTIONS_MIN: usize = 8;

/// How long a peer may take to send the head of a request, the wait for it on a kept connection included (FAILURES.md,
/// F-API-04).
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// How long to wait after accepting failed, which it does when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long open requests may take to end when the daemon stops.
const DRAIN: Duration = Duration::from_millis(500);

/// Serves a router on all listeners until it is told to stop.
pub(crate) struct Server {
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Shared {
    router: Router,
    peers: Peers,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What the peers of the Unix socket may do without a token (FAILURES.md, F-SEC-07).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peers {
    /// What they may whom the socket's permissions let in beside the daemon's own user and root.
    pub(crate) others: Option<Scope>,
}

impl Peers {
    fn scope(self, uid: u32) -> Option<Scope> {
        let is_owner = uid == 0 || uid == rustix::process::geteuid().as_raw();
        if is_owner { Some(Scope::Admin) } else { self.others }
    }
}

impl Server {
    /// Starts serving. `stop` is also seen by handlers that wait for long.
    pub(crate) fn start(
        router: Router,
        tcp: Vec<TcpListener>,
        unix: Vec<UnixListener>,
        peers: Peers,
        stop: CancellationToken,
    ) -> Self {
        let tasks = TaskTracker::new();
        let most = (system::connections_possible() as usize).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
        let places = || Arc::new(Semaphore::new(most / 2));
        let shared = Arc::new(Shared { router, peers, stop: stop.clone(), tasks: tasks.clone() });
        let (for_tcp, for_unix) = (places(), places());
        for listener in tcp {
            tasks.spawn(accept_tcp(listener, Arc::clone(&shared), Arc::clone(&for_tcp)));
        }
        for listener in unix {
            tasks.spawn(accept_unix(listener, Arc::clone(&shared), Arc::clone(&for_unix)));
        }
        Self { stop, tasks }
    }

    /// Runs what belongs to the server, and ends by itself when that stops.
    pub(crate) fn attach(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Takes no new connection, lets open requests end, and waits for that, but not for long.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(DRAIN, self.tasks.wait()).await.is_err() {
            debug!("some API connections did not end in time");
        }
    }
}

async fn accept_tcp(listener: TcpListener, shared: Arc<Shared>, places: Arc<Semaphore>) {
    loop {
        let place = Arc::clone(&places).acquire_owned();
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = async { (place.await, listener.accept().await) } => accepted,
        };
        match accepted {
            (Ok(place), Ok((stream, _))) => {
                // Answers are small and wanted at once. Failing to say so is harmless.
                stream.set_nodelay(true).ok();
                shared.serve(stream, Via::Tcp, place);
            }
            (_, Err(error)) => pause(&error).await,
            (Err(_), Ok(_)) => return,
        }
    }
}

async fn accept_unix(listener: UnixListener, shared: Arc<Shared>, places: Arc<Semaphore>) {
    loop {
        let place = Arc::clone(&places).acquire_owned();
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = async { (place.await, listener.accept().await) } => accepted,
        };
        match accepted {
            (Ok(place), Ok((stream, _))) => {
                let uid = stream.peer_cred().map(|peer| peer.uid()).ok();
                let scope = uid.and_then(|uid| shared.peers.scope(uid));
                shared.serve(stream, Via::Unix(scope), place);
            }
            (_, Err(error)) => pause(&error).await,
            (Err(_), Ok(_)) => return,
        }
    }
}

async fn pause(error: &std::io::Error) {
    warn!(%error, "cannot accept an API connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

impl Shared {
    fn serve<S>(self: &Arc<Self>, stream: S, via: Via, place: tokio::sync::OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(via);
                let router = shared.router.clone();
                async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_DEADLINE)
                .max_buf_size(64 << 10)
                .serve_connection(TokioIo::new(Patient::new(stream)), service)
                // A WebSocket takes its connection along, and has a place of its own.
                .with_upgrades();
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = shared.stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                debug!(%error, "an API connection broke");
            }
            drop(place);
        });
    }
}
