//! Reads what tables the settings name from the database, as the login role
//! sees it.

use std::collections::HashMap;

use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::catalog::{Catalog, Column, Table, quoted};
use super::values::oid;
use super::{Access, Protection};

/// A column of no more letters than this is not measured, and four.
const SHORT: i32 = 260;

/// What is not there is left out; the log says so.
pub async fn load(connection: &mut PgConnection, protection: &Protection) -> Result<Catalog, sqlx::Error> {
    let schema = protection.schema.as_str();
    let mut found = Vec::new();
    for table in protection.tables.iter().filter(|table| table.access != Access::None) {
        match self::table(connection, schema, table).await {
            Ok(table) => found.push(table),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => {
                tracing::warn!(table = table.name, schema, "the settings name a table that the database has not");
            }
            Err(error) => return Err(error),
        }
    }
    let functions = protection.functions.iter().map(|named| {
        let (schema, name) = named.split_once('.').unwrap_or((schema, named));
        (name.to_owned(), format!("{}.{}", quoted(schema), quoted(name)))
    });
    Ok(Catalog::new(found, functions))
}

async fn table(connection: &mut PgConnection, schema: &str, named: &super::Table) -> Result<Table, sqlx::Error> {
    let name = format!("{}.{}", quoted(schema), quoted(&named.name));
    let literal = format!("'{}'", name.replace('\'', "''"));
    let keys = sqlx::query(AssertSqlSafe(format!(
        "SELECT i.indexrelid::regclass::text AS name, i.indisprimary AS is_primary,
                ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
                      JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
                      ORDER BY k.place) AS columns
           FROM pg_catalog.pg_index i WHERE i.indrelid = {literal}::regclass AND i.indisunique"
    )));
    let mut unique = HashMap::new();
    let mut primary: Vec<String> = Vec::new();
    for row in keys.fetch_all(&mut *connection).await? {
        let columns: Vec<String> = row.try_get("columns")?;
        if row.try_get("is_primary")? {
            primary.clone_from(&columns);
        }
        unique.insert(plain(&row.try_get::<String, _>("name")?), columns);
    }
    let columns = sqlx::query(AssertSqlSafe(format!(
        "SELECT a.attname::text AS name, a.atttypid::regtype::text AS kind, t.typtype::text AS sort,
                CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE a.atttypid END AS oid,
                a.attnotnull AS not_null, a.atttypmod AS modifier, a.attidentity::text <> '' AS identity, a.atthasdef AS has_default
           FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
          WHERE a.attrelid = {literal}::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    )));
    let mut described = Vec::new();
    for row in columns.fetch_all(&mut *connection).await? {
        let name: String = row.try_get("name")?;
        let oid = row.try_get::<Oid, _>("oid")?.0;
        // A serial is an integer of the key with a default.
        let serial = row.try_get("has_default")? && [20, 21, 23].contains(&oid) && primary.contains(&name);
        described.push(Column {
            kind: row.try_get("kind")?,
            oid,
            not_null: row.try_get("not_null")?,
            // Of these two it is the letters, and four.
            short: matches!(oid, oid::VARCHAR | oid::BPCHAR)
                && (4..=SHORT).contains(&row.try_get::<i32, _>("modifier")?),
            numbered: row.try_get::<bool, _>("identity")? || serial && Some(&name) != named.tenant_column.as_ref(),
            plain: row.try_get::<String, _>("sort")? == "e",
            name,
        });
    }
    Ok(Table {
        schema: schema.to_owned(),
        name: named.name.clone(),
        tenant: named.tenant_column.clone(),
        columns: described,
        keys: unique,
    })
}

/// The last part of a name as SQL writes it.
fn plain(name: &str) -> String {
    match name.strip_suffix('"') {
        Some(rest) => {
            let start = rest.rfind(".\"").map_or(1, |at| at + 2);
            rest.get(start..).unwrap_or(rest).replace("\"\"", "\"")
        }
        None => name.rsplit('.').next().unwrap_or(name).to_owned(),
    }
}
