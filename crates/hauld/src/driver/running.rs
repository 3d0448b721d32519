//! A job that the engine holds, or is about to hold or has just let go: what the driver keeps for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use haul_core::messages::{Fetch, FetchKind, JobSpec, JobView, OnChange, Source, Tuning, place_by_id};
use haul_core::{Chunk, Fault, JobId, JobState, MirrorIndex, QueueId, WorkerId};
use haul_store::{Identity as StoredIdentity, JobRow, JobRows, StoredJob, Validators, Wish};
use haul_transfer::{ClientKey, Cookies, Identity, Limiter, Network, PartFile, Place, host_of};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::error;
use url::Url;

use super::follow::{Following, Pieces};
use super::sidecar::{Sidecar, last_segment};
use super::sums::Sums;
use super::tasks::Reply;
use crate::options::{Manner, Options, Way};
use crate::submit::{Credentials, origin};

/// See the module.
pub(super) struct Running {
    /// The row, as far as this run has changed it.
    pub(super) row: JobRow,
    /// The job's own URL, and then the others.
    mirrors: Vec<Mirror>,
    /// The media type of the file, as the mirror that described it said.
    pub(super) content_type: Option<String>,
    /// A changed source must not come from a cache again.
    pub(super) no_cache: bool,
    headers: HeaderMap,
    /// What was given along, and what servers have set on the way.
    pub(super) cookies: Arc<Cookies>,
    /// What its requests carry, if they are no GETs.
    pub(super) post: Option<Bytes>,
    way: Way,
    /// Its own bandwidth limit.
    pub(super) limiter: Limiter,
    pub(super) place: Option<Arc<Place>>,
    /// Orders that wait for the disk to be looked at.
    pub(super) waiting_orders: Vec<Fetch>,
    /// The disk has to be looked at before a worker starts: the directory is not open yet, or it was full or gone.
    pub(super) must_look: bool,
    /// It was full: there must be space now even for a small file.
    pub(super) is_short: bool,
    /// It is being looked at.
    pub(super) looking: bool,
    /// What earlier runs have left in its part file was not looked at yet: its disk was not there.
    pub(super) unseen: bool,
    /// The engine waits for what is found.
    pub(super) engine_asks: bool,
    pub(super) part: Option<Arc<PartFile>>,
    /// The part file is being made, or its name is being reserved anew.
    pub(super) making_part: bool,
    /// What another answer has said of the file meanwhile, to be stored after that.
    pub(super) told_meanwhile: Option<StoredIdentity>,
    /// Nobody may go on with the rows as they are: the part file is gone, or they are yet to be stored.
    pub(super) lost: Option<Fault>,
    /// Workers whose answers have begun and that wait for the part file.
    pub(super) asking: Vec<(WorkerId, Reply)>,
    /// Rows to be marked as written.
    pub(super) unwritten: BTreeMap<u64, Chunk>,
    /// Rows to be marked as durable once the part file is synced.
    pub(super) unsynced: BTreeMap<u64, Chunk>,
    /// What is durable, by the start of the chunk.
    durable: BTreeMap<u64, u64>,
    /// The digests of its chunks.
    pub(super) sums: Sums,
    /// Who hashes the file meanwhile.
    pub(super) following: Following,
    /// The digests that the file's pieces must have.
    pub(super) pieces: Option<Arc<Pieces>>,
    /// How far the file is that holds the checksum.
    pub(super) sidecar: Sidecar,
    /// The digest of the whole file, as it was when it did not match.
    pub(super) last_sum: Option<u32>,
    /// All of it is fetched once more because it did not match.
    pub(super) refetched: bool,
    /// Its rows are compared with its part file because its user wants to know.
    pub(super) verifies: bool,
    /// What is not durable may be lost, and is being given up: no row is stored meanwhile.
    pub(super) distrusted: bool,
    /// The database is being told.
    pub(super) rolling_back: bool,
    /// What the database says is left, until the last worker is gone.
    pub(super) left: Option<Vec<Chunk>>,
    /// The database did not take the last checkpoint.
    pub(super) unstored: Option<Fault>,
    /// The name that its user is giving it just now.
    pub(super) renaming: Option<String>,
    /// A checkpoint is under way.
    pub(super) syncing: bool,
    pub(super) synced_at: Instant,
    /// What to do when no checkpoint is under way any more.
    pub(super) then: Option<Then>,
    /// Its user has asked for it again while it was on its way out.
    pub(super) wanted_again: bool,
    /// Its bytes are removed, as its user wanted.
    pub(super) removed: bool,
    /// Whether a reason stands in the row that a later state has to take back.
    pub(super) reason_stored: bool,
    /// The state that its history was last told.
    pub(super) told_state: Option<JobState>,
    /// What was last told of it, for whoever asks while it leaves.
    pub(super) told: Option<JobView>,
    /// It is noted as one that this process works on.
    pub(super) at_work: bool,
    /// What workers have read beyond their ends, by where it belongs.
    pub(super) beyond: BTreeMap<u64, Beyond>,
}

