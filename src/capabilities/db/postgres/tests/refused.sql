-- A statement a line. It must fail for want of a privilege, SQLSTATE 42501, or
-- with the SQLSTATE behind it.

-- Another tenant's rows
INSERT INTO clients (tenant_id, id, email) VALUES ('globex', 9, 'x')
INSERT INTO clients (tenant_id, id, email) SELECT 'globex', 9, 'x'
INSERT INTO clients (tenant_id, id, email) VALUES ('acme', 1, 'x') ON CONFLICT (tenant_id, id) DO UPDATE SET tenant_id = 'globex'
UPDATE clients SET tenant_id = 'globex'
UPDATE clients SET tenant_id = 'globex' WHERE id = 1 RETURNING *
INSERT INTO clients (tenant_id, id, email) VALUES (NULL, 9, 'x')
MERGE INTO clients c USING (SELECT 'globex' AS t) s ON false WHEN NOT MATCHED THEN INSERT (tenant_id, id, email) VALUES (s.t, 9, 'x')
INSERT INTO orders (client_id) VALUES (2) -- 23503

-- Beyond what the tables' access says
INSERT INTO invoices (tenant_id, number) VALUES ('acme', 2)
UPDATE invoices SET number = 3
DELETE FROM invoices
SELECT * FROM secrets
SELECT value FROM secrets WHERE tenant_id = 'acme'
INSERT INTO secrets VALUES ('acme', 'x')
INSERT INTO currencies VALUES ('XXX')
DELETE FROM currencies
SELECT * FROM internal
TABLE internal
COPY internal TO STDOUT
TRUNCATE clients
TRUNCATE clients CASCADE
BEGIN; LOCK TABLE secrets
BEGIN; LOCK TABLE internal IN ACCESS SHARE MODE
SELECT last_value FROM orders_id_seq
SELECT setval('orders_id_seq', 1)
SELECT currval('orders_id_seq')
SELECT lastval()
ALTER SEQUENCE orders_id_seq RESTART
CREATE TABLE clients_copy (LIKE clients)
CREATE INDEX ON clients (email)
CREATE TRIGGER t BEFORE INSERT ON clients FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()
ALTER TABLE clients ADD COLUMN x int
COMMENT ON TABLE clients IS 'x'

-- Tokens
SELECT set_config('airlock.tenant', 'x', false)
SELECT set_config('airlock.tenant', 'x', true) FROM clients
WITH x AS MATERIALIZED (SELECT set_config('airlock.tenant', 'x', true)) SELECT * FROM x, clients
SELECT pg_catalog.set_config('role', 'postgres', false)
SELECT current_setting('airlock.tenant')
UPDATE pg_settings SET setting = 'x' WHERE name = 'airlock.tenant'
SELECT setting FROM pg_settings
SELECT * FROM pg_show_all_settings()
SELECT query_to_xml('SELECT 1', true, false, '')
SELECT query_to_xml('SELECT set_config(''airlock.tenant'', ''x'', false)', true, false, '')
SELECT table_to_xml('clients', true, false, '')
SELECT schema_to_xml('public', true, false, '')
SELECT database_to_xml(true, false, '')
SELECT cursor_to_xml('c', 1, true, false, '')
SELECT * FROM ts_stat('SELECT 1')
SELECT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, ''b''::tsquery')
SELECT * FROM airlock.token_keys
SELECT inner_padded FROM airlock.token_keys
DELETE FROM airlock.token_keys
INSERT INTO airlock.token_keys VALUES ('mine', '', '')
CREATE OR REPLACE FUNCTION airlock.tenant() RETURNS text LANGUAGE sql AS $$ SELECT 'globex' $$
ALTER FUNCTION airlock.tenant() OWNER TO CURRENT_USER
DROP FUNCTION airlock.tenant() CASCADE
CREATE FUNCTION airlock.evil() RETURNS text LANGUAGE sql AS $$ SELECT 'globex' $$
ALTER FUNCTION airlock.enter(text) RESET ALL
SELECT airlock.enter('v1.k1.9999999999.676c6f626578.00')
SELECT airlock.enter('v1.none.9999999999.676c6f626578.0000000000000000000000000000000000000000000000000000000000000000')
SELECT airlock.enter(''), airlock.enter('.....'), airlock.enter(NULL)
SELECT setval('airlock.verified', 1)
SELECT nextval('airlock.verified')
SELECT currval('airlock.verified')
SELECT last_value FROM airlock.verified
ALTER SEQUENCE airlock.verified OWNER TO CURRENT_USER
DROP SEQUENCE airlock.verified
CREATE SEQUENCE airlock.other
RESET airlock.tenant; SELECT * FROM clients
SET airlock.tenant = ''; SELECT * FROM clients
SET airlock.tenant = 'globex'; SELECT * FROM clients
SET airlock.tenant = '9999999999globex'; SELECT * FROM clients
SET airlock.tenant = '9999999999acme'; SELECT * FROM clients
SET LOCAL airlock.tenant = '9999999999globex'; SELECT * FROM clients
DISCARD SEQUENCES; SELECT * FROM clients -- 55000
DISCARD ALL; SELECT * FROM clients -- 25001

