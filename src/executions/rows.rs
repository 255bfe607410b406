//! What the recorder writes for one tenant in one transaction.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use sqlx::Arguments;
use sqlx::any::AnyArguments;
use sqlx::error::BoxDynError;

use crate::runtime::trace::Trace;
use crate::store::clock::Millis;
use crate::store::usage::{self, Room, Usage};
use crate::store::{Connection, Kind, Statements, all_or_none};

/// A record as it is written. An [`Execution`](super::Execution) has the same
/// members. By default all that is not known yet.
#[derive(Debug, Default)]
pub struct Row {
    pub common: Arc<Common>,
    pub id: String,
    pub trace: Option<Trace>,
    pub started_at: Millis,
    pub ended_at: Option<Millis>,
    pub queue_us: Option<i64>,
    pub duration_us: Option<i64>,
    pub fuel: Option<i64>,
    pub memory_bytes: Option<i64>,
    pub host_calls: Option<i64>,
    pub error: Option<String>,
    pub result: Option<String>,
    pub result_bytes: Option<i64>,
    pub log_lines: i64,
    pub job: Option<String>,
    pub attempt: Option<i64>,
    pub cause: Option<String>,
    pub alive_at: Option<Millis>,
    /// What it takes up, its log lines included.
    pub bytes: i64,
    /// What it took up on record before; None where it was not there.
    pub before: Option<i64>,
}

/// What a tenant's calls of a script have in common, made for the same reason and
/// come to the same end.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Common {
    pub tenant: String,
    pub script_id: String,
    pub script: String,
    pub version: Option<i64>,
    pub triggered_by: String,
    pub user_id: Option<String>,
    pub status: &'static str,
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
    pub rows: Vec<Arc<Row>>,
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

/// The values of rows with the same [`Common`].
fn values(common: &Common, rows: &[&Row]) -> Result<AnyArguments, BoxDynError> {
    let mut values = AnyArguments::default();
    values.reserve(COMMON + rows.len() * OWN, 0);
    values.add(common.tenant.clone())?;
    values.add(common.script_id.clone())?;
    values.add(common.script.clone())?;
    values.add(common.version)?;
    values.add(common.triggered_by.clone())?;
    values.add(common.user_id.clone())?;
    values.add(common.status.to_owned())?;
    for row in rows {
        values.add(row.id.clone())?;
        values.add(row.trace.map(|trace| trace.id()))?;
        values.add(row.started_at)?;
        for number in [row.ended_at, row.queue_us, row.duration_us, row.fuel, row.memory_bytes, row.host_calls] {
            values.add(number)?;
        }
        values.add(row.error.clone())?;
        values.add(row.result.clone())?;
        values.add(row.result_bytes)?;
        values.add(row.log_lines)?;
        values.add(row.alive_at)?;
        values.add(row.bytes)?;
        values.add(row.job.clone())?;
        values.add(row.attempt)?;
        values.add(row.cause.clone())?;
    }
    Ok(values)
}

/// Writes a row that may be there, and adds it to what the tenant has.
pub async fn insert_one(connection: &mut Connection, row: &Row) -> sqlx::Result<()> {
    let values = values(&row.common, &[row]).map_err(sqlx::Error::Encode)?;
    let sql = INSERTS.one(Kind::of(connection));
    if sqlx::query_with(sql, values).execute(&mut *connection).await?.rows_affected() > 0 {
        let one = Usage { items: 1, bytes: row.bytes };
        usage::add(connection, &row.common.tenant, Room::Executions, one).await?;
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
    let rows = work.rows.iter().map(|row| &**row);
    let (known, new): (Vec<&Row>, Vec<&Row>) = rows.partition(|row| row.before.is_some());
    let mut alike: BTreeMap<&Common, Vec<&Row>> = BTreeMap::new();
    for row in new {
        alike.entry(&row.common).or_default().push(row);
    }
    for (common, rows) in &alike {
        for (sql, some) in INSERTS.split(kind, rows) {
            let values = values(common, some).map_err(sqlx::Error::Encode)?;
            let inserted = sqlx::query_with(sql, values).execute(&mut *connection).await?.rows_affected();
            if all_or_none(inserted, some.len())? {
                more.items += some.len() as i64;
                more.bytes += some.iter().map(|row| row.bytes).sum::<i64>();
            }
        }
    }
    for row in known {
        let values = values(&row.common, &[row]).map_err(sqlx::Error::Encode)?;
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
