//! `airlock config`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::{Exit, report};
use crate::server;
use crate::settings::explain::{self, Explained};

/// Check the settings
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Say what is wrong with the settings, or what holds and where each value came from
    ///
    /// Looks at the files that the settings name. Opens no database and runs no
    /// script.
    Check {
        /// The settings [default: airlock.toml]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

pub fn run(arguments: Arguments) -> Exit {
    let Verb::Check { config, json } = arguments.verb;
    let path = config.unwrap_or_else(|| PathBuf::from("airlock.toml"));
    let explained = match explain::explain(Some(&path), |name| std::env::var(name).ok()) {
        Ok((settings, explained)) => match server::check(&settings.server) {
            Ok(()) => explained,
            Err(reason) => {
                report::error(&reason.to_string());
                return Exit::Usage;
            }
        },
        Err(error) => {
            report::plain(&error.to_string());
            return Exit::Usage;
        }
    };
    if json {
        println!("{}", json!({ "settings": explained }));
    } else {
        print!("{}", table(&explained));
    }
    Exit::Completed
}

fn table(explained: &[Explained]) -> String {
    let wide = |text: fn(&Explained) -> &str| explained.iter().map(|one| text(one).chars().count()).max().unwrap_or(0);
    // A long list goes on beyond its column.
    let (setting, value) = (wide(|one| &one.setting), wide(|one| &one.value).min(40));
    let lines = explained.iter().map(|one| format!("{:setting$}  {:value$}  {}\n", one.setting, one.value, one.from));
    lines.collect()
}
