//! `/api/scripts/{script}/invoke` and `/run`: what starts scripts from outside.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, FromRequest, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use chrono::DateTime;
use futures_util::TryFutureExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::whole;
use super::idempotency::{Confidential, Intended};
use super::{Api, Body, Caller, Path, Problem};
use crate::executions::Origin;
use crate::queue::{self, NewJob, Trigger};
use crate::runtime::limits::Limit;
use crate::runtime::outcome::{Outcome, ScriptError, Status};
use crate::scripts::Script;
use crate::scripts::draft::is_word;
use crate::server::custom::{identify, note_failure, note_quota, write_logs};
use crate::server::{ExecutionId, Invoke, request};
use crate::settings::MAX_ATTEMPTS;
use crate::store::clock::Millis;
use crate::tenant::quota::Admission;

/// The route that runs a script.
pub const RUN: &str = "/api/scripts/{script}/run";

/// Enough for any order that people can keep in mind.
const MAX_PRIORITY: i64 = 100;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(invoke)).routes(routes!(run))
}

/// A body that is the argument of a function: JSON, or nothing.
struct Argument(String);

impl FromRequest<Api> for Argument {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Argument, Problem> {
        let (head, body) = request.into_parts();
        let bytes: Bytes = request::read(&head.headers, body, &api.app.server).await?;
        if bytes.is_empty() {
            return Ok(Argument("null".to_owned()));
        }
        super::extract::require_json(&head.headers)?;
        let not_text = |_| Problem::bad_request("body_not_json", "The body is not JSON: it is not UTF-8 text.");
        let text = std::str::from_utf8(&bytes).map_err(not_text)?;
        Ok(Argument(request::json(text)?.get().to_owned()))
    }
}

/// Call a script and wait for what it returns
///
/// The body is the function's argument, the answer what it returns.
#[utoipa::path(post, path = "/api/scripts/{script}/invoke", tag = "calls",
    params(("script" = String, Path, description = "Its id or its name")),
    request_body(content = serde_json::Value, description = "The argument"),
    responses((status = 200, body = serde_json::Value, description = "What the function returned")))]
async fn invoke(
    State(api): State<Api>,
    Extension(id): Extension<ExecutionId>,
    caller: Caller,
    Path(named): Path<String>,
    Argument(input): Argument,
) -> Result<Response, Problem> {
    caller.require("Script.Execute")?;
    let call = Prepared::new(&api, &caller, deployed(&api, &caller, &named).await?, input, &id)?;
    let outcome = call.complete(&api).await?;
    match (outcome.status, outcome.result) {
        (Status::Completed, result) => {
            let body = result.map_or_else(|| "null".to_owned(), |result| result.get().to_owned());
            let answer = ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response();
            Ok(guarded(answer, outcome.shows_secret))
        }
        (Status::Timeout, _) => {
            Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, code(Status::Timeout), "The script did not end in time."))
        }
        (Status::Cancelled, _) => Err(Problem::unavailable(code(Status::Cancelled), "The script was stopped.")),
        (status, _) => {
            let detail = match status {
                Status::Limit => "The script reached one of its limits.",
                _ => "The script failed.",
            };
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code(status), detail);
            // As much as the execution would tell the caller.
            let error = outcome.error.filter(|_| caller.may("Script.Execution.Read"));
            Err(error.into_iter().fold(problem, |problem, error| {
                problem.member("error", serde_json::to_value(error).unwrap_or_default())
            }))
        }
    }
}

/// Keeps an answer that shows a secret out of the database.
fn guarded(mut answer: Response, shows_secret: bool) -> Response {
    if shows_secret {
        answer.extensions_mut().insert(Confidential);
    }
    answer
}

fn code(status: Status) -> &'static str {
    match status {
        Status::Timeout => "script_timeout",
        Status::Limit => "limit_reached",
        Status::Cancelled => "script_cancelled",
        Status::Completed | Status::Failed => "script_failed",
    }
}

/// What running a script takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRun)]
struct New {
    /// The function's argument.
    #[serde(default)]
    #[schema(value_type = Option<serde_json::Value>)]
    input: Option<Box<RawValue>>,
    /// A version that is not deployed, for a trial. Null: the one that is. One
    /// that may reach more than that needs `Script.Grant`.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1)]
    version: Option<i64>,
    /// The function to call, where it is not the script's own.
    #[serde(default)]
    #[schema(max_length = 200, pattern = r"^[^\s\u0000-\u001F\u007F-\u009F]+$")]
    entry: Option<String>,
    /// Whether to wait for the end: yes, where nothing says otherwise.
    #[serde(default)]
    wait: Option<bool>,
    /// When to run it, as `2026-01-05T09:30:00Z`; then nothing waits for it.
    #[serde(default)]
    #[schema(format = DateTime)]
    at: Option<String>,
    /// How often it is tried if it fails, where nothing waits for it: once, if
    /// nothing is said.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 100)]
    attempts: Option<i64>,
    /// The higher, the earlier, of what nothing waits for: 0, if nothing is said.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = -100, maximum = 100)]
    priority: Option<i64>,
}

