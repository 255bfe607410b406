-- A statement a line, run as acme on both databases. What one of them does not
-- know fails there, and the failure must not tell of globex either.
-- {client} is the id of a client that only globex has, {nobody} one that nobody has.

-- All that there is
SELECT * FROM clients
SELECT * FROM orders
SELECT * FROM clients WHERE tenant_id = 'globex'
SELECT * FROM clients WHERE tenant_id <> 'acme'
SELECT * FROM clients WHERE tenant_id = 'acme' OR 1 = 1
SELECT * FROM clients WHERE NOT (tenant_id = 'acme')
SELECT * FROM clients WHERE tenant_id IS NULL OR tenant_id IS NOT NULL
SELECT * FROM clients WHERE tenant_id IN (SELECT DISTINCT tenant_id FROM clients UNION SELECT 'globex')
SELECT * FROM clients WHERE id = {client}
SELECT * FROM clients WHERE id = {nobody}
SELECT * FROM clients WHERE id BETWEEN 0 AND 99999
SELECT * FROM clients WHERE email LIKE '%' ORDER BY email DESC
SELECT * FROM public.clients
SELECT * FROM main.clients
SELECT * FROM temp.clients
SELECT * FROM globex.clients
SELECT * FROM ONLY clients
SELECT * FROM clients *
TABLE clients
VALUES ((SELECT count(*) FROM clients))
SELECT clients FROM clients
SELECT c.*::text FROM clients c
SELECT to_jsonb(c) FROM clients c
SELECT row_to_json(c) FROM clients c
SELECT json_agg(c) FROM clients c
SELECT json_group_array(email) FROM clients
SELECT string_agg(email, ',' ORDER BY email) FROM clients
SELECT group_concat(email) FROM clients
SELECT array_agg(email ORDER BY email) FROM clients
SELECT tenant_id, count(*), sum(balance), min(balance), max(balance), avg(balance) FROM clients GROUP BY tenant_id
SELECT count(*), sum(balance), max(email) FROM clients
SELECT count(*) FILTER (WHERE tenant_id = 'globex') FROM clients
SELECT max(id) + 1 AS next FROM clients
SELECT DISTINCT tenant_id FROM orders
SELECT DISTINCT ON (tenant_id) * FROM clients ORDER BY tenant_id
SELECT * FROM clients TABLESAMPLE BERNOULLI (100)
SELECT * FROM clients TABLESAMPLE SYSTEM (100)
SELECT * FROM clients FOR UPDATE
SELECT * FROM clients FOR UPDATE SKIP LOCKED
SELECT * FROM clients FOR SHARE NOWAIT
SELECT ctid, * FROM clients
SELECT xmin, xmax, cmin, tableoid FROM clients
SELECT * FROM clients WHERE ctid = '(0,1)'
SELECT * FROM clients WHERE ctid = '(0,2)'::tid
SELECT * FROM clients WHERE rowid > 0
SELECT _rowid_, * FROM clients
SELECT * FROM clients INDEXED BY sqlite_autoindex_clients_1

