//! The log as scripts reach it.

use chrono::Utc;

use crate::runtime::bindings::airlock::script::log::{Host, Level};
use crate::runtime::call::Call;

impl Host for Call {
    fn write(&mut self, level: Level, message: String, fields: Option<String>) -> wasmtime::Result<()> {
        let (identity, limits) = (&self.identity, &self.limits);
        self.held.log.write(identity, limits, Utc::now(), level, &message, fields.as_deref());
        Ok(())
    }
}
