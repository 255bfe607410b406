//! What a job's call gets: the argument that is in the job, or the event that
//! caused it.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use serde::Serialize;
use serde_json::value::RawValue;

use super::claim::Claimed;
use crate::store::clock::{Millis, rfc3339};
use crate::store::{Connection, Kind, Statements, Store};

/// The first event from each id on, which is the one with the id or another. So
/// long as PostgreSQL does not know how many events there are, it takes all of the
/// tenant's to be as quickly read as one by its key; but in the order of their ids
/// they are read by the key alone.
static EVENTS: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|events, _| {
        let one = |place| {
            format!(
                "SELECT * FROM (SELECT id, name, data, created_at FROM outbox WHERE tenant = $1 AND id >= ${place}
                 ORDER BY id LIMIT 1) AS e{place}"
            )
        };
        (2..events + 2).map(one).collect::<Vec<_>>().join(" UNION ALL ")
    })
});

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
    let argument = Argument {
        id: &event.id,
        name: &event.name,
        data: RawValue::from_string(event.data.clone()).ok(),
        tenant: &job.tenant,
        occurred_at: rfc3339(event.created_at),
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
        let mut events = HashMap::new();
        for (sql, some) in EVENTS.split(Kind::of(connection), &ids) {
            let query = some.iter().fold(sqlx::query_as(sql).bind(&tenant), |query, id| query.bind(id));
            let found: Vec<Event> = query.fetch_all(&mut *connection).await?;
            events.extend(found.into_iter().map(|event| (event.id.clone(), event)));
        }
        for job in jobs.iter_mut().filter(|job| job.takes_event != 0 && job.tenant == tenant) {
            let event = job.cause.as_ref().and_then(|cause| events.get(cause));
            job.input = event.and_then(|event| argument(event, job));
        }
    }
    Ok(())
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
