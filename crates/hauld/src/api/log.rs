//! What is logged, until the next start or until the configuration is read again.

use axum::Json;
use haul_api::{Log, ProblemCode, body, paths};

use super::document;
use super::extract;
use super::problem::Refused;
use crate::logging;

/// What is logged.
#[utoipa::path(get, path = paths::LOG_LEVEL, tag = "daemon",
    responses((status = 200, description = "The filter that holds now", body = Log), document::Look))]
pub(super) async fn show() -> Json<Log> {
    Json(Log { log: logging::current() })
}

/// Changes what is logged, at once, until the next start or until the configuration is read again.
#[utoipa::path(put, path = paths::LOG_LEVEL, tag = "daemon", request_body = Log,
    responses((status = 200, description = "The filter that holds now", body = Log), document::PutLog))]
pub(super) async fn change(extract::Json(bytes): extract::Json) -> Result<Json<Log>, Refused> {
    let wanted: Log = body::parse(&bytes)?;
    logging::change(&wanted.log)
        .map_err(|error| Refused::field(ProblemCode::InvalidValue, "log", format!("`log` {error}")))?;
    Ok(show().await)
}
