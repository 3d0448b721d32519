//! What goes into the store and comes out of it. Times are Unix milliseconds.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use crate::TokenId;
use haul_core::{ByteRange, Chunk, Intent, JobId, Lifecycle, MirrorIndex, Phase};

/// Text that must not get into a log: a URL with its query, or secret headers.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Private(pub String);

impl Deref for Private {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes hidden)", self.0.len())
    }
}

impl From<&str> for Private {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Private {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// What to do when the final name is taken on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Save under another name.
    #[default]
    Rename,
    /// Replace the file that is there.
    Overwrite,
    /// Fail the job.
    Fail,
}

/// What to do when the source has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnChange {
    /// Start over, a few times at most.
    #[default]
    Restart,
    /// Fail the job, and keep what it has.
    Fail,
}

/// A further place that a file is to be had at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirror {
    /// Where the file is.
    pub url: Private,
    /// Its `scheme://host:port`.
    pub host: String,
    /// How whoever named it ranks it: 1 is the best.
    pub priority: Option<u32>,
}

/// What a user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Where the file is.
    pub url: Private,
    /// Its `scheme://host:port`.
    pub host: String,
    /// Where else it is. With the first one at position 1 these are the job's mirrors; its URL is that at 0.
    pub mirrors: Vec<Mirror>,
    /// The directory to save into, in its one canonical spelling.
    pub dir: String,
    /// The name to save under; `None` leaves it to the server.
    pub filename: Option<String>,
    /// The size that the file must have.
    pub expected_size: Option<u64>,
    /// The digest that the file must have, as its user has named it.
    pub checksum: Option<String>,
    /// Where a file is that holds the digest.
    pub checksum_url: Option<Private>,
    /// What to do when the final name is taken.
    pub on_conflict: OnConflict,
    /// What to do when the source has changed.
    pub on_change: OnChange,
    /// Secret headers as JSON; dropped when the job is completed or canceled.
    pub headers: Option<Private>,
    /// The page that linked to the file.
    pub referrer: Option<Private>,
    /// The program to pose as.
    pub user_agent: Option<String>,
    /// Connections at most.
    pub connections: Option<u32>,
    /// Bytes per second at most; 0 means no limit.
    pub bandwidth_limit: Option<u64>,
    /// Higher goes first; 0 is ordinary.
    pub priority: i32,
    /// A word to find it by.
    pub label: Option<String>,
    /// How its requests go, as JSON without secrets. The store does not read it.
    pub options: Option<String>,
    /// What of that is secret, as JSON; dropped when the job is completed or canceled.
    pub secrets: Option<Private>,
    /// It does not start before.
    pub start_at_ms: Option<i64>,
    /// Where it stands among those of its priority; `None` is where it came.
    pub place: Option<i64>,
    /// What makes it the same as another one.
    pub sameness: Option<Sameness>,
    /// Its request has an effect at its server, and is not made once more just like that.
    pub once: bool,
    /// Values of `Authorization` by URL, as JSON: users and passwords that stood there. Dropped when the job is completed
    /// or canceled.
    pub credentials: Option<Private>,
}

/// A digest of what makes two wishes the same.
pub type Sameness = [u8; 16];

/// What happens to a wish that is the same as an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// The job that is there answers it.
    #[default]
    Attach,
    /// It becomes a job of its own.
    Copy,
    /// It is refused.
    Reject,
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is this new job.
    New(JobId),
    /// This job is the same.
    There(Box<JobRow>),
    /// It was refused, because this job is the same.
    Rejected(JobId),
}

/// Whose a job is that was not submitted by the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maker {
    /// The token that it was submitted with.
    pub token: TokenId,
    /// It may reach public addresses only.
    pub public_only: bool,
}

