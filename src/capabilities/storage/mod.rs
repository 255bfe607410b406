//! The tenant's own key-value store.
//!
//! Every operation is one transaction: concurrent ones have the result of some
//! order of them. Sizes, keys and times are checked here, not in the engine:
//! whatever arrives is taken for hostile.

mod host;
mod keys;
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
use crate::tenant::quota::{Account, Quota};
use sweep::Met;

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
}

impl Process {
    pub fn new(store: Store) -> Process {
        Process { store }
    }

    /// One tenant's part, under its quotas and the limits of a call.
    pub fn space(&self, account: Arc<Account>, limits: Arc<Limits>) -> Space {
        Space { store: self.store.clone(), tenant: account.tenant().clone(), account, limits }
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

/// When a written value is to expire.
enum Expiry {
    Never,
    At(Millis),
    /// As the value that is replaced.
    Kept,
}

impl Space {
    pub async fn get(&self, key: String) -> Result<Option<String>, Failure> {
        keys::check(&key, &self.limits)?;
        let (tenant, now) = (self.tenant.clone(), self.store.now());
        self.store
            .read(move |connection| Box::pin(async move { Ok(live(connection, &tenant, &key, now).await?) }))
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
        let expiry = expiry(ttl, self.store.now(), Expiry::Never)?;
        let space = self.clone();
        self.store
            .write(&self.tenant, move |connection| {
                Box::pin(async move { space.put(connection, &key, &value, expiry).await })
            })
            .await
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
        let expiry = expiry(ttl, now, Expiry::Kept)?;
        let space = self.clone();
        self.store
            .write(&self.tenant, move |connection| {
                Box::pin(async move {
                    let before = match live(connection, &space.tenant, &key, now).await? {
                        Some(value) => values::number(&value)?,
                        None => 0.0,
                    };
                    let sum = before + by;
                    let text = values::text(sum)?;
                    space.put(connection, &key, &text, expiry).await?;
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
        let expiry = expiry(ttl, now, Expiry::Never)?;
        let space = self.clone();
        self.store
            .write(&self.tenant, move |connection| {
                Box::pin(async move {
                    let stored = live(connection, &space.tenant, &key, now).await?;
                    let same = match (&stored, &expected) {
                        (None, None) => true,
                        (Some(stored), Some(expected)) => values::same(stored, expected)?,
                        _ => false,
                    };
                    if same {
                        space.put(connection, &key, &value, expiry).await?;
                    }
                    Ok(same)
                })
            })
            .await
    }

    /// Writes within a transaction, so long as the tenant stays within its
    /// limits afterwards.
    async fn put(&self, connection: &mut Connection, key: &str, value: &str, expiry: Expiry) -> Result<(), Failure> {
        let now = self.store.now();
        let Met { replaced, expired } = sweep::look(connection, &self.tenant, key, now).await?;
        sweep::remove(connection, &self.tenant, expired).await?;
        let bytes = (key.len() + value.len()) as i64;
        let more = match replaced {
            Some((before, _)) => Usage { items: 0, bytes: bytes - before },
            None => Usage { items: 1, bytes },
        };
        let expires_at = match expiry {
            Expiry::Never => None,
            Expiry::At(at) => Some(at),
            Expiry::Kept => replaced.and_then(|(_, at)| at).filter(|at| *at > now),
        };

        let mut used = usage::add(connection, &self.tenant, Room::Storage, more).await?;
        // The key itself is written below, so sweeping it here would miscount.
        while self.check(more, used).is_err() {
            let freed = sweep::round(connection, &self.tenant, now, Some(key)).await?;
            if freed.items == 0 {
                return self.check(more, used);
            }
            used = usage::of(connection, &self.tenant, Room::Storage).await?;
        }

        sqlx::query(
            "INSERT INTO storage (tenant, key, value, expires_at, bytes) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (tenant, key) DO UPDATE SET
             value = excluded.value, expires_at = excluded.expires_at, bytes = excluded.bytes",
        )
        .bind(&*self.tenant)
        .bind(key)
        .bind(value)
        .bind(expires_at)
        .bind(bytes)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Err where a write that adds `more` leaves the tenant beyond a quota. A
    /// tenant whose quotas were lowered may still write what takes no more room.
    fn check(&self, more: Usage, used: Usage) -> Result<(), Failure> {
        if more.items > 0 {
            self.account.check(Quota::StorageKeys, used.items.max(0) as u64)?;
        }
        if more.bytes > 0 {
            self.account.check(Quota::StorageBytes, used.bytes.max(0) as u64)?;
        }
        Ok(())
    }
}

/// The value, unless it has expired.
async fn live(connection: &mut Connection, tenant: &str, key: &str, now: Millis) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "SELECT value FROM storage WHERE tenant = $1 AND key = $2
         AND (expires_at IS NULL OR expires_at > $3)",
    )
    .bind(tenant)
    .bind(key)
    .bind(now)
    .fetch_optional(connection)
    .await
}

/// A script's time to live as a time. At most ten years: a longer one is a
/// mistake of units.
fn expiry(ttl: Option<f64>, now: Millis, otherwise: Expiry) -> Result<Expiry, Failure> {
    const MOST: f64 = 10.0 * 365.25 * 24.0 * 3600.0;
    match ttl {
        None => Ok(otherwise),
        Some(ttl) if ttl > 0.0 && ttl <= MOST => Ok(Expiry::At(now + (ttl * 1000.0).ceil() as Millis)),
        Some(ttl) => Err(Failure::new(
            "RangeError",
            format!(
                "storage: a time to live is in seconds, more than 0 and at most {MOST} (ten years), not {ttl}; leave it out to keep the value for good"
            ),
        )),
    }
}
