//! The command line: one file a verb.

mod bar;
mod compile;
mod config;
mod db;
mod inspect;
mod migrate;
mod remote;
mod report;
mod run;
mod secrets;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What the process ends with. Scripts and other programs depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Completed = 0,
    /// The script threw or rejected, or an audit found something.
    Failed = 1,
    /// The command line or the settings are wrong, or a file can't be read.
    Usage = 2,
    /// A limit stopped the script.
    Limit = 3,
    /// The script does not compile.
    DoesNotCompile = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Runs the scripts of an application's tenants, each call in a WebAssembly
/// sandbox of its own.
#[derive(Parser)]
#[command(name = "airlock", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Compile(compile::Arguments),
    Config(config::Arguments),
    Db(db::Arguments),
    Deploy(remote::deploy::Arguments),
    Executions(remote::executions::Arguments),
    Inspect(inspect::Arguments),
    Invoke(remote::invoke::Arguments),
    Jobs(remote::jobs::Arguments),
    Logs(remote::logs::Arguments),
    Migrate(migrate::Arguments),
    Rollback(remote::scripts::Rollback),
    Run(run::Arguments),
    Schedules(remote::schedules::Arguments),
    Scripts(remote::scripts::Arguments),
    Secrets(secrets::Arguments),
    Serve(serve::Arguments),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(reason) => {
            report::error(&format!("the process can't start its threads: {reason}"));
            return Exit::Usage.into();
        }
    };
    runtime
        .block_on(async {
            match arguments.verb {
                Verb::Compile(arguments) => compile::run(arguments).await,
                Verb::Config(arguments) => config::run(arguments),
                Verb::Db(arguments) => db::run(arguments).await,
                Verb::Deploy(arguments) => remote::deploy::run(arguments).await,
                Verb::Executions(arguments) => remote::executions::run(arguments).await,
                Verb::Logs(arguments) => remote::logs::run(arguments).await,
                Verb::Invoke(arguments) => remote::invoke::run(arguments).await,
                Verb::Jobs(arguments) => remote::jobs::run(arguments).await,
                Verb::Rollback(arguments) => remote::scripts::rollback(arguments).await,
                Verb::Schedules(arguments) => remote::schedules::run(arguments).await,
                Verb::Scripts(arguments) => remote::scripts::run(arguments).await,
                Verb::Inspect(arguments) => inspect::run(arguments),
                Verb::Migrate(arguments) => migrate::run(arguments).await,
                Verb::Run(arguments) => run::run(arguments).await,
                Verb::Secrets(arguments) => secrets::run(arguments).await,
                Verb::Serve(arguments) => serve::run(arguments).await,
            }
        })
        .into()
}

/// Reads the settings, or says what is wrong with them.
fn settings(path: Option<&PathBuf>) -> Result<crate::settings::Settings, Exit> {
    crate::settings::Settings::load(path.map(PathBuf::as_path), |name| std::env::var(name).ok()).map_err(|error| {
        report::plain(&error.to_string());
        Exit::Usage
    })
}

/// Where machine code is kept between runs without a data folder.
fn user_cache() -> Option<PathBuf> {
    let root = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let root = root.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    Some(root.join("airlock").join("machine-code"))
}
