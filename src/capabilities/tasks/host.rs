//! The tasks as the engine's event loop reaches them.

use tokio::time::Instant;

use crate::runtime::bindings::airlock::script::{tasks, types};
use crate::runtime::call::Call;
use crate::runtime::operations::Ticket;

impl tasks::Host for Call {
    async fn wait(&mut self) -> wasmtime::Result<Vec<Ticket>> {
        Ok(self.operations.wait().await)
    }

    fn expired(&mut self) -> wasmtime::Result<bool> {
        Ok(Instant::now() >= self.soft_deadline)
    }
}

impl types::Host for Call {}
