//! `airlock db protect`: makes everything hold that the checks check.

use std::fmt::Write as _;

use sqlx::{Connection, PgConnection};

use super::checks::{self, Finding, Statement};
use super::scene::Scene;
use super::{Error, Protection};

/// What protecting a database takes.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What does not hold yet, with the statements for it, in their order.
    pub changes: Vec<Finding>,
    /// What the application's owner must decide first. Nothing is done before.
    pub refusals: Vec<Finding>,
    /// What to know besides.
    pub notes: Vec<String>,
}

/// Reads a database and says what protecting it takes. Changes nothing.
///
/// # Errors
///
/// Where the settings name what is not there, the connection is not a
/// superuser's, or the database fails.
pub async fn plan(connection: &mut PgConnection, protection: &Protection) -> Result<Plan, Error> {
    let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let plan = read(&mut transaction, protection).await?;
    transaction.rollback().await?;
    Ok(plan)
}

/// Does all of it in one transaction, or nothing where there are refusals.
/// Answers what was done: no changes where all held already.
///
/// # Errors
///
/// As [`plan`], or where a statement fails or does not help. Then nothing was
/// done.
pub async fn apply(connection: &mut PgConnection, protection: &Protection) -> Result<Plan, Error> {
    if protection.keys.is_empty() {
        return Err(Error::Refused(
            "there is no key to sign tokens with: set `database.token_keys`, or AIRLOCK_DATABASE_TOKEN_KEYS".to_owned(),
        ));
    }
    let mut transaction = connection.begin().await?;
    let plan = close(&mut transaction, protection).await?;
    transaction.commit().await?;
    Ok(plan)
}

/// The same in a transaction that is open already.
pub(super) async fn close(connection: &mut PgConnection, protection: &Protection) -> Result<Plan, Error> {
    // Two at once would trip over each other. Tables are locked for an instant,
    // and waiting for that stops everybody else. Keys stay out of the server's log.
    for sql in [
        "SELECT pg_advisory_xact_lock(hashtext('airlock db protect'))",
        "SET LOCAL lock_timeout = '10s'",
        "SET LOCAL log_statement = 'none'",
        "SET LOCAL log_min_duration_statement = -1",
        "SET LOCAL log_min_error_statement = 'panic'",
        "SET LOCAL log_parameter_max_length_on_error = 0",
    ] {
        sqlx::query(sql).execute(&mut *connection).await?;
    }
    let plan = read(connection, protection).await?;
    if !plan.refusals.is_empty() {
        return Ok(plan);
    }
    for Statement { sql, secrets } in plan.changes.iter().flat_map(|change| &change.fix) {
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql.as_str()));
        for secret in secrets {
            query = query.bind(&secret.0);
        }
        query.execute(&mut *connection).await?;
    }
    if let Some(left) = read(connection, protection).await?.changes.first() {
        return Err(Error::Refused(format!(
            "the statements ran and did not help, so they were undone: {}: {}",
            left.object, left.why
        )));
    }
    Ok(plan)
}

async fn read(connection: &mut PgConnection, protection: &Protection) -> Result<Plan, Error> {
    let scene = open(connection, protection).await?;
    Ok(Plan {
        changes: checks::closable(connection, &scene, protection).await?,
        refusals: checks::undecided(connection, &scene).await?,
        notes: checks::notes(connection, &scene).await?,
    })
}

/// Prepares a transaction for the checks.
pub(super) async fn open(connection: &mut PgConnection, protection: &Protection) -> Result<Scene, Error> {
    // SHOW needs no privilege, so this can be said to any role.
    let superuser: String = sqlx::query_scalar("SHOW is_superuser").fetch_one(&mut *connection).await?;
    if superuser != "on" {
        return Err(Error::Refused(
            "this takes a superuser: PostgreSQL lets nobody else see and change what everyone may do with its own \
             functions and catalogs. Name one with --admin-url, `database.admin_url` or AIRLOCK_DATABASE_ADMIN_URL"
                .to_owned(),
        ));
    }
    // So that the server spells every name out with its schema.
    sqlx::query("SET LOCAL search_path = pg_catalog").execute(&mut *connection).await?;
    let scene = Scene::load(connection, protection).await?;
    if scene.login.name.plain == scene.current_user {
        return Err(Error::Refused(format!(
            "{} is the role that tenants' statements run as, and this connection's: name a superuser of its own",
            scene.login.name.plain
        )));
    }
    Ok(scene)
}

impl Plan {
    /// The statements as a text for psql, with what each is for. Those that hold
    /// a secret are named and left out.
    pub fn script(&self) -> String {
        let mut text = String::from("BEGIN;\nSET LOCAL search_path = pg_catalog;\nSET LOCAL lock_timeout = '10s';\n");
        for change in &self.changes {
            let _ = write!(text, "\n-- {}: {}: {}\n", change.kind, change.object, change.why);
            for statement in &change.fix {
                if statement.secrets.is_empty() {
                    let _ = writeln!(text, "{};", statement.sql);
                } else {
                    let _ = writeln!(text, "-- only --apply does this, for it takes the key:\n-- {};", statement.sql);
                }
            }
        }
        text.push_str("\nCOMMIT;\n");
        text
    }

    /// The statements that mend keys, in an order that works.
    pub fn mending_keys(&self) -> Vec<&str> {
        checks::mending_keys(&self.refusals)
    }
}
