//! Writing the events that a tenant publishes at the same time.

use std::sync::Arc;

use super::outbox::{Entry, Published};
use super::{OUTBOX_BYTES, Outbox, Refused, outbox, rows};
use crate::queue::{self, NewJob};
use crate::store::usage::{Room, Usage};
use crate::store::{Connection, together};
use crate::tenant::quota::Account;

/// An event that is durable, and what its tenant's outbox takes up.
pub type Written = (Published, Usage);

/// Events that wait for others.
pub type Together = together::Together<Arc<Entry>, Written, Refused>;

impl Outbox {
    /// Writes an event, and answers once it is durable.
    pub(super) async fn write(&self, account: &Arc<Account>, entry: Entry) -> Result<Written, Refused> {
        let (entry, of, account) = (Arc::new(entry), account.tenant().clone(), account.clone());
        let (store, tenant) = (&self.0.store, of.clone());
        if !entry.is_plain() {
            let written = store.write(&tenant, move |connection| {
                Box::pin(async move {
                    let (published, outbox, jobs) = outbox::write(connection, &of, &entry).await?;
                    check(&account, outbox, 1, jobs)?;
                    Ok((published, outbox))
                })
            });
            return written.await;
        }
        let written = self.0.together.write(store, &tenant, entry, move |connection, entries| {
            let (of, account) = (of.clone(), account.clone());
            Box::pin(async move { insert_plain(connection, &of, &account, entries).await })
        });
        written.await
    }
}

/// Writes plain events, all of which there must be room for.
async fn insert_plain(
    connection: &mut Connection,
    tenant: &str,
    account: &Account,
    entries: Vec<Arc<Entry>>,
) -> Result<Vec<Written>, Refused> {
    rows::insert_plain(connection, tenant, &entries).await?;
    let jobs: Vec<NewJob> = entries.iter().flat_map(|entry| entry.jobs.iter().cloned()).collect();
    let now = entries.iter().map(|entry| entry.event.created_at).max().unwrap_or_default();
    let count = entries.len() as i64;
    let more = Usage { items: count, bytes: entries.iter().map(|entry| entry.bytes).sum() };
    let (inserted, outbox) = queue::insert_beside(connection, tenant, now, &jobs, (Room::Outbox, more)).await?;
    check(account, outbox, count, inserted.used)?;
    let written = |entry: &Arc<Entry>| (Published { id: entry.event.id.clone(), is_new: true }, outbox);
    Ok(entries.iter().map(written).collect())
}

/// After so many events: whether the tenant may have what it has now.
fn check(account: &Account, outbox: Usage, events: i64, jobs: Usage) -> Result<(), Refused> {
    if outbox.bytes > OUTBOX_BYTES {
        return Err(Refused::Full { events: outbox.items - events });
    }
    Ok(queue::check(account, jobs)?)
}
