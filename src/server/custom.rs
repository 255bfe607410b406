//! `/api/custom/*`: the tenants' HTTP scripts.
//!
//! Whose script a request means is decided by its token: a user's tenant and no
//! other. A request without a token reaches public scripts only. Where several
//! tenants have a public script at the path, the header `X-Tenant` says whose;
//! it never leads out of a user's own tenant. What a caller may not see is 401
//! without a token and 404 with one, like what is not there.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::header::{ALLOW, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::auth::Caller;
use super::problem::Problem;
use super::{App, ExecutionId, Invocation, Invoke, Served, request, response, route};
use crate::executions::Origin;
use crate::runtime::limits::Limit;
use crate::runtime::outcome::{Outcome, Status};
use crate::runtime::trace::Parent;
use crate::scripts::Script;
use crate::scripts::shelf::Place;
use crate::tenant::quota::Exceeded;
use crate::tenant::{self, Execution, Identity, Tenant};

const PREFIX: &str = "/api/custom/";
const X_TENANT: &str = "x-tenant";
const TRACEPARENT: &str = "traceparent";

pub async fn serve(State(app): State<Arc<App>>, Extension(id): Extension<ExecutionId>, request: Request) -> Response {
    let mut served = Served::default();
    let answer = answer(&app, id, request, &mut served).await;
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    response.extensions_mut().insert(served);
    response
}

async fn answer(app: &App, id: ExecutionId, request: Request, served: &mut Served) -> Result<Response, Problem> {
    let _permit = app.begin()?;
    let (head, body) = request.into_parts();
    let caller = app.caller(&head.headers).await?;
    let caller = caller.as_ref();
    if let Some(caller) = caller {
        served.tenant.clone_from(&caller.tenant);
        served.user = Some(caller.user.id.clone());
    }
    let below = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let path = route::segments(below)
        .ok_or_else(|| Problem::bad_request("bad_path", "The path's escapes are not UTF-8 text."))?;

    let found = find(app, caller, &head.headers, &path)?;
    served.tenant.clone_from(&found.tenant.id);
    let visible = || found.scripts.iter().filter(|script| caller.is_some() || script.public);
    if head.method == Method::OPTIONS {
        return options(&route::allow(visible()));
    }
    let (script, parameters) = route::of_method(&found.scripts, &head.method, &path)
        .filter(|(script, _)| caller.is_some() || script.public)
        .ok_or_else(|| Problem::method_not_allowed().allow(&route::allow(visible())))?;
    served.script = Some(script.name.clone());
    permit(script, caller)?;
    if !app.scripts_enabled {
        return Err(Problem::unavailable("scripts_disabled", "Scripts are switched off on this host."));
    }

    let identity = Arc::new(identify(found.tenant, caller, script, &id));
    let admission = app.scripts.admit(&found.tenant.id).map_err(|exceeded| {
        note_quota(&identity, &exceeded);
        Problem::quota(&exceeded)
    })?;

    let body = request::read(&head.headers, body, &app.server).await?;
    let input = request::compose(&head.method, &head.uri, &head.headers, &parameters, &body)?;
    drop(body);
    if input.len() as u64 > script.limits.get(Limit::InputBytes) {
        let most = Limit::InputBytes.show(script.limits.get(Limit::InputBytes));
        let setting = Limit::InputBytes.setting();
        return Err(Problem::too_large(format!(
            "The request is larger, as JSON, than the {most} that a script takes; the host's setting {setting} changes the limit."
        )));
    }
    let authority = caller.map(|caller| caller.authority.clone()).unwrap_or_default();
    let parent = head.headers.get(TRACEPARENT).and_then(|value| Parent::parse(value.to_str().ok()?));
    let origin = Origin { trigger: Some("http"), version: script.version, parent, ..Origin::default() };
    let call = Invoke { script: script.clone(), identity: identity.clone(), authority, input, origin };
    let outcome = app.scripts.invoke(call, admission).await.ended(&identity)?;
    write_logs(&identity, &outcome);
    conclude(&identity, &outcome)
}

impl Invocation {
    /// How the script ended; the problem of one that did not begin goes to the log.
    pub fn ended(self, identity: &Identity) -> Result<Box<Outcome>, Problem> {
        let execution_id = &identity.execution.id;
        let (script, tenant_id) = (&identity.script.name, &identity.tenant.id);
        match self {
            Invocation::Ended(outcome) => Ok(outcome),
            Invocation::Busy => {
                tracing::warn!(execution_id, script, tenant_id, "no sandbox was free in time");
                Err(Problem::unavailable("no_sandbox", "No sandbox was free in time.").retry())
            }
            Invocation::Broken(reason) => {
                tracing::error!(execution_id, script, tenant_id, reason, "the script cannot run");
                Err(Problem::internal())
            }
        }
    }
}

/// A call was refused for want of a quota.
pub fn note_quota(identity: &Identity, exceeded: &Exceeded) {
    tracing::warn!(
        execution_id = identity.execution.id,
        tenant_id = identity.tenant.id,
        script = identity.script.name,
        quota = exceeded.quota.name(),
        quota_value = exceeded.value,
        used = exceeded.used,
        setting = exceeded.quota.setting(),
        "a call was refused: its tenant has used up a quota",
    );
}

/// The scripts at a path, and the tenant whose they are.
struct Found<'a> {
    tenant: &'a Tenant,
    /// Not empty. Where nobody calls, at least one is public.
    scripts: Vec<Arc<Script>>,
}

