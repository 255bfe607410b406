//! The tasks as the engine's event loop reaches them.

use tokio::time::Instant;

use crate::runtime::bindings::airlock::script::{tasks, types};
use crate::runtime::call::Call;
use crate::runtime::failure::Failure;
use crate::runtime::operations::Ticket;

impl tasks::Host for Call {
    async fn wait(&mut self) -> wasmtime::Result<Vec<Ticket>> {
        self.require_not_flooded()?;
        Ok(self.operations.wait().await)
    }

    fn expired(&mut self) -> wasmtime::Result<Option<Failure>> {
        if Instant::now() < self.soft_deadline {
            return Ok(None);
        }
        let failure = self.timeout();
        self.hits_of(&failure);
        Ok(Some(failure))
    }
}

impl types::Host for Call {}
