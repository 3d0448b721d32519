-- What a job can be told besides: how its requests go, when it starts, where it stands in the queue. How the same wish is
-- found again. Deletions that can be taken back.
-- Times are Unix milliseconds.

ALTER TABLE jobs ADD COLUMN options TEXT; -- JSON; nothing of it is secret
ALTER TABLE jobs ADD COLUMN secrets TEXT CHECK (secrets IS NULL OR phase NOT IN ('completed', 'canceled')); -- JSON

ALTER TABLE jobs ADD COLUMN start_at_ms INTEGER; -- not before
ALTER TABLE jobs ADD COLUMN place INTEGER; -- among those of its priority; null: where it came

-- A digest of what makes two wishes the same.
ALTER TABLE jobs ADD COLUMN sameness BLOB CHECK (length(sameness) = 16);

-- Its request has an effect at its server.
ALTER TABLE jobs ADD COLUMN once INTEGER NOT NULL DEFAULT 0 CHECK (once IN (0, 1));

-- Once it is deleted for good, what it saved goes, too.
ALTER TABLE jobs ADD COLUMN delete_files INTEGER NOT NULL DEFAULT 0 CHECK (delete_files IN (0, 1));

CREATE INDEX jobs_by_sameness ON jobs (sameness)
WHERE sameness IS NOT NULL AND deleted_at_ms IS NULL AND phase IN ('fetching', 'verifying', 'completed');
