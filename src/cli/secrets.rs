//! `airlock secrets`.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::remote::{self, Failed};
use super::{Exit, report, settings};
use crate::capabilities::secrets::{Listed, Name, Process};
use crate::host;
use crate::settings::Settings;

/// Set, list and delete the secrets of tenants
///
/// With --tenant in the databases here, as the operator; without it over HTTP,
/// for the tenant of the token.
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
        #[command(flatten)]
        whose: Whose,
    },
    /// List a tenant's secrets: names and times, no values
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Delete a secret
    Delete {
        #[arg(value_parser = |text: &str| text.parse::<Name>())]
        name: Name,
        #[command(flatten)]
        whose: Whose,
    },
    /// Encrypt every secret with the first key, so that the others can go
    Rotate {
        #[command(flatten)]
        place: Here,
    },
}

#[derive(clap::Args)]
struct Whose {
    /// The tenant's id [default: the one of the token, on the host]
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    place: Here,
    #[command(flatten)]
    host: remote::Place,
}

#[derive(clap::Args)]
struct Here {
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
        Verb::Set { name, whose } => match whose.tenant()? {
            Some(tenant) => {
                let settings = whose.place.settings(Some(tenant))?;
                let value = read_value(settings.limits.secret_bytes).map_err(usage)?;
                let secrets = whose.place.open(&settings).await?;
                secrets.set(tenant, &name, &value, &settings.limits).await.map_err(usage)?;
                eprintln!("{name} of {tenant} is set");
            }
            None => {
                let value = read_value(MOST).map_err(usage)?;
                let body = json!({ "value": &*value });
                let client = whose.host.client().map_err(Failed::report)?;
                client.put(&secret(&name), body).await.map_err(Failed::report)?;
                eprintln!("{name} is set");
            }
        },
        Verb::List { whose } => {
            let listed: Vec<Value> = match whose.tenant()? {
                Some(tenant) => {
                    let settings = whose.place.settings(Some(tenant))?;
                    let listed = whose.place.open(&settings).await?.list(tenant).await.map_err(usage)?;
                    listed.into_iter().map(described).collect()
                }
                None => {
                    let client = whose.host.client().map_err(Failed::report)?;
                    client.list("/api/secrets").await.map_err(Failed::report)?
                }
            };
            if whose.host.json {
                println!("{}", Value::Array(listed));
                return Ok(());
            }
            for one in &listed {
                // Which key it is is the operator's business, and only known here.
                let members = ["name", "key", "updated_at"].into_iter().filter(|member| one.get(member).is_some());
                println!("{}", members.map(|member| remote::shown(one, member)).collect::<Vec<_>>().join("\t"));
            }
        }
        Verb::Delete { name, whose } => match whose.tenant()? {
            Some(tenant) => {
                let settings = whose.place.settings(Some(tenant))?;
                if !whose.place.open(&settings).await?.delete(tenant, &name).await.map_err(usage)? {
                    let listing = "`airlock secrets list` shows those it has";
                    return Err(usage(format!("{tenant} has no secret {name}; {listing}")));
                }
                eprintln!("{name} of {tenant} is deleted");
            }
            None => {
                let client = whose.host.client().map_err(Failed::report)?;
                client.delete(&secret(&name)).await.map_err(Failed::report)?;
                eprintln!("{name} is deleted");
            }
        },
        Verb::Rotate { place } => {
            let settings = place.settings(None)?;
            let count = place.open(&settings).await?.rotate().await.map_err(usage)?;
            eprintln!("{count} encrypted anew");
        }
    }
    Ok(())
}

/// What a host takes at most, whatever its settings say.
const MOST: u64 = 1 << 20;

fn secret(name: &Name) -> String {
    format!("/api/secrets/{name}")
}

fn described(listed: Listed) -> Value {
    let time = DateTime::from_timestamp_millis(listed.updated_at).unwrap_or_default();
    let time = time.to_rfc3339_opts(SecondsFormat::Secs, true);
    json!({ "name": listed.name, "key": listed.key_id, "updated_at": time })
}

impl Whose {
    /// None: the host is asked.
    fn tenant(&self) -> Result<Option<&str>, Exit> {
        if self.tenant.is_none() && (self.place.config.is_some() || self.place.data.is_some()) {
            return Err(usage("--config and --data are for the databases here; say whose with --tenant"));
        }
        Ok(self.tenant.as_deref())
    }
}

impl Here {
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
