//! The tenant's own key-value store.
//!
//! Every operation is one transaction: concurrent ones have the result of some
//! order of them. Sizes, keys and times are checked here, not in the engine:
//! whatever arrives is taken for hostile.

mod host;
mod keys;
mod put;
mod sweep;
mod values;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::TryStreamExt;

use crate::runtime::failure::Failure;
use crate::runtime::limits::Limits;
use crate::store::clock::Millis;
use crate::store::usage::{self, Room, Usage};
use crate::store::{Connection, Store};
use crate::tenant::quota::Account;
use put::{Put, Together};

/// Entries of a page where the script does not say how many.
const PAGE_ENTRIES: u32 = 100;
/// The most entries that a script may ask for.
const PAGE_ENTRIES_MOST: u32 = 1000;
/// A page ends with the entry that takes it beyond this: a thousand values of
/// the largest size would not fit into any script's memory.
const PAGE_BYTES: u64 = 1 << 20;

/// What the process owns. Cheap to clone.
#[derive(Clone)]
pub struct Process {
    store: Store,
    together: Together,
}

impl Process {
    pub fn new(store: Store) -> Process {
        Process { store, together: Together::default() }
    }

    /// One tenant's part, under its quotas and the limits of a call.
    pub fn space(&self, account: Arc<Account>, limits: Arc<Limits>) -> Space {
        let (store, together) = (self.store.clone(), self.together.clone());
        Space { store, together, tenant: account.tenant().clone(), account, limits }
    }

    /// Removes what has expired, of every tenant, and answers how many keys
    /// that was. Scripts never see an expired value; this gives back its room
    /// where the tenant does not write. Takes many short transactions.
    pub async fn sweep(&self) -> Result<u64, Failure> {
        sweep::all(&self.store).await
    }
}

/// One tenant's part of the storage. Cheap to clone.
///
/// A failure is named `TypeError` or `RangeError` where the script gave what
/// the function does not take, `LimitError` where the tenant or the call is at
/// a limit, and `InternalError` otherwise.
#[derive(Clone)]
pub struct Space {
    store: Store,
    together: Together,
    tenant: Arc<str>,
    account: Arc<Account>,
    limits: Arc<Limits>,
}

/// Entries in the byte order of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Keys and JSON texts.
    pub entries: Vec<(String, String)>,
    /// The last entry's key where more follow.
    pub next: Option<String>,
}

impl Space {
    pub async fn get(&self, key: String) -> Result<Option<String>, Failure> {
        keys::check(&key, &self.limits)?;
        let (tenant, now) = (self.tenant.clone(), self.store.now());
        self.store
            .read(move |connection| {
                Box::pin(async move {
                    let found = live(connection, &tenant, &key, now).await?;
                    Ok(found.map(|(value, _)| value))
                })
            })
            .await
    }

    pub async fn has(&self, key: String) -> Result<bool, Failure> {
        keys::check(&key, &self.limits)?;
        let (tenant, now) = (self.tenant.clone(), self.store.now());
        self.store
            .read(move |connection| {
                Box::pin(async move {
                    let found: Option<i64> = sqlx::query_scalar(
                        "SELECT 1 FROM storage WHERE tenant = $1 AND key = $2
                         AND (expires_at IS NULL OR expires_at > $3)",
                    )
                    .bind(&*tenant)
                    .bind(key)
                    .bind(now)
                    .fetch_optional(connection)
                    .await?;
                    Ok(found.is_some())
                })
            })
            .await
    }

    /// Writes a JSON text. `ttl` is in seconds, a fraction included; None keeps
    /// the value for good, whatever the replaced one's was.
    pub async fn set(&self, key: String, value: String, ttl: Option<f64>) -> Result<(), Failure> {
        keys::check(&key, &self.limits)?;
        values::check(&value, &self.limits)?;
        let expires_at = expiry(ttl, self.store.now())?;
        self.write(Put { key, value, expires_at }).await
    }

    /// Answers whether there was a value.
    pub async fn delete(&self, key: String) -> Result<bool, Failure> {
        keys::check(&key, &self.limits)?;
        let (tenant, now) = (self.tenant.clone(), self.store.now());
        self.store
            .write(&self.tenant, move |connection| {
                Box::pin(async move {
                    let gone: Option<(i64, Option<Millis>)> = sqlx::query_as(
                        "DELETE FROM storage WHERE tenant = $1 AND key = $2
                         RETURNING bytes, expires_at",
                    )
                    .bind(&*tenant)
                    .bind(key)
                    .fetch_optional(&mut *connection)
                    .await?;
                    let Some((bytes, expires_at)) = gone else { return Ok(false) };
                    let freed = Usage { items: -1, bytes: -bytes };
                    usage::add(connection, &tenant, Room::Storage, freed).await?;
                    Ok(expires_at.is_none_or(|at| at > now))
                })
            })
            .await
    }

