//! What the recorder writes for one tenant in one transaction.

use std::sync::{Arc, LazyLock};

use sqlx::Arguments;
use sqlx::any::AnyArguments;
use sqlx::error::BoxDynError;

use super::model::Execution;
use crate::store::clock::Millis;
use crate::store::usage::{self, Room, Usage};
use crate::store::{Connection, Kind, Statements};

/// A record as it is written.
#[derive(Debug)]
pub struct Row {
    pub execution: Execution,
    pub alive_at: Option<Millis>,
    /// What it takes up, its log lines included.
    pub bytes: i64,
    /// What it took up on record before; None where it was not there.
    pub before: Option<i64>,
}

/// Log lines that follow one another.
#[derive(Debug)]
pub struct Chunk {
    pub execution: String,
    pub first: i64,
    pub count: i64,
    pub lines: String,
}

/// What is written for a tenant.
#[derive(Debug, Default)]
pub struct Work {
    pub rows: Vec<Row>,
    pub chunks: Vec<Chunk>,
    /// Executions on record that run still.
    /// With how far they are.
    pub alive: Vec<(String, Option<String>)>,
}

/// What was found meanwhile.
#[derive(Debug, Default)]
pub struct Saved {
    /// What the tenant has on record.
    pub usage: Option<Usage>,
    /// Executions of this host that somebody asked to stop.
    pub cancelled: Vec<String>,
}

const COLUMNS: usize = 25;

static INSERTS: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|rows, kind| {
        format!(
            "INSERT INTO executions (tenant, id, script_id, script, version, triggered_by, user_id, trace_id, status,
             started_at, ended_at, queue_us, duration_us, fuel, memory_bytes, host_calls, error, result, result_bytes,
             log_lines, alive_at, bytes, job, attempt, cause) VALUES {}
             ON CONFLICT DO NOTHING RETURNING bytes",
            kind.places(rows, COLUMNS)
        )
    })
});

/// Takes the same values as an insert of one row.
const UPDATE: &str = "UPDATE executions SET script_id = $3, script = $4, version = $5, triggered_by = $6, user_id = $7,
    trace_id = $8, status = $9, started_at = $10, ended_at = $11, queue_us = $12, duration_us = $13, fuel = $14,
    memory_bytes = $15, host_calls = $16, error = $17, result = $18, result_bytes = $19, log_lines = $20,
    alive_at = $21, bytes = $22, job = $23, attempt = $24, cause = $25 WHERE tenant = $1 AND id = $2";

fn values(tenant: &str, rows: &[&Row]) -> Result<AnyArguments, BoxDynError> {
    let mut values = AnyArguments::default();
    values.reserve(rows.len() * COLUMNS, 0);
    for Row { execution, alive_at, bytes, .. } in rows {
        values.add(tenant.to_owned())?;
        for text in [&execution.id, &execution.script_id, &execution.script] {
            values.add(text.clone())?;
        }
        values.add(execution.version)?;
        values.add(execution.triggered_by.clone())?;
        values.add(execution.user_id.clone())?;
        values.add(execution.trace_id.clone())?;
        values.add(execution.status.clone())?;
        values.add(execution.started_at)?;
        for number in [
            execution.ended_at,
            execution.queue_us,
            execution.duration_us,
            execution.fuel,
            execution.memory_bytes,
            execution.host_calls,
        ] {
            values.add(number)?;
        }
        values.add(execution.error.clone())?;
        values.add(execution.result.clone())?;
        values.add(execution.result_bytes)?;
        values.add(execution.log_lines)?;
        values.add(*alive_at)?;
        values.add(*bytes)?;
        values.add(execution.job.clone())?;
        values.add(execution.attempt)?;
        values.add(execution.cause.clone())?;
    }
    Ok(values)
}

/// Writes a row that may be there, and adds it to what the tenant has.
pub async fn insert_one(connection: &mut Connection, tenant: &str, row: &Row) -> sqlx::Result<()> {
    let values = values(tenant, &[row]).map_err(sqlx::Error::Encode)?;
    let sql = INSERTS.one(Kind::of(connection));
    let inserted: Option<i64> = sqlx::query_scalar_with(sql, values).fetch_optional(&mut *connection).await?;
    if let Some(bytes) = inserted {
        usage::add(connection, tenant, Room::Executions, Usage { items: 1, bytes }).await?;
    }
    Ok(())
}

/// Writes it. Doing so again changes nothing.
pub async fn save(connection: &mut Connection, tenant: &str, now: Millis, work: Arc<Work>) -> sqlx::Result<Saved> {
    let mut more = Usage::default();
    let (known, new): (Vec<&Row>, Vec<&Row>) = work.rows.iter().partition(|row| row.before.is_some());
    for (sql, some) in INSERTS.split(Kind::of(connection), &new) {
        let values = values(tenant, some).map_err(sqlx::Error::Encode)?;
        let inserted: Vec<i64> = sqlx::query_scalar_with(sql, values).fetch_all(&mut *connection).await?;
        more.items += inserted.len() as i64;
        more.bytes += inserted.iter().sum::<i64>();
    }
    for row in known {
        let values = values(tenant, &[row]).map_err(sqlx::Error::Encode)?;
        let updated = sqlx::query_with(UPDATE, values).execute(&mut *connection).await?.rows_affected();
        if updated > 0 {
            more.bytes += row.bytes - row.before.unwrap_or_default();
        }
    }
    for chunk in &work.chunks {
        sqlx::query(
            "INSERT INTO execution_logs (tenant, execution, first, count, lines)
             SELECT tenant, id, $3, $4, $5 FROM executions WHERE tenant = $1 AND id = $2
             ON CONFLICT (tenant, execution, first) DO NOTHING",
        )
        .bind(tenant)
        .bind(&chunk.execution)
        .bind(chunk.first)
        .bind(chunk.count)
        .bind(&chunk.lines)
        .execute(&mut *connection)
        .await?;
    }
    let mut saved = Saved::default();
    for (id, progress) in &work.alive {
        let cancelled: Option<Option<Millis>> = sqlx::query_scalar(
            "UPDATE executions SET alive_at = $3, progress = COALESCE($4, progress)
             WHERE tenant = $1 AND id = $2 AND status = 'running' RETURNING cancel_at",
        )
        .bind(tenant)
        .bind(id)
        .bind(now)
        .bind(progress)
        .fetch_optional(&mut *connection)
        .await?;
        saved.cancelled.extend(cancelled.flatten().map(|_| id.clone()));
    }
    if more != Usage::default() {
        saved.usage = Some(usage::add(connection, tenant, Room::Executions, more).await?);
    }
    Ok(saved)
}
