//! `airlock logs`.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Client, Failed, Place, encoded, exit, shown};
use crate::cli::{Exit, report};

/// How long to wait before following again, where the host has stopped.
const AGAIN: Duration = Duration::from_secs(1);

/// Members that every line has, beside what its script gave it.
const OWN: [&str; 9] =
    ["timestamp", "level", "message", "tenant_id", "user_id", "script_id", "script", "execution_id", "source_file"];

/// Print what scripts logged, the latest last
///
/// With --json, each line as the host has it: a JSON object.
#[derive(clap::Args)]
pub struct Arguments {
    /// Its name or id [default: all scripts]
    script: Option<String>,
    /// Go on with what is logged from now on, on all hosts
    #[arg(long, short)]
    follow: bool,
    /// How many of the last executions to show
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
    #[command(flatten)]
    place: Place,
}

pub async fn run(arguments: Arguments) -> Exit {
    exit(show(arguments).await)
}

async fn show(arguments: Arguments) -> Result<(), Failed> {
    let Arguments { script, follow, limit, place } = arguments;
    let client = place.client()?;
    let of_script = script.as_ref().map(|script| format!("?script={}", encoded(script))).unwrap_or_default();
    if follow {
        return self::follow(&client, &format!("/api/logs{of_script}"), place.json).await;
    }
    let mut executions = client.first(&format!("/api/executions{of_script}"), limit).await?;
    executions.reverse();
    for execution in executions {
        let mut left = execution["log_lines"].as_u64().unwrap_or_default();
        if left == 0 {
            continue;
        }
        let id = execution["id"].as_str().unwrap_or_default();
        let mut events = client.events(&format!("/api/executions/{}/logs", encoded(id))).await?;
        // One that runs still would go on.
        while left > 0
            && let Some(event) = events.next().await?
            && event.name == "line"
        {
            left -= 1;
            println!("{}", line(&event.data, place.json));
        }
    }
    Ok(())
}

async fn follow(client: &Client, path: &str, json: bool) -> Result<(), Failed> {
    loop {
        let mut events = client.events(path).await?;
        while let Some(event) = events.next().await? {
            match event.name.as_str() {
                "line" => println!("{}", line(&event.data, json)),
                "skipped" => report::plain("there is more than can be followed; name a script"),
                "end" if !json => println!("{}", ended(&event.data)),
                _ => {}
            }
        }
        report::plain("the host has stopped; asking again");
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whoever reads a terminal must not be shown what a script writes to it.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn line(data: &str, json: bool) -> String {
    let Some(line) = serde_json::from_str::<Map<String, Value>>(data).ok().filter(|_| !json) else {
        return data.to_owned();
    };
    let more: Map<String, Value> = line.iter().filter(|(key, _)| !OWN.contains(&key.as_str())).map(own).collect();
    let line = Value::Object(line);
    let [time, level, script, message] =
        ["timestamp", "level", "script", "message"].map(|member| plain(&shown(&line, member)));
    let more = if more.is_empty() { String::new() } else { format!("  {}", Value::Object(more)) };
    format!("{time}  {level:5}  {script}  {message}{more}")
}

fn own((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

fn ended(data: &str) -> String {
    let end: Value = serde_json::from_str(data).unwrap_or_default();
    let [script, status, id] = ["script", "status", "id"].map(|member| plain(&shown(&end, member)));
    let time = end["duration_ms"].as_f64().map(|time| format!(" after {time} ms")).unwrap_or_default();
    format!("{script} {status}{time}  {id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_readable_and_moves_no_cursor() {
        let data = r#"{"timestamp":"2026-01-05T09:30:00.045Z","level":"info","message":"hi\u001b[2J\n!","tenant_id":"acme",
            "script_id":"1","script":"orders","execution_id":"2","source_file":"orders.js","ms":5}"#;
        assert_eq!(line(data, false), r#"2026-01-05T09:30:00.045Z  info   orders  hi [2J !  {"ms":5}"#);
        assert_eq!(line(data, true), data);
        let end = r#"{"id":"2","script":"orders","status":"completed","duration_ms":1.5}"#;
        assert_eq!(ended(end), "orders completed after 1.5 ms  2");
    }
}
