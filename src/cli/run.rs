//! `airlock run`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::bar::Bar;
use super::{Exit, report, settings, user_cache};
use crate::capabilities::grant::Operator;
use crate::capabilities::progress::Progress;
use crate::compile::artifact::Description;
use crate::executions::Origin;
use crate::host::{self, Builder, Host, Run};
use crate::runtime::limits::Limit;
use crate::runtime::outcome::{Outcome, ScriptError, Status};
use crate::settings::Settings;
use crate::tenant::{Execution, Identity, Permissions, Script, Tenant, User};

/// Run a script, from its source or compiled
///
/// Prints the returned value as JSON on stdout and the logs, a JSON object a
/// line, on stderr.
#[derive(clap::Args)]
pub struct Arguments {
    /// The script, or a file that `airlock compile` wrote
    file: PathBuf,
    /// The function to run [default: the default export, else main, else handleRequest, else the only one]
    #[arg(long, value_name = "NAME")]
    entry: Option<String>,
    /// The function's argument: JSON, or @FILE
    #[arg(long, value_name = "JSON|@FILE")]
    input: Option<String>,
    /// What the script sees as `context`: JSON, or @FILE
    #[arg(long, value_name = "JSON|@FILE")]
    context: Option<String>,
    /// The settings: services, limits, tenants
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the databases [default: the settings', or one that is deleted afterwards]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The time limit, as in 30s or 500ms
    #[arg(long, value_parser = |text: &str| Limit::Timeout.parse(text))]
    timeout: Option<u64>,
    /// The memory limit, as in 128MiB
    #[arg(long, value_parser = |text: &str| Limit::Memory.parse(text))]
    memory: Option<u64>,
    /// How much work the script may do, some 16 for each operation; 0 is no limit
    #[arg(long, value_parser = |text: &str| Limit::Fuel.parse(text))]
    fuel: Option<u64>,
    /// Print one JSON object with everything that is known of the run
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Exit {
    let json = arguments.json;
    match prepare_and_run(arguments).await {
        Ok((outcome, source)) => show(&outcome, json, source.as_ref()),
        Err(exit) => exit,
    }
}

/// A file and its text, for code frames.
struct Source {
    file: String,
    text: String,
}

async fn prepare_and_run(arguments: Arguments) -> Result<(Outcome, Option<Source>), Exit> {
    let usage = |message: String| {
        report::error(&message);
        Exit::Usage
    };
    let mut settings = settings(arguments.config.as_ref())?;
    let input = arguments.input.map(|text| json_argument("--input", &text)).transpose().map_err(usage)?;
    let context = arguments.context.map(|text| json_argument("--context", &text)).transpose().map_err(usage)?;

    // Without a place for them, the databases live as long as the run.
    let temporary = match (&arguments.data, &arguments.config) {
        (Some(folder), _) => {
            settings.data = folder.clone();
            None
        }
        (None, Some(_)) => None,
        (None, None) => {
            let folder = tempfolder().map_err(usage)?;
            settings.data = folder.0.clone();
            settings.store = None;
            Some(folder)
        }
    };
    let known = settings.scripts.iter().find(|script| same_file(&script.file, &arguments.file)).cloned();
    let mut limits = known.as_ref().map_or_else(|| settings.limits.clone(), |script| script.limits.clone());
    for (limit, value) in
        [(Limit::Timeout, arguments.timeout), (Limit::Memory, arguments.memory), (Limit::Fuel, arguments.fuel)]
    {
        if let Some(value) = value {
            limits.set(limit, value);
        }
    }
    settings.limits.memory = settings.limits.memory.max(limits.memory);
    // What it did is on the screen.
    settings.executions.record = false;
    let shown = super::compile::shown(&arguments.file);
    let run_as = known.as_ref().and_then(|script| script.run_as.as_deref());
    let mut identity = identity(&settings, context.as_deref(), run_as, &shown).map_err(usage)?;

    let cache = temporary.is_some().then(user_cache).flatten();
    let builder = Host::builder(settings);
    let builder = cache.into_iter().fold(builder, Builder::cache);
    let host = builder.open().await.map_err(|reason| usage(format!("{reason:#}")))?;
    let source = std::fs::read_to_string(&arguments.file).ok().map(|text| Source { file: shown.clone(), text });
    let program = match host::program(host.engine(), &arguments.file, &shown, &limits).await {
        Ok(program) => program,
        Err(problem) if arguments.json => return Err(compile_problem(problem)),
        Err(problem) => return Err(report::program(&problem)),
    };
    // Whoever runs a file that no settings speak of is the operator.
    let operator = known.as_ref().map_or(Operator::Developer, |script| Operator::Settings(&script.grants));
    let grant = host::grant(&program, operator).map_err(|reason| usage(format!("{reason:#}")))?;
    let entry = arguments.entry.or_else(|| known.and_then(|script| script.entry.clone()));
    check_entry(program.description(), entry.as_deref()).map_err(usage)?;
    // Log lines name what the author wrote, as stacks do, also where it runs compiled.
    identity.script.file.clone_from(&program.description().file);
    let identity = Arc::new(identity);
    let (bar, progress) = (Bar::new(), Progress::default());
    let mut sink: Option<crate::capabilities::log::Sink> = None;
    let mut drawing = None;
    if !arguments.json {
        let (lines, shown) = (bar.clone(), bar.clone());
        sink = Some(Arc::new(move |line: &serde_json::value::RawValue| lines.line(line.get())));
        let mut said = progress.follow();
        drawing = Some(tokio::spawn(async move {
            while said.changed().await.is_ok() {
                let report = said.borrow_and_update().clone();
                report.iter().for_each(|report| shown.show(report));
            }
        }));
    }
    let run = Run {
        identity,
        limits: Arc::new(limits),
        grant: Arc::new(grant),
        entry,
        input,
        sink,
        origin: Origin { progress, ..Origin::default() },
    };
    let ran = host.run(&program, run).await;
    if let Some(drawing) = drawing {
        drawing.abort();
    }
    bar.end();
    Ok((ran.map_err(|refused| usage(refused.to_string()))?, source))
}

/// With `--json`, what happens at compile time is told in the same form.
fn compile_problem(problem: host::ProgramError) -> Exit {
    let exit = report::program(&problem);
    if let host::ProgramError::Compile(problem) = problem {
        println!("{}", problem.outcome());
    }
    exit
}

/// Says before anything runs that an entry does not exist.
fn check_entry(description: &Description, entry: Option<&str>) -> Result<(), String> {
    let found = match entry {
        Some(name) => description.entries.iter().any(|known| known == name),
        None => description.default_entry().is_some(),
    };
    if found { Ok(()) } else { Err(crate::runtime::sandbox::no_entry(description, entry).message) }
}

/// JSON text, or that of a file.
pub(super) fn json_argument(option: &str, text: &str) -> Result<String, String> {
    let (place, text) = match text.strip_prefix('@') {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|reason| format!("{option}: {path} can't be read: {}", host::kind(&reason)))?;
            (path.to_owned(), text)
        }
        None => (option.to_owned(), text.to_owned()),
    };
    match serde_json::from_str::<&serde_json::value::RawValue>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("{place}: this is not JSON: {}", reason(&error))),
    }
}

