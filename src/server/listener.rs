//! Accepts connections, bounds them, and ends them in order.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::ServiceExt;

use super::{App, router};
use crate::host::Host;
use crate::settings::Settings;

/// A request's headers, all together; beyond, hyper answers 431.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// Headers of one request; beyond, hyper answers 431.
const MAX_HEADERS: usize = 100;
/// Requests under way on one HTTP/2 connection.
const MAX_STREAMS: u32 = 32;
/// Accepting fails while the process is out of file descriptors; trying again
/// at once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot listen on {address}: {reason}; the setting server.listen or --listen names another address")]
    Listen { address: SocketAddr, reason: io::Error },
}

/// A bound listener that serves no one yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    /// What the management API is about; None: there is none.
    host: Option<Arc<Host>>,
    /// How long what is under way may take once the host was told to stop.
    drain: Duration,
}

impl Server {
    /// Binds `server.listen`. Connections queue from here on.
    pub async fn bind(host: Arc<Host>) -> Result<Server, ServerError> {
        let app = App::new(host.settings(), host.places().clone(), host.clone());
        let server = Server::listen(host.settings(), app).await?;
        Ok(Server { host: Some(host), ..server })
    }

    async fn listen(settings: &Settings, app: App) -> Result<Server, ServerError> {
        let failed = |reason| ServerError::Listen { address: settings.server.listen, reason };
        let listener = TcpListener::bind(settings.server.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let drain = settings.longest_call() + settings.server.shutdown_grace;
        Ok(Server { listener, address, app: Arc::new(app), host: None, drain })
    }

    /// For tests of the listener: the scripts of the settings, run by another.
    #[cfg(test)]
    pub(super) async fn bind_scripts(
        settings: &Settings,
        scripts: Arc<dyn super::Scripts>,
    ) -> Result<Server, ServerError> {
        let places = Arc::new(crate::scripts::shelf::Places::new(settings));
        Server::listen(settings, App::new(settings, places, scripts)).await
    }

    /// Where it listens, with the port that was chosen for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` resolves; then accepts no more, lets what is under
    /// way end within the longest script timeout and `server.shutdown_grace`,
    /// closes what is left, and returns.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Server { listener, address, app, host, drain } = self;
        let (stopped, stopping) = watch::channel(());
        let router = router(app.clone(), host);
        let slots = Arc::new(Semaphore::new(app.server.max_connections));
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        tracing::info!(%address, "listening");
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                // Reaps the tasks of closed connections.
                Some(_) = connections.join_next() => continue,
                accepted = accept(&listener, &slots) => accepted,
            };
            match accepted {
                Ok((stream, remote, slot)) => {
                    let connection = connection(stream, remote, router.clone(), app.clone(), stopping.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(slot);
                    });
                }
                Err(reason) => {
                    tracing::warn!(%reason, "accepting a connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // From here on the system refuses connections.
        drop(listener);
        app.stopping.store(true, Ordering::Relaxed);
        drop(stopped);
        tracing::info!(connections = connections.len(), "stopping");
        let ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, ended).await.is_err() {
            tracing::warn!(connections = connections.len(), "closing what did not end in time");
            connections.shutdown().await;
        }
        tracing::info!("stopped");
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    // The slot first: beyond them, connections wait in the system's queue.
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, remote) = listener.accept().await?;
    Ok((stream, remote, slot))
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Remote(pub SocketAddr);

async fn connection(
    stream: TcpStream,
    remote: SocketAddr,
    router: Router,
    app: Arc<App>,
    mut stopping: watch::Receiver<()>,
) {
    // Answers are written whole; waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let timeout = app.server.header_timeout;
    let activity = Arc::new(Activity::new());
    let service = {
        let activity = activity.clone();
        hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            let under_way = activity.clone().begin();
            request.extensions_mut().insert(Remote(remote));
            let router = router.clone();
            async move {
                let response = router.oneshot(request).await;
                drop(under_way);
                response.map_err(|never: Infallible| match never {})
            }
        })
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .keep_alive_interval(timeout)
        .keep_alive_timeout(timeout);
    let io = TokioIo::new(Watched { stream, activity: activity.clone() });
    let mut serving = pin!(builder.serve_connection(io, service));
    let mut told = false;
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(reason) = ended {
                    tracing::debug!(%remote, %reason, "a connection broke off");
                }
                return;
            }
            // Ends when the sender is dropped.
            _ = stopping.changed(), if !told => {
                told = true;
                serving.as_mut().graceful_shutdown();
            }
            () = activity.stalled(timeout) => {
                tracing::debug!(%remote, "closing a silent connection");
                return;
            }
        }
    }
}

/// When a connection last did something. hyper's header timeout begins with the
/// protocol known, and knows nothing of a client that does not read its answer.
struct Activity {
    under_way: AtomicUsize,
    last: Mutex<Instant>,
}

impl Activity {
    fn new() -> Activity {
        Activity { under_way: AtomicUsize::new(0), last: Mutex::new(Instant::now()) }
    }

    fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn begin(self: Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self)
    }

    /// Resolves when no byte has moved for so long, with no request under way.
    async fn stalled(&self, timeout: Duration) {
        loop {
            let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let end = last + timeout;
            if end > now {
                tokio::time::sleep_until(end).await;
            } else if self.under_way.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(timeout).await;
            } else {
                return;
            }
        }
    }
}

struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.touch();
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that notes when bytes move.
struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.touch();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if matches!(polled, Poll::Ready(Ok(1..))) {
            self.activity.touch();
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if matches!(polled, Poll::Ready(Ok(1..))) {
            self.activity.touch();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Resolves on SIGINT or SIGTERM: what to give to [`Server::run`].
pub async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(mut interrupt), Ok(mut terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                return;
            }
            (Err(reason), _) | (_, Err(reason)) => tracing::warn!(%reason, "signals cannot be watched"),
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