/// What a worker has read beyond the end of its lease.
pub(super) struct Beyond {
    pub(super) bytes: Bytes,
    /// The server's validators say that all it sends is of one version.
    pub(super) vouched: bool,
    /// The server that sent it.
    pub(super) host: String,
}

/// One of the places where a job's file is to be had.
pub(super) struct Mirror {
    pub(super) submitted: Url,
    /// Its `scheme://host:port`.
    pub(super) host: String,
    /// Where the last answer came from, when that was elsewhere.
    pub(super) resolved: Option<Url>,
    /// What its own answers said of the file. The validators of one mirror say nothing about another's answers, not even
    /// where both are on one host.
    pub(super) identity: Identity,
    /// The same of further hosts that its redirects have led to.
    others: Vec<Identity>,
    /// It has several names for one version, as samples have shown: no validator of it counts.
    pub(super) varies: bool,
}

/// The client that carries the requests of a job: not each may go everywhere, or prove to be its user.
pub(super) fn client(usual: &ClientKey, way: &Way, row: &JobRow) -> ClientKey {
    let client = way.client(usual);
    if !row.maker.is_some_and(|maker| maker.public_only) {
        return client;
    }
    let network = Network { client_certs: Arc::default(), ..client.network };
    ClientKey { public_only: true, network, ..client }
}

/// Hosts behind one URL whose validators are remembered. A guess: those of the others are not compared.
const HOSTS_MAX: usize = 16;

impl Mirror {
    fn new(url: &str, host: &str) -> Result<Self, url::ParseError> {
        let submitted = Url::parse(url)?;
        let identity = Identity::default();
        Ok(Self { submitted, host: host.to_owned(), resolved: None, identity, others: Vec::new(), varies: false })
    }

    /// Keeps what a host calls the version that the job has, and tells whether that is news.
    pub(super) fn note_identity(&mut self, identity: &Identity) -> bool {
        let known = std::iter::once(&self.identity).chain(&self.others);
        if self.varies || known.into_iter().any(|known| known.host == identity.host) {
            return false;
        }
        if self.identity.host.is_none() {
            self.identity = identity.clone();
        } else if self.others.len() < HOSTS_MAX {
            self.others.push(identity.clone());
        } else {
            return false;
        }
        true
    }

    /// From now on only samples vouch for what it sends.
    pub(super) fn note_varying(&mut self) {
        self.varies = true;
        self.others.clear();
        self.identity = Identity { host: self.identity.host.take(), ..Identity::default() };
    }

    /// Whether a strong validator vouches for all that it sends.
    pub(super) fn is_vouched(&self) -> bool {
        !self.varies && self.identity.has_strong_tag()
    }

    /// Forgets what it said: it does not have the file, or the file is to be fetched anew.
    pub(super) fn forget(&mut self) {
        self.identity = Identity::default();
        self.others.clear();
        self.varies = false;
        self.resolved = None;
    }
}

/// What happens to a job when its last checkpoint is made.
#[derive(Clone, Debug)]
pub(super) enum Then {
    /// Verify and seal it.
    Seal,
    /// Drop its bytes.
    Reset,
    /// Store its rows anew, some of which have lost bytes.
    Rewrite,
    /// Let go of it.
    LetGo,
    /// Let go of it: it has failed.
    Fail(Fault),
}

