//! The tenants' tables in PostgreSQL: shared ones, in which a policy shows each
//! tenant its own rows.

mod catalog;
mod error;
mod load;
mod pool;
mod process;
mod ready;
mod run;
mod session;
#[cfg(test)]
mod tests;
mod text;
pub mod token;
mod transaction;
mod values;

pub use self::process::{Process, Settings, TableName};
pub use self::transaction::Transaction;
