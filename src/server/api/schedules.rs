//! `/api/schedules`: scripts that run by the clock, and the times that they did.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{AppendHeaders, IntoResponse};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::idempotency::Intended;
use super::{Api, Caller, Page, Path, Problem, Slice, Time};
use crate::queue;
use crate::scripts::Refused;
use crate::triggers::schedules::policy::Reason;
use crate::triggers::schedules::{self, Cron, Listed};

/// Ticks to come that are shown.
const NEXT: usize = 5;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(ticks))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(run))
}

/// A script's schedule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Schedule)]
struct View {
    /// The script's id.
    id: String,
    /// The script's name.
    name: String,
    cron: Cron,
    /// `active`, `paused`, or `off`: the script is disabled, or has no deployed
    /// version.
    state: &'static str,
    /// The next ticks, while it is active.
    next: Vec<Time>,
    /// What becomes of the ticks up to then is decided.
    settled_to: Time,
    /// The last tick. Null: there was none, or none is on record.
    #[schema(required)]
    last: Option<Tick>,
}

/// A time that a schedule has named.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tick)]
struct Tick {
    tick: Time,
    /// `queued`, `caught_up`: queued long after its time, `missed`: no host was
    /// there, or `skipped`.
    status: String,
    /// Why it does not run, for programs.
    #[schema(required)]
    reason: Option<String>,
    /// The same for people.
    #[schema(required)]
    detail: Option<&'static str>,
    /// When that was decided.
    settled_at: Time,
    /// Null: it does not run.
    #[schema(required)]
    run: Option<Run>,
}

/// The run of a tick.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TickRun)]
struct Run {
    /// The job's id.
    job: String,
    /// `waiting`, `delayed`, `blocked`, `running`, `dead` or `done`.
    state: String,
    /// The last attempt. Null: there was none, or none is on record.
    #[schema(required)]
    execution: Option<Attempt>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TickExecution)]
struct Attempt {
    /// The execution's id.
    id: String,
    /// Counts from 1.
    attempt: i64,
    status: String,
    started_at: Time,
    #[schema(required)]
    ended_at: Option<Time>,
}

impl View {
    fn new(listed: Listed, api: &Api) -> View {
        let Listed { script, name, state, last } = listed;
        let next = state.next(api.host.now(), NEXT).into_iter().map(Time).collect();
        View {
            id: script,
            name,
            state: match (state.enabled, state.paused) {
                (false, _) => "off",
                (true, true) => "paused",
                (true, false) => "active",
            },
            cron: state.cron,
            next,
            settled_to: Time(state.settled_to),
            last: last.map(Tick::from),
        }
    }
}

impl From<schedules::Tick> for Tick {
    fn from(tick: schedules::Tick) -> Tick {
        let attempt = tick.execution.zip(tick.attempt).zip(tick.status).zip(tick.started_at);
        let execution = attempt.map(|(((id, attempt), status), started_at)| Attempt {
            id,
            attempt,
            status,
            started_at: Time(started_at),
            ended_at: tick.ended_at.map(Time),
        });
        let state = tick.job_state.unwrap_or_else(|| "done".to_owned());
        Tick {
            tick: Time(tick.tick),
            status: tick.fate,
            detail: tick.reason.as_deref().and_then(Reason::named).map(Reason::sentence),
            reason: tick.reason,
            settled_at: Time(tick.settled_at),
            run: tick.job.map(|job| Run { job, state, execution }),
        }
    }
}

async fn get(api: &Api, caller: &Caller, named: &str) -> Result<Listed, Problem> {
    api.host.schedules().get(&caller.tenant, named).await.map_err(refused)
}

fn refused(refused: Refused) -> Problem {
    match refused {
        Refused::NotFound => Problem::no_such("scheduled script of this id or name"),
        other => other.into(),
    }
}

/// List the schedules, with their next and last ticks
#[utoipa::path(get, path = "/api/schedules", tag = "schedules", params(Page),
    responses((status = 200, body = Slice<View>)))]
