//! `/metrics`, on a listener of its own: what it says is the operator's, not for
//! who calls scripts.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::host::Host;

/// As Prometheus knows the format by.
pub fn content_type() -> (HeaderName, &'static str) {
    (CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")
}

/// A bound listener that serves no one yet. It has no timeouts: its place is a
/// network where only the operator's own programs are.
pub struct Listener(TcpListener);

impl Listener {
    pub async fn bind(address: SocketAddr) -> io::Result<Listener> {
        TcpListener::bind(address).await.map(Listener)
    }

    /// With the port that was chosen for port 0.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves until `stop` resolves.
    pub async fn run(self, host: Arc<Host>, stop: impl Future<Output = ()>) {
        let metrics = get(async |State(host): State<Arc<Host>>| ([content_type()], host.metrics()));
        let router = Router::new().route("/metrics", metrics).with_state(host);
        let serving = axum::serve(self.0, router).into_future();
        tokio::select! {
            ended = serving => {
                if let Err(reason) = ended {
                    tracing::error!(%reason, "metrics are not served any more");
                }
            }
            () = stop => {}
        }
    }
}
