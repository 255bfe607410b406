//! What the operator set: `airlock.toml`, and the environment over it.
//!
//! Everything is checked here, once, with the place in the file: what other
//! rooms get is sound. Nothing else in the host reads the environment.

mod database;
mod environment;
mod error;
pub mod explain;
mod file;
mod jwt;
mod keys;
mod nats;
mod queue;
mod schedules;
mod services;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use database::DatabaseSettings;
pub use error::SettingsError;
pub use jwt::{Jwks, JwtSettings};
pub use nats::{NatsSettings, Receive};
pub use queue::{MAX_ATTEMPTS, QueueSettings};
pub use schedules::ScheduleSettings;
pub use store::StoreSettings;

use crate::capabilities::grant;
use crate::capabilities::http;
use crate::capabilities::secrets::Keys;
use crate::capabilities::services::remote::Backend;
use crate::runtime::engine::CACHE_SIZE;
use crate::runtime::limits::{Limit, Limits};
use crate::server::route::Route;
use crate::server::webhook;
use crate::tenant::permission::Needs;
use crate::tenant::quota::Quotas;
use crate::tenant::{Tenant, User};
use crate::triggers::events::Subscription;
use crate::triggers::schedules::Cron;

/// All settings, checked. `Default` is what holds without a file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether scripts run at all. False: every call is refused.
    pub scripts_enabled: bool,
    /// The folder of the databases.
    pub data: PathBuf,
    /// Bytes of machine code that the host keeps in the data folder.
    pub cache_size: u64,
    /// None: a SQLite file, in the data folder.
    pub store: Option<StoreSettings>,
    /// None: a SQLite file for each tenant, in the data folder.
    pub database: Option<DatabaseSettings>,
    pub server: ServerSettings,
    /// For every call that its script does not say otherwise.
    pub limits: Limits,
    /// For every tenant that has none of its own.
    pub quotas: Quotas,
    pub sandboxes: SandboxSettings,
    pub http: http::Settings,
    pub executions: ExecutionSettings,
    pub events: EventSettings,
    pub queue: QueueSettings,
    pub schedules: ScheduleSettings,
    pub metrics: MetricsSettings,
    /// Where spans are posted to, over OTLP; None: nowhere.
    pub traces: Option<String>,
    pub smtp: Option<SmtpSettings>,
    /// The keys that secrets are encrypted with. Ids are unique.
    pub secrets: Keys,
    /// Unique by id, case aside: an id names a file.
    pub tenants: Vec<TenantSettings>,
    /// Each in a tenant that exists, with a token that no other user has.
    pub users: Vec<UserSettings>,
    /// Whose signed tokens are believed; None: nobody's.
    pub jwt: Option<JwtSettings>,
    /// Who scripts run as where nobody calls. Ids are unique, and no user's.
    pub service_accounts: Vec<User>,
    /// The permissions that tables need, by the table; `*` is for all others.
    pub tables: BTreeMap<String, Needs>,
    /// By the name that scripts use.
    pub services: BTreeMap<String, ServiceSettings>,
    /// Unique by name. No two routes of one tenant collide.
    pub scripts: Vec<Arc<ScriptSettings>>,
}

/// `[server]`: the listener.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Bytes of one request's body.
    pub max_body: u64,
    /// None: plain HTTP, such as behind a proxy that ends TLS.
    pub tls: Option<TlsSettings>,
    /// How long a client may take over a request's headers, and how long a
    /// connection may stay silent with no request under way.
    pub header_timeout: Duration,
    /// How long a client may take over a request's body.
    pub body_timeout: Duration,
    /// Open connections; further ones wait to be accepted.
    pub max_connections: usize,
    /// Requests under way, of all connections; further ones are refused.
    pub max_requests: usize,
    /// Beyond the longest script timeout, how long requests under way may take
    /// to end after the host was told to stop.
    pub shutdown_grace: Duration,
    /// Whether the log has a line for each request. An execution has its record
    /// all the same.
    pub access_log: bool,
}

/// `[server.tls]`: files in PEM, read again when they change.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The server's certificate, followed by those that lead to its issuer.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// `[sandboxes]`: how many calls run at once.
#[derive(Debug, Clone)]
pub struct SandboxSettings {
    /// Sandboxes in the pool.
    pub count: u32,
    /// How long a call may wait for one.
    pub wait: Duration,
}

/// `[executions]`: what is on record of each run of a script.
#[derive(Debug, Clone)]
pub struct ExecutionSettings {
    /// Whether there is a record at all. What runs can be stopped and followed
    /// all the same.
    pub record: bool,
    /// How long.
    pub keep: Duration,
    /// Executions of one tenant; beyond, the oldest go.
    pub max_per_tenant: u64,
    /// The same in bytes.
    pub max_bytes_per_tenant: u64,
    /// Bytes that a result may have to be kept.
    pub max_result: u64,
    /// What tenants have of their own, by their ids.
    pub own: BTreeMap<String, Retention>,
}

