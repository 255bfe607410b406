//! What is written of executions in one transaction.

use std::collections::{BTreeMap, HashMap};
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
    pub tenant: String,
    pub execution: String,
    pub first: i64,
    pub count: i64,
    pub lines: String,
}

/// An execution on record that runs still.
#[derive(Debug)]
pub struct Alive {
    pub tenant: String,
    pub id: String,
    /// How far it is, as JSON.
    pub progress: Option<String>,
}

/// What is written for some tenants.
#[derive(Debug, Default)]
pub struct Work {
    pub rows: Vec<Arc<Row>>,
    pub chunks: Vec<Chunk>,
    pub alive: Vec<Alive>,
}

/// What was found meanwhile.
#[derive(Debug, Default)]
pub struct Saved {
    /// What tenants have on record now that have more than before.
    pub usage: HashMap<String, Usage>,
    /// Executions of this host that somebody asked to stop.
    pub cancelled: Vec<String>,
}

/// Columns of how calls were made and ended, of whose and which script they are, and
/// their own.
const ALIKE: usize = 4;
const SCRIPT: usize = 3;
const OWN: usize = 18;

/// Rows of the same [`Common`]. Binding a value of text takes as long as to insert it,
/// so those that are the same are bound once.
static OF_ONE_SCRIPT: LazyLock<Statements> =
    LazyLock::new(|| Statements::new(|rows, kind| text(rows, kind, ALIKE + SCRIPT, OWN)));

/// Rows of any tenants and scripts.
static OF_ANY: LazyLock<Statements> =
    LazyLock::new(|| Statements::new(|rows, kind| text(rows, kind, ALIKE, SCRIPT + OWN)));

fn text(rows: usize, kind: Kind, common: usize, own: usize) -> String {
    format!(
        "INSERT INTO executions (version, triggered_by, user_id, status, tenant, script_id, script,
         id, trace_id, started_at, ended_at, queue_us, duration_us, fuel, memory_bytes, host_calls, error, result,
         result_bytes, log_lines, alive_at, bytes, job, attempt, cause)
         SELECT {}, own.* FROM (VALUES {}) AS own WHERE true ON CONFLICT DO NOTHING",
        kind.list(1..common + 1),
        kind.rows(common + 1, rows, own)
    )
}

/// Takes the same values as an insert of one row.
const UPDATE: &str = "UPDATE executions SET version = $1, triggered_by = $2, user_id = $3, status = $4, script_id = $6,
    script = $7, trace_id = $9, started_at = $10, ended_at = $11, queue_us = $12, duration_us = $13, fuel = $14,
    memory_bytes = $15, host_calls = $16, error = $17, result = $18, result_bytes = $19, log_lines = $20,
    alive_at = $21, bytes = $22, job = $23, attempt = $24, cause = $25 WHERE tenant = $5 AND id = $8";

impl Common {
    /// By what rows of one statement are alike.
    fn alike(&self) -> (&str, &str, Option<i64>, Option<&str>) {
        (self.status, &self.triggered_by, self.version, self.user_id.as_deref())
    }

    fn bind_alike(&self, values: &mut AnyArguments) -> Result<(), BoxDynError> {
        values.add(self.version)?;
        values.add(self.triggered_by.clone())?;
        values.add(self.user_id.clone())?;
        values.add(self.status.to_owned())
    }

    fn bind_script(&self, values: &mut AnyArguments) -> Result<(), BoxDynError> {
        values.add(self.tenant.clone())?;
        values.add(self.script_id.clone())?;
        values.add(self.script.clone())
    }
}

impl Row {
    fn bind_own(&self, values: &mut AnyArguments) -> Result<(), BoxDynError> {
        values.add(self.id.clone())?;
        values.add(self.trace.map(|trace| trace.id()))?;
        values.add(self.started_at)?;
        for number in [self.ended_at, self.queue_us, self.duration_us, self.fuel, self.memory_bytes, self.host_calls] {
            values.add(number)?;
        }
        values.add(self.error.clone())?;
        values.add(self.result.clone())?;
        values.add(self.result_bytes)?;
        values.add(self.log_lines)?;
        values.add(self.alive_at)?;
        values.add(self.bytes)?;
        values.add(self.job.clone())?;
        values.add(self.attempt)?;
        values.add(self.cause.clone())
    }
}

