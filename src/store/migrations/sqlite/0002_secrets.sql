CREATE TABLE secrets (
    tenant     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    -- Which of the operator's keys it is encrypted with.
    key_id     TEXT    NOT NULL,
    nonce      BLOB    NOT NULL,
    -- XChaCha20-Poly1305 over the value, bound to the tenant and the name.
    value      BLOB    NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;
