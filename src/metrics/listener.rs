//! `/metrics`, on a listener of its own: what it says is the operator's, not for
//! who calls scripts.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::host::Host;

/// What clients may take.
struct Bounds {
    /// Connections at once; further ones wait.
    connections: usize,
    /// How long the headers of a request may take.
    headers: Duration,
    /// How long a connection may last: a client that does not read its answer
    /// holds memory until then.
    lifetime: Duration,
}

/// Few ask, and one that asks once a minute can connect again.
const BOUNDS: Bounds = Bounds { connections: 16, headers: Duration::from_secs(10), lifetime: Duration::from_secs(60) };

/// A request's headers, all together.
const HEADER_BYTES: usize = 16 << 10;
/// Accepting fails while the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// As Prometheus knows the format by.
pub fn content_type() -> (HeaderName, &'static str) {
    (CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")
}

/// A bound listener that serves no one yet.
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
        serve(self.0, router, stop, &BOUNDS).await;
    }
}

async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>, bounds: &Bounds) {
    let &Bounds { connections, headers, lifetime } = bounds;
    let slots = Arc::new(Semaphore::new(connections));
    // Ends with this function.
    let mut serving = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => return,
            // Reaps the tasks of closed connections.
            Some(_) = serving.join_next() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                let router = router.clone();
                serving.spawn(async move {
                    let connection = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(headers)
                        .max_buf_size(HEADER_BYTES)
                        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
                    if let Ok(Err(reason)) = tokio::time::timeout(lifetime, connection).await {
                        tracing::debug!(%reason, "a connection for metrics broke off");
                    }
                    drop(slot);
                });
            }
            Err(reason) => {
                tracing::warn!(%reason, "accepting a connection for metrics failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.accept().await?.0, slot))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn who_says_nothing_keeps_nobody_waiting_for_long() {
        let bounds = Bounds { connections: 1, headers: Duration::from_millis(50), lifetime: Duration::from_secs(60) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/metrics", get(async || "numbers"));
        let asks = async {
            let mut silent = TcpStream::connect(address).await.unwrap();
            let mut asking = TcpStream::connect(address).await.unwrap();
            asking.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            asking.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("numbers"), "{answer}");
            // It was closed, with or without a word.
            let mut left = Vec::new();
            silent.read_to_end(&mut left).await.unwrap();
            assert!(!String::from_utf8_lossy(&left).contains("numbers"));
        };
        serve(listener, router, asks, &bounds).await;
    }
}
