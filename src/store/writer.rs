//! The connections that write.
//!
//! A commit waits for the disk, and the disk takes as long for one row as for
//! many. So the writes that queued up meanwhile share the next commit, each in
//! a savepoint of its own, and are answered once it is durable.
//!
//! On SQLite there is one queue. On PostgreSQL there are several, each tenant's
//! writes in the same one, and a transaction holds the turns of all tenants that
//! it writes for, which other hosts wait for. What one write does for several
//! tenants is in the queue of the first. Writes in nobody's turn have a queue of
//! their own there, and so wait for no tenant.

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::{AnyPool, AssertSqlSafe, Connection as _, Executor as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::Connection;
use super::connect::Kind;

/// Writes that share a commit at most: none waits long for others' work, and
/// PostgreSQL keeps so many savepoints of a transaction at hand.
const BATCH: usize = 64;

const UNDO: &str = "ROLLBACK TO SAVEPOINT write";

/// A handle on the queues of writes. The writer ends with its last handle.
#[derive(Clone)]
pub struct Writer(Arc<[mpsc::UnboundedSender<Write>]>);

struct Write {
    /// None of them: nobody's.
    turns: Vec<Turn>,
    work: Work,
}

type Work = Box<dyn for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Done> + Send>;

/// A write that has run and is not durable yet.
struct Done {
    /// Whether its changes are to stay.
    keep: bool,
    tell: Box<dyn FnOnce(Result<(), sqlx::Error>) + Send>,
}

/// The number that stands for a tenant's turn to write. Two tenants with the
/// same one would share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn(i64);

impl Turn {
    fn of(tenant: &str) -> Turn {
        // An application may have locks of its own in the database.
        let hash = blake3::Hasher::new_derive_key("airlock store turn v1").update(tenant.as_bytes()).finalize();
        let mut number = [0; 8];
        hash.as_bytes().iter().zip(&mut number).for_each(|(from, to)| *to = *from);
        Turn(i64::from_le_bytes(number))
    }
}

impl Writer {
    /// Writes over as many connections as the pool may have, in a thread of its own.
    /// Among the tasks that run scripts, what the database has answered waits for
    /// those before it, and so do all whose writes wait for that commit.
    ///
    /// # Errors
    ///
    /// Where the system has no thread to give.
    pub fn new(pool: AnyPool, kind: Kind) -> std::io::Result<Writer> {
        let failing = Arc::new(AtomicBool::new(false));
        let (queues, writes): (Vec<_>, Vec<_>) =
            (0..pool.options().get_max_connections()).map(|_| mpsc::unbounded_channel()).unzip();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("airlock-store".to_owned()).spawn(move || {
            runtime.block_on(async {
                let work = |writes| work(pool.clone(), kind, writes, failing.clone());
                let mut queues: JoinSet<()> = writes.into_iter().map(work).collect();
                // A queue that ends, or has panicked, does not end the others.
                while queues.join_next().await.is_some() {}
            })
        })?;
        Ok(Writer(queues.into()))
    }

    /// Writes in the turns of some tenants, or in nobody's.
    pub async fn write<T, E>(
        &self,
        tenants: impl IntoIterator<Item = &str>,
        work: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<sqlx::Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
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
        let turns: Vec<Turn> = tenants.into_iter().map(Turn::of).collect();
        let queue = self.queue(turns.first());
        // Either fails where the host shuts down, or the work has panicked.
        queue.and_then(|queue| queue.send(Write { turns, work }).ok()).ok_or(sqlx::Error::WorkerCrashed)?;
        answered.await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }

    /// The last is for those in nobody's turn, where there is more than one.
    fn queue(&self, turn: Option<&Turn>) -> Option<&mpsc::UnboundedSender<Write>> {
        let tenants = self.0.len().saturating_sub(1).max(1);
        match turn {
            Some(turn) => self.0.get(turn.0.rem_euclid(tenants as i64) as usize),
            None => self.0.last(),
        }
    }
}

/// `failing`: whether the last commit of any queue has failed. A database that is
/// away is told of once, not by each write that wants it.
async fn work(pool: AnyPool, kind: Kind, mut writes: mpsc::UnboundedReceiver<Write>, failing: Arc<AtomicBool>) {
    let mut batch = Vec::with_capacity(BATCH);
    while writes.recv_many(&mut batch, BATCH).await > 0 {
        let mut done = Vec::with_capacity(batch.len());
        let durable = commit(&pool, kind, &mut batch, &mut done).await;
        // What was not run finds nobody to tell, which its caller takes for an
        // error.
        batch.clear();
        if failing.swap(durable.is_err(), Ordering::Relaxed) != durable.is_err() {
            match &durable {
                Err(reason) => tracing::error!(%reason, "writing to the host's database fails"),
                Ok(()) => tracing::info!("writing to the host's database goes on"),
            }
        }
        for Done { tell, .. } in done {
            // An error can't be cloned, and each of them is owed one.
            tell(durable.as_ref().map_err(|reason| sqlx::Error::Protocol(reason.to_string())).copied());
        }
    }
}

/// Runs a batch. Err where none of it is certain to be durable.
async fn commit(pool: &AnyPool, kind: Kind, batch: &mut Vec<Write>, done: &mut Vec<Done>) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let committed = run(&mut connection, kind, batch, done).await;
    if committed.is_err() {
        // SQLite rolls back by itself where the disk is full or fails. sqlx then
        // takes the connection to be in a transaction for ever; a new one is not.
        connection.close_on_drop();
    }
    committed
}

