//! Deletes dead letters that were kept long enough.

use crate::settings::QueueSettings;
use crate::store::Store;
use crate::store::clock::millis;
use crate::store::usage::{self, Room, Tenants};

/// Dead letters that one transaction deletes: it holds up others.
const PART: i64 = 500;

/// Deletes what is older than the settings say, and the oldest of what is too much.
pub async fn delete_dead(store: &Store, settings: &QueueSettings) -> sqlx::Result<()> {
    let mut tenants = Tenants::of(Room::Jobs);
    while let Some(tenant) = tenants.next(store).await? {
        while delete_some(store, settings, &tenant).await? {}
    }
    Ok(())
}

/// Answers whether there is more to delete.
async fn delete_some(store: &Store, settings: &QueueSettings, tenant: &str) -> sqlx::Result<bool> {
    let most = i64::try_from(settings.max_dead_per_tenant).unwrap_or(i64::MAX);
    let keep = millis(settings.keep_dead);
    let (owner, before) = (tenant.to_owned(), store.now().saturating_sub(keep));
    // Most tenants have none, and need no turn.
    let (of, cut) = (owner.clone(), before);
    let (all, old): (i64, i64) = store
        .read(move |connection| {
            Box::pin(async move {
                sqlx::query_as(
                    "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN changed_at < $2 THEN 1 ELSE 0 END), 0) AS BIGINT)
                     FROM jobs WHERE tenant = $1 AND state = 'dead'",
                )
                .bind(of)
                .bind(cut)
                .fetch_one(connection)
                .await
            })
        })
        .await?;
    let too_many = old.max(all - most).clamp(0, PART);
    if too_many == 0 {
        return Ok(false);
    }
    store
        .write(tenant, move |connection| {
            Box::pin(async move {
                let deleted: Vec<i64> = sqlx::query_scalar(
                    "DELETE FROM jobs WHERE tenant = $1 AND state = 'dead' AND number IN (
                         SELECT number FROM jobs WHERE tenant = $1 AND state = 'dead' ORDER BY changed_at LIMIT $2)
                     RETURNING bytes",
                )
                .bind(&owner)
                .bind(too_many)
                .fetch_all(&mut *connection)
                .await?;
                usage::give_back(connection, &owner, Room::Jobs, &deleted).await?;
                Ok::<_, sqlx::Error>(deleted.len() as i64 == PART)
            })
        })
        .await
}