    /// The entries whose key starts with `prefix` and comes after `after`. A
    /// page may hold fewer than `limit` entries although more follow, where
    /// they are large; `next` tells.
    pub async fn list(&self, prefix: String, after: Option<String>, limit: Option<u32>) -> Result<Page, Failure> {
        let limit = limit.unwrap_or(PAGE_ENTRIES);
        if !(1..=PAGE_ENTRIES_MOST).contains(&limit) {
            return Err(Failure::new(
                "RangeError",
                format!(
                    "storage.list: the limit must be from 1 to {PAGE_ENTRIES_MOST}, not {limit}; read on with `after`"
                ),
            ));
        }
        keys::check_part(&prefix, &self.limits)?;
        let after = after.unwrap_or_default();
        keys::check_part(&after, &self.limits)?;
        let end = keys::end(&prefix);
        let (tenant, now) = (self.tenant.clone(), self.store.now());
        self.store
            .read(move |connection| {
                Box::pin(async move {
                    let mut rows = sqlx::query_as::<_, (String, String)>(
                        "SELECT key, value FROM storage
                         WHERE tenant = $1 AND key >= $2 AND key > $3 AND ($4 IS NULL OR key < $4)
                         AND (expires_at IS NULL OR expires_at > $5)
                         ORDER BY key LIMIT $6",
                    )
                    .bind(&*tenant)
                    .bind(prefix)
                    .bind(after)
                    .bind(end)
                    .bind(now)
                    .bind(i64::from(limit) + 1)
                    .fetch(connection);
                    let mut page = Page { entries: Vec::new(), next: None };
                    let mut bytes = 0;
                    while let Some((key, value)) = rows.try_next().await? {
                        if page.entries.len() == limit as usize || bytes > PAGE_BYTES {
                            page.next = page.entries.last().map(|(key, _)| key.clone());
                            break;
                        }
                        bytes += (key.len() + value.len()) as u64;
                        page.entries.push((key, value));
                    }
                    Ok(page)
                })
            })
            .await
    }

    /// Adds to a number and answers the sum. A key without a value counts as
    /// 0. Without a `ttl` the value's own is kept.
    pub async fn increment(&self, key: String, by: f64, ttl: Option<f64>) -> Result<f64, Failure> {
        keys::check(&key, &self.limits)?;
        if !by.is_finite() {
            return Err(Failure::argument(format!("storage.increment: {by} is not a finite number")));
        }
        let now = self.store.now();
        let expires_at = expiry(ttl, now)?;
        let space = self.clone();
        self.store
            .write(&self.tenant, move |connection| {
                Box::pin(async move {
                    let (before, until) = match live(connection, &space.tenant, &key, now).await? {
                        Some((value, until)) => (values::number(&value)?, until),
                        None => (0.0, None),
                    };
                    let sum = before + by;
                    let value = values::text(sum)?;
                    space.put(connection, &[&Put { key, value, expires_at: expires_at.or(until) }]).await?;
                    Ok(sum)
                })
            })
            .await
    }

    /// Writes where the stored value equals `expected` (None: where there is
    /// none) and answers whether it did. Values are compared as JSON: the order
    /// of an object's keys and the spelling of a number do not matter.
    pub async fn compare_and_set(
        &self,
        key: String,
        expected: Option<String>,
        value: String,
        ttl: Option<f64>,
    ) -> Result<bool, Failure> {
        keys::check(&key, &self.limits)?;
        values::check(&value, &self.limits)?;
        if let Some(expected) = &expected {
            values::check(expected, &self.limits)?;
        }
        let now = self.store.now();
        let expires_at = expiry(ttl, now)?;
        let space = self.clone();
        self.store
            .write(&self.tenant, move |connection| {
                Box::pin(async move {
                    let stored = live(connection, &space.tenant, &key, now).await?;
                    let same = match (&stored, &expected) {
                        (None, None) => true,
                        (Some((stored, _)), Some(expected)) => values::same(stored, expected)?,
                        _ => false,
                    };
                    if same {
                        space.put(connection, &[&Put { key, value, expires_at }]).await?;
                    }
                    Ok(same)
                })
            })
            .await
    }
}

/// The value and when it expires, unless it has expired.
async fn live(
    connection: &mut Connection,
    tenant: &str,
    key: &str,
    now: Millis,
) -> sqlx::Result<Option<(String, Option<Millis>)>> {
    sqlx::query_as(
        "SELECT value, expires_at FROM storage WHERE tenant = $1 AND key = $2
         AND (expires_at IS NULL OR expires_at > $3)",
    )
    .bind(tenant)
    .bind(key)
    .bind(now)
    .fetch_optional(connection)
    .await
}

/// A script's time to live as a time; None where it gave none. At most ten years:
/// a longer one is a mistake of units.
fn expiry(ttl: Option<f64>, now: Millis) -> Result<Option<Millis>, Failure> {
    const MOST: f64 = 10.0 * 365.25 * 24.0 * 3600.0;
    match ttl {
        None => Ok(None),
        Some(ttl) if ttl > 0.0 && ttl <= MOST => Ok(Some(now + (ttl * 1000.0).ceil() as Millis)),
        Some(ttl) => Err(Failure::new(
            "RangeError",
            format!(
                "storage: a time to live is in seconds, more than 0 and at most {MOST} (ten years), not {ttl}; leave it out to keep the value for good"
            ),
        )),
    }
}
