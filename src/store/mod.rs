//! The host's own durable data. What a write has answered is on disk.
//!
//! SQLite in WAL mode: one connection writes, several read. SQLite lets one
//! writer in at a time anyway, and a queue before it is fair where contending
//! for the file's lock is not.

pub mod clock;
#[cfg(test)]
pub mod fixture;
pub mod usage;
mod writer;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tokio::task::JoinHandle;

use crate::runtime::failure::Failure;
use clock::{Clock, Millis};
use writer::Writer;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/store/migrations/sqlite");

/// What queries run on.
pub type Connection = sqlx::SqliteConnection;

/// Connections that read. SQLite reads in the calling thread, so more than a
/// few only add threads.
const READERS: u32 = 4;

/// How long a query waits for its turn.
const TURN: Duration = Duration::from_secs(30);

/// A handle on the database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    writer: Writer,
    readers: SqlitePool,
    clock: Clock,
}

impl Store {
    /// Opens the database file, which is created with its folder where there is
    /// none, and brings its schema up to date. The error says which file.
    pub async fn open(path: impl AsRef<Path>) -> anyhow::Result<Store> {
        let path = path.as_ref();
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .foreign_keys(true);
        let open = async {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let writer = pool(1).connect_with(options.clone()).await?;
            MIGRATIONS.run(&writer).await?;
            // Rows wait in a buffer before they are asked for; values are large.
            let readers = pool(READERS).connect_with(options.pragma("query_only", "ON").row_buffer_size(4)).await?;
            anyhow::Ok(Store { writer: Writer::new(writer), readers, clock: Clock::system() })
        };
        open.await.with_context(|| format!("could not open the database {}", path.display()))
    }

    /// A database that is gone with its last handle.
    pub async fn in_memory() -> anyhow::Result<Store> {
        // Each connection to memory is a database of its own, so there is one.
        let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
        let writer = pool(1).connect_with(options).await?;
        MIGRATIONS.run(&writer).await?;
        Ok(Store { readers: writer.clone(), writer: Writer::new(writer), clock: Clock::system() })
    }

    /// The same database by another clock.
    pub fn with_clock(self, clock: Clock) -> Store {
        Store { clock, ..self }
    }

    pub fn now(&self) -> Millis {
        self.clock.now()
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
    /// Ok and rolled back where it answers Err. Once this has answered Ok, the
    /// write is durable. Dropping the future before takes back a write that has
    /// not begun; one that has may be done all the same.
    pub async fn write<T, E>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<sqlx::Error> + Send + 'static,
    {
        self.writer.write(work).await
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .acquire_timeout(TURN)
        .idle_timeout(None)
        .max_lifetime(None)
        // A connection to a file does not go away by itself.
        .test_before_acquire(false)
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
