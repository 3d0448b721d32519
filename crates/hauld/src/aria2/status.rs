//! What a job is like, in the words of aria2: every number is a text.

use std::collections::BTreeSet;

use haul_api::{Job, JobState};
use haul_store::{ChunkRow, JobRow};
use serde_json::{Map, Value, json};

use super::secret;
use crate::access::Caller;

/// Bytes of a piece at least. What aria2 calls pieces is a grid of its own, as our chunks have many lengths.
const PIECE_BYTES_MIN: u64 = 1 << 20;

/// Pieces at most: front ends draw no more.
const PIECES_MAX: u64 = 10_240;

/// What stands for the end by a user's wish among the error codes.
const REMOVED: &str = "31";

/// The one word for where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Active,
    Waiting,
    Paused,
    Error,
    Complete,
    Removed,
}

impl Status {
    pub(super) fn of(job: &Job) -> Self {
        match job.state {
            // It is complete, and somebody wants to know whether it still is what it was.
            JobState::Verifying if job.finished_at.is_some() => Self::Complete,
            JobState::Probing | JobState::Active | JobState::Verifying => Self::Active,
            JobState::Queued | JobState::Waiting => Self::Waiting,
            JobState::Paused => Self::Paused,
            JobState::Failed => Self::Error,
            JobState::Completed => Self::Complete,
            JobState::Canceled => Self::Removed,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Error => "error",
            Self::Complete => "complete",
            Self::Removed => "removed",
        }
    }

    pub(super) fn is_stopped(self) -> bool {
        match self {
            Self::Error | Self::Complete | Self::Removed => true,
            Self::Active | Self::Waiting | Self::Paused => false,
        }
    }
}

/// What a client wants to know of jobs; everything, where it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys(Option<BTreeSet<String>>);

impl Keys {
    /// An empty list is as good as none.
    pub(super) fn of(names: Option<&[Value]>) -> Self {
        let names = names.filter(|names| !names.is_empty());
        Self(names.map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.as_ref().is_none_or(|keys| keys.contains(key))
    }
}

/// A job with what it is called.
pub(super) struct Known {
    pub(super) gid: String,
    pub(super) row: JobRow,
    pub(super) job: Job,
}

impl Known {
    pub(super) fn status(&self) -> Status {
        Status::of(&self.job)
    }

    /// What is told of it. `chunks` are known where its pieces are to be told, too.
    pub(super) fn told(&self, keys: &Keys, chunks: Option<&[ChunkRow]>) -> Value {
        let (job, status) = (&self.job, self.status());
        let mut told = Map::new();
        let mut put = |key: &str, value: &dyn Fn() -> Value| {
            if keys.has(key) {
                told.insert(key.to_owned(), value());
            }
        };
        let total = job.total_bytes.unwrap_or(0);
        let piece = piece_bytes(total);
        put("gid", &|| json!(self.gid));
        put("status", &|| json!(status.word()));
        put("totalLength", &|| number(total));
        put("completedLength", &|| number(job.done_bytes));
        put("uploadLength", &|| number(0));
        put("downloadSpeed", &|| number(job.speed));
        put("uploadSpeed", &|| number(0));
        put("connections", &|| number(job.connections.active.into()));
        put("numPieces", &|| number(total.div_ceil(piece)));
        put("pieceLength", &|| number(piece));
        put("dir", &|| json!(self.row.wish.dir));
        put("files", &|| self.files());
        if let Some(chunks) = chunks
            && let Some(field) = bitfield(total, piece, status, chunks)
        {
            put("bitfield", &|| json!(field));
        }
        if status.is_stopped() {
            put("errorCode", &|| json!(self.error_code()));
            put("errorMessage", &|| json!(self.error_message()));
        }
        if status == Status::Active && job.state == JobState::Verifying {
            put("verifyIntegrityPending", &|| json!("true"));
        }
        Value::Object(told)
    }

