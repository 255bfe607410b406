//! Keys. What is unique must be unique within a tenant: where it is so across
//! tenants, an error on inserting tells that another tenant has the value, for
//! policies do not bind what the server checks by itself. The same goes for
//! foreign keys.

use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row};

use super::super::Error;
use super::super::scene::{Column, Scene, Table};
use super::Finding;

pub(super) const UNIQUE: &str = "unique key";
pub(super) const FOREIGN: &str = "foreign key";

pub async fn check(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for (table, column) in scene.tenants_tables() {
        findings.extend(unique(connection, table, column).await?);
        findings.extend(foreign(connection, scene, table, column).await?);
    }
    Ok(findings)
}

/// The statements of these findings in an order that works: a key cannot be
/// replaced while a foreign key refers to it.
pub fn mending_keys(findings: &[Finding]) -> Vec<&str> {
    let of = |kind: &'static str| findings.iter().filter(move |finding| finding.kind == kind);
    let drops = of(FOREIGN).filter_map(|finding| finding.fix.first());
    let keys = of(UNIQUE).flat_map(|finding| &finding.fix);
    let adds = of(FOREIGN).flat_map(|finding| finding.fix.iter().skip(1));
    drops.chain(keys).chain(adds).map(|statement| statement.sql.as_str()).collect()
}

/// The table and its partitions: both have constraints that hold for its rows.
const PARTS: &str = "\
    WITH RECURSIVE parts (oid) AS (
        SELECT $1::oid
        UNION ALL SELECT i.inhrelid FROM parts JOIN pg_inherits i ON i.inhparent = parts.oid
          JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition
    ), tenant (name) AS (SELECT attname FROM pg_attribute WHERE attrelid = $1::oid AND attnum = $2)";

async fn unique(connection: &mut PgConnection, table: &Table, column: &Column) -> Result<Vec<Finding>, Error> {
    // A partition may have the column at another place, so it is sought by name.
    let found = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{PARTS}
         SELECT c.oid::regclass::text AS relation, i.indexrelid::regclass::text AS index, quote_ident(k.conname) AS name, k.contype::text AS kind,
                pg_get_constraintdef(k.oid) AS definition, pg_get_indexdef(i.indexrelid) AS indexed
           FROM parts JOIN pg_class c USING (oid) JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid = i.indexrelid
           LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x')
          WHERE (i.indisunique OR i.indisexclusion) AND NOT x.relispartition AND NOT EXISTS (
                SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY p (number, at)
                  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.number JOIN tenant ON tenant.name = a.attname
                 WHERE p.at <= i.indnkeyatts AND (NOT i.indisexclusion
                    OR (SELECT oprname FROM pg_operator WHERE oid = k.conexclop[p.at]) = '='))
          ORDER BY 1, 2"
    )));
    let mut findings = Vec::new();
    for row in found.bind(table.oid).bind(column.number).fetch_all(connection).await? {
        let tenant = &column.name;
        let (relation, index): (String, String) = (row.get("relation"), row.get("index"));
        let definition: Option<String> = row.get("definition");
        let kind: Option<String> = row.get("kind");
        let fix = match (row.get::<Option<String>, _>("name"), definition) {
            (Some(name), Some(definition)) => {
                let with =
                    if kind.as_deref() == Some("x") { format!("({tenant} WITH =, ") } else { format!("({tenant}, ") };
                let definition = definition.replacen('(', &with, 1);
                vec![format!("ALTER TABLE {relation} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {definition}")]
            }
            _ => {
                let indexed: String = row.get("indexed");
                // `… USING btree (columns) …`
                let definition = match indexed.split_once(" USING ") {
                    Some((head, tail)) => format!("{head} USING {}", tail.replacen('(', &format!("({tenant}, "), 1)),
                    None => indexed,
                };
                vec![format!("DROP INDEX {index}"), definition]
            }
        };
        let why = format!(
            "it does not include {tenant}: a row that is refused as a duplicate tells that another tenant has the value"
        );
        findings.push(Finding::new(UNIQUE, format!("{relation}, {index}"), why, fix));
    }
    Ok(findings)
}

async fn foreign(
    connection: &mut PgConnection,
    scene: &Scene,
    table: &Table,
    column: &Column,
) -> Result<Vec<Finding>, Error> {
    let found = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{PARTS}
         SELECT c.oid::regclass::text AS relation, quote_ident(k.conname) AS name, k.confrelid AS referred,
                k.confrelid::regclass::text AS target, pg_get_constraintdef(k.oid) AS definition,
                array(SELECT p.referred FROM unnest(k.conkey, k.confkey) p (number, referred)
                  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.number JOIN tenant ON tenant.name = a.attname) AS opposite,
                array(SELECT quote_ident(a.attname) FROM unnest(k.conkey) p (number)
                  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.number) AS columns
           FROM parts JOIN pg_class c USING (oid) JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0
          ORDER BY 1, 2"
    )));
    let mut findings = Vec::new();
    for row in found.bind(table.oid).bind(column.number).fetch_all(connection).await? {
        let (relation, name, target): (String, String, String) =
            (row.get("relation"), row.get("name"), row.get("target"));
        let tenant = &column.name;
        let object = format!("{relation}, {name}");
        let drop = format!("ALTER TABLE {relation} DROP CONSTRAINT {name}");
        let Some(referred) = scene.tables.iter().find(|known| known.oid == row.get::<Oid, _>("referred")) else {
            let why = format!(
                "it refers to {target}, which is not a table of the settings: whether a row is refused tells what is in there. \
                 Name the table in the settings, or drop the key"
            );
            findings.push(Finding::new(FOREIGN, object, why, [drop]));
            continue;
        };
        let Some(other) = &referred.tenant else { continue };
        if row.get::<Vec<i16>, _>("opposite").contains(&other.number) {
            continue;
        }
        let mut definition = row.get::<String, _>("definition").replacen('(', &format!("({tenant}, "), 1);
        definition =
            definition.replacen(&format!("REFERENCES {target}("), &format!("REFERENCES {target}({}, ", other.name), 1);
        // The tenant must stay when the row that is referred to goes.
        let columns = row.get::<Vec<String>, _>("columns").join(", ");
        for action in ["ON DELETE SET NULL", "ON DELETE SET DEFAULT"] {
            if definition.contains(action) && !definition.contains(&format!("{action} (")) {
                definition = definition.replacen(action, &format!("{action} ({columns})"), 1);
            }
        }
        let why = format!(
            "it does not pair {tenant} with {}'s {}: a row can refer to another tenant's, and tells that it exists",
            referred.name, other.name
        );
        let add = format!("ALTER TABLE {relation} ADD CONSTRAINT {name} {definition}");
        findings.push(Finding::new(FOREIGN, object, why, [drop, add]));
    }
    Ok(findings)
}
