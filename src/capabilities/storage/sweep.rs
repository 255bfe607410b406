//! Giving back the room of values that have expired.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::runtime::failure::Failure;
use crate::store::clock::Millis;
use crate::store::usage::{self, Room, Tenants, Usage};
use crate::store::{Connection, Kind, Statements, Store, statements};

/// Keys that one round removes. A write adds one key at most, so a tenant that
/// writes stays ahead of what expires, and no write pays for much of it.
const ROUND: usize = 32;

/// Of keys that are named one by one. With the query for them inside, PostgreSQL
/// goes through all keys of the tenant, so long as it does not know how many
/// there are: for each write, most of which find nothing to remove.
static DELETES: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|keys, kind| {
        let (tenant, keys) = (kind.place(1), kind.list(2..keys + 2));
        format!("DELETE FROM storage WHERE tenant = {tenant} AND key IN ({keys}) RETURNING bytes")
    })
});

/// Looks each of some keys up, and some others that have expired. PostgreSQL would
/// go through all keys of the tenant for `key IN (…)`, so long as it does not know
/// how many there are.
static LOOKS: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(|keys, kind| {
        let place = |after: usize| kind.place(keys + after);
        // In the order of their places, for those without a number.
        format!(
            "WITH wanted (key) AS (VALUES {})
             SELECT key, (SELECT bytes FROM storage s WHERE s.tenant = {} AND s.key = wanted.key), CAST(0 AS BIGINT)
             FROM wanted
             UNION ALL
             SELECT * FROM (
                 SELECT key, bytes, CAST(1 AS BIGINT) FROM storage WHERE tenant = {} AND expires_at <= {}
                 ORDER BY expires_at LIMIT {}) AS expired",
            kind.rows(1, keys, 1),
            place(1),
            place(2),
            place(3),
            place(4)
        )
    })
});

/// What a write meets.
#[derive(Default)]
pub struct Met {
    /// Bytes of the values that it replaces, by their keys.
    pub replaced: HashMap<String, i64>,
    /// Other keys, which have expired: some for [`remove`].
    pub expired: Vec<String>,
}

/// With as few queries as there can be, for each write asks them.
pub async fn look(connection: &mut Connection, tenant: &str, keys: &[&str], now: Millis) -> sqlx::Result<Met> {
    let mut met = Met::default();
    let mut others = ROUND;
    for some in keys.chunks(statements::MOST) {
        let (sql, size) = LOOKS.for_all(Kind::of(connection), some.len());
        let again = some.last().into_iter().cycle();
        let query =
            some.iter().chain(again).take(size).fold(sqlx::query_as(sql), |query, key| query.bind((*key).to_owned()));
        let query = query.bind(tenant.to_owned()).bind(tenant.to_owned()).bind(now).bind(others as i64);
        let found: Vec<(String, Option<i64>, i64)> = query.fetch_all(&mut *connection).await?;
        // They are the same whatever is looked up.
        others = 0;
        for (key, bytes, has_expired) in found {
            if has_expired == 0 {
                met.replaced.extend(bytes.map(|bytes| (key, bytes)));
            } else if !keys.contains(&key.as_str()) {
                met.expired.push(key);
            }
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
    let (sql, size) = DELETES.for_all(Kind::of(connection), expired.len());
    expired.resize(size, last);
    let delete = sqlx::query_scalar(sql).bind(tenant.to_owned());
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
