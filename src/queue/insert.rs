//! Queuing jobs.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use sqlx::Arguments;
use sqlx::any::AnyArguments;
use sqlx::error::BoxDynError;
use uuid::Uuid;

use super::{NewJob, State, order};
use crate::store::clock::Millis;
use crate::store::insert::{Bind, Columns, Insert};
use crate::store::usage::{self, Room, Usage};
use crate::store::{Connection, plain};

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
        let alike = Alike::of(job, state, now)?;
        if !alike.insert().run(connection, &alike, &[*row]).await?.is_empty() {
            new.insert(id);
        }
    }
    let mut alike: Vec<_> = alike.into_iter().collect();
    // Their numbers are to be in the order in which they came, as their ids are.
    alike.sort_by_key(|(_, rows)| rows.first().map(|row| row.id));
    for (alike, rows) in &alike {
        new.extend(alike.insert().run(connection, alike, rows).await?.into_iter().flatten().map(|row| row.id));
    }
    Ok(new)
}

/// What jobs have for themselves: all, and those that have a key.
const OWN: &[&str] = &["id", "input", "cause", "bytes"];
const KEYS: &[&str] = &["order_key", "dedup_key"];

static FREE: LazyLock<Insert> = LazyLock::new(|| columns(OWN));
static KEYED: LazyLock<Insert> = LazyLock::new(|| columns(&[OWN, KEYS].concat()));

fn columns(own: &[&str]) -> Insert {
    Insert::new(&Columns {
        table: "jobs",
        zero: &["attempt"],
        alike: &[
            "triggered_by",
            "entry",
            "version",
            "depth",
            "caller",
            "state",
            "priority",
            "attempts",
            "created_at",
            "changed_at",
        ],
        place: &["tenant", "script", "run_at"],
        own,
    })
}

/// What jobs that do the same have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Alike<'a> {
    /// Whether others wait for them, or they stand in for others.
    is_keyed: bool,
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
            is_keyed: job.order_key.is_some() || job.dedup_key.is_some(),
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

    fn insert(&self) -> &'static Insert {
        if self.is_keyed { &KEYED } else { &FREE }
    }
}

impl<'a> Row<'a> {
    fn place(&self, now: Millis) -> (&'a str, &'a str, Millis) {
        (self.tenant, &self.job.script, self.job.run_at.unwrap_or(now))
    }
}

impl<'a> Bind<Row<'a>> for Alike<'_> {
    fn alike(&self, values: &mut AnyArguments) -> Result<(), BoxDynError> {
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

    fn is_one(&self, row: &Row<'a>, other: &Row<'a>) -> bool {
        row.place(self.now) == other.place(self.now)
    }

    fn place(&self, row: &Row<'a>, values: &mut AnyArguments) -> Result<(), BoxDynError> {
        let (tenant, script, run_at) = row.place(self.now);
        values.add(tenant.to_owned())?;
        values.add(plain(script))?;
        values.add(run_at)
    }

    fn own(&self, row: &Row<'a>, values: &mut AnyArguments) -> Result<(), BoxDynError> {
        values.add(plain(row.id))?;
        values.add(row.job.input.clone())?;
        let text = |text: &Option<String>| text.as_deref().map(plain);
        values.add(text(&row.job.cause))?;
        values.add(row.job.bytes())?;
        if self.is_keyed {
            values.add(text(&row.job.order_key))?;
            values.add(text(&row.job.dedup_key))?;
        }
        Ok(())
    }
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
