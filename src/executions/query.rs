//! Reading the record, and stopping what runs.

use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::AssertSqlSafe;

use super::model::{Execution, Filter, Status};
use super::{Executions, Running};
use crate::capabilities::progress::Report;
use crate::store::Connection;
use crate::store::clock::Millis;

/// Names an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub tenant: String,
    pub id: String,
}

/// What came of asking an execution to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// Its host was told, and stops it within a second or so.
    Told,
    /// It has ended before.
    Ended,
    /// There is none.
    Unknown,
}

macro_rules! columns {
    ($result:literal) => {
        concat!(
            "SELECT id, script_id, script, version, triggered_by, user_id, trace_id, status, started_at, ended_at,
             queue_us, duration_us, fuel, memory_bytes, host_calls, error, ",
            $result,
            " AS result, result_bytes, log_lines, job, attempt, cause, progress FROM executions"
        )
    };
}

impl Executions {
    /// An execution, under way or on record.
    pub async fn get(&self, key: &Key) -> sqlx::Result<Option<Execution>> {
        if let Some(running) = self.0.registry.find(&key.tenant, &key.id) {
            return Ok(Some(Execution::from(&*running)));
        }
        // What has ended just now may wait to be written.
        self.settle().await;
        let key = key.clone();
        self.0
            .store
            .read(move |connection| {
                Box::pin(async move {
                    sqlx::query_as(concat!(columns!("result"), " WHERE tenant = $1 AND id = $2"))
                        .bind(key.tenant)
                        .bind(key.id)
                        .fetch_optional(connection)
                        .await
                })
            })
            .await
    }

    /// A tenant's executions, the latest first, without their results. `after`
    /// is when the last one of the part before started, and its id. What began
    /// within the last second and runs still may not be among them.
    pub async fn list(
        &self,
        tenant: &str,
        filter: Filter,
        after: Option<(Millis, String)>,
        rows: i64,
    ) -> sqlx::Result<Vec<Execution>> {
        self.settle().await;
        let (sql, values) = statement(tenant, filter, after, rows);
        self.0
            .store
            .read(move |connection: &mut Connection| {
                Box::pin(async move {
                    let mut query = sqlx::query_as(AssertSqlSafe(sql));
                    for value in values {
                        query = match value {
                            Value::Text(text) => query.bind(text),
                            Value::Number(number) => query.bind(number),
                        };
                    }
                    query.fetch_all(connection).await
                })
            })
            .await
    }

    /// Log lines on record, after so many.
    pub(super) async fn lines_after(&self, key: &Key, after: usize) -> sqlx::Result<Vec<Arc<str>>> {
        let (key, after) = (key.clone(), after as i64);
        self.0
            .store
            .read(move |connection| {
                Box::pin(async move {
                    let mut chunks = sqlx::query_as::<_, (i64, String)>(
                        "SELECT first, lines FROM execution_logs
                         WHERE tenant = $1 AND execution = $2 AND first + count > $3 ORDER BY first",
                    )
                    .bind(key.tenant)
                    .bind(key.id)
                    .bind(after)
                    .fetch(connection);
                    let mut lines = Vec::new();
                    while let Some((first, chunk)) = chunks.try_next().await? {
                        let known = usize::try_from(after - first).unwrap_or_default();
                        lines.extend(chunk.lines().skip(known).map(Arc::<str>::from));
                    }
                    Ok(lines)
                })
            })
            .await
    }

