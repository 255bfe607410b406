//! `/api/scripts`: what scripts there are, and what is set on them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{AppendHeaders, IntoResponse};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::idempotency::Intended;
use super::{Api, Body, Caller, Page, Path, Problem, Slice, Time};
use crate::compile::CompileError;
use crate::runtime::limits::Limit;
use crate::scripts::draft::{Http, OwnLimits};
use crate::scripts::{Consent, Draft, Refused, Script, Stored};

/// What lets a caller give scripts more to reach.
pub const GRANT: &str = "Script.Grant";

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update, delete))
        .routes(routes!(enable))
        .routes(routes!(disable))
}

/// A script.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Script)]
pub struct View {
    /// A UUID; the name, for one of the settings.
    id: String,
    #[serde(flatten)]
    draft: Draft,
    origin: Origin,
    /// Whether calls are let through.
    enabled: bool,
    /// The number of the version that calls run. Null: none was deployed.
    #[schema(required)]
    deployed: Option<i64>,
    /// The number of the last version. Null: there is none.
    #[schema(required)]
    latest: Option<i64>,
    #[schema(required)]
    created_at: Option<Time>,
    #[schema(required)]
    updated_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Origin {
    /// In the host's database; managed here.
    Stored,
    /// In the operator's settings; only read here.
    Settings,
}

impl From<Stored> for View {
    fn from(stored: Stored) -> View {
        let Stored { id, draft, enabled, deployed, latest, created_at, updated_at } = stored;
        View {
            id,
            draft,
            origin: Origin::Stored,
            enabled,
            deployed,
            latest: Some(latest).filter(|latest| *latest > 0),
            created_at: Some(Time(created_at)),
            updated_at: Some(Time(updated_at)),
        }
    }
}

impl From<&Script> for View {
    fn from(script: &Script) -> View {
        let limit = |limit: Limit| Some(limit.show(script.limits.get(limit)));
        let http = script.route.as_ref().map(|route| Http {
            path: Some(route.pattern.to_string()),
            methods: Some(route.methods.iter().map(ToString::to_string).collect()),
            permission: script.permission.clone(),
            public: script.public && script.webhook.is_none(),
            webhook: script.webhook.as_ref().map(|rule| rule.written.clone()),
        });
        let draft = Draft {
            name: script.name.clone(),
            kind: script.kind,
            description: String::new(),
            entry: script.entry.clone(),
            run_as: script.run_as.clone(),
            limits: OwnLimits {
                timeout: limit(Limit::Timeout),
                memory: limit(Limit::Memory),
                fuel: Some(script.limits.fuel).filter(|fuel| *fuel > 0),
            },
            grants: script.grants.clone(),
            http,
            cron: script.cron.clone(),
            event: None,
        };
        View {
            id: script.id.clone(),
            draft,
            origin: Origin::Settings,
            enabled: script.enabled,
            deployed: None,
            latest: None,
            created_at: None,
            updated_at: None,
        }
    }
}

/// List scripts, in the order of their names
#[utoipa::path(get, path = "/api/scripts", tag = "scripts", params(Page), responses((status = 200, body = Slice<View>)))]
async fn list(State(api): State<Api>, caller: Caller, page: Page) -> Result<Json<Slice<View>>, Problem> {
    caller.require("Script.Read")?;
    let after: String = page.after()?.unwrap_or_default();
    let stored = api.host.library().list(&caller.tenant, &after, page.rows()).await?;
    let mut views: Vec<View> = stored.into_iter().map(View::from).collect();
    let own = api.host.places().get(&caller.tenant).into_iter().flat_map(|place| place.own());
    views.extend(own.filter(|script| script.name > after).map(|script| View::from(&**script)));
    views.sort_by(|one, other| one.draft.name.cmp(&other.draft.name));
    Ok(Json(page.slice(views, |view| view.draft.name.clone())))
}

/// Add a script, without a version yet
///
/// What it may reach beyond what its versions declare needs the permission
/// `Script.Grant` when a version is deployed; `run_as` and `http.webhook` need it now.
#[utoipa::path(post, path = "/api/scripts", tag = "scripts", request_body = Draft,
    responses((status = 201, body = View)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Intended(id): Intended,
    Body(draft): Body<Draft>,
) -> Result<impl IntoResponse + use<>, Problem> {
    caller.require("Script.Create")?;
    let script = api.host.library().create(&caller.tenant, id, draft, caller.may(GRANT)).await?;
    let place = format!("/api/scripts/{}", script.id);
    Ok((StatusCode::CREATED, AppendHeaders([(LOCATION, place)]), Json(View::from(script))))
}

/// Read a script
#[utoipa::path(get, path = "/api/scripts/{script}", tag = "scripts",
    params(("script" = String, Path, description = "Its id or its name")), responses((status = 200, body = View)))]
