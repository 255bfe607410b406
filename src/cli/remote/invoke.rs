//! `airlock invoke`.

use serde_json::{Map, Value, json};

use super::{Place, say, script, shown};
use crate::cli::bar::Bar;
use crate::cli::run::json_argument;
use crate::cli::{Exit, report};

/// Run a script on a host, and wait for its end, or queue it
///
/// Prints the returned value as JSON on stdout and the logs, a JSON object a
/// line, on stderr; with --json, one object with everything. In a terminal, a bar
/// shows how far the script says that it is.
#[derive(clap::Args)]
pub struct Arguments {
    /// Its name or id
    script: String,
    /// The function's argument: JSON, or @FILE
    #[arg(long, value_name = "JSON|@FILE")]
    input: Option<String>,
    /// The function to call [default: the script's own]
    #[arg(long, value_name = "NAME")]
    entry: Option<String>,
    /// A version that is not deployed, for a trial
    #[arg(long, value_name = "NUMBER")]
    version: Option<i64>,
    /// Only queue it, and print the id that its execution will have
    #[arg(long)]
    no_wait: bool,
    /// Run it then, as in 2026-01-05T09:30:00Z; nothing waits for it
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// How often to try it if it fails, where nothing waits for it [default: 1]
    #[arg(long, value_name = "NUMBER")]
    attempts: Option<u32>,
    #[command(flatten)]
    place: Place,
}

pub async fn run(arguments: Arguments) -> Exit {
    let Arguments { script: named, input, entry, version, no_wait, at, attempts, place } = arguments;
    let input = match input.map(|text| json_argument("--input", &text)).transpose() {
        Ok(input) => input,
        Err(reason) => {
            report::error(&reason);
            return Exit::Usage;
        }
    };
    let mut new = Map::new();
    if let Some(input) = input {
        // It was JSON a moment ago.
        new.insert("input".to_owned(), serde_json::from_str(&input).unwrap_or_default());
    }
    let queued = no_wait || at.is_some();
    for (name, value) in [
        ("entry", entry.map(Value::from)),
        ("version", version.map(Value::from)),
        ("wait", queued.then(|| Value::from(false))),
        ("at", at.map(Value::from)),
        ("attempts", attempts.map(Value::from)),
    ] {
        if let Some(value) = value {
            new.insert(name.to_owned(), value);
        }
    }
    let bar = Bar::new();
    let asked = async {
        let path = format!("{}/run", script(&named));
        place.client()?.run(&path, Value::Object(new), |report| bar.show(&report)).await
    };
    let asked = asked.await;
    bar.end();
    let ended = match asked {
        Ok(ended) => ended,
        Err(failed) => return failed.report(),
    };
    if queued {
        say(&ended, place.json, || shown(&ended, "id"));
        return Exit::Completed;
    }
    if place.json {
        println!("{ended}");
    } else {
        for line in ended["logs"].as_array().into_iter().flatten() {
            eprintln!("{line}");
        }
        show(&ended);
    }
    match ended["status"].as_str() {
        Some("completed") => Exit::Completed,
        Some("timeout" | "limit") => Exit::Limit,
        _ => Exit::Failed,
    }
}

fn show(ended: &Value) {
    let error = &ended["error"];
    if error.is_null() {
        println!("{}", ended.get("result").unwrap_or(&json!(null)));
        return;
    }
    report::error(&format!("{}: {}", shown(error, "name"), shown(error, "message")));
    if let Some(stack) = error["stack"].as_str().filter(|stack| !stack.is_empty()) {
        report::plain(stack);
    }
}