-- Joins, subqueries, common tables, sets, windows
SELECT * FROM clients a CROSS JOIN clients b
SELECT * FROM clients a FULL JOIN orders b ON false
SELECT * FROM orders o LEFT JOIN clients c ON c.id = o.client_id
SELECT * FROM orders o RIGHT JOIN clients c ON c.tenant_id <> o.tenant_id
SELECT * FROM clients NATURAL JOIN orders
SELECT * FROM clients JOIN orders USING (id)
SELECT * FROM clients c, LATERAL (SELECT * FROM orders o WHERE o.tenant_id <> c.tenant_id) x
SELECT (SELECT email FROM clients WHERE tenant_id = 'globex' LIMIT 1) AS email
SELECT id, (SELECT count(*) FROM clients x WHERE x.tenant_id <> c.tenant_id) AS others FROM clients c
SELECT EXISTS (SELECT 1 FROM clients WHERE id = {client}) AS there
SELECT EXISTS (SELECT 1 FROM clients WHERE id = {nobody}) AS there
SELECT * FROM clients WHERE id = ANY (SELECT client_id FROM orders)
SELECT * FROM clients WHERE balance >= ALL (SELECT balance FROM clients)
WITH x AS (SELECT * FROM clients) SELECT * FROM x
WITH x AS MATERIALIZED (SELECT * FROM clients) SELECT * FROM x
WITH x AS NOT MATERIALIZED (SELECT * FROM clients) SELECT * FROM x WHERE tenant_id = 'globex'
WITH clients AS (SELECT * FROM orders) SELECT * FROM clients
WITH RECURSIVE r (id) AS (SELECT min(id) FROM clients UNION SELECT c.id FROM clients c JOIN r ON c.id > r.id) SELECT * FROM r
WITH gone AS (DELETE FROM clients RETURNING *) SELECT * FROM gone
WITH moved AS (UPDATE clients SET tenant_id = 'globex' RETURNING *) SELECT * FROM moved
WITH new AS (INSERT INTO clients (id, email) VALUES ({client}, 'x') RETURNING *) SELECT * FROM new
SELECT email FROM clients UNION SELECT note FROM orders
SELECT email FROM clients UNION ALL SELECT email FROM clients WHERE tenant_id = 'globex'
SELECT id FROM clients EXCEPT SELECT id FROM clients WHERE tenant_id = 'acme'
SELECT id FROM clients INTERSECT SELECT {client}
SELECT id, row_number() OVER (ORDER BY id), rank() OVER (ORDER BY balance), count(*) OVER () FROM clients
SELECT id, lag(email) OVER (ORDER BY id), lead(email) OVER (ORDER BY id), sum(balance) OVER (ORDER BY id) FROM clients
SELECT id, first_value(email) OVER w, last_value(email) OVER w FROM clients WINDOW w AS (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
SELECT tenant_id, id, sum(balance) FROM clients GROUP BY GROUPING SETS ((tenant_id, id), ())
SELECT tenant_id, id, count(*) FROM clients GROUP BY CUBE (tenant_id, id)
SELECT * FROM clients ORDER BY (SELECT count(*) FROM clients x WHERE x.tenant_id = 'globex'), id
SELECT * FROM clients ORDER BY id LIMIT (SELECT count(*) FROM clients WHERE tenant_id <> 'acme')
SELECT * FROM clients ORDER BY id LIMIT 100 OFFSET (SELECT count(*) FROM orders)
SELECT CASE WHEN (SELECT count(*) FROM clients) > 2 THEN 1 / 0 ELSE 1 END AS told
SELECT 1 / (SELECT count(*) FROM clients WHERE id = {client}) AS told
SELECT CAST((SELECT min(email) FROM clients WHERE tenant_id <> 'acme') AS integer) AS told
SELECT CAST(email AS integer) FROM clients WHERE tenant_id <> 'acme'
SELECT id FROM clients WHERE 1 / (balance - 4711081508) > 0
SELECT id FROM clients WHERE CAST(email AS integer) = 1 AND tenant_id = 'globex'

-- Rows given to another tenant, or taken
INSERT INTO clients (tenant_id, id, email) VALUES ('globex', {nobody}, 'x')
INSERT INTO clients (tenant_id, id, email) VALUES ('globex', {client}, 'x')
INSERT INTO clients (tenant_id, id, email) VALUES (NULL, {nobody}, 'x')
INSERT INTO clients (tenant_id, id, email) VALUES ('GLOBEX', {nobody}, 'x')
INSERT INTO clients (tenant_id, id, email) VALUES ('globex ', {nobody}, 'x')
INSERT INTO clients (tenant_id, id, email) VALUES ((SELECT 'glo' || 'bex'), {nobody}, 'x')
INSERT INTO clients (tenant_id, id, email) SELECT 'globex', id + 100, email FROM clients
INSERT INTO clients (tenant_id, id, email) SELECT 'acme', id, email FROM clients WHERE tenant_id = 'globex'
INSERT INTO clients SELECT * FROM clients WHERE true ON CONFLICT DO NOTHING
INSERT INTO clients DEFAULT VALUES
INSERT OR REPLACE INTO clients (tenant_id, id, email) VALUES ('globex', {client}, 'x')
INSERT OR IGNORE INTO clients (id, email) VALUES ({client}, 'x')
REPLACE INTO clients (id, email) VALUES ({client}, 'x')
INSERT INTO clients (id, email) OVERRIDING SYSTEM VALUE VALUES ({client}, 'x')
MERGE INTO clients c USING (SELECT 'globex' AS t) s ON c.tenant_id = s.t WHEN MATCHED THEN DELETE
MERGE INTO clients c USING (SELECT 'globex' AS t) s ON false WHEN NOT MATCHED THEN INSERT (tenant_id, id, email) VALUES (s.t, {nobody}, 'x')
UPDATE clients SET tenant_id = 'globex'
UPDATE clients SET tenant_id = 'globex' WHERE id = 1 RETURNING *
UPDATE clients SET tenant_id = 'acme' WHERE tenant_id = 'globex' RETURNING *
UPDATE clients SET tenant_id = DEFAULT
UPDATE clients SET (tenant_id, id) = (SELECT 'globex', {nobody})
UPDATE clients SET email = 'x'
UPDATE clients SET email = 'x' WHERE tenant_id = 'globex'
UPDATE clients SET email = 'x' WHERE true RETURNING *
UPDATE clients SET email = (SELECT string_agg(email, ',') FROM clients) RETURNING *
UPDATE clients SET email = o.note FROM orders o WHERE o.tenant_id <> clients.tenant_id RETURNING *
UPDATE clients SET id = {client} WHERE id = 1
UPDATE clients SET id = {nobody} WHERE id = 1
UPDATE OR REPLACE clients SET id = {client} WHERE id = 1
UPDATE ONLY clients SET balance = balance + 1 RETURNING balance
UPDATE orders SET total = 0
UPDATE orders SET client_id = NULL, tenant_id = 'globex'
DELETE FROM clients
DELETE FROM orders
DELETE FROM orders RETURNING *
DELETE FROM clients WHERE tenant_id = 'globex'
DELETE FROM clients WHERE tenant_id <> 'acme' RETURNING *
DELETE FROM orders USING clients WHERE orders.tenant_id <> clients.tenant_id
DELETE FROM clients WHERE id = {client} RETURNING *
DELETE FROM clients WHERE ctid IS NOT NULL
TRUNCATE clients
TRUNCATE clients, orders RESTART IDENTITY CASCADE
LOCK TABLE clients IN ACCESS EXCLUSIVE MODE

-- What keys and constraints tell: an id that globex has fares as one that nobody has
INSERT INTO clients (id, email) VALUES ({client}, 'x')
INSERT INTO clients (id, email) VALUES ({nobody}, 'x')
INSERT INTO clients (id, email) VALUES ({client}, 'x') RETURNING *
INSERT INTO clients (id, email) VALUES ({client}, 'x') ON CONFLICT DO NOTHING RETURNING *
INSERT INTO clients (id, email) VALUES ({nobody}, 'x') ON CONFLICT DO NOTHING RETURNING *
INSERT INTO clients (id, email) VALUES ({client}, 'x') ON CONFLICT (tenant_id, id) DO UPDATE SET email = clients.email RETURNING *
INSERT INTO clients (id, email) VALUES ({client}, 'x') ON CONFLICT (tenant_id, id) DO UPDATE SET tenant_id = 'globex'
INSERT INTO clients (id, email) VALUES ({client}, 'x') ON CONFLICT (id) DO UPDATE SET email = clients.email RETURNING *
INSERT INTO clients (id, email) VALUES ({client}, 'x') ON CONFLICT ON CONSTRAINT clients_pkey DO UPDATE SET email = clients.email RETURNING *
INSERT INTO clients (tenant_id, id, email) VALUES ('globex', {client}, 'x') ON CONFLICT DO NOTHING RETURNING *
INSERT INTO clients (tenant_id, id, email) VALUES ('globex', {nobody}, 'x') ON CONFLICT DO NOTHING RETURNING *
INSERT INTO clients (tenant_id, id, email) VALUES ('globex', {client}, 'x') ON CONFLICT (tenant_id, id) DO UPDATE SET email = 'x' RETURNING *
INSERT INTO orders (id, client_id, note) VALUES (50, {client}, 'x')
INSERT INTO orders (id, client_id, note) VALUES (50, {nobody}, 'x')
INSERT INTO orders (tenant_id, id, client_id, note) VALUES ('globex', 50, {client}, 'x')
INSERT INTO orders (tenant_id, id, client_id, note) VALUES ('globex', 50, {nobody}, 'x')
INSERT INTO orders (id, client_id, note) VALUES (7101, 1, 'an id of another order')
UPDATE orders SET client_id = {client}
UPDATE orders SET client_id = {nobody}
DELETE FROM clients WHERE id = 2
INSERT INTO clients (id, email, balance) VALUES (60, 'x', -1)
INSERT INTO clients (id, email, balance) SELECT 61, email, -1 FROM clients WHERE tenant_id = 'globex'
INSERT INTO clients (id, email) SELECT 62, NULL FROM clients WHERE tenant_id = 'globex'

-- Settings and forged tokens
SELECT set_config('airlock.tenant', 'x', false)
SELECT set_config('airlock.tenant', 'x', true) FROM clients
SELECT set_config('app.tenant_id', 'globex', false), email FROM clients
SELECT pg_catalog.set_config('airlock.tenant', 'v1.k1.9999999999.676c6f626578.0000000000000000000000000000000000000000000000000000000000000000', true)
SELECT "set_config"('airlock.tenant', 'x', false)
SELECT SET_CONFIG('airlock.tenant', 'x', false)
SELECT "pg_catalog"."set_config"('role', 'postgres', false)
SELECT set_config(setting_name => 'airlock.tenant', new_value => 'x', is_local => false)
SELECT * FROM set_config('airlock.tenant', 'x', false)
WITH x AS MATERIALIZED (SELECT set_config('airlock.tenant', 'v1.k1.9999999999.676c6f626578.00', true)) SELECT * FROM x, clients
SELECT * FROM clients ORDER BY set_config('airlock.tenant', 'x', false)
INSERT INTO clients (id, email) VALUES ({nobody}, set_config('airlock.tenant', 'x', false))
SELECT current_setting('airlock.tenant')
SELECT current_setting('airlock.tenant', true), current_setting('is_superuser')
SELECT airlock.tenant()
SELECT * FROM airlock.tenant()
SELECT airlock.enter('v1.k1.9999999999.676c6f626578.00')
SELECT * FROM airlock.enter('v1.k1.9999999999.676c6f626578.00')
SELECT airlock.gaps()
SELECT airlock.too_large(id) FROM clients
SELECT currval('airlock.verified')
SELECT last_value FROM airlock.verified
SELECT setval('airlock.verified', 1)
SELECT nextval('airlock.verified'), * FROM clients
SELECT set_config('airlock.tenant', '9999999999globex', false)
SET airlock.tenant = '9999999999globex'
DISCARD SEQUENCES
SELECT * FROM airlock.token_keys
SELECT * FROM "airlock"."token_keys"
SET airlock.tenant = 'v1.k1.9999999999.676c6f626578.00'
SET LOCAL airlock.tenant TO 'x'
SET SESSION airlock.tenant TO DEFAULT
SET search_path = airlock
SET row_security = off
SET statement_timeout = 0
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED
SET CONSTRAINTS ALL DEFERRED
RESET airlock.tenant
RESET ALL
SHOW airlock.tenant
SHOW ALL
UPDATE pg_settings SET setting = 'x' WHERE name = 'airlock.tenant'
UPDATE pg_catalog.pg_settings SET setting = 'off' WHERE name = 'row_security'
SELECT * FROM pg_settings
SELECT pg_show_all_settings()
ALTER SYSTEM SET row_security = off
ALTER ROLE CURRENT_USER SET row_security = off
ALTER DATABASE postgres SET airlock.tenant = 'x'

-- Roles
SET ROLE postgres
SET LOCAL ROLE postgres
SET ROLE NONE
RESET ROLE
SET SESSION AUTHORIZATION postgres
SET SESSION AUTHORIZATION DEFAULT
GRANT ALL ON clients TO PUBLIC
REVOKE ALL ON clients FROM PUBLIC
GRANT pg_read_all_data TO CURRENT_USER
ALTER ROLE CURRENT_USER BYPASSRLS
CREATE ROLE evil SUPERUSER
ALTER TABLE clients DISABLE ROW LEVEL SECURITY
ALTER TABLE clients NO FORCE ROW LEVEL SECURITY
CREATE POLICY p ON clients USING (true)
DROP POLICY airlock_tenant ON clients
REASSIGN OWNED BY postgres TO CURRENT_USER
SELECT current_user
SELECT session_user, current_role, current_database(), current_schema()
SELECT current_catalog

-- SQL in texts
SELECT query_to_xml('SELECT * FROM clients', true, false, '')
SELECT query_to_xml('SELECT set_config(''airlock.tenant'', ''x'', false)', true, false, '')
SELECT query_to_xml_and_xmlschema('SELECT 1', true, false, '')
SELECT table_to_xml('clients', true, false, '')
SELECT schema_to_xml('public', true, false, '')
SELECT database_to_xml(true, false, '')
SELECT cursor_to_xml('c', 10, true, false, '')
SELECT * FROM ts_stat('SELECT to_tsvector(email) FROM clients')
SELECT ts_stat('SELECT set_config(''airlock.tenant'', ''x'', false)::tsvector')
SELECT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, ''b''::tsquery')
SELECT * FROM crosstab('SELECT id, email, email FROM clients') AS t (a int, b text)
SELECT * FROM XMLTABLE('/x' PASSING '<x>1</x>' COLUMNS a int PATH '.')
SELECT eval('SELECT * FROM clients')

-- Statements about statements, blocks and sessions
DO $$ BEGIN PERFORM set_config('airlock.tenant', 'x', false); END $$
DO LANGUAGE sql 'SELECT 1'
CALL globex()
COPY clients TO STDOUT
COPY clients TO '/tmp/x'
COPY clients TO PROGRAM 'cat'
COPY clients FROM PROGRAM 'echo x'
COPY (SELECT * FROM clients) TO STDOUT
COPY clients FROM STDIN
EXPLAIN SELECT * FROM clients
EXPLAIN ANALYZE SELECT * FROM clients WHERE tenant_id = 'globex'
EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) DELETE FROM clients
EXPLAIN QUERY PLAN SELECT * FROM clients
LISTEN events
UNLISTEN *
NOTIFY events, 'x'
SELECT pg_notify('events', 'x')
PREPARE p AS SELECT * FROM clients
PREPARE p (text) AS SELECT set_config('airlock.tenant', $1, false)
EXECUTE p
EXECUTE sqlx_s_1
DEALLOCATE ALL
DECLARE c CURSOR WITH HOLD FOR SELECT * FROM clients
FETCH ALL FROM c
MOVE ALL FROM c
CLOSE ALL
DISCARD ALL
BEGIN
START TRANSACTION READ WRITE
COMMIT
COMMIT AND CHAIN
ROLLBACK
END
ABORT
SAVEPOINT s
RELEASE SAVEPOINT s
ROLLBACK TO SAVEPOINT s
PREPARE TRANSACTION 'x'
COMMIT PREPARED 'x'
LOAD 'auto_explain'
CHECKPOINT
ANALYZE
ANALYZE clients
VACUUM
CLUSTER
REINDEX TABLE clients

