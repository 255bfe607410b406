//! The host: the engine, what the process owns, and the scripts that settings
//! name. Everything that starts a script does it here.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnectOptions;

use crate::capabilities::grant::Operator;
use crate::capabilities::services::Service;
use crate::capabilities::{self, db, http, secrets, services, storage};
use crate::compile::{self, CompileError};
use crate::executions::{Ending, Executions, Origin, Recording};
use crate::files;
use crate::metrics::{Metrics, Now};
use crate::queue::Queue;
use crate::runtime::call::Call;
use crate::runtime::engine::{Engine, Options};
use crate::runtime::limits::Limits;
use crate::runtime::outcome::Outcome;
use crate::runtime::sandbox::{self, Busy, LoadError, Program};
use crate::runtime::trace::Trace;
use crate::scripts::shelf::Places;
use crate::scripts::{Library, Script};
use crate::server::jwt::Jwt;
use crate::server::webhook::Webhooks;
use crate::server::{Invocation, Invoke, Scripts};
use crate::settings::{ScriptSettings, ServiceKind, Settings};
use crate::store::clock::{Clock, Millis};
use crate::store::{self, Migrated, Store, expiry};
use crate::tenant::quota::{Admission, Exceeded, Ledger, Refusal};
use crate::tenant::token::Tokens;
use crate::tenant::{Authority, Identity, People, Permissions, User};
use crate::traces::Traces;
use crate::triggers::events::Outbox;
use crate::triggers::schedules::Schedules;

/// The host's own database, in the data folder where settings name none.
const STORE: &str = "airlock.db";
/// Machine code, in the data folder. May be deleted at any time.
const CACHE: &str = "cache";

/// Runs scripts for the tenants of its settings. Share it behind an [`Arc`].
pub struct Host {
    engine: Arc<Engine>,
    process: Arc<capabilities::Process>,
    executions: Executions,
    queue: Queue,
    schedules: Schedules,
    settings: Arc<Settings>,
    people: People,
    places: Arc<Places>,
    library: Arc<Library>,
    tokens: Arc<Tokens>,
    jwt: Option<Arc<Jwt>>,
    webhooks: Arc<Webhooks>,
    /// None: nobody is told.
    traces: Option<Arc<Traces>>,
    store: Store,
    /// By the script's name.
    programs: HashMap<String, Loaded>,
}

/// A script that is ready, with what it may use.
struct Loaded {
    program: Program,
    grant: Arc<capabilities::Grant>,
}

/// Why a file did not become a program.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("{} can't be read: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{}: {reason}", path.display())]
    Artifact { path: PathBuf, reason: LoadError },
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error("{0:#}")]
    Host(anyhow::Error),
}

/// Why a call did not begin.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Quota(#[from] Exceeded),
    #[error(transparent)]
    Busy(#[from] Busy),
}

impl Host {
    /// Opens the databases and starts the engine. Runs no script yet.
    pub async fn open(settings: Settings) -> Result<Host> {
        Host::builder(settings).open().await
    }

    /// As [`open`](Host::open), with what settings cannot say.
    pub fn builder(settings: Settings) -> Builder {
        Builder { settings, cache: None, services: BTreeMap::new(), lookup: None, clock: Clock::system() }
    }

