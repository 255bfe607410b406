//! Events: what was published, and who handles it.
//!
//! An event is a row of the outbox, written before its publisher learns its id,
//! together with a job for each script that handles it. So a handler sees it at
//! least once. The row stays for some time after the last of these jobs.

mod filter;
mod lifecycle;
pub mod nats;
mod outbox;
mod retention;
mod rows;
mod subscription;
#[cfg(test)]
mod tests;
mod together;

pub use filter::{Filter, Operator};
pub use lifecycle::{Failed, Told};
pub use outbox::{Outbox, Published};
pub use rows::{Attempt, Job};
pub use subscription::Subscription;

use uuid::Uuid;

use crate::capabilities::events::{NAME, is_name};
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};
use crate::store::clock::Millis;
use crate::tenant::{Cause, Identity};
use crate::{metrics, tenant};

/// Characters of an order key and a dedup key.
const KEY: usize = 200;
/// Seconds that an event may wait to be delivered: a year.
const DELAY: f64 = 365.0 * 24.0 * 60.0 * 60.0;
/// Of either sign.
const PRIORITY: i64 = 100;
/// What the names of the host's own events begin with.
const RESERVED: [&str; 3] = ["script.", "execution.", "job."];

/// An event to publish.
#[derive(Debug, Clone, Default)]
pub struct New {
    /// None: a new one. With the id of an event that is there, this is that one.
    pub id: Option<Uuid>,
    pub name: String,
    /// JSON text.
    pub data: String,
    /// Seconds until it is delivered; None: at once.
    pub delay: Option<f64>,
    /// Orders it among the events of the same key.
    pub key: Option<String>,
    /// A second event of that name with the same one is the first.
    pub dedup_key: Option<String>,
    /// What is higher goes first; None: 0.
    pub priority: Option<i64>,
}

/// Who publishes.
#[derive(Debug, Clone)]
pub struct Publisher {
    source: Source,
    /// The script's id, where it is one.
    script: String,
    /// The execution's id, or the request's.
    execution: String,
    user: Option<String>,
    cause: Option<Cause>,
}

/// What an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Script,
    Api,
    Host,
    Nats,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Source::Script => "script",
            Source::Api => "api",
            Source::Host => "host",
            Source::Nats => "nats",
        }
    }
}

impl Publisher {
    /// A call of a script.
    pub fn script(identity: &Identity) -> Publisher {
        Publisher {
            source: Source::Script,
            script: identity.script.id.clone(),
            execution: identity.execution.id.clone(),
            user: identity.user.as_ref().map(|user| user.id.clone()),
            cause: identity.execution.cause.clone(),
        }
    }

    /// A request of the application's.
    pub fn api(user: &tenant::User, request: &str) -> Publisher {
        Publisher {
            source: Source::Api,
            script: String::new(),
            execution: request.to_owned(),
            user: Some(user.id.clone()),
            cause: None,
        }
    }

    /// Another system. `message` is its id for what it sent; `cause` is the event
    /// there, where it was one.
    pub fn nats(message: &str, cause: Option<Cause>) -> Publisher {
        Publisher { source: Source::Nats, script: String::new(), execution: message.to_owned(), user: None, cause }
    }

    fn depth(&self) -> i64 {
        self.cause.as_ref().map_or(0, |cause| cause.depth)
    }
}

/// An event in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Event {
    /// A UUID.
    pub id: String,
    pub name: String,
    /// JSON text.
    pub data: String,
    /// `script`, `api`, `host` or `nats`.
    pub source: String,
    /// The id of the script that published it; empty where none did.
    pub script: String,
    /// The id of the execution that published it, or of the request or message.
    pub execution: String,
    pub user_id: Option<String>,
    /// The id of the event whose handler published this one.
    pub cause: Option<String>,
    /// How many events led to this one.
    pub depth: i64,
    pub dedup_key: Option<String>,
    /// When it was to be delivered, in milliseconds since the Unix epoch. None:
    /// at once.
    pub deliver_at: Option<Millis>,
    /// Milliseconds since the Unix epoch.
    pub created_at: Millis,
}

