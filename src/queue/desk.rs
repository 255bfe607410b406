//! What people do with jobs: queue them, look at them, take them back, replay them.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

use super::{Inserted, NewJob, Queue, State, Trigger, insert, order};
use crate::store::Connection;
use crate::store::clock::Millis;
use crate::store::usage::{self, Room, Usage};
use crate::tenant::quota::{Account, Exceeded, Quota};

/// A job, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Job {
    pub id: String,
    /// The script's id.
    pub script: String,
    #[sqlx(try_from = "String")]
    pub triggered_by: Trigger,
    pub entry: Option<String>,
    pub version: Option<i64>,
    /// The id of the event that caused it.
    pub cause: Option<String>,
    pub depth: i64,
    /// Whom it runs as, as JSON.
    caller: Option<String>,
    #[sqlx(try_from = "String")]
    pub state: State,
    pub priority: i64,
    pub run_at: Millis,
    pub order_key: Option<String>,
    pub dedup_key: Option<String>,
    /// Attempts that have begun.
    pub attempt: i64,
    /// At most.
    pub attempts: i64,
    /// Why the last one failed: JSON, with a name and a message.
    pub error: Option<String>,
    pub created_at: Millis,
    /// Since when it is in its state.
    pub changed_at: Millis,
}

impl Job {
    /// The id of the user that it runs as.
    pub fn user(&self) -> Option<String> {
        self.caller.as_deref().and_then(super::user_id)
    }
}

const COLUMNS: &str =
    "id, script, triggered_by, entry, version, cause, depth, caller, state, priority, run_at, order_key,
    dedup_key, attempt, attempts, error, created_at, changed_at";

/// Which jobs to list. What is None does not count.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The script's id.
    pub script: Option<String>,
    pub state: Option<State>,
    pub trigger: Option<Trigger>,
    /// The id of the event that caused it.
    pub cause: Option<String>,
}

/// Why no job was queued.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Quota(#[from] Exceeded),
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

/// What came of changing a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    Done,
    /// It is in no state for that.
    Not(State),
    Unknown,
}

impl Queue {
    /// Queues jobs of a tenant. Once this has answered, they will be done. One that
    /// has the id of a job that is there, or was done, is that job.
    pub async fn add(&self, account: Arc<Account>, jobs: Vec<NewJob>) -> Result<(), Refused> {
        let (owner, now) = (account.tenant().clone(), self.0.store.now());
        let tenant = owner.clone();
        let added = self.0.store.write(&owner, move |connection| {
            Box::pin(async move {
                let mut new = Vec::with_capacity(jobs.len());
                for job in jobs {
                    let is_known = match &job.id {
                        Some(id) => is_done(connection, &tenant, id).await?,
                        None => false,
                    };
                    if !is_known {
                        new.push(job);
                    }
                }
                let Inserted { used, .. } = insert(connection, &tenant, now, &new).await?;
                Ok::<_, Refused>(check(&account, used)?)
            })
        });
        added.await?;
        self.wake();
        Ok(())
    }

    /// A tenant's jobs, the latest first, from one on that the caller has.
    pub async fn list(&self, tenant: &str, filter: Filter, after: Option<String>, rows: i64) -> sqlx::Result<Vec<Job>> {
        let mut values = vec![tenant.to_owned()];
        let mut sql = format!("SELECT {COLUMNS} FROM jobs WHERE tenant = $1");
        let state = filter.state.map(|state| state.name().to_owned());
        let trigger = filter.trigger.map(|trigger| trigger.name().to_owned());
        for (condition, value) in [
            ("script =", filter.script),
            ("state =", state),
            ("triggered_by =", trigger),
            ("cause =", filter.cause),
            ("id <", after),
        ] {
            if let Some(value) = value {
                values.push(value);
                sql += &format!(" AND {condition} ${}", values.len());
            }
        }
        sql += &format!(" ORDER BY id DESC LIMIT {rows}");
        self.0
            .store
            .read(move |connection| {
                Box::pin(async move {
                    let query = sqlx::query_as(AssertSqlSafe(sql));
                    values.into_iter().fold(query, |query, value| query.bind(value)).fetch_all(connection).await
                })
            })
            .await
    }

