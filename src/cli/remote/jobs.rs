//! `airlock jobs`.

use clap::Subcommand;
use serde_json::json;

use super::{Failed, Place, brief, encoded, exit, print, say, shown, whole};
use crate::cli::Exit;

/// List what scripts of a host's tenant are to do, take it back, or replay what failed
///
/// Without a verb: the jobs that are not done, the latest first.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Only the dead letters: jobs that have used up their attempts
    #[arg(long)]
    dead: bool,
    /// Only those of a script, by its id
    #[arg(long, value_name = "ID")]
    script: Option<String>,
    #[command(flatten)]
    place: Option<Place>,
}

#[derive(Subcommand)]
enum Verb {
    /// Show a job
    Show(One),
    /// Try a dead letter again
    Replay(One),
    /// Discard a dead letter, or take back a job that has not begun
    Discard(One),
}

#[derive(clap::Args)]
struct One {
    /// The job's id
    id: String,
    #[command(flatten)]
    place: Place,
}

pub async fn run(arguments: Arguments) -> Exit {
    exit(match arguments.verb {
        Some(verb) => manage(verb).await,
        None => list(arguments).await,
    })
}

async fn list(arguments: Arguments) -> Result<(), Failed> {
    let Arguments { dead, script, place, .. } = arguments;
    let place = place.ok_or_else(|| Failed::Unreachable("--token says who asks".to_owned()))?;
    let mut path = "/api/jobs?limit=200".to_owned();
    if dead {
        path += "&state=dead";
    }
    if let Some(script) = script {
        path += &format!("&script={}", encoded(&script));
    }
    let jobs = place.client()?.list(&path).await?;
    print(&jobs, place.json, ["id", "script", "trigger", "state", "run at", "attempts", "error"], |job| {
        let [id, script, trigger, state, run_at] =
            ["id", "script", "trigger", "state", "run_at"].map(|member| shown(job, member));
        let attempts = format!("{}/{}", shown(job, "attempt"), shown(job, "attempts"));
        [id, script, trigger, state, run_at, attempts, brief(&job["error"])]
    });
    Ok(())
}

async fn manage(verb: Verb) -> Result<(), Failed> {
    let (Verb::Show(One { id, place }) | Verb::Replay(One { id, place }) | Verb::Discard(One { id, place })) = &verb;
    let (client, path) = (place.client()?, format!("/api/jobs/{}", encoded(id)));
    match &verb {
        Verb::Show(_) => {
            let job = client.get(&path).await?;
            say(&job, place.json, || whole(&job));
        }
        Verb::Replay(_) => {
            client.post(&format!("{path}/replay"), json!({})).await?;
            say(&json!({ "id": id, "replayed": true }), place.json, || format!("{id} waits for its turn"));
        }
        Verb::Discard(_) => {
            client.delete(&path).await?;
            say(&json!({ "id": id, "discarded": true }), place.json, || format!("{id} is discarded"));
        }
    }
    Ok(())
}
