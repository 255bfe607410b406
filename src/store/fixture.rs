//! For tests: somebody to call for, and a database of either kind.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

use super::{Kind, Migrated, Store, migrate_file, migrate_postgres};
use crate::tenant::{Execution, Identity, Script, Tenant, User};

pub fn identity(tenant: &str) -> Arc<Identity> {
    Arc::new(Identity {
        tenant: Tenant { id: tenant.to_owned(), name: "A tenant".to_owned() },
        user: Some(User { id: "user-1".to_owned(), ..User::default() }),
        script: Script {
            id: "script-1".to_owned(),
            name: "nightly".to_owned(),
            kind: "cron".to_owned(),
            file: "nightly.js".to_owned(),
        },
        execution: Execution { id: "execution-1".to_owned(), triggered_by: "cron".to_owned(), cause: None },
    })
}

impl Store {
    /// A database of that kind for one test.
    pub async fn fresh(kind: Kind) -> Store {
        match kind {
            Kind::Sqlite => Store::in_memory().await.unwrap(),
            Kind::Postgres => Store::postgres(&postgres().await, 8).await.unwrap(),
        }
    }

    /// From now on, the database refuses rows of a table that are so, such as
    /// `NEW.status = 'failed'`.
    pub async fn refuse(&self, table: &str, which: &str) {
        let sql = match self.kind {
            Kind::Sqlite => format!(
                "CREATE TRIGGER refuse BEFORE INSERT ON {table} WHEN {which}
                 BEGIN SELECT RAISE(ABORT, 'on purpose'); END"
            ),
            Kind::Postgres => format!(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     IF {which} THEN RAISE 'on purpose'; END IF;
                     RETURN NEW;
                 END $$;
                 CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()"
            ),
        };
        let done: sqlx::Result<()> = self
            .write_without_turn(move |connection| {
                Box::pin(async move { sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop) })
            })
            .await;
        done.unwrap();
    }
}

const FILE: &str = "airlock.db";

/// A database that can be opened again, and by several hosts.
pub enum Lasting {
    Sqlite(TempDir),
    Postgres(String),
}

impl Lasting {
    pub async fn new(kind: Kind) -> Lasting {
        match kind {
            Kind::Sqlite => Lasting::Sqlite(tempfile::tempdir().unwrap()),
            Kind::Postgres => Lasting::Postgres(postgres().await),
        }
    }

    pub async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    pub async fn try_open(&self) -> anyhow::Result<Store> {
        match self {
            Lasting::Sqlite(folder) => Store::open(folder.path().join(FILE)).await,
            Lasting::Postgres(url) => Store::postgres(url, 8).await,
        }
    }

    pub async fn migrate(&self) -> Migrated {
        match self {
            Lasting::Sqlite(folder) => migrate_file(&folder.path().join(FILE)).await.unwrap(),
            Lasting::Postgres(url) => migrate_postgres(url).await.unwrap(),
        }
    }
}

/// The URL of an empty database in the server that `tests/with-postgres` starts.
/// It goes with the server.
pub async fn postgres() -> String {
    let server = std::env::var("AIRLOCK_TEST_POSTGRES").expect(
        "these tests need a PostgreSQL server: run them with `make test`, or put tests/with-postgres before the command",
    );
    let name = format!("airlock_store_{}", uuid::Uuid::new_v4().simple());
    let mut admin = PgConnection::connect(&server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
    let mut url = url::Url::parse(&server).unwrap();
    url.set_path(&name);
    url.into()
}

/// Makes two tests of each function, `sqlite::…` and `postgres::…`.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::store::Kind::Sqlite).await;
            })+
        }

        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::store::Kind::Postgres).await;
            })+
        }
    };
}
pub(crate) use on_both_databases;
