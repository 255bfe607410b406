-- script, api or host.
ALTER TABLE outbox ADD COLUMN source TEXT NOT NULL DEFAULT 'script';
-- For whom it was published.
ALTER TABLE outbox ADD COLUMN user_id TEXT;
-- A second event of that name with the same one is this one.
ALTER TABLE outbox ADD COLUMN dedup_key TEXT;
-- When its handlers are to run. NULL: at once.
ALTER TABLE outbox ADD COLUMN deliver_at INTEGER;
-- 1: the host tells it, or it comes of such an event.
ALTER TABLE outbox ADD COLUMN lifecycle INTEGER NOT NULL DEFAULT 0;
-- What it takes up.
ALTER TABLE outbox ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;

UPDATE outbox SET bytes = length(CAST(name AS BLOB)) + length(CAST(data AS BLOB));

CREATE UNIQUE INDEX outbox_dedup ON outbox (tenant, name, dedup_key) WHERE dedup_key IS NOT NULL;
CREATE INDEX outbox_created ON outbox (tenant, created_at);
