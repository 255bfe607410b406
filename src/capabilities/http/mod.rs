//! HTTP requests to the hosts that a script was granted.
//!
//! Three walls, each of which holds alone: the script's allow-list, by name
//! and again at every redirect; the rules on addresses, applied to the very
//! addresses that are connected to; and the limits on number, size and time.

mod address;
mod client;
mod host;
mod pattern;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use ipnet::IpNet;
use tokio::sync::Semaphore;
use url::Url;

use address::Rules;
pub(crate) use client::{BodyError, body};
pub use pattern::{Pattern, PatternError};

use crate::capabilities::grant::Allowed;
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};
use crate::tenant::quota::{Account, Quota};

/// One URL, a redirect's included. Browsers and servers stop near this.
const MAX_URL_BYTES: usize = 8 << 10;
/// Header lines of a request or a response; the number at which hyper and most
/// servers stop.
const MAX_HEADERS: usize = 100;
/// The names and values of all header lines of a request or a response.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// From the look-up of a name to the end of the TLS handshake: a host that is
/// up answers well within it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections that are kept for each host.
const IDLE_CONNECTIONS: usize = 8;
/// How long an idle connection is kept; many servers close it after a minute.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Name look-ups at once. The system's resolver blocks a thread for each and
/// cannot be cancelled, so slow name servers must not take every thread.
const LOOKUPS: usize = 64;
/// Addresses of one name that are tried.
const ADDRESSES: usize = 16;

/// `[http]`: the operator's settings, the same for every tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Networks that may be reached although they are not public, such as
    /// `127.0.0.1/32` during development. A script's allow-list must still name
    /// the host, and the host's own listeners stay out of reach.
    pub private_networks: Vec<IpNet>,
    /// Sent where the script sets none.
    pub user_agent: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { private_networks: Vec::new(), user_agent: concat!("airlock/", env!("CARGO_PKG_VERSION")).to_owned() }
    }
}

/// Where a script's requests may go, redirects included.
pub type Grant = Allowed<Pattern>;

impl Grant {
    fn check_url(&self, url: &Url) -> Result<(), Failure> {
        self.check(
            |pattern| pattern.allows(url),
            || {
                let host = url.host_str().unwrap_or_default();
                let entry = Pattern::of(url).map_or_else(|| host.to_owned(), |pattern| pattern.to_string());
                (format!("requests to {host}"), entry)
            },
        )
    }
}

/// What one call holds.
#[derive(Default)]
pub struct Held {
    /// Requests that were made, those that followed redirects included.
    requests: Arc<AtomicU64>,
}

/// What a call and its tenant may still request. Each request takes from it
/// before it is sent, so that many at once have no more than one after another.
struct Budget {
    account: Arc<Account>,
    limits: Arc<Limits>,
    used: Arc<AtomicU64>,
}

impl Budget {
    fn take(&self) -> Result<(), Failure> {
        let used = self.used.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        self.limits.check(Limit::HttpCalls, used)?;
        Ok(self.account.take(Quota::HttpCallsPerMinute, 1)?)
    }
}

/// Finds the addresses of a name.
pub type Lookup = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> + Send + Sync>;

/// What the process owns: the connections, and the rules on addresses.
pub struct Process {
    rules: Arc<Rules>,
    lookup: Lookup,
    user_agent: String,
    client: reqwest::Client,
    /// The clients for ports at which something is forbidden. A resolver does
    /// not learn the port of a connection, so each has a resolver that knows it.
    guarded: RwLock<HashMap<u16, reqwest::Client>>,
}

impl Process {
    /// Prepares the client. Fails where the settings cannot be used.
    pub fn new(settings: Settings) -> anyhow::Result<Process> {
        Process::with_lookup(settings, system_lookup())
    }

    /// As [`new`](Process::new), with names looked up in another way.
    pub fn with_lookup(settings: Settings, lookup: Lookup) -> anyhow::Result<Process> {
        // Err where another part of the process was first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let rules = Arc::new(Rules::new(settings.private_networks));
        let client = client::build(&rules, &lookup, None, &settings.user_agent)
            .context("the HTTP client for scripts cannot be set up")?;
        Ok(Process { rules, lookup, user_agent: settings.user_agent, client, guarded: RwLock::default() })
    }

    /// Refuses connections to a listener of the host itself or of its database,
    /// inside exceptions too. An unspecified address stands for every address
    /// of this machine. Holds for requests that begin after the call.
    pub fn forbid(&self, listener: SocketAddr) -> anyhow::Result<()> {
        let port = listener.port();
        let client = client::build(&self.rules, &self.lookup, Some(port), &self.user_agent)
            .context("the HTTP client for scripts cannot be set up")?;
        let mut guarded = self.guarded.write().unwrap_or_else(PoisonError::into_inner);
        self.rules.forbid(listener);
        guarded.entry(port).or_insert(client);
        Ok(())
    }

    fn client(&self, port: u16) -> reqwest::Client {
        let guarded = self.guarded.read().unwrap_or_else(PoisonError::into_inner);
        guarded.get(&port).unwrap_or(&self.client).clone()
    }
}

/// The client for the application's own backends, which the operator names: the
/// rules on addresses are for scripts' requests. It follows nothing either, so
/// that a signed request goes where it was signed for.
pub(crate) fn backend_client() -> anyhow::Result<reqwest::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let user_agent = Settings::default().user_agent;
    client::with_roots(|| client::builder(&user_agent)).context("the HTTP client for services cannot be set up")
}

/// Asks the operating system, as every other program on the machine does.
fn system_lookup() -> Lookup {
    let permits = Arc::new(Semaphore::new(LOOKUPS));
    Arc::new(move |name| {
        let permits = permits.clone();
        Box::pin(async move {
            let permit = permits.acquire_owned().await.map_err(io::Error::other)?;
            tokio::task::spawn_blocking(move || {
                // Held until the look-up ends, also when nobody waits for it.
                let _permit = permit;
                Ok((name.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect())
            })
            .await
            .map_err(io::Error::other)?
        })
    })
}

/// A request could not be made or was not answered properly.
fn http_error(message: impl Into<String>) -> Failure {
    Failure::new("HttpError", message)
}

/// The one answer for every address that is blocked, whatever is there: a
/// script must not learn about a network by asking for its addresses.
fn blocked(host: &str) -> Failure {
    Failure::denied(format!(
        "{host} is not at a public address, and scripts may not reach any other; the operator's setting http.private_networks makes exceptions"
    ))
}
