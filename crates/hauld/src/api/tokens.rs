//! The routes about tokens and pairing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::SystemTime;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use haul_api::{
    MadeToken, NewPairCode, NewToken, Pair, PairCode, ProblemCode, Proof, Prove, Token, TokenList, body, paths,
};
use haul_store::{Scope, TokenId, TokenRow};
use jiff::Timestamp;

use super::Api;
use super::document;
use super::extract::{self, job_id};
use super::problem::Refused;
use crate::access::{CODE_LIVES, NotTraded, TOKENS_MAX};
use crate::convert::timestamp;

/// Unfinished jobs of a token for which nobody has said how many. A guess: a person's backlog.
const JOBS_MAX_DEFAULT: u32 = 1000;

/// The most that can be said.
const JOBS_MAX_MOST: u32 = 100_000;

/// A guess at what a person would call a name.
const NAME_CHARS_MAX: usize = 64;

/// Characters of a nonce: enough to be made up only once, and no more than anybody needs.
const NONCE_CHARS: std::ops::RangeInclusive<usize> = 16..=128;

/// What a token is called whose program did not say.
const PAIRED: &str = "paired";

/// Lists the tokens, but for the owner's in the token file.
#[utoipa::path(get, path = paths::TOKENS, tag = "tokens", responses(
    (status = 200, description = "The tokens that are not revoked, the oldest first", body = TokenList), document::Look))]
pub(super) async fn list(State(api): State<Api>) -> Json<TokenList> {
    Json(TokenList { tokens: api.access.tokens().iter().map(shown).collect() })
}

/// Makes a token.
#[utoipa::path(post, path = paths::TOKENS, tag = "tokens", request_body = NewToken, responses(
    (status = 201, description = "The token, which is not shown again", body = MadeToken), document::MakeToken))]
pub(super) async fn make(State(api): State<Api>, extract::Json(bytes): extract::Json) -> Result<Response, Refused> {
    let wanted: NewToken = body::parse(&bytes)?;
    let jobs_max = wanted.jobs_max.unwrap_or(JOBS_MAX_DEFAULT);
    if !(1..=JOBS_MAX_MOST).contains(&jobs_max) {
        let detail = format!("`jobs_max` may be 1 to {JOBS_MAX_MOST}");
        return Err(Refused::field(ProblemCode::InvalidValue, "jobs_max", detail));
    }
    made(&api, name(wanted.name)?, stored_scope(wanted.scope), jobs_max).await
}

/// Revokes a token from this moment on. Its jobs stay.
#[utoipa::path(delete, path = paths::TOKEN, tag = "tokens", params(("id" = u64, Path, description = "The token's number")),
    responses((status = 204, description = "It is revoked"), document::RevokeToken))]
pub(super) async fn revoke(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    // Numbers of tokens have the form of those of jobs.
    if let Some(id) = job_id(&id)
        && api.access.revoke(TokenId(id.0)).await?
    {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Refused::new(ProblemCode::TokenNotFound, "no token has this id; `GET /v1/tokens` lists all of them"))
}

/// Makes a code that can be traded for a token, once and within two minutes.
#[utoipa::path(post, path = paths::PAIR_CODE, tag = "tokens",
    request_body(content = Option<NewPairCode>, description = "May be left out"),
    responses((status = 200, description = "The code", body = PairCode), document::MakeCode))]
pub(super) async fn code(
    State(api): State<Api>,
    extract::OptionalJson(bytes): extract::OptionalJson,
) -> Result<Json<PairCode>, Refused> {
    let wanted: NewPairCode = bytes.map_or(Ok(NewPairCode::default()), |bytes| body::parse(&bytes))?;
    let scope = wanted.scope.unwrap_or(haul_api::Scope::Submit);
    let code = api.access.make_code(stored_scope(scope));
    let expires_at = Timestamp::try_from(SystemTime::now() + CODE_LIVES).unwrap_or(Timestamp::MAX);
    Ok(Json(PairCode { code, expires_at, scope, page_url: api.listen.map(page_url) }))
}

/// Where a browser of this machine finds the page.
fn page_url(listen: SocketAddr) -> String {
    let loopback: IpAddr = if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    // What listens everywhere listens here.
    let ip = if listen.ip().is_unspecified() { loopback } else { listen.ip() };
    format!("http://{}/", SocketAddr::new(ip, listen.port()))
}

/// Trades a code for a token of the scope that the code was made for. Whoever asks has no token yet.
#[utoipa::path(post, path = paths::PAIR, tag = "tokens", security(()), request_body = Pair, responses(
    (status = 201, description = "The token, which is not shown again", body = MadeToken), document::Pairing))]
