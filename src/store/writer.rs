//! The one connection that writes.
//!
//! A commit waits for the disk, and the disk takes as long for one row as for
//! many. So the writes that queued up meanwhile share the next commit, each in
//! a savepoint of its own, and are answered once it is durable.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::sqlite::{Sqlite, SqliteConnection, SqlitePool};
use sqlx::{Connection, Transaction};
use tokio::sync::{mpsc, oneshot};

/// Writes that share a commit at most: none waits long for others' work.
const BATCH: usize = 64;

/// A handle on the queue of writes. The writer ends with its last handle.
#[derive(Clone)]
pub struct Writer(mpsc::UnboundedSender<Job>);

type Job = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Done> + Send>;

/// A write that has run and is not durable yet.
struct Done {
    /// Whether its changes are to stay.
    keep: bool,
    tell: Box<dyn FnOnce(Result<(), sqlx::Error>) + Send>,
}

impl Writer {
    /// Writes through a pool of one connection.
    pub fn new(pool: SqlitePool) -> Writer {
        let (queue, jobs) = mpsc::unbounded_channel();
        tokio::spawn(work(pool, jobs));
        Writer(queue)
    }

    pub async fn write<T, E>(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<sqlx::Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            Box::pin(async move {
                if answer.is_closed() {
                    return Done { keep: false, tell: Box::new(|_| ()) };
                }
                let result = work(connection).await;
                let keep = result.is_ok();
                let tell = Box::new(move |durable: Result<(), sqlx::Error>| {
                    // Nobody listens where the call has ended.
                    let _ = answer.send(durable.map_err(E::from).and(result));
                });
                Done { keep, tell }
            })
        });
        // Either fails where the host shuts down, or the work has panicked.
        self.0.send(job).map_err(|_| sqlx::Error::WorkerCrashed)?;
        answered.await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }
}

async fn work(pool: SqlitePool, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        let mut done = Vec::with_capacity(batch.len());
        let durable = commit(&pool, batch.drain(..), &mut done).await;
        if let Err(reason) = &durable {
            tracing::error!(%reason, "a batch of writes failed");
        }
        for Done { tell, .. } in done {
            // An error can't be cloned, and each of them is owed one.
            tell(durable.as_ref().map_err(|reason| sqlx::Error::Protocol(reason.to_string())).copied());
        }
    }
}

/// Runs a batch. Err where none of it is certain to be durable; jobs that were
/// not run then find nobody to tell, which their callers take for an error.
async fn commit(pool: &SqlitePool, batch: impl Iterator<Item = Job>, done: &mut Vec<Done>) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let committed = run(&mut connection, batch, done).await;
    if committed.is_err() {
        // SQLite rolls back by itself where the disk is full or fails. sqlx then
        // takes the connection to be in a transaction for ever; a new one is not.
        connection.close_on_drop();
    }
    committed
}

async fn run(
    connection: &mut SqliteConnection,
    batch: impl Iterator<Item = Job>,
    done: &mut Vec<Done>,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for job in batch {
        let mut savepoint: Transaction<'_, Sqlite> = transaction.begin().await?;
        let ran = AssertUnwindSafe(job(&mut savepoint)).catch_unwind().await;
        let keep = ran.as_ref().is_ok_and(|ran| ran.keep);
        done.extend(ran);
        if keep {
            savepoint.commit().await?;
        } else {
            savepoint.rollback().await?;
        }
    }
    transaction.commit().await
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use crate::store::Store;
    use crate::store::usage::{self, Room, Usage};

    const ONE: Usage = Usage { items: 1, bytes: 1 };

    async fn items(store: &Store) -> i64 {
        let usage: sqlx::Result<Usage> =
            store.read(|connection| Box::pin(usage::of(connection, "a", Room::Outbox))).await;
        usage.unwrap().items
    }

    /// Adds one and then ends as told.
    async fn add(store: &Store, end: fn() -> Result<(), sqlx::Error>) -> Result<(), sqlx::Error> {
        store
            .write(move |connection| {
                Box::pin(async move {
                    usage::add(connection, "a", Room::Outbox, ONE).await?;
                    end()
                })
            })
            .await
    }

    #[tokio::test]
    async fn of_a_batch_only_the_failed_is_undone() {
        let store = Store::in_memory().await.unwrap();
        let ends: [fn() -> Result<(), sqlx::Error>; 3] =
            [|| Ok(()), || Err(sqlx::Error::RowNotFound), || panic!("on purpose")];
        let results = join_all((0..30).map(|n| add(&store, ends[n % 3]))).await;
        for (n, result) in results.iter().enumerate() {
            match n % 3 {
                0 => assert!(result.is_ok(), "{n}: {result:?}"),
                1 => assert!(matches!(result, Err(sqlx::Error::RowNotFound)), "{n}: {result:?}"),
                _ => assert!(matches!(result, Err(sqlx::Error::WorkerCrashed)), "{n}: {result:?}"),
            }
        }
        assert_eq!(items(&store).await, 10);
        assert!(add(&store, || Ok(())).await.is_ok(), "the writer goes on");
    }

    #[tokio::test]
    async fn a_write_that_nobody_waits_for_any_more_is_not_begun() {
        let store = Store::in_memory().await.unwrap();
        {
            let mut abandoned = Box::pin(add(&store, || Ok(())));
            assert!(futures_util::poll!(&mut abandoned).is_pending());
        }
        add(&store, || Ok(())).await.unwrap();
        assert_eq!(items(&store).await, 1);
    }

    #[tokio::test]
    async fn an_operation_that_is_not_polled_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("airlock.db")).await.unwrap();
        let mut idle_writes: Vec<_> = (0..8).map(|_| Box::pin(add(&store, || Ok(())))).collect();
        let mut idle_reads: Vec<_> = (0..8).map(|_| Box::pin(items(&store))).collect();
        for write in &mut idle_writes {
            assert!(futures_util::poll!(write).is_pending());
        }
        for read in &mut idle_reads {
            assert!(futures_util::poll!(read).is_pending());
        }
        add(&store, || Ok(())).await.unwrap();
        assert_eq!(items(&store).await, 9);
    }

    #[tokio::test]
    async fn a_full_disk_fails_writes_and_not_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("airlock.db")).await.unwrap();
        let large = |n: usize| {
            let store = store.clone();
            async move {
                store
                    .write(move |connection| {
                        Box::pin(async move {
                            usage::add(connection, "a", Room::Outbox, ONE).await?;
                            sqlx::query("INSERT INTO storage VALUES ('a', $1, $2, NULL, 0)")
                                .bind(n.to_string())
                                .bind("x".repeat(100_000))
                                .execute(connection)
                                .await
                        })
                    })
                    .await
            }
        };
        // The smallest that SQLite takes is what the file has.
        let shrunk: sqlx::Result<()> = store
            .write(|connection| {
                Box::pin(async move { sqlx::query("PRAGMA max_page_count = 1").execute(connection).await.map(|_| ()) })
            })
            .await;
        shrunk.unwrap();
        let results = join_all((0..10).map(large)).await;
        assert!(results.iter().all(Result::is_err));
        assert_eq!(items(&store).await, 0);

        // The limit was the connection's, and that is a new one.
        let results = join_all((0..10).map(large)).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert_eq!(items(&store).await, 10);
    }
}
