//! Progress as scripts reach it.

use super::Report;
use crate::runtime::bindings::airlock::script::progress::Host;
use crate::runtime::call::Call;

impl Host for Call {
    fn report(&mut self, done: f64, total: Option<f64>, message: String) -> wasmtime::Result<()> {
        let message = self.held.log.redactor.redact(&message);
        self.held.progress.report(Report::new(done, total, &message));
        Ok(())
    }
}
