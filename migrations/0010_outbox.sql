-- What the bounds have cut off the history, and what webhooks and hooks have still to be told.
-- Times are Unix milliseconds.

-- Up to which event something is missing, for whoever replays: of one job, or (0) of all of them.
CREATE TABLE events_cut (
    job_id INTEGER PRIMARY KEY,
    up_to INTEGER NOT NULL
) STRICT;

INSERT INTO events_cut
SELECT 0, (SELECT min(id) FROM events) - 1 WHERE (SELECT min(id) FROM events) > 1;

-- Who wants to be told of events: the configuration says so, anew at each start.
CREATE TABLE targets (
    name TEXT PRIMARY KEY,
    kinds TEXT NOT NULL, -- JSON: the kinds of events
    labels TEXT NOT NULL -- JSON: the labels of their jobs; none means all jobs
) STRICT;

-- Events that a target has not been told of yet: written by the same transaction as the event, removed once it is told.
-- Bounded for each target: the oldest go first.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL REFERENCES targets (name) ON DELETE CASCADE,
    event_id INTEGER NOT NULL,
    job_id INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data TEXT, -- JSON
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0)
) STRICT;

CREATE INDEX outbox_by_target ON outbox (target, id);
