//! What scripts tell the application and each other.
//!
//! A published event is a row of the outbox, written before the script learns
//! the event's id. Delivering is for the component that reads the outbox.

mod host;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::IgnoredAny;
use uuid::Uuid;

use crate::capabilities::grant::{Allowed, Entry};
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};
use crate::store::Store;
use crate::store::clock::Millis;
use crate::store::usage::{self, Room, Usage};
use crate::tenant::{Identity, permission};

const NAME_CHARACTERS: usize = 200;

/// The events that a script may publish.
pub type Grant = Allowed<Pattern>;

/// Events by name, with `*` for a segment, as in `order.*`, or for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    pub fn allows(&self, name: &str) -> bool {
        permission::covers(&self.0, name)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        let sound = |segment: &str| segment == "*" || is_plain(segment);
        if text.len() <= NAME_CHARACTERS && !text.is_empty() && text.split('.').all(sound) {
            Ok(Pattern(text.to_owned()))
        } else {
            Err(format!("`{text}` names no events; write `order.created`, `order.*` or `*`"))
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Entry for Pattern {
    const LIST: &'static str = "events";

    fn covers(&self, other: &Pattern) -> bool {
        self.allows(&other.0)
    }

    fn meet(&self, other: &Pattern) -> Option<Pattern> {
        permission::meet(&self.0, &other.0).map(Pattern)
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte))
}

/// What one tenant's events in the outbox may take up. A tenant whose events
/// nobody fetches must not fill the disk that all share.
const OUTBOX_BYTES: i64 = 256 << 20;

/// What the process owns. Cheap to clone.
#[derive(Clone)]
pub struct Process {
    store: Store,
}

/// An event in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Event {
    /// A UUID.
    pub id: String,
    pub name: String,
    /// JSON text.
    pub data: String,
    /// The id of the script that published it.
    pub script: String,
    /// The id of the execution that published it.
    pub execution: String,
    /// The id of the event whose handler published this one.
    pub cause: Option<String>,
    /// How many events led to this one.
    pub depth: i64,
    /// Milliseconds since the Unix epoch.
    pub created_at: Millis,
}

impl Process {
    pub fn new(store: Store) -> Process {
        Process { store }
    }

    /// Publishes an event and answers its id once it is durable. `data` is JSON
    /// text. Fails with a `TypeError` where the name or the data is not what
    /// the function takes, and with a `LimitError` where it is too much.
    pub async fn publish(
        &self,
        identity: Arc<Identity>,
        limits: &Limits,
        name: String,
        data: String,
    ) -> Result<String, Failure> {
        check(limits, &name, &data)?;
        let id = Uuid::now_v7().to_string();
        let created_at = self.store.now();
        let writer = identity.clone();
        self.store
            .write(&writer.tenant.id, move |connection| {
                Box::pin(async move {
                    let tenant = &identity.tenant.id;
                    let more = Usage { items: 1, bytes: (name.len() + data.len()) as i64 };
                    let used = usage::add(connection, tenant, Room::Outbox, more).await?;
                    if used.bytes > OUTBOX_BYTES {
                        return Err(Failure::new(
                            "LimitError",
                            format!(
                                "events.publish: {} events of this tenant wait to be delivered, and their {} MiB is all that may wait; deliver or delete some",
                                used.items - 1,
                                OUTBOX_BYTES >> 20,
                            ),
                        ));
                    }
                    sqlx::query(
                        "INSERT INTO outbox (tenant, id, name, data, script, execution, cause, depth, created_at)
                         VALUES ($1, $2, $3, $4, $5, $6, NULL, 0, $7)",
                    )
                    .bind(tenant)
                    .bind(&id)
                    .bind(name)
                    .bind(data)
                    .bind(&identity.script.id)
                    .bind(&identity.execution.id)
                    .bind(created_at)
                    .execute(connection)
                    .await?;
                    Ok(id)
                })
            })
            .await
    }

