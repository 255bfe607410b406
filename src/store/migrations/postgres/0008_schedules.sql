-- The twin of this file says what the columns are.

CREATE TABLE schedules (
    tenant     TEXT COLLATE "C" NOT NULL,
    script     TEXT COLLATE "C" NOT NULL,
    stored     BIGINT NOT NULL,
    cron       TEXT   NOT NULL,
    enabled    BIGINT NOT NULL,
    paused     BIGINT NOT NULL,
    settled_to BIGINT NOT NULL,
    next_at    BIGINT,
    PRIMARY KEY (tenant, script)
);

CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE ticks (
    tenant     TEXT COLLATE "C" NOT NULL,
    script     TEXT COLLATE "C" NOT NULL,
    tick       BIGINT NOT NULL,
    fate       TEXT   NOT NULL,
    reason     TEXT,
    job        TEXT COLLATE "C",
    settled_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, script, tick)
);

CREATE INDEX jobs_scheduled ON jobs (tenant, script) WHERE triggered_by = 'cron' AND state <> 'dead';
