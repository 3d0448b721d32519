-- What happens to a job whose source has changed, what is kept of the version before, and what each server calls the
-- version that the job has.

ALTER TABLE jobs ADD COLUMN on_change TEXT NOT NULL DEFAULT 'restart' CHECK (on_change IN ('restart', 'fail'));

-- The part file of an earlier version, until the new one is complete.
ALTER TABLE jobs ADD COLUMN kept_part TEXT;

-- Its URL was replaced while it had bytes: what vouches for those of the one says nothing about those of the other.
ALTER TABLE jobs ADD COLUMN renewed INTEGER NOT NULL DEFAULT 0 CHECK (renewed IN (0, 1));

CREATE TABLE validators (
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL CHECK (position >= 0), -- of the mirror
    host TEXT NOT NULL, -- the host and port that answered
    etag TEXT,
    last_modified TEXT,
    date_is_strong INTEGER NOT NULL CHECK (date_is_strong IN (0, 1)),
    varies INTEGER NOT NULL CHECK (varies IN (0, 1)), -- it has several names for one version: none of them counts
    PRIMARY KEY (job_id, position, host)
) STRICT, WITHOUT ROWID;
