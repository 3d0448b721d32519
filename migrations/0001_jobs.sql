-- Jobs and their chunks, the daemon's live settings, and what the store remembers about itself.
-- Times are Unix milliseconds, sizes are bytes.

CREATE TABLE jobs (
    -- What people type: ascending, never reused.
    id INTEGER PRIMARY KEY AUTOINCREMENT,

    -- The wish.
    url TEXT NOT NULL,
    host TEXT NOT NULL, -- scheme://host:port
    dir TEXT NOT NULL,
    filename TEXT, -- null: the server decides
    expected_size INTEGER CHECK (expected_size >= 0),
    checksum TEXT,
    on_conflict TEXT NOT NULL CHECK (on_conflict IN ('rename', 'overwrite', 'fail')),
    headers TEXT, -- JSON; secret
    referrer TEXT,
    user_agent TEXT,
    connections INTEGER CHECK (connections > 0),
    bandwidth_limit INTEGER CHECK (bandwidth_limit >= 0), -- bytes per second
    priority INTEGER NOT NULL,
    label TEXT,

    -- How far it is.
    phase TEXT NOT NULL CHECK (phase IN ('fetching', 'verifying', 'completed', 'failed', 'canceled')),
    intent TEXT NOT NULL CHECK (intent IN ('run', 'pause')),
    reason_code TEXT,
    reason_message TEXT,
    reason_at_ms INTEGER,
    retry_at_ms INTEGER,
    restarts INTEGER NOT NULL DEFAULT 0 CHECK (restarts >= 0),

    -- The file as its server described it.
    total_bytes INTEGER CHECK (total_bytes >= 0),
    accepts_ranges INTEGER CHECK (accepts_ranges IN (0, 1)),
    etag TEXT,
    last_modified TEXT,
    final_url TEXT,

    -- The file on the disk.
    name TEXT, -- the final name that was decided on
    path TEXT, -- the whole final path, once it is known
    part_token TEXT NOT NULL CHECK (length(part_token) = 8),
    part_name TEXT,
    part_dev INTEGER, -- the bits of a u64
    part_ino INTEGER, -- the bits of a u64
    verification TEXT,

    -- Sums over the rows of `chunks`, kept in the same transactions.
    done_bytes INTEGER NOT NULL DEFAULT 0,
    durable_bytes INTEGER NOT NULL DEFAULT 0,
    chunks_done INTEGER NOT NULL DEFAULT 0,
    chunks_total INTEGER NOT NULL DEFAULT 0,

    created_at_ms INTEGER NOT NULL,
    started_at_ms INTEGER,
    finished_at_ms INTEGER,
    updated_at_ms INTEGER NOT NULL,
    deleted_at_ms INTEGER, -- hidden since; restored or removed soon

    CHECK ((reason_code IS NULL) = (reason_message IS NULL)),
    CHECK ((reason_code IS NULL) = (reason_at_ms IS NULL)),
    CHECK ((part_name IS NULL) = (part_dev IS NULL)),
    CHECK ((part_name IS NULL) = (part_ino IS NULL)),
    CHECK (headers IS NULL OR phase NOT IN ('completed', 'canceled'))
) STRICT;

-- Pages run from the newest id down; the rowid at the end of each index keeps that a range scan.
CREATE INDEX jobs_by_state ON jobs (phase, intent) WHERE deleted_at_ms IS NULL;
CREATE INDEX jobs_by_host ON jobs (host) WHERE deleted_at_ms IS NULL;
CREATE INDEX jobs_by_label ON jobs (label) WHERE deleted_at_ms IS NULL AND label IS NOT NULL;

-- Two jobs that may still write never share a final path.
CREATE UNIQUE INDEX jobs_by_live_name ON jobs (dir, name)
WHERE name IS NOT NULL AND deleted_at_ms IS NULL AND phase IN ('fetching', 'verifying', 'failed');

-- Each row is a range whose bytes that are there form a prefix. `durable` survives a power cut; `written` counts only
-- as long as the machine has not been restarted.
CREATE TABLE chunks (
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    start INTEGER NOT NULL CHECK (start >= 0),
    end_ INTEGER NOT NULL CHECK (end_ > start), -- one past the last byte
    durable INTEGER NOT NULL,
    written INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ready', 'active', 'backoff', 'done')),
    retries INTEGER NOT NULL CHECK (retries >= 0),
    strikes INTEGER NOT NULL CHECK (strikes >= 0),
    PRIMARY KEY (job_id, start),
    CHECK (0 <= durable AND durable <= written AND written <= end_ - start),
    CHECK ((state = 'done') = (written = end_ - start))
) STRICT, WITHOUT ROWID;

-- The daemon's settings that were changed while it ran.
CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The store's own notes: the boot id of its last run, and whether that run ended in order.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
