//! The queries of the outbox.

use sqlx::AssertSqlSafe;

use super::Event;
use crate::store::Connection;

const EVENT: &str =
    "id, name, data, source, script, execution, user_id, cause, depth, dedup_key, deliver_at, created_at";

pub async fn insert(connection: &mut Connection, tenant: &str, event: &Event, bytes: i64) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO outbox (tenant, id, name, data, source, script, execution, user_id, cause, depth, dedup_key,
         deliver_at, created_at, bytes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(tenant)
    .bind(&event.id)
    .bind(&event.name)
    .bind(&event.data)
    .bind(&event.source)
    .bind(&event.script)
    .bind(&event.execution)
    .bind(event.user_id.as_ref())
    .bind(event.cause.as_ref())
    .bind(event.depth)
    .bind(event.dedup_key.as_ref())
    .bind(event.deliver_at)
    .bind(event.created_at)
    .bind(bytes)
    .execute(connection)
    .await?;
    Ok(())
}

/// The id of the event with a name and a dedup key.
pub async fn known(connection: &mut Connection, tenant: &str, name: &str, key: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT id FROM outbox WHERE tenant = $1 AND name = $2 AND dedup_key = $3")
        .bind(tenant)
        .bind(name)
        .bind(key)
        .fetch_optional(connection)
        .await
}

pub async fn get(connection: &mut Connection, tenant: &str, id: &str) -> sqlx::Result<Option<Event>> {
    sqlx::query_as(AssertSqlSafe(format!("SELECT {EVENT} FROM outbox WHERE tenant = $1 AND id = $2")))
        .bind(tenant)
        .bind(id)
        .fetch_optional(connection)
        .await
}

/// The newest first, older than one.
pub async fn list(
    connection: &mut Connection,
    tenant: &str,
    name: Option<&str>,
    before: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Event>> {
    // What every id is before.
    const LAST: &str = "~";
    let named = if name.is_some() { "AND name = $4" } else { "AND $4 = ''" };
    let sql = format!("SELECT {EVENT} FROM outbox WHERE tenant = $1 AND id < $2 {named} ORDER BY id DESC LIMIT $3");
    sqlx::query_as(AssertSqlSafe(sql))
        .bind(tenant)
        .bind(before.unwrap_or(LAST))
        .bind(limit)
        .bind(name.unwrap_or_default())
        .fetch_all(connection)
        .await
}