/// A job to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// What the user asked for.
    pub wish: Wish,
    /// Whether it starts at once.
    pub intent: Intent,
    /// Eight random hexadecimal digits for the name of its part file.
    pub part_token: String,
    /// The digests that its file's pieces must have.
    pub pieces: Option<Pieces>,
    /// Whose it is; `None` is the owner.
    pub maker: Option<Maker>,
    /// What a client of the aria2 dialect has chosen to call it: 16 hexadecimal digits.
    pub gid: Option<String>,
}

/// The digests of a file's pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// Their kind.
    pub kind: String,
    /// Bytes of each piece but the last.
    pub length: u64,
    /// The digests, one after the other.
    pub digests: Vec<u8>,
}

/// The file as its server described it, and the name that was decided on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The final name; reserved within the job's directory.
    pub name: Option<String>,
    /// The length.
    pub total_bytes: Option<u64>,
    /// Whether the server answers ranges.
    pub accepts_ranges: Option<bool>,
    /// The entity tag.
    pub etag: Option<String>,
    /// The modification time, as the server wrote it.
    pub last_modified: Option<String>,
    /// The URL behind all redirects.
    pub final_url: Option<Private>,
    /// The mirror that said so: validators and the last URL are its.
    pub mirror: MirrorIndex,
    /// The digest that the server has told. Stored only where the user has named none.
    pub digest: Option<String>,
}

/// The part file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name within the job's directory.
    pub name: String,
    /// The device that it is on.
    pub dev: u64,
    /// Its inode.
    pub ino: u64,
}

/// What a file at rest looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its length.
    pub bytes: u64,
    /// When its bytes were last changed, in nanoseconds since the Unix epoch.
    pub modified_ns: i64,
    /// When anything of it was last changed.
    pub changed_ns: i64,
}

/// Why a job waits, or has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The stable code.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// Since when.
    pub at_ms: i64,
    /// When the job goes on by itself.
    pub retry_at_ms: Option<i64>,
}

/// The sums of a job's chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes written.
    pub done_bytes: u64,
    /// Bytes that survive a power cut.
    pub durable_bytes: u64,
    /// Chunks of which every byte is written.
    pub chunks_done: u64,
    /// All chunks.
    pub chunks_total: u64,
}

/// A job as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// Its id.
    pub id: JobId,
    /// What the user asked for.
    pub wish: Wish,
    /// Whose it is; `None` is the owner.
    pub maker: Option<Maker>,
    /// How far it is, and what the user wants.
    pub lifecycle: Lifecycle,
    /// Why it waits or has failed.
    pub reason: Option<Reason>,
    /// Times that it was started over because its source had changed.
    pub restarts: u32,
    /// The file as its server described it.
    pub identity: Identity,
    /// The whole final path, once it is known.
    pub path: Option<String>,
    /// Eight random hexadecimal digits for the name of its part file.
    pub part_token: String,
    /// The part file, once there is one.
    pub part: Option<Part>,
    /// What the part file looked like when it was left at rest; `None` while it is being written.
    pub stamp: Option<Stamp>,
    /// The name of the part file of an earlier version, which is kept until the new one is complete.
    pub kept_part: Option<String>,
    /// Its URL was replaced while it had bytes of the one before.
    pub renewed: bool,
    /// How the bytes were checked.
    pub verification: Option<String>,
    /// What was found when the file was last verified on demand. The store does not read it.
    pub verified: Option<String>,
    /// The sums of its chunks.
    pub counts: Counts,
    /// When it was accepted.
    pub created_at_ms: i64,
    /// When its server first answered.
    pub started_at_ms: Option<i64>,
    /// When it was completed, failed or canceled.
    pub finished_at_ms: Option<i64>,
    /// When its row last changed, marks aside.
    pub updated_at_ms: i64,
    /// Since when it is hidden.
    pub deleted_at_ms: Option<i64>,
    /// Counts its changes that a client can see, but for progress.
    pub version: u64,
    /// What it saved goes with it, once it is deleted for good.
    pub delete_files: bool,
}