pub(super) async fn pair(State(api): State<Api>, extract::Json(bytes): extract::Json) -> Result<Response, Refused> {
    let wanted: Pair = body::parse(&bytes)?;
    let name = name(wanted.name.unwrap_or_else(|| PAIRED.to_owned()))?;
    let scope = api.access.take_code(&wanted.code).map_err(|reason| match reason {
        NotTraded::Wrong => {
            let detail = "the code is wrong, used up or older than 2 minutes; `haul pair` makes a new one";
            Refused::field(ProblemCode::PairingRefused, "code", detail)
        }
        NotTraded::TooMany => {
            Refused::new(ProblemCode::TooManyAttempts, "there were too many attempts; try again in a minute")
        }
    })?;
    made(&api, name, scope, JOBS_MAX_DEFAULT).await
}

/// Proves that this daemon knows a token, or the code for pairing, and tells neither. Whoever has a token can find out so
/// that it does not send it to another program that has taken the daemon's port.
#[utoipa::path(post, path = paths::PROVE, tag = "tokens", security(()), request_body = Prove, responses(
    (status = 200, description = "The proof", body = Proof), document::Proving))]
pub(super) async fn prove(State(api): State<Api>, extract::Json(bytes): extract::Json) -> Result<Json<Proof>, Refused> {
    let wanted: Prove = body::parse(&bytes)?;
    if !NONCE_CHARS.contains(&wanted.nonce.chars().count()) {
        let detail = format!("`nonce` has {} to {} characters", NONCE_CHARS.start(), NONCE_CHARS.end());
        return Err(Refused::field(ProblemCode::InvalidValue, "nonce", detail));
    }
    let proof = match wanted.token {
        Some(id) => api.access.prove_token(TokenId(id), &wanted.nonce).ok_or_else(|| {
            let detail = "no token has this id any more; `haul pair` makes a code to pair again";
            Refused::field(ProblemCode::TokenNotFound, "token", detail)
        }),
        None => api.access.prove_code(&wanted.nonce).ok_or_else(|| {
            let detail = "there is no code, or it is used up or older than 2 minutes; `haul pair` makes a new one";
            Refused::new(ProblemCode::PairingRefused, detail)
        }),
    };
    Ok(Json(Proof { proof: proof? }))
}

async fn made(api: &Api, name: String, scope: Scope, jobs_max: u32) -> Result<Response, Refused> {
    if api.access.tokens().len() >= TOKENS_MAX {
        let detail = format!("there are {TOKENS_MAX} tokens, which is the most; revoke one first");
        return Err(Refused::new(ProblemCode::ConflictState, detail));
    }
    let (row, token) = api.access.make(name, scope, jobs_max).await?;
    Ok((StatusCode::CREATED, Json(MadeToken { about: shown(&row), token })).into_response())
}

fn stored_scope(scope: haul_api::Scope) -> Scope {
    match scope {
        haul_api::Scope::Admin => Scope::Admin,
        haul_api::Scope::Read => Scope::Read,
        haul_api::Scope::Submit => Scope::Submit,
    }
}

fn name(text: String) -> Result<String, Refused> {
    let fits = !text.trim().is_empty() && text.chars().count() <= NAME_CHARS_MAX && !text.chars().any(char::is_control);
    if fits {
        return Ok(text);
    }
    let detail = format!("`name` may have 1 to {NAME_CHARS_MAX} characters, no control characters");
    Err(Refused::field(ProblemCode::InvalidValue, "name", detail))
}

fn shown(row: &TokenRow) -> Token {
    Token {
        id: row.id.0,
        name: row.name.clone(),
        scope: match row.scope {
            Scope::Admin => haul_api::Scope::Admin,
            Scope::Read => haul_api::Scope::Read,
            Scope::Submit => haul_api::Scope::Submit,
        },
        jobs_max: row.jobs_max,
        created_at: timestamp(row.created_at_ms),
        last_used_at: row.last_used_at_ms.map(timestamp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_where_a_browser_of_this_machine_reaches_it() {
        for (listen, url) in [
            ("127.0.0.1:4285", "http://127.0.0.1:4285/"),
            ("0.0.0.0:4285", "http://127.0.0.1:4285/"),
            ("[::]:4285", "http://[::1]:4285/"),
            ("192.168.1.5:80", "http://192.168.1.5:80/"),
        ] {
            assert_eq!(page_url(listen.parse().expect("an address")), url);
        }
    }
}
