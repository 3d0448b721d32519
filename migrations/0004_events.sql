-- What has happened to each job, and which jobs were at work when a run of the daemon ended without warning.
-- Times are Unix milliseconds.

-- Bounded: the oldest go first. The history of a job that is deleted goes with it; that it was deleted stays.
CREATE TABLE events (
    -- Ascending, never reused, in the order of the commits: a stream replays from it.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data TEXT -- JSON; what there is depends on the kind
) STRICT;

CREATE INDEX events_by_job ON events (job_id);

-- A row appears when a job is begun to be worked on and goes when that has brought bytes or has ended, whatever way. One
-- that is still there at the start means that the process has ended meanwhile.
CREATE TABLE at_work (
    job_id INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    runs INTEGER NOT NULL CHECK (runs > 0) -- of the daemon, one after the other, that have begun it
) STRICT;