/// Why an event was not published.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{message}")]
    Invalid {
        /// As the API names it.
        field: &'static str,
        message: String,
    },
    /// Only the host publishes it.
    #[error("names that begin with `{0}` are for what the host itself tells; choose another, such as `order.created`")]
    Reserved(&'static str),
    #[error("{message}")]
    Limit { limit: Limit, value: u64, used: u64, message: String },
    /// The outbox is as full as it may be.
    #[error(
        "{events} events of this tenant are kept until they are delivered, and their {} MiB is all that may be; see \
         which jobs wait or are dead letters",
        OUTBOX_BYTES >> 20
    )]
    Full { events: i64 },
    #[error(transparent)]
    Quota(#[from] tenant::quota::Exceeded),
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

/// What one tenant's events in the outbox may take up. A tenant whose events
/// are never handled must not fill the disk that all share.
const OUTBOX_BYTES: i64 = 256 << 20;

impl Refused {
    fn limit(limit: Limit, value: u64, used: u64, what: &str) -> Refused {
        Refused::Limit { limit, value, used, message: format!("{what}{}", limit.message(value, used)) }
    }

    /// As a script sees it.
    pub fn failure(self) -> Failure {
        match self {
            Refused::Invalid { message, .. } => Failure::argument(format!("events.publish: {message}")),
            Refused::Reserved(_) => Failure::denied(format!("events.publish: {self}")),
            Refused::Limit { limit, value, used, message } => Failure { message, ..Failure::limit(limit, value, used) },
            Refused::Full { .. } => Failure::new("LimitError", format!("events.publish: {self}")),
            Refused::Quota(exceeded) => exceeded.into(),
            Refused::Store(reason) => reason.into(),
        }
    }
}

/// Checks what a script or a request says of an event.
fn check(limits: &Limits, source: Source, new: &New) -> Result<(), Refused> {
    let invalid = |field, message: String| Err(Refused::Invalid { field, message });
    if !is_name(&new.name) {
        let start: String = new.name.chars().take(40).collect();
        let message = format!(
            "an event's name has 1 to {NAME} of the characters A-Z a-z 0-9 _ . : and -, unlike {start:?}; use one like \
             `order.created`"
        );
        return invalid("name", message);
    }
    let reserved = RESERVED.into_iter().find(|start| new.name.starts_with(start));
    if let Some(start) = reserved
        && (source, new.name.as_str()) != (Source::Script, metrics::EVENT)
    {
        return Err(Refused::Reserved(start));
    }
    let bytes = new.data.len() as u64;
    if bytes > limits.event_bytes {
        return Err(Refused::limit(Limit::EventBytes, limits.event_bytes, bytes, ""));
    }
    if let Err(reason) = serde_json::from_str::<serde::de::IgnoredAny>(&new.data) {
        return invalid("data", format!("the data is not JSON: {reason}"));
    }
    if new.delay.is_some_and(|delay| !(0.0..=DELAY).contains(&delay)) {
        return invalid("delay", format!("the delay is a number of seconds from 0 to {DELAY}"));
    }
    for (field, key) in [("key", &new.key), ("dedup_key", &new.dedup_key)] {
        if key
            .as_ref()
            .is_some_and(|key| !(1..=KEY).contains(&key.chars().count()) || key.chars().any(char::is_control))
        {
            let shown = if field == "key" { "key" } else { "dedup key" };
            return invalid(
                field,
                format!("the {shown} has 1 to {KEY} characters of text, without control characters"),
            );
        }
    }
    if new.priority.is_some_and(|priority| priority.abs() > PRIORITY) {
        return invalid("priority", format!("the priority is a whole number from -{PRIORITY} to {PRIORITY}"));
    }
    Ok(())
}
