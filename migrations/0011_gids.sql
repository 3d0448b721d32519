-- What clients of the aria2 dialect call jobs, and the order in which jobs wait.

-- Only what a client has chosen: all other gids follow from the ids of their jobs.
CREATE TABLE gids (
    job_id INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    gid TEXT NOT NULL UNIQUE CHECK (length(gid) = 16) -- hexadecimal digits in lower case
) STRICT;

-- Higher priorities first, then where their users have put them, then as they came. What stands in the middle is
-- `place_by_id` for those that nobody has put anywhere.
CREATE INDEX jobs_by_queue ON jobs (priority DESC, ifnull(place, id << 32), id)
WHERE deleted_at_ms IS NULL AND phase = 'fetching';
