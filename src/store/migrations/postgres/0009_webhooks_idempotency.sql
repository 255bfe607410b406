-- The twin of this file says what the columns are.

CREATE TABLE webhook_deliveries (
    tenant     TEXT COLLATE "C" NOT NULL,
    id         BYTEA  NOT NULL,
    bytes      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE INDEX webhook_deliveries_expiry ON webhook_deliveries (tenant, expires_at);

CREATE TABLE idempotent_requests (
    tenant      TEXT COLLATE "C" NOT NULL,
    id          BYTEA  NOT NULL,
    fingerprint BYTEA  NOT NULL,
    makes       TEXT   NOT NULL,
    try         TEXT   NOT NULL,
    busy_until  BIGINT,
    status      BIGINT,
    headers     TEXT,
    body        BYTEA,
    sealed      BIGINT NOT NULL,
    bytes       BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE INDEX idempotent_requests_expiry ON idempotent_requests (tenant, expires_at);
