//! Leaks, planted one by one in a protected database: the audit names each, and
//! what it says to do closes it.

use sqlx::Connection as _;

use super::run;
use crate::capabilities::db::postgres::fixture::Database;
use crate::capabilities::db::postgres::{audit, protect};

/// How it is planted, how the audit names it, and whether `protect` closes it
/// by itself. `TENANT` stands for the login role.
const LEAKS: &[(&str, &str, &str, bool)] = &[
    (
        "CREATE VIEW all_orders AS SELECT * FROM orders; GRANT SELECT ON all_orders TO PUBLIC",
        "view",
        "public.all_orders",
        true,
    ),
    (
        "CREATE VIEW v WITH (security_invoker) AS SELECT * FROM orders; GRANT SELECT ON v TO TENANT",
        "view",
        "public.v",
        true,
    ),
    (
        "CREATE MATERIALIZED VIEW m AS SELECT * FROM orders; GRANT SELECT ON m TO TENANT",
        "materialized view",
        "public.m",
        true,
    ),
    (
        "CREATE FUNCTION total() RETURNS numeric LANGUAGE sql SECURITY DEFINER AS 'SELECT sum(total) FROM orders'",
        "definer function",
        "public.total()",
        true,
    ),
    ("CREATE FUNCTION plain(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", "function", "public.plain(integer)", true),
    ("GRANT EXECUTE ON FUNCTION set_config TO TENANT", "function", "pg_catalog.set_config(text, text, boolean)", true),
    ("GRANT EXECUTE ON FUNCTION pg_sleep TO PUBLIC", "function", "pg_catalog.pg_sleep(double precision)", true),
    ("ALTER TABLE orders DISABLE ROW LEVEL SECURITY", "row security", "public.orders", true),
    ("ALTER TABLE orders NO FORCE ROW LEVEL SECURITY", "row security", "public.orders", true),
    ("DROP POLICY airlock_tenant ON orders", "policy", "public.orders", true),
    ("ALTER POLICY airlock_tenant ON orders USING (true)", "policy", "public.orders", true),
    ("ALTER POLICY airlock_tenant ON orders WITH CHECK (true)", "policy", "public.orders", true),
    ("ALTER POLICY airlock_tenant ON orders TO PUBLIC", "policy", "public.orders", true),
    ("CREATE POLICY more ON orders USING (total < 1000)", "policy", "public.orders", false),
    (
        "CREATE POLICY more ON orders FOR SELECT TO TENANT USING (current_setting('app.tenant', true) = tenant_id)",
        "policy",
        "public.orders",
        false,
    ),
    ("GRANT SELECT ON internal TO PUBLIC", "table", "public.internal", true),
    ("GRANT SELECT (note) ON internal TO TENANT", "table", "public.internal", true),
    ("GRANT TRUNCATE ON orders TO TENANT", "grant", "public.orders", true),
    ("GRANT INSERT ON invoices TO TENANT", "grant", "public.invoices", true),
    ("GRANT SELECT ON orders TO PUBLIC", "grant", "public.orders", true),
    ("GRANT UPDATE (value) ON secrets TO TENANT", "grant", "public.secrets", true),
    ("GRANT SELECT ON orders_id_seq TO TENANT", "sequence", "public.orders_id_seq", true),
    ("GRANT SELECT ON pg_catalog.pg_class TO TENANT", "catalog", "pg_catalog.pg_class", true),
    ("GRANT SELECT (relname) ON pg_catalog.pg_class TO PUBLIC", "catalog", "pg_catalog.pg_class", true),
    ("GRANT USAGE ON SCHEMA information_schema TO PUBLIC", "schema", "information_schema", true),
    ("GRANT CREATE ON SCHEMA public TO PUBLIC", "schema", "public", true),
    ("GRANT CREATE ON SCHEMA airlock TO TENANT", "airlock schema", "airlock", true),
    ("GRANT TEMPORARY ON DATABASE DATABASE_NAME TO TENANT", "database", "DATABASE_NAME", true),
    ("GRANT CREATE ON DATABASE DATABASE_NAME TO PUBLIC", "database", "DATABASE_NAME", true),
    ("GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC", "language", "plpgsql", true),
    ("ALTER ROLE TENANT BYPASSRLS", "role", "TENANT", true),
    ("ALTER ROLE TENANT SUPERUSER", "role", "TENANT", true),
    ("ALTER ROLE TENANT INHERIT CREATEDB CONNECTION LIMIT -1", "role", "TENANT", true),
    ("ALTER ROLE TENANT_owner LOGIN", "role", "TENANT_owner", true),
    ("GRANT pg_read_all_data TO TENANT", "membership", "TENANT", true),
    ("CREATE ROLE TENANT_other; GRANT TENANT_owner TO TENANT_other", "membership", "TENANT_other", true),
    ("ALTER ROLE TENANT RESET statement_timeout", "limit", "TENANT, statement_timeout", true),
    ("ALTER ROLE TENANT SET statement_timeout = 0", "limit", "TENANT, statement_timeout", true),
    ("ALTER ROLE TENANT IN DATABASE DATABASE_NAME SET lock_timeout = '0'", "limit", "TENANT, lock_timeout", true),
    ("ALTER ROLE TENANT SET temp_file_limit = -1", "limit", "TENANT, temp_file_limit", true),
    ("ALTER ROLE TENANT SET search_path = pg_temp, public", "limit", "TENANT, search_path", true),
    ("GRANT SELECT ON airlock.token_keys TO TENANT", "token keys", "airlock.token_keys", true),
    ("GRANT SELECT (inner_padded) ON airlock.token_keys TO PUBLIC", "token keys", "airlock.token_keys", true),
    ("ALTER TABLE airlock.token_keys OWNER TO CURRENT_USER", "token keys", "airlock.token_keys", true),
    ("INSERT INTO airlock.token_keys VALUES ('o''ther', '', '')", "token keys", "airlock.token_keys", true),
    ("UPDATE airlock.token_keys SET inner_padded = ''", "token keys", "airlock.token_keys", true),
    (
        "CREATE OR REPLACE FUNCTION airlock.tenant() RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL RESTRICTED AS 'BEGIN RETURN current_setting(''app.tenant''); END'",
        "tenant function",
        "airlock.tenant()",
        true,
    ),
    (
        "CREATE OR REPLACE FUNCTION airlock.enter(token text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN PERFORM setval(''airlock.verified'', 1); END'",
        "tenant function",
        "airlock.enter(text)",
        true,
    ),
    ("ALTER FUNCTION airlock.enter(text) RESET search_path", "tenant function", "airlock.enter(text)", true),
    ("ALTER FUNCTION airlock.enter(text) OWNER TO CURRENT_USER", "tenant function", "airlock.enter(text)", true),
    ("GRANT EXECUTE ON FUNCTION airlock.enter(text) TO PUBLIC", "tenant function", "airlock.enter(text)", true),
    (
        "CREATE OR REPLACE FUNCTION airlock.too_large(bytes bigint) RETURNS boolean LANGUAGE sql AS 'SELECT NULL::boolean'",
        "tenant function",
        "airlock.too_large(bigint)",
        true,
    ),
    ("GRANT UPDATE ON SEQUENCE airlock.verified TO TENANT", "tenant seal", "airlock.verified", true),
    ("GRANT USAGE ON SEQUENCE airlock.verified TO PUBLIC", "tenant seal", "airlock.verified", true),
    ("ALTER SEQUENCE airlock.verified OWNER TO CURRENT_USER", "tenant seal", "airlock.verified", true),
    ("ALTER SEQUENCE airlock.verified MINVALUE 0 START 0 RESTART", "tenant seal", "airlock.verified", true),
    ("DROP SEQUENCE airlock.verified", "tenant seal", "airlock.verified", true),
    ("ALTER FUNCTION airlock.tenant() SET search_path = public", "tenant function", "airlock.tenant()", true),
    ("ALTER FUNCTION airlock.tenant() SECURITY INVOKER", "tenant function", "airlock.tenant()", true),
    ("ALTER FUNCTION airlock.tenant() OWNER TO CURRENT_USER", "tenant function", "airlock.tenant()", true),
    (
        "CREATE FUNCTION airlock.other() RETURNS int LANGUAGE sql AS 'SELECT 1'; REVOKE EXECUTE ON FUNCTION airlock.other FROM PUBLIC",
        "airlock schema",
        "function airlock.other()",
        false,
    ),
    ("CREATE UNIQUE INDEX by_total ON orders (total)", "unique key", "public.orders, public.by_total", false),
    (
        "CREATE UNIQUE INDEX by_total ON orders (lower(currency)) INCLUDE (tenant_id) WHERE total < 0",
        "unique key",
        "public.orders, public.by_total",
        false,
    ),
    ("ALTER TABLE clients ADD UNIQUE (email)", "unique key", "public.clients, public.clients_email_key", false),
    (
        "ALTER TABLE invoices ADD EXCLUDE USING btree (number WITH =)",
        "unique key",
        "public.invoices, public.invoices_number_excl",
        false,
    ),
    (
        "ALTER TABLE invoices ADD COLUMN internal int; ALTER TABLE internal ADD COLUMN id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY; ALTER TABLE invoices ADD FOREIGN KEY (internal) REFERENCES internal (id)",
        "foreign key",
        "public.invoices, invoices_internal_fkey",
        false,
    ),
    (
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NEW; END'; REVOKE EXECUTE ON FUNCTION keep FROM PUBLIC; CREATE TRIGGER keep BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION keep()",
        "trigger",
        "public.orders",
        false,
    ),
    (
        "CREATE RULE copy AS ON INSERT TO orders DO ALSO INSERT INTO internal VALUES ('x')",
        "rule",
        "public.orders",
        false,
    ),
    ("ALTER TABLE internal OWNER TO TENANT", "owned", "table public.internal", false),
    (
        "CREATE EXTENSION postgres_fdw; CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw; GRANT USAGE ON FOREIGN SERVER elsewhere TO PUBLIC; REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC",
        "foreign server",
        "elsewhere",
        false,
    ),
    (
        "CREATE EXTENSION postgres_fdw; REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC; CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE far (x int) SERVER elsewhere; GRANT SELECT ON far TO TENANT",
        "foreign table",
        "public.far",
        true,
    ),
    (
        "CREATE EXTENSION dblink; REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC; GRANT EXECUTE ON FUNCTION dblink_get_notify() TO PUBLIC",
        "function",
        "public.dblink_get_notify()",
        true,
    ),
    ("GRANT SET ON PARAMETER temp_file_limit TO TENANT", "parameter", "temp_file_limit", false),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO TENANT",
        "default privilege",
        "postgres",
        false,
    ),
    ("GRANT CREATE ON TABLESPACE pg_default TO TENANT", "tablespace", "pg_default", false),
];

