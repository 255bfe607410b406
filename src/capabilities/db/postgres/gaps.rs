//! Whether a database is protected at all, asked before the host serves from it.
//!
//! `airlock db audit` looks at everything and takes a superuser. This asks what
//! must never be missed, as the login role, which may read no catalog: a function
//! reads for it.

use sqlx::PgConnection;

use super::Protection;
use super::routine::{FUNCTIONS, Function};

/// What is missing, one sentence each, for whoever is logged in.
pub(super) const GAPS: Function = Function {
    signature: "airlock.gaps(text, text[], text[], text[])",
    create: "airlock.gaps(tables_schema text, tables text[], functions text[], bodies text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp",
    body: "
BEGIN
  RETURN ARRAY(
    SELECT 'the role ' || r.rolname || ' is a superuser or has BYPASSRLS'
      FROM pg_roles r WHERE r.rolname = session_user AND (r.rolsuper OR r.rolbypassrls)
    UNION ALL
    SELECT CASE WHEN c.relowner = r.oid THEN 'the role ' || r.rolname || ' owns the table ' || c.relname
                WHEN NOT (c.relrowsecurity AND c.relforcerowsecurity) THEN 'row-level security is not enabled and forced on the table ' || c.relname
                ELSE 'the table ' || c.relname || ' lacks the policy airlock_tenant for the role ' || r.rolname END
      FROM pg_roles r, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE r.rolname = session_user AND n.nspname = tables_schema AND c.relname = ANY (tables)
       AND (c.relowner = r.oid OR NOT c.relrowsecurity OR NOT c.relforcerowsecurity OR NOT EXISTS (
            SELECT FROM pg_policy p
             WHERE p.polrelid = c.oid AND p.polname = 'airlock_tenant' AND p.polcmd = '*' AND p.polroles = ARRAY[r.oid]
               AND pg_get_expr(p.polqual, p.polrelid) LIKE '%airlock.tenant()%'
               AND pg_get_expr(p.polwithcheck, p.polrelid) LIKE '%airlock.tenant()%'))
    UNION ALL
    SELECT 'the function ' || f.signature || ' is missing, or another one'
      FROM unnest(functions, bodies) f (signature, body)
     WHERE NOT EXISTS (
            SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
             WHERE p.oid = to_regprocedure(f.signature) AND p.prosrc = f.body AND p.prosecdef AND p.proowner = n.nspowner));
END
",
    returns: "text[]",
    volatility: "s",
    parallel: "r",
    settings: &["search_path=pg_catalog, pg_temp"],
};

/// What the function reads.
pub(super) const READS: [&str; 5] = [
    "pg_catalog.pg_class",
    "pg_catalog.pg_namespace",
    "pg_catalog.pg_policy",
    "pg_catalog.pg_proc",
    "pg_catalog.pg_roles",
];

/// Refuses a database that is not protected for the role of the connection.
pub async fn refuse(connection: &mut PgConnection, protection: &Protection) -> anyhow::Result<()> {
    let tables = protection.tables.iter().filter(|table| table.tenant_column.is_some());
    let tables: Vec<&str> = tables.map(|table| table.name.as_str()).collect();
    let (functions, bodies): (Vec<&str>, Vec<&str>) =
        FUNCTIONS.iter().map(|function| (function.signature, function.body)).unzip();
    let asked = sqlx::query_scalar::<_, Vec<String>>("SELECT airlock.gaps($1, $2, $3, $4)");
    let asked = asked.bind(&protection.schema).bind(tables).bind(functions).bind(bodies);
    let gaps = match asked.fetch_one(connection).await {
        Ok(gaps) if gaps.is_empty() => return Ok(()),
        Ok(gaps) => gaps.join("; "),
        // No such schema, no such function, or no right to them.
        Err(sqlx::Error::Database(error))
            if ["3F000", "42883", "42501"].contains(&error.code().as_deref().unwrap_or_default()) =>
        {
            error.message().to_owned()
        }
        Err(error) => return Err(anyhow::Error::new(error).context("asking whether the database is protected")),
    };
    anyhow::bail!(
        "the database is not protected, so a script could reach every tenant's rows: {gaps}; \
         `airlock db protect --apply` closes this, and `airlock db audit` says what else is open"
    )
}
