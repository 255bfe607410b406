//! `airlock schedules`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Client, Failed, Place, encoded, exit, print, say, shown};
use crate::cli::Exit;

/// See when scripts run and ran, and let them rest, wake or run
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the schedules, with their next and last ticks
    List {
        #[command(flatten)]
        place: Place,
    },
    /// List a script's latest ticks, and what became of them
    Ticks {
        #[command(flatten)]
        one: One,
        /// Ticks at most
        #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
    /// Let a schedule rest
    Pause(One),
    /// Wake a schedule
    Resume(One),
    /// Run a scheduled script once, now
    Run(One),
}

#[derive(clap::Args)]
struct One {
    /// The script's name or id
    script: String,
    #[command(flatten)]
    place: Place,
}

pub async fn run(arguments: Arguments) -> Exit {
    exit(manage(arguments.verb).await)
}

async fn manage(verb: Verb) -> Result<(), Failed> {
    let place = match &verb {
        Verb::List { place } => place,
        Verb::Ticks { one, .. } => &one.place,
        Verb::Pause(one) | Verb::Resume(one) | Verb::Run(one) => &one.place,
    };
    let (client, json) = (&place.client()?, place.json);
    match verb {
        Verb::List { .. } => {
            let schedules = client.list("/api/schedules").await?;
            print(&schedules, json, ["name", "schedule", "timezone", "state", "next", "last", "status"], |schedule| {
                let last = &schedule["last"];
                [
                    shown(schedule, "name"),
                    shown(&schedule["cron"], "schedule"),
                    shown(&schedule["cron"], "timezone"),
                    shown(schedule, "state"),
                    schedule["next"][0].as_str().unwrap_or("-").to_owned(),
                    shown(last, "tick"),
                    became(last),
                ]
            });
        }
        Verb::Ticks { one, limit } => {
            let page = client.get(&format!("{}/ticks?limit={limit}", path(&one))).await?;
            let ticks = page["items"].as_array().cloned().unwrap_or_default();
            print(&ticks, json, ["tick", "status", "run", "execution", "detail"], |tick| {
                let run = &tick["run"];
                [
                    shown(tick, "tick"),
                    shown(tick, "status"),
                    became(tick),
                    shown(&run["execution"], "id"),
                    shown(tick, "detail"),
                ]
            });
        }
        Verb::Pause(one) => rest(client, &one, "pause", "rests", json).await?,
        Verb::Resume(one) => rest(client, &one, "resume", "runs by its schedule", json).await?,
        Verb::Run(one) => {
            let value = client.post(&format!("{}/run", path(&one)), json!({})).await?;
            say(&value, json, || format!("{} runs as {}", one.script, shown(&value, "id")));
        }
    }
    Ok(())
}

/// What came of a tick: the last execution's status, or how far its job is.
fn became(tick: &Value) -> String {
    let run = &tick["run"];
    match (&run["execution"]["status"], &run["state"]) {
        (Value::String(status), _) => status.clone(),
        (_, Value::String(state)) => state.clone(),
        _ => shown(tick, "status"),
    }
}

async fn rest(client: &Client, one: &One, verb: &str, does: &str, json: bool) -> Result<(), Failed> {
    let value = client.post(&format!("{}/{verb}", path(one)), json!({})).await?;
    say(&value, json, || format!("{} {does}", shown(&value, "name")));
    Ok(())
}

fn path(one: &One) -> String {
    format!("/api/schedules/{}", encoded(&one.script))
}
