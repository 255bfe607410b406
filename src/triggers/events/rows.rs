//! The queries of the outbox.

use std::sync::{Arc, LazyLock};

use sqlx::any::AnyArguments;
use sqlx::error::BoxDynError;
use sqlx::{Arguments, AssertSqlSafe};

use super::Event;
use super::outbox::Entry;
use crate::store::clock::Millis;
use crate::store::{Connection, Kind, Statements};

const EVENT: &str =
    "id, name, data, source, script, execution, user_id, cause, depth, dedup_key, deliver_at, created_at";

pub async fn insert(connection: &mut Connection, tenant: &str, event: &Event, bytes: i64) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO outbox (tenant, id, name, data, source, script, execution, user_id, cause, depth, dedup_key,
         deliver_at, created_at, bytes, lifecycle)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
             CASE WHEN $5 = 'host' THEN 1
             ELSE COALESCE((SELECT lifecycle FROM outbox WHERE tenant = $1 AND id = $9), 0) END)",
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

const COLUMNS: usize = 15;

static INSERTS: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|rows, kind| {
        format!(
            "INSERT INTO outbox (tenant, id, name, data, source, script, execution, user_id, cause, depth, dedup_key,
             deliver_at, created_at, bytes, lifecycle) VALUES {}",
            kind.rows(1, rows, COLUMNS)
        )
    })
});

/// Of events that are plain.
pub async fn insert_plain(connection: &mut Connection, tenant: &str, entries: &[Arc<Entry>]) -> sqlx::Result<()> {
    for (sql, some) in INSERTS.split(Kind::of(connection), entries) {
        let values = values(tenant, some).map_err(sqlx::Error::Encode)?;
        sqlx::query_with(sql, values).execute(&mut *connection).await?;
    }
    Ok(())
}

fn values(tenant: &str, entries: &[Arc<Entry>]) -> Result<AnyArguments, BoxDynError> {
    let mut values = AnyArguments::default();
    values.reserve(entries.len() * COLUMNS, 0);
    for entry in entries {
        let Event { id, name, data, source, script, execution, .. } = &entry.event;
        values.add(tenant.to_owned())?;
        for text in [id, name, data, source, script, execution] {
            values.add(text.clone())?;
        }
        values.add(entry.event.user_id.clone())?;
        values.add(entry.event.cause.clone())?;
        values.add(entry.event.depth)?;
        values.add(entry.event.dedup_key.clone())?;
        values.add(entry.event.deliver_at)?;
        values.add(entry.event.created_at)?;
        values.add(entry.bytes)?;
        // What no event led to is none of the host's doing.
        values.add(0_i64)?;
    }
    Ok(values)
}

/// Has an event sent to others once it is due.
pub async fn send(connection: &mut Connection, tenant: &str, event: &Event) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO outgoing (tenant, event, due_at) VALUES ($1, $2, $3)")
        .bind(tenant)
        .bind(&event.id)
        .bind(event.deliver_at.unwrap_or(event.created_at))
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

/// The newest first, older than one, without their data.
pub async fn list(
    connection: &mut Connection,
    tenant: &str,
    name: Option<&str>,
    before: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Event>> {
    // What every id is before.
    const LAST: &str = "~";
    let columns = EVENT.replace("data", "'' AS data");
    let named = if name.is_some() { "AND name = $4" } else { "AND $4 = ''" };
    let sql = format!("SELECT {columns} FROM outbox WHERE tenant = $1 AND id < $2 {named} ORDER BY id DESC LIMIT $3");
    sqlx::query_as(AssertSqlSafe(sql))
        .bind(tenant)
        .bind(before.unwrap_or(LAST))
        .bind(limit)
        .bind(name.unwrap_or_default())
        .fetch_all(connection)
        .await
}

/// Whether the host told an event, or it came of such a one. One that is gone was
/// not.
pub async fn is_of_lifecycle(connection: &mut Connection, tenant: &str, id: &str) -> sqlx::Result<bool> {
    let lifecycle: Option<i64> = sqlx::query_scalar("SELECT lifecycle FROM outbox WHERE tenant = $1 AND id = $2")
        .bind(tenant)
        .bind(id)
        .fetch_optional(connection)
        .await?;
    Ok(lifecycle.is_some_and(|lifecycle| lifecycle != 0))
}

/// A job of an event that is not done.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Job {
    pub id: String,
    /// The script's id.
    pub script: String,
    pub state: String,
    /// Attempts that have begun, and how many may.
    pub attempt: i64,
    pub attempts: i64,
    pub run_at: Millis,
    /// Why the last attempt failed, as JSON.
    pub error: Option<String>,
}

/// An execution of a script that handled an event.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Attempt {
    pub id: String,
    pub script_id: String,
    pub job: Option<String>,
    /// From 1.
    pub attempt: Option<i64>,
    pub status: String,
    pub started_at: Millis,
}

/// What one event's view shows of each.
const MOST: i64 = 200;

/// The jobs of an event, the oldest first.
pub async fn jobs(connection: &mut Connection, tenant: &str, event: &str) -> sqlx::Result<Vec<Job>> {
    sqlx::query_as(
        "SELECT id, script, state, attempt, attempts, run_at, error FROM jobs
         WHERE tenant = $1 AND cause = $2 ORDER BY number LIMIT $3",
    )
    .bind(tenant)
    .bind(event)
    .bind(MOST)
    .fetch_all(connection)
    .await
}

/// The executions of an event's jobs, the latest first.
pub async fn attempts(connection: &mut Connection, tenant: &str, event: &str) -> sqlx::Result<Vec<Attempt>> {
    sqlx::query_as(
        "SELECT id, script_id, job, attempt, status, started_at FROM executions
         WHERE tenant = $1 AND cause = $2 ORDER BY started_at DESC, id DESC LIMIT $3",
    )
    .bind(tenant)
    .bind(event)
    .bind(MOST)
    .fetch_all(connection)
    .await
}
