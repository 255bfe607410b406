//! Writing events, and who is to handle them.

use std::sync::Arc;

use uuid::Uuid;

use super::subscription::Data;
use super::{Event, New, OUTBOX_BYTES, Publisher, Refused, check, rows};
use crate::queue::{self, NewJob, Queue, Trigger};
use crate::runtime::limits::{Limit, Limits};
use crate::scripts::Script;
use crate::scripts::shelf::Places;
use crate::store::usage::{self, Room, Usage};
use crate::store::{Connection, Store};
use crate::tenant::quota::{Account, Quota};

/// What an event takes up beside its texts, or so.
const OVERHEAD: usize = 200;

/// How often a script is tried that does not say.
const ATTEMPTS: u32 = 5;

/// The events of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    store: Store,
    places: Arc<Places>,
    queue: Queue,
}

/// An event that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub id: String,
    /// False where there was one with its name and dedup key.
    pub is_new: bool,
}

/// An event with all that is written for it.
struct Entry {
    event: Event,
    bytes: i64,
    /// One for each script that handles it.
    jobs: Vec<NewJob>,
}

impl Outbox {
    /// With the scripts that handle events.
    pub fn new(store: Store, places: Arc<Places>, queue: Queue) -> Outbox {
        Outbox { store, places, queue }
    }

    /// Publishes an event, and answers once it is durable.
    pub async fn publish(
        &self,
        tenant: &str,
        limits: &Limits,
        account: &Arc<Account>,
        publisher: Publisher,
        new: New,
    ) -> Result<Published, Refused> {
        check(limits, publisher.source, &new)?;
        account.take(Quota::EventsPerMinute, 1)?;
        let depth = u64::try_from(publisher.depth()).unwrap_or_default();
        if depth > limits.event_depth {
            let what = "this event would go on a chain of events, each published by who handled the one before, and \
                        such a chain ends here, for most go round in a circle: ";
            return Err(Refused::limit(Limit::EventDepth, limits.event_depth, depth, what));
        }
        let handlers = self.handlers(tenant, &new);
        let most = limits.event_handlers;
        if handlers.len() as u64 > most {
            let what = format!("{} scripts handle the event `{}`: ", handlers.len(), new.name);
            return Err(Refused::limit(Limit::EventHandlers, most, handlers.len() as u64, &what));
        }
        let entry = self.entry(publisher, new, &handlers);
        let is_handled = !entry.jobs.is_empty();
        let (owner, account) = (tenant.to_owned(), account.clone());
        let written = self.store.write(tenant, move |connection| {
            Box::pin(async move { write(connection, &owner, Some(&account), entry).await })
        });
        let published = written.await?;
        if is_handled && published.is_new {
            self.queue.wake();
        }
        Ok(published)
    }

    /// The scripts that handle an event now, each with what orders it there.
    fn handlers(&self, tenant: &str, new: &New) -> Vec<(Arc<Script>, Option<String>)> {
        let Some(place) = self.places.get(tenant) else { return Vec::new() };
        let (shelf, data) = (place.shelf(), Data::new(&new.data));
        let handlers = shelf.handlers().filter_map(|script| {
            let subscription = script.event.as_ref().filter(|event| event.wants(&new.name, &data))?;
            Some((script.clone(), new.key.clone().or_else(|| subscription.order_key(&data))))
        });
        handlers.collect()
    }

    fn entry(&self, publisher: Publisher, new: New, handlers: &[(Arc<Script>, Option<String>)]) -> Entry {
        let now = self.store.now();
        let depth = publisher.depth();
        let Publisher { source, script, execution, user, cause } = publisher;
        let texts = [&new.name, &new.data, &script, &execution];
        let more = [&user, &new.dedup_key].into_iter().flatten();
        let bytes = OVERHEAD + texts.into_iter().chain(more).map(String::len).sum::<usize>();
        let event = Event {
            id: Uuid::now_v7().to_string(),
            name: new.name,
            data: new.data,
            source: source.name().to_owned(),
            script,
            execution,
            user_id: user,
            cause: cause.map(|cause| cause.event),
            depth,
            dedup_key: new.dedup_key,
            deliver_at: new.delay.filter(|delay| *delay > 0.0).map(|delay| now + (delay * 1e3).round() as i64),
            created_at: now,
        };
        let job = |(script, order_key): &(Arc<Script>, Option<String>)| NewJob {
            input: None,
            cause: Some(event.id.clone()),
            depth: depth + 1,
            priority: new.priority.unwrap_or_default(),
            run_at: event.deliver_at,
            order_key: order_key.clone(),
            attempts: script.event.as_ref().and_then(|event| event.attempts).unwrap_or(ATTEMPTS).into(),
            ..NewJob::new(&script.id, Trigger::Event)
        };
        let jobs = handlers.iter().map(job).collect();
        Entry { event, bytes: bytes as i64, jobs }
    }

    /// A tenant's events of a name, or all, the newest first and older than one.
    pub async fn list(
        &self,
        tenant: &str,
        name: Option<&str>,
        before: Option<&str>,
        limit: i64,
    ) -> sqlx::Result<Vec<Event>> {
        let tenant = tenant.to_owned();
        let (name, before) = (name.map(str::to_owned), before.map(str::to_owned));
        self.store
            .read(move |connection| {
                Box::pin(
                    async move { rows::list(connection, &tenant, name.as_deref(), before.as_deref(), limit).await },
                )
            })
            .await
    }

    pub async fn get(&self, tenant: &str, id: &str) -> sqlx::Result<Option<Event>> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.store.read(move |connection| Box::pin(async move { rows::get(connection, &tenant, &id).await })).await
    }
}

/// Writes an event in its tenant's turn. Without an account, quotas do not count.
async fn write(
    connection: &mut Connection,
    tenant: &str,
    account: Option<&Account>,
    entry: Entry,
) -> Result<Published, Refused> {
    let Entry { event, bytes, jobs } = entry;
    if let Some(key) = &event.dedup_key
        && let Some(id) = rows::known(connection, tenant, &event.name, key).await?
    {
        return Ok(Published { id, is_new: false });
    }
    let used = usage::add(connection, tenant, Room::Outbox, Usage { items: 1, bytes }).await?;
    if used.bytes > OUTBOX_BYTES {
        return Err(Refused::Full { events: used.items - 1 });
    }
    rows::insert(connection, tenant, &event, bytes).await?;
    if !jobs.is_empty() {
        let inserted = queue::insert(connection, tenant, event.created_at, &jobs).await?;
        if let Some(account) = account {
            account.check(Quota::Jobs, inserted.used.items.max(0) as u64)?;
            account.check(Quota::JobBytes, inserted.used.bytes.max(0) as u64)?;
        }
    }
    Ok(Published { id: event.id, is_new: true })
}
