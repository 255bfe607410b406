CREATE TABLE jobs (
    number       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant       TEXT COLLATE "C" NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    script       TEXT COLLATE "C" NOT NULL,
    triggered_by TEXT   NOT NULL,
    entry        TEXT,
    version      BIGINT,
    input        TEXT,
    cause        TEXT COLLATE "C",
    depth        BIGINT NOT NULL,
    caller       TEXT,
    state        TEXT   NOT NULL,
    priority     BIGINT NOT NULL,
    run_at       BIGINT NOT NULL,
    order_key    TEXT COLLATE "C",
    dedup_key    TEXT COLLATE "C",
    attempt      BIGINT NOT NULL,
    attempts     BIGINT NOT NULL,
    host         TEXT COLLATE "C",
    error        TEXT,
    bytes        BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    changed_at   BIGINT NOT NULL,
    UNIQUE (tenant, id)
-- Every row of it is soon another one's place, and what is left behind slows
-- each look for what waits.
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX jobs_waiting ON jobs (tenant, priority DESC, run_at, number) WHERE state = 'waiting';
CREATE INDEX jobs_delayed ON jobs (run_at) WHERE state = 'delayed';
CREATE INDEX jobs_running ON jobs (host) WHERE state = 'running';
CREATE INDEX jobs_dead ON jobs (tenant, changed_at) WHERE state = 'dead';
CREATE INDEX jobs_ordered ON jobs (tenant, script, order_key, number) WHERE order_key IS NOT NULL;
CREATE INDEX jobs_caused ON jobs (tenant, cause) WHERE cause IS NOT NULL;
CREATE UNIQUE INDEX jobs_dedup ON jobs (tenant, dedup_key) WHERE dedup_key IS NOT NULL;

CREATE TABLE hosts (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    alive_until BIGINT NOT NULL
);

ALTER TABLE executions ADD COLUMN job TEXT COLLATE "C";
ALTER TABLE executions ADD COLUMN attempt BIGINT;
ALTER TABLE executions ADD COLUMN cause TEXT COLLATE "C";

CREATE UNIQUE INDEX executions_attempts ON executions (tenant, job, attempt) WHERE job IS NOT NULL;
CREATE INDEX executions_caused ON executions (tenant, cause) WHERE cause IS NOT NULL;
