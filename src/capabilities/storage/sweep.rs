//! Giving back the room of values that have expired.

use crate::runtime::failure::Failure;
use crate::store::clock::Millis;
use crate::store::usage::{self, Room, Tenants, Usage};
use crate::store::{Connection, Store};

/// Keys that one round removes. A write adds one key at most, so a tenant that
/// writes stays ahead of what expires, and no write pays for much of it.
const ROUND: i64 = 32;

/// One round for a tenant, before a write.
pub async fn tenant(connection: &mut Connection, tenant: &str, now: Millis) -> sqlx::Result<()> {
    round(connection, tenant, now, None).await.map(|_| ())
}

/// Removes up to [`ROUND`] expired keys, those that expired first, but not
/// `except`. Answers what that freed.
pub async fn round(
    connection: &mut Connection,
    tenant: &str,
    now: Millis,
    except: Option<&str>,
) -> sqlx::Result<Usage> {
    let gone: Vec<i64> = sqlx::query_scalar(
        "DELETE FROM storage WHERE tenant = $1 AND key IN (
             SELECT key FROM storage
             WHERE tenant = $1 AND expires_at <= $2 AND ($3 IS NULL OR key <> $3)
             ORDER BY expires_at LIMIT $4)
         RETURNING bytes",
    )
    .bind(tenant)
    .bind(now)
    .bind(except)
    .bind(ROUND)
    .fetch_all(&mut *connection)
    .await?;
    let freed = Usage { items: gone.len() as i64, bytes: gone.iter().sum() };
    if freed.items > 0 {
        let less = Usage { items: -freed.items, bytes: -freed.bytes };
        usage::add(connection, tenant, Room::Storage, less).await?;
    }
    Ok(freed)
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
