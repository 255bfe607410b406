//! One tenant's connections.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::Guarded;
use crate::capabilities::db::deadline::Deadline;
use crate::capabilities::db::error::locked;
use crate::runtime::failure::Failure;

/// Connections of one tenant: one writes, the others read beside it. More
/// would only share the same cores.
const CONNECTIONS: usize = 4;

/// One tenant's file and the connections to it.
pub struct Pool {
    pub path: PathBuf,
    idle: Mutex<Vec<Guarded>>,
    connections: Arc<Semaphore>,
    /// SQLite has one writer at a time and lets the others poll. Taking turns
    /// here is fair, wakes the next at once and holds no thread meanwhile.
    writer: Arc<Semaphore>,
}

impl Pool {
    pub fn new(path: PathBuf) -> Pool {
        Pool {
            path,
            idle: Mutex::default(),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            writer: Arc::new(Semaphore::new(1)),
        }
    }

    /// Waits for a connection, and for the turn to write where `writes`.
    pub async fn lease(self: &Arc<Self>, writes: bool, deadline: Deadline) -> Result<Lease, Failure> {
        // The turn first: whoever holds it finds a connection in the end, for
        // readers wait for nothing else.
        let turn = match writes {
            true => Some(self.turn(deadline).await?),
            false => None,
        };
        let permit = tokio::time::timeout_at(deadline.at, Arc::clone(&self.connections).acquire_owned())
            .await
            .map_err(|_| deadline.failure())?
            .map_err(|error| Failure::internal("the database", error))?;
        Ok(Lease { pool: Arc::clone(self), connection: None, permits: Some((permit, turn)) })
    }

    /// A connection to read on, if one is open and idle.
    pub fn lease_now(self: &Arc<Self>) -> Option<Lease> {
        let permit = Arc::clone(&self.connections).try_acquire_owned().ok()?;
        let connection = self.idle().pop()?;
        Some(Lease { pool: Arc::clone(self), connection: Some(connection), permits: Some((permit, None)) })
    }

    /// Waits for the turn to write.
    pub async fn turn(&self, deadline: Deadline) -> Result<OwnedSemaphorePermit, Failure> {
        tokio::time::timeout_at(deadline.at, Arc::clone(&self.writer).acquire_owned())
            .await
            .map_err(|_| locked(deadline))?
            .map_err(|error| Failure::internal("the database", error))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Guarded>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection while someone uses it. Dropped, it rolls back what is open and
/// goes back to its pool.
pub struct Lease {
    pool: Arc<Pool>,
    connection: Option<Guarded>,
    permits: Option<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)>,
}

impl Lease {
    /// The connection, opened if none was idle. Blocks.
    pub fn connection(&mut self) -> Result<&mut Guarded, Failure> {
        let connection = match self.connection.take().or_else(|| self.pool.idle().pop()) {
            Some(connection) => connection,
            None => Guarded::open(&self.pool.path)
                .map_err(|error| Failure::internal("opening the tenant's database", error))?,
        };
        Ok(self.connection.insert(connection))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if std::thread::panicking() {
            return;
        }
        if connection.at_rest() {
            self.pool.idle().push(connection);
            return;
        }
        let pool = Arc::clone(&self.pool);
        let permits = self.permits.take();
        let work = move || {
            match connection.trusted(|connection| connection.execute_batch("ROLLBACK")) {
                Ok(()) => pool.idle().push(connection),
                // Closing rolls back as well.
                Err(error) => tracing::error!(%error, "rolling back failed"),
            }
            drop(permits);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(work)),
            Err(_) => work(),
        }
    }
}

/// Runs blocking work on a thread for such. When the future is dropped, the
/// flag that `work` gets is raised.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce(Arc<AtomicBool>) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    struct Raise(Arc<AtomicBool>);
    impl Drop for Raise {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let raise = Raise(Arc::new(AtomicBool::new(false)));
    let dropped = Arc::clone(&raise.0);
    match tokio::task::spawn_blocking(move || work(dropped)).await {
        Ok(result) => result,
        Err(error) => Err(Failure::internal("the database", error)),
    }
}
