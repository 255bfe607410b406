-- PostgreSQL lets every role do these, and no grant is asked. None of them
-- answers anything of another tenant's or changes it, but some reach beyond the transaction,
-- tell counts, or take off a limit: the parser keeps them all out.

-- Settings of the session. A forged token is of no use, and the host sets the
-- timeouts again in every transaction.
SET airlock.tenant = 'x'
SET statement_timeout = 0
SET lock_timeout = 0
SET idle_in_transaction_session_timeout = 0
SET work_mem = '1GB'
SET search_path = pg_catalog
SET row_security = off
SET max_parallel_workers_per_gather = 8
SET application_name = 'x'
SHOW airlock.tenant
SHOW ALL
RESET ALL
DISCARD ALL
SET ROLE NONE
ALTER ROLE CURRENT_USER PASSWORD 'x'
ALTER ROLE CURRENT_USER SET statement_timeout = 0

-- Transactions, cursors, prepared statements
COMMIT
ROLLBACK
BEGIN; SAVEPOINT s; ROLLBACK TO s; COMMIT
PREPARE p AS SELECT * FROM clients; EXECUTE p; DEALLOCATE p
BEGIN; DECLARE c CURSOR FOR SELECT * FROM clients; FETCH ALL FROM c; COMMIT
DECLARE c CURSOR WITH HOLD FOR SELECT * FROM clients; FETCH ALL FROM c

-- Other sessions
LISTEN channel
NOTIFY channel, 'x'
UNLISTEN *
BEGIN; LOCK TABLE clients; COMMIT
SELECT * FROM clients FOR UPDATE

-- Estimates of how many rows all tenants have
EXPLAIN SELECT * FROM clients
EXPLAIN ANALYZE SELECT * FROM orders

-- The names of tables, roles and functions
SELECT 'secrets'::regclass
SELECT 10::regrole
SELECT to_jsonb(1260::regclass)

-- What the host asks on the same connections: whom a token is for, and of which
-- types parameters and columns are
SELECT pg_backend_pid()
SELECT * FROM pg_attribute
SELECT * FROM pg_enum
SELECT * FROM pg_index
SELECT * FROM pg_range
SELECT * FROM pg_type

-- Without effect: the server warns and grants nothing
GRANT SELECT ON clients TO PUBLIC

-- A tenant's own rows
SELECT * FROM clients TABLESAMPLE system (100)
SELECT ctid, xmin, tableoid, * FROM clients
TABLE clients
ANALYZE clients
VACUUM clients
