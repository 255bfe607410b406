//! `airlock db audit`: says what does not hold in a live database. Changes
//! nothing.

use sqlx::{Connection, PgConnection};

use super::checks::{self, Finding};
use super::protect::open;
use super::{Error, Protection};

/// What an audit found.
#[derive(Debug, Clone)]
pub struct Report {
    /// Each is a way for a script to get what it must not have, or something
    /// that keeps tenants from working.
    pub findings: Vec<Finding>,
    /// What to know besides.
    pub notes: Vec<String>,
}

/// Audits the database of the connection.
///
/// # Errors
///
/// Where the settings name what is not there, the connection is not a
/// superuser's, or the database fails.
pub async fn audit(connection: &mut PgConnection, protection: &Protection) -> Result<Report, Error> {
    let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let report = read(&mut transaction, protection).await?;
    transaction.rollback().await?;
    Ok(report)
}

/// The same in a transaction that is open already.
pub(super) async fn read(connection: &mut PgConnection, protection: &Protection) -> Result<Report, Error> {
    let scene = open(connection, protection).await?;
    let mut findings = checks::closable(connection, &scene, protection).await?;
    findings.extend(checks::undecided(connection, &scene).await?);
    let notes = checks::notes(connection, &scene).await?;
    Ok(Report { findings, notes })
}
