//! Refusals as RFC 9457 problem bodies, and the one table of their stable codes.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// The media type of every error answer.
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// A refusal: a code for programs, a detail for people.
///
/// `type` and `title` follow from the code and are written by the serializer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub struct Problem {
    /// The HTTP status of the answer.
    pub status: u16,
    /// The stable kebab-case code. A newer daemon may send one that [`ProblemCode`] lacks.
    pub code: Cow<'static, str>,
    /// What happened here and what helps. Never holds a header value, a token or a query.
    pub detail: String,
    /// The field or query parameter to blame.
    pub field: Option<String>,
    /// The path of the resource that the request was about.
    pub instance: Option<String>,
}

impl Problem {
    /// Makes a problem with the status that belongs to the code.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            status: code.status(),
            code: Cow::Borrowed(code.as_str()),
            detail: detail.into(),
            field: None,
            instance: None,
        }
    }

    /// Names the field to blame.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Names the resource that the request was about, by its path without a query.
    #[must_use]
    pub fn with_instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// The code as a type, unless it comes from a newer daemon.
    pub fn known_code(&self) -> Option<ProblemCode> {
        ProblemCode::ALL.iter().copied().find(|code| code.as_str() == self.code)
    }

    /// The short text that is the same for every problem of this code.
    pub fn title(&self) -> &str {
        match self.known_code() {
            Some(code) => code.title(),
            None => &self.code,
        }
    }

    /// The URN of the `type` member.
    pub fn type_urn(&self) -> String {
        format!("urn:haul:problem:{}", self.code)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Problem {}

/// The members in the order in which they are written.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Problem))]
pub(crate) struct Wire {
    #[serde(rename = "type", default)]
    #[cfg_attr(feature = "openapi", schema(required = true, example = "urn:haul:problem:invalid-url"))]
    type_urn: String,
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = true, example = "The URL cannot be used"))]
    title: String,
    /// The status of the answer.
    status: u16,
    /// What happened here and what helps.
    detail: String,
    /// The stable code.
    code: String,
    /// The field or query parameter to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    field: Option<String>,
    /// The path of the resource that the request was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    instance: Option<String>,
}

impl From<Wire> for Problem {
    fn from(wire: Wire) -> Self {
        Self {
            status: wire.status,
            code: Cow::Owned(wire.code),
            detail: wire.detail,
            field: wire.field,
            instance: wire.instance,
        }
    }
}

impl From<Problem> for Wire {
    fn from(problem: Problem) -> Self {
        Self {
            type_urn: problem.type_urn(),
            title: problem.title().to_owned(),
            status: problem.status,
            code: problem.code.into_owned(),
            detail: problem.detail,
            field: problem.field,
            instance: problem.instance,
        }
    }
}

/// Makes the enum, the list of all codes and their rows from one table.
macro_rules! problem_codes {
    ($($variant:ident $code:literal $status:literal $title:literal,)+) => {
        /// Why a request was refused, as a stable code with its status and title.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ProblemCode {
            $(#[doc = concat!("`", $code, "` (", $status, "): ", $title, ".")] $variant,)+
        }

        impl ProblemCode {
            /// Every code once.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            const fn row(self) -> (&'static str, u16, &'static str) {
                match self {
                    $(Self::$variant => ($code, $status, $title),)+
                }
            }
        }
    };
}