-- Catalogs
SELECT * FROM pg_catalog.pg_class
SELECT relname, reltuples, relpages FROM pg_class WHERE relname = 'clients'
SELECT * FROM pg_stats WHERE tablename = 'clients'
SELECT most_common_vals FROM pg_catalog.pg_stats
SELECT * FROM pg_statistic
SELECT n_live_tup FROM pg_stat_user_tables
SELECT * FROM pg_stat_activity
SELECT query FROM pg_stat_activity
SELECT * FROM pg_stat_statements
SELECT * FROM pg_locks
SELECT * FROM pg_prepared_statements
SELECT * FROM pg_cursors
SELECT * FROM pg_roles
SELECT * FROM pg_shadow
SELECT * FROM pg_authid
SELECT * FROM pg_database
SELECT * FROM pg_policies
SELECT * FROM pg_proc
SELECT prosrc FROM pg_proc WHERE proname = 'tenant'
SELECT * FROM pg_attribute
SELECT * FROM pg_type
SELECT * FROM information_schema.tables
SELECT * FROM information_schema.columns
SELECT * FROM information_schema.role_table_grants
SELECT * FROM "information_schema"."tables"
SELECT pg_relation_size('clients')
SELECT pg_total_relation_size('clients'), pg_database_size(current_database())
SELECT pg_stat_get_live_tuples('clients'::regclass)
SELECT pg_get_viewdef('pg_roles'::regclass)
SELECT pg_get_functiondef('airlock.tenant()'::regprocedure)
SELECT pg_column_size(c) FROM clients c
SELECT has_table_privilege('clients', 'SELECT')
SELECT version()
SELECT current_query()
SELECT pg_backend_pid()
SELECT txid_current()
SELECT pg_current_xact_id()
SELECT pg_current_snapshot()
SELECT pg_current_wal_lsn()
SELECT 'clients'::regclass
SELECT CAST('clients' AS regclass)::oid
SELECT 'postgres'::regrole
SELECT 'airlock'::regnamespace
SELECT 'airlock.tenant'::regproc
SELECT regclass 'clients'
SELECT regclass('clients')
SELECT to_regclass('globex')
SELECT 1259::regclass::text
SELECT pg_typeof(email) FROM clients
SELECT * FROM sqlite_master
SELECT * FROM sqlite_schema
SELECT sql FROM "main"."sqlite_master"
SELECT * FROM [sqlite_master]
SELECT * FROM `sqlite_schema`
SELECT * FROM sqlite_temp_master
SELECT * FROM sqlite_sequence
SELECT * FROM sqlite_stat1
SELECT * FROM sqlite_dbpage
SELECT * FROM dbstat
SELECT * FROM pragma_database_list
SELECT * FROM pragma_table_info('clients')
SELECT * FROM pragma_table_list
SELECT * FROM pragma_function_list

