//! Who may ask for what: the token in the file, the tokens in the database, the peers of the Unix socket, and pairing.

mod caller;
mod pairing;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Instant;

use haul_store::{NewToken, Scope, Store, StoreError, TokenId, TokenRow};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::convert::now_ms;
use crate::token::{TokenCheck, digest, random_token};

pub(crate) use caller::Caller;
pub(crate) use pairing::{CODE_LIVES, NotTraded};

use pairing::Pairing;

/// Tokens that there may be. A guess: more than a person could tell apart, and all are compared at each request.
pub(crate) const TOKENS_MAX: usize = 1000;

/// How old the time of the last use may get before it is stored anew.
const USE_NOTED_EVERY_MS: i64 = 60_000;

/// Everything that admits a request.
pub(crate) struct Access {
    file: TokenCheck,
    /// Those that are not revoked.
    tokens: RwLock<Vec<TokenRow>>,
    /// What ends with each token, as far as there is anything.
    until_revoked: Mutex<HashMap<TokenId, CancellationToken>>,
    pairing: Mutex<Pairing>,
    store: Store,
}

impl Access {
    /// The token of the file, and those that are stored.
    pub(crate) async fn load(file: TokenCheck, store: Store) -> Result<Self, StoreError> {
        let tokens = RwLock::new(store.tokens().await?);
        Ok(Self { file, tokens, until_revoked: Mutex::default(), pairing: Mutex::default(), store })
    }

    /// Whose token this is.
    pub(crate) async fn caller(&self, token: &str) -> Option<Caller> {
        if self.file.matches(token) {
            return Some(Caller::OWNER);
        }
        let (caller, is_news) = self.stored(&digest(token), now_ms())?;
        if let (Some(id), true) = (caller.token, is_news)
            && let Err(error) = self.store.note_token_use(id, now_ms()).await
        {
            debug!(%error, "the use of a token was not noted");
        }
        Some(caller)
    }

    /// Compares with all of them, so that the time tells nothing.
    fn stored(&self, hash: &[u8; 32], now_ms: i64) -> Option<(Caller, bool)> {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        for token in tokens.iter_mut() {
            if token.hash.ct_eq(hash).into() {
                found = Some(token);
            }
        }
        let token = found?;
        let is_news = token.last_used_at_ms.is_none_or(|last| now_ms - last >= USE_NOTED_EVERY_MS);
        if is_news {
            token.last_used_at_ms = Some(now_ms);
        }
        Some((Caller { scope: token.scope, token: Some(token.id) }, is_news))
    }

    /// Is canceled when this caller may do nothing any more: when its token is revoked.
    pub(crate) fn until_revoked(&self, caller: Caller) -> CancellationToken {
        let Some(id) = caller.token else { return CancellationToken::new() };
        let mut ends = self.until_revoked.lock().unwrap_or_else(PoisonError::into_inner);
        let end = ends.entry(id).or_default().clone();
        // A token goes from the list before what ends with it is ended. Here it is the other way round, so nothing is missed.
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        if !tokens.iter().any(|token| token.id == id) {
            ends.remove(&id);
            end.cancel();
        }
        end
    }

    /// All tokens but the one in the file, the oldest first.
    pub(crate) fn tokens(&self) -> Vec<TokenRow> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a token; answers with what is stored of it, and with itself.
    pub(crate) async fn make(
        &self,
        name: String,
        scope: Scope,
        jobs_max: u32,
    ) -> Result<(TokenRow, String), StoreError> {
        let token = random_token();
        let new = NewToken { hash: digest(&token), scope, name, jobs_max };
        // Should the one who asked go now, the token is stored and nobody knows it, which harms nobody.
        let row = self.store.add_token(new, now_ms()).await?;
        info!(token = row.id.0, ?scope, "a token was made");
        self.tokens.write().unwrap_or_else(PoisonError::into_inner).push(row.clone());
        Ok((row, token))
    }

    /// Revokes a token from this moment on; tells whether there was one.
    pub(crate) async fn revoke(&self, id: TokenId) -> Result<bool, StoreError> {
        // It is of no use any more even if the one who asked goes before the database has answered.
        self.tokens.write().unwrap_or_else(PoisonError::into_inner).retain(|token| token.id != id);
        let end = self.until_revoked.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(end) = end {
            end.cancel();
        }
        let revoked = self.store.revoke_token(id, now_ms()).await?;
        if revoked {
            info!(token = id.0, "a token was revoked");
        }
        Ok(revoked)
    }

    /// Makes a code to be traded for a token of this scope, in place of the one before.
    pub(crate) fn make_code(&self, scope: Scope) -> String {
        self.pairing.lock().unwrap_or_else(PoisonError::into_inner).make(scope, Instant::now())
    }

    /// Proves that a token is known, if it is.
    pub(crate) fn prove_token(&self, id: TokenId, nonce: &str) -> Option<String> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().find(|token| token.id == id).map(|token| proof(&token.hash, nonce))
    }

    /// Proves that the code is known, if there is one.
    pub(crate) fn prove_code(&self, nonce: &str) -> Option<String> {
        let pairing = self.pairing.lock().unwrap_or_else(PoisonError::into_inner);
        pairing.hash(Instant::now()).map(|hash| proof(&hash, nonce))
    }

    /// Uses a code up, and tells the scope that it was made for.
    pub(crate) fn take_code(&self, code: &str) -> Result<Scope, NotTraded> {
        self.pairing.lock().unwrap_or_else(PoisonError::into_inner).take(code, Instant::now())
    }
}

/// What only someone can say who knows this digest: of a token, which is stored nowhere, or of a code.
fn proof(digest: &[u8; 32], nonce: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(digest).expect("HMAC takes keys of every length");
    mac.update(PROOF_OF);
    mac.update(nonce.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Keeps a proof from being good for anything else.
const PROOF_OF: &[u8] = b"haul-proof-v1:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_sec_08_a_proof_is_what_the_documentation_says() {
        // Python: hmac.new(sha256(b"token").digest(), b"haul-proof-v1:0123456789abcdef", "sha256").hexdigest()
        let expected = "65c9016277f90ef670c1f12d0669f8380b5f63d077b9ec0e0bcd49d1d519af5b";
        assert_eq!(proof(&digest("token"), "0123456789abcdef"), expected);
        assert_ne!(proof(&digest("token"), "0123456789abcdeg"), expected);
        assert_ne!(proof(&digest("other"), "0123456789abcdef"), expected);
    }
}
