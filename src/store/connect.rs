//! How the two databases are opened.

use std::ops::Range;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Once};
use std::time::Duration;

use anyhow::{Context, ensure};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::pool::PoolConnectionMetadata;
use sqlx::{AnyPool, Connection as _};

use super::Connection;
use super::migrate::{self, Migrated};
use crate::files;

/// Connections that read a SQLite file. SQLite reads in a thread for each, so
/// more than a few only add threads.
const READERS: u32 = 4;

/// Connections to PostgreSQL at least: one writes and one reads.
pub const FEWEST: u32 = 2;

/// How long a query waits for a connection.
const TURN: Duration = Duration::from_secs(30);

/// How long a connection to PostgreSQL may be idle before it is asked whether it
/// still stands.
const FRESH: Duration = Duration::from_secs(1);

/// What lies between may forget a connection that is idle for longer, and the
/// server keeps memory for one that is old.
const IDLE: Duration = Duration::from_secs(5 * 60);
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// One connection writes, several read. SQLite lets one writer in at a time
/// anyway, and a queue before it is fair where contending for the file's lock is
/// not.
const SQLITE: &str = "PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;";
const SQLITE_WRITER: &str = "PRAGMA journal_mode = WAL;";
const SQLITE_READER: &str = "PRAGMA query_only = ON;";

/// A host that hangs within a transaction must not hold its tenants' turns for
/// ever, and no query of ours takes long.
const POSTGRES: &str = "SET application_name = 'airlock'; SET statement_timeout = '30s'; SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '30s';";
const POSTGRES_READER: &str = "SET default_transaction_read_only = on;";

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// Of the database that a connection is to.
    pub fn of(connection: &Connection) -> Kind {
        if connection.backend_name() == "PostgreSQL" { Kind::Postgres } else { Kind::Sqlite }
    }

    /// The place of a value in a statement with many, whose places go by number.
    ///
    /// For each value bound, sqlx asks SQLite for the name of its place, which
    /// SQLite finds by reading all names before it: with many, that takes longer
    /// than an insert of them. `?` has none.
    pub fn place(self, number: usize) -> String {
        match self {
            Kind::Sqlite => "?".to_owned(),
            Kind::Postgres => format!("${number}"),
        }
    }

    /// Places for values, such as `$2, $3`.
    pub fn list(self, places: Range<usize>) -> String {
        places.map(|number| self.place(number)).collect::<Vec<_>>().join(", ")
    }

    /// Places for the values of some rows, as after VALUES, from a place on.
    pub fn rows(self, first: usize, rows: usize, columns: usize) -> String {
        let row = |row: usize| {
            let first = first + row * columns;
            format!("({})", self.list(first..first + columns))
        };
        (0..rows).map(row).collect::<Vec<_>>().join(", ")
    }

    /// At the end of a query: takes the rows, leaving out what others have taken.
    /// A SQLite database has one writer at a time.
    pub fn skip_locked(self) -> &'static str {
        match self {
            Kind::Sqlite => "",
            Kind::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// At the end of a query: nobody changes the rows before this commits.
    pub fn share(self) -> &'static str {
        match self {
            Kind::Sqlite => "",
            Kind::Postgres => " FOR SHARE",
        }
    }
}

/// The connections.
pub struct Pools {
    pub writers: AnyPool,
    pub readers: AnyPool,
    pub kind: Kind,
    /// Of PostgreSQL.
    pub url: Option<Arc<str>>,
}

/// Opens a SQLite file.
pub async fn file(path: &Path) -> anyhow::Result<(Pools, Migrated)> {
    let open = async {
        // The driver takes a URL, in which the path must stand whole.
        let absolute = std::path::absolute(path)?;
        if let Some(folder) = absolute.parent() {
            files::private_folder(folder)?;
        }
        files::private_file(&absolute)?;
        let encoded = percent_encode(absolute.as_os_str().as_encoded_bytes(), NON_ALPHANUMERIC);
        let options = options(&format!("sqlite:{encoded}"))?;
        let writers = pool(1).min_connections(1).after_connect(set(&[SQLITE, SQLITE_WRITER]));
        let writers = writers.connect_with(options.clone()).await?;
        let migrated = migrate::run(&mut *writers.acquire().await?, Kind::Sqlite).await?;
        let readers = pool(READERS).min_connections(READERS).after_connect(set(&[SQLITE, SQLITE_READER]));
        let readers = readers.connect_with(options).await?;
        anyhow::Ok((Pools { writers, readers, kind: Kind::Sqlite, url: None }, migrated))
    };
    open.await.with_context(|| format!("could not open the database {}", path.display()))
}

