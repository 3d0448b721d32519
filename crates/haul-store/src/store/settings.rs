//! What is known beside the jobs: hosts, tokens, and settings that were changed while the daemon ran.

use rusqlite::Connection;

use crate::rows::{self, hosts, tokens};
use crate::writer::Lane;
use crate::{HostRow, NewToken, Store, StoreError, TokenId, TokenRow};

impl Store {
    /// Stores what was learned of some hosts and forgets others, without waiting for the disk: a power cut costs no more
    /// than learning it again.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn note_hosts(&self, learned: Vec<HostRow>, forgotten: Vec<String>) -> Result<(), StoreError> {
        self.submit(Lane::Written, move |conn| change_hosts(conn, &learned, &forgotten)).await
    }

    /// Stores what a user wishes of a host.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn set_host(&self, host: HostRow) -> Result<(), StoreError> {
        self.durable(move |conn| change_hosts(conn, &[host], &[])).await
    }

    /// Forgets a host; one that is not there is as good.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn forget_host(&self, name: String) -> Result<(), StoreError> {
        self.durable(move |conn| change_hosts(conn, &[], &[name])).await
    }

    /// Everything that is known of hosts, by name.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn hosts(&self) -> Result<Vec<HostRow>, StoreError> {
        self.read(hosts::all).await
    }

    /// Stores a token.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn add_token(&self, new: NewToken, now_ms: i64) -> Result<TokenRow, StoreError> {
        self.durable(move |conn| Ok(tokens::insert(conn, new, now_ms)?)).await
    }

    /// Revokes a token; tells whether there was one. Its jobs stay.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn revoke_token(&self, id: TokenId, now_ms: i64) -> Result<bool, StoreError> {
        self.durable(move |conn| Ok(tokens::revoke(conn, id, now_ms)?)).await
    }

    /// Notes that a token was used, without waiting for the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn note_token_use(&self, id: TokenId, now_ms: i64) -> Result<(), StoreError> {
        self.submit(Lane::Written, move |conn| Ok(tokens::note_use(conn, id, now_ms)?)).await
    }

    /// All tokens that are not revoked, the oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        self.read(tokens::all).await
    }

    /// Stores a setting.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing has changed.
    pub async fn set_setting(&self, key: String, value: String) -> Result<(), StoreError> {
        self.durable(move |conn| Ok(rows::set_setting(conn, &key, &value)?)).await
    }

    /// A stored setting.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn setting(&self, key: String) -> Result<Option<String>, StoreError> {
        self.read(move |conn| rows::setting(conn, &key)).await
    }
}

fn change_hosts(conn: &Connection, saved: &[HostRow], forgotten: &[String]) -> Result<(), StoreError> {
    for host in saved {
        hosts::save(conn, host)?;
    }
    for name in forgotten {
        hosts::delete(conn, name)?;
    }
    Ok(())
}
