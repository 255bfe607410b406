//! `airlock executions`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Failed, Place, brief, encoded, exit, print, say, shown, whole};
use crate::cli::Exit;

/// List the runs of a host's scripts, look at one and stop one
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the last executions, the latest first
    List {
        /// A script's name or id [default: all scripts]
        #[arg(long)]
        script: Option<String>,
        /// Those that ended so: completed, failed, timeout, limit, cancelled, lost; or running
        #[arg(long)]
        status: Option<String>,
        /// How many
        #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        #[command(flatten)]
        place: Place,
    },
    /// Show all that is known of an execution
    Show(One),
    /// Stop an execution, on whatever host it runs
    Cancel(One),
}

#[derive(clap::Args)]
struct One {
    /// The execution's id
    id: String,
    #[command(flatten)]
    place: Place,
}

pub async fn run(arguments: Arguments) -> Exit {
    exit(act(arguments.verb).await)
}

async fn act(verb: Verb) -> Result<(), Failed> {
    match verb {
        Verb::List { script, status, limit, place } => {
            let chosen = [("script", script), ("status", status)];
            let chosen = chosen.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(&value?))));
            let query = chosen.collect::<Vec<_>>().join("&");
            let path = format!("/api/executions{}{query}", if query.is_empty() { "" } else { "?" });
            let found = place.client()?.first(&path, limit).await?;
            let heads = ["id", "script", "version", "trigger", "status", "started", "ms", "error"];
            print(&found, place.json, heads, |one| {
                [
                    shown(one, "id"),
                    shown(&one["script"], "name"),
                    shown(one, "version"),
                    shown(one, "trigger"),
                    shown(one, "status"),
                    shown(one, "started_at"),
                    shown(one, "duration_ms"),
                    brief(&one["error"]),
                ]
            });
        }
        Verb::Show(One { id, place }) => {
            let found = place.client()?.get(&execution(&id)).await?;
            say(&found, place.json, || whole(&found));
        }
        Verb::Cancel(One { id, place }) => {
            place.client()?.post(&format!("{}/cancel", execution(&id)), Value::Null).await?;
            say(&json!({ "cancelled": id }), place.json, || format!("{id} is being stopped"));
        }
    }
    Ok(())
}

fn execution(id: &str) -> String {
    format!("/api/executions/{}", encoded(id))
}
