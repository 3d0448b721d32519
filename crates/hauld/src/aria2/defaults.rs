//! What clients have said of all new jobs. It is kept over restarts, and counts for jobs that come in this dialect alone.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use haul_store::{Store, StoreError};
use tracing::warn;

/// The setting under which it is stored.
const SETTING: &str = "aria2";

/// The options that it may be about.
pub(super) const NAMES: [&str; 5] =
    ["dir", "user-agent", "max-download-limit", "allow-overwrite", "auto-file-renaming"];

/// Texts by the names of options.
pub(super) struct Defaults(Mutex<BTreeMap<String, String>>);

impl Defaults {
    pub(super) async fn load(store: &Store) -> Self {
        let stored = store.setting(SETTING.to_owned()).await.unwrap_or_else(|error| {
            warn!(%error, "cannot read what clients of aria2 have set for all jobs");
            None
        });
        Self(Mutex::new(stored.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()))
    }

    pub(super) fn all(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over what is new; an empty text takes an option back.
    pub(super) async fn change(&self, store: &Store, new: BTreeMap<String, String>) -> Result<(), StoreError> {
        let mut all = self.all();
        all.extend(new);
        all.retain(|_, text| !text.is_empty());
        let json = serde_json::to_string(&all).expect("a map of strings is JSON");
        store.set_setting(SETTING.to_owned(), json).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(())
    }
}