async fn list(State(api): State<Api>, caller: Caller, page: Page) -> Result<Json<Slice<View>>, Problem> {
    caller.require("Script.Read")?;
    let after: String = page.after()?.unwrap_or_default();
    let found = api.host.schedules().list(&caller.tenant, &after, page.rows()).await?;
    let views = found.into_iter().map(|listed| View::new(listed, &api)).collect();
    Ok(Json(page.slice(views, |view: &View| view.name.clone())))
}

/// Read a script's schedule
#[utoipa::path(get, path = "/api/schedules/{script}", tag = "schedules",
    params(("script" = String, Path, description = "The script's id or its name")),
    responses((status = 200, body = View)))]
async fn read(State(api): State<Api>, caller: Caller, Path(named): Path<String>) -> Result<Json<View>, Problem> {
    caller.require("Script.Read")?;
    let listed = get(&api, &caller, &named).await?;
    Ok(Json(View::new(listed, &api)))
}

/// List the ticks of a schedule, the latest first
#[utoipa::path(get, path = "/api/schedules/{script}/ticks", tag = "schedules",
    params(Page, ("script" = String, Path, description = "The script's id or its name")),
    responses((status = 200, body = Slice<Tick>)))]
async fn ticks(
    State(api): State<Api>,
    caller: Caller,
    Path(named): Path<String>,
    page: Page,
) -> Result<Json<Slice<Tick>>, Problem> {
    caller.require("Script.Read")?;
    let before = page.after()?.unwrap_or(i64::MAX);
    let schedules = api.host.schedules();
    let script = get(&api, &caller, &named).await?.script;
    let found = schedules.ticks(&caller.tenant, &script, before, page.rows()).await?;
    let views = found.into_iter().map(Tick::from).collect();
    Ok(Json(page.slice(views, |view: &Tick| view.tick.0)))
}

/// Let a schedule rest
///
/// What it names meanwhile is no tick, and is not caught up.
#[utoipa::path(post, path = "/api/schedules/{script}/pause", tag = "schedules",
    params(("script" = String, Path, description = "The script's id or its name")),
    responses((status = 200, body = View)))]
async fn pause(State(api): State<Api>, caller: Caller, Path(named): Path<String>) -> Result<Json<View>, Problem> {
    rest(&api, &caller, &named, true).await
}

/// Wake a schedule
#[utoipa::path(post, path = "/api/schedules/{script}/resume", tag = "schedules",
    params(("script" = String, Path, description = "The script's id or its name")),
    responses((status = 200, body = View)))]
async fn resume(State(api): State<Api>, caller: Caller, Path(named): Path<String>) -> Result<Json<View>, Problem> {
    rest(&api, &caller, &named, false).await
}

async fn rest(api: &Api, caller: &Caller, named: &str, paused: bool) -> Result<Json<View>, Problem> {
    caller.require("Script.Update")?;
    let listed = api.host.schedules().pause(&caller.tenant, named, paused).await.map_err(refused)?;
    Ok(Json(View::new(listed, api)))
}

/// A run that was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScheduleRun)]
struct Asked {
    /// The job's id, which its first execution has as well.
    id: String,
}

/// Run a scheduled script once, now
///
/// It runs as the caller, whatever else of it runs.
#[utoipa::path(post, path = "/api/schedules/{script}/run", tag = "schedules",
    params(("script" = String, Path, description = "The script's id or its name")),
    responses((status = 202, body = Asked)))]
async fn run(
    State(api): State<Api>,
    caller: Caller,
    Intended(id): Intended,
    Path(named): Path<String>,
) -> Result<impl IntoResponse + use<>, Problem> {
    caller.require("Script.Execute")?;
    let listed = get(&api, &caller, &named).await?;
    super::calls::deployed(&api, &caller, &listed.script).await?;
    let asks = queue::Caller::new(&caller.user, &caller.authority);
    let id = id.to_string();
    api.host.schedules().run_now(&caller.tenant, &listed, &id, asks).await?;
    let place = format!("/api/executions/{id}");
    Ok((StatusCode::ACCEPTED, AppendHeaders([(LOCATION, place)]), Json(Asked { id })))
}