-- Other files
PRAGMA database_list
PRAGMA table_info(clients)
PRAGMA writable_schema = ON
PRAGMA journal_mode = DELETE
PRAGMA temp_store_directory = '/tmp'
PRAGMA main.user_version = 7
ATTACH 'globex.db' AS other
ATTACH DATABASE 'tenants/globex.db' AS other
ATTACH '{folder}/tenants/globex.db' AS other
ATTACH 'file:{folder}/tenants/globex.db?mode=ro' AS other
ATTACH ':memory:' AS other
ATTACH '' AS other
DETACH main
VACUUM INTO '{folder}/tenants/globex.db'
VACUUM INTO '{folder}/copy.db'
VACUUM main INTO 'copy.db'
SELECT load_extension('/tmp/evil.so')
SELECT load_extension('/tmp/evil.so', 'init')
SELECT readfile('{folder}/tenants/globex.db')
SELECT writefile('{folder}/tenants/globex.db', 'x')
SELECT edit('x')
SELECT fts3_tokenizer('simple')
SELECT * FROM fsdir('{folder}')
SELECT * FROM csv('{folder}')
CREATE VIRTUAL TABLE v USING fts5(x)
CREATE VIRTUAL TABLE v USING dbpage
CREATE TEMP TABLE t AS SELECT * FROM clients
CREATE TABLE mine (x)
CREATE VIEW v AS SELECT * FROM clients
CREATE TRIGGER t AFTER INSERT ON clients BEGIN SELECT 1; END
CREATE INDEX i ON clients (email)
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$
CREATE EXTENSION dblink
CREATE RULE r AS ON SELECT TO clients DO INSTEAD SELECT 1
DROP TABLE clients
DROP TABLE IF EXISTS orders
ALTER TABLE clients RENAME TO mine
ALTER TABLE clients ADD COLUMN x text
SELECT * INTO TEMP t FROM clients
SELECT pg_read_file('/etc/passwd')
SELECT pg_read_binary_file('PG_VERSION')
SELECT * FROM pg_ls_dir('.')
SELECT pg_stat_file('PG_VERSION')
SELECT pg_file_write('/tmp/x', 'x', false)
SELECT lo_import('/etc/passwd')
SELECT lo_export(1, '/tmp/x')
SELECT lo_create(0)
SELECT lo_creat(-1)
SELECT lo_from_bytea(0, 'x')
SELECT lo_get(1)
SELECT lo_unlink(1)
SELECT * FROM pg_largeobject
SELECT dblink('dbname=postgres', 'SELECT 1')
SELECT * FROM dblink('dbname=postgres', 'SELECT email FROM clients') AS t (x text)
SELECT dblink_connect('host=/tmp')
SELECT dblink_exec('dbname=postgres', 'DELETE FROM clients')