    pub async fn get(&self, tenant: &str, id: &str) -> sqlx::Result<Option<Job>> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.0.store.read(move |connection| Box::pin(async move { get(connection, &tenant, &id).await })).await
    }

    /// Takes back a job that has not begun, or discards a dead letter.
    pub async fn remove(&self, tenant: &str, id: &str) -> sqlx::Result<Changed> {
        let (owner, id, now) = (tenant.to_owned(), id.to_owned(), self.0.store.now());
        self.0
            .store
            .write(tenant, move |connection| {
                Box::pin(async move {
                    let gone: Option<(String, Option<String>, i64)> = sqlx::query_as(
                        "DELETE FROM jobs WHERE tenant = $1 AND id = $2 AND state <> 'running'
                         RETURNING script, order_key, bytes",
                    )
                    .bind(&owner)
                    .bind(&id)
                    .fetch_optional(&mut *connection)
                    .await?;
                    let Some((script, key, bytes)) = gone else {
                        let job = get(connection, &owner, &id).await?;
                        return Ok(job.map_or(Changed::Unknown, |job| Changed::Not(job.state)));
                    };
                    usage::add(connection, &owner, Room::Jobs, Usage { items: -1, bytes: -bytes }).await?;
                    if let Some(key) = key {
                        order::release(connection, &owner, &script, &key, now).await?;
                    }
                    Ok(Changed::Done)
                })
            })
            .await
    }

    /// Lets a dead letter be tried again, at once and as often as the settings say.
    pub async fn replay(&self, tenant: &str, id: &str, attempts: i64) -> sqlx::Result<Changed> {
        let (owner, id, now) = (tenant.to_owned(), id.to_owned(), self.0.store.now());
        let replayed: sqlx::Result<Changed> = self
            .0
            .store
            .write(tenant, move |connection| {
                Box::pin(async move {
                    let job = match get(connection, &owner, &id).await? {
                        Some(job) if job.state == State::Dead => job,
                        other => return Ok(other.map_or(Changed::Unknown, |job| Changed::Not(job.state))),
                    };
                    let behind = match &job.order_key {
                        Some(key) => order::is_behind(connection, &owner, &job.script, key).await?,
                        None => false,
                    };
                    sqlx::query(
                        "UPDATE jobs SET state = $3, run_at = $4, changed_at = $4, attempts = attempt + $5
                         WHERE tenant = $1 AND id = $2 AND state = 'dead'",
                    )
                    .bind(owner)
                    .bind(id)
                    .bind(if behind { State::Blocked } else { State::Waiting }.name())
                    .bind(now)
                    .bind(attempts)
                    .execute(connection)
                    .await?;
                    Ok(Changed::Done)
                })
            })
            .await;
        self.wake();
        replayed
    }
}

/// Refuses what is more than a tenant may have queued.
pub fn check(account: &Account, used: Usage) -> Result<(), Exceeded> {
    account.check(Quota::Jobs, used.items.max(0).unsigned_abs())?;
    account.check(Quota::JobBytes, used.bytes.max(0).unsigned_abs())
}

async fn get(connection: &mut Connection, tenant: &str, id: &str) -> sqlx::Result<Option<Job>> {
    sqlx::query_as(AssertSqlSafe(format!("SELECT {COLUMNS} FROM jobs WHERE tenant = $1 AND id = $2")))
        .bind(tenant)
        .bind(id)
        .fetch_optional(connection)
        .await
}

/// Whether a job is not there any more: its first execution, which has its id, is
/// on record. The job is looked for first, for it goes when that one comes.
async fn is_done(connection: &mut Connection, tenant: &str, id: &str) -> sqlx::Result<bool> {
    for (table, is_done) in [("jobs", false), ("executions", true)] {
        let sql = format!("SELECT id FROM {table} WHERE tenant = $1 AND id = $2");
        let found: Option<String> =
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(tenant).bind(id).fetch_optional(&mut *connection).await?;
        if found.is_some() {
            return Ok(is_done);
        }
    }
    Ok(false)
}
