//! What the recorder writes for one tenant in one transaction.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sqlx::Arguments;
use sqlx::any::AnyArguments;
use sqlx::error::BoxDynError;

use super::model::Execution;
use crate::store::clock::Millis;
use crate::store::usage::{self, Room, Usage};
use crate::store::{Connection, Kind, Statements, all_or_none};

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

/// Columns that many rows have in common, and those that are a row's own.
const COMMON: usize = 7;
const OWN: usize = 18;

/// Inserts rows of the same [`Common`]. Binding a value of text takes as long as to
/// insert it, so those that are the same are bound once.
static INSERTS: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|rows, kind| {
        format!(
            "INSERT INTO executions (tenant, script_id, script, version, triggered_by, user_id, status,
             id, trace_id, started_at, ended_at, queue_us, duration_us, fuel, memory_bytes, host_calls, error, result,
             result_bytes, log_lines, alive_at, bytes, job, attempt, cause)
             SELECT {}, own.* FROM (VALUES {}) AS own WHERE true ON CONFLICT DO NOTHING",
            kind.list(1..COMMON + 1),
            kind.rows(COMMON + 1, rows, OWN)
        )
    })
});

/// Takes the same values as an insert of one row.
const UPDATE: &str = "UPDATE executions SET script_id = $2, script = $3, version = $4, triggered_by = $5, user_id = $6,
    status = $7, trace_id = $9, started_at = $10, ended_at = $11, queue_us = $12, duration_us = $13, fuel = $14,
    memory_bytes = $15, host_calls = $16, error = $17, result = $18, result_bytes = $19, log_lines = $20,
    alive_at = $21, bytes = $22, job = $23, attempt = $24, cause = $25 WHERE tenant = $1 AND id = $8";

/// What calls of a script for the same reason and to the same end have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Common<'r> {
    script_id: &'r str,
    script: &'r str,
    version: Option<i64>,
    triggered_by: &'r str,
    user_id: Option<&'r str>,
    status: &'r str,
}

impl Common<'_> {
    fn of(row: &Row) -> Common<'_> {
        let Execution { script_id, script, version, triggered_by, user_id, status, .. } = &row.execution;
        Common { script_id, script, version: *version, triggered_by, user_id: user_id.as_deref(), status }
    }
}

/// The values of rows of the same [`Common`].
fn values(tenant: &str, rows: &[&Row]) -> Result<AnyArguments, BoxDynError> {
    let mut values = AnyArguments::default();
    values.reserve(COMMON + rows.len() * OWN, 0);
    if let Some(first) = rows.first() {
        let Common { script_id, script, version, triggered_by, user_id, status } = Common::of(first);
        values.add(tenant.to_owned())?;
        values.add(script_id.to_owned())?;
        values.add(script.to_owned())?;
        values.add(version)?;
        values.add(triggered_by.to_owned())?;
        values.add(user_id.map(str::to_owned))?;
        values.add(status.to_owned())?;
    }
    for Row { execution, alive_at, bytes, .. } in rows {
        values.add(execution.id.clone())?;
        values.add(execution.trace_id.clone())?;
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
    if sqlx::query_with(sql, values).execute(&mut *connection).await?.rows_affected() > 0 {
        usage::add(connection, tenant, Room::Executions, Usage { items: 1, bytes: row.bytes }).await?;
    }
    Ok(())
}

/// Writes it. Doing so again changes nothing.
///
/// # Errors
///
/// Where the database fails or refuses it, which it also does where some of the new
/// rows are there already and others are not: each by itself is taken.
pub async fn save(connection: &mut Connection, tenant: &str, now: Millis, work: &Work) -> sqlx::Result<Saved> {
    let kind = Kind::of(connection);
    let mut more = Usage::default();
    let (known, new): (Vec<&Row>, Vec<&Row>) = work.rows.iter().partition(|row| row.before.is_some());
    let mut alike: BTreeMap<Common<'_>, Vec<&Row>> = BTreeMap::new();
    for row in new {
        alike.entry(Common::of(row)).or_default().push(row);
    }
    for (sql, some) in alike.values().flat_map(|rows| INSERTS.split(kind, rows)) {
        let values = values(tenant, some).map_err(sqlx::Error::Encode)?;
        let inserted = sqlx::query_with(sql, values).execute(&mut *connection).await?.rows_affected();
        if all_or_none(inserted, some.len())? {
            more.items += some.len() as i64;
            more.bytes += some.iter().map(|row| row.bytes).sum::<i64>();
        }
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
