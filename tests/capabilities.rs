//! A folder is a test: `tests/capabilities/<capability>/<case>/` holds the
//! script, `case.toml` with what it is given, and `expected.json`.
//!
//! All cases share two hosts, one that may reach the loopback network and one
//! that may not; each case is a tenant of its own. The cases of `db` run on
//! PostgreSQL as well, each in a database of its own, whose tables
//! `schema.postgres.sql` makes; `{tenant}` in it is the case's tenant. Where the
//! two databases truly differ there is an `expected.postgres.json`. The cases of
//! what the host keeps itself, such as storage, run once more on a host that
//! keeps it in PostgreSQL.
//!
//! | in `expected.json` | is compared |
//! |---|---|
//! | `status`, `result` | exactly; an absent result is none |
//! | `error`, `after` | the members that are named, where null is also one that is not there; an absent error is none |
//! | `logs` | line by line, the members that are named; absent is no line |
//! | `host_calls`, `memory_bytes` | where they are named |
//! | `compile` | whether it failed at compile time |
//!
//! A case of several runs has them under `runs`. `after` is what was left in
//! the outbox and the mail queue, and what the test server saw. `<any>`,
//! `<uuid>`, `<iso-date>` and `<number>` stand for such text, also inside of a
//! text; `{server}` is the test server and `{origin}` its
//! scheme, host and port, `{address}` without the scheme.
//!
//! `UPDATE=1 cargo test --test capabilities` writes anew what does not match.
//! Read what it wrote: it knows what happens, not what should.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use airlock::capabilities::Grant;
use airlock::capabilities::grant::{Allowed, Lists, Operator};
use airlock::capabilities::services::remote::{Backend, Endpoint, SigningKey};
use airlock::compile::{self, CompileError};
use airlock::host::{Host, Run};
use airlock::runtime::limits::{Limit, Limits};
use airlock::runtime::sandbox::Program;
use airlock::settings::{ServiceKind, ServiceSettings, Settings, StoreSettings};
use airlock::store::Store;
use airlock::tenant::quota::{Quota, Quotas};
use airlock::tenant::{Execution, Identity, Script, Tenant, User};
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use support::compare;
use support::postgres;
use support::server::Server;

/// `case.toml`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Case {
    /// The script's file name, which stacks and log lines show.
    file: String,
    /// SQL that makes the tenant's tables.
    schema: String,
    /// The limits that differ from the defaults.
    limits: BTreeMap<String, toml::Value>,
    /// Whether these hold while the script is compiled, too.
    limits_at_compile_time: bool,
    /// The quotas of its tenants that differ from the defaults.
    quotas: BTreeMap<String, toml::Value>,
    /// The hosts that it is granted.
    http: Vec<String>,
    /// What the operator grants; None has it run as its author would, with all
    /// that it declares.
    grants: Option<Lists>,
    /// The tenants' secrets.
    secrets: BTreeMap<String, String>,
    /// The one tenant that has them; None is all.
    secrets_of: Option<String>,
    /// Whether the host may reach the loopback network.
    private: bool,
    /// How often each run is made.
    repeat: usize,
    /// All runs must burn the same fuel.
    fuel_same: bool,
    /// No member of a run's result may be that of another run's.
    distinct: bool,
    /// What the one run is given, where there are no `runs`.
    #[serde(flatten)]
    only: Given,
    runs: Vec<Given>,
}

impl Default for Case {
    fn default() -> Self {
        Case {
            file: "script.js".into(),
            schema: String::new(),
            limits: BTreeMap::new(),
            limits_at_compile_time: false,
            quotas: BTreeMap::new(),
            http: Vec::new(),
            grants: None,
            secrets: BTreeMap::new(),
            secrets_of: None,
            private: true,
            repeat: 1,
            fuel_same: false,
            distinct: false,
            only: Given::default(),
            runs: Vec::new(),
        }
    }
}

/// What one run is given.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Given {
    entry: Option<String>,
    input: Option<toml::Value>,
    /// The input's text as it is.
    input_text: Option<String>,
    /// An input of that many arrays in each other.
    input_nested: Option<usize>,
    /// The input is a text of that many bytes.
    input_bytes: Option<usize>,
    /// Another tenant than the other runs'.
    tenant: Option<String>,
    context: Context,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Context {
    tenant_name: Option<String>,
    user: Option<User>,
    /// As a schedule starts it.
    without_user: bool,
    script_type: Option<String>,
    triggered_by: Option<String>,
}

struct Harness {
    runtime: tokio::runtime::Runtime,
    host: Host,
    /// May not reach the loopback network.
    walled: Host,
    server: Server,
    data: tempfile::TempDir,
    update: bool,
}

/// What of a case is on PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnPostgres {
    Nothing,
    /// The tenants' tables.
    Tables,
    /// The host's own data.
    Store,
}

