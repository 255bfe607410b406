//! The queries of the tables that hold scripts.

use sqlx::FromRow;

use super::{Stored, Version};
use crate::capabilities::grant::Lists;
use crate::store::Connection;
use crate::store::clock::Millis;

#[derive(FromRow)]
struct ScriptRow {
    id: String,
    draft: String,
    enabled: i64,
    deployed: Option<i64>,
    latest: i64,
    created_at: Millis,
    updated_at: Millis,
}

impl ScriptRow {
    fn read(self) -> sqlx::Result<Stored> {
        let ScriptRow { id, draft, enabled, deployed, latest, created_at, updated_at } = self;
        Ok(Stored { id, draft: json(&draft)?, enabled: enabled != 0, deployed, latest, created_at, updated_at })
    }
}

#[derive(FromRow)]
struct VersionRow {
    number: i64,
    file: String,
    hash: String,
    engine: String,
    entries: String,
    declared: Option<String>,
    author: String,
    message: String,
    bytes: i64,
    created_at: Millis,
}

impl VersionRow {
    fn read(self) -> sqlx::Result<Version> {
        let VersionRow { number, file, hash, engine, entries, declared, author, message, bytes, created_at } = self;
        let (entries, declared) = (json(&entries)?, declared.as_deref().map(json).transpose()?);
        Ok(Version { number, file, hash, engine, entries, declared, author, message, bytes, created_at })
    }
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> sqlx::Result<T> {
    serde_json::from_str(text).map_err(|reason| sqlx::Error::Decode(reason.into()))
}

fn text<T: serde::Serialize>(value: &T) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|reason| sqlx::Error::Encode(reason.into()))
}

/// A script by its id or its name.
pub async fn script(connection: &mut Connection, tenant: &str, named: &str) -> sqlx::Result<Option<Stored>> {
    let row: Option<ScriptRow> = sqlx::query_as(
        "SELECT id, draft, enabled, deployed, latest, created_at, updated_at FROM scripts
         WHERE tenant = $1 AND (id = $2 OR name = $2)",
    )
    .bind(tenant)
    .bind(named)
    .fetch_optional(connection)
    .await?;
    row.map(ScriptRow::read).transpose()
}

/// Scripts in the order of their names.
pub async fn scripts(connection: &mut Connection, tenant: &str, after: &str, rows: i64) -> sqlx::Result<Vec<Stored>> {
    let found: Vec<ScriptRow> = sqlx::query_as(
        "SELECT id, draft, enabled, deployed, latest, created_at, updated_at FROM scripts
         WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3",
    )
    .bind(tenant)
    .bind(after)
    .bind(rows)
    .fetch_all(connection)
    .await?;
    found.into_iter().map(ScriptRow::read).collect()
}

/// Every script that was deployed, with what its version declares and its file.
pub async fn deployed(connection: &mut Connection, tenant: &str) -> sqlx::Result<Vec<(Stored, String, Option<Lists>)>> {
    #[derive(FromRow)]
    struct Row {
        #[sqlx(flatten)]
        script: ScriptRow,
        file: String,
        declared: Option<String>,
    }
    let found: Vec<Row> = sqlx::query_as(
        "SELECT s.id, s.draft, s.enabled, s.deployed, s.latest, s.created_at, s.updated_at, v.file, v.declared
         FROM scripts s
         JOIN script_versions v ON v.tenant = s.tenant AND v.script = s.id AND v.number = s.deployed
         WHERE s.tenant = $1 ORDER BY s.name",
    )
    .bind(tenant)
    .fetch_all(connection)
    .await?;
    let read = |row: Row| Ok((row.script.read()?, row.file, row.declared.as_deref().map(json).transpose()?));
    found.into_iter().map(read).collect()
}

/// Whether there is a script of that name beside the one with that id.
pub async fn is_taken(connection: &mut Connection, tenant: &str, name: &str, id: &str) -> sqlx::Result<bool> {
    let found: Option<String> =
        sqlx::query_scalar("SELECT id FROM scripts WHERE tenant = $1 AND name = $2 AND id <> $3")
            .bind(tenant)
            .bind(name)
            .bind(id)
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}