/// A job with its chunks: all that is needed to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredJob {
    /// The job.
    pub row: JobRow,
    /// Its chunks in the order of the file, each either ready or done. `done` is what can be relied on.
    pub chunks: Vec<Chunk>,
    /// How many bytes of each survive a power cut, by its start.
    pub durable: BTreeMap<u64, u64>,
    /// The digests of those that are done, as far as they are known.
    pub digests: Vec<RowDigest>,
    /// The digests that its file's pieces must have.
    pub pieces: Option<Pieces>,
    /// What its servers call the version that it has.
    pub validators: Vec<Validators>,
}

/// What the bytes of a done chunk were when they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowDigest {
    /// The bytes.
    pub range: ByteRange,
    /// Their CRC-32C.
    pub crc32c: u32,
    /// Whether the chunk is as a whole covered by a checkpoint.
    pub is_durable: bool,
}

/// What a server calls the version of a file that a job has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The mirror.
    pub mirror: MirrorIndex,
    /// The host and port that answered, after redirects.
    pub host: String,
    /// The entity tag.
    pub etag: Option<String>,
    /// The modification time, as the server wrote it.
    pub last_modified: Option<String>,
    /// Whether that is old enough against the server's own clock to be relied on.
    pub date_is_strong: bool,
    /// It has several names for one version: none of them counts.
    pub varies: bool,
}

/// A chunk as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRow {
    /// The bytes it is about.
    pub range: ByteRange,
    /// How many of them, from the start, survive a power cut.
    pub durable: u64,
    /// How many of them, from the start, are written.
    pub written: u64,
    /// `ready`, `active`, `backoff` or `done`.
    pub state: &'static str,
    /// Attempts that ended in a fault.
    pub retries: u32,
    /// Verdicts of the speed floor.
    pub strikes: u32,
    /// Which mirror gave its bytes.
    pub mirror: MirrorIndex,
    /// CRC-32C of its bytes, where it is done and that is known.
    pub digest: Option<u32>,
}

/// Changed chunks of one job; in each, `done` is the mark to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRows {
    /// The job.
    pub job: JobId,
    /// Its changed chunks. A chunk that was cut comes together with its other half.
    pub rows: Vec<Chunk>,
    /// The digests of those that are done, by their start, as far as they are news.
    pub digests: BTreeMap<u64, u32>,
}

impl JobRows {
    /// Rows without a digest.
    #[must_use]
    pub fn new(job: JobId, rows: Vec<Chunk>) -> Self {
        Self { job, rows, digests: BTreeMap::new() }
    }
}

/// What a user can change of a job later; `None` leaves a field alone, `Some(None)` empties it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobPatch {
    /// The version that the job must be in.
    pub expected: Option<u64>,
    /// A renewed URL and its `scheme://host:port`.
    pub url: Option<(Private, String)>,
    /// The name to save under.
    pub filename: Option<Option<String>>,
    /// What to do when the source has changed.
    pub on_change: Option<OnChange>,
    /// Higher goes first.
    pub priority: Option<i32>,
    /// Bytes per second at most.
    pub bandwidth_limit: Option<Option<u64>>,
    /// Connections at most.
    pub connections: Option<Option<u32>>,
    /// Secret headers as JSON.
    pub headers: Option<Option<Private>>,
    /// A word to find it by.
    pub label: Option<Option<String>>,
    /// Where it stands among those of its priority.
    pub place: Option<Option<i64>>,
    /// Values of `Authorization` by URL, as JSON.
    pub credentials: Option<Option<Private>>,
}

/// A step of the work, as the daemon found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseChange {
    /// How far the work is now.
    pub phase: Phase,
    /// Why, where that needs a reason; `None` clears an old one.
    pub reason: Option<Reason>,
    /// The final path, where it is known now.
    pub path: Option<String>,
    /// How the bytes were checked, where that is known now.
    pub verification: Option<String>,
}

/// One stored state, or two that differ in the intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateFilter {
    /// How far the work is.
    pub phase: Phase,
    /// What the user wants; `None` means either.
    pub intent: Option<Intent>,
}

