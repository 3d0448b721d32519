//! Tokens as clients see them, and pairing.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::body::present;

/// What a token permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything.
    Admin,
    /// To look at everything but secrets.
    Read,
    /// To submit jobs from public addresses, to look at them, to pause, resume and give them up, and to renew their links.
    Submit,
}

impl Scope {
    /// Every scope once, the widest first.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Read, Self::Submit];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Read => "read",
            Self::Submit => "submit",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A token, without itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    /// The number to revoke it by. Never reused.
    pub id: u64,
    /// What its user calls it.
    pub name: String,
    /// What it permits.
    pub scope: Scope,
    /// Unfinished jobs that it may have at a time. Counts for `submit` only.
    pub jobs_max: u32,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_used_at: Option<Timestamp>,
}

/// The answer of `GET /v1/tokens`: those that are not revoked, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenList {
    /// The tokens.
    pub tokens: Vec<Token>,
}

/// The body of `POST /v1/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What to call it.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
    pub name: String,
    /// What it permits.
    pub scope: Scope,
    /// Unfinished jobs that it may have at a time.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, minimum = 1, maximum = 100_000))]
    pub jobs_max: Option<u32>,
}

/// A token that has just been made, with itself: it is never shown again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MadeToken {
    /// What is known of it.
    #[serde(flatten)]
    pub about: Token,
    /// What to send as `Authorization: Bearer ...`.
    pub token: String,
}

/// Without the token.
impl fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeToken").field("about", &self.about).finish_non_exhaustive()
    }
}

/// The body of `POST /v1/pair/code`, which may be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewPairCode {
    /// What the token permits that the code is traded for; `submit` unless it is said.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub scope: Option<Scope>,
}

/// The answer of `POST /v1/pair/code`: what `POST /v1/pair` takes once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PairCode {
    /// The code, in groups of four.
    pub code: String,
    /// Until when it can be traded.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: Timestamp,
    /// What the token permits that it is traded for.
    pub scope: Scope,
    /// Where the web page is; `null` where the daemon does not listen on TCP.
    pub page_url: Option<String>,
}

/// Without the code.
impl fmt::Debug for PairCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairCode").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// The body of `POST /v1/pair`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The code. Case, blanks and dashes do not matter.
    pub code: String,
    /// What to call the token.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, min_length = 1, max_length = 64))]
    pub name: Option<String>,
}

/// Without the code.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The body of `POST /v1/prove`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Prove {
    /// What whoever asks has just made up, at random.
    #[cfg_attr(feature = "openapi", schema(min_length = 16, max_length = 128))]
    pub nonce: String,
    /// The number of the token that is to be known. Default: it is the code that `haul pair` has printed last.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub token: Option<u64>,
}

/// The answer of `POST /v1/prove`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Proof {
    /// HMAC-SHA-256 of `haul-proof-v1:` and the nonce, in hexadecimal digits. Its key is the SHA-256 of the token, or of the
    /// code in capitals without dashes.
    pub proof: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::body;

    #[test]
    fn f_sec_20_a_new_token_and_a_code_are_shown_to_whoever_asked_and_to_no_log() {
        let about = json!({"id": 3, "name": "browser", "scope": "submit", "jobs_max": 10,
            "created_at": "2026-11-05T10:00:00Z", "last_used_at": null, "token": "s3cret"});
        let made: MadeToken = serde_json::from_value(about.clone()).expect("an answer");
        assert_eq!(serde_json::to_value(&made).expect("plain data"), about);
        let code = PairCode {
            code: "s3cret".to_owned(),
            expires_at: Timestamp::UNIX_EPOCH,
            scope: Scope::Submit,
            page_url: None,
        };
        let pair = Pair { code: "s3cret".to_owned(), name: None };
        assert!(!format!("{made:?}{code:?}{pair:?}").contains("s3cret"));
    }

    #[test]
    fn a_bad_body_names_the_field() {
        for (body, field) in [
            (r#"{"name": "a", "scope": "owner"}"#, "scope"),
            (r#"{"name": "a", "scope": "read", "jobs_max": -1}"#, "jobs_max"),
            (r#"{"name": "a", "scope": "read", "admin": true}"#, "admin"),
        ] {
            let problem = body::parse::<NewToken>(body.as_bytes()).expect_err(body);
            assert_eq!(problem.field.as_deref(), Some(field), "{problem}");
        }
    }
}
