//! What the process owns: the connections, the tables that scripts may name, and
//! the statements that were checked before.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::postgres::PgConnectOptions;
use tokio::time::timeout_at;

use super::Protection;
use super::bounded::Bounded;
use super::cache::Cache;
use super::catalog::Catalog;
use super::error::explain;
use super::gaps;
use super::load::load;
use super::pool::{Lease, Pool};
use super::ready::Ready;
use super::run::{self, Failed};
use super::session::{self, Session};
use super::text::{self, Checked};
use super::token::Keys;
use super::transaction::Transaction;
use crate::capabilities::db::Access;
use crate::capabilities::db::deadline::Deadline;
use crate::capabilities::db::statement::Statement;
use crate::runtime::bindings::airlock::script::db::Outcome;
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};

/// How long the server may take beyond a statement's time to say that it is over.
const SLACK: Duration = Duration::from_millis(500);
/// What was worked out for a statement is kept for the next time: for so many at
/// least, none longer.
const KEPT: usize = 1000;
const KEPT_BYTES: usize = 8 << 10;
/// An unknown name may be one that the application has made since; the tables
/// are read again at most so often.
const RELOAD: Duration = Duration::from_secs(5);
/// Without any sign of a change they are read again so often, for columns that
/// `SELECT *` and the table operations should answer.
const REFRESH: Duration = Duration::from_secs(30);

/// The tenants' tables in one PostgreSQL database. Clones are the same one.
#[derive(Clone)]
pub struct Process(Arc<Shared>);

struct Shared {
    options: PgConnectOptions,
    protection: Protection,
    pool: Arc<Pool>,
    known: RwLock<Known>,
    /// By a script's text.
    checked: Cache<Checked>,
    /// By the SQL that is bounded; None where no value of its rows can be long.
    bounded: Cache<Option<Bounded>>,
    /// Whether someone is reading the tables.
    reading: AtomicBool,
}

struct Known {
    catalog: Arc<Catalog>,
    read: Instant,
    /// How often the tables were found to have changed.
    changes: u64,
}

impl Process {
    /// Connects as the login role, and reads what the tables are. There are at
    /// most so many connections.
    ///
    /// # Errors
    ///
    /// Where the database does not answer, or is not protected.
    pub async fn open(url: &str, connections: usize, protection: Protection) -> anyhow::Result<Process> {
        anyhow::ensure!(
            !protection.keys.is_empty(),
            "there is no key to sign tenants' tokens with: set `database.token_keys`, or AIRLOCK_DATABASE_TOKEN_KEYS"
        );
        let options = PgConnectOptions::from_str(url).context("the database's URL")?;
        let options = session::options(options, &protection.schema);
        let process = Process(Arc::new(Shared {
            pool: Arc::new(Pool::new(options.clone(), connections)),
            options,
            protection,
            known: RwLock::new(Known { catalog: Arc::default(), read: Instant::now(), changes: 0 }),
            checked: Cache::new(KEPT, KEPT_BYTES),
            bounded: Cache::new(KEPT, KEPT_BYTES),
            reading: AtomicBool::new(false),
        }));
        let mut session = Session::open(&process.0.options).await.context("connecting to the database")?;
        gaps::refuse(&mut session.connection, &process.0.protection).await?;
        process
            .reload()
            .await
            .context("the database does not let us read what its tables are; `airlock db protect --apply` does")?;
        Ok(process)
    }

    async fn reload(&self) -> Result<(), sqlx::Error> {
        let mut session = Session::open(&self.0.options).await?;
        let catalog = Arc::new(load(&mut session.connection, &self.0.protection).await?);
        let changed = {
            let mut known = self.known();
            known.read = Instant::now();
            let changed = *catalog != *known.catalog;
            if changed {
                known.catalog = catalog;
                known.changes += 1;
            }
            changed
        };
        if changed {
            // What was worked out before may name what is not there.
            self.0.checked.clear();
            self.0.bounded.clear();
        }
        Ok(())
    }

    fn known(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.0.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the tables were found to have changed.
    pub(super) fn changes(&self) -> u64 {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner).changes
    }

