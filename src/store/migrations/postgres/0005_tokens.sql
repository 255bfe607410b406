CREATE TABLE tokens (
    tenant     TEXT COLLATE "C" NOT NULL,
    -- What stands in the token before its secret.
    id         TEXT COLLATE "C" NOT NULL,
    name       TEXT NOT NULL,
    -- The id of the user that it stands for.
    user_id    TEXT NOT NULL,
    -- 1: the settings list the user, whose permissions of now bound it. 0: a
    -- signed token named the user, and the scopes are all there is.
    listed     BIGINT NOT NULL,
    -- SHA-256 of the secret.
    digest     BYTEA NOT NULL,
    -- Permissions, as a JSON array.
    scopes     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- Who brings a token does not say whose it is.
CREATE UNIQUE INDEX tokens_by_id ON tokens (id);
