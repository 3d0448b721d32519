//! `GET /metrics`, and the measuring of every request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use haul_api::{ProblemCode, paths};

use super::Api;
use super::document;
use super::health::jobs_by_state;
use super::jobs::driver_error;
use super::problem::Refused;
use crate::metrics::{MEDIA_TYPE, Metrics, Now};

/// What the daemon counts and measures, for Prometheus.
#[utoipa::path(get, path = paths::METRICS, tag = "daemon", responses(
    (status = 200, description = "Metrics as OpenMetrics text", content_type = "application/openmetrics-text", body = String),
    document::Look))]
pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, Refused> {
    let now = Now {
        jobs: jobs_by_state(&api).await?.into_iter().collect(),
        totals: api.driver.totals().await.map_err(|e| driver_error(None, e))?,
        store_waiting: api.store.waiting(),
    };
    let text = api.metrics.written(&now);
    let text = text.map_err(|_| Refused::new(ProblemCode::Internal, "the metrics cannot be written as text"))?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}

/// The middleware around everything: how long an answer took to begin.
pub(super) async fn measure(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let begun = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    metrics.answered(&method, route, response.status(), begun.elapsed());
    response
}

/// Stands for every path that no route fits.
const NO_ROUTE: &str = "none";
