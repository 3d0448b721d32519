//! Opening: whose file is it, is it whole, is it of this version; and only then is anything written.
//!
//! The file, its `-wal` and its `-shm` are ours alone (0600), from the first moment on. A file named `.lock` beside it
//! keeps a second process out; it stays there for ever, since removing it would let two processes lock two files of
//! one name.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use haul_core::JobId;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tracing::{info, warn};

use crate::OpenError;
use crate::place::{Place, network_file_system};
use crate::rows::at_work;
use crate::schema::{self, Migration};

/// Since when the WAL-reset bug is gone: SQLite 3.51.3.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// Query threads. A guess: pages and single rows take well under a millisecond each.
pub(crate) const READERS: usize = 3;

/// What was found at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The file did not exist before.
    pub created: bool,
    /// The last run ended in order, or there was none; otherwise the whole file was checked.
    pub was_closed: bool,
    /// The machine has not been restarted since the last run, so that `written` marks counted.
    pub same_boot: bool,
    /// The copy that was made before the schema was changed.
    pub backup: Option<PathBuf>,
    /// Jobs that were being worked on when the process ended without warning, and in how many runs one after the other.
    pub at_work: BTreeMap<JobId, u32>,
}

/// Who may have the file open at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Several connections, through shared memory and a WAL.
    Wal,
    /// One connection: shared memory does not reach over a network.
    Exclusive,
}

impl Sharing {
    /// What the file system of `dir` permits (F-DB-11).
    pub(crate) fn of(dir: &Path) -> Result<Self, OpenError> {
        let Some(name) = network_file_system(dir).map_err(failed("look at", dir))? else {
            return Ok(Self::Wal);
        };
        warn!(dir = ?dir, file_system = name, "the database is on a network file system: slower, and only as safe as that");
        Ok(Self::Exclusive)
    }
}

/// The open connections and the lock that guards them.
pub(crate) struct Connections {
    /// None where only one connection may have the file.
    pub(crate) written: Option<Connection>,
    pub(crate) durable: Connection,
    /// None where only one connection may have the file.
    pub(crate) readers: Vec<Connection>,
    pub(crate) lock: File,
    pub(crate) place: Place,
}

/// Opens it; `sharing` is asked for the directory once that is there.
pub(crate) fn open(
    path: &Path,
    boot_id: &str,
    migrations: &[Migration],
    sharing: impl FnOnce(&Path) -> Result<Sharing, OpenError>,
) -> Result<(Connections, Opened), OpenError> {
    assert!(rusqlite::version_number() >= SQLITE_VERSION_MIN, "the bundled SQLite is too old to be trusted with a WAL");
    make_directory(path)?;
    let sharing = sharing(directory(path))?;
    let lock = lock(path)?;
    let known = migrations.last().map_or(0, |m| m.number);
    let created = !is_ours(path, known)?;
    if created {
        create(path)?;
    }
    restrict(path)?;
    let mut durable = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Until all is known to be well, closing must not change the file either.
    durable.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    if sharing == Sharing::Exclusive {
        // Before the first look: from then on nothing needs shared memory.
        schema::set_up_exclusive(&durable)?;
    }
    if created {
        schema::mark_as_ours(&durable)?;
    }
    let found = schema::version(&durable)?;
    refuse_newer(found, known)?;
    let was_closed = found == 0 || schema::was_closed(&durable)?;
    if !was_closed {
        refuse_damaged(&durable)?;
    }
    let journal = match sharing {
        Sharing::Wal => "WAL",
        Sharing::Exclusive => "TRUNCATE",
    };
    schema::set_up_writer(&durable, journal, "FULL")?;
    let backup = if 0 < found && found < known { Some(back_up(&durable, path, found)?) } else { None };
    schema::migrate(&mut durable, migrations, found)?;
    let same_boot = schema::note_opened(&mut durable, boot_id)?;
    let at_work = at_work::all(&durable)?;
    durable.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    let (written, readers) = match sharing {
        Sharing::Wal => (Some(written(path)?), (0..READERS).map(|_| reader(path)).collect::<Result<_, _>>()?),
        Sharing::Exclusive => (None, Vec::new()),
    };
    let place = Place::of(path).map_err(failed("look at", path))?;
    let connections = Connections { written, durable, readers, lock, place };
    let opened = Opened { created, was_closed, same_boot, backup, at_work };
    info!(
        path = ?path, sqlite = rusqlite::version(), schema = known, created, was_closed, same_boot, journal,
        "opened the database"
    );
    Ok((connections, opened))
}

