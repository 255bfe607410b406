//! `/api/jobs`: what scripts are to do, and what was given up.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Caller, Page, Path, Problem, Query, Slice, Time};
use crate::queue::{self, Changed, Filter, Trigger};
use crate::store::plain;

const READ: &str = "Job.Read";
const MANAGE: &str = "Job.Manage";

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read, remove)).routes(routes!(replay))
}

/// Something that a script is to do. What is done is in the executions.
#[derive(Debug, Serialize, ToSchema)]
struct Job {
    id: String,
    /// The script's id.
    script: String,
    /// Null for a script of the settings, and where it is the one that is
    /// deployed by then.
    #[schema(required)]
    version: Option<i64>,
    /// The function to call, where it is not the script's own.
    #[schema(required)]
    entry: Option<String>,
    trigger: Trigger,
    /// The id of the event that caused it.
    #[schema(required)]
    event: Option<String>,
    /// The id of the user that it runs as; null is the script's service account.
    #[schema(required)]
    user: Option<String>,
    state: queue::State,
    /// The higher, the earlier.
    priority: i64,
    /// Not before.
    run_at: Time,
    /// Jobs of the script with the same key run one after the other.
    #[schema(required)]
    order_key: Option<String>,
    /// There is one job of the tenant with this key.
    #[schema(required)]
    dedup_key: Option<String>,
    /// Attempts that have begun.
    attempt: i64,
    /// At most.
    attempts: i64,
    /// Why the last one failed.
    #[schema(required, value_type = Option<JobError>)]
    error: Option<Box<RawValue>>,
    created_at: Time,
    /// Since when it is in its state.
    changed_at: Time,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "only the document uses it")]
struct JobError {
    name: String,
    message: String,
    /// False where the script threw it so; else it is not there.
    retry: Option<bool>,
}

impl From<queue::Job> for Job {
    fn from(job: queue::Job) -> Job {
        Job {
            user: job.user(),
            id: job.id,
            script: job.script,
            version: job.version,
            entry: job.entry,
            trigger: job.triggered_by,
            event: job.cause,
            state: job.state,
            priority: job.priority,
            run_at: Time(job.run_at),
            order_key: job.order_key,
            dedup_key: job.dedup_key,
            attempt: job.attempt,
            attempts: job.attempts,
            error: job.error.and_then(|error| RawValue::from_string(error).ok()),
            created_at: Time(job.created_at),
            changed_at: Time(job.changed_at),
        }
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// The script's id.
    script: Option<String>,
    /// `dead` are the dead letters.
    state: Option<queue::State>,
    trigger: Option<Trigger>,
    /// The id of the event that caused it.
    event: Option<String>,
}

/// List jobs that are not done, the latest first
#[utoipa::path(get, path = "/api/jobs", tag = "jobs", params(Wanted, Page),
    responses((status = 200, body = Slice<Job>)))]
async fn list(
    caller: Caller,
    State(api): State<Api>,
    Query(wanted): Query<Wanted>,
    page: Page,
) -> Result<Json<Slice<Job>>, Problem> {
    caller.require(READ)?;
    let Wanted { script, state, trigger, event } = wanted;
    let filter = Filter { script: script.map(plain), state, trigger, cause: event.map(plain) };
    let after: Option<String> = page.after()?;
    let found = api.host.queue().list(&caller.tenant, filter, after.map(plain), page.rows()).await?;
    let items = found.into_iter().map(Job::from).collect();
    Ok(Json(page.slice(items, |last: &Job| last.id.clone())))
}

/// Look at a job that is not done
#[utoipa::path(get, path = "/api/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = Job)))]
async fn read(caller: Caller, State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Job>, Problem> {
    caller.require(READ)?;
    let found = api.host.queue().get(&caller.tenant, &plain(id)).await?;
    found.map(|found| Json(found.into())).ok_or_else(|| Problem::no_such("job of this id that is not done"))
}

/// Take back a job that has not begun, or discard a dead letter
#[utoipa::path(delete, path = "/api/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 204, description = "It is gone."),
        (status = 409, description = "It runs; its execution can be stopped.")))]
async fn remove(caller: Caller, State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    caller.require(MANAGE)?;
    let id = plain(id);
    match api.host.queue().remove(&caller.tenant, &id).await? {
        Changed::Done => {
            tracing::info!(job = id, tenant_id = caller.tenant, user_id = caller.user.id, "a job was taken back");
            Ok(StatusCode::NO_CONTENT)
        }
        Changed::Not(_) => {
            let detail = "The job runs: stop its execution instead, or wait for its end.";
            Err(Problem::new(StatusCode::CONFLICT, "job_running", detail))
        }
        Changed::Unknown => Err(Problem::no_such("job of this id that is not done")),
    }
}

/// Try a dead letter again
///
/// At once, and as often as the host's settings say.
#[utoipa::path(post, path = "/api/jobs/{id}/replay", tag = "jobs", params(("id" = String, Path)),
    responses((status = 202, description = "It waits for its turn."),
        (status = 409, description = "It is no dead letter.")))]
async fn replay(caller: Caller, State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    caller.require(MANAGE)?;
    let id = plain(id);
    let attempts = i64::from(api.host.settings().queue.attempts);
    match api.host.queue().replay(&caller.tenant, &id, attempts).await? {
        Changed::Done => {
            tracing::info!(job = id, tenant_id = caller.tenant, user_id = caller.user.id, "a dead letter is replayed");
            Ok(StatusCode::ACCEPTED)
        }
        Changed::Not(state) => {
            let detail = format!("Only a dead letter can be replayed, and this job is {state}.");
            Err(Problem::new(StatusCode::CONFLICT, "job_not_dead", detail))
        }
        Changed::Unknown => Err(Problem::no_such("job of this id that is not done")),
    }
}

impl From<queue::Refused> for Problem {
    fn from(refused: queue::Refused) -> Problem {
        match refused {
            queue::Refused::Quota(exceeded) => Problem::quota(&exceeded),
            queue::Refused::Store(reason) => reason.into(),
        }
    }
}
