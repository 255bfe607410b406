//! Writing events, and who is to handle them.

use std::sync::Arc;

use tokio::sync::Notify;
use uuid::Uuid;

use super::subscription::Data;
use super::together::Together;
use super::{Event, New, Publisher, Refused, Source, check, retention, rows};
use crate::metrics::Metrics;
use crate::queue::{self, NewJob, Queue, Trigger};
use crate::runtime::limits::{Limit, Limits};
use crate::scripts::Script;
use crate::scripts::shelf::Places;
use crate::settings::{EventSettings, Settings};
use crate::store::usage::{self, Room, Usage};
use crate::store::{Connection, Store};
use crate::tenant::quota::{Account, Quota};

/// What an event takes up beside its texts, or so.
const OVERHEAD: usize = 200;
/// The events of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Outbox(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub store: Store,
    pub settings: EventSettings,
    /// How often a script is tried that does not say.
    attempts: u32,
    places: Arc<Places>,
    queue: Queue,
    pub metrics: Arc<Metrics>,
    /// Told when there is more to send to others.
    pub sending: Notify,
    /// Told when a tenant has more in the outbox than is good.
    pub over: Arc<Notify>,
    pub together: Together,
}

/// An event that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub id: String,
    /// False where there was one with its name and dedup key.
    pub is_new: bool,
}

/// A script that handles an event, and what orders the event there.
pub(super) type Handler = (Arc<Script>, Option<String>);

/// An event with all that is written for it.
pub(super) struct Entry {
    pub event: Event,
    /// Whether it may be there already.
    pub is_repeatable: bool,
    pub bytes: i64,
    /// One for each script that handles it.
    pub jobs: Vec<NewJob>,
    /// Whether it is sent to others as well.
    pub goes_out: bool,
}

impl Entry {
    /// Whether there is nothing to look up for it, and nothing but its row and its
    /// jobs to write.
    pub fn is_plain(&self) -> bool {
        let Event { cause, dedup_key, .. } = &self.event;
        cause.is_none() && dedup_key.is_none() && !self.is_repeatable && !self.goes_out
    }
}

impl Outbox {
    /// With the scripts that handle events. Deletes those that were kept long
    /// enough from now on.
    pub fn new(store: Store, settings: &Settings, places: Arc<Places>, queue: Queue, metrics: Arc<Metrics>) -> Outbox {
        let (attempts, settings) = (settings.queue.attempts, settings.events.clone());
        let outbox = Outbox(Arc::new(Inner {
            store,
            settings,
            attempts,
            places,
            queue,
            metrics,
            sending: Notify::new(),
            over: Arc::default(),
            together: Together::default(),
        }));
        tokio::spawn(retention::keep_house(Arc::downgrade(&outbox.0)));
        outbox
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
        let source = publisher.source.name();
        let entry = self.entry(publisher, new, &handlers);
        let goes_out = entry.goes_out;
        let is_handled = !entry.jobs.is_empty();
        let (published, outbox) = self.write(account, entry).await?;
        if retention::is_much(outbox) {
            self.0.over.notify_one();
        }
        if published.is_new {
            self.0.metrics.event(tenant, source);
            if goes_out {
                self.0.sending.notify_one();
            }
        }
        if is_handled && published.is_new {
            self.wake();
        }
        Ok(published)
    }

    /// Has hosts look for jobs at once.
    pub fn wake(&self) {
        self.0.queue.wake();
    }

    /// The scripts that handle an event now.
    pub(super) fn handlers(&self, tenant: &str, new: &New) -> Vec<Handler> {
        let Some(place) = self.0.places.get(tenant) else { return Vec::new() };
        let (shelf, data) = (place.shelf(), Data::new(&new.data));
        let handlers = shelf.handlers().filter_map(|script| {
            let subscription = script.event.as_ref().filter(|event| event.wants(&new.name, &data))?;
            Some((script.clone(), new.key.clone().or_else(|| subscription.order_key(&data))))
        });
        handlers.collect()
    }

