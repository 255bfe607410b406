//! Sends the tenants' events, whichever host finds them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use futures_util::future::join_all;
use sqlx::AssertSqlSafe;
use tokio::sync::watch;

use super::bridge::Health;
use super::connection::Connection;
use super::subject;
use crate::capabilities::Process;
use crate::metrics::Metrics;
use crate::store::clock::{Millis, millis, rfc3339};
use crate::store::{self, Kind, Store};
use crate::triggers::events::Outbox;

/// Events of one look.
pub const PART: usize = 256;
/// How long others leave alone what a host has taken to send. Much longer than
/// sending takes, and shorter than a stream remembers ids: two minutes, where
/// nobody says otherwise.
pub const LEASE: Duration = Duration::from_secs(30);
/// How long what one event's stream did not take rests while others go.
const REST: Duration = Duration::from_secs(60);
/// How often a host looks for events that nobody told it of.
const POLL: Duration = Duration::from_secs(1);
/// How often they are counted.
const COUNT: Duration = Duration::from_secs(10);

/// How many events led to one, so that one which comes back is known for it.
pub const DEPTH: &str = "Airlock-Depth";
const OCCURRED_AT: &str = "Airlock-Occurred-At";

pub struct Sender {
    connection: Arc<Connection>,
    outbox: Outbox,
    metrics: Arc<Metrics>,
    /// What subjects begin with.
    prefix: String,
}

/// An event that this host sends.
#[derive(Debug, sqlx::FromRow)]
pub struct Outgoing {
    number: i64,
    tenant: String,
    pub id: String,
    name: String,
    /// JSON text.
    data: String,
    depth: i64,
    created_at: Millis,
}

/// What became of sending one.
enum Sent {
    /// The stream has it.
    Stored,
    /// The stream had it.
    Known,
    /// It is taken by no stream, ever.
    Never(String),
    NotNow(String),
}

impl Sender {
    pub fn new(connection: Arc<Connection>, process: &Process, prefix: String) -> Sender {
        Sender { connection, outbox: process.events.clone(), metrics: process.metrics.clone(), prefix }
    }

