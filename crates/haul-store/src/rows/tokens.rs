//! Tokens. A revoked one is not found any more, but its row stays as long as jobs name it.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Stored, Word};
use crate::{NewToken, Scope, StoreError, TokenId, TokenRow};

impl Word for Scope {
    const ALL: &'static [Self] = &[Self::Admin, Self::Read, Self::Submit];
    fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Read => "read",
            Self::Submit => "submit",
        }
    }
}

/// All tokens that are not revoked, the oldest first.
pub(crate) fn all(conn: &Connection) -> rusqlite::Result<Vec<TokenRow>> {
    conn.prepare_cached(SELECT)?.query_map([], read)?.collect()
}

pub(crate) fn insert(conn: &Connection, new: NewToken, now_ms: i64) -> rusqlite::Result<TokenRow> {
    let NewToken { hash, scope, name, jobs_max } = new;
    conn.prepare_cached(INSERT)?.execute(params![hash, scope.word(), name, jobs_max, now_ms])?;
    let id = TokenId(conn.last_insert_rowid().cast_unsigned());
    Ok(TokenRow { id, hash, scope, name, jobs_max, created_at_ms: now_ms, last_used_at_ms: None })
}

/// Tells whether there was one to be revoked.
pub(crate) fn revoke(conn: &Connection, id: TokenId, now_ms: i64) -> rusqlite::Result<bool> {
    Ok(conn.prepare_cached(REVOKE)?.execute(params![key(id), now_ms])? > 0)
}

pub(crate) fn note_use(conn: &Connection, id: TokenId, now_ms: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(NOTE_USE)?.execute(params![key(id), now_ms]).map(drop)
}

/// Refuses a token that has as many unfinished jobs as it may. Only those that may do no more than submit have a limit.
pub(crate) fn check_quota(conn: &Connection, id: TokenId) -> Result<(), StoreError> {
    let most: Option<u32> = conn.prepare_cached(QUOTA)?.query_row([key(id)], |row| row.get(0)).optional()?;
    let jobs: u64 = conn.prepare_cached(COUNT)?.query_row([key(id)], |row| row.get(0))?;
    match most {
        Some(most) if jobs >= u64::from(most) => Err(StoreError::TooManyJobs { most }),
        Some(_) | None => Ok(()),
    }
}

/// The key of a token's row. A number that SQLite cannot hold is that of no token.
pub(super) fn key(id: TokenId) -> i64 {
    i64::try_from(id.0).unwrap_or(-1)
}

fn read(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    let hash: Vec<u8> = row.get(1)?;
    let hash = hash.try_into().map_err(|_| {
        let problem = "a hash has 32 bytes".into();
        rusqlite::Error::FromSqlConversionFailure(1, Type::Blob, problem)
    })?;
    Ok(TokenRow {
        id: TokenId(row.get(0)?),
        hash,
        scope: row.get::<_, Stored<_>>(2)?.0,
        name: row.get(3)?,
        jobs_max: row.get(4)?,
        created_at_ms: row.get(5)?,
        last_used_at_ms: row.get(6)?,
    })
}

const SELECT: &str = "
    SELECT id, hash, scope, name, jobs_max, created_at_ms, last_used_at_ms FROM tokens
    WHERE revoked_at_ms IS NULL ORDER BY id";

const INSERT: &str = "INSERT INTO tokens (hash, scope, name, jobs_max, created_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)";

const REVOKE: &str = "UPDATE tokens SET revoked_at_ms = ?2 WHERE id = ?1 AND revoked_at_ms IS NULL";

const NOTE_USE: &str = "UPDATE tokens SET last_used_at_ms = ?2 WHERE id = ?1";

const QUOTA: &str = "SELECT jobs_max FROM tokens WHERE id = ?1 AND scope = 'submit'";

const COUNT: &str = "
    SELECT count(*) FROM jobs
    WHERE token_id = ?1 AND deleted_at_ms IS NULL AND phase IN ('fetching', 'verifying')";