-- Other roles
SET ROLE postgres
SET LOCAL ROLE postgres
SET SESSION AUTHORIZATION postgres
RESET ROLE; SET ROLE postgres
GRANT pg_read_all_data TO CURRENT_USER
ALTER ROLE CURRENT_USER BYPASSRLS
ALTER ROLE CURRENT_USER SUPERUSER
ALTER ROLE CURRENT_USER CONNECTION LIMIT -1
CREATE ROLE evil
DROP ROLE postgres
SET row_security = off; SELECT * FROM clients
SET session_replication_role = replica
ALTER TABLE clients DISABLE ROW LEVEL SECURITY
ALTER TABLE clients NO FORCE ROW LEVEL SECURITY
DROP POLICY airlock_tenant ON clients
CREATE POLICY p ON clients USING (true)
ALTER POLICY airlock_tenant ON clients USING (true)
REASSIGN OWNED BY postgres TO CURRENT_USER

-- Places to put things
CREATE TEMP TABLE t (x int)
CREATE TEMP VIEW v AS SELECT * FROM clients
SELECT * INTO TEMP t FROM clients
CREATE TABLE t (x int)
CREATE TABLE pg_temp.t (x int)
CREATE VIEW v AS SELECT * FROM clients
CREATE MATERIALIZED VIEW v AS SELECT * FROM clients
CREATE SCHEMA s
CREATE SEQUENCE s
CREATE TYPE t AS (x int)
CREATE DOMAIN d AS text
CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$
CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$
CREATE OPERATOR public.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)
CREATE CAST (text AS int) WITHOUT FUNCTION
CREATE AGGREGATE public.a (int) (SFUNC = int4pl, STYPE = int)
CREATE EXTENSION dblink
CREATE EXTENSION pg_trgm
CREATE DATABASE d
CREATE LANGUAGE plperl -- 0A000
CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw -- 42704
CREATE PUBLICATION p FOR TABLE clients
CREATE SUBSCRIPTION s CONNECTION 'host=/tmp' PUBLICATION p
CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()
CREATE STATISTICS s ON tenant_id, id FROM clients
CREATE COLLATION c FROM "C"
DO $$ BEGIN PERFORM 1; END $$
DO LANGUAGE sql $$ SELECT 1 $$

-- Files, programs, large objects
COPY clients TO '/tmp/x'
COPY clients TO PROGRAM 'cat'
COPY clients FROM PROGRAM 'cat'
COPY clients (id) FROM '/etc/passwd'
COPY (SELECT * FROM internal) TO STDOUT
SELECT pg_read_file('/etc/passwd')
SELECT pg_read_binary_file('PG_VERSION')
SELECT * FROM pg_ls_dir('.')
SELECT pg_stat_file('PG_VERSION')
SELECT lo_import('/etc/passwd')
SELECT lo_export(1, '/tmp/x')
SELECT lo_create(0)
SELECT lo_creat(-1)
SELECT lo_from_bytea(0, 'x')
SELECT lo_get(1)
SELECT lo_open(1, 131072)
SELECT lowrite(0, 'x')
SELECT lo_unlink(1)
SELECT * FROM pg_largeobject
SELECT * FROM pg_largeobject_metadata
LOAD 'auto_explain'
ALTER SYSTEM SET fsync = off

