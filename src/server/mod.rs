//! HTTP in: the listener, and what it serves.
//!
//! `/api/custom/*` are the tenants' HTTP scripts, the rest of `/api` is for who
//! manages scripts, `/healthz` and `/readyz` are for whatever watches the host.
//! What runs a script is behind [`Scripts`].
//!
//! Callers see problems without internals; the log has the rest under the same
//! execution id, which every answer carries in `x-execution-id`.

mod api;
mod auth;
mod custom;
mod health;
pub mod jwt;
mod listener;
mod problem;
mod request;
mod response;
pub mod route;
#[cfg(test)]
mod tests;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{any, get};
use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, SemaphorePermit};

pub(crate) use custom::{note_failure, write_logs};
pub use listener::{Server, ServerError, stop_signal};

use crate::executions::Origin;
use crate::host::Host;
use crate::runtime::outcome::Outcome;
use crate::scripts::Script;
use crate::scripts::shelf::Places;
use crate::settings::{ServerSettings, Settings};
use crate::tenant::quota::{Admission, Exceeded};
use crate::tenant::{Authority, Identity, People};
use auth::{Caller, Credentials};
use problem::Problem;

/// What runs scripts.
pub trait Scripts: Send + Sync + 'static {
    /// Lets a tenant make a call, or refuses it. Asked before a request's body
    /// is read: what is still being sent takes room as well.
    fn admit(&self, tenant: &str) -> Result<Admission, Exceeded>;
    /// The users, with the permissions of now.
    fn people(&self) -> &People;

    /// Runs a script once. The future is dropped when the caller goes away or
    /// the host has to stop; the call must end with it.
    fn invoke(&self, request: Invoke, admission: Admission) -> BoxFuture<'_, Invocation>;
}

/// One call of a script.
#[derive(Debug, Clone)]
pub struct Invoke {
    pub script: Arc<Script>,
    /// Whose user is looked up once more when the call begins.
    pub identity: Arc<Identity>,
    /// Where the user's permissions come from then.
    pub authority: Authority,
    /// The entry's one argument, as JSON text: `req`, as request.rs shapes it.
    pub input: String,
    /// What the execution's record says of where it comes from.
    pub origin: Origin,
}

/// What came of it.
#[derive(Debug, Clone)]
pub enum Invocation {
    /// The script ran to whatever end.
    Ended(Box<Outcome>),
    /// No sandbox was free within `sandboxes.wait`.
    Busy,
    /// The script cannot run: it is missing, does not compile, or the host
    /// failed. The reason is for the operator's log.
    Broken(String),
}

/// Reads the files that the listener's settings name.
pub fn check(settings: &ServerSettings) -> Result<(), ServerError> {
    settings.tls.as_ref().map(tls::Tls::new).transpose().map_err(ServerError::Tls).map(drop)
}

/// What every request shares.
struct App {
    server: ServerSettings,
    scripts_enabled: bool,
    places: Arc<Places>,
    credentials: Credentials,
    scripts: Arc<dyn Scripts>,
    /// Requests under way.
    requests: Arc<Semaphore>,
    /// Set when the host was told to stop.
    stopping: AtomicBool,
}

impl App {
    fn new(settings: &Settings, places: Arc<Places>, scripts: Arc<dyn Scripts>, credentials: Credentials) -> App {
        App {
            server: settings.server.clone(),
            scripts_enabled: settings.scripts_enabled,
            places,
            credentials,
            scripts,
            requests: Arc::new(Semaphore::new(settings.server.max_requests)),
            stopping: AtomicBool::new(false),
        }
    }

    /// Who calls; None where the request names nobody.
    async fn caller(&self, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
        let caller = self.credentials.caller(headers, self.scripts.people()).await?;
        // A signed token may name a tenant that this host does not have.
        if caller.as_ref().is_some_and(|caller| self.places.get(&caller.tenant).is_none()) {
            return Err(Problem::unauthorized());
        }
        Ok(caller)
    }

    /// Counts a request as under way, or refuses it.
    fn begin(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.requests.try_acquire().map_err(|_| {
            Problem::unavailable("overloaded", "The host has as many requests under way as it takes.").retry()
        })
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

fn router(app: Arc<App>, host: Option<Arc<Host>>) -> Router {
    let management = host.map(|host| api::router(app.clone(), host)).unwrap_or_default();
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/api/custom/{*path}", any(custom::serve))
        .merge(management)
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(middleware::from_fn_with_state(app.clone(), accompany))
        .with_state(app)
}

const X_EXECUTION_ID: HeaderName = HeaderName::from_static("x-execution-id");

/// Names a request and what it starts, in the answer and in the log.
#[derive(Debug, Clone)]
struct ExecutionId(String);

/// What a script's request turned out to be, for the access line.
#[derive(Debug, Clone, Default)]
struct Served {
    tenant: String,
    user: Option<String>,
    script: Option<String>,
}

/// Goes with every request: its id, its access line, the headers that every
/// answer has.
async fn accompany(State(app): State<Arc<App>>, mut request: HttpRequest, next: Next) -> Response {
    let id = ExecutionId(uuid::Uuid::now_v7().to_string());
    let mut line = app.server.access_log.then(|| AccessLine::begin(&id, &request));
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let mut response = next.run(request).await;
    problem::finish(&mut response, &method, &id);

    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(X_EXECUTION_ID, value);
    }
    if app.is_stopping() && response.version() < axum::http::Version::HTTP_2 {
        response.headers_mut().insert(axum::http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    let served = response.extensions_mut().remove::<Served>().unwrap_or_default();
    if let Some(line) = &mut line {
        line.answer = Some((response.status().as_u16(), length(&response), served));
    }
    response
}

fn length(response: &Response) -> u64 {
    let declared = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    declared.unwrap_or_else(|| axum::body::HttpBody::size_hint(response.body()).lower())
}

/// Written when dropped, so that a caller who left has a line as well.
struct AccessLine {
    began: Instant,
    id: String,
    method: String,
    path: String,
    remote: Option<String>,
    /// Status and bytes; None where the caller left before.
    answer: Option<(u16, u64, Served)>,
}

impl AccessLine {
    fn begin(id: &ExecutionId, request: &HttpRequest) -> AccessLine {
        AccessLine {
            began: Instant::now(),
            id: id.0.clone(),
            method: request.method().to_string(),
            // Without the query: that is where secrets in addresses stand.
            path: request.uri().path().to_owned(),
            remote: request.extensions().get::<listener::Remote>().map(|remote| remote.0.to_string()),
            answer: None,
        }
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        // 499 is what proxies write where the client closed first.
        let (status, bytes, served) = self.answer.take().unwrap_or((499, 0, Served::default()));
        tracing::info!(
            target: "airlock::access",
            execution_id = self.id,
            method = self.method,
            path = self.path,
            status,
            bytes,
            duration_ms = (self.began.elapsed().as_secs_f64() * 1e6).round() / 1e3,
            remote = self.remote,
            tenant_id = (!served.tenant.is_empty()).then_some(served.tenant.as_str()),
            user_id = served.user.as_deref(),
            script = served.script.as_deref(),
            "request",
        );
    }
}
