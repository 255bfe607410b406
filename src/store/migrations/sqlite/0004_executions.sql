-- Each run of a script.
CREATE TABLE executions (
    tenant       TEXT    NOT NULL,
    -- A version 7 UUID.
    id           TEXT    NOT NULL,
    script_id    TEXT    NOT NULL,
    -- Its name at that time.
    script       TEXT    NOT NULL,
    -- NULL for a script of the settings.
    version      INTEGER,
    -- What started it: http, api, cron, event, manual, …
    triggered_by TEXT    NOT NULL,
    -- NULL where it ran for nobody.
    user_id      TEXT,
    -- In hexadecimal.
    trace_id     TEXT,
    -- running, completed, failed, timeout, limit, cancelled or lost.
    status       TEXT    NOT NULL,
    started_at   INTEGER NOT NULL,
    ended_at     INTEGER,
    -- Microseconds: how long it waited for a sandbox, and how long it ran.
    queue_us     INTEGER,
    duration_us  INTEGER,
    fuel         INTEGER,
    memory_bytes INTEGER,
    host_calls   INTEGER,
    -- JSON text.
    error        TEXT,
    -- JSON text. NULL where it is too large to be kept, or shows a secret.
    result       TEXT,
    result_bytes INTEGER,
    log_lines    INTEGER NOT NULL,
    -- When its host last said that it runs; NULL once it has ended.
    alive_at     INTEGER,
    -- When somebody asked its host to stop it.
    cancel_at    INTEGER,
    -- What it takes up, its log lines included.
    bytes        INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE INDEX executions_started ON executions (tenant, started_at, id);

-- Most complete; what did not is what people look for.
CREATE INDEX executions_not_completed ON executions (tenant, status, started_at, id) WHERE status <> 'completed';

CREATE TABLE execution_logs (
    tenant    TEXT    NOT NULL,
    execution TEXT    NOT NULL,
    -- The number of the first line, from 0.
    first     INTEGER NOT NULL,
    -- How many.
    count     INTEGER NOT NULL,
    -- JSON objects, one a line.
    lines     TEXT    NOT NULL,
    PRIMARY KEY (tenant, execution, first),
    FOREIGN KEY (tenant, execution) REFERENCES executions (tenant, id) ON DELETE CASCADE
) STRICT;
