//! Claiming jobs: which, for whom, and how many.
//!
//! Tenants take turns. Of those that have jobs waiting, each gets a share of the
//! room that the host has, and what some do not use goes to the others.

use sqlx::AssertSqlSafe;

use super::{State, argument};
use crate::store::clock::Millis;
use crate::store::{Connection, Kind};

/// Jobs whose time has come, of one look.
const DUE: i64 = 500;
/// Tenants of one look that get something, and those among which they are sought.
const TENANTS: usize = 64;
const SOUGHT: usize = 1_000;
/// An argument that is larger is read when the call begins: a batch of them would
/// be too much to hold.
const SMALL: i64 = 64 << 10;

/// A job that is this host's, and an attempt of it that is counted.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Claimed {
    pub number: i64,
    pub tenant: String,
    pub id: String,
    pub script: String,
    pub triggered_by: String,
    pub entry: Option<String>,
    pub version: Option<i64>,
    /// The argument as JSON text. None: it is still to be read.
    pub input: Option<String>,
    pub cause: Option<String>,
    pub depth: i64,
    /// 1 where the argument is the event that caused it, else 0.
    pub takes_event: i64,
    /// Whom it runs as, as JSON.
    pub caller: Option<String>,
    pub priority: i64,
    pub run_at: Millis,
    pub order_key: Option<String>,
    /// From 1.
    pub attempt: i64,
    pub attempts: i64,
    /// As what this host claimed it.
    pub host: String,
    pub bytes: i64,
}

/// What a look for jobs found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub jobs: Vec<Claimed>,
    /// Whose turn was last.
    pub last: String,
    /// When the next one is due that is delayed.
    pub next: Option<Millis>,
}

/// A look for jobs.
pub struct Look<'a> {
    /// As what this host claims them.
    pub host: &'a str,
    pub now: Millis,
    /// How many.
    pub most: usize,
    /// Whose turn was last.
    pub after: &'a str,
    /// How many a tenant may have more in this host.
    pub room: &'a (dyn Fn(&str) -> usize + Send + Sync),
}

impl Look<'_> {
    /// Claims jobs. None: this host counts as dead, and must say that it lives
    /// first. In nobody's turn.
    pub async fn claim(&self, connection: &mut Connection) -> sqlx::Result<Option<Found>> {
        if !self.is_alive(connection).await? {
            return Ok(None);
        }
        promote(connection, self.now).await?;
        let mut names = waiting(connection, self.after, SOUGHT).await?;
        if names.len() < SOUGHT {
            let first = waiting(connection, "", SOUGHT - names.len()).await?;
            names.extend(first.into_iter().take_while(|tenant| tenant.as_str() <= self.after));
        }
        let mut found = Found { last: names.last().cloned().unwrap_or_default(), ..Found::default() };
        let rooms = names.into_iter().map(|name| {
            let room = (self.room)(&name);
            (name, room)
        });
        let mut tenants: Vec<(String, usize)> = rooms.filter(|(_, room)| *room > 0).collect();
        tenants.truncate(TENANTS.min(self.most));
        let share = (self.most / tenants.len().max(1)).max(1);
        // First each gets its share, then whoever has more takes what is left.
        for (round, share) in [share, self.most].into_iter().enumerate() {
            for (tenant, room) in &mut tenants {
                let wanted = share.min(self.most - found.jobs.len()).min(*room);
                if wanted == 0 {
                    continue;
                }
                let jobs = self.claim_of(connection, tenant, wanted).await?;
                // Who had less than it might have had has no more.
                *room = if jobs.len() < wanted { 0 } else { *room - jobs.len() };
                found.jobs.extend(jobs);
                if round == 0 {
                    found.last.clone_from(tenant);
                }
            }
        }
        argument::of_events(connection, &mut found.jobs).await?;
        found.next =
            sqlx::query_scalar("SELECT MIN(run_at) FROM jobs WHERE state = 'delayed'").fetch_one(connection).await?;
        Ok(Some(found))
    }

    /// Nobody may declare this host dead before the claim is there to be seen.
    async fn is_alive(&self, connection: &mut Connection) -> sqlx::Result<bool> {
        let sql = format!("SELECT id FROM hosts WHERE id = $1{}", Kind::of(connection).share());
        let known: Option<String> =
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(self.host).fetch_optional(connection).await?;
        Ok(known.is_some())
    }

    async fn claim_of(&self, connection: &mut Connection, tenant: &str, most: usize) -> sqlx::Result<Vec<Claimed>> {
        let sql = format!(
            "WITH picked AS MATERIALIZED (
                 SELECT number AS picked FROM jobs WHERE tenant = $1 AND state = 'waiting'
                 ORDER BY priority DESC, run_at, number LIMIT $2{})
             UPDATE jobs SET state = 'running', host = $3, attempt = attempt + 1, changed_at = $4
             FROM picked WHERE number = picked
             RETURNING number, tenant, id, script, triggered_by, entry, version,
                 CASE WHEN bytes <= $5 THEN input END AS input, cause, depth,
                 CAST(CASE WHEN input IS NULL THEN 1 ELSE 0 END AS BIGINT) AS takes_event, caller,
                 priority, run_at, order_key, attempt, attempts, host, bytes",
            Kind::of(connection).skip_locked()
        );
        let mut jobs: Vec<Claimed> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(tenant)
            .bind(most as i64)
            .bind(self.host)
            .bind(self.now)
            .bind(SMALL)
            .fetch_all(connection)
            .await?;
        // In no order that the database promises.
        jobs.sort_by_key(|job| (-job.priority, job.run_at, job.number));
        Ok(jobs)
    }
}

/// Whether there is anything to claim.
pub async fn is_any(connection: &mut Connection, now: Millis) -> sqlx::Result<bool> {
    let found: Option<i64> = sqlx::query_scalar(
        "SELECT number FROM (SELECT number FROM jobs WHERE state = 'waiting' LIMIT 1) AS waiting
         UNION ALL
         SELECT number FROM (SELECT number FROM jobs WHERE state = 'delayed' AND run_at <= $1 LIMIT 1) AS due
         LIMIT 1",
    )
    .bind(now)
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

/// Lets those wait whose time has come.
async fn promote(connection: &mut Connection, now: Millis) -> sqlx::Result<()> {
    let sql = format!(
        "UPDATE jobs SET state = $1 WHERE number IN (
             SELECT number FROM jobs WHERE state = 'delayed' AND run_at <= $2 ORDER BY run_at LIMIT $3{})",
        Kind::of(connection).skip_locked()
    );
    sqlx::query(AssertSqlSafe(sql)).bind(State::Waiting.name()).bind(now).bind(DUE).execute(connection).await?;
    Ok(())
}

/// Tenants that have jobs waiting, after one. Goes from one to the next in the
/// index, however many jobs each has: asked for MIN(tenant), PostgreSQL would go
/// through all of them, so long as it does not know how many there are.
async fn waiting(connection: &mut Connection, after: &str, most: usize) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "WITH RECURSIVE found (tenant) AS (
             SELECT (SELECT tenant FROM jobs WHERE state = 'waiting' AND tenant > $1 ORDER BY tenant LIMIT 1)
             UNION ALL
             SELECT (SELECT jobs.tenant FROM jobs WHERE state = 'waiting' AND jobs.tenant > found.tenant
                     ORDER BY jobs.tenant LIMIT 1)
             FROM found WHERE found.tenant IS NOT NULL)
         SELECT tenant FROM found WHERE tenant IS NOT NULL LIMIT $2",
    )
    .bind(after)
    .bind(most as i64)
    .fetch_all(connection)
    .await
}
