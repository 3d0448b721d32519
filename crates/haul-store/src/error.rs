//! Why the store could not be opened, and why an operation was not carried out.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use haul_core::{Phase, Refusal};
use rusqlite::ErrorCode;

/// Why the database could not be opened. What it holds was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error("`{}` is in use by another process", path.display())]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// It belongs to another program.
    #[error("`{}` is a database of another program (application id {application_id})", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
        /// The mark of that program; 0 where it left none.
        application_id: u32,
    },
    /// A newer version of haul has written it.
    #[error("the database has schema {found}, and this version knows {known} at most; install the newer version again")]
    Newer {
        /// The schema of the file.
        found: u32,
        /// The newest schema that we know.
        known: u32,
    },
    /// Its content is damaged.
    #[error("the database is damaged: {detail}")]
    Corrupt {
        /// What was found.
        detail: String,
    },
    /// A migration differs from what was once applied under its number.
    #[error("migration {number} was changed after it had been applied to this database")]
    EditedMigration {
        /// The number of the migration.
        number: u32,
    },
    /// A file or directory is in the way.
    #[error("could not {action} `{}`", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no database.
    #[error("there is no database at `{}`", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A thread could not be started.
    #[error("could not start a thread of the store")]
    Thread(#[source] io::Error),
    /// SQLite failed for another reason.
    #[error("SQLite failed to open the database")]
    Sqlite(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { detail: error.to_string() },
            Some(_) | None => Self::Sqlite(error),
        }
    }
}

/// Why an operation had no effect.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk of the database is full.
    #[error("no space is left for the database")]
    Full,
    /// The store has been closed.
    #[error("the database has been closed")]
    Closed,
    /// Another file has taken the place of the database, or it was removed: what would be written now would be lost.
    #[error("the database was moved, removed or replaced while it was in use")]
    Replaced,
    /// The token has as many unfinished jobs as it may.
    #[error("this token may have {most} unfinished jobs at a time")]
    TooManyJobs {
        /// How many.
        most: u32,
    },
    /// Another job is called by the name that a client of the aria2 dialect has chosen.
    #[error("another job has this gid")]
    GidTaken,
    /// SQLite failed for another reason.
    #[error("the database failed")]
    Sqlite(#[source] Arc<rusqlite::Error>),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            return Self::Full;
        }
        Self::Sqlite(Arc::new(error))
    }
}

/// Why an action on a job was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActError {
    /// No job has this id.
    #[error("no job has this id")]
    Unknown,
    /// The job's phase does not allow it.
    #[error("{0}")]
    Refused(Refusal, Phase),
    /// The database did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a job's row was not changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// No job has this id.
    #[error("no job has this id")]
    Unknown,
    /// Another live job has reserved this name in this directory.
    #[error("another job is going to save under this name")]
    NameTaken,
    /// The job's phase does not allow it.
    #[error("the job is past that")]
    Past(Phase),
    /// It is not in the version that was expected.
    #[error("the job has changed")]
    Changed,
    /// The database did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An error that an operation of the writer can end with.
pub(crate) trait OpError: From<StoreError> + Send + 'static {
    /// The failure of the database behind it.
    fn store_error(&self) -> Option<&StoreError>;
}

impl OpError for StoreError {
    fn store_error(&self) -> Option<&StoreError> {
        Some(self)
    }
}

impl OpError for ActError {
    fn store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::Unknown | Self::Refused(..) => None,
        }
    }
}

impl OpError for UpdateError {
    fn store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::Unknown | Self::NameTaken | Self::Past(_) | Self::Changed => None,
        }
    }
}

impl From<rusqlite::Error> for ActError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<rusqlite::Error> for UpdateError {
    fn from(error: rusqlite::Error) -> Self {
        // The only unique index besides the primary keys is the one over (dir, name).
        let unique = rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE;
        if error.sqlite_error().is_some_and(|e| e.extended_code == unique) {
            return Self::NameTaken;
        }
        Self::Store(error.into())
    }
}
