//! Rows that end by themselves: what is remembered for a while and then no more.

use std::sync::Weak;
use std::time::Duration;

use super::clock::Millis;
use super::usage::{self, Room, Tenants};
use super::{Connection, Store};

/// Rows that one write removes at most: more than it adds, and no more than it
/// should pay for.
const ROUND: i64 = 32;
/// How often what idle tenants have left is looked for.
const EVERY: Duration = Duration::from_secs(10 * 60);

/// A table of such rows, each a tenant's with an id, its bytes and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    Webhooks,
    Requests,
}

impl Passing {
    pub fn room(self) -> Room {
        match self {
            Passing::Webhooks => Room::Webhooks,
            Passing::Requests => Room::Requests,
        }
    }

    fn table(self) -> &'static str {
        match self {
            Passing::Webhooks => "webhook_deliveries",
            Passing::Requests => "idempotent_requests",
        }
    }

    /// Removes some of a tenant's that have ended. Answers how many.
    pub async fn sweep(self, connection: &mut Connection, tenant: &str, now: Millis) -> sqlx::Result<i64> {
        // One by one: with the query for them inside, PostgreSQL goes through all
        // of the tenant's, so long as it does not know how many there are.
        let query = format!(
            "SELECT id FROM {} WHERE tenant = $1 AND expires_at <= $2 ORDER BY expires_at LIMIT $3",
            self.table()
        );
        let ended: Vec<Vec<u8>> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .bind(tenant)
            .bind(now)
            .bind(ROUND)
            .fetch_all(&mut *connection)
            .await?;
        let count = ended.len() as i64;
        self.delete_all(connection, tenant, ended).await?;
        Ok(count)
    }

    /// Removes one.
    pub async fn delete(self, connection: &mut Connection, tenant: &str, id: Vec<u8>) -> sqlx::Result<()> {
        self.delete_all(connection, tenant, vec![id]).await
    }

    async fn delete_all(self, connection: &mut Connection, tenant: &str, ids: Vec<Vec<u8>>) -> sqlx::Result<()> {
        let query = format!("DELETE FROM {} WHERE tenant = $1 AND id = $2 RETURNING bytes", self.table());
        let mut gone: Vec<i64> = Vec::new();
        for id in ids {
            let query = sqlx::query_scalar(sqlx::AssertSqlSafe(query.clone()));
            let bytes: Option<i64> = query.bind(tenant).bind(id).fetch_optional(&mut *connection).await?;
            gone.extend(bytes);
        }
        if !gone.is_empty() {
            usage::give_back(connection, tenant, self.room(), &gone).await?;
        }
        Ok(())
    }

    /// Removes all that has ended.
    async fn sweep_all(self, store: &Store) -> sqlx::Result<()> {
        let mut tenants = Tenants::of(self.room());
        while let Some(tenant) = tenants.next(store).await? {
            loop {
                let (owner, now) = (tenant.clone(), store.now());
                let gone: sqlx::Result<i64> = store
                    .write(&tenant, move |connection| {
                        Box::pin(async move { self.sweep(connection, &owner, now).await })
                    })
                    .await;
                if gone? < ROUND {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Sweeps until `host` is gone.
pub async fn keep_house<T>(host: Weak<T>, store: Store) {
    while host.strong_count() > 0 {
        for table in [Passing::Webhooks, Passing::Requests] {
            if let Err(reason) = table.sweep_all(&store).await {
                tracing::error!(%reason, "deleting what has expired failed");
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Kind;
    use crate::store::clock::Clock;
    use crate::store::fixture::on_both_databases;
    use crate::store::usage::Usage;

    on_both_databases!(what_has_ended_goes_and_gives_back_its_room);

    async fn add(store: &Store, tenant: &'static str, id: u8, expires_at: Millis) {
        let added: sqlx::Result<()> = store
            .write(tenant, move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO webhook_deliveries (tenant, id, bytes, expires_at) VALUES ($1, $2, 5, $3)",
                    )
                    .bind(tenant)
                    .bind(vec![id])
                    .bind(expires_at)
                    .execute(&mut *connection)
                    .await?;
                    usage::add(connection, tenant, Room::Webhooks, Usage { items: 1, bytes: 5 }).await.map(drop)
                })
            })
            .await;
        added.unwrap();
    }

    async fn what_has_ended_goes_and_gives_back_its_room(kind: Kind) {
        let store = Store::fresh(kind).await.with_clock(Clock::manual(1000));
        for id in 0..100 {
            add(&store, "acme", id, if id < 70 { 1000 } else { 1001 }).await;
        }
        add(&store, "globex", 0, 999).await;
        Passing::Webhooks.sweep_all(&store).await.unwrap();
        let left: sqlx::Result<(Usage, Usage)> = store
            .read(|connection| {
                Box::pin(async move {
                    let acme = usage::of(&mut *connection, "acme", Room::Webhooks).await?;
                    Ok((acme, usage::of(connection, "globex", Room::Webhooks).await?))
                })
            })
            .await;
        assert_eq!(left.unwrap(), (Usage { items: 30, bytes: 150 }, Usage::default()));
    }
}
