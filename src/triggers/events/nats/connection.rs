//! One connection of a host, made anew whenever it is gone.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::connection::State;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions, ServerAddr};
use tokio::sync::Mutex;
use url::Url;

/// How long a server may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

pub struct Connection {
    servers: Vec<ServerAddr>,
    options: ConnectOptions,
    /// None before the first.
    client: Mutex<Option<Client>>,
}

impl Connection {
    /// `credentials` is the text of a file of them. Connects to nothing yet.
    pub fn new(servers: Vec<Url>, credentials: Option<String>) -> anyhow::Result<Connection> {
        let servers = servers.into_iter().map(ServerAddr::from_url).collect::<Result<_, _>>()?;
        let options = match credentials {
            None => ConnectOptions::new(),
            Some(text) => ConnectOptions::with_credentials(&text)
                .context("AIRLOCK_NATS_CREDENTIALS names a file that has no credentials")?,
        };
        let options = options.name("airlock").connection_timeout(PATIENCE).request_timeout(Some(PATIENCE));
        Ok(Connection { servers, options, client: Mutex::default() })
    }

    /// What speaks to JetStream. The error says why nobody does.
    pub async fn jetstream(&self) -> Result<Context, String> {
        let mut client = self.client.lock().await;
        let known = client.take().filter(|client| client.connection_state() == State::Connected);
        let connected = match known {
            Some(connected) => connected,
            // One that tries by itself would not say why it cannot.
            None => {
                let connecting = self.options.clone().connect(self.servers.as_slice());
                let connected = tokio::time::timeout(PATIENCE, connecting).await;
                connected.map_err(|_| "no server answers in time".to_owned())?.map_err(|reason| reason.to_string())?
            }
        };
        let mut context = jetstream::new(connected.clone());
        context.set_timeout(PATIENCE);
        *client = Some(connected);
        Ok(context)
    }
}
