//! The HTTP API: parse, send one wish, await the answer, convert.

mod content;
mod doctor;
mod document;
mod events;
mod extract;
mod guard;
mod health;
mod hosts;
mod jobs;
mod lists;
mod log;
mod metrics;
mod once;
mod page;
mod patient;
mod probe;
mod problem;
mod serve;
mod settings;
mod submits;
mod tokens;
mod versions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::any;
use bytes::Bytes;
use haul_api::{ProblemCode, paths};
use haul_store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::Access;
use crate::aria2::{self, Dialect};
use crate::config::Config;
use crate::driver::Handle;
use crate::metrics::Metrics;
use crate::pulse::Pulse;
use crate::submit::Roots;

pub(crate) use events::STREAMS_MAX;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use extract::job_id;
pub(crate) use extract::read_body;
pub(crate) use guard::{Allowed, Via, admitted, bearer, beyond_scope};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use hosts::check as check_host_patch;
pub(crate) use jobs::{driver_error, shown};
pub(crate) use once::KeysInUse;
pub(crate) use problem::Refused;
pub(crate) use serve::{Peers, Server};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use settings::check as check_limits;

pub(crate) use submits::{checked, hand_over};

/// What every handler may use.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) driver: Handle,
    pub(crate) store: Store,
    pub(crate) roots: Arc<Roots>,
    pub(crate) access: Arc<Access>,
    pub(crate) allowed: Arc<Allowed>,
    /// The settings as they were at the start.
    pub(crate) configuration: Arc<Config>,
    /// Requests go through a proxy unless their job says otherwise.
    pub(crate) has_proxy: bool,
    /// Where it listens on TCP, if it does.
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) stop: CancellationToken,
    pub(crate) started: Instant,
    /// How far jobs are, for those who watch.
    pub(crate) pulse: Pulse,
    /// Places for streams.
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) metrics: Metrics,
    /// Keys of submits that are under way.
    pub(crate) keys_in_use: KeysInUse,
    /// What there is beyond that for clients of aria2.
    pub(crate) dialect: Arc<Dialect>,
    /// The OpenAPI document, once there is a router to make it from.
    pub(crate) document: Bytes,
}

/// All routes, and the document that they make.
pub(crate) struct Routes {
    router: Router<Api>,
    document: Bytes,
}

impl Routes {
    /// Makes them, which takes as long as a quick start: it is done beside what waits for the disk.
    pub(crate) fn new() -> Self {
        let (router, document) = routes();
        Self { router, document: document::written(&document) }
    }
}

fn routes() -> (Router<Api>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(document::empty())
        .routes(routes!(lists::list, submits::submit))
        .routes(routes!(jobs::show, jobs::patch, jobs::delete))
        .routes(routes!(jobs::chunks))
        .routes(routes!(jobs::events))
        .routes(routes!(jobs::why))
        .routes(routes!(content::content))
        .routes(routes!(jobs::pause))
        .routes(routes!(jobs::resume))
        .routes(routes!(jobs::retry))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::verify))
        .routes(routes!(jobs::restore))
        .routes(routes!(probe::probe))
        .routes(routes!(lists::pause))
        .routes(routes!(lists::resume))
        .routes(routes!(lists::retry))
        .routes(routes!(lists::cancel))
        .routes(routes!(hosts::list))
        .routes(routes!(hosts::show, hosts::patch, hosts::forget))
        .routes(routes!(events::stream))
        .routes(routes!(health::stats))
        .routes(routes!(metrics::metrics))
        .routes(routes!(settings::show, settings::change))
        .routes(routes!(log::show, log::change))
        .routes(routes!(doctor::doctor))
        .routes(routes!(tokens::list, tokens::make))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::pair))
        .routes(routes!(tokens::code))
        .routes(routes!(tokens::prove))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(document::openapi))
        .routes(routes!(document::page))
        .routes(routes!(document::script))
        .routes(routes!(document::style))
        .routes(routes!(page::page))
        .routes(routes!(page::asset))
        .split_for_parts()
}

/// The router with everything around it.
pub(crate) fn router(mut api: Api, routes: Routes) -> Router {
    let Routes { router, document } = routes;
    api.document = document;
    // It has errors of its own, and stays outside of the document.
    let router = if api.configuration.aria2.enabled { router.route(paths::JSONRPC, any(aria2::serve)) } else { router };
    router
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(api.clone(), guard::guard))
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("a request handler panicked; this is a defect of haul");
            let detail = "the daemon failed to handle this request; its log says why";
            Refused::new(ProblemCode::Internal, detail).into_response()
        }))
        // Bodies are read with a limit and a deadline of our own.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(api.metrics.clone(), metrics::measure))
        .with_state(api)
}

async fn no_route() -> Refused {
    Refused::new(ProblemCode::NotFound, "there is no such route; `GET /v1/jobs` is a good start")
}

async fn no_method() -> Refused {
    Refused::new(ProblemCode::MethodNotAllowed, "this route exists, but not for this method")
}