    /// Until it is told to stop.
    pub async fn run(self, mut stopping: watch::Receiver<bool>) {
        let mut health = Health::new("sending events");
        let mut counted = None;
        while !*stopping.borrow() {
            let (wait, wakes) = match self.send_some().await {
                Ok(sent) => {
                    health.succeeded();
                    (if sent == PART { Duration::ZERO } else { POLL }, true)
                }
                Err(reason) => (health.failed(&reason), false),
            };
            if counted.is_none_or(|at: Instant| at.elapsed() >= COUNT) {
                counted = Some(Instant::now());
                // What keeps it from being read keeps events from being sent.
                if let Ok(waiting) = count(self.store()).await {
                    self.metrics.bridge_waiting(waiting);
                }
            }
            tokio::select! {
                _ = stopping.changed() => {}
                () = self.outbox.0.sending.notified(), if wakes => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn store(&self) -> &Store {
        &self.outbox.0.store
    }

    /// Sends what is due, in one look. Answers how many were.
    pub async fn send_some(&self) -> Result<usize, String> {
        let jetstream = self.connection.jetstream().await?;
        let found = claim(self.store()).await.map_err(|reason| reason.to_string())?;
        if found.is_empty() {
            return Ok(0);
        }
        let results = join_all(found.iter().map(|event| self.send(&jetstream, event))).await;
        let (mut done, mut left, mut failure) = (Vec::new(), Vec::new(), None);
        for (event, result) in found.iter().zip(results) {
            let state = match result {
                Sent::Stored => "sent",
                Sent::Known => "known",
                Sent::Never(reason) => {
                    tracing::warn!(event_id = event.id, tenant_id = event.tenant, reason, "an event cannot be sent");
                    "refused"
                }
                Sent::NotNow(reason) => {
                    failure.get_or_insert(reason);
                    left.push(event.number);
                    "failed"
                }
            };
            self.metrics.bridged("out", state);
            if state != "failed" {
                done.push(event.number);
            }
        }
        let goes_on = !done.is_empty();
        let rest = if goes_on { REST } else { Duration::ZERO };
        settle(self.store(), done, left, rest).await.map_err(|reason| reason.to_string())?;
        match failure {
            Some(reason) if !goes_on => Err(reason),
            _ => Ok(found.len()),
        }
    }

    async fn send(&self, jetstream: &jetstream::Context, event: &Outgoing) -> Sent {
        let subject = subject::of(&self.prefix, &event.tenant, &event.name);
        let message = PublishMessage::build()
            .message_id(&event.id)
            .header(OCCURRED_AT, rfc3339(event.created_at).as_str())
            .header(DEPTH, event.depth.to_string().as_str())
            .payload(event.data.clone().into());
        let sent = async { jetstream.send_publish(subject, message).await?.await };
        match sent.await {
            Ok(answer) if answer.duplicate => Sent::Known,
            Ok(_) => Sent::Stored,
            Err(error) if is_too_large(&error) => Sent::Never(error.to_string()),
            Err(error) if error.kind() == PublishErrorKind::StreamNotFound => {
                let begin = &self.prefix;
                Sent::NotNow(format!("no stream has the subjects `{begin}.>`; make one, as with `nats stream add`"))
            }
            Err(error) => Sent::NotNow(error.to_string()),
        }
    }
}

/// For the server, or for the stream.
fn is_too_large(error: &PublishError) -> bool {
    use jetstream::ErrorCode;

    const TOO_LARGE: [ErrorCode; 2] =
        [ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM, ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM];
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<jetstream::Error>());
    error.kind() == PublishErrorKind::MaxPayloadExceeded
        || source.is_some_and(|source| TOO_LARGE.contains(&source.error_code()))
}

/// Takes events that are due, for as long as [`LEASE`].
pub async fn claim(store: &Store) -> sqlx::Result<Vec<Outgoing>> {
    let time = store.shared_time();
    store
        .write_without_turn(move |connection| {
            Box::pin(async move {
                let skip = match Kind::of(connection) {
                    Kind::Sqlite => "",
                    Kind::Postgres => "FOR UPDATE OF outgoing SKIP LOCKED",
                };
                let sql = format!(
                    "SELECT number, outgoing.tenant, id, name, data, depth, created_at FROM outgoing
                     JOIN outbox ON outbox.tenant = outgoing.tenant AND outbox.id = outgoing.event
                     WHERE due_at <= {time} ORDER BY due_at, number LIMIT $1 {skip}"
                );
                let found: Vec<Outgoing> =
                    sqlx::query_as(AssertSqlSafe(sql)).bind(PART as i64).fetch_all(&mut *connection).await?;
                let numbers = found.iter().map(|event| event.number).collect::<Vec<_>>();
                put_off(connection, &numbers, &time, LEASE).await?;
                Ok(found)
            })
        })
        .await
}

/// Forgets those that are done, and lets the others be tried again after a rest.
async fn settle(store: &Store, done: Vec<i64>, left: Vec<i64>, rest: Duration) -> sqlx::Result<()> {
    let time = store.shared_time();
    store
        .write_without_turn(move |connection| {
            Box::pin(async move {
                if !done.is_empty() {
                    let sql = format!("DELETE FROM outgoing WHERE number IN ({})", list(&done));
                    sqlx::query(AssertSqlSafe(sql)).persistent(false).execute(&mut *connection).await?;
                }
                put_off(connection, &left, &time, rest).await
            })
        })
        .await
}

async fn put_off(connection: &mut store::Connection, numbers: &[i64], time: &str, by: Duration) -> sqlx::Result<()> {
    if numbers.is_empty() {
        return Ok(());
    }
    let sql = format!("UPDATE outgoing SET due_at = {time} + $1 WHERE number IN ({})", list(numbers));
    sqlx::query(AssertSqlSafe(sql)).persistent(false).bind(millis(by)).execute(connection).await?;
    Ok(())
}

fn list(numbers: &[i64]) -> String {
    numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
}

async fn count(store: &Store) -> sqlx::Result<i64> {
    store
        .read(|connection| {
            Box::pin(async move { sqlx::query_scalar("SELECT COUNT(*) FROM outgoing").fetch_one(connection).await })
        })
        .await
}