fn find<'a>(app: &'a App, caller: Option<&Caller>, headers: &HeaderMap, path: &[String]) -> Result<Found<'a>, Problem> {
    let mut named = headers.get_all(X_TENANT).iter();
    let (name, more) = (named.next(), named.next());
    if more.is_some() {
        return Err(Problem::bad_request("tenant_ambiguous", "X-Tenant is there more than once."));
    }
    if let Some(caller) = caller {
        // The same answer whether or not there is such a tenant.
        if name.is_some_and(|name| name.as_bytes() != caller.tenant.as_bytes()) {
            return Err(Problem::forbidden("wrong_tenant", "This token is for another tenant than X-Tenant names."));
        }
        let place = app.places.get(&caller.tenant).ok_or_else(Problem::not_found)?;
        let scripts = place.shelf().table.find(path).ok_or_else(Problem::not_found)?.to_vec();
        return Ok(Found { tenant: &place.tenant, scripts });
    }
    let public = |place: &'a Place| {
        let shelf = place.shelf();
        let scripts = shelf.has_public.then(|| shelf.table.find(path)).flatten()?;
        let found = Found { tenant: &place.tenant, scripts: scripts.to_vec() };
        scripts.iter().any(|script| script.public).then_some(found)
    };
    if let Some(name) = name {
        let tenant = name.to_str().ok().and_then(|name| app.places.get(name));
        return tenant.and_then(public).ok_or_else(Problem::unauthorized);
    }
    let mut found = app.places.iter().filter_map(public);
    match (found.next(), found.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => Err(Problem::bad_request(
            "tenant_required",
            "Several tenants have this path; say whose with the header `X-Tenant: <id>`.",
        )),
        (None, _) => Err(Problem::unauthorized()),
    }
}

fn permit(script: &Script, caller: Option<&Caller>) -> Result<(), Problem> {
    let (Some(needed), Some(caller)) = (&script.permission, caller) else { return Ok(()) };
    caller.require(needed)
}

fn options(allow: &str) -> Result<Response, Problem> {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let value = HeaderValue::from_str(allow).map_err(|_| Problem::internal())?;
    response.headers_mut().insert(ALLOW, value);
    Ok(response)
}

pub fn identify(tenant: &Tenant, caller: Option<&Caller>, script: &Script, id: &ExecutionId) -> Identity {
    Identity {
        tenant: tenant.clone(),
        user: caller.map(|caller| caller.user.clone()),
        script: tenant::Script {
            id: script.id.clone(),
            name: script.name.clone(),
            kind: script.kind.name().to_owned(),
            file: script.file.clone(),
        },
        execution: Execution { id: id.0.clone(), triggered_by: "api".to_owned(), cause: None },
    }
}

/// Why a call did not complete.
pub fn note_failure(identity: &Identity, outcome: &Outcome, code: &str) {
    let error = outcome.error.clone().unwrap_or_default();
    let limit = error.limit.as_ref();
    tracing::error!(
        execution_id = identity.execution.id,
        tenant_id = identity.tenant.id,
        script = identity.script.name,
        file = identity.script.file,
        error = error.name,
        reason = error.message,
        line = error.line,
        column = error.column,
        stack = error.stack,
        limit = limit.map(|limit| limit.name.as_str()),
        limit_value = limit.map(|limit| limit.value),
        used = limit.map(|limit| limit.used),
        setting = limit.map(|limit| limit.setting.as_str()),
        duration_ms = outcome.duration.as_millis() as u64,
        fuel = outcome.fuel,
        memory_bytes = outcome.memory_bytes,
        "the script did not complete: {code}",
    );
}

fn conclude(identity: &Identity, outcome: &Outcome) -> Result<Response, Problem> {
    let failed = |code, status: StatusCode, detail: &str| {
        note_failure(identity, outcome, code);
        Err(Problem::new(status, code, detail))
    };
    let internal = StatusCode::INTERNAL_SERVER_ERROR;
    match outcome.status {
        Status::Completed => response::compose(outcome.result.as_deref()).map_err(|reason| {
            tracing::error!(
                execution_id = identity.execution.id,
                tenant_id = identity.tenant.id,
                script = identity.script.name,
                reason,
                "the script returned no sound response",
            );
            Problem::new(internal, "bad_response", "The script's answer is not a valid response.")
        }),
        Status::Failed => failed("script_failed", internal, "The script failed."),
        Status::Timeout => failed("script_timeout", StatusCode::GATEWAY_TIMEOUT, "The script did not end in time."),
        Status::Limit => failed("limit_reached", internal, "The script reached one of its limits."),
        Status::Cancelled => failed("script_cancelled", StatusCode::SERVICE_UNAVAILABLE, "The script was stopped."),
    }
}

/// The script's log lines, one event each, at the level they were written at.
pub fn write_logs(identity: &Identity, outcome: &Outcome) {
    #[derive(serde::Deserialize)]
    struct Line {
        #[serde(default)]
        level: String,
        #[serde(default)]
        message: String,
    }
    for line in &outcome.logs {
        let Line { level, message } =
            serde_json::from_str(line.get()).unwrap_or(Line { level: String::new(), message: String::new() });
        macro_rules! event {
            ($level:ident) => {
                tracing::$level!(
                    target: "airlock::script",
                    execution_id = identity.execution.id,
                    tenant_id = identity.tenant.id,
                    script = identity.script.name,
                    line = line.get(),
                    "{message}",
                )
            };
        }
        match level.as_str() {
            "error" => event!(error),
            "warn" => event!(warn),
            "debug" => event!(debug),
            _ => event!(info),
        }
    }
}