problem_codes! {
    MalformedJson "malformed-json" 400 "The body is not JSON",
    Unauthorized "unauthorized" 401 "A valid token is needed",
    OriginNotAllowed "origin-not-allowed" 403 "This origin may not use the API",
    ScopeNotAllowed "scope-not-allowed" 403 "The token's scope does not permit this",
    PathOutsideRoots "path-outside-roots" 403 "The path is outside the allowed roots",
    TargetAddressForbidden "target-address-forbidden" 403 "This address may not be reached",
    JobNotFound "job-not-found" 404 "No job has this id",
    TokenNotFound "token-not-found" 404 "No token has this id",
    HostNotFound "host-not-found" 404 "Nothing is known of this host",
    NotFound "not-found" 404 "No route has this path",
    PairingRefused "pairing-refused" 403 "The code cannot be traded",
    MethodNotAllowed "method-not-allowed" 405 "The route does not know this method",
    RequestTimeout "request-timeout" 408 "The request took too long to arrive",
    ConflictState "conflict-state" 409 "The job's state does not permit this",
    IdempotencyKeyInUse "idempotency-key-in-use" 409 "A request with this key is under way",
    TargetBusy "target-busy" 409 "Another job writes to this file",
    SourceChanged "source-changed" 409 "The source is not the same file",
    Duplicate "duplicate" 409 "The same was submitted before",
    LinkNotProven "link-not-proven" 409 "Whether the new URL has the same file could not be found out",
    VersionChanged "version-changed" 412 "The job is not in the version that was expected",
    BodyTooLarge "body-too-large" 413 "The body is over this route's limit",
    UnsupportedMediaType "unsupported-media-type" 415 "The body must be JSON",
    RangeNotSatisfiable "range-not-satisfiable" 416 "The file does not have these bytes",
    HostNotAllowed "host-not-allowed" 421 "The API does not answer to this host name",
    IdempotencyKeyReused "idempotency-key-reused" 422 "The key was used for another request",
    InvalidUrl "invalid-url" 422 "The URL cannot be used",
    InvalidMetalink "invalid-metalink" 422 "The Metalink cannot be read",
    InvalidCurl "invalid-curl" 422 "The command line of curl cannot be read",
    ProbeFailed "probe-failed" 422 "The server does not give the file",
    InvalidFilename "invalid-filename" 422 "The file name cannot be used",
    HeaderNotAllowed "header-not-allowed" 422 "The header cannot be set",
    TargetNotWritable "target-not-writable" 422 "The target cannot be written",
    UnknownField "unknown-field" 422 "The request has a field that is not known",
    InvalidValue "invalid-value" 422 "A field has a value that cannot be used",
    TooManyJobs "too-many-jobs" 429 "There are too many jobs",
    TooManyAttempts "too-many-attempts" 429 "There were too many attempts",
    Internal "internal" 503 "The daemon failed to handle this request",
    ShuttingDown "shutting-down" 503 "The daemon is stopping",
    TooManyStreams "too-many-streams" 503 "There are too many open streams",
    StorageUnavailable "storage-unavailable" 507 "The database cannot be written",
}

impl ProblemCode {
    /// The code on the wire.
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status that the code is always sent with.
    pub const fn status(self) -> u16 {
        self.row().1
    }

    /// The short text that is the same for every problem of this code.
    pub const fn title(self) -> &'static str {
        self.row().2
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ProblemCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn codes_are_unique_and_kebab_case() {
        let codes: BTreeSet<_> = ProblemCode::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(codes.len(), ProblemCode::ALL.len());
        for code in codes {
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
        }
    }

    #[test]
    fn titles_are_unique_and_no_status_is_500() {
        let titles: BTreeSet<_> = ProblemCode::ALL.iter().map(|c| c.title()).collect();
        assert_eq!(titles.len(), ProblemCode::ALL.len());
        for code in ProblemCode::ALL {
            let status = code.status();
            assert!((400..600).contains(&status) && status != 500, "{code}");
        }
    }

    #[test]
    fn a_problem_has_the_shape_of_rfc_9457() {
        let problem = Problem::new(ProblemCode::UnknownField, "no field is called `uri`")
            .with_field("uri")
            .with_instance("/v1/jobs");
        assert_eq!(
            serde_json::to_value(&problem).expect("a problem is plain data"),
            json!({
                "type": "urn:haul:problem:unknown-field",
                "title": "The request has a field that is not known",
                "status": 422,
                "detail": "no field is called `uri`",
                "code": "unknown-field",
                "field": "uri",
                "instance": "/v1/jobs",
            })
        );
    }

    #[test]
    fn members_that_say_nothing_are_left_out() {
        let problem = Problem::new(ProblemCode::JobNotFound, "no job has the id 7");
        let json = serde_json::to_string(&problem).expect("a problem is plain data");
        assert!(!json.contains("field") && !json.contains("instance"), "{json}");
        let back: Problem = serde_json::from_str(&json).expect("it was just written");
        assert_eq!(back, problem);
    }

    #[test]
    fn a_code_of_a_newer_daemon_is_kept() {
        let json = json!({"status": 418, "code": "teapot", "detail": "short and stout"});
        let problem: Problem = serde_json::from_value(json).expect("code, status, detail suffice");
        assert_eq!(problem.known_code(), None);
        assert_eq!(problem.title(), "teapot");
        assert_eq!(problem.to_string(), "short and stout");
    }
}