    /// A tenant's latest events, the newest first.
    pub async fn recent(&self, tenant: &str, limit: u32) -> Result<Vec<Event>, Failure> {
        let tenant = tenant.to_owned();
        self.store
            .read(move |connection| {
                Box::pin(async move {
                    let events = sqlx::query_as(
                        "SELECT id, name, data, script, execution, cause, depth, created_at
                         FROM outbox WHERE tenant = $1 ORDER BY id DESC LIMIT $2",
                    )
                    .bind(tenant)
                    .bind(i64::from(limit))
                    .fetch_all(connection)
                    .await?;
                    Ok(events)
                })
            })
            .await
    }
}

fn check(limits: &Limits, name: &str, data: &str) -> Result<(), Failure> {
    if name.is_empty() || name.len() > NAME_CHARACTERS || !is_plain(name) {
        let start: String = name.chars().take(40).collect();
        return Err(Failure::argument(format!(
            "events.publish: an event's name has 1 to {NAME_CHARACTERS} of the characters A-Z a-z 0-9 _ . : and -, unlike {start:?}; use one like `order.created`",
        )));
    }
    limits.check(Limit::EventBytes, data.len() as u64)?;
    serde_json::from_str::<IgnoredAny>(data)
        .map(|_| ())
        .map_err(|reason| Failure::argument(format!("events.publish: the data is not JSON: {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Kind;
    use crate::store::clock::Clock;
    use crate::store::fixture::{identity, on_both_databases};

    async fn events(kind: Kind) -> Process {
        let store = Store::fresh(kind).await.with_clock(Clock::manual(1_700_000_000_000));
        Process::new(store)
    }

    async fn a_published_event_is_in_the_outbox_of_its_tenant_alone(kind: Kind) {
        let events = events(kind).await;
        let limits = Limits::default();
        let mut ids = Vec::new();
        for n in 0..3 {
            let data = format!("{{\"n\":{n}}}");
            ids.push(events.publish(identity("a"), &limits, "client.notified".into(), data).await.unwrap());
        }
        assert!(ids.iter().all(|id| Uuid::parse_str(id).is_ok()));

        let recent = events.recent("a", 2).await.unwrap();
        assert_eq!(recent.len(), 2);
        assert_eq!(
            recent[0],
            Event {
                id: ids[2].clone(),
                name: "client.notified".into(),
                data: r#"{"n":2}"#.into(),
                script: "script-1".into(),
                execution: "execution-1".into(),
                cause: None,
                depth: 0,
                created_at: 1_700_000_000_000,
            }
        );
        assert!(events.recent("b", 10).await.unwrap().is_empty());
    }

    async fn names_and_data_are_checked(kind: Kind) {
        let events = events(kind).await;
        let limits = Limits { event_bytes: 20, ..Limits::default() };
        let longest = "x".repeat(200);
        for name in ["order.created", "a", "A-1_b:c", &longest] {
            assert!(events.publish(identity("a"), &limits, name.into(), "{}".into()).await.is_ok(), "{name}");
        }
        let too_long = "x".repeat(201);
        for name in ["", "order created", "a\n", "é", "a/b", "*", &too_long] {
            let failure = events.publish(identity("a"), &limits, name.into(), "{}".into()).await.unwrap_err();
            assert!(failure.message.contains("order.created"), "{}", failure.message);
        }
        for data in ["", "{", "undefined"] {
            let failure = events.publish(identity("a"), &limits, "a".into(), data.into()).await.unwrap_err();
            assert!(failure.message.contains("not JSON"), "{}", failure.message);
        }
        let large = format!("\"{}\"", "x".repeat(20));
        let failure = events.publish(identity("a"), &limits, "a".into(), large).await.unwrap_err();
        assert_eq!(failure.limit.unwrap().setting, "limits.event_bytes");
        assert_eq!(events.recent("a", 100).await.unwrap().len(), 4);
    }

    on_both_databases!(a_published_event_is_in_the_outbox_of_its_tenant_alone, names_and_data_are_checked);
}
