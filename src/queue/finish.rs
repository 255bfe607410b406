//! What becomes of jobs after an attempt, in one transaction with its execution.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::claim::Claimed;
use super::{State, order};
use crate::executions::{Ending, Status};
use crate::random;
use crate::settings::QueueSettings;
use crate::store::clock::{Millis, millis};
use crate::store::usage::{self, Room, Usage};
use crate::store::{Connection, Kind, Statements, all_or_none};
use crate::tenant::Cause;
use crate::triggers::events::Told;

/// Bytes that a job's error may have.
const ERROR: usize = 4 << 10;

/// By their numbers alone: PostgreSQL would else look them up among all that the host
/// runs, of which there are many and few where it last counted them. Nobody has a job
/// but who runs it.
static DELETES: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|jobs, kind| {
        let (host, numbers) = (kind.place(1), kind.list(2..jobs + 2));
        format!("DELETE FROM jobs WHERE COALESCE(host, '') = {host} AND number IN ({numbers})")
    })
});

/// What came of an attempt.
pub enum End {
    /// It ran, to whatever end.
    Ran(Ending),
    /// It has not begun, and counts for nothing. It is tried again after so long.
    NotBegun(Duration),
}

impl End {
    /// In metrics.
    pub fn name(&self) -> &'static str {
        match self {
            End::Ran(ending) => ending.status().name(),
            End::NotBegun(_) => "put_off",
        }
    }
}

/// An attempt that is over.
pub struct Done {
    pub job: Claimed,
    pub end: End,
}

impl Done {
    /// What the host tells where the job is a dead letter now.
    pub fn told(&self) -> Told {
        let Done { job, end } = self;
        let error = match end {
            End::Ran(ending) => ending.error(),
            End::NotBegun(_) => None,
        };
        let cause = job.cause.clone().map(|event| Cause { event, depth: job.depth });
        Told::of_dead_job(&job.id, &job.script, job.attempt, cause, error)
    }
}

/// What a transaction did with some jobs, by their numbers.
#[derive(Debug, Default)]
pub struct Finished {
    /// Those that are dead letters now.
    pub dead: HashSet<i64>,
    /// Those that others have taken over, as if this host had died.
    pub taken: HashSet<i64>,
}

/// Writes what became of jobs of some tenants, whose turns these must be. Jobs that
/// are not this host's any more stay as they are, and so do their records.
pub async fn finish(
    connection: &mut Connection,
    now: Millis,
    settings: &QueueSettings,
    done: &[Arc<Done>],
) -> sqlx::Result<Finished> {
    let mut finished = Finished::default();
    let mut keys: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    let mut freed: BTreeMap<&str, Usage> = BTreeMap::new();

    let over: Vec<&Claimed> = done.iter().filter(|done| is_over(&done.end)).map(|done| &done.job).collect();
    let mut ours = delete(connection, &over).await?;
    for job in over.into_iter().filter(|job| ours.contains(&job.number)) {
        *freed.entry(&job.tenant).or_default() += Usage { items: -1, bytes: -job.bytes };
        keys.extend(order_of(job));
    }
    for Done { job, end } in done.iter().map(|done| &**done) {
        if is_over(end) {
            continue;
        }
        let next = match end {
            End::NotBegun(wait) => Next { state: State::Delayed, run_at: now + millis(*wait), back: 1, error: None },
            End::Ran(ending) => after_failure(job, ending, settings, now),
        };
        if !put_back(connection, job, now, &next).await? {
            continue;
        }
        ours.insert(job.number);
        if next.state == State::Dead {
            finished.dead.insert(job.number);
            keys.extend(order_of(job));
        }
    }
    let mut endings = Vec::new();
    for Done { job, end } in done.iter().map(|done| &**done) {
        match end {
            _ if !ours.contains(&job.number) => drop(finished.taken.insert(job.number)),
            End::Ran(ending) => endings.push(ending),
            End::NotBegun(_) => {}
        }
    }
    Ending::save(connection, now, &endings).await?;
    for (tenant, script, key) in keys {
        order::release(connection, tenant, script, key, now).await?;
    }
    usage::add_for_all(connection, Room::Jobs, &freed).await?;
    Ok(finished)
}

