//! The same without the feature `nats`.

use std::sync::Arc;
use std::time::Duration;

use crate::host::Host;

/// There is none.
#[derive(Debug)]
pub enum Bridge {}

impl Bridge {
    /// None where the settings name no NATS. The error says what is missing.
    pub fn start(host: &Arc<Host>) -> anyhow::Result<Option<Bridge>> {
        match host.settings().events.nats {
            None => Ok(None),
            Some(_) => anyhow::bail!("this airlock was built without the feature `nats`, and [events.nats] needs it"),
        }
    }

    pub async fn stop(self, _within: Duration) {
        match self {}
    }
}
