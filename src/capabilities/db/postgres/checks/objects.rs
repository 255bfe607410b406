//! Things of the application's that a tenant's statement sets off, or that
//! widen what it sees, and that only the application's owner can judge.

use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row};

use super::super::Error;
use super::super::scene::Scene;
use super::Finding;
use super::functions::own;

/// What every query below may use. A role in `reach` is one that a script has.
const GIVEN: &str = "\
    WITH given AS (
        SELECT $1::oid[] AS reach, $2::oid[] AS tables, $3::oid[] AS functions, $4::oid AS login, $5::text AS login_name,
               $6::text AS application, $7::oid[] AS application_roles, $8::oid[] AS own),
    grantees AS (
        SELECT role, CASE role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(role)) END AS name FROM given, unnest(reach) role)";

/// By kind. Each answers the columns object, why and fix.
const QUERIES: [(&str, &str); 11] = [
    // Policies that are permissive widen each other.
    ("policy", "SELECT p.polrelid::regclass::text,
            format('the policy %I shows its rows to scripts besides those of their tenant', p.polname),
            format('ALTER POLICY %I ON %s TO %s', p.polname, p.polrelid::regclass, application)
       FROM pg_policy p, given
      WHERE p.polrelid = ANY (tables) AND p.polpermissive AND p.polname <> 'airlock_tenant' AND p.polroles && reach"),
    ("owner", "SELECT c.oid::regclass::text,
            format('its owner %I would see no row of it any more: add the role to `database.application_roles`', r.rolname),
            ''
       FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner, given
      WHERE c.oid = ANY (tables) AND NOT c.relrowsecurity AND NOT (r.rolsuper OR r.rolbypassrls)
        AND NOT r.oid = ANY (application_roles)"),
    ("application", "SELECT quote_ident(r.rolname),
            'the role is NOINHERIT, so it would lose what everyone has and the rows of the tables',
            format('ALTER ROLE %I INHERIT', r.rolname)
       FROM pg_roles r, given
      WHERE r.oid = ANY (application_roles) AND NOT r.rolinherit AND current_setting('server_version_num')::int < 160000"),
    ("trigger", "SELECT t.tgrelid::regclass::text,
            format('%I runs %s with the rights of its owner, on rows that a script writes: name the function in `database.functions` if it may', t.tgname, f.oid::regprocedure),
            format('ALTER FUNCTION %s SECURITY INVOKER', f.oid::regprocedure)
       FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid, given
      WHERE t.tgrelid = ANY (tables) AND NOT t.tgisinternal AND f.prosecdef AND NOT f.oid = ANY (functions)"),
    ("rule", "SELECT r.ev_class::regclass::text,
            format('%I does what it does with the rights of the table''s owner, not of the script', r.rulename),
            format('DROP RULE %I ON %s', r.rulename, r.ev_class::regclass)
       FROM pg_rewrite r, given WHERE r.ev_class = ANY (tables) AND r.rulename <> '_RETURN'"),
    ("owned", "SELECT pg_describe_object(d.classid, d.objid, d.objsubid),
            'it belongs to the login role, which may change, grant and drop it, and switch policies off',
            format('REASSIGN OWNED BY %s TO CURRENT_USER', login_name)
       FROM pg_shdepend d, given
      WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = login AND d.deptype = 'o'
        AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))"),
    ("foreign server", "SELECT quote_ident(s.srvname), format('%s may use it: another server knows no tenant', g.name),
            format('REVOKE USAGE ON FOREIGN SERVER %I FROM %s', s.srvname, g.name)
       FROM pg_foreign_server s, aclexplode(s.srvacl) a JOIN grantees g ON g.role = a.grantee WHERE a.grantee <> s.srvowner
     UNION ALL
     SELECT quote_ident(w.fdwname), format('%s may make servers with it', g.name),
            format('REVOKE USAGE ON FOREIGN DATA WRAPPER %I FROM %s', w.fdwname, g.name)
       FROM pg_foreign_data_wrapper w, aclexplode(w.fdwacl) a JOIN grantees g ON g.role = a.grantee WHERE a.grantee <> w.fdwowner"),
    ("parameter", "SELECT quote_ident(p.parname), format('%s may %s it', g.name, lower(a.privilege_type)),
            format('REVOKE %s ON PARAMETER %s FROM %s', a.privilege_type, p.parname, g.name)
       FROM pg_parameter_acl p, aclexplode(p.paracl) a JOIN grantees g ON g.role = a.grantee"),
    ("tablespace", "SELECT quote_ident(t.spcname), format('%s may fill its disk', g.name),
            format('REVOKE CREATE ON TABLESPACE %I FROM %s', t.spcname, g.name)
       FROM pg_tablespace t, aclexplode(t.spcacl) a JOIN grantees g ON g.role = a.grantee WHERE a.grantee <> t.spcowner"),
    // That everyone may call new functions is the server's own default.
    ("default privilege", "SELECT quote_ident(pg_get_userbyid(d.defaclrole)),
            format('what the role makes from now on, %s may use at once', g.name),
            format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE ALL ON %s FROM %s', pg_get_userbyid(d.defaclrole),
                   CASE WHEN n.nspname IS NULL THEN '' ELSE format(' IN SCHEMA %I', n.nspname) END,
                   CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END,
                   g.name)
       FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace, aclexplode(d.defaclacl) a
       JOIN grantees g ON g.role = a.grantee
      WHERE a.grantee <> d.defaclrole AND NOT (g.role = 0 AND d.defaclobjtype IN ('f', 'T') AND d.defaclnamespace = 0)
      GROUP BY d.defaclrole, d.defaclobjtype, n.nspname, g.name"),
    ("airlock schema", "SELECT pg_describe_object('pg_class'::regclass, c.oid, 0), 'nothing but the keys and the seal belongs in there', ''
       FROM pg_class c WHERE c.relnamespace = to_regnamespace('airlock') AND c.relname NOT IN ('token_keys', 'token_keys_pkey', 'verified')
     UNION ALL
     SELECT pg_describe_object('pg_proc'::regclass, p.oid, 0), 'nothing but Airlock''s own functions belongs in there', ''
       FROM pg_proc p, given WHERE p.pronamespace = to_regnamespace('airlock') AND NOT p.oid = ANY (own)"),
];

pub async fn check(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let tables: Vec<Oid> = scene.tenants_tables().map(|(table, _)| table.oid).collect();
    // Triggers and rules may stand on a partition alone.
    let tables: Vec<Oid> = sqlx::query_scalar(
        "WITH RECURSIVE parts (oid) AS (
             SELECT unnest($1::oid[]) UNION SELECT i.inhrelid FROM parts JOIN pg_inherits i ON i.inhparent = parts.oid
         ) SELECT oid FROM parts",
    )
    .bind(&tables)
    .fetch_all(&mut *connection)
    .await?;
    let roles: Vec<Oid> = scene.application_roles.iter().map(|role| role.oid()).collect();
    let own = own(connection).await?;
    let mut findings = Vec::new();
    for (kind, query) in QUERIES {
        let query = sqlx::query(sqlx::AssertSqlSafe(format!("{GIVEN} {query} ORDER BY 1, 2")));
        let query = query.bind(&scene.reach).bind(&tables).bind(&scene.functions).bind(scene.login.oid());
        let query = query.bind(&scene.login.name.quoted).bind(&scene.application.name.quoted).bind(&roles).bind(&own);
        for row in query.fetch_all(&mut *connection).await? {
            let fix = Some(row.get::<String, _>(2)).filter(|fix| !fix.is_empty());
            findings.push(Finding::new(kind, row.get::<String, _>(0), row.get::<String, _>(1), fix));
        }
    }
    Ok(findings)
}
