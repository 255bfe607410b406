//! For whatever watches the host.

use std::sync::Arc;

use axum::extract::State;

use super::App;
use super::problem::Problem;

/// `/healthz`: the process answers.
pub async fn alive() -> &'static str {
    "ok"
}

/// `/readyz`: whether to send requests here. 503 from when the host was told to
/// stop, so that a load balancer looks elsewhere.
pub async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    if app.is_stopping() {
        return Err(Problem::unavailable("stopping", "This host is stopping."));
    }
    Ok("ready")
}
