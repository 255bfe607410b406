//! Giving back the room of values that have expired.

use std::sync::LazyLock;

use crate::runtime::failure::Failure;
use crate::store::clock::Millis;
use crate::store::usage::{self, Room, Tenants, Usage};
use crate::store::{Connection, Store, numbered};

/// Keys that one round removes. A write adds one key at most, so a tenant that
/// writes stays ahead of what expires, and no write pays for much of it.
const ROUND: usize = 32;

/// Of keys that are named one by one. With the query for them inside, PostgreSQL
/// goes through all keys of the tenant, so long as it does not know how many
/// there are: for each write, most of which find nothing to remove.
static DELETE: LazyLock<String> = LazyLock::new(|| {
    format!("DELETE FROM storage WHERE tenant = $1 AND key IN ({}) RETURNING bytes", numbered(2..ROUND + 2))
});

/// What a write meets.
pub struct Met {
    /// The value that it replaces, with its bytes and when it expires or did.
    pub replaced: Option<(i64, Option<Millis>)>,
    /// Other keys, which have expired: some for [`remove`].
    pub expired: Vec<String>,
}

/// With one query, for each write asks it.
pub async fn look(connection: &mut Connection, tenant: &str, key: &str, now: Millis) -> sqlx::Result<Met> {
    let found: Vec<(String, i64, Option<Millis>)> = sqlx::query_as(
        "SELECT key, bytes, expires_at FROM storage WHERE tenant = $1 AND key = $2
         UNION ALL
         SELECT * FROM (
             SELECT key, bytes, expires_at FROM storage
             WHERE tenant = $1 AND expires_at <= $3 AND key <> $2
             ORDER BY expires_at LIMIT $4) AS expired",
    )
    .bind(tenant)
    .bind(key)
    .bind(now)
    .bind(ROUND as i64)
    .fetch_all(connection)
    .await?;
    let mut met = Met { replaced: None, expired: Vec::new() };
    for (found, bytes, expires_at) in found {
        if found == key {
            met.replaced = Some((bytes, expires_at));
        } else {
            met.expired.push(found);
        }
    }
    Ok(met)
}

/// Removes up to [`ROUND`] expired keys, those that expired first, but not
/// `except`. Answers what that freed.
pub async fn round(
    connection: &mut Connection,
    tenant: &str,
    now: Millis,
    except: Option<&str>,
) -> sqlx::Result<Usage> {
    let expired = sqlx::query_scalar(
        "SELECT key FROM storage
         WHERE tenant = $1 AND expires_at <= $2 AND ($3 IS NULL OR key <> $3)
         ORDER BY expires_at LIMIT $4",
    )
    .bind(tenant)
    .bind(now)
    .bind(except)
    .bind(ROUND as i64)
    .fetch_all(&mut *connection)
    .await?;
    remove(connection, tenant, expired).await
}

/// Removes keys, [`ROUND`] at most. Answers what that freed.
pub async fn remove(connection: &mut Connection, tenant: &str, mut expired: Vec<String>) -> sqlx::Result<Usage> {
    let Some(last) = expired.last().cloned() else { return Ok(Usage::default()) };
    expired.resize(ROUND, last);
    let delete = sqlx::query_scalar(DELETE.as_str()).bind(tenant.to_owned());
    let gone: Vec<i64> =
        expired.into_iter().fold(delete, |delete, key| delete.bind(key)).fetch_all(&mut *connection).await?;
    usage::give_back(connection, tenant, Room::Storage, &gone).await?;
    Ok(Usage { items: gone.len() as i64, bytes: gone.iter().sum() })
}

/// Removes all that has expired.
pub async fn all(store: &Store) -> Result<u64, Failure> {
    let mut swept = 0;
    let mut tenants = Tenants::of(Room::Storage);
    while let Some(tenant) = tenants.next(store).await? {
        swept += every_round(store, &tenant).await?;
    }
    Ok(swept)
}

async fn every_round(store: &Store, tenant: &str) -> Result<u64, Failure> {
    let now = store.now();
    let mut swept = 0;
    loop {
        let owned = tenant.to_owned();
        let freed: Usage = store
            .write(tenant, move |connection| Box::pin(async move { round(connection, &owned, now, None).await }))
            .await?;
        if freed.items == 0 {
            return Ok(swept);
        }
        swept += freed.items as u64;
    }
}
