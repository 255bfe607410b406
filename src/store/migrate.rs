//! The schema: migrations of the same number make the same tables on both
//! databases.

use anyhow::Context;
use sqlx::migrate::{Migrate, MigrateError, Migrator};

use super::Connection;

pub static SQLITE: Migrator = sqlx::migrate!("src/store/migrations/sqlite");
pub static POSTGRES: Migrator = sqlx::migrate!("src/store/migrations/postgres");

/// sqlx's own name for it.
const TABLE: &str = "_sqlx_migrations";

/// The schema's version before and after. 0 is no schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    pub from: i64,
    pub to: i64,
}

/// Brings the schema up to date. Hosts that start together take turns.
pub async fn run(connection: &mut Connection, migrations: &'static Migrator) -> anyhow::Result<Migrated> {
    let from = version(connection).await.context("reading the version of its schema")?;
    let to = migrations.iter().map(|migration| migration.version).max().unwrap_or_default();
    match migrations.run(connection).await {
        Ok(()) => Ok(Migrated { from, to }),
        // That of another host that migrates now may come between.
        Err(MigrateError::VersionMissing(version)) if version > to => anyhow::bail!(
            "its schema has version {version}, and this airlock knows those up to {to}: a newer airlock has written \
             it; start that one, or restore the backup from before"
        ),
        Err(MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version)) => anyhow::bail!(
            "version {version} of its schema is not the one that this airlock makes: another build has written it; \
             start that one, or restore a backup of this one's"
        ),
        Err(reason) => Err(reason).context("bringing its schema up to date"),
    }
}

async fn version(connection: &mut Connection) -> Result<i64, MigrateError> {
    connection.ensure_migrations_table(TABLE).await?;
    let applied = connection.list_applied_migrations(TABLE).await?;
    Ok(applied.iter().map(|migration| migration.version).max().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

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
