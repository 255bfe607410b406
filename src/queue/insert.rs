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

/// Queues jobs of several tenants, whose turns these must be. Ids that are given are
/// to be new: [`insert`] is for others.
pub async fn insert_for_all(connection: &mut Connection, now: Millis, jobs: &[(&str, &NewJob)]) -> sqlx::Result<()> {
    let ids: Vec<String> = jobs.iter().map(|(_, job)| id(job)).collect();
    let rows = ids.iter().zip(jobs).map(|(id, (tenant, job))| Row { tenant, id, job, is_fresh: true });
    let rows: Vec<Row<'_>> = rows.collect();
    let new = insert_rows(connection, now, &rows).await?;
    let mut more: BTreeMap<&str, Usage> = BTreeMap::new();
    for row in rows.iter().filter(|row| new.contains(row.id)) {
        *more.entry(row.tenant).or_default() += Usage { items: 1, bytes: row.job.bytes() };
    }
    usage::add_for_all(connection, Room::Jobs, &more).await.map(drop)
}

/// Answers which there are now, and how much more that is.
async fn insert_all(
    connection: &mut Connection,
    tenant: &str,
    now: Millis,
    jobs: &[NewJob],
) -> sqlx::Result<(Vec<Kept>, Usage)> {
    let ids: Vec<String> = jobs.iter().map(id).collect();
    let rows = ids.iter().zip(jobs).map(|(id, job)| Row { tenant, id, job, is_fresh: job.id.is_none() });
    let rows: Vec<Row<'_>> = rows.collect();
    let mut new = insert_rows(connection, now, &rows).await?;
    let mut kept = Vec::with_capacity(jobs.len());
    let mut more = Usage::default();
    for Row { id, job, .. } in rows {
        // Given twice, an id is new once.
        let is_new = new.remove(id);
        if is_new {
            more += Usage { items: 1, bytes: job.bytes() };
        }
        let id = id.to_owned();
        let id = if is_new { id } else { known(connection, tenant, id, job.dedup_key.as_deref()).await? };
        kept.push(Kept { id, is_new });
    }
    Ok((kept, more))
}

fn id(job: &NewJob) -> String {
    job.id.clone().unwrap_or_else(|| Uuid::now_v7().to_string())
}

/// A job to be inserted.
#[derive(Clone, Copy)]
struct Row<'a> {
    tenant: &'a str,
    id: &'a str,
    job: &'a NewJob,
    /// Whether its id is new.
    is_fresh: bool,
}

/// Answers the ids of those that were not there.
async fn insert_rows<'a>(connection: &mut Connection, now: Millis, rows: &[Row<'a>]) -> sqlx::Result<HashSet<&'a str>> {
    let kind = Kind::of(connection);
    let mut new = HashSet::with_capacity(rows.len());
    let mut alike: BTreeMap<Alike<'_>, Vec<Row<'_>>> = BTreeMap::new();
    for row in rows {
        let Row { tenant, id, job, is_fresh } = *row;
        let mut state = State::at(job.run_at.unwrap_or(now), now);
        if is_fresh && job.dedup_key.is_none() && job.order_key.is_none() {
            alike.entry(Alike::of(job, state, now)?).or_default().push(*row);
            continue;
        }
        // Each may be behind the one before it here.
        if let Some(key) = &job.order_key
            && order::is_behind(connection, tenant, &plain(&job.script), &plain(key)).await?
        {
            state = State::Blocked;
        }
        if insert_some(connection, &Alike::of(job, state, now)?, &[*row], OF_ONE_SCRIPT.one(kind), true).await? {
            new.insert(id);
        }
    }
    let mut alike: Vec<_> = alike.into_iter().collect();
    // Their numbers are to be in the order in which they came, as their ids are.
    alike.sort_by_key(|(_, rows)| rows.first().map(|row| row.id));
    for (alike, rows) in &alike {
        let is_one = rows.windows(2).all(|two| matches!(two, [one, next] if one.place(now) == next.place(now)));
        let statements = if is_one { &OF_ONE_SCRIPT } else { &OF_ANY };
        for (sql, some) in statements.split(kind, rows) {
            if insert_some(connection, alike, some, sql, is_one).await? {
                new.extend(some.iter().map(|row| row.id));
            }
        }
    }
    Ok(new)
}