    /// Applies the schema and the seed of every tenant whose database is new.
    async fn provision(&self) -> Result<()> {
        for tenant in &self.settings.tenants {
            let mut sql = String::new();
            for file in tenant.schema.iter().chain(&tenant.seed) {
                sql += &std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
                sql.push('\n');
            }
            let id = &tenant.tenant.id;
            if !sql.is_empty() {
                let prepared = self.process.db.provision_once(id, &sql).await;
                prepared.with_context(|| format!("the schema and the seed of tenant `{id}`"))?;
            }
        }
        Ok(())
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The users and service accounts. What is changed counts from the next call
    /// on.
    pub fn people(&self) -> &People {
        &self.people
    }

    /// The tenants, and the scripts that each has now.
    pub fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// The tokens that users have made.
    pub fn tokens(&self) -> &Arc<Tokens> {
        &self.tokens
    }

    /// What checks signed tokens, where the settings name an identity provider.
    pub fn jwt(&self) -> Option<&Arc<Jwt>> {
        self.jwt.as_ref()
    }

    /// What checks the signatures of other services.
    pub fn webhooks(&self) -> &Arc<Webhooks> {
        &self.webhooks
    }

    /// Sends the spans that wait to be sent.
    pub async fn flush_traces(&self) {
        let Some(traces) = self.traces.clone() else { return };
        // Err where it has panicked.
        let _ = tokio::task::spawn_blocking(move || traces.flush()).await;
    }

    /// The host's own database.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Milliseconds since the Unix epoch, by the host's clock.
    pub fn now(&self) -> Millis {
        self.store.now()
    }

    /// The scripts that tenants keep in the host's database.
    pub fn library(&self) -> &Library {
        &self.library
    }

    pub fn process(&self) -> &capabilities::Process {
        &self.process
    }

    /// The same, for a [`Call`](crate::runtime::call::Call) made by hand.
    pub fn shared_process(&self) -> Arc<capabilities::Process> {
        self.process.clone()
    }

    /// Compiles a script's text under the limits of the settings. `file` is the
    /// name that errors, stacks and log lines show.
    pub async fn compile(&self, file: &str, text: &str) -> Result<Program, ProgramError> {
        source(&self.engine, file, text, &self.settings.limits).await
    }

    /// Compiles every script of the settings. One that does not compile is
    /// reported and stays out; the others run.
    pub async fn load_scripts(&mut self) -> Vec<(String, ProgramError)> {
        let mut refused = Vec::new();
        let settings = self.settings.clone();
        for script in &settings.scripts {
            match self.load(script).await {
                Ok(loaded) => drop(self.programs.insert(script.name.clone(), loaded)),
                Err(error) => refused.push((script.name.clone(), error)),
            }
        }
        refused
    }

    async fn load(&self, script: &ScriptSettings) -> Result<Loaded, ProgramError> {
        let program = program(&self.engine, &script.file, &script.shown_file, &script.limits).await?;
        let grant = grant(&program, Operator::Settings(&script.grants)).map_err(ProgramError::Host)?;
        for (list, entry) in grant.missing() {
            tracing::warn!(
                script = script.name,
                list,
                entry,
                "the script declares what it is not granted; grants.{list} on it in airlock.toml does that",
            );
        }
        Ok(Loaded { program, grant: Arc::new(grant) })
    }

    /// Lets a tenant make a call, which counts as under way until what this
    /// answers is dropped. Refuses it where the tenant has used up a quota.
    fn admit(&self, tenant: &str) -> Result<Admission, Exceeded> {
        self.process.quotas.account(tenant).admit()
    }

    /// The executions under way and on record.
    pub fn executions(&self) -> &Executions {
        &self.executions
    }

    /// The scripts that run by the clock.
    pub fn schedules(&self) -> &Schedules {
        &self.schedules
    }

    /// What scripts are to do.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// What there is to measure, as OpenMetrics text.
    pub fn metrics(&self) -> String {
        let used = self.engine.turns.used();
        self.process.metrics.text(&Now {
            under_way: self.executions.under_way(),
            sandboxes: used.sandboxes,
            busy: used.busy,
            waiting: used.waiting,
            refusals: self.refusals(),
            jobs: self.queue.counts(),
        })
    }

    /// How often each tenant was refused something for want of a quota.
    pub fn refusals(&self) -> Vec<Refusal> {
        self.process.quotas.refusals()
    }

    /// Runs a script once, or refuses to begin.
    pub async fn run(&self, program: &Program, run: Run) -> Result<Outcome, Refused> {
        let admission = self.admit(&run.identity.tenant.id)?;
        Ok(self.run_admitted(program, run, admission).await?)
    }

    async fn run_admitted(&self, program: &Program, run: Run, admission: Admission) -> Result<Outcome, Busy> {
        let (recording, outcome) = self.run_recorded(program, run, admission).await;
        recording.end(&outcome);
        outcome
    }

    /// Every call comes through here, and what it comes to is recorded with what
    /// this answers.
    async fn run_recorded(
        &self,
        program: &Program,
        run: Run,
        _admission: Admission,
    ) -> (Recording, Result<Outcome, Busy>) {
        let trace = Trace::of(&run.identity.execution.id, run.origin.parent);
        let trace = if self.traces.is_some() { trace.map(Trace::kept) } else { trace };
        let recording = self.executions.begin(run.identity.clone(), run.origin, trace, self.traces.clone());
        let mut call = Call::new(run.identity, run.limits, self.process.clone(), run.grant);
        call.held.log.sink = recording.sink(run.sink);
        call.control = recording.control();
        call.held.progress = recording.progress();
        call.trace = trace;
        call.traces.clone_from(&self.traces);
        let outcome = sandbox::run(&self.engine, program, call, run.entry.as_deref(), run.input).await;
        (recording, outcome)
    }

    async fn invoke(&self, request: Invoke, admission: Admission) -> Invocation {
        let (program, run) = match self.ready(request).await {
            Ok(ready) => ready,
            Err(reason) => return Invocation::Broken(reason),
        };
        match self.run_admitted(&program, run, admission).await {
            Ok(outcome) => Invocation::Ended(Box::new(outcome)),
            Err(Busy(_)) => Invocation::Busy,
        }
    }

    /// Makes one attempt of a job, which may have to be put off.
    pub(crate) async fn attempt(&self, request: Invoke) -> Attempt {
        let admission = match self.admit(&request.identity.tenant.id) {
            Ok(admission) => admission,
            Err(exceeded) => return Attempt::PutOff(exceeded.retry_after),
        };
        let (identity, origin) = (request.identity.clone(), request.origin.clone());
        let (program, run) = match self.ready(request).await {
            Ok(ready) => ready,
            Err(reason) => {
                tracing::error!(
                    execution_id = identity.execution.id,
                    tenant_id = identity.tenant.id,
                    script = identity.script.name,
                    reason,
                    "the script of a job cannot run"
                );
                return self.fail(identity, origin, "the script cannot run; the host's log has the reason");
            }
        };
        match self.run_recorded(&program, run, admission).await {
            (recording, Err(Busy(_))) => {
                recording.forget();
                Attempt::PutOff(AGAIN)
            }
            (recording, Ok(outcome)) => {
                let ending = recording.hand_over(&Ok(outcome.clone()));
                ending.map_or(Attempt::PutOff(AGAIN), |ending| Attempt::Ended(Box::new(outcome), ending))
            }
        }
    }

    /// An attempt of a job whose script cannot be called.
    pub(crate) fn fail(&self, identity: Arc<Identity>, origin: Origin, reason: &str) -> Attempt {
        let outcome = Outcome::unavailable(reason);
        let ending = self.executions.begin(identity, origin, None, None).hand_over(&Ok(outcome.clone()));
        ending.map_or(Attempt::PutOff(AGAIN), |ending| Attempt::Ended(Box::new(outcome), ending))
    }

    /// What a call runs. The error is for the log.
    async fn ready(&self, request: Invoke) -> Result<(Program, Run), String> {
        let script = &request.script;
        let (program, grant) = self.prepare(&request.identity.tenant.id, script).await?;
        let mut identity = Identity::clone(&request.identity);
        identity.user = self.runs_as(script, &identity, &request.authority);
        let run = Run {
            identity: Arc::new(identity),
            limits: Arc::new(script.limits.clone()),
            grant,
            entry: script.entry.clone(),
            input: Some(request.input),
            sink: None,
            origin: request.origin,
        };
        Ok((program, run))
    }
}

/// What came of an attempt of a job.
pub(crate) enum Attempt {
    /// It ran to whatever end, which its caller writes.
    Ended(Box<Outcome>, Ending),
    /// It did not begin, for want of a quota or a sandbox.
    PutOff(Duration),
}

/// How long a job is put off for which no sandbox was free.
const AGAIN: Duration = Duration::from_secs(1);

impl Host {
    /// What a call of a script runs and may use. The error is for the log.
    async fn prepare(&self, tenant: &str, script: &Script) -> Result<(Program, Arc<capabilities::Grant>), String> {
        if let (Some(version), Some(grant)) = (script.version, &script.grant) {
            let program = self.library.program(tenant, &script.id, version).await;
            return program.map(|program| (program, grant.clone())).map_err(|reason| reason.to_string());
        }
        let Some(Loaded { program, grant }) = self.programs.get(&script.name) else {
            return Err(format!("the script {} did not compile; the log of the start has the reason", script.name));
        };
        Ok((program.clone(), grant.clone()))
    }

