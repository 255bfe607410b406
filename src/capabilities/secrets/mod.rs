//! Secrets of the tenants, such as keys of other services: named, encrypted in
//! the host's database, and given only to scripts that the operator granted
//! them to.
//!
//! They come in through `airlock secrets` and go out through `secrets.get`.
//! What a call was given does not show in its logs and errors.

mod cipher;
mod host;
mod redact;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use self::cipher::Unreadable;
pub use self::cipher::{KEY_BYTES, Key, Keys, Sealed};
pub use self::redact::Redactor;
use crate::capabilities::grant::{self, Allowed, Entry};
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};
use crate::store::Store;
use crate::store::clock::Millis;

/// The secrets that a script is given when it asks.
pub type Grant = Allowed<Name>;

/// A secret's name. There is no wildcard: each is granted by itself.
#[derive(Debug, Clone, PartialEq, Eq, utoipa::ToSchema)]
#[schema(as = SecretName, value_type = String, pattern = "^[A-Za-z_][A-Za-z0-9_]*$", max_length = 64)]
pub struct Name(String);

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Name, String> {
        match grant::is_name(text) {
            true => Ok(Name(text.to_owned())),
            false => Err(format!(
                "`{}` is not a secret's name: it has 1 to 64 letters, digits and `_`, and does not begin with a digit",
                grant::shown(text)
            )),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Entry for Name {
    const LIST: &'static str = "secrets";

    fn covers(&self, other: &Name) -> bool {
        self == other
    }
}

/// What the process owns. Cheap to clone.
#[derive(Clone)]
pub struct Process {
    store: Store,
    keys: Keys,
}

/// What is known of a secret without opening it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Listed {
    pub name: String,
    /// The id of the key that it is encrypted with.
    pub key_id: String,
    /// Milliseconds since the Unix epoch.
    pub updated_at: Millis,
}

/// Why the operator's command was not done.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(
        "there is no key to encrypt with; set AIRLOCK_SECRETS_KEYS=2026:<64 hexadecimal digits>, or [secrets] keys in \
         the settings; `openssl rand -hex 32` makes one"
    )]
    NoKey,
    #[error("a secret cannot be empty")]
    Empty,
    #[error("the limit on {} is {}; the setting {} changes it", .0.name().replace('_', " "), .0.show(*.1), .0.setting())]
    Limit(Limit, u64),
    #[error("the secret {name} of tenant {tenant} cannot be read: {reason}")]
    Unreadable { tenant: String, name: String, reason: Unreadable },
    #[error("the host's database refused: {0}")]
    Store(#[from] sqlx::Error),
}

impl Process {
    pub fn new(store: Store, keys: Keys) -> Process {
        Process { store, keys }
    }

    /// The value of a tenant's secret. What can't be read is the operator's
    /// business and goes to the log.
    pub async fn get(&self, tenant: &str, name: &Name) -> Result<Zeroizing<String>, Failure> {
        let Some(value) = self.find(tenant, name).await? else {
            return Err(Failure::new(
                "NotFoundError",
                format!("this tenant has no secret {name}; an administrator sets it with `airlock secrets set {name}`"),
            ));
        };
        Ok(value)
    }

    /// The same; None where there is no secret of that name.
    pub async fn find(&self, tenant: &str, name: &Name) -> Result<Option<Zeroizing<String>>, Failure> {
        let Some(sealed) = self.sealed(tenant, name).await? else { return Ok(None) };
        let opened = self.keys.open(tenant, name.as_str(), &sealed).map_err(|reason| {
            tracing::error!(tenant_id = tenant, secret = name.as_str(), %reason, "a secret cannot be read");
            Failure::new("InternalError", format!("the secret {name} cannot be read; the host's log has the reason"))
        });
        opened.map(Some)
    }

    async fn sealed(&self, tenant: &str, name: &Name) -> sqlx::Result<Option<Sealed>> {
        let (tenant, name) = (tenant.to_owned(), name.clone());
        self.store
            .read(move |connection| {
                Box::pin(
                    sqlx::query_as("SELECT key_id, nonce, value FROM secrets WHERE tenant = $1 AND name = $2")
                        .bind(tenant)
                        .bind(name.0)
                        .fetch_optional(connection),
                )
            })
            .await
    }