/// What is kept of one tenant's executions, as [`ExecutionSettings`] says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    pub keep: Duration,
    pub max_per_tenant: u64,
    pub max_bytes_per_tenant: u64,
}

impl ExecutionSettings {
    /// What holds for a tenant.
    pub fn retention(&self, tenant: &str) -> Retention {
        self.own.get(tenant).cloned().unwrap_or(Retention {
            keep: self.keep,
            max_per_tenant: self.max_per_tenant,
            max_bytes_per_tenant: self.max_bytes_per_tenant,
        })
    }
}

impl Default for ExecutionSettings {
    fn default() -> Self {
        ExecutionSettings {
            record: true,
            keep: Duration::from_secs(30 * 24 * 60 * 60),
            // As many as one looks through, and not a disk full.
            max_per_tenant: 200_000,
            max_bytes_per_tenant: 256 << 20,
            max_result: 64 << 10,
            own: BTreeMap::new(),
        }
    }
}

/// `[events]`: what is kept of published events, and who else is told of them.
#[derive(Debug, Clone)]
pub struct EventSettings {
    /// How long, at least; an event that a job needs stays. So long a dedup key
    /// holds.
    pub keep: Duration,
    /// None: nobody.
    pub nats: Option<NatsSettings>,
}

impl Default for EventSettings {
    fn default() -> Self {
        EventSettings { keep: Duration::from_secs(7 * 24 * 60 * 60), nats: None }
    }
}

/// `[metrics]`: what Prometheus asks for.
#[derive(Debug, Clone)]
pub struct MetricsSettings {
    /// Where to serve `/metrics`; None: nowhere.
    pub listen: Option<SocketAddr>,
    /// Tenants, and scripts of all of them, that have series of their own. What
    /// is beyond counts as `other`.
    pub max_tenants: usize,
    pub max_scripts: usize,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        MetricsSettings { listen: None, max_tenants: 100, max_scripts: 1_000 }
    }
}

/// `[smtp]`: the server that takes mails.
#[derive(Clone)]
pub struct SmtpSettings {
    /// `smtp://` or `smtps://`; may hold a password.
    pub url: String,
    /// The sender of mails that name none.
    pub from: Option<String>,
}

impl fmt::Debug for SmtpSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SmtpSettings").field("url", &"…").field("from", &self.from).finish()
    }
}

/// One of `[[tenants]]`.
#[derive(Debug, Clone)]
pub struct TenantSettings {
    /// The id is 1 to 64 letters, digits, `-`, `_` and `.`, and begins with a
    /// letter or digit: it is safe as a file's name.
    pub tenant: Tenant,
    /// SQL of the operator's, applied once when the tenant's database is new.
    pub schema: Option<PathBuf>,
    /// The same, after the schema.
    pub seed: Option<PathBuf>,
    /// The general ones with its own over them. None: the general ones.
    pub quotas: Option<Quotas>,
}

/// One of `[[users]]`.
#[derive(Debug, Clone)]
pub struct UserSettings {
    /// The tenant's id.
    pub tenant: String,
    pub user: User,
    pub token: TokenDigest,
}

/// The SHA-256 of a bearer token; the token itself is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest(pub [u8; 32]);

impl TokenDigest {
    pub fn of(token: &[u8]) -> TokenDigest {
        TokenDigest(Sha256::digest(token).into())
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenDigest(…)")
    }
}

/// One of `[services.*]`: a named service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceSettings {
    pub kind: ServiceKind,
    /// The permissions that calling it needs: to read, for `list`, `count` and
    /// `get`, or what a backend has as a GET; to write for everything else.
    pub needs: Needs,
}

/// What a service is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceKind {
    /// list, get, create, update and delete over a table of the tenant's.
    Table {
        /// The service's own name where none is given.
        table: Option<String>,
        /// The column that `get`, `update` and `delete` go by; `id` where none
        /// is given.
        key: Option<String>,
    },
    /// sendEmail.
    Notifications,
    /// A backend of the application.
    Http(Box<Backend>),
}

impl Default for ServiceKind {
    fn default() -> ServiceKind {
        ServiceKind::Table { table: None, key: None }
    }
}

