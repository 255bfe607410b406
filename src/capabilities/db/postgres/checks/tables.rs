//! The tables of the settings: row-level security, its policies, and the
//! default of the tenant column.

use sqlx::{PgConnection, Row};

use super::super::scene::{Column, Scene, Table};
use super::super::{Access, Error};
use super::Finding;

/// The policies that [`super::super::protect`] makes.
pub(super) const TENANT: &str = "airlock_tenant";
pub(super) const APPLICATION: &str = "airlock_application";

pub async fn check(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for (table, column) in scene.tenants_tables() {
        findings.extend(table_of(connection, scene, table, column).await?);
    }
    Ok(findings)
}

async fn table_of(
    connection: &mut PgConnection,
    scene: &Scene,
    table: &Table,
    column: &Column,
) -> Result<Vec<Finding>, Error> {
    let (name, tenant) = (&table.name, &column.name);
    let row = sqlx::query(
        "SELECT c.relrowsecurity, c.relforcerowsecurity, quote_ident(r.rolname) AS owner, r.rolsuper OR r.rolbypassrls AS past,
                pg_get_expr(d.adbin, d.adrelid) IS NOT NULL AS defaulted
           FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
           LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = $2
          WHERE c.oid = $1",
    );
    let row = row.bind(table.oid).bind(column.number).fetch_one(&mut *connection).await?;
    let policies = sqlx::query(
        "SELECT polname, polpermissive AND polcmd = '*' AND polroles = ARRAY[$2] AS whole,
                pg_get_expr(polqual, polrelid) AS visible, pg_get_expr(polwithcheck, polrelid) AS written
           FROM pg_policy WHERE polrelid = $1",
    );
    let policies = policies.bind(table.oid).bind(scene.login.oid()).fetch_all(connection).await?;
    let policy = policies.iter().find(|policy| policy.get::<&str, _>("polname") == TENANT);
    let (enabled, forced): (bool, bool) = (row.get("relrowsecurity"), row.get("relforcerowsecurity"));
    let mut findings = Vec::new();

    // The policies come first: with row-level security and none, nobody sees a row.
    let condition = column.condition();
    let create = format!(
        "CREATE POLICY {TENANT} ON {name} FOR ALL TO {} USING ({condition}) WITH CHECK ({condition})",
        scene.login.name.quoted
    );
    match policy {
        None => {
            let mut fix = vec![create];
            if let Some(applies) = applications(scene, enabled, forced, row.get("past"), row.get("owner"))
                && !policies.iter().any(|policy| policy.get::<&str, _>("polname") == APPLICATION)
            {
                fix.push(format!(
                    "CREATE POLICY {APPLICATION} ON {name} FOR ALL TO {applies} USING (true) WITH CHECK (true)"
                ));
            }
            findings.push(Finding::new("policy", name, "no policy holds tenants to their own rows", fix));
        }
        Some(policy) => {
            let says = |side: &str| {
                let text = policy.get::<Option<String>, _>(side);
                text.is_some_and(|text| normal(&text) == normal(&column.condition()))
            };
            if !(policy.get::<bool, _>("whole") && says("visible") && says("written")) {
                let fix = [format!("DROP POLICY {TENANT} ON {name}"), create];
                let why = format!("the policy {TENANT} is not the one that checks tokens");
                findings.push(Finding::new("policy", name, why, fix));
            }
        }
    }
    if !enabled {
        let fix = format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY");
        findings.push(Finding::new("row security", name, "policies are not applied to it", [fix]));
    }
    if !forced {
        let fix = format!("ALTER TABLE {name} FORCE ROW LEVEL SECURITY");
        let why = "what runs with its owner's rights, such as a view, sees all rows";
        findings.push(Finding::new("row security", name, why, [fix]));
    }
    if table.access == Access::Write && !row.get::<bool, _>("defaulted") {
        let default = column.cast.as_ref().map_or(String::new(), |cast| format!("::{cast}"));
        let fix = format!("ALTER TABLE {name} ALTER COLUMN {tenant} SET DEFAULT airlock.tenant(){default}");
        let why = "rows that a script inserts need their tenant spelt out";
        findings.push(Finding::new("default", format!("{name}.{tenant}"), why, [fix]));
    }
    Ok(findings)
}

/// Whom a policy must leave all rows, so that protecting takes nothing from
/// the application.
fn applications(scene: &Scene, enabled: bool, forced: bool, owner_is_past: bool, owner: String) -> Option<String> {
    if !enabled {
        return Some(scene.application.name.quoted.clone());
    }
    // The application has policies of its own. The owner was past them so far.
    (!forced && !owner_is_past).then_some(owner)
}

/// Without what differs between spellings of one condition. It has one
/// operator only, so nothing hangs on parentheses.
fn normal(condition: &str) -> String {
    let text: String = condition.chars().filter(|c| !c.is_whitespace() && !"()".contains(*c)).collect();
    // The server names the subquery's column, and compares varchar as text.
    text.trim_end_matches("AStenant").replacen("::text=", "=", 1)
}