    /// Who a call runs as that begins now: its user, with the permissions of
    /// now, and without a user the script's service account.
    fn runs_as(&self, script: &Script, identity: &Identity, authority: &Authority) -> Option<User> {
        match &identity.user {
            Some(user) => Some(authority.user(&self.people, &identity.tenant.id, user).unwrap_or_else(|| {
                // Gone since the request came in.
                User { permissions: Permissions::default(), ..user.clone() }
            })),
            None => self.people.account(script.run_as.as_deref()?),
        }
    }
}

/// How often a host looks for what others on the same database have changed.
const LOOK: Duration = Duration::from_millis(500);

/// Looks for changed scripts until the host is gone.
async fn watch(library: Weak<Library>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(library) = library.upgrade() else { return };
        if let Err(reason) = library.look().await {
            tracing::warn!(%reason, "looking for changed scripts failed; it is tried again");
        }
    }
}

/// Opens a host with what settings cannot say.
pub struct Builder {
    settings: Settings,
    cache: Option<PathBuf>,
    services: BTreeMap<String, Arc<dyn Service>>,
    lookup: Option<http::Lookup>,
    clock: Clock,
}

impl Builder {
    /// Gives scripts a service of the application: `services.<name>`.
    pub fn service(mut self, name: &str, service: impl Service) -> Builder {
        self.services.insert(name.to_owned(), Arc::new(service));
        self
    }

