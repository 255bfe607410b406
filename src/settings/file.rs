//! `airlock.toml`: its shape, and the checks of what it says.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use ipnet::IpNet;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, de};
use toml::Spanned;
use url::Url;

use super::database::{self, DatabaseTable};
use super::error::Fault;
use super::jwt::{self, AuthTable};
use super::keys::KeyTable;
use super::nats::{self, NatsTable};
use super::queue::{self, QueueTable};
use super::schedules::{self, CronTable, SchedulesTable};
use super::services::{self, ServiceTable};
use super::store::{self, StoreTable};
use super::{
    ExecutionSettings, Retention, ScriptKind, ScriptSettings, Settings, SettingsError, SmtpSettings, TenantSettings,
    TlsSettings, TokenDigest, UserSettings, environment,
};
use crate::capabilities::grant;
use crate::capabilities::secrets::Keys;
use crate::hexadecimal;
use crate::runtime::limits::{Limit, Limits};
use crate::scripts::draft;
use crate::server::route::{Pattern, Route};
use crate::server::webhook::{Rule, Webhook};
use crate::spelling::closest;
use crate::tenant::permission::{MOST, Needs};
use crate::tenant::quota::{Quota, Quotas};
use crate::tenant::{Permissions, Tenant, User};
use crate::triggers::events::Subscription;

