//! `/api/executions`: what ran, what runs, and what it logs.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use chrono::DateTime;
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Caller, Page, Path, Problem, Query, Slice, Time};
use crate::capabilities::progress::Report;
use crate::executions::{self, Cancelled, Filter, Followed, Key, Status};
use crate::queue::{self, Changed};
use crate::store::clock::Millis;
use crate::store::plain;

pub const READ: &str = "Script.Execution.Read";
const STOP: &str = "Script.Execute";

/// How often a quiet stream says that it is there: less than what proxies wait.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Keeps a quiet stream open: by the proxies, and by the listener, for which a
/// connection that says nothing for `server.header_timeout` is dead.
pub fn sign_of_life(api: &Api) -> KeepAlive {
    KeepAlive::new().interval(SIGN_OF_LIFE.min(api.app.server.header_timeout / 3))
}

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read)).routes(routes!(cancel)).routes(routes!(logs))
}

/// One run of a script.
#[derive(Debug, Serialize, ToSchema)]
struct Execution {
    id: String,
    script: ScriptName,
    /// The version that ran. Null for a script of the host's settings.
    #[schema(required)]
    version: Option<i64>,
    /// What started it: `http`, `api`, `cron`, `oneoff`, `event`.
    trigger: String,
    /// The id of the user or service account that it ran as.
    #[schema(required)]
    user: Option<String>,
    /// As in W3C Trace Context.
    #[schema(required)]
    trace_id: Option<String>,
    #[schema(value_type = Status)]
    status: String,
    /// Of one that waits, when it may begin.
    started_at: Time,
    #[schema(required)]
    ended_at: Option<Time>,
    /// How long it waited for a sandbox.
    #[schema(required)]
    queue_ms: Option<f64>,
    /// How long it ran.
    #[schema(required)]
    duration_ms: Option<f64>,
    #[schema(required)]
    fuel: Option<i64>,
    #[schema(required)]
    memory_bytes: Option<i64>,
    #[schema(required)]
    host_calls: Option<i64>,
    /// Lines that it logged.
    log_lines: i64,
    /// The job that it was an attempt of.
    #[schema(required)]
    job: Option<String>,
    /// Which attempt, from 1.
    #[schema(required)]
    attempt: Option<i64>,
    /// The event that it handled.
    #[schema(required)]
    event: Option<String>,
    /// How far it is, or was last known to be. Null: it says nothing.
    #[schema(required)]
    progress: Option<Report>,
    #[schema(required, value_type = Option<ScriptError>)]
    error: Option<Box<RawValue>>,
}

/// One run of a script, with its result.
#[derive(Debug, Serialize, ToSchema)]
struct Detailed {
    #[serde(flatten)]
    execution: Execution,
    /// What it returned. Null also where that was too large to be kept, or shows
    /// a secret.
    #[schema(required, value_type = serde_json::Value)]
    result: Option<Box<RawValue>>,
    /// Of the result as JSON, kept or not.
    #[schema(required)]
    result_bytes: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ScriptName {
    id: String,
    /// As it was then.
    name: String,
}

/// An error in the terms of the script's author.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only the document uses it")]
struct ScriptError {
    name: String,
    message: String,
    /// One frame a line, innermost first.
    stack: String,
    /// From 1.
    line: Option<u32>,
    column: Option<u32>,
    /// False where the script threw it so; else it is not there.
    retry: Option<bool>,
}

impl From<executions::Execution> for Execution {
    fn from(known: executions::Execution) -> Execution {
        let milliseconds = |micros: Option<i64>| micros.map(|micros| micros as f64 / 1e3);
        Execution {
            id: known.id,
            script: ScriptName { id: known.script_id, name: known.script },
            version: known.version,
            trigger: known.triggered_by,
            user: known.user_id,
            trace_id: known.trace_id,
            status: known.status,
            started_at: Time(known.started_at),
            ended_at: known.ended_at.map(Time),
            queue_ms: milliseconds(known.queue_us),
            duration_ms: milliseconds(known.duration_us),
            fuel: known.fuel,
            memory_bytes: known.memory_bytes,
            host_calls: known.host_calls,
            log_lines: known.log_lines,
            job: known.job,
            attempt: known.attempt,
            event: known.cause,
            progress: known.progress.and_then(|said| serde_json::from_str(&said).ok()),
            error: known.error.and_then(json),
        }
    }
}

impl From<executions::Execution> for Detailed {
    fn from(mut known: executions::Execution) -> Detailed {
        let result = known.result.take().and_then(json);
        Detailed { result, result_bytes: known.result_bytes, execution: known.into() }
    }
}

fn json(text: String) -> Option<Box<RawValue>> {
    RawValue::from_string(text).ok()
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// The script's id, or its name when it ran.
    script: Option<String>,
    status: Option<Status>,
    /// What started it: `http`, `api`, `cron`, `oneoff`, `event`.
    trigger: Option<String>,
    /// The user's id.
    user: Option<String>,
    /// The job's id.
    job: Option<String>,
    /// The id of the event that it handled.
    event: Option<String>,
    /// Started then or later, as `2026-01-05T09:30:00Z`.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Started before.
    #[param(format = DateTime)]
    until: Option<String>,
}

impl Wanted {
    fn filter(self) -> Result<Filter, Problem> {
        Ok(Filter {
            script: self.script.map(plain),
            status: self.status,
            trigger: self.trigger.map(plain),
            user: self.user.map(plain),
            job: self.job.map(plain),
            cause: self.event.map(plain),
            since: self.since.map(|text| time("since", &text)).transpose()?,
            until: self.until.map(|text| time("until", &text)).transpose()?,
        })
    }
}

fn time(name: &str, text: &str) -> Result<Millis, Problem> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| {
        Problem::bad_request("bad_query", format!("`{name}` is a time such as `2026-01-05T09:30:00Z`."))
    })?;
    Ok(time.timestamp_millis())
}