    /// Keeps machine code in another folder than the data's. Nobody else may
    /// write there.
    pub fn cache(mut self, folder: PathBuf) -> Builder {
        self.cache = Some(folder);
        self
    }

    /// Looks up the names that scripts request over HTTP in another way than the
    /// system's. Which of the addresses may be connected to is still checked.
    pub fn lookup(mut self, lookup: http::Lookup) -> Builder {
        self.lookup = Some(lookup);
        self
    }

    /// Tells the time by another clock.
    pub fn clock(mut self, clock: Clock) -> Builder {
        self.clock = clock;
        self
    }

    /// Opens the databases and starts the engine. Runs no script yet.
    pub async fn open(mut self) -> Result<Host> {
        let settings = &self.settings;
        let data = &settings.data;
        files::private_folder(data).with_context(|| format!("creating the data folder {}", data.display()))?;
        let largest = settings.scripts.iter().map(|script| script.limits.memory).chain([settings.limits.memory]).max();
        let engine = Engine::new(Options {
            sandboxes: settings.sandboxes.count,
            wait: settings.sandboxes.wait,
            max_memory: largest.unwrap_or_default(),
            cache: Some(self.cache.take().unwrap_or_else(|| data.join(CACHE))),
            cache_size: settings.cache_size,
        })?;
        let store = store(settings).await?.with_clock(self.clock.clone());
        let users = settings.users.iter().map(|user| (user.tenant.clone(), user.user.clone()));
        let people = People::new(users, settings.service_accounts.iter().cloned());
        let metrics = Arc::new(Metrics::new(&settings.metrics));
        let queue = Queue::new(store.clone());
        let places = Arc::new(Places::new(&self.settings));
        let outbox = Outbox::new(store.clone(), settings, places.clone(), queue.clone(), metrics.clone());
        let executions = Executions::new(store.clone(), settings.executions.clone(), metrics.clone(), outbox.clone());
        let process = Arc::new(process(&mut self, store.clone(), outbox, metrics).await?);
        let settings = Arc::new(self.settings);
        let tokens = Arc::new(Tokens::new(store.clone()));
        let traces = settings.traces.as_deref().map(Traces::new).transpose().context("[traces]")?.map(Arc::new);
        let webhooks = Arc::new(Webhooks::new(store.clone(), process.clone()));
        tokio::spawn(expiry::keep_house(Arc::downgrade(&process), store.clone()));
        let jwt = settings.jwt.clone().map(Jwt::new).transpose()?.map(Arc::new);
        let library = Library::new(store.clone(), places.clone(), settings.clone(), engine.clone(), process.clone());
        library.look().await.context("reading the scripts in the host's database")?;
        let library = Arc::new(library);
        tokio::spawn(watch(Arc::downgrade(&library)));
        let schedules = Schedules::new(
            store.clone(),
            queue.clone(),
            places.clone(),
            process.quotas.clone(),
            process.metrics.clone(),
            &settings,
        );
        let host = Host {
            engine,
            process,
            executions,
            queue,
            schedules,
            settings,
            people,
            places,
            library,
            tokens,
            jwt,
            webhooks,
            traces,
            store,
            programs: HashMap::new(),
        };
        host.provision().await?;
        Ok(host)
    }
}