    /// Its one file.
    pub(super) fn files(&self) -> Value {
        json!([{
            "index": "1",
            "path": self.job.path.as_deref().unwrap_or_default(),
            "length": number(self.job.total_bytes.unwrap_or(0)),
            "completedLength": number(self.job.done_bytes),
            "selected": "true",
            "uris": self.uris(),
        }])
    }

    /// Where the file is to be had, each place once.
    pub(super) fn uris(&self) -> Value {
        let places = self.urls().into_iter().zip(&self.job.mirrors);
        let places = places.enumerate().map(|(index, (uri, mirror))| {
            let is_used = index == 0 || mirror.connections > 0 || mirror.done_bytes.is_some_and(|bytes| bytes > 0);
            json!({"uri": uri, "status": if is_used { "used" } else { "waiting" }})
        });
        places.collect()
    }

    /// The servers that it is fetched from.
    pub(super) fn servers(&self) -> Value {
        let places = self.urls().into_iter().zip(&self.job.mirrors);
        let used = places.enumerate().filter(|(index, (_, mirror))| *index == 0 || mirror.connections > 0);
        let servers = used
            .map(|(_, (uri, mirror))| json!({"uri": uri, "currentUri": uri, "downloadSpeed": number(mirror.speed)}));
        json!([{"index": "1", "servers": servers.collect::<Value>()}])
    }

    /// Its URLs as this caller may see them.
    fn urls(&self) -> Vec<String> {
        let wish = &self.row.wish;
        let urls = std::iter::once(&wish.url).chain(wish.mirrors.iter().map(|mirror| &mirror.url));
        urls.map(|url| secret::shown_url(url, &self.gid, Caller::current().sees_queries())).collect()
    }

    fn error_code(&self) -> &'static str {
        match self.status() {
            Status::Complete => "0",
            Status::Removed => REMOVED,
            Status::Error | Status::Active | Status::Waiting | Status::Paused => {
                self.job.reason.as_ref().map_or("1", |reason| error_code(&reason.code, &reason.message))
            }
        }
    }

    fn error_message(&self) -> &str {
        match self.status() {
            Status::Error => self.job.reason.as_ref().map_or("", |reason| &reason.message),
            Status::Complete | Status::Removed | Status::Active | Status::Waiting | Status::Paused => "",
        }
    }
}

/// A number as aria2 writes it.
pub(super) fn number(number: u64) -> Value {
    Value::String(number.to_string())
}

/// What aria2 calls a fault (its `src/error_code.h`).
fn error_code(code: &str, message: &str) -> &'static str {
    match code {
        "no-answer" | "stall" => "2",
        "dns" => "19",
        "connect" | "offline" | "reset" | "truncated" | "tls-failure" | "interference" => "6",
        "ranges-refused" | "source-changed" | "other-validator" | "bytes-differ" | "range-mismatch" => "8",
        "disk-full" => "9",
        "target-exists" => "13",
        "target-not-writable" | "target-unmounted" => "16",
        "io-error" | "too-large" => "17",
        "too-many-redirects" | "redirect-scheme" | "redirect-downgrade" => "23",
        "auth-required" | "proxy-auth-required" => "24",
        "checksum-mismatch" | "checksum-unavailable" => "32",
        "http-status" => match answered(message) {
            Some(404 | 410) => "3",
            Some(429 | 503) => "29",
            Some(_) | None => "22",
        },
        _ => "1",
    }
}

/// The status that a server has answered, which stands in the message alone.
fn answered(message: &str) -> Option<u16> {
    message.split("answered ").nth(1)?.get(..3)?.parse().ok()
}

/// Bytes of a piece of a file: so many that there are not too many pieces.
fn piece_bytes(total: u64) -> u64 {
    total.div_ceil(PIECES_MAX).next_power_of_two().max(PIECE_BYTES_MIN)
}

