CREATE TABLE executions (
    tenant       TEXT COLLATE "C" NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    script_id    TEXT   NOT NULL,
    script       TEXT   NOT NULL,
    version      BIGINT,
    triggered_by TEXT   NOT NULL,
    user_id      TEXT,
    trace_id     TEXT,
    status       TEXT   NOT NULL,
    started_at   BIGINT NOT NULL,
    ended_at     BIGINT,
    queue_us     BIGINT,
    duration_us  BIGINT,
    fuel         BIGINT,
    memory_bytes BIGINT,
    host_calls   BIGINT,
    error        TEXT,
    result       TEXT,
    result_bytes BIGINT,
    log_lines    BIGINT NOT NULL,
    alive_at     BIGINT,
    cancel_at    BIGINT,
    bytes        BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE INDEX executions_started ON executions (tenant, started_at, id);

CREATE INDEX executions_not_completed ON executions (tenant, status, started_at, id) WHERE status <> 'completed';

CREATE TABLE execution_logs (
    tenant    TEXT COLLATE "C" NOT NULL,
    execution TEXT COLLATE "C" NOT NULL,
    first     BIGINT NOT NULL,
    count     BIGINT NOT NULL,
    lines     TEXT   NOT NULL,
    PRIMARY KEY (tenant, execution, first),
    FOREIGN KEY (tenant, execution) REFERENCES executions (tenant, id) ON DELETE CASCADE
);
