//! `/api/events`: what the application tells scripts, and what came of it.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::AppendHeaders;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::whole;
use super::idempotency::Intended;
use super::{Api, Body, Caller, Page, Path, Problem, Query, Slice, Time};
use crate::runtime::limits::Limit;
use crate::server::ExecutionId;
use crate::store::plain;
use crate::triggers::events::{self, Publisher, Refused};

const PUBLISH: &str = "Event.Publish";
const READ: &str = "Event.Read";

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, publish)).routes(routes!(read))
}

/// An event to publish.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewEvent)]
#[serde(deny_unknown_fields)]
struct New {
    /// Such as `order.created`.
    #[schema(min_length = 1, max_length = 200, pattern = "^[A-Za-z0-9_.:-]+$")]
    name: String,
    #[serde(default)]
    #[schema(value_type = Option<serde_json::Value>)]
    data: Option<Box<RawValue>>,
    /// Seconds until it is delivered, up to a year.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 31536000)]
    delay: Option<f64>,
    /// Each script handles the events of one key one after the other.
    #[serde(default)]
    #[schema(max_length = 200, pattern = r"^[^\u0000-\u001F\u007F-\u009F]+$")]
    key: Option<String>,
    /// A second event of that name with the same one is not published.
    #[serde(default)]
    #[schema(max_length = 200, pattern = r"^[^\u0000-\u001F\u007F-\u009F]+$")]
    dedup_key: Option<String>,
    /// Of the events that wait, those with a higher one go first. 0 where nothing is said.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = -100, maximum = 100)]
    priority: Option<i64>,
}

/// An event that is durable.
#[derive(Serialize, ToSchema)]
struct PublishedEvent {
    id: String,
    /// Whether it was there before, with that name and dedup key.
    duplicate: bool,
}

/// An event, without its data.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublishedEventView)]
struct View {
    id: String,
    name: String,
    /// Who published it: `script`, `api`, `host` or `nats`.
    source: String,
    /// The id of the script that published it.
    #[schema(required)]
    script: Option<String>,
    /// The id of the execution that published it, or of the request or message.
    #[schema(required)]
    execution: Option<String>,
    /// The id of the user for whom it was published.
    #[schema(required)]
    user: Option<String>,
    /// The id of the event whose handler published it.
    #[schema(required)]
    cause: Option<String>,
    /// How many events led to it.
    depth: i64,
    #[schema(required)]
    dedup_key: Option<String>,
    /// When its handlers are to run. Null: at once.
    #[schema(required)]
    deliver_at: Option<Time>,
    occurred_at: Time,
}

impl From<events::Event> for View {
    fn from(event: events::Event) -> View {
        let some = |text: String| (!text.is_empty()).then_some(text);
        View {
            id: event.id,
            name: event.name,
            source: event.source,
            script: some(event.script),
            execution: some(event.execution),
            user: event.user_id,
            cause: event.cause,
            depth: event.depth,
            dedup_key: event.dedup_key,
            deliver_at: event.deliver_at.map(Time),
            occurred_at: Time(event.created_at),
        }
    }
}

/// An event, with what came of it.
#[derive(Serialize, ToSchema)]
struct EventDetails {
    #[serde(flatten)]
    #[schema(inline)]
    view: View,
    #[schema(value_type = serde_json::Value, required)]
    data: Option<Box<RawValue>>,
    /// What is still to be done for it, dead letters included.
    jobs: Vec<Job>,
    /// The attempts to handle it that are on record, the latest first.
    executions: Vec<Attempt>,
}

/// What a script is to do for an event.
#[derive(Serialize, ToSchema)]
#[schema(as = EventJob)]
struct Job {
    id: String,
    /// The script's id.
    script: String,
    /// `waiting`, `delayed`, `blocked`, `running` or `dead`.
    state: String,
    /// Attempts that have begun.
    attempt: i64,
    /// Attempts that there may be.
    attempts: i64,
    run_at: Time,
    /// Why the last attempt failed.
    #[schema(value_type = Option<Object>, required)]
    error: Option<Box<RawValue>>,
}

/// An attempt to handle an event.
#[derive(Serialize, ToSchema)]
#[schema(as = EventExecution)]
struct Attempt {
    id: String,
    /// The script's id.
    script: String,
    /// The job's id.
    #[schema(required)]
    job: Option<String>,
    /// From 1.
    #[schema(required)]
    attempt: Option<i64>,
    status: String,
    started_at: Time,
}