/// What is wrong with JSON text and where, counted from 1.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    format!("{what}, at line {}, column {}", error.line(), error.column().max(1))
}

/// What `--context` may say. What it leaves out has a default.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase", expecting = "an object")]
struct Context {
    tenant: Option<Tenant>,
    user: Option<User>,
    script: Option<ContextScript>,
    execution: Option<ContextExecution>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an object with id, name and type")]
struct ContextScript {
    id: Option<String>,
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase", expecting = "an object with id and triggeredBy")]
struct ContextExecution {
    id: Option<String>,
    triggered_by: Option<String>,
}

fn identity(settings: &Settings, context: Option<&str>, run_as: Option<&str>, file: &str) -> Result<Identity, String> {
    let context: Context = match context {
        Some(text) => serde_json::from_str(text).map_err(|error| format!("--context: {}", reason(&error)))?,
        None => Context::default(),
    };
    let tenant = match context.tenant {
        Some(tenant) => tenant,
        None => settings
            .tenants
            .first()
            .map_or_else(|| Tenant { id: "local".into(), name: "Local".into() }, |known| known.tenant.clone()),
    };
    let account = settings.service_accounts.iter().find(|account| Some(account.id.as_str()) == run_as);
    let user = context
        .user
        .or_else(|| account.cloned())
        .or_else(|| settings.users.iter().find(|known| known.tenant == tenant.id).map(|known| known.user.clone()));
    let user = user.or_else(|| {
        settings.tenants.is_empty().then(|| User {
            id: "local".into(),
            email: "local@localhost".into(),
            name: "Local".into(),
            permissions: Permissions::default(),
        })
    });
    let script = context.script.unwrap_or_default();
    let execution = context.execution.unwrap_or_default();
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem).to_owned();
    Ok(Identity {
        tenant,
        user,
        script: Script {
            id: script.id.unwrap_or_else(|| stem.clone()),
            name: script.name.unwrap_or(stem),
            kind: script.kind.unwrap_or_else(|| "oneoff".into()),
            file: file.to_owned(),
        },
        execution: Execution {
            id: execution.id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            triggered_by: execution.triggered_by.unwrap_or_else(|| "manual".into()),
            cause: None,
        },
    })
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// A folder that is deleted with this value.
struct TemporaryFolder(PathBuf);

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What is left over is the system's to clean.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn tempfolder() -> Result<TemporaryFolder, String> {
    use std::os::unix::fs::DirBuilderExt;
    let path = std::env::temp_dir().join(format!("airlock-{}", uuid::Uuid::new_v4()));
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&path)
        .map_err(|reason| format!("{} can't be created: {}", path.display(), host::kind(&reason)))?;
    Ok(TemporaryFolder(path))
}

fn show(outcome: &Outcome, json: bool, source: Option<&Source>) -> Exit {
    if json {
        match serde_json::to_string(outcome) {
            Ok(text) => println!("{text}"),
            Err(reason) => report::error(&reason.to_string()),
        }
    } else {
        if let Some(result) = &outcome.result {
            println!("{}", result.get());
        }
        if let Some(error) = &outcome.error {
            show_error(error, source);
        }
    }
    match outcome.status {
        Status::Completed => Exit::Completed,
        Status::Failed => Exit::Failed,
        Status::Timeout | Status::Limit | Status::Cancelled => Exit::Limit,
    }
}

fn show_error(error: &ScriptError, source: Option<&Source>) {
    let message = format!("{}: {}", error.name, error.message);
    let frame = source.and_then(|source| {
        let offset = crate::compile::frame::offset(&source.text, error.line?, error.column?)?;
        Some(crate::compile::frame::render(&source.file, &source.text, &message, offset, 1, None))
    });
    match frame {
        Some(frame) => report::plain(&frame),
        None => report::error(&message),
    }
    if !error.stack.is_empty() {
        report::plain(&error.stack);
    }
}
