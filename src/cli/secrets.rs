//! `airlock secrets`.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat};
use zeroize::Zeroizing;

use super::{Exit, report, settings};
use crate::capabilities::secrets::{Name, Process};
use crate::host;
use crate::settings::Settings;

/// Set, list and delete the secrets of tenants
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Set a secret to what stands on stdin, without a line break at its end
    Set {
        #[arg(value_parser = |text: &str| text.parse::<Name>())]
        name: Name,
        /// The tenant's id
        #[arg(long)]
        tenant: String,
        #[command(flatten)]
        place: Place,
    },
    /// List a tenant's secrets: names, keys and times, no values
    List {
        /// The tenant's id
        #[arg(long)]
        tenant: String,
        #[command(flatten)]
        place: Place,
    },
    /// Delete a secret
    Delete {
        #[arg(value_parser = |text: &str| text.parse::<Name>())]
        name: Name,
        /// The tenant's id
        #[arg(long)]
        tenant: String,
        #[command(flatten)]
        place: Place,
    },
    /// Encrypt every secret with the first key, so that the others can go
    Rotate {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(clap::Args)]
struct Place {
    /// The settings [default: airlock.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the databases [default: the settings']
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub async fn run(arguments: Arguments) -> Exit {
    match act(arguments.verb).await {
        Ok(()) => Exit::Completed,
        Err(exit) => exit,
    }
}

async fn act(verb: Verb) -> Result<(), Exit> {
    match verb {
        Verb::Set { name, tenant, place } => {
            let settings = place.settings(Some(&tenant))?;
            let value = read_value(settings.limits.secret_bytes).map_err(usage)?;
            place.open(&settings).await?.set(&tenant, &name, &value, &settings.limits).await.map_err(usage)?;
            eprintln!("{name} of {tenant} is set");
        }
        Verb::List { tenant, place } => {
            let settings = place.settings(Some(&tenant))?;
            for listed in place.open(&settings).await?.list(&tenant).await.map_err(usage)? {
                let time = DateTime::from_timestamp_millis(listed.updated_at).unwrap_or_default();
                println!("{}\t{}\t{}", listed.name, listed.key_id, time.to_rfc3339_opts(SecondsFormat::Secs, true));
            }
        }
        Verb::Delete { name, tenant, place } => {
            let settings = place.settings(Some(&tenant))?;
            if !place.open(&settings).await?.delete(&tenant, &name).await.map_err(usage)? {
                return Err(usage(format!("{tenant} has no secret {name}; `airlock secrets list` shows those it has")));
            }
            eprintln!("{name} of {tenant} is deleted");
        }
        Verb::Rotate { place } => {
            let settings = place.settings(None)?;
            let count = place.open(&settings).await?.rotate().await.map_err(usage)?;
            eprintln!("{count} encrypted anew");
        }
    }
    Ok(())
}

impl Place {
    /// The settings, if they have the tenant.
    fn settings(&self, tenant: Option<&str>) -> Result<Settings, Exit> {
        let path = self.config.clone().unwrap_or_else(|| PathBuf::from("airlock.toml"));
        let mut settings = settings(Some(&path))?;
        if let Some(tenant) = tenant.filter(|id| settings.tenant(id).is_none()) {
            let known: Vec<&str> = settings.tenants.iter().map(|known| known.tenant.id.as_str()).collect();
            return Err(usage(format!("there is no tenant `{tenant}`; the settings have: {}", known.join(", "))));
        }
        if let Some(data) = &self.data {
            settings.data.clone_from(data);
        }
        Ok(settings)
    }

    async fn open(&self, settings: &Settings) -> Result<Process, Exit> {
        let store = host::store(settings).await.map_err(|reason| usage(format!("{reason:#}")))?;
        Ok(Process::new(store, settings.secrets.clone()))
    }
}

/// The value comes in where neither the shell's history nor a list of processes
/// shows it.
fn read_value(most: u64) -> Result<Zeroizing<String>, String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("type the value, and Ctrl-D on a line of its own (it shows as you type)");
    }
    let mut bytes = Zeroizing::new(Vec::new());
    // A little more, so that too much is noticed.
    stdin.take(most.saturating_add(3)).read_to_end(&mut bytes).map_err(|reason| format!("stdin: {reason}"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "the value on stdin is not UTF-8 text; encode it as base64")?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(Zeroizing::new(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

fn usage(reason: impl std::fmt::Display) -> Exit {
    report::error(&reason.to_string());
    Exit::Usage
}
