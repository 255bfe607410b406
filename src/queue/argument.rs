//! What a job's call gets: the argument that is in the job, or the event that
//! caused it.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::AssertSqlSafe;

use super::claim::Claimed;
use crate::store::clock::Millis;
use crate::store::{Connection, Store};

/// Events of one query.
const SIZES: [usize; 3] = [32, 4, 1];

#[derive(sqlx::FromRow)]
struct Event {
    id: String,
    name: String,
    /// JSON text.
    data: String,
    created_at: Millis,
}

/// An event, as its handler gets it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Argument<'a> {
    id: &'a str,
    name: &'a str,
    data: Option<Box<RawValue>>,
    tenant: &'a str,
    occurred_at: String,
    /// Of handling it, from 1.
    attempt: i64,
}

fn argument(event: &Event, job: &Claimed) -> Option<String> {
    let time = DateTime::from_timestamp_millis(event.created_at).unwrap_or_default();
    let argument = Argument {
        id: &event.id,
        name: &event.name,
        data: RawValue::from_string(event.data.clone()).ok(),
        tenant: &job.tenant,
        occurred_at: time.to_rfc3339_opts(SecondsFormat::Millis, true),
        attempt: job.attempt,
    };
    serde_json::to_string(&argument).ok()
}

/// Gives jobs the events that caused them, where those are their arguments.
pub async fn of_events(connection: &mut Connection, jobs: &mut [Claimed]) -> sqlx::Result<()> {
    let mut wanted: HashMap<String, HashSet<String>> = HashMap::new();
    for job in jobs.iter().filter(|job| job.takes_event != 0) {
        if let Some(cause) = &job.cause {
            wanted.entry(job.tenant.clone()).or_default().insert(cause.clone());
        }
    }
    for (tenant, ids) in wanted {
        let ids: Vec<String> = ids.into_iter().collect();
        let mut ids = ids.as_slice();
        let mut events = HashMap::new();
        for size in SIZES {
            while let Some((some, rest)) = ids.split_at_checked(size) {
                ids = rest;
                let found = read(connection, &tenant, some).await?;
                events.extend(found.into_iter().map(|event| (event.id.clone(), event)));
            }
        }
        for job in jobs.iter_mut().filter(|job| job.takes_event != 0 && job.tenant == tenant) {
            let event = job.cause.as_ref().and_then(|cause| events.get(cause));
            job.input = event.and_then(|event| argument(event, job));
        }
    }
    Ok(())
}

/// A query for each: of a list, PostgreSQL may take it that all events of the tenant
/// are as quickly read, so long as it does not know how many there are.
async fn read(connection: &mut Connection, tenant: &str, ids: &[String]) -> sqlx::Result<Vec<Event>> {
    let queries: Vec<String> = (2..ids.len() + 2)
        .map(|place| format!("SELECT id, name, data, created_at FROM outbox WHERE tenant = $1 AND id = ${place}"))
        .collect();
    let query = sqlx::query_as(AssertSqlSafe(queries.join(" UNION ALL "))).bind(tenant.to_owned());
    ids.iter().fold(query, |query, id| query.bind(id.clone())).fetch_all(connection).await
}

/// The argument of a job that was too large to be read with many others. None
/// where it is gone.
pub async fn of(store: &Store, job: &Claimed) -> sqlx::Result<Option<String>> {
    let mut job = job.clone();
    store
        .read(move |connection| {
            Box::pin(async move {
                if job.takes_event != 0 {
                    of_events(connection, std::slice::from_mut(&mut job)).await?;
                    return Ok(job.input);
                }
                sqlx::query_scalar("SELECT input FROM jobs WHERE tenant = $1 AND id = $2")
                    .bind(job.tenant)
                    .bind(job.id)
                    .fetch_optional(connection)
                    .await
            })
        })
        .await
}
