//! Executions whose end is written by somebody else than the recorder: those of
//! jobs, in one transaction with what becomes of the job.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Executions;
use super::ended::Ended;
use super::model::Status;
use super::recorder::{self, Alike, OVERHEAD, chunk_from, end, whole};
use super::retention::is_over;
use super::rows::{self, Common, Row, Work};
use crate::store::clock::Millis;
use crate::store::{Connection, plain};

/// An execution that has ended and is not on record. It counts as running until
/// this is dropped, which is for after the commit.
pub struct Ending {
    executions: Executions,
    number: u64,
    ended: Ended,
}

impl Ending {
    pub(super) fn new(executions: Executions, number: u64, ended: Ended) -> Ending {
        Ending { executions, number, ended }
    }

    pub fn status(&self) -> Status {
        self.ended.status
    }

    /// JSON text.
    pub fn error(&self) -> Option<&str> {
        self.ended.error.as_deref()
    }

    /// Writes executions of tenants, whose turns these must be. Doing so again
    /// changes nothing.
    pub async fn save(connection: &mut Connection, now: Millis, endings: &[&Ending]) -> sqlx::Result<()> {
        let mut work = Work::default();
        let mut executions = None;
        let mut told = Vec::new();
        let mut alike = Alike::default();
        for ending in endings {
            let Ending { executions: of, ended, .. } = *ending;
            if !of.0.settings.record {
                return Ok(());
            }
            executions = Some(of);
            let tenant = ended.running.identity.tenant.id.as_str();
            told.extend(recorder::told([ended]).into_iter().map(|told| (tenant, told)));
            let mut row = end(ended, &mut alike);
            let mut lines = 0;
            // The recorder may have written that it runs, and not know yet that it did.
            if ended.running.listed.load(Ordering::Relaxed) {
                let id = &row.id;
                row.before = sqlx::query_scalar("SELECT bytes FROM executions WHERE tenant = $1 AND id = $2")
                    .bind(tenant)
                    .bind(id)
                    .fetch_optional(&mut *connection)
                    .await?;
                lines = sqlx::query_scalar(
                    "SELECT COALESCE(MAX(first + count), 0) FROM execution_logs WHERE tenant = $1 AND execution = $2",
                )
                .bind(tenant)
                .bind(id)
                .fetch_one(&mut *connection)
                .await?;
            }
            work.rows.push(Arc::new(row));
            if ended.with_lines {
                work.chunks.extend(chunk_from(&ended.running, i64::unsigned_abs(lines)));
            }
        }
        let Some(executions) = executions else { return Ok(()) };
        let saved = rows::save(&mut *connection, now, &work).await?;
        if saved.usage.iter().any(|(tenant, usage)| is_over(&executions.0.settings, tenant, *usage)) {
            executions.0.over.notify_one();
        }
        for (tenant, told) in told {
            // Whoever handles it is found at the next look.
            executions.0.events.tell(&mut *connection, tenant, told).await?;
        }
        Ok(())
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.executions.0.registry.remove(self.number);
        self.ended.running.lines.end();
    }
}

/// An attempt of a job whose host has died.
#[derive(Debug, Clone)]
pub struct Lost {
    /// Of the execution, where it is not on record.
    pub id: String,
    pub script_id: String,
    pub script: String,
    pub version: Option<i64>,
    pub triggered_by: String,
    pub user_id: Option<String>,
    pub started_at: Millis,
    pub job: String,
    pub attempt: i64,
    pub cause: Option<String>,
}

/// Puts on record that an attempt is lost, unless it is known what became of it.
/// In the tenant's turn.
pub async fn note_lost(connection: &mut Connection, tenant: &str, now: Millis, lost: Lost) -> sqlx::Result<()> {
    let known = sqlx::query(
        "UPDATE executions SET status = 'lost', ended_at = $4, alive_at = NULL
         WHERE tenant = $1 AND job = $2 AND attempt = $3 AND status = 'running'",
    )
    .bind(tenant)
    .bind(&lost.job)
    .bind(lost.attempt)
    .bind(now)
    .execute(&mut *connection)
    .await?;
    if known.rows_affected() > 0 {
        return Ok(());
    }
    let bytes = whole((OVERHEAD + lost.script.len()) as u64);
    let common = Common {
        tenant: tenant.to_owned(),
        script_id: plain(lost.script_id),
        script: plain(lost.script),
        version: lost.version,
        triggered_by: lost.triggered_by,
        user_id: lost.user_id.map(plain),
        status: Status::Lost.name(),
    };
    let row = Row {
        common: Arc::new(common),
        id: lost.id,
        started_at: lost.started_at,
        ended_at: Some(now),
        job: Some(lost.job),
        attempt: Some(lost.attempt),
        cause: lost.cause,
        bytes,
        ..Row::default()
    };
    rows::insert_one(connection, &row).await
}
