//! `airlock scripts` and `airlock rollback`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Client, Failed, Place, exit, print, say, script, shown, whole};
use crate::cli::{Exit, report};

/// List the scripts of a host's tenant, look at them and manage them
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the scripts
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Show what is set on a script
    Show(One),
    /// List a script's versions, the newest first
    Versions(One),
    /// Print the source of a version [default: the deployed one]
    Source {
        #[command(flatten)]
        one: One,
        /// The version's number
        #[arg(long, value_name = "NUMBER")]
        version: Option<i64>,
    },
    /// Show what the last version changes: its text, and what it may reach
    Diff {
        #[command(flatten)]
        one: One,
        /// The older version [default: the deployed one]
        #[arg(long, value_name = "NUMBER")]
        from: Option<i64>,
        /// The newer version [default: the last one]
        #[arg(long, value_name = "NUMBER")]
        to: Option<i64>,
    },
    /// Let calls of a script through
    Enable(One),
    /// Let no more calls of a script through
    Disable(One),
    /// Delete a script with all its versions
    Delete(One),
}

#[derive(clap::Args)]
struct One {
    /// Its name or id
    script: String,
    #[command(flatten)]
    place: Place,
}

/// Make calls run an older version of a script
#[derive(clap::Args)]
pub struct Rollback {
    #[command(flatten)]
    one: One,
    /// The version's number [default: the one before the deployed one]
    #[arg(value_name = "VERSION")]
    version: Option<i64>,
    /// Agree to what the script may reach more by it
    #[arg(long)]
    confirm_capabilities: bool,
}

pub async fn run(arguments: Arguments) -> Exit {
    exit(manage(arguments.verb).await)
}

async fn manage(verb: Verb) -> Result<(), Failed> {
    let place = match &verb {
        Verb::List { place } => place,
        Verb::Source { one, .. } | Verb::Diff { one, .. } => &one.place,
        Verb::Show(one) | Verb::Versions(one) | Verb::Enable(one) | Verb::Disable(one) | Verb::Delete(one) => {
            &one.place
        }
    };
    let (client, json) = (&place.client()?, place.json);
    match verb {
        Verb::List { .. } => {
            let scripts = client.list("/api/scripts").await?;
            print(&scripts, json, ["name", "type", "enabled", "deployed", "latest", "origin"], |script| {
                ["name", "type", "enabled", "deployed", "latest", "origin"].map(|member| shown(script, member))
            });
        }
        Verb::Show(one) => {
            let value = client.get(&script(&one.script)).await?;
            say(&value, json, || whole(&value));
        }
        Verb::Versions(one) => {
            let versions = client.list(&format!("{}/versions", script(&one.script))).await?;
            print(&versions, json, ["version", "deployed", "created", "author", "message"], |version| {
                ["number", "deployed", "created_at", "author", "message"].map(|member| shown(version, member))
            });
        }
        Verb::Source { one, version } => {
            let path = script(&one.script);
            let number = match version {
                Some(number) => number,
                None => deployed(&client.get(&path).await?)?,
            };
            let version = client.get(&format!("{path}/versions/{number}")).await?;
            say(&version, json, || version["source"].as_str().unwrap_or_default().trim_end().to_owned());
        }
        Verb::Diff { one, from, to } => {
            let mut path = format!("{}/compare?", script(&one.script));
            for (name, number) in [("from", from), ("to", to)] {
                if let Some(number) = number {
                    path.push_str(&format!("{name}={number}&"));
                }
            }
            let difference = client.get(path.trim_end_matches(['&', '?'])).await?;
            say(&difference, json, || {
                let mut text = difference["source"].as_str().unwrap_or_default().to_owned();
                text.push_str(&reach("may reach", &difference["gains"]));
                text.push_str(&reach("may no longer reach", &difference["loses"]));
                text.trim_end().to_owned()
            });
        }
        Verb::Enable(one) => toggle(client, &one.script, "enable", json).await?,
        Verb::Disable(one) => toggle(client, &one.script, "disable", json).await?,
        Verb::Delete(one) => {
            client.delete(&script(&one.script)).await?;
            say(&json!({ "deleted": one.script }), json, || format!("{} is deleted", one.script));
        }
    }
    Ok(())
}

async fn toggle(client: &Client, named: &str, verb: &str, json: bool) -> Result<(), Failed> {
    let value = client.post(&format!("{}/{verb}", script(named)), json!({})).await?;
    say(&value, json, || format!("{} is {verb}d", shown(&value, "name")));
    Ok(())
}

/// The number of the version that calls run.
fn deployed(script: &Value) -> Result<i64, Failed> {
    script["deployed"].as_i64().ok_or_else(|| {
        Failed::Unreachable(format!("no version of {} is deployed; --version names one", shown(script, "name")))
    })
}

/// What a script reaches, by list, as lines.
pub fn reach(head: &str, lists: &Value) -> String {
    let Value::Object(lists) = lists else { return String::new() };
    let mut text = String::new();
    for (list, entries) in lists {
        let entries: Vec<&str> = entries.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !entries.is_empty() {
            text.push_str(&format!("{head} {list}: {}\n", entries.join(", ")));
        }
    }
    text
}

pub async fn rollback(arguments: Rollback) -> Exit {
    let Rollback { one, version, confirm_capabilities } = arguments;
    let back = async {
        let client = one.place.client()?;
        let path = script(&one.script);
        let number = match version {
            Some(number) => number,
            None => {
                let now = deployed(&client.get(&path).await?)?;
                let versions = client.list(&format!("{path}/versions")).await?;
                let older = versions.iter().filter_map(|version| version["number"].as_i64());
                older.filter(|number| *number < now).max().ok_or_else(|| {
                    Failed::Unreachable(format!("{} has no version before {now}, which is deployed", one.script))
                })?
            }
        };
        deploy(&client, &one.script, number, confirm_capabilities, one.place.json).await
    };
    match back.await {
        Ok(()) => Exit::Completed,
        Err(failed) => refused(failed),
    }
}

/// Makes calls run a version.
pub async fn deploy(client: &Client, named: &str, number: i64, agrees: bool, json: bool) -> Result<(), Failed> {
    let path = format!("{}/versions/{number}/deploy", script(named));
    let value = client.post(&path, json!({ "confirm_capabilities": agrees })).await?;
    say(&value, json, || format!("{}: version {number} is deployed", shown(&value, "name")));
    Ok(())
}

/// Tells why a version is not deployed.
pub fn refused(failed: Failed) -> Exit {
    if let Failed::Refused(problem) = &failed
        && failed.is("capabilities_unconfirmed")
    {
        report::error(&problem.detail);
        report::plain(&reach("it may reach", &problem.more["capabilities"]));
        report::plain("--confirm-capabilities agrees to that");
        return Exit::Usage;
    }
    failed.report()
}
