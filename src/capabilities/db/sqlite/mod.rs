//! One SQLite file for each tenant.
//!
//! What SQLite holds and JavaScript reads:
//!
//! | SQLite | `value` |
//! |---|---|
//! | NULL | `null` |
//! | INTEGER | `integer`, all 64 bits |
//! | INTEGER 0 or 1 in a column declared BOOLEAN or BOOL | `boolean` |
//! | REAL | `real` |
//! | TEXT | `text` |
//! | TEXT that is JSON in a column declared JSON or JSONB | `json` |
//! | BLOB | `blob` |
//!
//! The other way `boolean` is stored as 1 and 0 and `json` as its text.
//!
//! SQL of a script runs behind several guards, each of which is one file here:
//! [`text`] admits one statement, [`authorizer`] what it may do, [`functions`]
//! replaces those whose time can't be bounded, and [`connection`] bounds memory,
//! sizes and time.

#[cfg(test)]
mod access_tests;
mod authorizer;
mod connection;
mod error;
mod functions;
mod pool;
mod run;
mod schema;
mod statement;
#[cfg(test)]
mod tests;
mod text;
mod transaction;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

use self::pool::{Pool, blocking};
use self::statement::Prepared;
pub use self::transaction::Transaction;
use super::Access;
use super::deadline::Deadline;
use super::statement::{Statement, Verb};
use crate::runtime::bindings::airlock::script::db::Outcome;
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};

/// Tenants whose files stay open between calls. Each takes at most nine file
/// descriptors; a file that is not open costs about a millisecond.
const OPEN_TENANTS: usize = 64;

/// What the process owns: the tenants' files. Clones are the same one.
#[derive(Clone)]
pub struct Process(Arc<Files>);

struct Files {
    directory: PathBuf,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// With when each was last used, in uses.
    pools: HashMap<String, (Arc<Pool>, u64)>,
    uses: u64,
}

impl Process {
    /// Keeps the tenants' files in `<directory>/tenants/<tenant id>.db`. Opens
    /// and makes nothing yet.
    pub fn new(directory: PathBuf) -> Process {
        Process(Arc::new(Files { directory, open: Mutex::default() }))
    }

    /// Runs SQL of the operator's, such as a schema and its first rows, in one
    /// transaction. Not guarded: never give it what a tenant wrote.
    ///
    /// # Errors
    ///
    /// Where the tenant's id is not one, the file can't be opened or written,
    /// or the SQL fails; then nothing of it was done.
    pub async fn provision(&self, tenant: &str, sql: &str) -> anyhow::Result<()> {
        let sql = sql.to_owned();
        self.trusted(tenant, move |transaction| transaction.execute_batch(&sql)).await
    }

    /// The same, unless it was done before: the file's `user_version` tells, and
    /// it is set in the same transaction.
    pub async fn provision_once(&self, tenant: &str, sql: &str) -> anyhow::Result<()> {
        let sql = sql.to_owned();
        self.trusted(tenant, move |transaction| {
            let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if version == 0 {
                transaction.execute_batch(&sql)?;
                transaction.pragma_update(None, "user_version", 1)?;
            }
            Ok(())
        })
        .await
    }

    async fn trusted(
        &self,
        tenant: &str,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let pool = self.pool(tenant).map_err(|failure| anyhow::anyhow!(failure.message))?;
        let patience = Deadline::of(&Limits { db_timeout: 60_000, ..Limits::default() }, Limit::DbTimeout);
        let turn = pool.turn(patience).await.map_err(|failure| anyhow::anyhow!(failure.message))?;
        let provisioned = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let mut connection = connection::open(&pool.path)?;
            connection.busy_timeout(std::time::Duration::from_secs(60))?;
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            work(&transaction)?;
            transaction.commit()?;
            anyhow::Ok(())
        });
        provisioned.await?.with_context(|| format!("preparing the database of tenant `{tenant}`"))
    }

    /// Runs a statement by itself: what it writes is durable when it is answered.
    pub async fn run(&self, access: &Access, limits: &Arc<Limits>, statement: Statement) -> Result<Outcome, Failure> {
        let statement = Prepared::new(statement, limits)?;
        let pool = self.pool(access.tenant())?;
        let deadline = Deadline::of(limits, Limit::DbTimeout);
        if statement.plain
            && let Some(mut lease) = pool.lease_now()
        {
            let connection = lease.connection()?;
            let glance =
                connection.glance(access, limits, deadline, |connection| run::run(connection, &statement, limits))?;
            if let Some(outcome) = glance {
                return Ok(outcome);
            }
        }
        let mut lease = pool.lease(statement.verb != Verb::Select, deadline).await?;
        let (access, limits) = (access.clone(), Arc::clone(limits));
        blocking(move |dropped| {
            lease
                .connection()?
                .guarded(&access, &limits, deadline, &dropped, |connection| run::run(connection, &statement, &limits))
        })
        .await
    }

    /// Begins a transaction that may write. It waits while another does.
    pub async fn begin(&self, access: &Access, limits: &Arc<Limits>) -> Result<Transaction, Failure> {
        Transaction::begin(&self.pool(access.tenant())?, access, limits).await
    }

    /// The tenant's connections.
    fn pool(&self, tenant: &str) -> Result<Arc<Pool>, Failure> {
        let file = file_name(tenant)?;
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.uses += 1;
        let uses = open.uses;
        if let Some((pool, used)) = open.pools.get_mut(tenant) {
            *used = uses;
            return Ok(Arc::clone(pool));
        }
        if open.pools.len() >= OPEN_TENANTS {
            // One that is in use stays: its turns must hold for all who write.
            let oldest = open
                .pools
                .iter()
                .filter(|(_, (pool, _))| Arc::strong_count(pool) == 1)
                .min_by_key(|(_, (_, used))| *used)
                .map(|(tenant, _)| tenant.clone());
            if let Some((pool, _)) = oldest.and_then(|tenant| open.pools.remove(&tenant)) {
                // Closing a file writes its log back.
                match tokio::runtime::Handle::try_current() {
                    Ok(runtime) => drop(runtime.spawn_blocking(move || drop(pool))),
                    Err(_) => drop(pool),
                }
            }
        }
        let pool = Arc::new(Pool::new(self.0.directory.join("tenants").join(file)));
        open.pools.insert(tenant.to_owned(), (Arc::clone(&pool), uses));
        Ok(pool)
    }
}

/// The name of a tenant's file. The id becomes part of a path, so it is only
/// what can't lead anywhere else.
fn file_name(tenant: &str) -> Result<String, Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if (1..=64).contains(&tenant.len()) && tenant.bytes().all(plain) && !tenant.starts_with('.') {
        Ok(format!("{tenant}.db"))
    } else {
        Err(Failure::argument(
            "the tenant's id is not one that can have tables: it must be 1 to 64 letters, digits, `_`, `-` or `.`, and not \
             begin with a dot",
        ))
    }
}