/// The values of rows that are alike, of one script or of any.
fn values(rows: &[&Row], is_one: bool) -> sqlx::Result<AnyArguments> {
    let bind = || {
        let mut values = AnyArguments::default();
        values.reserve(ALIKE + rows.len() * (SCRIPT + OWN), 0);
        if let Some(row) = rows.first() {
            row.common.bind_alike(&mut values)?;
            if is_one {
                row.common.bind_script(&mut values)?;
            }
        }
        for row in rows {
            if !is_one {
                row.common.bind_script(&mut values)?;
            }
            row.bind_own(&mut values)?;
        }
        Ok(values)
    };
    bind().map_err(sqlx::Error::Encode)
}

/// Writes a row that may be there, and adds it to what the tenant has.
pub async fn insert_one(connection: &mut Connection, row: &Row) -> sqlx::Result<()> {
    let sql = OF_ONE_SCRIPT.one(Kind::of(connection));
    if sqlx::query_with(sql, values(&[row], true)?).execute(&mut *connection).await?.rows_affected() > 0 {
        let one = Usage { items: 1, bytes: row.bytes };
        usage::add(connection, &row.common.tenant, Room::Executions, one).await?;
    }
    Ok(())
}

/// Writes it, in the turns of all tenants that it is of. Doing so again changes
/// nothing.
///
/// # Errors
///
/// Where the database fails or refuses it, which it also does where some of the new
/// rows are there already and others are not: each by itself is taken.
pub async fn save(connection: &mut Connection, now: Millis, work: &Work) -> sqlx::Result<Saved> {
    let kind = Kind::of(connection);
    let mut more: BTreeMap<&str, Usage> = BTreeMap::new();
    let rows = work.rows.iter().map(|row| &**row);
    let (known, new): (Vec<&Row>, Vec<&Row>) = rows.partition(|row| row.before.is_some());
    let mut alike: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
    for row in new {
        alike.entry(row.common.alike()).or_default().push(row);
    }
    for rows in alike.values() {
        let is_one = rows.windows(2).all(|two| matches!(two, [one, next] if one.common == next.common));
        let statements = if is_one { &OF_ONE_SCRIPT } else { &OF_ANY };
        for (sql, some) in statements.split(kind, rows) {
            let inserted = sqlx::query_with(sql, values(some, is_one)?).execute(&mut *connection).await?;
            if all_or_none(inserted.rows_affected(), some.len())? {
                for row in some {
                    *more.entry(&row.common.tenant).or_default() += Usage { items: 1, bytes: row.bytes };
                }
            }
        }
    }
    for row in known {
        let updated = sqlx::query_with(UPDATE, values(&[row], true)?).execute(&mut *connection).await?;
        if updated.rows_affected() > 0 {
            let bytes = row.bytes - row.before.unwrap_or_default();
            *more.entry(&row.common.tenant).or_default() += Usage { items: 0, bytes };
        }
    }
    for chunk in &work.chunks {
        sqlx::query(
            "INSERT INTO execution_logs (tenant, execution, first, count, lines)
             SELECT tenant, id, $3, $4, $5 FROM executions WHERE tenant = $1 AND id = $2
             ON CONFLICT (tenant, execution, first) DO NOTHING",
        )
        .bind(&chunk.tenant)
        .bind(&chunk.execution)
        .bind(chunk.first)
        .bind(chunk.count)
        .bind(&chunk.lines)
        .execute(&mut *connection)
        .await?;
    }
    let mut saved = Saved::default();
    for Alive { tenant, id, progress } in &work.alive {
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
    saved.usage = usage::add_for_all(connection, Room::Executions, &more).await?;
    Ok(saved)
}
