//! What must hold in a protected database. Each check reads the catalogs and
//! answers what does not hold, with the statements that mend it.

mod constraints;
mod functions;
mod grants;
mod notes;
mod objects;
mod roles;
mod schema;
mod tables;

use sqlx::PgConnection;

use super::scene::Scene;
use super::{Error, Protection};

pub use constraints::mending_keys;
pub use notes::notes;

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// One or two words, always the same ones.
    pub kind: &'static str,
    /// The object, as SQL names it.
    pub object: String,
    /// What it gives a script that it must not have. One sentence.
    pub why: String,
    /// What closes it, in this order.
    pub fix: Vec<Statement>,
}

/// One SQL statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub sql: String,
    /// What `$1`, `$2` … stand for. They are secret.
    pub secrets: Vec<Secret>,
}

/// Bytes that no output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl From<String> for Statement {
    fn from(sql: String) -> Statement {
        Statement { sql, secrets: Vec::new() }
    }
}

impl Finding {
    /// Whether it is about a key or a foreign key of a table.
    pub fn is_key(&self) -> bool {
        matches!(self.kind, constraints::UNIQUE | constraints::FOREIGN)
    }

    fn new(
        kind: &'static str,
        object: impl Into<String>,
        why: impl Into<String>,
        fix: impl IntoIterator<Item = String>,
    ) -> Finding {
        Finding { kind, object: object.into(), why: why.into(), fix: fix.into_iter().map(Statement::from).collect() }
    }
}

/// What [`super::protect`] closes by itself, in the order in which it must.
pub async fn closable(
    connection: &mut PgConnection,
    scene: &Scene,
    protection: &Protection,
) -> Result<Vec<Finding>, Error> {
    let mut findings = roles::check(connection, scene).await?;
    findings.extend(schema::check(connection, scene, protection).await?);
    findings.extend(tables::check(connection, scene).await?);
    findings.extend(grants::check(connection, scene).await?);
    findings.extend(functions::check(connection, scene).await?);
    Ok(findings)
}

/// What only the application's owner can decide.
pub async fn undecided(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let mut findings = constraints::check(connection, scene).await?;
    findings.extend(objects::check(connection, scene).await?);
    Ok(findings)
}
