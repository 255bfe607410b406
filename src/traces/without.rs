//! The same without the feature `otel`.

use std::time::SystemTime;

use super::Execution;
use crate::runtime::trace::Trace;

/// There is none.
#[derive(Debug)]
pub enum Traces {}

impl Traces {
    /// The error says what is missing.
    pub fn new(_endpoint: &str) -> anyhow::Result<Traces> {
        anyhow::bail!("this airlock was built without the feature `otel`, and [traces] endpoint needs it")
    }

    pub fn execution(&self, _execution: &Execution<'_>) {
        match *self {}
    }

    pub fn host_call(&self, _trace: Trace, _name: &'static str, _began: SystemTime, _error: Option<String>) {
        match *self {}
    }

    pub fn flush(&self) {
        match *self {}
    }
}