impl New {
    /// As which job it is queued. None: somebody waits for it.
    fn queued(&self) -> Result<Option<Queued>, Problem> {
        if self.entry.as_deref().is_some_and(|entry| !is_word(entry)) {
            return Err(Problem::invalid("entry", "This is not the name of a function."));
        }
        let run_at = self.at.as_deref().map(|text| {
            let time = DateTime::parse_from_rfc3339(text);
            time.map_err(|_| Problem::invalid("at", "`at` is a time such as `2026-01-05T09:30:00Z`."))
        });
        let run_at = run_at.transpose()?.map(|time| time.timestamp_millis());
        let wait = self.wait.unwrap_or(run_at.is_none());
        if wait && run_at.is_some() {
            return Err(Problem::invalid("wait", "What runs at a time is not waited for: leave out `wait` or `at`."));
        }
        if wait && (self.attempts.is_some() || self.priority.is_some()) {
            return Err(Problem::invalid("wait", "`attempts` and `priority` are for what is not waited for."));
        }
        let attempts = self.attempts.unwrap_or(1);
        if !(1..=MAX_ATTEMPTS as i64).contains(&attempts) {
            return Err(Problem::invalid("attempts", format!("`attempts` is a number from 1 to {MAX_ATTEMPTS}.")));
        }
        let priority = self.priority.unwrap_or_default();
        if !(-MAX_PRIORITY..=MAX_PRIORITY).contains(&priority) {
            let detail = format!("`priority` is a number from -{MAX_PRIORITY} to {MAX_PRIORITY}.");
            return Err(Problem::invalid("priority", detail));
        }
        Ok((!wait).then_some(Queued { run_at, attempts, priority }))
    }
}

/// Whether the body of a run asks for a job. One that is refused asks for none.
pub fn is_queued(body: &[u8]) -> bool {
    serde_json::from_slice::<New>(body).is_ok_and(|new| matches!(new.queued(), Ok(Some(_))))
}

/// How a run is queued that nobody waits for.
struct Queued {
    run_at: Option<Millis>,
    attempts: i64,
    priority: i64,
}

/// A run that has ended.
#[derive(Serialize, ToSchema)]
#[schema(as = Run)]
struct Ended {
    /// The execution's id.
    id: String,
    /// The script's id.
    script: String,
    /// Null for a script of the settings.
    #[schema(required)]
    version: Option<i64>,
    /// `completed`, `failed`, `timeout`, `limit` or `cancelled`.
    #[schema(value_type = String)]
    status: Status,
    /// What the function returned.
    #[schema(value_type = serde_json::Value, required)]
    result: Option<Box<RawValue>>,
    #[schema(value_type = Option<Object>, required)]
    error: Option<ScriptError>,
    /// One object a line.
    #[schema(value_type = Vec<Object>)]
    logs: Vec<Box<RawValue>>,
    fuel: u64,
    duration_ms: f64,
    memory_bytes: u64,
    host_calls: u64,
}

/// A run that will be, whatever happens to the host.
#[derive(Serialize, ToSchema)]
#[schema(as = Accepted)]
struct Accepted {
    /// The job's id, and that of its first execution.
    id: String,
}

/// Run a script, deployed or for a trial
///
/// Answers how it ended. With `Accept: text/event-stream`, answers server-sent events: `progress` as often as
/// the script says how far it is, `end` with how it ended, or `problem`. With `wait: false` or `at`, answers at once the id of a job, which its
/// first execution has too.
#[utoipa::path(post, path = "/api/scripts/{script}/run", tag = "calls", request_body = New,
    params(("script" = String, Path, description = "Its id or its name")),
    responses((status = 200, body = Ended), (status = 202, body = Accepted)))]