    /// Sets a secret, whether or not there is one of that name.
    pub async fn set(&self, tenant: &str, name: &Name, value: &str, limits: &Limits) -> Result<(), Refused> {
        if value.is_empty() {
            return Err(Refused::Empty);
        }
        if value.len() as u64 > limits.secret_bytes {
            return Err(Refused::Limit(Limit::SecretBytes, limits.secret_bytes));
        }
        let sealed = self.keys.seal(tenant, name.as_str(), value).ok_or(Refused::NoKey)?;
        let (owned, name, now) = (tenant.to_owned(), name.clone(), self.store.now());
        let most = limits.secrets;
        self.store
            .write(tenant, move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO secrets (tenant, name, key_id, nonce, value, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
                         ON CONFLICT (tenant, name) DO UPDATE SET key_id = excluded.key_id, nonce = excluded.nonce,
                         value = excluded.value, updated_at = excluded.updated_at",
                    )
                    .bind(&owned)
                    .bind(name.0)
                    .bind(sealed.key_id)
                    .bind(sealed.nonce)
                    .bind(sealed.value)
                    .bind(now)
                    .execute(&mut *connection)
                    .await?;
                    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM secrets WHERE tenant = $1")
                        .bind(&owned)
                        .fetch_one(connection)
                        .await?;
                    if count as u64 > most { Err(Refused::Limit(Limit::Secrets, most)) } else { Ok(()) }
                })
            })
            .await
    }

    /// A tenant's secrets in the order of their names.
    pub async fn list(&self, tenant: &str) -> sqlx::Result<Vec<Listed>> {
        let tenant = tenant.to_owned();
        self.store
            .read(move |connection| {
                Box::pin(
                    sqlx::query_as("SELECT name, key_id, updated_at FROM secrets WHERE tenant = $1 ORDER BY name")
                        .bind(tenant)
                        .fetch_all(connection),
                )
            })
            .await
    }

    /// Answers whether there was one.
    pub async fn delete(&self, tenant: &str, name: &Name) -> sqlx::Result<bool> {
        let (owned, name) = (tenant.to_owned(), name.clone());
        self.store
            .write(tenant, move |connection| {
                Box::pin(async move {
                    let deleted = sqlx::query("DELETE FROM secrets WHERE tenant = $1 AND name = $2")
                        .bind(owned)
                        .bind(name.0)
                        .execute(connection)
                        .await?;
                    Ok(deleted.rows_affected() > 0)
                })
            })
            .await
    }

    /// Encrypts every tenant's secrets with the first key that are encrypted
    /// with another, so that the other can go. Answers how many that were; does
    /// nothing where one can't be read.
    pub async fn rotate(&self) -> Result<u64, Refused> {
        let first = self.keys.first().ok_or(Refused::NoKey)?.id.clone();
        let (keys, other) = (self.keys.clone(), first.clone());
        // Each tenant's are written by themselves, so all are tried before.
        let tenants = self
            .store
            .read(move |connection| {
                Box::pin(async move {
                    let rows: Vec<Row> =
                        sqlx::query_as("SELECT tenant, name, key_id, nonce, value FROM secrets WHERE key_id <> $1")
                            .bind(other)
                            .fetch_all(connection)
                            .await?;
                    let opened = rows.into_iter().map(|row| row.open(&keys).map(|_| row.tenant));
                    opened.collect::<Result<BTreeSet<String>, Refused>>()
                })
            })
            .await?;
        let mut count = 0;
        for tenant in tenants {
            count += self.rotate_tenant(&tenant, first.clone()).await?;
        }
        Ok(count)
    }

    async fn rotate_tenant(&self, tenant: &str, first: String) -> Result<u64, Refused> {
        let (owned, keys) = (tenant.to_owned(), self.keys.clone());
        self.store
            .write(tenant, move |connection| {
                Box::pin(async move {
                    let rows: Vec<Row> = sqlx::query_as(
                        "SELECT tenant, name, key_id, nonce, value FROM secrets WHERE tenant = $1 AND key_id <> $2",
                    )
                    .bind(owned)
                    .bind(first)
                    .fetch_all(&mut *connection)
                    .await?;
                    let count = rows.len() as u64;
                    for row in rows {
                        let value = row.open(&keys)?;
                        let sealed = keys.seal(&row.tenant, &row.name, &value).ok_or(Refused::NoKey)?;
                        sqlx::query(
                            "UPDATE secrets SET key_id = $3, nonce = $4, value = $5 WHERE tenant = $1 AND name = $2",
                        )
                        .bind(row.tenant)
                        .bind(row.name)
                        .bind(sealed.key_id)
                        .bind(sealed.nonce)
                        .bind(sealed.value)
                        .execute(&mut *connection)
                        .await?;
                    }
                    Ok(count)
                })
            })
            .await
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant: String,
    name: String,
    #[sqlx(flatten)]
    sealed: Sealed,
}

impl Row {
    fn open(&self, keys: &Keys) -> Result<Zeroizing<String>, Refused> {
        keys.open(&self.tenant, &self.name, &self.sealed).map_err(|reason| Refused::Unreadable {
            tenant: self.tenant.clone(),
            name: self.name.clone(),
            reason,
        })
    }
}
