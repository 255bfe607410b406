//! `/api/me`: who calls.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Caller};

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(me))
}

/// Whose token it is, and what it allows.
#[derive(Serialize, ToSchema)]
struct Me {
    /// The tenant's id.
    tenant: String,
    /// The user's id.
    user: String,
    name: String,
    email: String,
    permissions: Vec<String>,
}

/// Who calls
#[utoipa::path(get, path = "/api/me", tag = "tokens", responses((status = 200, body = Me)))]
async fn me(caller: Caller) -> Json<Me> {
    let Caller { tenant, user } = caller;
    Json(Me { tenant, user: user.id, name: user.name, email: user.email, permissions: user.permissions.into() })
}
