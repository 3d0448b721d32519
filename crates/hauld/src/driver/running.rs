//! A job that the engine holds, or is about to hold or has just let go: what the driver keeps for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use haul_core::messages::{Fetch, JobSpec, Source, Tuning};
use haul_core::{Chunk, Fault, JobId, WorkerId};
use haul_store::{JobRow, JobRows, StoredJob};
use haul_transfer::{Identity, Limiter, PartFile, Place, host_of};
use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::error;
use url::Url;

use super::tasks::Reply;

/// See the module.
pub(super) struct Running {
    /// The row, as far as this run has changed it.
    pub(super) row: JobRow,
    pub(super) submitted: Url,
    /// Where the last answer came from, when that was elsewhere.
    pub(super) resolved: Option<Url>,
    pub(super) identity: Identity,
    /// A changed source must not come from a cache again.
    pub(super) no_cache: bool,
    pub(super) headers: HeaderMap,
    /// Its own bandwidth limit.
    pub(super) limiter: Limiter,
    pub(super) place: Option<Arc<Place>>,
    /// Orders that wait for the place to be opened.
    pub(super) waiting_orders: Vec<Fetch>,
    pub(super) part: Option<Arc<PartFile>>,
    /// The part file is being made, or its name is being reserved anew.
    pub(super) making_part: bool,
    /// Workers whose answers have begun and that wait for the part file.
    pub(super) asking: Vec<(WorkerId, Reply)>,
    /// Rows to be marked as written.
    pub(super) unwritten: BTreeMap<u64, Chunk>,
    /// Rows to be marked as durable once the part file is synced.
    pub(super) unsynced: BTreeMap<u64, Chunk>,
    /// What is durable, by the start of the chunk.
    durable: BTreeMap<u64, u64>,
    /// A sync has failed: nothing of this run may be stored any more.
    pub(super) distrusted: bool,
    /// A checkpoint is under way.
    pub(super) syncing: bool,
    pub(super) synced_at: Instant,
    /// What to do when no checkpoint is under way any more.
    pub(super) then: Option<Then>,
    /// Its user has asked for it again while it was on its way out.
    pub(super) wanted_again: bool,
    /// Whether a reason stands in the row that a later state has to take back.
    pub(super) reason_stored: bool,
}

/// What happens to a job when its last checkpoint is made.
#[derive(Clone, Debug)]
pub(super) enum Then {
    /// Verify and seal it.
    Seal,
    /// Drop its bytes.
    Reset,
    /// Let go of it.
    LetGo,
    /// Let go of it: it has failed.
    Fail(Fault),
}

impl Running {
    pub(super) fn new(stored: &StoredJob) -> Result<Self, url::ParseError> {
        let row = stored.row.clone();
        let submitted = Url::parse(&row.wish.url)?;
        let resolved = row.identity.final_url.as_ref().and_then(|url| Url::parse(url).ok());
        let host = Some(host_of(resolved.as_ref().unwrap_or(&submitted)).to_owned());
        let identity = Identity {
            etag: row.identity.etag.clone(),
            last_modified: row.identity.last_modified.clone(),
            total: row.identity.total_bytes,
            host,
            ..Identity::default()
        };
        let headers = row.wish.headers.as_deref().map(headers).unwrap_or_default();
        Ok(Self {
            submitted,
            resolved,
            identity,
            no_cache: row.restarts > 0,
            headers,
            limiter: Limiter::new(row.wish.bandwidth_limit),
            place: None,
            waiting_orders: Vec::new(),
            part: None,
            making_part: false,
            asking: Vec::new(),
            unwritten: BTreeMap::new(),
            unsynced: BTreeMap::new(),
            // What was relied on at the start is made durable by the first checkpoint.
            durable: BTreeMap::new(),
            distrusted: false,
            syncing: false,
            synced_at: Instant::now(),
            then: None,
            wanted_again: false,
            reason_stored: row.reason.is_some(),
            row,
        })
    }

    /// What the engine has to know, with these rows to go on from.
    pub(super) fn spec(&self, chunks: Vec<Chunk>) -> JobSpec {
        let total = self.row.identity.total_bytes;
        let source = total.zip(self.row.identity.accepts_ranges).map(|(total, accepts_ranges)| Source {
            total,
            accepts_ranges,
            chunks,
        });
        JobSpec { host: self.row.wish.host.clone(), tuning: self.tuning(), source, restarts: self.row.restarts }
    }

    pub(super) fn tuning(&self) -> Tuning {
        Tuning { priority: self.row.wish.priority, connections: self.row.wish.connections }
    }

    pub(super) fn id(&self) -> JobId {
        self.row.id
    }

    /// Takes over rows that the engine has changed.
    pub(super) fn note_rows(&mut self, rows: Vec<Chunk>) {
        if self.distrusted {
            return;
        }
        for row in rows {
            self.unwritten.insert(row.range.start, row);
            self.unsynced.insert(row.range.start, row);
        }
    }

    pub(super) fn take_unwritten(&mut self) -> Option<JobRows> {
        let rows: Vec<Chunk> = std::mem::take(&mut self.unwritten).into_values().collect();
        (!rows.is_empty()).then(|| JobRows { job: self.id(), rows })
    }

    pub(super) fn take_unsynced(&mut self) -> JobRows {
        JobRows { job: self.id(), rows: std::mem::take(&mut self.unsynced).into_values().collect() }
    }

    /// Takes over what a checkpoint has made durable.
    pub(super) fn note_durable(&mut self, rows: &[Chunk]) {
        self.durable.extend(rows.iter().map(|row| (row.range.start, row.done)));
    }

    pub(super) fn durable_bytes(&self) -> u64 {
        self.durable.values().sum()
    }

    /// Forgets all bytes, and the file that they belonged to.
    pub(super) fn forget_bytes(&mut self) {
        self.unwritten.clear();
        self.unsynced.clear();
        self.durable.clear();
        self.identity = Identity::default();
        self.resolved = None;
        self.row.identity.total_bytes = None;
    }
}

/// The user's headers, which were checked when they were accepted.
fn headers(json: &str) -> HeaderMap {
    let Ok(map) = serde_json::from_str::<BTreeMap<String, String>>(json) else {
        error!("stored headers cannot be read");
        return HeaderMap::new();
    };
    map.into_iter()
        .filter_map(|(name, value)| {
            let mut value = HeaderValue::from_str(&value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        })
        .collect()
}
