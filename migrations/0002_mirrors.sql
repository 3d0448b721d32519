-- Where else the file of a job is to be had, and which of these places its bytes came from.

-- Position 0 is the job's own URL, which stands in its row.
CREATE TABLE mirrors (
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL CHECK (position > 0),
    url TEXT NOT NULL,
    host TEXT NOT NULL, -- scheme://host:port
    priority INTEGER CHECK (priority > 0), -- as whoever named it ranks it: 1 is the best, null is no rank
    PRIMARY KEY (job_id, position)
) STRICT, WITHOUT ROWID;

-- The position of the mirror that gave the row's bytes.
ALTER TABLE chunks ADD COLUMN mirror INTEGER NOT NULL DEFAULT 0 CHECK (mirror >= 0);

-- The position of the mirror that described the file: `etag`, `last_modified` and `final_url` are its.
ALTER TABLE jobs ADD COLUMN source_mirror INTEGER NOT NULL DEFAULT 0 CHECK (source_mirror >= 0);
