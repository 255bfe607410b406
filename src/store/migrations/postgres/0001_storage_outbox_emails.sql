-- Times are milliseconds since the Unix epoch. Every key leads with the tenant.
-- The twin of this file says what the columns are; text in keys is ordered by
-- its bytes, as there.

CREATE TABLE storage (
    tenant     TEXT COLLATE "C" NOT NULL,
    key        TEXT COLLATE "C" NOT NULL,
    value      TEXT   NOT NULL,
    expires_at BIGINT,
    bytes      BIGINT NOT NULL,
    PRIMARY KEY (tenant, key)
);

CREATE INDEX storage_expiry ON storage (tenant, expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE outbox (
    tenant     TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    name       TEXT   NOT NULL,
    data       TEXT   NOT NULL,
    script     TEXT   NOT NULL,
    execution  TEXT   NOT NULL,
    cause      TEXT,
    depth      BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE emails (
    tenant       TEXT COLLATE "C" NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    script       TEXT   NOT NULL,
    execution    TEXT   NOT NULL,
    to_addresses TEXT   NOT NULL,
    cc_addresses TEXT   NOT NULL,
    reply_to     TEXT,
    subject      TEXT   NOT NULL,
    body         TEXT   NOT NULL,
    html         TEXT,
    bytes        BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    sent_at      BIGINT,
    attempts     BIGINT NOT NULL DEFAULT 0,
    error        TEXT,
    PRIMARY KEY (tenant, id)
);

CREATE INDEX emails_queued ON emails (tenant, created_at) WHERE sent_at IS NULL;

CREATE TABLE usage (
    tenant TEXT COLLATE "C" NOT NULL,
    room   TEXT COLLATE "C" NOT NULL,
    items  BIGINT NOT NULL,
    bytes  BIGINT NOT NULL,
    PRIMARY KEY (tenant, room)
);
