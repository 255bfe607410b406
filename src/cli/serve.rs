//! `airlock serve`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;

use super::{Exit, report, settings};
use crate::host::Host;
use crate::metrics;
use crate::queue::Workers;
use crate::server::{Server, stop_signal};
use crate::settings::ScriptKind;
use crate::triggers::events::nats::Bridge;

/// Serve the HTTP scripts of the settings
#[derive(clap::Args)]
pub struct Arguments {
    /// The settings [default: airlock.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen, as in 127.0.0.1:8080 [default: the settings']
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

pub async fn run(arguments: Arguments) -> Exit {
    match serve(arguments).await {
        Ok(()) => Exit::Completed,
        Err(exit) => exit,
    }
}

async fn serve(arguments: Arguments) -> Result<(), Exit> {
    let failed = |message: String| {
        report::error(&message);
        Exit::Usage
    };
    let path = arguments.config.unwrap_or_else(|| PathBuf::from("airlock.toml"));
    let mut settings = settings(Some(&path))?;
    if let Some(listen) = arguments.listen {
        settings.server.listen = listen;
    }
    // The client for NATS tells of each try, where one line for each change is enough.
    let filter = EnvFilter::new("info,async_nats=off");
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_env_filter(filter).init();

    let mut host = Host::open(settings).await.map_err(|reason| failed(format!("{reason:#}")))?;
    for (name, problem) in host.load_scripts().await {
        report::error(&format!("the script {name} is left out:"));
        report::program(&problem);
    }
    let settings = host.settings().clone();
    let host = Arc::new(host);
    let bridge = Bridge::start(&host).map_err(|reason| failed(format!("{reason:#}")))?;
    let server = Server::bind(host.clone()).await.map_err(|reason| failed(reason.to_string()))?;
    let address = server.address();
    // A script must not reach its own host from inside.
    host.process().http.forbid(address).map_err(|reason| failed(format!("{reason:#}")))?;
    let scheme = if settings.server.tls.is_some() { "https" } else { "http" };
    // Whoever started the host may have read enough.
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "listening on {scheme}://{address}");
    for script in settings.scripts.iter().filter(|script| script.kind == ScriptKind::Http) {
        if let Some(route) = &script.route {
            let methods: Vec<_> = route.methods.iter().map(|method| method.as_str()).collect();
            let _ = writeln!(stdout, "  {} /api/custom{} → {}", methods.join("|"), route.pattern, script.shown_file);
        }
    }
    let scheduler = settings.scripts_enabled.then(|| tokio::spawn(host.schedules().clone().run()));
    let stopped = Arc::new(Notify::new());
    let metrics = match settings.metrics.listen {
        Some(address) => Some(listen_for_metrics(&host, address, stopped.clone()).await.map_err(failed)?),
        None => None,
    };
    let workers = Workers::start(host.clone());
    let drain = settings.longest_call() + settings.server.shutdown_grace;
    let (stop, mut told) = tokio::sync::watch::channel(false);
    let working = tokio::spawn(async move {
        // Err where the listener has ended by itself.
        let _ = told.changed().await;
        let bridge = async {
            if let Some(bridge) = bridge {
                bridge.stop(drain).await;
            }
        };
        tokio::join!(workers.stop(drain), bridge);
    });
    server
        .run(async {
            stop_signal().await;
            // What is due from here on is another host's, or this one's when it is back.
            if let Some(scheduler) = &scheduler {
                scheduler.abort();
            }
            // Both end together.
            let _ = stop.send(true);
        })
        .await;
    drop(stop);
    // Err where it has panicked, which is in the log.
    let _ = working.await;
    stopped.notify_one();
    if let Some(metrics) = metrics {
        // Err where it has panicked, which is in the log.
        let _ = metrics.await;
    }
    // What ended last is on record before this does.
    host.executions().settle().await;
    host.flush_traces().await;
    Ok(())
}

async fn listen_for_metrics(
    host: &Arc<Host>,
    address: SocketAddr,
    stopped: Arc<Notify>,
) -> Result<JoinHandle<()>, String> {
    let bound = async {
        let listener = metrics::Listener::bind(address).await?;
        let address = listener.address()?;
        std::io::Result::Ok((listener, address))
    };
    let (listener, address) = bound.await.map_err(|reason| {
        format!("cannot listen on {address}: {reason}; the setting metrics.listen names another address")
    })?;
    host.process().http.forbid(address).map_err(|reason| format!("{reason:#}"))?;
    println!("metrics on http://{address}/metrics");
    let host = host.clone();
    Ok(tokio::spawn(listener.run(host, async move { stopped.notified().await })))
}
