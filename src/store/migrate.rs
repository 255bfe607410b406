//! The schema: migrations of the same number make the same tables on both
//! databases.

use anyhow::Context;
use sqlx::Connection as _;
use sqlx::migrate::{Migrate, MigrateError, Migrator};

use super::{Connection, Kind};

static SQLITE: Migrator = sqlx::migrate!("src/store/migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("src/store/migrations/postgres");

/// sqlx's own name for it.
const TABLE: &str = "_sqlx_migrations";

/// The schema's version before and after. 0 is no schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    pub from: i64,
    pub to: i64,
}

/// Brings the schema up to date, all or nothing. Hosts that start together take
/// turns.
pub async fn run(connection: &mut Connection, kind: Kind) -> anyhow::Result<Migrated> {
    let (migrations, begin) = match kind {
        Kind::Sqlite => (&SQLITE, "BEGIN IMMEDIATE"),
        // The number is any that no tenant's turn to write is likely to have.
        Kind::Postgres => (&POSTGRES, "BEGIN; SELECT pg_advisory_xact_lock(7236834)"),
    };
    let mut transaction = connection.begin_with(begin).await?;
    let from = version(&mut transaction).await.context("reading the version of its schema")?;
    let to = migrations.iter().map(|migration| migration.version).max().unwrap_or_default();
    match migrations.run(&mut *transaction).await {
        Ok(()) => transaction.commit().await?,
        Err(MigrateError::VersionMissing(version)) if version > to => anyhow::bail!(
            "its schema has version {version}, and this airlock knows those up to {to}: a newer airlock has written \
             it; start that one, or restore the backup from before"
        ),
        Err(MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version)) => anyhow::bail!(
            "version {version} of its schema is not the one that this airlock makes: another build has written it; \
             start that one, or restore a backup of this one's"
        ),
        Err(reason) => return Err(reason).context("bringing its schema up to date"),
    }
    Ok(Migrated { from, to })
}

async fn version(connection: &mut Connection) -> Result<i64, MigrateError> {
    connection.ensure_migrations_table(TABLE).await?;
    let applied = connection.list_applied_migrations(TABLE).await?;
    Ok(applied.iter().map(|migration| migration.version).max().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::store::Store;
    use crate::store::fixture::{Lasting, on_both_databases};

    async fn run_on(database: &Lasting, sql: &'static str) {
        let store = database.open().await;
        let done: sqlx::Result<()> = store
            .write("a", move |connection| Box::pin(async move { sqlx::query(sql).execute(connection).await.map(drop) }))
            .await;
        done.unwrap();
    }

    async fn refused(database: &Lasting) -> String {
        let Err(reason) = database.try_open().await else { panic!("it opens") };
        format!("{reason:#}")
    }

    async fn a_schema_is_made_once(kind: Kind) {
        let database = Lasting::new(kind).await;
        let first = database.migrate().await;
        assert_eq!(first.from, 0);
        assert!(first.to >= 2);
        assert_eq!(database.migrate().await, Migrated { from: first.to, ..first });
    }

    async fn hosts_that_start_together_make_one_schema(kind: Kind) {
        let database = Lasting::new(kind).await;
        let hosts: Vec<Store> = join_all((0..4).map(|_| database.open())).await;
        assert_eq!(hosts.len(), 4);
    }

    async fn a_newer_schema_is_refused_and_left_alone(kind: Kind) {
        let database = Lasting::new(kind).await;
        run_on(
            &database,
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             SELECT 9999, description, success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1",
        )
        .await;
        let said = refused(&database).await;
        assert!(said.contains("its schema has version 9999") && said.contains("a newer airlock"), "{said}");
        assert_eq!(refused(&database).await, said);
    }

    async fn a_schema_of_another_build_is_refused(kind: Kind) {
        let database = Lasting::new(kind).await;
        run_on(&database, "UPDATE _sqlx_migrations SET version = 0 WHERE version = 1").await;
        let said = refused(&database).await;
        assert!(said.contains("version 0 of its schema is not the one"), "{said}");
    }

    on_both_databases!(
        a_schema_is_made_once,
        hosts_that_start_together_make_one_schema,
        a_newer_schema_is_refused_and_left_alone,
        a_schema_of_another_build_is_refused,
    );

    #[tokio::test]
    async fn a_database_that_cannot_hold_every_text_is_refused() {
        use sqlx::{Connection as _, PgConnection};

        let url = crate::store::fixture::postgres().await;
        let mut admin = PgConnection::connect(&url).await.unwrap();
        let name = format!("airlock_latin_{}", uuid::Uuid::new_v4().simple());
        let create = format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
        sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut admin).await.unwrap();
        let mut url = url::Url::parse(&url).unwrap();
        url.set_path(&name);
        let Err(reason) = Store::postgres(url.as_str(), 2).await else { panic!("it opens") };
        assert!(format!("{reason:#}").contains("its encoding is LATIN1"), "{reason:#}");
    }

    #[tokio::test]
    async fn what_cannot_be_reached_is_said_without_the_password() {
        let url = "postgres://airlock:hunter2@localhost/airlock?host=/nowhere";
        let Err(reason) = Store::postgres(url, 2).await else { panic!("it opens") };
        let said = format!("{reason:#}");
        assert!(said.contains("[store] url") && !said.contains("hunter2"), "{said}");
    }

    /// Numbers and names; the texts differ.
    #[test]
    fn each_migration_has_a_twin() {
        let list = |migrations: &Migrator| -> Vec<(i64, String)> {
            migrations.iter().map(|migration| (migration.version, migration.description.to_string())).collect()
        };
        assert_eq!(list(&SQLITE), list(&POSTGRES));
        assert!(!list(&SQLITE).is_empty());
    }
}
