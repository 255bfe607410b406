//! Schedules and ticks as they are shown.

use sqlx::FromRow;

use super::rows;
use super::state::State;
use crate::store::Connection;
use crate::store::clock::Millis;

/// A schedule.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The script's id, and its name.
    pub script: String,
    pub name: String,
    pub state: State,
    /// The last tick that is settled.
    pub last: Option<Tick>,
}

/// A tick that is settled, and what came of it.
#[derive(Debug, Clone, FromRow)]
pub struct Tick {
    pub tick: Millis,
    pub fate: String,
    pub reason: Option<String>,
    pub settled_at: Millis,
    pub job: Option<String>,
    /// Of the job. None: it is done, or gone.
    pub job_state: Option<String>,
    pub run_at: Option<Millis>,
    /// The last attempt, where there is a record of one.
    pub execution: Option<String>,
    pub attempt: Option<i64>,
    pub status: Option<String>,
    pub started_at: Option<Millis>,
    pub ended_at: Option<Millis>,
}

const TICKS: &str = "SELECT t.tick, t.fate, t.reason, t.settled_at, t.job, j.state AS job_state, j.run_at,
     e.id AS execution, e.attempt, e.status, e.started_at, e.ended_at
     FROM ticks t
     LEFT JOIN jobs j ON j.tenant = t.tenant AND j.id = t.job
     LEFT JOIN executions e ON e.tenant = t.tenant AND e.job = t.job AND e.attempt = (
         SELECT MAX(l.attempt) FROM executions l WHERE l.tenant = t.tenant AND l.job = t.job)
     WHERE t.tenant = $1 AND t.script = $2 AND t.tick < $3 ORDER BY t.tick DESC LIMIT $4";

/// Ticks before a time, the latest first.
pub async fn ticks(
    connection: &mut Connection,
    tenant: &str,
    script: &str,
    before: Millis,
    most: i64,
) -> sqlx::Result<Vec<Tick>> {
    sqlx::query_as(TICKS).bind(tenant).bind(script).bind(before).bind(most).fetch_all(connection).await
}

/// The schedules of a tenant by their scripts' names, after one.
pub async fn schedules(connection: &mut Connection, tenant: &str, after: &str, most: i64) -> sqlx::Result<Vec<Listed>> {
    let names: Vec<(String, String)> = sqlx::query_as(
        "SELECT s.script, COALESCE(c.name, s.script) AS name FROM schedules s
         LEFT JOIN scripts c ON c.tenant = s.tenant AND c.id = s.script
         WHERE s.tenant = $1 AND COALESCE(c.name, s.script) > $2 ORDER BY 2 LIMIT $3",
    )
    .bind(tenant)
    .bind(after)
    .bind(most)
    .fetch_all(&mut *connection)
    .await?;
    let mut listed = Vec::with_capacity(names.len());
    for (script, name) in names {
        listed.extend(with_last(&mut *connection, tenant, script, name).await?);
    }
    Ok(listed)
}

/// One of them, by its script's id or name.
pub async fn schedule(connection: &mut Connection, tenant: &str, named: &str) -> sqlx::Result<Option<Listed>> {
    let found: Option<(String, String)> = sqlx::query_as(
        "SELECT s.script, COALESCE(c.name, s.script) FROM schedules s
         LEFT JOIN scripts c ON c.tenant = s.tenant AND c.id = s.script
         WHERE s.tenant = $1 AND (s.script = $2 OR c.name = $2)",
    )
    .bind(tenant)
    .bind(named)
    .fetch_optional(&mut *connection)
    .await?;
    match found {
        Some((script, name)) => with_last(connection, tenant, script, name).await,
        None => Ok(None),
    }
}

async fn with_last(
    connection: &mut Connection,
    tenant: &str,
    script: String,
    name: String,
) -> sqlx::Result<Option<Listed>> {
    let Some(state) = rows::state(&mut *connection, tenant, &script).await? else { return Ok(None) };
    let last = ticks(connection, tenant, &script, Millis::MAX, 1).await?.into_iter().next();
    Ok(Some(Listed { script, name, state, last }))
}