/// Which jobs are meant. Hidden ones never are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In one of these states; any, where this is empty and nothing is `among`.
    pub states: Vec<StateFilter>,
    /// Not these, whatever their stored state: they are doing something else at the moment.
    pub except: Vec<JobId>,
    /// These as well, whatever their stored state: of `except`, those that are doing what is asked for.
    pub among: Option<Vec<JobId>>,
    /// With this label.
    pub label: Option<String>,
    /// From this `scheme://host:port`.
    pub host: Option<String>,
    /// With this text in URL, label or name, whatever the case of its ASCII letters.
    pub q: Option<String>,
    /// Submitted with this token.
    pub token: Option<TokenId>,
}

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// How many come before it.
    pub skip: u64,
    /// How many it has at most.
    pub limit: u64,
}

/// Where a job stands that waits. Higher priorities come first, then lower places, then lower ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The job.
    pub id: JobId,
    /// Its priority.
    pub priority: i32,
    /// Its place among those of its priority.
    pub place: i64,
}

/// How many jobs wait, and how many have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// They wait, or are paused.
    pub waiting: u64,
    /// They have ended, whatever way.
    pub ended: u64,
}

/// What a list is ordered by; jobs that are alike in it by their ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// When they were accepted.
    #[default]
    Id,
    /// Their priority.
    Priority,
    /// Their file's name.
    Filename,
    /// Their file's length; those without one are the smallest.
    TotalBytes,
    /// When they ended; those that have not are the oldest.
    FinishedAt,
}

/// The order of a list. The default has the newest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// By what.
    pub by: SortBy,
    /// The smallest first.
    pub ascending: bool,
}

/// What a job counts for in an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// Its id alone.
    Id,
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

/// The place behind a job in an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The job.
    pub id: JobId,
    /// What it counted for.
    pub key: SortKey,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The jobs behind this one; `None` starts with the first.
    pub after: Option<Cursor>,
    /// How the list is ordered.
    pub order: Order,
    /// How many at most.
    pub limit: u32,
    /// Which jobs.
    pub filter: Filter,
}

/// A request that is to be carried out once, however often it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceRequest {
    /// What its client calls it.
    pub key: String,
    /// The digest of what it says.
    pub digest: Vec<u8>,
}

/// An answer that is given to a request however often it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The header `Location`.
    pub location: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What became of a request that is to be carried out once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Once {
    /// It was carried out: what became of its jobs, in their order, and its answer.
    First(Vec<Inserted>, OnceAnswer),
    /// It had been carried out before, and this was its answer.
    Again(OnceAnswer),
    /// Another request has its key.
    Other,
}

/// What is known of a server, and what its user wants of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostRow {
    /// Its `scheme://host:port`, the port only where it is not the scheme's own.
    pub name: String,
    /// Connections that its refusals suggest, and when one more is tried.
    pub learned_cap: Option<(u32, i64)>,
    /// Refusals that the cap rests on.
    pub refusals: u32,
    /// Connections that one job found to be worth it.
    pub useful_connections: Option<u32>,
    /// What one connection typically gives.
    pub bytes_per_second: Option<u64>,
    /// How long an answer typically takes.
    pub answer_time_ms: Option<u64>,
    /// Until when it is left alone.
    pub blocked_until_ms: Option<i64>,
    /// Why it last refused a connection or was left alone.
    pub fault: Option<HostFault>,
    /// Connections that its user allows.
    pub connections_max: Option<u32>,
    /// Bytes per second that its user allows.
    pub bandwidth_limit: Option<u64>,
    /// When any of this last changed.
    pub updated_at_ms: i64,
}

/// What went wrong with a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFault {
    /// The stable code.
    pub code: String,
    /// The status that it answered, if it did.
    pub status: Option<u16>,
    /// One fragment for people.
    pub message: String,
    /// When it happened.
    pub at_ms: i64,
}
