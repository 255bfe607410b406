//! The utilities as the engine reaches them.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::{RANDOM_BYTES, end_of_sleep};
use crate::runtime::bindings::airlock::script::utils::Host;
use crate::runtime::call::Call;
use crate::runtime::limits::Limit;
use crate::runtime::operations::Ticket;

impl Host for Call {
    fn now(&mut self) -> wasmtime::Result<u64> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(since_epoch.as_micros() as u64)
    }

    fn random_bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        if length > RANDOM_BYTES {
            return Err(wasmtime::Error::msg(format!(
                "asked for {length} random bytes; one call answers at most {RANDOM_BYTES}"
            )));
        }
        let mut bytes = vec![0; length as usize];
        getrandom::fill(&mut bytes).map_err(|reason| {
            wasmtime::Error::msg(format!("the system has no random bytes: {reason}"))
        })?;
        Ok(bytes)
    }

    fn start_sleep(&mut self, milliseconds: u64) -> wasmtime::Result<Ticket> {
        // A sleep has no result that could carry the failure, and ending at
        // once would turn a script's waiting into spinning.
        self.count(Limit::HostCalls, 1).map_err(|failure| {
            if let Some(hit) = failure.limit {
                self.hit(hit);
            }
            wasmtime::Error::msg(failure.message)
        })?;
        let end =
            end_of_sleep(Instant::now(), milliseconds, self.soft_deadline, self.hard_deadline);
        Ok(self.operations.start_timer(end))
    }
}