-- Other sessions
SELECT pg_terminate_backend(1)
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
SELECT pg_cancel_backend(1)
SELECT pg_advisory_lock(1)
SELECT pg_try_advisory_lock(1)
SELECT pg_advisory_xact_lock(1, 2)
SELECT pg_try_advisory_xact_lock_shared(1)
SELECT pg_advisory_unlock_all()
SELECT pg_sleep(60)
SELECT pg_sleep_for('1 minute')
SELECT pg_sleep_until('tomorrow')
SELECT pg_listening_channels()
SELECT pg_export_snapshot()
SELECT pg_logical_emit_message(true, 'x', 'x')
SELECT pg_reload_conf()
SELECT pg_stat_reset()
SELECT nextval('orders_id_seq')
SELECT lastval()
SELECT last_insert_rowid()
SELECT changes(), total_changes()

-- Several in one, comments, quoting, letters
SELECT 1; SELECT * FROM clients
SELECT 1; DELETE FROM clients
SELECT 1;;
;SELECT 1
SELECT * FROM clients; --
COMMIT; SET ROLE postgres; SELECT * FROM clients
ROLLBACK; SELECT set_config('airlock.tenant', 'x', false)
SELECT 1) SELECT * FROM clients; --
SELECT 1) AS q; DELETE FROM clients; --
1) UNION SELECT email FROM clients --
SELECT * FROM clients) AS _q, (SELECT set_config('airlock.tenant', 'x', false)
SELECT * FROM clients --
SELECT * FROM clients /*
SELECT * FROM clients /* /* */ ; DELETE FROM clients; */
SELECT /* */ * /**/ FROM /* x */ clients
SELECT/**/set_config/**/('airlock.tenant', 'x', false)
SELECT set_config -- (
SELECT 'a' -- ' ; DELETE FROM clients
SELECT 'a\'; DELETE FROM clients; --'
SELECT E'a\'; DELETE FROM clients; --'
SELECT E'\'' || set_config('airlock.tenant', 'x', false) || E'\''
SELECT $$; DELETE FROM clients; $$
SELECT $a$ $b$; DELETE FROM clients; $b$ $a$
SELECT $q$' || set_config('airlock.tenant', 'x', false) || '$q$
SELECT $1 || $$ FROM clients $$
SELECT U&'\0041' FROM clients
SELECT U&"s\0065t_config"('airlock.tenant', 'x', false)
SELECT * FROM U&"client\0073"
SELECT * FROM U&"!0073qlite_master" UESCAPE '!'
SELECT "set""config"('x')
SELECT * FROM "clients; DELETE FROM clients"
SELECT N'x', B'1', X'41' FROM clients
SELECT * FROM "Clients"
SELECT * FROM cl​ients
SELECT * FROM сlients
SELECT set_confiɡ('airlock.tenant', 'x', false)
SELECT ſet_config('airlock.tenant', 'x', false)
SELECT * FROM clients WHERE email = 'x' OR tenant_id = '' || 'globex'
SELECT 'a' 'b' FROM clients
SELECT * FROM clients WHERE tenant_id = e'\x67lobex'
SELECT * FROM clients WHERE tenant_id = x'676c6f626578'
SELECT * FROM clients WHERE tenant_id COLLATE "C" > 'acme'
SELECT * FROM clients WHERE tenant_id COLLATE NOCASE = 'GLOBEX'
SELECT * FROM clients WHERE tenant_id OPERATOR(pg_catalog.<>) 'acme'
SELECT 1 OPERATOR(airlock.+) 1
SELECT * FROM clients WHERE tenant_id > ANY (ARRAY['acme'])
SELECT ((((((((((((((((SELECT email FROM clients ORDER BY id DESC LIMIT 1))))))))))))))))
SELECT :tenant, ?1, @x, #y FROM clients
\d clients
\! cat /etc/passwd
.dump
.open tenants/globex.db

-- Much out of little
SELECT repeat('x', 1000000000)
SELECT length(repeat(email, 100000000)) FROM clients
SELECT lpad('', 1000000000), rpad('', 1000000000)
SELECT format('%1000000000s', '')
SELECT printf('%1000000000d', 1)
SELECT hex(zeroblob(400000000))
SELECT length(randomblob(1000000000))
SELECT replace(hex(zeroblob(100000)), '0', hex(zeroblob(100000)))
SELECT array_fill(1, ARRAY[100000000])
SELECT string_agg(a.email, '') FROM clients a, clients b, clients c, clients d, clients e
SELECT xpath('/x', '<x/>')
SELECT convert_from('\x80', 'UTF8')
SELECT 'a' ~ '(a*)*(a*)*(a*)*b'
SELECT 'a' LIKE '%_%_%_%_%_%_%_%'
SELECT factorial(100000)
SELECT 10.0 ^ 100000

-- Text of the other tenant in another dress
SELECT upper(email), lower(email), reverse(email), hex(email) FROM clients
SELECT encode(convert_to(email, 'UTF8'), 'base64') FROM clients
SELECT md5(string_agg(email, ',' ORDER BY email)) FROM clients
SELECT length(group_concat(email)), sum(length(email)), count(DISTINCT tenant_id) FROM clients
SELECT ascii(substr(max(email), 1, 1)), unicode(max(email)) FROM clients
SELECT quote(email), json_object('x', email), jsonb_build_object('x', email) FROM clients
