//! Deletes events that were kept long enough, that no job needs, and that were
//! sent to whom they go.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::outbox::Inner;
use super::{OUTBOX_BYTES, Outbox};
use crate::store::clock::{Millis, millis};
use crate::store::usage::{self, Room, Tenants, Usage};

/// How often old events are looked for.
const EVERY: Duration = Duration::from_secs(60);
/// Between two looks for which a tenant's outbox was too full.
const PAUSE: Duration = Duration::from_secs(1);
/// Events that one transaction deletes: it holds up others.
const PART: i64 = 500;

/// Whether an outbox has so much in it that it is not left until the next look,
/// and what nobody needs goes before its time.
pub fn is_much(usage: Usage) -> bool {
    usage.bytes > OUTBOX_BYTES / 2
}

/// Until the outbox is gone.
pub async fn keep_house(outbox: Weak<Inner>) {
    loop {
        let over = {
            let Some(inner) = outbox.upgrade() else { return };
            let outbox = Outbox(inner);
            if let Err(reason) = outbox.delete_old().await {
                tracing::error!(%reason, "deleting old events failed; it is tried again");
            }
            outbox.0.over.clone()
        };
        tokio::time::sleep(PAUSE).await;
        // Err where it was time.
        let _ = tokio::time::timeout(EVERY, over.notified()).await;
    }
}

impl Outbox {
    pub(super) async fn delete_old(&self) -> sqlx::Result<()> {
        let mut tenants = Tenants::of(Room::Outbox);
        while let Some(tenant) = tenants.next(&self.0.store).await? {
            while self.delete_some(&tenant).await? {}
        }
        Ok(())
    }

    /// Answers whether there is more to delete.
    async fn delete_some(&self, tenant: &str) -> sqlx::Result<bool> {
        let keep = millis(self.0.settings.keep);
        let before = self.0.store.now().saturating_sub(keep);
        let tenant: Arc<str> = tenant.into();
        self.0
            .store
            .write(&tenant.clone(), move |connection| {
                Box::pin(async move {
                    let used = usage::of(connection, &tenant, Room::Outbox).await?;
                    let before = if is_much(used) { Millis::MAX } else { before };
                    let deleted: Vec<i64> = sqlx::query_scalar(
                        "DELETE FROM outbox WHERE tenant = $1 AND id IN (
                             SELECT id FROM outbox AS event
                             WHERE tenant = $1 AND created_at < $2 AND NOT EXISTS (
                                 SELECT 1 FROM jobs WHERE jobs.tenant = $1 AND jobs.cause = event.id)
                             AND NOT EXISTS (
                                 SELECT 1 FROM outgoing WHERE outgoing.tenant = $1 AND outgoing.event = event.id)
                             ORDER BY created_at, id LIMIT $3)
                         RETURNING bytes",
                    )
                    .bind(&*tenant)
                    .bind(before)
                    .bind(PART)
                    .fetch_all(&mut *connection)
                    .await?;
                    if deleted.is_empty() {
                        return Ok(false);
                    }
                    usage::give_back(connection, &tenant, Room::Outbox, &deleted).await?;
                    Ok::<_, sqlx::Error>(deleted.len() as i64 == PART)
                })
            })
            .await
    }
}
