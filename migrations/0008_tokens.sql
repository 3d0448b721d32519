-- Who may ask for what, and whose each job is.

CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32), -- SHA-256 of the token, which stands nowhere
    scope TEXT NOT NULL CHECK (scope IN ('admin', 'read', 'submit')),
    name TEXT NOT NULL,
    jobs_max INTEGER NOT NULL CHECK (jobs_max > 0), -- unfinished jobs that it may have at a time
    created_at_ms INTEGER NOT NULL,
    last_used_at_ms INTEGER, -- to the minute
    revoked_at_ms INTEGER -- jobs name it, so its row stays
) STRICT;

-- The token that a job was submitted with; null: the owner's own.
ALTER TABLE jobs ADD COLUMN token_id INTEGER REFERENCES tokens (id);

-- It may reach public addresses only, whoever changes it later.
ALTER TABLE jobs ADD COLUMN public_only INTEGER NOT NULL DEFAULT 0 CHECK (public_only IN (0, 1));

-- Values of `Authorization` by the URL whose requests carry them, as JSON: users and passwords that stood in URLs. Secret.
ALTER TABLE jobs ADD COLUMN credentials TEXT;

CREATE INDEX jobs_by_token ON jobs (token_id) WHERE deleted_at_ms IS NULL AND token_id IS NOT NULL;
