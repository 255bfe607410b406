//! Spans for OpenTelemetry: one for each execution, one for each host call.
//!
//! A span is made when what it is about has ended, from what is known anyway;
//! the feature `otel` has what sends it. Without the feature there is no value
//! of these types, and the code that would use one is gone.

#[cfg(feature = "otel")]
mod otlp;
#[cfg(not(feature = "otel"))]
mod without;

#[cfg(feature = "otel")]
use otlp as backend;
#[cfg(not(feature = "otel"))]
use without as backend;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use backend::Traces;

use crate::runtime::failure::Failure;
use crate::runtime::trace::Trace;

/// An execution that has ended.
#[derive(Debug)]
pub struct Execution<'a> {
    pub trace: Trace,
    pub id: &'a str,
    pub tenant: &'a str,
    pub script: &'a str,
    pub version: Option<i64>,
    pub trigger: &'a str,
    pub status: &'a str,
    /// Whether it is the script's or the host's failure.
    pub failed: bool,
    pub began: SystemTime,
    /// How long it waited for a sandbox.
    pub waited: Duration,
    /// How long it ran.
    pub ran: Duration,
    pub fuel: u64,
    pub memory_bytes: u64,
    pub host_calls: u64,
}

/// A host call under way. Its span is made when this is dropped.
pub struct HostCall {
    traces: Arc<Traces>,
    trace: Trace,
    name: &'static str,
    began: SystemTime,
    /// The error's name. A call that is dropped before it ends was interrupted.
    error: Option<String>,
}

impl HostCall {
    /// None where nobody wants to know.
    pub fn begin(traces: Option<&Arc<Traces>>, trace: Option<Trace>, name: &'static str) -> Option<HostCall> {
        let (traces, trace) = traces.zip(trace.filter(|trace| trace.is_sampled()))?;
        let error = Some("interrupted".to_owned());
        Some(HostCall { traces: traces.clone(), trace, name, began: SystemTime::now(), error })
    }

    pub fn end(mut self, failure: Option<&Failure>) {
        self.error = failure.map(|failure| failure.name.clone());
    }
}

impl Drop for HostCall {
    fn drop(&mut self) {
        self.traces.host_call(self.trace, self.name, self.began, self.error.take());
    }
}
