//! `/api/secrets`: the tenant's secrets, which come in here and do not go out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::{Api, Body, Caller, Page, Path, Problem, Slice, Time};
use crate::capabilities::secrets::{Name, Refused};

const MANAGE: &str = "Secret.Manage";

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(set, delete))
}

/// A secret, without its value.
#[derive(Serialize, ToSchema)]
#[schema(as = Secret)]
struct View {
    name: String,
    updated_at: Time,
}

/// What to set a secret to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSecret)]
struct New {
    #[schema(min_length = 1)]
    value: String,
}

/// List the tenant's secrets, without their values
#[utoipa::path(get, path = "/api/secrets", tag = "secrets", params(Page), responses((status = 200, body = Slice<View>)))]
async fn list(State(api): State<Api>, caller: Caller, page: Page) -> Result<Json<Slice<View>>, Problem> {
    caller.require(MANAGE)?;
    let after: String = page.after()?.unwrap_or_default();
    // A limit keeps them few.
    let secrets = api.host.process().secrets.list(&caller.tenant).await?;
    let later = secrets.into_iter().filter(|secret| secret.name > after);
    let views = later.map(|secret| View { name: secret.name, updated_at: Time(secret.updated_at) });
    Ok(Json(page.slice(views.collect(), |view: &View| view.name.clone())))
}

/// Set a secret, whether or not there is one of that name
///
/// Scripts read it that were granted it, from their next call on.
#[utoipa::path(put, path = "/api/secrets/{name}", tag = "secrets", request_body = New,
    params(("name" = Name, Path)), responses((status = 204)))]
async fn set(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Body(new): Body<New>,
) -> Result<StatusCode, Problem> {
    caller.require(MANAGE)?;
    let value = Zeroizing::new(new.value);
    let name: Name = name.parse().map_err(|reason: String| Problem::invalid("name", format!("{reason}.")))?;
    let limits = &api.host.settings().limits;
    match api.host.process().secrets.set(&caller.tenant, &name, &value, limits).await {
        Ok(()) => {
            let (tenant_id, user_id) = (&caller.tenant, &caller.user.id);
            tracing::info!(tenant_id, user_id, secret = name.as_str(), "a secret was set");
            Ok(StatusCode::NO_CONTENT)
        }
        Err(Refused::NoKey) => {
            let detail = "This host has no key to encrypt secrets with; its operator sets one in [secrets] keys.";
            Err(Problem::unavailable("no_secrets_key", detail))
        }
        Err(refused @ Refused::Empty) => Err(Problem::invalid("value", super::extract::sentence(&refused.to_string()))),
        Err(refused @ Refused::Limit(limit, _)) => {
            let detail = super::extract::sentence(&refused.to_string());
            Err(Problem::invalid("value", detail).member("limit", limit.name()))
        }
        Err(Refused::Store(reason)) => Err(reason.into()),
        Err(refused @ Refused::Unreadable { .. }) => {
            tracing::error!(reason = %refused, "a secret could not be set");
            Err(Problem::internal())
        }
    }
}

/// Delete a secret
#[utoipa::path(delete, path = "/api/secrets/{name}", tag = "secrets", params(("name" = Name, Path)),
    responses((status = 204)))]
async fn delete(State(api): State<Api>, caller: Caller, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    caller.require(MANAGE)?;
    let name: Name = name.parse().map_err(|_| Problem::no_such("secret of this name"))?;
    match api.host.process().secrets.delete(&caller.tenant, &name).await? {
        true => {
            let (tenant_id, user_id) = (&caller.tenant, &caller.user.id);
            tracing::info!(tenant_id, user_id, secret = name.as_str(), "a secret was deleted");
            Ok(StatusCode::NO_CONTENT)
        }
        false => Err(Problem::no_such("secret of this name")),
    }
}
