//! What requests with a key were answered.

use rusqlite::{Connection, OptionalExtension, named_params, params};

use crate::{OnceAnswer, OnceRequest};

/// How long a key is known. Specified by what others do: a day.
const KEPT_MS: i64 = 24 * 3600 * 1000;

/// Keys that are known at once; the oldest go first. A guess: one every ten seconds.
const KEYS_MAX: i64 = 10_000;

/// Bytes of answers that are kept. A guess: eight batches of 10,000 jobs.
const BYTES_MAX: i64 = 64 << 20;

/// What is known of a key.
pub(crate) enum Known {
    /// Nothing.
    No,
    /// The same request was answered so.
    Same(OnceAnswer),
    /// Another request has it.
    Other,
}

/// Looks a request up.
pub(crate) fn find(conn: &Connection, request: &OnceRequest, now_ms: i64) -> rusqlite::Result<Known> {
    let mut select = conn.prepare_cached(SELECT)?;
    let found: Option<(Vec<u8>, OnceAnswer)> = select
        .query_row(params![request.key, now_ms.saturating_sub(KEPT_MS)], |row| {
            Ok((row.get(0)?, OnceAnswer { status: row.get(1)?, location: row.get(2)?, body: row.get(3)? }))
        })
        .optional()?;
    Ok(match found {
        None => Known::No,
        Some((digest, answer)) if digest == request.digest => Known::Same(answer),
        Some(_) => Known::Other,
    })
}

/// Remembers what a request was answered, and forgets what is too old or too much.
pub(crate) fn put(conn: &Connection, request: &OnceRequest, answer: &OnceAnswer, now_ms: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM requests WHERE at_ms < ?1")?.execute([now_ms.saturating_sub(KEPT_MS)])?;
    conn.prepare_cached(INSERT)?.execute(named_params! {
        ":key": request.key,
        ":digest": request.digest,
        ":status": answer.status,
        ":location": answer.location,
        ":body": answer.body,
        ":now": now_ms,
    })?;
    conn.prepare_cached(TRIM)?.execute([KEYS_MAX, BYTES_MAX])?;
    Ok(())
}

const SELECT: &str = "SELECT digest, status, location, body FROM requests WHERE key = ?1 AND at_ms >= ?2";

const INSERT: &str = "
    INSERT OR REPLACE INTO requests (key, digest, status, location, body, at_ms)
    VALUES (:key, :digest, :status, :location, :body, :now)";

/// Keeps the newest ones, and of those whose answers are too many together all but the oldest.
const TRIM: &str = "
    DELETE FROM requests WHERE rowid IN (
        SELECT id FROM (
            SELECT rowid AS id, row_number() OVER newest AS place, sum(length(body)) OVER newest AS bytes
            FROM requests WINDOW newest AS (ORDER BY at_ms DESC, rowid DESC)
        ) WHERE place > ?1 OR (bytes > ?2 AND place > 1)
    )";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::MIGRATIONS;

    fn database() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        for migration in MIGRATIONS {
            conn.execute_batch(migration.sql).unwrap();
        }
        conn
    }

    fn request(key: &str) -> OnceRequest {
        OnceRequest { key: key.to_owned(), digest: vec![1] }
    }

    fn answer(bytes: usize) -> OnceAnswer {
        OnceAnswer { status: 201, location: None, body: vec![0; bytes] }
    }

    #[test]
    fn a_key_is_known_for_a_day() {
        let conn = database();
        put(&conn, &request("a"), &answer(1), 5).unwrap();
        assert!(matches!(find(&conn, &request("a"), 5 + KEPT_MS).unwrap(), Known::Same(same) if same == answer(1)));
        assert!(matches!(find(&conn, &request("a"), 6 + KEPT_MS).unwrap(), Known::No));
        let other = OnceRequest { digest: vec![2], ..request("a") };
        assert!(matches!(find(&conn, &other, 5).unwrap(), Known::Other));
        put(&conn, &other, &answer(1), 6 + KEPT_MS).unwrap();
        assert!(matches!(find(&conn, &other, 6 + KEPT_MS).unwrap(), Known::Same(_)));
    }

    #[test]
    fn keys_and_their_answers_are_bounded_and_the_newest_stay() {
        let conn = database();
        let many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10010)
            INSERT INTO requests SELECT n, x'01', 201, NULL, x'', n FROM n";
        conn.execute_batch(many).unwrap();
        put(&conn, &request("new"), &answer(1), 20_000).unwrap();
        let count = || conn.query_row("SELECT count(*) FROM requests", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count(), KEYS_MAX);
        assert!(matches!(find(&conn, &request("1"), 20_000).unwrap(), Known::No), "the oldest is gone");
        put(&conn, &request("large"), &answer(40 << 20), 20_001).unwrap();
        put(&conn, &request("larger"), &answer(60 << 20), 20_002).unwrap();
        assert!(matches!(find(&conn, &request("larger"), 20_002).unwrap(), Known::Same(_)));
        assert_eq!(count(), 1);
    }
}
