//! Refusals as answers.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use haul_api::{PROBLEM_MEDIA_TYPE, Problem, ProblemCode};
use haul_core::Refusal;
use haul_store::StoreError;
use tracing::error;

/// A [`Problem`] on its way out.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Problem);

impl Refused {
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self(Problem::new(code, detail))
    }

    pub(crate) fn field(code: ProblemCode, field: &str, detail: impl Into<String>) -> Self {
        Self(Problem::new(code, detail).with_field(field))
    }

    pub(crate) fn unknown_job(id: u64) -> Self {
        let detail = format!("no job has the id {id}; `GET /v1/jobs` lists all of them");
        Self(Problem::new(ProblemCode::JobNotFound, detail).with_instance(haul_api::paths::job(id)))
    }

    pub(crate) fn unknown_host(name: &str) -> Self {
        let detail = format!("nothing is known of `{name}`; `GET /v1/hosts` lists the hosts that are known");
        Self(Problem::new(ProblemCode::HostNotFound, detail).with_instance(haul_api::paths::host(name)))
    }

    pub(crate) fn shutting_down() -> Self {
        Self::new(ProblemCode::ShuttingDown, "the daemon is stopping; try again when it has started")
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let body = serde_json::to_vec(&self.0).expect("a problem is plain JSON");
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_MEDIA_TYPE)], body).into_response();
        match status {
            StatusCode::UNAUTHORIZED => {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            _ => {}
        }
        response
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        if let StoreError::TooManyJobs { .. } = error {
            return Self::new(
                ProblemCode::TooManyJobs,
                format!("{error}; wait until some have ended; nothing was accepted"),
            );
        }
        error!(%error, "the database failed");
        Self::new(
            ProblemCode::StorageUnavailable,
            "the database cannot be used now; nothing was changed. The daemon's log says why",
        )
    }
}

/// The refusal of an action on job `id`.
pub(crate) fn refused(id: u64, refusal: Refusal) -> Refused {
    match refusal {
        Refusal::UnknownJob => Refused::unknown_job(id),
        other @ (Refusal::JobEnded(_) | Refusal::Verifying | _) => {
            let problem = Problem::new(ProblemCode::ConflictState, other.to_string());
            Refused(problem.with_instance(haul_api::paths::job(id)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_api_13_who_stops_or_has_no_database_says_when_to_come_back() {
        for (refused, status) in [(Refused::shutting_down(), 503), (StoreError::Full.into(), 507)] {
            let response = refused.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[header::RETRY_AFTER], "2");
            assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_MEDIA_TYPE);
        }
    }
}
