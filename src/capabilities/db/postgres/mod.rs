//! The tenants' tables in PostgreSQL: shared ones, in which a policy shows each
//! tenant its own rows.
//!
//! | File | What |
//! |---|---|
//! | [`token`] | the text that says which tenant a transaction is for, signed here and checked in the database |
//! | [`protect`] | the schema, roles, policies and grants that this rests on |
//! | [`audit`] | what in a live database would leak in spite of them |
//! | [`gaps`] | what of it the host refuses to start on |
//!
//! | [`process`] | runs statements: a script's [`text`] is written anew, a [`session`] says whom it is for, [`values`] come back |
//!
//! [`protect`] and [`audit`] go by the same checks: the one closes what a check
//! finds, and the other only says it.
//!
//! What differs from SQLite, beside the SQL itself:
//!
//! - `SELECT *` answers the tenant's column too; the table operations do not.
//! - An error ends the transaction that it happens in.
//! - Transactions of one tenant run beside each other, and wait only for rows.
//! - `?` is always a parameter; the operators of that name are `jsonb_exists`
//!   and its like.

pub mod audit;
mod bounded;
mod cache;
mod catalog;
mod checks;
mod error;
#[cfg(test)]
pub mod fixture;
mod gaps;
mod load;
mod pool;
mod process;
pub mod protect;
mod ready;
mod routine;
mod run;
mod scene;
mod session;
#[cfg(test)]
mod tests;
mod text;
pub mod token;
mod transaction;
mod values;

pub use self::checks::{Finding, Secret, Statement};
pub use self::process::Process;
use self::token::Keys;
pub use self::transaction::Transaction;

/// What is to be protected, as the settings say it.
#[derive(Debug, Clone)]
pub struct Protection {
    /// The role that tenants' statements run as.
    pub login: String,
    /// The schema of the tables.
    pub schema: String,
    pub tables: Vec<Table>,
    /// The roles of the application itself. They keep what PostgreSQL grants to
    /// everyone, and go on seeing the rows of all tenants.
    pub application_roles: Vec<String>,
    /// Functions of the application's that tenants may call, as `name` or
    /// `schema.name`. The operator answers for what they do.
    pub functions: Vec<String>,
    pub keys: Keys,
}

/// A table that tenants reach, or that is at least kept from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Without its schema.
    pub name: String,
    /// The column with the tenant's id: text, uuid or a whole number. None for
    /// [`Access::Shared`].
    pub tenant_column: Option<String>,
    pub access: Access,
}

/// What tenants may do with a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Read and change their own rows.
    #[default]
    Write,
    /// Read their own rows.
    Read,
    /// Nothing. The table has policies all the same.
    None,
    /// Read all of it. For what belongs to no tenant, such as currencies.
    Shared,
}

impl Protection {
    /// The role that owns the schema `airlock`. Nobody logs in as it.
    pub fn owner(&self) -> String {
        format!("{}_owner", self.login)
    }

    /// The group of the application's roles.
    pub fn application(&self) -> String {
        format!("{}_application", self.login)
    }
}

/// Why protecting or auditing could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One sentence, and what to do.
    #[error("{0}")]
    Refused(String),
    #[error("{}", said(.0))]
    Database(#[from] sqlx::Error),
}

fn said(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(error) => format!("the database refuses: {}", error.message()),
        None => format!("the database does not answer: {error}"),
    }
}
