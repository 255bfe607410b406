//! What a host does of it, from its start to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::connection::Connection;
use super::incoming::Receiver;
use super::outgoing::Sender;
use crate::host::Host;
use crate::pause::Pause;

/// A host's bridge to NATS, at work.
pub struct Bridge {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Bridge {
    /// Begins to send and to receive what the settings say; None where they name
    /// no NATS. It need not be there yet. Fails where the credentials cannot be
    /// read.
    pub fn start(host: &Arc<Host>) -> anyhow::Result<Option<Bridge>> {
        let Some(settings) = &host.settings().events.nats else { return Ok(None) };
        let credentials = settings.credentials.as_ref().map(|file| {
            std::fs::read_to_string(file)
                .with_context(|| format!("AIRLOCK_NATS_CREDENTIALS: reading {}", file.display()))
        });
        let connection = Arc::new(Connection::new(settings.servers.clone(), credentials.transpose()?)?);
        let (stop, stopping) = watch::channel(false);
        let mut tasks = Vec::new();
        if let Some(subject) = &settings.publish {
            let sender = Sender::new(connection.clone(), host.process(), subject.clone());
            tasks.push(tokio::spawn(sender.run(stopping.clone())));
        }
        if let Some(receive) = &settings.receive {
            let receiver = Receiver::new(connection, host.clone(), receive.clone());
            tasks.push(tokio::spawn(receiver.run(stopping)));
        }
        Ok(Some(Bridge { stop, tasks }))
    }

    /// Begins nothing more, and waits for what has begun, but no longer than this.
    /// What is left then is done again later.
    pub async fn stop(mut self, within: Duration) {
        // Err where both have ended.
        let _ = self.stop.send(true);
        let ended = async {
            for task in &mut self.tasks {
                let _ = task.await;
            }
        };
        if tokio::time::timeout(within, ended).await.is_err() {
            self.tasks.iter().for_each(JoinHandle::abort);
        }
    }
}

/// Whether one of the two ways is open, with a line in the log where that changes,
/// or the reason does.
pub struct Health {
    /// What does not happen while it is not.
    what: &'static str,
    /// Those that the log has, since it last was. No try says anything else for long.
    reasons: BTreeSet<String>,
    pause: Pause,
}

/// Reasons of one time that are told apart.
const REASONS: usize = 16;

impl Health {
    pub fn new(what: &'static str) -> Health {
        Health { what, reasons: BTreeSet::new(), pause: Pause::default() }
    }

    pub fn succeeded(&mut self) {
        self.pause = Pause::default();
        if !self.reasons.is_empty() {
            self.reasons.clear();
            tracing::info!(what = self.what, "NATS takes part again");
        }
    }

    /// Answers how long to wait before the next try: longer each time.
    pub fn failed(&mut self, reason: &str) -> Duration {
        if self.reasons.len() < REASONS && self.reasons.insert(reason.to_owned()) {
            tracing::error!(reason, what = self.what, "NATS does not take part; it is tried again until it does");
        }
        self.pause.next()
    }
}