async fn run(
    connection: &mut Connection,
    kind: Kind,
    batch: &mut Vec<Write>,
    done: &mut Vec<Done>,
) -> Result<(), sqlx::Error> {
    let mut transaction = match kind {
        Kind::Sqlite => connection.begin_with("BEGIN IMMEDIATE").await?,
        Kind::Postgres => connection.begin_with(AssertSqlSafe(begin(batch))).await?,
    };
    // Alone, a write needs no savepoint.
    if batch.len() == 1
        && let Some(write) = batch.pop()
    {
        return match perform(write, &mut transaction, done).await {
            true => transaction.commit().await,
            false => transaction.rollback().await,
        };
    }
    // One round trip ends a write and begins the next.
    let mut next = "SAVEPOINT write";
    for write in batch.drain(..) {
        transaction.execute(sqlx::raw_sql(next)).await?;
        next = match perform(write, &mut transaction, done).await {
            true => "RELEASE SAVEPOINT write; SAVEPOINT write",
            // The savepoint stays.
            false => UNDO,
        };
    }
    if next == UNDO {
        transaction.execute(sqlx::raw_sql(UNDO)).await?;
    }
    transaction.commit().await
}

/// Answers whether what it did is to stay.
async fn perform(write: Write, connection: &mut Connection, done: &mut Vec<Done>) -> bool {
    let ran = AssertUnwindSafe((write.work)(connection)).catch_unwind().await;
    let keep = ran.as_ref().is_ok_and(|ran| ran.keep);
    done.extend(ran);
    keep
}

