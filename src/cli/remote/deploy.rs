//! `airlock deploy`.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{Failed, Place, say, script, scripts, shown};
use crate::cli::{Exit, report};
use crate::host;

/// Save a script's source on a host as its next version, and make calls run it
///
/// A script that the host does not have is added. Exit status 4: it does not
/// compile.
#[derive(clap::Args)]
pub struct Arguments {
    /// The source
    file: PathBuf,
    /// The script's name [default: the file's, without its ending]
    #[arg(long)]
    name: Option<String>,
    /// What starts it, for one that is added: http, cron, event, oneoff or embedded
    #[arg(long = "type", value_name = "TYPE", default_value = "embedded")]
    kind: String,
    /// The function to call, for one that is added
    #[arg(long)]
    entry: Option<String>,
    /// The path below /api/custom of an HTTP script that is added, such as /orders/{id}
    #[arg(long)]
    path: Option<String>,
    /// A method of an HTTP script that is added [default: GET and POST]
    #[arg(long = "method", value_name = "METHOD")]
    methods: Vec<String>,
    /// When a cron script that is added runs: five fields, as in "0 9 * * 1-5"
    #[arg(long)]
    schedule: Option<String>,
    /// Whose clocks that schedule goes by, as in Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "schedule")]
    timezone: Option<String>,
    /// An event that an event script that is added handles, such as order.*
    #[arg(long = "event", value_name = "NAME")]
    events: Vec<String>,
    /// What has changed, and why
    #[arg(short, long, default_value = "")]
    message: String,
    /// Save the version and leave the deployed one
    #[arg(long)]
    save_only: bool,
    /// Agree to what the script may reach more by it
    #[arg(long)]
    confirm_capabilities: bool,
    #[command(flatten)]
    place: Place,
}

pub async fn run(arguments: Arguments) -> Exit {
    let bytes = match std::fs::read(&arguments.file) {
        Ok(bytes) => bytes,
        Err(reason) => {
            report::error(&format!("{} can't be read: {}", arguments.file.display(), host::kind(&reason)));
            return Exit::Usage;
        }
    };
    let source = match host::text(&arguments.file, bytes) {
        Ok(source) => source,
        Err(problem) => return report::program(&problem),
    };
    match deploy(arguments, source).await {
        Ok(()) => Exit::Completed,
        Err(failed) => scripts::refused(failed),
    }
}

async fn deploy(arguments: Arguments, source: String) -> Result<(), Failed> {
    let client = arguments.place.client()?;
    let json = arguments.place.json;
    let stem = || arguments.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = arguments.name.clone().unwrap_or_else(stem);
    match client.get(&script(&name)).await {
        Ok(_) => {}
        Err(failed) if failed.is("not_found") => {
            client.post("/api/scripts", draft(&arguments, &name)).await?;
        }
        Err(failed) => return Err(failed),
    }
    let new = json!({ "source": source, "message": arguments.message });
    let version = client.post(&format!("{}/versions", script(&name)), new).await?;
    let number = version["number"].as_i64().unwrap_or_default();
    if arguments.save_only {
        say(&version, json, || format!("{name}: version {} is saved", shown(&version, "number")));
        return Ok(());
    }
    scripts::deploy(&client, &name, number, arguments.confirm_capabilities, json).await
}

/// What a script that is added is told about itself.
fn draft(arguments: &Arguments, name: &str) -> Value {
    let mut draft = Map::new();
    draft.insert("name".to_owned(), json!(name));
    draft.insert("type".to_owned(), json!(arguments.kind));
    if let Some(entry) = &arguments.entry {
        draft.insert("entry".to_owned(), json!(entry));
    }
    // What fits another type is sent as well: the host says that it does not fit.
    if arguments.kind == "http" || arguments.path.is_some() || !arguments.methods.is_empty() {
        let methods = Some(&arguments.methods).filter(|methods| !methods.is_empty());
        draft.insert("http".to_owned(), json!({ "path": arguments.path, "methods": methods }));
    }
    if let Some(schedule) = &arguments.schedule {
        let timezone = arguments.timezone.as_deref().unwrap_or("UTC");
        draft.insert("cron".to_owned(), json!({ "schedule": schedule, "timezone": timezone }));
    }
    if !arguments.events.is_empty() {
        draft.insert("event".to_owned(), json!({ "events": arguments.events }));
    }
    Value::Object(draft)
}