/// The longest time that any setting may say, in milliseconds. Deadlines are
/// reckoned from now on, and must not overflow.
pub(super) const DAY: u64 = 24 * 60 * 60 * 1000;
/// A sandbox's memory is addressed with 32 bits.
pub(super) const MAX_MEMORY: u64 = 4 << 30;
/// Each reserves address space; this many still fit it.
pub(super) const MAX_SANDBOXES: u64 = 10_000;
const MAX_BODY: u64 = 1 << 30;
const MAX_COUNT: u64 = 1_000_000;
/// Each is some series of numbers that somebody keeps.
const MAX_SERIES: u64 = 100_000;
/// One tenant's executions on record.
pub(super) const MAX_EXECUTIONS: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * 1000;
/// How long executions are kept at most, in milliseconds.
const TEN_YEARS: u64 = 3650 * DAY;
/// The engine's own machine code and some scripts'.
const MIN_CACHE: u64 = 64 << 20;
/// With the tenant's id, what PostgreSQL's index takes of a row.
const MAX_KEY: u64 = 2 << 10;
const MAX_CACHE: u64 = 1 << 50;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    scripts_enabled: Option<bool>,
    data: Option<PathBuf>,
    cache_size: Option<Spanned<Scalar>>,
    store: StoreTable,
    database: Option<Spanned<DatabaseTable>>,
    server: ServerTable,
    limits: BTreeMap<Spanned<String>, Spanned<Scalar>>,
    quotas: BTreeMap<Spanned<String>, Spanned<Scalar>>,
    sandboxes: SandboxTable,
    http: HttpTable,
    executions: ExecutionTable,
    events: EventTable,
    queue: QueueTable,
    schedules: SchedulesTable,
    metrics: MetricsTable,
    traces: TracesTable,
    smtp: Option<SmtpTable>,
    secrets: SecretsTable,
    tenants: Vec<TenantTable>,
    roles: BTreeMap<String, Vec<Spanned<String>>>,
    users: Vec<UserTable>,
    auth: AuthTable,
    service_accounts: Vec<AccountTable>,
    tables: BTreeMap<Spanned<String>, Needs>,
    services: BTreeMap<Spanned<String>, Spanned<ServiceTable>>,
    scripts: Vec<ScriptTable>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ServerTable {
    listen: Option<Spanned<String>>,
    max_body: Option<Spanned<Scalar>>,
    header_timeout: Option<Spanned<Scalar>>,
    body_timeout: Option<Spanned<Scalar>>,
    max_connections: Option<Spanned<Scalar>>,
    max_requests: Option<Spanned<Scalar>>,
    shutdown_grace: Option<Spanned<Scalar>>,
    access_log: Option<bool>,
    tls: Option<TlsTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    certificate: Spanned<PathBuf>,
    key: Spanned<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SandboxTable {
    count: Option<Spanned<Scalar>>,
    wait: Option<Spanned<Scalar>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpTable {
    private_networks: Vec<Spanned<String>>,
    user_agent: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ExecutionTable {
    record: Option<bool>,
    keep: Option<Spanned<Scalar>>,
    max_per_tenant: Option<Spanned<Scalar>>,
    max_bytes_per_tenant: Option<Spanned<Scalar>>,
    max_result: Option<Spanned<Scalar>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EventTable {
    keep: Option<Spanned<Scalar>>,
    nats: Option<Spanned<NatsTable>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MetricsTable {
    listen: Option<Spanned<String>>,
    max_tenants: Option<Spanned<Scalar>>,
    max_scripts: Option<Spanned<Scalar>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TracesTable {
    endpoint: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SmtpTable {
    url: Spanned<String>,
    from: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantTable {
    id: Spanned<String>,
    name: Option<String>,
    schema: Option<Spanned<PathBuf>>,
    seed: Option<Spanned<PathBuf>>,
    quotas: Option<BTreeMap<Spanned<String>, Spanned<Scalar>>>,
    executions: Option<RetentionTable>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RetentionTable {
    keep: Option<Spanned<Scalar>>,
    max_per_tenant: Option<Spanned<Scalar>>,
    max_bytes_per_tenant: Option<Spanned<Scalar>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserTable {
    id: Spanned<String>,
    tenant: Spanned<String>,
    #[serde(default)]
    email: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    permissions: Vec<Spanned<String>>,
    #[serde(default)]
    roles: Vec<Spanned<String>>,
    token: Option<Spanned<String>>,
    token_sha256: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountTable {
    id: Spanned<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    permissions: Vec<Spanned<String>>,
    #[serde(default)]
    roles: Vec<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SecretsTable {
    keys: Vec<KeyTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptTable {
    name: Spanned<String>,
    file: Spanned<PathBuf>,
    #[serde(default, rename = "type")]
    kind: ScriptKind,
    entry: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    methods: Option<Spanned<Vec<Spanned<String>>>>,
    event: Option<Spanned<Subscription>>,
    cron: Option<Spanned<CronTable>>,
    tenants: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    grants: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
    run_as: Option<Spanned<String>>,
    timeout: Option<Spanned<Scalar>>,
    memory: Option<Spanned<Scalar>>,
    fuel: Option<Spanned<Scalar>>,
    permission: Option<Spanned<String>>,
    public: Option<Spanned<bool>>,
    webhook: Option<Spanned<Webhook>>,
}

/// A number, or text such as `30s`; kept as text.
pub(super) struct Scalar(pub String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Scalar;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a whole number, or text such as `\"30s\"` or `\"128MiB\"`")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// Settings whose files have not been looked for yet.
#[derive(Debug)]
pub(super) struct Checked {
    pub settings: Settings,
    text: String,
    path: PathBuf,
    files: Vec<Spanned<PathBuf>>,
}

impl Checked {
    /// The settings, if every file that they name is there.
    pub fn files_exist(self) -> Result<Settings, SettingsError> {
        for file in &self.files {
            if !file.as_ref().is_file() {
                let message = format!("the file `{}` does not exist", file.as_ref().display());
                let fault =
                    Fault::new(file.span(), message).help("relative paths count from the folder of the settings file");
                return Err(SettingsError::at(&self.text, &self.path, fault));
            }
        }
        Ok(self.settings)
    }
}

/// Reads and checks the text. `path` is for messages, `folder` for what is
/// relative in it.
pub(super) fn parse(
    text: &str,
    path: &Path,
    folder: &Path,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Checked, SettingsError> {
    let at = |fault| SettingsError::at(text, path, fault);
    let file: File = toml::from_str(text).map_err(|error| at(Fault { unread: true, ..syntax(&error) }))?;
    let mut reader = Reader { folder, files: Vec::new() };
    let mut settings = reader.general(&file, variable).map_err(at)?;
    environment::apply(&mut settings, variable)?;
    settings.database = database::read(file.database.as_ref(), variable, at)?;
    settings.store = store::read(&file.store, variable, settings.database.as_ref(), at)?;
    settings.events.nats = nats::read(file.events.nats.as_ref(), variable, at)?;
    reader.people(&file, &mut settings).map_err(at)?;
    let general = settings.limits.clone();
    reader.scripts(&file, &general, &mut settings).map_err(at)?;
    Ok(Checked { settings, text: text.to_owned(), path: path.to_owned(), files: reader.files })
}

/// What the TOML reader found, in the words of someone who writes settings.
fn syntax(error: &toml::de::Error) -> Fault {
    let message = error.message();
    let span = error.span().unwrap_or(0..0);
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field") {
        let unknown = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        return unknown_key(span, unknown, &known);
    }
    if message.starts_with("missing field") {
        let missing = quoted.next().unwrap_or_default();
        return Fault::new(span, format!("this table lacks `{missing}`"));
    }
    Fault::new(span, message.trim_end().replace('\n', "; "))
}

fn unknown_key(span: Range<usize>, unknown: &str, known: &[&str]) -> Fault {
    let fault = Fault::new(span, format!("unknown key `{unknown}`"));
    match closest(unknown, known) {
        Some(known) => fault.help(format!("did you mean `{known}`?")),
        None => fault.help(format!("known here: {}", listed(known))),
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

struct Reader<'a> {
    folder: &'a Path,
    /// Every file that must exist, resolved.
    files: Vec<Spanned<PathBuf>>,
}

impl Reader<'_> {
    fn general(&mut self, file: &File, variable: &impl Fn(&str) -> Option<String>) -> Result<Settings, Fault> {
        let mut settings = Settings::default();
        settings.scripts_enabled = file.scripts_enabled.unwrap_or(settings.scripts_enabled);
        settings.data = self.folder.join(file.data.as_ref().unwrap_or(&settings.data));
        size(&file.cache_size, MIN_CACHE..=MAX_CACHE, &mut settings.cache_size)?;

        let server = &mut settings.server;
        if let Some(table) = &file.server.tls {
            let (certificate, key) = (self.file(Some(&table.certificate)), self.file(Some(&table.key)));
            server.tls = certificate.zip(key).map(|(certificate, key)| TlsSettings { certificate, key });
        }
        if let Some(listen) = &file.server.listen {
            server.listen = address(listen)?;
        }
        size(&file.server.max_body, 1..=MAX_BODY, &mut server.max_body)?;
        duration(&file.server.header_timeout, &mut server.header_timeout)?;
        duration(&file.server.body_timeout, &mut server.body_timeout)?;
        duration(&file.server.shutdown_grace, &mut server.shutdown_grace)?;
        server.access_log = file.server.access_log.unwrap_or(server.access_log);
        for (setting, value) in [
            (&file.server.max_connections, &mut server.max_connections),
            (&file.server.max_requests, &mut server.max_requests),
        ] {
            *value = count(setting, 1..=MAX_COUNT)?.map_or(*value, |count| count as usize);
        }

        for (name, value) in &file.limits {
            let Some(limit) = Limit::ALL.iter().find(|limit| limit.name() == name.as_ref()) else {
                if Quota::named(name.as_ref()).is_some() {
                    return Err(Fault::new(name.span(), format!("`{}` is a quota", name.as_ref()))
                        .help("a limit bounds one call, a quota all of a tenant's: it stands in [quotas]"));
                }
                let known: Vec<&str> = Limit::ALL.iter().map(|limit| limit.name()).collect();
                return Err(unknown_key(name.span(), name.as_ref(), &known));
            };
            settings.limits.set(*limit, limit_value(*limit, value)?);
        }

        quotas(&file.quotas, &mut settings.quotas)?;

        if let Some(count) = count(&file.sandboxes.count, 1..=MAX_SANDBOXES)? {
            settings.sandboxes.count = count as u32;
        }
        duration(&file.sandboxes.wait, &mut settings.sandboxes.wait)?;

        settings.http.private_networks = file.http.private_networks.iter().map(network).collect::<Result<_, _>>()?;
        if let Some(user_agent) = &file.http.user_agent {
            settings.http.user_agent = header_text(user_agent)?;
        }
        executions(&file.executions, &mut settings.executions)?;
        keep(&file.events.keep, &mut settings.events.keep)?;
        queue::read(&file.queue, &mut settings.queue)?;
        settings.schedules = schedules::read(&file.schedules)?;
        let metrics = &mut settings.metrics;
        metrics.listen = file.metrics.listen.as_ref().map(address).transpose()?;
        for (setting, value) in [
            (&file.metrics.max_tenants, &mut metrics.max_tenants),
            (&file.metrics.max_scripts, &mut metrics.max_scripts),
        ] {
            *value = count(setting, 1..=MAX_SERIES)?.map_or(*value, |count| count as usize);
        }
        settings.traces = file.traces.endpoint.as_ref().map(collector).transpose()?;
        settings.smtp = file.smtp.as_ref().map(smtp).transpose()?;
        settings.secrets = Keys(environment::SECRETS.of_file(&file.secrets.keys)?.into());
        settings.jwt = jwt::read(&file.auth, self.folder, &mut self.files)?;
        for (name, needs) in &file.tables {
            settings.tables.insert(name.as_ref().clone(), needs.clone());
        }
        for (name, service) in &file.services {
            if !is_identifier(name.as_ref()) {
                let message = format!("`{}` cannot be a service's name", name.as_ref());
                return Err(Fault::new(name.span(), message)
                    .help("scripts write it as `services.name`: use letters, digits and `_`"));
            }
            settings.services.insert(name.as_ref().clone(), services::settings(name, service, variable)?);
        }
        Ok(settings)
    }

    fn people(&mut self, file: &File, settings: &mut Settings) -> Result<(), Fault> {
        let mut ids = HashMap::new();
        for table in &file.tenants {
            let id = table.id.as_ref();
            if !is_tenant_id(id) {
                return Err(Fault::new(table.id.span(), format!("`{id}` cannot be a tenant's id")).help(
                    "an id names a file: use 1 to 64 letters, digits, `-`, `_` and `.`, and begin with a letter or digit",
                ));
            }
            // Some file systems do not tell `Acme` from `acme`.
            if let Some(other) = ids.insert(id.to_ascii_lowercase(), id) {
                return Err(Fault::new(table.id.span(), format!("there is a tenant `{other}` already")));
            }
            let mut own = None;
            if let Some(given) = &table.quotas {
                quotas(given, own.insert(settings.quotas.clone()))?;
            }
            if let Some(given) = &table.executions {
                let mut own = settings.executions.retention(id);
                retention([&given.keep, &given.max_per_tenant, &given.max_bytes_per_tenant], &mut own)?;
                settings.executions.own.insert(id.clone(), own);
            }
            settings.tenants.push(TenantSettings {
                tenant: Tenant { id: id.clone(), name: table.name.clone().unwrap_or_else(|| id.clone()) },
                schema: self.file(table.schema.as_ref()),
                seed: self.file(table.seed.as_ref()),
                quotas: own,
            });
        }

        let mut ids = HashMap::new();
        let mut tokens: HashMap<TokenDigest, &str> = HashMap::new();
        for table in &file.users {
            let id = words(&table.id, "a user's id")?;
            let tenant = tenant_of(settings, &table.tenant)?;
            if ids.insert((tenant.clone(), id.clone()), ()).is_some() {
                let message = format!("the tenant `{tenant}` has a user `{id}` already");
                return Err(Fault::new(table.id.span(), message));
            }
            let token = token(table)?;
            if let Some(other) = tokens.insert(token, table.id.as_ref()) {
                // Which of the two is calling could not be told.
                let message = format!("the users `{other}` and `{id}` have the same token");
                return Err(Fault::new(table.id.span(), message).help("give each user a token of their own"));
            }
            let permissions = permissions(&table.permissions, &table.roles, &file.roles)?;
            settings.users.push(UserSettings {
                tenant,
                user: User { id, email: table.email.clone(), name: table.name.clone(), permissions },
                token,
            });
        }

        for table in &file.service_accounts {
            let id = words(&table.id, "a service account's id")?;
            let taken = settings.users.iter().any(|user| user.user.id == id);
            if taken || settings.service_accounts.iter().any(|account| account.id == id) {
                let message = format!("there is a user or service account `{id}` already");
                return Err(Fault::new(table.id.span(), message).help("logs could not tell them apart"));
            }
            let permissions = permissions(&table.permissions, &table.roles, &file.roles)?;
            let user = User { id, name: table.name.clone(), email: String::new(), permissions };
            settings.service_accounts.push(user);
        }
        Ok(())
    }

    fn scripts(&mut self, file: &File, general: &Limits, settings: &mut Settings) -> Result<(), Fault> {
        for table in &file.scripts {
            let script = self.script(table, general, settings)?;
            let span = table.path.as_ref().unwrap_or(&table.name).span();
            for other in &settings.scripts {
                if other.name == script.name {
                    let message = format!("there is a script `{}` already", script.name);
                    return Err(Fault::new(table.name.span(), message));
                }
                collision(other, &script, settings).map_or(Ok(()), |message| {
                    Err(Fault::new(span.clone(), message).help("change the path, the methods or the tenants of one"))
                })?;
            }
            settings.scripts.push(Arc::new(script));
        }
        Ok(())
    }

    fn script(&mut self, table: &ScriptTable, general: &Limits, settings: &Settings) -> Result<ScriptSettings, Fault> {
        let name = script_name(&table.name)?;
        let mut limits = general.clone();
        for (limit, value) in
            [(Limit::Timeout, &table.timeout), (Limit::Memory, &table.memory), (Limit::Fuel, &table.fuel)]
        {
            if let Some(value) = value {
                limits.set(limit, limit_value(limit, value)?);
            }
        }
        let tenants = match &table.tenants {
            None => None,
            Some(tenants) if tenants.as_ref().is_empty() => {
                return Err(Fault::new(tenants.span(), "no tenant has this script")
                    .help("name one, or leave `tenants` out for all of them"));
            }
            Some(tenants) => Some(tenants.as_ref().iter().map(|id| tenant_of(settings, id)).collect::<Result<_, _>>()?),
        };
        let public = table.public.as_ref().is_some_and(|public| *public.as_ref());
        if let (true, Some(permission)) = (public, &table.permission) {
            return Err(Fault::new(permission.span(), "a public script has callers without permissions")
                .help("leave out `permission` or `public`"));
        }
        let webhook = webhook(table)?;
        Ok(ScriptSettings {
            route: route(table)?,
            event: subscription(table)?,
            name,
            file: self.file(Some(&table.file)).unwrap_or_default(),
            shown_file: table.file.as_ref().display().to_string(),
            kind: table.kind,
            entry: table.entry.as_ref().map(|entry| word(entry, "the name of a function")).transpose()?,
            cron: schedules::cron(table.kind, table.cron.as_ref())?,
            tenants,
            grants: grants(table)?,
            run_as: table.run_as.as_ref().map(|id| account_of(settings, id)).transpose()?,
            limits,
            permission: table.permission.as_ref().map(|permission| word(permission, "a permission")).transpose()?,
            public: public || webhook.is_some(),
            webhook: webhook.map(Arc::new),
        })
    }

    fn file(&mut self, file: Option<&Spanned<PathBuf>>) -> Option<PathBuf> {
        let file = file?;
        let resolved = self.folder.join(file.as_ref());
        self.files.push(Spanned::new(file.span(), resolved.clone()));
        Some(resolved)
    }
}

/// What the roles and the list itself say, each once.
fn permissions(
    own: &[Spanned<String>],
    names: &[Spanned<String>],
    roles: &BTreeMap<String, Vec<Spanned<String>>>,
) -> Result<Permissions, Fault> {
    let mut all = Vec::new();
    for name in names {
        let Some(role) = roles.get(name.as_ref()) else {
            let known: Vec<&str> = roles.keys().map(String::as_str).collect();
            return Err(unknown_name(name, "role", "[roles]", &known));
        };
        all.extend(role);
    }
    all.extend(own);
    if all.len() > MOST {
        let last = all.last().map_or(0..0, |last| last.span());
        return Err(Fault::new(last, format!("somebody has at most {MOST} permissions"))
            .help("`reports.*` stands for all that begins so"));
    }
    let texts = all.into_iter().map(|permission| words(permission, "a permission"));
    Ok(Permissions::new(texts.collect::<Result<Vec<_>, _>>()?))
}

fn grants(table: &ScriptTable) -> Result<grant::Lists, Fault> {
    let mut lists = grant::Lists::new();
    for (name, entries) in &table.grants {
        if !grant::LISTS.contains(&name.as_ref().as_str()) {
            return Err(unknown_key(name.span(), name.as_ref(), &grant::LISTS));
        }
        if entries.len() > grant::ENTRIES {
            return Err(Fault::new(name.span(), format!("a list has {} entries at most", grant::ENTRIES)));
        }
        let read = |entry: &Spanned<String>| {
            grant::read(name.as_ref(), entry.as_ref()).map_err(|reason| Fault::new(entry.span(), reason))
        };
        lists.insert(name.as_ref().clone(), entries.iter().map(read).collect::<Result<_, _>>()?);
    }
    Ok(lists)
}

fn account_of(settings: &Settings, id: &Spanned<String>) -> Result<String, Fault> {
    if settings.service_accounts.iter().any(|account| account.id == *id.as_ref()) {
        return Ok(id.as_ref().clone());
    }
    let known: Vec<&str> = settings.service_accounts.iter().map(|account| account.id.as_str()).collect();
    Err(unknown_name(id, "service account", "[[service_accounts]]", &known))
}

fn unknown_name(name: &Spanned<String>, what: &str, place: &str, known: &[&str]) -> Fault {
    let fault = Fault::new(name.span(), format!("there is no {what} `{}`", name.as_ref()));
    match closest(name.as_ref(), known) {
        Some(known) => fault.help(format!("did you mean `{known}`?")),
        None if known.is_empty() => fault.help(format!("add it under {place}")),
        None => fault.help(format!("known here: {}", listed(known))),
    }
}

fn route(table: &ScriptTable) -> Result<Option<Route>, Fault> {
    if table.kind != ScriptKind::Http {
        let useless = [
            ("path", table.path.as_ref().map(Spanned::span)),
            ("methods", table.methods.as_ref().map(Spanned::span)),
            ("public", table.public.as_ref().map(Spanned::span)),
            ("webhook", table.webhook.as_ref().map(Spanned::span)),
        ];
        return match useless.into_iter().find_map(|(key, span)| Some((key, span?))) {
            None => Ok(None),
            Some((key, span)) => Err(Fault::new(span, format!("`{key}` is for scripts of type `http`"))
                .help("add `type = \"http\"`, or leave it out")),
        };
    }
    let pattern = match &table.path {
        Some(path) => Pattern::parse(path.as_ref()).map_err(|reason| Fault::new(path.span(), reason))?,
        None => Pattern::parse(&format!("/{}", table.name.as_ref())).map_err(|_| {
            Fault::new(table.name.span(), "this script's name cannot serve as its path")
                .help("give it one, such as `path = \"/sales-report\"`")
        })?,
    };
    let methods = match &table.methods {
        None => vec![Method::GET, Method::POST],
        Some(methods) if methods.as_ref().is_empty() => {
            return Err(Fault::new(methods.span(), "a script without methods is never called")
                .help("leave `methods` out for GET and POST"));
        }
        Some(methods) => methods.as_ref().iter().map(method).collect::<Result<_, _>>()?,
    };
    Ok(Some(Route { pattern, methods }))
}

fn webhook(table: &ScriptTable) -> Result<Option<Rule>, Fault> {
    let Some(webhook) = &table.webhook else { return Ok(None) };
    if table.permission.is_some() || table.public.is_some() {
        return Err(Fault::new(webhook.span(), "a webhook is called with a signature and by no user")
            .help("leave out `permission` and `public`, or `webhook`"));
    }
    let refused = |(field, message): (&str, String)| {
        Fault::new(webhook.span(), format!("`{field}` of this webhook is not sound")).help(message)
    };
    webhook.as_ref().check().map(Some).map_err(refused)
}

/// A script of the type `event` that names none runs only when it is called.
fn subscription(table: &ScriptTable) -> Result<Option<Subscription>, Fault> {
    let Some(event) = &table.event else { return Ok(None) };
    if table.kind != ScriptKind::Event {
        return Err(Fault::new(event.span(), "`event` is for scripts of type `event`")
            .help("add `type = \"event\"`, or leave it out"));
    }
    let checked = event.as_ref().check();
    checked.map_err(|(field, message)| Fault::new(event.span(), format!("`{field}` is not sound")).help(message))?;
    Ok(Some(event.as_ref().clone()))
}

fn method(text: &Spanned<String>) -> Result<Method, Fault> {
    match text.as_ref().to_ascii_uppercase().as_str() {
        "GET" => Ok(Method::GET),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        "PATCH" => Ok(Method::PATCH),
        "DELETE" => Ok(Method::DELETE),
        name @ ("HEAD" | "OPTIONS") => Err(Fault::new(text.span(), format!("{name} needs no script"))
            .help("the host serves HEAD from GET and answers OPTIONS itself")),
        _ => Err(Fault::new(text.span(), format!("`{}` is not a method", text.as_ref()))
            .help("known here: GET, POST, PUT, PATCH, DELETE")),
    }
}

/// Why one tenant could not tell two scripts' routes apart.
fn collision(one: &ScriptSettings, other: &ScriptSettings, settings: &Settings) -> Option<String> {
    let (left, right) = (one.route.as_ref()?, other.route.as_ref()?);
    if !left.pattern.same_paths(&right.pattern) {
        return None;
    }
    let method = left.methods.iter().find(|method| right.methods.contains(method))?;
    let mut tenants = settings.tenants.iter().map(|known| known.tenant.id.as_str());
    let shared = tenants.find(|id| one.belongs_to(id) && other.belongs_to(id));
    // Without tenants there is nobody to confuse yet, but soon will be.
    let whose = match shared {
        Some(id) => format!(" for the tenant `{id}`"),
        None if one.tenants.is_none() && other.tenants.is_none() => String::new(),
        None => return None,
    };
    Some(format!("`{}` and `{}` both serve {method} {}{whose}", one.name, other.name, right.pattern))
}

fn tenant_of(settings: &Settings, id: &Spanned<String>) -> Result<String, Fault> {
    if settings.tenant(id.as_ref()).is_some() {
        return Ok(id.as_ref().clone());
    }
    let known: Vec<&str> = settings.tenants.iter().map(|known| known.tenant.id.as_str()).collect();
    Err(unknown_name(id, "tenant", "[[tenants]]", &known))
}

/// Points at the user's id, not at the token: the place is printed.
fn token(table: &UserTable) -> Result<TokenDigest, Fault> {
    let fault = |message: &str, help: &str| Err(Fault::new(table.id.span(), message).help(help));
    match (&table.token, &table.token_sha256) {
        (None, None) => fault(
            "this user has no token",
            "add `token = \"…\"`, or `token_sha256 = \"…\"` with the SHA-256 of one in hexadecimal",
        ),
        (Some(_), Some(_)) => fault("this user has both `token` and `token_sha256`", "leave one out"),
        (Some(token), None) => {
            let token = token.as_ref();
            // What a header cannot carry could never be sent.
            if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return fault(
                    "this user's token is empty or has characters that a header cannot carry",
                    "use letters, digits and punctuation, without spaces",
                );
            }
            Ok(TokenDigest::of(token.as_bytes()))
        }
        (None, Some(digest)) => {
            match hexadecimal::decode(digest.as_ref()).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
                Some(digest) => Ok(TokenDigest(digest)),
                None => fault(
                    "this user's `token_sha256` is not a SHA-256",
                    "it is 64 hexadecimal digits, as `printf %s TOKEN | sha256sum` prints",
                ),
            }
        }
    }
}

fn limit_value(limit: Limit, value: &Spanned<Scalar>) -> Result<u64, Fault> {
    let parsed = limit.parse(&value.as_ref().0).map_err(|reason| Fault::new(value.span(), reason))?;
    let refuse = |message: String| Err(Fault::new(value.span(), message));
    // Whether it is a time shows in how it is spelt.
    let is_time = limit.parse("1s").is_ok();
    match limit {
        Limit::Timeout | Limit::Memory if parsed == 0 => {
            refuse(format!("the limit on {} cannot be 0: no script could run", limit.name()))
        }
        Limit::Memory if parsed > MAX_MEMORY => refuse(format!("a sandbox has at most {}", limit.show(MAX_MEMORY))),
        Limit::StorageKeyBytes if parsed > MAX_KEY => {
            refuse(format!("an index takes keys of at most {}", limit.show(MAX_KEY)))
        }
        _ if is_time && parsed > DAY => refuse(format!("the longest time is {}", limit.show(DAY))),
        _ => Ok(parsed),
    }
}

fn quotas(given: &BTreeMap<Spanned<String>, Spanned<Scalar>>, quotas: &mut Quotas) -> Result<(), Fault> {
    for (name, value) in given {
        let Some(quota) = Quota::named(name.as_ref()) else {
            let known: Vec<&str> = Quota::ALL.iter().map(|quota| quota.name()).collect();
            return Err(unknown_key(name.span(), name.as_ref(), &known));
        };
        let parsed = quota.parse(&value.as_ref().0).map_err(|reason| Fault::new(value.span(), reason))?;
        if quota == Quota::ConcurrentCalls && parsed == 0 {
            return Err(Fault::new(value.span(), "no script could run").help(
                "take a script from a tenant with the script's `tenants`, or switch all off with `scripts_enabled`",
            ));
        }
        quotas.set(quota, parsed);
    }
    Ok(())
}

/// Durations and sizes outside of the limits are spelt as limits are.
pub(super) fn duration(setting: &Option<Spanned<Scalar>>, value: &mut Duration) -> Result<(), Fault> {
    if let Some(setting) = setting {
        let parsed = Limit::Timeout.parse(&setting.as_ref().0);
        let milliseconds = parsed.map_err(|reason| Fault::new(setting.span(), reason))?;
        if !(1..=DAY).contains(&milliseconds) {
            let most = Limit::Timeout.show(DAY);
            return Err(Fault::new(setting.span(), format!("this takes a time from 1ms to {most}")));
        }
        *value = Duration::from_millis(milliseconds);
    }
    Ok(())
}

fn size(setting: &Option<Spanned<Scalar>>, range: std::ops::RangeInclusive<u64>, value: &mut u64) -> Result<(), Fault> {
    if let Some(setting) = setting {
        let bytes = Limit::Memory.parse(&setting.as_ref().0).map_err(|reason| Fault::new(setting.span(), reason))?;
        if !range.contains(&bytes) {
            let (least, most) = (Limit::Memory.show(*range.start()), Limit::Memory.show(*range.end()));
            return Err(Fault::new(setting.span(), format!("this takes a size from {least} to {most}")));
        }
        *value = bytes;
    }
    Ok(())
}

pub(super) fn count(
    setting: &Option<Spanned<Scalar>>,
    range: std::ops::RangeInclusive<u64>,
) -> Result<Option<u64>, Fault> {
    let Some(setting) = setting else { return Ok(None) };
    match setting.as_ref().0.replace('_', "").parse::<u64>() {
        Ok(count) if range.contains(&count) => Ok(Some(count)),
        _ => {
            let message = format!("this takes a whole number from {} to {}", range.start(), range.end());
            Err(Fault::new(setting.span(), message))
        }
    }
}

fn address(text: &Spanned<String>) -> Result<SocketAddr, Fault> {
    text.as_ref().parse().map_err(|_| {
        Fault::new(text.span(), format!("`{}` is not an address and port", text.as_ref()))
            .help("write it as `127.0.0.1:8080`, or `0.0.0.0:8080` for every interface")
    })
}

/// Where spans go.
fn collector(text: &Spanned<String>) -> Result<String, Fault> {
    let url = Url::parse(text.as_ref()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.map(String::from).ok_or_else(|| {
        Fault::new(text.span(), "this is not the address of a collector")
            .help("write it as `http://127.0.0.1:4318/v1/traces`")
    })
}

fn network(text: &Spanned<String>) -> Result<IpNet, Fault> {
    let parsed = text.as_ref().parse().or_else(|_| text.as_ref().parse::<std::net::IpAddr>().map(IpNet::from));
    parsed.map_err(|_| {
        Fault::new(text.span(), format!("`{}` is not a network", text.as_ref())).help("write it as `10.1.2.0/24`")
    })
}

fn executions(table: &ExecutionTable, settings: &mut ExecutionSettings) -> Result<(), Fault> {
    settings.record = table.record.unwrap_or(settings.record);
    let mut general = settings.retention("");
    retention([&table.keep, &table.max_per_tenant, &table.max_bytes_per_tenant], &mut general)?;
    let Retention { keep, max_per_tenant, max_bytes_per_tenant } = general;
    size(&table.max_result, 0..=MAX_BODY, &mut settings.max_result)?;
    *settings = ExecutionSettings { keep, max_per_tenant, max_bytes_per_tenant, ..settings.clone() };
    Ok(())
}

/// `keep`, `max_per_tenant` and `max_bytes_per_tenant`.
fn retention(given: [&Option<Spanned<Scalar>>; 3], settings: &mut Retention) -> Result<(), Fault> {
    let [time, executions, bytes] = given;
    keep(time, &mut settings.keep)?;
    if let Some(count) = count(executions, 1..=MAX_EXECUTIONS)? {
        settings.max_per_tenant = count;
    }
    size(bytes, 1 << 20..=1 << 50, &mut settings.max_bytes_per_tenant)
}

/// How long something is kept.
pub(super) fn keep(setting: &Option<Spanned<Scalar>>, value: &mut Duration) -> Result<(), Fault> {
    let Some(keep) = setting else { return Ok(()) };
    let read = humantime::parse_duration(&keep.as_ref().0)
        .ok()
        .filter(|time| (MINUTE..=TEN_YEARS).contains(&u64::try_from(time.as_millis()).unwrap_or(u64::MAX)));
    *value = read.ok_or_else(|| {
        Fault::new(keep.span(), "this takes a time from `1m` to ten years").help("write it as `30d` or `12h`")
    })?;
    Ok(())
}

fn smtp(table: &SmtpTable) -> Result<SmtpSettings, Fault> {
    let url =
        Url::parse(table.url.as_ref()).ok().filter(|url| matches!(url.scheme(), "smtp" | "smtps") && url.has_host());
    if url.is_none() {
        return Err(Fault::new(table.url.span(), "this is not the URL of a mail server")
            .help("write it as `smtps://user:password@mail.example.com`"));
    }
    let from = table.from.as_ref().map(header_text).transpose()?;
    Ok(SmtpSettings { url: table.url.as_ref().clone(), from })
}

/// Text that can stand in a header.
fn header_text(text: &Spanned<String>) -> Result<String, Fault> {
    words(text, "this")
}

/// Text that is not empty and stays on its line, in logs as in headers.
pub(super) fn words(text: &Spanned<String>, what: &str) -> Result<String, Fault> {
    let value = text.as_ref();
    if value.trim().is_empty() {
        return Err(Fault::new(text.span(), format!("{what} cannot be empty")));
    }
    if value.chars().any(char::is_control) || value.len() > 512 {
        return Err(Fault::new(
            text.span(),
            format!("{what} is at most 512 bytes, without line breaks or control characters"),
        ));
    }
    Ok(value.clone())
}

/// As those have it that tenants keep.
fn script_name(name: &Spanned<String>) -> Result<String, Fault> {
    if draft::is_name(name.as_ref()) {
        return Ok(name.as_ref().clone());
    }
    Err(Fault::new(name.span(), format!("`{}` cannot be a script's name", name.as_ref())).help(
        "use 1 to 100 letters, digits, spaces, `-`, `_` and `.`, begin with a letter or digit, and write no UUID",
    ))
}

fn word(text: &Spanned<String>, what: &str) -> Result<String, Fault> {
    if draft::is_word(text.as_ref()) {
        return Ok(text.as_ref().clone());
    }
    Err(Fault::new(text.span(), format!("this is not {what}"))
        .help(format!("it has 1 to {} characters, and no spaces among them", draft::WORD)))
}

fn is_tenant_id(id: &str) -> bool {
    id.len() <= 64
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

pub(super) fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