    pub(super) fn entry(&self, publisher: Publisher, new: New, handlers: &[Handler]) -> Entry {
        let now = self.0.store.now();
        let depth = publisher.depth();
        let Publisher { source, script, execution, user, cause } = publisher;
        let texts = [&new.name, &new.data, &script, &execution];
        let more = [&user, &new.dedup_key].into_iter().flatten();
        let bytes = OVERHEAD + texts.into_iter().chain(more).map(String::len).sum::<usize>();
        let event = Event {
            id: new.id.unwrap_or_else(Uuid::now_v7).to_string(),
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
        let job = |(script, order_key): &Handler| NewJob {
            input: None,
            cause: Some(event.id.clone()),
            depth: depth + 1,
            priority: new.priority.unwrap_or_default(),
            run_at: event.deliver_at,
            order_key: order_key.clone(),
            attempts: script.event.as_ref().and_then(|event| event.attempts).unwrap_or(self.0.attempts).into(),
            ..NewJob::new(&script.id, Trigger::Event)
        };
        let jobs = handlers.iter().map(job).collect();
        // What others sent does not go back to them.
        let goes_out =
            source != Source::Nats && self.0.settings.nats.as_ref().is_some_and(|nats| nats.publish.is_some());
        Entry { event, is_repeatable: new.id.is_some(), bytes: bytes as i64, jobs, goes_out }
    }

    /// A tenant's events of a name, or all, the newest first and older than one.
    /// Their data is left out.
    pub async fn list(
        &self,
        tenant: &str,
        name: Option<&str>,
        before: Option<&str>,
        limit: i64,
    ) -> sqlx::Result<Vec<Event>> {
        let tenant = tenant.to_owned();
        let (name, before) = (name.map(str::to_owned), before.map(str::to_owned));
        self.0
            .store
            .read(move |connection| {
                Box::pin(
                    async move { rows::list(connection, &tenant, name.as_deref(), before.as_deref(), limit).await },
                )
            })
            .await
    }

    pub async fn get(&self, tenant: &str, id: &str) -> sqlx::Result<Option<Event>> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.0.store.read(move |connection| Box::pin(async move { rows::get(connection, &tenant, &id).await })).await
    }

    /// The jobs of an event that are not done, and the attempts that there were.
    pub async fn handling(&self, tenant: &str, id: &str) -> sqlx::Result<(Vec<rows::Job>, Vec<rows::Attempt>)> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.0
            .store
            .read(move |connection| {
                Box::pin(async move {
                    let jobs = rows::jobs(connection, &tenant, &id).await?;
                    Ok((jobs, rows::attempts(connection, &tenant, &id).await?))
                })
            })
            .await
    }
}

/// Writes an event in its tenant's turn. Answers what the outbox takes up then,
/// and the jobs where there are any of it.
pub(super) async fn write(
    connection: &mut Connection,
    tenant: &str,
    entry: &Entry,
) -> sqlx::Result<(Published, Usage, Usage)> {
    let Entry { event, jobs, .. } = entry;
    let published = Published { id: event.id.clone(), is_new: true };
    if entry.is_repeatable && rows::get(connection, tenant, &event.id).await?.is_some() {
        return Ok((published, Usage::default(), Usage::default()));
    }
    if let Some(key) = &event.dedup_key
        && let Some(id) = rows::known(connection, tenant, &event.name, key).await?
    {
        return Ok((Published { id, is_new: false }, Usage::default(), Usage::default()));
    }
    rows::insert(connection, tenant, event, entry.bytes).await?;
    if entry.goes_out {
        rows::send(connection, tenant, event).await?;
    }
    let more = Usage { items: 1, bytes: entry.bytes };
    let (outbox, used) = if jobs.is_empty() {
        (usage::add(connection, tenant, Room::Outbox, more).await?, Usage::default())
    } else {
        let beside = (Room::Outbox, more);
        let (inserted, outbox) = queue::insert_beside(connection, tenant, event.created_at, jobs, beside).await?;
        (outbox, inserted.used)
    };
    Ok((published, outbox, used))
}