async fn run(
    State(api): State<Api>,
    Extension(id): Extension<ExecutionId>,
    intended: Option<Extension<Intended>>,
    caller: Caller,
    Path(named): Path<String>,
    headers: HeaderMap,
    Body(new): Body<New>,
) -> Result<Response, Problem> {
    caller.require("Script.Execute")?;
    let queued = new.queued()?;
    let script = match new.version {
        None => deployed(&api, &caller, &named).await?,
        Some(version) => {
            let may_grant = caller.may(super::scripts::GRANT);
            super::scripts::require_stored(&api, &caller, &named)?;
            api.host.library().trial(&caller.tenant, &named, version, may_grant).await?
        }
    };
    let input = new.input.map_or_else(|| "null".to_owned(), |input| input.get().to_owned());
    if let Some(Queued { run_at, attempts, priority }) = queued {
        check(&api, &script, &input)?;
        let trigger = if run_at.is_some() { Trigger::OneOff } else { Trigger::Api };
        let id = intended.map_or(id.0, |Extension(Intended(id))| id.to_string());
        let job = NewJob {
            id: Some(id.clone()),
            entry: new.entry,
            // What runs now is what is deployed now.
            version: new.version.or(script.version.filter(|_| run_at.is_none())),
            input: Some(input),
            caller: Some(queue::Caller::new(&caller.user, &caller.authority)),
            priority,
            run_at,
            attempts,
            ..NewJob::new(script.id.clone(), trigger)
        };
        let account = api.host.process().quotas.account(&caller.tenant);
        api.host.queue().add(account, vec![job]).await?;
        let place = format!("/api/executions/{id}");
        let accepted = Accepted { id };
        return Ok((StatusCode::ACCEPTED, AppendHeaders([(LOCATION, place)]), Json(accepted)).into_response());
    }
    let script = match new.entry {
        None => script,
        entry => Arc::new(Script { entry, ..Script::clone(&script) }),
    };
    let version = script.version;
    let script_id = script.id.clone();
    let call = Prepared::new(&api, &caller, script, input, &id)?;
    let progress = call.call.origin.progress.clone();
    let alive = super::executions::sign_of_life(&api);
    let ended = async move {
        let outcome = call.complete(&api).await?;
        let shows_secret = outcome.shows_secret;
        let ended = Ended {
            id: id.0,
            script: script_id,
            version,
            status: outcome.status,
            result: outcome.result,
            error: outcome.error,
            logs: outcome.logs,
            fuel: outcome.fuel,
            duration_ms: (outcome.duration.as_secs_f64() * 1e6).round() / 1e3,
            memory_bytes: outcome.memory_bytes,
            host_calls: outcome.host_calls,
        };
        Ok((ended, shows_secret))
    };
    let wanted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).map(request::essence);
    // What is kept for who asks again is the end alone.
    if wanted.as_deref() == Some("text/event-stream") && !headers.contains_key("idempotency-key") {
        return Ok(super::live::follow(alive, progress, ended.map_ok(|(ended, _)| ended)));
    }
    let (ended, shows_secret) = ended.await?;
    Ok(guarded(Json(ended).into_response(), shows_secret))
}

/// A script that calls run now.
pub(super) async fn deployed(api: &Api, caller: &Caller, named: &str) -> Result<Arc<Script>, Problem> {
    let place = api.host.places().get(&caller.tenant).ok_or_else(Problem::not_found)?;
    let Some(script) = place.shelf().get(named).cloned() else {
        // There, but nothing to run.
        api.host.library().get(&caller.tenant, named).await?;
        let detail = "No version of this script is deployed.";
        return Err(Problem::new(StatusCode::CONFLICT, "not_deployed", detail));
    };
    if !script.enabled {
        return Err(Problem::new(StatusCode::CONFLICT, "script_disabled", "This script is disabled."));
    }
    Ok(script)
}

/// Refuses what no script would be called with.
fn check(api: &Api, script: &Script, input: &str) -> Result<(), Problem> {
    if !api.app.scripts_enabled {
        return Err(Problem::unavailable("scripts_disabled", "Scripts are switched off on this host."));
    }
    let most = script.limits.get(Limit::InputBytes);
    if input.len() as u64 > most {
        let most = Limit::InputBytes.show(most);
        return Err(Problem::too_large(format!("The argument is larger than the {most} that a script takes.")));
    }
    Ok(())
}

/// A call that was let in.
struct Prepared {
    call: Invoke,
    admission: Admission,
}

impl Prepared {
    fn new(
        api: &Api,
        caller: &Caller,
        script: Arc<Script>,
        input: String,
        id: &ExecutionId,
    ) -> Result<Prepared, Problem> {
        check(api, &script, &input)?;
        let place = api.host.places().get(&caller.tenant).ok_or_else(Problem::not_found)?;
        let identity = identify(&place.tenant, Some(caller), &script, id);
        let admission = api.app.scripts.admit(&caller.tenant).map_err(|exceeded| {
            note_quota(&identity, &exceeded);
            Problem::quota(&exceeded)
        })?;
        let authority = caller.authority.clone();
        let origin = Origin { version: script.version, ..Origin::default() };
        Ok(Prepared { call: Invoke { script, identity: Arc::new(identity), authority, input, origin }, admission })
    }

    async fn complete(self, api: &Api) -> Result<Outcome, Problem> {
        let Prepared { call, admission } = self;
        let identity = call.identity.clone();
        let invocation = api.app.scripts.invoke(call, admission).await;
        let outcome = *invocation.ended(&identity)?;
        write_logs(&identity, &outcome);
        if outcome.status != Status::Completed {
            note_failure(&identity, &outcome, code(outcome.status));
        }
        Ok(outcome)
    }
}
