//! What the host tells of itself, to the scripts that want to know.
//!
//! Where nobody does, nothing is published. What comes of such an event, however
//! far, causes no further one: what handles failures may fail.

use serde_json::{Value, json};

use super::outbox::write;
use super::{New, OUTBOX_BYTES, Outbox, Publisher, Source, rows};
use crate::executions::Status;
use crate::scripts::Stored;
use crate::store::Connection;
use crate::store::usage::{self, Room};
use crate::tenant::Cause;

/// A tenant with so many jobs is told no more until some are done.
const MOST_JOBS: i64 = 20_000;
/// Scripts that are told of one thing.
const MOST_HANDLERS: usize = 100;

/// Bytes of an error's message.
const ERROR: usize = 1_000;

/// Something that the host tells.
#[derive(Debug)]
pub struct Told {
    pub(super) name: &'static str,
    pub(super) data: Value,
    /// The id of the script that it is about, which itself is not told.
    pub(super) script: String,
    /// The id of the execution that it is about.
    pub(super) execution: String,
    pub(super) cause: Option<Cause>,
    pub(super) dedup_key: Option<String>,
}

/// An execution that came to a bad end.
#[derive(Debug)]
pub struct Failed<'a> {
    pub id: &'a str,
    /// The script's id.
    pub script: &'a str,
    /// The script's name.
    pub name: &'a str,
    pub version: Option<i64>,
    pub trigger: &'a str,
    pub status: Status,
    /// JSON text.
    pub error: Option<&'a str>,
    /// The job that it was an attempt of, and which.
    pub attempt: Option<(&'a str, i64)>,
    pub cause: Option<Cause>,
}

impl Told {
    /// That a script of a tenant's was changed: `script.created` and the like.
    pub fn of_script(name: &'static str, script: &Stored) -> Told {
        let about = json!({
            "id": script.id, "name": script.draft.name, "type": script.draft.kind, "enabled": script.enabled,
            "deployed": script.deployed,
        });
        Told {
            name,
            data: json!({ "script": about }),
            script: script.id.clone(),
            execution: String::new(),
            cause: None,
            dedup_key: None,
        }
    }

    /// That an execution came to a bad end: `execution.failed`.
    pub fn of_failure(failed: Failed<'_>) -> Told {
        let Failed { id, script, name, version, trigger, status, error, attempt, cause } = failed;
        let about = json!({
            "id": id, "script": { "id": script, "name": name }, "version": version, "trigger": trigger,
            "status": status.name(), "error": brief(error), "job": attempt.map(|(job, _)| job),
            "attempt": attempt.map(|(_, number)| number),
        });
        Told {
            name: "execution.failed",
            data: json!({ "execution": about }),
            script: script.to_owned(),
            execution: id.to_owned(),
            cause,
            // Its record may be written twice, where the database did not say that it was.
            dedup_key: Some(id.to_owned()),
        }
    }

    /// That a job was given up: `job.dead`. `error` is JSON.
    pub fn of_dead_job(id: &str, script: &str, attempts: i64, cause: Option<Cause>, error: Option<&str>) -> Told {
        let about = json!({
            "id": id, "script": { "id": script }, "attempts": attempts, "error": brief(error),
            "event": cause.as_ref().map(|cause| &cause.event),
        });
        Told {
            name: "job.dead",
            data: json!({ "job": about }),
            script: script.to_owned(),
            execution: String::new(),
            cause,
            dedup_key: None,
        }
    }
}

/// The name and the beginning of the message of an error.
fn brief(error: Option<&str>) -> Value {
    let Some(Value::Object(error)) = error.and_then(|error| serde_json::from_str(error).ok()) else {
        return Value::Null;
    };
    let text = |member: &str| {
        let text = error.get(member).and_then(Value::as_str).unwrap_or_default();
        text[..text.floor_char_boundary(ERROR)].to_owned()
    };
    json!({ "name": text("name"), "message": text("message") })
}

impl Outbox {
    /// Publishes what the host tells, in the tenant's turn. Answers whether
    /// somebody handles it: then [`wake`](Outbox::wake) after the commit.
    pub async fn tell(&self, connection: &mut Connection, tenant: &str, told: Told) -> sqlx::Result<bool> {
        let Told { name, data, script, execution, cause, dedup_key } = told;
        let new = New { name: name.to_owned(), data: data.to_string(), dedup_key, ..New::default() };
        let mut handlers = self.handlers(tenant, &new);
        handlers.retain(|(handler, _)| handler.id != script);
        handlers.truncate(MOST_HANDLERS);
        if handlers.is_empty() {
            return Ok(false);
        }
        if let Some(cause) = &cause
            && rows::is_of_lifecycle(connection, tenant, &cause.event).await?
        {
            return Ok(false);
        }
        let outbox = usage::of(connection, tenant, Room::Outbox).await?;
        let jobs = usage::of(connection, tenant, Room::Jobs).await?;
        if outbox.bytes > OUTBOX_BYTES || jobs.items > MOST_JOBS {
            tracing::warn!(
                tenant_id = tenant,
                event = name,
                jobs = jobs.items,
                "the tenant's scripts were not told: too much waits for them"
            );
            return Ok(false);
        }
        let publisher = Publisher { source: Source::Host, script: String::new(), execution, user: None, cause };
        let (published, ..) = write(connection, tenant, &self.entry(publisher, new, &handlers)).await?;
        if published.is_new {
            // Once more where the transaction fails and is tried again.
            self.0.metrics.event(tenant, Source::Host.name());
        }
        Ok(published.is_new)
    }
}
