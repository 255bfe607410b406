//! Queuing jobs.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use sqlx::Arguments;
use sqlx::any::AnyArguments;
use sqlx::error::BoxDynError;
use uuid::Uuid;

use super::{NewJob, State, order};
use crate::store::clock::Millis;
use crate::store::usage::{self, Room, Usage};
use crate::store::{Connection, Kind, Statements, all_or_none, plain};

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
    let mut alike: BTreeMap<Common<'_>, Vec<(&str, &NewJob)>> = BTreeMap::new();
    for (id, job) in ids.iter().zip(jobs) {
        let one = (id.as_str(), job);
        let mut state = State::at(job.run_at.unwrap_or(now), now);
        if job.id.is_none() && job.dedup_key.is_none() && job.order_key.is_none() {
            alike.entry(Common::of(job, state, now)?).or_default().push(one);
            continue;
        }
        // Each may be behind the one before it here.
        if let Some(key) = &job.order_key
            && order::is_behind(connection, tenant, &plain(&job.script), &plain(key)).await?
        {
            state = State::Blocked;
        }
        let common = Common::of(job, state, now)?;
        if insert_some(connection, tenant, now, &common, &[one], INSERTS.one(kind)).await? {
            new.insert(id.clone());
        }
    }
    let mut alike: Vec<_> = alike.into_iter().collect();
    // Their numbers are to be in the order in which they came, as their ids are.
    alike.sort_by_key(|(_, jobs)| jobs.first().map(|(id, _)| *id));
    for (common, jobs) in &alike {
        for (sql, some) in INSERTS.split(kind, jobs) {
            if insert_some(connection, tenant, now, common, some, sql).await? {
                new.extend(some.iter().map(|(id, _)| (*id).to_owned()));
            }
        }
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

/// Columns that many jobs have in common, and those that are a job's own.
const COMMON: usize = 13;
const OWN: usize = 6;

/// Inserts jobs of the same [`Common`].
static INSERTS: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|rows, kind| {
        format!(
            "INSERT INTO jobs (attempt, tenant, script, triggered_by, entry, version, depth, caller, state, priority,
             run_at, attempts, created_at, changed_at, id, input, cause, order_key, dedup_key, bytes)
             SELECT 0, {}, own.* FROM (VALUES {}) AS own WHERE true ON CONFLICT DO NOTHING",
            kind.list(1..COMMON + 1),
            kind.rows(COMMON + 1, rows, OWN)
        )
    })
});

/// What jobs of one script that do the same have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Common<'a> {
    script: &'a str,
    trigger: &'static str,
    entry: Option<&'a str>,
    version: Option<i64>,
    depth: i64,
    /// As JSON.
    caller: Option<String>,
    state: &'static str,
    priority: i64,
    run_at: Millis,
    attempts: i64,
}

impl Common<'_> {
    fn of(job: &NewJob, state: State, now: Millis) -> sqlx::Result<Common<'_>> {
        let caller = job.caller.as_ref().map(serde_json::to_string).transpose();
        Ok(Common {
            script: &job.script,
            trigger: job.trigger.name(),
            entry: job.entry.as_deref(),
            version: job.version,
            depth: job.depth,
            caller: caller.map_err(|reason| sqlx::Error::Encode(reason.into()))?,
            state: state.name(),
            priority: job.priority,
            run_at: job.run_at.unwrap_or(now),
            attempts: job.attempts.max(1),
        })
    }
}

/// Answers whether they were not there.
async fn insert_some(
    connection: &mut Connection,
    tenant: &str,
    now: Millis,
    common: &Common<'_>,
    jobs: &[(&str, &NewJob)],
    sql: &'static str,
) -> sqlx::Result<bool> {
    let values = values(tenant, now, common, jobs).map_err(sqlx::Error::Encode)?;
    all_or_none(sqlx::query_with(sql, values).execute(connection).await?.rows_affected(), jobs.len())
}

/// `jobs` are with their ids.
fn values(
    tenant: &str,
    now: Millis,
    common: &Common<'_>,
    jobs: &[(&str, &NewJob)],
) -> Result<AnyArguments, BoxDynError> {
    let mut values = AnyArguments::default();
    values.reserve(COMMON + jobs.len() * OWN, 0);
    let text = |text: Option<&str>| text.map(plain);
    values.add(tenant.to_owned())?;
    values.add(plain(common.script))?;
    values.add(common.trigger.to_owned())?;
    values.add(text(common.entry))?;
    values.add(common.version)?;
    values.add(common.depth)?;
    values.add(common.caller.clone())?;
    values.add(common.state.to_owned())?;
    values.add(common.priority)?;
    values.add(common.run_at)?;
    values.add(common.attempts)?;
    values.add(now)?;
    values.add(now)?;
    for (id, job) in jobs {
        values.add(plain(*id))?;
        values.add(job.input.clone())?;
        values.add(text(job.cause.as_deref()))?;
        values.add(text(job.order_key.as_deref()))?;
        values.add(text(job.dedup_key.as_deref()))?;
        values.add(job.bytes())?;
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