/// The pieces that are on the disk, the first one in the highest bit. `None` where nothing is known.
fn bitfield(total: u64, piece: u64, status: Status, chunks: &[ChunkRow]) -> Option<String> {
    let pieces = usize::try_from(total.div_ceil(piece)).ok().filter(|pieces| *pieces > 0)?;
    let mut bits = vec![0_u8; pieces.div_ceil(8)];
    let mut set = |from: u64, to: u64| {
        // The last piece may be a short one.
        let to = if to == total { pieces as u64 } else { to / piece };
        for index in from.div_ceil(piece)..to {
            if let Some(byte) = usize::try_from(index / 8).ok().and_then(|at| bits.get_mut(at)) {
                *byte |= 0x80 >> (index % 8);
            }
        }
    };
    if status == Status::Complete {
        set(0, total);
    } else {
        // Chunks lie side by side; what is there of several of them can make a piece.
        let mut there: Option<(u64, u64)> = None;
        for chunk in chunks {
            let (start, end) = (chunk.range.start, chunk.range.start + chunk.durable);
            there = match there {
                Some((from, to)) if to == start => Some((from, end)),
                Some((from, to)) => {
                    set(from, to);
                    Some((start, end))
                }
                None => Some((start, end)),
            };
        }
        if let Some((from, to)) = there {
            set(from, to);
        }
    }
    Some(bits.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use haul_core::{ByteRange, MirrorIndex};

    use super::*;

    fn chunk(start: u64, end: u64, durable: u64) -> ChunkRow {
        ChunkRow {
            range: ByteRange::new(start, end),
            durable,
            written: durable,
            state: "ready",
            retries: 0,
            strikes: 0,
            mirror: MirrorIndex(0),
            digest: None,
        }
    }

    #[test]
    fn a_piece_is_there_when_all_of_it_is() {
        const MIB: u64 = 1 << 20;
        let field = |total, chunks: &[ChunkRow]| bitfield(total, piece_bytes(total), Status::Active, chunks);
        let total = 10 * MIB + 5;
        assert_eq!(field(0, &[]), None);
        assert_eq!(field(total, &[]).as_deref(), Some("0000"));
        assert_eq!(field(total, &[chunk(0, total, MIB - 1)]).as_deref(), Some("0000"));
        assert_eq!(field(total, &[chunk(0, total, MIB)]).as_deref(), Some("8000"));
        let half = MIB / 2;
        assert_eq!(
            field(total, &[chunk(0, half, half), chunk(half, total, half)]).as_deref(),
            Some("8000"),
            "two chunks can make a piece"
        );
        assert_eq!(field(total, &[chunk(0, half, half - 1), chunk(half, total, half)]).as_deref(), Some("0000"));
        assert_eq!(field(total, &[chunk(0, MIB, 0), chunk(MIB, total, total - MIB)]).as_deref(), Some("7fe0"));
        assert_eq!(bitfield(total, MIB, Status::Complete, &[]).as_deref(), Some("ffe0"));
    }

    #[test]
    fn large_files_have_large_pieces() {
        assert_eq!(piece_bytes(0), PIECE_BYTES_MIN);
        assert_eq!(piece_bytes(PIECES_MAX << 20), PIECE_BYTES_MIN);
        for total in [(PIECES_MAX << 20) + 1, 1 << 40, u64::MAX] {
            assert!(total.div_ceil(piece_bytes(total)) <= PIECES_MAX, "{total}");
        }
    }

    #[test]
    fn a_fault_has_the_code_that_clients_know() {
        for (code, message, expected) in [
            ("http-status", "https://h: answered 404 Not Found", "3"),
            ("http-status", "https://h: answered 403 Forbidden", "22"),
            ("http-status", "https://h: answered 503 Service Unavailable", "29"),
            ("http-status", "", "22"),
            ("checksum-mismatch", "", "32"),
            ("something-new", "", "1"),
        ] {
            assert_eq!(error_code(code, message), expected, "{code} {message}");
        }
    }

    #[test]
    fn keys_are_those_that_are_named() {
        assert!(Keys::of(None).has("gid") && Keys::of(Some(&[])).has("gid"));
        let keys = [json!("gid"), json!("nothing"), json!(7)];
        let keys = Keys::of(Some(&keys));
        assert!(keys.has("gid") && !keys.has("status"));
    }
}