/// Columns of what jobs have in common, of where and when they run, and their own.
const ALIKE: usize = 10;
const PLACE: usize = 3;
const OWN: usize = 6;

/// Jobs of one script and time.
static OF_ONE_SCRIPT: LazyLock<Statements> =
    LazyLock::new(|| Statements::new(|rows, kind| text(rows, kind, ALIKE + PLACE, OWN)));

/// Jobs of any tenants.
static OF_ANY: LazyLock<Statements> =
    LazyLock::new(|| Statements::new(|rows, kind| text(rows, kind, ALIKE, PLACE + OWN)));

fn text(rows: usize, kind: Kind, common: usize, own: usize) -> String {
    format!(
        "INSERT INTO jobs (attempt, triggered_by, entry, version, depth, caller, state, priority, attempts, created_at,
         changed_at, tenant, script, run_at, id, input, cause, order_key, dedup_key, bytes)
         SELECT 0, {}, own.* FROM (VALUES {}) AS own WHERE true ON CONFLICT DO NOTHING",
        kind.list(1..common + 1),
        kind.rows(common + 1, rows, own)
    )
}

/// What jobs that do the same have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Alike<'a> {
    trigger: &'static str,
    entry: Option<&'a str>,
    version: Option<i64>,
    depth: i64,
    /// As JSON.
    caller: Option<String>,
    state: &'static str,
    priority: i64,
    attempts: i64,
    now: Millis,
}

impl Alike<'_> {
    fn of(job: &NewJob, state: State, now: Millis) -> sqlx::Result<Alike<'_>> {
        let caller = job.caller.as_ref().map(serde_json::to_string).transpose();
        Ok(Alike {
            trigger: job.trigger.name(),
            entry: job.entry.as_deref(),
            version: job.version,
            depth: job.depth,
            caller: caller.map_err(|reason| sqlx::Error::Encode(reason.into()))?,
            state: state.name(),
            priority: job.priority,
            attempts: job.attempts.max(1),
            now,
        })
    }

    fn bind(&self, values: &mut AnyArguments) -> Result<(), BoxDynError> {
        values.add(self.trigger.to_owned())?;
        values.add(self.entry.map(plain))?;
        values.add(self.version)?;
        values.add(self.depth)?;
        values.add(self.caller.clone())?;
        values.add(self.state.to_owned())?;
        values.add(self.priority)?;
        values.add(self.attempts)?;
        values.add(self.now)?;
        values.add(self.now)
    }
}

impl<'a> Row<'a> {
    fn place(&self, now: Millis) -> (&'a str, &'a str, Millis) {
        (self.tenant, &self.job.script, self.job.run_at.unwrap_or(now))
    }

    fn bind_place(&self, now: Millis, values: &mut AnyArguments) -> Result<(), BoxDynError> {
        let (tenant, script, run_at) = self.place(now);
        values.add(tenant.to_owned())?;
        values.add(plain(script))?;
        values.add(run_at)
    }

    fn bind_own(&self, values: &mut AnyArguments) -> Result<(), BoxDynError> {
        let text = |text: &Option<String>| text.as_deref().map(plain);
        values.add(plain(self.id))?;
        values.add(self.job.input.clone())?;
        values.add(text(&self.job.cause))?;
        values.add(text(&self.job.order_key))?;
        values.add(text(&self.job.dedup_key))?;
        values.add(self.job.bytes())
    }
}

/// Answers whether they were not there. `is_one`: whether they are of one script and
/// time, and `sql` for such.
async fn insert_some(
    connection: &mut Connection,
    alike: &Alike<'_>,
    rows: &[Row<'_>],
    sql: &'static str,
    is_one: bool,
) -> sqlx::Result<bool> {
    let bind = || {
        let mut values = AnyArguments::default();
        values.reserve(ALIKE + rows.len() * (PLACE + OWN), 0);
        alike.bind(&mut values)?;
        if is_one && let Some(row) = rows.first() {
            row.bind_place(alike.now, &mut values)?;
        }
        for row in rows {
            if !is_one {
                row.bind_place(alike.now, &mut values)?;
            }
            row.bind_own(&mut values)?;
        }
        Ok(values)
    };
    let values: AnyArguments = bind().map_err(sqlx::Error::Encode)?;
    all_or_none(sqlx::query_with(sql, values).execute(connection).await?.rows_affected(), rows.len())
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
