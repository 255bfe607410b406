//! The log as scripts reach it.

use chrono::Utc;

use crate::runtime::bindings::airlock::script::log::{Host, Level};
use crate::runtime::call::Call;

impl Host for Call {
    fn write(&mut self, level: Level, message: String, fields: Option<String>) -> wasmtime::Result<()> {
        let (identity, limits, redactor) = (&self.identity, &self.limits, &self.held.secrets.redactor);
        self.held.log.write(identity, limits, redactor, Utc::now(), level, &message, fields.as_deref());
        Ok(())
    }
}