    /// How long ago the tables were read.
    fn age(&self) -> Duration {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner).read.elapsed()
    }

    pub(super) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.known.read().unwrap_or_else(PoisonError::into_inner).catalog)
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.0.protection.keys
    }

    pub(super) fn bounds(&self) -> &Cache<Option<Bounded>> {
        &self.0.bounded
    }

    pub(super) async fn lease(&self, tenant: &str, deadline: Deadline) -> Result<Lease, Failure> {
        self.0.pool.lease(tenant, deadline).await
    }

    /// When a statement is given up, and its connection with it. The server ends
    /// one by itself after `db_timeout`, and leaves the connection.
    pub(super) fn hard(&self, deadline: Deadline) -> tokio::time::Instant {
        if deadline.limit == Limit::DbTimeout { deadline.at + SLACK } else { deadline.at }
    }

    /// A statement as it is sent, with the tables that it was made for.
    /// Refuses one that uses what the call has no access to.
    pub(super) async fn ready(
        &self,
        access: &Access,
        statement: Statement,
        limits: &Limits,
    ) -> Result<(Ready, Arc<Catalog>), Failure> {
        let (ready, catalog) = self.read(access, statement, limits).await?;
        for table in &ready.tables.read {
            access.read(table)?;
        }
        for table in &ready.tables.write {
            access.write(table)?;
        }
        Ok((ready, catalog))
    }

    async fn read(
        &self,
        access: &Access,
        statement: Statement,
        limits: &Limits,
    ) -> Result<(Ready, Arc<Catalog>), Failure> {
        self.refresh();
        // A name that is not known may be one that the application has just made.
        let again = (self.age() >= RELOAD).then(|| statement.clone());
        let catalog = self.catalog();
        match (self.made(access, statement, limits, &catalog).await, again) {
            (Err(failure), Some(statement)) if failure.name == "DatabaseError" => {
                if !self.renewed().await {
                    return Err(failure);
                }
                let catalog = self.catalog();
                Ok((self.made(access, statement, limits, &catalog).await?, catalog))
            }
            (made, _) => Ok((made?, catalog)),
        }
    }

    async fn made(
        &self,
        access: &Access,
        statement: Statement,
        limits: &Limits,
        catalog: &Arc<Catalog>,
    ) -> Result<Ready, Failure> {
        match statement {
            Statement::Script { sql, parameters } => {
                Ready::written(self.checked(access, &sql, catalog).await?, parameters, catalog)
            }
            operation => Ready::operation(operation, catalog, access, limits)?
                .ok_or_else(|| Failure::internal("building a statement", "it is a script's text")),
        }
    }

    /// Has the tables read again from time to time, while statements go on.
    fn refresh(&self) {
        if self.age() >= REFRESH && !self.0.reading.load(Ordering::Relaxed) {
            let process = self.clone();
            tokio::spawn(async move { process.reload_once().await });
        }
    }

    /// Reads the tables again, unless someone does. Answers whether it did.
    async fn reload_once(&self) -> bool {
        struct Reading<'a>(&'a AtomicBool);
        impl Drop for Reading<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Relaxed);
            }
        }
        if self.0.reading.swap(true, Ordering::Relaxed) {
            return false;
        }
        let _reading = Reading(&self.0.reading);
        match self.reload().await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "reading the tables of the database failed");
                // Not again at once.
                self.known().read = Instant::now();
                false
            }
        }
    }

    /// Reads the tables again, unless they were just read.
    async fn renewed(&self) -> bool {
        self.age() >= RELOAD && self.reload_once().await
    }

    async fn checked(&self, access: &Access, sql: &str, catalog: &Arc<Catalog>) -> Result<Arc<Checked>, Failure> {
        if let Some(checked) = self.0.checked.get(sql) {
            return Ok(checked);
        }
        // On a thread of its own: the parser wants more stack than a sandbox has.
        let (text, catalog, access) = (sql.to_owned(), Arc::clone(catalog), access.clone());
        let known = move |table: &str| access.read(table).is_ok();
        let checked = tokio::task::spawn_blocking(move || text::check(&text, &catalog, &known)).await;
        let checked = checked.map_err(|error| Failure::internal("reading a statement", error))??;
        Ok(self.0.checked.insert(sql, checked))
    }

    /// Runs a statement by itself: what it writes is durable when it is answered.
    pub async fn run(&self, access: &Access, limits: &Arc<Limits>, statement: Statement) -> Result<Outcome, Failure> {
        let tenant = access.tenant();
        let (ready, catalog) = self.ready(access, statement, limits).await?;
        let deadline = Deadline::of(limits, Limit::DbTimeout);
        let lease = self.lease(tenant, deadline).await?;
        let outcome = timeout_at(self.hard(deadline), self.run_on(lease, tenant, limits, &ready)).await;
        match outcome {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(failed)) => {
                let failure = explain(failed, Some(&ready), &catalog, access, limits, deadline);
                if failure.name == "DatabaseError" && failure.message.starts_with("no such") {
                    self.renewed().await;
                }
                Err(failure)
            }
            Err(_) => Err(deadline.failure()),
        }
    }

    async fn run_on(
        &self,
        mut lease: Lease,
        tenant: &str,
        limits: &Arc<Limits>,
        ready: &Ready,
    ) -> Result<Outcome, Failed> {
        let keys = self.keys();
        let session = lease.session().map_err(Failed::Known)?;
        session.after(self.changes()).await.map_err(broken)?;
        let mut result;
        if ready.undoable {
            session.begin(tenant, limits, keys).await.map_err(broken)?;
            result = run::run(session, ready, limits, self.bounds()).await;
            match &result {
                Ok(_) => result = session.end(true).await.map_err(Failed::from).and(result),
                Err(failed) if failed.leaves_connection() => session.end(false).await.map_err(broken)?,
                Err(_) => {}
            }
        } else {
            session.serve(tenant, limits, keys).await.map_err(broken)?;
            result = run::run(session, ready, limits, self.bounds()).await;
            if changed(&result) {
                // The application has changed a table since this was prepared.
                // Nothing was done, and prepared anew it may be.
                session.forget();
                self.0.bounded.clear();
                session.rest().await.map_err(broken)?;
                result = run::run(session, ready, limits, self.bounds()).await;
            }
        }
        if result.as_ref().err().is_none_or(Failed::leaves_connection) {
            lease.give_back().await;
        }
        result
    }

    /// Begins a transaction.
    pub async fn begin(&self, access: &Access, limits: &Arc<Limits>) -> Result<Transaction, Failure> {
        Transaction::begin(self, access, limits).await
    }
}

/// The host's own SQL failed: what the connection is set to is not known.
fn broken(error: sqlx::Error) -> Failed {
    Failed::Broken(error)
}

fn changed(result: &Result<Outcome, Failed>) -> bool {
    matches!(result, Err(Failed::Refused(error)) if error.code() == "0A000" && error.message().contains("cached plan"))
}

#[cfg(test)]
mod tests;