async fn read(State(api): State<Api>, caller: Caller, Path(named): Path<String>) -> Result<Json<View>, Problem> {
    caller.require("Script.Read")?;
    if let Some(script) = of_settings(&api, &caller, &named) {
        return Ok(Json(View::from(&*script)));
    }
    Ok(Json(api.host.library().get(&caller.tenant, &named).await?.into()))
}

/// What is to be different; the rest stays. Null takes away what is set.
#[derive(ToSchema)]
#[schema(as = ScriptChange)]
#[expect(dead_code, reason = "only the document uses it")]
struct Change {
    #[schema(max_length = 100, pattern = r"^[\p{L}\p{M}\p{N}][\p{L}\p{M}\p{N} ._-]*$")]
    name: Option<String>,
    #[schema(max_length = 2000, pattern = r"^[^\u0000]*$")]
    description: Option<String>,
    #[schema(max_length = 200, pattern = r"^[^\s\u0000-\u001F\u007F-\u009F]+$")]
    entry: Option<String>,
    #[schema(max_length = 512, pattern = r"^[^\u0000-\u001F\u007F-\u009F]+$")]
    run_as: Option<String>,
    limits: Option<OwnLimits>,
    #[schema(value_type = Option<crate::capabilities::grant::Shown>)]
    grants: Option<crate::capabilities::grant::Lists>,
    http: Option<Http>,
    cron: Option<crate::triggers::schedules::Cron>,
    event: Option<crate::triggers::events::Subscription>,
    /// That the deployed version may reach more by it. Needs `Script.Grant`.
    confirm_capabilities: Option<bool>,
}

/// Change what is set on a script
///
/// The body is a JSON merge patch (RFC 7396).
#[utoipa::path(patch, path = "/api/scripts/{script}", tag = "scripts", request_body = Change,
    params(("script" = String, Path, description = "Its id or its name")), responses((status = 200, body = View)))]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(named): Path<String>,
    Body(mut change): Body<Map<String, Value>>,
) -> Result<Json<View>, Problem> {
    caller.require("Script.Update")?;
    require_stored(&api, &caller, &named)?;
    let agrees = match change.remove("confirm_capabilities") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(agrees)) => agrees,
        Some(_) => return Err(Problem::invalid("confirm_capabilities", "This is true or false.")),
    };
    let consent = Consent::new(agrees, caller.may(GRANT));
    let merged = |draft: &Draft| {
        let mut whole = serde_json::to_value(draft).unwrap_or_default();
        merge(&mut whole, Value::Object(change));
        serde_path_to_error::deserialize(whole).map_err(|error| Refused::Invalid {
            field: error.path().to_string(),
            message: super::extract::sentence(&error.into_inner().to_string()),
        })
    };
    Ok(Json(api.host.library().update(&caller.tenant, &named, consent, merged).await?.into()))
}

/// RFC 7396. No deeper than the parser lets JSON be.
fn merge(whole: &mut Value, change: Value) {
    let Value::Object(change) = change else {
        *whole = change;
        return;
    };
    if !whole.is_object() {
        *whole = Value::Object(Map::new());
    }
    let Value::Object(whole) = whole else { return };
    for (key, value) in change {
        if value.is_null() {
            whole.shift_remove(&key);
        } else {
            merge(whole.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// Delete a script with all its versions
#[utoipa::path(delete, path = "/api/scripts/{script}", tag = "scripts",
    params(("script" = String, Path, description = "Its id or its name")), responses((status = 204)))]
async fn delete(State(api): State<Api>, caller: Caller, Path(named): Path<String>) -> Result<StatusCode, Problem> {
    caller.require("Script.Delete")?;
    require_stored(&api, &caller, &named)?;
    api.host.library().delete(&caller.tenant, &named).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Let calls of a script through
#[utoipa::path(post, path = "/api/scripts/{script}/enable", tag = "scripts",
    params(("script" = String, Path, description = "Its id or its name")), responses((status = 200, body = View)))]
async fn enable(State(api): State<Api>, caller: Caller, Path(named): Path<String>) -> Result<Json<View>, Problem> {
    caller.require("Script.Update")?;
    require_stored(&api, &caller, &named)?;
    Ok(Json(api.host.library().enable(&caller.tenant, &named, true).await?.into()))
}

/// Let no more calls of a script through
#[utoipa::path(post, path = "/api/scripts/{script}/disable", tag = "scripts",
    params(("script" = String, Path, description = "Its id or its name")), responses((status = 200, body = View)))]
