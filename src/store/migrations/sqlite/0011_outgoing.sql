-- Events that are still to be sent to others.
CREATE TABLE outgoing (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT    NOT NULL,
    -- The event's id.
    event  TEXT    NOT NULL,
    -- Not before. While a host sends it, when others may.
    due_at INTEGER NOT NULL,
    UNIQUE (tenant, event)
) STRICT;

CREATE INDEX outgoing_due ON outgoing (due_at, number);