-- Other sessions
SELECT pg_terminate_backend(1)
SELECT pg_cancel_backend(1)
SELECT * FROM pg_stat_activity
SELECT pg_stat_get_activity(NULL)
SELECT query FROM pg_stat_get_activity(NULL) AS s
SELECT * FROM pg_locks
SELECT * FROM pg_cursors
SELECT * FROM pg_prepared_statements
SELECT * FROM pg_prepared_xacts
BEGIN; PREPARE TRANSACTION 'x' -- 55000
SELECT pg_advisory_lock(1)
SELECT pg_advisory_xact_lock(1)
SELECT pg_try_advisory_lock(1)
SELECT pg_try_advisory_xact_lock_shared(1, 2)
SELECT pg_advisory_unlock_all()
SELECT pg_notify('channel', 'x')
SELECT pg_listening_channels()
SELECT pg_export_snapshot()
SELECT pg_logical_emit_message(true, 'x', 'x')
SELECT pg_current_wal_lsn()
SELECT pg_current_xact_id()
SELECT txid_current()
SELECT pg_sleep(1)
SELECT pg_sleep_for('1 second')
SELECT pg_reload_conf()
SELECT pg_rotate_logfile()
SELECT pg_switch_wal()
SELECT pg_promote()
SELECT pg_stat_reset()
CHECKPOINT

-- Catalogs
SELECT * FROM pg_class
SELECT * FROM pg_catalog.pg_proc
SELECT prosrc FROM pg_proc WHERE proname = 'tenant'
SELECT * FROM pg_policy
SELECT * FROM pg_policies
SELECT * FROM pg_roles
SELECT * FROM pg_authid
SELECT * FROM pg_shadow
SELECT * FROM pg_user
SELECT * FROM pg_database
SELECT * FROM pg_stats
SELECT * FROM pg_statistic
SELECT * FROM pg_stat_user_tables
SELECT * FROM pg_tables
SELECT * FROM pg_views
SELECT * FROM pg_indexes
SELECT * FROM pg_namespace
SELECT * FROM pg_description
SELECT * FROM pg_sequences
SELECT * FROM pg_hba_file_rules
SELECT * FROM pg_file_settings
SELECT * FROM information_schema.tables
SELECT * FROM information_schema.columns
SELECT * FROM information_schema.table_privileges
SELECT has_table_privilege('secrets', 'SELECT')
SELECT pg_get_viewdef('pg_roles')
SELECT pg_get_functiondef('airlock.tenant()'::regprocedure)
SELECT pg_get_constraintdef(1)
SELECT pg_get_userbyid(10)
SELECT pg_relation_size('secrets')
SELECT pg_total_relation_size('clients')
SELECT pg_table_size('clients')
SELECT pg_database_size('postgres')
SELECT pg_stat_get_live_tuples('clients'::regclass)
SELECT pg_stat_get_tuples_inserted('clients'::regclass)
SELECT pg_sequence_last_value('orders_id_seq')
SELECT pg_relation_filepath('clients')
SELECT obj_description('clients'::regclass)
SELECT col_description('clients'::regclass, 1)
SELECT format_type(25, NULL)
SELECT to_regclass('secrets')
SELECT version()
SELECT inet_server_addr()
SELECT pg_postmaster_start_time()
SELECT current_query()
SELECT pg_column_size(email) FROM clients
SELECT * FROM pg_mcv_list_items(NULL)
SELECT acldefault('r', 10)
SELECT satisfies_hash_partition(1, 1, 0, 1)

-- Large values out of small ones
SELECT length(repeat('x', 1000000000))
SELECT length(lpad('', 1000000000))
SELECT length(rpad('', 1000000000))
SELECT length(format('%1000000000s', ''))
SELECT array_length(array_fill(1, ARRAY[100000000]), 1)
SELECT xpath('/x', '<x/>')
SELECT xmlcomment('x')

-- Out of the database
SELECT dblink('host=/tmp', 'SELECT 1') -- 42883
SELECT dblink_connect('host=/tmp') -- 42883
SELECT * FROM postgres_fdw_get_connections() -- 42883
SELECT postgresql_fdw_validator(ARRAY['x'], 0)
IMPORT FOREIGN SCHEMA x FROM SERVER y INTO public -- 42704
CLUSTER clients
REINDEX TABLE clients
REFRESH MATERIALIZED VIEW clients
