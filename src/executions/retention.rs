//! Deletes what was kept long enough, and notes what was lost.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::model::Status;
use super::{Executions, Inner};
use crate::settings::ExecutionSettings;
use crate::store::clock::{Millis, millis};
use crate::store::usage::{self, Room, Tenants, Usage};
use crate::tenant::Cause;
use crate::triggers::events::{Failed, Told};

/// How often old executions are looked for.
const EVERY: Duration = Duration::from_secs(60);
/// Executions that one transaction deletes: it holds up others.
const PART: i64 = 500;
/// After so long without a word, a host has died. More than hosts' clocks differ.
const SILENCE: Duration = Duration::from_secs(60);

/// Whether a tenant has so much more than it may that it is not left until the
/// next look.
pub fn is_over(settings: &ExecutionSettings, tenant: &str, usage: Usage) -> bool {
    let most = settings.retention(tenant);
    let tenth = |most: u64| i64::try_from(most + most / 10).unwrap_or(i64::MAX);
    usage.items > tenth(most.max_per_tenant) || usage.bytes > tenth(most.max_bytes_per_tenant)
}

/// Until the executions are gone.
pub async fn keep_house(executions: Weak<Inner>) {
    loop {
        let over = {
            let Some(inner) = executions.upgrade() else { return };
            if !inner.settings.record {
                return;
            }
            let executions = Executions(inner);
            let kept = async {
                executions.note_lost().await?;
                executions.delete_old().await
            };
            if let Err(reason) = kept.await {
                tracing::error!(%reason, "deleting old executions failed");
            }
            executions.0.over.clone()
        };
        // Err where it was time.
        let _ = tokio::time::timeout(EVERY, over.notified()).await;
    }
}

/// An execution whose host has died.
#[derive(sqlx::FromRow)]
struct Lost {
    id: String,
    script_id: String,
    script: String,
    version: Option<i64>,
    triggered_by: String,
    job: Option<String>,
    attempt: Option<i64>,
    cause: Option<String>,
    /// Of that event, where it is still there.
    depth: Option<i64>,
}

impl Lost {
    fn told(&self) -> Told {
        let depth = self.depth.unwrap_or_default() + 1;
        Told::of_failure(Failed {
            id: &self.id,
            script: &self.script_id,
            name: &self.script,
            version: self.version,
            trigger: &self.triggered_by,
            status: Status::Lost,
            error: None,
            attempt: self.job.as_deref().zip(self.attempt),
            cause: self.cause.clone().map(|event| Cause { event, depth }),
        })
    }
}

impl Executions {
    /// Whatever a host that has died left as running is lost.
    pub(super) async fn note_lost(&self) -> sqlx::Result<()> {
        let before = self.0.store.now() - millis(SILENCE);
        let tenants: Vec<String> = self
            .0
            .store
            .read(move |connection| {
                Box::pin(async move {
                    sqlx::query_scalar(
                        "SELECT DISTINCT tenant FROM executions WHERE status = 'running' AND alive_at < $1",
                    )
                    .bind(before)
                    .fetch_all(connection)
                    .await
                })
            })
            .await?;
        for tenant in tenants {
            let events = self.0.events.clone();
            let (lost, is_handled) = self
                .0
                .store
                .write(&tenant.clone(), move |connection| {
                    Box::pin(async move {
                        let lost: Vec<Lost> = sqlx::query_as(
                            "UPDATE executions SET status = 'lost', ended_at = alive_at, alive_at = NULL
                             WHERE tenant = $1 AND status = 'running' AND alive_at < $2
                             RETURNING id, script_id, script, version, triggered_by, job, attempt, cause,
                                 (SELECT depth FROM outbox
                                  WHERE outbox.tenant = executions.tenant AND outbox.id = executions.cause) AS depth",
                        )
                        .bind(&tenant)
                        .bind(before)
                        .fetch_all(&mut *connection)
                        .await?;
                        let mut is_handled = false;
                        for lost in &lost {
                            is_handled |= events.tell(&mut *connection, &tenant, lost.told()).await?;
                        }
                        Ok::<_, sqlx::Error>((lost.len(), is_handled))
                    })
                })
                .await?;
            if is_handled {
                self.0.events.wake();
            }
            tracing::warn!(executions = lost, "a host died while it ran executions; they are lost");
        }
        Ok(())
    }

    /// Deletes what is older than `keep`, and the oldest of what is too much.
    pub(super) async fn delete_old(&self) -> sqlx::Result<()> {
        let mut tenants = Tenants::of(Room::Executions);
        while let Some(tenant) = tenants.next(&self.0.store).await? {
            while self.delete_some(&tenant).await? {}
        }
        Ok(())
    }

    /// Answers whether there is more to delete.
    async fn delete_some(&self, tenant: &str) -> sqlx::Result<bool> {
        let settings = self.0.settings.retention(tenant);
        let most = Usage { items: number(settings.max_per_tenant), bytes: number(settings.max_bytes_per_tenant) };
        let before = self.0.store.now() - millis(settings.keep);
        let tenant: Arc<str> = tenant.into();
        self.0
            .store
            .write(&tenant.clone(), move |connection| {
                Box::pin(async move {
                    let used = usage::of(connection, &tenant, Room::Executions).await?;
                    // Old ones go; of others as many as are too many.
                    let too_many = (used.items - most.items).clamp(0, PART);
                    let (before, limit) = match used.bytes > most.bytes {
                        true => (Millis::MAX, PART.min(used.items / 10 + 1)),
                        false if too_many > 0 => (Millis::MAX, too_many),
                        false => (before, PART),
                    };
                    let deleted: Vec<i64> = sqlx::query_scalar(
                        "DELETE FROM executions WHERE tenant = $1 AND id IN (
                             SELECT id FROM executions
                             WHERE tenant = $1 AND started_at < $2 AND status <> 'running'
                             ORDER BY started_at, id LIMIT $3)
                         RETURNING bytes",
                    )
                    .bind(&*tenant)
                    .bind(before)
                    .bind(limit)
                    .fetch_all(&mut *connection)
                    .await?;
                    if deleted.is_empty() {
                        return Ok(false);
                    }
                    let left = usage::give_back(connection, &tenant, Room::Executions, &deleted).await?;
                    let over = left.items > most.items || left.bytes > most.bytes;
                    Ok::<_, sqlx::Error>(over || before == Millis::MAX || deleted.len() as i64 == PART)
                })
            })
            .await
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
