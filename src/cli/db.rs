//! `airlock db`: the tenants' PostgreSQL database, set up and looked over.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use super::{Exit, report, settings};
use crate::capabilities::db::postgres::audit::{self, Report};
use crate::capabilities::db::postgres::protect::{self, Plan};
use crate::capabilities::db::postgres::{Error, Finding, Protection};

/// How long the database may take to accept the connection.
const CONNECT: Duration = Duration::from_secs(15);
/// Of a long statement, a report for reading shows so many bytes.
const SHOWN: usize = 300;

/// Set up, or look over, the PostgreSQL database of the tenants' tables
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print, or apply, what keeps tenants apart in the tables of the settings
    ///
    /// Prints SQL: roles, policies, grants, and what has to be taken from
    /// everyone. What holds already is left alone. Exit status 1: the tables must
    /// change first, and nothing was done.
    Protect(ProtectArguments),
    /// List everything in the database through which a script could reach what is not its tenant's
    ///
    /// Changes nothing. Exit status 1: there is something.
    Audit(AuditArguments),
}

#[derive(clap::Args)]
struct ProtectArguments {
    #[command(flatten)]
    place: Place,
    /// Do it, in one transaction, instead of printing it
    #[arg(long)]
    apply: bool,
}

#[derive(clap::Args)]
struct AuditArguments {
    #[command(flatten)]
    place: Place,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Place {
    /// The settings [default: airlock.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A superuser's connection, as postgres://role@host/database [default: database.admin_url or
    /// AIRLOCK_DATABASE_ADMIN_URL, which other users of this machine don't see]
    #[arg(long, value_name = "URL")]
    admin_url: Option<String>,
}

pub async fn run(arguments: Arguments) -> Exit {
    let done = match arguments.verb {
        Verb::Protect(arguments) => protect(arguments).await,
        Verb::Audit(arguments) => audit(arguments).await,
    };
    done.unwrap_or_else(|exit| exit)
}

async fn protect(arguments: ProtectArguments) -> Result<Exit, Exit> {
    let (mut connection, protection) = open(arguments.place).await?;
    let plan = if arguments.apply {
        protect::apply(&mut connection, &protection).await
    } else {
        protect::plan(&mut connection, &protection).await
    };
    let plan = plan.map_err(failed)?;
    if !plan.refusals.is_empty() {
        refused(&plan);
        return Ok(Exit::Failed);
    }
    if plan.changes.is_empty() {
        println!("-- Nothing to do: the database is protected.");
    } else if arguments.apply {
        for change in &plan.changes {
            println!("{:<18}{}", change.kind, change.object);
        }
        println!("{} applied", counted(plan.changes.len(), "change"));
    } else {
        print!("{}", plan.script());
    }
    for note in &plan.notes {
        println!("-- Note: {note}");
    }
    Ok(Exit::Completed)
}

fn refused(plan: &Plan) {
    for finding in &plan.refusals {
        report::error(&format!("{}: {}: {}", finding.kind, finding.object, finding.why));
    }
    let keys = plan.mending_keys();
    if !keys.is_empty() {
        report::plain("\nThese statements put the tenant into the keys. Read them first, and try them on a copy:\n");
        keys.iter().for_each(|sql| report::plain(&format!("    {sql};")));
    }
    let others = plan.refusals.iter().filter(|finding| !finding.is_key()).flat_map(|finding| &finding.fix);
    let others: Vec<_> = others.map(|statement| format!("    {};", statement.sql)).collect();
    if !others.is_empty() {
        report::plain("\nThese close the rest, where the application can do without it:\n");
        report::plain(&others.join("\n"));
    }
    report::plain("\nNothing was changed.");
}

async fn audit(arguments: AuditArguments) -> Result<Exit, Exit> {
    let (mut connection, protection) = open(arguments.place).await?;
    let report = audit::audit(&mut connection, &protection).await.map_err(failed)?;
    if arguments.json {
        let findings: Vec<_> = report.findings.iter().map(as_json).collect();
        println!("{:#}", json!({ "findings": findings, "notes": report.notes }));
    } else {
        print(&report);
    }
    Ok(if report.findings.is_empty() { Exit::Completed } else { Exit::Failed })
}

fn as_json(finding: &Finding) -> serde_json::Value {
    let fix: Vec<_> = finding.fix.iter().map(|statement| &statement.sql).collect();
    json!({ "kind": finding.kind, "object": finding.object, "why": finding.why, "fix": fix })
}

fn print(report: &Report) {
    for finding in &report.findings {
        println!("{:<18}{}\n{:<18}{}", finding.kind, finding.object, "", finding.why);
        for statement in &finding.fix {
            let mut end = statement.sql.len().min(SHOWN);
            while !statement.sql.is_char_boundary(end) {
                end -= 1;
            }
            let rest = if end < statement.sql.len() { " … (--json has all of it)" } else { ";" };
            println!("{:<18}  {}{rest}", "", &statement.sql[..end]);
        }
    }
    println!("{}", counted(report.findings.len(), "finding"));
    for note in &report.notes {
        println!("note              {note}");
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

async fn open(place: Place) -> Result<(PgConnection, Protection), Exit> {
    let usage = |message: &str| {
        report::error(message);
        Exit::Usage
    };
    let path = place.config.unwrap_or_else(|| PathBuf::from("airlock.toml"));
    let database = settings(Some(&path))?.database.ok_or_else(|| {
        usage("the settings have no [database]: each tenant has a SQLite file of its own, and nothing needs protecting")
    })?;
    let url = place.admin_url.or(database.admin_url).ok_or_else(|| {
        usage("name a superuser's connection with --admin-url, `database.admin_url` or AIRLOCK_DATABASE_ADMIN_URL")
    })?;
    // The URL may hold a password, and what the driver says of it may quote it.
    let options = PgConnectOptions::from_str(&url).map_err(|_| usage("the superuser's URL is not one"))?;
    let tenants = PgConnectOptions::from_str(&database.url).map_err(|_| usage("`database.url` is not a URL"))?;
    if options.get_database() != tenants.get_database() {
        return Err(usage(&format!(
            "the superuser's URL names the database {}, and `database.url` {}",
            options.get_database().unwrap_or("none"),
            tenants.get_database().unwrap_or("none")
        )));
    }
    match tokio::time::timeout(CONNECT, PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => Ok((connection, database.protection)),
        Ok(Err(reason)) => Err(failed(Error::Database(reason))),
        Err(_) => Err(usage(&format!("the database does not answer within {} s", CONNECT.as_secs()))),
    }
}

fn failed(error: Error) -> Exit {
    report::error(&error.to_string());
    Exit::Usage
}
