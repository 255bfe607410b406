-- Requests of other services that were let in by their signature, so that none
-- is let in twice.
CREATE TABLE webhook_deliveries (
    tenant     TEXT    NOT NULL,
    -- SHA-256 of what was signed, and for which script.
    id         BLOB    NOT NULL,
    bytes      INTEGER NOT NULL,
    -- From then on its signature is too old by itself.
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE INDEX webhook_deliveries_expiry ON webhook_deliveries (tenant, expires_at);

-- Requests that came with an Idempotency-Key, and what they were answered.
CREATE TABLE idempotent_requests (
    tenant      TEXT    NOT NULL,
    -- SHA-256 of the user's id and the key.
    id          BLOB    NOT NULL,
    -- SHA-256 of what was asked, and with which permissions.
    fingerprint BLOB    NOT NULL,
    -- The id of what the request makes. It stays when the request is done again.
    makes       TEXT    NOT NULL,
    -- Who does it: random for each try.
    try         TEXT    NOT NULL,
    -- Until when that try is believed to go on. NULL: it has ended.
    busy_until  INTEGER,
    -- The answer; NULL while there is none, and where it was too large to keep.
    status      INTEGER,
    headers     TEXT,
    body        BLOB,
    -- The body is encrypted under a key of what the caller has: it holds a secret.
    sealed      INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE INDEX idempotent_requests_expiry ON idempotent_requests (tenant, expires_at);
