-- What scripts are to do: waiting, under way, and given up. What is done is gone.
CREATE TABLE jobs (
    -- In the order in which they came.
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant       TEXT    NOT NULL,
    -- A version 7 UUID. Its first execution has the same.
    id           TEXT    NOT NULL,
    -- The script's id.
    script       TEXT    NOT NULL,
    -- event, cron, oneoff or api.
    triggered_by TEXT    NOT NULL,
    -- NULL: the script's own.
    entry        TEXT,
    -- NULL: the one that is deployed by then.
    version      INTEGER,
    -- The argument as JSON text. NULL: the event that caused it.
    input        TEXT,
    -- The id of that event.
    cause        TEXT,
    -- How many events led to it.
    depth        INTEGER NOT NULL,
    -- Whom it runs as, as JSON. NULL: the script's service account.
    caller       TEXT,
    -- waiting, delayed (until run_at), blocked (by another one with its order key),
    -- running or dead.
    state        TEXT    NOT NULL,
    -- The higher, the earlier.
    priority     INTEGER NOT NULL,
    run_at       INTEGER NOT NULL,
    -- Those of a script with the same key run one after the other.
    order_key    TEXT,
    dedup_key    TEXT,
    -- Those that have begun, and how many may.
    attempt      INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    -- Who runs it.
    host         TEXT,
    -- Why the last attempt failed, as JSON.
    error        TEXT,
    bytes        INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    -- Since when it is in its state.
    changed_at   INTEGER NOT NULL,
    UNIQUE (tenant, id)
) STRICT;

CREATE INDEX jobs_waiting ON jobs (tenant, priority DESC, run_at, number) WHERE state = 'waiting';
CREATE INDEX jobs_delayed ON jobs (run_at) WHERE state = 'delayed';
CREATE INDEX jobs_running ON jobs (host) WHERE state = 'running';
CREATE INDEX jobs_dead ON jobs (tenant, changed_at) WHERE state = 'dead';
CREATE INDEX jobs_ordered ON jobs (tenant, script, order_key, number) WHERE order_key IS NOT NULL;
CREATE INDEX jobs_caused ON jobs (tenant, cause) WHERE cause IS NOT NULL;
CREATE UNIQUE INDEX jobs_dedup ON jobs (tenant, dedup_key) WHERE dedup_key IS NOT NULL;

-- Those that run jobs.
CREATE TABLE hosts (
    id          TEXT    NOT NULL PRIMARY KEY,
    -- After that, what it runs is lost.
    alive_until INTEGER NOT NULL
) STRICT;

-- The attempt of a job that an execution is, and the event that caused it.
ALTER TABLE executions ADD COLUMN job TEXT;
ALTER TABLE executions ADD COLUMN attempt INTEGER;
ALTER TABLE executions ADD COLUMN cause TEXT;

CREATE UNIQUE INDEX executions_attempts ON executions (tenant, job, attempt) WHERE job IS NOT NULL;
CREATE INDEX executions_caused ON executions (tenant, cause) WHERE cause IS NOT NULL;
