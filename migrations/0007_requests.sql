-- Which requests have been answered, which version of a job a client has seen, and orders of lists.
-- Times are Unix milliseconds.

-- Counts what a client can see change, but for progress.
ALTER TABLE jobs ADD COLUMN version INTEGER NOT NULL DEFAULT 1 CHECK (version > 0);

-- What lists can be ordered by, without nulls, so that a page can begin behind any row. Rowids break ties.
ALTER TABLE jobs ADD COLUMN order_filename TEXT GENERATED ALWAYS AS (ifnull(name, ifnull(filename, ''))) VIRTUAL;
ALTER TABLE jobs ADD COLUMN order_total_bytes INTEGER GENERATED ALWAYS AS (ifnull(total_bytes, -1)) VIRTUAL;
ALTER TABLE jobs ADD COLUMN order_finished_ms INTEGER GENERATED ALWAYS AS (ifnull(finished_at_ms, -1)) VIRTUAL;
CREATE INDEX jobs_by_priority ON jobs (priority) WHERE deleted_at_ms IS NULL;
CREATE INDEX jobs_by_filename ON jobs (order_filename) WHERE deleted_at_ms IS NULL;
CREATE INDEX jobs_by_total_bytes ON jobs (order_total_bytes) WHERE deleted_at_ms IS NULL;
CREATE INDEX jobs_by_finished ON jobs (order_finished_ms) WHERE deleted_at_ms IS NULL;

-- What submits with an `Idempotency-Key` were answered. Bounded; kept for a day.
CREATE TABLE requests (
    key TEXT PRIMARY KEY,
    digest BLOB NOT NULL, -- of the request
    status INTEGER NOT NULL,
    location TEXT,
    body BLOB NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX requests_by_time ON requests (at_ms);
