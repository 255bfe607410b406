//! Queuing jobs.

use std::collections::HashSet;
use std::sync::LazyLock;

use sqlx::Arguments;
use sqlx::any::AnyArguments;
use sqlx::error::BoxDynError;
use uuid::Uuid;

use super::{NewJob, State, order};
use crate::store::clock::Millis;
use crate::store::usage::{self, Room, Usage};
use crate::store::{Connection, Kind, Statements, plain};

/// What came of inserting jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inserted {
    /// One for each job, in their order.
    pub jobs: Vec<Kept>,
    /// What all jobs of the tenant take up now, for `Quota::Jobs` and
    /// `Quota::JobBytes`.
    pub used: Usage,
}

/// A job that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub id: String,
    /// False where there was one with the same id or dedup key.
    pub is_new: bool,
}

struct Row<'a> {
    id: String,
    job: &'a NewJob,
    state: State,
}

/// Queues jobs of a tenant, whose turn this must be: [`Store::write`].
/// Afterwards, [`Queue::wake`] spares them the wait for the next look.
///
/// [`Store::write`]: crate::store::Store::write
/// [`Queue::wake`]: super::Queue::wake
pub async fn insert(connection: &mut Connection, tenant: &str, now: Millis, jobs: &[NewJob]) -> sqlx::Result<Inserted> {
    let (jobs, more) = insert_all(connection, tenant, now, jobs).await?;
    let used = usage::add(connection, tenant, Room::Jobs, more).await?;
    Ok(Inserted { jobs, used })
}

/// As [`insert`], and adds what the same transaction takes up in another room.
/// Answers what that room has then, too.
pub async fn insert_beside(
    connection: &mut Connection,
    tenant: &str,
    now: Millis,
    jobs: &[NewJob],
    beside: (Room, Usage),
) -> sqlx::Result<(Inserted, Usage)> {
    let (jobs, more) = insert_all(connection, tenant, now, jobs).await?;
    let [used, beside] = usage::add_both(connection, tenant, [(Room::Jobs, more), beside]).await?;
    Ok((Inserted { jobs, used }, beside))
}

/// Answers which there are now, and how much more that is.
async fn insert_all(
    connection: &mut Connection,
    tenant: &str,
    now: Millis,
    jobs: &[NewJob],
) -> sqlx::Result<(Vec<Kept>, Usage)> {
    let ids: Vec<String> =
        jobs.iter().map(|job| job.id.clone().unwrap_or_else(|| Uuid::now_v7().to_string())).collect();
    let kind = Kind::of(connection);
    let mut new = HashSet::new();
    let mut unordered = Vec::new();
    for (id, job) in ids.iter().zip(jobs) {
        let row = |state| Row { id: id.clone(), job, state };
        let state = State::at(job.run_at.unwrap_or(now), now);
        match &job.order_key {
            None => unordered.push(row(state)),
            // Each may be behind the one before it here.
            Some(key) => {
                let behind = order::is_behind(connection, tenant, &plain(&job.script), &plain(key)).await?;
                let row = row(if behind { State::Blocked } else { state });
                new.extend(insert_some(connection, tenant, now, &[row], INSERTS.one(kind)).await?);
            }
        }
    }
    for (sql, some) in INSERTS.split(kind, &unordered) {
        new.extend(insert_some(connection, tenant, now, some, sql).await?);
    }
    let mut kept = Vec::with_capacity(jobs.len());
    let mut more = Usage::default();
    for (id, job) in ids.into_iter().zip(jobs) {
        // Given twice, an id is new once.
        let is_new = new.remove(&id);
        if is_new {
            more = Usage { items: more.items + 1, bytes: more.bytes + job.bytes() };
        }
        let id = if is_new { id } else { known(connection, tenant, id, job.dedup_key.as_deref()).await? };
        kept.push(Kept { id, is_new });
    }
    Ok((kept, more))
}

const COLUMNS: usize = 20;

static INSERTS: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|rows, kind| {
        format!(
            "INSERT INTO jobs (tenant, id, script, triggered_by, entry, version, input, cause, depth, caller, state,
             priority, run_at, order_key, dedup_key, attempt, attempts, bytes, created_at, changed_at) VALUES {}
             ON CONFLICT DO NOTHING RETURNING id",
            kind.places(rows, COLUMNS)
        )
    })
});

/// Answers the ids of those that were not there.
async fn insert_some(
    connection: &mut Connection,
    tenant: &str,
    now: Millis,
    rows: &[Row<'_>],
    sql: &'static str,
) -> sqlx::Result<Vec<String>> {
    let values = values(tenant, now, rows).map_err(sqlx::Error::Encode)?;
    sqlx::query_scalar_with(sql, values).fetch_all(connection).await
}

fn values(tenant: &str, now: Millis, rows: &[Row<'_>]) -> Result<AnyArguments, BoxDynError> {
    let mut values = AnyArguments::default();
    values.reserve(rows.len() * COLUMNS, 0);
    let text = |text: &Option<String>| text.as_deref().map(plain);
    for Row { id, job, state } in rows {
        values.add(tenant.to_owned())?;
        values.add(plain(id))?;
        values.add(plain(&job.script))?;
        values.add(job.trigger.name().to_owned())?;
        values.add(text(&job.entry))?;
        values.add(job.version)?;
        values.add(job.input.clone())?;
        values.add(text(&job.cause))?;
        values.add(job.depth)?;
        values.add(job.caller.as_ref().map(serde_json::to_string).transpose()?)?;
        values.add(state.name().to_owned())?;
        values.add(job.priority)?;
        values.add(job.run_at.unwrap_or(now))?;
        values.add(text(&job.order_key))?;
        values.add(text(&job.dedup_key))?;
        values.add(0_i64)?;
        values.add(job.attempts.max(1))?;
        values.add(job.bytes())?;
        values.add(now)?;
        values.add(now)?;
    }
    Ok(values)
}

/// The id of the job that stands in another's place.
async fn known(connection: &mut Connection, tenant: &str, id: String, dedup_key: Option<&str>) -> sqlx::Result<String> {
    let Some(key) = dedup_key else { return Ok(id) };
    let known: Option<String> = sqlx::query_scalar(
        "SELECT id FROM jobs WHERE tenant = $1 AND (id = $2 OR dedup_key = $3) ORDER BY number LIMIT 1",
    )
    .bind(tenant)
    .bind(&id)
    .bind(plain(key))
    .fetch_optional(connection)
    .await?;
    Ok(known.unwrap_or(id))
}