/// Whose and which script's jobs it runs in order with, and their key.
fn order_of(job: &Claimed) -> Option<(&str, &str, &str)> {
    Some((&job.tenant, &job.script, job.order_key.as_deref()?))
}

/// Whether the job is done: its call completed, or somebody stopped it.
fn is_over(end: &End) -> bool {
    matches!(end, End::Ran(ending) if matches!(ending.status(), Status::Completed | Status::Cancelled))
}

/// What a job is next.
struct Next {
    state: State,
    run_at: Millis,
    /// Attempts that do not count.
    back: i64,
    error: Option<String>,
}

fn after_failure(job: &Claimed, ending: &Ending, settings: &QueueSettings, now: Millis) -> Next {
    let error = ending.error().and_then(Brief::of);
    let is_last = job.attempt >= job.attempts || error.as_ref().is_some_and(|error| error.retry == Some(false));
    let error = error.and_then(|error| serde_json::to_string(&error).ok());
    if is_last {
        return Next { state: State::Dead, run_at: job.run_at, back: 0, error };
    }
    let wait = backoff(settings, job.attempt, random::fraction());
    Next { state: State::Delayed, run_at: now + millis(wait), back: 0, error }
}

/// How long a job waits after a failed attempt. `chance` is from 0 to 1, and
/// takes off up to half: jobs that failed together are not tried together.
pub fn backoff(settings: &QueueSettings, attempt: i64, chance: f64) -> Duration {
    let doublings = attempt.saturating_sub(1).clamp(0, 31);
    let most = settings.backoff.saturating_mul(1 << doublings).min(settings.max_backoff);
    most.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
}

/// What a job keeps of an error.
#[derive(Deserialize, Serialize)]
struct Brief {
    name: String,
    message: String,
    /// Some(false) where the script wants no further attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<bool>,
}

impl Brief {
    /// `error` is JSON.
    fn of(error: &str) -> Option<Brief> {
        let mut error: Brief = serde_json::from_str(error).ok()?;
        for text in [&mut error.name, &mut error.message] {
            text.truncate(text.floor_char_boundary(ERROR / 2));
        }
        Some(error)
    }
}

/// Answers the numbers of those that were this host's. A refusal where others have
/// taken over some of many.
async fn delete(connection: &mut Connection, jobs: &[&Claimed]) -> sqlx::Result<HashSet<i64>> {
    let mut gone = HashSet::new();
    // A host is another one after it counted as dead.
    let mut hosts: Vec<&str> = jobs.iter().map(|job| job.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    for host in hosts {
        let numbers: Vec<i64> = jobs.iter().filter(|job| job.host == host).map(|job| job.number).collect();
        for (sql, some) in DELETES.split(Kind::of(connection), &numbers) {
            let query = some.iter().fold(sqlx::query(sql).bind(host), |query, number| query.bind(*number));
            let deleted = query.execute(&mut *connection).await?.rows_affected();
            if all_or_none(deleted, some.len())? {
                gone.extend(some);
            }
        }
    }
    Ok(gone)
}

/// Answers whether it was this host's.
async fn put_back(connection: &mut Connection, job: &Claimed, now: Millis, next: &Next) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE jobs SET state = $5, run_at = $6, attempt = attempt - $7, error = COALESCE($8, error), host = NULL,
         changed_at = $9 WHERE tenant = $1 AND id = $2 AND host = $3 AND attempt = $4 AND state = 'running'",
    )
    .bind(&job.tenant)
    .bind(&job.id)
    .bind(&job.host)
    .bind(job.attempt)
    .bind(next.state.name())
    .bind(next.run_at)
    .bind(next.back)
    .bind(&next.error)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}
