//! Remembers jobs, their chunks and their history, and hosts in one SQLite file.
//!
//! The store carries out what it is told and keeps its rows consistent; it decides nothing. One thread writes, with
//! two connections: one whose commits survive a power cut, and one whose commits survive the end of the process and
//! cost no sync (the [`written`](Store::mark_written) marks). A few threads read. No async thread ever touches SQLite.
//!
//! What holds at every commit:
//!
//! - operations are committed in the order of their submission, whichever connection carries them out;
//! - `durable <= written <= length` in each row of `chunks`, and the sums in `jobs` are the sums of these rows;
//! - a job that is completed or canceled stays so, and has no secret headers;
//! - two jobs that may still write never share a final path;
//! - what changes a job's state stands in `events`, in the same transaction, and in the `outbox` of whoever wants to be told.

mod cursor;
mod error;
mod event;
mod inspect;
mod open;
mod place;
mod reader;
mod rows;
mod schema;
mod store;
mod token;
mod types;
mod writer;

pub use cursor::ParseCursorError;
pub use error::{ActError, OpenError, StoreError, UpdateError};
pub use event::{EventFilter, EventKind, EventPage, JobEvent, NewEvent, Target, Untold, UntoldId};
pub use inspect::{Checked, Copied, back_up, check, sqlite_version};
pub use open::Opened;
pub use store::Store;
pub use token::{NewToken, Scope, TokenId, TokenRow};
pub use types::{
    Backlog, ChunkRow, Counts, Cursor, Filter, HostFault, HostRow, Identity, Inserted, JobPatch, JobRow, JobRows,
    Maker, Mirror, NewJob, OnChange, OnConflict, OnDuplicate, Once, OnceAnswer, OnceRequest, Order, Page, Part,
    PhaseChange, Pieces, Private, Reason, RowDigest, Sameness, Slice, SortBy, SortKey, Stamp, StateFilter, StoredJob,
    Validators, Waiting, Wish,
};
pub use writer::{Commit, Stats};
