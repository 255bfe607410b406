//! Writing events that are published at the same time with few statements.
//!
//! The first is written at once. What a tenant publishes meanwhile is written
//! together after it, and so on: alone, an event waits for nothing, and many cost
//! little more than a few.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::outbox::{Entry, Published};
use super::{OUTBOX_BYTES, Outbox, Refused, outbox, rows};
use crate::queue::{self, NewJob};
use crate::store::usage::{Room, Usage};
use crate::tenant::quota::Account;

/// Events of one transaction: it holds up others.
const MOST: usize = 64;

/// An event that is durable, and what its tenant's outbox takes up.
pub type Written = (Published, Usage);

struct Waiting {
    entry: Arc<Entry>,
    tell: oneshot::Sender<Result<Written, Refused>>,
}

/// By tenant, the events that wait for a write that is under way.
#[derive(Default)]
pub struct Together(Mutex<HashMap<Arc<str>, Vec<Waiting>>>);

/// Writes a tenant's events, as long as there are any.
struct Writer {
    outbox: Outbox,
    account: Arc<Account>,
}

impl Outbox {
    /// Writes an event, and answers once it is durable.
    pub(super) async fn write(&self, account: &Arc<Account>, entry: Entry) -> Result<Written, Refused> {
        let entry = Arc::new(entry);
        if !entry.is_plain() {
            return self.write_one(account, entry).await;
        }
        let (tell, told) = oneshot::channel();
        let waiting = Waiting { entry, tell };
        let is_first = {
            let mut tenants = self.0.together.lock();
            match tenants.get_mut(account.tenant()) {
                Some(others) => {
                    others.push(waiting);
                    false
                }
                None => {
                    tenants.insert(account.tenant().clone(), vec![waiting]);
                    true
                }
            }
        };
        if is_first {
            // Of its own: whoever publishes may leave, and others wait for this.
            let writer = Writer { outbox: self.clone(), account: account.clone() };
            tokio::spawn(async move { writer.run().await });
        }
        told.await.map_err(|_| sqlx::Error::WorkerCrashed)?
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

impl Together {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Vec<Waiting>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next that wait. None, and nobody writes any more, where there are none.
    fn take(&self, tenant: &Arc<str>) -> Option<Vec<Waiting>> {
        let mut tenants = self.lock();
        let waiting = tenants.get_mut(tenant)?;
        if waiting.is_empty() {
            tenants.remove(tenant);
            return None;
        }
        let some = waiting.drain(..waiting.len().min(MOST));
        // Whoever has left publishes nothing.
        Some(some.filter(|one| !one.tell.is_closed()).collect())
    }
}

impl Writer {
    async fn run(&self) {
        while let Some(some) = self.outbox.0.together.take(self.account.tenant()) {
            let (entries, tell): (Vec<_>, Vec<_>) = some.into_iter().map(|one| (one.entry, one.tell)).unzip();
            for (tell, written) in tell.into_iter().zip(self.write(entries).await) {
                // Err where nobody waits any more.
                let _ = tell.send(written);
            }
        }
    }

    async fn write(&self, entries: Vec<Arc<Entry>>) -> Vec<Result<Written, Refused>> {
        if entries.len() > 1
            && let Ok(outbox) = self.outbox.write_many(&self.account, entries.clone()).await
        {
            let written = |entry: &Arc<Entry>| Ok((Published { id: entry.event.id.clone(), is_new: true }, outbox));
            return entries.iter().map(written).collect();
        }
        // Each by itself: who is refused is told why, and the others are not.
        join_all(entries.into_iter().map(|entry| self.outbox.write_one(&self.account, entry))).await
    }
}

/// Whoever comes after a writer that has panicked begins another.
impl Drop for Writer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.outbox.0.together.lock().remove(self.account.tenant());
        }
    }
}