impl Scripts for Host {
    fn people(&self) -> &People {
        &self.people
    }

    fn admit(&self, tenant: &str) -> Result<Admission, Exceeded> {
        self.admit(tenant)
    }

    fn invoke(&self, request: Invoke, admission: Admission) -> BoxFuture<'_, Invocation> {
        self.invoke(request, admission).boxed()
    }
}

/// One run of a program.
#[derive(Clone)]
pub struct Run {
    pub identity: Arc<Identity>,
    pub limits: Arc<Limits>,
    pub grant: Arc<capabilities::Grant>,
    /// None runs the default entry.
    pub entry: Option<String>,
    /// The argument as JSON text.
    pub input: Option<String>,
    /// Sees each log line as it is written.
    pub sink: Option<capabilities::log::Sink>,
    /// What its record says of where it comes from.
    pub origin: Origin,
}

impl Run {
    /// The default entry, without an argument, under the default limits, with
    /// nothing granted that has to be.
    pub fn new(identity: Identity) -> Run {
        Run {
            identity: Arc::new(identity),
            limits: Arc::default(),
            grant: Arc::default(),
            entry: None,
            input: None,
            sink: None,
            origin: Origin::default(),
        }
    }
}

/// What a script may use, by its own word and the operator's.
pub fn grant(program: &Program, operator: Operator<'_>) -> Result<capabilities::Grant> {
    let declared = program.description().declared.as_ref();
    capabilities::Grant::new(declared, operator).map_err(anyhow::Error::msg)
}

/// Reads a file, source or artifact, and makes it ready to run.
pub async fn program(engine: &Engine, path: &Path, shown: &str, limits: &Limits) -> Result<Program, ProgramError> {
    let bytes = std::fs::read(path)
        .map_err(|reason| ProgramError::Unreadable { path: path.to_owned(), reason: kind(&reason) })?;
    if bytes.starts_with(b"\0asm") {
        return Program::load(engine, &bytes)
            .map_err(|reason| ProgramError::Artifact { path: path.to_owned(), reason });
    }
    source(engine, shown, &text(path, bytes)?, limits).await
}

async fn source(engine: &Engine, file: &str, text: &str, limits: &Limits) -> Result<Program, ProgramError> {
    let compiled = compile::compile(engine, file, text, limits).await?;
    Program::from_snapshot(engine, &compiled.snapshot, compiled.description).map_err(ProgramError::Host)
}

