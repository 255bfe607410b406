//! Writing the events that a tenant publishes at the same time.

use std::sync::Arc;

use futures_util::future::join_all;

use super::outbox::{Entry, Published};
use super::{OUTBOX_BYTES, Outbox, Refused, outbox, rows};
use crate::queue::{self, NewJob};
use crate::store::together;
use crate::store::usage::{Room, Usage};
use crate::tenant::quota::Account;

/// An event that is durable, and what its tenant's outbox takes up.
pub type Written = (Published, Usage);

/// Events that wait for others.
pub type Together = together::Together<Arc<Entry>, Result<Written, Refused>>;

impl Outbox {
    /// Writes an event, and answers once it is durable.
    pub(super) async fn write(&self, account: &Arc<Account>, entry: Entry) -> Result<Written, Refused> {
        let entry = Arc::new(entry);
        if !entry.is_plain() {
            return self.write_one(account, entry).await;
        }
        let (outbox, of) = (self.clone(), account.clone());
        let write = move |entries| {
            let (outbox, account) = (outbox.clone(), of.clone());
            async move { outbox.write_all(&account, entries).await }
        };
        self.0.together.write(account.tenant(), entry, write).await?
    }

    async fn write_all(&self, account: &Arc<Account>, entries: Vec<Arc<Entry>>) -> Vec<Result<Written, Refused>> {
        if entries.len() > 1
            && let Ok(outbox) = self.write_many(account, entries.clone()).await
        {
            let written = |entry: &Arc<Entry>| Ok((Published { id: entry.event.id.clone(), is_new: true }, outbox));
            return entries.iter().map(written).collect();
        }
        // Each by itself: who is refused is told why, and the others are not.
        join_all(entries.into_iter().map(|entry| self.write_one(account, entry))).await
    }

    async fn write_one(&self, account: &Arc<Account>, entry: Arc<Entry>) -> Result<Written, Refused> {
        let (account, tenant, of) = (account.clone(), account.tenant(), account.tenant().clone());
        let written = self.0.store.write(tenant, move |connection| {
            Box::pin(async move {
                let (published, outbox, jobs) = outbox::write(connection, &of, &entry).await?;
                check(&account, outbox, 1, jobs)?;
                Ok((published, outbox))
            })
        });
        written.await
    }

    /// Writes all of them, or fails where one is refused.
    async fn write_many(&self, account: &Arc<Account>, entries: Vec<Arc<Entry>>) -> Result<Usage, Refused> {
        let (account, tenant, of) = (account.clone(), account.tenant(), account.tenant().clone());
        let written = self.0.store.write(tenant, move |connection| {
            Box::pin(async move {
                rows::insert_plain(connection, &of, &entries).await?;
                let jobs: Vec<NewJob> = entries.iter().flat_map(|entry| entry.jobs.iter().cloned()).collect();
                let now = entries.iter().map(|entry| entry.event.created_at).max().unwrap_or_default();
                let count = entries.len() as i64;
                let more = Usage { items: count, bytes: entries.iter().map(|entry| entry.bytes).sum() };
                let beside = (Room::Outbox, more);
                let (inserted, outbox) = queue::insert_beside(connection, &of, now, &jobs, beside).await?;
                check(&account, outbox, count, inserted.used)?;
                Ok(outbox)
            })
        });
        written.await
    }
}

/// After so many events: whether the tenant may have what it has now.
fn check(account: &Account, outbox: Usage, events: i64, jobs: Usage) -> Result<(), Refused> {
    if outbox.bytes > OUTBOX_BYTES {
        return Err(Refused::Full { events: outbox.items - events });
    }
    Ok(queue::check(account, jobs)?)
}