async fn disable(State(api): State<Api>, caller: Caller, Path(named): Path<String>) -> Result<Json<View>, Problem> {
    caller.require("Script.Update")?;
    require_stored(&api, &caller, &named)?;
    Ok(Json(api.host.library().enable(&caller.tenant, &named, false).await?.into()))
}

fn of_settings(api: &Api, caller: &Caller, named: &str) -> Option<std::sync::Arc<Script>> {
    let place = api.host.places().get(&caller.tenant)?;
    place.own().iter().find(|script| script.name == named).cloned()
}

/// Refuses a script of the settings.
pub fn require_stored(api: &Api, caller: &Caller, named: &str) -> Result<(), Problem> {
    match of_settings(api, caller, named) {
        None => Ok(()),
        Some(_) => {
            let detail = "This script stands in the host's settings, where its operator changes it.";
            Err(Problem::new(StatusCode::CONFLICT, "script_of_settings", detail))
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        let conflict = |code, detail: String| Problem::new(StatusCode::CONFLICT, code, detail);
        let unsound = |code, detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
        match refused {
            Refused::NotFound => Problem::no_such("script of this id or name"),
            Refused::NoVersion => {
                Problem::new(StatusCode::NOT_FOUND, "no_such_version", "This script has no such version.")
            }
            Refused::Compiling => {
                let detail = "Another script of this tenant is being compiled; try again in a second.";
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "compiling", detail).retry()
            }
            Refused::Invalid { field, message } => Problem::invalid(&field, message),
            Refused::NameTaken(name) => conflict("name_taken", format!("There is a script `{name}` already.")),
            Refused::RouteTaken(route) => {
                conflict("route_taken", format!("Another script of this tenant answers to {route} already."))
            }
            Refused::ChangedMeanwhile => {
                conflict("changed_meanwhile", "Somebody else has changed this script; try again.".into())
            }
            Refused::Unconfirmed(more) => conflict(
                "capabilities_unconfirmed",
                "With this, the script may reach more than it does. Somebody with the permission `Script.Grant` can \
                 confirm that with `confirm_capabilities`."
                    .into(),
            )
            .member("capabilities", serde_json::to_value(more).unwrap_or_default()),
            Refused::MayNotGrant => Problem::missing(GRANT),
            Refused::NoEntry { entry, entries } => unsound(
                "no_entry",
                match entry {
                    Some(entry) => format!("This version has no function `{entry}`."),
                    None => "This version has several functions and none is the default; name one as `entry`.".into(),
                },
            )
            .member("entries", entries),
            Refused::Quota(exceeded) => {
                let quota = exceeded.quota;
                let most = quota.show(exceeded.value);
                conflict("quota_exceeded", format!("This tenant's quota `{}` is {most}, and is used up.", quota.name()))
            }
            Refused::Compile(error) => compile_problem(error),
            Refused::Store(reason) => reason.into(),
        }
    }
}

fn compile_problem(error: CompileError) -> Problem {
    let problem = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "does_not_compile", detail);
    match error {
        CompileError::Syntax(syntax) => problem(super::extract::sentence(&syntax.message))
            .member("line", syntax.line)
            .member("column", syntax.column)
            .member("frame", syntax.frame),
        CompileError::Refused { message } => problem(super::extract::sentence(&message)),
        CompileError::Threw(error) => {
            let problem = problem(format!("The script's top level threw {}: {}", error.name, error.message));
            let problem = error.line.into_iter().fold(problem, |problem, line| problem.member("line", line));
            let problem = error.column.into_iter().fold(problem, |problem, column| problem.member("column", column));
            problem.member("stack", error.stack)
        }
        CompileError::Limit { message, limit } => {
            problem(super::extract::sentence(&message)).member("limit", limit.name)
        }
        CompileError::Host(reason) => {
            tracing::error!(reason = format!("{reason:#}"), "compiling a script failed");
            Problem::internal()
        }
    }
}
