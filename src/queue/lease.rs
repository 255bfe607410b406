//! Who lives, and what the dead have left.
//!
//! A host has a lease that it renews; jobs are its own as long as it has one.
//! Once it has run out, others take the host away, and from then on nothing that
//! it claimed is its own. A host that was only silent begins anew under another
//! name.
//!
//! Leases are reckoned by one clock for all: the database's, and with SQLite the
//! machine's. Where that one is set forward by more than a lease, hosts may count
//! as dead before they renew it, and jobs that run are tried again: their first
//! attempts are lost. Set back, it lets a dead host's lease last for one more.

use serde_json::json;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::claim::Claimed;
use super::{State, order};
use crate::executions::{self, Lost, Status};
use crate::store::clock::Millis;
use crate::store::{Connection, Store};
use crate::tenant::Cause;
use crate::triggers::events::{Failed, Told};

/// A host's death is not the script's fault: a job is tried so often at least
/// before it is given up for that.
const ATTEMPTS: i64 = 3;
/// Jobs of one look.
const PART: i64 = 500;

/// A lease of a host that begins now, under a new name.
pub async fn begin(connection: &mut Connection, time: &str, lease: Millis) -> sqlx::Result<String> {
    let name = Uuid::now_v7().to_string();
    let sql = format!("INSERT INTO hosts (id, alive_until) VALUES ($1, {time} + $2)");
    sqlx::query(AssertSqlSafe(sql)).bind(&name).bind(lease).execute(connection).await?;
    Ok(name)
}

/// Answers whether the host counts as alive still. `time` is the shared clock's,
/// in a query.
pub async fn renew(connection: &mut Connection, name: &str, time: &str, lease: Millis) -> sqlx::Result<bool> {
    let sql = format!("UPDATE hosts SET alive_until = {time} + $2 WHERE id = $1");
    let done = sqlx::query(AssertSqlSafe(sql)).bind(name).bind(lease).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

/// Gives a lease back: what the host has in hand is anybody's.
pub async fn end(connection: &mut Connection, name: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM hosts WHERE id = $1").bind(name).execute(connection).await?;
    Ok(())
}

/// Takes away the hosts whose lease has run out. Answers how many.
pub async fn bury(connection: &mut Connection, time: &str, lease: Millis) -> sqlx::Result<u64> {
    // Later than any lease that begins now: the clock was set back.
    let shorten = format!("UPDATE hosts SET alive_until = {time} + $1 WHERE alive_until > {time} + 2 * $1");
    sqlx::query(AssertSqlSafe(shorten)).bind(lease).execute(&mut *connection).await?;
    let bury = format!("DELETE FROM hosts WHERE alive_until < {time}");
    Ok(sqlx::query(AssertSqlSafe(bury)).execute(connection).await?.rows_affected())
}

/// A job whose host is dead.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Orphan {
    pub tenant: String,
    pub id: String,
    pub script: String,
    triggered_by: String,
    version: Option<i64>,
    cause: Option<String>,
    depth: i64,
    caller: Option<String>,
    order_key: Option<String>,
    pub attempt: i64,
    attempts: i64,
    host: String,
    changed_at: Millis,
}

impl Orphan {
    /// A job of this host's that is to be taken from it.
    pub fn of(job: &Claimed, now: Millis) -> Orphan {
        Orphan {
            tenant: job.tenant.clone(),
            id: job.id.clone(),
            script: job.script.clone(),
            triggered_by: job.triggered_by.clone(),
            version: job.version,
            cause: job.cause.clone(),
            depth: job.depth,
            caller: job.caller.clone(),
            order_key: job.order_key.clone(),
            attempt: job.attempt,
            attempts: job.attempts,
            host: job.host.clone(),
            changed_at: now,
        }
    }

    pub fn key(&self) -> (String, String) {
        (self.tenant.clone(), self.id.clone())
    }

    fn cause(&self) -> Option<Cause> {
        self.cause.clone().map(|event| Cause { event, depth: self.depth })
    }