/// A SQLite database in memory.
pub async fn memory() -> anyhow::Result<Pools> {
    // Each connection to memory is a database of its own, so there is one.
    let pool =
        pool(1).min_connections(1).after_connect(set(&[SQLITE])).connect_with(options("sqlite::memory:")?).await?;
    migrate::run(&mut *pool.acquire().await?, Kind::Sqlite).await?;
    Ok(Pools { writers: pool.clone(), readers: pool, kind: Kind::Sqlite, url: None })
}

/// Opens a PostgreSQL database.
pub async fn postgres(url: &str, connections: u32) -> anyhow::Result<(Pools, Migrated)> {
    let open = async {
        let options = options(url)?;
        // Migrations may take longer than queries, so not on one of the pools'.
        let mut connection = Connection::connect_with(&options).await?;
        let encoding: String =
            sqlx::query_scalar("SELECT current_setting('server_encoding')").fetch_one(&mut connection).await?;
        ensure!(
            encoding == "UTF8",
            "its encoding is {encoding}, and not every text can be written in that; make one with \
             CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        );
        let migrated = migrate::run(&mut connection, Kind::Postgres).await?;
        connection.close().await?;
        let writing = (connections / 2).max(1);
        let pool = |connections| {
            pool(connections)
                .idle_timeout(IDLE)
                .max_lifetime(LIFETIME)
                .before_acquire(|connection, idle| Box::pin(stands(connection, idle)))
        };
        let writers = pool(writing).after_connect(set(&[POSTGRES]));
        let readers = pool(connections.saturating_sub(writing).max(1)).after_connect(set(&[POSTGRES, POSTGRES_READER]));
        anyhow::Ok((
            Pools {
                writers: writers.connect_lazy_with(options.clone()),
                readers: readers.connect_lazy_with(options),
                kind: Kind::Postgres,
                url: Some(url.into()),
            },
            migrated,
        ))
    };
    open.await.context("could not open the PostgreSQL database of [store] url")
}

fn options(url: &str) -> sqlx::Result<AnyConnectOptions> {
    static DRIVERS: Once = Once::new();
    DRIVERS.call_once(|| {
        // Fails where a program that embeds the host has installed its own,
        // which then must include these.
        let _ = sqlx::any::install_drivers(&[sqlx::sqlite::any::DRIVER, sqlx::postgres::any::DRIVER]);
    });
    AnyConnectOptions::from_str(url)
}

fn pool(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(TURN)
        .idle_timeout(None)
        .max_lifetime(None)
        // A connection to a file does not go away by itself.
        .test_before_acquire(false)
}

/// Runs statements on a connection when it is new.
fn set(
    statements: &'static [&'static str],
) -> impl for<'c> Fn(&'c mut Connection, PoolConnectionMetadata) -> futures_util::future::BoxFuture<'c, sqlx::Result<()>>
+ Send
+ Sync
+ 'static {
    move |connection, _| {
        Box::pin(async move {
            for statement in statements {
                sqlx::raw_sql(*statement).execute(&mut *connection).await?;
            }
            Ok(())
        })
    }
}

/// Whether a connection still stands. Asking costs a round trip, so one that was
/// just used is not asked.
async fn stands(connection: &mut Connection, idle: PoolConnectionMetadata) -> sqlx::Result<bool> {
    Ok(idle.idle_for < FRESH || connection.ping().await.is_ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use crate::store::fixture::{Lasting, on_both_databases};
    use crate::store::{Kind, Store};

    /// Answers whether a reader may run it.
    async fn reads(store: &Store, sql: &'static str) -> bool {
        let done: sqlx::Result<()> = store
            .read(move |connection| Box::pin(async move { sqlx::query(sql).execute(connection).await.map(drop) }))
            .await;
        done.is_ok()
    }

    async fn what_reads_cannot_write(kind: Kind) {
        let database = Lasting::new(kind).await;
        let store = database.open().await;
        assert!(reads(&store, "SELECT items FROM usage").await);
        assert!(!reads(&store, "INSERT INTO usage (tenant, room, items, bytes) VALUES ('a', 'b', 1, 1)").await);
    }

    on_both_databases!(what_reads_cannot_write);

    /// The driver takes a URL, and a folder's name may hold anything.
    #[tokio::test]
    async fn a_path_is_a_path() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a b", "a?mode=ro", "a#b", "100%", "%41", "é", ":memory:", "sqlite:x", "a;b"] {
            let path = folder.path().join(name).join("airlock.db");
            Store::open(&path).await.unwrap();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{name}");
        }
        let path = folder.path().join("missing.db");
        std::fs::create_dir(&path).unwrap();
        let Err(reason) = Store::open(&path).await else { panic!("a folder is no database") };
        assert!(format!("{reason:#}").contains("missing.db"), "{reason:#}");
    }
}