/// JSON of ours.
fn raw(text: String) -> Option<Box<RawValue>> {
    RawValue::from_string(text).ok()
}

/// Publish an event
///
/// Answers once it is durable, with a job for each script that handles it. With
/// a dedup key, publishing it again answers 200 and the first one's id.
#[utoipa::path(post, path = "/api/events", tag = "events", request_body = New,
    responses((status = 202, body = PublishedEvent), (status = 200, body = PublishedEvent)))]
async fn publish(
    State(api): State<Api>,
    Extension(id): Extension<ExecutionId>,
    intended: Option<Extension<Intended>>,
    caller: Caller,
    Body(new): Body<New>,
) -> Result<(StatusCode, AppendHeaders<[(axum::http::HeaderName, String); 1]>, Json<PublishedEvent>), Problem> {
    caller.require(PUBLISH)?;
    let New { name, data, delay, key, dedup_key, priority } = new;
    let data = data.map_or_else(|| "null".to_owned(), |data| data.get().to_owned());
    let new =
        events::New { id: intended.map(|Extension(Intended(id))| id), name, data, delay, key, dedup_key, priority };
    let process = api.host.process();
    let account = process.quotas.account(&caller.tenant);
    let publisher = Publisher::api(&caller.user, &id.0);
    let limits = &api.host.settings().limits;
    let published = process.events.publish(&caller.tenant, limits, &account, publisher, new).await?;
    let status = if published.is_new { StatusCode::ACCEPTED } else { StatusCode::OK };
    let place = format!("/api/events/{}", published.id);
    let body = PublishedEvent { id: published.id, duplicate: !published.is_new };
    Ok((status, AppendHeaders([(LOCATION, place)]), Json(body)))
}

/// Which events to list.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Of that name.
    name: Option<String>,
}

/// List events, the latest first
#[utoipa::path(get, path = "/api/events", tag = "events", params(Wanted, Page),
    responses((status = 200, body = Slice<View>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
    page: Page,
) -> Result<Json<Slice<View>>, Problem> {
    caller.require(READ)?;
    let before: Option<String> = page.after()?;
    let (name, before) = (wanted.name.map(plain), before.map(plain));
    let outbox = &api.host.process().events;
    let found = outbox.list(&caller.tenant, name.as_deref(), before.as_deref(), page.rows()).await?;
    let views = found.into_iter().map(View::from).collect();
    Ok(Json(page.slice(views, |view: &View| view.id.clone())))
}

/// Read an event
///
/// With its data, and what became of it in the scripts that handle it.
#[utoipa::path(get, path = "/api/events/{event}", tag = "events", params(("event" = String, Path, description = "Its id")),
    responses((status = 200, body = EventDetails)))]
async fn read(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> Result<Json<EventDetails>, Problem> {
    caller.require(READ)?;
    let id = plain(id);
    let outbox = &api.host.process().events;
    let mut event = outbox.get(&caller.tenant, &id).await?.ok_or_else(|| Problem::no_such("event of this id"))?;
    let (jobs, attempts) = outbox.handling(&caller.tenant, &id).await?;
    let data = raw(std::mem::take(&mut event.data));
    let job = |job: events::Job| Job {
        id: job.id,
        script: job.script,
        state: job.state,
        attempt: job.attempt,
        attempts: job.attempts,
        run_at: Time(job.run_at),
        error: job.error.and_then(raw),
    };
    let attempt = |attempt: events::Attempt| Attempt {
        id: attempt.id,
        script: attempt.script_id,
        job: attempt.job,
        attempt: attempt.attempt,
        status: attempt.status,
        started_at: Time(attempt.started_at),
    };
    Ok(Json(EventDetails {
        view: event.into(),
        data,
        jobs: jobs.into_iter().map(job).collect(),
        executions: attempts.into_iter().map(attempt).collect(),
    }))
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        let sentence = super::extract::sentence(&refused.to_string());
        match refused {
            Refused::Invalid { field, .. } => Problem::invalid(field, sentence),
            Refused::Reserved(_) => Problem::forbidden("event_reserved", sentence),
            Refused::Limit { limit: Limit::EventBytes, .. } => Problem::too_large(sentence),
            Refused::Limit { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "limit_reached", sentence),
            Refused::Full { .. } => Problem::new(StatusCode::TOO_MANY_REQUESTS, "outbox_full", sentence).retry(),
            Refused::Quota(exceeded) => Problem::quota(&exceeded),
            Refused::Store(reason) => reason.into(),
        }
    }
}
