-- Times are milliseconds since the Unix epoch. Every key leads with the tenant.

CREATE TABLE storage (
    tenant     TEXT   NOT NULL,
    -- Listed in byte order, which is SQLite's default; PostgreSQL needs COLLATE "C".
    key        TEXT   NOT NULL,
    -- JSON text.
    value      TEXT   NOT NULL,
    -- NULL keeps the value for good.
    expires_at INTEGER,
    -- Of the key and the value together.
    bytes      INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT;

CREATE INDEX storage_expiry ON storage (tenant, expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE outbox (
    tenant     TEXT    NOT NULL,
    -- A version 7 UUID, so that the key is in the order of publishing.
    id         TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    -- JSON text.
    data       TEXT    NOT NULL,
    script     TEXT    NOT NULL,
    execution  TEXT    NOT NULL,
    -- The event whose handler published this one. NULL starts a chain.
    cause      TEXT,
    -- How many events led to this one.
    depth      INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE TABLE emails (
    tenant       TEXT    NOT NULL,
    -- A version 7 UUID.
    id           TEXT    NOT NULL,
    script       TEXT    NOT NULL,
    execution    TEXT    NOT NULL,
    -- JSON arrays of addresses.
    to_addresses TEXT    NOT NULL,
    cc_addresses TEXT    NOT NULL,
    reply_to     TEXT,
    subject      TEXT    NOT NULL,
    body         TEXT    NOT NULL,
    html         TEXT,
    -- Of the subject, the body and the HTML.
    bytes        INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    -- NULL while the mail waits to be sent.
    sent_at      INTEGER,
    attempts     INTEGER NOT NULL DEFAULT 0,
    -- Why the last attempt failed.
    error        TEXT,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE INDEX emails_queued ON emails (tenant, created_at) WHERE sent_at IS NULL;

-- What a tenant takes up in a table, kept exact by whoever writes that table.
-- Counting it at every write would cost more the more there is.
CREATE TABLE usage (
    tenant TEXT    NOT NULL,
    -- The table: storage, outbox or emails.
    room   TEXT    NOT NULL,
    items  INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    PRIMARY KEY (tenant, room)
) STRICT;