/// Begins a transaction with the turns of all that write in it, in one round
/// trip. In the same order everywhere, so that no two wait for each other. At
/// the default level each statement sees what was committed before it, and so
/// all that was written in turns before this.
fn begin(batch: &[Write]) -> String {
    let mut turns: Vec<Turn> = batch.iter().flat_map(|write| &write.turns).copied().collect();
    turns.sort_unstable();
    turns.dedup();
    let mut sql = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE".to_owned();
    for Turn(number) in turns {
        // Writing to a text can't fail.
        let _ = write!(sql, "; SELECT pg_advisory_xact_lock({number})");
    }
    sql
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use sqlx::{Connection as _, PgConnection};
    use tokio::sync::oneshot;

    use crate::store::fixture::{Lasting, on_both_databases, postgres};
    use crate::store::usage::{self, Room, Usage};
    use crate::store::{Kind, Store};

    const ONE: Usage = Usage { items: 1, bytes: 1 };

    async fn items(store: &Store) -> i64 {
        let usage: sqlx::Result<Usage> =
            store.read(|connection| Box::pin(usage::of(connection, "a", Room::Outbox))).await;
        usage.unwrap().items
    }

    /// Adds one and then ends as told.
    async fn add(store: &Store, end: fn() -> Result<(), sqlx::Error>) -> Result<(), sqlx::Error> {
        store
            .write("a", move |connection| {
                Box::pin(async move {
                    usage::add(connection, "a", Room::Outbox, ONE).await?;
                    end()
                })
            })
            .await
    }

    /// Holds its queue up until all of these are in it.
    async fn in_one_batch<T>(store: &Store, writes: impl Future<Output = T>) -> T {
        let ((begun, held), (go_on, may)) = (oneshot::channel::<()>(), oneshot::channel::<()>());
        let before = store.write("a", move |_| {
            Box::pin(async move {
                begun.send(()).unwrap();
                may.await.map_err(|_| sqlx::Error::WorkerCrashed)
            })
        });
        let behind = async {
            held.await.unwrap();
            tokio::join!(biased; writes, async { go_on.send(()).unwrap() }).0
        };
        let (before, written) = tokio::join!(before, behind);
        before.unwrap();
        written
    }

    async fn of_a_batch_only_the_failed_is_undone(kind: Kind) {
        let store = Store::fresh(kind).await;
        let ends: [fn() -> Result<(), sqlx::Error>; 3] =
            [|| Ok(()), || Err(sqlx::Error::RowNotFound), || panic!("on purpose")];
        let results = in_one_batch(&store, join_all((0..30).map(|n| add(&store, ends[n % 3])))).await;
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

    async fn a_write_that_nobody_waits_for_any_more_is_not_begun(kind: Kind) {
        let store = Store::fresh(kind).await;
        let abandoned = async {
            let mut abandoned = Box::pin(add(&store, || Ok(())));
            assert!(futures_util::poll!(&mut abandoned).is_pending());
        };
        in_one_batch(&store, abandoned).await;
        add(&store, || Ok(())).await.unwrap();
        assert_eq!(items(&store).await, 1);
    }

    async fn what_is_in_nobodys_turn_waits_for_no_tenant(kind: Kind) {
        let store = Store::fresh(kind).await;
        let adds = join_all((0..30).map(|_| add(&store, || Ok(()))));
        let freely = join_all((0..30).map(|_| {
            store.write_without_turn(|connection| {
                Box::pin(async move { sqlx::query_scalar("SELECT 1").fetch_one(connection).await })
            })
        }));
        let (adds, freely): (Vec<_>, Vec<sqlx::Result<i32>>) = tokio::join!(adds, freely);
        assert!(adds.iter().all(Result::is_ok), "{adds:?}");
        assert!(freely.iter().all(|one| one.as_ref().is_ok_and(|one| *one == 1)), "{freely:?}");
        assert_eq!(items(&store).await, 30);
    }

    async fn an_operation_that_is_not_polled_holds_nobody_up(kind: Kind) {
        let database = Lasting::new(kind).await;
        let store = database.open().await;
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

    on_both_databases!(
        of_a_batch_only_the_failed_is_undone,
        a_write_that_nobody_waits_for_any_more_is_not_begun,
        an_operation_that_is_not_polled_holds_nobody_up,
        what_is_in_nobodys_turn_waits_for_no_tenant,
    );

    /// Never says that something is written which is not.
    #[tokio::test]
    async fn a_server_that_closed_all_connections_is_written_to_again() {
        let url = postgres().await;
        let store = Store::postgres(&url, 4).await.unwrap();
        let mut admin = PgConnection::connect(&url).await.unwrap();
        let mut written = 0;
        for _ in 0..20 {
            written += i64::from(add(&store, || Ok(())).await.is_ok());
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE datname = current_database() AND pid <> pg_backend_pid()";
            sqlx::query(end).execute(&mut admin).await.unwrap();
        }
        // Each of its connections may fail once.
        let mut tries = 0;
        while add(&store, || Ok(())).await.is_err() {
            tries += 1;
            assert!(tries <= 4, "it does not recover");
        }
        let stored: i64 = sqlx::query_scalar("SELECT items FROM usage").fetch_one(&mut admin).await.unwrap();
        assert_eq!(stored, written + 1);
    }

    #[tokio::test]
    async fn a_full_disk_fails_writes_and_not_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("airlock.db")).await.unwrap();
        let large = |n: usize| {
            let store = store.clone();
            async move {
                store
                    .write("a", move |connection| {
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
            .write("a", |connection| {
                Box::pin(async move { sqlx::query("PRAGMA max_page_count = 1").execute(connection).await.map(|_| ()) })
            })
            .await;
        shrunk.unwrap();
        let results = in_one_batch(&store, join_all((0..10).map(large))).await;
        assert!(results.iter().all(Result::is_err), "{results:?}");
        assert_eq!(items(&store).await, 0);

        // The limit was the connection's, and that is a new one.
        let results = join_all((0..10).map(large)).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert_eq!(items(&store).await, 10);
    }
}