#[tokio::test]
async fn each_planted_leak_is_named_and_closed() {
    let (database, protection) = Database::protected().await;
    let here = |text: &str| text.replace("TENANT", &database.login).replace("DATABASE_NAME", &database.name);
    let mut admin = database.admin().await;
    assert_eq!(audit::audit(&mut admin, &protection).await.unwrap().findings, []);
    for (plant, kind, object, closed) in LEAKS {
        let mut transaction = admin.begin().await.unwrap();
        run(&mut transaction, &here(plant)).await.unwrap_or_else(|error| panic!("{plant}: {error:?}"));

        let found = audit::read(&mut transaction, &protection).await.unwrap().findings;
        let named: Vec<_> = found.iter().map(|finding| (finding.kind, finding.object.as_str())).collect();
        assert_eq!(named, [(*kind, here(object).as_str())], "{plant}: {found:#?}");
        assert!(!found[0].why.is_empty());

        let plan = protect::close(&mut transaction, &protection).await.unwrap();
        assert_eq!(plan.refusals.is_empty(), *closed, "{plant}");
        if !closed {
            for statement in &found[0].fix {
                let done = run(&mut transaction, &statement.sql).await;
                done.unwrap_or_else(|error| panic!("{plant}: {}: {error:?}", statement.sql));
            }
        }
        let left = audit::read(&mut transaction, &protection).await.unwrap().findings;
        // Some have no fix: what belongs there is for the operator to say.
        assert_eq!(left.is_empty(), !found[0].fix.is_empty(), "{plant}: {left:#?}");
        transaction.rollback().await.unwrap();
    }
    assert_eq!(audit::audit(&mut admin, &protection).await.unwrap().findings, []);
}
