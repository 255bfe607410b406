CREATE TABLE outgoing (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant TEXT COLLATE "C" NOT NULL,
    event  TEXT COLLATE "C" NOT NULL,
    due_at BIGINT NOT NULL,
    UNIQUE (tenant, event)
);

CREATE INDEX outgoing_due ON outgoing (due_at, number);