fn key(caller: Caller, id: String) -> Key {
    Key { tenant: caller.tenant, id: plain(id) }
}

/// List executions, the latest first
#[utoipa::path(get, path = "/api/executions", tag = "executions", params(Wanted, Page),
    responses((status = 200, body = Slice<Execution>)))]
async fn list(
    caller: Caller,
    State(api): State<Api>,
    Query(wanted): Query<Wanted>,
    page: Page,
) -> Result<Json<Slice<Execution>>, Problem> {
    caller.require(READ)?;
    let after: Option<(Millis, String)> = page.after()?;
    let after = after.map(|(time, id)| (time, plain(id)));
    let found = api.host.executions().list(&caller.tenant, wanted.filter()?, after, page.rows()).await?;
    let items = found.into_iter().map(Execution::from).collect();
    Ok(Json(page.slice(items, |last: &Execution| (last.started_at.0, last.id.clone()))))
}

/// Read an execution
#[utoipa::path(get, path = "/api/executions/{id}", tag = "executions", params(("id" = String, Path)),
    responses((status = 200, body = Detailed)))]
async fn read(caller: Caller, State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Detailed>, Problem> {
    caller.require(READ)?;
    let key = key(caller, id);
    if let Some(found) = api.host.executions().get(&key).await? {
        return Ok(Json(found.into()));
    }
    // The first execution of a job has its id, before it has begun and until its
    // host has put it on record.
    let Some(job) = api.host.queue().get(&key.tenant, &key.id).await?.filter(|job| job.attempt <= 1) else {
        // It may have ended since the first look: its record and its job's end are one commit.
        let found = api.host.executions().get(&key).await?.ok_or_else(|| Problem::no_such("execution of this id"))?;
        return Ok(Json(found.into()));
    };
    let script = api.host.places().get(&key.tenant).and_then(|place| place.shelf().get(&job.script).cloned());
    Ok(Json(of_job(job, script.map(|script| script.name.clone()))))
}

/// The first execution of a job, of which there is no record yet.
fn of_job(job: queue::Job, script: Option<String>) -> Detailed {
    let runs = job.state == queue::State::Running;
    let execution = Execution {
        user: job.user(),
        script: ScriptName { name: script.unwrap_or_else(|| job.script.clone()), id: job.script },
        version: job.version,
        trigger: job.triggered_by.name().to_owned(),
        trace_id: None,
        status: if runs { Status::Running } else { Status::Waiting }.to_string(),
        started_at: Time(if runs { job.changed_at } else { job.run_at }),
        ended_at: None,
        queue_ms: None,
        duration_ms: None,
        fuel: None,
        memory_bytes: None,
        host_calls: None,
        log_lines: 0,
        job: Some(job.id.clone()),
        attempt: Some(1),
        event: job.cause,
        progress: None,
        error: None,
        id: job.id,
    };
    Detailed { execution, result: None, result_bytes: None }
}

/// Stop an execution
///
/// It ends within a second or so, as `cancelled`.
#[utoipa::path(post, path = "/api/executions/{id}/cancel", tag = "executions", params(("id" = String, Path)),
    responses((status = 202, description = "It is being stopped."),
        (status = 409, description = "It has ended before.")))]
