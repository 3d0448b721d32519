//! The OpenAPI document: what the handlers say of themselves, what every route can refuse with, and the page that shows it.
//!
//! The document is the same for every daemon of a version and tells nothing of this one, and a browser that opens the page
//! cannot send a token; so both want none, like the web page with its assets.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use haul_api::{
    Event, Files, JobProgress, LabelLimits, Lagged, PROBLEM_MEDIA_TYPE, Problem, ProblemCode, Progress, SortBy, paths,
};
use serde_json::json;
use utoipa::openapi::info::LicenseBuilder;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response as Documented,
    ResponseBuilder,
};

use super::Api;
use super::lists::Direction;

/// What every route can refuse with.
const ALWAYS: &[ProblemCode] = &[
    ProblemCode::OriginNotAllowed,
    ProblemCode::HostNotAllowed,
    ProblemCode::InvalidValue,
    ProblemCode::Internal,
    ProblemCode::ShuttingDown,
];

/// What routes that want a token can refuse with beyond that.
const GUARDED: &[ProblemCode] =
    &[ProblemCode::Unauthorized, ProblemCode::ScopeNotAllowed, ProblemCode::StorageUnavailable];

/// What routes that take JSON can refuse with beyond that.
const BODY: &[ProblemCode] = &[
    ProblemCode::MalformedJson,
    ProblemCode::RequestTimeout,
    ProblemCode::BodyTooLarge,
    ProblemCode::UnsupportedMediaType,
    ProblemCode::UnknownField,
];

/// Makes types that tell the document what a route can refuse with: groups of codes, and then single ones.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: [$($group:ident)*] $($code:ident)*;)+) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Documented>> {
                refusals(&[ALWAYS, $($group,)* &[$(ProblemCode::$code),*]].concat())
            }
        }
    )+};
}

refusals! {
    /// Of routes that want no token.
    Open: [];
    /// Of the files of the web page.
    Asset: [] NotFound;
    /// Of routes that only show something.
    Look: [GUARDED];
    /// Of lists.
    Page: [GUARDED] UnknownField;
    /// Of routes that show something of one job.
    OneJob: [GUARDED] JobNotFound;
    /// Of the bytes of a job's file.
    Content: [GUARDED] JobNotFound ConflictState RangeNotSatisfiable;
    /// Of routes that show something of one job, with a query.
    OneJobQuery: [GUARDED] JobNotFound UnknownField;
    /// Of streams.
    Stream: [GUARDED] JobNotFound UnknownField TooManyStreams;
    /// Of submitting.
    Submit: [GUARDED BODY] PathOutsideRoots InvalidUrl InvalidMetalink InvalidFilename HeaderNotAllowed TargetNotWritable
        IdempotencyKeyInUse IdempotencyKeyReused InvalidCurl Duplicate TargetAddressForbidden TooManyJobs;
    /// Of probing.
    Probing: [GUARDED BODY] PathOutsideRoots InvalidUrl InvalidFilename HeaderNotAllowed TargetNotWritable ProbeFailed;
    /// Of actions on one job.
    Act: [GUARDED] JobNotFound ConflictState BodyTooLarge;
    /// Of taking a deletion back.
    Restore: [GUARDED] JobNotFound BodyTooLarge;
    /// Of actions on many jobs.
    ActAll: [GUARDED BODY];
    /// Of changing a job.
    Patch: [GUARDED BODY] JobNotFound ConflictState SourceChanged LinkNotProven InvalidUrl InvalidFilename
        HeaderNotAllowed TargetBusy VersionChanged TargetAddressForbidden;
    /// Of forgetting a job.
    Delete: [GUARDED] JobNotFound UnknownField VersionChanged;
    /// Of verifying a job.
    Verify: [GUARDED BODY] JobNotFound ConflictState;
    /// Of routes that show something of one host.
    OneHost: [GUARDED] HostNotFound;
    /// Of changing a host.
    PatchHost: [GUARDED BODY] HostNotFound;
    /// Of making tokens.
    MakeToken: [GUARDED BODY] ConflictState;
    /// Of revoking a token.
    RevokeToken: [GUARDED] TokenNotFound;
    /// Of making a code.
    MakeCode: [GUARDED BODY];
    /// Of trading a code.
    Pairing: [BODY] PairingRefused TooManyAttempts ConflictState StorageUnavailable;
    /// Of proving.
    Proving: [BODY] PairingRefused TokenNotFound;
    /// Of changing settings.
    PatchSettings: [GUARDED BODY];
    /// Of changing what is logged.
    PutLog: [GUARDED BODY];
}