pub async fn insert(connection: &mut Connection, tenant: &str, script: &Stored) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO scripts (tenant, id, name, draft, enabled, deployed, latest, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(tenant)
    .bind(&script.id)
    .bind(&script.draft.name)
    .bind(text(&script.draft)?)
    .bind(i64::from(script.enabled))
    .bind(script.deployed)
    .bind(script.latest)
    .bind(script.created_at)
    .bind(script.updated_at)
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn update(connection: &mut Connection, tenant: &str, script: &Stored) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE scripts SET name = $3, draft = $4, enabled = $5, deployed = $6, latest = $7, updated_at = $8
         WHERE tenant = $1 AND id = $2",
    )
    .bind(tenant)
    .bind(&script.id)
    .bind(&script.draft.name)
    .bind(text(&script.draft)?)
    .bind(i64::from(script.enabled))
    .bind(script.deployed)
    .bind(script.latest)
    .bind(script.updated_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes a script with its versions and routes; answers the versions' bytes.
pub async fn delete(connection: &mut Connection, tenant: &str, id: &str) -> sqlx::Result<i64> {
    let bytes: Vec<i64> = sqlx::query_scalar("SELECT bytes FROM script_versions WHERE tenant = $1 AND script = $2")
        .bind(tenant)
        .bind(id)
        .fetch_all(&mut *connection)
        .await?;
    for query in [
        "DELETE FROM script_routes WHERE tenant = $1 AND script = $2",
        "DELETE FROM script_versions WHERE tenant = $1 AND script = $2",
        "DELETE FROM scripts WHERE tenant = $1 AND id = $2",
    ] {
        sqlx::query(query).bind(tenant).bind(id).execute(&mut *connection).await?;
    }
    Ok(bytes.into_iter().sum())
}

/// Takes routes for a script, and gives back those that it had. Answers one that
/// another script has, if there is one.
pub async fn routes(
    connection: &mut Connection,
    tenant: &str,
    id: &str,
    routes: impl IntoIterator<Item = (String, String)>,
) -> sqlx::Result<Option<(String, String)>> {
    sqlx::query("DELETE FROM script_routes WHERE tenant = $1 AND script = $2")
        .bind(tenant)
        .bind(id)
        .execute(&mut *connection)
        .await?;
    for (path, method) in routes {
        let taken = sqlx::query(
            "INSERT INTO script_routes (tenant, path, method, script) VALUES ($1, $2, $3, $4)
             ON CONFLICT (tenant, path, method) DO NOTHING",
        )
        .bind(tenant)
        .bind(&path)
        .bind(&method)
        .bind(id)
        .execute(&mut *connection)
        .await?;
        if taken.rows_affected() == 0 {
            return Ok(Some((path, method)));
        }
    }
    Ok(None)
}

const VERSION: &str = "number, file, hash, engine, entries, declared, author, message, bytes, created_at";

/// A version's source is read by itself: [`source`].
pub async fn version(
    connection: &mut Connection,
    tenant: &str,
    script: &str,
    number: i64,
) -> sqlx::Result<Option<Version>> {
    let query = format!("SELECT {VERSION} FROM script_versions WHERE tenant = $1 AND script = $2 AND number = $3");
    let row: Option<VersionRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
        .bind(tenant)
        .bind(script)
        .bind(number)
        .fetch_optional(connection)
        .await?;
    row.map(VersionRow::read).transpose()
}

/// Versions from the newest on, older than `before`.
pub async fn versions(
    connection: &mut Connection,
    tenant: &str,
    script: &str,
    before: i64,
    rows: i64,
) -> sqlx::Result<Vec<Version>> {
    let query = format!(
        "SELECT {VERSION} FROM script_versions WHERE tenant = $1 AND script = $2 AND number < $3
         ORDER BY number DESC LIMIT $4"
    );
    let found: Vec<VersionRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
        .bind(tenant)
        .bind(script)
        .bind(before)
        .bind(rows)
        .fetch_all(connection)
        .await?;
    found.into_iter().map(VersionRow::read).collect()
}

/// A version's file, source and source map.
pub async fn source(
    connection: &mut Connection,
    tenant: &str,
    script: &str,
    number: i64,
) -> sqlx::Result<Option<(String, String, Option<String>)>> {
    sqlx::query_as(
        "SELECT file, source, source_map FROM script_versions WHERE tenant = $1 AND script = $2 AND number = $3",
    )
    .bind(tenant)
    .bind(script)
    .bind(number)
    .fetch_optional(connection)
    .await
}

pub async fn insert_version(
    connection: &mut Connection,
    tenant: &str,
    script: &str,
    version: &Version,
    source: &str,
    source_map: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO script_versions (tenant, script, number, file, source, source_map, hash, engine, entries,
         declared, author, message, bytes, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(tenant)
    .bind(script)
    .bind(version.number)
    .bind(&version.file)
    .bind(source)
    .bind(source_map)
    .bind(&version.hash)
    .bind(&version.engine)
    .bind(text(&version.entries)?)
    .bind(version.declared.as_ref().map(text).transpose()?)
    .bind(&version.author)
    .bind(&version.message)
    .bind(version.bytes)
    .bind(version.created_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that a tenant's scripts have changed.
pub async fn touch(connection: &mut Connection, tenant: &str) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO script_revisions (tenant, revision) VALUES ($1, 1)
         ON CONFLICT (tenant) DO UPDATE SET revision = script_revisions.revision + 1",
    )
    .bind(tenant)
    .execute(connection)
    .await?;
    Ok(())
}

/// How often each tenant's scripts have changed.
pub async fn revisions(connection: &mut Connection) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as("SELECT tenant, revision FROM script_revisions").fetch_all(connection).await
}