/// What these capabilities write is in the host's own database.
const STORED: &[&str] = &["events", "secrets", "services", "storage"];

/// Every case, and those that use a database on both: the trial's name, the
/// case's, its folder, and what is on PostgreSQL.
fn trials() -> Vec<(String, String, PathBuf, OnPostgres)> {
    let mut trials = Vec::new();
    for (name, folder) in support::folders(Path::new("tests/capabilities"), "script.js") {
        let capability = name.split("::").next().unwrap_or_default();
        let on_postgres = match capability {
            "db" => OnPostgres::Tables,
            stored if STORED.contains(&stored) => OnPostgres::Store,
            _ => {
                trials.push((name.clone(), name, folder, OnPostgres::Nothing));
                continue;
            }
        };
        for (suffix, on) in [("sqlite", OnPostgres::Nothing), ("postgres", on_postgres)] {
            trials.push((format!("{name}::{suffix}"), name.clone(), folder.clone(), on));
        }
    }
    trials
}

fn main() {
    let arguments = Arguments::from_args();
    if arguments.list {
        let trials = trials().into_iter().map(|(name, ..)| Trial::test(name, || Ok(()))).collect();
        libtest_mimic::run(&arguments, trials).exit();
    }
    let harness = Arc::new(Harness::new().expect("the hosts start"));
    let trials = trials()
        .into_iter()
        .map(|(trial, name, folder, on)| {
            let harness = harness.clone();
            Trial::test(trial, move || harness.case(&name, &folder, on).map_err(Failed::from))
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Leaves no folder behind.
    drop(harness);
    conclusion.exit();
}

/// The test server as a service, which answers with what it is sent.
fn backend(origin: &str) -> anyhow::Result<Backend> {
    let said = |reason: String| anyhow::anyhow!(reason);
    let key = SigningKey::new("a key of the tests, which is long".replace(' ', "-").as_str()).map_err(said)?;
    let mut backend = Backend::new(&format!("{origin}/services-backend"), key).map_err(said)?;
    for (name, method, path) in [
        ("echo", "POST", "/echo"),
        ("search", "GET", "/echo/{kind}"),
        ("order", "GET", "/orders/{status}"),
        ("never", "GET", "/never"),
        ("redirect", "GET", "/redirect"),
    ] {
        backend = backend.with(name, Endpoint::new(method, path, false).map_err(said)?);
    }
    Ok(backend)
}

impl Harness {
    fn new() -> anyhow::Result<Harness> {
        let update = std::env::var_os("UPDATE").is_some();
        anyhow::ensure!(!update || std::env::var_os("CI").is_none(), "UPDATE is not for CI");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let data = tempfile::tempdir()?;
        let (host, walled, server) = runtime.block_on(async {
            let server = Server::start().await?;
            let mut settings = with_backend(&server)?;
            settings.data = data.path().join("walled");
            let walled = Host::builder(settings.clone()).cache(support::cache()).open().await?;
            settings.data = data.path().join("open");
            settings.http.private_networks = vec![LOOPBACK.parse()?];
            let host = Host::builder(settings).cache(support::cache()).open().await?;
            anyhow::Ok((host, walled, server))
        })?;
        Ok(Harness { runtime, host, walled, server, data, update })
    }

    fn case(&self, name: &str, folder: &Path, on: OnPostgres) -> Result<(), String> {
        let address = self.server.address(name);
        let read = |file: &str| {
            let path = folder.join(file);
            let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok::<_, String>(text.replace("{server}", &address).replace("{origin}", self.server.origin()))
        };
        let script = read("script.js")?;
        let case: Case = match folder.join("case.toml").exists() {
            true => toml::from_str(&read("case.toml")?).map_err(|error| format!("case.toml: {error}"))?,
            false => Case::default(),
        };
        let actual = self.runtime.block_on(async {
            let said = |error: anyhow::Error| format!("{error:#}");
            match on {
                OnPostgres::Nothing => {
                    let host = if case.private { &self.host } else { &self.walled };
                    self.run(host, name, &script, &case).await
                }
                OnPostgres::Tables => {
                    let schema = match folder.join("schema.postgres.sql").exists() {
                        true => read("schema.postgres.sql")?.replace("{tenant}", &name.replace("::", "-")),
                        false => String::new(),
                    };
                    let host = self.on_postgres(name, &schema).await.map_err(said)?;
                    self.run(&host, name, &script, &Case { schema: String::new(), ..case.clone() }).await
                }
                OnPostgres::Store => {
                    let host = self.stored_in_postgres(name, case.private).await.map_err(said)?;
                    self.run(&host, name, &script, &case).await
                }
            }
        })?;
        // Numbers beyond 2^53 are not expected in any case.
        let shown = actual
            .to_string()
            .replace(&address, "{server}")
            .replace(self.server.origin(), "{origin}")
            .replace(self.server.host(), "{address}");
        let actual: Value = serde_json::from_str(&shown).map_err(|error| error.to_string())?;

        let own = folder.join("expected.postgres.json");
        let path = match on {
            OnPostgres::Tables if own.exists() => own,
            _ => folder.join("expected.json"),
        };
        let expected = std::fs::read_to_string(&path).unwrap_or_else(|_| "null".into());
        let expected: Value = serde_json::from_str(&expected).map_err(|error| format!("expected.json: {error}"))?;
        let mut differences = compare::cases(&expected, &actual);
        if !differences.is_empty() && self.update {
            let text = serde_json::to_string_pretty(&compare::worth_keeping(&actual)).unwrap_or_default();
            std::fs::write(&path, text + "\n").map_err(|error| error.to_string())?;
            differences.clear();
        }
        differences.extend(compare::across_runs(&actual, case.fuel_same, case.distinct));
        if differences.is_empty() {
            return Ok(());
        }
        let got = serde_json::to_string_pretty(&actual).unwrap_or_default();
        Err(format!("{}\n\nWhat came out:\n{got}", differences.join("\n")))
    }

    /// A host with a PostgreSQL database of its own.
    async fn on_postgres(&self, name: &str, schema: &str) -> anyhow::Result<Host> {
        let mut settings = settings()?;
        settings.data = self.folder(name);
        settings.database = Some(postgres::database(schema).await?);
        Host::builder(settings).cache(support::cache()).open().await
    }

    /// A host that keeps its own data in a PostgreSQL database of its own.
    async fn stored_in_postgres(&self, name: &str, private: bool) -> anyhow::Result<Host> {
        let mut settings = with_backend(&self.server)?;
        settings.data = self.folder(name);
        settings.store = Some(StoreSettings { url: postgres::empty().await?.into(), connections: 4 });
        if private {
            settings.http.private_networks = vec![LOOPBACK.parse()?];
        }
        Host::builder(settings).cache(support::cache()).open().await
    }

    /// The data of a host that is a case's own.
    fn folder(&self, name: &str) -> PathBuf {
        self.data.path().join(name.replace("::", "-"))
    }

    async fn run(&self, host: &Host, name: &str, script: &str, case: &Case) -> Result<Value, String> {
        let limits = Arc::new(limits(&case.limits)?);
        let base = name.replace("::", "-");
        let tenant_of = |given: &Given| match &given.tenant {
            Some(other) => format!("{base}-{other}"),
            None => base.clone(),
        };
        let runs: Vec<&Given> = if case.runs.is_empty() { vec![&case.only] } else { case.runs.iter().collect() };
        let tenants: BTreeSet<String> = runs.iter().map(|given| tenant_of(given)).collect();
        if !case.schema.is_empty() {
            for tenant in &tenants {
                host.process()
                    .db
                    .provision(tenant, &case.schema)
                    .await
                    .map_err(|error| format!("schema: {error:#}"))?;
            }
        }
        for tenant in tenants.iter().filter(|_| !case.quotas.is_empty()) {
            host.process().quotas.set(tenant, quotas(&case.quotas)?);
        }
        let while_compiling = if case.limits_at_compile_time { (*limits).clone() } else { Limits::default() };
        let program = match compile::compile(host.engine(), &case.file, script, &while_compiling).await {
            Ok(compiled) => Program::from_snapshot(host.engine(), &compiled.snapshot, compiled.description)
                .map_err(|error| format!("{error:#}"))?,
            Err(CompileError::Host(error)) => return Err(format!("the host failed to compile: {error:#}")),
            Err(problem) => {
                let mut outcome = problem.outcome();
                outcome["compile"] = json!("failed");
                return Ok(json!({ "runs": [outcome] }));
            }
        };
        let operator = case.grants.as_ref().map_or(Operator::Developer, Operator::Settings);
        let mut grant = Grant::new(program.description().declared.as_ref(), operator)?;
        if !case.http.is_empty() {
            let hosts = case.http.iter().map(|host| host.parse().map_err(|error| format!("http: {error}")));
            grant.http = Allowed::these(hosts.collect::<Result<_, _>>()?);
        }
        for (name, value) in &case.secrets {
            let mut having = tenants.clone();
            having.retain(|tenant| case.secrets_of.as_ref().is_none_or(|one| *tenant == format!("{base}-{one}")));
            for tenant in &having {
                let name = name.parse()?;
                let secrets = &host.process().secrets;
                secrets.set(tenant, &name, value, &limits).await.map_err(|error| format!("secrets: {error}"))?;
            }
        }
        let grant = Arc::new(grant);
        let mut outcomes = Vec::new();
        for given in runs {
            for _ in 0..case.repeat {
                let run = Run {
                    identity: identity(tenant_of(given), name, case, &given.context),
                    limits: limits.clone(),
                    grant: grant.clone(),
                    entry: given.entry.clone(),
                    input: input(given)?,
                    sink: None,
                    origin: Default::default(),
                };
                let outcome = host.run(&program, run).await.map_err(|refused| refused.to_string())?;
                outcomes.push(serde_json::to_value(&outcome).map_err(|error| error.to_string())?);
            }
        }
        let mut after = left_behind(host, &tenants).await.map_err(|error| format!("{error:#}"))?;
        after.extend(self.server.seen(name));
        Ok(json!({ "runs": outcomes, "after": after }))
    }
}

const LOOPBACK: &str = "127.0.0.1/32";

/// The settings of cases that may use the test server as a service.
fn with_backend(server: &Server) -> anyhow::Result<Settings> {
    let mut settings = settings()?;
    let kind = ServiceKind::Http(Box::new(backend(server.origin())?));
    settings.services.insert("backend".into(), ServiceSettings { kind, ..ServiceSettings::default() });
    Ok(settings)
}

fn settings() -> Result<Settings, airlock::settings::SettingsError> {
    Settings::load(Some(Path::new("tests/capabilities/airlock.toml")), |_| None)
}

fn limits(given: &BTreeMap<String, toml::Value>) -> Result<Limits, String> {
    let mut limits = Limits::default();
    for (name, value) in given {
        let limit = Limit::named(name).ok_or_else(|| format!("there is no limit {name}"))?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        limits.set(limit, limit.parse(&text)?);
    }
    Ok(limits)
}

fn quotas(given: &BTreeMap<String, toml::Value>) -> Result<Quotas, String> {
    let mut quotas = Quotas::default();
    for (name, value) in given {
        let quota = Quota::named(name).ok_or_else(|| format!("there is no quota {name}"))?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        quotas.set(quota, quota.parse(&text)?);
    }
    Ok(quotas)
}

fn identity(tenant: String, name: &str, case: &Case, given: &Context) -> Arc<Identity> {
    let user = given.user.clone().unwrap_or_else(|| User {
        id: "user-1".into(),
        email: "ada@example.com".into(),
        name: "Ada".into(),
        permissions: Default::default(),
    });
    Arc::new(Identity {
        tenant: Tenant { id: tenant, name: given.tenant_name.clone().unwrap_or_else(|| "A Tenant".into()) },
        user: (!given.without_user).then_some(user),
        script: Script {
            id: name.into(),
            name: name.into(),
            kind: given.script_type.clone().unwrap_or_else(|| "oneoff".into()),
            file: case.file.clone(),
        },
        execution: Execution {
            id: "execution-1".into(),
            triggered_by: given.triggered_by.clone().unwrap_or_else(|| "manual".into()),
            cause: None,
        },
    })
}

fn input(given: &Given) -> Result<Option<String>, String> {
    if let Some(depth) = given.input_nested {
        return Ok(Some("[".repeat(depth) + &"]".repeat(depth)));
    }
    if let Some(bytes) = given.input_bytes {
        return Ok(Some(format!("\"{}\"", "x".repeat(bytes.saturating_sub(2)))));
    }
    if let Some(text) = &given.input_text {
        return Ok(Some(text.clone()));
    }
    given.input.as_ref().map(|value| serde_json::to_string(value).map_err(|error| error.to_string())).transpose()
}

/// What the tenants have in the outbox and in the queue of mails.
async fn left_behind(host: &Host, tenants: &BTreeSet<String>) -> anyhow::Result<Map<String, Value>> {
    let store = airlock::host::store(host.settings()).await?;
    let parse = |text: String| serde_json::from_str::<Value>(&text).unwrap_or(Value::String(text));
    let mut events = Vec::new();
    let mut emails = Vec::new();
    for tenant in tenants {
        for (name, data) in
            rows::<(String, String)>(&store, tenant, "SELECT name, data FROM outbox WHERE tenant = $1 ORDER BY id")
                .await?
        {
            events.push(json!({ "name": name, "data": parse(data) }));
        }
        for (to, subject, body) in rows::<(String, String, String)>(
            &store,
            tenant,
            "SELECT to_addresses, subject, body FROM emails WHERE tenant = $1 ORDER BY id",
        )
        .await?
        {
            emails.push(json!({ "to": parse(to), "subject": subject, "body": body }));
        }
    }
    let mut left = Map::new();
    for (name, list) in [("events", events), ("emails", emails)] {
        left.insert(name.into(), Value::Array(list));
    }
    Ok(left)
}

async fn rows<T>(store: &Store, tenant: &str, sql: &'static str) -> sqlx::Result<Vec<T>>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::any::AnyRow> + Send + Unpin + 'static,
{
    let tenant = tenant.to_owned();
    store.read(move |connection| Box::pin(sqlx::query_as(sql).bind(tenant).fetch_all(connection))).await
}
