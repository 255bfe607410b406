//! Publishes what others send. All of it is somebody else's word.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{AckKind, Context, ErrorCode, Message, stream};
use futures_util::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::bridge::Health;
use super::connection::Connection;
use super::outgoing::DEPTH;
use super::subject;
use crate::hexadecimal;
use crate::host::Host;
use crate::settings::Receive;
use crate::tenant::Cause;
use crate::triggers::events::{New, Publisher, Refused};

/// Messages of one request, and how many of them are published at once.
const PART: usize = 256;
const AT_ONCE: usize = 32;
/// How long a request waits for messages.
const WAIT: Duration = Duration::from_secs(5);
/// How long the server leaves a message to one host.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Messages that the hosts have in hand or have put off.
const PENDING: i64 = 10_000;
/// Bytes of a message's id that is taken as it is.
const ID: usize = 150;
/// For how long a message is put off.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5 * 60);

pub struct Receiver {
    connection: Arc<Connection>,
    host: Arc<Host>,
    from: Receive,
}

/// What became of a message.
enum Taken {
    /// It is in the outbox, since now or before.
    Published {
        is_new: bool,
    },
    Later(Duration),
    /// It can never be published.
    Never(String),
}

impl Receiver {
    pub fn new(connection: Arc<Connection>, host: Arc<Host>, from: Receive) -> Receiver {
        Receiver { connection, host, from }
    }

    /// Until it is told to stop.
    pub async fn run(self, mut stopping: watch::Receiver<bool>) {
        let mut health = Health::new("receiving events");
        while !*stopping.borrow() {
            let took = async {
                // Each time: the connection may be another one, and the consumer gone.
                let consumer = self.consumer(self.connection.jetstream().await?).await?;
                self.take_some(&consumer, stopping.clone()).await
            };
            match took.await {
                Ok(()) => health.succeeded(),
                Err(reason) => {
                    let wait = health.failed(&reason);
                    tokio::select! {
                        _ = stopping.changed() => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// The durable one, which is made where there is none.
    async fn consumer(&self, jetstream: Context) -> Result<PullConsumer, String> {
        let Receive { subject, stream: name, consumer } = &self.from;
        let stream = jetstream.get_stream_no_info(name).await.map_err(|error| error.to_string())?;
        let config = pull::Config {
            durable_name: Some(consumer.clone()),
            filter_subject: format!("{subject}.>"),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: PENDING,
            ..pull::Config::default()
        };
        let made: Result<PullConsumer, stream::ConsumerError> = stream.get_or_create_consumer(consumer, config).await;
        made.map_err(|error| match error.kind() {
            stream::ConsumerErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                format!(
                    "there is no stream `{name}`; make it, as with `nats stream add {name} --subjects '{subject}.>'`"
                )
            }
            _ => format!("the consumer `{consumer}` of the stream `{name}`: {error}"),
        })
    }

    /// Publishes the messages of one request.
    async fn take_some(&self, consumer: &PullConsumer, mut stopping: watch::Receiver<bool>) -> Result<(), String> {
        let request = consumer.batch().max_messages(PART).expires(WAIT).messages();
        let messages = request.await.map_err(|error| error.to_string())?;
        // Err where nobody can stop it any more.
        let stopped = async move { drop(stopping.wait_for(|stopped| *stopped).await) };
        messages
            .take_until(Box::pin(stopped))
            .map_err(|error| error.to_string())
            .try_for_each_concurrent(AT_ONCE, |message| async move {
                let kind = match self.take(&message).await {
                    Taken::Published { is_new } => {
                        self.count(if is_new { "published" } else { "known" });
                        AckKind::Ack
                    }
                    Taken::Later(wait) => {
                        self.count("put_off");
                        AckKind::Nak(Some(wait.clamp(SHORTEST, LONGEST)))
                    }
                    Taken::Never(reason) => {
                        let subject: String = message.subject.chars().take(300).collect();
                        tracing::warn!(subject, reason, "a message from NATS is no event; it is not taken again");
                        self.count("refused");
                        AckKind::Term
                    }
                };
                // Without it, the message comes again, and is known.
                message.ack_with(kind).await.map_err(|error| error.to_string())
            })
            .await
    }

    fn count(&self, state: &'static str) {
        self.host.process().metrics.bridged("in", state);
    }

    async fn take(&self, message: &Message) -> Taken {
        let Some((tenant, name)) = subject::read(&self.from.subject, &message.subject) else {
            return Taken::Never(format!("its subject is not `{}.<tenant>.<event>`", self.from.subject));
        };
        if self.host.places().get(&tenant).is_none() {
            return Taken::Never("there is no such tenant".to_owned());
        }
        let data = match str::from_utf8(&message.payload) {
            Ok("") => "null".to_owned(),
            Ok(text) => text.to_owned(),
            Err(_) => return Taken::Never("its data is not UTF-8".to_owned()),
        };
        let Ok(id) = self.id(message) else { return Taken::Never("it has no id and no place in a stream".to_owned()) };
        let header = |name: &str| message.headers.as_ref().and_then(|headers| headers.get(name));
        // Of another host of this kind: chains are counted across them.
        let depth = header(DEPTH).and_then(|depth| depth.as_str().parse::<u32>().ok());
        let cause = depth.map(|depth| Cause { event: id.clone(), depth: i64::from(depth) + 1 });
        let new = New { name, data, dedup_key: Some(format!("nats:{id}")), ..New::default() };
        let process = self.host.process();
        let (limits, account) = (&self.host.settings().limits, process.quotas.account(&tenant));
        match process.events.publish(&tenant, limits, &account, Publisher::nats(&id, cause), new).await {
            Ok(published) => Taken::Published { is_new: published.is_new },
            Err(Refused::Quota(exceeded)) => Taken::Later(exceeded.retry_after),
            Err(Refused::Full { .. }) => Taken::Later(LONGEST),
            // Who writes there says that it fails.
            Err(Refused::Store(reason)) => {
                tracing::debug!(%reason, "publishing a message failed; it is taken again");
                Taken::Later(SHORTEST)
            }
            Err(refused @ (Refused::Invalid { .. } | Refused::Reserved(_) | Refused::Limit { .. })) => {
                Taken::Never(refused.to_string())
            }
        }
    }

    /// What tells it from all others: the sender's word, or its place in the stream.
    fn id(&self, message: &Message) -> Result<String, async_nats::Error> {
        let named = message.headers.as_ref().and_then(|headers| headers.get(async_nats::header::NATS_MESSAGE_ID));
        Ok(match named.map(|id| id.as_str()) {
            None | Some("") => format!("{}:{}", self.from.stream, message.info()?.stream_sequence),
            Some(id) if id.len() <= ID && !id.chars().any(char::is_control) => id.to_owned(),
            Some(id) => hexadecimal::encode(&Sha256::digest(id)),
        })
    }
}
