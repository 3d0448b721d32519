//! What a token of scope `submit` may ask for.

use haul_api::{OnConflict, PatchJob, Problem, ProblemCode, SubmitJob};
use haul_store::{Maker, NewJob, Scope};
use haul_transfer::address;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use crate::access::Caller;

/// The fields of a job that such a token may set. A new one is closed to it until it stands here.
const FIELDS: [&str; 24] = [
    "url",
    "mirrors",
    "dir",
    "filename",
    "headers",
    "cookies",
    "referrer",
    "user_agent",
    "checksum",
    "checksum_url",
    "pieces",
    "size",
    "method",
    "body",
    "page_url",
    "connections",
    "bandwidth_limit",
    "priority",
    "position",
    "label",
    "start",
    "on_conflict",
    "on_duplicate",
    "on_change",
];

/// The fields of a change.
const PATCH_FIELDS: [&str; 2] = ["url", "headers"];

/// Refuses what the caller may not ask for, and notes whose job it is.
///
/// # Errors
///
/// `scope-not-allowed` or `target-address-forbidden`, with the field where one is to blame.
pub(crate) fn confine(caller: Caller, wanted: &SubmitJob, job: NewJob, has_proxy: bool) -> Result<NewJob, Problem> {
    let Some(token) = caller.token else { return Ok(job) };
    if caller.scope != Scope::Submit {
        return Ok(NewJob { maker: Some(Maker { token, public_only: false }), ..job });
    }
    only(&FIELDS, wanted)?;
    if wanted.on_conflict == Some(OnConflict::Overwrite) {
        return Err(not_allowed("on_conflict"));
    }
    direct(has_proxy)?;
    for (field, url) in wanted.urls() {
        public(&field, url)?;
    }
    if let Some(url) = &wanted.checksum_url {
        public("checksum_url", url)?;
    }
    Ok(NewJob { maker: Some(Maker { token, public_only: true }), ..job })
}

/// The same for a change of a job.
///
/// # Errors
///
/// As [`confine`].
pub(crate) fn confine_patch(caller: Caller, wanted: &PatchJob, has_proxy: bool) -> Result<(), Problem> {
    if caller.scope != Scope::Submit {
        return Ok(());
    }
    only(&PATCH_FIELDS, wanted)?;
    let Some(url) = wanted.url.as_deref() else { return Ok(()) };
    direct(has_proxy)?;
    public("url", url)
}

/// Refuses fields that are there and are none of these. One that asks for nothing is as good as absent.
fn only(fields: &[&str], wanted: &impl Serialize) -> Result<(), Problem> {
    let wire = serde_json::to_value(wanted).unwrap_or_default();
    let there = wire.as_object().into_iter().flatten().filter(|(_, value)| **value != Value::Bool(false));
    match there.map(|(field, _)| field).find(|field| !fields.contains(&field.as_str())) {
        Some(field) => Err(not_allowed(field)),
        None => Ok(()),
    }
}

fn not_allowed(field: &str) -> Problem {
    let detail = format!("a token of scope `submit` may not set `{field}` to this; use one of scope `admin`");
    Problem::new(ProblemCode::ScopeNotAllowed, detail).with_field(field)
}

/// Refuses what would go through a proxy: whom that reaches cannot be told.
fn direct(has_proxy: bool) -> Result<(), Problem> {
    if !has_proxy {
        return Ok(());
    }
    let detail = "a token of scope `submit` may reach public addresses only, and the daemon's setting `proxy` names a proxy, \
                  of which nobody can tell whom it reaches; use a token of scope `admin`, or take that setting away";
    Err(Problem::new(ProblemCode::TargetAddressForbidden, detail))
}

/// Refuses a URL with an address that is not public in it. A name is looked at when it is resolved.
fn public(field: &str, text: &str) -> Result<(), Problem> {
    let address = Url::parse(text.trim()).ok().as_ref().and_then(address::literal);
    if address.is_none_or(address::is_public) {
        return Ok(());
    }
    let detail = "a token of scope `submit` may reach public addresses only; use one of scope `admin`";
    Err(Problem::new(ProblemCode::TargetAddressForbidden, detail).with_field(field))
}