    /// What the host tells of its attempt. `name` is the script's.
    pub fn lost(&self, name: &str) -> Told {
        Told::of_failure(Failed {
            id: &super::execution_id(&self.id, self.attempt),
            script: &self.script,
            name,
            version: self.version,
            trigger: &self.triggered_by,
            status: Status::Lost,
            error: None,
            attempt: Some((&self.id, self.attempt)),
            cause: self.cause(),
        })
    }

    /// What the host tells where this was the last attempt.
    pub fn told(&self) -> Told {
        Told::of_dead_job(&self.id, &self.script, self.attempt, self.cause(), None)
    }
}

/// Some of them, of all tenants.
pub async fn orphans(store: &Store) -> sqlx::Result<Vec<Orphan>> {
    store
        .read(|connection| {
            Box::pin(async move {
                sqlx::query_as(
                    "SELECT tenant, id, script, triggered_by, version, cause, depth, caller, order_key, attempt, attempts,
                     host, changed_at FROM jobs
                     WHERE state = 'running' AND NOT EXISTS (SELECT 1 FROM hosts WHERE hosts.id = jobs.host)
                     ORDER BY number LIMIT $1",
                )
                .bind(PART)
                .fetch_all(connection)
                .await
            })
        })
        .await
}

/// What became of an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// It waits for the next attempt.
    Waiting,
    /// It had used up its attempts.
    Dead,
    /// Somebody else has taken care of it.
    Nothing,
}

/// Puts on record that an attempt was lost, and lets the next one be made. In the
/// tenant's turn. `name` is the script's.
pub async fn adopt(connection: &mut Connection, now: Millis, orphan: Orphan, name: String) -> sqlx::Result<Became> {
    let dead = orphan.attempt >= orphan.attempts.max(ATTEMPTS);
    let state = if dead { State::Dead } else { State::Waiting };
    let error = json!({ "name": "HostLost", "message": "the host that ran it died or was out of reach" });
    if !take(connection, now, &orphan, state, &error.to_string()).await? {
        return Ok(Became::Nothing);
    }
    if dead {
        release(connection, now, &orphan).await?;
    }
    record_lost(connection, now, orphan, name).await?;
    Ok(if dead { Became::Dead } else { Became::Waiting })
}

/// Takes a job from the host that had it. Answers whether it had it still.
pub async fn take(
    connection: &mut Connection,
    now: Millis,
    orphan: &Orphan,
    state: State,
    error: &str,
) -> sqlx::Result<bool> {
    let taken = sqlx::query(
        "UPDATE jobs SET state = $4, host = NULL, error = $5, changed_at = $6
         WHERE tenant = $1 AND id = $2 AND host = $3 AND state = 'running'",
    )
    .bind(&orphan.tenant)
    .bind(&orphan.id)
    .bind(&orphan.host)
    .bind(state.name())
    .bind(error)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() > 0)
}

/// Lets those go that are behind it.
pub async fn release(connection: &mut Connection, now: Millis, orphan: &Orphan) -> sqlx::Result<()> {
    match &orphan.order_key {
        Some(key) => order::release(connection, &orphan.tenant, &orphan.script, key, now).await,
        None => Ok(()),
    }
}

/// Puts its attempt on record, of which nobody knows more. `name` is the script's.
pub async fn record_lost(connection: &mut Connection, now: Millis, orphan: Orphan, name: String) -> sqlx::Result<()> {
    let lost = Lost {
        id: super::execution_id(&orphan.id, orphan.attempt),
        script_id: orphan.script,
        script: name,
        version: orphan.version,
        triggered_by: orphan.triggered_by,
        user_id: orphan.caller.as_deref().and_then(super::user_id),
        started_at: orphan.changed_at,
        job: orphan.id,
        attempt: orphan.attempt,
        cause: orphan.cause,
    };
    executions::note_lost(connection, &orphan.tenant, now, lost).await
}
