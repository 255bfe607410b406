//! What an operator should know and nobody can close: it is no leak by itself.

use sqlx::PgConnection;

use super::super::Error;
use super::super::scene::Scene;

pub async fn notes(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<String>, Error> {
    let mut notes = Vec::new();
    let mut note = |names: Vec<String>, text: &str| {
        if !names.is_empty() {
            notes.push(format!("{}: {text}", names.join(", ")));
        }
    };
    // Members of the group, and what they are members of by way of others.
    let others = sqlx::query_scalar(
        "SELECT quote_ident(rolname) FROM pg_roles
          WHERE rolcanlogin AND NOT rolsuper AND oid <> $1 AND NOT oid = ANY ($2)
            AND NOT coalesce(pg_has_role(oid, (SELECT oid FROM pg_roles WHERE rolname = $3), 'USAGE'), false) ORDER BY 1",
    );
    let roles: Vec<_> = scene.application_roles.iter().map(|role| role.oid()).collect();
    let others = others.bind(scene.login.oid()).bind(&roles).bind(&scene.application.name.plain);
    note(
        others.fetch_all(&mut *connection).await?,
        "in this database these roles have no longer what PostgreSQL grants to everyone, such as reading the catalogs; \
         roles that need it belong in `database.application_roles`",
    );
    let databases = sqlx::query_scalar(
        "SELECT quote_ident(datname) FROM pg_database d, aclexplode(coalesce(datacl, acldefault('d', datdba))) a
          WHERE datallowconn AND datname <> current_database() AND a.grantee = ANY ($1) AND a.privilege_type = 'CONNECT'
          GROUP BY datname ORDER BY datname",
    );
    note(
        databases.bind(&scene.reach).fetch_all(&mut *connection).await?,
        "the login role may connect to these databases too. A script cannot, but whoever has its password can: \
         close them in pg_hba.conf, or with REVOKE CONNECT ON DATABASE … FROM PUBLIC",
    );
    let tables: Vec<_> = scene.tables.iter().map(|table| table.oid).collect();
    let sequences = sqlx::query_scalar(
        "SELECT DISTINCT s.oid::regclass::text FROM pg_depend p JOIN pg_class s ON s.oid = p.objid AND s.relkind = 'S'
          WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass AND p.refobjid = ANY ($1)
            AND p.deptype IN ('a', 'i') ORDER BY 1",
    );
    note(
        sequences.bind(&tables).fetch_all(&mut *connection).await?,
        "tenants share these counters, and from the gaps in its own numbers a tenant learns how many rows others insert; \
         gen_random_uuid() tells nothing",
    );
    let publications = sqlx::query_scalar("SELECT quote_ident(pubname) FROM pg_publication ORDER BY 1");
    note(
        publications.fetch_all(&mut *connection).await?,
        "these publications send the rows of all tenants: who subscribes sees them",
    );
    let triggers = sqlx::query_scalar("SELECT quote_ident(evtname) FROM pg_event_trigger ORDER BY 1");
    note(
        triggers.fetch_all(&mut *connection).await?,
        "these event triggers run at changes of the schema, such as those of `airlock db protect`",
    );
    let extensions = sqlx::query_scalar(
        "SELECT quote_ident(extname) FROM pg_extension
          WHERE extname IN ('adminpack', 'dblink', 'file_fdw', 'pageinspect', 'pg_buffercache', 'pg_visibility', 'pgrowlocks',
                            'pgstattuple', 'postgres_fdw', 'xml2') OR extname LIKE 'pl%u' ORDER BY 1",
    );
    note(
        extensions.fetch_all(&mut *connection).await?,
        "with these extensions whoever may call their functions gets out of the database or past its policies; \
         scripts may not",
    );
    Ok(notes)
}
