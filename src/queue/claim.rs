//! Claiming jobs: which, for whom, and how many.
//!
//! Tenants take turns. Of those that have jobs waiting, each gets a share of the
//! room that the host has, and what some do not use goes to the others.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlx::AssertSqlSafe;

use super::{State, argument};
use crate::store::clock::Millis;
use crate::store::{Connection, Kind, Statements, statements};

/// Jobs whose time has come, of one look.
const DUE: i64 = 500;
/// Tenants of one look that get something, and those among which they are sought.
const TENANTS: usize = statements::MOST;
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
        if let Some((last, _)) = tenants.last() {
            found.last.clone_from(last);
        }
        // First each gets its share, then those share what is left that have more.
        let mut left = self.most;
        while left > 0 && !tenants.is_empty() {
            let share = (left / tenants.len()).max(1);
            let asked = tenants.len().min(left);
            let wanted = |room: usize| share.min(room);
            let some: Vec<(&str, usize)> =
                tenants.iter().take(asked).map(|(tenant, room)| (tenant.as_str(), wanted(*room))).collect();
            let jobs = self.claim_of(connection, &some).await?;
            let mut claimed: HashMap<&str, usize> = HashMap::with_capacity(some.len());
            jobs.iter().for_each(|job| *claimed.entry(&job.tenant).or_default() += 1);
            let mut at = 0;
            tenants.retain_mut(|(tenant, room)| {
                at += 1;
                let got = claimed.get(tenant.as_str()).copied().unwrap_or_default();
                // Who had less than it might have had has no more.
                let has_more = at > asked || got == wanted(*room);
                *room -= got;
                has_more && *room > 0
            });
            left = left.saturating_sub(jobs.len());
            found.jobs.extend(jobs);
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

    /// Claims of each of some tenants so many, or those that there are.
    async fn claim_of(&self, connection: &mut Connection, some: &[(&str, usize)]) -> sqlx::Result<Vec<Claimed>> {
        let (sql, size) = CLAIMS.for_all(Kind::of(connection), some.len());
        let nothing = some.first().map(|(tenant, _)| (*tenant, 0));
        let some = some.iter().copied().chain(nothing.into_iter().cycle()).take(size);
        let query = some.fold(sqlx::query_as(sql), |query, (tenant, most)| query.bind(tenant).bind(most as i64));
        let mut jobs: Vec<Claimed> = query.bind(self.host).bind(self.now).bind(SMALL).fetch_all(connection).await?;
        // In no order that the database promises.
        jobs.sort_by(|one, other| {
            let key = |job: &Claimed| (-job.priority, job.run_at, job.number);
            (&one.tenant, key(one)).cmp(&(&other.tenant, key(other)))
        });
        Ok(jobs)
    }
}

/// Claims jobs of some tenants, each with how many.
static CLAIMS: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|tenants, kind| {
        let waiting = |tenant: &str, most: &str| {
            format!(
                "SELECT number FROM jobs WHERE tenant = {tenant} AND state = 'waiting'
                 ORDER BY priority DESC, run_at, number LIMIT {most}{}",
                kind.skip_locked()
            )
        };
        // PostgreSQL would plan many queries anew each time that it takes them to be
        // cheaper so, and SQLite has no LATERAL.
        let picked = match kind {
            Kind::Postgres => format!(
                "SELECT number FROM (VALUES {}) AS asked (tenant, most) CROSS JOIN LATERAL ({}) AS waiting",
                kind.rows(1, tenants, 2),
                waiting("asked.tenant", "asked.most")
            ),
            Kind::Sqlite => {
                let one = |_| format!("SELECT * FROM ({})", waiting("?", "?"));
                (0..tenants).map(one).collect::<Vec<_>>().join(" UNION ALL ")
            }
        };
        let place = |after: usize| kind.place(2 * tenants + after);
        format!(
            "WITH picked (picked) AS MATERIALIZED ({picked})
             UPDATE jobs SET state = 'running', host = {}, attempt = attempt + 1, changed_at = {}
             FROM picked WHERE number = picked
             RETURNING number, tenant, id, script, triggered_by, entry, version,
                 CASE WHEN bytes <= {} THEN input END AS input, cause, depth,
                 CAST(CASE WHEN input IS NULL THEN 1 ELSE 0 END AS BIGINT) AS takes_event, caller,
                 priority, run_at, order_key, attempt, attempts, host, bytes",
            place(1),
            place(2),
            place(3)
        )
    })
});

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