/// One of `[[scripts]]`.
#[derive(Debug, Clone, Default)]
pub struct ScriptSettings {
    /// Unique. Serves as the id too.
    pub name: String,
    /// The source, or a compiled component.
    pub file: PathBuf,
    /// `file` as the settings spell it: what logs and stacks show.
    pub shown_file: String,
    pub kind: ScriptKind,
    /// The function to call; None leaves it to the script's exports.
    pub entry: Option<String>,
    /// Some for HTTP scripts, None for all others.
    pub route: Option<Route>,
    /// When it runs by itself. None: never.
    pub cron: Option<Cron>,
    /// The tenants that have the script; None is all of them.
    pub tenants: Option<Vec<String>>,
    /// What it handles, where it is an event script.
    pub event: Option<Subscription>,
    /// What it may use, of which each list was read. One that is not there is
    /// left to what the script declares.
    pub grants: grant::Lists,
    /// The service account that it runs as where no user calls.
    pub run_as: Option<String>,
    /// The limits of its calls: the general ones with its own over them. Its
    /// own may be wider as well as narrower: the operator wrote both.
    pub limits: Limits,
    /// What a user needs to call it.
    pub permission: Option<String>,
    /// Whether a call needs no user. True where it needs a signature.
    pub public: bool,
    /// The signature that a call needs instead of a user.
    pub webhook: Option<Arc<webhook::Rule>>,
}

impl ScriptSettings {
    /// Whether a tenant has the script.
    pub fn belongs_to(&self, tenant: &str) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.iter().any(|id| id == tenant))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScriptKind {
    Http,
    Cron,
    Oneoff,
    Event,
    #[default]
    Embedded,
}

impl ScriptKind {
    /// As `context.script.type` says it.
    pub fn name(self) -> &'static str {
        match self {
            ScriptKind::Http => "http",
            ScriptKind::Cron => "cron",
            ScriptKind::Oneoff => "oneoff",
            ScriptKind::Event => "event",
            ScriptKind::Embedded => "embedded",
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            scripts_enabled: true,
            data: PathBuf::from("data"),
            cache_size: CACHE_SIZE,
            store: None,
            database: None,
            server: ServerSettings::default(),
            limits: Limits::default(),
            quotas: Quotas::default(),
            sandboxes: SandboxSettings::default(),
            http: http::Settings::default(),
            executions: ExecutionSettings::default(),
            events: EventSettings::default(),
            queue: QueueSettings::default(),
            schedules: ScheduleSettings::default(),
            metrics: MetricsSettings::default(),
            traces: None,
            smtp: None,
            secrets: Keys::default(),
            tenants: Vec::new(),
            users: Vec::new(),
            jwt: None,
            service_accounts: Vec::new(),
            tables: BTreeMap::new(),
            services: BTreeMap::new(),
            scripts: Vec::new(),
        }
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        ServerSettings {
            // Reaching further than this machine is the operator's decision.
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            // With what JSON escapes add, it fits `limits.input_bytes`.
            max_body: 1 << 20,
            tls: None,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            max_connections: 1024,
            // Times `max_body`, this bounds the memory that callers can claim.
            max_requests: 512,
            shutdown_grace: Duration::from_secs(5),
            access_log: true,
        }
    }
}

impl Default for SandboxSettings {
    fn default() -> Self {
        SandboxSettings {
            // A waiting call holds its sandbox, so more of them than cores.
            count: 64,
            // The reference's default.
            wait: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// Reads the file, if one is named, and the environment over it. Relative
    /// paths in the file count from its folder; without a file, from the
    /// working directory.
    pub fn load(path: Option<&Path>, environment: impl Fn(&str) -> Option<String>) -> Result<Settings, SettingsError> {
        Ok(Settings::read(path, &environment)?.0)
    }

    /// The settings, and the file's text.
    fn read(
        path: Option<&Path>,
        environment: &impl Fn(&str) -> Option<String>,
    ) -> Result<(Settings, String), SettingsError> {
        match path {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|reason| SettingsError::unreadable(path, &reason))?;
                let folder = path.parent().unwrap_or(Path::new(""));
                let checked = file::parse(&text, path, folder, environment)?;
                Ok((checked.files_exist()?, text))
            }
            None => {
                let mut settings = Settings::default();
                environment::apply(&mut settings, environment)?;
                let plain = |fault: error::Fault| SettingsError::plain(fault.message);
                settings.database = database::read(None, environment, plain)?;
                let table = store::StoreTable::default();
                settings.store = store::read(&table, environment, settings.database.as_ref(), plain)?;
                Ok((settings, String::new()))
            }
        }
    }

    /// A tenant by id.
    pub fn tenant(&self, id: &str) -> Option<&TenantSettings> {
        self.tenants.iter().find(|known| known.tenant.id == id)
    }

    /// How long a call may take at most: soft deadline and grace, of the script
    /// that may take longest.
    pub fn longest_call(&self) -> Duration {
        self.scripts
            .iter()
            .map(|script| &script.limits)
            .chain([&self.limits])
            .map(|limits| limits.duration(Limit::Timeout) + limits.duration(Limit::Grace))
            .max()
            .unwrap_or_default()
    }
}