    /// Asks an execution to stop, on whatever host it runs.
    pub async fn cancel(&self, key: &Key) -> sqlx::Result<Cancelled> {
        if let Some(running) = self.0.registry.find(&key.tenant, &key.id) {
            running.control.cancel();
            return Ok(Cancelled::Told);
        }
        let Some(execution) = self.get(key).await? else { return Ok(Cancelled::Unknown) };
        if execution.ended_at.is_some() {
            return Ok(Cancelled::Ended);
        }
        let (now, asked) = (self.0.store.now(), key.clone());
        let told: u64 = self
            .0
            .store
            .write(&key.tenant, move |connection| {
                Box::pin(async move {
                    let told = sqlx::query(
                        "UPDATE executions SET cancel_at = $3 WHERE tenant = $1 AND id = $2 AND status = 'running'",
                    )
                    .bind(asked.tenant)
                    .bind(asked.id)
                    .bind(now)
                    .execute(connection)
                    .await?;
                    Ok::<_, sqlx::Error>(told.rows_affected())
                })
            })
            .await?;
        Ok(if told > 0 { Cancelled::Told } else { Cancelled::Ended })
    }
}

enum Value {
    Text(String),
    Number(i64),
}

/// The text holds nothing of the filter's but a status, which is one of ours.
fn statement(tenant: &str, filter: Filter, after: Option<(Millis, String)>, rows: i64) -> (String, Vec<Value>) {
    let mut sql = format!("{} WHERE tenant = $1", columns!("NULL"));
    let mut values = vec![Value::Text(tenant.to_owned())];
    let mut add = |condition: &str, given: Vec<Value>| {
        let mut condition = condition.to_owned();
        for value in given {
            values.push(value);
            condition = condition.replacen('?', &format!("${}", values.len()), 1);
        }
        sql += &condition;
    };
    let Filter { script, status, trigger, user, job, cause, since, until } = filter;
    if let Some(status) = status {
        // Spelt out, so that the index of those that did not complete serves.
        add(&format!(" AND status = '{status}'"), vec![]);
    }
    if let Some(script) = script {
        add(" AND (script_id = ? OR script = ?)", vec![Value::Text(script.clone()), Value::Text(script)]);
    }
    for (condition, value) in [
        (" AND triggered_by = ?", trigger),
        (" AND user_id = ?", user),
        (" AND job = ?", job),
        (" AND cause = ?", cause),
    ] {
        if let Some(value) = value {
            add(condition, vec![Value::Text(value)]);
        }
    }
    for (condition, value) in [(" AND started_at >= ?", since), (" AND started_at < ?", until)] {
        if let Some(value) = value {
            add(condition, vec![Value::Number(value)]);
        }
    }
    if let Some((started_at, id)) = after {
        let values = vec![Value::Number(started_at), Value::Number(started_at), Value::Text(id)];
        add(" AND started_at <= ? AND (started_at < ? OR id < ?)", values);
    }
    add(" ORDER BY started_at DESC, id DESC LIMIT ?", vec![Value::Number(rows)]);
    (sql, values)
}

/// As the record has it.
pub(super) fn json(report: &Report) -> Option<String> {
    serde_json::to_string(report).ok()
}

/// One that is under way.
impl From<&Running> for Execution {
    fn from(running: &Running) -> Execution {
        let identity = &running.identity;
        Execution {
            id: identity.execution.id.clone(),
            script_id: identity.script.id.clone(),
            script: identity.script.name.clone(),
            version: running.origin.version,
            triggered_by: running.trigger().to_owned(),
            user_id: identity.user.as_ref().map(|user| user.id.clone()),
            trace_id: running.trace.map(|trace| trace.id()),
            status: Status::Running.to_string(),
            started_at: running.started_at,
            log_lines: running.lines.len() as i64,
            job: running.origin.attempt.as_ref().map(|attempt| attempt.job.clone()),
            attempt: running.origin.attempt.as_ref().map(|attempt| attempt.number),
            cause: identity.execution.cause.as_ref().map(|cause| cause.event.clone()),
            progress: running.origin.progress.read().as_ref().and_then(json),
            ..Execution::default()
        }
    }
}

impl Running {
    /// What started it.
    pub(super) fn trigger(&self) -> &str {
        self.origin.trigger.unwrap_or(&self.identity.execution.triggered_by)
    }
}
