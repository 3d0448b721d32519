-- What was learned of each server, and what its user wants of it.
-- Times are Unix milliseconds.

CREATE TABLE hosts (
    name TEXT PRIMARY KEY, -- scheme://host:port, the port only where it is not the scheme's own

    -- Learned.
    learned_cap INTEGER CHECK (learned_cap > 0), -- connections that its refusals suggest
    holds_until_ms INTEGER, -- then one more is tried
    refusals INTEGER NOT NULL CHECK (refusals >= 0), -- that the cap rests on
    useful_connections INTEGER CHECK (useful_connections > 0), -- that one job found to be worth it
    bytes_per_second INTEGER CHECK (bytes_per_second >= 0), -- of one connection
    answer_time_ms INTEGER CHECK (answer_time_ms >= 0),
    blocked_until_ms INTEGER,
    fault_code TEXT, -- why it last refused a connection or was left alone
    fault_status INTEGER,
    fault_message TEXT,
    fault_at_ms INTEGER,

    -- Wished.
    connections_max INTEGER CHECK (connections_max > 0),
    bandwidth_limit INTEGER CHECK (bandwidth_limit > 0), -- bytes per second

    updated_at_ms INTEGER NOT NULL,

    CHECK ((learned_cap IS NULL) = (holds_until_ms IS NULL)),
    CHECK ((fault_code IS NULL) = (fault_message IS NULL)),
    CHECK ((fault_code IS NULL) = (fault_at_ms IS NULL)),
    CHECK (fault_code IS NOT NULL OR fault_status IS NULL)
) STRICT, WITHOUT ROWID;
