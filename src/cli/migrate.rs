//! `airlock migrate`.

use std::path::PathBuf;

use super::{Exit, report, settings};
use crate::host;
use crate::store::Migrated;

/// Bring the schema of the host's own database up to date, as `serve` does when
/// it starts
#[derive(clap::Args)]
pub struct Arguments {
    /// The settings [default: airlock.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the databases [default: the settings']
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub async fn run(arguments: Arguments) -> Exit {
    let path = arguments.config.unwrap_or_else(|| PathBuf::from("airlock.toml"));
    let mut settings = match settings(Some(&path)) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    if let Some(data) = arguments.data {
        settings.data = data;
    }
    match host::migrate(&settings).await {
        Ok(Migrated { from, to }) if from == to => println!("the schema has version {to} already"),
        Ok(Migrated { from: 0, to }) => println!("the schema is made, with version {to}"),
        Ok(Migrated { from, to }) => println!("the schema had version {from} and has version {to} now"),
        Err(reason) => {
            report::error(&format!("{reason:#}"));
            return Exit::Usage;
        }
    }
    Exit::Completed
}