/// A script's text.
pub fn text(path: &Path, bytes: Vec<u8>) -> Result<String, ProgramError> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        ProgramError::Unreadable {
            path: path.to_owned(),
            reason: format!("byte {at} is not UTF-8, so this is not the text of a script"),
        }
    })
}

/// Why a file could not be read, as a person says it.
pub fn kind(reason: &std::io::Error) -> String {
    match reason.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => reason.to_string(),
    }
}

/// Opens the host's own database.
pub async fn store(settings: &Settings) -> Result<Store> {
    match &settings.store {
        None => Store::open(settings.data.join(STORE)).await,
        Some(store) => Store::postgres(&store.url, store.connections).await,
    }
}

/// Brings the schema of the host's own database up to date.
pub async fn migrate(settings: &Settings) -> Result<Migrated> {
    match &settings.store {
        None => store::migrate_file(&settings.data.join(STORE)).await,
        Some(store) => store::migrate_postgres(&store.url).await,
    }
}

/// Where the databases listen, as far as they do in a network. A script must
/// not reach them, whatever networks are let in.
async fn database_addresses(settings: &Settings) -> Vec<SocketAddr> {
    let urls = [settings.store.as_ref().map(|store| &store.url), settings.database.as_ref().map(|tables| &tables.url)];
    let mut addresses = Vec::new();
    for options in urls.into_iter().flatten().filter_map(|url| url.parse::<PgConnectOptions>().ok()) {
        if options.get_socket().is_none() && !options.get_host().starts_with('/') {
            // Each was connected to, so that a name which is not known now hardly was before.
            match tokio::net::lookup_host((options.get_host(), options.get_port())).await {
                Ok(found) => addresses.extend(found),
                Err(reason) => tracing::warn!(%reason, host = options.get_host(), "a database's address is not known"),
            }
        }
    }
    addresses
}

/// Puts together what the process owns.
async fn process(
    builder: &mut Builder,
    store: Store,
    events: Outbox,
    metrics: Arc<Metrics>,
) -> Result<capabilities::Process> {
    let settings = &builder.settings;
    let db = match &settings.database {
        None => db::Process::new(settings.data.clone()),
        Some(database) => db::Process::Postgres(
            db::postgres::Process::open(&database.url, database.connections, database.protection.clone()).await?,
        ),
    };
    let smtp = match &settings.smtp {
        None => None,
        Some(smtp) => {
            let from = smtp.from.clone().context(
                "[smtp] has no `from`: name the sender of all mails, as in from = \"Shop <shop@example.com>\"",
            )?;
            Some(services::notifications::Smtp { url: smtp.url.clone(), from })
        }
    };
    let tables = db::Rules::new(
        settings.tables.clone(),
        settings.services.iter().filter_map(|(name, service)| match &service.kind {
            ServiceKind::Table { table, .. } => {
                Some((table.clone().unwrap_or_else(|| name.clone()), service.needs.clone()))
            }
            _ => None,
        }),
    );
    let notifications = services::notifications::Notifications::new(store.clone(), smtp)?;
    let http = match builder.lookup.take() {
        Some(lookup) => http::Process::with_lookup(settings.http.clone(), lookup),
        None => http::Process::new(settings.http.clone()),
    }?;
    for address in database_addresses(settings).await {
        http.forbid(address)?;
    }
    let services = std::mem::take(&mut builder.services);
    let own = settings.tenants.iter().filter_map(|known| Some((known.tenant.id.clone(), known.quotas.clone()?)));
    Ok(capabilities::Process {
        services: services::Process::new(&settings.services, services, db.clone(), notifications)?,
        db,
        tables: Arc::new(tables),
        events,
        metrics,
        quotas: Ledger::new(settings.quotas.clone(), own.collect(), builder.clock.clone()),
        http,
        secrets: secrets::Process::new(store.clone(), settings.secrets.clone()),
        storage: storage::Process::new(store),
    })
}
