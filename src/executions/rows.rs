//! What is written of executions in one transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use sqlx::Arguments;
use sqlx::any::AnyArguments;
use sqlx::error::BoxDynError;

use crate::runtime::trace::Trace;
use crate::store::Connection;
use crate::store::clock::Millis;
use crate::store::insert::{Bind, Columns, Insert};
use crate::store::usage::{self, Room, Usage};

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
    /// What tenants have on record now of whom something was written.
    pub usage: HashMap<String, Usage>,
    /// Executions of this host that somebody asked to stop.
    pub cancelled: Vec<String>,
}

/// What rows have for themselves: all of them, those of jobs, and those that failed,
/// wrote log lines or run still.
const OF_CALL: &[&str] = &[
    "id",
    "trace_id",
    "started_at",
    "ended_at",
    "queue_us",
    "duration_us",
    "fuel",
    "memory_bytes",
    "host_calls",
    "result",
    "result_bytes",
    "bytes",
];
const OF_JOB: &[&str] = &["job", "attempt", "cause"];
const OF_REST: &[&str] = &["error", "log_lines", "alive_at"];

/// Which columns a row needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Call,
    Job,
    Whole,
}

static OF_CALLS: LazyLock<Insert> = LazyLock::new(|| insert(&["log_lines"], OF_CALL));
static OF_JOBS: LazyLock<Insert> = LazyLock::new(|| insert(&["log_lines"], &[OF_CALL, OF_JOB].concat()));
static WHOLE: LazyLock<Insert> = LazyLock::new(|| insert(&[], &[OF_CALL, OF_JOB, OF_REST].concat()));

fn insert(zero: &[&str], own: &[&str]) -> Insert {
    let alike = &["version", "triggered_by", "user_id", "status"];
    let place = &["tenant", "script_id", "script"];
    Insert::new(&Columns { table: "executions", zero, alike, place, own })
}

/// Takes the same values as an insert of one whole row.
const UPDATE: &str = "UPDATE executions SET version = $1, triggered_by = $2, user_id = $3, status = $4, script_id = $6,
    script = $7, trace_id = $9, started_at = $10, ended_at = $11, queue_us = $12, duration_us = $13, fuel = $14,
    memory_bytes = $15, host_calls = $16, result = $17, result_bytes = $18, bytes = $19, job = $20, attempt = $21,
    cause = $22, error = $23, log_lines = $24, alive_at = $25 WHERE tenant = $5 AND id = $8";

impl Shape {
    fn insert(self) -> &'static Insert {
        match self {
            Shape::Call => &OF_CALLS,
            Shape::Job => &OF_JOBS,
            Shape::Whole => &WHOLE,
        }
    }
}

impl Row {
    fn shape(&self) -> Shape {
        if self.error.is_some() || self.log_lines != 0 || self.alive_at.is_some() {
            Shape::Whole
        } else if self.job.is_some() || self.attempt.is_some() || self.cause.is_some() {
            Shape::Job
        } else {
            Shape::Call
        }
    }
}

/// By what the rows of one statement are alike.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Alike<'a> {
    shape: Shape,
    status: &'static str,
    triggered_by: &'a str,
    version: Option<i64>,
    user_id: Option<&'a str>,
}

impl Alike<'_> {
    fn of(row: &Row, shape: Shape) -> Alike<'_> {
        let Common { status, triggered_by, version, user_id, .. } = &*row.common;
        Alike { shape, status, triggered_by, version: *version, user_id: user_id.as_deref() }
    }
}

impl Bind<&Row> for Alike<'_> {
    fn alike(&self, values: &mut AnyArguments) -> Result<(), BoxDynError> {
        values.add(self.version)?;
        values.add(self.triggered_by.to_owned())?;
        values.add(self.user_id.map(str::to_owned))?;
        values.add(self.status.to_owned())
    }

    fn is_one(&self, row: &&Row, other: &&Row) -> bool {
        Arc::ptr_eq(&row.common, &other.common) || row.common == other.common
    }

    fn place(&self, row: &&Row, values: &mut AnyArguments) -> Result<(), BoxDynError> {
        values.add(row.common.tenant.clone())?;
        values.add(row.common.script_id.clone())?;
        values.add(row.common.script.clone())
    }

    fn own(&self, row: &&Row, values: &mut AnyArguments) -> Result<(), BoxDynError> {
        values.add(row.id.clone())?;
        values.add(row.trace.map(|trace| trace.id()))?;
        values.add(row.started_at)?;
        for number in [row.ended_at, row.queue_us, row.duration_us, row.fuel, row.memory_bytes, row.host_calls] {
            values.add(number)?;
        }
        values.add(row.result.clone())?;
        values.add(row.result_bytes)?;
        values.add(row.bytes)?;
        if self.shape >= Shape::Job {
            values.add(row.job.clone())?;
            values.add(row.attempt)?;
            values.add(row.cause.clone())?;
        }
        if self.shape >= Shape::Whole {
            values.add(row.error.clone())?;
            values.add(row.log_lines)?;
            values.add(row.alive_at)?;
        }
        Ok(())
    }
}

/// Writes a row that may be there, and adds it to what the tenant has.
pub async fn insert_one(connection: &mut Connection, row: &Row) -> sqlx::Result<()> {
    let alike = Alike::of(row, row.shape());
    if !alike.shape.insert().run(connection, &alike, &[row]).await?.is_empty() {
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
    let mut more: BTreeMap<&str, Usage> = BTreeMap::new();
    let rows = work.rows.iter().map(|row| &**row);
    let (known, new): (Vec<&Row>, Vec<&Row>) = rows.partition(|row| row.before.is_some());
    let mut alike: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
    for row in new {
        alike.entry(Alike::of(row, row.shape())).or_default().push(row);
    }
    for (alike, rows) in &alike {
        for row in alike.shape.insert().run(connection, alike, rows).await?.into_iter().flatten() {
            *more.entry(&row.common.tenant).or_default() += Usage { items: 1, bytes: row.bytes };
        }
    }
    for row in known {
        let values = WHOLE.values(&Alike::of(row, Shape::Whole), &[row], true).map_err(sqlx::Error::Encode)?;
        let updated = sqlx::query_with(UPDATE, values).execute(&mut *connection).await?;
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
