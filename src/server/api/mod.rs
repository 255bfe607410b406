//! `/api/*`: what manages scripts over HTTP, a file a resource.
//!
//! A route is a function with `#[utoipa::path]`, listed in its file's `routes`.
//! It takes a [`Caller`], asks [`Caller::require`] before anything else, and
//! works within the caller's tenant alone: no path, query or body names one.
//! What a POST makes has the id that [`idempotency::Intended`] says.
//! What goes wrong is a [`Problem`] with a stable code.

mod calls;
mod document;
mod events;
mod executions;
mod extract;
mod idempotency;
mod jobs;
mod live;
mod logs;
mod me;
mod schedules;
mod scripts;
mod secrets;
#[cfg(test)]
mod tests;
mod tokens;
mod versions;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::{Serialize, Serializer};
use utoipa_axum::router::OpenApiRouter;

pub use extract::{Body, Page, Path, Query, Slice};

pub use super::auth::Caller;
pub use super::problem::Problem;
use super::{App, Served};
use crate::host::Host;
use crate::store::clock::{Millis, rfc3339};

/// What the routes share.
#[derive(Clone)]
pub struct Api {
    pub app: Arc<App>,
    pub host: Arc<Host>,
}

/// Every resource; a new one is a line here.
fn resources() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(document::begin())
        .merge(calls::routes())
        .merge(events::routes())
        .merge(executions::routes())
        .merge(jobs::routes())
        .merge(logs::routes())
        .merge(me::routes())
        .merge(schedules::routes())
        .merge(scripts::routes())
        .merge(secrets::routes())
        .merge(tokens::routes())
        .merge(versions::routes())
}

/// Where the document stands.
const DOCUMENT: &str = "/api/openapi.json";

pub fn router<S: Clone + Send + Sync + 'static>(app: Arc<App>, host: Arc<Host>) -> Router<S> {
    let api = Api { app, host };
    let (router, document) = resources().split_for_parts();
    let document = document::finish(document);
    router
        .route_layer(middleware::from_fn_with_state(api.clone(), guard))
        .route(DOCUMENT, axum::routing::get(async move || Json(document.clone())))
        .with_state(api)
}

/// Lets no request by without its caller.
async fn guard(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let answer = async {
        let permit = api.app.begin()?;
        let caller = api.app.caller(request.headers()).await?.ok_or_else(Problem::unauthorized)?;
        let served = Served { tenant: caller.tenant.clone(), user: Some(caller.user.id.clone()), script: None };
        request.extensions_mut().insert(caller.clone());
        let mut response = match idempotency::key(request.method(), request.headers())? {
            None => next.run(request).await,
            Some(key) => idempotency::once(&api, &caller, &key, request, next, permit).await?,
        };
        response.extensions_mut().insert(served);
        Ok::<_, Problem>(response)
    };
    answer.await.unwrap_or_else(IntoResponse::into_response)
}

/// A time, written as `2026-01-05T09:30:00.045Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct Time(pub Millis);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0))
    }
}

/// The host's database failed. The log has the reason.
impl From<sqlx::Error> for Problem {
    fn from(reason: sqlx::Error) -> Problem {
        tracing::error!(%reason, "a query of the host's database failed");
        Problem::internal()
    }
}