fn make_directory(path: &Path) -> Result<(), OpenError> {
    let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) else {
        return Ok(());
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("create", dir))
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let lock_path = beside(path, ".lock");
    let file = private().create(true).truncate(false).open(&lock_path).map_err(failed("create", &lock_path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed("lock", &lock_path)(error)),
    }
}

/// Reads whose file it is and which schema it has, without SQLite, which would change something beside it. `false` means
/// that there is nothing yet. (File format: <https://sqlite.org/fileformat2.html#the_database_header>.)
pub(crate) fn is_ours(path: &Path, known: u32) -> Result<bool, OpenError> {
    let mut header = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed("open", path)(error)),
        Ok(file) => file.take(100).read_to_end(&mut header).map_err(failed("read", path))?,
    };
    if header.is_empty() {
        return Ok(false);
    }
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return Err(OpenError::Corrupt { detail: format!("`{}` does not begin like a database", path.display()) });
    }
    let field = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let application_id = field(68);
    if application_id != schema::APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned(), application_id });
    }
    refuse_newer(field(60), known)?;
    Ok(true)
}

fn refuse_newer(found: u32, known: u32) -> Result<(), OpenError> {
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    Ok(())
}

fn refuse_damaged(conn: &Connection) -> Result<(), OpenError> {
    warn!("the last run did not end in order; checking the database");
    match schema::find_damage(conn)? {
        None => Ok(()),
        Some(detail) => Err(OpenError::Corrupt { detail }),
    }
}

fn create(path: &Path) -> Result<(), OpenError> {
    private()
        .create(true)
        .truncate(false)
        .open(path)
        .and_then(|file| file.sync_all())
        .map_err(failed("create", path))?;
    sync_directory(path)
}

/// SQLite gives `-wal` and `-shm` the mode of the database itself.
fn restrict(path: &Path) -> Result<(), OpenError> {
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed("restrict", path))
}

fn back_up(conn: &Connection, path: &Path, found: u32) -> Result<PathBuf, OpenError> {
    let copy = beside(path, &format!(".schema-{found}.bak"));
    // One of an earlier try is incomplete or the same.
    match fs::remove_file(&copy) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("replace", &copy)(error));
        }
        Ok(()) | Err(_) => {}
    }
    copy_into(conn, &copy)?;
    info!(copy = ?copy, schema = found, "copied the database before changing its schema");
    Ok(copy)
}

/// Copies the database, as it is at this moment, into a new file that only its owner can read.
pub(crate) fn copy_into(conn: &Connection, copy: &Path) -> Result<(), OpenError> {
    let not_text = || failed("name", copy)(io::ErrorKind::InvalidFilename.into());
    let name = copy.to_str().ok_or_else(not_text)?;
    let file = private().create_new(true).open(copy).map_err(failed("create", copy))?;
    let copied = schema::back_up(conn, name).map_err(OpenError::from);
    let synced = copied.and_then(|()| file.sync_all().map_err(failed("sync", copy)));
    if synced.is_err() {
        // Half a copy must not be taken for one; the first error is the one to tell.
        fs::remove_file(copy).ok();
    }
    synced?;
    sync_directory(copy)
}

fn written(path: &Path) -> Result<Connection, OpenError> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    schema::set_up_writer(&conn, "WAL", "OFF")?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(conn)
}

fn reader(path: &Path) -> Result<Connection, OpenError> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    schema::set_up_reader(&conn)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(conn)
}

pub(crate) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    schema::set_up(&conn)?;
    Ok(conn)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn sync_directory(path: &Path) -> Result<(), OpenError> {
    let dir = directory(path);
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", dir))
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        Some(_) | None => Path::new("."),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { action, path, source }
}
