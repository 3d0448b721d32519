-- What the bytes of files were when they came, so that damage is found and mended.

-- CRC-32C of the bytes of a row, as they were received. It means nothing unless the row is done.
ALTER TABLE chunks ADD COLUMN digest INTEGER CHECK (digest BETWEEN 0 AND 4294967295);

-- What the part file looked like when it was left at rest; null while it is being written. Where it looks different at
-- the next start, somebody else has written to it.
ALTER TABLE jobs ADD COLUMN part_bytes INTEGER CHECK (part_bytes >= 0);
ALTER TABLE jobs ADD COLUMN part_modified_ns INTEGER
    CHECK ((part_modified_ns IS NULL) = (part_bytes IS NULL)); -- Unix nanoseconds
ALTER TABLE jobs ADD COLUMN part_changed_ns INTEGER
    CHECK ((part_changed_ns IS NULL) = (part_bytes IS NULL)); -- Unix nanoseconds

-- Where a file is that holds the checksum.
ALTER TABLE jobs ADD COLUMN checksum_url TEXT;

-- What was found when the file was last verified on demand, as JSON.
ALTER TABLE jobs ADD COLUMN verified TEXT;

-- The digests of a file's pieces, as whoever described it has told them.
CREATE TABLE pieces (
    job_id INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    length INTEGER NOT NULL CHECK (length > 0), -- of each piece but the last
    digests BLOB NOT NULL -- one after the other
) STRICT;
