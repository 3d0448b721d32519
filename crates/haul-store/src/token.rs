//! Tokens: who may ask for what.

/// The number of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub u64);

/// What a token permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Admin,
    /// To look at everything but secrets.
    Read,
    /// To submit jobs, and to look at them and renew their links.
    Submit,
}

/// A token to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// SHA-256 of it.
    pub hash: [u8; 32],
    /// What it permits.
    pub scope: Scope,
    /// What its user calls it.
    pub name: String,
    /// Unfinished jobs that it may have at a time.
    pub jobs_max: u32,
}

/// A token as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Its number.
    pub id: TokenId,
    /// SHA-256 of it.
    pub hash: [u8; 32],
    /// What it permits.
    pub scope: Scope,
    /// What its user calls it.
    pub name: String,
    /// Unfinished jobs that it may have at a time.
    pub jobs_max: u32,
    /// When it was made.
    pub created_at_ms: i64,
    /// When it was last used, to the minute.
    pub last_used_at_ms: Option<i64>,
}