/// The answers by which these codes are told, one for each status.
fn refusals(codes: &[ProblemCode]) -> BTreeMap<String, RefOr<Documented>> {
    let mut by_status: BTreeMap<u16, Vec<ProblemCode>> = BTreeMap::new();
    for code in codes {
        let known = by_status.entry(code.status()).or_default();
        if !known.contains(code) {
            known.push(*code);
        }
    }
    by_status.into_iter().map(|(status, codes)| (status.to_string(), refusal(&codes).into())).collect()
}

fn refusal(codes: &[ProblemCode]) -> Documented {
    let description: Vec<String> = codes.iter().map(|code| format!("`{code}`: {}", code.title())).collect();
    let words = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .enum_values(Some(codes.iter().map(|code| code.as_str())));
    let problem = AllOfBuilder::new()
        .item(Ref::from_schema_name("Problem"))
        .item(ObjectBuilder::new().property("code", words).required("code"));
    let content = ContentBuilder::new().schema(Some(problem)).example(Some(json!(Problem::new(codes[0], "..."))));
    ResponseBuilder::new().description(description.join("; ")).content(PROBLEM_MEDIA_TYPE, content.build()).build()
}

/// The document before any route is in it.
pub(super) fn empty() -> OpenApi {
    let info = InfoBuilder::new()
        .title("haul")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(include_str!("document.md")))
        .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build()));
    let token = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let components = ComponentsBuilder::new()
        .schema_from::<Problem>()
        // Parameters, and schemas that are written by hand, bring along none of those that they name.
        .schema_from::<Files>()
        .schema_from::<LabelLimits>()
        .schema_from::<SortBy>()
        .schema_from::<Direction>()
        // What a stream tells.
        .schema_from::<Event>()
        .schema_from::<Progress>()
        .schema_from::<JobProgress>()
        .schema_from::<Lagged>()
        .security_scheme("token", token);
    let tags = [
        ("jobs", "Submitting, listing, changing and watching jobs"),
        ("hosts", "What is known of servers, and what is wished of them"),
        ("tokens", "Tokens, and pairing"),
        ("daemon", "Settings, totals, readiness, and this document"),
    ];
    OpenApiBuilder::new()
        .info(info.build())
        .components(Some(components.build()))
        .tags(Some(tags.map(|(name, text)| TagBuilder::new().name(name).description(Some(text)).build())))
        .security(Some([SecurityRequirement::new("token", Vec::<String>::new())]))
        .build()
}

/// The document as it is sent.
pub(super) fn written(document: &OpenApi) -> bytes::Bytes {
    serde_json::to_vec(document).expect("the document is plain JSON").into()
}

/// This document.
#[utoipa::path(get, path = paths::OPENAPI, tag = "daemon", security(()), responses(
    (status = 200, description = "This document", content_type = "application/json", body = serde_json::Value), Open))]
pub(super) async fn openapi(State(api): State<Api>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], api.document.clone()).into_response()
}

/// A page that shows this document.
#[utoipa::path(get, path = paths::DOCS, tag = "daemon", security(()), responses(
    (status = 200, description = "The page", content_type = "text/html", body = String), Open))]
pub(super) async fn page() -> Response {
    asset("text/html; charset=utf-8", include_str!("../../assets/docs/page.html"))
}

/// The page's script.
#[utoipa::path(get, path = paths::DOCS_SCRIPT, tag = "daemon", security(()), responses(
    (status = 200, description = "The script", content_type = "text/javascript", body = String), Open))]
pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../../assets/docs/page.js"))
}

/// The page's style sheet.
#[utoipa::path(get, path = paths::DOCS_STYLE, tag = "daemon", security(()), responses(
    (status = 200, description = "The style sheet", content_type = "text/css", body = String), Open))]
pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("../../assets/docs/page.css"))
}

/// What the page may load: its own files and the document.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                           form-action 'none'; frame-ancestors 'none'";

fn asset(media_type: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, media_type), (header::CONTENT_SECURITY_POLICY, PAGE_POLICY)], text).into_response()
}
