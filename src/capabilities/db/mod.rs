//! The tenant's tables: a SQLite file for each tenant, or the tables of one
//! PostgreSQL database that all tenants share.
//!
//! Scripts see the same API and the same values on both. What differs is said
//! in [`sqlite`] and [`postgres`].

pub mod access;
mod build;
mod deadline;
mod error;
mod exact;
#[cfg(test)]
mod fixture;
mod host;
pub mod postgres;
mod sqlite;
mod statement;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use self::access::{Access, Grant, Rules};
pub use self::error::list;
pub use self::statement::Statement;
use crate::runtime::bindings::airlock::script::db::Outcome;
use crate::runtime::failure::Failure;
use crate::runtime::limits::Limits;

/// What the process owns: the tenants' databases. Clones are the same ones.
#[derive(Clone)]
pub enum Process {
    Sqlite(sqlite::Process),
    Postgres(postgres::Process),
}

/// What one call holds: the transactions that it has open.
#[derive(Default)]
pub struct Held {
    transactions: HashMap<u32, Transaction>,
    last: u32,
}

/// A transaction. Its clones are the same one; when the last is dropped, it is
/// rolled back and its connection goes back to the pool, or is closed.
#[derive(Clone)]
pub enum Transaction {
    Sqlite(sqlite::Transaction),
    Postgres(postgres::Transaction),
}

impl Process {
    /// Keeps a SQLite file for each tenant, `<directory>/tenants/<tenant id>.db`.
    /// Opens and makes nothing yet.
    pub fn new(directory: PathBuf) -> Process {
        Process::Sqlite(sqlite::Process::new(directory))
    }

    /// Runs SQL of the operator's, such as a schema and its first rows, in one
    /// transaction. Not guarded: never give it what a tenant wrote.
    ///
    /// # Errors
    ///
    /// Where the tenant's id is not one, the file can't be opened or written,
    /// or the SQL fails; then nothing of it was done. On PostgreSQL always: the
    /// tables there are the application's, which has means of its own.
    pub async fn provision(&self, tenant: &str, sql: &str) -> anyhow::Result<()> {
        match self {
            Process::Sqlite(process) => process.provision(tenant, sql).await,
            Process::Postgres(_) => Err(anyhow::anyhow!(NOT_OURS)),
        }
    }

    /// The same, unless it was done before: the file's `user_version` tells, and
    /// it is set in the same transaction.
    pub async fn provision_once(&self, tenant: &str, sql: &str) -> anyhow::Result<()> {
        match self {
            Process::Sqlite(process) => process.provision_once(tenant, sql).await,
            Process::Postgres(_) => Err(anyhow::anyhow!(NOT_OURS)),
        }
    }

    /// Runs a statement by itself: what it writes is durable when it is answered.
    pub async fn run(&self, access: &Access, limits: &Arc<Limits>, statement: Statement) -> Result<Outcome, Failure> {
        match self {
            Process::Sqlite(process) => process.run(access, limits, statement).await,
            Process::Postgres(process) => process.run(access, limits, statement).await,
        }
    }

    /// Begins a transaction that may write. On SQLite it waits while another does.
    pub async fn begin(&self, access: &Access, limits: &Arc<Limits>) -> Result<Transaction, Failure> {
        match self {
            Process::Sqlite(process) => process.begin(access, limits).await.map(Transaction::Sqlite),
            Process::Postgres(process) => process.begin(access, limits).await.map(Transaction::Postgres),
        }
    }
}

const NOT_OURS: &str = "the tenants' tables are in a PostgreSQL database, whose schema is the application's; run the \
                        SQL there by its own means, such as psql, then `airlock db protect`, and leave `schema` and \
                        `seed` out of the settings";

impl Transaction {
    /// Runs a statement after those that were started before it.
    pub async fn run(&self, statement: Statement) -> Result<Outcome, Failure> {
        match self {
            Transaction::Sqlite(transaction) => transaction.run(statement).await,
            Transaction::Postgres(transaction) => transaction.run(statement).await,
        }
    }

    /// Commits or rolls back. It is over afterwards either way.
    pub async fn end(self, commit: bool) -> Result<(), Failure> {
        match self {
            Transaction::Sqlite(transaction) => transaction.end(commit).await,
            Transaction::Postgres(transaction) => transaction.end(commit).await,
        }
    }
}