impl Running {
    pub(super) fn new(stored: &StoredJob) -> Result<Self, url::ParseError> {
        let row = stored.row.clone();
        let mut mirrors = vec![Mirror::new(&row.wish.url, &row.wish.host)?];
        for mirror in &row.wish.mirrors {
            mirrors.push(Mirror::new(&mirror.url, &mirror.host)?);
        }
        for known in &stored.validators {
            if let Some(mirror) = mirrors.get_mut(known.mirror.0 as usize) {
                mirror.note_identity(&identity(known, row.identity.total_bytes));
                if known.varies {
                    mirror.note_varying();
                }
            }
        }
        if let Some(source) = mirrors.get_mut(row.identity.mirror.0 as usize) {
            source.resolved = row.identity.final_url.as_ref().and_then(|url| Url::parse(url).ok());
            // Rows of before there were others.
            let has_validator = row.identity.etag.is_some() || row.identity.last_modified.is_some();
            if stored.validators.is_empty() && has_validator {
                source.identity = Identity {
                    etag: row.identity.etag.clone(),
                    last_modified: row.identity.last_modified.clone(),
                    total: row.identity.total_bytes,
                    host: Some(host_of(source.resolved.as_ref().unwrap_or(&source.submitted)).to_owned()),
                    ..Identity::default()
                };
            }
        }
        let headers = row.wish.headers.as_deref().map(headers).unwrap_or_default();
        let Manner { way, cookies, post } = Manner::of(&row.wish);
        Ok(Self {
            mirrors,
            content_type: None,
            no_cache: row.restarts > 0,
            headers,
            cookies: Arc::new(cookies),
            post,
            way,
            limiter: Limiter::new(row.wish.bandwidth_limit),
            place: None,
            waiting_orders: Vec::new(),
            must_look: true,
            is_short: false,
            looking: false,
            unseen: false,
            engine_asks: false,
            part: None,
            making_part: false,
            told_meanwhile: None,
            lost: None,
            asking: Vec::new(),
            unwritten: BTreeMap::new(),
            unsynced: BTreeMap::new(),
            // What is relied on beyond it at the start is made durable by the first checkpoint.
            durable: stored.durable.clone(),
            sums: Sums::restored(&stored.digests),
            following: Following::default(),
            pieces: stored.pieces.as_ref().and_then(Pieces::stored).map(Arc::new),
            sidecar: Sidecar::default(),
            last_sum: None,
            refetched: false,
            verifies: false,
            distrusted: false,
            rolling_back: false,
            left: None,
            unstored: None,
            renaming: None,
            syncing: false,
            synced_at: Instant::now(),
            then: None,
            wanted_again: false,
            removed: false,
            reason_stored: row.reason.is_some(),
            told_state: None,
            told: None,
            at_work: false,
            beyond: BTreeMap::new(),
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
        let main = self.row.identity.mirror;
        let main = if (main.0 as usize) < self.mirrors.len() { main } else { MirrorIndex(0) };
        JobSpec { hosts: self.hosts(), main, tuning: self.tuning(), source, restarts: self.row.restarts }
    }

    /// Scheme, host and port of each mirror, in the order of the engine's list.
    pub(super) fn hosts(&self) -> Vec<String> {
        self.mirrors.iter().map(|mirror| mirror.host.clone()).collect()
    }

    /// Scheme, host and port of each server whose bandwidth limit a transfer from this mirror obeys: the one that is asked
    /// and, where redirects have led elsewhere, the one that answers.
    pub(super) fn servers(&self, index: MirrorIndex) -> [String; 2] {
        let mirror = self.mirror(index);
        [origin(&mirror.submitted), origin(mirror.resolved.as_ref().unwrap_or(&mirror.submitted))]
    }

    /// [`Running::servers`] of all mirrors, each once.
    pub(super) fn all_servers(&self) -> BTreeSet<String> {
        (0..).map(MirrorIndex).zip(&self.mirrors).flat_map(|(index, _)| self.servers(index)).collect()
    }

    pub(super) fn mirror(&self, index: MirrorIndex) -> &Mirror {
        &self.mirrors[index.0 as usize]
    }

    pub(super) fn mirror_mut(&mut self, index: MirrorIndex) -> &mut Mirror {
        &mut self.mirrors[index.0 as usize]
    }

    /// What an answer of this mirror has to fit: what the mirror said before, and the length that the file has. A probe
    /// asks what the file is.
    pub(super) fn known(&self, index: MirrorIndex, kind: FetchKind) -> Identity {
        let known = self.mirror(index).identity.clone();
        let total = self.row.identity.total_bytes.or(known.total);
        let content_type = known.content_type.clone().or_else(|| self.content_type.clone());
        match kind {
            FetchKind::Probe => known,
            FetchKind::Range | FetchKind::Whole if !self.mirror(index).varies => {
                Identity { total, content_type, ..known }
            }
            // Bytes are compared, and whatever they are called is the same.
            FetchKind::Range | FetchKind::Whole | FetchKind::Compare => {
                Identity { total, content_type, ..Identity::default() }
            }
        }
    }

    /// What further hosts behind this mirror have said.
    pub(super) fn others(&self, index: MirrorIndex, kind: FetchKind) -> Vec<Identity> {
        if kind == FetchKind::Compare { Vec::new() } else { self.mirror(index).others.clone() }
    }

    /// Takes over that the job's own URL, or its headers, are others now.
    pub(super) fn renew(&mut self, wish: &Wish) {
        match Mirror::new(&wish.url, &wish.host) {
            Ok(mirror) if mirror.submitted != self.mirrors[0].submitted => self.mirrors[0] = mirror,
            Ok(_) => {}
            Err(error) => error!(job = self.row.id.0, %error, "a stored URL cannot be read"),
        }
        self.headers = wish.headers.as_deref().map(headers).unwrap_or_default();
        self.row.wish = wish.clone();
    }

    /// The user's headers and the referrer, for a mirror at the origin that they were given for: all others get none.
    pub(super) fn secrets(&self, index: MirrorIndex) -> (HeaderMap, Option<HeaderValue>) {
        self.secrets_for(&self.mirror(index).submitted)
    }

    /// The same for any URL.
    pub(super) fn secrets_for(&self, url: &Url) -> (HeaderMap, Option<HeaderValue>) {
        let is_own = url.origin() == self.mirrors[0].submitted.origin();
        let mut headers = if is_own { self.headers.clone() } else { HeaderMap::new() };
        if let Some(value) = Credentials::read(self.row.wish.credentials.as_ref()).header(url) {
            headers.entry(AUTHORIZATION).or_insert(value);
        }
        let referrer = self.row.wish.referrer.as_deref().filter(|_| is_own);
        (headers, referrer.and_then(|text| HeaderValue::from_str(text).ok()))
    }

    /// Has the file go to another directory, where a rule says so for the type that its server has named. That is asked once,
    /// before the file has a name anywhere: later nothing moves.
    pub(super) fn choose_dir(&mut self) {
        let Some(content_type) = self.content_type.as_deref().filter(|_| self.row.identity.name.is_none()) else {
            return;
        };
        let dirs = Options::of(&self.row.wish).dirs_by_type;
        let Some(found) = dirs.into_iter().find(|by_type| by_type.fits(content_type)) else { return };
        if found.dir != self.row.wish.dir {
            self.row.wish.dir = found.dir;
            // It is opened when the part file is made, or by the next look at the disk.
            self.place = None;
            self.must_look = true;
        }
    }

    /// The client that carries its requests.
    pub(super) fn client(&self, usual: &ClientKey) -> ClientKey {
        client(usual, &self.way, &self.row)
    }

    /// What lists of checksums may call its file: the last parts of its URLs, and the names that it got here.
    pub(super) fn names(&self) -> Vec<String> {
        let source = self.mirrors.get(self.row.identity.mirror.0 as usize).unwrap_or(&self.mirrors[0]);
        let urls = [Some(&source.submitted), source.resolved.as_ref()].into_iter().flatten().map(last_segment);
        let given = [&self.row.wish.filename, &self.row.identity.name].into_iter().flatten().cloned();
        urls.chain(given).filter(|name| !name.is_empty()).collect()
    }

    /// Takes over mirrors that the job has got, in the order in which they are stored, and tells which are new here.
    pub(super) fn extend_mirrors(&mut self, stored: Vec<haul_store::Mirror>) -> Vec<String> {
        let known = self.mirrors.len() - 1;
        let new: Result<Vec<_>, _> = stored.iter().skip(known).map(|new| Mirror::new(&new.url, &new.host)).collect();
        let new = new.unwrap_or_else(|error| {
            error!(job = self.row.id.0, %error, "a stored URL cannot be read");
            Vec::new()
        });
        let hosts = new.iter().map(|mirror| mirror.host.clone()).collect();
        self.mirrors.extend(new);
        self.row.wish.mirrors = stored;
        hosts
    }

    pub(super) fn tuning(&self) -> Tuning {
        let on_change = match self.row.wish.on_change {
            haul_store::OnChange::Restart => OnChange::Restart,
            haul_store::OnChange::Fail => OnChange::Fail,
        };
        Tuning {
            priority: self.row.wish.priority,
            connections: self.row.wish.connections,
            on_change,
            place: self.row.wish.place.unwrap_or_else(|| place_by_id(self.row.id)),
            queue: QueueId::default(),
            // Where a POST has led to another place, that is asked by GET.
            once: self.post.is_some() && self.mirrors[0].resolved.is_none(),
        }
    }

    pub(super) fn id(&self) -> JobId {
        self.row.id
    }

    /// Takes over rows that the engine has changed.
    pub(super) fn note_rows(&mut self, rows: Vec<Chunk>) {
        if self.distrusted {
            return;
        }
        self.sums.note_done(&rows);
        for row in rows {
            self.unwritten.insert(row.range.start, row);
            self.unsynced.insert(row.range.start, row);
        }
    }

    pub(super) fn take_unwritten(&mut self) -> Option<JobRows> {
        let rows: Vec<Chunk> = std::mem::take(&mut self.unwritten).into_values().collect();
        (!rows.is_empty()).then(|| self.with_digests(rows))
    }

    pub(super) fn take_unsynced(&mut self) -> JobRows {
        let rows = std::mem::take(&mut self.unsynced).into_values().collect();
        self.with_digests(rows)
    }

    fn with_digests(&self, rows: Vec<Chunk>) -> JobRows {
        let digests = rows.iter().filter_map(|row| Some((row.range.start, self.sums.of(row)?))).collect();
        JobRows { job: self.id(), rows, digests }
    }

    /// Takes over what a checkpoint has made durable.
    pub(super) fn note_durable(&mut self, rows: &[Chunk]) {
        self.durable.extend(rows.iter().map(|row| (row.range.start, row.done)));
    }

    pub(super) fn durable_bytes(&self) -> u64 {
        self.durable.values().sum()
    }

    /// Why no worker may start although the disk may be well.
    pub(super) fn held_up(&self) -> Option<Fault> {
        self.lost.clone().or_else(|| self.unstored.clone())
    }

    /// Goes on from what the database says is durable.
    pub(super) fn go_on_from(&mut self, rows: &[Chunk]) {
        self.unwritten.clear();
        self.unsynced.clear();
        self.durable.clear();
        self.note_durable(rows);
        self.sums.keep(rows);
        self.following.forget();
        self.distrusted = false;
        self.lost = None;
    }

    /// Puts rows in the place of all that were to be marked, and tells them for the store. A checkpoint makes durable
    /// what is not yet.
    pub(super) fn replace_rows(&mut self, rows: Vec<Chunk>) -> JobRows {
        let durable = std::mem::take(&mut self.durable);
        for row in &rows {
            if let Some(bytes) = durable.get(&row.range.start) {
                self.durable.insert(row.range.start, row.done.min(*bytes));
            }
        }
        self.sums.keep(&rows);
        self.following.forget();
        self.beyond.clear();
        self.unwritten.clear();
        self.unsynced = rows.iter().filter(|row| row.done > 0).map(|row| (row.range.start, *row)).collect();
        self.with_digests(rows)
    }

    /// Forgets all bytes, and the file that they belonged to.
    pub(super) fn forget_bytes(&mut self) {
        self.unwritten.clear();
        self.unsynced.clear();
        self.durable.clear();
        self.sums = Sums::default();
        self.following.forget();
        self.mirrors.iter_mut().for_each(Mirror::forget);
        self.content_type = None;
        self.beyond.clear();
        self.row.identity.total_bytes = None;
        if !self.refetched {
            self.row.identity.digest = None;
        }
    }
}

/// What a host calls the version that a job has, as it is stored and as it is compared.
pub(super) fn validators(mirror: MirrorIndex, identity: &Identity, varies: bool) -> Validators {
    Validators {
        mirror,
        host: identity.host.clone().unwrap_or_default(),
        etag: identity.etag.clone(),
        last_modified: identity.last_modified.clone(),
        date_is_strong: identity.date_is_strong,
        varies,
    }
}

fn identity(stored: &Validators, total: Option<u64>) -> Identity {
    Identity {
        etag: stored.etag.clone(),
        last_modified: stored.last_modified.clone(),
        date_is_strong: stored.date_is_strong,
        total,
        content_type: None,
        host: Some(stored.host.clone()),
    }
}

/// The user's headers, which were checked when they were accepted.
pub(super) fn headers(json: &str) -> HeaderMap {
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
