//! The HTTP API: parse, send one wish, await the answer, convert.

mod extract;
mod guard;
mod health;
mod hosts;
mod jobs;
mod patient;
mod problem;
mod serve;
mod settings;
mod tokens;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use haul_api::{ProblemCode, paths};
use haul_store::Store;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::Access;
use crate::driver::Handle;
use crate::submit::Roots;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use extract::job_id;
pub(crate) use guard::Allowed;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use hosts::check as check_host_patch;
pub(crate) use serve::{Peers, Server};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use settings::check as check_limits;

use problem::Refused;

/// What every handler may use.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) driver: Handle,
    pub(crate) store: Store,
    pub(crate) roots: Arc<Roots>,
    pub(crate) access: Arc<Access>,
    pub(crate) allowed: Arc<Allowed>,
    pub(crate) stop: CancellationToken,
    pub(crate) started: Instant,
}

/// All routes.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route(paths::JOBS, get(jobs::list).post(jobs::submit))
        .route(paths::JOB, get(jobs::show).patch(jobs::patch).delete(jobs::delete))
        .route(paths::JOB_CHUNKS, get(jobs::chunks))
        .route(paths::JOB_EVENTS, get(jobs::events))
        .route(paths::JOB_WHY, get(jobs::why))
        .route(paths::JOB_PAUSE, post(jobs::pause))
        .route(paths::JOB_RESUME, post(jobs::resume))
        .route(paths::JOB_RETRY, post(jobs::retry))
        .route(paths::JOB_CANCEL, post(jobs::cancel))
        .route(paths::JOB_VERIFY, post(jobs::verify))
        .route(paths::PAUSE_ALL, post(jobs::pause_all))
        .route(paths::RESUME_ALL, post(jobs::resume_all))
        .route(paths::HOSTS, get(hosts::list))
        .route(paths::HOST, get(hosts::show).patch(hosts::patch).delete(hosts::forget))
        .route(paths::STATS, get(health::stats))
        .route(paths::SETTINGS, get(settings::show).patch(settings::change))
        .route(paths::TOKENS, get(tokens::list).post(tokens::make))
        .route(paths::TOKEN, delete(tokens::revoke))
        .route(paths::PAIR, post(tokens::pair))
        .route(paths::PAIR_CODE, post(tokens::code))
        .route(paths::HEALTHZ, get(health::healthz))
        .route(paths::READYZ, get(health::readyz))
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
        .with_state(api)
}

async fn no_route() -> Refused {
    Refused::new(ProblemCode::NotFound, "there is no such route; `GET /v1/jobs` is a good start")
}

async fn no_method() -> Refused {
    Refused::new(ProblemCode::MethodNotAllowed, "this route exists, but not for this method")
}