async fn cancel(caller: Caller, State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    caller.require(STOP)?;
    let by = caller.user.id.clone();
    let key = key(caller, id);
    match api.host.executions().cancel(&key).await? {
        Cancelled::Told => {
            tracing::info!(
                execution_id = key.id,
                tenant_id = key.tenant,
                user_id = by,
                "an execution is being stopped"
            );
            Ok(StatusCode::ACCEPTED)
        }
        Cancelled::Ended => {
            Err(Problem::new(StatusCode::CONFLICT, "execution_ended", "The execution has ended already."))
        }
        Cancelled::Unknown => match take_back(&api, &key).await? {
            Changed::Done => Ok(StatusCode::ACCEPTED),
            Changed::Not(_) => {
                let detail = "It begins just now, on another host; ask again in a second.";
                Err(Problem::unavailable("execution_begins", detail).retry())
            }
            Changed::Unknown => Err(Problem::no_such("execution of this id")),
        },
    }
}

/// Takes back a job that has never begun.
async fn take_back(api: &Api, key: &Key) -> Result<Changed, Problem> {
    let job = api.host.queue().get(&key.tenant, &key.id).await?;
    if job.is_none_or(|job| job.attempt > 1 || job.state == queue::State::Dead) {
        return Ok(Changed::Unknown);
    }
    Ok(api.host.queue().remove(&key.tenant, &key.id).await?)
}

/// Follow what an execution logs
///
/// Server-sent events. `line`: one line, a JSON object; its id is its number, from 1, for `Last-Event-ID`.
/// `progress`: how far it is, `{"done": …, "total": …, "message": …}`; not more than some times a second.
/// `end`: the execution has ended, and the data is `{"status": …}`.
#[utoipa::path(get, path = "/api/executions/{id}/logs", tag = "executions",
    params(("id" = String, Path),
        ("last-event-id" = Option<u64>, Header, description = "The last line that the reader has.")),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
async fn logs(
    caller: Caller,
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    caller.require(READ)?;
    let after = match headers.get("last-event-id") {
        None => 0,
        Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
            Problem::bad_request("bad_header", "`Last-Event-ID` is the number of the last line that was read.")
        })?,
    };
    let key = key(caller, id);
    if api.host.executions().get(&key).await?.is_none() {
        return Err(Problem::no_such("execution of this id"));
    }
    let permit = api
        .host
        .executions()
        .follower()
        .ok_or_else(|| Problem::unavailable("overloaded", "As many follow logs as the host takes.").retry())?;
    let alive = sign_of_life(&api);
    let reader = Reader { api, key, after, seen: None, _permit: permit };
    let events = stream::unfold(Some(reader), step).flat_map(stream::iter);
    Ok(Sse::new(events.map(Ok)).keep_alive(alive))
}

/// Who follows a log.
struct Reader {
    api: Api,
    key: Key,
    /// Lines that were read.
    after: usize,
    /// How far it was last.
    seen: Option<Report>,
    _permit: OwnedSemaphorePermit,
}

/// An event that says how far a call is.
pub fn progress(said: &Report) -> Event {
    Event::default().event("progress").data(serde_json::to_string(said).unwrap_or_default())
}

/// The events that follow, and who goes on reading.
async fn step(reader: Option<Reader>) -> Option<(Vec<Event>, Option<Reader>)> {
    let mut reader = reader?;
    if reader.api.app.is_stopping() {
        // The reader connects again, and goes on where it was.
        return None;
    }
    match reader.api.host.executions().follow(&reader.key, reader.after, reader.seen.as_ref()).await {
        Ok(Followed::Lines(first, lines)) => {
            reader.after = first + lines.len();
            let events = lines
                .iter()
                .zip(first + 1..)
                .map(|(line, number)| Event::default().event("line").id(number.to_string()).data(&**line));
            let mut events: Vec<Event> = events.collect();
            // Who logs without end says how far it is all the same.
            let said = reader.api.host.executions().progress(&reader.key);
            if said.is_some() && said != reader.seen {
                events.extend(said.as_ref().map(progress));
                reader.seen = said;
            }
            Some((events, Some(reader)))
        }
        Ok(Followed::Progress(said)) => {
            let event = progress(&said);
            reader.seen = Some(said);
            Some((vec![event], Some(reader)))
        }
        Ok(Followed::Nothing) => Some((Vec::new(), Some(reader))),
        Ok(Followed::End(status)) => {
            let data = serde_json::json!({ "status": status }).to_string();
            Some((vec![Event::default().event("end").data(data)], None))
        }
        // Deleted meanwhile.
        Ok(Followed::Unknown) => None,
        Err(reason) => {
            tracing::error!(%reason, execution_id = reader.key.id, "following a log failed");
            None
        }
    }
}
