-- When scripts run by the clock.
CREATE TABLE schedules (
    tenant     TEXT    NOT NULL,
    -- The script's id.
    script     TEXT    NOT NULL,
    -- 1: the script is in this database. 0: it is in the settings.
    stored     INTEGER NOT NULL,
    -- What its author has set, as JSON.
    cron       TEXT    NOT NULL,
    -- 1: the script can be called. 0: it is disabled, or has no deployed version.
    enabled    INTEGER NOT NULL,
    -- 1 or 0, as was said last, here or in what its author has set.
    paused     INTEGER NOT NULL,
    -- What becomes of the ticks up to then is decided.
    settled_to INTEGER NOT NULL,
    -- The tick after that. NULL: it rests.
    next_at    INTEGER,
    PRIMARY KEY (tenant, script)
) STRICT;

CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at IS NOT NULL;

-- Each time that a schedule has named. The key has it settled once, by whatever
-- number of hosts.
CREATE TABLE ticks (
    tenant     TEXT    NOT NULL,
    script     TEXT    NOT NULL,
    tick       INTEGER NOT NULL,
    -- queued, caught_up, missed or skipped.
    fate       TEXT    NOT NULL,
    -- Why it does not run.
    reason     TEXT,
    -- What runs for it.
    job        TEXT,
    -- When it was settled.
    settled_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, script, tick)
) STRICT;

-- The runs of a schedule that are not done.
CREATE INDEX jobs_scheduled ON jobs (tenant, script) WHERE triggered_by = 'cron' AND state <> 'dead';
