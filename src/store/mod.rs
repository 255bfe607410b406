//! The host's own durable data, in a SQLite file or a PostgreSQL database. What
//! a write has answered is on disk.
//!
//! At any time one write runs for each tenant, of all hosts that share the
//! database: what it reads stays so until it ends.

pub mod clock;
mod connect;
pub mod expiry;
#[cfg(test)]
pub mod fixture;
pub mod insert;
mod migrate;
mod refusal;
mod signals;
pub mod statements;
pub mod together;
pub mod usage;
mod writer;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use sqlx::AnyPool;
use tokio::task::JoinHandle;

use crate::runtime::failure::Failure;
use clock::{Clock, Millis};
pub use connect::Kind;
use connect::Pools;
pub use migrate::Migrated;
pub use refusal::is_refusal;
pub use signals::{Listener, Signals};
pub use statements::{Statements, all_or_none};
use writer::Writer;

/// What queries run on, of either database.
///
/// One text serves both: placeholders are `$1`, values are text without U+0000,
/// `i64`, bytes and NULL. A sum of whole numbers is cast to BIGINT, for it is
/// NUMERIC on PostgreSQL. Text is ordered by its bytes where the migration says
/// `COLLATE "C"`.
pub type Connection = sqlx::AnyConnection;

/// Text as the database takes it, without U+0000. Whoever looks for what was
/// written looks for this.
pub fn plain(text: impl Into<String>) -> String {
    let text = text.into();
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// A handle on the database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    writer: Writer,
    readers: AnyPool,
    signals: Signals,
    kind: Kind,
    clock: Clock,
}

impl Store {
    /// Opens a SQLite file, which is created with its folder where there is
    /// none, and brings its schema up to date. The error says which file.
    pub async fn open(path: impl AsRef<Path>) -> anyhow::Result<Store> {
        let (pools, _) = connect::file(path.as_ref()).await?;
        Store::new(pools)
    }

    /// Opens a PostgreSQL database, over at most so many connections, and brings
    /// its schema up to date. The error does not repeat the URL, which may hold
    /// a password.
    pub async fn postgres(url: &str, connections: u32) -> anyhow::Result<Store> {
        let (pools, _) = connect::postgres(url, connections).await?;
        Store::new(pools)
    }

    /// A database that is gone with its last handle.
    pub async fn in_memory() -> anyhow::Result<Store> {
        Store::new(connect::memory().await?)
    }

    fn new(pools: Pools) -> anyhow::Result<Store> {
        let Pools { writers, readers, kind, url } = pools;
        // Not over the connections that write: theirs belong to the writer's thread.
        let signals = Signals::new(readers.clone(), url);
        let writer = Writer::new(writers, kind).context("could not begin to write to the host's database")?;
        Ok(Store { writer, readers, signals, kind, clock: Clock::system() })
    }

    /// The same database by another clock.
    pub fn with_clock(self, clock: Clock) -> Store {
        Store { clock, ..self }
    }

    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// The time in a query, by one clock for all hosts on the database, in
    /// milliseconds since the Unix epoch. A SQLite file is one machine's.
    pub fn shared_time(&self) -> String {
        match self.kind {
            Kind::Postgres if self.clock.is_system() => {
                "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)".to_owned()
            }
            _ => self.now().to_string(),
        }
    }

    /// What hosts on the same database tell each other.
    pub fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Runs queries that only read. Dropping the answer's future stops them.
    pub fn read<T, E>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    ) -> Running<Result<T, E>>
    where
        T: Send + 'static,
        E: From<sqlx::Error> + Send + 'static,
    {
        let readers = self.readers.clone();
        Running::spawn(async move {
            let mut connection = readers.acquire().await?;
            work(&mut connection).await
        })
    }

    /// Runs queries in one transaction, which is committed where `work` answers
    /// Ok and rolled back where it answers Err. They may write what is `tenant`'s
    /// and nothing else. Once this has answered Ok, the write is durable.
    /// Dropping the future before takes back a write that has not begun; one
    /// that has may be done all the same.
    pub async fn write<T, E>(
        &self,
        tenant: &str,
        work: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<sqlx::Error> + Send + 'static,
    {
        self.writer.write([tenant], work).await
    }

    /// As [`write`](Store::write), for what is these tenants'.
    pub async fn write_for_all<T, E>(
        &self,
        tenants: &[String],
        work: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<sqlx::Error> + Send + 'static,
    {
        self.writer.write(tenants.iter().map(String::as_str), work).await
    }

    /// As [`write`](Store::write), in nobody's turn: for rows of any tenants that
    /// are safe from others by what the queries themselves say. They must not touch
    /// what writes in a turn add up, such as [`usage`]: two that wait for each
    /// other would both fail.
    pub async fn write_without_turn<T, E>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<sqlx::Error> + Send + 'static,
    {
        self.writer.write([], work).await
    }
}

/// Brings the schema of a SQLite file up to date and opens nothing else.
pub async fn migrate_file(path: &Path) -> anyhow::Result<Migrated> {
    connect::file(path).await.map(|(_, migrated)| migrated)
}

/// The same for a PostgreSQL database.
pub async fn migrate_postgres(url: &str) -> anyhow::Result<Migrated> {
    connect::postgres(url, connect::FEWEST).await.map(|(_, migrated)| migrated)
}

/// A task of its own, stopped when this is dropped.
///
/// A script's operations are polled only while the script waits. Were a
/// connection held by such an operation, one script that computes without
/// waiting would keep it from every other tenant.
pub struct Running<T>(JoinHandle<T>);

impl<T: Send + 'static> Running<T> {
    pub fn spawn(future: impl Future<Output = T> + Send + 'static) -> Running<T> {
        Running(tokio::spawn(future))
    }
}

impl<T, E: From<sqlx::Error>> Future for Running<Result<T, E>> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|joined| {
            // The task has panicked, or the host shuts down.
            joined.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed.into()))
        })
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Failure {
        Failure::internal("a query of the host's database", error)
    }
}
